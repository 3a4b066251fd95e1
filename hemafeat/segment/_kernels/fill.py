"""Fill polygons and discs, and draw the masks of cells into label images."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel


@kernel
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
    int
        Number of pixels inside.
    """
    height, width = mask.shape
    n = x.size
    for row in range(height):
        line = mask[row]
        for column in range(width):
            line[column] = 0
    first, last, end = height, -1, 0
    for i in range(n):
        j = i + 1 if i + 1 < n else 0
        end = max(end, min(max(int(np.ceil(x[i])), 0), width))
        if y[i] == y[j]:
            continue
        x0, y0, x1, y1 = (x[i], y[i], x[j], y[j]) if y[i] < y[j] else (x[j], y[j], x[i], y[i])
        slope = (x1 - x0) / (y1 - y0)
        # Each edge toggles all pixels to its right; pixels toggled an odd number of times are
        # inside.
        top = min(max(int(np.ceil(y0)), 0), height)
        bottom = min(max(int(np.ceil(y1)), 0), height)
        for row in range(top, bottom):
            column = min(max(int(np.ceil(x0 + slope * (row - y0))), 0), width)
            if column < width:
                mask[row, column] ^= 1
        if bottom > top:
            first, last = min(first, top), max(last, bottom - 1)
    area = 0
    for row in range(first, last + 1):
        line = mask[row]
        inside = np.uint8(0)
        for column in range(end):
            inside ^= line[column]
            line[column] = inside
            area += int(inside)
        # Rounding may place an edge beyond the last corner; it encloses nothing there.
        for column in range(end, width):
            line[column] = 0
    return area


@kernel
def clear_disc(mask, x, y, radius):
    """Set `mask` to 0 within `radius` plus half a pixel of the pixel (x, y)."""
    height, width = mask.shape
    for row in range(max(0, y - radius), min(height, y + radius + 1)):
        half = int(np.sqrt(radius * (radius + 1) - (row - y) ** 2))
        line = mask[row]
        for column in range(max(0, x - half), min(width, x + half + 1)):
            line[column] = 0


@kernel
def mean_density(mask, rgb, table, left, top):
    """Compute the mean density over a mask whose corner lies at (left, top) of the image.

    Parameters
    ----------
    mask : (h, w) ndarray of uint8
        Pixels to average.
    rgb : (H, W, 3) ndarray of uint8
        Image.
    table : (3, 256) ndarray of uint8
        Density of each level.
    left, top : int
        Position of the mask in the image.

    Returns
    -------
    (3,) ndarray of float64
        Mean density of R, G and B; 0 for an empty mask.
    """
    total = np.zeros(3)
    n = 0
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            if mask[y, x]:
                n += 1
                for channel in range(3):
                    total[channel] += table[channel, rgb[top + y, left + x, channel]]
    for channel in range(3):
        total[channel] /= max(n, 1)
    return total


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
