"""Light that is not even: how bright the background is at each place of the image."""

from __future__ import annotations

import cv2
import numpy as np

from hemafeat.segment._background import Frame

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
"""What a bend of the surface costs, against a slope."""


def gain(view: Frame) -> np.ndarray | None:
    """What evens out the light of an image; None where it is even, or too little is seen of it.

    The background is where the colour, whatever its brightness, is that of the white of the image.
    A surface of second order is fitted to the brightest of it in each small square, from above:
    what lies below the surface is of cells.

    Parameters
    ----------
    view : Frame
        Of an image on a bright background.

    Returns
    -------
    (h, w) ndarray of float32 or None
        Factor of at least 1 for each pixel of an image much smaller than that of `view`.
    """
    height, width = view.rgb.shape[:2]
    factor = max(1, round(max(height, width) / SIDE))
    rows, columns = height // factor, width // factor
    if min(rows, columns) < 4 * TILE:
        return None
    small = cv2.resize(view.rgb, (columns, rows), interpolation=cv2.INTER_AREA)
    red, green, blue = cv2.split((small / view.white.clip(1)).astype(np.float32))
    tinted = cv2.max(cv2.absdiff(red, green), cv2.absdiff(blue, green))
    grey = tinted < TINT * green
    terms = _terms(rows, columns)
    surface = _from_above(np.where(grey, green, 0.0), terms)
    if surface is None:
        return None
    seen = grey & (np.abs(green - surface) < NEAR * surface)
    by_even_light = float(np.mean(grey & (np.abs(green - 1.0) < NEAR)))
    share = float(np.mean(seen))
    brighter = float(np.mean(green > (1.0 + NEAR) * surface))
    if share < 0.1 or brighter > 0.02 or share < by_even_light:
        return None
    most, least = float(surface[seen].max()), float(surface[seen].min())
    if least > (1.0 - UNEVEN) * most:
        return None
    # No farther than it was seen: beyond, the surface is a guess.
    return (most / np.clip(surface, 0.9 * least, most)).astype(np.float32)


def evened(image: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 image under even light; `factor` as from `gain`."""
    height, width = image.shape[:2]
    full = cv2.resize(factor, (width, height), interpolation=cv2.INTER_LINEAR)
    return cv2.multiply(image, cv2.merge([full, full, full]), dtype=cv2.CV_8U)


def _terms(rows: int, columns: int) -> np.ndarray:
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)


def _from_above(level: np.ndarray, terms: np.ndarray) -> np.ndarray | None:
    """(rows, columns) surface through the highest of `level`; None where there is too little."""
    rows, columns = (n // TILE for n in level.shape)
    tiles = level[: rows * TILE, : columns * TILE].reshape(rows, TILE, columns, TILE)
    top = tiles.max(axis=(1, 3))
    middle = terms[TILE // 2 :: TILE, TILE // 2 :: TILE][:rows, :columns]
    there = top > 0.35
    if np.count_nonzero(there) < 0.3 * there.size:
        return None
    value, basis = top[there], middle[there]
    # Bends cost a little, as where nothing is seen there is no telling them from a slope.
    ridge = np.diag([1e-6, 1e-6, 1e-6, BEND, BEND, BEND])
    weight = np.ones(value.size)
    for spread in (0.16, 0.12, 0.08, 0.08, 0.06, 0.06, 0.04, 0.04, 0.04, 0.04):
        weighed = basis.T * (weight / weight.sum())
        fit = np.linalg.solve(weighed @ basis + ridge, weighed @ value)
        below = np.maximum(basis @ fit - value, 0.0)
        weight = 1.0 / (1.0 + (below / spread) ** 4)
    return terms @ fit
