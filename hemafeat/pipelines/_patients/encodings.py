"""Vocabularies of cells, learned on training patients: prototypes, and a mixture for Fisher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import Pipeline

from hemafeat._public import public
from hemafeat.pipelines._patients.bags import Bag, stacked
from hemafeat.pipelines._steps.missing import FillMissing
from hemafeat.pipelines._steps.scale import ClippedScaler


class _Vocabulary(BaseEstimator):
    """Cells on a few common axes, and so many of each patient that none rules the words."""

    def __init__(
        self, n_words: int, n_components: int = 8, n_each: int = 100, random_state: int = 0
    ) -> None:
        self.n_words = n_words
        self.n_components = n_components
        self.n_each = n_each
        self.random_state = random_state

    def fit(self, found: Sequence[Bag]) -> Self:
        rng = np.random.default_rng(self.random_state)
        parts = []
        for bag in found:
            # By their values: the order of the rows must not decide which cells are drawn.
            keys = np.nan_to_num(bag.features[:, :16]).T
            rows = bag.features[np.lexsort(keys)]
            if len(rows) > self.n_each:
                rows = rows[np.sort(rng.choice(len(rows), self.n_each, replace=False))]
            parts.append(rows)
        cells = np.concatenate(parts)
        if len(cells) < self.n_words:
            raise ValueError(f"{self.n_words} words cannot be learned from {len(cells)} cells")
        steps: list[tuple[str, Any]] = [
            ("fill", FillMissing(flags=False)),
            ("scale", ClippedScaler()),
        ]
        self.axes_ = Pipeline(steps).fit(cells)
        scaled = self.axes_.transform(cells)
        n = min(self.n_components, *scaled.shape)
        pca = PCA(n, svd_solver="full").fit(scaled)
        self.axes_.steps.append(("pca", pca))
        self._learn(pca.transform(scaled))
        return self

    def _learn(self, cells: np.ndarray) -> None:
        raise NotImplementedError

    def _on_axes(self, found: Sequence[Bag]) -> list[np.ndarray]:
        values, member = stacked(found)
        on_axes = self.axes_.transform(values)
        return np.split(on_axes, np.searchsorted(member, np.arange(1, len(found))))


@public
class Prototypes(_Vocabulary):
    """Describe each patient by the share of cells nearest to each centre of a k-means clustering.

    Parameters
    ----------
    n_words : int
        Number of cluster centres.
    n_components : int
        Number of principal axes on which the cells are described.
    n_each : int
        Largest number of cells of one patient used for fitting, so that no patient dominates.
    random_state : int
        Seed for drawing cells and for initialising k-means.
    """

    def _learn(self, cells: np.ndarray) -> None:
        self.kmeans_ = KMeans(self.n_words, n_init=4, random_state=self.random_state).fit(cells)

    def transform(self, found: Sequence[Bag]) -> np.ndarray:
        """(n_patients, n_words); each row sums to 1."""
        out = np.empty((len(found), self.n_words))
        for row, cells in enumerate(self._on_axes(found)):
            nearest = self.kmeans_.predict(np.ascontiguousarray(cells))
            out[row] = np.bincount(nearest, minlength=self.n_words) / len(cells)
        return out

    def names(self) -> list[str]:
        """One per word."""
        return [f"bag__prototype__{k:02d}" for k in range(self.n_words)]


@public
class Fisher(_Vocabulary):
    """Describe each patient by the Fisher vector of the cells under a mixture of Gaussians.

    Parameters
    ----------
    n_words : int
        Number of Gaussians in the mixture.
    n_components : int
        Number of principal axes on which the cells are described.
    n_each : int
        Largest number of cells of one patient used for fitting, so that no patient dominates.
    random_state : int
        Seed for drawing cells and for initialising the mixture.
    """

    def _learn(self, cells: np.ndarray) -> None:
        self.mixture_ = GaussianMixture(
            self.n_words,
            covariance_type="diag",
            reg_covar=1e-3,
            random_state=self.random_state,
        ).fit(cells)

    def transform(self, found: Sequence[Bag]) -> np.ndarray:
        """(n_patients, n_words (1 + 2 n_axes)): weights, means, deviations; each of length 1."""
        return np.vstack([improved(fisher(cells, self.mixture_)) for cells in self._on_axes(found)])

    def names(self) -> list[str]:
        """One per part of the gradient, word and axis."""
        n = self.mixture_.means_.shape[1]
        out = [f"bag__fisher__weight__{k:02d}" for k in range(self.n_words)]
        for part in ("mean", "sd"):
            out += [
                f"bag__fisher__{part}__{k:02d}__{j:02d}"
                for k in range(self.n_words)
                for j in range(n)
            ]
        return out


def fisher(cells: np.ndarray, mixture: GaussianMixture) -> np.ndarray:
    """Gradient of the mean log-likelihood, whitened by the Fisher information.

    Parameters
    ----------
    cells : (n_cells, n_axes) ndarray of float64
    mixture : GaussianMixture
        Fitted, with diagonal covariances.

    Returns
    -------
    (n_words * (1 + 2 * n_axes),) ndarray of float64
        With respect to weights, means and standard deviations.

    References
    ----------
    .. [1] J. Sanchez et al., "Image Classification with the Fisher Vector: Theory and Practice",
       International Journal of Computer Vision 105, 2013.
    """
    from skimage.feature import fisher_vector

    out = np.array(fisher_vector(np.ascontiguousarray(cells), mixture), dtype=np.float64)
    # scikit-image gives the negative of the part of the deviations.
    n_words, n_axes = mixture.means_.shape
    out[n_words * (1 + n_axes) :] *= -1.0
    return out


def improved(vector: np.ndarray) -> np.ndarray:
    """Signed square root, then length 1 (a vector of zeros stays)."""
    rooted = np.sign(vector) * np.sqrt(np.abs(vector))
    length = np.linalg.norm(rooted)
    return rooted / length if length > 0 else rooted
