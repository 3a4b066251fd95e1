"""Convex hull of a region and its calipers, in whole numbers.

Coordinates are doubled: pixel centres are even, and midpoints of pixel edges odd in one coordinate.
"""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel


@kernel
def row_extents(runs, rows):
    """Return the first column of each row and the one after the last; (0, 0) for an empty row."""
    height = rows.size - 1
    spans = np.zeros((height, 2), np.int64)
    for row in range(height):
        if rows[row + 1] > rows[row]:
            spans[row, 0] = runs[rows[row], 1]
            spans[row, 1] = runs[rows[row + 1] - 1, 2]
    return spans


@kernel
def hull_chains(spans):
    """Return the left and right side of the convex hull of the midpoints of all pixel edges.

    Parameters
    ----------
    spans : (height, 2) int64 array
        First column of each row and the one after the last; (0, 0) for an empty row.

    Returns
    -------
    left, right : (M, 2) int64 arrays
        Doubled (row, column) of the vertices from top to bottom, no three of them on a line.
    """
    height = spans.shape[0]
    far = np.int64(0)
    for row in range(height):
        far = max(far, spans[row, 0], spans[row, 1])
    far = 4 * (far + 2)
    sides = np.empty((2 * height + 1, 2), np.int64)
    sides[:, 0] = far
    sides[:, 1] = -far
    for row in range(height):
        a, b = 2 * spans[row, 0], 2 * spans[row, 1] - 2
        if b < a:
            continue
        middle = 2 * row + 1
        for line in range(middle - 1, middle + 2):
            reach = 1 if line == middle else 0
            sides[line, 0] = min(sides[line, 0], a - reach)
            sides[line, 1] = max(sides[line, 1], b + reach)
    left = np.empty((2 * height + 1, 2), np.int64)
    right = np.empty((2 * height + 1, 2), np.int64)
    n_left = n_right = np.int64(0)
    for line in range(2 * height + 1):
        if sides[line, 1] < sides[line, 0]:
            continue
        n_left = push_vertex(left, n_left, line - 1, sides[line, 0], np.int64(1))
        n_right = push_vertex(right, n_right, line - 1, sides[line, 1], np.int64(-1))
    return left[:n_left], right[:n_right]


@kernel
def push_vertex(chain, n, y, x, side):
    """Append a point to a convex chain of n vertices, remove those inside, and return the number.

    `side` is 1 for the left chain and -1 for the right one.
    """
    while n >= 2:
        bend = (chain[n - 1, 1] - chain[n - 2, 1]) * (y - chain[n - 2, 0]) - (
            x - chain[n - 2, 1]
        ) * (chain[n - 1, 0] - chain[n - 2, 0])
        if bend * side < 0:
            break
        n -= 1
    chain[n, 0] = y
    chain[n, 1] = x
    return n + 1


@kernel
def hull_polygon(left, right):
    """Return the vertices of the hull as one closed polygon: down its left side, up its right."""
    points = np.empty((left.shape[0] + right.shape[0], 2), np.int64)
    for k in range(left.shape[0]):
        points[k, 0], points[k, 1] = left[k, 0], left[k, 1]
    n = left.shape[0]
    for k in range(right.shape[0] - 1, -1, -1):
        # Both chains share the top or bottom point if a single pixel lies there.
        if right[k, 1] == points[n - 1, 1] and right[k, 0] == points[n - 1, 0]:
            continue
        if k == 0 and right[k, 1] == points[0, 1] and right[k, 0] == points[0, 0]:
            continue
        points[n, 0], points[n, 1] = right[k, 0], right[k, 1]
        n += 1
    return points[:n]


@kernel
def hull_runs(left, right, height):
    """Return the runs of the pixels whose centres lie in the closed hull, one per row."""
    runs = np.empty((height, 3), np.int64)
    a = b = 0
    for row in range(height):
        y = 2 * row
        while left[a + 1, 0] < y:
            a += 1
        while right[b + 1, 0] < y:
            b += 1
        runs[row, 0] = row
        step = left[a + 1, 0] - left[a, 0]
        at = left[a, 1] * step + (left[a + 1, 1] - left[a, 1]) * (y - left[a, 0])
        runs[row, 1] = -(-at // (2 * step))
        step = right[b + 1, 0] - right[b, 0]
        at = right[b, 1] * step + (right[b + 1, 1] - right[b, 1]) * (y - right[b, 0])
        runs[row, 2] = at // (2 * step) + 1
    return runs


@kernel
def calipers(points):
    """Return the largest and smallest Feret diameter and the area of the smallest rectangle.

    Every pair of an edge and a vertex of the convex polygon is tried: hulls of cells have some tens
    of vertices.
    """
    n = points.shape[0]
    longest = 0
    for a in range(n):
        for b in range(a):
            dy, dx = points[a, 0] - points[b, 0], points[a, 1] - points[b, 1]
            longest = max(longest, dy * dy + dx * dx)
    narrowest = rectangle = np.inf
    for a in range(n):
        y, x = points[a, 0], points[a, 1]
        dy, dx = points[(a + 1) % n, 0] - y, points[(a + 1) % n, 1] - x
        deep = low = high = 0
        for b in range(n):
            v, u = points[b, 0] - y, points[b, 1] - x
            deep = max(deep, abs(dy * u - dx * v))
            along = dy * v + dx * u
            low = min(low, along)
            high = max(high, along)
        length = dy * dy + dx * dx
        narrowest = min(narrowest, deep / math.sqrt(length))
        rectangle = min(rectangle, deep / length * (high - low))
    return math.sqrt(longest) / 2.0, narrowest / 2.0, rectangle / 4.0
