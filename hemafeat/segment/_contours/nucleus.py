"""The nucleus of one cell, outlined at full size inside it."""

from __future__ import annotations

import math

import cv2
import numpy as np

from hemafeat.segment._kernels.nuclei import above, contrast, otsu_inside
from hemafeat.segment._kernels.regions import tidied

BROAD = 22.0
WEAK = 3.7
"""Separation of nucleus and cytoplasm below which the nucleus is drawn in broad strokes."""

ALIKE = 0.72
"""Mean of the paler part over that of the darker one above which they may be one and the same."""

TWO_MODES = 2.9
"""Separation, in broad strokes, below which they are one; a normal histogram has 2.7."""

SAME = 0.86
"""Mean of the paler part over that of the darker one, in broad strokes, above which they are."""


RESIZED = 0.25 + 0.67
"""Variance of the blur of halving an image and doubling it again, in square pixels."""


def outline(
    image: np.ndarray, left: int, top: int, cell: np.ndarray, table: np.ndarray
) -> tuple[np.ndarray, float]:
    """The nucleus inside one cell, at full size.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
    left, top : int
        Where the box of the cell lies.
    cell : (h, w) ndarray of uint8
        1 inside the cell.
    table : (3, 256) ndarray of uint8
        Density of each level; see `density_table`.

    Returns
    -------
    nucleus : (h, w) ndarray of uint8
        1 inside the nucleus.
    separation : float
        Distance of the mean levels of nucleus and cytoplasm in standard deviations.
    """
    size = math.sqrt(cv2.countNonZero(cell))
    if size < 3:
        return np.zeros_like(cell), 0.0
    height, width = cell.shape
    plane = contrast(image, table, left, top, height, width)
    smooth = _blurred(plane, max(0.8, size / 50.0))
    threshold, low, high, separation = otsu_inside(smooth, cell)
    if separation < WEAK or low > ALIKE * high:
        # Granules hide where the nucleus ends: only its broad shape is to be had.
        broad = _broad(plane[:height, :width], cell, size / BROAD)
        reach = max(1, round(size / 16))
        core = cv2.erode(cell, _disc(reach), borderType=cv2.BORDER_CONSTANT, borderValue=0)
        level, pale, deep, apart = otsu_inside(broad, core)
        if apart < TWO_MODES or pale > SAME * deep:
            # A cell that is nearly all nucleus has one mode: what is below it is its edge.
            threshold = 0.5 * high
        else:
            threshold, smooth = level, broad
    nucleus = above(smooth, float(threshold), cell, max(1, round(size / 60.0)))
    tidied(nucleus)
    return cv2.bitwise_and(nucleus, cell), separation


def _blurred(plane: np.ndarray, sigma: float) -> np.ndarray:
    # Half the size is a third of the cost, and where the blur is wide the result is the same.
    if sigma < 2.0:
        return cv2.GaussianBlur(plane, (0, 0), sigma)
    height, width = plane.shape
    half = cv2.resize(plane, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    # Means of two pixels by two, and lines drawn between them, blur as well.
    half = cv2.GaussianBlur(half, (0, 0), 0.5 * math.sqrt(sigma * sigma - RESIZED))
    return cv2.resize(half, (width, height), interpolation=cv2.INTER_LINEAR)


def _broad(plane: np.ndarray, cell: np.ndarray, sigma: float) -> np.ndarray:
    # What lies outside the cell must not pale its rim: a mean over the cell only. So wide a blur
    # is the same at a fraction of the size, and a fraction of the cost.
    height, width = plane.shape
    factor = max(1, min(int(sigma / 1.5), height, width))
    size = (-(-width // factor), -(-height // factor))
    share = cv2.resize(cell * 255, size, interpolation=cv2.INTER_AREA)
    value = cv2.resize(plane * cell, size, interpolation=cv2.INTER_AREA)
    sigma = max(0.8, sigma) / factor
    share, value = (cv2.GaussianBlur(part, (0, 0), sigma) for part in (share, value))
    mean = cv2.divide(value, share, scale=255)
    return cv2.resize(mean, (width, height), interpolation=cv2.INTER_LINEAR)


def _disc(radius: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
