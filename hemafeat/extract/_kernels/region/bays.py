"""Indentations: how deep the outline of a region falls back behind its convex hull."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel
from hemafeat.extract._kernels.region.contour import join, root


@kernel
def gaps(runs, rows, hull):
    """Runs of the pixels in the hull but not in the mask, and where each row's are."""
    height = rows.size - 1
    found = np.empty((runs.shape[0] + height, 3), np.int64)
    starts = np.zeros(height + 1, np.int64)
    n = 0
    for row in range(height):
        column = hull[row, 1]
        for run in range(rows[row], rows[row + 1]):
            if runs[run, 1] > column:
                found[n, 0], found[n, 1], found[n, 2] = row, column, runs[run, 1]
                n += 1
            column = runs[run, 2]
        if column < hull[row, 2]:
            found[n, 0], found[n, 1], found[n, 2] = row, column, hull[row, 2]
            n += 1
        starts[row + 1] = n
    return found[:n], starts


@kernel
def near(points, edge, y, x):
    """Squared distance of (y, x) to an edge of the polygon; coordinates are doubled."""
    following = edge + 1 if edge + 1 < points.shape[0] else 0
    v, u = y - points[edge, 0], x - points[edge, 1]
    dy, dx = points[following, 0] - points[edge, 0], points[following, 1] - points[edge, 1]
    along = v * dy + u * dx
    length = dy * dy + dx * dx
    if along <= 0:
        return float(v * v + u * u)
    if along >= length:
        v -= dy
        u -= dx
        return float(v * v + u * u)
    across = v * dx - u * dy
    return across * across / length


@kernel
def indentations(runs, rows, hull, points, deep):
    """Depth of the deepest bay, and how many bays are deeper than `deep`.

    A bay is a 4-connected part of the hull outside the mask; its lids are the edges of the hull
    polygon within one pixel of one of its pixels. Its depth is the largest distance of a pixel to
    the nearest of its lids, plus the half pixel from that pixel's centre to its edge. A gap right
    through (between two lobes) is as deep as its middle; a hole has no lid and is no bay.

    Parameters
    ----------
    runs, rows
        The region.
    hull : (height, 3) int64 array
        Runs of the hull, one per row.
    points : (V, 2) int64 array
        Its polygon, doubled coordinates.
    deep : float
        In pixels.
    """
    bays, starts = gaps(runs, rows, hull)
    n, n_edges = bays.shape[0], points.shape[0]
    if n == 0:
        return 0.0, 0
    parent, _ = join(bays, starts, 0)
    lids = np.empty((n, n_edges), np.int32)
    n_lids = np.zeros(n, np.int64)
    height = rows.size - 1
    for edge in range(n_edges):
        following = edge + 1 if edge + 1 < n_edges else 0
        top = max(min(points[edge, 0], points[following, 0]) // 2 - 1, 0)
        bottom = min(max(points[edge, 0], points[following, 0]) // 2 + 2, height)
        left = min(points[edge, 1], points[following, 1]) // 2 - 1
        right = max(points[edge, 1], points[following, 1]) // 2 + 2
        for run in range(starts[top], starts[bottom]):
            bay = root(parent, run)
            if n_lids[bay] > 0 and lids[bay, n_lids[bay] - 1] == edge:
                continue
            for column in range(max(bays[run, 1], left), min(bays[run, 2], right + 1)):
                if near(points, edge, 2 * bays[run, 0], 2 * column) <= 4.0:
                    lids[bay, n_lids[bay]] = edge
                    n_lids[bay] += 1
                    break
    depths = np.full(n, -1.0)
    for run in range(n):
        bay = root(parent, run)
        if n_lids[bay] == 0:
            continue
        for column in range(bays[run, 1], bays[run, 2]):
            nearest = np.inf
            for lid in range(n_lids[bay]):
                nearest = min(nearest, near(points, lids[bay, lid], 2 * bays[run, 0], 2 * column))
            depths[bay] = max(depths[bay], nearest)
    deepest = 0.0
    n_deep = 0
    for bay in range(n):
        if depths[bay] >= 0.0:
            depth = math.sqrt(depths[bay]) / 2.0 + 0.5
            deepest = max(deepest, depth)
            n_deep += depth > deep
    return deepest, n_deep
