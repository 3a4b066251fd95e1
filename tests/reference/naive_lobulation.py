"""Lobes at rising densities from their definition, in plain NumPy: slow, and on its own."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from reference.naive_geometry import EIGHT, depth_of, lobe_numbers, whole_image

SHARES = (20, 35, 50, 65, 80)


def middle(levels):
    """Lower median; 0 of nothing."""
    return int(np.sort(levels)[(len(levels) - 1) // 2]) if len(levels) else 0


def dense_regions(levels, cell, nucleus):
    """For each share the region denser than it, in blocks, with its holes; and pixels per block."""
    low, high = middle(levels[cell & ~nucleus]), middle(levels[nucleus])
    if high <= low:
        return [], 0
    rows, columns = np.nonzero(cell)
    box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    step = max(1, math.isqrt(nucleus.sum() // 512))
    pad = [(0, -length % step) for length in cell[box].shape]
    inside, level = np.pad(cell[box], pad), np.pad(levels[box] * cell[box], pad)

    def in_blocks(plane):
        height, width = plane.shape
        return plane.reshape(height // step, step, width // step, step).sum(axis=(1, 3))

    number, total = in_blocks(inside.astype(int)), in_blocks(level.astype(int))
    found = []
    for share in SHARES:
        bound = 100 * low + share * (high - low)
        region = (100 * total > number * bound) & (2 * number >= step**2)
        parts, n = ndimage.label(region)
        for part in range(1, n + 1):
            if 50 * (parts == part).sum() * step**2 < nucleus.sum():
                region[parts == part] = False
        framed = np.pad(region, 1)
        parts, n = ndimage.label(~framed, EIGHT)
        n_holes = 0
        for part in set(range(1, n + 1)) - {parts[0, 0]}:
            if 100 * (parts == part).sum() * step**2 < nucleus.sum():
                framed[parts == part] = True
            else:
                n_holes += 1
        found.append((framed[1:-1, 1:-1], n_holes))
    return found, step**2


def lobulation(image, cell, nucleus, n_cells, white):
    twins = whole_image()
    density = np.log10((white[0] + 1) / (image[..., 0] + 1.0))
    levels = np.clip(np.floor(density * (256 / 1.5)), 0, 255).astype(int)
    rows = np.full((n_cells, 5, 19), np.nan)
    for k in range(n_cells):
        inner, outer = nucleus == k + 1, cell == k + 1
        if not (inner.any() and outer.any()):
            continue
        found, block = dense_regions(levels, outer, inner)
        for row, (inside, n_holes) in zip(rows[k], found, strict=False):
            area = inside.sum()
            if area == 0:
                continue
            radius = math.sqrt(area / math.pi)
            under = depth_of(inside)[inside] - 0.5
            numbers, cores = lobe_numbers(inside, area)
            row[:] = [
                *numbers[:2],
                *numbers[5:],
                under.max() / radius,
                under.mean() / radius,
                under.std() / under.mean(),
                *[(under > share * radius).mean() for share in (0.2, 0.3, 0.4, 0.5, 0.6)],
                *cores,
                area * block / inner.sum(),
                area / twins.hull_of(inside)[2].sum(),
                4 * math.pi * area / twins.crofton(inside) ** 2,
                n_holes,
            ]
    return rows.reshape(n_cells, 95)
