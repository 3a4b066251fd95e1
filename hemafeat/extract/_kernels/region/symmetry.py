"""How a region lies about its centroid: mirrored on its axes, around it, and at it."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel

N_SECTORS = 72


@kernel
def mirrored(inside, runs, y, x, rr, cc, rc):
    """Intersection over union of a region with its mirror images on its major and minor axis.

    A pixel is compared with the one its mirror image falls into. NaN where there are no axes.

    Parameters
    ----------
    inside : (H + 2, W + 2) array
        Not 0 in the region; one pixel of background around.
    runs : (M, 3) int64 array
        Its runs, without this edge.
    y, x, rr, cc, rc : float
        Centroid and covariance.
    """
    swing = math.hypot(cc - rr, 2.0 * rc)
    if swing <= 1e-10 * (rr + cc):
        return np.nan, np.nan
    # Mirroring on an axis at angle t is a matrix of the cosine and sine of 2 t.
    cosine, sine = (cc - rr) / swing, 2.0 * rc / swing
    area = 0
    major = minor = 0
    for run in range(runs.shape[0]):
        first, stop = runs[run, 1], runs[run, 2]
        area += stop - first
        v, u = runs[run, 0] - y, first - x
        row = sine * u - cosine * v
        column = cosine * u + sine * v
        # One for the edge; a half, so that cutting off rounds.
        top, left = y + 1.5, x + 1.5
        major += hits(inside, top + row, left + column, sine, cosine, stop - first)
        minor += hits(inside, top - row, left - column, -sine, -cosine, stop - first)
    return major / (2.0 * area - major), minor / (2.0 * area - minor)


@kernel
def hits(inside, row, column, down, right, n):
    """How many of n points along a line are in the region; beyond the edge is the edge."""
    last_row, last_column = inside.shape[0] - 1.0, inside.shape[1] - 1.0
    found = 0
    for k in range(n):
        r = int(min(max(row + k * down, 0.0), last_row))
        c = int(min(max(column + k * right, 0.0), last_column))
        found += inside[r, c] != 0
    return found


@kernel
def nearest_pixel(runs, y, x):
    """Distance of a point to the nearest pixel of a region; 0 where it lies in one of them."""
    nearest = np.inf
    for run in range(runs.shape[0]):
        v = max(abs(runs[run, 0] - y) - 0.5, 0.0)
        u = max(runs[run, 1] - 0.5 - x, x - runs[run, 2] + 0.5, 0.0)
        nearest = min(nearest, v * v + u * u)
    return math.sqrt(nearest)


@kernel
def interpolated(depth, y, x):
    """Depth at a point between pixels; `depth` is squared and has an edge of zeros."""
    row, column = math.floor(y), math.floor(x)
    v, u = y - row, x - column
    value = 0.0
    for r in range(2):
        for c in range(2):
            at_row, at_column = row + r + 1, column + c + 1
            if 0 <= at_row < depth.shape[0] and 0 <= at_column < depth.shape[1]:
                share = (v if r else 1.0 - v) * (u if c else 1.0 - u)
                value += share * math.sqrt(depth[at_row, at_column])
    return value


@kernel
def widest_gap(points, y, x):
    """Largest angle, seen from a point, in which there is no boundary point; in radians.

    `points` are doubled, as ``contour.boundary`` gives them. All angles are sorted into sectors of
    5 degrees first; only the ends of the widest runs of empty sectors need the exact angle.
    """
    low = np.full(N_SECTORS, np.inf)
    high = np.full(N_SECTORS, -np.inf)
    n_points = points.shape[0]
    for k in range(n_points):
        angle = math.atan2(points[k, 0] / 2.0 - y, points[k, 1] / 2.0 - x)
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
    return max(widest, first + 2.0 * math.pi - last)
