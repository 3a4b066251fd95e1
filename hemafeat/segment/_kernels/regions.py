"""Connected regions of a mask, their holes, and the distance to their border."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import find_root, kernel

STRAIGHT, DIAGONAL = np.int32(62587), np.int32(89738)
"""0.955 and 1.3693 in steps of 1/65536 (Borgefors 1986, as in OpenCV's 3 x 3 mask)."""

UNIT = 65536.0

FAR = np.int32(1 << 29)

START, STOP, INSIDE = range(3)
"""Columns of a table of runs: first pixel, pixel after the last one, 1 if inside the mask."""

LEFT, RIGHT, TOP, BOTTOM = range(4)
"""Columns of a table of boxes: first and last column, first and last row."""


@kernel
def find_runs(mask, runs):
    """Split a mask into runs of equal pixels, row by row.

    Parameters
    ----------
    mask : (h, w) ndarray of uint8
        Not 0 inside.
    runs : (h * w + 1, 3) ndarray of int32
        Filled with the runs; see `START`.

    Returns
    -------
    (h + 1,) ndarray of int64
        Index of the first run of each row, and the number of runs.
    """
    height, width = mask.shape
    begin = np.empty(height + 1, np.int64)
    n = 0
    for y in range(height):
        begin[y] = n
        row = mask[y]
        start, inside = 0, row[0] > 0
        for x in range(1, width):
            if (row[x] > 0) != inside:
                runs[n, START], runs[n, STOP], runs[n, INSIDE] = start, x, inside
                n += 1
                start, inside = x, not inside
        runs[n, START], runs[n, STOP], runs[n, INSIDE] = start, width, inside
        n += 1
    begin[height] = n
    return begin


@kernel
def label_runs(runs, begin):
    """Label the regions of a mask (8-connected) and those of its background (4-connected).

    Parameters
    ----------
    runs, begin : ndarray
        See `find_runs`.

    Returns
    -------
    label : (n,) ndarray of int32
        Region of each run, 0 upwards, in the order of their first pixels.
    k : int
        Number of regions.
    """
    height, n = begin.size - 1, begin[begin.size - 1]
    parents = np.empty(n, np.int32)
    for i in range(n):
        parents[i] = i
    for y in range(1, height):
        i, j = begin[y - 1], begin[y]
        while i < begin[y] and j < begin[y + 1]:
            if runs[i, INSIDE] == runs[j, INSIDE]:
                # A corner connects runs inside the mask, a side those outside of it.
                reach = 1 if runs[i, INSIDE] else 0
                if (
                    runs[i, START] < runs[j, STOP] + reach
                    and runs[j, START] < runs[i, STOP] + reach
                ):
                    a, b = find_root(parents, i), find_root(parents, j)
                    parents[max(a, b)] = min(a, b)
            # The next pair may touch at a corner only: advance the run that ends first.
            if runs[i, STOP] < runs[j, STOP]:
                i += 1
            elif runs[i, STOP] > runs[j, STOP]:
                j += 1
            else:
                for p, q in ((i + 1, j), (i, j + 1)):
                    if p < begin[y] and q < begin[y + 1] and runs[p, INSIDE] and runs[q, INSIDE]:
                        a, b = find_root(parents, p), find_root(parents, q)
                        parents[max(a, b)] = min(a, b)
                i += 1
                j += 1
    label = np.empty(n, np.int32)
    k = 0
    for i in range(n):
        if parents[i] == i:
            label[i] = k
            k += 1
        else:
            label[i] = label[find_root(parents, i)]
    return label, k


@kernel
def measure_regions(runs, begin, label, k, width):
    """Compute the box, the area and the surrounding region of each region.

    Parameters
    ----------
    runs, begin, label, k
        See `find_runs` and `label_runs`.
    width : int
        Width of the mask.

    Returns
    -------
    box : (k, 4) ndarray of int32
        See `LEFT`.
    area : (k,) ndarray of int64
        Number of pixels, those of holes included.
    around : (k,) ndarray of int32
        Region around a hole; -1 for a region of the mask, or one at the border of the image.
    """
    height = begin.size - 1
    box = np.empty((k, 4), np.int32)
    area, around = np.zeros(k, np.int64), np.full(k, -1, np.int32)
    for i in range(k):
        box[i, LEFT], box[i, RIGHT], box[i, TOP], box[i, BOTTOM] = width, -1, -1, -1
    for y in range(height):
        for r in range(begin[y], begin[y + 1]):
            i = label[r]
            if box[i, TOP] < 0:
                box[i, TOP] = y
                if not runs[r, INSIDE] and runs[r, START] > 0:
                    # The region around a hole lies to the left of its first pixel.
                    around[i] = label[r - 1]
            box[i, LEFT] = min(box[i, LEFT], runs[r, START])
            box[i, RIGHT] = max(box[i, RIGHT], runs[r, STOP] - 1)
            box[i, BOTTOM] = y
            area[i] += runs[r, STOP] - runs[r, START]
    for i in range(k):
        if (
            box[i, LEFT] == 0
            or box[i, TOP] == 0
            or box[i, RIGHT] == width - 1
            or box[i, BOTTOM] == height - 1
        ):
            around[i] = -1
        if around[i] >= 0:
            area[around[i]] += area[i]
    return box, area, around


@kernel
def half_perimeter(box, i):
    """Estimate by how much a polygon through the border pixels of a round region is too small."""
    return 0.7 * (box[i, RIGHT] - box[i, LEFT] + box[i, BOTTOM] - box[i, TOP] + 2)


@kernel
def remove_specks(mask):
    """Fill the small holes of a mask and remove its small regions, in place.

    Holes below 0.08 and regions below 0.06 of the area of the largest region are small; areas are
    those of polygons through border pixels.

    Parameters
    ----------
    mask : (h, w) ndarray of uint8
        0 and 1; modified.
    """
    height, width = mask.shape
    runs = np.empty((height * width + 1, 3), np.int32)
    begin = find_runs(mask, runs)
    label, k = label_runs(runs, begin)
    if k < 3:
        return
    box, area, around = measure_regions(runs, begin, label, k, width)
    inside = np.zeros(k, np.bool_)
    for r in range(begin[height]):
        inside[label[r]] = runs[r, INSIDE]
    largest = 0.0
    for i in range(k):
        if inside[i]:
            largest = max(largest, area[i] - half_perimeter(box, i))
    for y in range(height):
        line = mask[y]
        for r in range(begin[y], begin[y + 1]):
            i = label[r]
            half = half_perimeter(box, i)
            small = inside[i] and area[i] - half < 0.06 * largest
            if small or (around[i] >= 0 and area[i] + half < 0.08 * largest):
                value = 0 if small else 1
                for x in range(runs[r, START], runs[r, STOP]):
                    line[x] = value


@kernel
def distance_transform(mask):
    """Compute the distance of each pixel to the nearest 0; the border of the image is not 0.

    Parameters
    ----------
    mask : (h, w) ndarray of uint8
        Not 0 inside.

    Returns
    -------
    (h + 2, w + 2) ndarray of int32
        In steps of 1/65536 of a pixel, with a meaningless margin of one pixel.
    """
    height, width = mask.shape
    depth = np.empty((height + 2, width + 2), np.int32)
    for x in range(width + 2):
        depth[0, x], depth[height + 1, x] = FAR, FAR
    for y in range(1, height + 1):
        row, here = mask[y - 1], depth[y]
        above = depth[y - 1]
        left, middle, right, out = (
            above[:width],
            above[1 : width + 1],
            above[2:],
            here[1 : width + 1],
        )
        for x in range(width):
            least = min(middle[x] + STRAIGHT, min(left[x], right[x]) + DIAGONAL)
            out[x] = least if row[x] else 0
        here[0], here[width + 1] = FAR, FAR
        last = FAR
        for x in range(width):
            last = min(out[x], last + STRAIGHT)
            out[x] = last
    for y in range(height, 0, -1):
        below, here = depth[y + 1], depth[y]
        left, middle, right, out = (
            below[:width],
            below[1 : width + 1],
            below[2:],
            here[1 : width + 1],
        )
        for x in range(width):
            out[x] = min(out[x], min(middle[x] + STRAIGHT, min(left[x], right[x]) + DIAGONAL))
        last = FAR
        for x in range(width - 1, -1, -1):
            last = min(out[x], last + STRAIGHT)
            out[x] = last
    return depth


@kernel
def stained_mask(dark, level, avoid):
    """Mark the pixels whose mean of `dark` over 3 x 3 pixels reaches `level`, except `avoid`."""
    height, width = dark.shape
    out = np.empty((height, width), np.uint8)
    sums = np.empty(width + 2, np.int32)
    least = 9 * level - 4
    for y in range(height):
        above = dark[y - 1 if y > 0 else min(1, height - 1)]
        here, below = dark[y], dark[y + 1 if y + 1 < height else max(0, height - 2)]
        inner = sums[1 : width + 1]
        for x in range(width):
            inner[x] = np.int32(above[x]) + np.int32(here[x]) + np.int32(below[x])
        sums[0], sums[width + 1] = inner[min(1, width - 1)], inner[max(0, width - 2)]
        before, after, line, free = sums[:width], sums[2:], out[y], avoid[y]
        for x in range(width):
            line[x] = (before[x] + inner[x] + after[x] >= least) & (free[x] == 0)
    return out


@kernel
def red_cell_radius(dark, level, avoid):
    """Estimate the radius of the red cells in view.

    Parameters
    ----------
    dark : (h, w) ndarray of uint8
        Density.
    level : int
        Density from which a mean over 3 x 3 pixels is stained.
    avoid : (h, w) ndarray of uint8
        1 on white cells and platelets.

    Returns
    -------
    float
        Median in pixels; NaN for fewer than two red cells.
    """
    height, width = dark.shape
    stained = stained_mask(dark, level, avoid)
    runs = np.empty((height * width + 1, 3), np.int32)
    begin = find_runs(stained, runs)
    label, k = label_runs(runs, begin)
    box, area, around = measure_regions(runs, begin, label, k, width)
    # The pale centre of a red cell is part of it; the gap in a ring of cells is not.
    for i in range(k):
        ring = around[i]
        if ring >= 0:
            size = (box[i, RIGHT] - box[i, LEFT] + 3) * (box[i, BOTTOM] - box[i, TOP] + 3)
            if size >= 0.3 * (area[ring] - half_perimeter(box, ring)):
                around[i] = -1
    for y in range(height):
        line = stained[y]
        for r in range(begin[y], begin[y + 1]):
            if around[label[r]] >= 0:
                for x in range(runs[r, START], runs[r, STOP]):
                    line[x] = 1
    depth = distance_transform(stained)
    deepest = np.zeros(k, np.int32)
    for y in range(height):
        line = depth[y + 1]
        for r in range(begin[y], begin[y + 1]):
            i = label[r]
            i = around[i] if around[i] >= 0 else i
            for x in range(runs[r, START], runs[r, STOP]):
                deepest[i] = max(deepest[i], line[x + 1])
    radii = np.empty(k)
    n, largest = 0, 0.0
    for i in range(k):
        span = box[i, RIGHT] - box[i, LEFT] + box[i, BOTTOM] - box[i, TOP]
        if deepest[i] > 0 and span > 8:
            radii[n] = deepest[i] / UNIT
            largest = max(largest, radii[n])
            n += 1
    # The median of those at least half as large as the largest, by an insertion sort.
    kept = 0
    for i in range(n):
        if radii[i] >= 0.5 * largest:
            value, j = radii[i], kept
            while j > 0 and radii[j - 1] > value:
                radii[j] = radii[j - 1]
                j -= 1
            radii[j] = value
            kept += 1
    if kept < 2:
        return np.nan
    return 0.5 * (radii[(kept - 1) // 2] + radii[kept // 2])
