"""Statistics of matrices that count runs, zones or pixels by grey level and extent.

The extent of a run is its length, that of a zone its size, and that of a pixel its dependence.
"""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import indices, kernel

STATISTICS = (
    "small_extent_emphasis",
    "large_extent_emphasis",
    "low_level_emphasis",
    "high_level_emphasis",
    "small_extent_low_level_emphasis",
    "small_extent_high_level_emphasis",
    "large_extent_low_level_emphasis",
    "large_extent_high_level_emphasis",
    "level_non_uniformity",
    "normalised_level_non_uniformity",
    "extent_non_uniformity",
    "normalised_extent_non_uniformity",
    "percentage",
    "level_variance",
    "extent_variance",
    "entropy",
    "energy",
)
"""Names of the statistics in the order in which they are computed."""

AT = indices(STATISTICS)

N_STATISTICS = len(STATISTICS)


@kernel
def weighted_log(count, table):
    """Return ``count * log2(count)``, 0 for 0; `table` holds the values of small counts."""
    if count < table.size:
        return table[count]
    return count * math.log2(count)


@kernel
def matrix_statistics(counts, extents, table, out):
    """Compute the statistics of one matrix.

    Parameters
    ----------
    counts : (K, L) int64 array
        Number of runs, zones or pixels of extent ``extents[k]`` and grey level i + 1 (IBSI numbers
        levels from 1).
    extents : (K,) int64 array
        Extent of each row of `counts`, in ascending order.
    table : (T,) float64 array
        Values of ``n log2 n`` for n below T.
    out : (17,) float64 array
        Filled with the `STATISTICS`; NaN where all counts are 0.
    """
    n_levels = counts.shape[1]
    level_counts = np.zeros(n_levels, np.int64)
    total = 0
    n_pixels = 0
    largest = 0
    squares = 0
    joint = 0.0
    small = large = 0.0
    small_low = small_high = large_low = large_high = 0.0
    extent_non_uniformity = 0.0
    low_weight = np.empty(n_levels, np.float64)
    for i in range(n_levels):
        low_weight[i] = 1.0 / ((i + 1.0) * (i + 1.0))
    for k in range(extents.size):
        line = counts[k]
        row_sum = 0
        high = 0
        low = 0.0
        for i in range(n_levels):
            count = line[i]
            if count > 0:
                row_sum += count
                level_counts[i] += count
                largest = max(largest, count)
                squares += count * count
                joint += weighted_log(count, table)
                low += count * low_weight[i]
                high += count * (i + 1) * (i + 1)
        if row_sum > 0:
            extent = float(extents[k])
            square = extent * extent
            total += row_sum
            n_pixels += row_sum * extents[k]
            small += row_sum / square
            large += row_sum * square
            small_low += low / square
            small_high += high / square
            large_low += low * square
            large_high += high * square
            extent_non_uniformity += float(row_sum) * row_sum
    if total == 0:
        for k in range(N_STATISTICS):
            out[k] = np.nan
        return
    n = float(total)
    level_non_uniformity = 0.0
    low = high = mean_level = 0.0
    for i in range(n_levels):
        level_non_uniformity += float(level_counts[i]) * level_counts[i]
        low += level_counts[i] * low_weight[i]
        high += level_counts[i] * (i + 1.0) * (i + 1.0)
        mean_level += level_counts[i] * (i + 1.0)
    mean_level /= n
    mean_extent = n_pixels / n
    level_variance = 0.0
    for i in range(n_levels):
        level_variance += level_counts[i] * (i + 1.0 - mean_level) ** 2
    extent_variance = 0.0
    for k in range(extents.size):
        row_sum = 0
        for i in range(n_levels):
            row_sum += counts[k, i]
        extent_variance += row_sum * (extents[k] - mean_extent) ** 2
    out[AT.small_extent_emphasis] = small / n
    out[AT.large_extent_emphasis] = large / n
    out[AT.low_level_emphasis] = low / n
    out[AT.high_level_emphasis] = high / n
    out[AT.small_extent_low_level_emphasis] = small_low / n
    out[AT.small_extent_high_level_emphasis] = small_high / n
    out[AT.large_extent_low_level_emphasis] = large_low / n
    out[AT.large_extent_high_level_emphasis] = large_high / n
    out[AT.level_non_uniformity] = level_non_uniformity / n
    out[AT.normalised_level_non_uniformity] = level_non_uniformity / (n * n)
    out[AT.extent_non_uniformity] = extent_non_uniformity / n
    out[AT.normalised_extent_non_uniformity] = extent_non_uniformity / (n * n)
    out[AT.percentage] = n / n_pixels
    out[AT.level_variance] = level_variance / n
    out[AT.extent_variance] = extent_variance / n
    # The entropy of a single entry is exactly 0; two logarithms would leave a rounding error.
    out[AT.entropy] = 0.0 if largest == total else math.log2(n) - joint / n
    out[AT.energy] = squares / (n * n)


@kernel
def stack_statistics(matrices, extents, table):
    """Return the (n, 17) float64 statistics of (n, K, L) int64 matrices."""
    out = np.empty((matrices.shape[0], N_STATISTICS), np.float64)
    for index in range(matrices.shape[0]):
        matrix_statistics(matrices[index], extents, table, out[index])
    return out
