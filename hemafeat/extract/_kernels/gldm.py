"""Neighbouring grey-level dependence: counts of neighbours that share the level of a pixel."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel
from hemafeat.extract._kernels.patches import MARGIN, origin, patch_size

N_DEPENDENCES = 9


@kernel
def dependence_matrices(patches, run_starts, runs, boxes, n_levels):
    """Count the pixels of every cell by grey level and number of neighbours of the same level.

    Parameters
    ----------
    patches, run_starts, runs, boxes, n_levels
        Patches of the cells and the arguments of ``patches.patches`` they were cut with.

    Returns
    -------
    (n_cells, 9, n_levels) int64 array
        Numbers of pixels; row k for pixels of which k of the 8 neighbours lie in the cell and have
        the same level.
    """
    n_cells = boxes.shape[0]
    out = np.zeros((n_cells, N_DEPENDENCES, n_levels), np.int64)
    # Two histograms are used in turn, so that equal neighbours do not increment the same bin.
    even = np.empty(N_DEPENDENCES * n_levels, np.int64)
    odd = np.empty(N_DEPENDENCES * n_levels, np.int64)
    widest = 0
    for run in range(runs.shape[0]):
        widest = max(widest, runs[run, 2] - runs[run, 1])
    bins = np.empty(widest, np.uint16)
    offset = 0
    for cell in range(n_cells):
        if run_starts[cell + 1] == run_starts[cell]:
            continue
        box = boxes[cell]
        corner, stride = origin(box, MARGIN)
        for k in range(even.size):
            even[k] = odd[k] = 0
        for run in range(run_starts[cell], run_starts[cell + 1]):
            n = runs[run, 2] - runs[run, 1]
            start = offset + corner + (runs[run, 0] - box[0]) * stride + runs[run, 1] - box[2]
            centre = patches[start : start + n]
            left, right = patches[start - 1 : start - 1 + n], patches[start + 1 : start + 1 + n]
            up, down = start - stride, start + stride
            above, below = patches[up : up + n], patches[down : down + n]
            left_above, right_above = patches[up - 1 : up - 1 + n], patches[up + 1 : up + 1 + n]
            left_below = patches[down - 1 : down - 1 + n]
            right_below = patches[down + 1 : down + 1 + n]
            for k in range(n):
                level = centre[k]
                n_equal = (
                    np.uint8(left[k] == level)
                    + np.uint8(right[k] == level)
                    + np.uint8(above[k] == level)
                    + np.uint8(below[k] == level)
                    + np.uint8(left_above[k] == level)
                    + np.uint8(right_above[k] == level)
                    + np.uint8(left_below[k] == level)
                    + np.uint8(right_below[k] == level)
                )
                bins[k] = np.int64(n_equal) * n_levels + np.int64(level)
            for k in range(0, n - 1, 2):
                even[np.uint64(bins[k])] += 1
                odd[np.uint64(bins[k + 1])] += 1
            if n % 2 == 1:
                even[np.uint64(bins[n - 1])] += 1
        offset += patch_size(box, MARGIN)
        for count in range(N_DEPENDENCES):
            for level in range(n_levels):
                k = count * n_levels + level
                out[cell, count, level] = even[k] + odd[k]
    return out
