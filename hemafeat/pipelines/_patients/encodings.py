"""Encodings of bags of cells by a vocabulary that is learnt on the training patients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import Pipeline

from hemafeat._public import public
from hemafeat.pipelines._patients.bags import Bag, split_bags, stack_bags
from hemafeat.pipelines._steps.missing import FillMissing
from hemafeat.pipelines._steps.scale import ClippedScaler

_AT_ONCE = 4000  # cells whose coordinates are computed at a time


class _Vocabulary(BaseEstimator):
    """Principal axes of the training cells, and a vocabulary on these axes."""

    def __init__(
        self, n_words: int, n_components: int = 8, n_each: int = 100, random_state: int = 0
    ) -> None:
        self.n_words = n_words
        self.n_components = n_components
        self.n_each = n_each
        self.random_state = random_state

    def fit(self, bags: Sequence[Bag]) -> Self:
        """Fit axes and vocabulary on a sample of the cells.

        Parameters
        ----------
        bags : sequence of Bag
            Cells of the training patients.

        Returns
        -------
        Prototypes or Fisher
            The same object.

        Raises
        ------
        ValueError
            If there are fewer cells than words.
        """
        rng = np.random.default_rng(self.random_state)
        parts = []
        for bag in bags:
            # Sorted by value, so that the order of the cells does not affect the draw.
            rows = np.lexsort(np.nan_to_num(bag.features[:, :16]).T)
            if len(rows) > self.n_each:
                rows = rows[np.sort(rng.choice(len(rows), self.n_each, replace=False))]
            parts.append(bag.features[rows])
        cells = np.concatenate(parts)
        del parts
        if len(cells) < self.n_words:
            raise ValueError(f"{self.n_words} words cannot be learnt from {len(cells)} cells")
        fill, scale = FillMissing(flags=False), ClippedScaler()
        cells = fill.fit_transform(cells)
        cells = scale.fit(cells).overwrite(cells)
        # The first few axes are as precise from the covariances, which take no copies of the cells.
        solver = "covariance_eigh" if len(cells) > cells.shape[1] else "full"
        pca = PCA(min(self.n_components, *cells.shape), svd_solver=solver).fit(cells)
        self.axes_ = Pipeline([("fill", fill), ("scale", scale), ("pca", pca)])
        self._fit_words(pca.transform(cells))
        return self

    def _fit_words(self, cells: np.ndarray) -> None:
        raise NotImplementedError

    def _on_axes(self, bags: Sequence[Bag]) -> list[np.ndarray]:
        """Return the coordinates of the cells of each bag."""
        ends = np.cumsum([len(bag) for bag in bags])
        parts = []
        for group in np.split(np.arange(len(bags)), np.flatnonzero(np.diff(ends // _AT_ONCE)) + 1):
            values, bag_numbers = stack_bags([bags[number] for number in group])
            parts += split_bags(self.axes_.transform(values), bag_numbers, len(group))
        return parts


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

    Examples
    --------
    >>> from hemafeat import datasets, pipelines
    >>> bags = pipelines.bags(datasets.drawn_bags(4, random_state=0))["cells"].tolist()
    >>> shares = pipelines.Prototypes(5).fit(bags).transform(bags)
    >>> shares.shape, shares.sum(axis=1).round(6).tolist()
    ((4, 5), [1.0, 1.0, 1.0, 1.0])
    """

    def _fit_words(self, cells: np.ndarray) -> None:
        self.kmeans_ = KMeans(self.n_words, n_init=4, random_state=self.random_state).fit(cells)

    def transform(self, bags: Sequence[Bag]) -> np.ndarray:
        """Return the share of the cells of each patient that is nearest to each centre.

        Parameters
        ----------
        bags : sequence of Bag
            Cells of the patients.

        Returns
        -------
        (n_patients, n_words) ndarray of float64
            Each row sums to 1.
        """
        out = np.empty((len(bags), self.n_words))
        for row, cells in enumerate(self._on_axes(bags)):
            nearest = self.kmeans_.predict(np.ascontiguousarray(cells))
            out[row] = np.bincount(nearest, minlength=self.n_words) / len(cells)
        return out

    def names(self) -> list[str]:
        """Return the name of each column.

        Returns
        -------
        list of str
            ``bag__prototype__00`` and so on.
        """
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

    Examples
    --------
    >>> from hemafeat import datasets, pipelines
    >>> bags = pipelines.bags(datasets.drawn_bags(4, random_state=0))["cells"].tolist()
    >>> vectors = pipelines.Fisher(2, n_components=3).fit(bags).transform(bags)
    >>> vectors.shape
    (4, 14)
    """

    def _fit_words(self, cells: np.ndarray) -> None:
        self.mixture_ = GaussianMixture(
            self.n_words,
            covariance_type="diag",
            reg_covar=1e-3,
            random_state=self.random_state,
        ).fit(cells)

    def transform(self, bags: Sequence[Bag]) -> np.ndarray:
        """Return the improved Fisher vector of the cells of each patient.

        Parameters
        ----------
        bags : sequence of Bag
            Cells of the patients.

        Returns
        -------
        (n_patients, n_words * (1 + 2 * n_axes)) ndarray of float64
            Gradients with respect to weights, means and standard deviations. Each row has length 1.
        """
        return np.vstack(
            [improve(fisher_gradient(cells, self.mixture_)) for cells in self._on_axes(bags)]
        )

    def names(self) -> list[str]:
        """Return the name of each column.

        Returns
        -------
        list of str
            ``bag__fisher__weight__00``, ``bag__fisher__mean__00__00`` and so on.
        """
        n = self.mixture_.means_.shape[1]
        out = [f"bag__fisher__weight__{k:02d}" for k in range(self.n_words)]
        for part in ("mean", "sd"):
            out += [
                f"bag__fisher__{part}__{k:02d}__{j:02d}"
                for k in range(self.n_words)
                for j in range(n)
            ]
        return out


def fisher_gradient(cells: np.ndarray, mixture: GaussianMixture) -> np.ndarray:
    """Return the gradient of the mean log-likelihood, whitened by the Fisher information.

    Parameters
    ----------
    cells : (n_cells, n_axes) ndarray of float64
        Coordinates of the cells.
    mixture : GaussianMixture
        Fitted mixture with diagonal covariances.

    Returns
    -------
    (n_words * (1 + 2 * n_axes),) ndarray of float64
        Gradient with respect to weights, means and standard deviations.

    References
    ----------
    .. [1] J. Sanchez et al., "Image Classification with the Fisher Vector: Theory and Practice",
       International Journal of Computer Vision 105, 2013.
    """
    from skimage.feature import fisher_vector

    out = np.array(fisher_vector(np.ascontiguousarray(cells), mixture), dtype=np.float64)
    # scikit-image inverts the sign of the part of the standard deviations.
    n_words, n_axes = mixture.means_.shape
    out[n_words * (1 + n_axes) :] *= -1.0
    return out


def improve(vector: np.ndarray) -> np.ndarray:
    """Take signed square roots and scale to length 1; a vector of zeros is unchanged."""
    roots = np.sign(vector) * np.sqrt(np.abs(vector))
    length = np.linalg.norm(roots)
    return roots / length if length > 0 else roots
