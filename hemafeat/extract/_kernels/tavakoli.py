"""Colour in the 8-bit codes of OpenCV, over a nucleus and over what its hull adds to it.

All in whole numbers: the fixed-point arithmetic OpenCV converts 8-bit images with, and sums that
are exact.
"""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel
from hemafeat.extract._kernels.contour import local_runs
from hemafeat.extract._kernels.hull import extremes, filled, hull_chains

BLOCK = 256
N_CHANNELS = 12

SHIFT_YCC = 14
SHIFT_HSV = 12
SHIFT_XYZ = 12
SHIFT_LAB = 15
L_SCALE, L_OFFSET = (116 * 255 + 50) // 100, -((16 * 255 * (1 << SHIFT_LAB) + 50) // 100)
HALF_RANGE = 128 << SHIFT_LAB


@kernel
def hull_pixels(red, green, blue, cell, label, runs, box):
    """Levels of the pixels of a nucleus, then of those its hull adds within the cell.

    Returns
    -------
    levels : (3, N) uint8 array
    n_nucleus : int
        How many of them are the nucleus' own.
    """
    height = box[1] - box[0]
    own, rows = local_runs(runs, box[0], box[2], height)
    left, right = hull_chains(extremes(own, rows))
    hull = filled(left, right, height)
    room = 0
    for k in range(height):
        room += hull[k, 2] - hull[k, 1]
    levels = np.empty((3, room), np.uint8)
    n = 0
    for k in range(runs.shape[0]):
        row = runs[k, 0]
        for column in range(runs[k, 1], runs[k, 2]):
            levels[0, n] = red[row, column]
            levels[1, n] = green[row, column]
            levels[2, n] = blue[row, column]
            n += 1
    n_nucleus = n
    for k in range(height):
        row, run = box[0] + k, rows[k]
        column = hull[k, 1]
        while column < hull[k, 2]:
            if run < rows[k + 1] and column == own[run, 1]:
                column = own[run, 2]
                run += 1
                continue
            at = box[2] + column
            if cell[row, at] == label:
                levels[0, n] = red[row, at]
                levels[1, n] = green[row, at]
                levels[2, n] = blue[row, at]
                n += 1
            column += 1
    return levels[:, :n], n_nucleus


@kernel
def hue_saturation_value(codes, by_value, by_chroma, n):
    """HSV of n pixels, hue in steps of 2 degrees."""
    for k in range(n):
        r, g, b = codes[0, k], codes[1, k], codes[2, k]
        high = max(max(r, g), b)
        codes[5, k] = high
        chroma = high - min(min(r, g), b)
        side = g - b if high == r else (b - r + 2 * chroma if high == g else r - g + 4 * chroma)
        half = 1 << (SHIFT_HSV - 1)
        codes[4, k] = (chroma * by_value[high] + half) >> SHIFT_HSV
        hue = (side * by_chroma[chroma] + half) >> SHIFT_HSV
        codes[3, k] = hue + 180 if hue < 0 else hue


@kernel
def lab(codes, gamma, root, matrix, n):
    """CIELAB of n pixels: L scaled to 0..255, a and b moved by 128."""
    half = 1 << (SHIFT_XYZ - 1)
    round_up = 1 << (SHIFT_LAB - 1)
    for k in range(n):
        r, g, b = gamma[codes[0, k]], gamma[codes[1, k]], gamma[codes[2, k]]
        x = root[(r * matrix[0, 0] + g * matrix[0, 1] + b * matrix[0, 2] + half) >> SHIFT_XYZ]
        y = root[(r * matrix[1, 0] + g * matrix[1, 1] + b * matrix[1, 2] + half) >> SHIFT_XYZ]
        z = root[(r * matrix[2, 0] + g * matrix[2, 1] + b * matrix[2, 2] + half) >> SHIFT_XYZ]
        lightness = (L_SCALE * y + L_OFFSET + round_up) >> SHIFT_LAB
        red_green = (500 * (x - y) + HALF_RANGE + round_up) >> SHIFT_LAB
        yellow_blue = (200 * (y - z) + HALF_RANGE + round_up) >> SHIFT_LAB
        codes[6, k] = min(max(lightness, 0), 255)
        codes[7, k] = min(max(red_green, 0), 255)
        codes[8, k] = min(max(yellow_blue, 0), 255)


@kernel
def luma_chroma(codes, n):
    """YCrCb of n pixels."""
    half = 1 << (SHIFT_YCC - 1)
    middle = (128 << SHIFT_YCC) + half
    for k in range(n):
        r, g, b = codes[0, k], codes[1, k], codes[2, k]
        y = (r * 4899 + g * 9617 + b * 1868 + half) >> SHIFT_YCC
        cr = ((r - y) * 11682 + middle) >> SHIFT_YCC
        cb = ((b - y) * 9241 + middle) >> SHIFT_YCC
        codes[9, k] = y
        codes[10, k] = min(max(cr, 0), 255)
        codes[11, k] = min(max(cb, 0), 255)


@kernel
def tally(codes, n, sums):
    """Add the codes of n pixels, and their squares, to the sums of each channel."""
    for channel in range(N_CHANNELS):
        values = codes[channel]
        first = second = np.int64(0)
        for k in range(n):
            first += values[k]
            second += values[k] * values[k]
        sums[channel, 0] += first
        sums[channel, 1] += second


@kernel
def code_sums(levels, balance, by_value, by_chroma, gamma, root, matrix):
    """(12, 2) sums and sums of squares of the 12 codes of pixels, of which there may be none."""
    sums = np.zeros((N_CHANNELS, 2), np.int64)
    codes = np.empty((N_CHANNELS, BLOCK), np.int32)
    for begin in range(0, levels.shape[1], BLOCK):
        n = min(BLOCK, levels.shape[1] - begin)
        for channel in range(3):
            table, into = balance[channel], codes[channel]
            given = levels[channel, begin : begin + n]
            for k in range(n):
                into[k] = table[given[k]]
        hue_saturation_value(codes, by_value, by_chroma, n)
        lab(codes, gamma, root, matrix, n)
        luma_chroma(codes, n)
        tally(codes, n, sums)
    return sums


@kernel
def colour_ratios(
    red,
    green,
    blue,
    cell,
    run_starts,
    runs,
    boxes,
    present,
    balance,
    by_value,
    by_chroma,
    gamma,
    root,
    matrix,
):
    """Mean and deviation of 12 codes in nucleus and in the rest of its hull, over the hull's.

    Parameters
    ----------
    red, green, blue : (H, W) uint8 arrays
        The image.
    cell : (H, W) int32 array
        Labels of the whole cells; the hull is cut to them.
    run_starts, runs, boxes
        Of the nuclei, as ``regions.find_runs`` and ``regions.pixels`` give them.
    present : (n_cells,) bool array
        Which cells are measured, of those that have a nucleus.
    balance : (3, 256) int32 array
        Levels after white balance.
    by_value, by_chroma, gamma, root, matrix
        The tables of OpenCV's conversions.

    Returns
    -------
    (n_cells, 48) float64 array
        For each code: mean nucleus / hull, mean rest / hull, and the same of the deviations. NaN
        where there is no pixel or the divisor is 0.
    """
    n_cells = run_starts.size - 1
    out = np.full((n_cells, 4 * N_CHANNELS), np.nan)
    for k in range(n_cells):
        own = runs[run_starts[k] : run_starts[k + 1]]
        if own.shape[0] == 0 or not present[k]:
            continue
        levels, n = hull_pixels(red, green, blue, cell, k + 1, own, boxes[k])
        total = levels.shape[1]
        inner = code_sums(levels[:, :n], balance, by_value, by_chroma, gamma, root, matrix)
        outer = code_sums(levels[:, n:], balance, by_value, by_chroma, gamma, root, matrix)
        for channel in range(N_CHANNELS):
            hull_mean, hull_sd = mean_and_sd(inner[channel] + outer[channel], total)
            for part in range(2):
                if part == 0:
                    mean, sd = mean_and_sd(inner[channel], n)
                else:
                    mean, sd = mean_and_sd(outer[channel], total - n)
                if hull_mean > 0.0:
                    out[k, 4 * channel + part] = mean / hull_mean
                if hull_sd > 0.0:
                    out[k, 4 * channel + 2 + part] = sd / hull_sd
    return out


@kernel
def mean_and_sd(sums, n):
    """Mean and population standard deviation from exact sums; NaN of nothing."""
    if n == 0:
        return np.nan, np.nan
    return sums[0] / n, math.sqrt(float(n * sums[1] - sums[0] * sums[0])) / n
