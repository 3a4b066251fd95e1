"""Neighbouring grey-level dependence: how many of the 8 neighbours share a pixel's grey level."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel
from hemafeat.extract._kernels.extents import N_STATISTICS, PER_PIXEL, statistics
from hemafeat.extract._kernels.patches import origin, patch_size

N_DEPENDENCES = 9


@kernel
def dependences(patch, runs, box, n_levels):
    """Pixels by the number of neighbours of their level, and by level.

    Parameters
    ----------
    patch, box
        Of the cell; see ``patches``.
    runs : (M, 3) int64 array
        The cell's pixels: row, first column, column after the last one.
    n_levels : int
        Number of grey levels.

    Returns
    -------
    (9, n_levels) int64 array
        Row k: k of the 8 neighbours lie in the cell and have the same level.
    """
    width = box[3] - box[2]
    corner, stride = origin(box)
    # Two histograms in turn: equal neighbours then wait on two chains, not on one.
    counts = np.zeros((2, N_DEPENDENCES * n_levels), np.int64)
    even, odd = counts[0], counts[1]
    same = np.empty(width + 1, np.uint16)
    for run in range(runs.shape[0]):
        n = runs[run, 2] - runs[run, 1]
        start = corner + (runs[run, 0] - box[0]) * stride + runs[run, 1] - box[2]
        here = patch[start : start + n]
        left, right = patch[start - 1 : start - 1 + n], patch[start + 1 : start + 1 + n]
        up, down = start - stride, start + stride
        above, below = patch[up : up + n], patch[down : down + n]
        left_above, right_above = patch[up - 1 : up - 1 + n], patch[up + 1 : up + 1 + n]
        left_below, right_below = patch[down - 1 : down - 1 + n], patch[down + 1 : down + 1 + n]
        for k in range(n):
            level = here[k]
            alike = (
                np.uint8(left[k] == level)
                + np.uint8(right[k] == level)
                + np.uint8(above[k] == level)
                + np.uint8(below[k] == level)
                + np.uint8(left_above[k] == level)
                + np.uint8(right_above[k] == level)
                + np.uint8(left_below[k] == level)
                + np.uint8(right_below[k] == level)
            )
            same[k] = np.int64(alike) * n_levels + np.int64(level)
        for k in range(0, n - 1, 2):
            even[same[k]] += 1
            odd[same[k + 1]] += 1
        if n % 2 == 1:
            even[same[n - 1]] += 1
    return (even + odd).reshape(N_DEPENDENCES, n_levels)


@kernel
def dependence_matrices(patches, run_starts, runs, boxes, n_levels):
    """Pixels by grey level and dependence, for every cell.

    Parameters
    ----------
    patches, run_starts, runs, boxes, n_levels
        As for ``patches.patches``, and what it returns.

    Returns
    -------
    (n_cells, 9, n_levels) int64 array
    """
    n_cells = boxes.shape[0]
    out = np.zeros((n_cells, N_DEPENDENCES, n_levels), np.int64)
    place = 0
    for cell in range(n_cells):
        own = runs[run_starts[cell] : run_starts[cell + 1]]
        if own.shape[0] > 0:
            out[cell] = dependences(patches[place:], own, boxes[cell], n_levels)
            place += patch_size(boxes[cell])
    return out


@kernel
def measure(patches, run_starts, runs, boxes, n_levels, table):
    """Statistics of every cell.

    Parameters
    ----------
    patches, run_starts, runs, boxes, n_levels
        As for `dependence_matrices`.
    table
        As for ``extents.statistics``.

    Returns
    -------
    (n_cells, 16) float64 array
        Without "things per pixel", which is 1.
    """
    counts = dependence_matrices(patches, run_starts, runs, boxes, n_levels)
    out = np.empty((counts.shape[0], N_STATISTICS - 1))
    values = np.empty(N_STATISTICS)
    extents = np.arange(1, N_DEPENDENCES + 1)
    for cell in range(counts.shape[0]):
        statistics(counts[cell], extents, table, values)
        out[cell, :PER_PIXEL] = values[:PER_PIXEL]
        out[cell, PER_PIXEL:] = values[PER_PIXEL + 1 :]
    return out
