"""Plain twins of the kernels of `hemafeat.segment`, on whole arrays, by definition."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def quantile_index(counts, share):
    return int(np.searchsorted(np.cumsum(counts), share * counts.sum()))


def black_level(image, dark):
    rim = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]]).max(axis=1)
    inside = np.count_nonzero(image.max(axis=2) > dark)
    black = rim[rim <= dark]
    if black.size < 0.75 * rim.size or not 0 < inside < 0.9 * image[:, :, 0].size:
        return -1
    return int(black.max())


def white_level(smooth):
    green = np.bincount(smooth[:, :, 1].ravel(), minlength=256)
    share = np.convolve(green, np.ones(9, int), "same")
    peak = ndimage.maximum_filter1d(share, 13, mode="constant")
    peaks = np.flatnonzero((share >= 0.04 * green.sum()) & (share == peak))
    level = peaks[-1] if peaks.size else quantile_index(green, 0.5)
    near = smooth[::2][np.abs(smooth[::2, :, 1].astype(int) - level) <= 6]
    counts = [np.bincount(near[:, c], minlength=256) for c in range(3)]
    return np.array([max(1, quantile_index(count, 0.5)) for count in counts], float)


def colour_planes(rgb, white):
    density = 100 * (np.log10(white[:, None] + 1) - np.log10(np.arange(256) + 1))
    table = np.clip(np.rint(density), 0, 255).astype(np.uint8)
    step = np.minimum(16 * np.sqrt(table / 150), 15).astype(int)
    red, green, blue = (table[c][rgb[:, :, c]].astype(int) for c in range(3))
    dark = np.rint(0.5 * (np.maximum(np.maximum(red, green), blue) + green))
    bins = sum(step[c][rgb[:, :, c]] * 16 ** (2 - c) for c in range(3))
    violet = np.maximum(np.minimum(red + green, 255) - blue, 0)
    spread = quantile_index(np.bincount(dark[dark <= 12].astype(int), minlength=13), 0.75)
    return table, table.astype(int) + 256 * step, dark, bins, violet, spread


def background_surface(small, white, tile, tint, near, bend, spreads):
    rows, columns = small.shape[:2]
    red, green, blue = np.moveaxis(small / white, 2, 0)
    grey = np.maximum(np.abs(red - green), np.abs(blue - green)) < tint * green
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    down, along = rows // tile, columns // tile
    tiles = np.where(grey, green, 0)[: down * tile, : along * tile]
    top = tiles.reshape(down, tile, along, tile).max(axis=(1, 3))
    centres = terms[tile // 2 :: tile, tile // 2 :: tile][:down, :along]
    bright = top > 0.35
    if bright.sum() < 0.3 * bright.size:
        return np.zeros((rows, columns)), 0, 0, 0, 0, 0
    value, basis = top[bright], centres[bright]
    weight = np.ones(value.size)
    for spread in spreads:
        share = weight / weight.sum()
        matrix = (basis.T * share) @ basis + np.diag([1e-6] * 3 + [bend] * 3)
        fit = np.linalg.solve(matrix, (basis.T * share) @ value)
        weight = 1 / (1 + (np.maximum(basis @ fit - value, 0) / spread) ** 4)
    surface = terms @ fit
    background = grey & (np.abs(green - surface) < near * surface)
    even = grey & (np.abs(green - 1) < near)
    brighter = green > (1 + near) * surface
    shares = background.mean(), even.mean(), brighter.mean()
    return surface, *shares, surface[background].min(), surface[background].max()


def smooth_histogram(counts):
    cube = counts.reshape(16, 16, 16).astype(float)
    for axis in range(3):
        cube = ndimage.correlate1d(cube, [0.107, 0.786, 0.107], axis=axis, mode="mirror")
    return cube.ravel()


def colour_shares(bins, dark, faint, near, far):
    stained = dark >= faint
    # Every other row of the outside counts twice.
    far = np.where(np.arange(len(far))[:, None] % 2, 0, far)
    inside, outside = bins[stained & (near > 0)], np.repeat(bins[stained & (far > 0)], 2)
    shares = [smooth_histogram(np.bincount(part, minlength=4096)) for part in (inside, outside)]
    return shares[0] / max(inside.size, 1), shares[1] / max(outside.size, 0.5 * inside.size, 1)


def sample_rays(image, x0, y0, cos, sin, step, n_radii):
    radius = np.arange(n_radii) * step
    x, y = x0 + cos[:, None] * radius, y0 + sin[:, None] * radius
    height, width = image.shape[:2]
    off = (x < 0) | (y < 0) | (x > width - 1) | (y > height - 1)
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    steps = np.floor(np.stack([y, x]) * 32 + 0.5) / 32
    polar = [
        ndimage.map_coordinates(image[:, :, c].astype(float), steps, order=1, mode="nearest")
        for c in range(3)
    ]
    return np.floor(np.stack(polar, axis=2) + 0.5), off


def search_curve(image, coded, inside, outside, faint, x0, y0, reach, size, prior):
    """Return gain, density, log-odds and the samples beyond the border, for a single nucleus."""
    n, m = size
    angle = np.arange(n) * (2 * np.pi / n)
    polar, off = sample_rays(image, x0, y0, np.cos(angle), np.sin(angle), reach / m, m)
    nine = ndimage.correlate(polar, np.ones((3, 3, 1)), mode="mirror")
    polar = np.floor(nine / 9 + 0.5).astype(int)
    red, green, blue = (coded[c][polar[:, :, c]].astype(int) for c in range(3))
    top = np.maximum(np.maximum(red & 255, green & 255), blue & 255)
    dark = np.rint(0.5 * (top + (green & 255)))
    odds = np.clip(np.log((inside + 2e-4) / (outside + 2e-4)), -3, 3)
    colour = odds[(red >> 8) * 256 + (green >> 8) * 16 + (blue >> 8)]
    pale = np.clip(1.5 * (dark - faint) / faint, -3, 0.2)
    weighted = 0.7 * np.clip(colour + prior, -2, 3)
    evidence = np.where(pale < 0, np.minimum(weighted, 0), weighted) + pale
    evidence[off] = 0
    gain = np.cumsum(evidence * (np.arange(m) + 0.5) / m, axis=1)
    edge = np.clip((dark[:, :-2] - dark[:, 2:]) * 0.25 / faint, -0.5, 0.5)
    edge *= np.where(dark[:, 2:] < 2 * faint, 6.0, 2.1)
    gain[:, 1:-1] += np.where(off[:, 2:], 0, edge)
    return gain, dark, colour, off


def rate_curve(path, dark, colour, off, faint):
    n, m = dark.shape
    row = np.arange(n)
    inner, outer = np.maximum(path - 2, 0), np.minimum(path + 3, m - 1)
    visible = ~off[row, outer]
    drop = dark[row, inner] - dark[row, outer] > 0.75 * faint
    clear = drop & (dark[row, outer] < 2 * faint)
    limit = path >= m - 2
    index = np.arange(m)
    ring = (index >= 0.75 * path[:, None]) & (index <= path[:, None]) & ~off
    return drop[visible].mean(), limit[visible].mean(), colour[ring].mean(), clear[visible].mean()


def otsu(counts):
    """Try each threshold on the levels themselves."""
    levels = np.repeat(np.arange(256.0), counts)
    best, most = None, -1.0
    for level in range(256):
        low, high = levels[levels <= level], levels[levels > level]
        means = [part.mean() if part.size else 0.0 for part in (low, high)]
        between = low.size * high.size * (means[1] - means[0]) ** 2
        if between > most * (1 + 1e-12):
            best, most = (level, low, high), between
    level, low, high = best
    within = sum(((part - part.mean()) ** 2).sum() for part in (low, high) if part.size)
    means = [part.mean() if part.size else 0.0 for part in (low, high)]
    deviation = np.sqrt(max(within / levels.size, 1.0))
    return level, *means, (means[1] - means[0]) / deviation


def nuclear_mask(plane, rgb, table, dark, faint, least):
    counts = np.bincount(plane.ravel(), minlength=256)
    top = quantile_index(counts, 0.996)
    if top < least:
        return np.zeros(plane.shape), False
    threshold = np.clip(otsu(counts)[0], 0.25 * top, 0.5 * top)
    red = table[2][rgb[:, :, 2]] > np.rint(0.45 * dark)
    red &= (dark > 2 * faint) & (plane <= 0.6 * top)
    if red.sum() > 0.01 * red.size:
        upper = quantile_index(np.bincount(plane[red], minlength=256), 0.75)
        threshold = max(threshold, min(1.5 * upper, 0.6 * top))
    return plane > threshold, True


def contrast_plane(part, table):
    density = table.astype(float)
    mix = 127.5 * (1 - 10 ** (-density / 100) + density / 150) * [[0.2], [0.8], [0.5]]
    lut = np.clip(mix, 0, 255).astype(int)
    red, green, blue = (lut[c][part[:, :, c]] for c in range(3))
    plane = np.maximum(np.minimum(red + green, 255) - blue, 0)
    odd = [(0, n % 2) for n in plane.shape]
    return np.pad(plane, odd, mode="edge")


def threshold_median(plane, threshold, cell, reach):
    level = (plane[: cell.shape[0], : cell.shape[1]] > threshold) & (cell > 0)
    return ndimage.median_filter(level.astype(np.uint8), 2 * reach + 1, mode="nearest")


def draw_cell(labels, nuclei, number, mask, nucleus, left, top, least):
    height, width = mask.shape
    box = np.s_[top : top + height, left : left + width]
    free = (mask > 0) & (labels[box] == 0)
    if free.sum() < least:
        return labels, nuclei, False
    labels, nuclei = labels.copy(), nuclei.copy()
    labels[box][free] = number
    nuclei[box][free & (nucleus > 0)] = number
    return labels, nuclei, True
