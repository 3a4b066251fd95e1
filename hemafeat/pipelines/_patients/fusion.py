"""Combination of several models of a patient, by a fixed rule or by stacking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.utils.validation import check_is_fitted

from hemafeat._fits import fit_once
from hemafeat._public import public
from hemafeat.pipelines._patients.bags import positive_place, two_columns
from hemafeat.pipelines._patients.vote import LABELS

RULES = ("weighted", "min", "max")


class _Combination(ClassifierMixin, BaseEstimator):
    """Several models of a patient, under the names that scikit-learn gives the members."""

    models: Sequence[tuple[str, Any]]
    models_: list[tuple[str, Any]]
    classes_: np.ndarray

    @property
    def estimators(self) -> Sequence[tuple[str, Any]]:
        """The unfitted models with their names."""
        return self.models

    @property
    def estimators_(self) -> list[Any]:
        """The fitted models."""
        return [model for _, model in self.models_]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class for each patient."""
        raise NotImplementedError

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable label of each patient.

        Parameters
        ----------
        X : DataFrame
            Rows of `bags`.

        Returns
        -------
        (n_patients,) ndarray
        """
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


@public
class DecisionRule(_Combination):
    """Combine the probabilities of several models of a patient by a fixed rule.

    Parameters
    ----------
    models : list of (str, estimator)
        Models with their names, such as one of the cells and one of the attributes. All of them
        take rows of `bags`.
    rule : {"weighted", "min", "max"}
        Rule: the weighted mean of the probabilities; or, for two classes, the smallest probability
        of the positive class, on which all models must agree, or the largest, for which one model
        is enough.
    weights : list of float, optional
        Weights of the models for ``"weighted"``; equal by default.
    positive : str, optional
        Class that ``"min"`` and ``"max"`` refer to. By default the one beside a label such as
        ``reactive`` or ``normal``, else the last, see `positive_place`.
    labels : {"soft", "hard"}
        What the rule combines: probabilities (default), or for two classes the most probable
        labels, as the report did. The outcome of a rule on labels is a label, with probabilities of
        0 and 1.

    Attributes
    ----------
    models_ : list of (str, estimator)
        The fitted models.
    classes_ : ndarray
        The labels, sorted.
    takes_validation : bool
        Whether `fit` takes a validation part: whether one of the models does.

    Notes
    -----
    The rules are those of a report on lymphocytosis [1]_, which applied them to labels: 1 if the
    weighted mean of labels of 0 and 1 is above one half. Of two labels this is the label of the
    model with the larger weight alone, and with equal weights the minimum, so that
    ``labels="hard"`` is only meant to repeat that report. The weights are fixed: to choose them,
    use a `sklearn.model_selection.GridSearchCV`, or stack the models (`PatientStack`).

    References
    ----------
    .. [1] B. Kabongo and J. C. Tonga, "Lymphocytosis classification", project report, ENS
       Paris-Saclay, 2024.

    Examples
    --------
    >>> from hemafeat import datasets, pipelines
    >>> rows = pipelines.bags(datasets.drawn_bags(12, random_state=0), attributes=["sex", "dob"])
    >>> models = [("cells", pipelines.patient_table()), ("other", pipelines.attributes_only())]
    >>> model = pipelines.DecisionRule(models, "max").fit(rows, rows["label"])
    >>> model.predict_proba(rows).shape
    (12, 2)
    """

    labels = "soft"  # files of earlier versions lack this parameter

    def __init__(
        self,
        models: Sequence[tuple[str, Any]],
        rule: str = "weighted",
        weights: Sequence[float] | None = None,
        positive: Any = None,
        *,
        labels: str = "soft",
    ) -> None:
        self.models = models
        self.rule = rule
        self.weights = weights
        self.positive = positive
        self.labels = labels

    @property
    def takes_validation(self) -> bool:
        """Whether one of the models takes a validation part."""
        return any(getattr(model, "takes_validation", False) for _, model in self.models)

    def fit(self, X: Any, y: Any, validation: tuple[Any, Any] | None = None) -> Self:
        """Fit every model.

        Parameters
        ----------
        X : DataFrame
            Rows of `bags`.
        y : (n_patients,) array
            Labels.
        validation : (X, y), optional
            Patients and labels of the validation part, for the models that take it.

        Returns
        -------
        DecisionRule
            The same object.

        Raises
        ------
        ValueError
            If there is no rule of that name, it is for two classes and there are more, or the
            weights do not fit the models.
        """
        if self.rule not in RULES:
            raise ValueError(f"rule={self.rule!r}: choose from {', '.join(RULES)}")
        if self.labels not in LABELS:
            raise ValueError(f"labels={self.labels!r}: choose from {', '.join(LABELS)}")
        weights = np.ones(len(self.models)) if self.weights is None else np.asarray(self.weights)
        if len(weights) != len(self.models) or (weights < 0).any() or weights.sum() <= 0:
            raise ValueError(
                f"weights={self.weights}: expected {len(self.models)} weights, none below 0"
            )
        self.weights_ = weights / weights.sum()
        y = np.asarray(y)
        self.classes_ = np.unique(y)
        if self.rule != "weighted" and len(self.classes_) != 2:
            raise ValueError(f"rule={self.rule!r} is for two classes")
        if self.labels == "hard" and len(self.classes_) != 2:
            raise ValueError("labels='hard' is for two classes")
        positive_place(self.classes_, self.positive)
        self.models_ = []
        for name, model in self.models:
            fitted = clone(model)
            if validation is not None and getattr(model, "takes_validation", False):
                fitted.fit(X, y, validation=validation)
            else:
                fitted = fit_once(fitted, X, y)
            self.models_.append((name, fitted))
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the combined probability of each class for each patient.

        Parameters
        ----------
        X : DataFrame
            Rows of `bags`.

        Returns
        -------
        (n_patients, n_classes) ndarray of float64
        """
        check_is_fitted(self, "models_")
        probabilities = np.array([_proba(model, X, self.classes_) for model in self.estimators_])
        if self.labels == "hard":
            probabilities = np.eye(2)[probabilities.argmax(axis=2)]
        elif self.rule == "weighted":
            return np.tensordot(self.weights_, probabilities, axes=1)
        position = positive_place(self.classes_, self.positive)
        chance = probabilities[:, :, position]
        if self.rule == "weighted":
            # A tie of labels is negative, as in the report; sums of weights are rounded.
            combined = np.asarray(self.weights_ @ chance > 0.5 + 1e-9, dtype=np.float64)
        else:
            combined = (np.min if self.rule == "min" else np.max)(chance, axis=0)
        return two_columns(combined, position)


@public
class PatientStack(_Combination):
    """Combine the log-odds of several models of a patient by a logistic regression.

    The regression is fitted on predictions for patients that the models have not seen: the training
    patients are divided into folds, and each fold is predicted by models fitted on the others. Then
    the models are fitted on all training patients.

    Parameters
    ----------
    models : list of (str, estimator)
        Models with their names, such as one of the cells and one of the attributes. All of them
        take rows of `bags`.
    C : float
        Inverse strength of the penalty of the regression.
    n_splits : int
        Number of folds.
    random_state : int
        Seed of the folds.

    Attributes
    ----------
    out_of_fold_ : (n_patients, n_models * n_odds) ndarray
        Log-odds on which the regression was fitted.
    stack_ : LogisticRegression
        The regression.
    models_ : list of (str, estimator)
        The models, fitted on all training patients.
    classes_ : ndarray
        The labels, sorted.

    Notes
    -----
    `sklearn.ensemble.StackingClassifier` does the same, but its input must be a table of numbers,
    which bags are not.

    Examples
    --------
    >>> from hemafeat import datasets, pipelines
    >>> rows = pipelines.bags(datasets.drawn_bags(12, random_state=0), attributes=["sex", "dob"])
    >>> models = [("cells", pipelines.patient_table()), ("other", pipelines.attributes_only())]
    >>> model = pipelines.PatientStack(models, n_splits=3).fit(rows, rows["label"])
    >>> model.out_of_fold_.shape
    (12, 2)
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

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the models and the regression.

        Parameters
        ----------
        X : DataFrame
            Rows of `bags`.
        y : (n_patients,) array
            Labels.

        Returns
        -------
        PatientStack
            The same object.

        Raises
        ------
        ValueError
            If a class has fewer than two patients.
        """
        y = np.asarray(y)
        self.classes_, counts = np.unique(y, return_counts=True)
        n_splits = min(self.n_splits, int(counts.min()))
        if n_splits < 2:
            raise ValueError("stacking needs at least two patients of every class")
        folds = StratifiedKFold(n_splits, shuffle=True, random_state=self.random_state)
        out = np.empty((len(y), len(self.models), len(self.classes_)))
        for train, test in folds.split(np.zeros(len(y)), y):
            for number, (_, model) in enumerate(self.models):
                fitted = fit_once(clone(model), _select_rows(X, train), y[train])
                out[test, number] = _proba(fitted, _select_rows(X, test), self.classes_)
        self.out_of_fold_ = _log_odds(out)
        self.stack_ = LogisticRegression(C=self.C, class_weight="balanced", max_iter=1000)
        self.stack_.fit(self.out_of_fold_, y)
        self.models_ = [(name, fit_once(clone(model), X, y)) for name, model in self.models]
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class for each patient.

        Parameters
        ----------
        X : DataFrame
            Rows of `bags`.

        Returns
        -------
        (n_patients, n_classes) ndarray of float64
        """
        check_is_fitted(self, "stack_")
        probabilities = [_proba(model, X, self.classes_) for model in self.estimators_]
        return np.asarray(self.stack_.predict_proba(_log_odds(np.stack(probabilities, axis=1))))


def _select_rows(X: Any, rows: np.ndarray) -> Any:
    return X.iloc[rows] if hasattr(X, "iloc") else [X[row] for row in rows]


def _proba(model: Any, X: Any, classes: np.ndarray) -> np.ndarray:
    """Return the probabilities of `classes`, 0 for a class that the model has not seen."""
    probabilities = np.asarray(model.predict_proba(X), dtype=np.float64)
    out = np.zeros((len(probabilities), len(classes)))
    out[:, np.searchsorted(classes, model.classes_)] = probabilities
    return out


def _log_odds(probabilities: np.ndarray) -> np.ndarray:
    """Return the log-odds against the first class: (n, n_models, k) to (n, n_models * (k - 1))."""
    logs = np.log(np.clip(probabilities, 0.01, 0.99))
    return (logs[:, :, 1:] - logs[:, :, :1]).reshape(len(probabilities), -1)
