"""Columns that say the same thing, counted less often."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.utils.validation import check_is_fitted, validate_data

from hemafeat._public import public


@public
class PartialWhitening(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Turn to the principal axes and divide each by a power of its variance.

    A table of features says some things many times over: the size of the nucleus stands in dozens
    of columns, the number of its lobes in a few. A distance between cells adds all columns up, so
    that it is ruled by what is said most often. Whitening makes all axes count alike, the last
    ones, which are noise, too; a small power of it takes weight from the first axes only.

    Parameters
    ----------
    power : float
        0 leaves the axes as they are, 1 whitens them: an axis of variance v is divided by
        ``v ** (power / 2)``.
    n_components : int
        Most axes that are kept, those of largest variance.

    Attributes
    ----------
    pca_ : sklearn.decomposition.PCA
        The axes.
    factor_ : (n_axes,) ndarray of float64
        What each axis is multiplied by; axes without variance are left out.
    """

    def __init__(self, power: float = 0.25, n_components: int = 300) -> None:
        self.power = power
        self.n_components = n_components

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the axes.

        Parameters
        ----------
        X : (n_cells, n_features) array
            Without NaN, on one scale.
        y : object
            Not used.
        """
        X = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        with np.errstate(invalid="ignore"):
            # Shares of a variance of 0, of rows that are all alike, are of no use here.
            self.pca_ = PCA(min(self.n_components, *X.shape), svd_solver="full").fit(X)
        variance = self.pca_.explained_variance_
        # At least one axis stays, also of a table whose rows are all alike.
        kept = max(1, int(np.sum(variance > 1e-10 * max(variance[0], 1e-300))))
        floor = max(float(variance[0]) * 1e-10, 1e-300)
        self.factor_ = np.maximum(variance[:kept], floor) ** (-self.power / 2)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Coordinates on the axes.

        Returns
        -------
        (n_cells, n_axes) ndarray of float64
            Uncorrelated on the cells the axes were found on.
        """
        check_is_fitted(self, "factor_")
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return self.pca_.transform(X)[:, : self.factor_.size] * self.factor_

    @property
    def _n_features_out(self) -> int:
        return int(self.factor_.size)
