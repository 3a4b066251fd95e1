"""Where each cell's pixels are."""

from __future__ import annotations

import numpy as np

from hemafeat.extract._kernels._jit import kernel


@kernel
def gather(labels, n_cells):
    """Pixels and bounding box of every label, in one pass to count and one to fill.

    Parameters
    ----------
    labels : (H, W) int32 array
        Cells 1..n_cells, 0 background.
    n_cells : int
        Number of cells.

    Returns
    -------
    starts : (n_cells + 1,) int64 array
        Cell ``i`` (0-based) owns ``index[starts[i]:starts[i + 1]]``.
    index : (N,) int64 array
        Flat indices in raster order within each cell.
    boxes : (n_cells, 4) int64 array
        Row start, row stop, column start, column stop; all zero where a cell has no pixel.
    """
    height, width = labels.shape
    counts = np.zeros(n_cells, np.int64)
    boxes = np.zeros((n_cells, 4), np.int64)
    for row in range(height):
        for column in range(width):
            cell = labels[row, column] - 1
            if cell < 0 or cell >= n_cells:
                continue
            if counts[cell] == 0:
                boxes[cell, 0] = row
                boxes[cell, 2] = column
                boxes[cell, 3] = column + 1
            elif column < boxes[cell, 2]:
                boxes[cell, 2] = column
            elif column >= boxes[cell, 3]:
                boxes[cell, 3] = column + 1
            boxes[cell, 1] = row + 1
            counts[cell] += 1
    starts = np.zeros(n_cells + 1, np.int64)
    for cell in range(n_cells):
        starts[cell + 1] = starts[cell] + counts[cell]
    index = np.empty(starts[n_cells], np.int64)
    place = starts[:-1].copy()
    for row in range(height):
        for column in range(width):
            cell = labels[row, column] - 1
            if cell < 0 or cell >= n_cells:
                continue
            index[place[cell]] = row * width + column
            place[cell] += 1
    return starts, index, boxes
