"""Neighbourhood grey-tone difference: how far a pixel is from the mean of its neighbours."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel
from hemafeat.extract._kernels.patches import MARGIN, origin, patch_size

N_STATISTICS = 5

WHOLE = 840
"""A multiple of 1..8: with it a difference from the mean of 1..8 neighbours is a whole number."""


@kernel
def difference_matrices(patches, run_starts, runs, boxes, n_levels):
    """Pixels with a neighbour, and the sum of their differences from the mean, by level.

    Parameters
    ----------
    patches, run_starts, runs, boxes, n_levels
        As for ``patches.patches``, and what it returns.

    Returns
    -------
    (n_cells, 2, n_levels) float64 array
        Number of pixels; sum of |level - mean of the neighbours in the cell|.
    """
    n_cells = boxes.shape[0]
    out = np.zeros((n_cells, 2, n_levels))
    # By number of neighbours and level: pixels in the high bits, differences in the low ones, in
    # two histograms in turn, so that equal neighbours wait on two chains, not on one.
    one = np.int64(1) << np.int64(40)
    even = np.empty(9 * n_levels, np.int64)
    odd = np.empty(9 * n_levels, np.int64)
    widest = 0
    for run in range(runs.shape[0]):
        widest = max(widest, runs[run, 2] - runs[run, 1])
    column_sum = np.empty(widest + 2, np.uint16)
    column_count = np.empty(widest + 2, np.uint16)
    where = np.empty(widest, np.uint16)
    wanted = np.empty(widest, np.uint16)
    total = np.empty(widest, np.uint16)
    apart = np.empty(widest, np.uint16)
    outside = np.uint8(n_levels)
    place = 0
    for cell in range(n_cells):
        if run_starts[cell + 1] == run_starts[cell]:
            continue
        box = boxes[cell]
        corner, stride = origin(box, MARGIN)
        for k in range(even.size):
            even[k] = odd[k] = 0
        for run in range(run_starts[cell], run_starts[cell + 1]):
            n = runs[run, 2] - runs[run, 1]
            start = place + corner + (runs[run, 0] - box[0]) * stride + runs[run, 1] - box[2]
            wide = n + 2
            above = patches[start - stride - 1 : start - stride - 1 + wide]
            here = patches[start - 1 : start - 1 + wide]
            below = patches[start + stride - 1 : start + stride - 1 + wide]
            for k in range(wide):
                a, b, c = above[k], here[k], below[k]
                column_count[k] = (
                    np.int64(a != outside) + np.int64(b != outside) + np.int64(c != outside)
                )
                column_sum[k] = (
                    (np.int64(a) if a != outside else 0)
                    + (np.int64(b) if b != outside else 0)
                    + (np.int64(c) if c != outside else 0)
                )
            centre = here[1:]
            sum_here, sum_right = column_sum[1:], column_sum[2:]
            count_here, count_right = column_count[1:], column_count[2:]
            # Each loop stores 16-bit numbers, which is what keeps it to 16-bit lanes.
            for k in range(n):
                level = np.int64(centre[k])
                count = (
                    np.int64(column_count[k]) + np.int64(count_here[k]) + np.int64(count_right[k])
                ) - 1
                wanted[k] = level * count
                where[k] = count * n_levels + level
                total[k] = (
                    np.int64(column_sum[k]) + np.int64(sum_here[k]) + np.int64(sum_right[k]) - level
                )
            for k in range(n):
                apart[k] = max(wanted[k], total[k]) - min(wanted[k], total[k])
            for k in range(0, n - 1, 2):
                even[np.uint64(where[k])] += one + np.int64(apart[k])
                odd[np.uint64(where[k + 1])] += one + np.int64(apart[k + 1])
            if n % 2 == 1:
                even[np.uint64(where[n - 1])] += one + np.int64(apart[n - 1])
        place += patch_size(box, MARGIN)
        for level in range(n_levels):
            pixels = 0
            summed = 0
            for count in range(1, 9):
                both = even[count * n_levels + level] + odd[count * n_levels + level]
                pixels += both >> np.int64(40)
                summed += (both & (one - 1)) * (WHOLE // count)
            out[cell, 0, level] = pixels
            out[cell, 1, level] = summed / WHOLE
    return out


@kernel
def statistics(matrices):
    """The 5 IBSI statistics of each matrix.

    Parameters
    ----------
    matrices : (n, 2, L) float64 array
        Number of pixels n_i and sum of differences s_i by level, levels from 1.

    Returns
    -------
    (n, 5) float64 array
        In the order of ``hemafeat.extract._families.ngtdm.STATISTICS``; NaN where a divisor is 0.
    """
    out = np.empty((matrices.shape[0], N_STATISTICS))
    n_levels = matrices.shape[2]
    p = np.empty(n_levels)
    s = np.empty(n_levels)
    level = np.empty(n_levels)
    for which in range(matrices.shape[0]):
        pixels, differences, found = matrices[which, 0], matrices[which, 1], out[which]
        for k in range(N_STATISTICS):
            found[k] = np.nan
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
                apart = level[a] - level[b]
                spread += 2.0 * p[a] * p[b] * apart * apart
                busy += 2.0 * abs(level[a] * p[a] - level[b] * p[b])
                complexity += 2.0 * apart * (p[a] * s[a] + p[b] * s[b]) / (p[a] + p[b])
                strength += 2.0 * (p[a] + p[b]) * apart * apart
        if weighted > 0.0:
            found[0] = 1.0 / weighted
        if n > 1:
            found[1] = spread / (n * (n - 1.0)) * sum_of_differences / total
        if busy > 0.0:
            found[2] = weighted / busy
        found[3] = complexity / total
        if sum_of_differences > 0.0:
            found[4] = strength / sum_of_differences
    return out
