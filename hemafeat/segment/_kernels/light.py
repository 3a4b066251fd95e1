"""A smooth surface fitted to the brightness of the background."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel

TILE = 4
"""Side, in pixels, of the tiles whose brightest background pixel is fitted."""

TINT = 0.07
"""Largest deviation of the ratio of two channels from 1 for a pixel of the background: uneven light
keeps its colour, while haemoglobin and dye change it."""

NEAR = 0.045
"""Largest distance of a background pixel from the fitted brightness, as a share of it."""

BEND = 1e-3
"""Penalty on the curvature of the surface, which keeps it flat where no background is visible."""

UNEVEN = 0.07
"""Range of the background brightness, as a share of its maximum, that is not corrected."""

SPREADS = np.array([0.16, 0.12, 0.08, 0.08, 0.06, 0.06, 0.04, 0.04, 0.04, 0.04])
"""Distance below the surface at which a tile has half the weight, in each iteration of the fit."""


def background_surface(small, white):
    """Fit a surface of second order to the brightness of the background, from above.

    Parameters
    ----------
    small : (rows, columns, 3) ndarray of uint8
        Strongly reduced RGB image.
    white : (3,) ndarray of float64
        Level of the background.

    Returns
    -------
    surface : (rows, columns) ndarray of float64
        Brightness relative to `white`; all zero if too little background is visible.
    background : float
        Share of the pixels that are background by this surface.
    even : float
        Share of the pixels that would be background under even light.
    brighter : float
        Share of the pixels that are brighter than the surface.
    lowest, highest : float
        Range of the surface over the background.
    """
    rows, columns = small.shape[:2]
    surface, green = np.zeros((2, rows, columns))
    grey = np.empty((rows, columns), np.bool_)
    # The basis of the surface, the brightness and the weight of each tile; the system to solve.
    tiles = np.empty(((rows // TILE) * (columns // TILE), 8))
    measures = fit_surface(small, white, surface, green, grey, tiles, np.empty((7, 6)))
    return surface, *measures


@kernel
def fit_surface(small, white, surface, green, grey, tiles, system):
    """Fit the surface of `background_surface`, with working memory for its steps."""
    rows, columns = grey.shape
    red_share, green_share, blue_share = 1.0 / white[0], 1.0 / white[1], 1.0 / white[2]
    for y in range(rows):
        for x in range(columns):
            level = small[y, x, 1] * green_share
            difference = max(
                abs(small[y, x, 0] * red_share - level), abs(small[y, x, 2] * blue_share - level)
            )
            green[y, x] = level
            grey[y, x] = difference < TINT * level
    down, along = rows // TILE, columns // TILE
    n = 0
    for i in range(down):
        for j in range(along):
            top = 0.0
            for y in range(i * TILE, (i + 1) * TILE):
                for x in range(j * TILE, (j + 1) * TILE):
                    if grey[y, x]:
                        top = max(top, green[y, x])
            if top > 0.35:
                tile = tiles[n]
                v = 2.0 * (i * TILE + TILE // 2) / (rows - 1) - 1.0
                u = 2.0 * (j * TILE + TILE // 2) / (columns - 1) - 1.0
                tile[0], tile[1], tile[2] = 1.0, u, v
                tile[3], tile[4], tile[5] = u * u, u * v, v * v
                tile[6], tile[7] = top, 1.0
                n += 1
    if n < 0.3 * down * along:
        return 0.0, 0.0, 0.0, 0.0, 0.0
    # Normal equations; their right side, and then the solution, is the last row.
    fit = system[6]
    for spread in SPREADS:
        for i in range(7):
            for j in range(6):
                system[i, j] = 0.0
        total = 0.0
        for i in range(n):
            total += tiles[i, 7]
        for i in range(n):
            tile = tiles[i]
            share = tile[7] / total
            for j in range(6):
                part = share * tile[j]
                fit[j] += part * tile[6]
                for k in range(j, 6):
                    system[j, k] += part * tile[k]
        for j in range(6):
            for k in range(j):
                system[j, k] = system[k, j]
            system[j, j] += 1e-6 if j < 3 else BEND
        for i in range(6):
            for j in range(i + 1, 6):
                ratio = system[j, i] / system[i, i]
                for k in range(i, 6):
                    system[j, k] -= ratio * system[i, k]
                fit[j] -= ratio * fit[i]
        for i in range(5, -1, -1):
            for k in range(i + 1, 6):
                fit[i] -= system[i, k] * fit[k]
            fit[i] /= system[i, i]
        for i in range(n):
            tile = tiles[i]
            fitted = 0.0
            for j in range(6):
                fitted += tile[j] * fit[j]
            below = max(fitted - tile[6], 0.0) / spread
            tile[7] = 1.0 / (1.0 + below * below * below * below)
    n_background, n_even, n_brighter = 0, 0, 0
    lowest, highest = np.inf, -np.inf
    for y in range(rows):
        v = 2.0 * y / (rows - 1) - 1.0
        for x in range(columns):
            u = 2.0 * x / (columns - 1) - 1.0
            height = fit[0] + u * (fit[1] + u * fit[3] + v * fit[4]) + v * (fit[2] + v * fit[5])
            surface[y, x] = height
            level = green[y, x]
            if grey[y, x]:
                if abs(level - height) < NEAR * height:
                    n_background += 1
                    lowest = min(lowest, height)
                    highest = max(highest, height)
                if abs(level - 1.0) < NEAR:
                    n_even += 1
            if level > (1.0 + NEAR) * height:
                n_brighter += 1
    area = rows * columns
    return n_background / area, n_even / area, n_brighter / area, lowest, highest


def is_uneven(small, white):
    """Return True if enough background is visible and its brightness varies.

    Parameters
    ----------
    small, white
        As for `background_surface`.
    """
    _, background, even, brighter, lowest, highest = background_surface(small, white)
    # If even light explains the background as well, there is nothing to correct.
    if background < 0.1 or brighter > 0.02 or background < even:
        return False
    return lowest <= (1.0 - UNEVEN) * highest
