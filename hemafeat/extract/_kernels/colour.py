"""Colour of the pixels of each cell in RGB, CIELAB, hue, saturation and value.

Pixels are taken in blocks, so that each step is a plain loop over arrays, which vectorises; a table
of cube roots or a call of ``cos`` within the loop would make it six times slower.
"""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import indices, inlined, kernel
from hemafeat.extract._kernels.arrays import total

BLOCK = 128
"""Pixels per block; all arrays of a block fit into the first-level cache."""

EPSILON = 0.008856
"""Value below which CIELAB replaces the cube root by a straight line, as rounded in CIE 15."""

WHITE_X = 0.95047
WHITE_Z = 1.08883
"""White point D65, 2 degrees; Y is 1."""

THIRD = np.float32(1.0 / 3.0)
MAGIC = np.int32(709921077)
"""Added to a third of the bits of a float32 it gives its cube root to 4 % (Kahan)."""

TINY = np.float32(1e-30)
"""Avoids 0 / 0 where a pixel is black; above `EPSILON` it is lost in rounding."""

HALF_ROOT_3 = math.sqrt(3.0) / 2.0

# (cos x - 1) / x^2 and sin x / x as polynomials of x^2, through the Chebyshev nodes of [0, pi/3],
# with errors below 7e-12 and 8e-11.
C1, C2, C3 = -0.49999999999363004, 0.04166666637619628, -0.0013888867685255604
C4, C5 = 2.47961657900515e-05, -2.6990540774766987e-07
S0, S1, S2 = 0.9999999999237524, -0.1666666631897044, 0.008333307949651654
S3, S4 = -0.00019834778016273162, 2.687829219034754e-06

SPACES = ("lab_l", "lab_a", "lab_b", "saturation", "value")
"""Quantities of a pixel, next to its levels of R, G and B and its hue."""

BEYOND_RGB = (
    *(f"mean__{name}" for name in SPACES[:3]),
    *(f"sd__{name}" for name in SPACES[:3]),
    *(f"{kind}__{name}" for name in SPACES[3:] for kind in ("mean", "sd")),
    "hue_cos",
    "hue_sin",
    "hue_concentration",
)
"""Columns that `values_beyond_rgb` computes."""
N_BEYOND_RGB = len(BEYOND_RGB)

COLUMNS = (
    *(f"{kind}__{channel}" for kind in ("mean", "sd") for channel in "rgb"),
    *BEYOND_RGB,
    "ratio_r_b",
    "ratio_g_b",
)
"""Columns of the family ``colour``."""
N_COLUMNS = len(COLUMNS)

MEAN_PLACES = tuple(BEYOND_RGB.index(f"mean__{name}") for name in SPACES)
SD_PLACES = tuple(BEYOND_RGB.index(f"sd__{name}") for name in SPACES)
FACTORS = (116.0, 500.0, 200.0, 1.0, 1.0 / 255.0)
"""Factors from f(Y), f(X) - f(Y), f(Y) - f(Z), saturation and largest channel to `SPACES`."""

BEYOND_AT = indices(BEYOND_RGB)
AT = indices(COLUMNS)

MOMENTS = (
    "n_pixels",
    *(f"mean__{name}" for name in SPACES),
    *(f"squares__{name}" for name in SPACES),
    "n_hues",
    "sum_cos",
    "sum_sin",
)
"""Moments of the colour of a cell.

Number of pixels; means of f(Y), f(X) - f(Y), f(Y) - f(Z) of CIELAB, saturation and largest channel;
their sums of squared deviations; number of pixels that have a hue; sums of its cosine and sine.
"""

MOMENT_AT = indices(MOMENTS)
N_MOMENTS = len(MOMENTS)
FIRST_MEAN, FIRST_SQUARES = MOMENT_AT.mean__lab_l, MOMENT_AT.squares__lab_l


@kernel
def lab_function(t, single, bits, n):
    """Replace the first n values of t, in [0, 1], by the function f of CIELAB.

    A first guess of the cube root, computed on the bits of `single` (float32; `bits` is its int32
    view), is refined to full precision by two steps of Halley's method, the first in single
    precision: the errors are 4e-2, 2e-5, 1e-14.
    """
    for k in range(n):
        single[k] = t[k]
    for k in range(n):
        bits[k] = np.int32(np.float32(bits[k]) * THIRD) + MAGIC
    for k in range(n):
        x = np.float32(t[k])
        y = single[k]
        cube = y * y * y
        single[k] = y * (cube + x + x) / (cube + cube + x + TINY)
    for k in range(n):
        x = t[k]
        y = np.float64(single[k])
        cube = y * y * y
        y = y * (cube + 2.0 * x) / (2.0 * cube + x + TINY)
        t[k] = y if x > EPSILON else 7.787 * x + 16.0 / 116.0


@inlined
def hue_block(red, green, blue, top, saturation, cosine, sine, n):
    """Compute the largest channel, saturation, and cosine and sine of the hue of n pixels.

    Cosine and sine are 0 where a pixel is grey.
    """
    for k in range(n):
        r, g, b = float(red[k]), float(green[k]), float(blue[k])
        high = max(max(r, g), b)
        chroma = high - min(min(r, g), b)
        top[k] = high
        # One division serves two quotients.
        inverse = 1.0 / (max(high, 1.0) * max(chroma, 1.0))
        saturation[k] = chroma * inverse * max(chroma, 1.0)
        # The hue lies within 60 degrees of that of the largest channel: 0, 120 or 240 degrees.
        side = g - b if high == r else (b - r if high == g else r - g)
        x = side * inverse * max(high, 1.0) * (math.pi / 3.0)
        q = x * x
        c = 1.0 + q * (C1 + q * (C2 + q * (C3 + q * (C4 + q * C5))))
        s = x * (S0 + q * (S1 + q * (S2 + q * (S3 + q * S4))))
        turn_c = 1.0 if high == r else -0.5
        turn_s = 0.0 if high == r else (HALF_ROOT_3 if high == g else -HALF_ROOT_3)
        weight = 1.0 if chroma > 0.0 else 0.0
        cosine[k] = weight * (c * turn_c - s * turn_s)
        sine[k] = weight * (s * turn_c + c * turn_s)


@kernel
def moments(levels, starts, linear):
    """Compute the moments from which the colour of a cell follows, except for its histograms.

    Parameters
    ----------
    levels : (3, N) uint8 array
        R, G and B of the pixels, cell after cell.
    starts : (n_cells + 1,) int64 array
        Index of the first pixel of each cell, and the number of pixels.
    linear : (256,) float64 array
        Linear intensity of each sRGB level.

    Returns
    -------
    (n_cells, 14) float64 array
        Values of the `MOMENTS`; 0 where there is no pixel.
    """
    n_cells = starts.size - 1
    out = np.zeros((n_cells, N_MOMENTS), np.float64)
    xyz = np.zeros(3 * BLOCK, np.float64)
    x, y, z = xyz[:BLOCK], xyz[BLOCK : 2 * BLOCK], xyz[2 * BLOCK :]
    top, saturation = np.empty(BLOCK, np.float64), np.empty(BLOCK, np.float64)
    cosine, sine = np.empty(BLOCK, np.float64), np.empty(BLOCK, np.float64)
    single = np.empty(3 * BLOCK, np.float32)
    bits = single.view(np.int32)
    # One sum for each position in the block, as independent additions vectorise.
    sums = np.empty((12, BLOCK), np.float64)
    origin = np.zeros(5, np.float64)
    for cell in range(n_cells):
        n_pixels = starts[cell + 1] - starts[cell]
        if n_pixels == 0:
            continue
        sums[:] = 0.0
        n_hues = 0
        for begin in range(starts[cell], starts[cell + 1], BLOCK):
            n = min(BLOCK, starts[cell + 1] - begin)
            red, green = levels[0, begin : begin + n], levels[1, begin : begin + n]
            blue = levels[2, begin : begin + n]
            for k in range(n):
                x[k], y[k], z[k] = linear[red[k]], linear[green[k]], linear[blue[k]]
            hue_block(red, green, blue, top, saturation, cosine, sine, n)
            for k in range(n):
                r, g, b = x[k], y[k], z[k]
                x[k] = (0.412453 * r + 0.357580 * g + 0.180423 * b) * (1.0 / WHITE_X)
                y[k] = 0.212671 * r + 0.715160 * g + 0.072169 * b
                z[k] = (0.019334 * r + 0.119193 * g + 0.950227 * b) * (1.0 / WHITE_Z)
            lab_function(xyz, single, bits, 2 * BLOCK + n)
            for k in range(n):
                x[k] = x[k] - y[k]
                z[k] = y[k] - z[k]
                n_hues += saturation[k] > 0.0
            if begin == starts[cell]:
                # Deviations are taken from the first pixel, so that those of a flat region are 0.
                origin[0], origin[1], origin[2] = y[0], x[0], z[0]
                origin[3], origin[4] = saturation[0], top[0]
            add(y, origin[0], sums[0], sums[5], n)
            add(x, origin[1], sums[1], sums[6], n)
            add(z, origin[2], sums[2], sums[7], n)
            add(saturation, origin[3], sums[3], sums[8], n)
            add(top, origin[4], sums[4], sums[9], n)
            total_c, total_s = sums[10], sums[11]
            for k in range(n):
                total_c[k] += cosine[k]
                total_s[k] += sine[k]
        row = out[cell]
        row[MOMENT_AT.n_pixels] = n_pixels
        for k in range(5):
            mean = total(sums[k]) / n_pixels
            row[FIRST_MEAN + k] = origin[k] + mean
            row[FIRST_SQUARES + k] = max(total(sums[5 + k]) - n_pixels * mean * mean, 0.0)
        row[MOMENT_AT.n_hues] = n_hues
        row[MOMENT_AT.sum_cos], row[MOMENT_AT.sum_sin] = total(sums[10]), total(sums[11])
    return out


@kernel
def add(values, origin, first, second, n):
    """Add n deviations from `origin`, and their squares, to the sums of their positions."""
    for k in range(n):
        deviation = values[k] - origin
        first[k] += deviation
        second[k] += deviation * deviation


@kernel
def combine(first, second):
    """Return the moments of cells that consist of two parts (Chan, Golub and LeVeque 1983)."""
    out = np.zeros(first.shape, np.float64)
    for cell in range(first.shape[0]):
        a, b, row = first[cell], second[cell], out[cell]
        n_a, n_b = a[MOMENT_AT.n_pixels], b[MOMENT_AT.n_pixels]
        if n_a == 0.0 or n_b == 0.0:
            only = a if n_b == 0.0 else b
            for k in range(row.size):
                row[k] = only[k]
            continue
        n = n_a + n_b
        row[MOMENT_AT.n_pixels] = n
        for k in range(5):
            mean, squares = FIRST_MEAN + k, FIRST_SQUARES + k
            difference = b[mean] - a[mean]
            row[mean] = a[mean] + difference * (n_b / n)
            row[squares] = a[squares] + b[squares] + difference * difference * (n_a * n_b / n)
        for k in range(MOMENT_AT.n_hues, N_MOMENTS):
            row[k] = a[k] + b[k]
    return out


@kernel
def values_beyond_rgb(moments):
    """Compute the colour of every cell in CIELAB, hue, saturation and value.

    Parameters
    ----------
    moments : (n_cells, 14) float64 array
        Values of the `MOMENTS`.

    Returns
    -------
    (n_cells, 13) float64 array
        The columns `BEYOND_RGB`. NaN where there is no pixel, and for hue where no pixel has one.
    """
    out = np.empty((moments.shape[0], N_BEYOND_RGB), np.float64)
    out[:] = np.nan
    for cell in range(moments.shape[0]):
        cell_moments, row = moments[cell], out[cell]
        n = cell_moments[MOMENT_AT.n_pixels]
        if n == 0.0:
            continue
        for k in range(5):
            row[MEAN_PLACES[k]] = FACTORS[k] * cell_moments[FIRST_MEAN + k]
            row[SD_PLACES[k]] = FACTORS[k] * math.sqrt(cell_moments[FIRST_SQUARES + k] / n)
        row[BEYOND_AT.mean__lab_l] -= 16.0
        n_hues = cell_moments[MOMENT_AT.n_hues]
        if n_hues > 0.0:
            row[BEYOND_AT.hue_cos] = cell_moments[MOMENT_AT.sum_cos] / n_hues
            row[BEYOND_AT.hue_sin] = cell_moments[MOMENT_AT.sum_sin] / n_hues
            row[BEYOND_AT.hue_concentration] = math.hypot(
                row[BEYOND_AT.hue_cos], row[BEYOND_AT.hue_sin]
            )
    return out


@kernel
def assemble_columns(counts, values):
    """Compute the columns of R, G and B from their histograms and add the others.

    Parameters
    ----------
    counts : (n_cells, 3, 256) int64 array
        Histograms of R, G and B.
    values : (n_cells, 13) float64 array
        The columns `BEYOND_RGB`.

    Returns
    -------
    (n_cells, 21) float64 array
        The `COLUMNS`. NaN where there is no pixel; a ratio is NaN also where the mean of B is 0.
    """
    n_cells = counts.shape[0]
    out = np.empty((n_cells, N_COLUMNS), np.float64)
    out[:] = np.nan
    for cell in range(n_cells):
        row = out[cell]
        for k in range(values.shape[1]):
            row[AT.sd__b + 1 + k] = values[cell, k]
        for channel in range(3):
            n = first = second = 0
            for level in range(256):
                count = counts[cell, channel, level]
                n += count
                first += count * level
                second += count * level * level
            if n > 0:
                row[AT.mean__r + channel] = first / n
                # Sums of whole numbers: the difference is exact, and 0 where the region is flat.
                row[AT.sd__r + channel] = math.sqrt(float(n) * second - float(first) * first) / n
        if row[AT.mean__b] > 0.0:
            row[AT.ratio_r_b] = row[AT.mean__r] / row[AT.mean__b]
            row[AT.ratio_g_b] = row[AT.mean__g] / row[AT.mean__b]
    return out
