"""Dark spots and vacuoles of a cell."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import indices, inlined, kernel
from hemafeat.extract._kernels.spots import (
    level_counts,
    parts,
    round_and_within,
    stride_and_size,
    top_hat,
)

SPOT_COLUMNS = (
    "count",
    "count_per_area",
    "cover",
    "diameter_mean",
    "diameter_sd",
    "od_rise_mean",
    "reddish_share",
    "bluish_share",
    "red_to_green",
    "blue_to_green",
)
VACUOLE_COLUMNS = ("count", "area_fraction", "area_max")

COLUMNS = (
    *(f"dark_spot_{name}" for name in SPOT_COLUMNS),
    *(f"cell__dark_spot_{name}" for name in SPOT_COLUMNS),
    *(f"cell__vacuole_{name}" for name in VACUOLE_COLUMNS),
)
"""Columns of the family ``granules``."""
N_COLUMNS = len(COLUMNS)

AT, SPOT, VACUOLE = indices(COLUMNS), indices(SPOT_COLUMNS), indices(VACUOLE_COLUMNS)

# NumPy integers: functions that take them are compiled once, not for each literal.
SMALLEST_SPOT = np.int64(4)
SMALLEST_VACUOLE = np.int64(20)
"""Least number of pixels; smaller parts are noise."""

SPOT_RADIUS = np.int64(3)
VACUOLE_RADIUS = np.int64(14)
"""Radius in px of the square of the top-hat."""

SPOT_RISE = 6
VACUOLE_RISE = 22
"""Least top-hat, in levels of 256 over [0, 1.5] of optical density: 0.0352 and 0.1289."""

VACUOLE_TWENTIETHS = 7
"""Largest density of a vacuole, in twentieths of the median of the cytoplasm."""

RED = 0.5
BLUE = 0.75
"""Ratio of red to green density below which a pixel is reddish, and above which it is bluish."""


@inlined
def area_of(runs):
    """Return the number of pixels of one cell."""
    area = 0
    for run in range(runs.shape[0]):
        area += runs[run, 2] - runs[run, 1]
    return area


@inlined
def flat_index(row, column, box, stride, margin):
    """Return the index in a flat plane of a pixel of the image."""
    return (row - box[0] + margin) * stride + margin + column - box[2]


@inlined
def spot_rise(level, inside, stride):
    """Return the least top-hat of a dark spot: `SPOT_RISE`, or 4 standard deviations of the noise.

    The noise is that of the second differences of the second differences, over the squares of 3 x 3
    pixels that lie inside (Immerkaer 1996). The median of their size is 0.6745 x 6 standard
    deviations of a normal noise, 4.05 of them.
    """
    n = level.size - 2 * stride - 2
    if n <= 0:
        return np.int64(SPOT_RISE)
    middle, last = stride, 2 * stride
    sizes = np.empty(n, np.int16)
    n_whole = n_small = 0
    a0, a1, a2 = level[:n], level[1 : n + 1], level[2 : n + 2]
    b0, b1, b2 = level[middle:], level[middle + 1 :], level[middle + 2 :]
    c0, c1, c2 = level[last:], level[last + 1 :], level[last + 2 :]
    i0, i1, i2 = inside[:n], inside[1 : n + 1], inside[2 : n + 2]
    j0, j1, j2 = inside[middle:], inside[middle + 1 :], inside[middle + 2 :]
    k0, k1, k2 = inside[last:], inside[last + 1 :], inside[last + 2 :]
    for k in range(n):
        corners = np.int16(a0[k]) + np.int16(a2[k]) + np.int16(c0[k]) + np.int16(c2[k])
        sides = np.int16(a1[k]) + np.int16(b0[k]) + np.int16(b2[k]) + np.int16(c1[k])
        size = abs(np.int16(corners - 2 * sides + 4 * np.int16(b1[k])))
        whole = i0[k] & i1[k] & i2[k] & j0[k] & j1[k] & j2[k] & k0[k] & k1[k] & k2[k] & 1
        sizes[k] = size if whole else np.int16(-1)
        n_whole += np.int64(whole)
        n_small += np.int64(whole & np.uint8(size <= SPOT_RISE))
    if 2 * n_small >= n_whole:
        return np.int64(SPOT_RISE)
    counts = np.zeros(2041, np.int64)
    for k in range(n):
        if sizes[k] >= 0:
            counts[sizes[k]] += 1
    passed = 0
    for size in range(counts.size):
        passed += counts[size]
        if 2 * passed >= n_whole:
            return np.int64(size)
    return np.int64(SPOT_RISE)


@inlined
def spots_within(hat, rise, rgb, runs, box, stride, margin, density, row):
    """Count and describe dark spots among the pixels of `runs`.

    Parameters
    ----------
    hat : (N,) uint8 array
        Top-hat of the cell, see ``spots.top_hat``.
    rise : int
        Least top-hat of a dark spot, see `spot_rise`.
    rgb : (H, W, 3) uint8 array
        RGB image.
    runs : (M, 3) int64 array
        Runs of the pixels that may be part of a spot.
    box, stride, margin
        Box of the cell, and row length and margin of `hat`.
    density : (3, 256) float64 array
        Optical density of each grey level of R, G and B.
    row : (K,) float64 array
        Filled in the order of `SPOT_COLUMNS`.
    """
    spot = np.zeros(hat.size, np.uint8)
    area = 0
    for run in range(runs.shape[0]):
        start = flat_index(runs[run, 0], runs[run, 1], box, stride, margin)
        n = runs[run, 2] - runs[run, 1]
        area += n
        line, into = hat[start : start + n], spot[start : start + n]
        for k in range(n):
            into[k] = 1 if line[k] >= rise else 0
    table, spans = parts(spot, stride)
    count = 0
    pixels = 0
    diameters = 0.0
    for part in range(table.shape[0]):
        if table[part, 0] >= SMALLEST_SPOT:
            count += 1
            pixels += table[part, 0]
            diameters += math.sqrt(4.0 / math.pi * table[part, 0])
    row[SPOT.count] = count
    row[SPOT.count_per_area] = count / area
    row[SPOT.cover] = pixels / area
    if count == 0:
        return
    mean = diameters / count
    spread = 0.0
    for part in range(table.shape[0]):
        if table[part, 0] >= SMALLEST_SPOT:
            spread += (math.sqrt(4.0 / math.pi * table[part, 0]) - mean) ** 2
    height = 0
    n_red = 0
    n_dark = 0
    red, green, blue = 0.0, 0.0, 0.0
    flat_row = 0
    for span in range(spans.shape[0]):
        if table[spans[span, 2], 0] < SMALLEST_SPOT:
            continue
        while spans[span, 0] >= (flat_row + 1) * stride:
            flat_row += 1
        first = spans[span, 0] - flat_row * stride - margin + box[2]
        n = spans[span, 1] - spans[span, 0]
        line = rgb[flat_row - margin + box[0], first : first + n]
        high = hat[spans[span, 0] : spans[span, 1]]
        for k in range(n):
            height += np.int64(high[k])
            r, g = density[0, line[k, 0]], density[1, line[k, 1]]
            red += r
            green += g
            blue += density[2, line[k, 2]]
            n_red += r < RED * g
            n_dark += r > BLUE * g
    row[SPOT.diameter_mean] = mean
    row[SPOT.diameter_sd] = math.sqrt(spread / count)
    row[SPOT.od_rise_mean] = height / pixels
    row[SPOT.reddish_share] = n_red / pixels
    row[SPOT.bluish_share] = n_dark / pixels
    # A spot rises above levels of at least 0, so its green density is positive.
    row[SPOT.red_to_green] = red / green
    row[SPOT.blue_to_green] = blue / green


@inlined
def vacuoles_within(hat, level, inside, limit, stride, area, row):
    """Count and measure round pale holes.

    Parameters
    ----------
    hat, level, inside : (N,) uint8 array
        Top-hat of the complement of the levels, see ``spots.top_hat``.
    limit : int
        Highest level of a vacuole, not complemented.
    stride : int
        Length of a row of the flat planes.
    area : int
        Number of pixels of the cell.
    row : (K,) float64 array
        Filled in the order of `VACUOLE_COLUMNS`.
    """
    spot = np.empty(hat.size, np.uint8)
    least = 255 - limit
    for k in range(hat.size):
        spot[k] = 1 if (hat[k] >= VACUOLE_RISE) & (level[k] >= least) else 0
    table, spans = parts(spot, stride)
    good = round_and_within(table, spans, inside, stride, SMALLEST_VACUOLE)
    count = 0
    pixels = 0
    largest = 0
    for part in range(table.shape[0]):
        if good[part]:
            count += 1
            pixels += table[part, 0]
            largest = max(largest, table[part, 0])
    row[VACUOLE.count] = count
    row[VACUOLE.area_fraction] = pixels / area
    row[VACUOLE.area_max] = largest


@inlined
def median_level(plane, runs):
    """Return the lower median of the levels of one cell."""
    histogram = level_counts(plane, runs)
    half = 0
    for level in range(256):
        half += histogram[level]
    half = (half + 1) // 2
    level = 0
    below = histogram[0]
    while below < half:
        level += 1
        below += histogram[level]
    return level


@kernel
def measure(plane, rgb, density, cell_starts, cells, boxes, cytoplasm_starts, cytoplasms):
    """Measure dark spots in the cytoplasm and over the whole cell, and vacuoles, of every cell.

    Parameters
    ----------
    plane : (H, W) uint8 array
        Green optical density in 256 levels.
    rgb, density
        RGB image and optical densities, see `spots_within`.
    cell_starts, cells, boxes
        Runs and boxes of the cells, see ``runs.find_runs`` and ``runs.pixels``.
    cytoplasm_starts, cytoplasms
        Runs of their cytoplasm.

    Returns
    -------
    (n_cells, 23) float64 array
        `COLUMNS`. A row of NaN where there is no cytoplasm.
    """
    n_cells = boxes.shape[0]
    out = np.empty((n_cells, N_COLUMNS), np.float64)
    out[:] = np.nan
    for cell in range(n_cells):
        cell_runs = cells[cell_starts[cell] : cell_starts[cell + 1]]
        cytoplasm_runs = cytoplasms[cytoplasm_starts[cell] : cytoplasm_starts[cell + 1]]
        if cell_runs.shape[0] == 0 or cytoplasm_runs.shape[0] == 0:
            continue
        box = boxes[cell]
        # In a loop, so that the functions it calls are inlined once.
        for sign in range(2):
            margin = SPOT_RADIUS if sign == 0 else VACUOLE_RADIUS
            stride, _ = stride_and_size(box, margin)
            hat, level, inside = top_hat(
                plane, cell_runs, box, margin, margin, np.uint8(255 * sign)
            )
            if sign == 0:
                rise = spot_rise(level, inside, stride)
                for over_cell in range(2):
                    runs = cell_runs if over_cell else cytoplasm_runs
                    row = out[cell, AT.cell__dark_spot_count * over_cell :]
                    spots_within(hat, rise, rgb, runs, box, stride, margin, density, row)
            else:
                limit = median_level(plane, cytoplasm_runs) * VACUOLE_TWENTIETHS // 20
                row = out[cell, AT.cell__vacuole_count :]
                vacuoles_within(hat, level, inside, limit, stride, area_of(cell_runs), row)
    return out
