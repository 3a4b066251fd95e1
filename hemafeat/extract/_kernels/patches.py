"""Patches: the grey levels of each cell with a margin that marks the outside."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel

MARGIN = np.int64(4)
"""Margin of the patches that families share, in px: the farthest that any of them looks."""


@kernel
def patch_size(box, margin):
    """Return the number of pixels of one patch."""
    return (box[1] - box[0] + 1 + margin) * (box[3] - box[2] + margin) + margin


@kernel
def origin(box, margin):
    """Return the index in its patch of the corner of the box, and the step from row to row."""
    stride = box[3] - box[2] + margin
    return stride + margin, stride


@kernel
def patches(levels, run_starts, runs, boxes, n_levels, margin):
    """Cut out the patches of all cells, one after the other.

    Parameters
    ----------
    levels : (H, W) uint8 array
        Grey levels 0..n_levels - 1, with n_levels at most 255.
    run_starts, runs, boxes
        Runs and boxes of the cells, see ``runs.find_runs`` and ``runs.pixels``.
    n_levels : int
        Level that marks pixels outside the cell, so that loops over neighbours need no test.
    margin : int
        Pixels of margin on each side of a row and below the last row; one row is above the first.

    Returns
    -------
    (N,) uint8 array
        `patch_size` pixels for each cell that is not empty. Rows are `stride` apart: one margin
        serves the right end of a row and the left end of the next.
    """
    n_cells = boxes.shape[0]
    total = 0
    for cell in range(n_cells):
        if run_starts[cell + 1] > run_starts[cell]:
            total += patch_size(boxes[cell], margin)
    out = np.empty(total, np.uint8)
    out[:] = n_levels
    begin = 0
    for cell in range(n_cells):
        if run_starts[cell + 1] == run_starts[cell]:
            continue
        box = boxes[cell]
        corner, stride = origin(box, margin)
        for run in range(run_starts[cell], run_starts[cell + 1]):
            row, first, stop = runs[run, 0], runs[run, 1], runs[run, 2]
            start = begin + corner + (row - box[0]) * stride - box[2]
            for column in range(first, stop):
                out[start + column] = levels[row, column]
        begin += patch_size(box, margin)
    return out
