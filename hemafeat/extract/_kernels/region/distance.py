"""Exact squared Euclidean distances: depth of pixels within a mask, and distance to a mask."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import inlined, kernel

FAR = np.int32(1 << 30)
"""A value above any squared distance that does not overflow when one is added."""


@kernel
def paint_runs(runs, top, left, height, width):
    """Return runs as a (height, width) bool array whose first pixel is (top, left)."""
    inside = np.zeros((height, width), np.bool_)
    for run in range(runs.shape[0]):
        line = inside[runs[run, 0] - top, runs[run, 1] - left : runs[run, 2] - left]
        # For short runs a loop is much faster than an assignment to a slice.
        for k in range(line.size):
            line[k] = True
    return inside


@kernel
def column_distances(mask, target, beyond, most):
    """Return the distance of each pixel to the nearest one of its column that is `target`.

    Distances are at most `most`. Rows outside the array are at distance `beyond` from a target.
    Work proceeds row by row, so that both passes vectorise.
    """
    height, width = mask.shape
    framed = np.empty((height + 2, width), np.int32)
    limit = np.int32(most)
    for k in range(width):
        framed[0, k] = framed[height + 1, k] = beyond
    for row in range(height):
        before, mask_row, line = framed[row], mask[row], framed[row + 1]
        for k in range(width):
            step = min(np.int32(before[k] + 1), limit)
            line[k] = np.int32(0) if mask_row[k] == target else step
    for row in range(height, 0, -1):
        after, line = framed[row + 1], framed[row]
        for k in range(width):
            line[k] = min(line[k], np.int32(after[k] + 1))
    return framed[1 : height + 1]


@inlined
def run_depths(vertical, into, squares):
    """Fill `into` with the squared depths of the pixels of one run.

    `vertical` holds their distances along the columns and `squares` is room to work in. Pixels next
    to both ends of the run are outside, so nothing beyond them can be nearer. The whole run is
    compared with itself shifted by one pixel, by two and so on; the shift need not exceed the
    largest distance so far.
    """
    n = vertical.size
    half = n // 2 + 4
    squares[:half] = FAR
    squares[half + n : n + 2 * half] = FAR
    middle = squares[half : half + n]
    farthest = np.int32(0)
    for k in range(n):
        side = np.int32(min(k + 1, n - k))
        middle[k] = vertical[k] * vertical[k]
        into[k] = min(middle[k], np.int32(side * side))
        farthest = max(farthest, into[k])
    shift = 1
    while shift * shift < farthest:
        for step in range(shift, shift + 4):
            square = np.int32(step * step)
            left, right = squares[half - step :], squares[half + step :]
            for k in range(n):
                into[k] = min(into[k], np.int32(min(left[k], right[k]) + square))
        shift += 4
        farthest = np.int32(0)
        for k in range(n):
            farthest = max(farthest, into[k])


@kernel
def depths(run_starts, runs, boxes, height, width, reach):
    """Return the squared distance of every pixel of a cell to the nearest pixel outside that cell.

    Parameters
    ----------
    run_starts, runs, boxes
        Runs and boxes of the cells, see ``runs.find_runs`` and ``runs.pixels``.
    height, width : int
        Size of the image. Pixels beyond it are outside every cell.
    reach : int
        Distance up to which values are exact. Larger distances may come out smaller, but not below
        `reach`.

    Returns
    -------
    (height, width) int32 array
        Between pixel centres, so 1 along the edge of a cell; 0 outside the cells.
    """
    out = np.zeros((height, width), np.int32)
    squares = np.empty(2 * width + 8, np.int32)
    for cell in range(run_starts.size - 1):
        top, left = boxes[cell, 0], boxes[cell, 2]
        cell_runs = runs[run_starts[cell] : run_starts[cell + 1]]
        inside = paint_runs(cell_runs, top, left, boxes[cell, 1] - top, boxes[cell, 3] - left)
        vertical = column_distances(inside, np.bool_(False), np.int64(0), reach)
        for run in range(run_starts[cell], run_starts[cell + 1]):
            row, first, stop = runs[run, 0], runs[run, 1], runs[run, 2]
            run_depths(
                vertical[row - top, first - left : stop - left], out[row, first:stop], squares
            )
    return out


@inlined
def distances_to(inside, reach):
    """Return the squared distance of every pixel to the nearest True pixel of `inside`.

    Distances above `reach` come out as more than ``reach**2``. Pixels beyond the array are False.
    """
    height, width = inside.shape
    cap = reach + 1
    out = column_distances(inside, np.bool_(True), cap, cap)
    squares = np.empty(width + 2 * reach, np.int32)
    squares[:] = FAR
    middle = squares[reach : reach + width]
    for row in range(height):
        line, mask_row = out[row], inside[row]
        nearest = np.int32(cap)
        for k in range(width):
            nearest = min(nearest, line[k])
        for k in range(width):
            line[k] = line[k] * line[k]
            middle[k] = line[k]
        if nearest == cap:
            continue
        first = 0
        while first < width and not mask_row[first]:
            first += 1
        last = width - 1
        while last > first and not mask_row[last]:
            last -= 1
        gap = first == width
        for k in range(first, last + 1):
            gap |= not mask_row[k]
        if gap:
            lower_along_row(line, squares, reach)
        else:
            # A single run is at distance 0: only pixels to its left and right can be lowered.
            lower_along_row(line[:first], squares[: first + 2 * reach], reach)
            lower_along_row(line[last + 1 :], squares[last + 1 :], reach)
    return out


@kernel
def lower_along_row(line, squares, reach):
    """Lower the squared distances of a row to those by way of pixels up to `reach` columns away."""
    for shift in range(1, reach + 1):
        square = np.int32(shift * shift)
        left, right = squares[reach - shift :], squares[reach + shift :]
        for column in range(line.size):
            nearest = np.int32(min(left[column], right[column]) + square)
            line[column] = min(line[column], nearest)
