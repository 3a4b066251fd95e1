"""What an image says about itself before any cell is sought: white, blackness, scale."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from hemafeat.segment._contours import light as _light
from hemafeat.segment._kernels.regions import radius_of_red_cells
from hemafeat.segment._kernels.survey import survey

WORKING_SIDE = 216
"""Longest side, in pixels, of the reduced image on which cells are found."""

DARK = 12
"""Grey level up to which a pixel may belong to a black surround (JPEG ringing included)."""

MIN_DENSITY = 12
"""Least violet density of a nucleus, in steps of 1/100: below it there is nothing stained."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A reduced copy of the image and what is known of its background.

    Attributes
    ----------
    rgb : (h, w, 3) ndarray of uint8
        The image, reduced so that its longest side is at most `WORKING_SIDE`.
    scale : float
        Full-size pixels per reduced pixel, at least 1.
    white : (3,) ndarray of float64
        Background level of R, G and B: 255 where the background is black.
    black : int or None
        Where a cell was cut out and laid on black: the highest level of that black. Else None.
    table : (3, 256) ndarray of uint8
        Optical density of each level of R, G and B, 100 steps per unit.
    coded : (3, 256) ndarray of uint16
        The same with the colour bin of each level; see `planes`.
    dark : (h, w) ndarray of uint8
        Density of the reduced image: the mean of green and of the most absorbed channel. On a
        white background pale cytoplasm shows in green, on a yellow one in blue.
    faint : float
        Density up to which a pixel may well be background.
    bins : (h, w) ndarray of uint16
        Colour bin of the reduced image: the densities of R, G and B, finer where they are low.
        Bins of density mean the same under any light, and leave most of them to the pale colours
        in which cytoplasm and red cells differ.
    nuclei : (h, w) ndarray of uint8
        1 on what may be nuclei: what absorbs green and red light and little blue. Thiazine and
        eosin dyes absorb little blue light and haemoglobin much of it, so that nuclei stand out
        five to eight times as high as red cells, whatever the colour of the background.
    any_nuclei : bool
        Whether anything is violet enough to be one.
    uneven : bool
        Whether the light is clearly brighter in one part of the image than in another one.
    """

    rgb: np.ndarray
    scale: float
    white: np.ndarray
    black: int | None
    table: np.ndarray
    coded: np.ndarray
    dark: np.ndarray
    faint: float
    bins: np.ndarray
    nuclei: np.ndarray
    any_nuclei: bool
    uneven: bool


def frame(image: np.ndarray) -> Frame:
    """Reduce an (H, W, 3) uint8 image and measure its background."""
    rgb, table, coded, dark, bins, nuclei, seen = survey(
        np.ascontiguousarray(image),
        WORKING_SIDE,
        DARK,
        MIN_DENSITY,
        _light.SIDE,
        _light.LIMITS,
        _light.SPREADS,
    )
    scale, black, *white, faint, any_nuclei, uneven = seen.tolist()
    return Frame(
        rgb=rgb,
        scale=scale,
        white=np.array(white),
        black=int(black) if black >= 0 else None,
        table=table,
        coded=coded,
        dark=dark,
        faint=faint,
        bins=bins,
        nuclei=nuclei,
        any_nuclei=any_nuclei > 0,
        uneven=uneven > 0,
    )


def black_surround(image: np.ndarray, level: int) -> np.ndarray:
    """(H, W) uint8: 1 on what is brighter than `level` in any channel."""
    brightest = cv2.max(cv2.max(image[:, :, 0], image[:, :, 1]), image[:, :, 2])
    return cv2.threshold(brightest, level, 1, cv2.THRESH_BINARY)[1]


def red_cell_radius(view: Frame, avoid: np.ndarray) -> float:
    """Typical radius of the red cells in reduced pixels; NaN where fewer than two are in view.

    Parameters
    ----------
    view : Frame
    avoid : (h, w) ndarray of uint8
        1 where white cells and platelets are.
    """
    return float(radius_of_red_cells(view.dark, math.ceil(2 * view.faint), avoid))


LEAST_WHITE = 24
"""Brightness of the background below which there is no light to see cells by."""


def prepared(image: np.ndarray) -> tuple[np.ndarray, Frame]:
    """The image, evened out where its light is not even, and what is known of its background.

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
    view = frame(image)
    if view.black is None and view.uneven and not is_dim(view):
        factor = _light.gain(view.rgb, view.white)
        if factor is not None:
            image = _light.evened(image, factor)
            view = frame(image)
    return image, view


def is_dim(view: Frame) -> bool:
    """Whether the background is too dark for anything to be seen on it."""
    return bool(view.white.max() < LEAST_WHITE)
