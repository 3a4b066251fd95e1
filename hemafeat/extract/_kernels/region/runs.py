"""Runs of pixels: find, move, join and sum them.

A run is (row, first column, column after the last one). Within one cell, runs are in raster order.
"""

from __future__ import annotations

import numpy as np

from hemafeat._jit import find_root, kernel
from hemafeat.extract._kernels.arrays import separate


@kernel
def find_runs(labels, n_cells):
    """Find the horizontal runs of every label in one pass over the image.

    Parameters
    ----------
    labels : (H, W) int32 array
        Cells are numbered 1..n_cells; all other values are background.
    n_cells : int
        Number of cells.

    Returns
    -------
    run_starts : (n_cells + 1,) int64 array
        Cell ``i`` (0-based) owns ``runs[run_starts[i]:run_starts[i + 1]]``.
    runs : (M, 3) int64 array
        Row, first column and column after the last one; raster order within each cell.
    """
    height, width = labels.shape
    table = np.empty((2 * height + width, 4), np.int64)
    n_runs = 0
    for row in range(height):
        if table.shape[0] - n_runs < width:
            # Grow before the row is scanned: a check inside the loop below triples its time.
            larger = np.empty((2 * table.shape[0] + width, 4), np.int64)
            for k in range(n_runs):
                for i in range(4):
                    larger[k, i] = table[k, i]
            table = larger
        line = labels[row]
        any_label = 0
        for column in range(width):
            any_label |= line[column]
        if any_label == 0:
            continue
        previous = 0
        first = 0
        for column in range(width):
            cell = line[column]
            if cell != previous:
                if 1 <= previous <= n_cells:
                    table[n_runs, 0] = previous - 1
                    table[n_runs, 1] = row
                    table[n_runs, 2] = first
                    table[n_runs, 3] = column
                    n_runs += 1
                previous = cell
                first = column
        if 1 <= previous <= n_cells:
            table[n_runs, 0] = previous - 1
            table[n_runs, 1] = row
            table[n_runs, 2] = first
            table[n_runs, 3] = width
            n_runs += 1
    run_starts = np.zeros(n_cells + 1, np.int64)
    for run in range(n_runs):
        run_starts[table[run, 0] + 1] += 1
    for cell in range(n_cells):
        run_starts[cell + 1] += run_starts[cell]
    next_slot = np.empty(n_cells, np.int64)
    for cell in range(n_cells):
        next_slot[cell] = run_starts[cell]
    runs = np.empty((n_runs, 3), np.int64)
    for run in range(n_runs):
        slot = next_slot[table[run, 0]]
        next_slot[table[run, 0]] += 1
        runs[slot, 0] = table[run, 1]
        runs[slot, 1] = table[run, 2]
        runs[slot, 2] = table[run, 3]
    return run_starts, runs


@kernel
def pixels(run_starts, runs, width):
    """List the pixels of every cell and its bounding box, from its runs.

    Parameters
    ----------
    run_starts, runs
        Runs of all cells, see `find_runs`.
    width : int
        Width of the image.

    Returns
    -------
    starts : (n_cells + 1,) int64 array
        Cell ``i`` (0-based) owns ``index[starts[i]:starts[i + 1]]``.
    index : (N,) int64 array
        Flat indices in raster order within each cell.
    boxes : (n_cells, 4) int64 array
        Row start, row stop, column start, column stop; all zero where a cell has no pixel.
    """
    n_cells = run_starts.size - 1
    starts = np.zeros(n_cells + 1, np.int64)
    boxes = np.zeros((n_cells, 4), np.int64)
    for cell in range(n_cells):
        area = 0
        first, stop = run_starts[cell], run_starts[cell + 1]
        if stop > first:
            left, right = runs[first, 1], runs[first, 2]
            for run in range(first, stop):
                left = min(left, runs[run, 1])
                right = max(right, runs[run, 2])
                area += runs[run, 2] - runs[run, 1]
            boxes[cell, 0] = runs[first, 0]
            boxes[cell, 1] = runs[stop - 1, 0] + 1
            boxes[cell, 2] = left
            boxes[cell, 3] = right
        starts[cell + 1] = starts[cell] + area
    index = np.empty(starts[n_cells], np.int64)
    begin = 0
    for run in range(runs.shape[0]):
        offset = runs[run, 0] * width + runs[run, 1]
        length = runs[run, 2] - runs[run, 1]
        for step in range(length):
            index[begin + step] = offset + step
        begin += length
    return starts, index, boxes


@kernel
def levels_of(rgb, runs, n_pixels):
    """Gather the levels of the pixels of every cell, one channel after the other.

    Parameters
    ----------
    rgb : (H, W, 3) uint8 array
        RGB image.
    runs : (M, 3) int64 array
        Runs of all cells, see `find_runs`.
    n_pixels : int
        Number of pixels of all cells together.

    Returns
    -------
    (3, n_pixels) uint8 array
        Pixels in the order of `pixels`.
    """
    out = np.empty((3, n_pixels), np.uint8)
    red, green, blue = out[0], out[1], out[2]
    flat, width = rgb.reshape(-1), rgb.shape[1]
    begin = 0
    for run in range(runs.shape[0]):
        n = runs[run, 2] - runs[run, 1]
        start = 3 * (runs[run, 0] * width + runs[run, 1])
        line = flat[start : start + 3 * n]
        r, g, b = red[begin : begin + n], green[begin : begin + n], blue[begin : begin + n]
        for k in range(n):
            # An unsigned index cannot be negative, so the loop vectorises.
            first = np.uint64(3) * np.uint64(k)
            r[k] = line[first]
            g[k] = line[first + np.uint64(1)]
            b[k] = line[first + np.uint64(2)]
        begin += n
    return out


@kernel
def local_runs(runs, top, left, height):
    """Move the runs of one cell to the corner of its box and index them by row.

    Parameters
    ----------
    runs : (M, 3) int64 array
        Runs of one cell.
    top, left, height : int
        Corner and height of its box.

    Returns
    -------
    moved : (M, 3) int64 array
        Runs relative to (top, left).
    rows : (height + 1,) int64 array
        ``moved[rows[r]:rows[r + 1]]`` are the runs of row r.
    """
    moved = np.empty((runs.shape[0], 3), np.int64)
    rows = np.zeros(height + 1, np.int64)
    for run in range(runs.shape[0]):
        row = runs[run, 0] - top
        moved[run, 0] = row
        moved[run, 1] = runs[run, 1] - left
        moved[run, 2] = runs[run, 2] - left
        rows[row + 1] += 1
    for row in range(height):
        rows[row + 1] += rows[row]
    return moved, rows


@kernel
def runs_where(mask, value):
    """Return the runs of `value` in a mask, indexed by row as in `local_runs`."""
    height, width = mask.shape
    runs = np.empty((height * (width // 2 + 1), 3), np.int64)
    rows = np.zeros(height + 1, np.int64)
    n = 0
    for row in range(height):
        line = mask[row]
        previous = not value
        for column in range(width):
            if line[column] != previous:
                previous = line[column]
                if previous == value:
                    runs[n, 0] = row
                    runs[n, 1] = column
                else:
                    runs[n, 2] = column
                    n += 1
        if previous == value:
            runs[n, 2] = width
            n += 1
        rows[row + 1] = n
    return runs[:n], rows


@kernel
def join(runs, rows, reach):
    """Join touching runs into sets.

    Parameters
    ----------
    runs, rows
        Runs of one region, see `local_runs`.
    reach : int
        1 also joins runs that touch at a corner (8-connectivity), 0 only those that share an edge
        (4-connectivity).

    Returns
    -------
    parent : (M,) int64 array
        Forest of the sets, see `root`.
    n_pairs : int
        Number of pairs of touching runs.
    """
    parent = separate(runs.shape[0])
    n_pairs = 0
    for row in range(1, rows.size - 1):
        for a in range(rows[row - 1], rows[row]):
            for b in range(rows[row], rows[row + 1]):
                if runs[b, 1] >= runs[a, 2] + reach:
                    break
                if runs[b, 2] + reach > runs[a, 1]:
                    n_pairs += 1
                    parent[find_root(parent, a)] = find_root(parent, b)
    return parent, n_pairs


@kernel
def part_areas(runs, parent):
    """Return the pixels of each connected part, at the index of its root; 0 at other runs."""
    areas = np.zeros(runs.shape[0], np.int64)
    for run in range(runs.shape[0]):
        areas[find_root(parent, run)] += runs[run, 2] - runs[run, 1]
    return areas


@kernel
def covariance(runs):
    """Return area, centroid (row, column) and covariance (rr, cc, rc) of the pixel centres."""
    n = sr = sc = srr = scc = src = 0
    for run in range(runs.shape[0]):
        row, a, b = runs[run, 0], runs[run, 1], runs[run, 2]
        length = b - a
        columns = (a + b - 1) * length // 2
        n += length
        sr += row * length
        sc += columns
        srr += row * row * length
        src += row * columns
        scc += ((b - 1) * b * (2 * b - 1) - (a - 1) * a * (2 * a - 1)) // 6
    y, x = sr / n, sc / n
    return n, y, x, srr / n - y * y, scc / n - x * x, src / n - y * x
