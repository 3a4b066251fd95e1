"""The mask inside a closed curve."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel
from hemafeat.segment._kernels.fill import fill
from hemafeat.segment._kernels.outline import ROUNDED


@kernel
def solidity(x, y):
    """Area of a polygon over that of its convex hull; 1 where that has none.

    Parameters
    ----------
    x, y : (n,) ndarray of float64
        Corners, in order.
    """
    n = x.size
    area = 0.0
    for i in range(n):
        j = i + 1 if i + 1 < n else 0
        area += x[i] * y[j] - x[j] * y[i]
    # The corners from left to right: there are few.
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
def inside(x0, y0, radius, height, width):
    """The mask inside a closed curve, one radius per angle, on an image.

    Parameters
    ----------
    x0, y0 : float
    radius : (n,) ndarray of float64
    height, width : int
        Of the image.

    Returns
    -------
    mask : (h, w) ndarray of uint8
        Cut to the pixels inside; of size 0 where there are none.
    left, top : int
    solidity : float
        Of the part on the image.
    """
    n = radius.size
    x, y = np.empty(n), np.empty(n)
    seen_x, seen_y = np.empty(n), np.empty(n)
    left, right, top, bottom = np.inf, -np.inf, np.inf, -np.inf
    for i in range(n):
        angle = i * (2 * np.pi / n)
        reach = radius[i] - ROUNDED
        x[i], y[i] = x0 + reach * np.cos(angle), y0 + reach * np.sin(angle)
        seen_x[i] = min(max(x[i], 0.0), width - 1.0)
        seen_y[i] = min(max(y[i], 0.0), height - 1.0)
        left, right = min(left, seen_x[i]), max(right, seen_x[i])
        top, bottom = min(top, seen_y[i]), max(bottom, seen_y[i])
    column, row = math.floor(left), math.floor(top)
    mask = np.empty((math.ceil(bottom) - row + 1, math.ceil(right) - column + 1), np.uint8)
    for i in range(n):
        x[i] -= column
        y[i] -= row
    area = fill(x, y, mask)
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
    return part, column + first_x, row + first_y, solidity(seen_x, seen_y)
