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


@kernel
def solve(matrix, value):
    """Solve ``matrix @ x == value`` for a positive definite matrix; both are overwritten."""
    n = value.size
    for i in range(n):
        for j in range(i + 1, n):
            ratio = matrix[j, i] / matrix[i, i]
            for k in range(i, n):
                matrix[j, k] -= ratio * matrix[i, k]
            value[j] -= ratio * value[i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            value[i] -= matrix[i, k] * value[k]
        value[i] /= matrix[i, i]
    return value


@kernel
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
    surface = np.zeros((rows, columns))
    green = np.empty((rows, columns))
    grey = np.empty((rows, columns), np.bool_)
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
    value = np.empty(down * along)
    basis = np.empty((down * along, 6))
    n = 0
    for i in range(down):
        for j in range(along):
            top = 0.0
            for y in range(i * TILE, (i + 1) * TILE):
                for x in range(j * TILE, (j + 1) * TILE):
                    if grey[y, x]:
                        top = max(top, green[y, x])
            if top > 0.35:
                value[n] = top
                v = 2.0 * (i * TILE + TILE // 2) / (rows - 1) - 1.0
                u = 2.0 * (j * TILE + TILE // 2) / (columns - 1) - 1.0
                basis[n, 0], basis[n, 1], basis[n, 2] = 1.0, u, v
                basis[n, 3], basis[n, 4], basis[n, 5] = u * u, u * v, v * v
                n += 1
    if n < 0.3 * down * along:
        return surface, 0.0, 0.0, 0.0, 0.0, 0.0
    weight = np.ones(n)
    fit = np.empty(6)
    for spread in SPREADS:
        matrix, fit = np.zeros((6, 6)), np.zeros(6)
        total = 0.0
        for i in range(n):
            total += weight[i]
        for i in range(n):
            share = weight[i] / total
            for j in range(6):
                part = share * basis[i, j]
                fit[j] += part * value[i]
                for k in range(j, 6):
                    matrix[j, k] += part * basis[i, k]
        for j in range(6):
            for k in range(j):
                matrix[j, k] = matrix[k, j]
            matrix[j, j] += 1e-6 if j < 3 else BEND
        solve(matrix, fit)
        for i in range(n):
            fitted = 0.0
            for j in range(6):
                fitted += basis[i, j] * fit[j]
            below = max(fitted - value[i], 0.0) / spread
            weight[i] = 1.0 / (1.0 + below * below * below * below)
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
    return surface, n_background / area, n_even / area, n_brighter / area, lowest, highest


@kernel
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
