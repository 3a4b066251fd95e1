"""How common each colour is, inside a cell and outside of it."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel

BINS = 4096
SIDE = 16
MIDDLE, SIDEWAYS = np.float32(0.786), np.float32(0.107)
"""Weights of a colour and of those beside it on each axis."""


@kernel
def smoothed(counts):
    """A histogram of colours, smoothed a little along each of its three axes."""
    one, two = counts, np.empty(BINS, np.float32)
    for step in (SIDE * SIDE, SIDE, 1):
        n = BINS - 2 * step
        before, here, after, out = one[:n], one[step:], one[2 * step :], two[step:]
        for i in range(n):
            out[i] = MIDDLE * here[i] + SIDEWAYS * (before[i] + after[i])
        # Mirrored at the ends of the axis, the end itself not repeated.
        for start in range(0, BINS, step * SIDE):
            for first, other in ((start, step), (start + (SIDE - 1) * step, -step)):
                for i in range(first, first + step):
                    two[i] = MIDDLE * one[i] + SIDEWAYS * (one[i + other] + one[i + other])
        one, two = two, one
    return one


@kernel
def colours(bins, dark, faint, near, far):
    """How common each colour is in two masks, of what is stained.

    Parameters
    ----------
    bins : (h, w) ndarray of uint16
    dark : (h, w) ndarray of uint8
    faint : float
        Density from which a pixel is stained.
    near, far : (h, w) ndarray of uint8
        Inside the cell, and outside of it.

    Returns
    -------
    inside, outside : (4096,) ndarray of float32
        Shares, smoothed; those outside are not blown up where there are few pixels.
    """
    height, width = dark.shape
    # Neighbours are alike: two histograms side by side do not wait for each other.
    inner, outer = np.zeros((2, BINS), np.int32), np.zeros((2, BINS), np.int32)
    n_near, n_far = 0, 0
    for y in range(height):
        bins_row, dark_row, near_row, far_row = bins[y], dark[y], near[y], far[y]
        for x in range(width):
            if near_row[x] and dark_row[x] >= faint:
                inner[x & 1, bins_row[x]] += 1
                n_near += 1
        # There is much more outside: every other row is enough of it.
        if y & 1:
            continue
        for x in range(width):
            if far_row[x] and dark_row[x] >= faint:
                outer[x & 1, bins_row[x]] += 2
                n_far += 2
    inside, outside = np.empty(BINS, np.float32), np.empty(BINS, np.float32)
    for i in range(BINS):
        inside[i], outside[i] = inner[0, i] + inner[1, i], outer[0, i] + outer[1, i]
    inside, outside = smoothed(inside), smoothed(outside)
    few, many = np.float32(1.0 / max(n_near, 1)), np.float32(1.0 / max(n_far, 0.5 * n_near, 1.0))
    for i in range(BINS):
        inside[i] *= few
        outside[i] *= many
    return inside, outside
