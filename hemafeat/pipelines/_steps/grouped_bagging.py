"""Bagging by group: every member learns from groups drawn with replacement."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils.validation import check_is_fitted

from hemafeat._public import public
from hemafeat.pipelines._steps.inner_folds import GROUP, groups_of


# Not sklearn.ensemble.BaggingClassifier: it turns a table into an array without column names, so
# that neither images nor groups are found in it, and draws single cells, of which a member that
# holds some back to stop by would find copies on both sides.
@public
class GroupedBagging(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Mean of the probabilities of classifiers fitted on groups drawn with replacement [1]_.

    Parameters
    ----------
    estimator : classifier
        What is fitted many times, each time with another seed if it has one.
    n_estimators : int
        How often.
    column : str
        Column of the table that says what is drawn together; without it every row is drawn by
        itself.
    random_state : int
        Seed.

    Attributes
    ----------
    estimators_ : list of classifier
        The members.
    classes_ : ndarray
        The labels, sorted.

    References
    ----------
    .. [1] L. Breiman, "Bagging predictors", Machine Learning 24, 123-140, 1996.
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
            What the estimator takes.
        y : (n_cells,) array
            Labels.
        groups : (n_cells,) array-like, optional
            Instead of the column.

        Raises
        ------
        ValueError
            No member is asked for, or the groups do not fit.
        """
        if self.n_estimators < 1:
            raise ValueError(f"n_estimators is at least 1; got {self.n_estimators}")
        y = np.asarray(y)
        which = groups_of(X, groups, self.column)
        rows_of = [np.flatnonzero(which == name) for name in np.unique(which)]
        self.classes_ = np.unique(y)
        rng = np.random.default_rng(self.random_state)
        self.estimators_ = []
        for _ in range(self.n_estimators):
            rows = _drawn(rows_of, y, rng)
            member = clone(self.estimator)
            keys = [key for key in member.get_params() if key.split("__")[-1] == "random_state"]
            member.set_params(**{key: int(rng.integers(2**31 - 1)) for key in keys})
            self.estimators_.append(member.fit(_rows(X, rows), y[rows]))
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Mean probabilities, (n_cells, n_classes) float64; 0 from a member that lacked the class.

        Parameters
        ----------
        X : DataFrame, array or list
            What the estimator takes.
        """
        check_is_fitted(self, "estimators_")
        out = np.zeros((len(X), len(self.classes_)))
        for member in self.estimators_:
            out[:, np.searchsorted(self.classes_, member.classes_)] += member.predict_proba(X)
        return out / len(self.estimators_)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each row.

        Parameters
        ----------
        X : DataFrame, array or list
            What the estimator takes.
        """
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import get_tags

        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        return tags


def _drawn(rows_of: list[np.ndarray], y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows of as many groups as there are, drawn with replacement; of two classes at least."""
    for _ in range(100):
        rows = np.concatenate([rows_of[k] for k in rng.integers(len(rows_of), size=len(rows_of))])
        if len(np.unique(y[rows])) > 1:
            return rows
    raise ValueError("groups drawn at random are of one class each time: there are too few groups")


def _rows(X: Any, rows: np.ndarray) -> Any:
    if isinstance(X, pd.DataFrame):
        return X.iloc[rows]
    return X[rows] if isinstance(X, np.ndarray) else [X[int(row)] for row in rows]
