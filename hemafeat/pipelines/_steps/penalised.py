"""Logistic regression whose penalty has one name in all versions of scikit-learn."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_is_fitted

from hemafeat._public import public


@public
class PenalisedLogistic(ClassifierMixin, BaseEstimator):
    """Logistic regression whose penalty has one name in all versions of scikit-learn.

    Parameters
    ----------
    penalised : {"l2", "l1", "elastic", "none"}
        Penalty that is added to the loss.
    C : float
        Inverse strength of the penalty.
    share : float
        Share of the L1 norm in the penalty ``"elastic"``.
    solver : str
        Solver of `sklearn.linear_model.LogisticRegression`.
    class_weight : "balanced", dict or None
        Weights of the classes, as in scikit-learn.
    random_state : int
        Seed of the solvers that are stochastic.

    Attributes
    ----------
    model_ : sklearn.linear_model.LogisticRegression
        The fitted regression.
    classes_ : ndarray
        The labels, sorted.

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> model = pipelines.PenalisedLogistic("l2", C=10.0)
    >>> model.fit([[0.0], [1.0], [8.0], [9.0]], ["a", "a", "b", "b"]).predict([[2.0]]).tolist()
    ['a']
    """

    def __init__(
        self,
        penalised: str = "l2",
        C: float = 1.0,
        share: float = 0.5,
        solver: str = "lbfgs",
        class_weight: Any = "balanced",
        random_state: int = 0,
    ) -> None:
        self.penalised = penalised
        self.C = C
        self.share = share
        self.solver = solver
        self.class_weight = class_weight
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the regression.

        Parameters
        ----------
        X : (n_samples, n_features) array
            Values without NaN.
        y : (n_samples,) array
            Labels.

        Returns
        -------
        PenalisedLogistic
            The same object.

        Raises
        ------
        ValueError
            If there is no penalty of that name.
        """
        l1_ratios = {"none": 0.0, "l2": 0.0, "l1": 1.0, "elastic": self.share}
        if self.penalised not in l1_ratios:
            raise ValueError(f"penalised={self.penalised!r}: choose from {', '.join(l1_ratios)}")
        if LogisticRegression().penalty == "deprecated":
            C = np.inf if self.penalised == "none" else self.C
            kwargs: dict[str, Any] = {"C": C, "l1_ratio": l1_ratios[self.penalised]}
        else:
            penalties = {"none": None, "l2": "l2", "l1": "l1", "elastic": "elasticnet"}
            kwargs = {"C": self.C, "penalty": penalties[self.penalised]}
            if self.penalised == "elastic":
                kwargs["l1_ratio"] = self.share
        self.model_ = LogisticRegression(
            solver=self.solver,
            class_weight=self.class_weight,
            max_iter=5000,
            random_state=self.random_state,
            **kwargs,
        ).fit(X, y)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : (n_samples, n_features) array
            Values without NaN.

        Returns
        -------
        (n_samples, n_classes) ndarray of float64
            Columns in the order of `classes_`.
        """
        check_is_fitted(self, "model_")
        return np.asarray(self.model_.predict_proba(X))

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the log-odds of the second of two classes, or the score of each class.

        Unlike probabilities, they are not limited by rounding.

        Parameters
        ----------
        X : (n_samples, n_features) array
            Values without NaN.

        Returns
        -------
        (n_samples,) or (n_samples, n_classes) ndarray of float64
        """
        check_is_fitted(self, "model_")
        return np.asarray(self.model_.decision_function(X))

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable label of each row.

        Parameters
        ----------
        X : (n_samples, n_features) array
            Values without NaN.

        Returns
        -------
        (n_samples,) ndarray
        """
        check_is_fitted(self, "model_")
        return np.asarray(self.model_.predict(X))
