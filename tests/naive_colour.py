"""Twins of the families that measure colour: plain, slow, importing nothing of hemafeat."""

from __future__ import annotations

import math

import numpy as np


def _descale(values, bits):
    return np.floor(values / 2**bits + 0.5).astype(int)


def opencv_codes(rgb):
    """(12, N): R, G, B, H, S, V, L, a, b, Y, Cr, Cb of (N, 3) levels, as OpenCV codes 8 bits."""
    r, g, b = rgb.T.astype(int)
    high, low = rgb.max(axis=1).astype(int), rgb.min(axis=1).astype(int)
    chroma = high - low
    saturation = _descale(chroma * np.rint(255 * 4096 / np.maximum(high, 1)), 12)
    side = np.where(high == r, g - b, np.where(high == g, b - r + 2 * chroma, r - g + 4 * chroma))
    hue = _descale(side * np.rint(30 * 4096 / np.maximum(chroma, 1)), 12)
    hue = np.where(hue < 0, hue + 180, hue)

    share = np.arange(256) / 255
    gamma = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    linear = np.rint(gamma * 255 * 8)[rgb]
    to_xyz = np.array(
        [
            [0.412453 / 0.950456, 0.357580 / 0.950456, 0.180423 / 0.950456],
            [0.212671, 0.715160, 0.072169],
            [0.019334 / 1.088754, 0.119193 / 1.088754, 0.950227 / 1.088754],
        ]
    )
    light = _descale(linear @ np.rint(to_xyz * 4096).T, 12) / (255 * 8)
    root = np.where(light < (6 / 29) ** 3, light * (29 / 6) ** 2 / 3 + 4 / 29, np.cbrt(light))
    x, y, z = np.rint(root * 2**15).T
    star = [
        _descale(296 * y - math.floor((16 * 255 * 2**15 + 50) / 100), 15),
        _descale(500 * (x - y), 15) + 128,
        _descale(200 * (y - z), 15) + 128,
    ]

    luma = _descale(r * 4899 + g * 9617 + b * 1868, 14)
    red = _descale((r - luma) * 11682, 14) + 128
    blue = _descale((b - luma) * 9241, 14) + 128
    return np.clip([r, g, b, hue, saturation, high, *star, luma, red, blue], 0, 255)


def tavakoli(image, cell, nucleus, n_cells, white):
    from naive import crofton, hull_of

    gain = np.mean(white) / np.asarray(white)
    balanced = np.minimum(np.rint(image * gain), 255).astype(np.uint8)
    rows = np.full((n_cells, 51), np.nan)
    for k in range(n_cells):
        inside, whole = nucleus == k + 1, cell == k + 1
        if not inside.any() or not whole.any():
            continue
        hull = hull_of(inside)[2]
        perimeter, area = crofton(inside), inside.sum()
        row = [area / hull.sum(), crofton(hull) / perimeter, perimeter**2 / (4 * math.pi * area)]
        around = hull & whole & ~inside
        parts = [opencv_codes(balanced[part]) for part in (inside, around)]
        both = np.concatenate(parts, axis=1)
        for channel in range(12):
            for statistic in (np.mean, np.std):
                divisor = statistic(both[channel])
                for part in parts:
                    defined = part.shape[1] and divisor > 0
                    row.append(statistic(part[channel]) / divisor if defined else math.nan)
        rows[k] = row
    return rows
