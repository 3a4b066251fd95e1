"""The outline of a region as a closed curve: Fourier coefficients, bending, box counts."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel
from hemafeat.extract._kernels.region.contour import join, local_runs, root
from hemafeat.extract._kernels.region.moments import hu_moments
from hemafeat.extract._kernels.region.opening import PAIRS, added
from hemafeat.extract._kernels.region.thinning import packed

N_BOUNDARY = 25
HARMONICS = 7
CONCAVE = -0.5
"""Curvature, with that of a circle of the same length as 1, below which it is concave."""
FIRST_OF = np.array(
    [0x5555555555555555, 0x1111111111111111, 0x0101010101010101, 0x0001000100010001], np.uint64
)
"""The first bit of every 2, 4, 8 and 16."""


@kernel
def boundary_of_cells(run_starts, runs, boxes):
    """The columns of the family ``boundary``; a row of NaN where there is no pixel."""
    n_cells = run_starts.size - 1
    out = np.full((n_cells, N_BOUNDARY), np.nan)
    for cell in range(n_cells):
        first, stop = run_starts[cell], run_starts[cell + 1]
        if stop == first:
            continue
        height, width = boxes[cell, 1] - boxes[cell, 0], boxes[cell, 3] - boxes[cell, 2]
        local, rows = local_runs(runs[first:stop], boxes[cell, 0], boxes[cell, 2], height)
        inside = np.zeros((height + 2, width + 2), np.uint8)
        for run in range(local.shape[0]):
            inside[local[run, 0] + 1, local[run, 1] + 1 : local[run, 2] + 1] = 1
        points = traced(inside, *largest_start(local, rows))
        along = lengths(points)
        harmonics(points, along, out[cell, :11])
        bending(points, along, out[cell, 11:17])
        hu_moments(local, out[cell, 17:24])
        out[cell, 24] = box_dimension(packed(local, rows, width), height, width)
    return out


@kernel
def largest_start(runs, rows):
    """Row and column of the first pixel of the largest 8-connected part; of equals, the first."""
    parent, _ = join(runs, rows, 1)
    size = np.zeros(runs.shape[0], np.int64)
    for run in range(runs.shape[0]):
        size[root(parent, run)] += runs[run, 2] - runs[run, 1]
    most = size.max()
    for run in range(runs.shape[0]):
        if size[root(parent, run)] == most:
            return runs[run, 0], runs[run, 1]
    return runs[0, 0], runs[0, 1]


@kernel
def traced(inside, row, column):
    """Middles of the pixel edges around the part whose first pixel is (row, column), in order.

    Parameters
    ----------
    inside : (H + 2, W + 2) uint8 array
        1 in the region, with an edge of 0.
    row, column : int
        Without this edge.

    Returns
    -------
    (K, 2) int64 array
        Twice their (row, column), pixel centres being whole numbers; clockwise on the screen, the
        region on the right.
    """
    points = np.empty((1024, 2), np.int64)
    n = 0
    y, x = row + 1, column + 1  # The corner above and before pixel (y, x) of `inside`.
    dy, dx = 0, 1
    while True:
        if n == points.shape[0]:
            larger = np.empty((2 * n, 2), np.int64)
            larger[:n] = points
            points = larger
        points[n, 0] = 2 * (y - 1) - 1 + dy
        points[n, 1] = 2 * (x - 1) - 1 + dx
        n += 1
        y += dy
        x += dx
        # The two pixels ahead, on the left and on the right of the way.
        left = inside[y + (dy - dx - 1) // 2, x + (dx + dy - 1) // 2]
        right = inside[y + (dy + dx - 1) // 2, x + (dx - dy - 1) // 2]
        if left:
            dy, dx = -dx, dy
        elif not right:
            dy, dx = dx, -dy
        if y == row + 1 and x == column + 1 and dy == 0 and dx == 1:
            return points[:n]


@kernel
def lengths(points):
    """(K + 1,) float64: length of the outline up to each of its points, in doubled pixels."""
    n = points.shape[0]
    along = np.empty(n + 1)
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
def harmonics(points, along, out):
    """|F_k| / |F_1| for k = 2 to 7 and -1 to -5, of the outline run through at constant speed.

    The outline is a polygon, so its Fourier integrals are sums over its corners: the coefficient
    is the sum of the change of direction at a corner times exp(-2 pi i k s / L), over k^2.
    """
    n = points.shape[0]
    real = np.zeros(2 * HARMONICS + 1)
    imaginary = np.zeros(2 * HARMONICS + 1)
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
        out[m - 2] = math.hypot(real[m], imaginary[m]) / (m * m * first)
    for m in range(1, 6):
        size = math.hypot(real[m + HARMONICS], imaginary[m + HARMONICS])
        out[m + 5] = size / (m * m * first)


@kernel
def beyond(points, along, reach):
    """(K, 2) float64: where one comes from each point after `reach` along the outline."""
    n = points.shape[0]
    found = np.empty((n, 2))
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
        found[k, 0] = points[end, 0] + share * (points[start, 0] - points[end, 0])
        found[k, 1] = points[end, 1] + share * (points[start, 1] - points[end, 1])
    return found


@kernel
def bending(points, along, out):
    """How the outline bends: curvature of the circle through each point and one on both sides.

    These lie 1/16 of the length before and behind along the outline.
    """
    n = points.shape[0]
    length = along[n]
    reach = length / 16.0
    ahead, back = beyond(points, along, reach), beyond(points, along, length - reach)
    turns = np.empty(n)
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
    start = turns.argmax()
    counted = False
    for step in range(n):
        turn = turns[(start + step) % n]
        squares += turn * turn
        lowest = min(lowest, turn)
        highest = max(highest, turn)
        concave = turn * radius < CONCAVE
        n_concave += concave
        segments += concave and not counted
        # On a straight stretch rounding decides the sign.
        counted = turn * radius < -1e-6 and (counted or concave)
    # The outline is measured in half pixels.
    out[0] = 4.0 * squares / n
    out[1] = squares / n * radius * radius
    out[2] = segments
    out[3] = n_concave / n
    out[4] = lowest * radius
    out[5] = highest * radius


@kernel
def box_dimension(bits, height, width):
    """Box-counting dimension of the pixels of a region that have a side on its outside.

    Boxes are 2, 4, 8 and 16 px wide. Their grid starts at each of the four corners of the upright
    box around the region in turn, and the mean number of boxes counts.
    """
    if max(height, width) < 16:
        return np.nan
    n_words = bits.shape[0] - 2
    one, top = np.uint64(1), np.uint64(63)
    edge = np.zeros((n_words + 1, height), np.uint64)
    for w in range(1, n_words + 1):
        up, here, down = bits[w, :height], bits[w, 1 : height + 1], bits[w, 2 : height + 2]
        before, after = bits[w - 1, 1 : height + 1], bits[w + 1, 1 : height + 1]
        line = edge[w - 1]
        for r in range(height):
            within = up[r] & down[r] & ((here[r] << one) | (before[r] >> top))
            line[r] = here[r] & ~(within & ((here[r] >> one) | (after[r] << top)))
    found = np.zeros(4, np.int64)
    for corner in range(4):
        # A grid from the far side is one from the near side of what is moved there.
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
                    both = line[2 * r] | line[2 * r + 1]
                    both = (both | (both >> step)) & keep
                    line[r] = both
                    # One bit in two at most, so the first step of counting bits is not needed.
                    count = (both & PAIRS) + ((both >> np.uint64(2)) & PAIRS)
                    n_boxes += added(count)
                found[level] += np.int64(n_boxes)
    sum_x = sum_y = sum_xx = sum_xy = 0.0
    for level in range(4):
        x, y = (level + 1) * math.log(2.0), math.log(found[level] / 4.0)
        sum_x += x
        sum_y += y
        sum_xx += x * x
        sum_xy += x * y
    return (sum_x * sum_y - 4.0 * sum_xy) / (4.0 * sum_xx - sum_x * sum_x)
