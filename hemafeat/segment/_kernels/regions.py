"""Connected pixels of a mask, the holes in them, and how deep they are."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel

STRAIGHT, DIAGONAL = np.int32(62587), np.int32(89738)
"""0.955 and 1.3693 in steps of 1/65536 (Borgefors 1986, as in OpenCV's 3 x 3 mask)."""

UNIT = 65536.0

FAR = np.int32(1 << 29)


@kernel
def runs_of(mask, runs):
    """Stretches of equal pixels, row by row, and the stretch with which each row begins.

    Parameters
    ----------
    mask : (h, w) ndarray of uint8
    runs : (h * w + 1, 3) ndarray of int32
        Written: start, end, whether inside the mask.

    Returns
    -------
    (h + 1,) ndarray of int64
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
                runs[n, 0], runs[n, 1], runs[n, 2] = start, x, inside
                n += 1
                start, inside = x, not inside
        runs[n, 0], runs[n, 1], runs[n, 2] = start, width, inside
        n += 1
    begin[height] = n
    return begin


@kernel
def root(parents, i):
    """The first run of the region that run `i` belongs to, as far as known."""
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


@kernel
def regions(runs, begin):
    """Regions of a mask, pixels touching by a corner included, and those of what is left.

    What is left is connected by sides only, so that no line of pixels is crossed by it.

    Parameters
    ----------
    runs, begin : ndarray
        See `runs_of`.

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
            if runs[i, 2] == runs[j, 2]:
                # By a corner inside the mask, by a side outside of it.
                reach = 1 if runs[i, 2] else 0
                if runs[i, 0] < runs[j, 1] + reach and runs[j, 0] < runs[i, 1] + reach:
                    one, two = root(parents, i), root(parents, j)
                    parents[max(one, two)] = min(one, two)
            # The next pair may touch by a corner only: both ends are passed one by one.
            if runs[i, 1] < runs[j, 1]:
                i += 1
            elif runs[i, 1] > runs[j, 1]:
                j += 1
            else:
                for a, b in ((i + 1, j), (i, j + 1)):
                    if a < begin[y] and b < begin[y + 1] and runs[a, 2] and runs[b, 2]:
                        one, two = root(parents, a), root(parents, b)
                        parents[max(one, two)] = min(one, two)
                i += 1
                j += 1
    label = np.empty(n, np.int32)
    k = 0
    for i in range(n):
        if parents[i] == i:
            label[i] = k
            k += 1
        else:
            label[i] = label[root(parents, i)]
    return label, k


@kernel
def measured(runs, begin, label, k, width):
    """Boxes, areas and surroundings of regions.

    Parameters
    ----------
    runs, begin, label, k
        See `runs_of` and `regions`.
    width : int
        Of the mask.

    Returns
    -------
    box : (k, 4) ndarray of int32
        First and last column, first and last row.
    area : (k,) ndarray of int64
        Pixels, with those of the holes.
    around : (k,) ndarray of int32
        The region around a hole; -1 for one that is in the mask, or at the border.
    """
    height = begin.size - 1
    box = np.empty((k, 4), np.int32)
    area, around = np.zeros(k, np.int64), np.full(k, -1, np.int32)
    for i in range(k):
        box[i, 0], box[i, 1], box[i, 2], box[i, 3] = width, -1, -1, -1
    for y in range(height):
        for r in range(begin[y], begin[y + 1]):
            i = label[r]
            if box[i, 2] < 0:
                box[i, 2] = y
                if not runs[r, 2] and runs[r, 0] > 0:
                    # What surrounds a hole is left of its first pixel.
                    around[i] = label[r - 1]
            box[i, 0], box[i, 1] = min(box[i, 0], runs[r, 0]), max(box[i, 1], runs[r, 1] - 1)
            box[i, 3] = y
            area[i] += runs[r, 1] - runs[r, 0]
    for i in range(k):
        if box[i, 0] == 0 or box[i, 2] == 0 or box[i, 1] == width - 1 or box[i, 3] == height - 1:
            around[i] = -1
        if around[i] >= 0:
            area[around[i]] += area[i]
    return box, area, around


@kernel
def half_of_border(box, i):
    """What a polygon through the border pixels of a round region lacks of its pixels."""
    return 0.7 * (box[i, 1] - box[i, 0] + box[i, 3] - box[i, 2] + 2)


@kernel
def tidied(mask):
    """Fill the small holes of a mask and drop its small regions, in place.

    Small is what has less than 0.08 (holes) or 0.06 (regions) of the area of the largest region,
    as polygons through border pixels measure them.

    Parameters
    ----------
    mask : (h, w) ndarray of uint8
    """
    height, width = mask.shape
    runs = np.empty((height * width + 1, 3), np.int32)
    begin = runs_of(mask, runs)
    label, k = regions(runs, begin)
    if k < 3:
        return
    box, area, around = measured(runs, begin, label, k, width)
    inside = np.zeros(k, np.bool_)
    for r in range(begin[height]):
        inside[label[r]] = runs[r, 2]
    largest = 0.0
    for i in range(k):
        if inside[i]:
            largest = max(largest, area[i] - half_of_border(box, i))
    for y in range(height):
        line = mask[y]
        for r in range(begin[y], begin[y + 1]):
            i = label[r]
            half = half_of_border(box, i)
            small = inside[i] and area[i] - half < 0.06 * largest
            if small or (around[i] >= 0 and area[i] + half < 0.08 * largest):
                value = 0 if small else 1
                for x in range(runs[r, 0], runs[r, 1]):
                    line[x] = value


@kernel
def depth_of(mask):
    """(h + 2, w + 2) int32 distance to the nearest pixel that is 0, the border being none.

    Parameters
    ----------
    mask : (h, w) ndarray of uint8

    Returns
    -------
    (h + 2, w + 2) ndarray of int32
        In steps of 1/65536 of a pixel, with a margin of one pixel that means nothing.
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
def stained_of(dark, level, avoid):
    """(h, w) uint8: 1 where the mean of `dark` over 3 by 3 pixels is `level`, and no `avoid`."""
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
def radius_of_red_cells(dark, level, avoid):
    """Typical radius of the red cells in view; NaN where there are fewer than two.

    Parameters
    ----------
    dark : (h, w) ndarray of uint8
        Density.
    level : int
        From which a mean over 3 by 3 pixels is stained.
    avoid : (h, w) ndarray of uint8
        1 where white cells and platelets are.
    """
    height, width = dark.shape
    stained = stained_of(dark, level, avoid)
    runs = np.empty((height * width + 1, 3), np.int32)
    begin = runs_of(stained, runs)
    label, k = regions(runs, begin)
    box, area, around = measured(runs, begin, label, k, width)
    # The pale middle of a red cell is part of it; the gap in a ring of cells is not.
    for i in range(k):
        ring = around[i]
        if ring >= 0:
            # As a polygon through the pixels of its border measures it.
            size = (box[i, 1] - box[i, 0] + 3) * (box[i, 3] - box[i, 2] + 3)
            if size >= 0.3 * (area[ring] - half_of_border(box, ring)):
                around[i] = -1
    for y in range(height):
        line = stained[y]
        for r in range(begin[y], begin[y + 1]):
            if around[label[r]] >= 0:
                for x in range(runs[r, 0], runs[r, 1]):
                    line[x] = 1
    depth = depth_of(stained)
    most = np.zeros(k, np.int32)
    for y in range(height):
        line = depth[y + 1]
        for r in range(begin[y], begin[y + 1]):
            i = label[r]
            i = around[i] if around[i] >= 0 else i
            for x in range(runs[r, 0], runs[r, 1]):
                most[i] = max(most[i], line[x + 1])
    found = np.empty(k)
    n, largest = 0, 0.0
    for i in range(k):
        if most[i] > 0 and box[i, 1] - box[i, 0] + box[i, 3] - box[i, 2] > 8:
            found[n] = most[i] / UNIT
            largest = max(largest, found[n])
            n += 1
    # The middle one of those at least half as large as the largest; there are few.
    kept = 0
    for i in range(n):
        if found[i] >= 0.5 * largest:
            value, j = found[i], kept
            while j > 0 and found[j - 1] > value:
                found[j] = found[j - 1]
                j -= 1
            found[j] = value
            kept += 1
    if kept < 2:
        return np.nan
    return 0.5 * (found[(kept - 1) // 2] + found[kept // 2])
