"""The nucleus of one cell, outlined at full size inside the outline of the cell."""

from __future__ import annotations

import math

import cv2
import numpy as np

from hemafeat.segment._kernels.nuclei import contrast_plane, otsu_inside, threshold_median
from hemafeat.segment._kernels.regions import remove_specks

BROAD = 22.0
"""Size of the cell over the standard deviation of the strong blur."""

WEAK = 3.7
"""Separation of nucleus and cytoplasm below which the strong blur is tried."""

ALIKE = 0.72
"""Ratio of the means of the paler and the darker part above which the strong blur is tried."""

TWO_MODES = 2.9
"""Separation, after the strong blur, below which there is one mode; a normal histogram has 2.7."""

SAME = 0.86
"""Ratio of the means, after the strong blur, above which there is one mode."""

RESIZED = 0.25 + 0.67
"""Variance of the blur of halving an image and doubling it again, in square pixels."""


def outline_nucleus(
    image: np.ndarray, left: int, top: int, cell: np.ndarray, table: np.ndarray
) -> tuple[np.ndarray, float]:
    """Segment the nucleus inside one cell, at full size.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB image.
    left, top : int
        Position of the box of the cell.
    cell : (h, w) ndarray of uint8
        1 inside the cell.
    table : (3, 256) ndarray of uint8
        Density of each level; see `Frame.table`.

    Returns
    -------
    nucleus : (h, w) ndarray of uint8
        1 inside the nucleus.
    separation : float
        Difference of the mean levels of nucleus and cytoplasm in standard deviations.
    """
    size = math.sqrt(cv2.countNonZero(cell))
    if size < 3:
        return np.zeros_like(cell), 0.0
    height, width = cell.shape
    plane = contrast_plane(image, table, left, top, height, width)
    smooth = _blur(plane, max(0.8, size / 50.0))
    threshold, low, high, separation = otsu_inside(smooth, cell)
    if separation < WEAK or low > ALIKE * high:
        # Granules hide the border of the nucleus: only its broad shape can be found.
        broad = _blur_inside(plane[:height, :width], cell, size / BROAD)
        core = cv2.erode(
            cell, _disc(max(1, round(size / 16))), borderType=cv2.BORDER_CONSTANT, borderValue=0
        )
        broad_threshold, broad_low, broad_high, broad_separation = otsu_inside(broad, core)
        if broad_separation < TWO_MODES or broad_low > SAME * broad_high:
            # A cell that is nearly all nucleus has one mode, and only its edge lies below it.
            threshold = 0.5 * high
        else:
            threshold, smooth = broad_threshold, broad
    nucleus = threshold_median(smooth, float(threshold), cell, max(1, round(size / 60.0)))
    remove_specks(nucleus)
    return cv2.bitwise_and(nucleus, cell), separation


def _blur(plane: np.ndarray, sigma: float) -> np.ndarray:
    # At half the size a wide blur costs a third and gives the same result.
    if sigma < 2.0:
        return smooth(plane, *gaussian_weights(sigma))
    height, width = plane.shape
    half = cv2.resize(plane, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    # Halving and linear interpolation blur as well.
    half = smooth(half, *gaussian_weights(0.5 * math.sqrt(sigma * sigma - RESIZED)))
    return cv2.resize(half, (width, height), interpolation=cv2.INTER_LINEAR)


def _blur_inside(plane: np.ndarray, cell: np.ndarray, sigma: float) -> np.ndarray:
    # A mean over the cell only, so that the background does not pale its rim. So wide a blur is the
    # same on a reduced image, at a fraction of the cost.
    height, width = plane.shape
    factor = max(1, min(int(sigma / 1.5), height, width))
    size = (-(-width // factor), -(-height // factor))
    share = cv2.resize(cell * 255, size, interpolation=cv2.INTER_AREA)
    value = cv2.resize(plane * cell, size, interpolation=cv2.INTER_AREA)
    weights = gaussian_weights(max(0.8, sigma) / factor)
    mean = cv2.divide(smooth(value, *weights), smooth(share, *weights), scale=255)
    return cv2.resize(mean, (width, height), interpolation=cv2.INTER_LINEAR)


def gaussian_weights(sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of `smooth` along rows and columns for a standard deviation in pixels.

    They are those of ``cv2.GaussianBlur``: of 1/256 each, rounded from the ends to the middle.
    """
    n = round(6 * sigma + 1) | 1
    exact = (256 * cv2.getGaussianKernel(n, sigma)).ravel().tolist()
    weights, error = [0] * n, 0.0
    for i in range(n // 2):
        weights[i] = weights[n - 1 - i] = round(exact[i] + error)
        error += exact[i] - weights[i]
    weights[n // 2] = 256 - sum(weights)
    along = np.array(weights, np.float32)
    return along, along * np.float32(2.0**-16)


def smooth(plane: np.ndarray, along: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Blur an (h, w) uint8 plane, as ``cv2.GaussianBlur`` does in up to four times the time.

    Halves are rounded up. All sums are exact: 24 bits hold them.
    """
    return cv2.sepFilter2D(plane, cv2.CV_32F, along, down, delta=0.5).astype(np.uint8)


def _disc(radius: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
