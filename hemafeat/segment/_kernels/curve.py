"""Masks of closed curves that are given by one radius per angle."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel
from hemafeat.segment._kernels.fill import fill_polygon

EXCESS = 0.03
"""Pixels by which a curve filled by pixel centres is too large, compared with `Curve.fill`."""


@kernel
def fill_curve(x0, y0, radius, scale, mask):
    """Fill a curve, given at full size, on a mask that is `scale` times smaller.

    Parameters
    ----------
    x0, y0 : float
        Centre, in pixels of the full image.
    radius : (n,) ndarray of float64
        Radius at equal steps of the angle, in pixels of the full image.
    scale : float
        Full-size pixels per pixel of the mask.
    mask : (h, w) ndarray of uint8
        Overwritten.

    Returns
    -------
    int
        Number of pixels inside.
    """
    n = radius.size
    x, y = np.empty(n), np.empty(n)
    for i in range(n):
        angle = i * (2 * np.pi / n)
        reach = radius[i] - EXCESS * scale
        x[i] = (x0 + reach * np.cos(angle) + 0.5) / scale - 0.5
        y[i] = (y0 + reach * np.sin(angle) + 0.5) / scale - 0.5
    return fill_polygon(x, y, mask)


@kernel
def solidity(x, y):
    """Compute the area of a polygon over that of its convex hull.

    Parameters
    ----------
    x, y : (n,) ndarray of float64
        Corners, in order.

    Returns
    -------
    float
        1 if the hull has no area.
    """
    n = x.size
    area = 0.0
    for i in range(n):
        j = i + 1 if i + 1 < n else 0
        area += x[i] * y[j] - x[j] * y[i]
    # An insertion sort from left to right: there are few corners.
    order = np.empty(n, np.int64)
    for i in range(n):
        j = i
        while j > 0 and (x[order[j - 1]], y[order[j - 1]]) > (x[i], y[i]):
            order[j] = order[j - 1]
            j -= 1
        order[j] = i
    hull = np.empty(2 * n + 1, np.int64)
    size = 0
    for turn in range(2):
        least = size + 1
        for k in range(n):
            i = order[k] if turn == 0 else order[n - 1 - k]
            while size > least:
                a, b = hull[size - 2], hull[size - 1]
                if (x[b] - x[a]) * (y[i] - y[a]) > (y[b] - y[a]) * (x[i] - x[a]):
                    break
                size -= 1
            hull[size] = i
            size += 1
        size -= 1
    around = 0.0
    for k in range(size):
        i, j = hull[k], hull[k + 1 if k + 1 < size else 0]
        around += x[i] * y[j] - x[j] * y[i]
    return abs(area / around) if around != 0.0 else 1.0


@kernel
def curve_mask(x0, y0, radius, height, width):
    """Compute the mask inside a closed curve, cropped to its bounding box.

    Parameters
    ----------
    x0, y0 : float
        Centre of the curve.
    radius : (n,) ndarray of float64
        Radius at equal steps of the angle.
    height, width : int
        Size of the image.

    Returns
    -------
    mask : (h, w) ndarray of uint8
        1 inside the curve; of size 0 if the curve lies outside the image.
    left, top : int
        Position of the mask in the image.
    solidity : float
        Solidity of the part of the curve that lies in the image.
    """
    n = radius.size
    x, y = np.empty(n), np.empty(n)
    clipped_x, clipped_y = np.empty(n), np.empty(n)
    left, right, top, bottom = np.inf, -np.inf, np.inf, -np.inf
    for i in range(n):
        angle = i * (2 * np.pi / n)
        reach = radius[i] - EXCESS
        x[i], y[i] = x0 + reach * np.cos(angle), y0 + reach * np.sin(angle)
        clipped_x[i] = min(max(x[i], 0.0), width - 1.0)
        clipped_y[i] = min(max(y[i], 0.0), height - 1.0)
        left, right = min(left, clipped_x[i]), max(right, clipped_x[i])
        top, bottom = min(top, clipped_y[i]), max(bottom, clipped_y[i])
    column, row = math.floor(left), math.floor(top)
    mask = np.empty((math.ceil(bottom) - row + 1, math.ceil(right) - column + 1), np.uint8)
    for i in range(n):
        x[i] -= column
        y[i] -= row
    area = fill_polygon(x, y, mask)
    first_x, last_x, first_y, last_y = mask.shape[1], -1, mask.shape[0], -1
    for i in range(mask.shape[0] if area > 0 else 0):
        line = mask[i]
        for j in range(mask.shape[1]):
            if line[j]:
                first_x, last_x = min(first_x, j), max(last_x, j)
                first_y, last_y = min(first_y, i), i
    part = np.empty((max(last_y - first_y + 1, 0), max(last_x - first_x + 1, 0)), np.uint8)
    for i in range(part.shape[0]):
        line, out = mask[first_y + i], part[i]
        for j in range(part.shape[1]):
            out[j] = line[first_x + j]
    return part, column + first_x, row + first_y, solidity(clipped_x, clipped_y)
