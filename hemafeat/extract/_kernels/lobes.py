"""Lobes, depth, skeleton and symmetry of every nucleus."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel
from hemafeat.extract._kernels.region.basins import basins, merges, upper_neighbours
from hemafeat.extract._kernels.region.contour import boundary, local_runs
from hemafeat.extract._kernels.region.hull import extremes, filled, hull_chains
from hemafeat.extract._kernels.region.moments import covariance
from hemafeat.extract._kernels.region.skeleton import skeleton_values
from hemafeat.extract._kernels.region.symmetry import (
    interpolated,
    mirrored,
    nearest_pixel,
    widest_gap,
)
from hemafeat.extract._kernels.region.thinning import packed, set_pixels, thinned

N_LOBES = 37
MIN_DISC = 0.02
"""Least area of the largest disc in a lobe, as a share of the area of the region."""


@kernel
def lobes_of_cells(run_starts, runs, boxes, squared):
    """The columns of the family ``lobes``; a row of NaN where there is no pixel.

    Parameters
    ----------
    run_starts, runs, boxes
        As ``regions.find_runs`` and ``regions.pixels`` give them.
    squared : (H, W) int32 array
        As ``distance.depths`` gives it.
    """
    n_cells = run_starts.size - 1
    out = np.full((n_cells, N_LOBES), np.nan)
    for cell in range(n_cells):
        first, stop = run_starts[cell], run_starts[cell + 1]
        if stop > first:
            top, bottom, left, right = boxes[cell]
            local, rows = local_runs(runs[first:stop], top, left, bottom - top)
            depth = np.zeros((bottom - top + 2, right - left + 2), np.int32)
            for run in range(local.shape[0]):
                row, a, b = local[run, 0], local[run, 1], local[run, 2]
                line, source = depth[row + 1], squared[row + top]
                for column in range(a, b):
                    line[column + 1] = source[column + left]
            measure(depth, local, rows, out[cell])
    return out


@kernel
def measure(depth, runs, rows, row):
    """Fill the row of one cell; `runs` from the corner of its box, `depth` with an edge of 0."""
    area, y, x, rr, cc, rc = covariance(runs)
    radius = math.sqrt(area / math.pi)
    deepest = layers(depth, runs, area, radius, row[8:17])
    lobe_values(depth, area, row)
    height, width = depth.shape[0] - 2, depth.shape[1] - 2
    points = set_pixels(thinned(packed(runs, rows, width)))
    skeleton_values(points, depth, row[19:31])
    row[31], row[32] = mirrored(depth, runs, y, x, rr, cc, rc)
    left, right = hull_chains(extremes(runs, rows))
    _, hull_y, hull_x, _, _, _ = covariance(filled(left, right, height))
    row[33] = math.degrees(widest_gap(boundary(runs, rows), hull_y, hull_x))
    row[34] = interpolated(depth, y, x) / deepest
    row[35] = interpolated(depth, hull_y, hull_x) / deepest
    row[36] = nearest_pixel(runs, y, x) / radius


@kernel
def layers(depth, runs, area, radius, out):
    """Largest depth; its half pixel taken off, its ratios, and how much lies deeper than shares."""
    half = (min(depth.shape) - 1) // 2 + 1
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
            here = math.sqrt(square) - 0.5
            total += counts[square] * here
            for share in range(5):
                if here > (0.1 * share + 0.2) * radius:
                    deeper[share] += counts[square]
    mean = total / area
    spread = 0.0
    for square in range(1, most + 1):
        if counts[square] > 0:
            spread += counts[square] * (math.sqrt(square) - 0.5 - mean) ** 2
    out[0] = deepest - 0.5
    out[1] = out[0] / radius
    out[2] = mean / radius
    out[3] = math.sqrt(spread / area) / mean
    for share in range(5):
        out[4 + share] = deeper[share] / area
    return deepest


@kernel
def lobe_values(depth, area, row):
    """Count lobes and measure what links them."""
    radius = math.sqrt(area / math.pi)
    upper = upper_neighbours(depth)
    peaks, saddle, beside = merges(depth, upper)
    n_peaks = peaks.shape[0]
    chief = 0
    for peak in range(n_peaks):
        if peaks[peak, 2] > peaks[chief, 2]:
            chief = peak
    home = np.full(n_peaks, -1, np.int32)
    smallest, second, third = 1.0, 1.0, 1.0
    n_lobes = n_segments = 0
    cores = np.zeros(2, np.int64)
    for peak in range(n_peaks):
        if math.pi * peaks[peak, 2] < MIN_DISC * area and peak != chief:
            continue
        high, low = math.sqrt(peaks[peak, 2]) - 0.5, math.sqrt(saddle[peak]) - 0.5
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
    row[0] = n_lobes
    row[1] = n_segments
    row[2] = 0.0
    row[3] = 1.0
    row[4] = 0.0
    if n_lobes > 1:
        for peak in range(n_peaks):
            at = peak
            while home[at] < 0 and beside[at] >= 0:
                at = beside[at]
            # What is left belongs to a part by itself that is too small for a lobe.
            home[peak] = home[at] if home[at] >= 0 else n_lobes
        sizes = basins(depth, peaks, home)
        total = squares = largest = next_largest = 0
        for lobe in range(n_lobes):
            size = sizes[lobe]
            total += size
            squares += size * size
            next_largest = max(next_largest, min(largest, size))
            largest = max(largest, size)
        row[2] = math.sqrt(max(n_lobes * squares - total * total, 0)) / total
        row[3] = largest / area
        row[4] = next_largest / area
    row[5] = smallest
    row[6] = second
    row[7] = third
    row[17] = cores[0]
    row[18] = cores[1]
