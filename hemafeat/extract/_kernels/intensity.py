"""Histograms, and the statistics of first order that follow from them exactly."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel

N_STATISTICS = 22


@kernel
def histograms(levels, starts):
    """Histogram of every channel of every cell.

    Parameters
    ----------
    levels : (3, N) uint8 array
        R, G and B of the pixels, cell after cell.
    starts : (n_cells + 1,) int64 array
        Where each cell starts, as ``regions.pixels`` gives it.

    Returns
    -------
    (n_cells, 3, 256) int64 array
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
            # Four tables in turn: a run of equal pixels then waits on four chains, not on one.
            for k in range(0, n - 3, 4):
                a[values[k]] += 1
                b[values[k + 1]] += 1
                c[values[k + 2]] += 1
                d[values[k + 3]] += 1
            for k in range(n - n % 4, n):
                a[values[k]] += 1
            counts[cell, channel] = a + b + c + d
    return counts


@kernel
def first_order(values, counts, top, n_bins):
    """The statistics of first order of the IBSI, from histograms.

    Parameters
    ----------
    values : (C, K) float64 array
        Of each channel, all rising or all falling.
    counts : (n_cells, C, K) int64 array
        How often each value occurs.
    top, n_bins : float, int
        For entropy and uniformity [0, top] is cut into so many bins of one width; values outside
        count to the end bins.

    Returns
    -------
    (n_cells, C, 22) float64 array
        Mean, variance, standard deviation, skewness, excess kurtosis, median, minimum, 10th and
        90th percentile, maximum, interquartile range, range, mean absolute deviation, robust mean
        absolute deviation, median absolute deviation, coefficient of variation, quartile
        coefficient of dispersion, energy, root mean square, entropy (bits), uniformity, sum. NaN
        where there is no pixel.
    """
    n_cells, n_channels, n_values = counts.shape
    out = np.full((n_cells, n_channels, N_STATISTICS), np.nan)
    some, often = np.empty(n_values), np.empty(n_values)
    filled = np.empty(n_bins, np.int64)
    for cell in range(n_cells):
        for channel in range(n_channels):
            row = counts[cell, channel]
            filled[:] = 0
            n = occupied(values[channel], row, n_bins / top, some, often, filled)
            if n > 0:
                statistics(some[:n], often[:n], filled, out[cell, channel])
    return out


@kernel
def occupied(values, counts, per_unit, into_values, into_counts, filled):
    """Copy the values that occur, ascending, and fill the bins; returns how many values do."""
    n = 0
    last = values.size - 1
    falling = values[0] > values[last]
    for step in range(values.size):
        k = last - step if falling else step
        if counts[k] > 0:
            into_values[n] = values[k]
            into_counts[n] = counts[k]
            place = min(max(math.floor(values[k] * per_unit), 0), filled.size - 1)
            filled[place] += counts[k]
            n += 1
    return n


@kernel
def percentiles(values, counts, n_pixels):
    """10th, 25th, 50th, 75th and 90th percentile of ascending values, linear between neighbours.

    The rule is NumPy's default (type 7 of Hyndman and Fan 1996).
    """
    out = np.empty(5)
    k = 0
    seen = counts[0]
    for place, share in enumerate((0.1, 0.25, 0.5, 0.75, 0.9)):
        rank = share * (n_pixels - 1.0)
        low = math.floor(rank)
        rest = rank - low
        while seen <= low and k + 1 < values.size:
            k += 1
            seen += counts[k]
        out[place] = values[k]
        if seen <= low + 1.0 and rest > 0.0 and k + 1 < values.size:
            out[place] += rest * (values[k + 1] - values[k])
    return out


@kernel
def statistics(v, c, filled, row):
    """The statistics of ascending values `v` that occur `c` times."""
    n_pixels = c.sum()
    # Deviations from the first value: a flat region then has moments of exactly zero.
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
    row[0] = mean
    row[1] = m2
    row[2] = math.sqrt(m2)
    if m2 > 0.0:
        row[3] = m3 / (m2 * math.sqrt(m2))
        row[4] = m4 / (m2 * m2) - 3.0
    row[5] = median
    row[6] = v[0]
    row[7] = p10
    row[8] = p90
    row[9] = v[v.size - 1]
    row[10] = p75 - p25
    row[11] = v[v.size - 1] - v[0]
    row[12] = from_mean / n_pixels
    if n_inside > 0.0:
        middle = inside / n_inside
        robust = 0.0
        for k in range(v.size):
            weight = c[k] if p10 <= v[k] <= p90 else 0.0
            robust += weight * abs(v[k] - middle)
        row[13] = robust / n_inside
    row[14] = from_median / n_pixels
    if mean != 0.0:
        row[15] = row[2] / mean
    if p75 + p25 != 0.0:
        row[16] = (p75 - p25) / (p75 + p25)
    row[17] = energy
    row[18] = math.sqrt(energy / n_pixels)
    entropy = uniformity = 0.0
    for k in range(filled.size):
        if filled[k] > 0:
            p = filled[k] / n_pixels
            entropy -= p * math.log2(p)
            uniformity += p * p
    row[19] = entropy
    row[20] = uniformity
    row[21] = n_pixels * mean
