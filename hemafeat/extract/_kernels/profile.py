"""Profiles of density: shells, edges, rings, lines along the axes, and centres of mass."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import indices, inlined, kernel
from hemafeat.extract._kernels.region.distance import depths, distances_to, paint_runs
from hemafeat.extract._kernels.shape import AT as SHAPE

N_SHELLS = 8
"""Number of shells of a nucleus."""

COLUMNS = (
    *(f"nucleus__radial_od_{k}" for k in range(1, N_SHELLS + 1)),
    "nucleus__radial_cv",
    "nucleus__radial_slope",
    "nucleus__edge_gradient",
    "edge_gradient",
    "cytoplasm__perinuclear_od_difference",
    "cytoplasm__pale_zone",
    "major_axis_sd",
    "major_axis_minimum",
    "major_axis_maximum",
    "major_axis_variation",
    "minor_axis_sd",
    "minor_axis_minimum",
    "minor_axis_maximum",
    "minor_axis_variation",
    "nucleus__mass_displacement_r",
    "nucleus__mass_displacement_g",
    "nucleus__mass_displacement_b",
    "nucleus__mass_displacement_mean",
    "mass_displacement_r",
    "mass_displacement_g",
    "mass_displacement_b",
    "mass_displacement_mean",
)
"""Columns of the family ``profile``."""
N_COLUMNS = len(COLUMNS)

AT = indices(COLUMNS)

BAND = 2
"""Width in px of the bands on either side of an edge."""

TIE = 1e-9
"""Distance in px up to which two pixels are equally near."""

HALO, FAR, FIELD = 0.1, 0.2, 0.3
"""Outer radii of the rings around a nucleus, in its equivalent radius."""


@kernel
def shells(levels, depth, runs, density, row):
    """Measure the mean density of 8 shells from the middle to the edge, its spread and slope."""
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
        y, first, stop = runs[run, 0], runs[run, 1], runs[run, 2]
        line, line_levels = depth[y, first:stop], levels[y, first:stop]
        shell[: line.size] = 0
        for j in range(N_SHELLS - 1):
            limit = np.int32(limits[j])
            for k in range(line.size):
                shell[k] += np.uint8(line[k] <= limit)
        for k in range(line.size):
            counts[shell[k], line_levels[k]] += 1
    n_shells = 0
    mean = middle = 0.0
    for k in range(N_SHELLS):
        n, total = 0, 0.0
        for level in range(256):
            n += counts[k, level]
            total += counts[k, level] * density[level]
        if n > 0:
            row[AT.nucleus__radial_od_1 + k] = total / n
            n_shells += 1
            mean += row[AT.nucleus__radial_od_1 + k]
            middle += (k + 0.5) / N_SHELLS
    mean /= n_shells
    middle /= n_shells
    squares = product = square = 0.0
    for k in range(N_SHELLS):
        value = row[AT.nucleus__radial_od_1 + k]
        if not np.isnan(value):
            offset = (k + 0.5) / N_SHELLS - middle
            squares += (value - mean) ** 2
            product += offset * (value - mean)
            square += offset * offset
    if n_shells > 1:
        if mean > 0.0:
            row[AT.nucleus__radial_cv] = math.sqrt(squares / n_shells) / mean
        row[AT.nucleus__radial_slope] = product / square


@kernel
def gradient(sums):
    """Return the density gradient between two bands, from (n, density, distance) of each."""
    if sums[0, 0] == 0.0 or sums[1, 0] == 0.0:
        return np.nan
    density = sums[0, 1] / sums[0, 0] - sums[1, 1] / sums[1, 0]
    return density / (sums[0, 2] / sums[0, 0] - sums[1, 2] / sums[1, 0])


@inlined
def rim_gradient(levels, depth, runs, density):
    """Return the rise of density inwards over the outermost 4 px of a cell."""
    sums = np.zeros((2, 3), np.float64)
    for run in range(runs.shape[0]):
        y, first, stop = runs[run, 0], runs[run, 1], runs[run, 2]
        line, line_levels = depth[y, first:stop], levels[y, first:stop]
        for k in range(line.size):
            if line[k] <= 4 * BAND * BAND:
                band = sums[0 if line[k] > BAND * BAND else 1]
                band[0] += 1.0
                band[1] += density[line_levels[k]]
                band[2] += math.sqrt(line[k])
    return gradient(sums)


@inlined
def add_inner_band(levels, depth, runs, density, sums):
    """Add the band just inside the edge of a nucleus to `sums`: (n, density, distance)."""
    for run in range(runs.shape[0]):
        y, first, stop = runs[run, 0], runs[run, 1], runs[run, 2]
        line, line_levels = depth[y, first:stop], levels[y, first:stop]
        for k in range(line.size):
            if line[k] <= BAND * BAND:
                sums[0] += 1.0
                sums[1] += density[line_levels[k]]
                # The edge lies half way to the nearest pixel on the other side.
                sums[2] += math.sqrt(line[k]) - 0.5


@inlined
def share_octants(dy, dx, value, pixels, sums):
    """Add a pixel on the line between octants to both in equal shares, or to all 8 at the centre.

    `dy` and `dx` are its coordinates from the centre.
    """
    share = 1
    for step in range(2):
        n = 0
        for octant in range(8):
            down, right = (-dy if octant & 4 else dy), (-dx if octant & 2 else dx)
            steep = abs(dx) <= abs(dy) if octant & 1 else abs(dx) >= abs(dy)
            if down >= 0 and right >= 0 and steep:
                n += 1
                if step == 1:
                    pixels[octant] += 1.0 / share
                    sums[octant] += value / share
        share = n


@kernel
def surroundings(levels, cytoplasm, label, runs, box, density, edge, row):
    """Add the band around a nucleus to `edge`, and measure its halo and pale zone."""
    height, width = cytoplasm.shape
    # Twice the sums of the coordinates: whole numbers, so that no pixel between two octants is
    # sorted by rounding.
    area = y = x = np.int64(0)
    for run in range(runs.shape[0]):
        n = runs[run, 2] - runs[run, 1]
        area += n
        y += 2 * n * runs[run, 0]
        x += n * (runs[run, 1] + runs[run, 2] - 1)
    square = area / math.pi
    reach = max(math.ceil(FIELD * math.sqrt(square)), BAND)
    top, left = max(box[0] - reach, 0), max(box[2] - reach, 0)
    bottom, right = min(box[1] + reach, height), min(box[3] + reach, width)
    squared = distances_to(paint_runs(runs, top, left, bottom - top, right - left), reach)
    most = max(int(FIELD * FIELD * square), BAND * BAND)
    # Ring of a squared distance: up to HALO, FAR or FIELD, or beyond (within the band only).
    ring_of = np.empty(most + 1, np.uint8)
    ring_of[:] = 3
    for distance in range(most + 1):
        if distance <= FIELD * FIELD * square:
            inner = 1 if distance > HALO * HALO * square else 0
            ring_of[distance] = 2 if distance > FAR * FAR * square else inner
    pixels, sums = np.zeros((4, 8), np.float64), np.zeros((4, 8), np.float64)
    for down in range(bottom - top):
        line, line_labels = squared[down], cytoplasm[top + down, left:right]
        line_levels = levels[top + down, left:right]
        dy = 2 * area * (down + top) - y
        half = 4 if dy < 0 else 0
        for k in range(right - left):
            if line_labels[k] != label or line[k] > most:
                continue
            distance, value = line[k], density[line_levels[k]]
            if distance <= BAND * BAND:
                edge[0] += 1.0
                edge[1] += value
                edge[2] -= math.sqrt(distance) - 0.5
            dx = 2 * area * (k + left) - x
            ring = ring_of[distance]
            if dx != 0 and dy != 0 and abs(dx) != abs(dy):
                octant = half + 2 * int(dx < 0) + int(abs(dx) < abs(dy))
                pixels[ring, octant] += 1.0
                sums[ring, octant] += value
            else:
                share_octants(dy, dx, value, pixels[ring], sums[ring])
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
        row[AT.cytoplasm__perinuclear_od_difference] = near_sum / near - far_sum / far
    if n > 0.0:
        palest = np.inf
        for k in range(8):
            if pixels[0, k] > 0.0 and pixels[0, k] * 32.0 >= n:
                palest = min(palest, sums[0, k] / pixels[0, k])
        row[AT.cytoplasm__pale_zone] = total / n - palest


@kernel
def line_profile(levels, labels, label, y, x, dy, dx, density, out):
    """Fill `out` with sd, minimum, maximum and variation of the density on a line through (y, x).

    The line is followed both ways in steps of 1 px to the edge of the arrays. The pixel nearest to
    each point counts if it belongs to the cell; of several equally near the mean of those that do.
    """
    height, width = labels.shape
    longest = math.ceil(math.hypot(height, width))
    n = 0
    first = second = variation = 0.0
    origin = last = 0.0
    low, high = np.inf, -np.inf
    for step in range(-longest, longest + 1):
        v, u = y + step * dy + 0.5, x + step * dx + 0.5
        n_near, value = 0, 0.0
        for r in range(math.floor(v - TIE), math.floor(v + TIE) + 1):
            for c in range(math.floor(u - TIE), math.floor(u + TIE) + 1):
                if 0 <= r < height and 0 <= c < width and labels[r, c] == label:
                    n_near += 1
                    value += density[levels[r, c]]
        if n_near == 0:
            continue
        value /= n_near
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
    out[0] = math.sqrt(max(second / n - (first / n) ** 2, 0.0))
    out[1], out[2] = low, high
    if high > low:
        out[3] = variation / (high - low)


@kernel
def displacement(planes, runs, box, out):
    """Fill `out` with the distances from the centroid to the centres of mass of R, G, B and R+G+B.

    Distances are divided by the equivalent diameter.
    """
    weight, down, across = np.zeros(4, np.int64), np.zeros(4, np.int64), np.zeros(4, np.int64)
    area = y = x = np.int64(0)
    for run in range(runs.shape[0]):
        row, first, stop = runs[run, 0], runs[run, 1], runs[run, 2]
        n, start, height = stop - first, first - box[2], row - box[0]
        area += n
        y += n * height
        x += n * start + n * (n - 1) // 2
        for channel in range(3):
            line = planes[channel][row, first:stop]
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
            out[channel] = math.sqrt(dy * dy + dx * dx) / diameter


@kernel
def profile_of_cells(planes, density, labels, run_starts, runs, boxes, nuclear_depth, shape):
    """Measure the profiles of every cell.

    Parameters
    ----------
    planes : tuple of 3 (H, W) uint8 arrays
        Planes R, G and B.
    density : (256,) float64 array
        Optical density of each level of G.
    labels : tuple of 2 (H, W) int32 arrays
        Labels of cytoplasms and cells.
    run_starts, runs, boxes : tuples of 2 int64 arrays
        Runs and boxes of nuclei and cells, see ``runs.find_runs`` and ``runs.pixels``.
    nuclear_depth : (H, W) int32 array
        Squared depth in the nuclei, see ``distance.depths``.
    shape : (n_cells, 37) float64 array
        Shape of the cells, see ``shape.shape_of_cells``.

    Returns
    -------
    (n_cells, 30) float64 array
        `COLUMNS`. NaN where a value is undefined, and a row of NaN where there is no cell.
    """
    n_cells = run_starts[0].size - 1
    out = np.empty((n_cells, N_COLUMNS), np.float64)
    out[:] = np.nan
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
            edge = np.zeros((2, 3), np.float64)
            add_inner_band(green, nuclear_depth, nucleus, density, edge[0])
            surroundings(green, labels[0], k + 1, nucleus, boxes[0][k], density, edge[1], row)
            row[AT.nucleus__edge_gradient] = gradient(edge)
            displacement(planes, nucleus, boxes[0][k], row[AT.nucleus__mass_displacement_r :])
        row[AT.edge_gradient] = rim_gradient(green, depth, cell, density)
        rr, cc = shape[k, SHAPE.variance_row], shape[k, SHAPE.variance_column]
        rc = shape[k, SHAPE.covariance]
        if math.hypot(cc - rr, 2.0 * rc) > 1e-10 * (rr + cc):
            angle = 0.5 * math.atan2(2.0 * rc, cc - rr)
            dy, dx = math.sin(angle), math.cos(angle)
            top, left = boxes[1][k, 0], boxes[1][k, 2]
            levels = green[top : boxes[1][k, 1], left : boxes[1][k, 3]]
            cell_labels = labels[1][top : boxes[1][k, 1], left : boxes[1][k, 3]]
            y = shape[k, SHAPE.centroid_row] - top
            x = shape[k, SHAPE.centroid_column] - left
            major, minor = row[AT.major_axis_sd :], row[AT.minor_axis_sd :]
            line_profile(levels, cell_labels, k + 1, y, x, dy, dx, density, major)
            line_profile(levels, cell_labels, k + 1, y, x, dx, -dy, density, minor)
        displacement(planes, cell, boxes[1][k], row[AT.mass_displacement_r :])
    return out
