"""Lobes of a nucleus at several densities, each the region denser than a threshold.

Densities are whole levels and are compared with thresholds in whole numbers, so that no pixel
depends on rounding. In a large nucleus, pixels are merged into square blocks.
"""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import find_root, indices, inlined, kernel
from hemafeat.extract._kernels.region.basins import LOBE_COLUMNS, depth_values, lobe_values
from hemafeat.extract._kernels.region.contour import perimeter_crofton
from hemafeat.extract._kernels.region.distance import depths
from hemafeat.extract._kernels.region.hull import hull_chains, hull_runs, row_extents
from hemafeat.extract._kernels.region.runs import join, local_runs, part_areas, runs_where

SHARES = np.array([20, 35, 50, 65, 80])
"""Thresholds, in per cent of the way from the density of the cytoplasm to that of the nucleus."""

LEFT_OUT = ("lobe_area_cv", "largest_lobe_fraction", "second_lobe_fraction", "inscribed_radius")
"""Columns of `LOBE_COLUMNS` that are not measured: areas of lobes, and a radius in pixels."""

COLUMNS = (
    # The region is any part of the cell of some density, of which the lobes are dense parts.
    *(name.replace("n_lobes", "n_dense_parts") for name in LOBE_COLUMNS if name not in LEFT_OUT),
    "area_ratio",
    "solidity",
    "circularity",
    "n_holes",
)
"""Columns of the family ``lobulation`` at one threshold."""
N_COLUMNS = len(COLUMNS)

AT = indices(COLUMNS)

KEPT = np.array([k for k, name in enumerate(LOBE_COLUMNS) if name not in LEFT_OUT])
"""Indices in `LOBE_COLUMNS` of the first columns."""

N_LOBE_VALUES = len(LOBE_COLUMNS)

ENOUGH = 512
"""Least number of blocks in a large nucleus."""


@kernel
def lobulations(rgb, table, nuclei, cytoplasms, areas, run_starts, runs, boxes, wanted):
    """Measure the lobes of every nucleus at each threshold.

    Parameters
    ----------
    rgb : (H, W, 3) uint8 array
        RGB image.
    table : (256,) uint8 array
        Level of density of each level of red; it falls as red rises.
    nuclei, cytoplasms : (n_cells, 3, 256) int64 arrays
        Histograms of R, G and B.
    areas : (n_cells,) int64 array
        Number of pixels of each nucleus.
    run_starts, runs, boxes
        Runs and boxes of the cells, see ``runs.find_runs`` and ``runs.pixels``.
    wanted : (5,) bool array
        Which of `SHARES` are measured.

    Returns
    -------
    (n_cells, 95) float64 array
        `COLUMNS` at each of `SHARES`, NaN if it is not measured. A row of NaN where nucleus or cell
        is missing.
    """
    n_cells = areas.size
    out = np.empty((n_cells, SHARES.size * N_COLUMNS), np.float64)
    out[:] = np.nan
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
        for share in range(SHARES.size):
            if not wanted[share]:
                continue
            inside = denser(sums, counts, 100 * low + SHARES[share] * (high - low), step)
            n_holes = clean(inside, areas[cell], step * step)
            row = out[cell, share * N_COLUMNS : (share + 1) * N_COLUMNS]
            framed_runs, _ = runs_where(inside, np.bool_(True))
            n = framed_runs.shape[0]
            if n == 0:
                continue
            top, bottom = framed_runs[0, 0], framed_runs[n - 1, 0] + 1
            left, right = framed_runs[0, 1], framed_runs[0, 2]
            # With a literal 0 the kernels below would be compiled once more.
            size = np.int64(0)
            for run in range(n):
                left, right = min(left, framed_runs[run, 1]), max(right, framed_runs[run, 2])
                size += framed_runs[run, 2] - framed_runs[run, 1]
            local, rows = local_runs(framed_runs, top, left, bottom - top)
            height, width = bottom - top + 2, right - left + 2
            moved = np.empty((n, 3), np.int64)
            for run in range(n):
                for i in range(3):
                    moved[run, i] = local[run, i] + 1
            frame = np.zeros((1, 4), np.int64)
            frame[0, 1], frame[0, 3] = height, width
            starts = np.zeros(2, np.int64)
            starts[1] = n
            depth = depths(starts, moved, frame, height, width, height)
            values = np.empty(N_LOBE_VALUES, np.float64)
            depth_values(depth, local, size, values)
            lobe_values(depth, size, values)
            for i in range(KEPT.size):
                row[i] = values[KEPT[i]]
            left_side, right_side = hull_chains(row_extents(local, rows))
            hull = hull_runs(left_side, right_side, height - 2)
            convex = 0
            for line in range(height - 2):
                convex += hull[line, 2] - hull[line, 1]
            perimeter = perimeter_crofton(local, rows)
            row[AT.area_ratio] = size * step * step / areas[cell]
            row[AT.solidity] = size / convex
            row[AT.circularity] = 4.0 * math.pi * size / (perimeter * perimeter)
            row[AT.n_holes] = n_holes
    return out


@kernel
def median_level(histogram, table):
    """Return the lower median of the levels of a histogram; 0 without a pixel."""
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
def halves(n, step):
    """Return the block of the first and of the second half of each of n pixels, (n, 2) int64.

    As few blocks as cover the pixels are centred on them, so that the middle of a pixel may lie on
    the edge of a block. The first block is 1.
    """
    excess = -n % step
    out = np.empty((n, 2), np.int64)
    for k in range(n):
        # Counted in half pixels, of which `excess` stick out on either side.
        out[k, 0] = (2 * k + excess) // (2 * step) + 1
        out[k, 1] = (2 * k + 1 + excess) // (2 * step) + 1
    return out


@kernel
def blocks(rgb, table, runs, box, step):
    """Return four times the sum of levels and the number of pixels of a cell in every block.

    A pixel that the edge of a block cuts counts half, or a quarter, on each side. Both arrays have
    a border of zeros.
    """
    top, left = box[0], box[2]
    rows, columns = halves(box[1] - top, step), halves(box[3] - left, step)
    shape = rows[-1, 1] + 2, columns[-1, 1] + 2
    sums, counts = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    split = -(box[3] - left) % step % 2 == 1
    total, number = np.zeros(shape[1], np.int32), np.zeros(shape[1], np.int32)
    first = np.empty(columns.shape[0], np.int64)
    for k in range(first.size):
        first[k] = columns[k, 0]
    for run in range(runs.shape[0]):
        row, a, b = runs[run, 0], runs[run, 1], runs[run, 2]
        line = rgb[row]
        upper, lower = rows[row - top, 0], rows[row - top, 1]
        begin, end = first[a - left], columns[b - 1 - left, 1] + 1
        total[begin:end] = 0
        number[begin:end] = 0
        if split:
            for column in range(a, b):
                level = np.int32(table[line[column, 0]])
                for half in range(2):
                    k = columns[column - left, half]
                    total[k] += level
                    number[k] += 1
        else:
            for column in range(a, b):
                k = first[column - left]
                total[k] += 2 * np.int32(table[line[column, 0]])
                number[k] += 2
        for half in range(1 if upper == lower else 2):
            weight = np.int32(2 if upper == lower else 1)
            into, into_number = sums[rows[row - top, half]], counts[rows[row - top, half]]
            for k in range(begin, end):
                into[k] += weight * total[k]
                into_number[k] += weight * number[k]
    return sums, counts


@kernel
def denser(sums, counts, bound, step):
    """Mark blocks at least half in the cell whose mean level is above a hundredth of `bound`."""
    height, width = sums.shape
    inside = np.zeros((height, width), np.bool_)
    # Counts are in quarters of a pixel.
    least, bound = np.int32(2 * step * step), np.int32(bound)
    for row in range(height):
        total, number, line = sums[row], counts[row], inside[row]
        for k in range(width):
            enough = number[k] >= least
            line[k] = enough & (np.int32(100) * total[k] > number[k] * bound)
    return inside


@inlined
def clean(inside, area, block):
    """Drop parts below 2 % of the nucleus, fill holes below 1 %, and count the remaining holes.

    Parts are 4-connected and holes 8-connected. `inside` has a border of False; `block` is the
    number of pixels in a block.
    """
    for value in (True, False):
        runs, rows = runs_where(inside, value)
        parent, _ = join(runs, rows, np.int64(0 if value else 1))
        sizes = part_areas(runs, parent)
        # The surroundings are the part of the first run.
        outside = -1 if value else find_root(parent, np.int64(0))
        bound = 50 if value else 100
        n_left = 0
        for run in range(runs.shape[0]):
            part = find_root(parent, run)
            if part == outside:
                continue
            if bound * block * sizes[part] < area:
                line = inside[runs[run, 0]]
                for column in range(runs[run, 1], runs[run, 2]):
                    line[column] = not value
            else:
                n_left += part == run
    return n_left
