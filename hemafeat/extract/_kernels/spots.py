"""Spots that stand out from what surrounds them: top-hats, and the connected parts of a mask."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel
from hemafeat.extract._kernels.granulometry import fill, open_by, widen


@kernel
def level_counts(plane, runs):
    """(256,) int64 histogram of the levels of one cell."""
    # Four histograms in turns: a run of equal pixels then waits on four chains, not on one.
    counts = np.zeros((4, 256), np.int64)
    for run in range(runs.shape[0]):
        line = plane[runs[run, 0], runs[run, 1] : runs[run, 2]]
        for k in range(line.size):
            counts[k & 3, line[k]] += 1
    return counts[0] + counts[1] + counts[2] + counts[3]


@kernel
def stride_and_size(box, margin):
    """Length of a row of a flat plane with margins, and of the plane: a multiple of 8."""
    # One margin between rows serves the right end of a row and the left end of the next.
    stride = box[3] - box[2] + margin
    return stride, ((box[1] - box[0] + 2 * margin + 1) * stride + 7) // 8 * 8


@kernel
def top_hat(plane, runs, box, margin, radius, flip):
    """How far the levels of one cell rise above their opening by a square.

    Parameters
    ----------
    plane, runs, box
        As for ``granulometry.volumes``, of one cell.
    margin : int
        Of the flat planes returned; at least `radius`.
    radius : int
        Of the square of side 2 radius + 1.
    flip : uint8
        255 to take the complement of the levels, 0 not to.

    Returns
    -------
    hat, level, inside : (N,) uint8 array
        Flat planes: how far, the levels (or their complement), and 255 in the cell. 0 outside it.
    """
    stride, size = stride_and_size(box, margin)
    level, inside = np.empty(size, np.uint8), np.empty(size, np.uint8)
    eroded, opened, spare = (
        np.empty(size, np.uint8),
        np.empty(size, np.uint8),
        np.zeros(size, np.uint8),
    )
    fill(plane, runs, box, stride, margin, flip, level, inside)
    hat = level.copy()
    for k in range(size):
        eroded[k] = inside[k] & ~level[k]
    widen(eroded, spare, np.int64(1), 2 * radius + 1, stride)
    open_by(radius, eroded, opened, spare, hat, inside, stride)
    for k in range(size):
        hat[k] = level[k] - hat[k]
    return hat, level, inside


@kernel
def parts(spot, stride):
    """4-connected parts of a flat plane.

    Parameters
    ----------
    spot : (N,) uint8 array
        Not 0 where a part is; N a multiple of 8, the last of every row 0.
    stride : int
        Length of a row.

    Returns
    -------
    found : (P, 5) int64 array
        Area, first row, row after the last, first column and column after the last of each part,
        in raster order of their first pixels.
    runs : (M, 3) int64 array
        First pixel, pixel after the last one, part.
    """
    size = spot.size
    n_runs = 0
    for k in range(1, size):
        n_runs += (spot[k] != 0) & (spot[k - 1] == 0)
    runs = np.empty((n_runs + 1, 3), np.int64)
    words = spot.view(np.uint64)
    place = 0
    k = 0
    while k < size:
        if k % 8 == 0 and words[k // 8] == 0:
            k += 8
        elif spot[k] == 0:
            k += 1
        else:
            runs[place, 0] = k
            while spot[k] != 0:
                k += 1
            runs[place, 1] = k
            runs[place, 2] = place
            place += 1
    runs = runs[:place]
    # Every run points at an earlier one of its part, in the end at the first.
    above = 0
    for run in range(place):
        first, stop = runs[run, 0] - stride, runs[run, 1] - stride
        while above < run and runs[above, 1] <= first:
            above += 1
        other = above
        while other < run and runs[other, 0] < stop:
            one, two = run, other
            while runs[one, 2] != one:
                one = runs[one, 2]
            while runs[two, 2] != two:
                two = runs[two, 2]
            runs[max(one, two), 2] = min(one, two)
            other += 1
    n_parts = 0
    for run in range(place):
        if runs[run, 2] == run:
            runs[run, 2] = n_parts
            n_parts += 1
        else:
            runs[run, 2] = runs[runs[run, 2], 2]
    found = np.zeros((n_parts, 5), np.int64)
    row = 0
    for run in range(place):
        part = found[runs[run, 2]]
        while runs[run, 0] >= (row + 1) * stride:
            row += 1
        first, stop = runs[run, 0] - row * stride, runs[run, 1] - row * stride
        if part[0] == 0:
            part[1], part[3] = row, first
        part[0] += stop - first
        part[2] = row + 1
        part[3] = min(part[3], first)
        part[4] = max(part[4], stop)
    return found, runs


@kernel
def round_and_within(found, runs, inside, stride, smallest):
    """Which parts are large enough, roundish, and nowhere next to the outside.

    Parameters
    ----------
    found, runs
        As `parts` gives them.
    inside : (N,) uint8 array
        0 outside.
    stride : int
        Length of a row.
    smallest : int
        Least area.

    Returns
    -------
    (P,) bool array
        At least `smallest` pixels, half of their box or more, the box at most twice as long as
        wide, and all 8 neighbours of every pixel inside.
    """
    n_parts = found.shape[0]
    good = np.empty(n_parts, np.bool_)
    for part in range(n_parts):
        area = found[part, 0]
        height, width = found[part, 2] - found[part, 1], found[part, 4] - found[part, 3]
        good[part] = (
            area >= smallest
            and 2 * area >= height * width
            and max(height, width) <= 2 * min(height, width)
        )
    for run in range(runs.shape[0]):
        if not good[runs[run, 2]]:
            continue
        for row in range(-1, 2):
            first = runs[run, 0] - 1 + row * stride
            around = inside[first : first + runs[run, 1] - runs[run, 0] + 2]
            if around.min() == 0:
                good[runs[run, 2]] = False
    return good
