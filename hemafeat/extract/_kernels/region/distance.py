"""How deep each pixel lies within its mask: exact squared Euclidean distances."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel

FAR = np.int32(1 << 30)
"""More than any squared distance, and small enough to add to without overflow."""


@kernel
def painted(runs, top, left, height, width):
    """(height, width) bool array of runs, from this row and column on."""
    inside = np.zeros((height, width), np.bool_)
    for run in range(runs.shape[0]):
        line = inside[runs[run, 0] - top, runs[run, 1] - left : runs[run, 2] - left]
        # A short loop is much faster than an assignment to a slice.
        for k in range(line.size):
            line[k] = True
    return inside


@kernel
def upright(mask, target, beyond, most):
    """Distance of each pixel to the nearest one above or below where `mask` is `target`.

    At most `most`; `beyond` counts for the rows beyond the array. A row at a time, so that both
    passes vectorise.
    """
    height, width = mask.shape
    framed = np.empty((height + 2, width), np.int32)
    limit = np.int32(most)
    for k in range(width):
        framed[0, k] = framed[height + 1, k] = beyond
    for row in range(height):
        before, here, line = framed[row], mask[row], framed[row + 1]
        for k in range(width):
            step = min(np.int32(before[k] + 1), limit)
            line[k] = np.int32(0) if here[k] == target else step
    for row in range(height, 0, -1):
        after, line = framed[row + 1], framed[row]
        for k in range(width):
            line[k] = min(line[k], np.int32(after[k] + 1))
    return framed[1 : height + 1]


@kernel
def across(away, into, squares):
    """Squared distance of the pixels of one run, from their distances up and down.

    Pixels on both sides of the run are outside, so nothing beyond them can be nearer. All of the
    run is compared with itself shifted by one pixel, by two ...: no jump in the loop, and the shift
    need not exceed the largest distance found so far.
    """
    n = away.size
    half = n // 2 + 4
    squares[:half] = FAR
    squares[half + n : n + 2 * half] = FAR
    middle = squares[half : half + n]
    farthest = np.int32(0)
    for k in range(n):
        side = np.int32(min(k + 1, n - k))
        middle[k] = away[k] * away[k]
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
    """Squared distance of every pixel of a cell to the nearest pixel that is not of that cell.

    Parameters
    ----------
    run_starts, runs, boxes
        As ``regions.find_runs`` and ``regions.pixels`` give them.
    height, width : int
        Size of the image. What lies beyond it is not of any cell.
    reach : int
        Distances from this one on need not be right: they may come out as less, but not below it.

    Returns
    -------
    (height, width) int32 array
        Between the centres of pixels, so 1 along the edge of a cell; 0 where there is no cell.
    """
    out = np.zeros((height, width), np.int32)
    squares = np.empty(2 * width + 8, np.int32)
    for cell in range(run_starts.size - 1):
        top, left = boxes[cell, 0], boxes[cell, 2]
        own = runs[run_starts[cell] : run_starts[cell + 1]]
        inside = painted(own, top, left, boxes[cell, 1] - top, boxes[cell, 3] - left)
        away = upright(inside, False, 0, reach)
        for run in range(run_starts[cell], run_starts[cell + 1]):
            row, first, stop = runs[run, 0], runs[run, 1], runs[run, 2]
            across(away[row - top, first - left : stop - left], out[row, first:stop], squares)
    return out


@kernel
def spread(inside, reach):
    """Squared distance of every pixel to the nearest True one; more than ``reach**2`` if farther.

    Beyond the array nothing is True.
    """
    height, width = inside.shape
    cap = reach + 1
    out = upright(inside, True, cap, cap)
    squares = np.full(width + 2 * reach, FAR)
    middle = squares[reach : reach + width]
    for row in range(height):
        line, own = out[row], inside[row]
        nearest = np.int32(cap)
        for k in range(width):
            nearest = min(nearest, line[k])
        for k in range(width):
            line[k] = line[k] * line[k]
            middle[k] = line[k]
        if nearest == cap:
            continue
        first = 0
        while first < width and not own[first]:
            first += 1
        last = width - 1
        while last > first and not own[last]:
            last -= 1
        gap = first == width
        for k in range(first, last + 1):
            gap |= not own[k]
        if gap:
            sideways(line, squares, reach)
        else:
            # Between the ends of a single run nothing is left to lower.
            sideways(line[:first], squares[: first + 2 * reach], reach)
            sideways(line[last + 1 :], squares[last + 1 :], reach)
    return out


@kernel
def sideways(line, squares, reach):
    """Lower squared distances to those by way of the squares beside, up to `reach` columns off."""
    for shift in range(1, reach + 1):
        square = np.int32(shift * shift)
        left, right = squares[reach - shift :], squares[reach + shift :]
        for column in range(line.size):
            both = np.int32(min(left[column], right[column]) + square)
            line[column] = min(line[column], both)
