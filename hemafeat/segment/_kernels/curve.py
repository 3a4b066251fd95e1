"""Masks of closed curves that are given by one radius per angle."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from hemafeat._jit import kernel
from hemafeat.segment._kernels.fill import fill_polygon

EXCESS = 0.03
"""Pixels by which a curve filled by pixel centres is too large, compared with `Curve.fill`."""


@cache
def unit_circle(n):
    """Return the (2, n) cosines and sines of n equal steps around the circle."""
    angles = [i * (2 * math.pi / n) for i in range(n)]
    return np.array([[math.cos(angle) for angle in angles], [math.sin(angle) for angle in angles]])


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
    area, sum_x, sum_y : int
        Number of pixels inside, and the sums of their columns and rows.
    """
    corners = (radius - EXCESS * scale) * unit_circle(radius.size) + ((x0,), (y0,))
    corners += 0.5
    corners /= scale
    corners -= 0.5
    return fill_polygon(*corners, mask)[:3]


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
    return hull_share(x, y, np.lexsort((y, x)), np.empty(2 * x.size + 1, np.int64))


@kernel
def hull_share(x, y, order, hull):
    """Compute `solidity` of corners sorted by `order` from left to right; `hull` is overwritten."""
    n = x.size
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
    area, around = 0.0, 0.0
    for i in range(n):
        j = i + 1 if i + 1 < n else 0
        area += x[i] * y[j] - x[j] * y[i]
    for k in range(size):
        i, j = hull[k], hull[k + 1 if k + 1 < size else 0]
        around += x[i] * y[j] - x[j] * y[i]
    return abs(area / around) if around != 0.0 else 1.0


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
    cos, sin = unit_circle(radius.size)
    reach = radius - EXCESS
    x, y = x0 + reach * cos, y0 + reach * sin
    clipped_x = np.minimum(np.maximum(x, 0.0), width - 1.0)
    clipped_y = np.minimum(np.maximum(y, 0.0), height - 1.0)
    column, row = math.floor(clipped_x.min()), math.floor(clipped_y.min())
    shape = math.ceil(clipped_y.max()) - row + 1, math.ceil(clipped_x.max()) - column + 1
    mask = np.empty(shape, np.uint8)
    _, _, _, left, right, top, bottom = fill_polygon(x - column, y - row, mask)
    part = np.ascontiguousarray(mask[top : bottom + 1, left : right + 1])
    return part, column + left, row + top, solidity(clipped_x, clipped_y)
