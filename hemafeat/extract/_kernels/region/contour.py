"""Perimeter, topology and boundary of a region, from its runs.

``runs, rows`` are those of ``runs.local_runs``. Time grows with the number of runs and of boundary
pixels, not with the area.
"""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel
from hemafeat.extract._kernels.region.runs import join, part_areas

CORNERS = np.int64(1)
"""Reach of ``runs.join`` for 8-connectivity; a literal would be compiled separately."""


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
    parent, n_pairs = join(runs, rows, CORNERS)
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
        for side in range(-1, 2, 2):
            # The edges that no pixel of the row above, or below, covers.
            other = row + side
            first = stop = 0
            if 0 <= other < height:
                first, stop = rows[other], rows[other + 1]
            for a in range(rows[row], rows[row + 1]):
                column = runs[a, 1]
                for b in range(first, stop + 1):
                    end = runs[a, 2]
                    if b < stop:
                        if runs[b, 2] <= column:
                            continue
                        end = min(runs[b, 1], end)
                    for c in range(column, end):
                        points[n, 0] = 2 * row + side
                        points[n, 1] = 2 * c
                        n += 1
                    if b == stop or runs[b, 1] >= runs[a, 2]:
                        break
                    column = runs[b, 2]
    return points[:n]


@kernel
def widest_gap(points, y, x):
    """Return the largest angle, seen from (y, x), that contains no boundary point, in radians.

    `points` are those of `boundary_points`. Angles are sorted into twice as many sectors as there
    are points. The widest gap is wider than a sector, so that only the smallest and the largest
    angle of a sector can border it.
    """
    n_points = points.shape[0]
    n_sectors = 2 * n_points
    low, high = np.empty(n_sectors, np.float64), np.empty(n_sectors, np.float64)
    low[:] = np.inf
    high[:] = -np.inf
    for k in range(n_points):
        angle = math.atan2(points[k, 0] / 2.0 - y, points[k, 1] / 2.0 - x)
        sector = min(int((angle + math.pi) * (n_sectors / (2.0 * math.pi))), n_sectors - 1)
        low[sector] = min(low[sector], angle)
        high[sector] = max(high[sector], angle)
    first = last = np.nan
    widest = 0.0
    for sector in range(n_sectors):
        if low[sector] == np.inf:
            continue
        if math.isnan(first):
            first = low[sector]
        else:
            widest = max(widest, low[sector] - last)
        last = high[sector]
    return max(widest, first + 2.0 * math.pi - last)
