"""Moments of a region and of its boundary."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel


@kernel
def covariance(runs):
    """Area, centroid (row, column) and covariance (rr, cc, rc) of pixel centres, from runs."""
    n = sr = sc = srr = scc = src = 0
    for run in range(runs.shape[0]):
        row, a, b = runs[run, 0], runs[run, 1], runs[run, 2]
        length = b - a
        columns = (a + b - 1) * length // 2
        n += length
        sr += row * length
        sc += columns
        srr += row * row * length
        src += row * columns
        scc += ((b - 1) * b * (2 * b - 1) - (a - 1) * a * (2 * a - 1)) // 6
    y, x = sr / n, sc / n
    return n, y, x, srr / n - y * y, scc / n - x * x, src / n - y * x


@kernel
def axes(rr, cc, rc):
    """Major and minor axis of the ellipse with these second moments."""
    middle = (rr + cc) / 2.0
    swing = math.sqrt((rr - cc) ** 2 / 4.0 + rc * rc)
    low = middle - swing
    # A straight line of pixels has no width; what rounding leaves of it is not a width either.
    if low < 1e-10 * (middle + swing):
        low = 0.0
    return 4.0 * math.sqrt(middle + swing), 4.0 * math.sqrt(low)


@kernel
def distance_moments(points, y, x, rr, cc, rc):
    """Distances from (y, x) to boundary points given as twice their coordinates.

    Returns
    -------
    mean, sd, smallest, largest, skewness, excess kurtosis of the distance; sd / mean of the
    Mahalanobis distance under the covariance given, NaN where that is singular.
    """
    n = points.shape[0]
    distance = np.empty(n)
    scaled = np.empty(n)
    determinant = rr * cc - rc * rc
    regular = determinant > 1e-10 * (rr + cc) ** 2
    for k in range(n):
        dy, dx = points[k, 0] / 2.0 - y, points[k, 1] / 2.0 - x
        distance[k] = math.sqrt(dy * dy + dx * dx)
        if regular:
            scaled[k] = math.sqrt(
                max((cc * dy * dy - 2.0 * rc * dy * dx + rr * dx * dx) / determinant, 0.0)
            )
    mean = distance.mean()
    m2 = m3 = m4 = 0.0
    for k in range(n):
        d = distance[k] - mean
        m2 += d * d
        m3 += d * d * d
        m4 += d * d * d * d
    m2 /= n
    m3 /= n
    m4 /= n
    skewness = kurtosis = np.nan
    if m2 > 1e-24 * mean * mean:
        skewness = m3 / (m2 * math.sqrt(m2))
        kurtosis = m4 / (m2 * m2) - 3.0
    ellipse = np.nan
    if regular:
        ellipse = scaled.std() / scaled.mean()
    return mean, math.sqrt(m2), distance.min(), distance.max(), skewness, kurtosis, ellipse
