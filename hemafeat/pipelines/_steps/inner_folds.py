"""Division of training cells that never parts a group: for stopping, stacking and weighing."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.model_selection import StratifiedGroupKFold

from hemafeat._public import public

GROUP = "group"
"""The column that says what must stay together, where a table has one."""


def groups_of(X: Any, groups: Any = None, column: str = GROUP) -> np.ndarray:
    """The group of every row.

    Parameters
    ----------
    X : DataFrame or sequence
        The cells.
    groups : (n_cells,) array-like, optional
        What must stay together; by default the column of the table, and without one every row is a
        group of its own. So is a row whose group is missing.
    column : str
        Name of that column.

    Returns
    -------
    (n_cells,) ndarray of int
    """
    n = len(X)
    if groups is None:
        known = isinstance(X, pd.DataFrame) and column in X.columns
        groups = X[column] if known else None
    if groups is None:
        return np.arange(n)
    if len(groups) != n:
        raise ValueError(f"{n} cells and {len(groups)} groups")
    numbers = pd.factorize(pd.Series(np.asarray(groups, dtype=object)))[0]
    missing = numbers < 0
    numbers[missing] = numbers.max(initial=-1) + 1 + np.arange(missing.sum())
    return numbers


@public
class GroupedFolds(BaseEstimator):
    """Inner folds that never part a group and keep the classes even, for anything that takes `cv`.

    The groups come with the table, in a column, so that a search, a stack or a calibration inside
    `hemafeat.evaluate.compare` divides by patient without being told.

    Parameters
    ----------
    n_splits : int
        Folds; fewer where there are fewer groups, or fewer cells of the largest class.
    column : str
        The column of the groups.
    alone : bool
        Whether every row is a group of its own where there is no such column. By default that is an
        error, since cells of one patient would be parted without a word.
    random_state : int
        Seed.

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> search = pipelines.GroupedFolds(3)
    >>> search.get_n_splits()
    3
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
        """How many folds.

        Parameters
        ----------
        X, y, groups
            As in `split`.
        """
        if X is None:
            return self.n_splits
        return self._number(self._groups(X, groups), y)

    def _number(self, which: np.ndarray, y: Any) -> int:
        """No more folds than there are groups, or cells in the largest class."""
        most = (
            len(which) if y is None else int(np.unique(np.asarray(y), return_counts=True)[1].max())
        )
        return min(self.n_splits, len(np.unique(which)), most)

    def _groups(self, X: Any, groups: Any) -> np.ndarray:
        here = isinstance(X, pd.DataFrame) and self.column in X.columns
        if groups is None and not here and not self.alone:
            raise ValueError(
                f"the table has no column {self.column!r}, which says what inner folds must not "
                "part; give groups, or alone=True where every cell stands for itself"
            )
        return groups_of(X, groups, self.column)

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows to learn from and rows to ask about, fold after fold.

        Parameters
        ----------
        X : DataFrame
            With the column of the groups.
        y : (n_cells,) array
            Labels.
        groups : (n_cells,) array-like, optional
            Instead of the column.

        Raises
        ------
        ValueError
            One group only, no groups, or one cell of each class.
        """
        which = self._groups(X, groups)
        n_splits = self._number(which, y)
        if n_splits < 2:
            raise ValueError(
                "the cells are of one group only, or one of each class: there are no inner folds"
            )
        folds = StratifiedGroupKFold(n_splits, shuffle=True, random_state=self.random_state)
        with warnings.catch_warnings():
            # A class of fewer cells than folds is missing from some of them, which is no mistake.
            warnings.filterwarnings("ignore", message="The least populated class")
            yield from folds.split(np.zeros((len(which), 1)), np.asarray(y), which)


def held_back(numbers: np.ndarray, which: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Rows to hold back: about `share` of them, whole groups, with as many classes as can be.

    Nothing is held back where a class would then have nothing left to learn from.

    Parameters
    ----------
    numbers, which : (n_cells,) ndarray of int
        Class and group of each row.
    share : float
        0 to below 1.
    seed : int

    Returns
    -------
    (n_cells,) ndarray of bool
    """
    out = np.zeros(len(numbers), dtype=bool)
    if not share or len(np.unique(which)) < 2 or np.bincount(numbers).max() < 2:
        return out
    classes = set(numbers)
    frame = pd.DataFrame({GROUP: which})
    most = 0
    for learned, back in GroupedFolds(max(2, round(1 / share)), random_state=seed).split(
        frame, numbers
    ):
        if set(numbers[learned]) != classes:
            continue
        n = len(set(numbers[back]))
        if n > most:
            most = n
            out[:] = False
            out[back] = True
    return out
