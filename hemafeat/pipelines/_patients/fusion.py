"""Two judges of one patient: decision rules on their probabilities, and stacking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.utils.validation import check_is_fitted

from hemafeat._public import public
from hemafeat.pipelines._patients.bags import positive_place

RULES = ("weighted", "min", "max")


@public
class DecisionRule(ClassifierMixin, BaseEstimator):
    """Join the verdicts of several models of a patient by a fixed rule on their probabilities.

    Parameters
    ----------
    models : list of (str, estimator)
        Such as a model of the cells and one of the attributes. All take rows of `bags`.
    rule : {"weighted", "min", "max"}
        Of the probability of `positive`: a weighted mean; the least, so that all must agree on it;
        the largest, so that one is enough.
    weights : list of float, optional
        One per model, for ``"weighted"``; equal by default.
    positive : str, optional
        The class that ``"min"`` and ``"max"`` look at; by default the one beside a label such as
        ``reactive`` or ``normal``, else the last.

    Notes
    -----
    The rules are those of a report on lymphocytosis [1]_, which applied them to hard decisions too.
    Of 0 and 1 a weighted mean is one of the two models alone, whatever the weight but one half, so
    only probabilities are joined here. `weights` are given, not chosen: to choose, put this into a
    `GridSearchCV`, or stack (`PatientStack`).

    References
    ----------
    .. [1] B. Kabongo and J. C. Tonga, "Lymphocytosis classification", project report, ENS
       Paris-Saclay, 2024.
    """

    def __init__(
        self,
        models: Sequence[tuple[str, Any]],
        rule: str = "weighted",
        weights: Sequence[float] | None = None,
        positive: Any = None,
    ) -> None:
        self.models = models
        self.rule = rule
        self.weights = weights
        self.positive = positive

    @property
    def estimators(self) -> Sequence[tuple[str, Any]]:
        """The models, unfitted, by the name that scikit-learn gives them in ensembles."""
        return self.models

    @property
    def estimators_(self) -> list[Any]:
        """The fitted models."""
        return [model for _, model in self.models_]

    def fit(self, X: Any, y: Any) -> Self:
        """Fit every model.

        Parameters
        ----------
        X : DataFrame
            Rows of `bags`.
        y : (n_patients,) array
            Labels.
        """
        if self.rule not in RULES:
            raise ValueError(f"rule={self.rule!r}: there are {', '.join(RULES)}")
        weights = np.ones(len(self.models)) if self.weights is None else np.asarray(self.weights)
        if len(weights) != len(self.models) or (weights < 0).any() or weights.sum() <= 0:
            raise ValueError(f"weights={self.weights}: expected {len(self.models)}, none below 0")
        self.weights_ = weights / weights.sum()
        y = np.asarray(y)
        self.classes_ = np.unique(y)
        if self.rule != "weighted" and len(self.classes_) != 2:
            raise ValueError(f"rule={self.rule!r} is for two classes")
        positive_place(self.classes_, self.positive)
        self.models_ = [(name, clone(model).fit(X, y)) for name, model in self.models]
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Joined probabilities: (n_patients, n_classes)."""
        check_is_fitted(self, "models_")
        given = np.array([_proba(model, X, self.classes_) for _, model in self.models_])
        if self.rule == "weighted":
            return np.tensordot(self.weights_, given, axes=1)
        place = positive_place(self.classes_, self.positive)
        best = np.min if self.rule == "min" else np.max
        chance = best(given[:, :, place], axis=0)
        return np.column_stack([chance, 1 - chance] if place == 0 else [1 - chance, chance])

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each patient."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


@public
class PatientStack(ClassifierMixin, BaseEstimator):
    """Learn how much to believe each of several models of a patient.

    A logistic regression on the models' log-odds, which it learns from patients that the models had
    not seen: the training patients are divided into folds, and each fold judged by models of the
    others. Then the models are fitted once more on all training patients.

    Parameters
    ----------
    models : list of (str, estimator)
        Such as a model of the cells and one of the attributes. All take rows of `bags`.
    C : float
        Inverse strength of the penalty of the regression.
    n_splits : int
        Folds.
    random_state : int
        Seed of the folds.

    Attributes
    ----------
    out_of_fold_ : (n_patients, n_models * n_odds) ndarray
        What the regression was fitted on.
    stack_ : LogisticRegression

    Notes
    -----
    `sklearn.ensemble.StackingClassifier` does the same; it checks that its input is a table of
    numbers, which bags are not.
    """

    def __init__(
        self,
        models: Sequence[tuple[str, Any]],
        C: float = 1.0,
        n_splits: int = 5,
        random_state: int = 0,
    ) -> None:
        self.models = models
        self.C = C
        self.n_splits = n_splits
        self.random_state = random_state

    @property
    def estimators(self) -> Sequence[tuple[str, Any]]:
        """The models, unfitted, by the name that scikit-learn gives them in ensembles."""
        return self.models

    @property
    def estimators_(self) -> list[Any]:
        """The fitted models."""
        return [model for _, model in self.models_]

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the models and the regression.

        Parameters
        ----------
        X : DataFrame
            Rows of `bags`.
        y : (n_patients,) array
            Labels.
        """
        y = np.asarray(y)
        self.classes_, counts = np.unique(y, return_counts=True)
        n_splits = min(self.n_splits, int(counts.min()))
        if n_splits < 2:
            raise ValueError("stacking needs two patients of every class")
        folds = StratifiedKFold(n_splits, shuffle=True, random_state=self.random_state)
        out = np.empty((len(y), len(self.models), len(self.classes_)))
        for train, test in folds.split(np.zeros(len(y)), y):
            for place, (_, model) in enumerate(self.models):
                fitted = clone(model).fit(_rows(X, train), y[train])
                out[test, place] = _proba(fitted, _rows(X, test), self.classes_)
        self.out_of_fold_ = _odds(out)
        self.stack_ = LogisticRegression(C=self.C, class_weight="balanced", max_iter=1000)
        self.stack_.fit(self.out_of_fold_, y)
        self.models_ = [(name, clone(model).fit(X, y)) for name, model in self.models]
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities: (n_patients, n_classes)."""
        check_is_fitted(self, "stack_")
        given = [_proba(model, X, self.classes_) for _, model in self.models_]
        return np.asarray(self.stack_.predict_proba(_odds(np.stack(given, axis=1))))

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each patient."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def _rows(X: Any, rows: np.ndarray) -> Any:
    return X.iloc[rows] if hasattr(X, "iloc") else [X[row] for row in rows]


def _proba(model: Any, X: Any, classes: np.ndarray) -> np.ndarray:
    """In the order of `classes`; 0 for one that the model has not seen."""
    given = np.asarray(model.predict_proba(X), dtype=np.float64)
    out = np.zeros((len(given), len(classes)))
    out[:, np.searchsorted(classes, model.classes_)] = given
    return out


def _odds(chance: np.ndarray) -> np.ndarray:
    """Log-odds against the first class: (n, n_models, k) to (n, n_models * (k - 1))."""
    logs = np.log(np.clip(chance, 0.01, 0.99))
    return (logs[:, :, 1:] - logs[:, :, :1]).reshape(len(chance), -1)
