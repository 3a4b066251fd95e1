"""Fill polygons and discs, and draw the masks of cells into label images."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel


def fill_polygon(x, y, mask):
    """Set `mask` to 1 where the centre of the pixel is inside a polygon, else to 0.

    Parameters
    ----------
    x, y : (n,) ndarray of float64
        Corners, in order.
    mask : (h, w) ndarray of uint8
        Overwritten.

    Returns
    -------
    area : int
        Number of pixels inside.
    sum_x, sum_y : int
        Sums of their columns and rows.
    left, right, top, bottom : int
        Their box; `right` and `bottom` are -1 if there are none.
    """
    return fill_runs(x, y, mask, np.empty((x.size + 1, len(mask)), np.int64))


@kernel
def fill_runs(x, y, mask, edges):
    """Fill `mask` for `fill_polygon`, with working memory for the edges that cross each row."""
    height, width = mask.shape
    counts = edges[x.size]
    for row in range(height):
        counts[row] = 0
        line = mask[row]
        for column in range(width):
            line[column] = 0
    n = x.size
    first, last, end = height, -1, 0
    for i in range(n):
        j = i + 1 if i + 1 < n else 0
        end = max(end, min(max(int(np.ceil(x[i])), 0), width))
        if y[i] == y[j]:
            continue
        x0, y0, x1, y1 = (x[i], y[i], x[j], y[j]) if y[i] < y[j] else (x[j], y[j], x[i], y[i])
        slope = (x1 - x0) / (y1 - y0)
        top = min(max(int(np.ceil(y0)), 0), height)
        bottom = min(max(int(np.ceil(y1)), 0), height)
        for row in range(top, bottom):
            column = min(max(int(np.ceil(x0 + slope * (row - y0))), 0), width)
            # Sorted from left to right: few edges cross a row.
            k = counts[row]
            while k > 0 and edges[k - 1, row] > column:
                edges[k, row] = edges[k - 1, row]
                k -= 1
            edges[k, row] = column
            counts[row] += 1
        if bottom > top:
            first, last = min(first, top), max(last, bottom - 1)
    area, twice_x, sum_y = 0, 0, 0
    leftmost, rightmost, uppermost, lowest = width, -1, height, -1
    for row in range(first, last + 1):
        # What lies between the first and the second edge is inside, and so on. Rounding may place
        # an edge beyond the last corner; it encloses nothing there.
        for k in range(0, counts[row], 2):
            start, stop = edges[k, row], min(edges[k + 1, row], end)
            if start < stop:
                out = mask[row][start:stop]
                for i in range(out.size):
                    out[i] = 1
                area += stop - start
                twice_x += (stop - start) * (start + stop - 1)
                sum_y += (stop - start) * row
                leftmost, rightmost = min(leftmost, start), max(rightmost, stop - 1)
                uppermost, lowest = min(uppermost, row), row
    return area, twice_x // 2, sum_y, leftmost, rightmost, uppermost, lowest


@kernel
def clear_disc(mask, x, y, radius):
    """Set `mask` to 0 within `radius` plus half a pixel of the pixel (x, y)."""
    height, width = mask.shape
    for row in range(max(0, y - radius), min(height, y + radius + 1)):
        half = int(np.sqrt(radius * (radius + 1) - (row - y) ** 2))
        line = mask[row][max(0, x - half) : max(0, min(width, x + half + 1))]
        for i in range(line.size):
            line[i] = 0


@kernel
def draw_cell(labels, nuclei, number, mask, nucleus, left, top, min_free):
    """Label the free pixels of a mask, unless there are fewer than `min_free`.

    Parameters
    ----------
    labels, nuclei : (H, W) ndarray of int32
        Label images of cells and nuclei; modified.
    number : int
        Label of the cell.
    mask, nucleus : (h, w) ndarray of uint8
        Masks of the cell and of its nucleus.
    left, top : int
        Position of the corner of the masks.
    min_free : float
        Least number of pixels of the mask that belong to no other cell.

    Returns
    -------
    bool
        True if the cell was drawn.
    """
    height, width = mask.shape
    free = 0
    for y in range(height):
        row, inside = labels[top + y, left : left + width], mask[y]
        for x in range(width):
            free += inside[x] > 0 and row[x] == 0
    if free < min_free:
        return False
    for y in range(height):
        row = labels[top + y, left : left + width]
        nuclei_row = nuclei[top + y, left : left + width]
        inside, deep = mask[y], nucleus[y]
        for x in range(width):
            if inside[x] > 0 and row[x] == 0:
                row[x] = number
                if deep[x] > 0:
                    nuclei_row[x] = number
    return True
