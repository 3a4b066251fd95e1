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


@kernel
def hu_moments(runs, out):
    """Moment invariants after Hu of the pixel centres, as sign times log10 of the size.

    One that is 0 but for rounding (by symmetry) is NaN.
    """
    area, y, x, _, _, _ = covariance(runs)
    # Sums of whole numbers about a whole number near the centroid stay small.
    y0, x0 = math.floor(y + 0.5), math.floor(x + 0.5)
    s01 = s10 = s11 = s02 = s20 = s12 = s21 = s03 = s30 = 0
    for run in range(runs.shape[0]):
        v, a, b = runs[run, 0] - y0, runs[run, 1] - x0, runs[run, 2] - x0
        one = b - a
        u = (a + b - 1) * one // 2
        uu = ((b - 1) * b * (2 * b - 1) - (a - 1) * a * (2 * a - 1)) // 6
        uuu = (b * (b - 1) // 2) ** 2 - (a * (a - 1) // 2) ** 2
        s10 += v * one
        s01 += u
        s20 += v * v * one
        s11 += v * u
        s02 += uu
        s30 += v * v * v * one
        s21 += v * v * u
        s12 += v * uu
        s03 += uuu
    r, c = s10 / area, s01 / area
    m20, m02, m11 = s20 - r * s10, s02 - c * s01, s11 - r * s01
    m30 = s30 - 3.0 * r * s20 + 2.0 * r * r * s10
    m03 = s03 - 3.0 * c * s02 + 2.0 * c * c * s01
    m21 = s21 - 2.0 * r * s11 - c * s20 + 2.0 * r * r * s01
    m12 = s12 - 2.0 * c * s11 - r * s02 + 2.0 * c * c * s10
    second, third = float(area) ** 2, float(area) ** 2.5
    n20, n02, n11 = m20 / second, m02 / second, m11 / second
    n30, n03, n21, n12 = m30 / third, m03 / third, m21 / third, m12 / third
    t0, t1 = n30 + n12, n21 + n03
    q0, q1 = t0 * t0, t1 * t1
    first = n20 + n02
    values = (
        first,
        (n20 - n02) ** 2 + 4.0 * n11 * n11,
        (n30 - 3.0 * n12) ** 2 + (3.0 * n21 - n03) ** 2,
        q0 + q1,
        (n30 - 3.0 * n12) * t0 * (q0 - 3.0 * q1) + (3.0 * n21 - n03) * t1 * (3.0 * q0 - q1),
        (n20 - n02) * (q0 - q1) + 4.0 * n11 * t0 * t1,
        (3.0 * n21 - n03) * t0 * (q0 - 3.0 * q1) - (n30 - 3.0 * n12) * t1 * (3.0 * q0 - q1),
    )
    # What each would be at most, by the size of the first.
    powers = (1.0, 2.0, 3.0, 3.0, 6.0, 4.0, 6.0)
    for k in range(7):
        value = values[k]
        if abs(value) > 1e-13 * first ** powers[k]:
            out[k] = math.log10(abs(value)) * (1.0 if value > 0.0 else -1.0)
