"""Granulometry, granules and chromatin from their definitions: slow, independent of hemafeat."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from reference.naive_texture import density_levels


def window_extreme(levels, inside, radius, extreme):
    """Return the extreme level of the mask within `radius` rows and columns of its pixels."""
    out = np.zeros_like(levels)
    for row, column in np.argwhere(inside):
        near = (
            slice(max(row - radius, 0), row + radius + 1),
            slice(max(column - radius, 0), column + radius + 1),
        )
        out[row, column] = extreme(levels[near][inside[near]])
    return out


def pattern_spectrum(levels, inside, radii, whole):
    """Return the losses by openings, with mean, sd, skewness and entropy of the radius."""
    radii = np.array(radii)
    kept = [levels]
    for radius in radii:
        eroded = window_extreme(levels, inside, radius, np.min)
        opened = window_extreme(eroded, inside, radius, np.max)
        kept.append(np.minimum(kept[-1], opened))
    sums = np.array([level[inside].sum() for level in kept])
    lost = sums[:-1] - sums[1:]
    if lost.sum() == 0:
        return [*lost / whole] + [math.nan] * 4
    p = lost / lost.sum()
    mean = (p * radii).sum()
    sd = math.sqrt((p * (radii - mean) ** 2).sum())
    several = (p > 0).sum() > 1
    return [
        *lost / whole,
        mean,
        sd,
        (p * (radii - mean) ** 3).sum() / sd**3 if several else math.nan,
        -(p[p > 0] * np.log2(p[p > 0])).sum(),
    ]


def granulometry(image, labels, n_cells, white):
    levels = density_levels(image, white, 256)
    rows = np.full((n_cells, 20), np.nan)
    for cell in range(n_cells):
        inside = labels == cell + 1
        whole = levels[inside].sum()
        if whole > 0:
            radii = [1, 2, 3, 4, 6, 8]
            rows[cell] = pattern_spectrum(levels, inside, radii, whole) + pattern_spectrum(
                255 - levels, inside, radii, whole
            )
    return rows


# ------------------------------------------------------------------------------------- granules


def top_hat(levels, inside, radius):
    eroded = window_extreme(levels, inside, radius, np.min)
    opened = window_extreme(eroded, inside, radius, np.max)
    return np.where(inside, levels - np.minimum(levels, opened), 0)


def spots(mask):
    """Return the 4-connected parts of a mask, each as a mask."""
    labels, n_parts = ndimage.label(mask)
    return [labels == part + 1 for part in range(n_parts)]


def roundish(part, inside, smallest):
    rows, columns = np.nonzero(part)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    grown = ndimage.binary_dilation(np.pad(part, 1), np.ones((3, 3)))
    return (
        part.sum() >= smallest
        and part.sum() / (height * width) >= 0.5
        and max(height, width) / min(height, width) <= 2
        and not (grown & ~np.pad(inside, 1)).any()
    )


def noise_rise(levels, inside):
    """Return the median size of the twice second differences, over squares of 3 x 3 inside."""
    mask = np.outer([1, -2, 1], [1, -2, 1])
    sizes = [
        abs((levels[row - 1 : row + 2, column - 1 : column + 2] * mask).sum())
        for row, column in np.argwhere(inside)
        if inside[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].sum() == 9
    ]
    return np.percentile(sizes, 50, method="lower") if sizes else 0


def describe_granules(hat, rise, inside, density):
    granules = [part for part in spots((hat >= rise) & inside) if part.sum() >= 4]
    area = inside.sum()
    row = [len(granules), len(granules) / area, sum(part.sum() for part in granules) / area]
    if not granules:
        return row + [math.nan] * 7
    diameters = np.array([math.sqrt(4 * part.sum() / math.pi) for part in granules])
    union = np.any(granules, axis=0)
    r, g, b = density[union].T
    return [
        *row,
        diameters.mean(),
        diameters.std(),
        hat[union].mean() * 1.5 / 256,
        (r < 0.5 * g).mean(),
        (r > 0.75 * g).mean(),
        r.sum() / g.sum(),
        b.sum() / g.sum(),
    ]


def granules(image, cell, nucleus, n_cells, white):
    levels = density_levels(image, white, 256)
    density = np.log10((np.asarray(white) + 1.0) / (image + 1.0))
    rows = np.full((n_cells, 23), np.nan)
    for k in range(n_cells):
        inside = cell == k + 1
        cytoplasm = inside & (nucleus != k + 1)
        if not cytoplasm.any():
            continue
        hat, rise = top_hat(levels, inside, 3), max(6, noise_rise(levels, inside))
        pale = (top_hat(255 - levels, inside, 14) >= 22) & (
            20 * levels <= 7 * np.percentile(levels[cytoplasm], 50, method="lower")
        )
        holes = [part.sum() for part in spots(pale) if roundish(part, inside, 20)]
        rows[k] = [
            *describe_granules(hat, rise, cytoplasm, density),
            *describe_granules(hat, rise, inside, density),
            len(holes),
            sum(holes) / inside.sum(),
            max(holes, default=0),
        ]
    return rows


# ------------------------------------------------------------------------------------ chromatin


def chromatin(image, labels, n_cells, white):
    levels = density_levels(image, white, 256)
    rows = np.full((n_cells, 10), np.nan)
    for cell in range(n_cells):
        inside = labels == cell + 1
        if not inside.any():
            continue
        values = levels[inside]
        dense, very_dense = (
            inside & (levels > values.mean() + factor * values.std()) for factor in (1.0, 1.5)
        )
        sizes = [part.sum() for part in spots(dense) if part.sum() >= 4]
        rough = [
            levels[row - 1 : row + 2, column - 1 : column + 2].std()
            for row, column in np.argwhere(inside)
            if inside[row - 1 : row + 2, column - 1 : column + 2].sum() == 9
        ]
        hat = top_hat(255 - levels, inside, 8)
        pale = [part.sum() for part in spots(hat >= 17) if roundish(part, inside, 40)]
        area = inside.sum()
        rows[cell] = [
            dense.sum() / area,
            very_dense.sum() / area,
            len(sizes),
            len(sizes) / area,
            np.mean(sizes) if sizes else math.nan,
            np.mean(rough) * 1.5 / 256 if rough else math.nan,
            np.mean(rough) / values.mean() if rough and values.any() else math.nan,
            len(pale),
            sum(pale) / area,
            max(pale, default=0),
        ]
    return rows
