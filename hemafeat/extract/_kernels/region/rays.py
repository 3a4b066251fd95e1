"""Thickness of the cytoplasm along rays from the centroid of the nucleus."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel

N_RAYS = 72


@kernel
def last_exits(nucleus, cell, label, y, x, dy, dx):
    """Return the distances from (y, x) at which a ray leaves nucleus and cell for the last time.

    NaN if the ray does not meet the label. The ray is followed exactly from pixel to pixel to the
    edge of the arrays; pixel centres have whole coordinates.
    """
    height, width = cell.shape
    # From a point on a pixel edge the ray starts in the pixel that it enters.
    row = math.floor(y + 0.5) if dy > 0 else math.ceil(y - 0.5)
    column = math.floor(x + 0.5) if dx > 0 else math.ceil(x - 0.5)
    down, right = (1 if dy > 0 else -1), (1 if dx > 0 else -1)
    per_row, per_column = 1.0 / dy, 1.0 / dx
    # Compute each crossing from its own edge: adding steps would accumulate errors.
    to_row = (row + 0.5 * down - y) * per_row
    to_column = (column + 0.5 * right - x) * per_column
    distance = 0.0
    in_nucleus = in_cell = False
    nucleus_end = cell_end = np.nan
    while 0 <= row < height and 0 <= column < width:
        inside = nucleus[row, column] == label
        if in_nucleus and not inside:
            nucleus_end = distance
        in_nucleus = inside
        inside = cell[row, column] == label
        if in_cell and not inside:
            cell_end = distance
        in_cell = inside
        if to_row < to_column:
            distance = to_row
            row += down
            to_row = (row + 0.5 * down - y) * per_row
        else:
            distance = to_column
            column += right
            to_column = (column + 0.5 * right - x) * per_column
    if in_nucleus:
        nucleus_end = distance
    if in_cell:
        cell_end = distance
    return nucleus_end, cell_end


@kernel
def ray_thickness(nucleus, cell, boxes, y, x):
    """Measure the thickness of the cytoplasm of every cell in 72 directions from the nucleus.

    Directions are 2.5, 7.5 ... degrees: none runs along pixel edges or diagonals, and quarter turns
    and mirror images map them to one another.

    Parameters
    ----------
    nucleus, cell : (H, W) int32 arrays
        Labels 1..n_cells; 0 is background.
    boxes : (n_cells, 4) int64 array
        Bounding boxes of the cells, see ``runs.pixels``.
    y, x : (n_cells,) float64 arrays
        Centroids of the nuclei.

    Returns
    -------
    (n_cells, 72) float64 array
        Thickness in pixels; NaN in directions that do not meet the nucleus.
    """
    n_cells = boxes.shape[0]
    out = np.empty((n_cells, N_RAYS), np.float64)
    out[:] = np.nan
    for k in range(n_cells):
        if boxes[k, 1] == 0 or not math.isfinite(y[k]):
            continue
        top, left = boxes[k, 0], boxes[k, 2]
        inner = nucleus[top : boxes[k, 1], left : boxes[k, 3]]
        outer = cell[top : boxes[k, 1], left : boxes[k, 3]]
        for ray in range(N_RAYS):
            angle = (ray + 0.5) * (2.0 * math.pi / N_RAYS)
            dy, dx = math.sin(angle), math.cos(angle)
            start, stop = last_exits(inner, outer, k + 1, y[k] - top, x[k] - left, dy, dx)
            out[k, ray] = stop - start
    return out
