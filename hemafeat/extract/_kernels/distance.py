"""How deep each pixel lies within its mask: exact squared Euclidean distances."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel

FAR = np.int32(1 << 30)
"""More than any squared distance, and small enough to add to without overflow."""


@kernel
def columns_down(inside, reach):
    """Distance of each True pixel to the nearest False one above or below, at most `reach`.

    Beyond the array is False; a row at a time, so that both passes vectorise.
    """
    height, width = inside.shape
    away = np.empty((height, width), np.int32)
    most = np.int32(reach)
    above = np.zeros(width, np.int32)
    for row in range(height):
        line, here = away[row], inside[row]
        for column in range(width):
            step = min(np.int32(above[column] + 1), most)
            above[column] = step if here[column] else np.int32(0)
            line[column] = above[column]
    below = np.zeros(width, np.int32)
    for row in range(height - 1, -1, -1):
        line = away[row]
        for column in range(width):
            below[column] = min(np.int32(below[column] + 1), line[column])
            line[column] = below[column]
    return away


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
        inside = np.zeros((boxes[cell, 1] - top, boxes[cell, 3] - left), np.bool_)
        for run in range(run_starts[cell], run_starts[cell + 1]):
            inside[runs[run, 0] - top, runs[run, 1] - left : runs[run, 2] - left] = True
        away = columns_down(inside, reach)
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
    out = np.empty((height, width), np.int32)
    cap = np.int32(reach + 1)
    above = np.full(width, cap)
    for row in range(height):
        line, here = out[row], inside[row]
        for column in range(width):
            step = min(np.int32(above[column] + 1), cap)
            above[column] = np.int32(0) if here[column] else step
            line[column] = above[column]
    below = np.full(width, cap)
    squares = np.full(width + 2 * reach, FAR)
    middle = squares[reach : reach + width]
    for row in range(height - 1, -1, -1):
        line = out[row]
        nearest = cap
        for column in range(width):
            below[column] = min(np.int32(below[column] + 1), line[column])
            middle[column] = below[column] * below[column]
            line[column] = middle[column]
            nearest = min(nearest, below[column])
        if nearest == cap:
            continue
        for shift in range(1, reach + 1):
            square = np.int32(shift * shift)
            left, right = squares[reach - shift :], squares[reach + shift :]
            for column in range(width):
                both = np.int32(min(left[column], right[column]) + square)
                line[column] = min(line[column], both)
    return out
