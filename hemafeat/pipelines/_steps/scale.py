"""One scale for all columns, without far outliers."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from hemafeat._public import public


@public
class ClippedScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Subtract the mean, divide by the standard deviation, and clip.

    Areas, moments and energies have long tails: one odd cell would otherwise lie hundreds of
    deviations from all others and rule every distance and every linear score.

    Parameters
    ----------
    limit : float
        Largest deviation let through, in standard deviations.

    Attributes
    ----------
    mean_, scale_ : ndarray of float
        Training mean and population standard deviation of each column (1 where it is 0).
    """

    def __init__(self, limit: float = 3.0) -> None:
        self.limit = limit

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn mean and deviation.

        Parameters
        ----------
        X : (n_cells, n_features) array
            Without NaN.
        y : object
            Not used.
        """
        X = validate_data(self, X, dtype=np.float64)
        self.mean_ = X.mean(axis=0)
        deviation = X.std(axis=0)
        # Rounding leaves a constant column a deviation of a few ulp, which must not be divided by.
        flat = deviation <= 10 * np.finfo(np.float64).eps * np.abs(self.mean_)
        self.scale_ = np.where(flat, 1.0, deviation)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Scale and clip.

        Returns
        -------
        (n_cells, n_features) ndarray of float64
            Within ``[-limit, limit]``.
        """
        check_is_fitted(self, "scale_")
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return np.clip((X - self.mean_) / self.scale_, -self.limit, self.limit)
