"""The outline of a region as a closed curve: Fourier coefficients, bending, box counts, moments."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import find_root, indices, kernel
from hemafeat.extract._kernels.region.bits import PAIRS, pack, sum_nibbles
from hemafeat.extract._kernels.region.contour import CORNERS
from hemafeat.extract._kernels.region.runs import covariance, join, local_runs, part_areas

HARMONICS = 7

COLUMNS = (
    *(f"fourier_{k}" for k in range(2, HARMONICS + 1)),
    *(f"fourier_minus_{k}" for k in range(1, HARMONICS - 1)),
    "bending_energy",
    "bending_ratio",
    "n_concave_segments",
    "concave_fraction",
    "curvature_min",
    "curvature_max",
    *(f"hu_{k}_signed_log" for k in range(1, 8)),
    "box_dimension",
)
"""Columns of the family ``boundary``."""
N_COLUMNS = len(COLUMNS)

AT = indices(COLUMNS)

CONCAVE = -0.5
"""Curvature below which a point is concave, in units of that of a circle of the same length."""

ROUNDING = 1e-14
"""Relative error of a sum of some tens of terms in float64, with a margin."""

FIRST_OF = np.array(
    [0x5555555555555555, 0x1111111111111111, 0x0101010101010101, 0x0001000100010001], np.uint64
)
"""Masks of the first bit of every 2, 4, 8 and 16."""


@kernel
def boundary_of_cells(run_starts, runs, boxes):
    """Measure the outline of every cell.

    Parameters
    ----------
    run_starts, runs, boxes
        Runs and boxes of the cells, see ``runs.find_runs`` and ``runs.pixels``.

    Returns
    -------
    (n_cells, 25) float64 array
        `COLUMNS`. A row of NaN for a cell without pixels.
    """
    n_cells = run_starts.size - 1
    out = np.empty((n_cells, N_COLUMNS), np.float64)
    out[:] = np.nan
    for cell in range(n_cells):
        first, stop = run_starts[cell], run_starts[cell + 1]
        if stop == first:
            continue
        height, width = boxes[cell, 1] - boxes[cell, 0], boxes[cell, 3] - boxes[cell, 2]
        local, rows = local_runs(runs[first:stop], boxes[cell, 0], boxes[cell, 2], height)
        inside = np.zeros((height + 2, width + 2), np.uint8)
        for run in range(local.shape[0]):
            line = inside[local[run, 0] + 1]
            for column in range(local[run, 1] + 1, local[run, 2] + 1):
                line[column] = 1
        points = trace_outline(inside, *largest_start(local, rows))
        along = arc_lengths(points)
        row = out[cell]
        fourier_ratios(points, along, row)
        bending(points, along, row)
        hu_moments(local, row)
        row[AT.box_dimension] = box_dimension(pack(local, rows, width), height, width)
    return out


@kernel
def largest_start(runs, rows):
    """Return row and column of the first pixel of the largest 8-connected part."""
    parent, _ = join(runs, rows, CORNERS)
    areas = part_areas(runs, parent)
    most = 0
    for run in range(runs.shape[0]):
        most = max(most, areas[run])
    for run in range(runs.shape[0]):
        if areas[find_root(parent, run)] == most:
            return runs[run, 0], runs[run, 1]
    return runs[0, 0], runs[0, 1]


@kernel
def trace_outline(inside, row, column):
    """Follow the midpoints of pixel edges around the part whose first pixel is (row, column).

    Parameters
    ----------
    inside : (H + 2, W + 2) uint8 array
        1 in the region, with a border of 0.
    row, column : int
        Pixel, in coordinates without this border.

    Returns
    -------
    (K, 2) int64 array
        Twice the (row, column) of each midpoint, where pixel centres have whole coordinates. The
        order is clockwise on the screen, with the region on the right.
    """
    points = np.empty((1024, 2), np.int64)
    n = 0
    y, x = row + 1, column + 1  # The upper left corner of pixel (y, x) of `inside`.
    dy, dx = 0, 1
    while True:
        if n == points.shape[0]:
            larger = np.empty((2 * n, 2), np.int64)
            for k in range(n):
                larger[k, 0], larger[k, 1] = points[k, 0], points[k, 1]
            points = larger
        points[n, 0] = 2 * (y - 1) - 1 + dy
        points[n, 1] = 2 * (x - 1) - 1 + dx
        n += 1
        y += dy
        x += dx
        # The two pixels ahead, to the left and to the right.
        left = inside[y + (dy - dx - 1) // 2, x + (dx + dy - 1) // 2]
        right = inside[y + (dy + dx - 1) // 2, x + (dx - dy - 1) // 2]
        if left:
            dy, dx = -dx, dy
        elif not right:
            dy, dx = dx, -dy
        if y == row + 1 and x == column + 1 and dy == 0 and dx == 1:
            return points[:n]


@kernel
def arc_lengths(points):
    """Return the length of the outline up to each point and of all of it, in half pixels."""
    n = points.shape[0]
    along = np.empty(n + 1, np.float64)
    along[0] = 0.0
    straight = slanted = 0
    for k in range(n):
        other = k + 1 if k + 1 < n else 0
        if points[k, 0] == points[other, 0] or points[k, 1] == points[other, 1]:
            straight += 1
        else:
            slanted += 1
        along[k + 1] = 2.0 * straight + math.sqrt(2.0) * slanted
    return along


@kernel
def fourier_ratios(points, along, row):
    """Compute |F_k| / |F_1| for k = 2 to 7 and -1 to -5, at constant speed along the outline.

    The outline is a polygon, so its Fourier integrals are sums over its corners: a coefficient is
    the sum of the change of direction at a corner times exp(-2 pi i k s / L), divided by k^2.
    """
    n = points.shape[0]
    real = np.zeros(2 * HARMONICS + 1, np.float64)
    imaginary = np.zeros(2 * HARMONICS + 1, np.float64)
    scale = 2.0 * math.pi / along[n]
    for k in range(n):
        before = k - 1 if k > 0 else n - 1
        after = k + 1 if k + 1 < n else 0
        down, right = points[k, 0] - points[before, 0], points[k, 1] - points[before, 1]
        next_down, next_right = points[after, 0] - points[k, 0], points[after, 1] - points[k, 1]
        if down == next_down and right == next_right:
            continue
        # Edges are 2 long along a side and sqrt 2 across a corner.
        size = 0.5 if down == 0 or right == 0 else math.sqrt(0.5)
        next_size = 0.5 if next_down == 0 or next_right == 0 else math.sqrt(0.5)
        u = right * size - next_right * next_size
        v = down * size - next_down * next_size
        cosine, sine = math.cos(scale * along[k]), -math.sin(scale * along[k])
        c, s = cosine, sine
        for m in range(1, HARMONICS + 1):
            real[m] += u * c - v * s
            imaginary[m] += u * s + v * c
            real[m + HARMONICS] += u * c + v * s
            imaginary[m + HARMONICS] += v * c - u * s
            c, s = c * cosine - s * sine, c * sine + s * cosine
    first = math.hypot(real[1], imaginary[1])
    for m in range(2, 8):
        row[AT.fourier_2 + m - 2] = math.hypot(real[m], imaginary[m]) / (m * m * first)
    for m in range(1, 6):
        size = math.hypot(real[m + HARMONICS], imaginary[m + HARMONICS])
        row[AT.fourier_minus_1 + m - 1] = size / (m * m * first)


@kernel
def points_ahead(points, along, reach):
    """Return the point that lies `reach` ahead of each point along the outline, (K, 2) float64."""
    n = points.shape[0]
    ahead = np.empty((n, 2), np.float64)
    end, turns = 0, 0.0
    for k in range(n):
        while along[end] + turns <= along[k] + reach:
            end += 1
            if end == n:
                end = 0
                turns += along[n]
        start = end - 1 if end > 0 else n - 1
        last = along[end] + turns
        share = (last - along[k] - reach) / (along[start + 1] - along[start])
        ahead[k, 0] = points[end, 0] + share * (points[start, 0] - points[end, 0])
        ahead[k, 1] = points[end, 1] + share * (points[start, 1] - points[end, 1])
    return ahead


@kernel
def bending(points, along, row):
    """Measure the curvature of the circle through each point and two others of the outline.

    The others lie 1/16 of the length of the outline before and after the point.
    """
    n = points.shape[0]
    length = along[n]
    reach = length / 16.0
    ahead = points_ahead(points, along, reach)
    back = points_ahead(points, along, length - reach)
    turns = np.empty(n, np.float64)
    for k in range(n):
        v, u = points[k, 0] - back[k, 0], points[k, 1] - back[k, 1]
        next_v, next_u = ahead[k, 0] - points[k, 0], ahead[k, 1] - points[k, 1]
        sides = (u * u + v * v) * (next_u * next_u + next_v * next_v)
        sides *= (u + next_u) ** 2 + (v + next_v) ** 2
        turns[k] = 2.0 * (u * next_v - v * next_u) / math.sqrt(max(sides, 1e-300))
    squares = 0.0
    lowest, highest = np.inf, -np.inf
    n_concave = segments = 0
    radius = length / (2.0 * math.pi)
    start = 0
    for k in range(1, n):
        if turns[k] > turns[start]:
            start = k
    counted = False
    for step in range(n):
        turn = turns[(start + step) % n]
        squares += turn * turn
        lowest = min(lowest, turn)
        highest = max(highest, turn)
        concave = turn * radius < CONCAVE
        n_concave += concave
        segments += concave and not counted
        # On a straight stretch the sign is a matter of rounding.
        counted = turn * radius < -1e-6 and (counted or concave)
    # The outline is measured in half pixels.
    row[AT.bending_energy] = 4.0 * squares / n
    row[AT.bending_ratio] = squares / n * radius * radius
    row[AT.n_concave_segments] = segments
    row[AT.concave_fraction] = n_concave / n
    row[AT.curvature_min] = lowest * radius
    row[AT.curvature_max] = highest * radius


@kernel
def box_dimension(bits, height, width):
    """Return the box-counting dimension of the pixels of a region with an edge on its outside.

    Boxes are 2, 4, 8 and 16 px wide. Counts are averaged over grids that start at each of the four
    corners of the bounding box.
    """
    if max(height, width) < 16:
        return np.nan
    n_words = bits.shape[0] - 2
    one, top = np.uint64(1), np.uint64(63)
    edge = np.zeros((n_words + 1, height), np.uint64)
    for w in range(1, n_words + 1):
        up, centre, down = bits[w, :height], bits[w, 1 : height + 1], bits[w, 2 : height + 2]
        before, after = bits[w - 1, 1 : height + 1], bits[w + 1, 1 : height + 1]
        line = edge[w - 1]
        for r in range(height):
            within = up[r] & down[r] & ((centre[r] << one) | (before[r] >> top))
            line[r] = centre[r] & ~(within & ((centre[r] >> one) | (after[r] << top)))
    boxes = np.zeros(4, np.int64)
    for corner in range(4):
        # Instead of the grid, move the pixels to the far side.
        down = -height % 16 if corner & 1 else 0
        right = np.uint64(-width % 16 if corner & 2 else 0)
        lines = (height + down + 15) // 16 * 16
        moved = np.zeros((n_words + 1, lines), np.uint64)
        for w in range(n_words + 1):
            line, into = edge[w], moved[w, down:]
            for r in range(height):
                into[r] = line[r] << right
            if right > 0 and w > 0:
                before = edge[w - 1]
                for r in range(height):
                    into[r] |= before[r] >> (np.uint64(64) - right)
        for level in range(4):
            lines //= 2
            step = one << np.uint64(level)
            keep = FIRST_OF[level]
            for w in range(n_words + 1):
                line = moved[w]
                n_boxes = np.uint64(0)
                for r in range(lines):
                    union = line[2 * r] | line[2 * r + 1]
                    union = (union | (union >> step)) & keep
                    line[r] = union
                    # At most every other bit is set: the first step of counting is not needed.
                    count = (union & PAIRS) + ((union >> np.uint64(2)) & PAIRS)
                    n_boxes += sum_nibbles(count)
                boxes[level] += np.int64(n_boxes)
    sum_x = sum_y = sum_xx = sum_xy = 0.0
    for level in range(4):
        x, y = (level + 1) * math.log(2.0), math.log(boxes[level] / 4.0)
        sum_x += x
        sum_y += y
        sum_xx += x * x
        sum_xy += x * y
    return (sum_x * sum_y - 4.0 * sum_xy) / (4.0 * sum_xx - sum_x * sum_x)


@kernel
def hu_moments(runs, row):
    """Compute the moment invariants of Hu of the pixel centres, as sign times log10 of their size.

    An invariant that is 0, but for rounding, is NaN: the mask is symmetric.
    """
    area, y, x, _, _, _ = covariance(runs)
    # Sums about a whole number near the centroid stay small and exact.
    y0, x0 = math.floor(y + 0.5), math.floor(x + 0.5)
    s01 = s10 = s11 = s02 = s20 = s12 = s21 = s03 = s30 = 0
    for run in range(runs.shape[0]):
        v, a, b = runs[run, 0] - y0, runs[run, 1] - x0, runs[run, 2] - x0
        n = b - a
        u = (a + b - 1) * n // 2
        uu = ((b - 1) * b * (2 * b - 1) - (a - 1) * a * (2 * a - 1)) // 6
        uuu = (b * (b - 1) // 2) ** 2 - (a * (a - 1) // 2) ** 2
        s10 += v * n
        s01 += u
        s20 += v * v * n
        s11 += v * u
        s02 += uu
        s30 += v * v * v * n
        s21 += v * v * u
        s12 += v * uu
        s03 += uuu
    r, c = s10 / area, s01 / area
    m20, m02, m11 = s20 - r * s10, s02 - c * s01, s11 - r * s01
    m30 = s30 - 3.0 * r * s20 + 2.0 * r * r * s10
    m03 = s03 - 3.0 * c * s02 + 2.0 * c * c * s01
    m21 = s21 - 2.0 * r * s11 - c * s20 + 2.0 * r * r * s01
    m12 = s12 - 2.0 * c * s11 - r * s02 + 2.0 * c * c * s10
    second, third = float(area) ** 2, float(area) ** 2.5
    n20, n02, n11 = m20 / second, m02 / second, m11 / second
    n30, n03, n21, n12 = m30 / third, m03 / third, m21 / third, m12 / third
    t0, t1 = n30 + n12, n21 + n03
    u0, u1 = n30 - 3.0 * n12, 3.0 * n21 - n03
    q0, q1 = t0 * t0, t1 * t1
    stretch = n20 - n02
    values = (
        n20 + n02,
        stretch**2 + 4.0 * n11 * n11,
        u0**2 + u1**2,
        q0 + q1,
        u0 * t0 * (q0 - 3.0 * q1) + u1 * t1 * (3.0 * q0 - q1),
        stretch * (q0 - q1) + 4.0 * n11 * t0 * t1,
        u1 * t0 * (q0 - 3.0 * q1) - u0 * t1 * (3.0 * q0 - q1),
    )
    # Bounds of the rounding errors of the moments, then of their products.
    e2 = ROUNDING * (s20 + s02 + abs(s11)) / second
    e3 = ROUNDING * (abs(s30) + abs(s03) + 2.0 * (abs(s21) + abs(s12)) + 3.0 * (s20 + s02)) / third
    d = max(abs(stretch), 2.0 * abs(n11)) + e2
    s, t = max(abs(u0), abs(u1)) + e3, max(abs(t0), abs(t1)) + e3
    bounds = (
        e2,
        4.0 * d * e2 + ROUNDING * d * d,
        4.0 * s * e3 + ROUNDING * s * s,
        4.0 * t * e3 + ROUNDING * t * t,
        (8.0 * t + 24.0 * s) * t * t * e3 + ROUNDING * s * t**3,
        4.0 * t * t * e2 + 8.0 * d * t * e3 + ROUNDING * d * t * t,
        (8.0 * t + 24.0 * s) * t * t * e3 + ROUNDING * s * t**3,
    )
    for k in range(7):
        value = values[k]
        if abs(value) > bounds[k]:
            row[AT.hu_1_signed_log + k] = math.log10(abs(value)) * (1.0 if value > 0.0 else -1.0)
