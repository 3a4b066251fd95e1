"""Standardisation of columns with clipped outliers."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from hemafeat._fits import shared
from hemafeat._public import public
from hemafeat.pipelines._steps.columns import column_slices


@public
class ClippedScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Subtract the mean, divide by the standard deviation, and clip.

    Areas, moments and energies have long tails: without clipping, a single cell could lie hundreds
    of standard deviations from all others and dominate every distance and every linear score.

    Parameters
    ----------
    limit : float
        Largest absolute value, in standard deviations. Larger ones are clipped.

    Attributes
    ----------
    mean_ : ndarray of float
        Training mean of each column.
    scale_ : ndarray of float
        Population standard deviation of each column in the training rows, 1 instead of 0.

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> pipelines.ClippedScaler(limit=1.0).fit_transform([[0.0], [2.0], [10.0]]).round(2).tolist()
    [[-0.93], [-0.46], [1.0]]
    """

    def __init__(self, limit: float = 3.0) -> None:
        self.limit = limit

    @shared
    def fit(self, X: Any, y: Any = None) -> Self:
        """Compute the mean and the standard deviation of each column.

        Parameters
        ----------
        X : (n_cells, n_features) array
            Values without NaN.
        y : object
            Not used.

        Returns
        -------
        ClippedScaler
            The same object.
        """
        X = validate_data(self, X, dtype=np.float64)
        self.mean_ = np.empty(X.shape[1])
        deviation = np.empty(X.shape[1])
        for part in column_slices(X.shape[1]):
            # Sums of contiguous columns are those of pairs of sums, with the least rounding.
            values = np.asfortranarray(X[:, part])
            self.mean_[part], deviation[part] = values.mean(axis=0), values.std(axis=0)
        # Rounding can leave a constant column a deviation of a few ulp instead of 0.
        flat = deviation <= 10 * np.finfo(np.float64).eps * np.abs(self.mean_)
        self.scale_ = np.where(flat, 1.0, deviation)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Standardise and clip each column.

        Parameters
        ----------
        X : (n_cells, n_features) array
            Values without NaN.

        Returns
        -------
        (n_cells, n_features) ndarray of float64
            Values within ``[-limit, limit]``.
        """
        check_is_fitted(self, "scale_")
        X = validate_data(self, X, dtype=np.float64, reset=False, copy=True)
        return self.overwrite(X)

    def overwrite(self, X: np.ndarray) -> np.ndarray:
        """Standardise and clip each column in place, where the values given are not needed.

        Parameters
        ----------
        X : (n_cells, n_features) ndarray of float64
            Values without NaN.

        Returns
        -------
        (n_cells, n_features) ndarray of float64
            `X`.
        """
        X -= self.mean_
        X /= self.scale_
        return np.clip(X, -self.limit, self.limit, out=X)
