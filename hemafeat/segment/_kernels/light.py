"""A surface through the background, from above."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel


@kernel
def solve(matrix, value):
    """Solution of ``matrix @ x == value`` for a positive definite matrix; both are overwritten."""
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
def background_surface(small, white, tile, tint, near, bend, spreads):
    """Brightness of the background at each place, and what was seen of it.

    Parameters
    ----------
    small : (rows, columns, 3) ndarray of uint8
        A much reduced image.
    white : (3,) ndarray of float64
    tile : int
        Side of the squares the brightest background of which is fitted.
    tint : float
        Share of green by which the other channels of background may differ from it.
    near : float
        Distance from the fit, as a share of it, up to which a pixel is background.
    bend : float
        What a bend costs.
    spreads : (n,) ndarray of float64
        How far below the surface a square may lie to be counted half, in each turn of the fit.

    Returns
    -------
    surface : (rows, columns) ndarray of float64
    found : (5,) ndarray of float64
        Shares of the pixels that are background, that would be under even light, and that are
        brighter than the surface; least and most brightness of the background. All zero where too
        little is seen.
    """
    rows, columns = small.shape[:2]
    surface = np.zeros((rows, columns))
    found = np.zeros(5)
    green = np.empty((rows, columns))
    grey = np.empty((rows, columns), np.bool_)
    red_share, green_share, blue_share = 1.0 / white[0], 1.0 / white[1], 1.0 / white[2]
    for y in range(rows):
        for x in range(columns):
            level = small[y, x, 1] * green_share
            apart = max(
                abs(small[y, x, 0] * red_share - level), abs(small[y, x, 2] * blue_share - level)
            )
            green[y, x] = level
            grey[y, x] = apart < tint * level
    down, along = rows // tile, columns // tile
    value = np.empty(down * along)
    basis = np.empty((down * along, 6))
    n = 0
    for i in range(down):
        for j in range(along):
            top = 0.0
            for y in range(i * tile, (i + 1) * tile):
                for x in range(j * tile, (j + 1) * tile):
                    if grey[y, x]:
                        top = max(top, green[y, x])
            if top > 0.35:
                value[n] = top
                up = 2.0 * (i * tile + tile // 2) / (rows - 1) - 1.0
                on = 2.0 * (j * tile + tile // 2) / (columns - 1) - 1.0
                basis[n, 0], basis[n, 1], basis[n, 2] = 1.0, on, up
                basis[n, 3], basis[n, 4], basis[n, 5] = on * on, on * up, up * up
                n += 1
    if n < 0.3 * down * along:
        return surface, found
    weight = np.ones(n)
    fit = np.empty(6)
    for turn in range(spreads.size):
        spread = spreads[turn]
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
            matrix[j, j] += 1e-6 if j < 3 else bend
        solve(matrix, fit)
        for i in range(n):
            fitted = 0.0
            for j in range(6):
                fitted += basis[i, j] * fit[j]
            below = max(fitted - value[i], 0.0) / spread
            weight[i] = 1.0 / (1.0 + below * below * below * below)
    found[3], found[4] = np.inf, -np.inf
    for y in range(rows):
        up = 2.0 * y / (rows - 1) - 1.0
        for x in range(columns):
            on = 2.0 * x / (columns - 1) - 1.0
            height = (
                fit[0] + on * (fit[1] + on * fit[3] + up * fit[4]) + up * (fit[2] + up * fit[5])
            )
            surface[y, x] = height
            level = green[y, x]
            if grey[y, x]:
                if abs(level - height) < near * height:
                    found[0] += 1
                    found[3] = min(found[3], height)
                    found[4] = max(found[4], height)
                if abs(level - 1.0) < near:
                    found[1] += 1
            if level > (1.0 + near) * height:
                found[2] += 1
    for i in range(3):
        found[i] /= rows * columns
    return surface, found


@kernel
def is_uneven(small, white, light, spreads):
    """Whether enough of the background is seen, and its brightness differs from place to place.

    Parameters
    ----------
    small, white, spreads
        See `background_surface`.
    light : (5,) ndarray of float64
        Tile, tint, near and bend as there; the range of the brightness, as a share of the largest,
        that is left alone.
    """
    _, found = background_surface(
        small, white, int(light[0]), light[1], light[2], light[3], spreads
    )
    # Under even light, the same or more would be background; then nothing is to be evened.
    if found[0] < 0.1 or found[2] > 0.02 or found[0] < found[1]:
        return False
    return found[3] <= (1.0 - light[4]) * found[4]
