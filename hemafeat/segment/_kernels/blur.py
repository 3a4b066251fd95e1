"""Gaussian blur of planes, and planes of a fraction of the size."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel


@kernel
def blurred(plane, sigma):
    """(h, w) float32 Gaussian blur of a float32 plane, mirrored at the borders.

    Parameters
    ----------
    plane : (h, w) ndarray of float32
    sigma : float
        Standard deviation in pixels; the weights end at three of them.
    """
    height, width = plane.shape
    reach = max(1, math.ceil(3.0 * sigma))
    weight = np.empty(reach + 1, np.float32)
    total = 0.0
    for i in range(reach + 1):
        value = math.exp(-0.5 * (i / sigma) ** 2)
        weight[i] = value
        total += value if i == 0 else 2.0 * value
    for i in range(reach + 1):
        weight[i] /= np.float32(total)
    out = np.empty((height, width), np.float32)
    padded = np.empty(width + 2 * reach, np.float32)
    inner = padded[reach : reach + width]
    for y in range(height):
        own = plane[y]
        for x in range(width):
            inner[x] = weight[0] * own[x]
        for i in range(1, reach + 1):
            above, below, part = (
                plane[mirror(y - i, height)],
                plane[mirror(y + i, height)],
                weight[i],
            )
            for x in range(width):
                inner[x] += part * (above[x] + below[x])
        for i in range(1, reach + 1):
            padded[reach - i] = inner[mirror(-i, width)]
            padded[reach + width - 1 + i] = inner[mirror(width - 1 + i, width)]
        line = out[y]
        for x in range(width):
            line[x] = weight[0] * inner[x]
        for i in range(1, reach + 1):
            before, after, part = padded[reach - i :], padded[reach + i :], weight[i]
            for x in range(width):
                line[x] += part * (before[x] + after[x])
    return out


@kernel
def mirror(i, n):
    """Place in a row of `n` of what is beyond its ends, mirrored, the ends not repeated."""
    if n == 1:
        return 0
    turn = 2 * (n - 1)
    i = abs(i) % turn
    return i if i < n else turn - i


@kernel
def enlarged(plane, factor, height, width):
    """(height, width) uint8: a smaller float32 plane, linear between the middles of its pixels.

    Parameters
    ----------
    plane : (h, w) ndarray of float32
    factor : int
    height, width : int
        At most `factor` times as large.
    """
    rows, columns = plane.shape
    out = np.empty((height, width), np.uint8)
    line = np.empty(columns, np.float32)
    place, share = np.empty(width, np.int32), np.empty(width, np.float32)
    for x in range(width):
        at = min(max((x + 0.5) / factor - 0.5, 0.0), columns - 1.0)
        place[x] = min(int(at), max(columns - 2, 0))
        share[x] = at - place[x]
    for y in range(height):
        at = min(max((y + 0.5) / factor - 0.5, 0.0), rows - 1.0)
        top = min(int(at), max(rows - 2, 0))
        part = np.float32(at - top)
        above, below = plane[top], plane[min(top + 1, rows - 1)]
        for x in range(columns):
            line[x] = above[x] + part * (below[x] - above[x]) + np.float32(0.5)
        row = out[y]
        last = columns - 1
        for x in range(width):
            i = place[x]
            one = line[i]
            row[x] = int(one + share[x] * (line[min(i + 1, last)] - one))
    return out


@kernel
def means(plane, factor):
    """(h, w) float32: means of a uint8 plane over squares of `factor` by `factor` pixels."""
    height, width = plane.shape
    rows, columns = -(-height // factor), -(-width // factor)
    out = np.empty((rows, columns), np.float32)
    sums = np.empty(width, np.float32)
    for i in range(rows):
        bottom = min((i + 1) * factor, height)
        row = plane[i * factor]
        for x in range(width):
            sums[x] = row[x]
        for y in range(i * factor + 1, bottom):
            row = plane[y]
            for x in range(width):
                sums[x] += np.float32(row[x])
        line = out[i]
        whole = width // factor
        share = np.float32(1.0 / ((bottom - i * factor) * factor))
        for j in range(whole):
            total = sums[j * factor]
            for x in range(j * factor + 1, (j + 1) * factor):
                total += sums[x]
            line[j] = total * share
        if whole < columns:
            total = np.float32(0.0)
            for x in range(whole * factor, width):
                total += sums[x]
            line[whole] = total / np.float32((bottom - i * factor) * (width - whole * factor))
    return out
