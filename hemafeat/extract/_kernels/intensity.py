"""Histograms, and the first-order statistics that follow from them exactly."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import indices, inlined, kernel
from hemafeat.extract._kernels.arrays import total

STATISTICS = (
    "mean",
    "variance",
    "sd",
    "skewness",
    "kurtosis",
    "median",
    "minimum",
    "percentile_10",
    "percentile_90",
    "maximum",
    "interquartile_range",
    "range",
    "mean_absolute_deviation",
    "robust_mean_absolute_deviation",
    "median_absolute_deviation",
    "coefficient_of_variation",
    "quartile_coefficient_of_dispersion",
    "energy",
    "root_mean_square",
    "entropy",
    "uniformity",
    "sum",
)
"""Names of the statistics in the order in which they are computed; entropy is in bits."""
N_STATISTICS = len(STATISTICS)

AT = indices(STATISTICS)


@kernel
def histograms(levels, starts):
    """Compute the histogram of every channel of every cell.

    Parameters
    ----------
    levels : (3, N) uint8 array
        R, G and B of the pixels, cell after cell.
    starts : (n_cells + 1,) int64 array
        Index of the first pixel of each cell, and the number of pixels.

    Returns
    -------
    (n_cells, 3, 256) int64 array
        Number of pixels of each level.
    """
    n_cells = starts.size - 1
    counts = np.zeros((n_cells, 3, 256), np.int64)
    tables = np.empty((4, 256), np.int32)
    a, b, c, d = tables[0], tables[1], tables[2], tables[3]
    for cell in range(n_cells):
        n = starts[cell + 1] - starts[cell]
        for channel in range(3):
            values = levels[channel, starts[cell] : starts[cell + 1]]
            tables[:] = 0
            # Four tables are used in turn, so that equal neighbours do not increment the same bin.
            for k in range(0, n - 3, 4):
                a[values[k]] += 1
                b[values[k + 1]] += 1
                c[values[k + 2]] += 1
                d[values[k + 3]] += 1
            for k in range(n - n % 4, n):
                a[values[k]] += 1
            row = counts[cell, channel]
            for level in range(256):
                row[level] = a[level] + b[level] + c[level] + d[level]
    return counts


@kernel
def first_order(values, counts, top, n_bins):
    """Compute the first-order statistics of IBSI from histograms.

    Parameters
    ----------
    values : (C, K) float64 array
        Values of the bins of each channel, all ascending or all descending.
    counts : (n_cells, C, K) int64 array
        Number of pixels of each value.
    top, n_bins : float, int
        Range and number of the bins for entropy and uniformity: [0, top] is cut into `n_bins` of
        equal width, and values outside count towards the end bins.

    Returns
    -------
    (n_cells, C, 22) float64 array
        Values of the `STATISTICS`; NaN where there is no pixel.
    """
    n_cells, n_channels, n_values = counts.shape
    out = np.empty((n_cells, n_channels, N_STATISTICS), np.float64)
    out[:] = np.nan
    unique, repeats = np.empty(n_values, np.float64), np.empty(n_values, np.float64)
    filled = np.empty(n_bins, np.int64)
    for cell in range(n_cells):
        for channel in range(n_channels):
            row = counts[cell, channel]
            filled[:] = 0
            n = compress(values[channel], row, n_bins / top, unique, repeats, filled)
            if n > 0:
                statistics(unique[:n], repeats[:n], filled, out[cell, channel])
    return out


@inlined
def compress(values, counts, per_unit, values_out, counts_out, filled):
    """Copy the values that occur in ascending order, fill the bins, and return their number."""
    n = 0
    last = values.size - 1
    falling = values[0] > values[last]
    for step in range(values.size):
        k = last - step if falling else step
        if counts[k] > 0:
            values_out[n] = values[k]
            counts_out[n] = counts[k]
            index = min(max(math.floor(values[k] * per_unit), 0), filled.size - 1)
            filled[index] += counts[k]
            n += 1
    return n


@kernel
def percentiles(values, counts, n_pixels):
    """Return the 10th, 25th, 50th, 75th and 90th percentile of ascending values.

    They are interpolated linearly, as by default in NumPy (type 7 of Hyndman and Fan 1996).
    """
    out = np.empty(5, np.float64)
    k = 0
    cumulative = counts[0]
    for index, share in enumerate((0.1, 0.25, 0.5, 0.75, 0.9)):
        rank = share * (n_pixels - 1.0)
        low = math.floor(rank)
        fraction = rank - low
        while cumulative <= low and k + 1 < values.size:
            k += 1
            cumulative += counts[k]
        out[index] = values[k]
        if cumulative <= low + 1.0 and fraction > 0.0 and k + 1 < values.size:
            out[index] += fraction * (values[k + 1] - values[k])
    return out


@kernel
def statistics(v, c, filled, row):
    """Compute the statistics of ascending values `v` with counts `c`; `filled` are the bins."""
    n_pixels = total(c)
    # Deviations are taken from the first value, so that a flat region has moments of exactly 0.
    origin = v[0]
    first = energy = 0.0
    for k in range(v.size):
        first += c[k] * (v[k] - origin)
        energy += c[k] * v[k] * v[k]
    first /= n_pixels
    mean = origin + first
    p10, p25, median, p75, p90 = percentiles(v, c, n_pixels)
    m2 = m3 = m4 = from_mean = from_median = n_inside = inside = 0.0
    for k in range(v.size):
        d = v[k] - origin - first
        square = c[k] * d * d
        m2 += square
        m3 += square * d
        m4 += square * d * d
        from_mean += c[k] * abs(d)
        from_median += c[k] * abs(v[k] - median)
        weight = c[k] if p10 <= v[k] <= p90 else 0.0
        n_inside += weight
        inside += weight * v[k]
    m2, m3, m4 = m2 / n_pixels, m3 / n_pixels, m4 / n_pixels
    row[AT.mean] = mean
    row[AT.variance] = m2
    row[AT.sd] = math.sqrt(m2)
    if m2 > 0.0:
        row[AT.skewness] = m3 / (m2 * math.sqrt(m2))
        row[AT.kurtosis] = m4 / (m2 * m2) - 3.0
    row[AT.median] = median
    row[AT.minimum] = v[0]
    row[AT.percentile_10] = p10
    row[AT.percentile_90] = p90
    row[AT.maximum] = v[v.size - 1]
    row[AT.interquartile_range] = p75 - p25
    row[AT.range] = v[v.size - 1] - v[0]
    row[AT.mean_absolute_deviation] = from_mean / n_pixels
    if n_inside > 0.0:
        middle = inside / n_inside
        robust = 0.0
        for k in range(v.size):
            weight = c[k] if p10 <= v[k] <= p90 else 0.0
            robust += weight * abs(v[k] - middle)
        row[AT.robust_mean_absolute_deviation] = robust / n_inside
    row[AT.median_absolute_deviation] = from_median / n_pixels
    if mean != 0.0:
        row[AT.coefficient_of_variation] = row[AT.sd] / mean
    if p75 + p25 != 0.0:
        row[AT.quartile_coefficient_of_dispersion] = (p75 - p25) / (p75 + p25)
    row[AT.energy] = energy
    row[AT.root_mean_square] = math.sqrt(energy / n_pixels)
    entropy = uniformity = 0.0
    for k in range(filled.size):
        if filled[k] > 0:
            p = filled[k] / n_pixels
            entropy -= p * math.log2(p)
            uniformity += p * p
    row[AT.entropy] = entropy
    row[AT.uniformity] = uniformity
    row[AT.sum] = n_pixels * mean
