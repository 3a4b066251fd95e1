"""One cell at full size: the mask inside its outline, and its nucleus."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel
from hemafeat.segment._kernels.blur import blurred, enlarged, means
from hemafeat.segment._kernels.fill import fill
from hemafeat.segment._kernels.nuclei import above, contrast, otsu_inside
from hemafeat.segment._kernels.outline import ROUNDED
from hemafeat.segment._kernels.regions import UNIT, depth_of, tidied

BROAD = 22.0
WEAK = 3.7
"""Separation of nucleus and cytoplasm below which the nucleus is drawn in broad strokes."""

ALIKE = 0.72
"""Mean of the paler part over that of the darker one above which they may be one and the same."""

TWO_MODES = 2.9
"""Separation, in broad strokes, below which they are one; a normal histogram has 2.7."""

SAME = 0.86
"""Mean of the paler part over that of the darker one, in broad strokes, above which they are."""

RESIZED = 0.25 + 0.67
"""Variance of the blur of halving an image and doubling it again, in square pixels."""


@kernel
def solidity(x, y):
    """Area of a polygon over that of its convex hull; 1 where that has none.

    Parameters
    ----------
    x, y : (n,) ndarray of float64
        Corners, in order.
    """
    n = x.size
    area = 0.0
    for i in range(n):
        j = i + 1 if i + 1 < n else 0
        area += x[i] * y[j] - x[j] * y[i]
    # The corners from left to right: there are few.
    order = np.empty(n, np.int64)
    for i in range(n):
        j = i
        while j > 0 and (x[order[j - 1]], y[order[j - 1]]) > (x[i], y[i]):
            order[j] = order[j - 1]
            j -= 1
        order[j] = i
    hull = np.empty(2 * n + 1, np.int64)
    size = 0
    for turn in range(2):
        least = size + 1
        for k in range(n):
            i = order[k] if turn == 0 else order[n - 1 - k]
            while size > least:
                a, b = hull[size - 2], hull[size - 1]
                if (x[b] - x[a]) * (y[i] - y[a]) > (y[b] - y[a]) * (x[i] - x[a]):
                    break
                size -= 1
            hull[size] = i
            size += 1
        size -= 1
    around = 0.0
    for k in range(size):
        i, j = hull[k], hull[k + 1 if k + 1 < size else 0]
        around += x[i] * y[j] - x[j] * y[i]
    return abs(area / around) if around != 0.0 else 1.0


@kernel
def inside(x0, y0, radius, height, width):
    """The mask inside a closed curve, one radius per angle, on an image.

    Parameters
    ----------
    x0, y0 : float
    radius : (n,) ndarray of float64
    height, width : int
        Of the image.

    Returns
    -------
    mask : (h, w) ndarray of uint8
        Cut to the pixels inside; of size 0 where there are none.
    left, top : int
    solidity : float
        Of the part on the image.
    """
    n = radius.size
    x, y = np.empty(n), np.empty(n)
    seen_x, seen_y = np.empty(n), np.empty(n)
    left, right, top, bottom = np.inf, -np.inf, np.inf, -np.inf
    for i in range(n):
        angle = i * (2 * np.pi / n)
        reach = radius[i] - ROUNDED
        x[i], y[i] = x0 + reach * np.cos(angle), y0 + reach * np.sin(angle)
        seen_x[i] = min(max(x[i], 0.0), width - 1.0)
        seen_y[i] = min(max(y[i], 0.0), height - 1.0)
        left, right = min(left, seen_x[i]), max(right, seen_x[i])
        top, bottom = min(top, seen_y[i]), max(bottom, seen_y[i])
    column, row = math.floor(left), math.floor(top)
    mask = np.empty((math.ceil(bottom) - row + 1, math.ceil(right) - column + 1), np.uint8)
    for i in range(n):
        x[i] -= column
        y[i] -= row
    area = fill(x, y, mask)
    first_x, last_x, first_y, last_y = mask.shape[1], -1, mask.shape[0], -1
    for i in range(mask.shape[0] if area > 0 else 0):
        line = mask[i]
        for j in range(mask.shape[1]):
            if line[j]:
                first_x, last_x = min(first_x, j), max(last_x, j)
                first_y, last_y = min(first_y, i), i
    part = np.empty((max(last_y - first_y + 1, 0), max(last_x - first_x + 1, 0)), np.uint8)
    for i in range(part.shape[0]):
        line, out = mask[first_y + i], part[i]
        for j in range(part.shape[1]):
            out[j] = line[first_x + j]
    return part, column + first_x, row + first_y, solidity(seen_x, seen_y)


@kernel
def smooth_of(plane, sigma):
    """(h, w) uint8 Gaussian blur of a uint8 plane of even height and width."""
    height, width = plane.shape
    if sigma < 2.0:
        return enlarged(blurred(means(plane, 1), sigma), 1, height, width)
    # Half the size is a quarter of the cost, and where the blur is wide the result is the same:
    # means of two by two pixels, and lines drawn between them, blur as well.
    half = blurred(means(plane, 2), 0.5 * math.sqrt(sigma * sigma - RESIZED))
    return enlarged(half, 2, height, width)


@kernel
def broad_of(plane, cell, sigma):
    """(h, w) uint8 wide Gaussian blur of a plane, of what is in the cell alone.

    So wide a blur is the same at a fraction of the size, and a fraction of the cost.
    """
    height, width = cell.shape
    factor = max(1, min(int(sigma / 1.5), min(height, width)))
    held = np.empty((height, width), np.uint8)
    for y in range(height):
        row, mask, out = plane[y], cell[y], held[y]
        for x in range(width):
            out[x] = row[x] * mask[x]
    sigma = max(0.8, sigma) / factor
    value, share = blurred(means(held, factor), sigma), blurred(means(cell, factor), sigma)
    for y in range(value.shape[0]):
        row, mask = value[y], share[y]
        for x in range(value.shape[1]):
            row[x] = min(row[x] / mask[x], np.float32(255.0)) if mask[x] > 1e-3 else np.float32(0.0)
    return enlarged(value, factor, height, width)


@kernel
def core_of(cell, reach):
    """(h, w) uint8: 1 farther inside the cell than `reach` pixels."""
    height, width = cell.shape
    framed = np.zeros((height + 2, width + 2), np.uint8)
    for y in range(height):
        line, out = cell[y], framed[y + 1]
        for x in range(width):
            out[x + 1] = line[x]
    depth = depth_of(framed)
    core = np.empty((height, width), np.uint8)
    for y in range(height):
        line, out = depth[y + 2, 2 : width + 2], core[y]
        for x in range(width):
            out[x] = line[x] > reach * UNIT
    return core


@kernel
def nucleus_in(image, table, left, top, cell):
    """The nucleus inside one cell, at full size.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
    table : (3, 256) ndarray of uint8
        Density of each level; see `levels.planes`.
    left, top : int
        Where the box of the cell lies.
    cell : (h, w) ndarray of uint8
        1 inside the cell.

    Returns
    -------
    nucleus : (h, w) ndarray of uint8
        1 inside the nucleus.
    found : (3,) ndarray of float64
        Distance of the mean levels of nucleus and cytoplasm in standard deviations; pixels of the
        cell, and of the nucleus.
    """
    height, width = cell.shape
    area = 0
    for y in range(height):
        line = cell[y]
        for x in range(width):
            area += int(line[x])
    found = np.zeros(3)
    found[1] = area
    size = math.sqrt(area)
    if size < 3:
        return np.zeros((height, width), np.uint8), found
    plane = contrast(image, table, left, top, height, width)
    smooth = smooth_of(plane, max(0.8, size / 50.0))
    threshold, low, high, found[0] = otsu_inside(smooth, cell)
    level = float(threshold)
    if found[0] < WEAK or low > ALIKE * high:
        # Granules hide where the nucleus ends: only its broad shape is to be had.
        broad = broad_of(plane, cell, size / BROAD)
        core = core_of(cell, max(1, int(np.rint(size / 16))))
        threshold, pale, deep, apart = otsu_inside(broad, core)
        if apart < TWO_MODES or pale > SAME * deep:
            # A cell that is nearly all nucleus has one mode: what is below it is its edge.
            level = 0.5 * high
        else:
            level, smooth = float(threshold), broad
    nucleus = above(smooth, level, cell, max(1, int(np.rint(size / 60.0))))
    tidied(nucleus)
    total = 0
    for y in range(height):
        line, mask = nucleus[y], cell[y]
        for x in range(width):
            line[x] &= mask[x]
            total += int(line[x])
    found[2] = total
    return nucleus, found


@kernel
def cell_of(image, table, x0, y0, radius):
    """A cell and its nucleus at full size.

    Parameters
    ----------
    image, table
        See `nucleus_in`.
    x0, y0, radius
        See `inside`.

    Returns
    -------
    cell, nucleus : (h, w) ndarray of uint8
    left, top : int
        Where their corner lies.
    found : (4,) ndarray of float64
        As of `nucleus_in`, and the solidity of the cell.
    """
    height, width = image.shape[:2]
    cell, left, top, solid = inside(x0, y0, radius, height, width)
    nucleus, values = nucleus_in(image, table, left, top, cell)
    found = np.empty(4)
    found[0], found[1], found[2], found[3] = values[0], values[1], values[2], solid
    return cell, nucleus, left, top, found
