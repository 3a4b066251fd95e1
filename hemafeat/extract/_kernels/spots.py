"""Spots that stand out from their surroundings: top-hats, and connected parts of a mask."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import find_root, kernel
from hemafeat.extract._kernels.arrays import separate
from hemafeat.extract._kernels.granulometry import fill, open_by, widen


@kernel
def level_counts(plane, runs):
    """Count the levels of one cell, (256,) int64."""
    # Four histograms in turn: a run of equal pixels then waits on four chains instead of one.
    counts = np.zeros((4, 256), np.int64)
    for run in range(runs.shape[0]):
        line = plane[runs[run, 0], runs[run, 1] : runs[run, 2]]
        for k in range(line.size):
            counts[k & 3, line[k]] += 1
    first = counts[0]
    for level in range(256):
        first[level] += counts[1, level] + counts[2, level] + counts[3, level]
    return first


@kernel
def stride_and_size(box, margin):
    """Return the length of a row of a flat plane, and of the plane, which is a multiple of 8."""
    # One margin between rows serves the right end of a row and the left end of the next.
    stride = box[3] - box[2] + margin
    return stride, ((box[1] - box[0] + 2 * margin + 1) * stride + 7) // 8 * 8


@kernel
def top_hat(plane, runs, box, margin, radius, flip):
    """Compute the top-hat of one cell: its levels minus their opening by a square.

    Parameters
    ----------
    plane : (H, W) uint8 array
        Levels.
    runs, box
        Runs and box of the cell, see ``runs.find_runs`` and ``runs.pixels``.
    margin : int
        Margin of the flat planes returned; at least `radius`.
    radius : int
        Radius of the square, whose side is 2 radius + 1.
    flip : uint8
        255 to use the complement of the levels, else 0.

    Returns
    -------
    hat, level, inside : (N,) uint8 array
        Flat planes of the top-hat, of the levels (or their complement), and of 255 in the cell;
        0 outside the cell.
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
    """Find the 4-connected parts of a flat plane.

    Parameters
    ----------
    spot : (N,) uint8 array
        Not 0 in the parts; N is a multiple of 8, and the last pixel of every row is 0.
    stride : int
        Length of a row.

    Returns
    -------
    table : (P, 5) int64 array
        Area, first row, row after the last, first column and column after the last of each part,
        in raster order of their first pixels.
    runs : (M, 3) int64 array
        First pixel, pixel after the last one and part of each run.
    """
    size = spot.size
    n_starts = 0
    for k in range(1, size):
        n_starts += (spot[k] != 0) & (spot[k - 1] == 0)
    runs = np.empty((n_starts + 1, 3), np.int64)
    words = spot.view(np.uint64)
    n_runs = np.int64(0)
    k = 0
    while k < size:
        if k % 8 == 0 and words[k // 8] == 0:
            k += 8
        elif spot[k] == 0:
            k += 1
        else:
            runs[n_runs, 0] = k
            while spot[k] != 0:
                k += 1
            runs[n_runs, 1] = k
            n_runs += 1
    runs = runs[:n_runs]
    # The root of a part is its first run.
    parent = separate(n_runs)
    above = 0
    for run in range(n_runs):
        first, stop = runs[run, 0] - stride, runs[run, 1] - stride
        while above < run and runs[above, 1] <= first:
            above += 1
        other = above
        while other < run and runs[other, 0] < stop:
            a, b = find_root(parent, run), find_root(parent, other)
            parent[max(a, b)] = min(a, b)
            other += 1
    n_parts = 0
    for run in range(n_runs):
        if parent[run] == run:
            runs[run, 2] = n_parts
            n_parts += 1
        else:
            runs[run, 2] = runs[parent[run], 2]
    table = np.zeros((n_parts, 5), np.int64)
    row = 0
    for run in range(n_runs):
        part = table[runs[run, 2]]
        while runs[run, 0] >= (row + 1) * stride:
            row += 1
        first, stop = runs[run, 0] - row * stride, runs[run, 1] - row * stride
        if part[0] == 0:
            part[1], part[3] = row, first
        part[0] += stop - first
        part[2] = row + 1
        part[3] = min(part[3], first)
        part[4] = max(part[4], stop)
    return table, runs


@kernel
def round_and_within(table, runs, inside, stride, smallest):
    """Mark the parts that are large enough, roundish, and nowhere next to the outside.

    Parameters
    ----------
    table, runs
        Parts of a flat plane, see `parts`.
    inside : (N,) uint8 array
        Flat plane that is 0 outside the cell.
    stride : int
        Length of a row.
    smallest : int
        Least area.

    Returns
    -------
    (P,) bool array
        True for parts of at least `smallest` pixels that fill at least half of their box, whose box
        is at most twice as long as wide, and whose pixels have all 8 neighbours inside.
    """
    n_parts = table.shape[0]
    good = np.empty(n_parts, np.bool_)
    for part in range(n_parts):
        area = table[part, 0]
        height, width = table[part, 2] - table[part, 1], table[part, 4] - table[part, 3]
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
            neighbours = inside[first : first + runs[run, 1] - runs[run, 0] + 2]
            lowest = neighbours[0]
            for k in range(neighbours.size):
                lowest = min(lowest, neighbours[k])
            if lowest == 0:
                good[runs[run, 2]] = False
    return good
