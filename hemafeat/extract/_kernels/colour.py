"""CIELAB, hue, saturation and value over the pixels of each cell.

Pixels are taken in blocks, so that every step is a plain loop over arrays, which vectorises; a
table of cube roots or a call of ``cos`` in the middle would make it six times slower.
"""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel

BLOCK = 128
"""Pixels per block: small enough for all arrays to stay in the first-level cache."""

EPSILON = 0.008856
"""Where the cube root of CIELAB gives way to a straight line, as CIE 15 rounds it."""

WHITE_X = 0.95047
WHITE_Z = 1.08883
"""D65, 2 degrees; Y is 1."""

THIRD = np.float32(1.0 / 3.0)
MAGIC = np.int32(709921077)
"""A third of a float32's bits plus this is its cube root to 4 % (Kahan)."""

TINY = np.float32(1e-30)
"""Keeps 0 / 0 out where a pixel is black; above `EPSILON` it is lost in rounding."""

HALF_ROOT_3 = math.sqrt(3.0) / 2.0

# (cos x - 1) / x^2 and sin x / x as polynomials of x^2, through the Chebyshev nodes of [0, pi/3]:
# off by less than 7e-12 and 8e-11.
C1, C2, C3 = -0.49999999999363004, 0.04166666637619628, -0.0013888867685255604
C4, C5 = 2.47961657900515e-05, -2.6990540774766987e-07
S0, S1, S2 = 0.9999999999237524, -0.1666666631897044, 0.008333307949651654
S3, S4 = -0.00019834778016273162, 2.687829219034754e-06

N_MOMENTS = 14


@kernel
def lab_function(t, single, bits, n):
    """Replace the first n values of t, in [0, 1], by the function f of CIELAB.

    Two steps of Halley's method, the first in single precision, take the first guess of the cube
    root, made on the bits of `single` (float32; `bits` is its int32 view), to full precision: off
    by 4e-2, 2e-5, 1e-14.
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


@kernel
def hue_block(red, green, blue, top, saturation, cosine, sine, n):
    """Value, saturation, and cosine and sine of the hue angle (0 where grey), of n pixels."""
    for k in range(n):
        r, g, b = float(red[k]), float(green[k]), float(blue[k])
        high = max(max(r, g), b)
        chroma = high - min(min(r, g), b)
        top[k] = high
        # One division for two quotients.
        inverse = 1.0 / (max(high, 1.0) * max(chroma, 1.0))
        saturation[k] = chroma * inverse * max(chroma, 1.0)
        # Hue lies within 60 degrees of the largest channel: of red at 0, green at 120, blue at 240.
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
    """What the colour of every cell follows from, with the exception of its histograms.

    Parameters
    ----------
    levels : (3, N) uint8 array
        R, G and B of the pixels, cell after cell.
    starts : (n_cells + 1,) int64 array
        Where each cell starts, as ``regions.pixels`` gives it.
    linear : (256,) float64 array
        Linear intensity of each sRGB level.

    Returns
    -------
    (n_cells, 14) float64 array
        0: number of pixels. 1-5: means of f(Y), f(X) - f(Y), f(Y) - f(Z) of CIELAB, saturation and
        largest channel; 6-10: their sums of squared deviations. 11: pixels with a hue; 12, 13: sums
        of its cosine and sine. Zeros where there is no pixel.
    """
    n_cells = starts.size - 1
    out = np.zeros((n_cells, N_MOMENTS))
    xyz = np.zeros(3 * BLOCK)
    x, y, z = xyz[:BLOCK], xyz[BLOCK : 2 * BLOCK], xyz[2 * BLOCK :]
    top, saturation = np.empty(BLOCK), np.empty(BLOCK)
    cosine, sine = np.empty(BLOCK), np.empty(BLOCK)
    single = np.empty(3 * BLOCK, np.float32)
    bits = single.view(np.int32)
    # One sum per place in the block: additions that do not wait for one another vectorise.
    sums = np.empty((12, BLOCK))
    origin = np.zeros(5)
    for cell in range(n_cells):
        total = starts[cell + 1] - starts[cell]
        if total == 0:
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
                # Sums of deviations from the first pixel: a flat region deviates by exactly zero.
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
        row[0] = total
        for k in range(5):
            mean = sums[k].sum() / total
            row[1 + k] = origin[k] + mean
            row[6 + k] = max(sums[5 + k].sum() - total * mean * mean, 0.0)
        row[11] = n_hues
        row[12], row[13] = sums[10].sum(), sums[11].sum()
    return out


@kernel
def add(values, origin, first, second, n):
    """Add n deviations from `origin`, and their squares, to the sums of their places."""
    for k in range(n):
        deviation = values[k] - origin
        first[k] += deviation
        second[k] += deviation * deviation


@kernel
def combined(one, other):
    """`moments` of cells made up of two parts each (Chan, Golub and LeVeque 1983)."""
    out = np.zeros_like(one)
    for cell in range(one.shape[0]):
        a, b, row = one[cell], other[cell], out[cell]
        if a[0] == 0.0 or b[0] == 0.0:
            row[:] = a if b[0] == 0.0 else b
            continue
        row[0] = a[0] + b[0]
        for k in range(1, 6):
            apart = b[k] - a[k]
            row[k] = a[k] + apart * (b[0] / row[0])
            row[5 + k] = a[5 + k] + b[5 + k] + apart * apart * (a[0] * b[0] / row[0])
        for k in range(11, 14):
            row[k] = a[k] + b[k]
    return out


@kernel
def values_of(found):
    """Colour of every cell beyond its R, G and B.

    Parameters
    ----------
    found : (n_cells, 14) float64 array
        As `moments` gives it.

    Returns
    -------
    (n_cells, 13) float64 array
        Mean of L, a, b; their population standard deviations; mean and standard deviation of
        saturation, then of value; mean cosine and sine of hue; its resultant length. NaN where
        there is no pixel, and for hue where no pixel has one.
    """
    out = np.full((found.shape[0], 13), np.nan)
    factors = (116.0, 500.0, 200.0, 1.0, 1.0 / 255.0)
    places = (0, 1, 2, 6, 8)
    for cell in range(found.shape[0]):
        n, row = found[cell, 0], out[cell]
        if n == 0.0:
            continue
        for k in range(5):
            row[places[k]] = factors[k] * found[cell, 1 + k]
            row[places[k] + (3 if k < 3 else 1)] = factors[k] * math.sqrt(found[cell, 6 + k] / n)
        row[0] -= 16.0
        if found[cell, 11] > 0.0:
            row[10] = found[cell, 12] / found[cell, 11]
            row[11] = found[cell, 13] / found[cell, 11]
            row[12] = math.hypot(row[10], row[11])
    return out


@kernel
def columns_of(counts, values):
    """All columns of colour: R, G and B from their histograms, then `values`, then two ratios.

    Parameters
    ----------
    counts : (n_cells, 3, 256) int64 array
        Histograms of R, G and B.
    values : (n_cells, 13) float64 array
        As `values_of` gives them.

    Returns
    -------
    (n_cells, 21) float64 array
        NaN where there is no pixel; a ratio is NaN also where the mean of B is 0.
    """
    n_cells = counts.shape[0]
    out = np.full((n_cells, 21), np.nan)
    for cell in range(n_cells):
        row = out[cell]
        row[6:19] = values[cell]
        for channel in range(3):
            n = first = second = 0
            for level in range(256):
                often = counts[cell, channel, level]
                n += often
                first += often * level
                second += often * level * level
            if n > 0:
                row[channel] = first / n
                # Sums of whole numbers: the difference is exact, and 0 where the region is flat.
                row[3 + channel] = math.sqrt(float(n) * second - float(first) * first) / n
        if row[2] > 0.0:
            row[19] = row[0] / row[2]
            row[20] = row[1] / row[2]
    return out
