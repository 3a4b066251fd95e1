"""Bagging whose members are fitted on groups drawn with replacement."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils.validation import check_is_fitted

from hemafeat._frames import as_frame
from hemafeat._public import public
from hemafeat.pipelines._steps.inner_folds import GROUP, groups_of


# Not sklearn.ensemble.BaggingClassifier: it turns a table into an array without column names, so
# that images and groups are lost, and it draws single cells, so that a member that holds some back
# in order to stop would find copies of the same cell on both sides.
@public
class GroupedBagging(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Average of classifiers that are fitted on groups drawn with replacement [1]_.

    Parameters
    ----------
    estimator : classifier
        Classifier whose clones are the members. Each gets a seed of its own if it takes one.
    n_estimators : int
        Number of members.
    column : str
        Column of the table that names the groups. Without it every row is a group of its own.
    random_state : int
        Seed of the draws and of the members.

    Attributes
    ----------
    estimators_ : list of classifier
        The fitted members.
    classes_ : ndarray
        The labels, sorted.

    References
    ----------
    .. [1] L. Breiman, "Bagging predictors", Machine Learning 24, 123-140, 1996.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from hemafeat import pipelines
    >>> table = pd.DataFrame({"cell__shape__area": np.arange(12.0), "group": np.arange(12) // 2})
    >>> model = pipelines.GroupedBagging(pipelines.logistic(), n_estimators=3)
    >>> model.fit(table, np.repeat(["a", "b"], 6)).predict(table).tolist()
    ['a', 'a', 'a', 'a', 'a', 'a', 'b', 'b', 'b', 'b', 'b', 'b']
    """

    looks_at = frozenset({"groups"})

    def __init__(
        self, estimator: Any, *, n_estimators: int = 10, column: str = GROUP, random_state: int = 0
    ) -> None:
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.column = column
        self.random_state = random_state

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Fit the members.

        Parameters
        ----------
        X : DataFrame, array or list
            Cells, in the form that the estimator takes.
        y : (n_cells,) array
            Labels.
        groups : (n_cells,) array-like, optional
            Groups of the cells; by default the column of the table.

        Returns
        -------
        GroupedBagging
            The same object.

        Raises
        ------
        ValueError
            If `n_estimators` is below 1, or there are not enough groups of different classes.
        """
        if self.n_estimators < 1:
            raise ValueError(f"n_estimators must be at least 1; got {self.n_estimators}")
        X, y = as_frame(X), np.asarray(y)
        codes = groups_of(X, groups, self.column)
        groups_rows = [np.flatnonzero(codes == code) for code in np.unique(codes)]
        self.classes_ = np.unique(y)
        rng = np.random.default_rng(self.random_state)
        self.estimators_ = []
        for _ in range(self.n_estimators):
            rows = _draw_rows(groups_rows, y, rng)
            member = clone(self.estimator)
            keys = [key for key in member.get_params() if key.split("__")[-1] == "random_state"]
            member.set_params(**{key: int(rng.integers(2**31 - 1)) for key in keys})
            self.estimators_.append(member.fit(_rows(X, rows), y[rows]))
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the mean of the probabilities of the members.

        Parameters
        ----------
        X : DataFrame, array or list
            Cells, in the form that the estimator takes.

        Returns
        -------
        (n_cells, n_classes) ndarray of float64
            A member that was fitted without a class gives it the probability 0.
        """
        check_is_fitted(self, "estimators_")
        X = as_frame(X)
        out = np.zeros((len(X), len(self.classes_)))
        for member in self.estimators_:
            out[:, np.searchsorted(self.classes_, member.classes_)] += member.predict_proba(X)
        return out / len(self.estimators_)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable label of each row.

        Parameters
        ----------
        X : DataFrame, array or list
            Cells, in the form that the estimator takes.

        Returns
        -------
        (n_cells,) ndarray
        """
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import get_tags

        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        return tags


def _draw_rows(
    groups_rows: list[np.ndarray], y: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw as many groups as there are, with replacement, and return their rows."""
    n = len(groups_rows)
    for _ in range(100):
        rows = np.concatenate([groups_rows[k] for k in rng.integers(n, size=n)])
        if len(np.unique(y[rows])) > 1:
            return rows
    raise ValueError("all groups drawn at random are of one class: there are too few groups")


def _rows(X: Any, rows: np.ndarray) -> Any:
    if isinstance(X, pd.DataFrame):
        return X.iloc[rows]
    return X[rows] if isinstance(X, np.ndarray) else [X[int(row)] for row in rows]
