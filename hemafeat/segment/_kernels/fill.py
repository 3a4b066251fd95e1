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
    first, last, end = height, -1, 0
    for i in range(n):
        j = i + 1 if i + 1 < n else 0
        end = max(end, min(max(int(np.ceil(x[i])), 0), width))
        if y[i] == y[j]:
            continue
        x0, y0, x1, y1 = (x[i], y[i], x[j], y[j]) if y[i] < y[j] else (x[j], y[j], x[i], y[i])
        slope = (x1 - x0) / (y1 - y0)
        # Each edge turns over all pixels to its right; what is turned over once is inside.
        top = min(max(int(np.ceil(y0)), 0), height)
        bottom = min(max(int(np.ceil(y1)), 0), height)
        for row in range(top, bottom):
            at = min(max(int(np.ceil(x0 + slope * (row - y0))), 0), width)
            if at < width:
                mask[row, at] ^= 1
        if bottom > top:
            first, last = min(first, top), max(last, bottom - 1)
    area = 0
    for row in range(first, last + 1):
        line = mask[row]
        inside = np.uint8(0)
        for column in range(end):
            inside ^= line[column]
            line[column] = inside
            area += int(inside)
        # An edge past the last corner by the rounding of its slope turns nothing over.
        for column in range(end, width):
            line[column] = 0
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
