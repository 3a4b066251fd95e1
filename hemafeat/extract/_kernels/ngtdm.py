"""Neighbourhood grey-tone difference: distances of pixels from the mean of their neighbours."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import indices, kernel
from hemafeat.extract._kernels.patches import MARGIN, origin, patch_size

STATISTICS = ("coarseness", "contrast", "busyness", "complexity", "strength")
"""Names of the statistics in the order in which they are computed."""

AT = indices(STATISTICS)

N_STATISTICS = len(STATISTICS)

UNIT = 840
"""Multiple of 1..8; differences from the mean of 1..8 neighbours are whole numbers of 1/840."""


@kernel
def difference_matrices(patches, run_starts, runs, boxes, n_levels):
    """Count the pixels that have a neighbour and sum up their differences, by grey level.

    Parameters
    ----------
    patches, run_starts, runs, boxes, n_levels
        Patches of the cells and the arguments of ``patches.patches`` they were cut with.

    Returns
    -------
    (n_cells, 2, n_levels) float64 array
        Number of pixels, and their sum of |level - mean of the neighbours in the cell|.
    """
    n_cells = boxes.shape[0]
    out = np.zeros((n_cells, 2, n_levels), np.float64)
    # Histograms over the number of neighbours and the level, with the number of pixels in the high
    # bits and the sum of differences in the low bits. Two are used in turn, so that equal
    # neighbours do not increment the same bin.
    one_pixel = np.int64(1) << np.int64(40)
    even = np.empty(9 * n_levels, np.int64)
    odd = np.empty(9 * n_levels, np.int64)
    widest = 0
    for run in range(runs.shape[0]):
        widest = max(widest, runs[run, 2] - runs[run, 1])
    column_sum = np.empty(widest + 2, np.uint16)
    column_count = np.empty(widest + 2, np.uint16)
    bins = np.empty(widest, np.uint16)
    scaled_level = np.empty(widest, np.uint16)
    neighbour_sum = np.empty(widest, np.uint16)
    difference = np.empty(widest, np.uint16)
    outside = np.uint8(n_levels)
    offset = 0
    for cell in range(n_cells):
        if run_starts[cell + 1] == run_starts[cell]:
            continue
        box = boxes[cell]
        corner, stride = origin(box, MARGIN)
        for k in range(even.size):
            even[k] = odd[k] = 0
        for run in range(run_starts[cell], run_starts[cell + 1]):
            n = runs[run, 2] - runs[run, 1]
            start = offset + corner + (runs[run, 0] - box[0]) * stride + runs[run, 1] - box[2]
            n_columns = n + 2
            above = patches[start - stride - 1 : start - stride - 1 + n_columns]
            middle = patches[start - 1 : start - 1 + n_columns]
            below = patches[start + stride - 1 : start + stride - 1 + n_columns]
            for k in range(n_columns):
                a, b, c = above[k], middle[k], below[k]
                column_count[k] = (
                    np.int64(a != outside) + np.int64(b != outside) + np.int64(c != outside)
                )
                column_sum[k] = (
                    (np.int64(a) if a != outside else 0)
                    + (np.int64(b) if b != outside else 0)
                    + (np.int64(c) if c != outside else 0)
                )
            centre = middle[1:]
            sum_here, sum_right = column_sum[1:], column_sum[2:]
            count_here, count_right = column_count[1:], column_count[2:]
            # Loops that store 16-bit numbers only are vectorised in 16-bit lanes.
            for k in range(n):
                level = np.int64(centre[k])
                count = (
                    np.int64(column_count[k]) + np.int64(count_here[k]) + np.int64(count_right[k])
                ) - 1
                scaled_level[k] = level * count
                bins[k] = count * n_levels + level
                neighbour_sum[k] = (
                    np.int64(column_sum[k]) + np.int64(sum_here[k]) + np.int64(sum_right[k]) - level
                )
            for k in range(n):
                difference[k] = max(scaled_level[k], neighbour_sum[k]) - min(
                    scaled_level[k], neighbour_sum[k]
                )
            for k in range(0, n - 1, 2):
                even[np.uint64(bins[k])] += one_pixel + np.int64(difference[k])
                odd[np.uint64(bins[k + 1])] += one_pixel + np.int64(difference[k + 1])
            if n % 2 == 1:
                even[np.uint64(bins[n - 1])] += one_pixel + np.int64(difference[n - 1])
        offset += patch_size(box, MARGIN)
        for level in range(n_levels):
            pixels = 0
            summed = 0
            for count in range(1, 9):
                packed = even[count * n_levels + level] + odd[count * n_levels + level]
                pixels += packed >> np.int64(40)
                summed += (packed & (one_pixel - 1)) * (UNIT // count)
            out[cell, 0, level] = pixels
            out[cell, 1, level] = summed / UNIT
    return out


@kernel
def stack_statistics(matrices):
    """Compute the statistics of a stack of matrices.

    Parameters
    ----------
    matrices : (n, 2, L) float64 array
        Number of pixels and sum of differences of each level, levels from 1.

    Returns
    -------
    (n, 5) float64 array
        Values of the `STATISTICS`; NaN where a divisor is 0.
    """
    out = np.empty((matrices.shape[0], N_STATISTICS), np.float64)
    n_levels = matrices.shape[2]
    p = np.empty(n_levels, np.float64)
    s = np.empty(n_levels, np.float64)
    level = np.empty(n_levels, np.float64)
    for index in range(matrices.shape[0]):
        pixels, differences, row = matrices[index, 0], matrices[index, 1], out[index]
        for k in range(N_STATISTICS):
            row[k] = np.nan
        total = 0.0
        for i in range(n_levels):
            total += pixels[i]
        if total <= 0.0:
            continue
        n = 0
        weighted = sum_of_differences = 0.0
        for i in range(n_levels):
            sum_of_differences += differences[i]
            if pixels[i] > 0:
                p[n] = pixels[i] / total
                s[n] = differences[i]
                level[n] = i + 1.0
                weighted += p[n] * s[n]
                n += 1
        spread = complexity = strength = busy = 0.0
        for a in range(n):
            for b in range(a):
                distance = level[a] - level[b]
                spread += 2.0 * p[a] * p[b] * distance * distance
                busy += 2.0 * abs(level[a] * p[a] - level[b] * p[b])
                complexity += 2.0 * distance * (p[a] * s[a] + p[b] * s[b]) / (p[a] + p[b])
                strength += 2.0 * (p[a] + p[b]) * distance * distance
        if weighted > 0.0:
            row[AT.coarseness] = 1.0 / weighted
        if n > 1:
            row[AT.contrast] = spread / (n * (n - 1.0)) * sum_of_differences / total
        if busy > 0.0:
            row[AT.busyness] = weighted / busy
        row[AT.complexity] = complexity / total
        if sum_of_differences > 0.0:
            row[AT.strength] = strength / sum_of_differences
    return out
