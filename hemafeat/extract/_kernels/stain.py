"""Amounts of the dyes in a cell, by colour deconvolution of optical density."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import indices, inlined, kernel
from hemafeat.extract._kernels.arrays import smallest
from hemafeat.extract._kernels.colour import WHITE_X, WHITE_Z, lab_function

DARK = 0.15
"""Length from which the OD vector of a pixel has a usable direction (Macenko's beta)."""

SHARE = 0.01
"""Share of the angles that is cut off at either end (Macenko's alpha)."""

N_BINS = 1 << 10
"""Number of bins into which the directions of the pixels are cut to find those at the ends."""

CLOSEST = math.radians(1.0)
"""Angle below which two directions count as one, as the amounts of two dyes would be noise."""

WHITE_U = 4.0 * WHITE_X / (WHITE_X + 15.0 + 3.0 * WHITE_Z)

PARTS = ("nucleus", "cytoplasm")
DYES = ("azure", "eosin", "residual")
AMOUNTS = tuple(f"{dye}_{name}" for dye in DYES for name in ("mean", "sd"))
"""Statistics of the amounts of dye in one part of a cell."""

FOUND = ("macenko_bluer", "macenko_redder", "macenko_residual")
"""What stands for the `DYES` where two directions are found in the cell itself."""

COLUMNS = (
    *(f"{part}__{name}" for part in PARTS for name in AMOUNTS),
    *(f"{part}__{dye}_{name}" for part in PARTS for dye in FOUND for name in ("mean", "sd")),
    "cytoplasm__eosin_share",
    "cytoplasm__macenko_redder_share",
    "macenko_angle",
    *(f"{dye}_{channel}" for dye in FOUND[:2] for channel in "rgb"),
    "cytoplasm__u_skewness",
)
"""Columns of the family ``stain``."""
N_COLUMNS = len(COLUMNS)

AT = indices(COLUMNS)
AMOUNT_AT = indices(AMOUNTS)
N_AMOUNTS = len(AMOUNTS)
NUCLEUS, CYTOPLASM, CELL = range(3)


@kernel
def densities_of(rgb, index, density):
    """Return the (N, 3) densities of the pixels of a region."""
    densities = np.empty((index.size, 3), np.float64)
    for k in range(index.size):
        pixel = rgb[index[k]]
        densities[k, 0] = density[0, pixel[0]]
        densities[k, 1] = density[1, pixel[1]]
        densities[k, 2] = density[2, pixel[2]]
    return densities


@kernel
def products(densities, origin, n):
    """Return the sums of the first n deviations from `origin` (3) and of their products (3, 3)."""
    red = green = blue = 0.0
    rr = rg = rb = gg = gb = bb = 0.0
    for k in range(n):
        r, g, b = (
            densities[k, 0] - origin[0],
            densities[k, 1] - origin[1],
            densities[k, 2] - origin[2],
        )
        red += r
        green += g
        blue += b
        rr += r * r
        rg += r * g
        rb += r * b
        gg += g * g
        gb += g * b
        bb += b * b
    first, second = np.empty(3, np.float64), np.empty((3, 3), np.float64)
    first[0], first[1], first[2] = red, green, blue
    second[0, 0], second[1, 1], second[2, 2] = rr, gg, bb
    second[0, 1] = second[1, 0] = rg
    second[0, 2] = second[2, 0] = rb
    second[1, 2] = second[2, 1] = gb
    return first, second


@kernel
def covariance(densities):
    """Return the (3, 3) population covariance of (N, 3) values."""
    n = densities.shape[0]
    # Deviations are taken from the first pixel, so that those of a flat region are exactly 0.
    first, second = products(densities, densities[0], n)
    for i in range(3):
        for j in range(3):
            second[i, j] = second[i, j] / n - first[i] / n * (first[j] / n)
    return second


@kernel
def eigenvectors(matrix):
    """Return eigenvalues and eigenvectors (columns) of a symmetric (3, 3) matrix.

    They are computed by Jacobi rotations.
    """
    a, v, values = (
        np.empty((3, 3), np.float64),
        np.zeros((3, 3), np.float64),
        np.empty(3, np.float64),
    )
    for i in range(3):
        v[i, i] = 1.0
        for j in range(3):
            a[i, j] = matrix[i, j]
    for _ in range(12):
        off = abs(a[0, 1]) + abs(a[0, 2]) + abs(a[1, 2])
        if off == 0.0:
            break
        for p in range(2):
            for q in range(p + 1, 3):
                if a[p, q] == 0.0:
                    continue
                theta = (a[q, q] - a[p, p]) / (2.0 * a[p, q])
                # The square of a large theta would overflow, and the root is |theta| long before.
                size = abs(theta)
                t = 1.0 / (size + (math.sqrt(theta * theta + 1.0) if size < 1e100 else size))
                if theta < 0.0:
                    t = -t
                c = 1.0 / math.sqrt(t * t + 1.0)
                s = t * c
                for k in range(3):
                    x, y = a[k, p], a[k, q]
                    a[k, p], a[k, q] = c * x - s * y, s * x + c * y
                for k in range(3):
                    x, y = a[p, k], a[q, k]
                    a[p, k], a[q, k] = c * x - s * y, s * x + c * y
                for k in range(3):
                    x, y = v[k, p], v[k, q]
                    v[k, p], v[k, q] = c * x - s * y, s * x + c * y
    for k in range(3):
        values[k] = a[k, k]
    return values, v


@inlined
def end_percentiles(slopes):
    """Return the angles below and above which `SHARE` of the angles lie.

    Angles are passed as their tangents, and the result is interpolated linearly between two of
    them. Only the few bins of tangents at either end are ordered.
    """
    n = slopes.size
    rank = SHARE * (n - 1)
    below = math.floor(rank)
    n_kept = min(below + 2, n)
    least = most = slopes[0]
    for k in range(1, n):
        least, most = min(least, slopes[k]), max(most, slopes[k])
    per_unit = (N_BINS - 1) / (most - least) if most > least else 0.0
    bins = np.empty(n, np.int64)
    counts = np.zeros(N_BINS, np.int64)
    for k in range(n):
        bins[k] = int((slopes[k] - least) * per_unit)
        counts[bins[k]] += 1
    first, n_low = 0, counts[0]
    while n_low < n_kept:
        first += 1
        n_low += counts[first]
    last, n_high = N_BINS - 1, counts[N_BINS - 1]
    while n_high < n_kept:
        last -= 1
        n_high += counts[last]
    low, high = np.empty(n_low, np.float64), np.empty(n_high, np.float64)
    n_low = n_high = 0
    for k in range(n):
        if bins[k] <= first:
            low[n_low] = slopes[k]
            n_low += 1
        if bins[k] >= last:
            high[n_high] = -slopes[k]
            n_high += 1
    share = rank - below
    next_one = n_kept - 1
    return (
        math.atan(smallest(low, below)) * (1.0 - share)
        + math.atan(smallest(low, next_one)) * share,
        -math.atan(smallest(high, below)) * (1.0 - share)
        - math.atan(smallest(high, next_one)) * share,
    )


@inlined
def dye_directions(densities):
    """Estimate the directions of the two dyes of a cell by Macenko's method.

    Parameters
    ----------
    densities : (N, 3) float64 array
        Densities of the pixels.

    Returns
    -------
    (2, 3) float64 array
        Unit vectors, first the one that absorbs more red, which looks bluer. NaN where the
        densities do not span a plane.
    """
    out = np.empty((2, 3), np.float64)
    out[:] = np.nan
    usable = np.empty(densities.shape, np.float64)
    n = np.int64(0)
    for k in range(densities.shape[0]):
        r, g, b = densities[k, 0], densities[k, 1], densities[k, 2]
        usable[n, 0], usable[n, 1], usable[n, 2] = r, g, b
        n += 1 if r * r + g * g + b * b > DARK * DARK else 0
    if n < 2:
        return out
    _, second = products(usable, np.zeros(3, np.float64), n)
    values, vectors = eigenvectors(second)
    first = 0
    for k in range(1, 3):
        first = k if values[k] > values[first] else first
    a, b = (first + 1) % 3, (first + 2) % 3
    next_largest = a if values[a] > values[b] else b
    if values[next_largest] <= 1e-9 * values[first]:
        return out
    along, across = vectors[:, first], vectors[:, next_largest]
    if along[0] + along[1] + along[2] < 0.0:
        for k in range(3):
            along[k] = -along[k]
    slopes = np.empty(n, np.float64)
    m = 0
    for k in range(n):
        x = usable[k, 0] * along[0] + usable[k, 1] * along[1] + usable[k, 2] * along[2]
        if x > 0.0:
            slopes[m] = (
                usable[k, 0] * across[0] + usable[k, 1] * across[1] + usable[k, 2] * across[2]
            )
            slopes[m] /= x
            m += 1
    if m < 2:
        return out
    low, high = end_percentiles(slopes[:m])
    for k in range(3):
        out[0, k] = math.cos(low) * along[k] + math.sin(low) * across[k]
        out[1, k] = math.cos(high) * along[k] + math.sin(high) * across[k]
    if out[0, 0] < out[1, 0]:
        for k in range(3):
            out[0, k], out[1, k] = out[1, k], out[0, k]
    return out


@kernel
def unmixing(azure, eosin):
    """Return the (3, 3) matrix from a density to amounts of azure, eosin and the residual."""
    stains = np.empty((3, 3), np.float64)
    for k in range(3):
        stains[0, k], stains[1, k] = azure[k], eosin[k]
    stains[2, 0] = azure[1] * eosin[2] - azure[2] * eosin[1]
    stains[2, 1] = azure[2] * eosin[0] - azure[0] * eosin[2]
    stains[2, 2] = azure[0] * eosin[1] - azure[1] * eosin[0]
    size = math.sqrt(stains[2, 0] ** 2 + stains[2, 1] ** 2 + stains[2, 2] ** 2)
    for k in range(3):
        stains[2, k] /= size
    # The inverse of the rows a, b, c has the columns b x c, c x a, a x b over their volume. This is
    # the length of a x b, as c is a unit vector along it.
    inverse = np.empty((3, 3), np.float64)
    for k in range(3):
        p, q = stains[(k + 1) % 3], stains[(k + 2) % 3]
        inverse[k, 0] = (p[1] * q[2] - p[2] * q[1]) / size
        inverse[k, 1] = (p[2] * q[0] - p[0] * q[2]) / size
        inverse[k, 2] = (p[0] * q[1] - p[1] * q[0]) / size
    return inverse


@kernel
def dye_amounts(inverse, mean, spread, row):
    """Fill in mean and standard deviation of the amount of each dye, which is linear in density.

    Parameters
    ----------
    inverse : (3, 3) float64 array
        Matrix from density to amounts.
    mean, spread : (3,), (3, 3) float64 array
        Mean and covariance of the densities.
    row : (>= 6,) float64 array
        Filled with the `AMOUNTS`.
    """
    for dye in range(3):
        w = inverse[dye]
        variance = 0.0
        for i in range(3):
            for j in range(3):
                variance += w[i] * w[j] * spread[i, j]
        row[AMOUNT_AT.azure_mean + 2 * dye] = w[0] * mean[0] + w[1] * mean[1] + w[2] * mean[2]
        row[AMOUNT_AT.azure_sd + 2 * dye] = math.sqrt(max(variance, 0.0))


@kernel
def u_skewness(rgb, index, linear):
    """Return the skewness of u* of CIELUV over a region; NaN where it is flat."""
    n = index.size
    u, y = np.empty(n, np.float64), np.empty(n, np.float64)
    for k in range(n):
        pixel = rgb[index[k]]
        r, g, b = linear[pixel[0]], linear[pixel[1]], linear[pixel[2]]
        x = 0.412453 * r + 0.357580 * g + 0.180423 * b
        y[k] = 0.212671 * r + 0.715160 * g + 0.072169 * b
        z = 0.019334 * r + 0.119193 * g + 0.950227 * b
        weight = x + 15.0 * y[k] + 3.0 * z
        # Black has no chromaticity; its lightness is 0, and so is its u*.
        u[k] = 4.0 * x / weight - WHITE_U if weight > 0.0 else 0.0
    single = np.empty(n, np.float32)
    lab_function(y, single, single.view(np.int32), n)
    for k in range(n):
        u[k] *= 13.0 * (116.0 * y[k] - 16.0)
    first = 0.0
    for k in range(n):
        first += u[k] - u[0]
    first /= n
    m2 = m3 = 0.0
    for k in range(n):
        d = u[k] - u[0] - first
        m2 += d * d
        m3 += d * d * d
    if m2 <= 0.0:
        return np.nan
    return m3 / n / (m2 / n) ** 1.5


@kernel
def share_of_second(first, second):
    """Return the share of the second of two dyes in both; NaN where there is none."""
    return second / (first + second) if first + second > 0.0 else np.nan


@kernel
def stain_of_cells(rgb, density, starts, index, mean, inverse, linear):
    """Compute the amounts of dyes in nucleus and cytoplasm of every cell.

    Parameters
    ----------
    rgb : (H * W, 3) uint8 array
        Pixels in raster order.
    density : (3, 256) float64 array
        Optical density of each level of R, G and B.
    starts, index : tuples of 3 int64 arrays
        Pixels of nucleus, cytoplasm and cell, as returned by the kernels of ``region.runs``.
    mean : tuple of 2 (n_cells, 3) float64 arrays
        Mean density of nucleus and cytoplasm.
    inverse : (3, 3) float64 array
        Matrix from density to amounts of the known dyes.
    linear : (256,) float64 array
        Linear intensity of each sRGB level.

    Returns
    -------
    (n_cells, 34) float64 array
        The `COLUMNS`.
    """
    n_cells = starts[CELL].size - 1
    out = np.empty((n_cells, N_COLUMNS), np.float64)
    out[:] = np.nan
    for k in range(n_cells):
        whole = index[CELL][starts[CELL][k] : starts[CELL][k + 1]]
        if whole.size == 0:
            continue
        row = out[k]
        vectors = dye_directions(densities_of(rgb, whole, density))
        for channel in range(3):
            row[AT.macenko_bluer_r + channel] = vectors[0, channel]
            row[AT.macenko_redder_r + channel] = vectors[1, channel]
        angle = np.nan
        if not np.isnan(vectors[0, 0]):
            # From the chord, as the cosine of a small angle loses its digits.
            r, g, b = (
                vectors[0, 0] - vectors[1, 0],
                vectors[0, 1] - vectors[1, 1],
                vectors[0, 2] - vectors[1, 2],
            )
            chord = math.sqrt(r * r + g * g + b * b)
            angle = 2.0 * math.asin(min(chord / 2.0, 1.0))
            row[AT.macenko_angle] = math.degrees(angle)
        for part in range(2):
            pixels = index[part][starts[part][k] : starts[part][k + 1]]
            if pixels.size == 0:
                continue
            spread = covariance(densities_of(rgb, pixels, density))
            column = AT.nucleus__azure_mean + part * N_AMOUNTS
            dye_amounts(inverse, mean[part][k], spread, row[column:])
            if angle >= CLOSEST:
                column = AT.nucleus__macenko_bluer_mean + part * N_AMOUNTS
                dye_amounts(unmixing(vectors[0], vectors[1]), mean[part][k], spread, row[column:])
            if part == CYTOPLASM:
                row[AT.cytoplasm__u_skewness] = u_skewness(rgb, pixels, linear)
        row[AT.cytoplasm__eosin_share] = share_of_second(
            row[AT.cytoplasm__azure_mean], row[AT.cytoplasm__eosin_mean]
        )
        row[AT.cytoplasm__macenko_redder_share] = share_of_second(
            row[AT.cytoplasm__macenko_bluer_mean], row[AT.cytoplasm__macenko_redder_mean]
        )
    return out
