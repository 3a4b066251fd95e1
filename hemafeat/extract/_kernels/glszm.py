"""Grey-level zones: 8-connected areas of one level."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel
from hemafeat.extract._kernels.extents import N_STATISTICS, statistics
from hemafeat.extract._kernels.patches import MARGIN, origin, patch_size


@kernel
def root(parent, label):
    """The smallest label known to be of the same zone; shortens the way to it."""
    while parent[label] != label:
        parent[label] = parent[parent[label]]
        label = parent[label]
    return label


@kernel
def zones(patch, runs, box, n_levels, out):
    """Level and size of every zone.

    One pass in raster order gives each pixel the label of a neighbour before it, without a branch;
    where two labels meet, the pair is kept for the union afterwards.

    Parameters
    ----------
    patch, box
        Of the cell; see ``patches``.
    runs : (M, 3) int64 array
        The cell's pixels: row, first column, column after the last one.
    n_levels : int
        Number of grey levels.
    out : (>= Z, 2) int32 array
        Filled with level and size in pixels, in raster order of the zones' first pixels.

    Returns
    -------
    int
        Z, the number of zones.
    """
    width = box[3] - box[2]
    corner, stride = origin(box, MARGIN)
    n_pixels = 0
    for run in range(runs.shape[0]):
        n_pixels += runs[run, 2] - runs[run, 1]
    level_of = np.empty(n_pixels + 1, np.uint8)
    size = np.zeros(n_pixels + 1, np.int32)
    meet = np.empty((n_pixels + 1, 2), np.int32)
    # Column k is at k + 1. Labels where no pixel of the cell lies are never asked for.
    label = np.zeros(width + 2, np.int32)
    label_above = np.zeros(width + 2, np.int32)
    n_labels = np.int32(0)
    n_meet = np.uint64(0)
    row = np.int64(-1)
    for run in range(runs.shape[0]):
        if runs[run, 0] != row:
            row = runs[run, 0]
            label, label_above = label_above, label
        n = runs[run, 2] - runs[run, 1]
        column = runs[run, 1] - box[2]
        start = corner + (row - box[0]) * stride + column
        here = patch[start : start + n]
        above = patch[start - stride - 1 : start - stride + n + 1]
        labels = label[column + 1 : column + 1 + n]
        known = label_above[column : column + n + 2]
        previous = np.int32(n_levels)
        last = np.int32(0)
        north_west, north = np.int32(above[0]), np.int32(above[1])
        label_north_west, label_north = known[0], known[1]
        for k in range(n):
            level = np.int32(here[k])
            north_east = np.int32(above[k + 2])
            label_north_east = known[k + 2]
            found = label_north_east if north_east == level else n_labels
            found = label_north_west if north_west == level else found
            found = last if previous == level else found
            found = label_north if north == level else found
            # Neighbours before this pixel touch each other, except north-east with west or
            # north-west across a north of another level.
            joined = (north_east == level) & (north != level) & (found != label_north_east)
            meet[n_meet, 0] = found
            meet[n_meet, 1] = label_north_east
            n_meet += np.uint64(joined)
            place = np.uint64(found)
            level_of[place] = level
            size[place] += 1
            n_labels += np.int32(found == n_labels)
            labels[k] = found
            last, previous = found, level
            north_west, north = north, north_east
            label_north_west, label_north = label_north, label_north_east
    parent = np.arange(n_labels).astype(np.int32)
    for pair in range(n_meet):
        one, other = root(parent, meet[pair, 0]), root(parent, meet[pair, 1])
        if one < other:
            parent[other] = one
        else:
            parent[one] = other
    # A parent comes before its children, so one step leads to the root.
    for k in range(n_labels):
        up = parent[parent[k]]
        parent[k] = up
        if up != k:
            size[up] += size[k]
    n_zones = 0
    for k in range(n_labels):
        if parent[k] == k:
            out[n_zones, 0] = level_of[k]
            out[n_zones, 1] = size[k]
            n_zones += 1
    return n_zones


@kernel
def all_zones(patches, run_starts, runs, boxes, n_levels):
    """Zones of all cells, and where those of each cell start."""
    n_cells = boxes.shape[0]
    n_pixels = 0
    for run in range(runs.shape[0]):
        n_pixels += runs[run, 2] - runs[run, 1]
    found = np.empty((n_pixels, 2), np.int32)
    starts = np.zeros(n_cells + 1, np.int64)
    place = 0
    for cell in range(n_cells):
        own = runs[run_starts[cell] : run_starts[cell + 1]]
        starts[cell + 1] = starts[cell]
        if own.shape[0] > 0:
            starts[cell + 1] += zones(
                patches[place:], own, boxes[cell], n_levels, found[starts[cell] :]
            )
            place += patch_size(boxes[cell], MARGIN)
    return starts, found[: starts[n_cells]]


@kernel
def columns_of(found):
    """Sizes that occur, ascending, and the column of each: (K,) int64, (largest + 1,) int32."""
    largest = 0
    for zone in range(found.shape[0]):
        largest = max(largest, found[zone, 1])
    column = np.zeros(largest + 1, np.int32)
    for zone in range(found.shape[0]):
        column[found[zone, 1]] = 1
    n = 0
    for size in range(largest + 1):
        n += column[size]
    sizes = np.empty(n, np.int64)
    n = 0
    for size in range(largest + 1):
        if column[size] != 0:
            sizes[n] = size
            column[size] = n
            n += 1
    return sizes, column


@kernel
def zone_matrices(patches, run_starts, runs, boxes, n_levels):
    """Zones by size and grey level, for every cell.

    Parameters
    ----------
    patches, run_starts, runs, boxes, n_levels
        As for ``patches.patches``, and what it returns.

    Returns
    -------
    counts : (n_cells, K, n_levels) int64 array
    sizes : (K,) int64 array
        Sizes that occur in some cell, ascending.
    """
    starts, found = all_zones(patches, run_starts, runs, boxes, n_levels)
    sizes, column = columns_of(found)
    counts = np.zeros((boxes.shape[0], sizes.size, n_levels), np.int64)
    for cell in range(boxes.shape[0]):
        for zone in range(starts[cell], starts[cell + 1]):
            counts[cell, column[found[zone, 1]], found[zone, 0]] += 1
    return counts, sizes


@kernel
def measure(patches, run_starts, runs, boxes, n_levels, table):
    """Statistics of every cell.

    Parameters
    ----------
    patches, run_starts, runs, boxes, n_levels
        As for `zone_matrices`.
    table
        As for ``extents.statistics``.

    Returns
    -------
    (n_cells, 16) float64 array
    """
    starts, found = all_zones(patches, run_starts, runs, boxes, n_levels)
    n_cells = boxes.shape[0]
    out = np.empty((n_cells, N_STATISTICS - 1))
    values = np.empty(N_STATISTICS)
    for cell in range(n_cells):
        own = found[starts[cell] : starts[cell + 1]]
        sizes, column = columns_of(own)
        counts = np.zeros((sizes.size, n_levels), np.int64)
        for zone in range(own.shape[0]):
            counts[column[own[zone, 1]], own[zone, 0]] += 1
        statistics(counts, sizes, table, values)
        out[cell] = values[: N_STATISTICS - 1]
    return out
