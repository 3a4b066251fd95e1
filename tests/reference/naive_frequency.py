"""Zernike moments and Gabor filters from their definitions: slow, independent of hemafeat."""

from __future__ import annotations

import math

import numpy as np
from scipy import signal


def radial_polynomial(n, m, radius):
    """Compute R_nm by its sum of factorials."""
    return sum(
        (-1) ** s
        * math.factorial(n - s)
        / (math.factorial(s) * math.factorial((n + m) // 2 - s) * math.factorial((n - m) // 2 - s))
        * radius ** (n - 2 * s)
        for s in range((n - m) // 2 + 1)
    )


def zernike_moments(values, rows, columns, centre, radius):
    """Return {(n, m): |Z|} of the values of pixels, normalised to the sum 1."""
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
        moments = zernike_moments(np.ones(rows.size), rows, columns, centre, radius)
        result[cell, :28] = [z for (n, _), z in moments.items() if n >= 2]
        values = density[rows, columns]
        if values.sum() > 0:
            moments = zernike_moments(values, rows, columns, centre, radius)
            result[cell, 28:] = [z for (n, _), z in moments.items() if n >= 1]
    return result


def gabor_filter(wavelength, degrees):
    """Return the wave under a Gaussian, cut at three sd as in scikit-image."""
    theta = math.radians(degrees)
    sigma = math.sqrt(math.log(2) / 2) / math.pi * 3 * wavelength
    extent_x, extent_y = abs(3 * sigma * math.cos(theta)), abs(3 * sigma * math.sin(theta))
    reach = math.ceil(max(extent_x, extent_y, 1))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    bell = np.exp(-0.5 * (x**2 + y**2) / sigma**2) / (2 * math.pi * sigma**2)
    phase_axis = x * math.cos(theta) + y * math.sin(theta)
    return bell * np.exp(2j * math.pi * phase_axis / wavelength)


def gabor(image, labels, n_cells, white):
    density = green_density(image, white)
    result = np.full((n_cells, 60), np.nan)
    for cell in range(n_cells):
        inside = labels == cell + 1
        if not inside.any():
            continue
        flat = np.ptp(density[inside]) == 0
        plane = np.where(inside & (not flat), density - density[inside].mean(), 0)
        row = []
        for wavelength in (3, 5, 8, 12):
            magnitudes = [
                abs(signal.convolve(plane, gabor_filter(wavelength, degrees), mode="same"))[inside]
                for degrees in range(0, 180, 30)
            ]
            means, sds = [s.mean() for s in magnitudes], [s.std() for s in magnitudes]
            row += [*means, *sds, np.mean(means), np.mean(sds)]
            row.append(math.nan if flat else np.ptp(means) / np.mean(means))
        result[cell] = row
    return result
