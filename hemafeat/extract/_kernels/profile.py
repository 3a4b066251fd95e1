"""How density runs through a cell: shells, edges, rings, lines, and where its weight lies."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel
from hemafeat.extract._kernels.region.distance import depths, painted, spread

N_SHELLS = 8
N_COLUMNS = 30
BAND = 2
"""Width in px of the bands on either side of an edge."""

HALO, AWAY, FIELD = 0.1, 0.2, 0.3
"""Widths of the rings around a nucleus, in its equivalent radius."""


@kernel
def shells(levels, depth, runs, density, row):
    """Fill in the mean density of 8 shells from the middle to the edge, its spread and slope."""
    deepest = np.int64(0)
    for run in range(runs.shape[0]):
        line = depth[runs[run, 0], runs[run, 1] : runs[run, 2]]
        for k in range(line.size):
            deepest = max(deepest, np.int64(line[k]))
    # At normalised radius 1 - d / d_max of at least j / 8: 64 d^2 <= (8 - j)^2 d_max^2.
    limits = np.empty(N_SHELLS - 1, np.int64)
    for j in range(1, N_SHELLS):
        limits[j - 1] = (N_SHELLS - j) ** 2 * deepest // (N_SHELLS * N_SHELLS)
    counts = np.zeros((N_SHELLS, 256), np.int32)
    shell = np.empty(depth.shape[1], np.uint8)
    for run in range(runs.shape[0]):
        where, first, stop = runs[run, 0], runs[run, 1], runs[run, 2]
        line, given = depth[where, first:stop], levels[where, first:stop]
        shell[: line.size] = 0
        for j in range(N_SHELLS - 1):
            limit = np.int32(limits[j])
            for k in range(line.size):
                shell[k] += np.uint8(line[k] <= limit)
        for k in range(line.size):
            counts[shell[k], given[k]] += 1
    n_shells = 0
    mean = middle = 0.0
    for k in range(N_SHELLS):
        n, total = 0, 0.0
        for level in range(256):
            n += counts[k, level]
            total += counts[k, level] * density[level]
        if n > 0:
            row[k] = total / n
            n_shells += 1
            mean += row[k]
            middle += (k + 0.5) / N_SHELLS
    mean /= n_shells
    middle /= n_shells
    spread_ = product = square = 0.0
    for k in range(N_SHELLS):
        if not np.isnan(row[k]):
            away = (k + 0.5) / N_SHELLS - middle
            spread_ += (row[k] - mean) ** 2
            product += away * (row[k] - mean)
            square += away * away
    if n_shells > 1:
        if mean > 0.0:
            row[N_SHELLS] = math.sqrt(spread_ / n_shells) / mean
        row[N_SHELLS + 1] = product / square


@kernel
def gradient(sums):
    """Difference of density over distance between two bands: (n, density, distance) of each."""
    if sums[0, 0] == 0.0 or sums[1, 0] == 0.0:
        return np.nan
    density = sums[0, 1] / sums[0, 0] - sums[1, 1] / sums[1, 0]
    return density / (sums[0, 2] / sums[0, 0] - sums[1, 2] / sums[1, 0])


@kernel
def rim(levels, depth, runs, density):
    """Rise of density inwards over the outermost 4 px of a cell."""
    sums = np.zeros((2, 3))
    for run in range(runs.shape[0]):
        where, first, stop = runs[run, 0], runs[run, 1], runs[run, 2]
        line, given = depth[where, first:stop], levels[where, first:stop]
        for k in range(line.size):
            if line[k] <= 4 * BAND * BAND:
                band = sums[0 if line[k] > BAND * BAND else 1]
                band[0] += 1.0
                band[1] += density[given[k]]
                band[2] += math.sqrt(line[k])
    return gradient(sums)


@kernel
def nuclear_edge(levels, depth, runs, density, sums):
    """Add the band just inside a nucleus to `sums`."""
    for run in range(runs.shape[0]):
        where, first, stop = runs[run, 0], runs[run, 1], runs[run, 2]
        line, given = depth[where, first:stop], levels[where, first:stop]
        for k in range(line.size):
            if line[k] <= BAND * BAND:
                sums[0] += 1.0
                sums[1] += density[given[k]]
                # The edge lies half way to the nearest pixel of the other side.
                sums[2] += math.sqrt(line[k]) - 0.5


@kernel
def surroundings(levels, cytoplasm, label, runs, box, density, edge, row):
    """Add the band around a nucleus to `edge`; fill in halo and pale zone."""
    height, width = cytoplasm.shape
    area = 0
    y = x = 0.0
    for run in range(runs.shape[0]):
        n = runs[run, 2] - runs[run, 1]
        area += n
        y += n * (runs[run, 0] - box[0])
        x += n * (runs[run, 1] + runs[run, 2] - 1 - 2 * box[2]) / 2.0
    y, x = y / area, x / area
    square = area / math.pi
    reach = max(math.ceil(FIELD * math.sqrt(square)), BAND)
    top, left = max(box[0] - reach, 0), max(box[2] - reach, 0)
    bottom, right = min(box[1] + reach, height), min(box[3] + reach, width)
    away = spread(painted(runs, top, left, bottom - top, right - left), reach)
    most = max(int(FIELD * FIELD * square), BAND * BAND)
    # Zone of a distance: up to HALO, up to AWAY, up to FIELD, beyond (within the band at the edge).
    zone = np.full(most + 1, 3, np.uint8)
    for distance in range(most + 1):
        if distance <= FIELD * FIELD * square:
            inner = 1 if distance > HALO * HALO * square else 0
            zone[distance] = 2 if distance > AWAY * AWAY * square else inner
    pixels, sums = np.zeros((4, 8)), np.zeros((4, 8))
    for where in range(bottom - top):
        line, own = away[where], cytoplasm[top + where, left:right]
        given = levels[top + where, left:right]
        dy = where + top - box[0] - y
        half = 4 if dy < 0.0 else 0
        for k in range(right - left):
            if own[k] != label or line[k] > most:
                continue
            distance, value = line[k], density[given[k]]
            if distance <= BAND * BAND:
                edge[0] += 1.0
                edge[1] += value
                edge[2] -= math.sqrt(distance) - 0.5
            dx = k + left - box[2] - x
            octant = half + 2 * int(dx < 0.0) + int(abs(dx) < abs(dy))
            pixels[zone[distance], octant] += 1.0
            sums[zone[distance], octant] += value
    near = near_sum = far = far_sum = n = total = 0.0
    for k in range(8):
        near += pixels[0, k]
        near_sum += sums[0, k]
        far += pixels[2, k]
        far_sum += sums[2, k]
        for ring in range(1, 3):
            pixels[0, k] += pixels[ring, k]
            sums[0, k] += sums[ring, k]
        n += pixels[0, k]
        total += sums[0, k]
    if near > 0.0 and far > 0.0:
        row[12] = near_sum / near - far_sum / far
    if n > 0.0:
        palest = np.inf
        for k in range(8):
            if pixels[0, k] > 0.0 and pixels[0, k] * 32.0 >= n:
                palest = min(palest, sums[0, k] / pixels[0, k])
        row[13] = total / n - palest


@kernel
def line_profile(levels, labels, label, y, x, dy, dx, density, row):
    """Fill in sd, minimum, maximum and variation of the density on a line through (y, x).

    The line is followed by whole steps of 1 px both ways to the edge of the arrays; what counts is
    the pixel nearest to each point, where it is of the cell.
    """
    height, width = labels.shape
    longest = height + width
    n = 0
    first = second = variation = 0.0
    origin = last = 0.0
    low, high = np.inf, -np.inf
    for step in range(-longest, longest + 1):
        r, c = math.floor(y + step * dy + 0.5), math.floor(x + step * dx + 0.5)
        if r < 0 or r >= height or c < 0 or c >= width or labels[r, c] != label:
            continue
        value = density[levels[r, c]]
        if n == 0:
            origin = value
        else:
            variation += abs(value - last)
        last = value
        n += 1
        first += value - origin
        second += (value - origin) ** 2
        low, high = min(low, value), max(high, value)
    if n == 0:
        return
    row[0] = math.sqrt(max(second / n - (first / n) ** 2, 0.0))
    row[1], row[2] = low, high
    if high > low:
        row[3] = variation / (high - low)


@kernel
def displacement(planes, runs, box, row):
    """Fill in how far the centres of weight of R, G, B and their sum lie from the centroid."""
    weight, down, across = np.zeros(4, np.int64), np.zeros(4, np.int64), np.zeros(4, np.int64)
    area = y = x = np.int64(0)
    for run in range(runs.shape[0]):
        where, first, stop = runs[run, 0], runs[run, 1], runs[run, 2]
        n, start, height = stop - first, first - box[2], where - box[0]
        area += n
        y += n * height
        x += n * start + n * (n - 1) // 2
        for channel in range(3):
            line = planes[channel][where, first:stop]
            total = moment = np.int64(0)
            for k in range(n):
                total += line[k]
                moment += np.int64(line[k]) * k
            weight[channel] += total
            down[channel] += total * height
            across[channel] += moment + total * start
    for channel in range(3):
        weight[3] += weight[channel]
        down[3] += down[channel]
        across[3] += across[channel]
    diameter = 2.0 * math.sqrt(area / math.pi)
    for channel in range(4):
        if weight[channel] > 0:
            dy = down[channel] / weight[channel] - y / area
            dx = across[channel] / weight[channel] - x / area
            row[channel] = math.sqrt(dy * dy + dx * dx) / diameter


@kernel
def profile_of_cells(planes, density, labels, run_starts, runs, boxes, nuclear_depth, shape):
    """Profiles of every cell.

    Parameters
    ----------
    planes : tuple of 3 (H, W) uint8 arrays
        R, G, B.
    density : (256,) float64 array
        Optical density of each level of G.
    labels : tuple of 2 (H, W) int32 arrays
        Cytoplasm and cell.
    run_starts, runs, boxes : tuples of 2 int64 arrays
        Of nucleus and cell, as ``regions.find_runs`` and ``regions.pixels`` give them.
    nuclear_depth : (H, W) int32 array
        Of the nuclei, as ``distance.depths`` gives it.
    shape : (n_cells, 5) float64 array
        Row and column of the centroid of the cell, variances of row and column, covariance.

    Returns
    -------
    (n_cells, 30) float64 array
        NaN where undefined, and in every column where there is no cell.
    """
    n_cells = run_starts[0].size - 1
    out = np.full((n_cells, N_COLUMNS), np.nan)
    green = planes[1]
    height, width = green.shape
    depth = depths(run_starts[1], runs[1], boxes[1], height, width, 2 * BAND + 1)
    for k in range(n_cells):
        cell = runs[1][run_starts[1][k] : run_starts[1][k + 1]]
        nucleus = runs[0][run_starts[0][k] : run_starts[0][k + 1]]
        if cell.shape[0] == 0:
            continue
        row = out[k]
        if nucleus.shape[0] > 0:
            shells(green, nuclear_depth, nucleus, density, row)
            edge = np.zeros((2, 3))
            nuclear_edge(green, nuclear_depth, nucleus, density, edge[0])
            surroundings(green, labels[0], k + 1, nucleus, boxes[0][k], density, edge[1], row)
            row[10] = gradient(edge)
            displacement(planes, nucleus, boxes[0][k], row[22:26])
        row[11] = rim(green, depth, cell, density)
        rr, cc, rc = shape[k, 2], shape[k, 3], shape[k, 4]
        if math.hypot(cc - rr, 2.0 * rc) > 1e-10 * (rr + cc):
            angle = 0.5 * math.atan2(2.0 * rc, cc - rr)
            dy, dx = math.sin(angle), math.cos(angle)
            top, left = boxes[1][k, 0], boxes[1][k, 2]
            given = green[top : boxes[1][k, 1], left : boxes[1][k, 3]]
            own = labels[1][top : boxes[1][k, 1], left : boxes[1][k, 3]]
            y, x = shape[k, 0] - top, shape[k, 1] - left
            line_profile(given, own, k + 1, y, x, dy, dx, density, row[14:18])
            line_profile(given, own, k + 1, y, x, dx, -dy, density, row[18:22])
        displacement(planes, cell, boxes[1][k], row[26:30])
    return out
