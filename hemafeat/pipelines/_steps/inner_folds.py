"""Folds within the training rows that never split a group, to stop, stack and weight by."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.model_selection import StratifiedGroupKFold

from hemafeat._frames import as_frame
from hemafeat._public import public

GROUP = "group"
"""Column that names the groups by default."""


def groups_of(X: Any, groups: Any = None, column: str = GROUP) -> np.ndarray:
    """Return the number of the group of every row.

    Parameters
    ----------
    X : DataFrame or sequence
        The cells.
    groups : (n_cells,) array-like, optional
        Groups of the cells. By default those of the column of the table; without it every row is a
        group of its own, as is a row whose group is missing.
    column : str
        Name of that column.

    Returns
    -------
    (n_cells,) ndarray of int
    """
    X = as_frame(X)
    n = len(X)
    if groups is None and isinstance(X, pd.DataFrame) and column in X.columns:
        groups = X[column]
    if groups is None:
        return np.arange(n)
    if len(groups) != n:
        raise ValueError(f"{n} cells and {len(groups)} groups")
    codes = pd.factorize(pd.Series(np.asarray(groups, dtype=object)))[0]
    missing = codes < 0
    codes[missing] = codes.max(initial=-1) + 1 + np.arange(missing.sum())
    return codes


@public
class GroupedFolds(BaseEstimator):
    """Stratified folds that never split a group, for any parameter `cv` of scikit-learn.

    The groups are read from a column of the table, so that a search, a stack or a calibration
    inside `hemafeat.evaluate.compare` divides the rows by patient without further parameters.

    Parameters
    ----------
    n_splits : int
        Number of folds. There are fewer if there are fewer groups, or fewer cells of the largest
        class.
    column : str
        Column of the table that names the groups.
    alone : bool
        Whether every row is a group of its own if the table has no such column. By default that is
        an error, since cells of one patient would be split silently.
    random_state : int
        Seed of the division.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import pipelines
    >>> table = pd.DataFrame({"group": ["P1", "P1", "P2", "P2", "P3", "P3", "P4", "P4"]})
    >>> for train, test in pipelines.GroupedFolds(2).split(table, list("aabbaabb")):
    ...     print(len(set(table["group"][train]) & set(table["group"][test])))
    0
    0
    """

    looks_at = frozenset({"groups"})

    def __init__(
        self,
        n_splits: int = 3,
        *,
        column: str = GROUP,
        alone: bool = False,
        random_state: int = 0,
    ) -> None:
        self.n_splits = n_splits
        self.column = column
        self.alone = alone
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : object, optional
            Cells, labels and groups, as in `split`. Without `X` the number is `n_splits`.

        Returns
        -------
        int
        """
        if X is None:
            return self.n_splits
        return self._n_splits(self._group_codes(X, groups), y)

    def _n_splits(self, codes: np.ndarray, y: Any) -> int:
        """Return no more folds than there are groups, or cells in the largest class."""
        largest = len(codes) if y is None else np.unique(np.asarray(y), return_counts=True)[1].max()
        return min(self.n_splits, len(np.unique(codes)), int(largest))

    def _group_codes(self, X: Any, groups: Any) -> np.ndarray:
        X = as_frame(X)
        has_column = isinstance(X, pd.DataFrame) and self.column in X.columns
        if groups is None and not has_column and not self.alone:
            raise ValueError(
                f"the table has no column {self.column!r} that names the groups, which inner folds "
                "must not split; give groups, or alone=True if every cell is a group of its own"
            )
        return groups_of(X, groups, self.column)

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the rows to train on and the rows to predict, fold after fold.

        Parameters
        ----------
        X : DataFrame
            Table with the column of the groups.
        y : (n_cells,) array
            Labels.
        groups : (n_cells,) array-like, optional
            Groups of the cells; by default the column of the table.

        Yields
        ------
        train, test : ndarray of int
            Row numbers.

        Raises
        ------
        ValueError
            If there are no groups, only one group, or one cell of each class.
        """
        codes = self._group_codes(X, groups)
        n_splits = self._n_splits(codes, y)
        if n_splits < 2:
            raise ValueError(
                "the cells are of one group only, or one of each class: there are no inner folds"
            )
        folds = StratifiedGroupKFold(n_splits, shuffle=True, random_state=self.random_state)
        with warnings.catch_warnings():
            # A class with fewer cells than there are folds may be missing from some of them.
            warnings.filterwarnings("ignore", message="The least populated class")
            yield from folds.split(np.zeros((len(codes), 1)), np.asarray(y), codes)


def hold_back(classes: np.ndarray, groups: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Select rows to hold back for validation: whole groups of as many classes as possible.

    No rows are selected if a class would have no rows left to train on.

    Parameters
    ----------
    classes, groups : (n_cells,) ndarray of int
        Class and group of each row.
    share : float
        Approximate share of the rows to select, from 0 to below 1.
    seed : int
        Seed of the division.

    Returns
    -------
    (n_cells,) ndarray of bool
    """
    selected = np.zeros(len(classes), dtype=bool)
    if not share or len(np.unique(groups)) < 2 or np.bincount(classes).max() < 2:
        return selected
    folds = GroupedFolds(max(2, round(1 / share)), random_state=seed)
    largest = 0
    for train, test in folds.split(pd.DataFrame({GROUP: groups}), classes):
        n_classes = len(set(classes[test]))
        if set(classes[train]) == set(classes) and n_classes > largest:
            largest = n_classes
            selected[:] = False
            selected[test] = True
    return selected
