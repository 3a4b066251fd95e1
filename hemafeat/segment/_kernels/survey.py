"""All that is learnt of an image before any cell is outlined, in one go."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel
from hemafeat.segment._kernels.levels import black_level, planes, white_level
from hemafeat.segment._kernels.light import is_uneven
from hemafeat.segment._kernels.nuclei import spots


@kernel
def reduced(image, rows, columns, factor):
    """(rows, 3 columns) uint8: means over squares of `factor` by `factor` pixels.

    Parameters
    ----------
    image : (H, 3 W) ndarray of uint8
        R, G and B of each pixel after another. What is left at the right and at the bottom is left
        out.
    rows, columns, factor : int
    """
    out = np.empty((rows, 3 * columns), np.uint8)
    n = 3 * columns * factor
    # The sum of 257 levels is the largest there is room for; no image is so large.
    sums = np.empty(n, np.uint16)
    area = np.uint32(factor * factor)
    half = area >> 1
    for y in range(rows):
        row, line = image[y * factor], out[y]
        for i in range(n):
            sums[i] = row[i]
        for k in range(1, factor):
            row = image[y * factor + k]
            for i in range(n):
                sums[i] += row[i]
        if factor == 2:
            for x in range(columns):
                i, o = 6 * x, 3 * x
                line[o] = (np.uint32(sums[i]) + np.uint32(sums[i + 3]) + half) >> 2
                line[o + 1] = (np.uint32(sums[i + 1]) + np.uint32(sums[i + 4]) + half) >> 2
                line[o + 2] = (np.uint32(sums[i + 2]) + np.uint32(sums[i + 5]) + half) >> 2
            continue
        for x in range(columns):
            red, green, blue = half, half, half
            for i in range(3 * x * factor, 3 * (x + 1) * factor, 3):
                red += sums[i]
                green += sums[i + 1]
                blue += sums[i + 2]
            o = 3 * x
            line[o], line[o + 1], line[o + 2] = red // area, green // area, blue // area
    return out


@kernel
def averaged(rgb):
    """(h, 3 w) uint8: means over squares of 3 by 3 pixels, mirrored at the borders.

    Parameters
    ----------
    rgb : (h, 3 w) ndarray of uint8
        At least 2 by 2 pixels.
    """
    height, n = rgb.shape
    out = np.empty((height, n), np.uint8)
    sums = np.empty(n, np.int32)
    for y in range(height):
        above, here = rgb[y - 1 if y > 0 else 1], rgb[y]
        below = rgb[y + 1 if y + 1 < height else height - 2]
        for i in range(n):
            sums[i] = np.int32(above[i]) + np.int32(here[i]) + np.int32(below[i])
        before, own, after, line = sums[: n - 6], sums[3 : n - 3], sums[6:], out[y, 3 : n - 3]
        for i in range(n - 6):
            # A ninth: 7282 / 65536 is right for all sums of nine levels.
            line[i] = ((before[i] + own[i] + after[i] + 4) * 7282) >> 16
        for c in range(3):
            out[y, c] = (sums[c] + 2 * sums[c + 3] + 4) // 9
            out[y, n - 3 + c] = (sums[n - 3 + c] + 2 * sums[n - 6 + c] + 4) // 9
    return out


@kernel
def softened(plane):
    """(h, w) uint8 plane blurred by 1, 2, 1 along both axes, mirrored at the borders.

    Parameters
    ----------
    plane : (h, w) ndarray of uint8
        At least 2 by 2 pixels.
    """
    height, n = plane.shape
    out = np.empty((height, n), np.uint8)
    sums = np.empty(n, np.int32)
    for y in range(height):
        above, here = plane[y - 1 if y > 0 else 1], plane[y]
        below = plane[y + 1 if y + 1 < height else height - 2]
        for i in range(n):
            sums[i] = np.int32(above[i]) + 2 * np.int32(here[i]) + np.int32(below[i])
        before, own, after, line = sums[: n - 2], sums[1 : n - 1], sums[2:], out[y, 1 : n - 1]
        for i in range(n - 2):
            line[i] = (before[i] + 2 * own[i] + after[i] + 8) >> 4
        out[y, 0] = (2 * sums[0] + 2 * sums[1] + 8) >> 4
        out[y, n - 1] = (2 * sums[n - 1] + 2 * sums[n - 2] + 8) >> 4
    return out


@kernel
def opened(mask):
    """(h, w) uint8 mask opened by a cross of 3 by 3 pixels; beyond the border may be anything.

    Parameters
    ----------
    mask : (h, w) ndarray of uint8
        0 and 1, at least 2 by 2 pixels.
    """
    height, n = mask.shape
    core, out = np.empty((height, n), np.uint8), np.empty((height, n), np.uint8)
    for y in range(height):
        above, here, below = mask[max(y - 1, 0)], mask[y], mask[min(y + 1, height - 1)]
        line = core[y]
        for i in range(n):
            line[i] = above[i] & here[i] & below[i]
        before, after, inner = here[: n - 2], here[2:], line[1 : n - 1]
        for i in range(n - 2):
            inner[i] &= before[i] & after[i]
        line[0] &= here[1]
        line[n - 1] &= here[n - 2]
    for y in range(height):
        above, here, below = core[max(y - 1, 0)], core[y], core[min(y + 1, height - 1)]
        line = out[y]
        for i in range(n):
            line[i] = above[i] | here[i] | below[i]
        before, after, inner = here[: n - 2], here[2:], line[1 : n - 1]
        for i in range(n - 2):
            inner[i] |= before[i] | after[i]
        line[0] |= here[1]
        line[n - 1] |= here[n - 2]
    return out


@kernel
def survey(image, side, ringing, least, small_side, light, spreads):
    """What an image says of itself: see `hemafeat.segment._contours.frame.Frame`.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
    side : int
        Longest side of the reduced image.
    ringing : int
        Grey level up to which a pixel may be of a black surround.
    least : int
        Least violet density of a nucleus.
    small_side : int
        Longest side of the image the light is looked at on.
    light : (5,) ndarray of float64
        Tile, tint, near, bend and uneven; see `hemafeat.segment._contours.light`.
    spreads : (n,) ndarray of float64
        See `light.background_surface`.

    Returns
    -------
    rgb, table, coded, dark, bins : ndarray
        See `levels.planes`.
    nuclei : (h, w) ndarray of uint8
        1 on what may be nuclei.
    seen : (8,) ndarray of float64
        Scale, level of black (-1 where there is none), white of R, G and B, faint, whether
        anything is violet, whether the light is uneven.
    """
    height, width = image.shape[:2]
    factor = min(-(-max(height, width) // side), min(height, width))
    rows, columns = height // factor, width // factor
    flat = reduced(image.reshape((height, 3 * width)), rows, columns, factor)
    rgb = flat.reshape((rows, columns, 3))
    seen = np.zeros(8)
    seen[0] = factor
    seen[1] = black_level(image, ringing)
    white = np.full(3, 255.0)
    tiny = min(rows, columns) < 3
    if seen[1] < 0:
        # Background is brighter than any cell, in every stain, but may be less of the image than
        # red cells are: the brightest peak that holds a fair share of the pixels.
        white = white_level(rgb if tiny else averaged(flat).reshape((rows, columns, 3)))
    table, coded, dark, bins, violet, spread = planes(rgb, white)
    # Background pixels lie on both sides of the white, so half of them have density 0; how far the
    # other half strays says how dark background can be.
    faint = min(max(1.0 + spread, 2.5), 4.0)
    soft = violet if tiny else softened(violet)
    nuclei, any_found = spots(soft, rgb, table, dark, faint, least)
    for channel in range(3):
        seen[2 + channel] = white[channel]
    seen[5] = faint
    seen[6] = any_found
    step = max(1, int(np.rint(max(rows, columns) / small_side)))
    if seen[1] < 0 and min(rows // step, columns // step) >= 4 * light[0]:
        # Whole factors are much faster, if the last rows and columns are left out.
        down, along = rows // step, columns // step
        small = reduced(flat, down, along, step).reshape((down, along, 3))
        seen[7] = is_uneven(small, white, light, spreads)
    return rgb, table, coded, dark, bins, nuclei if tiny else opened(nuclei), seen
