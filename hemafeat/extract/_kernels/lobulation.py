"""Lobes of a nucleus at several densities, each the region denser than a threshold.

Densities are whole levels and compared with thresholds as whole numbers, so that no rounding
decides on a pixel. Of a large nucleus, squares of pixels are taken together.
"""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel
from hemafeat.extract._kernels.lobes import layers, lobe_values
from hemafeat.extract._kernels.region.contour import join, local_runs, perimeter_crofton, root
from hemafeat.extract._kernels.region.distance import depths
from hemafeat.extract._kernels.region.hull import extremes, filled, hull_chains

SHARES = np.array([20, 35, 50, 65, 80])
"""Thresholds, in per cent of the way from the density of the cytoplasm to that of the nucleus."""

OF_LOBES = np.array([0, 1, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18])
"""Columns of the family ``lobes`` that are measured: no areas of lobes, no radius in pixels."""

N_VALUES = OF_LOBES.size + 4
"""Columns per threshold."""

ENOUGH = 512
"""Squares that a nucleus is left with at least."""


@kernel
def lobulations(rgb, table, nuclei, cytoplasms, areas, run_starts, runs, boxes):
    """The columns of the family ``lobulation``; a row of NaN where nucleus or cell is missing.

    Parameters
    ----------
    rgb : (H, W, 3) uint8 array
        The image.
    table : (256,) uint8 array
        Level of density of each level of red, falling.
    nuclei, cytoplasms : (n_cells, 3, 256) int64 arrays
        Histograms.
    areas : (n_cells,) int64 array
        Pixels of each nucleus.
    run_starts, runs, boxes
        Of the cells, as ``regions.find_runs`` and ``regions.pixels`` give them.
    """
    n_cells = areas.size
    out = np.full((n_cells, SHARES.size * N_VALUES), np.nan)
    for cell in range(n_cells):
        first, stop = run_starts[cell], run_starts[cell + 1]
        if areas[cell] == 0 or stop == first:
            continue
        low = median_level(cytoplasms[cell, 0], table)
        high = median_level(nuclei[cell, 0], table)
        if high <= low:
            continue
        step = max(1, int(math.sqrt(areas[cell] // ENOUGH)))
        sums, counts = blocks(rgb, table, runs[first:stop], boxes[cell], step)
        for k in range(SHARES.size):
            inside = denser(sums, counts, 100 * low + SHARES[k] * (high - low), step)
            n_holes = tidy(inside, areas[cell], step * step)
            measure(
                inside,
                n_holes,
                areas[cell],
                step * step,
                out[cell, k * N_VALUES : (k + 1) * N_VALUES],
            )
    return out


@kernel
def median_level(histogram, table):
    """Lower median of the levels; 0 without a pixel."""
    total = 0
    for level in range(256):
        total += histogram[level]
    passed = 0
    # Red falls as density rises.
    for level in range(255, -1, -1):
        passed += histogram[level]
        if passed > 0 and 2 * passed >= total:
            return np.int64(table[level])
    return np.int64(0)


@kernel
def blocks(rgb, table, runs, box, step):
    """Sum of levels and number of pixels of the cell in every block, with an edge of zeros.

    The first block begins at the corner of the box.
    """
    top, left = box[0], box[2]
    shape = (box[1] - top + step - 1) // step + 2, (box[3] - left + step - 1) // step + 2
    sums, counts = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    place = np.arange(box[3] - left) // step + 1
    for run in range(runs.shape[0]):
        row, a, b = runs[run, 0], runs[run, 1], runs[run, 2]
        line = rgb[row]
        at = (row - top) // step + 1
        into, number = sums[at], counts[at]
        for column in range(a, b):
            k = place[column - left]
            into[k] += table[line[column, 0]]
            number[k] += 1
    return sums, counts


@kernel
def denser(sums, counts, bound, step):
    """Blocks, at least half of them in the cell, whose mean is above a hundredth of `bound`."""
    height, width = sums.shape
    inside = np.zeros((height, width), np.bool_)
    least, bound = np.int32((step * step + 1) // 2), np.int32(bound)
    for row in range(height):
        total, number, line = sums[row], counts[row], inside[row]
        for k in range(width):
            enough = number[k] >= least
            line[k] = enough & (np.int32(100) * total[k] > number[k] * bound)
    return inside


@kernel
def runs_where(mask, value):
    """Runs of `value` as (row, first, stop), and where each row's runs are."""
    height, width = mask.shape
    runs = np.empty((height * (width // 2 + 1), 3), np.int64)
    rows = np.zeros(height + 1, np.int64)
    n = 0
    for row in range(height):
        line = mask[row]
        previous = not value
        for column in range(width):
            if line[column] != previous:
                previous = line[column]
                if previous == value:
                    runs[n, 0] = row
                    runs[n, 1] = column
                else:
                    runs[n, 2] = column
                    n += 1
        if previous == value:
            runs[n, 2] = width
            n += 1
        rows[row + 1] = n
    return runs[:n], rows


@kernel
def tidy(inside, area, block):
    """Drop parts below 2 % of the nucleus, fill holes below 1 % of it; how many holes are left.

    Parts touch along sides, holes at corners too. `inside` has an edge of False.
    """
    for value in (True, False):
        runs, rows = runs_where(inside, value)
        parent, _ = join(runs, rows, 0 if value else 1)
        sizes = np.zeros(runs.shape[0], np.int64)
        for run in range(runs.shape[0]):
            sizes[root(parent, run)] += runs[run, 2] - runs[run, 1]
        # Outside of everything is the part of the first run.
        outside = -1 if value else root(parent, np.int64(0))
        bound = 50 if value else 100
        n_left = 0
        for run in range(runs.shape[0]):
            part = root(parent, run)
            if part == outside:
                continue
            if bound * block * sizes[part] < area:
                line = inside[runs[run, 0]]
                for column in range(runs[run, 1], runs[run, 2]):
                    line[column] = not value
            else:
                n_left += part == run
    return n_left


@kernel
def measure(inside, n_holes, area, block, row):
    """Fill the columns of one threshold; they stay NaN where nothing is left."""
    found, _ = runs_where(inside, np.bool_(True))
    n = found.shape[0]
    if n == 0:
        return
    top, bottom = found[0, 0], found[n - 1, 0] + 1
    left, right = found[0, 1], found[0, 2]
    # A literal 0 would have the kernels below compiled once more.
    size = np.int64(0)
    for run in range(n):
        left, right = min(left, found[run, 1]), max(right, found[run, 2])
        size += found[run, 2] - found[run, 1]
    runs, rows = local_runs(found, top, left, bottom - top)
    height, width = bottom - top + 2, right - left + 2
    framed = runs + 1
    box = np.zeros((1, 4), np.int64)
    box[0, 1], box[0, 3] = height, width
    starts = np.zeros(2, np.int64)
    starts[1] = n
    depth = depths(starts, framed, box, height, width, height)
    values = np.empty(19)
    layers(depth, runs, size, math.sqrt(size / math.pi), values[8:17])
    lobe_values(depth, size, values)
    for k in range(OF_LOBES.size):
        row[k] = values[OF_LOBES[k]]
    one, other = hull_chains(extremes(runs, rows))
    hull = filled(one, other, height - 2)
    convex = 0
    for line in range(height - 2):
        convex += hull[line, 2] - hull[line, 1]
    perimeter = perimeter_crofton(runs, rows)
    last = OF_LOBES.size
    row[last] = size * block / area
    row[last + 1] = size / convex
    row[last + 2] = 4.0 * math.pi * size / (perimeter * perimeter)
    row[last + 3] = n_holes
