"""The skeleton as a graph: its length, ends, branches and longest path."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel

DIAGONAL = math.sqrt(2.0)


@kernel
def links(points, height, width):
    """Which pixels of a skeleton are linked.

    Neighbours along a row or column are; diagonal ones only where no pixel of the skeleton touches
    both along a side.

    Returns
    -------
    linked : (K, 8) int64 array
        Numbers of the pixels linked to each, the first ``degree`` of the row.
    steps : (K, 8) float64 array
        Lengths of these links, 1 or sqrt 2.
    degree : (K,) int64 array
    """
    n = points.shape[0]
    number = np.full((height + 2, width + 2), -1, np.int32)
    for k in range(n):
        number[points[k, 0] + 1, points[k, 1] + 1] = k
    linked = np.empty((n, 8), np.int64)
    steps = np.empty((n, 8))
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
def walk(start, linked, steps, degree, away, came, queue):
    """Distances along the skeleton from one pixel; returns the farthest, the first of equals.

    `away` is infinite where no walk has been; pixels reached are put into `queue`.
    """
    away[start] = 0.0
    came[start] = -1
    queue[0] = start
    head, tail = 0, 1
    n = queue.size
    waiting = np.zeros(n, np.bool_)
    while head < tail:
        here = queue[head % n]
        head += 1
        waiting[here] = False
        for j in range(degree[here]):
            other = linked[here, j]
            reach = away[here] + steps[here, j]
            if reach < away[other] - 1e-9:
                away[other] = reach
                came[other] = here
                if not waiting[other]:
                    waiting[other] = True
                    queue[tail % n] = other
                    tail += 1
    farthest = start
    for k in range(n):
        if math.isfinite(away[k]) and away[k] > away[farthest] + 1e-9:
            farthest = k
    return farthest


@kernel
def longest_path(linked, steps, degree):
    """Pixels of the longest path, and its length.

    In each part, from the pixel farthest from the first one to the one farthest from that: the
    longest of all shortest paths where the skeleton is a tree.
    """
    n = degree.size
    seen = np.zeros(n, np.bool_)
    queue = np.empty(n, np.int64)
    came = np.empty(n, np.int64)
    best = np.empty(0, np.int64)
    length = -1.0
    for start in range(n):
        if seen[start]:
            continue
        away = np.full(n, np.inf)
        end = walk(start, linked, steps, degree, away, came, queue)
        for k in range(n):
            seen[k] |= math.isfinite(away[k])
        away[:] = np.inf
        other = walk(end, linked, steps, degree, away, came, queue)
        if away[other] > length + 1e-9:
            length = away[other]
            size = 0
            k = other
            while k >= 0:
                size += 1
                k = came[k]
            best = np.empty(size, np.int64)
            k = other
            for place in range(size):
                best[place] = k
                k = came[k]
    return best, length


@kernel
def branches(linked, degree):
    """Chains of pixels left when those with more than two links are taken out."""
    n = degree.size
    seen = np.zeros(n, np.bool_)
    stack = np.empty(n, np.int64)
    found = 0
    for start in range(n):
        if seen[start] or degree[start] > 2:
            continue
        found += 1
        seen[start] = True
        stack[0] = start
        size = 1
        while size > 0:
            size -= 1
            here = stack[size]
            for j in range(degree[here]):
                other = linked[here, j]
                if not seen[other] and degree[other] <= 2:
                    seen[other] = True
                    stack[size] = other
                    size += 1
    return found


@kernel
def turns(points, path):
    """Sum of the turns between 8 chords of a path, with sign and without, in radians.

    The chords join pixels that lie the same number of pixels apart. NaN for fewer than 9 pixels.
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


@kernel
def skeleton_values(points, depth, out):
    """Fill 12 values; see the columns ``skeleton_*`` of the family ``lobes``.

    Parameters
    ----------
    points : (K, 2) int64 array
        Pixels of the skeleton.
    depth : (H + 2, W + 2) int32 array
        Squared depth, with an edge of zeros.
    out : (12,) float64 array
    """
    n = points.shape[0]
    if n == 0:
        return
    linked, steps, degree = links(points, depth.shape[0] - 2, depth.shape[1] - 2)
    total = 0.0
    ends = 0
    width = np.empty(n)
    for k in range(n):
        for j in range(degree[k]):
            total += steps[k, j]
        ends += degree[k] == 1
        width[k] = 2.0 * math.sqrt(depth[points[k, 0] + 1, points[k, 1] + 1]) - 1.0
    path, length = longest_path(linked, steps, degree)
    m = path.size
    chord = math.hypot(
        float(points[path[0], 0] - points[path[m - 1], 0]),
        float(points[path[0], 1] - points[path[m - 1], 1]),
    )
    on_path = width[path]
    signed, bending = turns(points, path)
    out[0] = total / 2.0
    out[1] = branches(linked, degree)
    out[2] = ends
    out[3] = length
    if chord > 0.0:
        out[4] = length / chord
    mean = on_path.mean()
    out[5] = length / mean
    out[6] = signed
    out[7] = bending
    out[8] = width.mean()
    out[9] = width.std() / out[8]
    out[10] = on_path.std() / mean
    out[11] = on_path[m // 5 : m - m // 5].min() / on_path.max()
