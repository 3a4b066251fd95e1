"""Perimeter, topology and boundary of a region, from its runs.

``runs, rows`` are those of ``runs.local_runs``. Time grows with the number of runs and of boundary
pixels, not with the area.
"""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel
from hemafeat.extract._kernels.region.runs import join, part_areas

N_SECTORS = 72
"""Sectors that directions are sorted into."""


@kernel
def perimeter_crofton(runs, rows):
    """Return the Crofton perimeter with four directions, in pixels.

    It is ``pi / 8 (rows + columns + diagonals / sqrt(2))``, where each term is the number of times
    the mask begins or ends along these lines. Pixels outside the box are background.
    """
    height = rows.size - 1
    straight = 2 * runs.shape[0]
    diagonal = 0
    count_above = 0
    for row in range(height + 1):
        count = 0
        if row < height:
            for run in range(rows[row], rows[row + 1]):
                count += runs[run, 2] - runs[run, 1]
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
        straight += count_above + count - 2 * same
        diagonal += 2 * (count_above + count) - 2 * slanted
        count_above = count
    return math.pi / 8.0 * (straight + diagonal / math.sqrt(2.0))


@kernel
def topology(runs, rows, area):
    """Count parts above 5 % of the area, parts minus holes (Euler number), and holes.

    The mask is 8-connected. Runs and the pairs that touch form a graph with the topology of the
    mask, so its Euler number is the number of runs minus that of pairs.
    """
    parent, n_pairs = join(runs, rows, 1)
    areas = part_areas(runs, parent)
    n_parts = n_large = 0
    for run in range(runs.shape[0]):
        n_parts += areas[run] > 0
        n_large += 20 * areas[run] > area
    euler_number = runs.shape[0] - n_pairs
    return n_large, euler_number, n_parts - euler_number


@kernel
def boundary_points(runs, rows):
    """Return the midpoints of all pixel edges between mask and background, holes included.

    Returns
    -------
    (K, 2) int64 array
        Twice the (row, column) of each midpoint, where pixel centres have whole coordinates. The
        midpoints are the vertices of the marching-squares contour at 0.5.
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
            n = add_exposed_edges(runs, rows[0], rows[1], 0, 0, -1, points, n)
        else:
            n = add_exposed_edges(
                runs, rows[row], rows[row + 1], rows[row - 1], rows[row], -1, points, n
            )
        if row == height - 1:
            n = add_exposed_edges(runs, rows[row], rows[row + 1], 0, 0, 1, points, n)
        else:
            n = add_exposed_edges(
                runs, rows[row], rows[row + 1], rows[row + 1], rows[row + 2], 1, points, n
            )
    return points[:n]


@kernel
def add_exposed_edges(runs, first, stop, other_first, other_stop, side, points, n):
    """Append the edges of one row of pixels that no pixel of the row at `side` (-1, +1) covers.

    The rows are ``runs[first:stop]`` and ``runs[other_first:other_stop]``. `points` holds `n`
    points; returns the new number.
    """
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


@kernel
def widest_gap(points, y, x):
    """Return the largest angle, seen from (y, x), that contains no boundary point, in radians.

    `points` are those of `boundary_points`. Angles are sorted into sectors of 5 degrees, of which
    only the smallest and the largest angle can border a gap that is wider than a sector. Where
    there is none, all angles are sorted.
    """
    low = np.full(N_SECTORS, np.inf)
    high = np.full(N_SECTORS, -np.inf)
    n_points = points.shape[0]
    angles = np.empty(n_points)
    for k in range(n_points):
        angle = math.atan2(points[k, 0] / 2.0 - y, points[k, 1] / 2.0 - x)
        angles[k] = angle
        sector = min(int((angle + math.pi) * (N_SECTORS / (2.0 * math.pi))), N_SECTORS - 1)
        low[sector] = min(low[sector], angle)
        high[sector] = max(high[sector], angle)
    first = last = np.nan
    widest = 0.0
    for sector in range(N_SECTORS):
        if low[sector] == np.inf:
            continue
        if math.isnan(first):
            first = low[sector]
        else:
            widest = max(widest, low[sector] - last)
        last = high[sector]
    widest = max(widest, first + 2.0 * math.pi - last)
    if widest < 2.0 * math.pi / N_SECTORS:
        angles.sort()
        for k in range(1, n_points):
            widest = max(widest, angles[k] - angles[k - 1])
    return widest
