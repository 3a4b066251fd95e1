"""Histograms, and the statistics of first order that follow from them exactly."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel


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
def occupied(values, counts, into_values, into_counts):
    """Copy the values that occur, in their order; returns how many do."""
    n = 0
    for k in range(values.size):
        if counts[k] > 0:
            into_values[n] = values[k]
            into_counts[n] = counts[k]
            n += 1
    return n


@kernel
def percentile(values, counts, n_pixels, share):
    """The value below which `share` of the pixels lie, linear between neighbours.

    `values` ascend. The rule is NumPy's default (type 7 of Hyndman and Fan 1996).
    """
    rank = share * (n_pixels - 1)
    low = math.floor(rank)
    rest = rank - low
    seen = 0
    for k in range(values.size):
        seen += counts[k]
        if seen > low:
            if seen > low + 1 or rest == 0.0 or k + 1 == values.size:
                return values[k]
            return values[k] + rest * (values[k + 1] - values[k])
    return values[values.size - 1]


@kernel
def central_moments(values, counts, n_pixels):
    """Mean and central moments of order 2, 3 and 4 (population)."""
    # Deviations from the first value: a flat region then has moments of exactly zero.
    origin = values[0]
    mean = 0.0
    for k in range(values.size):
        mean += counts[k] * (values[k] - origin)
    mean /= n_pixels
    m2 = m3 = m4 = 0.0
    for k in range(values.size):
        d = values[k] - origin - mean
        m2 += counts[k] * d * d
        m3 += counts[k] * d * d * d
        m4 += counts[k] * d * d * d * d
    return origin + mean, m2 / n_pixels, m3 / n_pixels, m4 / n_pixels


@kernel
def density_statistics(values, counts):
    """Mean, standard deviation, skewness, 10th and 90th percentile and sum of each row.

    Parameters
    ----------
    values : (K,) float64 array
        Ascending.
    counts : (n_cells, K) int64 array
        How often each value occurs.

    Returns
    -------
    (n_cells, 6) float64 array
        NaN where a row is empty; skewness is NaN where it is flat.
    """
    out = np.full((counts.shape[0], 6), np.nan)
    some, often = np.empty_like(values), np.empty(values.size, np.int64)
    for cell in range(counts.shape[0]):
        n = occupied(values, counts[cell], some, often)
        if n == 0:
            continue
        v, c = some[:n], often[:n]
        n_pixels = c.sum()
        mean, m2, m3, _ = central_moments(v, c, n_pixels)
        out[cell, 0] = mean
        out[cell, 1] = math.sqrt(m2)
        if m2 > 0.0:
            out[cell, 2] = m3 / (m2 * math.sqrt(m2))
        out[cell, 3] = percentile(v, c, n_pixels, 0.1)
        out[cell, 4] = percentile(v, c, n_pixels, 0.9)
        total = 0.0
        for k in range(n):
            total += c[k] * v[k]
        out[cell, 5] = total
    return out


@kernel
def first_order(values, counts, bins, n_bins):
    """The statistics of first order of the IBSI, from a histogram.

    Parameters
    ----------
    values : (K,) float64 array
        Ascending.
    counts : (n_cells, K) int64 array
        How often each value occurs.
    bins : (K,) integer array
        Bin (0..n_bins-1) of each value, for entropy and uniformity.
    n_bins : int
        Number of bins.

    Returns
    -------
    (n_cells, 21) float64 array
        Mean, variance, standard deviation, skewness, excess kurtosis, median, minimum, 10th and
        90th percentile, maximum, interquartile range, range, mean absolute deviation, robust mean
        absolute deviation, median absolute deviation, coefficient of variation, quartile
        coefficient of dispersion, energy, root mean square, entropy (bits), uniformity. A row of
        NaN where there is no pixel.
    """
    out = np.full((counts.shape[0], 21), np.nan)
    some, often = np.empty_like(values), np.empty(values.size, np.int64)
    filled = np.empty(n_bins, np.int64)
    for cell in range(counts.shape[0]):
        n = occupied(values, counts[cell], some, often)
        if n == 0:
            continue
        v, c = some[:n], often[:n]
        n_pixels = c.sum()
        row = out[cell]
        mean, m2, m3, m4 = central_moments(v, c, n_pixels)
        row[0] = mean
        row[1] = m2
        row[2] = math.sqrt(m2)
        if m2 > 0.0:
            row[3] = m3 / (m2 * math.sqrt(m2))
            row[4] = m4 / (m2 * m2) - 3.0
        p10 = percentile(v, c, n_pixels, 0.1)
        p25 = percentile(v, c, n_pixels, 0.25)
        median = percentile(v, c, n_pixels, 0.5)
        p75 = percentile(v, c, n_pixels, 0.75)
        p90 = percentile(v, c, n_pixels, 0.9)
        row[5] = median
        row[6] = v[0]
        row[7] = p10
        row[8] = p90
        row[9] = v[n - 1]
        row[10] = p75 - p25
        row[11] = v[n - 1] - v[0]
        row[12], row[13], row[14] = deviations(v, c, n_pixels, mean, median, p10, p90)
        if mean != 0.0:
            row[15] = row[2] / mean
        if p75 + p25 != 0.0:
            row[16] = (p75 - p25) / (p75 + p25)
        energy = 0.0
        for k in range(n):
            energy += c[k] * v[k] * v[k]
        row[17] = energy
        row[18] = math.sqrt(energy / n_pixels)
        filled[:] = 0
        for k in range(values.size):
            filled[bins[k]] += counts[cell, k]
        entropy = uniformity = 0.0
        for k in range(n_bins):
            if filled[k] > 0:
                p = filled[k] / n_pixels
                entropy -= p * math.log2(p)
                uniformity += p * p
        row[19] = entropy
        row[20] = uniformity
    return out


@kernel
def deviations(values, counts, n_pixels, mean, median, p10, p90):
    """Mean absolute deviation from the mean, the same of [p10, p90] only, and from the median."""
    from_mean = from_median = 0.0
    n_inside = 0
    inside = 0.0
    for k in range(values.size):
        from_mean += counts[k] * abs(values[k] - mean)
        from_median += counts[k] * abs(values[k] - median)
        if p10 <= values[k] <= p90:
            n_inside += counts[k]
            inside += counts[k] * values[k]
    robust = np.nan
    if n_inside > 0:
        middle = inside / n_inside
        robust = 0.0
        for k in range(values.size):
            if p10 <= values[k] <= p90:
                robust += counts[k] * abs(values[k] - middle)
        robust /= n_inside
    return from_mean / n_pixels, robust, from_median / n_pixels
