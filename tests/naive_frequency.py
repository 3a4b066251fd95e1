"""Zernike moments and Gabor filters from their definitions: slow, and on their own."""

from __future__ import annotations

import math

import numpy as np


def radial_polynomial(n, m, radius):
    """R_nm by its sum of factorials."""
    return sum(
        (-1) ** s
        * math.factorial(n - s)
        / (math.factorial(s) * math.factorial((n + m) // 2 - s) * math.factorial((n - m) // 2 - s))
        * radius ** (n - 2 * s)
        for s in range((n - m) // 2 + 1)
    )


def zernike_moments(values, rows, columns, centre, radius):
    """{(n, m): |Z|} of values at pixels, normalised to the sum 1."""
    y, x = (rows - centre[0]) / radius, (columns - centre[1]) / radius
    rho, theta = np.hypot(x, y), np.arctan2(y, x)
    p = values / values.sum()
    return {
        (n, m): abs(
            (n + 1) / math.pi * (p * radial_polynomial(n, m, rho) * np.exp(-1j * m * theta)).sum()
        )
        for n in range(10)
        for m in range(n % 2, n + 1, 2)
    }


def green_density(image, white):
    return np.log10((white[1] + 1.0) / (image[:, :, 1] + 1.0))


def zernike(image, labels, n_cells, white):
    density = np.maximum(green_density(image, white), 0)
    result = np.full((n_cells, 57), np.nan)
    for cell in range(n_cells):
        rows, columns = np.nonzero(labels == cell + 1)
        if rows.size == 0:
            continue
        centre = rows.mean(), columns.mean()
        radius = np.hypot(rows - centre[0], columns - centre[1]).max() + 0.5
        found = zernike_moments(np.ones(rows.size), rows, columns, centre, radius)
        result[cell, :28] = [z for (n, _), z in found.items() if n >= 2]
        values = density[rows, columns]
        if values.sum() > 0:
            found = zernike_moments(values, rows, columns, centre, radius)
            result[cell, 28:] = [z for (n, _), z in found.items() if n >= 1]
    return result
