"""The reduced image on which cells are found, with its white, its light and its nuclei."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from hemafeat.segment._kernels import regions
from hemafeat.segment._kernels.levels import black_level, block_means, colour_planes, white_level
from hemafeat.segment._kernels.light import TILE, background_surface, is_uneven
from hemafeat.segment._kernels.nuclei import nuclear_mask

WORKING_SIDE = 216
"""Longest side, in pixels, of the reduced image on which cells are found."""

LIGHT_SIDE = 54
"""Longest side, in pixels, of the image on which the light of the background is measured."""

DARK = 12
"""Highest grey level of a black surround, with the ringing of JPEG."""

MIN_DENSITY = 12
"""Least violet density of a nucleus, in steps of 1/100: below it nothing is stained."""

MIN_WHITE = 24
"""Brightness of the background below which there is too little light to see cells."""

CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


@dataclass(frozen=True, slots=True)
class Frame:
    """A reduced copy of an image, and measurements of its background.

    Attributes
    ----------
    rgb : (h, w, 3) ndarray of uint8
        The image, reduced so that its longest side is at most 216 pixels.
    table : (3, 256) ndarray of uint8
        Optical density of each level of R, G and B, 100 steps per unit.
    coded : (3, 256) ndarray of uint16
        The same with the colour bin of each level; see `colour_planes`.
    dark : (h, w) ndarray of uint8
        Density of the reduced image: the mean of green and of the most absorbed channel. Pale
        cytoplasm shows in green on a white background and in blue on a yellow one.
    bins : (h, w) ndarray of uint16
        Colour bin of the reduced image: the densities of R, G and B, finer where they are low.
        Bins of density mean the same under any light, and most of them represent the pale colours
        in which cytoplasm and red cells differ.
    nuclei : (h, w) ndarray of uint8
        1 on possible nuclei: whatever absorbs green and red light and little blue. Thiazine and
        eosin dyes absorb little blue light and haemoglobin much of it, so that nuclei stand out
        five to eight times as high as red cells, whatever the colour of the background.
    white : (3,) ndarray of float64
        Background level of R, G and B: 255 where the background is black.
    scale : float
        Full-size pixels per reduced pixel, at least 1.
    black : int or None
        Highest level of the black around a cell that was cut out; None for other images.
    faint : float
        Density up to which a pixel may be background.
    any_nuclei : bool
        True if anything is violet enough to be a nucleus.
    uneven : bool
        True if the light is clearly brighter in one part of the image than in another one.
    surround : (H, W) ndarray of uint8 or None
        Not 0 on the black surround of a field, at full size; None if there is none.
    """

    rgb: np.ndarray
    table: np.ndarray
    coded: np.ndarray
    dark: np.ndarray
    bins: np.ndarray
    nuclei: np.ndarray
    white: np.ndarray
    scale: float
    black: int | None
    faint: float
    any_nuclei: bool
    uneven: bool
    surround: np.ndarray | None = None

    @property
    def is_dim(self) -> bool:
        """True if the background is too dark to see cells on it."""
        return max(self.white.tolist()) < MIN_WHITE

    def red_cell_radius(self, avoid: np.ndarray) -> float:
        """Estimate the radius of the red cells.

        Parameters
        ----------
        avoid : (h, w) ndarray of uint8
            1 on white cells and platelets.

        Returns
        -------
        float
            In reduced pixels; NaN for fewer than two red cells.
        """
        return float(regions.red_cell_radius(self.dark, math.ceil(2 * self.faint), avoid))


def measure_frame(image: np.ndarray) -> Frame:
    """Reduce an (H, W, 3) uint8 RGB image and measure its background.

    Raises
    ------
    ValueError
        `image` is not an (H, W, 3) uint8 array.
    """
    image = np.ascontiguousarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"expected an (H, W, 3) uint8 RGB image, got {image.shape} {image.dtype}; "
            "hemafeat.images.read makes one of any file or array"
        )
    height, width = image.shape[:2]
    scale = min(-(-max(height, width) // WORKING_SIDE), min(height, width))
    rgb = block_means(image, scale)
    tiny = min(rgb.shape[:2]) < 3
    black = black_level(rgb, DARK)
    if black >= 0:
        white = np.array([255.0, 255.0, 255.0])
    else:
        # The background is brighter than any cell, in every stain, but may cover less of the image
        # than red cells do: the brightest peak that holds a fair share of the pixels.
        white = white_level(rgb if tiny else cv2.blur(rgb, (3, 3)))
    table, coded, dark, bins, violet, spread = colour_planes(rgb, white)
    # Background pixels lie on both sides of the white, so half of them have density 0; the spread
    # of the other half shows how dark background can be.
    faint = min(max(1.0 + spread, 2.5), 4.0)
    soft = violet if tiny else cv2.GaussianBlur(violet, (3, 3), 0)
    nuclei, any_nuclei = nuclear_mask(soft, rgb, table, dark, faint, MIN_DENSITY)
    if not tiny:
        nuclei = cv2.morphologyEx(nuclei, cv2.MORPH_OPEN, CROSS)
    return Frame(
        rgb=rgb,
        table=table,
        coded=coded,
        dark=dark,
        bins=bins,
        nuclei=nuclei,
        white=white,
        scale=float(scale),
        black=black if black >= 0 else None,
        faint=faint,
        any_nuclei=any_nuclei,
        uneven=black < 0 and _is_uneven(rgb, white),
    )


def _is_uneven(rgb: np.ndarray, white: np.ndarray) -> bool:
    factor = max(1, round(max(rgb.shape[:2]) / LIGHT_SIDE))
    large = min(rgb.shape[:2]) // factor >= 4 * TILE
    # Whole factors are much faster, and the last rows and columns do not matter.
    return large and bool(is_uneven(block_means(rgb, factor), white))


def light_gain(rgb: np.ndarray, white: np.ndarray) -> np.ndarray | None:
    """Compute the factor that makes the light of an image even.

    The background is where the colour, whatever its brightness, is that of the white of the image.
    A surface of second order is fitted from above to the brightest background of each small tile:
    whatever lies below the surface belongs to cells.

    Parameters
    ----------
    rgb : (h, w, 3) ndarray of uint8
        Image on a bright background.
    white : (3,) ndarray of float64
        Level of that background.

    Returns
    -------
    (rows, columns) ndarray of float32 or None
        Factor of at least 1 for each pixel of a much smaller image; None if the light is even or
        too little background is visible.
    """
    height, width = rgb.shape[:2]
    factor = max(1, round(max(height, width) / LIGHT_SIDE))
    size = (width // factor, height // factor)
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    if not is_uneven(small, white):
        return None
    surface, *_, lowest, highest = background_surface(small, white)
    # Beyond the range over the visible background the surface is only extrapolated.
    return (highest / np.clip(surface, 0.9 * lowest, highest)).astype(np.float32)


def even_light(image: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Multiply an (H, W, 3) uint8 image by the factor from `light_gain`."""
    height, width = image.shape[:2]
    full = cv2.resize(gain, (width, height), interpolation=cv2.INTER_LINEAR)
    return cv2.multiply(image, cv2.merge([full, full, full]), dtype=cv2.CV_8U)


def foreground_mask(image: np.ndarray, level: int) -> np.ndarray:
    """Return an (H, W) uint8 mask of the pixels brighter than `level` in any channel."""
    brightest = cv2.max(cv2.max(image[:, :, 0], image[:, :, 1]), image[:, :, 2])
    return cv2.threshold(brightest, level, 1, cv2.THRESH_BINARY)[1]
