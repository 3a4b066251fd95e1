"""Neighbouring grey-level dependence: how many of the 8 neighbours share a pixel's grey level."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel
from hemafeat.extract._kernels.patches import MARGIN, origin, patch_size

N_DEPENDENCES = 9


@kernel
def dependence_matrices(patches, run_starts, runs, boxes, n_levels):
    """Pixels by the number of neighbours of their level, and by level, for every cell.

    Parameters
    ----------
    patches, run_starts, runs, boxes, n_levels
        As for ``patches.patches``, and what it returns.

    Returns
    -------
    (n_cells, 9, n_levels) int64 array
        Row k: k of the 8 neighbours lie in the cell and have the same level.
    """
    n_cells = boxes.shape[0]
    out = np.zeros((n_cells, N_DEPENDENCES, n_levels), np.int64)
    # Two histograms in turn: equal neighbours then wait on two chains, not on one.
    even = np.empty(N_DEPENDENCES * n_levels, np.int64)
    odd = np.empty(N_DEPENDENCES * n_levels, np.int64)
    widest = 0
    for run in range(runs.shape[0]):
        widest = max(widest, runs[run, 2] - runs[run, 1])
    same = np.empty(widest, np.uint16)
    place = 0
    for cell in range(n_cells):
        if run_starts[cell + 1] == run_starts[cell]:
            continue
        box = boxes[cell]
        corner, stride = origin(box, MARGIN)
        for k in range(even.size):
            even[k] = odd[k] = 0
        for run in range(run_starts[cell], run_starts[cell + 1]):
            n = runs[run, 2] - runs[run, 1]
            start = place + corner + (runs[run, 0] - box[0]) * stride + runs[run, 1] - box[2]
            here = patches[start : start + n]
            left, right = patches[start - 1 : start - 1 + n], patches[start + 1 : start + 1 + n]
            up, down = start - stride, start + stride
            above, below = patches[up : up + n], patches[down : down + n]
            left_above, right_above = patches[up - 1 : up - 1 + n], patches[up + 1 : up + 1 + n]
            left_below = patches[down - 1 : down - 1 + n]
            right_below = patches[down + 1 : down + 1 + n]
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
                even[np.uint64(same[k])] += 1
                odd[np.uint64(same[k + 1])] += 1
            if n % 2 == 1:
                even[np.uint64(same[n - 1])] += 1
        place += patch_size(box, MARGIN)
        for count in range(N_DEPENDENCES):
            for level in range(n_levels):
                k = count * n_levels + level
                out[cell, count, level] = even[k] + odd[k]
    return out
