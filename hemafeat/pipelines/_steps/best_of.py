"""Choice of one of several classifiers by cross-validation within the training rows."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

from hemafeat._public import public
from hemafeat.pipelines._steps.boosted import BoostedTrees
from hemafeat.pipelines._steps.inner_folds import groups_of
from hemafeat.pipelines._steps.penalised import PenalisedLogistic


@public
class BestOf(ClassifierMixin, BaseEstimator):
    """Choose the best of several classifiers by cross-validation within the training rows.

    The classifier with the highest balanced accuracy on inner folds is fitted to all training
    rows; of equal ones the first is taken. The rows that are predicted play no part in the choice.

    Parameters
    ----------
    estimators : list of (str, estimator)
        Classifiers by name, the simplest first.
    groups : str, optional
        Column of the table that names the groups that inner folds must not split. It is not passed
        to the classifiers. By default, or without that column, every row is a group of its own.
    n_splits : int
        Number of inner folds. There are fewer if a class has fewer groups; if a class has only
        one, nothing can be compared, and the first classifier is taken.
    random_state : int
        Seed of the division.

    Attributes
    ----------
    chosen_ : str
        Name of the classifier chosen.
    scores_ : dict of str to float
        Balanced accuracy of each classifier on the inner folds; empty if there were none.
    best_estimator_ : estimator
        The classifier chosen, fitted to all rows.
    classes_ : ndarray
        The labels, sorted.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from hemafeat import pipelines
    >>> X = np.arange(60.0).reshape(-1, 1)
    >>> y = np.where((X[:, 0] > 20) & (X[:, 0] < 40), "in", "out")
    >>> members = [("line", LogisticRegression()), ("tree", DecisionTreeClassifier())]
    >>> pipelines.BestOf(members).fit(X, y).chosen_
    'tree'
    """

    def __init__(
        self,
        estimators: Sequence[tuple[str, Any]],
        *,
        groups: str | None = None,
        n_splits: int = 5,
        random_state: int = 0,
    ) -> None:
        self.estimators = estimators
        self.groups = groups
        self.n_splits = n_splits
        self.random_state = random_state

    @property
    def looks_at(self) -> frozenset[str] | None:
        """The groups, if inner folds need them; the classifiers declare the rest."""
        return None if self.groups is None else frozenset({"groups"})

    def fit(self, X: Any, y: Any) -> Self:
        """Choose a classifier and fit it.

        Parameters
        ----------
        X : DataFrame or array
            Rows, as the classifiers take them.
        y : (n_rows,) array
            Labels.

        Returns
        -------
        BestOf
            The same object.
        """
        y = np.asarray(y)
        self.classes_ = np.unique(y)
        codes = groups_of(X, column=self.groups or "")
        X = self._without_groups(X)
        # Small fits many times: threads would take ten times as long as the work.
        with threadpool_limits(1):
            self.scores_ = self._scores(X, y, codes)
            names = [name for name, _ in self.estimators]
            # max returns the first of equal ones.
            self.chosen_ = max(names, key=lambda name: self.scores_.get(name, 0.0))
            self.best_estimator_ = clone(dict(self.estimators)[self.chosen_]).fit(X, y)
        return self

    def _scores(self, X: Any, y: np.ndarray, codes: np.ndarray) -> dict[str, float]:
        """Return the balanced accuracy of each classifier on the inner folds."""
        smallest = min(len(np.unique(codes[y == name])) for name in self.classes_)
        n_splits = min(self.n_splits, smallest)
        if n_splits < 2 or len(self.estimators) < 2:
            return {}
        folds = StratifiedGroupKFold(n_splits, shuffle=True, random_state=self.random_state)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The least populated class")
            pairs = list(folds.split(np.zeros((len(y), 1)), y, codes))
        # Groups of several classes can leave a fold without one of them.
        pairs = [pair for pair in pairs if len(np.unique(y[pair[0]])) == len(self.classes_)]
        tested = np.concatenate([test for _, test in pairs]) if pairs else np.empty(0, int)
        if len(np.unique(y[tested])) < len(self.classes_):
            return {}
        scores = {}
        for name, estimator in self.estimators:
            predicted = [
                clone(estimator).fit(_rows(X, train), y[train]).predict(_rows(X, test))
                for train, test in pairs
            ]
            scores[name] = float(balanced_accuracy_score(y[tested], np.concatenate(predicted)))
        return scores

    def _without_groups(self, X: Any) -> Any:
        if self.groups is not None and isinstance(X, pd.DataFrame) and self.groups in X.columns:
            return X.drop(columns=self.groups)
        return X

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : DataFrame or array
            Rows, as in `fit`.

        Returns
        -------
        (n_rows, n_classes) ndarray of float64
        """
        check_is_fitted(self, "best_estimator_")
        return np.asarray(self.best_estimator_.predict_proba(self._without_groups(X)))

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable label of each row.

        Parameters
        ----------
        X : DataFrame or array
            Rows, as in `fit`.

        Returns
        -------
        (n_rows,) ndarray
        """
        check_is_fitted(self, "best_estimator_")
        return np.asarray(self.best_estimator_.predict(self._without_groups(X)))


@public
class LogScale(TransformerMixin, BaseEstimator):
    """Take the logarithm of columns of positive values, and a symmetric one of other columns.

    In a column that is positive in the training rows, values below half the smallest of them,
    `floor_`, count as this one. In another column x becomes arsinh(x / u), where u, `unit_`, is the
    median of the absolute values without zeros.

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> pipelines.LogScale().fit_transform([[1.0], [10.0], [100.0]]).round(2).tolist()
    [[0.0], [2.3], [4.61]]
    """

    def fit(self, X: Any, y: Any = None) -> Self:
        """Determine the columns of positive values, and the units of the others.

        Parameters
        ----------
        X : (n_rows, n_columns) array
            Values without NaN.
        y : object
            Not used.

        Returns
        -------
        LogScale
            The same object.
        """
        X = validate_data(self, X, dtype=np.float64)
        low = X.min(axis=0)
        self.floor_ = np.where(low > 0, low / 2, np.nan)
        self.unit_ = np.ones(X.shape[1])
        for j, column in enumerate(np.abs(X).T):
            if column.any():
                self.unit_[j] = np.median(column[column > 0])
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the logarithms.

        Parameters
        ----------
        X : (n_rows, n_columns) array
            Values without NaN.

        Returns
        -------
        (n_rows, n_columns) ndarray of float64
        """
        check_is_fitted(self, "floor_")
        X = validate_data(self, X, dtype=np.float64, reset=False)
        positive = ~np.isnan(self.floor_)
        out = np.arcsinh(X / self.unit_)
        out[:, positive] = np.log(np.maximum(X[:, positive], self.floor_[positive]))
        return out


def few_columns(random_state: int = 0) -> list[tuple[str, Any]]:
    """Return classifiers of a few columns without missing values, the simplest first.

    They are what a baseline needs to find any simple dependence: a threshold of one column, a
    trend, a trend of the logarithm, and steps or windows of several columns.
    """
    return [
        (
            "threshold",
            DecisionTreeClassifier(max_depth=1, class_weight="balanced", random_state=random_state),
        ),
        ("logistic", make_pipeline(StandardScaler(), PenalisedLogistic())),
        ("log_logistic", make_pipeline(LogScale(), StandardScaler(), PenalisedLogistic())),
        (
            "boosted_trees",
            BoostedTrees(
                n_estimators=50, max_depth=2, colsample_bytree=1.0, random_state=random_state
            ),
        ),
    ]


def _rows(X: Any, numbers: np.ndarray) -> Any:
    return X.iloc[numbers] if isinstance(X, pd.DataFrame) else np.asarray(X)[numbers]
