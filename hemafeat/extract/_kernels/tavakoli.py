"""Colour of a nucleus and of the rest of its hull, in the 8-bit codes of OpenCV.

All arithmetic is in whole numbers: conversions are the fixed-point ones of OpenCV, and sums are
exact.
"""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import indices, kernel
from hemafeat.extract._kernels.region.hull import hull_chains, hull_runs, row_extents
from hemafeat.extract._kernels.region.runs import local_runs

CODES = ("r", "g", "b", "h", "s", "v", "lab_l", "lab_a", "lab_b", "y", "cr", "cb")
"""Channels, as OpenCV codes 8-bit RGB, HSV, CIELAB and YCrCb."""

N_CHANNELS = len(CODES)

RATIOS = ("mean_nucleus", "mean_rest", "sd_nucleus", "sd_rest")
"""Values per channel: mean and standard deviation of nucleus and of the rest, over the hull's."""
N_RATIOS = len(RATIOS)

AT = indices(RATIOS)

BLOCK = 256
"""Number of pixels converted at a time."""

# Fractional bits of the fixed-point numbers of each conversion, and constants of CIELAB.
SHIFT_YCC = 14
SHIFT_HSV = 12
SHIFT_XYZ = 12
SHIFT_LAB = 15
L_SCALE, L_OFFSET = (116 * 255 + 50) // 100, -((16 * 255 * (1 << SHIFT_LAB) + 50) // 100)
HALF_RANGE = 128 << SHIFT_LAB


@kernel
def white_balance(white):
    """Return the levels of R, G and B that make a background of `white` grey, (3, 256) int32."""
    balance = np.empty((3, 256), np.int32)
    for channel in range(3):
        gain = (white[0] + white[1] + white[2]) / 3.0 / white[channel]
        for level in range(256):
            balance[channel, level] = np.int32(min(np.rint(level * gain), 255.0))
    return balance


@kernel
def rest_levels(red, green, blue, cell, label, runs, box):
    """Return the levels of the pixels of the hull of a nucleus, without it, within its cell.

    The levels of N such pixels are (3, N) uint8.
    """
    height = box[1] - box[0]
    local, rows = local_runs(runs, box[0], box[2], height)
    left, right = hull_chains(row_extents(local, rows))
    hull = hull_runs(left, right, height)
    n_rest = 0
    for k in range(height):
        n_rest += hull[k, 2] - hull[k, 1]
    for k in range(local.shape[0]):
        n_rest -= local[k, 2] - local[k, 1]
    levels = np.empty((3, n_rest), np.uint8)
    n = 0
    for k in range(height):
        row, run = box[0] + k, rows[k]
        column = hull[k, 1]
        while column < hull[k, 2]:
            if run < rows[k + 1] and column == local[run, 1]:
                column = local[run, 2]
                run += 1
                continue
            x = box[2] + column
            if cell[row, x] == label:
                levels[0, n] = red[row, x]
                levels[1, n] = green[row, x]
                levels[2, n] = blue[row, x]
                n += 1
            column += 1
    return levels[:, :n]


@kernel
def hue_saturation_value(codes, work, by_value, by_chroma, n):
    """Convert n pixels to HSV, with the hue in steps of 2 degrees."""
    red, green, blue = codes[0], codes[1], codes[2]
    hue, saturation, value = codes[3], codes[4], codes[5]
    chroma = work[0]
    for k in range(n):
        r, g, b = red[k], green[k], blue[k]
        high = max(max(r, g), b)
        value[k] = high
        chroma[k] = high - min(min(r, g), b)
    for k in range(n):
        r, g, b = red[k], green[k], blue[k]
        twice = chroma[k] + chroma[k]
        late = np.int32(b - r + twice) if value[k] == g else np.int32(r - g + twice + twice)
        hue[k] = np.int32(g - b) if value[k] == r else late
    for k in range(n):
        saturation[k] = by_value[value[k]]
        work[1, k] = by_chroma[chroma[k]]
    per_chroma = work[1]
    half = 1 << (SHIFT_HSV - 1)
    for k in range(n):
        saturation[k] = np.int32(chroma[k] * saturation[k] + half) >> SHIFT_HSV
        sixth = np.int32(np.int32(hue[k] * per_chroma[k] + half) >> SHIFT_HSV)
        hue[k] = np.int32(sixth + 180) if sixth < 0 else sixth


@kernel
def lab(codes, work, gamma, root, matrix, n):
    """Convert n pixels to CIELAB, with L scaled to 0..255, and a and b shifted by 128."""
    red, green, blue = work[0], work[1], work[2]
    for k in range(n):
        red[k] = gamma[codes[0, k]]
        green[k] = gamma[codes[1, k]]
        blue[k] = gamma[codes[2, k]]
    half = np.int32(1 << (SHIFT_XYZ - 1))
    for axis in range(3):
        into = codes[6 + axis]
        a, b, c = matrix[axis, 0], matrix[axis, 1], matrix[axis, 2]
        for k in range(n):
            sum_ = np.int32(np.int32(red[k] * a + green[k] * b) + np.int32(blue[k] * c))
            into[k] = np.int32(sum_ + half) >> SHIFT_XYZ
    x, y, z = codes[6], codes[7], codes[8]
    for k in range(n):
        x[k], y[k], z[k] = root[x[k]], root[y[k]], root[z[k]]
    round_up = 1 << (SHIFT_LAB - 1)
    for k in range(n):
        light = np.int32(np.int32(L_SCALE * y[k]) + np.int32(L_OFFSET + round_up)) >> SHIFT_LAB
        cyan = np.int32(np.int32(500 * (x[k] - y[k])) + np.int32(HALF_RANGE + round_up))
        yellow = np.int32(np.int32(200 * (y[k] - z[k])) + np.int32(HALF_RANGE + round_up))
        x[k] = min(max(light, 0), 255)
        y[k] = min(max(cyan >> SHIFT_LAB, 0), 255)
        z[k] = min(max(yellow >> SHIFT_LAB, 0), 255)


@kernel
def luma_chroma(codes, n):
    """Convert n pixels to YCrCb."""
    red, green, blue, luma, cr, cb = codes[0], codes[1], codes[2], codes[9], codes[10], codes[11]
    half = 1 << (SHIFT_YCC - 1)
    middle = (128 << SHIFT_YCC) + half
    for k in range(n):
        sum_ = np.int32(np.int32(red[k] * 4899 + green[k] * 9617) + np.int32(blue[k] * 1868))
        luma[k] = np.int32(sum_ + half) >> SHIFT_YCC
    for k in range(n):
        warm = np.int32(np.int32((red[k] - luma[k]) * 11682) + middle) >> SHIFT_YCC
        cr[k] = min(max(warm, 0), 255)
    for k in range(n):
        cold = np.int32(np.int32((blue[k] - luma[k]) * 9241) + middle) >> SHIFT_YCC
        cb[k] = min(max(cold, 0), 255)


@kernel
def tally(codes, n, sums):
    """Add the codes of n pixels and their squares to the sums of each channel."""
    for channel in range(N_CHANNELS):
        values = codes[channel]
        # The sum of the squares of a block of 8-bit codes fits 32 bits.
        first = second = np.int32(0)
        for k in range(n):
            first = np.int32(first + values[k])
            second = np.int32(second + np.int32(values[k] * values[k]))
        sums[channel, 0] += first
        sums[channel, 1] += second


@kernel
def code_sums(levels, balance, tables, root, matrix):
    """Return the sums of the 12 codes and of their squares over all pixels, (12, 2) int64."""
    sums = np.zeros((N_CHANNELS, 2), np.int64)
    codes = np.empty((N_CHANNELS, BLOCK), np.int32)
    work = np.empty((3, BLOCK), np.int32)
    for begin in range(0, levels.shape[1], BLOCK):
        n = min(BLOCK, levels.shape[1] - begin)
        for channel in range(3):
            table, into = balance[channel], codes[channel]
            line = levels[channel, begin : begin + n]
            for k in range(n):
                into[k] = table[line[k]]
        hue_saturation_value(codes, work, tables[0], tables[1], n)
        lab(codes, work, tables[2], root, matrix, n)
        luma_chroma(codes, n)
        tally(codes, n, sums)
    return sums


@kernel
def colour_ratios(
    levels,
    starts,
    red,
    green,
    blue,
    cell,
    run_starts,
    runs,
    boxes,
    cell_starts,
    white,
    tables,
    root,
    matrix,
):
    """Compare the colour of every nucleus, and of the rest of its hull, with that of its hull.

    Parameters
    ----------
    levels, starts
        Levels of the pixels of the nuclei, see ``runs.levels_of`` and ``runs.pixels``.
    red, green, blue : (H, W) uint8 arrays
        Planes of the image.
    cell : (H, W) int32 array
        Labels of the cells. Pixels of a hull outside the cell are left out.
    run_starts, runs, boxes
        Runs and boxes of the nuclei, see ``runs.find_runs`` and ``runs.pixels``.
    cell_starts : (n_cells + 1,) int64 array
        First pixel of each cell, see ``runs.pixels``. Without a cell nothing is measured.
    white : (3,) float64 array
        R, G, B of the background, which becomes grey.
    tables : (3, 256) int32 array
        Tables of OpenCV: division by the value, division by the chroma, linear light.
    root : (N,) int32 array
        Table of OpenCV: cube roots.
    matrix : (3, 3) int32 array
        Matrix of OpenCV from R, G, B to X, Y, Z.

    Returns
    -------
    (n_cells, 48) float64 array
        `RATIOS` for each of `CODES`. NaN where there is no pixel or the divisor is 0.
    """
    n_cells = run_starts.size - 1
    out = np.empty((n_cells, N_CHANNELS * N_RATIOS), np.float64)
    out[:] = np.nan
    balance = white_balance(white)
    for k in range(n_cells):
        nucleus_runs = runs[run_starts[k] : run_starts[k + 1]]
        if nucleus_runs.shape[0] == 0 or cell_starts[k + 1] == cell_starts[k]:
            continue
        nucleus = levels[:, starts[k] : starts[k + 1]]
        rest = rest_levels(red, green, blue, cell, k + 1, nucleus_runs, boxes[k])
        n, total = nucleus.shape[1], nucleus.shape[1] + rest.shape[1]
        inner = code_sums(nucleus, balance, tables, root, matrix)
        outer = code_sums(rest, balance, tables, root, matrix)
        for channel in range(N_CHANNELS):
            row = out[k, channel * N_RATIOS :]
            hull_mean, hull_sd = mean_and_sd(inner[channel] + outer[channel], total)
            for part in range(2):
                if part == 0:
                    mean, sd = mean_and_sd(inner[channel], n)
                else:
                    mean, sd = mean_and_sd(outer[channel], total - n)
                if hull_mean > 0.0:
                    row[AT.mean_nucleus + part] = mean / hull_mean
                if hull_sd > 0.0:
                    row[AT.sd_nucleus + part] = sd / hull_sd
    return out


@kernel
def mean_and_sd(sums, n):
    """Return mean and population standard deviation from exact sums; NaN without a pixel."""
    if n == 0:
        return np.nan, np.nan
    return sums[0] / n, math.sqrt(float(n * sums[1] - sums[0] * sums[0])) / n
