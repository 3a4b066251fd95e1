"""Texture families from their definitions, in plain NumPy and loops: slow, and on their own."""

from __future__ import annotations

import math

import numpy as np


def density_levels(image, white, n_levels):
    """Green optical density cut into `n_levels` bins of equal width over [0, 1.5]."""
    green = image[:, :, 1].astype(float)
    density = np.log10((white[1] + 1.0) / (green + 1.0))
    return np.clip(np.floor(density * (n_levels / 1.5)), 0, n_levels - 1).astype(int)


def co_occurrence(levels, inside, step, n_levels):
    """Symmetric (n_levels, n_levels) counts of pixel pairs `step` = (rows, columns) apart."""
    counts = np.zeros((n_levels, n_levels))
    height, width = levels.shape
    for row, column in np.argwhere(inside):
        other = row + step[0], column + step[1]
        if 0 <= other[0] < height and 0 <= other[1] < width and inside[other]:
            counts[levels[row, column], levels[other]] += 1
            counts[levels[other], levels[row, column]] += 1
    return counts


def _entropy(p):
    p = p[p > 0]
    return -(p * np.log2(p)).sum()


def haralick(counts):
    """The 25 statistics of IBSI 3.6, in its order, by double sums over the whole matrix."""
    if counts.sum() == 0:
        return [np.nan] * 25
    p = counts / counts.sum()
    n = len(p)
    i, j = np.mgrid[1 : n + 1, 1 : n + 1]
    p_x = p.sum(axis=1)
    p_plus = np.array([p[i + j == k].sum() for k in range(2, 2 * n + 1)])
    p_minus = np.array([p[abs(i - j) == k].sum() for k in range(n)])
    mu = (i * p).sum()
    variance = ((i - mu) ** 2 * p).sum()
    k_plus, k_minus = np.arange(2, 2 * n + 1), np.arange(n)
    sum_average = (k_plus * p_plus).sum()
    difference_average = (k_minus * p_minus).sum()
    h_x, h_xy = _entropy(p_x), _entropy(p)
    outer = np.outer(p_x, p_x)
    seen = outer > 0
    h_xy1 = -(p[seen] * np.log2(outer[seen])).sum()
    h_xy2 = -(outer[seen] * np.log2(outer[seen])).sum()
    several = (p_x > 0).sum() > 1
    apart = i != j
    return [
        p.max(),
        mu,
        variance,
        h_xy,
        difference_average,
        ((k_minus - difference_average) ** 2 * p_minus).sum(),
        _entropy(p_minus),
        sum_average,
        ((k_plus - sum_average) ** 2 * p_plus).sum(),
        _entropy(p_plus),
        (p**2).sum(),
        ((i - j) ** 2 * p).sum(),
        (abs(i - j) * p).sum(),
        (p / (1 + abs(i - j))).sum(),
        (p / (1 + abs(i - j) / n)).sum(),
        (p / (1 + (i - j) ** 2)).sum(),
        (p / (1 + (i - j) ** 2 / n**2)).sum(),
        (p[apart] / (i - j)[apart] ** 2).sum(),
        ((i - mu) * (j - mu) * p).sum() / variance if several else np.nan,
        (i * j * p).sum(),
        ((i + j - 2 * mu) ** 2 * p).sum(),
        ((i + j - 2 * mu) ** 3 * p).sum(),
        ((i + j - 2 * mu) ** 4 * p).sum(),
        (h_xy - h_xy1) / h_x if several else np.nan,
        math.sqrt(max(0.0, 1 - math.exp(-2 * (h_xy2 - h_xy)))),
    ]


def glcm(image, labels, n_cells, white):
    levels = density_levels(image, white, 32)
    rows = []
    for cell in range(1, n_cells + 1):
        inside = labels == cell
        row = []
        for d in (1, 2, 4):
            steps = [(0, d), (d, d), (d, 0), (d, -d)]
            angles = np.array([haralick(co_occurrence(levels, inside, s, 32)) for s in steps])
            for values in angles.T:
                values = values[~np.isnan(values)]
                row.append(values.mean() if values.size else np.nan)
            # Angular second moment, contrast, correlation, inverse difference moment, entropy.
            for values in angles.T[[10, 11, 18, 15, 3]]:
                values = values[~np.isnan(values)]
                row.append(values.max() - values.min() if values.size else np.nan)
        rows.append(row)
    return np.array(rows)
