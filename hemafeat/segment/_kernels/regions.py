"""Connected regions of a mask, their holes, and the distance to their border."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from hemafeat._jit import inlined, kernel

STRAIGHT, DIAGONAL = np.int32(62587), np.int32(89738)
"""0.955 and 1.3693 in steps of 1/65536 (Borgefors 1986, as in OpenCV's 3 x 3 mask)."""

UNIT = 65536.0

FAR = np.int32(1 << 29)

START, STOP, INSIDE = range(3)
"""Columns of a table of runs: first pixel, pixel after the last one, 1 if inside the mask."""

LEFT, RIGHT, TOP, BOTTOM = range(4)
"""Columns of a table of boxes: first and last column, first and last row."""


class Regions(NamedTuple):
    """Regions of a mask (8-connected) and of its background (4-connected).

    Attributes
    ----------
    runs : (n, 3) ndarray of int32
        Runs of equal pixels, row by row; see `START`.
    begin : (h + 1,) ndarray of int64
        Index of the first run of each row, and the number of runs.
    label : (n,) ndarray of int64
        Region of each run, 0 upwards, in the order of their first pixels.
    box : (k, 4) ndarray of int64
        See `LEFT`.
    area : (k,) ndarray of int64
        Number of pixels, those of holes included.
    around : (k,) ndarray of int64
        Region around a hole; -1 for a region of the mask, or one at the border of the image.
    inside : (k,) ndarray of bool
        True for a region of the mask.
    """

    runs: np.ndarray
    begin: np.ndarray
    label: np.ndarray
    box: np.ndarray
    area: np.ndarray
    around: np.ndarray
    inside: np.ndarray


def find_regions(mask: np.ndarray, least: int = 0) -> Regions | None:
    """Find the regions of an (h, w) uint8 mask that is not 0 inside, and of its background.

    Return None if there are fewer than `least`.
    """
    height, width = mask.shape
    runs = np.empty((height * width, 3), np.int32)
    begin, label = np.empty(height + 1, np.int64), np.empty(height * width, np.int64)
    k = label_runs(mask, runs, begin, label)
    if k < least:
        return None
    box, inside = np.empty((k, 4), np.int64), np.empty(k, np.bool_)
    area, around = np.empty((2, k), np.int64)
    measure_regions(runs, begin, label, width, box, area, around, inside)
    return Regions(runs, begin, label, box, area, around, inside)


@kernel
def label_runs(mask, runs, begin, label):
    """Fill `runs`, `begin` and `label` of `Regions`, and return the number of regions."""
    height, width = mask.shape
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
    for i in range(n):
        label[i] = i
    for y in range(1, height):
        i, j = begin[y - 1], begin[y]
        while i < begin[y] and j < begin[y + 1]:
            # A corner connects runs inside the mask, a side those outside of it.
            reach = runs[i, INSIDE]
            if (
                runs[i, INSIDE] == runs[j, INSIDE]
                and runs[i, START] < runs[j, STOP] + reach
                and runs[j, START] < runs[i, STOP] + reach
            ):
                a, b = i, j
                while label[a] != a:
                    label[a] = label[label[a]]
                    a = label[a]
                while label[b] != b:
                    label[b] = label[label[b]]
                    b = label[b]
                label[max(a, b)] = min(a, b)
            # Of two runs that end together, the one inside may touch the next run above or below
            # it at a corner: the one outside is left first.
            if runs[i, STOP] < runs[j, STOP] or (
                runs[i, STOP] == runs[j, STOP] and not runs[i, INSIDE]
            ):
                i += 1
            else:
                j += 1
    k = 0
    for i in range(n):
        # The root of a region is its first run.
        if label[i] == i:
            label[i] = k
            k += 1
        else:
            label[i] = label[label[i]]
    return k


@kernel
def measure_regions(runs, begin, label, width, box, area, around, inside):
    """Fill `box`, `area`, `around` and `inside` of `Regions`."""
    height, k = begin.size - 1, area.size
    for i in range(k):
        area[i], around[i] = 0, -1
        box[i, LEFT], box[i, RIGHT], box[i, TOP], box[i, BOTTOM] = width, -1, -1, -1
    for y in range(height):
        for r in range(begin[y], begin[y + 1]):
            i = label[r]
            start, last = np.int64(runs[r, START]), np.int64(runs[r, STOP]) - 1
            if box[i, TOP] < 0:
                box[i, TOP] = y
                inside[i] = runs[r, INSIDE] > 0
                if not inside[i] and start > 0:
                    # The region around a hole lies to the left of its first pixel.
                    around[i] = label[r - 1]
            box[i, LEFT], box[i, RIGHT] = min(box[i, LEFT], start), max(box[i, RIGHT], last)
            box[i, BOTTOM] = y
            area[i] += last + 1 - start
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


@inlined
def half_perimeter(box, i):
    """Estimate by how much a polygon through the border pixels of a round region is too small."""
    return 0.7 * (box[i, RIGHT] - box[i, LEFT] + box[i, BOTTOM] - box[i, TOP] + 2)


def remove_specks(mask: np.ndarray) -> None:
    """Fill the small holes of a mask and remove its small regions, in place.

    Holes below 0.08 and regions below 0.06 of the area of the largest region are small; areas are
    those of polygons through border pixels.

    Parameters
    ----------
    mask : (h, w) ndarray of uint8
        0 and 1; modified.
    """
    regions = find_regions(mask, 3)
    if regions is not None:
        paint_specks(mask, *regions)


@kernel
def paint_specks(mask, runs, begin, label, box, area, around, inside):
    """Take the step of `remove_specks` that modifies `mask`, given its `Regions`."""
    largest = 0.0
    for i in range(area.size):
        if inside[i]:
            largest = max(largest, area[i] - half_perimeter(box, i))
    for y in range(mask.shape[0]):
        for r in range(begin[y], begin[y + 1]):
            i = label[r]
            half = half_perimeter(box, i)
            small = inside[i] and area[i] - half < 0.06 * largest
            if small or (around[i] >= 0 and area[i] + half < 0.08 * largest):
                value = 0 if small else 1
                line = mask[y][runs[r, START] : runs[r, STOP]]
                for x in range(line.size):
                    line[x] = value


@inlined
def measure_depths(runs, begin, label, around, inside, depth, deepest):
    """Compute the distance of each pixel to the nearest one outside; the border does not count.

    Parameters
    ----------
    runs, begin, label, around, inside
        See `Regions`. Holes, which have a region around them, count as parts of it.
    depth : (h + 2, w + 2) ndarray of int32
        Filled with distances, in steps of 1/65536 of a pixel, and a meaningless margin.
    deepest : (k,) ndarray of int32
        All zero; filled with the largest distance of the pixels of each region.
    """
    height, width = depth.shape[0] - 2, depth.shape[1] - 2
    for x in range(width + 2):
        depth[0, x], depth[height + 1, x] = FAR, FAR
    for y in range(1, height + 1):
        above, here = depth[y - 1], depth[y]
        here[0], here[width + 1] = FAR, FAR
        for r in range(begin[y - 1], begin[y]):
            start, n = runs[r, START] + 1, runs[r, STOP] - runs[r, START]
            out = here[start:]
            if not inside[label[r]] and around[label[r]] < 0:
                for i in range(n):
                    out[i] = 0
                continue
            left, middle, right = above[start - 1 :], above[start:], above[start + 1 :]
            for i in range(n):
                out[i] = min(middle[i] + STRAIGHT, min(left[i], right[i]) + DIAGONAL)
            last = np.int64(here[start - 1])
            for i in range(n):
                last = min(np.int64(out[i]), last + STRAIGHT)
                out[i] = last
    for y in range(height, 0, -1):
        below, here = depth[y + 1], depth[y]
        for r in range(begin[y] - 1, begin[y - 1] - 1, -1):
            owner = label[r]
            if around[owner] >= 0:
                owner = around[owner]
            elif not inside[owner]:
                continue
            start, n = runs[r, START] + 1, runs[r, STOP] - runs[r, START]
            out = here[start:]
            left, middle, right = below[start - 1 :], below[start:], below[start + 1 :]
            for i in range(n):
                out[i] = min(out[i], min(middle[i] + STRAIGHT, min(left[i], right[i]) + DIAGONAL))
            last, most = np.int64(here[start + n]), np.int64(deepest[owner])
            for i in range(n - 1, -1, -1):
                last = min(np.int64(out[i]), last + STRAIGHT)
                out[i] = last
                most = max(most, last)
            deepest[owner] = most


def red_cell_radius(dark: np.ndarray, level: int, avoid: np.ndarray) -> float:
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
    stained = ((cv2.blur(dark, (3, 3)) >= level) & (avoid == 0)).view(np.uint8)
    regions = find_regions(stained)
    assert regions is not None
    k = len(regions.area)
    depth = np.empty((dark.shape[0] + 2, dark.shape[1] + 2), np.int32)
    return median_radius(*regions, depth, np.zeros(k, np.int32), np.empty(k))


@kernel
def median_radius(runs, begin, label, box, area, around, inside, depth, deepest, radii):
    """Compute `red_cell_radius` from `Regions`, of which `around` is overwritten."""
    k = area.size
    # The pale centre of a red cell is part of it; the gap in a ring of cells is not.
    for i in range(k):
        ring = around[i]
        if ring >= 0:
            size = (box[i, RIGHT] - box[i, LEFT] + 3) * (box[i, BOTTOM] - box[i, TOP] + 3)
            if size >= 0.3 * (area[ring] - half_perimeter(box, ring)):
                around[i] = -1
    measure_depths(runs, begin, label, around, inside, depth, deepest)
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
