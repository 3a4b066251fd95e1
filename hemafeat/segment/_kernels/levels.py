"""The white of an image, and the density and colour of every pixel relative to it."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel

BITS = 4
"""Bits per channel of the colour bins."""

STEPS = 100
"""Steps of the density planes per unit of decadic optical density."""

LOGARITHM = np.log10(np.arange(256) + 1.0)
ROOT = np.minimum(np.sqrt(np.arange(256) / (1.5 * STEPS)) * (1 << BITS), (1 << BITS) - 1)


@kernel
def quantile_index(counts, share):
    """Return the first index at which the cumulative sum of `counts` reaches `share` of it."""
    total = 0
    for count in counts:
        total += count
    target, cumulative = share * total, 0
    for i in range(counts.size):
        cumulative += counts[i]
        if cumulative >= target:
            return i
    return counts.size


@kernel
def black_level(image, dark):
    """Return the highest level of a black surround, or -1 if the image has none.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB image.
    dark : int
        Highest level that a pixel of the surround may have.

    Returns
    -------
    int
        Level, or -1.
    """
    height, width = image.shape[:2]
    black, highest = 0, 0
    for side in range(4):
        n = width if side < 2 else height
        for i in range(n):
            y = (0 if side == 0 else height - 1) if side < 2 else i
            x = i if side < 2 else (0 if side == 2 else width - 1)
            top = max(image[y, x, 0], image[y, x, 1], image[y, x, 2])
            if top <= dark:
                black += 1
                highest = max(highest, top)
    if black < 0.75 * 2 * (height + width):
        return -1
    inside = 0
    for y in range(height):
        for x in range(width):
            if max(image[y, x, 0], image[y, x, 1], image[y, x, 2]) > dark:
                inside += 1
    return highest if 0 < inside < 0.9 * height * width else -1


@kernel
def white_level(smooth):
    """Compute the level of the background from the brightest large peak in green.

    Parameters
    ----------
    smooth : (h, w, 3) ndarray of uint8
        Blurred RGB image.

    Returns
    -------
    (3,) ndarray of float64
        Level of R, G and B, at least 1.
    """
    height, width = smooth.shape[:2]
    # Adjacent pixels often have the same level: four histograms avoid waiting for each other.
    parts = np.zeros((4, 256), np.int32)
    for y in range(height):
        row = smooth[y]
        for x in range(width):
            parts[x & 3, row[x, 1]] += 1
    green = np.zeros(256, np.int64)
    for i in range(4):
        for j in range(256):
            green[j] += parts[i, j]
    share = np.zeros(256, np.int64)
    for i in range(256):
        for j in range(max(0, i - 4), min(256, i + 5)):
            share[i] += green[j]
    level = -1
    for i in range(255, -1, -1):
        peak = share[i] >= 0.04 * height * width
        for j in range(max(0, i - 6), min(256, i + 7)):
            peak = peak and share[i] >= share[j]
        if peak:
            level = i
            break
    if level < 0:
        level = quantile_index(green, 0.5)
    counts = np.zeros((3, 256), np.int64)
    # Every other row is enough for a median.
    for y in range(0, height, 2):
        row = smooth[y]
        for x in range(width):
            if level - 6 <= row[x, 1] <= level + 6:
                for channel in range(3):
                    counts[channel, row[x, channel]] += 1
    white = np.empty(3)
    for channel in range(3):
        white[channel] = max(1, quantile_index(counts[channel], 0.5))
    return white


@kernel
def colour_planes(rgb, white):
    """Compute the density and the colour bin of every pixel.

    Parameters
    ----------
    rgb : (h, w, 3) ndarray of uint8
        Image.
    white : (3,) ndarray of float64
        Level of the background.

    Returns
    -------
    table : (3, 256) ndarray of uint8
        Density of each level, in steps of 1/100, 0 to 255.
    coded : (3, 256) ndarray of uint16
        The same plus 256 times the colour bin of the level in that channel.
    dark : (h, w) ndarray of uint8
        Mean of the density in green and of that in the most absorbed channel.
    bins : (h, w) ndarray of uint16
        Colour bin.
    violet : (h, w) ndarray of uint8
        Density in green and red less that in blue.
    spread : int
        Third quartile of the densities of the pixels up to density 12.
    """
    height, width = rgb.shape[:2]
    table = np.empty((3, 256), np.uint8)
    coded = np.empty((3, 256), np.uint16)
    for channel in range(3):
        top = np.log10(white[channel] + 1.0)
        for level in range(256):
            density = np.rint((top - LOGARITHM[level]) * STEPS)
            density = int(min(max(density, 0.0), 255.0))
            table[channel, level] = density
            coded[channel, level] = density | (int(ROOT[density]) << 8)
    dark = np.empty((height, width), np.uint8)
    bins = np.empty((height, width), np.uint16)
    violet = np.empty((height, width), np.uint8)
    counts = np.zeros((4, 256), np.int32)
    for y in range(height):
        row, dark_row, bins_row, violet_row = rgb[y], dark[y], bins[y], violet[y]
        for x in range(width):
            red = np.int64(coded[0, row[x, 0]])
            green = np.int64(coded[1, row[x, 1]])
            blue = np.int64(coded[2, row[x, 2]])
            bins_row[x] = (((red >> 8) << BITS | (green >> 8)) << BITS) | (blue >> 8)
            red, green, blue = red & 255, green & 255, blue & 255
            twice = max(red, green, blue) + green
            # Halves are rounded to even.
            value = (twice >> 1) + (twice & (twice >> 1) & 1)
            dark_row[x] = value
            both = red + green if red + green < 255 else 255
            violet_row[x] = both - blue if both > blue else 0
            counts[x & 3, value] += 1
    pale = np.zeros(13, np.int64)
    for i in range(4):
        for j in range(13):
            pale[j] += counts[i, j]
    return table, coded, dark, bins, violet, quantile_index(pale, 0.75)
