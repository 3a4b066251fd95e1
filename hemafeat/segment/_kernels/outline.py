"""The outline of a cell: the best closed curve by the colours of the cell and of the rest."""

from __future__ import annotations

import math
import threading

import cv2
import numpy as np

from hemafeat._jit import inlined, kernel
from hemafeat.segment._kernels.colours import BINS, count_colours
from hemafeat.segment._kernels.curve import fill_curve, unit_circle
from hemafeat.segment._kernels.fill import clear_disc, fill_polygon
from hemafeat.segment._kernels.levels import quantile_index
from hemafeat.segment._kernels.nuclei import histogram
from hemafeat.segment._kernels.path import COST, closed_rows, follow_round

FLOOR = 2e-4

LANE = 21
LOW = (1 << LANE) - 1
ONES = 1 | 1 << LANE | 1 << (2 * LANE)
SHIFT, MASK, FOUR, NINE = np.uint64(LANE), np.uint64(LOW), np.uint64(4), np.uint64(9)

REACH = 2.7
"""Farthest radius of the search, in radii of the nuclear hull."""

RIM = 6.0
"""Weight of the rim of the cell against the colours it encloses."""


@inlined
def sample_rays(image, x0, y0, circle, step, polar, off):
    """Sample colours along rays, bilinearly, and replicated beyond the border.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB image.
    x0, y0 : float
        Origin of the rays.
    circle : (2, n) ndarray of float64
        Directions of the rays; see `unit_circle`.
    step : float
        Distance between samples.
    polar : (>= n, m) ndarray of int64
        Filled with R, G and B, `LANE` bits apart.
    off : (n, m) ndarray of bool
        Filled with True where a sample lies beyond the border.
    """
    cos, sin = circle[0], circle[1]
    height, width = image.shape[:2]
    levels = image.reshape(-1)
    # At the last row and column the pixels beyond have no weight, and another one is read instead.
    to_right, below = 3 if width > 1 else 0, 3 * width if height > 1 else 0
    for i in range(off.shape[0]):
        line, beyond = polar[i], off[i]
        # Coordinates apart from colours: many are computed at once.
        for j in range(beyond.size):
            x, y = x0 + cos[i] * (j * step), y0 + sin[i] * (j * step)
            beyond[j] = x < 0 or y < 0 or x > width - 1 or y > height - 1
            # In steps of 1/32 of a pixel.
            u = int(min(max(x, 0.0), width - 1.0) * 32 + 0.5)
            v = int(min(max(y, 0.0), height - 1.0) * 32 + 0.5)
            left, top = min(u >> 5, max(width - 2, 0)), min(v >> 5, max(height - 2, 0))
            line[j] = (top * width + left) << 12 | (u - 32 * left) << 6 | (v - 32 * top)
        for j in range(beyond.size):
            first, u, v = 3 * (line[j] >> 12), line[j] >> 6 & 63, line[j] & 63
            # R, G and B in one integer are weighted and summed at once.
            value = 512 * ONES
            for corner in range(4):
                k = first + (to_right if corner & 1 else 0) + (below if corner & 2 else 0)
                k = np.uint64(k)
                weight = (u if corner & 1 else 32 - u) * (v if corner & 2 else 32 - v)
                value += weight * (
                    np.int64(levels[k])
                    | np.int64(levels[k + np.uint64(1)]) << LANE
                    | np.int64(levels[k + np.uint64(2)]) << (2 * LANE)
                )
            line[j] = (value >> 10) & (255 * ONES)


@inlined
def weigh_samples(
    polar, off, circle, step, scale, coded, shares, faint, owner, number, x0, y0, prior, samples
):
    """Compute the evidence that each sample is part of the cell.

    Parameters
    ----------
    polar, off, circle, step, x0, y0
        See `sample_rays`; the last row of `polar` is working memory.
    scale : float
        Full-size pixels per pixel of `owner`.
    coded : (3, 256) ndarray of uint16
        Density and colour bin of each level; see `levels.colour_planes`.
    shares : (4, 4096) ndarray of float32
        Shares of the colours inside and outside; see `colours.count_colours`. The last row, all
        NaN, is overwritten with the log-odds of the bins that occur.
    faint : float
        Density up to which a pixel may be background.
    owner : (h, w) ndarray of uint8
        Number of the nearest nucleus; of size 1 if there is only one nucleus.
    number : int
        Number of the nucleus of this cell.
    prior : float
        Added to the log-odds of each colour.
    samples : (3, n, m) ndarray of float32
        Filled with density and log-odds of each sample, and the evidence for a curve through it.
    """
    n, m = off.shape
    inside, outside, odds_of_bin = shares[0], shares[1], shares[3]
    cos, sin, sums = circle[0], circle[1], polar[n]
    several = owner.size > 1
    for i in range(n):
        before, after = polar[i - 1 if i > 0 else 1], polar[i + 1 if i + 1 < n else n - 2]
        here, beyond = polar[i], off[i]
        dark, odds, gain = samples[0, i], samples[1, i], samples[2, i]
        for j in range(m):
            sums[j] = before[j] + here[j] + after[j]
        total = 0.0
        for j in range(m):
            left = j - 1 if j > 0 else min(1, m - 1)
            right = j + 1 if j + 1 < m else max(0, m - 2)
            nine = np.uint64(sums[left] + sums[j] + sums[right])
            # Of each channel the ninth, rounded; numbers without a sign are divided faster.
            red = np.int64(coded[0, ((nine & MASK) + FOUR) // NINE])
            green = np.int64(coded[1, ((nine >> SHIFT & MASK) + FOUR) // NINE])
            blue = np.int64(coded[2, ((nine >> (SHIFT + SHIFT)) + FOUR) // NINE])
            twice = max(red & 255, green & 255, blue & 255) + (green & 255)
            level = (twice >> 1) + (twice & (twice >> 1) & 1)
            index = (red >> 8) << 8 | (green >> 8) << 4 | (blue >> 8)
            # Computed when the bin is first needed.
            if np.isnan(odds_of_bin[index]):
                ratio = np.log((inside[index] + FLOOR) / (outside[index] + FLOOR))
                odds_of_bin[index] = min(max(ratio, -3.0), 3.0)
            dark[j], odds[j] = level, odds_of_bin[index]
            # Without evidence outside the image, the curve is continued smoothly there.
            evidence = 0.0
            if not beyond[j]:
                # Whatever is paler than the palest cytoplasm is background: blur, haloes.
                pale = min(max((level - faint) * (1.5 / faint), -3.0), 0.2)
                weighted = 0.7 * min(max(odds[j] + prior, -2.0), 3.0)
                evidence = (min(weighted, 0.0) if pale < 0 else weighted) + pale
                if several:
                    # A pixel nearer to another nucleus is not part of this cell.
                    row = min(int((y0 + sin[i] * (j * step)) / scale), owner.shape[0] - 1)
                    column = min(int((x0 + cos[i] * (j * step)) / scale), owner.shape[1] - 1)
                    if owner[row, column] != number:
                        evidence = -3.0
            # Summed along each ray, each sample weighted by the area it represents.
            total += evidence * ((j + 0.5) / m)
            gain[j] = total
        # A step down to the background is the rim of a cell; a step down to something stained may
        # be the rim of its nucleus.
        for j in range(1, m - 1):
            if not beyond[j + 1]:
                edge = (dark[j - 1] - dark[j + 1]) * (0.25 / faint)
                weight = RIM if dark[j + 1] < 2 * faint else 0.35 * RIM
                gain[j] += min(max(edge, -0.5), 0.5) * weight


@kernel
def mark_remote(far, centres, radii, number):
    """Mark the pixels far from all nuclei, with smaller distances if too few pixels are left."""
    height, width = far.shape
    for turn in range(3):
        reach = REACH if turn == 0 else (2.3 if turn == 1 else 2.0)
        for y in range(height):
            line = far[y]
            for x in range(width):
                line[x] = 1
        for k in range(radii.size):
            radius = int(np.rint(radii[k] * (reach if k == number else 2.0)))
            clear_disc(far, int(np.rint(centres[k, 0])), int(np.rint(centres[k, 1])), radius)
        left = 0
        for y in range(height):
            line, part = far[y], np.uint32(0)
            for x in range(width):
                part += line[x]
            left += part
        if left >= 0.25 * far.size:
            break


@kernel
def rate_curve(path, dark, odds, off, faint):
    """Measure the evidence along a curve.

    Parameters
    ----------
    path, dark, odds, off
        Index of the radius at each angle; see `weigh_samples` and `sample_rays`.
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
        See `weigh_samples`.
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
    x, y = centres[number].tolist()
    near, far, beyond = np.empty((3, *dark.shape), np.uint8)
    # Pixels near the nucleus: its hull, enlarged about its centre.
    wider = 1.35 + 1.5 / radii[number]
    fill_polygon((hull[:, 0] - x) * wider + x, (hull[:, 1] - y) * wider + y, near)
    if owner.size > 1:
        near[owner != number] = 0
    mark_remote(far, centres, radii, number)
    x, y = (x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5
    reach = REACH * radii[number] * scale
    curve, *_ = search_curve(
        image, scale, coded, dark, bins, faint, near, far, owner, number, x, y, reach, coarse, prior
    )  # fmt: skip

    # The second search starts from the centre of the first outline, with the colours inside it.
    first = near
    area, sum_x, sum_y = fill_curve(x, y, curve, scale, first)
    fill_curve(x, y, curve + 2.0 * scale, scale, beyond)
    mark_outside(beyond, far, dark, math.ceil(faint), centres, radii, number)
    if area > 0:
        x, y = (sum_x / area + 0.5) * scale - 0.5, (sum_y / area + 0.5) * scale - 0.5
        # The cell ends nearly half way from the background to the density of its palest part.
        palest = quantile_index(histogram(dark, first), 0.15)
        faint = min(max(0.4 * palest, 0.7 * faint), 4 * faint)
    reach = 1.35 * float(curve.max())
    curve, path, samples, off = search_curve(
        image, scale, coded, dark, bins, faint, first, beyond, owner, number, x, y, reach, fine,
        prior,
    )  # fmt: skip
    rim, limit, odds, clear = rate_curve(path, samples[0], samples[1], off, faint)
    second_area, *_ = fill_curve(x, y, curve, scale, beyond)
    both = cv2.countNonZero(cv2.bitwise_and(beyond, first))
    agreement = 2.0 * both / (area + second_area) if area + second_area > 0 else 0.0
    return curve, x, y, rim, limit, odds, agreement, clear


def search_curve(
    image, scale, coded, dark, bins, faint, near, far, owner, number, x0, y0, reach, size, prior
):  # fmt: skip
    """Find the best closed curve around a point.

    Parameters
    ----------
    image, scale, coded, dark, bins, faint, owner, number, prior
        See `find_outline`.
    near, far : (h, w) ndarray of uint8
        Masks whose colours are those of the cell and of the rest; see `colours.count_colours`.
    x0, y0 : float
        Centre of the search.
    reach : float
        Farthest radius.
    size : (int, int)
        Numbers of angles and of radii.

    Returns
    -------
    radius : (n,) ndarray of float64
        Radius at each angle.
    path : (n,) ndarray of int64
        Index of that radius. This and what follows is valid until the next search in the thread.
    samples : (3, n, m) ndarray of float32
        See `weigh_samples`.
    off : (n, m) ndarray of bool
        True beyond the border of the image.
    """
    n, m = size
    if size not in _memory.searches:
        _memory.searches[size] = _search_memory(n, m)
    counts, shares, *memory, off, samples, score, paths = _memory.searches[size]
    counts.fill(0)
    shares[3].fill(np.nan)
    radius = np.empty(n)
    search_rays(
        image, scale, coded, dark, bins, faint, near, far, owner, number, x0, y0, reach, prior,
        counts, shares, *memory, off, samples, score, paths, radius,
    )  # fmt: skip
    return radius, paths[1, :n], samples, off


class _Memory(threading.local):
    """Working memory of `search_curve` in one thread, which many searches use in turn."""

    def __init__(self):
        self.searches = {}


_memory = _Memory()


def _search_memory(n, m):
    rows = closed_rows(n)
    return (
        np.empty((2, 2, BINS), np.int32),
        np.empty((4, BINS), np.float32),
        unit_circle(n),
        rows,
        COST,
        np.empty((n + 1, m), np.int64),
        np.empty((n, m), np.bool_),
        np.empty((3, n, m), np.float32),
        np.empty((rows.size, m + COST.size - 1), np.float32),
        np.empty((2, rows.size), np.int64),
    )


@kernel
def search_rays(
    image, scale, coded, dark, bins, faint, near, far, owner, number, x0, y0, reach, prior, counts,
    shares, circle, rows, cost, polar, off, samples, score, paths, radius,
):  # fmt: skip
    """Take the steps of `search_curve`, given memory for the results of each."""
    n, m = off.shape
    step = reach / m
    count_colours(bins, dark, int(np.ceil(faint)), near, far, counts, shares)
    sample_rays(image, x0, y0, circle, step, polar, off)
    weigh_samples(
        polar, off, circle, step, scale, coded, shares, faint, owner, number, x0, y0, prior, samples
    )
    follow_round(samples[2], rows, cost, score, paths)
    for i in range(n):
        radius[i] = (paths[1, i] + 0.5) * step


@kernel
def mark_outside(mask, far, dark, stained, centres, radii, number):
    """Turn the mask of the cell into that of the pixels whose colours are not those of the cell.

    Parameters
    ----------
    mask : (h, w) ndarray of uint8
        1 inside the cell; modified: 1 outside of it and on stained pixels far from all nuclei, but
        on no other nucleus and not around it, since other white cells say nothing about the colours
        outside of this one.
    far : (h, w) ndarray of uint8
        See `mark_remote`.
    dark, stained
        See `colours.count_colours`.
    centres, radii, number
        See `find_outline`.
    """
    for y in range(mask.shape[0]):
        line, remote, density = mask[y], far[y], dark[y]
        for x in range(line.size):
            line[x] = (line[x] ^ 1) | (remote[x] & (density[x] >= stained))
    for k in range(radii.size):
        if k != number:
            x, y = int(np.rint(centres[k, 0])), int(np.rint(centres[k, 1]))
            clear_disc(mask, x, y, int(np.rint(1.6 * radii[k])))
