"""Gradient-boosted trees of XGBoost that take labels of any kind and need no pickle."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from hemafeat._fits import shared
from hemafeat._public import public
from hemafeat.pipelines._booster_file import check_booster
from hemafeat.pipelines._steps.support_vectors import checked_weights


@public
class BoostedTrees(ClassifierMixin, BaseEstimator):
    """Gradient-boosted trees of XGBoost for labels of any kind.

    `xgboost.XGBClassifier` needs labels 0..k-1 and weights of rows, not of classes. Both are
    computed here inside `fit`, from the training rows only. Missing values are left to the trees.

    Parameters
    ----------
    n_estimators : int
        Number of rounds of boosting.
    max_depth : int
        Depth of the trees.
    learning_rate : float
        Shrinkage of each tree (eta).
    min_child_weight : float
        Smallest sum of weights in a leaf.
    subsample : float
        Share of the rows that each tree sees.
    colsample_bytree : float
        Share of the columns that each tree sees.
    colsample_bynode : float
        Share of these columns that each split sees.
    reg_lambda : float
        Strength of the L2 penalty on the values of the leaves.
    max_bin : int
        Number of bins of the histogram method.
    class_weight : "balanced", dict or None
        Weights of the classes, as in scikit-learn.
    n_jobs : int
        Number of threads.
    random_state : int
        Seed of the samples of rows and columns.

    Attributes
    ----------
    classes_ : ndarray
        The labels, sorted.
    booster_ : xgboost.Booster
        The fitted trees.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import pipelines
    >>> X = np.arange(20.0).reshape(-1, 1)
    >>> model = pipelines.BoostedTrees(n_estimators=10).fit(X, np.repeat(["a", "b"], 10))
    >>> model.predict([[2.0], [17.0]]).tolist()
    ['a', 'b']
    """

    def __init__(
        self,
        n_estimators: int = 300,
        max_depth: int = 3,
        learning_rate: float = 0.1,
        min_child_weight: float = 1.0,
        subsample: float = 0.8,
        colsample_bytree: float = 0.2,
        colsample_bynode: float = 1.0,
        reg_lambda: float = 1.0,
        max_bin: int = 64,
        class_weight: Any = "balanced",
        n_jobs: int = 1,
        random_state: int = 0,
    ) -> None:
        self.n_estimators = n_estimators
        self.max_depth = max_depth
        self.learning_rate = learning_rate
        self.min_child_weight = min_child_weight
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.colsample_bynode = colsample_bynode
        self.reg_lambda = reg_lambda
        self.max_bin = max_bin
        self.class_weight = class_weight
        self.n_jobs = n_jobs
        self.random_state = random_state

    @shared
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the trees.

        Parameters
        ----------
        X : (n_cells, n_features) array
            Values, NaN where missing.
        y : (n_cells,) array
            Labels.
        sample_weight : (n_cells,) array, optional
            Weights of the rows, which are multiplied by those of the classes.

        Returns
        -------
        BoostedTrees
            The same object.

        Raises
        ------
        ValueError
            If there is only one class, all weights are zero, or one is negative or missing.
        """
        from xgboost import XGBClassifier

        X, y = validate_data(self, X, y, dtype=np.float32, ensure_all_finite="allow-nan")
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"there is only one class in the training rows: {self.classes_[0]}")
        weight = None
        if self.class_weight is not None:
            weight = compute_sample_weight(self.class_weight, y)
        if sample_weight is not None:
            sample_weight = checked_weights(sample_weight, len(y))
            if not np.any(sample_weight):
                raise ValueError("every row has sample weight zero")
            weight = sample_weight * (1.0 if weight is None else weight)
        trees = XGBClassifier(
            **{k: v for k, v in self.get_params().items() if k != "class_weight"},
            tree_method="hist",
            verbosity=0,
        )
        trees.fit(X, codes, sample_weight=weight)
        self.booster_ = trees.get_booster()
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : (n_cells, n_features) array
            Values, NaN where missing.

        Returns
        -------
        (n_cells, n_classes) ndarray of float64
            In the order of `classes_`; each row sums to 1.
        """
        check_is_fitted(self, "booster_")
        X = validate_data(self, X, dtype=np.float32, ensure_all_finite="allow-nan", reset=False)
        self.booster_.set_param({"nthread": self.n_jobs})
        raw = self.booster_.inplace_predict(X).astype(np.float64)
        if raw.ndim == 1:
            raw = np.column_stack([1.0 - raw, raw])
        return raw / raw.sum(axis=1, keepdims=True)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the log-odds of the second of two classes, or the score of each class.

        Unlike probabilities, they are not limited by rounding.

        Parameters
        ----------
        X : (n_cells, n_features) array
            Values, NaN where missing.

        Returns
        -------
        (n_cells,) or (n_cells, n_classes) ndarray of float64
        """
        check_is_fitted(self, "booster_")
        X = validate_data(self, X, dtype=np.float32, ensure_all_finite="allow-nan", reset=False)
        self.booster_.set_param({"nthread": self.n_jobs})
        margin = self.booster_.inplace_predict(X, predict_type="margin")
        return np.asarray(margin, dtype=np.float64)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable label of each row.

        Parameters
        ----------
        X : (n_cells, n_features) array
            Values, NaN where missing.

        Returns
        -------
        (n_cells,) ndarray
        """
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]

    @property
    def feature_importances_(self) -> np.ndarray:
        """Share of each column in the total gain. They sum to 1, or to 0 without any split."""
        check_is_fitted(self, "booster_")
        gain = np.zeros(self.n_features_in_)
        for name, value in self.booster_.get_score(importance_type="total_gain").items():
            gain[int(name[1:])] = value
        return gain / (gain.sum() or 1.0)

    def __getstate__(self) -> dict[str, Any]:
        # Later versions of XGBoost can read this format, but not the pickled state of a Booster.
        state = super().__getstate__()
        if "booster_" in state:
            state = {**state, "booster_": bytes(state["booster_"].save_raw(raw_format="ubj"))}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "booster_" in state:
            from xgboost import Booster

            check_booster(
                bytes(state["booster_"]), int(state["n_features_in_"]), len(state["classes_"])
            )
            booster = Booster()
            booster.load_model(bytearray(state["booster_"]))
            state = {**state, "booster_": booster}
        super().__setstate__(state)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
