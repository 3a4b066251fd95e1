"""Partial whitening, which reduces the weight of correlated columns."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.utils.validation import check_is_fitted, validate_data

from hemafeat._fits import shared
from hemafeat._public import public


@public
class PartialWhitening(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Rotate to the principal axes and divide each by a power of its variance.

    In a table of features, the size of the nucleus determines dozens of columns, the number of its
    lobes only a few. A distance between cells sums over all columns, so that correlated columns
    dominate it. Whitening gives all axes the same weight, including the last ones, which are noise.
    A small power of it reduces the weight of the first axes only.

    Parameters
    ----------
    power : float
        Strength of the whitening: an axis of variance v is divided by ``v ** (power / 2)``, so that
        0 leaves the axes unchanged and 1 whitens them.
    n_components : int
        Largest number of axes, in order of decreasing variance.

    Attributes
    ----------
    pca_ : sklearn.decomposition.PCA
        The axes.
    factor_ : (n_axes,) ndarray of float64
        Factor of each axis. Axes without variance are dropped.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import pipelines
    >>> X = np.array([[0.0, 0.0], [4.0, 1.0], [8.0, 0.0], [4.0, -1.0]])
    >>> Z = pipelines.PartialWhitening(power=1.0).fit_transform(X)
    >>> np.cov(Z.T).round(6).tolist() == np.eye(2).tolist()
    True
    """

    def __init__(self, power: float = 0.25, n_components: int = 300) -> None:
        self.power = power
        self.n_components = n_components

    @shared
    def fit(self, X: Any, y: Any = None) -> Self:
        """Compute the axes.

        Parameters
        ----------
        X : (n_cells, n_features) array
            Values without NaN, on one scale.
        y : object
            Not used.

        Returns
        -------
        PartialWhitening
            The same object.
        """
        X = validate_data(self, X, dtype=np.float64, ensure_min_samples=2, order="F", copy=True)
        with np.errstate(invalid="ignore"):
            # If all rows are alike, the shares of the variance are undefined and not needed.
            pca = PCA(min(self.n_components, *X.shape), svd_solver="full", copy=False)
            self.pca_ = pca.fit(X).set_params(copy=True)
        variance = self.pca_.explained_variance_
        # At least one axis is kept, even if all rows are alike.
        kept = max(1, int(np.sum(variance > 1e-10 * max(variance[0], 1e-300))))
        floor = max(float(variance[0]) * 1e-10, 1e-300)
        self.factor_ = np.maximum(variance[:kept], floor) ** (-self.power / 2)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the scaled coordinates on the axes.

        Parameters
        ----------
        X : (n_cells, n_features) array
            Values without NaN, on one scale.

        Returns
        -------
        (n_cells, n_axes) ndarray of float64
            Coordinates, which are uncorrelated over the training cells.
        """
        check_is_fitted(self, "factor_")
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return self.pca_.transform(X)[:, : self.factor_.size] * self.factor_

    @property
    def _n_features_out(self) -> int:
        return int(self.factor_.size)
