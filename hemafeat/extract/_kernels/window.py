"""The window of an image that is measured, and the quality of the image in it."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel


@kernel
def cut(cell, nucleus, keep, margin):
    """Cut out the labels of one cell, or of all, within their bounding box.

    Parameters
    ----------
    cell, nucleus : (H, W) int32 arrays
        Labels; 0 is background.
    keep : int
        Label to keep, which becomes 1; 0 keeps all labels as they are.
    margin : int
        Pixels to add around the box, within the image.

    Returns
    -------
    box : (4,) int64 array
        Row start, row stop, column start, column stop; the whole image if there is no label.
    cell, nucleus, cytoplasm : (h, w) int32 arrays
        Labels within the box; ``cytoplasm`` is the cell without its nucleus.
    """
    height, width = cell.shape
    top, bottom, left, right = height, 0, width, 0
    columns = np.zeros(width, np.int32)
    for row in range(height):
        cell_line, nucleus_line = cell[row], nucleus[row]
        any_label = np.int32(0)
        # Two separate loops, so that both vectorise.
        if keep == 0:
            for column in range(width):
                here = cell_line[column] | nucleus_line[column]
                columns[column] |= here
                any_label |= here
        else:
            for column in range(width):
                here = np.int32(cell_line[column] == keep) | np.int32(nucleus_line[column] == keep)
                columns[column] |= here
                any_label |= here
        if any_label != 0:
            top, bottom = min(top, row), row + 1
    for column in range(width):
        if columns[column] != 0:
            left, right = min(left, column), column + 1
    if bottom == 0:
        top, bottom, left, right = 0, height, 0, width
    box = np.empty(4, np.int64)
    box[0], box[1] = max(0, top - margin), min(height, bottom + margin)
    box[2], box[3] = max(0, left - margin), min(width, right + margin)
    tall, wide = box[1] - box[0], box[3] - box[2]
    cell_box = np.empty((tall, wide), np.int32)
    nucleus_box = np.empty((tall, wide), np.int32)
    cytoplasm_box = np.empty((tall, wide), np.int32)
    for row in range(tall):
        cell_line = cell[box[0] + row, box[2] : box[3]]
        nucleus_line = nucleus[box[0] + row, box[2] : box[3]]
        cell_out, nucleus_out = cell_box[row], nucleus_box[row]
        cytoplasm_out = cytoplasm_box[row]
        if keep == 0:
            for column in range(wide):
                cell_out[column] = cell_line[column]
                nucleus_out[column] = nucleus_line[column]
                cytoplasm_out[column] = cell_line[column] * np.int32(nucleus_line[column] == 0)
        else:
            for column in range(wide):
                in_cell = np.int32(cell_line[column] == keep)
                in_nucleus = np.int32(nucleus_line[column] == keep)
                cell_out[column] = in_cell
                nucleus_out[column] = in_nucleus
                cytoplasm_out[column] = in_cell & (1 - in_nucleus)
    return box, cell_box, nucleus_box, cytoplasm_box


@kernel
def nearest_to_centre(cell, nucleus):
    """Return the label at the centre of the image, or else the one with the pixel nearest to it.

    Among pixels at the same distance the first in raster order counts; 0 if there is no label.
    """
    height, width = cell.shape
    # Coordinates are doubled, so that the centre of an even side is a whole number as well.
    middle_row, middle_column = height - 1, width - 1
    central = max(
        cell[middle_row // 2, middle_column // 2], nucleus[middle_row // 2, middle_column // 2]
    )
    if central != 0:
        return central
    nearest = 0
    least = 4 * (height * height + width * width)
    for row in range(height):
        row_distance = (2 * row - middle_row) ** 2
        if row_distance >= least:
            continue
        for column in range(width):
            label = max(cell[row, column], nucleus[row, column])
            if label != 0:
                distance = row_distance + (2 * column - middle_column) ** 2
                if distance < least:
                    least = distance
                    nearest = label
    return nearest


@kernel
def outside_histogram(rgb, labels):
    """Count the levels of R, G and B where `labels` is 0.

    Parameters
    ----------
    rgb : (H, W, 3) uint8 array
        RGB image.
    labels : (H, W) int32 array
        Labels; 0 is background.

    Returns
    -------
    counts : (3, 256) int64 array
        Histograms of R, G and B.
    n_black, n_saturated : int
        Number of these pixels that are 0, and that are 255, in all channels.
    """
    height, width = labels.shape
    # Four tables in turn: the background has nearly one colour, and the same bin would be awaited.
    parts = np.zeros((4, 3, 256), np.int32)
    for row in range(height):
        line, colours = labels[row], rgb[row]
        any_label = np.int32(0)
        for column in range(width):
            any_label |= line[column]
        for column in range(width):
            # In rows without a cell there is no branch: this loop is compiled twice.
            if any_label == 0 or line[column] == 0:
                parts[column & 3, 0, colours[column, 0]] += 1
                parts[column & 3, 1, colours[column, 1]] += 1
                parts[column & 3, 2, colours[column, 2]] += 1
    counts = np.empty((3, 256), np.int64)
    for channel in range(3):
        for level in range(256):
            counts[channel, level] = 0
            for part in range(4):
                counts[channel, level] += parts[part, channel, level]
    n_black = n_saturated = 0
    # Most images have no such pixel.
    black = counts[0, 0] > 0 and counts[1, 0] > 0 and counts[2, 0] > 0
    if black or (counts[0, 255] > 0 and counts[1, 255] > 0 and counts[2, 255] > 0):
        for row in range(height):
            line, colours = labels[row], rgb[row]
            for column in range(width):
                if line[column] == 0:
                    red, green, blue = colours[column, 0], colours[column, 1], colours[column, 2]
                    n_black += (red | green | blue) == 0
                    n_saturated += (red & green & blue) == 255
    return counts, n_black, n_saturated


@kernel
def sharpness(grey, boxes):
    """Return the variance of the Laplacian within each box.

    The Laplacian is the sum of the 4 neighbours minus 4 times the pixel; beyond the edge of the box
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
    out = np.empty(boxes.shape[0], np.float64)
    out[:] = np.nan
    for cell in range(boxes.shape[0]):
        top, bottom, left, right = boxes[cell, 0], boxes[cell, 1], boxes[cell, 2], boxes[cell, 3]
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
        out[cell] = squares / n - mean * mean
    return out


@kernel
def clipped_share(rgb, run_starts, runs):
    """Return the share of the pixels of each cell that are 0 or 255 in some channel.

    Parameters
    ----------
    rgb : (H, W, 3) uint8 array
        RGB image.
    run_starts, runs
        Runs of the cells, see ``runs.find_runs``.

    Returns
    -------
    (n_cells,) float64 array
        NaN where there is no pixel.
    """
    n_cells = run_starts.size - 1
    flat, width = rgb.reshape(-1), rgb.shape[1]
    out = np.empty(n_cells, np.float64)
    for cell in range(n_cells):
        clipped, area = 0, 0
        for run in range(run_starts[cell], run_starts[cell + 1]):
            n = runs[run, 2] - runs[run, 1]
            start = 3 * (runs[run, 0] * width + runs[run, 1])
            line, part = flat[start : start + 3 * n], np.int32(0)
            for k in range(n):
                # An unsigned index cannot be negative, so the loop vectorises.
                first = np.uint64(3) * np.uint64(k)
                red, green = line[first], line[first + np.uint64(1)]
                blue = line[first + np.uint64(2)]
                least, most = min(red, min(green, blue)), max(red, max(green, blue))
                part += np.int32(least == 0) | np.int32(most == 255)
            clipped += part
            area += n
        out[cell] = clipped / area if area > 0 else np.nan
    return out
