"""The part of an image that is measured, and what it says of its own quality."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel


@kernel
def cut(cell, nucleus, keep, margin):
    """Labels of one cell, or of all, within their bounding box.

    Parameters
    ----------
    cell, nucleus : (H, W) int32 arrays
        Labels; 0 is background.
    keep : int
        The one label to keep, which becomes 1; 0 keeps all as they are.
    margin : int
        Pixels around the box, as far as the image goes.

    Returns
    -------
    box : (4,) int64 array
        Row start, row stop, column start, column stop; the whole image where there is no label.
    cell, nucleus, cytoplasm : (h, w) int32 arrays
        Labels within the box; ``cytoplasm`` is the cell where there is no nucleus.
    """
    height, width = cell.shape
    top, bottom, left, right = height, 0, width, 0
    for row in range(height):
        cell_line = cell[row]
        nucleus_line = nucleus[row]
        some = 0
        for column in range(width):
            some |= cell_line[column] | nucleus_line[column]
        if some == 0:
            continue
        first, last = width, -1
        for column in range(width):
            if keep == 0:
                inside = (cell_line[column] | nucleus_line[column]) != 0
            else:
                inside = cell_line[column] == keep or nucleus_line[column] == keep
            if inside:
                first = column
                break
        if first == width:
            continue
        for column in range(width - 1, -1, -1):
            if keep == 0:
                inside = (cell_line[column] | nucleus_line[column]) != 0
            else:
                inside = cell_line[column] == keep or nucleus_line[column] == keep
            if inside:
                last = column
                break
        top = min(top, row)
        bottom = row + 1
        left = min(left, first)
        right = max(right, last + 1)
    if bottom == 0:
        top, bottom, left, right = 0, height, 0, width
    box = np.array(
        [
            max(0, top - margin),
            min(height, bottom + margin),
            max(0, left - margin),
            min(width, right + margin),
        ]
    )
    tall, wide = box[1] - box[0], box[3] - box[2]
    cell_box = np.empty((tall, wide), np.int32)
    nucleus_box = np.empty((tall, wide), np.int32)
    cytoplasm_box = np.empty((tall, wide), np.int32)
    for row in range(tall):
        cell_line = cell[box[0] + row, box[2] : box[3]]
        nucleus_line = nucleus[box[0] + row, box[2] : box[3]]
        cell_out, nucleus_out = cell_box[row], nucleus_box[row]
        cytoplasm_out = cytoplasm_box[row]
        # Two loops, so that both vectorise.
        if keep == 0:
            for column in range(wide):
                cell_out[column] = cell_line[column]
                nucleus_out[column] = nucleus_line[column]
                cytoplasm_out[column] = cell_line[column] * np.int32(nucleus_line[column] == 0)
        else:
            for column in range(wide):
                one = np.int32(cell_line[column] == keep)
                other = np.int32(nucleus_line[column] == keep)
                cell_out[column] = one
                nucleus_out[column] = other
                cytoplasm_out[column] = one & (1 - other)
    return box, cell_box, nucleus_box, cytoplasm_box


@kernel
def nearest_to_centre(cell, nucleus):
    """Label under the centre of the image, or else the one with a pixel nearest to it.

    Among pixels at the same distance the first one in raster order decides; 0 where there is none.
    """
    height, width = cell.shape
    # Twice the coordinates, so that the centre of an even side is a whole number as well.
    middle_row, middle_column = height - 1, width - 1
    here = max(
        cell[middle_row // 2, middle_column // 2], nucleus[middle_row // 2, middle_column // 2]
    )
    if here != 0:
        return here
    found = 0
    least = 4 * (height * height + width * width)
    for row in range(height):
        away = (2 * row - middle_row) ** 2
        if away >= least:
            continue
        for column in range(width):
            label = max(cell[row, column], nucleus[row, column])
            if label != 0:
                distance = away + (2 * column - middle_column) ** 2
                if distance < least:
                    least = distance
                    found = label
    return found


@kernel
def outside_histogram(rgb, labels, step):
    """(3, 256) int64 histogram of R, G and B where `labels` is 0, every `step`-th row and column.

    `rgb` is (H, W, 3) uint8 and `labels` (H, W) int32.
    """
    # Two tables in turn: background is of nearly one colour, and a bin just written is awaited.
    counts = np.zeros((2, 3, 256), np.int32)
    turn = 0
    for row in range(0, labels.shape[0], step):
        line = labels[row]
        colours = rgb[row]
        for column in range(0, labels.shape[1], step):
            if line[column] == 0:
                counts[turn, 0, colours[column, 0]] += 1
                counts[turn, 1, colours[column, 1]] += 1
                counts[turn, 2, colours[column, 2]] += 1
                turn = 1 - turn
    return (counts[0] + counts[1]).astype(np.int64)


@kernel
def sharpness(grey, boxes):
    """Variance of the Laplacian within each box.

    The Laplacian is the sum of the 4 neighbours less 4 times the pixel; beyond the edge of the box
    the grey levels are mirrored about its outermost pixels.

    Parameters
    ----------
    grey : (H, W) uint8 array
        Grey levels.
    boxes : (n_cells, 4) int64 array
        Row start, row stop, column start, column stop.

    Returns
    -------
    (n_cells,) float64 array
        NaN for an empty box.
    """
    found = np.full(boxes.shape[0], np.nan)
    for cell in range(boxes.shape[0]):
        top, bottom, left, right = boxes[cell]
        tall, wide = bottom - top, right - left
        if tall <= 0 or wide <= 0:
            continue
        # A single row or column is its own mirror image.
        inner_row = 1 if tall > 1 else 0
        inner_column = 1 if wide > 1 else 0
        total, squares = 0, 0
        for row in range(tall):
            above = grey[top + (row - 1 if row > 0 else inner_row), left:right]
            line = grey[top + row, left:right]
            below = grey[top + (row + 1 if row < tall - 1 else tall - 1 - inner_row), left:right]
            row_total, row_squares = 0, 0
            for column in range(1, wide - 1):
                value = (
                    np.int32(above[column])
                    + np.int32(below[column])
                    + np.int32(line[column - 1])
                    + np.int32(line[column + 1])
                    - 4 * np.int32(line[column])
                )
                row_total += value
                row_squares += value * value
            for column in (0, wide - 1):
                if column == 0 or wide > 1:
                    before = line[column - 1] if column > 0 else line[inner_column]
                    after = line[column + 1] if column < wide - 1 else line[wide - 1 - inner_column]
                    value = (
                        np.int32(above[column])
                        + np.int32(below[column])
                        + np.int32(before)
                        + np.int32(after)
                        - 4 * np.int32(line[column])
                    )
                    row_total += value
                    row_squares += value * value
                if wide == 1:
                    break
            total += row_total
            squares += row_squares
        n = tall * wide
        mean = total / n
        found[cell] = squares / n - mean * mean
    return found


@kernel
def clipped_share(flat, starts, index):
    """(n_cells,) float64 share of a cell's pixels that are 0 or 255 in some channel.

    `flat` is the image as (N, 3) uint8; `starts` and `index` as ``regions.pixels`` gives them.
    """
    n_cells = starts.size - 1
    found = np.full(n_cells, np.nan)
    for cell in range(n_cells):
        first, stop = starts[cell], starts[cell + 1]
        if stop == first:
            continue
        clipped = 0
        for place in range(first, stop):
            pixel = index[place]
            low = min(flat[pixel, 0], flat[pixel, 1], flat[pixel, 2])
            high = max(flat[pixel, 0], flat[pixel, 1], flat[pixel, 2])
            clipped += low == 0 or high == 255
        found[cell] = clipped / (stop - first)
    return found
