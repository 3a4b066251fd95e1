"""Clumps, pale spots and roughness of the chromatin of a nucleus."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel
from hemafeat.extract._kernels.spots import (
    level_counts,
    parts,
    round_and_within,
    stride_and_size,
    top_hat,
)

N_COLUMNS = 10

# Of a type, not plain numbers: what they are passed to is then compiled once for all of them.
SMALLEST_CLUMP = np.int64(4)
SMALLEST_NUCLEOLUS = np.int64(40)
"""Pixels; smaller parts are taken for noise."""

NUCLEOLUS_RADIUS = np.int64(8)
NUCLEOLUS_RISE = 17
"""Levels of 256 over [0, 1.5] of optical density: 0.100."""


@kernel
def dense_levels(plane, runs):
    """Lowest levels more than one, and more than one and a half sd above the mean; their shares.

    Whole numbers throughout, so that a flat nucleus has none (256, a share of 0).
    """
    histogram = level_counts(plane, runs)
    n = histogram.sum()
    total = 0
    squares = 0
    for value in range(256):
        total += value * histogram[value]
        squares += value * value * histogram[value]
    spread = n * squares - total * total
    first = np.full(2, 256)
    above = np.zeros(2, np.int64)
    for value in range(255, -1, -1):
        away = n * value - total
        if away > 0 and away * away > spread:
            first[0] = value
            above[0] += histogram[value]
        if away > 0 and 4 * away * away > 9 * spread:
            first[1] = value
            above[1] += histogram[value]
    return first, above, n, total


@kernel
def roughness(level, inside, stride):
    """Sum of the sd of 3 x 3 pixels, and number of such squares, wholly inside."""
    count = 0
    sums = np.zeros(stride, np.int32)
    squares = np.zeros(stride, np.int32)
    whole = np.zeros(stride, np.int32)
    # A sum of each column: none waits for the one before.
    totals = np.zeros(stride)
    found = np.zeros(stride)
    for row in range(level.size // stride - 2):
        start = row * stride
        above, here = level[start : start + stride], level[start + stride : start + 2 * stride]
        below = level[start + 2 * stride : start + 3 * stride]
        over, within = inside[start : start + stride], inside[start + stride : start + 2 * stride]
        under = inside[start + 2 * stride : start + 3 * stride]
        for k in range(stride):
            a, b, c = np.int32(above[k]), np.int32(here[k]), np.int32(below[k])
            sums[k] = np.int32(a + b + c)
            squares[k] = np.int32(a * a + b * b + c * c)
            whole[k] = np.int32(over[k] & within[k] & under[k] & 1)
        middle, right = sums[1:], sums[2:]
        square_middle, square_right = squares[1:], squares[2:]
        whole_middle, whole_right = whole[1:], whole[2:]
        n_row = 0
        for k in range(stride - 2):
            first = np.int32(sums[k] + middle[k] + right[k])
            second = np.int32(squares[k] + square_middle[k] + square_right[k])
            # 0 where the square is not whole.
            use = np.int32(whole[k] & whole_middle[k] & whole_right[k])
            found[k] = np.float64(np.int32(use * np.int32(9 * second - first * first)))
            n_row += use
        if n_row > 0:
            for k in range(stride - 2):
                totals[k] += math.sqrt(found[k])
            count += n_row
    return totals.sum() / 9.0, count


@kernel
def measure(plane, run_starts, runs, boxes, bin_width):
    """Chromatin of every nucleus.

    Parameters
    ----------
    plane : (H, W) uint8 array
        Green optical density in 256 levels.
    run_starts, runs, boxes
        As ``regions.find_runs`` and ``regions.pixels`` give them.
    bin_width : float
        Optical density of one level.

    Returns
    -------
    (n_cells, 10) float64 array
        In the order of ``hemafeat.extract.chromatin``; NaN where there is no nucleus.
    """
    n_cells = boxes.shape[0]
    out = np.full((n_cells, N_COLUMNS), np.nan)
    margin = NUCLEOLUS_RADIUS
    for cell in range(n_cells):
        own = runs[run_starts[cell] : run_starts[cell + 1]]
        if own.shape[0] == 0:
            continue
        stride, size = stride_and_size(boxes[cell], margin)
        hat, paleness, inside = top_hat(plane, own, boxes[cell], margin, margin, np.uint8(255))
        level, spot = np.empty(size, np.uint8), np.empty(size, np.uint8)
        first, above, n, total = dense_levels(plane, own)
        row = out[cell]
        row[0] = above[0] / n
        row[1] = above[1] / n
        least = first[0]
        for k in range(size):
            level[k] = inside[k] & ~paleness[k]
        rough, n_squares = roughness(level, inside, stride)
        if n_squares > 0:
            row[5] = rough / n_squares * bin_width
            if total > 0:
                row[6] = rough / n_squares / (total / n)
        least = first[0]
        # A loop, so that what it calls is compiled into it once.
        for which in range(2):
            for k in range(size):
                # The mean is not below 0, the level outside.
                spot[k] = level[k] >= least if which == 0 else hat[k] >= NUCLEOLUS_RISE
            found, spans = parts(spot, stride)
            good = found[:, 0] >= SMALLEST_CLUMP
            if which == 1:
                good = round_and_within(found, spans, inside, stride, SMALLEST_NUCLEOLUS)
            count = 0
            area = 0
            largest = 0
            for part in range(found.shape[0]):
                if good[part]:
                    count += 1
                    area += found[part, 0]
                    largest = max(largest, found[part, 0])
            if which == 0:
                row[2] = count
                row[3] = count / n
                if count > 0:
                    row[4] = area / count
            else:
                row[7] = count
                row[8] = area / n
                row[9] = largest
    return out
