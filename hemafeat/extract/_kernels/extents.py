"""What run lengths, zone sizes and dependences have in common: 17 statistics of one matrix.

All three count things (runs, zones, pixels) by their grey level and their extent (length, size,
number of dependent neighbours plus one).
"""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel

N_STATISTICS = 17
PER_PIXEL = 12
"""Place of the statistic "things per pixel"."""


@kernel
def weighted_log(count, table):
    """``count * log2(count)``, 0 for 0; `table` holds it for small counts."""
    if count < table.size:
        return table[count]
    return count * math.log2(count)


@kernel
def statistics(counts, extents, table, out):
    """The statistics of one matrix.

    Parameters
    ----------
    counts : (K, L) int64 array
        How many there are of extent ``extents[k]`` and grey level i + 1 (IBSI numbers levels from
        1).
    extents : (K,) int64 array
        Ascending.
    table : (T,) float64 array
        ``n log2 n`` for n below T.
    out : (17,) float64 array
        In the order of ``hemafeat.extract._families.matrices.STATISTICS``; NaN without any count.
    """
    n_levels = counts.shape[1]
    of_level = np.zeros(n_levels, np.int64)
    total = 0
    n_pixels = 0
    most = 0
    squares = 0
    joint = 0.0
    small = large = 0.0
    small_low = small_high = large_low = large_high = 0.0
    extent_non_uniformity = 0.0
    low_weight = np.empty(n_levels)
    for i in range(n_levels):
        low_weight[i] = 1.0 / ((i + 1.0) * (i + 1.0))
    for k in range(extents.size):
        line = counts[k]
        here = 0
        high = 0
        low = 0.0
        for i in range(n_levels):
            count = line[i]
            if count > 0:
                here += count
                of_level[i] += count
                most = max(most, count)
                squares += count * count
                joint += weighted_log(count, table)
                low += count * low_weight[i]
                high += count * (i + 1) * (i + 1)
        if here > 0:
            extent = float(extents[k])
            square = extent * extent
            total += here
            n_pixels += here * extents[k]
            small += here / square
            large += here * square
            small_low += low / square
            small_high += high / square
            large_low += low * square
            large_high += high * square
            extent_non_uniformity += float(here) * here
    if total == 0:
        for k in range(N_STATISTICS):
            out[k] = np.nan
        return
    n = float(total)
    level_non_uniformity = 0.0
    low = high = mean_level = 0.0
    for i in range(n_levels):
        level_non_uniformity += float(of_level[i]) * of_level[i]
        low += of_level[i] * low_weight[i]
        high += of_level[i] * (i + 1.0) * (i + 1.0)
        mean_level += of_level[i] * (i + 1.0)
    mean_level /= n
    mean_extent = n_pixels / n
    level_variance = 0.0
    for i in range(n_levels):
        level_variance += of_level[i] * (i + 1.0 - mean_level) ** 2
    extent_variance = 0.0
    for k in range(extents.size):
        here = 0
        for i in range(n_levels):
            here += counts[k, i]
        extent_variance += here * (extents[k] - mean_extent) ** 2
    out[0] = small / n
    out[1] = large / n
    out[2] = low / n
    out[3] = high / n
    out[4] = small_low / n
    out[5] = small_high / n
    out[6] = large_low / n
    out[7] = large_high / n
    out[8] = level_non_uniformity / n
    out[9] = level_non_uniformity / (n * n)
    out[10] = extent_non_uniformity / n
    out[11] = extent_non_uniformity / (n * n)
    out[PER_PIXEL] = n / n_pixels
    out[13] = level_variance / n
    out[14] = extent_variance / n
    # The entropy of a single entry is 0, without the rounding of two logarithms.
    out[15] = 0.0 if most == total else math.log2(n) - joint / n
    out[16] = squares / (n * n)


@kernel
def each_statistics(counts, extents, table):
    """(n, 17) float64 statistics of each of (n, K, L) int64 matrices, as by `statistics`."""
    out = np.empty((counts.shape[0], N_STATISTICS))
    for which in range(counts.shape[0]):
        statistics(counts[which], extents, table, out[which])
    return out
