"""Lobes of a region: the maxima of depth and the saddles between them.

Depth is the squared distance to the nearest pixel outside, see ``distance.depths``. Pixels are
ordered by falling depth, and in raster order among equals. The upper neighbours of a pixel are
those of its 8 neighbours that come first in this order. A pixel without any is a peak. One whose
upper neighbours lie in several arcs around it may join parts; one arc changes nothing.
"""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import find_root, indices, inlined, kernel
from hemafeat.extract._kernels.arrays import separate

LOBE_COLUMNS = (
    "n_lobes",
    "n_lobes_filament_rule",
    "lobe_area_cv",
    "largest_lobe_fraction",
    "second_lobe_fraction",
    "narrowest_isthmus_ratio",
    "second_narrowest_isthmus_ratio",
    "third_narrowest_isthmus_ratio",
    "inscribed_radius",
    "inscribed_ratio",
    "depth_mean_ratio",
    "depth_cv",
    "core_fraction_r20",
    "core_fraction_r30",
    "core_fraction_r40",
    "core_fraction_r50",
    "core_fraction_r60",
    "n_cores_r20",
    "n_cores_r40",
)
"""Columns that `lobe_values` and `depth_values` fill."""

AT = indices(LOBE_COLUMNS)

MIN_DISC = 0.02
"""Least area of the largest disc in a lobe, as a share of the area of the region."""

AROUND = np.array(
    [(0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1)], dtype=np.int64
)
"""Offsets of the 8 neighbours in circular order; bit k of ``upper`` stands for neighbour k."""


@inlined
def upper_neighbours(depth):
    """Return the upper neighbours of each pixel as bits, (H, W) uint8; 0 outside the region.

    `depth` has a border of zeros.
    """
    height, width = depth.shape
    upper = np.zeros((height, width), np.uint8)
    n = width - 2
    for row in range(1, height - 1):
        up, mid, down = depth[row - 1], depth[row], depth[row + 1]
        up_w, up_n, up_e = up[:n], up[1 : n + 1], up[2 : n + 2]
        west, centre, east = mid[:n], mid[1 : n + 1], mid[2 : n + 2]
        down_w, down_s, down_e = down[:n], down[1 : n + 1], down[2 : n + 2]
        out = upper[row, 1 : n + 1]
        for k in range(n):
            v = centre[k]
            bits = np.int32(east[k] > v) + np.int32(2) * np.int32(up_e[k] >= v)
            bits += np.int32(4) * np.int32(up_n[k] >= v) + np.int32(8) * np.int32(up_w[k] >= v)
            bits += np.int32(16) * np.int32(west[k] >= v) + np.int32(32) * np.int32(down_w[k] > v)
            bits += np.int32(64) * np.int32(down_s[k] > v) + np.int32(128) * np.int32(down_e[k] > v)
            out[k] = bits if v > 0 else np.int32(0)
    return upper


def _arcs() -> np.ndarray:
    """Return the number of arcs that the set bits of each byte form around a pixel, (256,) int64.

    Diagonal neighbours touch the straight ones beside them; two adjacent straight ones touch at a
    corner, whatever lies between them.
    """
    table = np.zeros(256, np.int64)
    for bits in range(256):
        for k in range(8):
            previous = bits >> (k + 7) % 8 & 1
            # A straight neighbour also touches the straight one on the other side of the corner.
            before = bits >> (k + 6) % 8 & 1 if k % 2 == 0 else 0
            table[bits] += bits >> k & 1 and not previous and not before
    return np.maximum(table, np.arange(256) > 0)


ARCS = _arcs()


@inlined
def climb(depth, upper, row, column):
    """Return the peak above a pixel, stepping to the first of its upper neighbours each time."""
    bits = upper[row, column]
    while bits != 0:
        best = -1
        best_row = best_column = 0
        for k in range(8):
            if bits >> k & 1:
                r, c = row + AROUND[k, 0], column + AROUND[k, 1]
                v = depth[r, c]
                if v > best or (
                    v == best and (r < best_row or (r == best_row and c < best_column))
                ):
                    best = v
                    best_row, best_column = r, c
        row, column = best_row, best_column
        bits = upper[row, column]
    return row, column


@inlined
def merge_tree(depth, upper):
    """Find the peaks of a region and the depths at which they join as a threshold on depth sinks.

    Parameters
    ----------
    depth : (H + 2, W + 2) int32 array
        Squared depth, with a border of zeros.
    upper : (H + 2, W + 2) uint8 array
        Upper neighbours, see `upper_neighbours`.

    Returns
    -------
    peaks : (P, 3) int64 array
        Row, column and squared depth of every peak, in raster order.
    saddle : (P,) int64 array
        Squared depth at which the part of each peak joins one with an earlier peak; 0 if it never
        does.
    beside : (P,) int64 array
        Peak that the saddle leads to on the other side; -1 if there is none.
    """
    height, width = depth.shape
    peaks = np.empty((depth.size, 3), np.int64)
    saddles = np.empty((depth.size, 3), np.int64)
    number = np.empty((height, width), np.int32)
    n_peaks = n_saddles = np.int64(0)
    for row in range(1, height - 1):
        line, above = depth[row], upper[row]
        for column in range(1, width - 1):
            n = ARCS[above[column]]
            if n == 1 or line[column] == 0:
                continue
            if n == 0:
                peaks[n_peaks, 0], peaks[n_peaks, 1] = row, column
                peaks[n_peaks, 2] = line[column]
                number[row, column] = n_peaks
                n_peaks += 1
            else:
                saddles[n_saddles, 0], saddles[n_saddles, 1] = row, column
                saddles[n_saddles, 2] = line[column]
                n_saddles += 1
    peaks, saddles = peaks[:n_peaks], saddles[:n_saddles]
    parent = separate(n_peaks)
    saddle = np.zeros(n_peaks, np.int64)
    beside = np.empty(n_peaks, np.int64)
    beside[:] = -1
    for k in deepest_first(saddles):
        row, column = saddles[k, 0], saddles[k, 1]
        bits = upper[row, column]
        first = np.int64(-1)
        for j in range(8):
            if bits >> j & 1:
                r, c = climb(depth, upper, row + AROUND[j, 0], column + AROUND[j, 1])
                peak = np.int64(number[r, c])
                if first < 0:
                    first = peak
                    continue
                a, b = find_root(parent, first), find_root(parent, peak)
                if a == b:
                    continue
                lower, other = b, first
                if peaks[b, 2] > peaks[a, 2] or (peaks[b, 2] == peaks[a, 2] and b < a):
                    lower, other = a, peak
                parent[lower] = a + b - lower
                saddle[lower] = saddles[k, 2]
                beside[lower] = other
    return peaks, saddle, beside


@inlined
def deepest_first(pixels):
    """Return the stable order of (row, column, squared depth) by falling depth."""
    n = pixels.shape[0]
    most = 0
    for k in range(n):
        most = max(most, pixels[k, 2])
    next_slot = np.zeros(most + 2, np.int64)
    for k in range(n):
        next_slot[most - pixels[k, 2] + 1] += 1
    for depth in range(most + 1):
        next_slot[depth + 1] += next_slot[depth]
    order = np.empty(n, np.int64)
    for k in range(n):
        height = most - pixels[k, 2]
        order[next_slot[height]] = k
        next_slot[height] += 1
    return order


@inlined
def basin_sizes(depth, peaks, home):
    """Count the pixels of each lobe.

    A pixel belongs to the lobe of its first upper neighbour, and so on up to a peak; `home` is the
    lobe of each peak.
    """
    height, width = depth.shape
    owner = np.empty((height, width), np.int32)
    owner[:] = -1
    n_homes = 0
    for peak in range(peaks.shape[0]):
        owner[peaks[peak, 0], peaks[peak, 1]] = home[peak]
        n_homes = max(n_homes, home[peak] + 1)
    sizes = np.zeros(n_homes, np.int64)
    path = np.empty((depth.size, 2), np.int64)
    for row in range(1, height - 1):
        for column in range(1, width - 1):
            if depth[row, column] == 0:
                continue
            n = 0
            r, c = row, column
            while owner[r, c] < 0:
                path[n, 0] = r
                path[n, 1] = c
                n += 1
                best = -1
                best_row = best_column = 0
                # Raster order, so that the first of equals is kept.
                for y in range(r - 1, r + 2):
                    for x in range(c - 1, c + 2):
                        if depth[y, x] > best and (y != r or x != c):
                            best = depth[y, x]
                            best_row, best_column = y, x
                r, c = best_row, best_column
            lobe = owner[r, c]
            for k in range(n):
                owner[path[k, 0], path[k, 1]] = lobe
            sizes[lobe] += 1
    return sizes


@kernel
def lobe_values(depth, area, row):
    """Count the lobes of a region and measure their areas and the links between them.

    Parameters
    ----------
    depth : (H + 2, W + 2) int32 array
        Squared depth, with a border of zeros.
    area : int
        Number of pixels of the region.
    row : (K,) float64 array
        Filled: the other columns of `LOBE_COLUMNS`.
    """
    radius = math.sqrt(area / math.pi)
    upper = upper_neighbours(depth)
    peaks, saddle, beside = merge_tree(depth, upper)
    n_peaks = peaks.shape[0]
    chief = 0
    for peak in range(n_peaks):
        if peaks[peak, 2] > peaks[chief, 2]:
            chief = peak
    home = np.empty(n_peaks, np.int32)
    home[:] = -1
    smallest, second, third = 1.0, 1.0, 1.0
    n_lobes = n_segments = 0
    cores = np.zeros(2, np.int64)
    for peak in range(n_peaks):
        high, low = math.sqrt(peaks[peak, 2]) - 0.5, math.sqrt(saddle[peak]) - 0.5
        if math.pi * high * high < MIN_DISC * area and peak != chief:
            continue
        for share in range(2):
            cores[share] += low <= (0.2 + 0.2 * share) * radius < high
        ratio = max(low, 0.0) / high
        if peak != chief:
            if ratio < smallest:
                smallest, second, third = ratio, smallest, second
            elif ratio < second:
                second, third = ratio, second
            else:
                third = min(third, ratio)
        n_segments += peak == chief or ratio < 1.0 / 3.0
        if peak == chief or ratio < 0.75:
            home[peak] = n_lobes
            n_lobes += 1
    row[AT.n_lobes] = n_lobes
    row[AT.n_lobes_filament_rule] = n_segments
    row[AT.lobe_area_cv] = 0.0
    row[AT.largest_lobe_fraction] = 1.0
    row[AT.second_lobe_fraction] = 0.0
    if n_lobes > 1:
        for peak in range(n_peaks):
            neighbour = peak
            while home[neighbour] < 0 and beside[neighbour] >= 0:
                neighbour = beside[neighbour]
            # Separate parts too small for a lobe are collected after the last lobe.
            home[peak] = home[neighbour] if home[neighbour] >= 0 else n_lobes
        sizes = basin_sizes(depth, peaks, home)
        total = squares = largest = next_largest = 0
        for lobe in range(n_lobes):
            size = sizes[lobe]
            total += size
            squares += size * size
            next_largest = max(next_largest, min(largest, size))
            largest = max(largest, size)
        row[AT.lobe_area_cv] = math.sqrt(max(n_lobes * squares - total * total, 0)) / total
        row[AT.largest_lobe_fraction] = largest / area
        row[AT.second_lobe_fraction] = next_largest / area
    row[AT.narrowest_isthmus_ratio] = smallest
    row[AT.second_narrowest_isthmus_ratio] = second
    row[AT.third_narrowest_isthmus_ratio] = third
    row[AT.n_cores_r20] = cores[0]
    row[AT.n_cores_r40] = cores[1]


@kernel
def depth_values(depth, runs, area, row):
    """Measure the depths of the pixels of a region.

    Parameters
    ----------
    depth : (H + 2, W + 2) int32 array
        Squared depth, with a border of zeros.
    runs : (M, 3) int64 array
        Runs of the region, without this border.
    area : int
        Number of its pixels.
    row : (K,) float64 array
        Filled: the columns of `LOBE_COLUMNS` from ``inscribed_radius`` to ``core_fraction_r60``.
    """
    radius = math.sqrt(area / math.pi)
    half = (min(depth.shape[0], depth.shape[1]) - 1) // 2 + 1
    counts = np.zeros(half * half + 1, np.int64)
    for run in range(runs.shape[0]):
        line = depth[runs[run, 0] + 1, runs[run, 1] + 1 : runs[run, 2] + 1]
        for k in range(line.size):
            counts[line[k]] += 1
    most = half * half
    while counts[most] == 0:
        most -= 1
    deepest = math.sqrt(most)
    total = 0.0
    deeper = np.zeros(5, np.int64)
    for square in range(1, most + 1):
        if counts[square] > 0:
            level = math.sqrt(square) - 0.5
            total += counts[square] * level
            for share in range(5):
                if level > (0.1 * share + 0.2) * radius:
                    deeper[share] += counts[square]
    mean = total / area
    spread = 0.0
    for square in range(1, most + 1):
        if counts[square] > 0:
            spread += counts[square] * (math.sqrt(square) - 0.5 - mean) ** 2
    row[AT.inscribed_radius] = deepest - 0.5
    row[AT.inscribed_ratio] = row[AT.inscribed_radius] / radius
    row[AT.depth_mean_ratio] = mean / radius
    row[AT.depth_cv] = math.sqrt(spread / area) / mean
    for share in range(5):
        row[AT.core_fraction_r20 + share] = deeper[share] / area
