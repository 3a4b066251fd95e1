"""Cytoplasm seen from the nucleus: along rays, and where there is none."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel

N_RAYS = 72


@kernel
def last_exits(nucleus, cell, label, y, x, dy, dx):
    """Distances from (y, x) along a ray to where it leaves nucleus and cell for the last time.

    NaN where the ray does not meet the label. The ray is followed exactly from pixel to pixel to
    the edge of the arrays; pixel centres are whole numbers.
    """
    height, width = cell.shape
    # From a point on a pixel edge the ray starts in the pixel it goes into.
    row = math.floor(y + 0.5) if dy > 0 else math.ceil(y - 0.5)
    column = math.floor(x + 0.5) if dx > 0 else math.ceil(x - 0.5)
    down, right = (1 if dy > 0 else -1), (1 if dx > 0 else -1)
    per_row, per_column = 1.0 / dy, 1.0 / dx
    # Each crossing from its own edge, not by adding steps: no error builds up.
    to_row = (row + 0.5 * down - y) * per_row
    to_column = (column + 0.5 * right - x) * per_column
    distance = 0.0
    in_nucleus = in_cell = False
    nucleus_end = cell_end = np.nan
    while 0 <= row < height and 0 <= column < width:
        now = nucleus[row, column] == label
        if in_nucleus and not now:
            nucleus_end = distance
        in_nucleus = now
        now = cell[row, column] == label
        if in_cell and not now:
            cell_end = distance
        in_cell = now
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
def profiles(nucleus, cell, boxes, y, x):
    """Thickness of the cytoplasm of every cell in 72 directions from the nucleus.

    Directions are 2.5, 7.5 ... degrees: none runs along pixel edges or diagonals, and a quarter
    turn or a mirror maps them on one another.

    Parameters
    ----------
    nucleus, cell : (H, W) int32 arrays
        Labels.
    boxes : (n_cells, 4) int64 array
        Bounding boxes of the cells.
    y, x : (n_cells,) float64 arrays
        Centroids of the nuclei.

    Returns
    -------
    (n_cells, 72) float64 array
        NaN in directions in which there is no nucleus.
    """
    n_cells = boxes.shape[0]
    out = np.full((n_cells, N_RAYS), np.nan)
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


@kernel
def thickness(profile):
    """Mean, minimum, maximum and sd / mean over the directions in which there is nucleus."""
    n_cells = profile.shape[0]
    out = np.full((n_cells, 4), np.nan)
    for k in range(n_cells):
        used = profile[k][np.isfinite(profile[k])]
        if used.size == 0:
            continue
        mean = used.mean()
        out[k, 0] = mean
        out[k, 1] = used.min()
        out[k, 2] = used.max()
        if mean > 0.0:
            out[k, 3] = used.std() / mean
    return out


@kernel
def border_contact(nucleus, cell, run_starts, runs):
    """Share of each nucleus' boundary pixels that lie at the edge of the cell.

    A boundary pixel has one of its four neighbours outside the nucleus. It lies at the edge where
    a pixel outside the cell is at most 2 px away, centre to centre: then at most one pixel of
    cytoplasm is between. Outside the image is outside the cell.

    Parameters
    ----------
    nucleus, cell : (H, W) int32 arrays
        Labels.
    run_starts, runs
        Those of the nucleus, as ``regions.find_runs`` gives them.
    """
    height, width = cell.shape
    out = np.full(run_starts.size - 1, np.nan)
    covered = np.empty(width, np.bool_)
    for k in range(run_starts.size - 1):
        label = k + 1
        n_boundary = n_contact = 0
        for run in range(run_starts[k], run_starts[k + 1]):
            row, first, stop = runs[run]
            n = stop - first
            inner = covered[:n]
            if 0 < row < height - 1:
                above, below = nucleus[row - 1, first:stop], nucleus[row + 1, first:stop]
                for c in range(n):
                    inner[c] = (above[c] == label) & (below[c] == label)
                inner[0] = inner[n - 1] = False
            else:
                inner[:] = False
            for c in range(n):
                if not inner[c]:
                    n_boundary += 1
                    n_contact += at_edge(cell, label, row, first + c)
        if n_boundary > 0:
            out[k] = n_contact / n_boundary
    return out


@kernel
def at_edge(cell, label, row, column):
    """Whether a pixel other than `label` is at most 2 px from this one."""
    height, width = cell.shape
    for dr in range(-2, 3):
        for dc in range(-2, 3):
            if dr * dr + dc * dc <= 4:
                r, c = row + dr, column + dc
                if r < 0 or r >= height or c < 0 or c >= width or cell[r, c] != label:
                    return True
    return False
