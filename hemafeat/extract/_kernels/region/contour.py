"""Perimeter, topology and boundary of a region, from its runs.

Runs are those of ``regions.find_runs``, moved so that the bounding box starts at (0, 0);
``rows[r]:rows[r + 1]`` are the runs of row r. Everything here takes time in the number of runs and
of boundary pixels, not in the area.
"""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel


@kernel
def local_runs(runs, top, left, height):
    """Runs as (row, first, stop) from the corner of the box, and where each row's runs are."""
    moved = np.empty_like(runs)
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
def perimeter_crofton(runs, rows):
    """Perimeter after Crofton with four directions, in pixels.

    Along rows, columns and both diagonals it counts how often the mask begins or ends;
    ``pi / 8 (rows + columns + diagonals / sqrt(2))``. Outside the box is background.
    """
    height = rows.size - 1
    straight = 2 * runs.shape[0]
    diagonal = 0
    above = 0
    for row in range(height + 1):
        here = 0
        if row < height:
            for run in range(rows[row], rows[row + 1]):
                here += runs[run, 2] - runs[run, 1]
        same = slanted = 0
        if 0 < row < height:
            for a in range(rows[row - 1], rows[row]):
                for b in range(rows[row], rows[row + 1]):
                    if runs[b, 1] > runs[a, 2]:
                        break
                    for shift in range(-1, 2):
                        overlap = min(runs[a, 2], runs[b, 2] + shift) - max(
                            runs[a, 1], runs[b, 1] + shift
                        )
                        if overlap > 0:
                            if shift == 0:
                                same += overlap
                            else:
                                slanted += overlap
        straight += above + here - 2 * same
        diagonal += 2 * (above + here) - 2 * slanted
        above = here
    return math.pi / 8.0 * (straight + diagonal / math.sqrt(2.0))


@kernel
def root(parent, k):
    """Representative of k in a forest of sets."""
    while parent[k] != k:
        parent[k] = parent[parent[k]]
        k = parent[k]
    return k


@kernel
def join(runs, rows, reach):
    """Sets of touching runs, as a forest, and the number of touching pairs.

    `reach` 1 lets runs of neighbouring rows touch at a corner (8-connectivity), 0 only along an
    edge (4-connectivity).
    """
    parent = np.arange(runs.shape[0])
    n_pairs = 0
    for row in range(1, rows.size - 1):
        for a in range(rows[row - 1], rows[row]):
            for b in range(rows[row], rows[row + 1]):
                if runs[b, 1] >= runs[a, 2] + reach:
                    break
                if runs[b, 2] + reach > runs[a, 1]:
                    n_pairs += 1
                    parent[root(parent, a)] = root(parent, b)
    return parent, n_pairs


@kernel
def topology(runs, rows, area):
    """Components above 5 % of the area, Euler number, holes; all 8-connected.

    Runs and the points where they touch form a graph with the topology of the mask, so its Euler
    number is runs minus touching pairs.
    """
    parent, n_pairs = join(runs, rows, 1)
    size = np.zeros(runs.shape[0], np.int64)
    for run in range(runs.shape[0]):
        size[root(parent, run)] += runs[run, 2] - runs[run, 1]
    n_all = n_large = 0
    for run in range(runs.shape[0]):
        n_all += size[run] > 0
        n_large += 20 * size[run] > area
    euler = runs.shape[0] - n_pairs
    return n_large, euler, n_all - euler


@kernel
def boundary(runs, rows):
    """Middles of all pixel edges between mask and background.

    Returns
    -------
    (K, 2) int64 array
        Twice the (row, column) of each, pixel centres being whole numbers. They are the vertices
        of the contour at 0.5 by marching squares, around holes too.
    """
    height = rows.size - 1
    total = 2 * runs.shape[0]
    for run in range(runs.shape[0]):
        total += 2 * (runs[run, 2] - runs[run, 1])
    points = np.empty((total, 2), np.int64)
    n = 0
    for run in range(runs.shape[0]):
        points[n, 0] = points[n + 1, 0] = 2 * runs[run, 0]
        points[n, 1] = 2 * runs[run, 1] - 1
        points[n + 1, 1] = 2 * runs[run, 2] - 1
        n += 2
    for row in range(height):
        if row == 0:
            n = uncovered(runs, rows[0], rows[1], 0, 0, -1, points, n)
        else:
            n = uncovered(runs, rows[row], rows[row + 1], rows[row - 1], rows[row], -1, points, n)
        if row == height - 1:
            n = uncovered(runs, rows[row], rows[row + 1], 0, 0, 1, points, n)
        else:
            n = uncovered(
                runs, rows[row], rows[row + 1], rows[row + 1], rows[row + 2], 1, points, n
            )
    return points[:n]


@kernel
def uncovered(runs, first, stop, other_first, other_stop, side, points, n):
    """Add the edges of one row's pixels that the row at `side` (-1, +1) leaves bare."""
    for a in range(first, stop):
        column = runs[a, 1]
        for b in range(other_first, other_stop):
            if runs[b, 2] <= column:
                continue
            if runs[b, 1] >= runs[a, 2]:
                break
            for c in range(column, runs[b, 1]):
                points[n, 0] = 2 * runs[a, 0] + side
                points[n, 1] = 2 * c
                n += 1
            column = runs[b, 2]
        for c in range(column, runs[a, 2]):
            points[n, 0] = 2 * runs[a, 0] + side
            points[n, 1] = 2 * c
            n += 1
    return n
