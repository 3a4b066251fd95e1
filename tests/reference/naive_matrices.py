"""Matrices of runs, zones, dependences and differences from their definitions.

The functions are slow and independent of hemafeat. `levels` are integers from 1, `inside` is a
mask of the pixels of the cell.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from scipy import ndimage

from reference.naive_texture import density_levels

STEPS = [(0, 1), (1, 1), (1, 0), (1, -1)]
AROUND = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if (a, b) != (0, 0)]


def pixel_levels(levels, inside):
    """Return {(row, column): level} of the pixels of a cell."""
    return {(r, c): int(levels[r, c]) for r, c in map(tuple, np.argwhere(inside).tolist())}


def runs(levels, inside, step):
    """Count (level, length) by following each run from its first pixel."""
    pixels = pixel_levels(levels, inside)
    counts = Counter()
    for (row, column), level in pixels.items():
        if pixels.get((row - step[0], column - step[1])) == level:
            continue
        length = 1
        while pixels.get((row + length * step[0], column + length * step[1])) == level:
            length += 1
        counts[level, length] += 1
    return counts


def zones(levels, inside):
    """Count (level, size) by labelling each level separately."""
    counts = Counter()
    for level in np.unique(levels[inside]):
        parts, n = ndimage.label(inside & (levels == level), structure=np.ones((3, 3)))
        for part in range(1, n + 1):
            counts[int(level), int((parts == part).sum())] += 1
    return counts


def dependences(levels, inside):
    """Count (level, 1 + number of neighbours of the same level)."""
    pixels = pixel_levels(levels, inside)
    return Counter(
        (level, 1 + sum(pixels.get((row + a, column + b)) == level for a, b in AROUND))
        for (row, column), level in pixels.items()
    )


def differences(levels, inside):
    """Return {level: [|level - mean of neighbours|, ...]} of the pixels that have a neighbour."""
    pixels = pixel_levels(levels, inside)
    by_level = {}
    for (row, column), level in pixels.items():
        neighbours = [
            pixels[row + a, column + b] for a, b in AROUND if (row + a, column + b) in pixels
        ]
        if neighbours:
            by_level.setdefault(level, []).append(abs(level - sum(neighbours) / len(neighbours)))
    return by_level


def extent_statistics(counts):
    """Compute the 17 statistics of a Counter of (level i, extent j), sum by sum."""
    i, j, r = (np.array(x, float) for x in zip(*[(*k, n) for k, n in counts.items()], strict=True))
    n = r.sum()
    by_level = np.array([r[i == level].sum() for level in np.unique(i)])
    by_extent = np.array([r[j == extent].sum() for extent in np.unique(j)])
    p = r / n
    return [
        (p / j**2).sum(),
        (p * j**2).sum(),
        (p / i**2).sum(),
        (p * i**2).sum(),
        (p / i**2 / j**2).sum(),
        (p * i**2 / j**2).sum(),
        (p * j**2 / i**2).sum(),
        (p * i**2 * j**2).sum(),
        (by_level**2).sum() / n,
        (by_level**2).sum() / n**2,
        (by_extent**2).sum() / n,
        (by_extent**2).sum() / n**2,
        n / (r * j).sum(),
        (p * (i - (p * i).sum()) ** 2).sum(),
        (p * (j - (p * j).sum()) ** 2).sum(),
        -(p * np.log2(p)).sum(),
        (p**2).sum(),
    ]


def tone_statistics(differences_by_level):
    """Compute the 5 statistics of the result of `differences`."""
    n = sum(len(values) for values in differences_by_level.values())
    if n == 0:
        return [math.nan] * 5
    p = {level: len(values) / n for level, values in differences_by_level.items()}
    s = {level: sum(values) for level, values in differences_by_level.items()}
    g = len(p)
    pairs = [(a, b) for a in p for b in p]
    weighted = sum(p[a] * s[a] for a in p)
    spread = sum(p[a] * p[b] * (a - b) ** 2 for a, b in pairs)
    scatter = sum(abs(a * p[a] - b * p[b]) for a, b in pairs)
    total = sum(s.values())
    return [
        1 / weighted if weighted > 0 else math.nan,
        spread / (g * (g - 1)) * total / n if g > 1 else math.nan,
        weighted / scatter if scatter > 0 else math.nan,
        sum(abs(a - b) * (p[a] * s[a] + p[b] * s[b]) / (p[a] + p[b]) for a, b in pairs) / n,
        sum((p[a] + p[b]) * (a - b) ** 2 for a, b in pairs) / total if total > 0 else math.nan,
    ]


def _per_cell(image, labels, n_cells, white, width, measure):
    levels = density_levels(image, white, 32) + 1
    rows = np.full((n_cells, width), math.nan)
    for cell in range(n_cells):
        inside = labels == cell + 1
        if inside.any():
            rows[cell] = measure(levels, inside)
    return rows


def glrlm(image, labels, n_cells, white):
    def measure(levels, inside):
        angles = [extent_statistics(runs(levels, inside, step))[:16] for step in STEPS]
        return np.mean(angles, axis=0)

    return _per_cell(image, labels, n_cells, white, 16, measure)


def glszm(image, labels, n_cells, white):
    def measure(levels, inside):
        return extent_statistics(zones(levels, inside))[:16]

    return _per_cell(image, labels, n_cells, white, 16, measure)


def gldm(image, labels, n_cells, white):
    def measure(levels, inside):
        statistics = extent_statistics(dependences(levels, inside))
        return statistics[:12] + statistics[13:]

    return _per_cell(image, labels, n_cells, white, 16, measure)


def ngtdm(image, labels, n_cells, white):
    def measure(levels, inside):
        return tone_statistics(differences(levels, inside))

    return _per_cell(image, labels, n_cells, white, 5, measure)
