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

THIRD = np.float32(1.0 / 3.0)
MAGIC = np.int32(709921077)
"""A third of a float32's bits plus this is its cube root to 4 % (Kahan)."""

TINY = np.float32(1e-30)
"""Keeps 0 / 0 out where a pixel is black; above `EPSILON` it is lost in rounding."""

HALF_ROOT_3 = math.sqrt(3.0) / 2.0


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
def hue_block(red, green, blue, saturation, cosine, sine, n):
    """Saturation, and cosine and sine of the hue angle (0 where grey), of n pixels (floats)."""
    for k in range(n):
        r, g, b = red[k], green[k], blue[k]
        top = max(max(r, g), b)
        chroma = top - min(min(r, g), b)
        saturation[k] = chroma / max(top, 1.0)
        # Hue lies within 60 degrees of the largest channel: of red at 0, green at 120, blue at 240.
        side = g - b if top == r else (b - r if top == g else r - g)
        x = side / max(chroma, 1.0) * (math.pi / 3.0)
        q = x * x
        # Taylor series: at 60 degrees the terms left out are below 1e-14.
        c = 1.0 + q * (
            -1 / 2
            + q
            * (
                1 / 24
                + q
                * (
                    -1 / 720
                    + q
                    * (
                        1 / 40320
                        + q
                        * (
                            -1 / 3628800
                            + q * (1 / 479001600 + q * (-1 / 87178291200 + q / 20922789888000))
                        )
                    )
                )
            )
        )
        s = x * (
            1.0
            + q
            * (
                -1 / 6
                + q
                * (
                    1 / 120
                    + q
                    * (
                        -1 / 5040
                        + q
                        * (
                            1 / 362880
                            + q * (-1 / 39916800 + q * (1 / 6227020800 - q / 1307674368000))
                        )
                    )
                )
            )
        )
        turn_c = 1.0 if top == r else -0.5
        turn_s = 0.0 if top == r else (HALF_ROOT_3 if top == g else -HALF_ROOT_3)
        weight = 1.0 if chroma > 0.0 else 0.0
        cosine[k] = weight * (c * turn_c - s * turn_s)
        sine[k] = weight * (s * turn_c + c * turn_s)


@kernel
def colour_of_cells(rgb, starts, index, linear):
    """Colour of every cell beyond its R, G and B.

    Parameters
    ----------
    rgb : (H * W, 3) uint8 array
        Pixels in raster order.
    starts, index
        Pixels of each cell, as ``regions.pixels`` gives them.
    linear : (256,) float64 array
        Linear intensity of each sRGB level.

    Returns
    -------
    (n_cells, 13) float64 array
        Mean of L, a, b; their population standard deviations; mean and standard deviation of
        saturation, then of value; mean cosine and sine of hue; its resultant length. NaN where
        there is no pixel, and for hue where no pixel has one.
    """
    n_cells = starts.size - 1
    out = np.full((n_cells, 13), np.nan)
    x, y, z = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    red, green, blue = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    saturation, cosine, sine = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    single = np.empty(BLOCK, np.float32)
    bits = single.view(np.int32)
    # Sums of y, x - y, y - z, saturation, value and of their squares, then of cosine and sine; one
    # per place in the block, because additions that do not wait for one another vectorise.
    sums = np.empty((12, BLOCK))
    origin = np.zeros(5)
    for cell in range(n_cells):
        total = starts[cell + 1] - starts[cell]
        if total == 0:
            continue
        sums[:] = 0.0
        n_hues = 0
        for first in range(starts[cell], starts[cell + 1], BLOCK):
            n = min(BLOCK, starts[cell + 1] - first)
            for k in range(n):
                pixel = index[first + k]
                red[k], green[k], blue[k] = rgb[pixel, 0], rgb[pixel, 1], rgb[pixel, 2]
                r, g, b = linear[rgb[pixel, 0]], linear[rgb[pixel, 1]], linear[rgb[pixel, 2]]
                x[k] = (0.412453 * r + 0.357580 * g + 0.180423 * b) * (1.0 / 0.95047)
                y[k] = 0.212671 * r + 0.715160 * g + 0.072169 * b
                z[k] = (0.019334 * r + 0.119193 * g + 0.950227 * b) * (1.0 / 1.08883)
            lab_function(x, single, bits, n)
            lab_function(y, single, bits, n)
            lab_function(z, single, bits, n)
            hue_block(red, green, blue, saturation, cosine, sine, n)
            for k in range(n):
                x[k] = x[k] - y[k]
                z[k] = y[k] - z[k]
                red[k] = max(max(red[k], green[k]), blue[k])
                n_hues += saturation[k] > 0.0
            if first == starts[cell]:
                # Sums of deviations from the first pixel: a flat region deviates by exactly zero.
                origin[0], origin[1], origin[2] = y[0], x[0], z[0]
                origin[3], origin[4] = saturation[0], red[0]
            add(y, origin[0], sums[0], sums[5], n)
            add(x, origin[1], sums[1], sums[6], n)
            add(z, origin[2], sums[2], sums[7], n)
            add(saturation, origin[3], sums[3], sums[8], n)
            add(red, origin[4], sums[4], sums[9], n)
            for k in range(n):
                sums[10, k] += cosine[k]
                sums[11, k] += sine[k]
        finish(sums, origin, total, n_hues, out[cell])
    return out


@kernel
def add(values, origin, first, second, n):
    """Add n deviations from `origin`, and their squares, to the sums of their places."""
    for k in range(n):
        deviation = values[k] - origin
        first[k] += deviation
        second[k] += deviation * deviation


@kernel
def finish(sums, origin, n, n_hues, row):
    """The columns of one cell from its sums."""
    factors = (116.0, 500.0, 200.0, 1.0, 1.0 / 255.0)
    places = (0, 1, 2, 6, 8)
    for k in range(5):
        mean = sums[k].sum() / n
        deviation = math.sqrt(max(sums[5 + k].sum() / n - mean * mean, 0.0))
        row[places[k]] = factors[k] * (origin[k] + mean)
        row[places[k] + (3 if k < 3 else 1)] = factors[k] * deviation
    row[0] -= 16.0
    if n_hues > 0:
        row[10] = sums[10].sum() / n_hues
        row[11] = sums[11].sum() / n_hues
        row[12] = math.hypot(row[10], row[11])
