"""Hull, size and colour of the pieces of nuclei on the reduced image."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel
from hemafeat.segment._kernels.fill import fill_polygon, mean_density

HAEMOGLOBIN = 0.5
"""Density in blue over that in green: 0.1 to 0.4 in nuclei, 0.55 to 0.8 in red cells."""


@kernel
def convex_hull(points):
    """Compute the convex hull of points on a grid.

    Parameters
    ----------
    points : (n, 2) ndarray of int32
        (x, y), in any order.

    Returns
    -------
    (m, 2) ndarray of int32
        Corners, (x, y).
    """
    n = points.shape[0]
    top, bottom = points[0, 1], points[0, 1]
    for i in range(n):
        top, bottom = min(top, points[i, 1]), max(bottom, points[i, 1])
    rows = bottom - top + 1
    ends = np.empty((2, rows), np.int32)
    for y in range(rows):
        ends[0, y], ends[1, y] = 1 << 30, -(1 << 30)
    for i in range(n):
        y = points[i, 1] - top
        ends[0, y] = min(ends[0, y], points[i, 0])
        ends[1, y] = max(ends[1, y], points[i, 0])
    # Down along the left ends of the rows, and up along the right ones.
    hull = np.empty((2 * rows + 2, 2), np.int32)
    size = 0
    for side in range(2):
        # If the lowest row is one pixel, the way up begins with the end of the way down.
        least = size if side > 0 and ends[0, rows - 1] == ends[1, rows - 1] else size + 1
        for step in range(rows):
            y = step if side == 0 else rows - 1 - step
            x = ends[side, y]
            if ends[0, y] > ends[1, y] or (
                size > 0 and hull[size - 1, 0] == x and hull[size - 1, 1] == y + top
            ):
                continue
            while size > least:
                ax, ay = hull[size - 2, 0], hull[size - 2, 1]
                bx, by = hull[size - 1, 0], hull[size - 1, 1]
                if (bx - ax) * (y + top - ay) < (by - ay) * (x - ax):
                    break
                size -= 1
            hull[size, 0], hull[size, 1] = x, y + top
            size += 1
    if size > 1 and hull[size - 1, 0] == hull[0, 0] and hull[size - 1, 1] == hull[0, 1]:
        size -= 1
    return hull[:size]


@kernel
def polygon_sums(points):
    """Compute twice the signed area of a polygon, and the sums that give its centroid."""
    n = points.shape[0]
    twice, x, y = 0.0, 0.0, 0.0
    for i in range(n):
        j = i + 1 if i + 1 < n else 0
        x0, y0 = float(points[i, 0]), float(points[i, 1])
        x1, y1 = float(points[j, 0]), float(points[j, 1])
        cross = x0 * y1 - x1 * y0
        twice += cross
        x += (x0 + x1) * cross
        y += (y0 + y1) * cross
    return twice, x, y


@kernel
def describe_hull(points):
    """Compute the convex hull of border pixels, its centroid and its area.

    Parameters
    ----------
    points : (n, 2) ndarray of int32
        Border pixels, (x, y), of one piece or of several.

    Returns
    -------
    hull : (m, 2) ndarray of int32
        Corners, (x, y).
    x, y : float
        Centroid of the hull.
    area : float
        Area of the polygon through the centres of its pixels.
    """
    hull = convex_hull(points)
    twice, x, y = polygon_sums(hull)
    if twice != 0.0:
        return hull, x / (3.0 * twice), y / (3.0 * twice), 0.5 * abs(twice)
    x, y = 0.0, 0.0
    for i in range(hull.shape[0]):
        x += hull[i, 0] / hull.shape[0]
        y += hull[i, 1] / hull.shape[0]
    return hull, x, y, 0.5 * abs(twice)


@kernel
def describe_piece(points, rgb, table):
    """Compute the area of a piece of a nucleus and whether it has the colour of red cells.

    Parameters
    ----------
    points : (n, 2) ndarray of int32
        Border pixels, (x, y), in order.
    rgb : (h, w, 3) ndarray of uint8
        Image.
    table : (3, 256) ndarray of uint8
        Density of each level.

    Returns
    -------
    area : float
        In square pixels.
    is_red : bool
        True for the colour of haemoglobin.
    """
    n = points.shape[0]
    # The polygon passes through the centres of the border pixels: half its length is missing.
    area = 0.5 * abs(polygon_sums(points)[0]) + 0.5 * n
    left, right, top, bottom = points[0, 0], points[0, 0], points[0, 1], points[0, 1]
    for i in range(n):
        left, right = min(left, points[i, 0]), max(right, points[i, 0])
        top, bottom = min(top, points[i, 1]), max(bottom, points[i, 1])
    mask = np.empty((bottom - top + 1, right - left + 1), np.uint8)
    x, y = np.empty(n), np.empty(n)
    for i in range(n):
        x[i], y[i] = points[i, 0] - left, points[i, 1] - top
    fill_polygon(x, y, mask)
    for i in range(n):
        mask[points[i, 1] - top, points[i, 0] - left] = 1
    red, green, blue = mean_density(mask, rgb, table, left, top)
    grey = abs(red - green) + abs(green - blue) < 0.1 * (red + green + blue)
    # Overlapping red cells are as dark as a pale nucleus, but keep their colour.
    return area, blue > HAEMOGLOBIN * green and not grey
