"""Where each cell's pixels are."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel


@kernel
def find_runs(labels, n_cells):
    """Horizontal runs of every label, in one pass over the image.

    Parameters
    ----------
    labels : (H, W) int32 array
        Cells 1..n_cells, 0 background. Other values count as background.
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
    found = np.empty((2 * height + width, 4), np.int64)
    n_found = 0
    for row in range(height):
        if found.shape[0] - n_found < width:
            # Room for the worst row is made here: a check inside the loop below triples its time.
            larger = np.empty((2 * found.shape[0] + width, 4), np.int64)
            larger[:n_found] = found[:n_found]
            found = larger
        line = labels[row]
        anything = 0
        for column in range(width):
            anything |= line[column]
        if anything == 0:
            continue
        previous = 0
        first = 0
        for column in range(width):
            cell = line[column]
            if cell != previous:
                if 1 <= previous <= n_cells:
                    found[n_found, 0] = previous - 1
                    found[n_found, 1] = row
                    found[n_found, 2] = first
                    found[n_found, 3] = column
                    n_found += 1
                previous = cell
                first = column
        if 1 <= previous <= n_cells:
            found[n_found, 0] = previous - 1
            found[n_found, 1] = row
            found[n_found, 2] = first
            found[n_found, 3] = width
            n_found += 1
    run_starts = np.zeros(n_cells + 1, np.int64)
    for run in range(n_found):
        run_starts[found[run, 0] + 1] += 1
    for cell in range(n_cells):
        run_starts[cell + 1] += run_starts[cell]
    place = run_starts[:-1].copy()
    runs = np.empty((n_found, 3), np.int64)
    for run in range(n_found):
        slot = place[found[run, 0]]
        place[found[run, 0]] += 1
        runs[slot, 0] = found[run, 1]
        runs[slot, 1] = found[run, 2]
        runs[slot, 2] = found[run, 3]
    return run_starts, runs


@kernel
def pixels(run_starts, runs, width):
    """Pixels and bounding box of every cell, from its runs.

    Parameters
    ----------
    run_starts, runs
        As `find_runs` gives them.
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
    place = 0
    for run in range(runs.shape[0]):
        offset = runs[run, 0] * width + runs[run, 1]
        length = runs[run, 2] - runs[run, 1]
        for step in range(length):
            index[place + step] = offset + step
        place += length
    return starts, index, boxes


@kernel
def levels_of(rgb, runs, n_pixels):
    """Levels of the pixels of every cell, one channel after the other.

    Parameters
    ----------
    rgb : (H, W, 3) uint8 array
        The image.
    runs
        As `find_runs` gives them.
    n_pixels : int
        Pixels of all cells together.

    Returns
    -------
    (3, n_pixels) uint8 array
        In the order of `pixels`.
    """
    out = np.empty((3, n_pixels), np.uint8)
    red, green, blue = out[0], out[1], out[2]
    flat, width = rgb.reshape(-1), rgb.shape[1]
    place = 0
    for run in range(runs.shape[0]):
        n = runs[run, 2] - runs[run, 1]
        start = 3 * (runs[run, 0] * width + runs[run, 1])
        line = flat[start : start + 3 * n]
        r, g, b = red[place : place + n], green[place : place + n], blue[place : place + n]
        for k in range(n):
            # An index that cannot be negative: the loop then vectorises.
            first = np.uint64(3) * np.uint64(k)
            r[k] = line[first]
            g[k] = line[first + np.uint64(1)]
            b[k] = line[first + np.uint64(2)]
        place += n
    return out
