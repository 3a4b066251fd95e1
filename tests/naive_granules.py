"""Granules, vacuoles and chromatin from their definitions: slow, and on their own."""

from __future__ import annotations

import math

import numpy as np
from naive_texture import density_levels


def window_extreme(levels, inside, radius, extreme):
    """Lowest or highest level of the mask within `radius` rows and columns of its pixels."""
    found = np.zeros_like(levels)
    for row, column in np.argwhere(inside):
        near = (
            slice(max(row - radius, 0), row + radius + 1),
            slice(max(column - radius, 0), column + radius + 1),
        )
        found[row, column] = extreme(levels[near][inside[near]])
    return found


def pattern_spectrum(levels, inside, radii, whole):
    """Losses by openings, with mean, sd, skewness and entropy of the radius."""
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
