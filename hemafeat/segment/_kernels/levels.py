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


def block_means(image, factor):
    """Reduce an image by averaging blocks of `factor` x `factor` pixels.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB image. An incomplete block at the right or at the bottom is ignored.
    factor : int
        Side of the blocks.

    Returns
    -------
    (H // factor, W // factor, 3) ndarray of uint8
    """
    height, width, channels = image.shape
    out = np.empty((height // factor, width // factor, channels), np.uint8)
    # 16 bits hold the sum of 257 levels, which is enough for every image.
    sums = np.empty(out.shape[1] * factor * channels, np.uint16)
    average_blocks(image.reshape(height, -1), factor, sums, out.reshape(len(out), -1))
    return out


@kernel
def average_blocks(image, factor, sums, out):
    """Fill `out` for `block_means`; R, G and B of each pixel are one after another."""
    area = factor * factor
    half = area >> 1
    # A product and a shift divide these sums exactly, in a fraction of the time.
    inverse = (1 << 41) // area + 1
    for y in range(out.shape[0]):
        row, line = image[y * factor], out[y]
        for i in range(sums.size):
            sums[i] = row[i]
        for k in range(1, factor):
            row = image[y * factor + k]
            for i in range(sums.size):
                sums[i] += row[i]
        if factor == 2:
            for x in range(line.size // 3):
                i, o = 6 * x, 3 * x
                line[o] = (np.uint32(sums[i]) + np.uint32(sums[i + 3]) + np.uint32(2)) >> 2
                line[o + 1] = (np.uint32(sums[i + 1]) + np.uint32(sums[i + 4]) + np.uint32(2)) >> 2
                line[o + 2] = (np.uint32(sums[i + 2]) + np.uint32(sums[i + 5]) + np.uint32(2)) >> 2
            continue
        i = np.uint64(0)
        for x in range(line.size // 3):
            red, green, blue = half, half, half
            for _ in range(factor):
                red += np.int64(sums[i])
                green += np.int64(sums[i + np.uint64(1)])
                blue += np.int64(sums[i + np.uint64(2)])
                i += np.uint64(3)
            o = 3 * x
            line[o], line[o + 1] = (red * inverse) >> 41, (green * inverse) >> 41
            line[o + 2] = (blue * inverse) >> 41


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
    bright = np.count_nonzero(image[0, :, 1] > dark) + np.count_nonzero(image[-1, :, 1] > dark)
    if bright > 0.5 * (image.shape[0] + image.shape[1]):
        # More than a quarter of the rim.
        return -1
    rim = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    top = np.maximum(np.maximum(rim[:, 0], rim[:, 1]), rim[:, 2])
    black = top[top <= dark]
    if black.size < 0.75 * top.size:
        return -1
    inside = np.count_nonzero(image.max(axis=2) > dark)
    return int(black.max()) if 0 < inside < 0.9 * image[:, :, 0].size else -1


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
    white = np.empty(3)
    find_white(smooth, np.zeros((4, 256), np.int64), np.zeros((5, 256), np.int64), white)
    return white


@kernel
def find_white(smooth, parts, counts, white):
    """Compute `white_level`; `parts` and `counts` are all zero, and overwritten."""
    height, width = smooth.shape[:2]
    # Adjacent pixels often have the same level: four histograms avoid waiting for each other.
    for y in range(height):
        row = smooth[y]
        for x in range(width):
            parts[x & 3, row[x, 1]] += 1
    green, share = counts[3], counts[4]
    for i in range(256):
        green[i] = parts[0, i] + parts[1, i] + parts[2, i] + parts[3, i]
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
    # Every other row is enough for a median.
    for y in range(0, height, 2):
        row = smooth[y]
        for x in range(width):
            if level - 6 <= row[x, 1] <= level + 6:
                for channel in range(3):
                    counts[channel, row[x, channel]] += 1
    for channel in range(3):
        white[channel] = max(1, quantile_index(counts[channel], 0.5))


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
    shape = rgb.shape[:2]
    table, coded = np.empty((3, 256), np.uint8), np.empty((3, 256), np.uint16)
    dark, bins, violet = (np.empty(shape, t) for t in (np.uint8, np.uint16, np.uint8))
    counts = np.zeros((5, 256), np.int64)
    codes = np.empty((3, 256), np.uint64), np.empty(shape[1], np.uint64)
    fill_planes(rgb, white, table, coded, *codes, dark, bins, violet, counts)
    return table, coded, dark, bins, violet, quantile_index(counts[4, :13], 0.75)


@kernel
def fill_planes(rgb, white, table, coded, packed, codes, dark, bins, violet, counts):
    """Fill the tables and planes of `colour_planes`, and count the densities in the last row."""
    height, width = dark.shape
    for channel in range(3):
        top = np.log10(white[channel] + 1.0)
        for level in range(256):
            density = np.rint((top - LOGARITHM[level]) * STEPS)
            density = int(min(max(density, 0.0), 255.0))
            colour = int(ROOT[density])
            table[channel, level] = density
            coded[channel, level] = density | (colour << 8)
            # The densities of a pixel side by side in one code, and its bin above them.
            packed[channel, level] = density << (8 * channel) | colour << (
                32 + BITS * (2 - channel)
            )
    red_code, green_code, blue_code = packed[0], packed[1], packed[2]
    for y in range(height):
        row, dark_row, bins_row, violet_row = rgb[y], dark[y], bins[y], violet[y]
        for x in range(width):
            codes[x] = red_code[row[x, 0]] | green_code[row[x, 1]] | blue_code[row[x, 2]]
        # Apart from the tables, and in 32 bits, many pixels are computed at once.
        for x in range(width):
            code = np.uint32(codes[x])
            bins_row[x] = np.uint16(codes[x] >> np.uint64(32))
            red = np.int32(code & np.uint32(255))
            green = np.int32((code >> np.uint32(8)) & np.uint32(255))
            blue = np.int32((code >> np.uint32(16)) & np.uint32(255))
            twice = np.int32(max(max(red, green), blue) + green)
            # Halves are rounded to even.
            dark_row[x] = np.int32(twice >> 1) + (twice & np.int32(twice >> 1) & 1)
            violet_row[x] = max(min(red + green, 255) - blue, 0)
        for x in range(width):
            counts[x & 3, dark_row[x]] += 1
    for level in range(256):
        for part in range(4):
            counts[4, level] += counts[part, level]
