"""Pixels inside polygons, and what is under them."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel


@kernel
def fill(x, y, mask):
    """Set `mask` to 1 where the middle of the pixel is inside a polygon, else 0; how many are.

    Parameters
    ----------
    x, y : (n,) ndarray of float64
        Corners, in order.
    mask : (h, w) ndarray of uint8
        Overwritten.
    """
    height, width = mask.shape
    n = x.size
    for row in range(height):
        line = mask[row]
        for column in range(width):
            line[column] = 0
    first, last = height, -1
    for i in range(n):
        j = i + 1 if i + 1 < n else 0
        if y[i] == y[j]:
            continue
        x0, y0, x1, y1 = (x[i], y[i], x[j], y[j]) if y[i] < y[j] else (x[j], y[j], x[i], y[i])
        slope = (x1 - x0) / (y1 - y0)
        # Each edge turns over all pixels to its right; what is turned over once is inside.
        top = min(max(int(np.ceil(y0)), 0), height)
        end = min(max(int(np.ceil(y1)), 0), height)
        for row in range(top, end):
            at = min(max(int(np.ceil(x0 + slope * (row - y0))), 0), width)
            if at < width:
                mask[row, at] ^= 1
        if end > top:
            first, last = min(first, top), max(last, end - 1)
    area = 0
    for row in range(first, last + 1):
        line = mask[row]
        inside = np.uint8(0)
        for column in range(width):
            inside ^= line[column]
            line[column] = inside
            area += int(inside)
    return area


@kernel
def clear_disc(mask, x, y, radius):
    """Set `mask` to 0 within `radius`, and half a pixel, of a pixel."""
    height, width = mask.shape
    for row in range(max(0, y - radius), min(height, y + radius + 1)):
        half = int(np.sqrt(radius * (radius + 1) - (row - y) ** 2))
        line = mask[row]
        for column in range(max(0, x - half), min(width, x + half + 1)):
            line[column] = 0


@kernel
def deepest(depth, points, ends):
    """Largest depth in the box around each of several lines of points.

    Parameters
    ----------
    depth : (h, w) ndarray of float32
    points : (n, 2) ndarray of int32
        All lines one after another, (x, y).
    ends : (k,) ndarray of int64
        Where each line ends.

    Returns
    -------
    (k,) ndarray of float64
    """
    most = np.zeros(ends.size)
    first = 0
    for k in range(ends.size):
        left, right, top, bottom = depth.shape[1], -1, depth.shape[0], -1
        for i in range(first, ends[k]):
            left, right = min(left, points[i, 0]), max(right, points[i, 0])
            top, bottom = min(top, points[i, 1]), max(bottom, points[i, 1])
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                most[k] = max(most[k], depth[y, x])
        first = ends[k]
    return most


@kernel
def mean_density(mask, rgb, table, left, top):
    """(3,) float64 mean density of R, G and B over a mask whose corner is at (left, top)."""
    total = np.zeros(3)
    n = 0
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            if mask[y, x]:
                n += 1
                for channel in range(3):
                    total[channel] += table[channel, rgb[top + y, left + x, channel]]
    for channel in range(3):
        total[channel] /= max(n, 1)
    return total
