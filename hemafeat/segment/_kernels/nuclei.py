"""Thresholds that separate nuclei from the rest, and measures of the gap between two pieces."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel
from hemafeat.segment._kernels.levels import quantile_index

MIX = np.arange(256) / 1.0
MIX = 127.5 * (1.0 - 10.0 ** (-MIX / 100.0) + MIX / 150.0)
MIX = np.clip(MIX * np.array([[0.2], [0.8], [0.5]]), 0, 255).astype(np.uint8)
"""Half absorbance, half density: absorbance alone loses pale nuclei, density alone puts the
threshold inside dark ones. Blue is subtracted: red granules absorb it, nuclei hardly do."""


@kernel
def otsu(counts):
    """Compute Otsu's threshold of a histogram and how well it separates the two parts.

    Parameters
    ----------
    counts : (256,) ndarray of int64
        Histogram.

    Returns
    -------
    threshold : int
        Highest level of the lower part.
    low, high : float
        Mean levels of the lower and the upper part.
    separation : float
        Difference of the means in standard deviations within the parts; a deviation counts as at
        least 1.
    """
    total, moment = 0, 0
    for level in range(256):
        total += counts[level]
        moment += level * counts[level]
    if total == 0:
        return 0, 0.0, 0.0, 0.0
    weight, part = 0, 0
    threshold, largest, share = 0, -1.0, 0.0
    low, high = 0.0, 0.0
    for level in range(256):
        weight += counts[level]
        part += level * counts[level]
        below = part / max(weight, 1)
        above = (moment - part) / max(total - weight, 1)
        between = float(weight) * (total - weight) * (above - below) ** 2
        if between > largest:
            threshold, largest, low, high = level, between, below, above
            share = weight / total
    mean = moment / total
    spread = 0.0
    for level in range(256):
        spread += counts[level] * (level - mean) ** 2
    within = spread / total - share * (1 - share) * (high - low) ** 2
    return threshold, low, high, (high - low) / np.sqrt(max(within, 1.0))


@kernel
def otsu_inside(plane, mask):
    """Apply `otsu` to the part of a plane under a mask, which may be smaller than the plane."""
    counts = np.zeros(256, np.int64)
    for y in range(mask.shape[0]):
        row, inside = plane[y], mask[y]
        for x in range(mask.shape[1]):
            counts[row[x]] += inside[x]
    return otsu(counts)


@kernel
def nuclear_mask(plane, rgb, table, dark, faint, min_density):
    """Segment nuclei on a smoothed plane of violet density.

    Parameters
    ----------
    plane : (h, w) ndarray of uint8
        Violet density.
    rgb : (h, w, 3) ndarray of uint8
        Image.
    table : (3, 256) ndarray of uint8
        Density of each level.
    dark : (h, w) ndarray of uint8
        Density.
    faint : float
        Density up to which a pixel may be background.
    min_density : int
        Least violet density of a nucleus.

    Returns
    -------
    mask : (h, w) ndarray of uint8
        1 on nuclei.
    any_nuclei : bool
        False if nothing is violet enough.
    """
    height, width = plane.shape
    mask = np.zeros((height, width), np.uint8)
    # Adjacent pixels often have the same level: four histograms avoid waiting for each other.
    parts = np.zeros((4, 256), np.int32)
    for y in range(height):
        row = plane[y]
        for x in range(width):
            parts[x & 3, row[x]] += 1
    counts = np.zeros(256, np.int64)
    for level in range(256):
        for i in range(4):
            counts[level] += parts[i, level]
    # The level of the darkest part of the image: a nucleus is at least that large.
    top = quantile_index(counts, 0.996)
    if top < min_density:
        return mask, False
    threshold = min(max(float(otsu(counts)[0]), 0.25 * top), 0.5 * top)
    # Red cells absorb blue light nearly as much as green; nuclei are well above them.
    counts = np.zeros(256, np.int64)
    n = 0
    ratio = np.empty(256, np.int64)
    for level in range(256):
        ratio[level] = int(np.rint(0.45 * level))
    for y in range(height):
        row, dark_row, rgb_row = plane[y], dark[y], rgb[y]
        for x in range(width):
            level = dark_row[x]
            if level <= 2 * faint or row[x] > 0.6 * top:
                continue
            if table[2, rgb_row[x, 2]] > ratio[level]:
                counts[row[x]] += 1
                n += 1
    if n > 0.01 * height * width:
        threshold = max(threshold, min(1.5 * quantile_index(counts, 0.75), 0.6 * top))
    for y in range(height):
        row, mask_row = plane[y], mask[y]
        for x in range(width):
            mask_row[x] = row[x] > threshold
    return mask, True


@kernel
def contrast_plane(image, table, left, top, height, width):
    """Compute a plane in which a nucleus stands out from its cytoplasm; see `MIX`.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB image.
    table : (3, 256) ndarray of uint8
        Density of each level.
    left, top, height, width : int
        Box of the cell in the image.

    Returns
    -------
    (h, w) ndarray of uint8
        Height and width are even: an odd last row or column is repeated.
    """
    lut = np.empty((3, 256), np.uint8)
    for channel in range(3):
        for level in range(256):
            lut[channel, level] = MIX[channel, table[channel, level]]
    rows, columns = height + height % 2, width + width % 2
    plane = np.empty((rows, columns), np.uint8)
    for y in range(rows):
        row, out = image[top + min(y, height - 1)], plane[y]
        for x in range(width):
            column = left + x
            both = np.int64(lut[0, row[column, 0]]) + np.int64(lut[1, row[column, 1]])
            both = both if both < 255 else np.int64(255)
            blue = np.int64(lut[2, row[column, 2]])
            out[x] = both - blue if both > blue else 0
        out[columns - 1] = out[width - 1]
    return plane


@kernel
def threshold_median(plane, threshold, cell, reach):
    """Threshold a plane inside a cell and smooth the result by a median filter.

    Parameters
    ----------
    plane : (h, w) ndarray of uint8
        At least as large as `cell`.
    threshold : float
        Level that a pixel must exceed.
    cell : (h, w) ndarray of uint8
        1 inside the cell.
    reach : int
        The windows of the filter have sides of ``2 reach + 1``; the image is continued by its
        border pixels.

    Returns
    -------
    (h, w) ndarray of uint8
        0 and 1.
    """
    height, width = cell.shape
    level = np.zeros((height, width), np.uint8)
    for y in range(height):
        row, inside, out = plane[y], cell[y], level[y]
        for x in range(width):
            out[x] = (row[x] > threshold) & inside[x]
    # Counts of each column within the window, updated from row to row.
    column = np.zeros(width, np.int32)
    for y in range(-reach, reach + 1):
        row = level[min(max(y, 0), height - 1)]
        for x in range(width):
            column[x] += row[x]
    padded = np.zeros(width + 2 * reach, np.int32)
    median = np.empty((height, width), np.uint8)
    half = ((2 * reach + 1) ** 2) // 2
    for y in range(height):
        for x in range(reach):
            padded[x] = column[0]
            padded[reach + width + x] = column[width - 1]
        for x in range(width):
            padded[reach + x] = column[x]
        total = 0
        for x in range(2 * reach):
            total += padded[x]
        out = median[y]
        for x in range(width):
            total += padded[x + 2 * reach]
            out[x] = total > half
            total -= padded[x]
        leaving, entering = level[max(y - reach, 0)], level[min(y + reach + 1, height - 1)]
        for x in range(width):
            column[x] += np.int32(entering[x]) - np.int32(leaving[x])
    return median


@kernel
def closest_points(first, second):
    """Find the closest pair of points of two lines.

    Parameters
    ----------
    first, second : (n, 2) ndarray of int32
        Points.

    Returns
    -------
    distance : float
        Their distance.
    i, j : int
        Indices of the two points.
    """
    least, a, b = np.inf, 0, 0
    for i in range(first.shape[0]):
        for j in range(second.shape[0]):
            x, y = float(first[i, 0] - second[j, 0]), float(first[i, 1] - second[j, 1])
            squared = x * x + y * y
            if squared < least:
                least, a, b = squared, i, j
    return np.sqrt(least), a, b


@kernel
def width_across(dark, x, y, across_x, across_y, level):
    """Count the pixels on a line through (x, y), in both directions, until `dark` is below `level`.

    The pixel of the point itself counts twice.
    """
    height, width = dark.shape
    total = 0
    for sign in (-1.0, 1.0):
        for step in range(max(height, width)):
            column = int(np.rint(x + step * sign * across_x))
            row = int(np.rint(y + step * sign * across_y))
            if column < 0 or row < 0 or column >= width or row >= height:
                break
            if dark[row, column] < level:
                break
            total += 1
    return float(total)


@kernel
def minimum_between(dark, x0, y0, x1, y1, n):
    """Return the minimum of `dark` over `n` points on the line from (x0, y0) to (x1, y1)."""
    least = 255
    for i in range(n):
        t = i / (n - 1)
        value = dark[int(np.rint(y0 + (y1 - y0) * t)), int(np.rint(x0 + (x1 - x0) * t))]
        least = min(least, value)
    return least
