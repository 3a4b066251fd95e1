"""Light that is not even: how bright the background is at each place of the image."""

from __future__ import annotations

import cv2
import numpy as np

from hemafeat.segment._kernels.light import background_surface, is_uneven

SIDE = 54
"""Longest side, in pixels, of the image the background is looked for on."""

TILE = 4
"""Side of the squares, of that image, the brightest background of which is fitted."""

NEAR = 0.045
"""Distance from the fitted brightness, as a share of it, up to which a pixel is background."""

TINT = 0.07
"""Ratio of two channels, less 1, up to which it is that of the background: light may fail to a
corner, but it keeps its colour there, and haemoglobin and dye do not."""

UNEVEN = 0.07
"""Range of the brightness of the background, as a share of the largest, that is left alone."""

BEND = 1e-3
"""What a bend of the surface costs, against a slope: where nothing is seen they look alike."""

SPREADS = np.array([0.16, 0.12, 0.08, 0.08, 0.06, 0.06, 0.04, 0.04, 0.04, 0.04])
"""How far below the surface a square may lie to count for half, in each turn of the fit."""


LIMITS = np.array([TILE, TINT, NEAR, BEND, UNEVEN])


def gain(rgb: np.ndarray, white: np.ndarray) -> np.ndarray | None:
    """What evens out the light of an image; None where it is even, or too little is seen of it.

    The background is where the colour, whatever its brightness, is that of the white of the image.
    A surface of second order is fitted to the brightest of it in each small square, from above:
    what lies below the surface is of cells.

    Parameters
    ----------
    rgb : (h, w, 3) ndarray of uint8
        An image on a bright background.
    white : (3,) ndarray of float64
        Level of that background.

    Returns
    -------
    (rows, columns) ndarray of float32 or None
        Factor of at least 1 for each pixel of a much smaller image.
    """
    height, width = rgb.shape[:2]
    factor = max(1, round(max(height, width) / SIDE))
    shape = (width // factor, height // factor)
    small = cv2.resize(rgb, shape, interpolation=cv2.INTER_AREA)
    if not is_uneven(small, white, LIMITS, SPREADS):
        return None
    surface, found = background_surface(small, white, TILE, TINT, NEAR, BEND, SPREADS)
    least, most = found[3:].tolist()
    # No farther than it was seen: beyond, the surface is a guess.
    return (most / np.clip(surface, 0.9 * least, most)).astype(np.float32)


def evened(image: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 image under even light; `factor` as from `gain`."""
    height, width = image.shape[:2]
    full = cv2.resize(factor, (width, height), interpolation=cv2.INTER_LINEAR)
    return cv2.multiply(image, cv2.merge([full, full, full]), dtype=cv2.CV_8U)
