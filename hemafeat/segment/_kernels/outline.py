"""The outline of a cell: the best closed curve by the colours of the cell and of the rest."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel
from hemafeat.segment._kernels.colours import BINS, colour_shares
from hemafeat.segment._kernels.curve import fill_curve
from hemafeat.segment._kernels.fill import clear_disc, fill_polygon
from hemafeat.segment._kernels.levels import quantile_index
from hemafeat.segment._kernels.path import closed_path

FLOOR = 2e-4

LANE = 21
LOW = (1 << LANE) - 1
ONES = 1 | 1 << LANE | 1 << (2 * LANE)

REACH = 2.7
"""Farthest radius of the search, in radii of the nuclear hull."""

RIM = 6.0
"""Weight of the rim of the cell against the colours it encloses."""


@kernel
def pack_rgb(row, x):
    """Return R, G and B of a pixel in one integer, so that they are weighted and summed at once."""
    return np.int64(row[x, 0]) | np.int64(row[x, 1]) << LANE | np.int64(row[x, 2]) << (2 * LANE)


@kernel
def sample_rays(image, x0, y0, cos, sin, step, n_radii, polar, off):
    """Sample colours along rays, bilinearly, and replicated beyond the border.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB image.
    x0, y0 : float
        Origin of the rays.
    cos, sin : (n,) ndarray of float64
        Directions of the rays.
    step : float
        Distance between samples.
    n_radii : int
        Number of samples on each ray.
    polar : (n, n_radii) ndarray of int64
        Filled with R, G and B, `LANE` bits apart.
    off : (n, n_radii) ndarray of bool
        Filled with True where a sample lies beyond the border.
    """
    height, width = image.shape[:2]
    for i in range(cos.size):
        for j in range(n_radii):
            x, y = x0 + cos[i] * (j * step), y0 + sin[i] * (j * step)
            off[i, j] = x < 0 or y < 0 or x > width - 1 or y > height - 1
            x, y = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
            # In steps of 1/32 of a pixel.
            u, v = int(x * 32 + 0.5), int(y * 32 + 0.5)
            left, top = u >> 5, v >> 5
            right, below = min(left + 1, width - 1), min(top + 1, height - 1)
            u, v = u & 31, v & 31
            value = (32 - u) * (32 - v) * pack_rgb(image[top], left)
            value += u * (32 - v) * pack_rgb(image[top], right)
            value += (32 - u) * v * pack_rgb(image[below], left)
            value += u * v * pack_rgb(image[below], right)
            polar[i, j] = ((value + 512 * ONES) >> 10) & (255 * ONES)


@kernel
def search_curve(
    image, scale, coded, inside, outside, faint, owner, number, x0, y0, reach, size, prior
):  # fmt: skip
    """Find the best closed curve around a point.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB image at full size.
    scale : float
        Full-size pixels per pixel of `owner`.
    coded : (3, 256) ndarray of uint16
        Density and colour bin of each level; see `levels.colour_planes`.
    inside, outside : (4096,) ndarray of float32
        Shares of the colours; see `colours.colour_shares`.
    faint : float
        Density up to which a pixel may be background.
    owner : (h, w) ndarray of uint8
        Number of the nearest nucleus; of size 1 if there is only one nucleus.
    number : int
        Number of the nucleus of this cell.
    x0, y0 : float
        Centre of the search.
    reach : float
        Farthest radius.
    size : (int, int)
        Numbers of angles and of radii.
    prior : float
        Added to the log-odds of each colour.

    Returns
    -------
    path : (n,) ndarray of int64
        Index of the radius at each angle.
    dark, odds : (n, m) ndarray of float32
        Density and log-odds of each sample.
    off : (n, m) ndarray of bool
        True beyond the border of the image.
    """
    n, m = size
    cos, sin = np.empty(n), np.empty(n)
    for i in range(n):
        cos[i], sin[i] = np.cos(i * (2 * np.pi / n)), np.sin(i * (2 * np.pi / n))
    step = reach / m
    polar = np.empty((n, m), np.int64)
    off = np.empty((n, m), np.bool_)
    sample_rays(image, x0, y0, cos, sin, step, m, polar, off)
    dark, odds = np.empty((n, m), np.float32), np.empty((n, m), np.float32)
    gain = np.empty((n, m), np.float32)
    # Log-odds of each colour bin, computed when the bin is first needed.
    odds_of_bin = np.empty(BINS, np.float32)
    for i in range(BINS):
        odds_of_bin[i] = np.nan
    sums = np.empty(m, np.int64)
    several = owner.size > 1
    for i in range(n):
        before, after = polar[i - 1 if i > 0 else 1], polar[i + 1 if i + 1 < n else n - 2]
        here = polar[i]
        for j in range(m):
            sums[j] = before[j] + here[j] + after[j]
        total = 0.0
        for j in range(m):
            left, right = (
                (j - 1 if j > 0 else min(1, m - 1)),
                (j + 1 if j + 1 < m else max(0, m - 2)),
            )
            nine = sums[left] + sums[j] + sums[right]
            red = np.int64(coded[0, (2 * (nine & LOW) + 9) // 18])
            green = np.int64(coded[1, (2 * (nine >> LANE & LOW) + 9) // 18])
            blue = np.int64(coded[2, (2 * (nine >> (2 * LANE)) + 9) // 18])
            twice = max(red & 255, green & 255, blue & 255) + (green & 255)
            level = (twice >> 1) + (twice & (twice >> 1) & 1)
            index = (red >> 8) << 8 | (green >> 8) << 4 | (blue >> 8)
            ratio = odds_of_bin[index]
            if np.isnan(ratio):
                ratio = np.log((inside[index] + FLOOR) / (outside[index] + FLOOR))
                odds_of_bin[index] = min(max(ratio, -3.0), 3.0)
            dark[i, j] = level
            odds[i, j] = odds_of_bin[index]
            # Without evidence outside the image, the curve is continued smoothly there.
            evidence = 0.0
            if not off[i, j]:
                # Whatever is paler than the palest cytoplasm is background: blur, haloes.
                pale = min(max((level - faint) * (1.5 / faint), -3.0), 0.2)
                weighted = 0.7 * min(max(odds_of_bin[index] + prior, -2.0), 3.0)
                evidence = (min(weighted, 0.0) if pale < 0 else weighted) + pale
                if several:
                    # A pixel nearer to another nucleus is not part of this cell.
                    row = min(int((y0 + sin[i] * (j * step)) / scale), owner.shape[0] - 1)
                    column = min(int((x0 + cos[i] * (j * step)) / scale), owner.shape[1] - 1)
                    if owner[row, column] != number:
                        evidence = -3.0
            # Summed along each ray, each sample weighted by the area it represents.
            total += evidence * ((j + 0.5) / m)
            gain[i, j] = total
        # A step down to the background is the rim of a cell; a step down to something stained may
        # be the rim of its nucleus.
        for j in range(1, m - 1):
            if not off[i, j + 1]:
                edge = (dark[i, j - 1] - dark[i, j + 1]) * (0.25 / faint)
                weight = RIM if dark[i, j + 1] < 2 * faint else 0.35 * RIM
                gain[i, j] += min(max(edge, -0.5), 0.5) * weight
    return closed_path(gain), dark, odds, off


@kernel
def remote_mask(shape, centres, radii, number):
    """Mark the pixels far from all nuclei, with smaller distances if too few pixels are left."""
    far = np.empty(shape, np.uint8)
    for turn in range(3):
        reach = REACH if turn == 0 else (2.3 if turn == 1 else 2.0)
        for y in range(shape[0]):
            for x in range(shape[1]):
                far[y, x] = 1
        for k in range(radii.size):
            radius = int(np.rint(radii[k] * (reach if k == number else 2.0)))
            clear_disc(far, int(np.rint(centres[k, 0])), int(np.rint(centres[k, 1])), radius)
        left = 0
        for y in range(shape[0]):
            for x in range(shape[1]):
                left += int(far[y, x])
        if left >= 0.25 * far.size:
            break
    return far


@kernel
def rate_curve(path, dark, odds, off, faint):
    """Measure the evidence along a curve.

    Parameters
    ----------
    path, dark, odds, off
        See `search_curve`.
    faint : float
        Density up to which a pixel may be background.

    Returns
    -------
    rim, limit, mean_odds, clear : float
        See `hemafeat.segment._contours.cell.Outline`.
    """
    n, m = dark.shape
    visible, drops, clear, limit, ring = 0, 0, 0, 0, 0
    total = 0.0
    for i in range(n):
        inner, outer = max(path[i] - 2, 0), min(path[i] + 3, m - 1)
        if not off[i, outer]:
            visible += 1
            limit += path[i] >= m - 2
            if dark[i, inner] - dark[i, outer] > 0.75 * faint:
                drops += 1
                clear += dark[i, outer] < 2 * faint
        for j in range(path[i] + 1):
            if j >= 0.75 * path[i] and not off[i, j]:
                ring += 1
                total += odds[i, j]
    if visible == 0:
        return 0.0, 1.0, total / max(ring, 1), 0.0
    return drops / visible, limit / visible, total / max(ring, 1), clear / visible


@kernel
def find_outline(
    image, scale, coded, dark, bins, faint, owner, number, centres, radii, hull, prior, coarse, fine
):  # fmt: skip
    """Find the outline of the cell around one nucleus.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB image at full size.
    scale : float
        Full-size pixels per pixel of `dark`, `bins` and `owner`.
    coded, dark, bins : ndarray
        See `levels.colour_planes`.
    faint, owner, number, prior
        See `search_curve`.
    centres, radii : (k, 2) and (k,) ndarray of float64
        Centres and radii of all nuclei, on the reduced image.
    hull : (n, 2) ndarray of int32
        Convex hull of this nucleus.
    coarse, fine : (int, int)
        Numbers of angles and radii of the first and of the second search.

    Returns
    -------
    radius : (n,) ndarray of float64
        Radius of the outline at each angle, in pixels of the full image.
    x, y : float
        Its centre.
    rim, limit, odds, agreement, clear : float
        See `hemafeat.segment._contours.cell.Outline`.
    """
    shape = dark.shape
    x0, y0 = centres[number, 0], centres[number, 1]
    near = np.empty(shape, np.uint8)
    wider = 1.35 + 1.5 / radii[number]
    x_hull, y_hull = np.empty(hull.shape[0]), np.empty(hull.shape[0])
    for i in range(hull.shape[0]):
        x_hull[i] = (hull[i, 0] - x0) * wider + x0
        y_hull[i] = (hull[i, 1] - y0) * wider + y0
    fill_polygon(x_hull, y_hull, near)
    if owner.size > 1:
        for y in range(shape[0]):
            for x in range(shape[1]):
                if owner[y, x] != number:
                    near[y, x] = 0
    far = remote_mask(shape, centres, radii, number)
    inside, outside = colour_shares(bins, dark, faint, near, far)
    x0, y0 = (x0 + 0.5) * scale - 0.5, (y0 + 0.5) * scale - 0.5
    reach = REACH * radii[number] * scale
    path, _, _, _ = search_curve(
        image, scale, coded, inside, outside, faint, owner, number, x0, y0, reach, coarse, prior
    )  # fmt: skip
    first, around = np.empty(path.size), np.empty(path.size)
    farthest = 0.0
    for i in range(path.size):
        first[i] = (path[i] + 0.5) * (reach / coarse[1])
        around[i] = first[i] + 2.0 * scale
        farthest = max(farthest, first[i])

    # The second search starts from the centre of the first outline, with the colours inside it.
    first_mask = near
    area = fill_curve(x0, y0, first, scale, first_mask)
    beyond = np.empty(shape, np.uint8)
    fill_curve(x0, y0, around, scale, beyond)
    for k in range(radii.size):
        if k != number:
            radius = int(np.rint(1.6 * radii[k]))
            # Other white cells say nothing about the colours outside of this one.
            x, y = int(np.rint(centres[k, 0])), int(np.rint(centres[k, 1]))
            for row in range(max(0, y - radius), min(shape[0], y + radius + 1)):
                half = int(np.sqrt(radius * (radius + 1) - (row - y) ** 2))
                for column in range(max(0, x - half), min(shape[1], x + half + 1)):
                    beyond[row, column] = 1
                    far[row, column] = 0
    sum_x, sum_y = 0, 0
    counts = np.zeros(256, np.int64)
    for y in range(shape[0]):
        dark_row, mask_row, beyond_row, far_row = dark[y], first_mask[y], beyond[y], far[y]
        for x in range(shape[1]):
            beyond_row[x] = beyond_row[x] == 0 or (far_row[x] and dark_row[x] >= faint)
            if mask_row[x]:
                sum_x += x
                sum_y += y
                counts[dark_row[x]] += 1
    if area > 0:
        x0 = (sum_x / area + 0.5) * scale - 0.5
        y0 = (sum_y / area + 0.5) * scale - 0.5
        # The cell ends nearly half way from the background to the density of its palest part.
        faint = min(max(0.4 * quantile_index(counts, 0.15), 0.7 * faint), 4 * faint)
    inside, outside = colour_shares(bins, dark, faint, first_mask, beyond)
    reach = 1.35 * farthest
    path, samples, sample_odds, off = search_curve(
        image, scale, coded, inside, outside, faint, owner, number, x0, y0, reach, fine, prior
    )  # fmt: skip
    radius_at = np.empty(path.size)
    for i in range(path.size):
        radius_at[i] = (path[i] + 0.5) * (reach / fine[1])
    rim, limit, odds, clear = rate_curve(path, samples, sample_odds, off, faint)
    second = fill_curve(x0, y0, radius_at, scale, beyond)
    both = 0
    for y in range(shape[0]):
        for x in range(shape[1]):
            both += int(beyond[y, x] & first_mask[y, x])
    agreement = 2.0 * both / (area + second) if area + second > 0 else 0.0
    return radius_at, x0, y0, rim, limit, odds, agreement, clear
