"""Reduce an image and measure its background, light and nuclei before any cell is outlined."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel
from hemafeat.segment._kernels.levels import black_level, colour_planes, white_level
from hemafeat.segment._kernels.light import TILE, is_uneven
from hemafeat.segment._kernels.nuclei import nuclear_mask

WORKING_SIDE = 216
"""Longest side, in pixels, of the reduced image on which cells are found."""

LIGHT_SIDE = 54
"""Longest side, in pixels, of the image on which the light of the background is measured."""

DARK = 12
"""Highest grey level of a black surround, with the ringing of JPEG."""

MIN_DENSITY = 12
"""Least violet density of a nucleus, in steps of 1/100: below it nothing is stained."""


@kernel
def block_means(image, rows, columns, factor):
    """Reduce an image by averaging blocks of `factor` x `factor` pixels.

    Parameters
    ----------
    image : (H, 3 W) ndarray of uint8
        R, G and B of each pixel, one after another. An incomplete block at the right or at the
        bottom is ignored.
    rows, columns : int
        Size of the reduced image.
    factor : int
        Side of the blocks.

    Returns
    -------
    (rows, 3 columns) ndarray of uint8
    """
    out = np.empty((rows, 3 * columns), np.uint8)
    n = 3 * columns * factor
    # 16 bits hold the sum of 257 levels, which is enough for every image.
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
def box_blur(rgb):
    """Average an image over windows of 3 x 3 pixels, mirrored at the borders.

    Parameters
    ----------
    rgb : (h, 3 w) ndarray of uint8
        R, G and B of each pixel, one after another; at least 2 x 2 pixels.

    Returns
    -------
    (h, 3 w) ndarray of uint8
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
            # 7282 / 65536 rounds a ninth correctly for all sums of nine levels.
            line[i] = ((before[i] + own[i] + after[i] + 4) * 7282) >> 16
        for c in range(3):
            out[y, c] = (sums[c] + 2 * sums[c + 3] + 4) // 9
            out[y, n - 3 + c] = (sums[n - 3 + c] + 2 * sums[n - 6 + c] + 4) // 9
    return out


@kernel
def binomial_blur(plane):
    """Blur a plane by 1, 2, 1 along both axes, mirrored at the borders.

    Parameters
    ----------
    plane : (h, w) ndarray of uint8
        At least 2 x 2 pixels.

    Returns
    -------
    (h, w) ndarray of uint8
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
def open_mask(mask):
    """Open a mask by a cross of 3 x 3 pixels, ignoring what lies beyond the border.

    Parameters
    ----------
    mask : (h, w) ndarray of uint8
        0 and 1, at least 2 x 2 pixels.

    Returns
    -------
    (h, w) ndarray of uint8
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
def survey(image):
    """Reduce an image and measure its background; see `hemafeat.segment._contours.frame.Frame`.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB image.

    Returns
    -------
    rgb : (h, w, 3) ndarray of uint8
        Reduced image.
    table, coded, dark, bins : ndarray
        See `levels.colour_planes`.
    nuclei : (h, w) ndarray of uint8
        1 on pixels that may be nuclei.
    white : (3,) ndarray of float64
        Level of the background; 255 if it is black.
    scale : int
        Full-size pixels per reduced pixel.
    black : int
        Level of a black surround; -1 if there is none.
    faint : float
        Density up to which a pixel may be background.
    any_nuclei, uneven : bool
        True if anything is violet enough to be a nucleus, and if the light is uneven.
    """
    height, width = image.shape[:2]
    scale = min(-(-max(height, width) // WORKING_SIDE), min(height, width))
    rows, columns = height // scale, width // scale
    flat = block_means(image.reshape((height, 3 * width)), rows, columns, scale)
    rgb = flat.reshape((rows, columns, 3))
    black = black_level(image, DARK)
    white = np.full(3, 255.0)
    tiny = min(rows, columns) < 3
    if black < 0:
        # The background is brighter than any cell, in every stain, but may cover less of the image
        # than red cells do: the brightest peak that holds a fair share of the pixels.
        white = white_level(rgb if tiny else box_blur(flat).reshape((rows, columns, 3)))
    table, coded, dark, bins, violet, spread = colour_planes(rgb, white)
    # Background pixels lie on both sides of the white, so half of them have density 0; the spread
    # of the other half shows how dark background can be.
    faint = min(max(1.0 + spread, 2.5), 4.0)
    soft = violet if tiny else binomial_blur(violet)
    nuclei, any_nuclei = nuclear_mask(soft, rgb, table, dark, faint, MIN_DENSITY)
    if not tiny:
        nuclei = open_mask(nuclei)
    uneven = False
    step = max(1, int(np.rint(max(rows, columns) / LIGHT_SIDE)))
    if black < 0 and min(rows // step, columns // step) >= 4 * TILE:
        # Whole factors are much faster, and the last rows and columns do not matter.
        down, along = rows // step, columns // step
        small = block_means(flat, down, along, step).reshape((down, along, 3))
        uneven = is_uneven(small, white)
    return rgb, table, coded, dark, bins, nuclei, white, scale, black, faint, any_nuclei, uneven
