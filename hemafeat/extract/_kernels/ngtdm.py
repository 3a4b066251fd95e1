"""Neighbourhood grey-tone difference: how far a pixel is from the mean of its neighbours."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel
from hemafeat.extract._kernels.patches import origin, patch_size

N_STATISTICS = 5

WHOLE = 840
"""A multiple of 1..8: with it a difference from the mean of 1..8 neighbours is a whole number."""


@kernel
def differences(patch, runs, box, n_levels):
    """Pixels with a neighbour, and the sum of their differences from the mean, by level.

    Parameters
    ----------
    patch, box
        Of the cell; see ``patches``.
    runs : (M, 3) int64 array
        The cell's pixels: row, first column, column after the last one.
    n_levels : int
        Number of grey levels.

    Returns
    -------
    (2, n_levels) int64 array
        Number of pixels; sum of |level - mean of the neighbours in the cell| in units of
        1/`WHOLE`.
    """
    width = box[3] - box[2]
    corner, stride = origin(box)
    # By number of neighbours and level: pixels in the high bits, differences in the low ones, in
    # two histograms in turn, so that equal neighbours wait on two chains, not on one.
    found = np.zeros((2, 9 * n_levels), np.int64)
    even, odd = found[0], found[1]
    one = np.int64(1) << np.int64(40)
    column_sum = np.empty(width + 2, np.uint16)
    column_count = np.empty(width + 2, np.uint16)
    where = np.empty(width, np.uint16)
    wanted = np.empty(width, np.uint16)
    total = np.empty(width, np.uint16)
    apart = np.empty(width, np.uint16)
    outside = np.uint8(n_levels)
    for run in range(runs.shape[0]):
        n = runs[run, 2] - runs[run, 1]
        start = corner + (runs[run, 0] - box[0]) * stride + runs[run, 1] - box[2]
        wide = n + 2
        above = patch[start - stride - 1 : start - stride - 1 + wide]
        here = patch[start - 1 : start - 1 + wide]
        below = patch[start + stride - 1 : start + stride - 1 + wide]
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
        sum_left, sum_here, sum_right = column_sum[:n], column_sum[1 : n + 1], column_sum[2:wide]
        count_left, count_here = column_count[:n], column_count[1 : n + 1]
        count_right = column_count[2:wide]
        # Each loop stores 16-bit numbers, which is what keeps it to 16-bit lanes.
        for k in range(n):
            level = np.int64(centre[k])
            count = np.int64(count_left[k]) + np.int64(count_here[k]) + np.int64(count_right[k]) - 1
            wanted[k] = level * count
            where[k] = count * n_levels + level
            total[k] = (
                np.int64(sum_left[k]) + np.int64(sum_here[k]) + np.int64(sum_right[k]) - level
            )
        for k in range(n):
            more, less = max(wanted[k], total[k]), min(wanted[k], total[k])
            apart[k] = more - less
        for k in range(0, n - 1, 2):
            even[np.uint64(where[k])] += one + np.int64(apart[k])
            odd[np.uint64(where[k + 1])] += one + np.int64(apart[k + 1])
        if n % 2 == 1:
            even[where[n - 1]] += one + np.int64(apart[n - 1])
    out = np.zeros((2, n_levels), np.int64)
    for count in range(1, 9):
        for level in range(n_levels):
            both = even[count * n_levels + level] + odd[count * n_levels + level]
            out[0, level] += both >> np.int64(40)
            out[1, level] += (both & (one - 1)) * (WHOLE // count)
    return out


@kernel
def statistics(pixels, differences, out):
    """The 5 IBSI statistics.

    Parameters
    ----------
    pixels, differences : (L,) float64 array
        Number of pixels n_i and sum of differences s_i by level, levels from 1.
    out : (5,) float64 array
        Filled in the order of ``hemafeat.extract._ngtdm.STATISTICS``; NaN where a divisor is 0.
    """
    out[:] = np.nan
    total = pixels.sum()
    if total <= 0:
        return
    n_levels = pixels.size
    p = np.empty(n_levels)
    s = np.empty(n_levels)
    level = np.empty(n_levels)
    n = 0
    weighted = 0.0
    for i in range(n_levels):
        if pixels[i] > 0:
            p[n] = pixels[i] / total
            s[n] = differences[i]
            level[n] = i + 1.0
            weighted += p[n] * s[n]
            n += 1
    sum_of_differences = differences.sum()
    spread = complexity = strength = busy = 0.0
    for a in range(n):
        for b in range(a):
            apart = level[a] - level[b]
            spread += 2.0 * p[a] * p[b] * apart * apart
            busy += 2.0 * abs(level[a] * p[a] - level[b] * p[b])
            complexity += 2.0 * apart * (p[a] * s[a] + p[b] * s[b]) / (p[a] + p[b])
            strength += 2.0 * (p[a] + p[b]) * apart * apart
    if weighted > 0.0:
        out[0] = 1.0 / weighted
    if n > 1:
        out[1] = spread / (n * (n - 1.0)) * sum_of_differences / total
    if busy > 0.0:
        out[2] = weighted / busy
    out[3] = complexity / total
    if sum_of_differences > 0.0:
        out[4] = strength / sum_of_differences


@kernel
def difference_matrices(patches, run_starts, runs, boxes, n_levels):
    """`differences` of every cell, the sums in grey levels.

    Parameters
    ----------
    patches, run_starts, runs, boxes, n_levels
        As for ``patches.patches``, and what it returns.

    Returns
    -------
    (n_cells, 2, n_levels) float64 array
    """
    n_cells = boxes.shape[0]
    out = np.zeros((n_cells, 2, n_levels))
    place = 0
    for cell in range(n_cells):
        own = runs[run_starts[cell] : run_starts[cell + 1]]
        if own.shape[0] == 0:
            continue
        found = differences(patches[place:], own, boxes[cell], n_levels)
        place += patch_size(boxes[cell])
        for level in range(n_levels):
            out[cell, 0, level] = found[0, level]
            out[cell, 1, level] = found[1, level] / WHOLE
    return out


@kernel
def measure(patches, run_starts, runs, boxes, n_levels):
    """(n_cells, 5) float64 statistics of every cell; arguments as for `difference_matrices`."""
    found = difference_matrices(patches, run_starts, runs, boxes, n_levels)
    out = np.empty((found.shape[0], N_STATISTICS))
    for cell in range(found.shape[0]):
        statistics(found[cell, 0], found[cell, 1], out[cell])
    return out
