"""Granules and vacuoles of a cell."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel
from hemafeat.extract._kernels.spots import (
    level_counts,
    parts,
    round_and_within,
    stride_and_size,
    top_hat,
)

N_GRANULE = 10
N_VACUOLE = 3

# Of a type, not plain numbers: what they are passed to is then compiled once for all of them.
SMALLEST_GRANULE = np.int64(4)
SMALLEST_VACUOLE = np.int64(20)
"""Pixels; smaller parts are taken for noise."""

GRANULE_RADIUS = np.int64(3)
VACUOLE_RADIUS = np.int64(14)
GRANULE_RISE = 6
VACUOLE_RISE = 22
"""Levels of 256 over [0, 1.5] of optical density: 0.035 and 0.129."""

VACUOLE_TWENTIETHS = 7
"""Twentieths of the median of the cytoplasm a vacuole reaches at most."""

RED = 0.5
DARK = 0.75
"""Ratio of red to green density below which a pixel is red, and above which it is dark."""


@kernel
def area_of(runs):
    """Pixels of one cell."""
    area = 0
    for run in range(runs.shape[0]):
        area += runs[run, 2] - runs[run, 1]
    return area


@kernel
def place_of(row, column, box, stride, margin):
    """Place of a pixel of the image in a flat plane."""
    return (row - box[0] + margin) * stride + margin + column - box[2]


@kernel
def granules_within(hat, rgb, runs, box, stride, margin, density, out):
    """Count and describe dark spots among the pixels of `runs`.

    Parameters
    ----------
    hat : (N,) uint8 array
        As ``spots.top_hat`` gives it.
    rgb : (H, W, 3) uint8 array
        The image.
    runs : (M, 3) int64 array
        Pixels that may be part of a granule.
    box, stride, margin
        Where `hat` lies in the image.
    density : (3, 256) float64 array
        Optical density of each grey level of R, G and B.
    out : (10,) float64 array
        Filled, see ``hemafeat.extract.granules``.
    """
    spot = np.zeros(hat.size, np.uint8)
    area = 0
    for run in range(runs.shape[0]):
        start = place_of(runs[run, 0], runs[run, 1], box, stride, margin)
        n = runs[run, 2] - runs[run, 1]
        area += n
        here, into = hat[start : start + n], spot[start : start + n]
        for k in range(n):
            into[k] = 1 if here[k] >= GRANULE_RISE else 0
    found, spans = parts(spot, stride)
    count = 0
    pixels = 0
    diameters = 0.0
    for part in range(found.shape[0]):
        if found[part, 0] >= SMALLEST_GRANULE:
            count += 1
            pixels += found[part, 0]
            diameters += math.sqrt(4.0 / math.pi * found[part, 0])
    out[0] = count
    out[1] = count / area
    out[2] = pixels / area
    if count == 0:
        return
    mean = diameters / count
    spread = 0.0
    for part in range(found.shape[0]):
        if found[part, 0] >= SMALLEST_GRANULE:
            spread += (math.sqrt(4.0 / math.pi * found[part, 0]) - mean) ** 2
    rise = 0
    n_red = 0
    n_dark = 0
    red, green, blue = 0.0, 0.0, 0.0
    row = 0
    for span in range(spans.shape[0]):
        if found[spans[span, 2], 0] < SMALLEST_GRANULE:
            continue
        while spans[span, 0] >= (row + 1) * stride:
            row += 1
        first = spans[span, 0] - row * stride - margin + box[2]
        n = spans[span, 1] - spans[span, 0]
        line = rgb[row - margin + box[0], first : first + n]
        high = hat[spans[span, 0] : spans[span, 1]]
        for k in range(n):
            rise += np.int64(high[k])
            r, g = density[0, line[k, 0]], density[1, line[k, 1]]
            red += r
            green += g
            blue += density[2, line[k, 2]]
            n_red += r < RED * g
            n_dark += r > DARK * g
    out[3] = mean
    out[4] = math.sqrt(spread / count)
    out[5] = rise / pixels
    out[6] = n_red / pixels
    out[7] = n_dark / pixels
    # A granule rises above levels of 0 or more, so that its green density is positive.
    out[8] = red / green
    out[9] = blue / green


@kernel
def vacuoles_within(hat, level, inside, limit, stride, area, out):
    """Count and measure round pale holes.

    Parameters
    ----------
    hat, level, inside : (N,) uint8 array
        As ``spots.top_hat`` gives them for the complement of the levels.
    limit : int
        Highest level, not complemented, of a vacuole.
    stride : int
        Length of a row.
    area : int
        Pixels of the cell.
    out : (3,) float64 array
        Filled: number, share of the cell, pixels of the largest.
    """
    spot = np.empty(hat.size, np.uint8)
    least = 255 - limit
    for k in range(hat.size):
        spot[k] = 1 if (hat[k] >= VACUOLE_RISE) & (level[k] >= least) else 0
    found, spans = parts(spot, stride)
    good = round_and_within(found, spans, inside, stride, SMALLEST_VACUOLE)
    count = 0
    pixels = 0
    largest = 0
    for part in range(found.shape[0]):
        if good[part]:
            count += 1
            pixels += found[part, 0]
            largest = max(largest, found[part, 0])
    out[0] = count
    out[1] = pixels / area
    out[2] = largest


@kernel
def median_level(plane, runs):
    """Lower median of the levels of one cell."""
    histogram = level_counts(plane, runs)
    half = (histogram.sum() + 1) // 2
    level = 0
    below = histogram[0]
    while below < half:
        level += 1
        below += histogram[level]
    return level


@kernel
def measure(plane, rgb, density, cell_starts, cells, boxes, cytoplasm_starts, cytoplasms):
    """Granules in the cytoplasm and over the whole cell, and vacuoles, of every cell.

    Parameters
    ----------
    plane : (H, W) uint8 array
        Green optical density in 256 levels.
    rgb, density
        As for `granules_within`.
    cell_starts, cells, boxes
        Runs and boxes of the cells, as ``regions.find_runs`` and ``regions.pixels`` give them.
    cytoplasm_starts, cytoplasms
        Runs of their cytoplasm.

    Returns
    -------
    (n_cells, 23) float64 array
        NaN where there is no cytoplasm.
    """
    n_cells = boxes.shape[0]
    out = np.full((n_cells, 2 * N_GRANULE + N_VACUOLE), np.nan)
    for cell in range(n_cells):
        whole = cells[cell_starts[cell] : cell_starts[cell + 1]]
        around = cytoplasms[cytoplasm_starts[cell] : cytoplasm_starts[cell + 1]]
        if whole.shape[0] == 0 or around.shape[0] == 0:
            continue
        box = boxes[cell]
        # A loop, so that what it calls is compiled into it once.
        for sign in range(2):
            margin = GRANULE_RADIUS if sign == 0 else VACUOLE_RADIUS
            stride, _ = stride_and_size(box, margin)
            hat, level, inside = top_hat(plane, whole, box, margin, margin, np.uint8(255 * sign))
            if sign == 0:
                for which in range(2):
                    own = around if which == 0 else whole
                    into = out[cell, which * N_GRANULE :]
                    granules_within(hat, rgb, own, box, stride, margin, density, into)
            else:
                limit = median_level(plane, around) * VACUOLE_TWENTIETHS // 20
                into = out[cell, 2 * N_GRANULE :]
                vacuoles_within(hat, level, inside, limit, stride, area_of(whole), into)
    return out
