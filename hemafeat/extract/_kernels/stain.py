"""Which dyes a cell took, and how much of each: colour deconvolution of optical density."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel
from hemafeat.extract._kernels.colour import WHITE_X, WHITE_Z, lab_function

SAMPLE = 1 << 12
"""Pixels of a region that suffice for spread and directions; of larger ones every k-th is taken."""

DARK = 0.15
"""Length of an OD vector from which it tells a direction (Macenko's beta)."""

SHARE = 0.01
"""Of the angles, cut off at either end (Macenko's alpha)."""

CLOSEST = math.radians(1.0)
"""Directions closer than this are one: quantities of two dyes would be noise."""

WHITE_U = 4.0 * WHITE_X / (WHITE_X + 15.0 + 3.0 * WHITE_Z)
N_COLUMNS = 34


@kernel
def sampled(rgb, index, density):
    """(N, 3) densities of every k-th pixel, so that they are 4,096 to 8,191 of a large region."""
    step = max(1, index.size // SAMPLE)
    n = (index.size + step - 1) // step
    found = np.empty((n, 3))
    for k in range(n):
        pixel = rgb[index[k * step]]
        found[k, 0] = density[0, pixel[0]]
        found[k, 1] = density[1, pixel[1]]
        found[k, 2] = density[2, pixel[2]]
    return found


@kernel
def products(found, origin, n):
    """Sums of the first n deviations from `origin` (3) and of their products (3, 3)."""
    red = green = blue = 0.0
    rr = rg = rb = gg = gb = bb = 0.0
    for k in range(n):
        r, g, b = found[k, 0] - origin[0], found[k, 1] - origin[1], found[k, 2] - origin[2]
        red += r
        green += g
        blue += b
        rr += r * r
        rg += r * g
        rb += r * b
        gg += g * g
        gb += g * b
        bb += b * b
    return np.array([red, green, blue]), np.array([[rr, rg, rb], [rg, gg, gb], [rb, gb, bb]])


@kernel
def covariance(found):
    """(3, 3) population covariance of (N, 3) values."""
    n = found.shape[0]
    # From the first pixel: a flat region has a covariance of exactly zero.
    first, second = products(found, found[0], n)
    for i in range(3):
        for j in range(3):
            second[i, j] = second[i, j] / n - first[i] / n * (first[j] / n)
    return second


@kernel
def eigenvectors(matrix):
    """Eigenvalues and eigenvectors (columns) of a symmetric (3, 3) matrix, by Jacobi rotations."""
    a, v, values = np.empty((3, 3)), np.zeros((3, 3)), np.empty(3)
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
                # A square above 1e300 would overflow, and the root is |theta| long before.
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


@kernel
def end_percentile(slopes, n, sign):
    """The angle that `SHARE` of n angles lie below (sign 1) or above (-1), linear between two.

    An angle is given by its tangent. Only as many of the smallest values are kept, in order, as are
    needed.
    """
    rank = SHARE * (n - 1)
    low = math.floor(rank)
    keep = min(low + 2, n)
    least = np.empty(keep)
    for k in range(keep):
        least[k] = np.inf
    for k in range(n):
        value = sign * slopes[k]
        if value < least[keep - 1]:
            place = keep - 1
            while place > 0 and least[place - 1] > value:
                least[place] = least[place - 1]
                place -= 1
            least[place] = value
    start = math.atan(least[low])
    if keep == low + 1:
        return sign * start
    return sign * (start + (rank - low) * (math.atan(least[low + 1]) - start))


@kernel
def directions(found):
    """Directions of the two dyes of a cell, by Macenko's method; and whether there are two.

    Parameters
    ----------
    found : (N, 3) float64 array
        Densities of its pixels.

    Returns
    -------
    (2, 3) float64 array
        Unit vectors, the one that takes more red (azure) first; NaN where there is no plane.
    """
    out = np.full((2, 3), np.nan)
    kept = np.empty_like(found)
    n = 0
    for k in range(found.shape[0]):
        r, g, b = found[k, 0], found[k, 1], found[k, 2]
        kept[n, 0], kept[n, 1], kept[n, 2] = r, g, b
        n += 1 if r * r + g * g + b * b > DARK * DARK else 0
    if n < 2:
        return out
    _, second = products(kept, np.zeros(3), n)
    values, vectors = eigenvectors(second)
    first = 0
    for k in range(1, 3):
        first = k if values[k] > values[first] else first
    a, b = (first + 1) % 3, (first + 2) % 3
    second_one = a if values[a] > values[b] else b
    if values[second_one] <= 1e-9 * values[first]:
        return out
    along, across = vectors[:, first], vectors[:, second_one]
    if along[0] + along[1] + along[2] < 0.0:
        for k in range(3):
            along[k] = -along[k]
    slopes = np.empty(n)
    m = 0
    for k in range(n):
        x = kept[k, 0] * along[0] + kept[k, 1] * along[1] + kept[k, 2] * along[2]
        if x > 0.0:
            slopes[m] = kept[k, 0] * across[0] + kept[k, 1] * across[1] + kept[k, 2] * across[2]
            slopes[m] /= x
            m += 1
    if m < 2:
        return out
    low, high = end_percentile(slopes, m, 1.0), end_percentile(slopes, m, -1.0)
    for k in range(3):
        out[0, k] = math.cos(low) * along[k] + math.sin(low) * across[k]
        out[1, k] = math.cos(high) * along[k] + math.sin(high) * across[k]
    if out[0, 0] < out[1, 0]:
        for k in range(3):
            out[0, k], out[1, k] = out[1, k], out[0, k]
    return out


@kernel
def unmixing(azure, eosin):
    """(3, 3) matrix that takes a density to quantities of azure, eosin and what is neither."""
    stains = np.empty((3, 3))
    for k in range(3):
        stains[0, k], stains[1, k] = azure[k], eosin[k]
    stains[2, 0] = azure[1] * eosin[2] - azure[2] * eosin[1]
    stains[2, 1] = azure[2] * eosin[0] - azure[0] * eosin[2]
    stains[2, 2] = azure[0] * eosin[1] - azure[1] * eosin[0]
    size = math.sqrt(stains[2, 0] ** 2 + stains[2, 1] ** 2 + stains[2, 2] ** 2)
    for k in range(3):
        stains[2, k] /= size
    # Of three rows a, b, c the inverse has the columns b x c, c x a, a x b over their volume,
    # which is the length of a x b as c is a unit vector along it.
    inverse = np.empty((3, 3))
    for k in range(3):
        p, q = stains[(k + 1) % 3], stains[(k + 2) % 3]
        inverse[k, 0] = (p[1] * q[2] - p[2] * q[1]) / size
        inverse[k, 1] = (p[2] * q[0] - p[0] * q[2]) / size
        inverse[k, 2] = (p[0] * q[1] - p[1] * q[0]) / size
    return inverse


@kernel
def quantities(inverse, mean, spread, row):
    """Fill in mean and standard deviation of each quantity, which is linear in density."""
    for dye in range(3):
        w = inverse[dye]
        variance = 0.0
        for i in range(3):
            for j in range(3):
                variance += w[i] * w[j] * spread[i, j]
        row[2 * dye] = w[0] * mean[0] + w[1] * mean[1] + w[2] * mean[2]
        row[2 * dye + 1] = math.sqrt(max(variance, 0.0))


@kernel
def u_skewness(rgb, index, linear):
    """Skewness of u* of CIELUV over the same sample of a region; NaN where it is flat."""
    step = max(1, index.size // SAMPLE)
    n = (index.size + step - 1) // step
    u, y = np.empty(n), np.empty(n)
    for k in range(n):
        pixel = rgb[index[k * step]]
        r, g, b = linear[pixel[0]], linear[pixel[1]], linear[pixel[2]]
        x = 0.412453 * r + 0.357580 * g + 0.180423 * b
        y[k] = 0.212671 * r + 0.715160 * g + 0.072169 * b
        z = 0.019334 * r + 0.119193 * g + 0.950227 * b
        weight = x + 15.0 * y[k] + 3.0 * z
        # Black has no chromaticity; its lightness, and so its u*, is 0.
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
def stain_of_cells(rgb, density, starts, index, mean, inverse, linear):
    """Quantities of dyes in nucleus and cytoplasm of every cell.

    Parameters
    ----------
    rgb : (H * W, 3) uint8 array
        Pixels in raster order.
    density : (3, 256) float64 array
        Optical density of each level of R, G and B.
    starts, index : tuples of 3 int64 arrays
        Pixels of nucleus, cytoplasm and cell, as ``regions.pixels`` gives them.
    mean : tuple of 2 (n_cells, 3) float64 arrays
        Mean density of nucleus and cytoplasm.
    inverse : (3, 3) float64 array
        From density to quantities of known dyes.
    linear : (256,) float64 array
        Linear intensity of each sRGB level.

    Returns
    -------
    (n_cells, 34) float64 array
        Of nucleus, then cytoplasm: mean and deviation of azure, eosin and residual of the known
        dyes; the same of the cell's own; eosin / (azure + eosin) of cytoplasm, by both; angle
        between the own directions in degrees; the directions; skewness of u* of the cytoplasm.
    """
    n_cells = starts[2].size - 1
    out = np.full((n_cells, N_COLUMNS), np.nan)
    for k in range(n_cells):
        whole = index[2][starts[2][k] : starts[2][k + 1]]
        if whole.size == 0:
            continue
        row = out[k]
        own = directions(sampled(rgb, whole, density))
        for place in range(3):
            row[27 + place], row[30 + place] = own[0, place], own[1, place]
        apart = np.nan
        if not np.isnan(own[0, 0]):
            # From the chord: the cosine of a small angle has lost it.
            r, g, b = own[0, 0] - own[1, 0], own[0, 1] - own[1, 1], own[0, 2] - own[1, 2]
            chord = math.sqrt(r * r + g * g + b * b)
            apart = 2.0 * math.asin(min(chord / 2.0, 1.0))
            row[26] = math.degrees(apart)
        for part in range(2):
            pixels = index[part][starts[part][k] : starts[part][k + 1]]
            if pixels.size == 0:
                continue
            spread = covariance(sampled(rgb, pixels, density))
            quantities(inverse, mean[part][k], spread, row[6 * part :])
            if apart >= CLOSEST:
                quantities(unmixing(own[0], own[1]), mean[part][k], spread, row[12 + 6 * part :])
            if part == 1:
                row[33] = u_skewness(rgb, pixels, linear)
        for which in range(2):
            azure, eosin = row[12 * which + 6], row[12 * which + 8]
            if azure + eosin > 0.0:
                row[24 + which] = eosin / (azure + eosin)
    return out
