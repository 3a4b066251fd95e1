"""Dark parts, roughness and pale spots of the chromatin of a nucleus."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import indices, inlined, kernel
from hemafeat.extract._kernels.arrays import total
from hemafeat.extract._kernels.granulometry import fill
from hemafeat.extract._kernels.spots import (
    level_counts,
    parts,
    round_and_within,
    stride_and_size,
    top_hat,
)

PALE_COLUMNS = ("pale_spot_count", "pale_spot_area_fraction", "pale_spot_area_max")
"""Columns that `pale_spots` fills."""

COLUMNS = (
    "fraction_above_mean_plus_sd",
    "fraction_above_mean_plus_1_5_sd",
    "dark_part_count",
    "dark_part_count_per_area",
    "dark_part_area_mean",
    "heterogeneity",
    "heterogeneity_relative",
    *PALE_COLUMNS,
)
"""Columns of the family ``chromatin``."""

AT = indices(COLUMNS)

# Of NumPy's type, as each literal passed as an argument would be compiled separately.
MARGIN = np.int64(1)
"""Margin in pixels of the flat plane of a nucleus."""

SMALLEST_DARK = np.int64(4)
SMALLEST_PALE = np.int64(40)
"""Smallest areas in pixels; smaller parts are noise."""

PALE_RADIUS = np.int64(8)
"""Radius in pixels of the square of the top-hat that finds pale spots."""

PALE_RISE = 17
"""Smallest height of a pale spot in levels, of 256 over [0, 1.5] of optical density: 0.0996."""


@inlined
def dense_levels(plane, runs):
    """Find the pixels more than one, and more than one and a half sd above the mean.

    Integers are used throughout, so that a flat nucleus has no such pixel.

    Returns
    -------
    lowest : (2,) int64 array
        Lowest level of these pixels; 256 where there is none.
    above : (2,) int64 array
        Number of these pixels.
    n, total : int
        Number of pixels and sum of levels of the nucleus.
    """
    histogram = level_counts(plane, runs)
    n = total = squares = 0
    for value in range(256):
        n += histogram[value]
        total += value * histogram[value]
        squares += value * value * histogram[value]
    spread = n * squares - total * total
    lowest = np.empty(2, np.int64)
    lowest[:] = 256
    above = np.zeros(2, np.int64)
    for value in range(255, -1, -1):
        deviation = n * value - total
        if deviation > 0 and deviation * deviation > spread:
            lowest[0] = value
            above[0] += histogram[value]
        if deviation > 0 and 4 * deviation * deviation > 9 * spread:
            lowest[1] = value
            above[1] += histogram[value]
    return lowest, above, n, total


@inlined
def roughness(level, inside, stride):
    """Return the sum of the sd of squares of 3 x 3 pixels that lie inside, and their number."""
    count = 0
    sums = np.zeros(stride, np.int32)
    squares = np.zeros(stride, np.int32)
    whole = np.zeros(stride, np.int32)
    # One sum for each column, as independent additions vectorise.
    totals = np.zeros(stride, np.float64)
    variance = np.zeros(stride, np.float64)
    for row in range(level.size // stride - 2):
        start = row * stride
        above, centre = level[start : start + stride], level[start + stride : start + 2 * stride]
        below = level[start + 2 * stride : start + 3 * stride]
        over, within = inside[start : start + stride], inside[start + stride : start + 2 * stride]
        under = inside[start + 2 * stride : start + 3 * stride]
        for k in range(stride):
            a, b, c = np.int32(above[k]), np.int32(centre[k]), np.int32(below[k])
            sums[k] = np.int32(a + b + c)
            squares[k] = np.int32(a * a + b * b + c * c)
            whole[k] = np.int32(over[k] & within[k] & under[k] & 1)
        middle, right = sums[1:], sums[2:]
        square_middle, square_right = squares[1:], squares[2:]
        whole_middle, whole_right = whole[1:], whole[2:]
        n_row = 0
        for k in range(stride - 2):
            first = np.int32(sums[k] + middle[k] + right[k])
            second = np.int32(squares[k] + square_middle[k] + square_right[k])
            # A square that is not inside contributes 0.
            use = np.int32(whole[k] & whole_middle[k] & whole_right[k])
            variance[k] = np.float64(np.int32(use * np.int32(9 * second - first * first)))
            n_row += use
        if n_row > 0:
            for k in range(stride - 2):
                totals[k] += math.sqrt(variance[k])
            count += n_row
    return total(totals) / 9.0, count


@kernel
def measure(plane, run_starts, runs, boxes, bin_width, out):
    """Measure dark parts and roughness of the chromatin of every nucleus.

    Parameters
    ----------
    plane : (H, W) uint8 array
        Optical density of green in 256 levels.
    run_starts, runs, boxes
        Pixel runs and bounding boxes of the nuclei, as returned by the kernels of ``region.runs``.
    bin_width : float
        Width of one level in optical density.
    out : (n_cells, 10) float64 array
        Filled: the `COLUMNS` before `PALE_COLUMNS`, where there is a nucleus.
    """
    for cell in range(boxes.shape[0]):
        own = runs[run_starts[cell] : run_starts[cell + 1]]
        if own.shape[0] == 0:
            continue
        stride, size = stride_and_size(boxes[cell], MARGIN)
        level, inside = np.empty(size, np.uint8), np.empty(size, np.uint8)
        fill(plane, own, boxes[cell], stride, MARGIN, np.uint8(0), level, inside)
        lowest, above, n, total = dense_levels(plane, own)
        row = out[cell]
        row[AT.fraction_above_mean_plus_sd] = above[0] / n
        row[AT.fraction_above_mean_plus_1_5_sd] = above[1] / n
        rough, n_squares = roughness(level, inside, stride)
        if n_squares > 0:
            row[AT.heterogeneity] = rough / n_squares * bin_width
            if total > 0:
                row[AT.heterogeneity_relative] = rough / n_squares / (total / n)
        least = lowest[0]
        for k in range(size):
            # Outside, the level is 0, which is not above the mean.
            inside[k] = level[k] >= least
        areas, _ = parts(inside, stride)
        count = area = 0
        for part in range(areas.shape[0]):
            if areas[part, 0] >= SMALLEST_DARK:
                count += 1
                area += areas[part, 0]
        row[AT.dark_part_count] = count
        row[AT.dark_part_count_per_area] = count / n
        if count > 0:
            row[AT.dark_part_area_mean] = area / count


@kernel
def pale_spots(plane, run_starts, runs, boxes, areas, out):
    """Find the pale spots of every nucleus.

    Parameters
    ----------
    plane, run_starts, runs, boxes
        As for `measure`.
    areas : (n_cells,) int64 array
        Number of pixels of each nucleus.
    out : (n_cells, 10) float64 array
        Filled: `PALE_COLUMNS`, where there is a nucleus.
    """
    for cell in range(boxes.shape[0]):
        own = runs[run_starts[cell] : run_starts[cell + 1]]
        if own.shape[0] == 0:
            continue
        stride, size = stride_and_size(boxes[cell], PALE_RADIUS)
        spot, _, inside = top_hat(plane, own, boxes[cell], PALE_RADIUS, PALE_RADIUS, np.uint8(255))
        for k in range(size):
            spot[k] = spot[k] >= PALE_RISE
        table, spans = parts(spot, stride)
        is_kept = round_and_within(table, spans, inside, stride, SMALLEST_PALE)
        count = area = largest = 0
        for part in range(table.shape[0]):
            if is_kept[part]:
                count += 1
                area += table[part, 0]
                largest = max(largest, table[part, 0])
        row = out[cell]
        row[AT.pale_spot_count] = count
        row[AT.pale_spot_area_fraction] = area / areas[cell]
        row[AT.pale_spot_area_max] = largest
