"""The skeleton of a region as a graph: its length, ends, branches and longest path."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import indices, inlined, kernel
from hemafeat.extract._kernels.arrays import mean_and_sd

DIAGONAL = math.sqrt(2.0)

SKELETON_COLUMNS = (
    "skeleton_length",
    "skeleton_branches",
    "skeleton_endpoints",
    "skeleton_path_length",
    "skeleton_path_tortuosity",
    "skeleton_path_slenderness",
    "skeleton_path_turn_net",
    "skeleton_path_turn_total",
    "skeleton_width_mean",
    "skeleton_width_cv",
    "skeleton_path_width_cv",
    "skeleton_path_width_ratio",
)
AT = indices(SKELETON_COLUMNS)


@inlined
def link_pixels(points, height, width):
    """Link the pixels of a skeleton that are neighbours.

    Neighbours along a row or column are linked; diagonal ones only if no pixel of the skeleton
    shares an edge with both.

    Returns
    -------
    linked : (K, 8) int64 array
        Indices of the pixels linked to each pixel, in the first ``degree`` entries of its row.
    steps : (K, 8) float64 array
        Lengths of these links, 1 or sqrt 2.
    degree : (K,) int64 array
        Number of links of each pixel.
    """
    n = points.shape[0]
    number = np.empty((height + 2, width + 2), np.int32)
    number[:] = -1
    for k in range(n):
        number[points[k, 0] + 1, points[k, 1] + 1] = k
    linked = np.empty((n, 8), np.int64)
    steps = np.empty((n, 8), np.float64)
    degree = np.zeros(n, np.int64)
    for k in range(n):
        row, column = points[k, 0] + 1, points[k, 1] + 1
        for r in range(row - 1, row + 2):
            for c in range(column - 1, column + 2):
                other = number[r, c]
                if other < 0 or other == k:
                    continue
                slanted = r != row and c != column
                if slanted and (number[r, column] >= 0 or number[row, c] >= 0):
                    continue
                linked[k, degree[k]] = other
                steps[k, degree[k]] = DIAGONAL if slanted else 1.0
                degree[k] += 1
    return linked, steps, degree


@kernel
def walk(start, linked, steps, degree, distance, previous, queue):
    """Find the distances along the skeleton from one pixel, and return the farthest pixel.

    Parameters
    ----------
    start : int
        Index of the pixel.
    linked, steps, degree
        Links, see `link_pixels`.
    distance : (K,) float64 array
        Infinite on entry; distances of the pixels that can be reached on return.
    previous : (K,) int64 array
        Filled with the pixel before each one on the way from `start`, -1 for `start`.
    queue : (K,) int64 array
        Room to work in.
    """
    distance[start] = 0.0
    previous[start] = -1
    queue[0] = start
    head, tail = 0, 1
    n = queue.size
    waiting = np.zeros(n, np.bool_)
    while head < tail:
        pixel = queue[head % n]
        head += 1
        waiting[pixel] = False
        for j in range(degree[pixel]):
            other = linked[pixel, j]
            reach = distance[pixel] + steps[pixel, j]
            if reach < distance[other] - 1e-9:
                distance[other] = reach
                previous[other] = pixel
                if not waiting[other]:
                    waiting[other] = True
                    queue[tail % n] = other
                    tail += 1
    farthest = start
    for k in range(n):
        if math.isfinite(distance[k]) and distance[k] > distance[farthest] + 1e-9:
            farthest = k
    return farthest


@inlined
def longest_path(linked, steps, degree):
    """Return the pixels of the longest path and its length.

    In each part, the path leads from the pixel farthest from the first one to the pixel farthest
    from that. If the skeleton is a tree, this is the longest of all shortest paths.
    """
    n = degree.size
    visited = np.zeros(n, np.bool_)
    queue = np.empty(n, np.int64)
    previous = np.empty(n, np.int64)
    best = np.empty(0, np.int64)
    length = -1.0
    for start in range(n):
        if visited[start]:
            continue
        distance = np.empty(n, np.float64)
        distance[:] = np.inf
        first_end = walk(start, linked, steps, degree, distance, previous, queue)
        for k in range(n):
            visited[k] |= math.isfinite(distance[k])
        distance[:] = np.inf
        last_end = walk(first_end, linked, steps, degree, distance, previous, queue)
        if distance[last_end] > length + 1e-9:
            length = distance[last_end]
            size = 0
            k = last_end
            while k >= 0:
                size += 1
                k = previous[k]
            best = np.empty(size, np.int64)
            k = last_end
            for step in range(size):
                best[step] = k
                k = previous[k]
    return best, length


@inlined
def count_branches(linked, degree):
    """Count the chains that are left when pixels with more than two links are removed."""
    n = degree.size
    visited = np.zeros(n, np.bool_)
    stack = np.empty(n, np.int64)
    n_branches = 0
    for start in range(n):
        if visited[start] or degree[start] > 2:
            continue
        n_branches += 1
        visited[start] = True
        stack[0] = start
        size = 1
        while size > 0:
            size -= 1
            pixel = stack[size]
            for j in range(degree[pixel]):
                other = linked[pixel, j]
                if not visited[other] and degree[other] <= 2:
                    visited[other] = True
                    stack[size] = other
                    size += 1
    return n_branches


@inlined
def path_turns(points, path):
    """Sum the turns between 8 chords of a path: the size of their sum, and the sum of their sizes.

    Values are in radians. Chords join pixels the same number of pixels apart along the path; NaN
    for a path of fewer than 9 pixels.
    """
    n = path.size
    if n < 9:
        return np.nan, np.nan
    signed = total = 0.0
    last_y = last_x = 0.0
    for chord in range(8):
        a, b = path[chord * (n - 1) // 8], path[(chord + 1) * (n - 1) // 8]
        y, x = float(points[b, 0] - points[a, 0]), float(points[b, 1] - points[a, 1])
        if chord > 0:
            turn = math.atan2(last_x * y - last_y * x, last_x * x + last_y * y)
            signed += turn
            total += abs(turn)
        last_y, last_x = y, x
    return abs(signed), total


@inlined
def skeleton_values(points, depth, out):
    """Measure a skeleton and its longest path.

    Parameters
    ----------
    points : (K, 2) int64 array
        Pixels of the skeleton.
    depth : (H + 2, W + 2) int32 array
        Squared depth, with a border of zeros.
    out : (12,) float64 array
        Filled in the order of `SKELETON_COLUMNS`.
    """
    n = points.shape[0]
    if n == 0:
        return
    linked, steps, degree = link_pixels(points, depth.shape[0] - 2, depth.shape[1] - 2)
    total = 0.0
    n_ends = 0
    width = np.empty(n, np.float64)
    for k in range(n):
        for j in range(degree[k]):
            total += steps[k, j]
        n_ends += degree[k] == 1
        width[k] = 2.0 * math.sqrt(depth[points[k, 0] + 1, points[k, 1] + 1]) - 1.0
    path, length = longest_path(linked, steps, degree)
    m = path.size
    chord = math.hypot(
        float(points[path[0], 0] - points[path[m - 1], 0]),
        float(points[path[0], 1] - points[path[m - 1], 1]),
    )
    on_path = np.empty(m, np.float64)
    for k in range(m):
        on_path[k] = width[path[k]]
    signed, bending = path_turns(points, path)
    out[AT.skeleton_length] = total / 2.0
    out[AT.skeleton_branches] = count_branches(linked, degree)
    out[AT.skeleton_endpoints] = n_ends
    out[AT.skeleton_path_length] = length
    if chord > 0.0:
        out[AT.skeleton_path_tortuosity] = length / chord
    mean, sd = mean_and_sd(on_path)
    mean_width, sd_width = mean_and_sd(width)
    widest = narrowest = on_path[m // 5]
    for k in range(m):
        widest = max(widest, on_path[k])
        if m // 5 <= k < m - m // 5:
            narrowest = min(narrowest, on_path[k])
    out[AT.skeleton_path_slenderness] = length / mean
    out[AT.skeleton_path_turn_net] = signed
    out[AT.skeleton_path_turn_total] = bending
    out[AT.skeleton_width_mean] = mean_width
    out[AT.skeleton_width_cv] = sd_width / mean_width
    out[AT.skeleton_path_width_cv] = sd / mean
    out[AT.skeleton_path_width_ratio] = narrowest / widest
