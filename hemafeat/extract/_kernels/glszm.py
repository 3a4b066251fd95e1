"""Grey-level size zones: counts of 8-connected areas of one level."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import find_root, kernel
from hemafeat.extract._kernels.arrays import separate
from hemafeat.extract._kernels.matrices import N_STATISTICS, matrix_statistics
from hemafeat.extract._kernels.patches import MARGIN, origin, patch_size


@kernel
def find_zones(patch, runs, box, n_levels, out):
    """Find the level and size of every zone of one cell, and return the number of zones.

    One pass in raster order gives each pixel the label of a preceding neighbour, without a branch;
    pairs of labels that meet are stored and joined afterwards.

    Parameters
    ----------
    patch, box
        Patch of the cell and its bounding box; see ``patches``.
    runs : (M, 3) int64 array
        Pixel runs of the cell: row, first column, column after the last one.
    n_levels : int
        Number of grey levels.
    out : (>= Z, 2) int32 array
        Filled with the level and size in pixels of each of the Z zones, in raster order of their
        first pixels.

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
    pairs = np.empty((n_pixels + 1, 2), np.int32)
    # Column k is at index k + 1. Labels outside the cell are never read.
    label = np.zeros(width + 2, np.int32)
    label_above = np.zeros(width + 2, np.int32)
    n_labels = np.int32(0)
    n_pairs = np.uint64(0)
    row = np.int64(-1)
    for run in range(runs.shape[0]):
        if runs[run, 0] != row:
            row = runs[run, 0]
            label, label_above = label_above, label
        n = runs[run, 2] - runs[run, 1]
        column = runs[run, 1] - box[2]
        start = corner + (row - box[0]) * stride + column
        centre = patch[start : start + n]
        above = patch[start - stride - 1 : start - stride + n + 1]
        labels = label[column + 1 : column + 1 + n]
        labels_above = label_above[column : column + n + 2]
        previous = np.int32(n_levels)
        last = np.int32(0)
        north_west, north = np.int32(above[0]), np.int32(above[1])
        label_north_west, label_north = labels_above[0], labels_above[1]
        for k in range(n):
            level = np.int32(centre[k])
            north_east = np.int32(above[k + 2])
            label_north_east = labels_above[k + 2]
            new_label = label_north_east if north_east == level else n_labels
            new_label = label_north_west if north_west == level else new_label
            new_label = last if previous == level else new_label
            new_label = label_north if north == level else new_label
            # The preceding neighbours touch each other, except the north-east one and the west or
            # north-west one where the north one has another level.
            meets = (north_east == level) & (north != level) & (new_label != label_north_east)
            pairs[n_pairs, 0] = new_label
            pairs[n_pairs, 1] = label_north_east
            n_pairs += np.uint64(meets)
            index = np.uint64(new_label)
            level_of[index] = level
            size[index] += 1
            n_labels += np.int32(new_label == n_labels)
            labels[k] = new_label
            last, previous = new_label, level
            north_west, north = north, north_east
            label_north_west, label_north = label_north, label_north_east
    parent = separate(np.int64(n_labels))
    for pair in range(n_pairs):
        first = find_root(parent, np.int64(pairs[pair, 0]))
        second = find_root(parent, np.int64(pairs[pair, 1]))
        if first < second:
            parent[second] = first
        else:
            parent[first] = second
    # Parents come before their children, so one step leads to the root.
    for k in range(n_labels):
        grandparent = parent[parent[k]]
        parent[k] = grandparent
        if grandparent != k:
            size[grandparent] += size[k]
    n_zones = 0
    for k in range(n_labels):
        if parent[k] == k:
            out[n_zones, 0] = level_of[k]
            out[n_zones, 1] = size[k]
            n_zones += 1
    return n_zones


@kernel
def find_all_zones(patches, run_starts, runs, boxes, n_levels):
    """Return the offsets of the cells in the list of zones, and the zones of all cells."""
    n_cells = boxes.shape[0]
    n_pixels = 0
    for run in range(runs.shape[0]):
        n_pixels += runs[run, 2] - runs[run, 1]
    zone_list = np.empty((n_pixels, 2), np.int32)
    starts = np.zeros(n_cells + 1, np.int64)
    offset = 0
    for cell in range(n_cells):
        cell_runs = runs[run_starts[cell] : run_starts[cell + 1]]
        starts[cell + 1] = starts[cell]
        if cell_runs.shape[0] > 0:
            starts[cell + 1] += find_zones(
                patches[offset:], cell_runs, boxes[cell], n_levels, zone_list[starts[cell] :]
            )
            offset += patch_size(boxes[cell], MARGIN)
    return starts, zone_list[: starts[n_cells]]


@kernel
def size_columns(zone_list):
    """Return the sizes that occur, ascending, and the column of each size.

    The shapes are (K,) int64 and (largest + 1,) int32.
    """
    largest = 0
    for zone in range(zone_list.shape[0]):
        largest = max(largest, zone_list[zone, 1])
    column = np.zeros(largest + 1, np.int32)
    for zone in range(zone_list.shape[0]):
        column[zone_list[zone, 1]] = 1
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
    """Count the zones of every cell by size and grey level.

    Parameters
    ----------
    patches, run_starts, runs, boxes, n_levels
        Patches of the cells and the arguments of ``patches.patches`` they were cut with.

    Returns
    -------
    counts : (n_cells, K, n_levels) int64 array
        Numbers of zones.
    sizes : (K,) int64 array
        Sizes that occur in any cell, ascending.
    """
    starts, zone_list = find_all_zones(patches, run_starts, runs, boxes, n_levels)
    sizes, column = size_columns(zone_list)
    counts = np.zeros((boxes.shape[0], sizes.size, n_levels), np.int64)
    for cell in range(boxes.shape[0]):
        for zone in range(starts[cell], starts[cell + 1]):
            counts[cell, column[zone_list[zone, 1]], zone_list[zone, 0]] += 1
    return counts, sizes


@kernel
def measure(patches, run_starts, runs, boxes, n_levels, table):
    """Compute the statistics of every cell.

    Parameters
    ----------
    patches, run_starts, runs, boxes, n_levels
        Patches of the cells and how they were cut, as for `zone_matrices`.
    table
        Values of ``n log2 n``, as for ``matrices.matrix_statistics``.

    Returns
    -------
    (n_cells, 17) float64 array
        Statistics in the order of ``matrices.STATISTICS``; NaN for a cell without pixels.
    """
    starts, zone_list = find_all_zones(patches, run_starts, runs, boxes, n_levels)
    n_cells = boxes.shape[0]
    out = np.empty((n_cells, N_STATISTICS), np.float64)
    for cell in range(n_cells):
        cell_zones = zone_list[starts[cell] : starts[cell + 1]]
        sizes, column = size_columns(cell_zones)
        counts = np.zeros((sizes.size, n_levels), np.int64)
        for zone in range(cell_zones.shape[0]):
            counts[column[cell_zones[zone, 1]], cell_zones[zone, 0]] += 1
        matrix_statistics(counts, sizes, table, out[cell])
    return out
