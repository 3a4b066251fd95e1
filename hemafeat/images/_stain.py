"""Normalise the stain of images before their cells are measured.

A normaliser takes and returns an (H, W, 3) uint8 RGB image. Its only state is the target, which is
fixed or fitted to images, so that it can be recorded (``repr``) and sent to another process.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import cv2
import numpy as np

from hemafeat._public import public
from hemafeat.images._read import read

Triple = tuple[float, float, float]

SAMPLE_SIZE = 1 << 15
"""Number of pixels from which the colours of an image are estimated."""

MIN_STAINED = 100
"""Smallest number of stained pixels from which stains are estimated."""


@public
@dataclass(frozen=True)
class GreyWorld:
    """Scale each channel so that the image is grey on average.

    The method is that of [1]_.

    Each image is its own reference; nothing is fitted.

    References
    ----------
    .. [1] G. Buchsbaum, "A spatial processor model for object colour perception", Journal of the
       Franklin Institute 310(1), 1980.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import images
    >>> image = np.full((4, 4, 3), (100, 150, 200), np.uint8)
    >>> images.GreyWorld()(image)[0, 0]
    array([150, 150, 150], dtype=uint8)
    """

    name: ClassVar[str] = "grey-world"

    def fit(self, images: Iterable[Any]) -> GreyWorld:
        """Return the normaliser itself: there is no target to fit.

        Parameters
        ----------
        images : iterable
            Not used.

        Returns
        -------
        GreyWorld
            The same normaliser.
        """
        return self

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Normalise the colours of an (H, W, 3) uint8 RGB image.

        Raises
        ------
        ValueError
            Raised if a channel is 0 everywhere.
        """
        means = _sample(image).mean(axis=0)
        if not means.min() > 0:
            raise ValueError("a channel is 0 everywhere: it cannot be scaled to grey")
        table = np.arange(256)[:, None] * (means.mean() / means)[None, :]
        # A lookup table is exact, since there are only 256 levels.
        return cv2.LUT(image, _levels(table)[None])


@public
@dataclass(frozen=True)
class Reinhard:
    """Match mean and standard deviation of each CIELAB channel to those of a target.

    The method is that of [1]_.

    Parameters
    ----------
    mean, spread : (L*, a*, b*)
        Mean and standard deviation of the channels of the target. The default is the median of 400
        cells of the PBC data set (Acevedo et al.).

    Notes
    -----
    As is common, channels are those of CIELAB (sRGB, D65); the paper uses the logarithmic opponent
    space of Ruderman. Moments are computed over the whole image and hence depend on its share of
    background. Pixels of exactly 0 (a cell on a black background) are ignored and not changed.

    References
    ----------
    .. [1] E. Reinhard et al., "Color transfer between images", IEEE Computer Graphics and
       Applications 21(5), 2001.

    Examples
    --------
    >>> from hemafeat import datasets, images
    >>> cell = datasets.draw_cell("monocyte", random_state=0).image
    >>> images.Reinhard()(cell).shape == cell.shape
    True
    """

    mean: Triple = (79.8839, 10.658, 7.9847)
    spread: Triple = (15.7864, 9.2507, 14.3012)
    name: ClassVar[str] = "reinhard"

    def fit(self, images: Iterable[Any]) -> Reinhard:
        """Fit the target to images.

        Parameters
        ----------
        images : iterable of paths or (H, W, 3) arrays
            Training images only, so that the target contains no information about the test set. The
            target is the median of their moments.

        Returns
        -------
        Reinhard
            A new normaliser with this target.

        Raises
        ------
        ValueError
            Raised if there are no images.
        """
        moments = [_lab_moments(read(image)) for image in images]
        if not moments:
            raise ValueError("expected at least one image to fit the target to")
        mean, spread = np.median(np.array(moments), axis=0)
        return replace(self, mean=_triple(mean), spread=_triple(spread))

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Normalise the colours of an (H, W, 3) uint8 RGB image.

        Raises
        ------
        ValueError
            Raised if the image is black.
        """
        mean, spread = _lab_moments(image)
        scale = np.divide(self.spread, spread, out=np.ones(3), where=spread > 1e-6)
        shift = np.asarray(self.mean) - scale * mean
        lab = cv2.cvtColor(image.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2Lab)
        normalised = lab * scale.astype(np.float32) + shift.astype(np.float32)
        return _keep_black(image, _levels(255 * cv2.cvtColor(normalised, cv2.COLOR_Lab2RGB)))


@public
@dataclass(frozen=True)
class Macenko:
    """Replace the stain vectors and concentrations of each image by those of a target.

    The method is that of [1]_.

    Parameters
    ----------
    vectors : pair of (R, G, B)
        Unit optical density vectors of the stains of the target, the stain that absorbs more red
        first (azure, then eosin). The default is the median of 400 cells of PBC (Acevedo et al.).
    strength : pair of float
        99th percentile of the concentration of each stain in the target.
    white : (R, G, B)
        Grey levels of the background of the target.
    threshold : float
        Norm of the natural optical density (R, G, B) below which a pixel counts as background.
    percentile : float
        Percentile of the angles, from either end of their distribution, at which the stain vectors
        lie.

    Notes
    -----
    Optical density is ``-ln((I + 1) / (I0 + 1))``, where the white level I0 of an image is the 99th
    percentile of each channel, or 255 if more than a tenth of the image is black. The paper omits
    a pixel if any channel is below a threshold of 0.15; azure hardly absorbs blue, so the norm of
    the three channels is used here. The method assumes two stains: any other absorber (haemoglobin)
    is represented as a mixture of them, and the component outside their plane is lost. Pixels of
    exactly 0 are ignored and not changed.

    References
    ----------
    .. [1] M. Macenko et al., "A method for normalizing histology slides for quantitative analysis",
       IEEE International Symposium on Biomedical Imaging, 2009.

    Examples
    --------
    >>> from hemafeat import datasets, images
    >>> cell = datasets.draw_cell("monocyte", random_state=0).image
    >>> vectors, strength, white = images.Macenko().stains(cell)
    >>> vectors.shape
    (2, 3)
    >>> images.Macenko()(cell).shape == cell.shape
    True
    """

    vectors: tuple[Triple, Triple] = ((0.7039, 0.6639, 0.2525), (0.4368, 0.8943, 0.0969))
    strength: tuple[float, float] = (0.9122, 2.1125)
    white: Triple = (255.0, 232.0, 205.0)
    threshold: float = 0.3
    percentile: float = 1.0
    name: ClassVar[str] = "macenko"

    def stains(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Estimate the stain vectors and concentrations of an image.

        Parameters
        ----------
        image : (H, W, 3) ndarray of uint8
            RGB image.

        Returns
        -------
        vectors : (2, 3) ndarray of float64
            Unit optical density (R, G, B) of each stain.
        strength : (2,) ndarray of float64
            99th percentile of the concentration of each stain.
        white : (3,) ndarray of float64
            Grey levels of the background.

        Raises
        ------
        ValueError
            Raised if fewer than 100 of the sampled pixels are stained.
        """
        pixels, white = _sample(image), _white(image)
        density = np.log((white + 1.0) / (pixels + 1.0))
        stained = density[np.linalg.norm(density, axis=1) > self.threshold]
        if len(stained) < MIN_STAINED:
            raise ValueError(f"only {len(stained)} stained pixels: too few to estimate the stains")
        _, axes = np.linalg.eigh(np.cov(stained.T))
        plane = axes[:, [2, 1]]
        # Densities are positive; the sign of an axis is arbitrary.
        plane *= np.where(plane.sum(axis=0) < 0, -1.0, 1.0)
        angle = np.arctan2(*(stained @ plane).T[::-1])
        ends = np.percentile(angle, [self.percentile, 100 - self.percentile])
        vectors = np.array([plane @ (np.cos(end), np.sin(end)) for end in ends])
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = vectors[np.argsort(-vectors[:, 0], kind="stable")]
        concentrations = density @ np.linalg.pinv(vectors)
        return vectors, np.percentile(concentrations, 99, axis=0), white

    def fit(self, images: Iterable[Any]) -> Macenko:
        """Fit the target to images.

        Parameters
        ----------
        images : iterable of paths or (H, W, 3) arrays
            Training images only, so that the target contains no information about the test set. The
            target is the median of their stains; images without enough stained pixels are skipped.

        Returns
        -------
        Macenko
            A new normaliser with this target.

        Raises
        ------
        ValueError
            Raised if no image has enough stained pixels.
        """
        estimates = []
        for image in images:
            try:
                estimates.append(self.stains(read(image)))
            except ValueError as error:
                if "stained pixels" not in str(error):
                    raise
        if not estimates:
            raise ValueError("expected at least one stained image to fit the target to")
        vectors, strength, white = (
            np.median(np.array(part), axis=0) for part in zip(*estimates, strict=True)
        )
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return replace(
            self,
            vectors=(_triple(vectors[0]), _triple(vectors[1])),
            strength=(round(float(strength[0]), 4), round(float(strength[1]), 4)),
            white=_triple(white),
        )

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Normalise the stain of an (H, W, 3) uint8 RGB image.

        Raises
        ------
        ValueError
            Raised if too few pixels are stained.
        """
        vectors, strength, white = self.stains(image)
        ratio = np.divide(self.strength, strength, out=np.ones(2), where=strength > 1e-6)
        # Unmixing, scaling of concentrations and mixing for the target combine to one matrix.
        matrix = (np.linalg.pinv(vectors) * ratio) @ np.asarray(self.vectors)
        level = np.arange(256)[:, None]
        density = cv2.LUT(image, np.log((white + 1.0) / (level + 1.0)).astype(np.float32)[None])
        normalised = cv2.transform(density, matrix.T)
        light = (np.asarray(self.white) + 1.0) * np.exp(-normalised) - 1.0
        return _keep_black(image, _levels(light))


def _grid(image: np.ndarray) -> np.ndarray:
    step = max(1, int(np.sqrt(image.shape[0] * image.shape[1] / SAMPLE_SIZE)))
    return image[::step, ::step].reshape(-1, 3)


def _sample(image: np.ndarray) -> np.ndarray:
    """Return (n, 3) float64 pixels on a regular grid, without those of exactly 0."""
    pixels = _grid(image)
    pixels = pixels[pixels.any(axis=1)]
    if not len(pixels):
        raise ValueError("the image is black")
    return pixels.astype(np.float64)


def _white(image: np.ndarray) -> np.ndarray:
    pixels = _grid(image)
    if (~pixels.any(axis=1)).mean() > 0.1:
        return np.full(3, 255.0)
    return np.percentile(pixels, 99, axis=0)


def _lab_moments(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pixels = _sample(image).astype(np.float32)[None] / np.float32(255)
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2Lab)[0].astype(np.float64)
    return lab.mean(axis=0), lab.std(axis=0)


def _levels(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _keep_black(image: np.ndarray, normalised: np.ndarray) -> np.ndarray:
    normalised[~image.any(axis=2)] = 0
    return normalised


def _triple(values: Any) -> Triple:
    red, green, blue = (round(float(value), 4) for value in values)
    return red, green, blue
