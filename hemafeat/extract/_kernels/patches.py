"""Grey levels of each cell, cut out of the plane with a margin that says "outside"."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel

MARGIN = 4
"""The margin that families share: as far as they look."""


@kernel
def patch_size(box, margin):
    """Pixels of one patch."""
    return (box[1] - box[0] + 1 + margin) * (box[3] - box[2] + margin) + margin


@kernel
def origin(box, margin):
    """Place in its patch of the corner of the box, and from row to row."""
    stride = box[3] - box[2] + margin
    return stride + margin, stride


@kernel
def patches(levels, run_starts, runs, boxes, n_levels, margin):
    """The patches of all cells, one after the other.

    Parameters
    ----------
    levels : (H, W) uint8 array
        Grey levels 0..n_levels - 1, with n_levels at most 255.
    run_starts, runs, boxes
        As ``regions.find_runs`` and ``regions.pixels`` give them.
    n_levels : int
        The level that stands for "outside the cell", so that loops over neighbours need no test.
    margin : int
        Pixels of margin to each side of a row and below the last one; above the first there is 1.

    Returns
    -------
    (N,) uint8 array
        For each cell that has pixels `patch_size` of them. Its rows follow each other `stride`
        apart: one margin serves the right end of a row and the left end of the next.
    """
    n_cells = boxes.shape[0]
    total = 0
    for cell in range(n_cells):
        if run_starts[cell + 1] > run_starts[cell]:
            total += patch_size(boxes[cell], margin)
    out = np.full(total, n_levels, np.uint8)
    place = 0
    for cell in range(n_cells):
        if run_starts[cell + 1] == run_starts[cell]:
            continue
        box = boxes[cell]
        corner, stride = origin(box, margin)
        for run in range(run_starts[cell], run_starts[cell + 1]):
            row, first, stop = runs[run, 0], runs[run, 1], runs[run, 2]
            start = place + corner + (row - box[0]) * stride - box[2]
            out[start + first : start + stop] = levels[row, first:stop]
        place += patch_size(box, margin)
    return out
