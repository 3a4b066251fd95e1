"""Normalisation of stain: colours made alike before cells are measured.

A normaliser takes an (H, W, 3) uint8 RGB image and gives another. What it needs to know of the
images it makes all others like, its target, is fixed or fitted; it has no other state, so that it
can be written down (``repr``), sent to another process, and asked for again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import cv2
import numpy as np

from hemafeat._public import public
from hemafeat.images._read import read

Triple = tuple[float, float, float]

ENOUGH = 1 << 15
"""Pixels of an image that suffice to describe its colours."""

FEWEST = 100
"""Stained pixels without which no stain can be told."""


@public
@dataclass(frozen=True)
class GreyWorld:
    """Scale each channel so that the image is grey on average [1]_.

    Each image is its own reference; nothing is fitted.

    References
    ----------
    .. [1] G. Buchsbaum, "A spatial processor model for object colour perception", Journal of the
       Franklin Institute 310(1), 1980.
    """

    name: ClassVar[str] = "grey-world"

    def fit(self, images: Iterable[Any]) -> GreyWorld:
        """Nothing to learn; itself."""
        return self

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Normalise one image: (H, W, 3) uint8 RGB to the same."""
        means = _sample(image).mean(axis=0)
        if not means.min() > 0:
            raise ValueError("a channel is 0 everywhere: it cannot be scaled to grey")
        table = np.arange(256)[:, None] * (means.mean() / means)[None, :]
        # A LUT is exact: each grey level has one image.
        return cv2.LUT(image, _levels(table)[None])


@public
@dataclass(frozen=True)
class Reinhard:
    """Give each image the mean and spread of a target in CIELAB [1]_.

    Parameters
    ----------
    mean, spread : (L*, a*, b*)
        Of the target. The default is the median of 400 cells of the PBC data set (Acevedo et al.).

    Notes
    -----
    Channels are taken in CIELAB (sRGB, D65), as is common, where the paper takes the logarithmic
    opponent space of Ruderman. Mean and spread are those of the whole image, so that the share of
    it that is background weighs in. Pixels of exactly 0 (a cell laid on black) are not looked at
    and stay.

    References
    ----------
    .. [1] E. Reinhard et al., "Color transfer between images", IEEE Computer Graphics and
       Applications 21(5), 2001.
    """

    mean: Triple = (79.8839, 10.658, 7.9847)
    spread: Triple = (15.7864, 9.2507, 14.3012)
    name: ClassVar[str] = "reinhard"

    def fit(self, images: Iterable[Any]) -> Reinhard:
        """Take the target from images.

        Parameters
        ----------
        images : iterable of paths or (H, W, 3) arrays
            Those of the training part, and no others. The target is the median over them.

        Returns
        -------
        Reinhard
            Another one.
        """
        found = [_lab_moments(read(image)) for image in images]
        if not found:
            raise ValueError("no image was given to fit a target to")
        mean, spread = np.median(np.array(found), axis=0)
        return replace(self, mean=_triple(mean), spread=_triple(spread))

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Normalise one image: (H, W, 3) uint8 RGB to the same."""
        mean, spread = _lab_moments(image)
        scale = np.divide(self.spread, spread, out=np.ones(3), where=spread > 1e-6)
        shift = np.asarray(self.mean) - scale * mean
        lab = cv2.cvtColor(image.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2Lab)
        moved = lab * scale.astype(np.float32) + shift.astype(np.float32)
        return _on_black(image, _levels(255 * cv2.cvtColor(moved, cv2.COLOR_Lab2RGB)))


@public
@dataclass(frozen=True)
class Macenko:
    """Give each image the stain vectors and strengths of a target [1]_.

    Parameters
    ----------
    vectors : two of (R, G, B)
        Unit optical densities of the target's stains, the one that takes more red first (azure,
        then eosin). The default is the median of 400 cells of PBC (Acevedo et al.).
    strength : (first, second)
        99th percentile of their densities in the target.
    white : (R, G, B)
        Grey levels of the target's background.
    threshold : float
        Length of the natural optical density (R, G, B) below which a pixel is background.
    percentile : float
        Of the angles between which the stains lie, from either end.

    Notes
    -----
    Optical density is ``-ln((I + 1) / (I0 + 1))``, where the white I0 of an image is the 99th
    percentile of each channel, or 255 where a tenth of it is black. The paper drops a pixel if any
    channel is below its threshold (0.15); azure hardly takes blue, so that here the length of all
    three decides. Two stains are what the method
    knows: whatever else absorbs (haemoglobin) is written as a mixture of them, and what lies
    outside their plane is lost. Pixels of exactly 0 are not looked at and stay.

    References
    ----------
    .. [1] M. Macenko et al., "A method for normalizing histology slides for quantitative analysis",
       IEEE International Symposium on Biomedical Imaging, 2009.
    """

    vectors: tuple[Triple, Triple] = ((0.7039, 0.6639, 0.2525), (0.4368, 0.8943, 0.0969))
    strength: tuple[float, float] = (0.9122, 2.1125)
    white: Triple = (255.0, 232.0, 205.0)
    threshold: float = 0.3
    percentile: float = 1.0
    name: ClassVar[str] = "macenko"

    def stains(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Find the stains of one image.

        Parameters
        ----------
        image : (H, W, 3) ndarray of uint8
            RGB.

        Returns
        -------
        vectors : (2, 3) ndarray of float64
            Unit optical densities of R, G, B.
        strength : (2,) ndarray of float64
            99th percentile of the density of each.
        white : (3,) ndarray of float64
            Background.

        Raises
        ------
        ValueError
            Fewer than 100 of the pixels looked at are stained.
        """
        pixels, white = _sample(image), _white(image)
        density = np.log((white + 1.0) / (pixels + 1.0))
        stained = density[np.linalg.norm(density, axis=1) > self.threshold]
        if len(stained) < FEWEST:
            raise ValueError(f"only {len(stained)} stained pixels: no stain can be told")
        _, axes = np.linalg.eigh(np.cov(stained.T))
        plane = axes[:, [2, 1]]
        # Densities are positive; the sign of an axis is arbitrary.
        plane *= np.where(plane.sum(axis=0) < 0, -1.0, 1.0)
        angle = np.arctan2(*(stained @ plane).T[::-1])
        ends = np.percentile(angle, [self.percentile, 100 - self.percentile])
        found = np.array([plane @ (np.cos(end), np.sin(end)) for end in ends])
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        found = found[np.argsort(-found[:, 0], kind="stable")]
        amounts = density @ np.linalg.pinv(found)
        return found, np.percentile(amounts, 99, axis=0), white

    def fit(self, images: Iterable[Any]) -> Macenko:
        """Take the target from images.

        Parameters
        ----------
        images : iterable of paths or (H, W, 3) arrays
            Those of the training part, and no others. The target is the median over them; images
            without a stain are passed over.

        Returns
        -------
        Macenko
            Another one.
        """
        found = []
        for image in images:
            try:
                found.append(self.stains(read(image)))
            except ValueError as error:
                if "stained pixels" not in str(error):
                    raise
        if not found:
            raise ValueError("no image with a stain was given to fit a target to")
        vectors, strength, white = (
            np.median(np.array(part), axis=0) for part in zip(*found, strict=True)
        )
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return replace(
            self,
            vectors=(_triple(vectors[0]), _triple(vectors[1])),
            strength=(round(float(strength[0]), 4), round(float(strength[1]), 4)),
            white=_triple(white),
        )

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Normalise one image: (H, W, 3) uint8 RGB to the same.

        Raises
        ------
        ValueError
            Hardly any of it is stained.
        """
        vectors, strength, white = self.stains(image)
        ratio = np.divide(self.strength, strength, out=np.ones(2), where=strength > 1e-6)
        # From density to amounts to the amounts of the target to its density: one matrix.
        matrix = (np.linalg.pinv(vectors) * ratio) @ np.asarray(self.vectors)
        level = np.arange(256)[:, None]
        density = cv2.LUT(image, np.log((white + 1.0) / (level + 1.0)).astype(np.float32)[None])
        moved = cv2.transform(density, matrix.T)
        light = (np.asarray(self.white) + 1.0) * np.exp(-moved) - 1.0
        return _on_black(image, _levels(light))


Normaliser = Callable[[np.ndarray], np.ndarray]

NORMALISERS = ("grey-world", "reinhard", "macenko")


def normaliser(name: str, reference: Iterable[Any] | None = None) -> Any:
    """A normaliser by its name.

    Parameters
    ----------
    name : {"grey-world", "reinhard", "macenko"}
        Which.
    reference : iterable of paths or (H, W, 3) arrays, optional
        Images to take the target from: training images only, or the target knows the test set. By
        default the target is a fixed one, and each image is normalised by itself.

    Returns
    -------
    GreyWorld, Reinhard or Macenko
        To be given to `hemafeat.extract.table` as `normalise`.

    Raises
    ------
    ValueError
        An unknown name, or no image to take the target from.

    Examples
    --------
    >>> from hemafeat import images
    >>> images.normaliser("grey-world")
    GreyWorld()
    """
    found: dict[str, Any] = {
        "grey-world": GreyWorld(),
        "reinhard": Reinhard(),
        "macenko": Macenko(),
    }
    if name not in found:
        raise ValueError(f"no normaliser {name!r}; there are: {', '.join(NORMALISERS)}")
    return found[name] if reference is None else found[name].fit(reference)


def _sample(image: np.ndarray) -> np.ndarray:
    """(n, 3) float64 pixels of a grid over the image, without those of exactly 0."""
    step = max(1, int(np.sqrt(image.shape[0] * image.shape[1] / ENOUGH)))
    pixels = image[::step, ::step].reshape(-1, 3)
    pixels = pixels[pixels.any(axis=1)]
    if not len(pixels):
        raise ValueError("the image is black")
    return pixels.astype(np.float64)


def _white(image: np.ndarray) -> np.ndarray:
    step = max(1, int(np.sqrt(image.shape[0] * image.shape[1] / ENOUGH)))
    looked_at = image[::step, ::step].reshape(-1, 3)
    if (~looked_at.any(axis=1)).mean() > 0.1:
        return np.full(3, 255.0)
    return np.percentile(looked_at, 99, axis=0)


def _lab_moments(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pixels = _sample(image).astype(np.float32)[None] / np.float32(255)
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2Lab)[0].astype(np.float64)
    return lab.mean(axis=0), lab.std(axis=0)


def _levels(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _on_black(image: np.ndarray, found: np.ndarray) -> np.ndarray:
    found[~image.any(axis=2)] = 0
    return found


def _triple(values: Any) -> Triple:
    one, two, three = (round(float(value), 4) for value in values)
    return one, two, three
