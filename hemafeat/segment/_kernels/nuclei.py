"""Thresholds that separate nuclei from the rest, and measures of the gap between two pieces."""

from __future__ import annotations

import math

import cv2
import numpy as np

from hemafeat._jit import kernel
from hemafeat.segment._kernels.levels import quantile_index

MIX = np.arange(256) / 1.0
MIX = 127.5 * (1.0 - 10.0 ** (-MIX / 100.0) + MIX / 150.0)
MIX = np.clip(MIX * np.array([[0.2], [0.8], [0.5]]), 0, 255).astype(np.uint8)
"""Half absorbance, half density: absorbance alone loses pale nuclei, density alone puts the
threshold inside dark ones. Blue is subtracted: red granules absorb it, nuclei hardly do."""

CHANNELS = np.arange(3)[:, None]

RED = np.rint(0.45 * np.arange(256)).astype(np.uint8)
"""Density in blue above which a pixel of this density is red."""


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
def count_levels(plane, mask, counts):
    """Add the levels of a plane under a mask, which may be smaller than the plane, to `counts`.

    Parameters
    ----------
    plane : (h, w) ndarray of uint8
        Levels.
    mask : (h, w) ndarray of uint8
        Not 0 on the pixels to count.
    counts : (5, 256) ndarray of int64
        Histogram in four parts and their sum: adjacent pixels often have the same level, and need
        not wait for each other.
    """
    for y in range(mask.shape[0]):
        row, inside = plane[y], mask[y]
        for x in range(mask.shape[1]):
            counts[x & 3, row[x]] += inside[x] > 0
    for level in range(256):
        counts[4, level] = counts[0, level] + counts[1, level] + counts[2, level] + counts[3, level]


def histogram(plane, mask):
    """Return the (256,) int64 histogram of the part of a plane under a mask; see `count_levels`."""
    counts = np.zeros((5, 256), np.int64)
    count_levels(plane, mask, counts)
    return counts[4]


def otsu_inside(plane, mask):
    """Apply `otsu` to the part of a plane under a mask, which may be smaller than the plane."""
    return otsu(histogram(plane, mask))


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
    # Red cells absorb blue light nearly as much as green; nuclei are well above them.
    counts = np.zeros((10, 256), np.int64)
    count_violet(plane, rgb, table, dark, math.floor(2 * faint), RED, counts)
    # The level of the darkest part of the image: a nucleus is at least that large.
    top = quantile_index(counts[8], 0.996)
    if top < min_density:
        return np.zeros_like(plane), False
    threshold = min(max(float(otsu(counts[8])[0]), 0.25 * top), 0.5 * top)
    red_counts = counts[9, : math.floor(0.6 * top) + 1]
    if red_counts.sum() > 0.01 * plane.size:
        threshold = max(threshold, min(1.5 * quantile_index(red_counts, 0.75), 0.6 * top))
    return cv2.threshold(plane, math.floor(threshold), 1, cv2.THRESH_BINARY)[1], True


@kernel
def count_violet(plane, rgb, table, dark, stained, red, counts):
    """Count the levels of all pixels, and of those that are stained in the colour of red cells.

    Parameters
    ----------
    plane, rgb, table, dark
        See `nuclear_mask`.
    stained : int
        Density above which a pixel is stained.
    red : (256,) ndarray of uint8
        See `RED`.
    counts : (10, 256) ndarray of int64
        All zero; the last two rows are filled with the histograms, the others are their parts: see
        `count_levels`.
    """
    height, width = plane.shape
    for y in range(height):
        row, dark_row, rgb_row = plane[y], dark[y], rgb[y]
        for x in range(width):
            level = dark_row[x]
            is_red = (level > stained) & (table[2, rgb_row[x, 2]] > red[level])
            counts[(x & 3) | (is_red << 2), row[x]] += 1
    for level in range(256):
        for part in range(8):
            counts[8 + part // 4, level] += counts[part, level]
        counts[8, level] += counts[9, level]


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
    plane = np.empty((height + height % 2, width + width % 2), np.uint8)
    fill_contrast(image, MIX[CHANNELS, table], left, top, height, width, plane)
    return plane


@kernel
def fill_contrast(image, levels, left, top, height, width, plane):
    """Fill the plane of `contrast_plane`, given the contribution of each level."""
    rows, columns = plane.shape
    for y in range(rows):
        row, out = image[top + min(y, height - 1)], plane[y]
        for x in range(width):
            column = left + x
            both = np.int64(levels[0, row[column, 0]]) + np.int64(levels[1, row[column, 1]])
            both = both if both < 255 else np.int64(255)
            blue = np.int64(levels[2, row[column, 2]])
            out[x] = both - blue if both > blue else 0
        out[columns - 1] = out[width - 1]


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
    part = plane[:height, :width]
    level = cv2.threshold(part, math.floor(threshold), 1, cv2.THRESH_BINARY)[1] & cell
    side = 2 * reach + 1
    # The median of 0 and 1 is the larger half; OpenCV's own median costs much more.
    sums = cv2.boxFilter(
        level, cv2.CV_32S, (side, side), normalize=False, borderType=cv2.BORDER_REPLICATE
    )
    return (sums > side * side // 2).astype(np.uint8)


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
    red, green, blue : float
        0 for an empty mask.
    """
    red, green, blue, n = 0, 0, 0, 0
    for y in range(mask.shape[0]):
        row, inside = rgb[top + y], mask[y]
        for x in range(mask.shape[1]):
            if inside[x]:
                n += 1
                red += np.int64(table[0, row[left + x, 0]])
                green += np.int64(table[1, row[left + x, 1]])
                blue += np.int64(table[2, row[left + x, 2]])
    n = max(n, 1)
    return red / n, green / n, blue / n


@kernel
def polygon_sums(points):
    """Compute twice the signed area of a polygon, and the sums that give its centroid."""
    n = points.shape[0]
    twice, x, y = 0.0, 0.0, 0.0
    for i in range(n):
        j = i + 1 if i + 1 < n else 0
        x0, y0 = float(points[i, 0]), float(points[i, 1])
        x1, y1 = float(points[j, 0]), float(points[j, 1])
        cross = x0 * y1 - x1 * y0
        twice += cross
        x += (x0 + x1) * cross
        y += (y0 + y1) * cross
    return twice, x, y


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
    x, y = (first[:, None, axis] - second[None, :, axis] for axis in (0, 1))
    squared = x * x + y * y
    i, j = divmod(int(squared.argmin()), len(second))
    return math.sqrt(squared[i, j]), i, j


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


def minimum_between(dark, x0, y0, x1, y1, n):
    """Return the minimum of `dark` over `n` points on the line from (x0, y0) to (x1, y1)."""
    t = np.arange(n) / (n - 1)
    row, column = (np.rint(a + (b - a) * t).astype(np.intp) for a, b in ((y0, y1), (x0, x1)))
    return int(dark[row, column].min())
