"""Histograms of the colours inside and outside a cell."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import inlined

BINS = 4096
SIDE = 16
MIDDLE, SIDEWAYS = np.float32(0.786), np.float32(0.107)
"""Weights of a bin and of its two neighbours along each axis."""


@inlined
def count_colours(bins, dark, stained, near, far, counts, shares):
    """Compute the share of each colour among the stained pixels of two masks.

    Parameters
    ----------
    bins : (h, w) ndarray of uint16
        Colour bin of each pixel.
    dark : (h, w) ndarray of uint8
        Density of each pixel.
    stained : int
        Density from which a pixel is stained.
    near, far : (h, w) ndarray of uint8
        Masks of the inside and the outside of the cell.
    counts : (2, 2, 4096) ndarray of int32
        Working memory, all zero.
    shares : (>= 3, 4096) ndarray of float32
        Filled with the shares inside and outside, smoothed along the three axes of the colours.
        Those outside are not inflated when few pixels are counted. The third row is working memory.
    """
    height, width = dark.shape
    # Adjacent pixels often fall into the same bin: two histograms avoid waiting for each other.
    inner, outer = counts[0], counts[1]
    n_near, n_far = 0, 0
    for y in range(height):
        bins_row, dark_row, near_row, far_row = bins[y], dark[y], near[y], far[y]
        any_near = np.uint8(0)
        for x in range(width):
            any_near |= near_row[x]
        for x in range(width if any_near else 0):
            if near_row[x] and dark_row[x] >= stained:
                inner[x & 1, bins_row[x]] += 1
                n_near += 1
        # The outside is much larger: every other row is enough.
        if y & 1:
            continue
        for x in range(width):
            if far_row[x] and dark_row[x] >= stained:
                outer[x & 1, bins_row[x]] += 2
                n_far += 2
    for side in range(2):
        source, target = shares[side], shares[2]
        for i in range(BINS):
            source[i] = counts[side, 0, i] + counts[side, 1, i]
        for step in (SIDE * SIDE, SIDE, 1):
            n = BINS - 2 * step
            before, here, after, out = source[:n], source[step:], source[2 * step :], target[step:]
            for i in range(n):
                out[i] = MIDDLE * here[i] + SIDEWAYS * (before[i] + after[i])
            # Mirrored at the ends of the axis, without repeating the end itself.
            for start in range(0, BINS, step * SIDE):
                for end in range(2):
                    first, other = start + end * (SIDE - 1) * step, step - 2 * end * step
                    for i in range(first, first + step):
                        target[i] = MIDDLE * source[i] + SIDEWAYS * (
                            source[i + other] + source[i + other]
                        )
            source, target = target, source
        total = max(n_near, 1.0) if side == 0 else max(n_far, 0.5 * n_near, 1.0)
        factor, share = np.float32(1.0 / total), shares[side]
        for i in range(BINS):
            share[i] = source[i] * factor
