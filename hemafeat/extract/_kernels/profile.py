"""Profiles of density: shells, edges, rings, lines along the axes, and centres of mass."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import indices, inlined, kernel
from hemafeat.extract._kernels.region.distance import distances_to, paint_runs
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
def shells(levels, depth, run_starts, runs, density, out):
    """Measure the mean density of 8 shells from the middle to the edge, its spread and slope.

    Parameters
    ----------
    levels : (H, W) uint8 array
        Plane G.
    depth : (H, W) int32 array
        Squared depth in the nuclei, see ``distance.depths``.
    run_starts, runs
        Runs of the nuclei, see ``runs.find_runs``.
    density : (256,) float64 array
        Optical density of each level.
    out : (n_cells, 30) float64 array
        Filled: the columns of `COLUMNS` on shells.
    """
    limits = np.empty(N_SHELLS - 1, np.int64)
    counts = np.empty((N_SHELLS, 256), np.int32)
    shell = np.empty(depth.shape[1], np.uint8)
    for cell in range(run_starts.size - 1):
        deepest = np.int64(0)
        for run in range(run_starts[cell], run_starts[cell + 1]):
            line = depth[runs[run, 0], runs[run, 1] : runs[run, 2]]
            for k in range(line.size):
                deepest = max(deepest, np.int64(line[k]))
        if deepest == 0:
            continue
        row = out[cell]
        # At normalised radius 1 - d / d_max of at least j / 8: 64 d^2 <= (8 - j)^2 d_max^2.
        for j in range(1, N_SHELLS):
            limits[j - 1] = (N_SHELLS - j) ** 2 * deepest // (N_SHELLS * N_SHELLS)
        for k in range(N_SHELLS):
            for level in range(256):
                counts[k, level] = 0
        for run in range(run_starts[cell], run_starts[cell + 1]):
            y, first, stop = runs[run, 0], runs[run, 1], runs[run, 2]
            line, line_levels = depth[y, first:stop], levels[y, first:stop]
            for k in range(line.size):
                shell[k] = 0
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
            if not math.isnan(value):
                offset = (k + 0.5) / N_SHELLS - middle
                squares += (value - mean) ** 2
                product += offset * (value - mean)
                square += offset * offset
        if n_shells > 1:
            if mean > 0.0:
                row[AT.nucleus__radial_cv] = math.sqrt(squares / n_shells) / mean
            row[AT.nucleus__radial_slope] = product / square


@inlined
def gradient(sums):
    """Return the density gradient between two bands, from (n, density, distance) of each."""
    if sums[0, 0] == 0.0 or sums[1, 0] == 0.0:
        return np.nan
    density = sums[0, 1] / sums[0, 0] - sums[1, 1] / sums[1, 0]
    return density / (sums[0, 2] / sums[0, 0] - sums[1, 2] / sums[1, 0])


@kernel
def rim_gradients(levels, depth, run_starts, runs, density, out):
    """Fill in the rise of density inwards over the outermost 4 px of every cell.

    Parameters are those of `shells`, of the cells.
    """
    sums = np.empty((2, 3), np.float64)
    for cell in range(run_starts.size - 1):
        for k in range(3):
            sums[0, k] = sums[1, k] = 0.0
        for run in range(run_starts[cell], run_starts[cell + 1]):
            y, first, stop = runs[run, 0], runs[run, 1], runs[run, 2]
            line, line_levels = depth[y, first:stop], levels[y, first:stop]
            for k in range(line.size):
                if line[k] <= 4 * BAND * BAND:
                    band = 0 if line[k] > BAND * BAND else 1
                    sums[band, 0] += 1.0
                    sums[band, 1] += density[line_levels[k]]
                    sums[band, 2] += math.sqrt(line[k])
        out[cell, AT.edge_gradient] = gradient(sums)


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
def surroundings(levels, depth, cytoplasm, run_starts, runs, boxes, density, out):
    """Measure the gradient at the edge of every nucleus, its halo and its pale zone.

    Parameters
    ----------
    levels, depth, run_starts, runs, density
        As for `shells`.
    cytoplasm : (H, W) int32 array
        Labels of the cytoplasms.
    boxes : (n_cells, 4) int64 array
        Boxes of the nuclei, see ``runs.pixels``.
    out : (n_cells, 30) float64 array
        Filled: ``nucleus__edge_gradient`` and the columns of the cytoplasm.
    """
    height, width = cytoplasm.shape
    # (n, density, distance) of the bands inside and outside the edge.
    edge = np.empty((2, 3), np.float64)
    pixels, sums = np.empty((4, 8), np.float64), np.empty((4, 8), np.float64)
    for cell in range(run_starts.size - 1):
        own = runs[run_starts[cell] : run_starts[cell + 1]]
        if own.shape[0] == 0:
            continue
        for k in range(3):
            edge[0, k] = edge[1, k] = 0.0
        # Twice the sums of the coordinates: whole numbers, so that no pixel between two octants is
        # sorted by rounding.
        area = y = x = np.int64(0)
        for run in range(own.shape[0]):
            row, first, stop = own[run, 0], own[run, 1], own[run, 2]
            area += stop - first
            y += 2 * (stop - first) * row
            x += (stop - first) * (first + stop - 1)
            line, line_levels = depth[row, first:stop], levels[row, first:stop]
            for k in range(line.size):
                if line[k] <= BAND * BAND:
                    edge[0, 0] += 1.0
                    edge[0, 1] += density[line_levels[k]]
                    # The edge lies half way to the nearest pixel on the other side.
                    edge[0, 2] += math.sqrt(line[k]) - 0.5
        square = area / math.pi
        reach = max(math.ceil(FIELD * math.sqrt(square)), BAND)
        top, left = max(boxes[cell, 0] - reach, 0), max(boxes[cell, 2] - reach, 0)
        bottom, right = min(boxes[cell, 1] + reach, height), min(boxes[cell, 3] + reach, width)
        squared = distances_to(paint_runs(own, top, left, bottom - top, right - left), reach)
        most = max(int(FIELD * FIELD * square), BAND * BAND)
        # Ring of a squared distance: up to HALO, FAR or FIELD, or beyond (within the band only).
        ring_of = np.empty(most + 1, np.uint8)
        for distance in range(most + 1):
            ring_of[distance] = 3
            if distance <= FIELD * FIELD * square:
                inner = 1 if distance > HALO * HALO * square else 0
                ring_of[distance] = 2 if distance > FAR * FAR * square else inner
        for ring in range(4):
            for k in range(8):
                pixels[ring, k] = sums[ring, k] = 0.0
        for down in range(bottom - top):
            line, line_labels = squared[down], cytoplasm[top + down, left:right]
            line_levels = levels[top + down, left:right]
            dy = 2 * area * (down + top) - y
            half = 4 if dy < 0 else 0
            for k in range(right - left):
                if line_labels[k] != cell + 1 or line[k] > most:
                    continue
                distance, value = line[k], density[line_levels[k]]
                if distance <= BAND * BAND:
                    edge[1, 0] += 1.0
                    edge[1, 1] += value
                    edge[1, 2] -= math.sqrt(distance) - 0.5
                dx = 2 * area * (k + left) - x
                ring = ring_of[distance]
                if dx != 0 and dy != 0 and abs(dx) != abs(dy):
                    octant = half + 2 * int(dx < 0) + int(abs(dx) < abs(dy))
                    pixels[ring, octant] += 1.0
                    sums[ring, octant] += value
                else:
                    share_octants(dy, dx, value, pixels[ring], sums[ring])
        out[cell, AT.nucleus__edge_gradient] = gradient(edge)
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
            out[cell, AT.cytoplasm__perinuclear_od_difference] = near_sum / near - far_sum / far
        if n > 0.0:
            palest = np.inf
            for k in range(8):
                if pixels[0, k] > 0.0 and pixels[0, k] * 32.0 >= n:
                    palest = min(palest, sums[0, k] / pixels[0, k])
            out[cell, AT.cytoplasm__pale_zone] = total / n - palest


@kernel
def line_profiles(levels, labels, boxes, shape, density, out):
    """Measure sd, minimum, maximum and variation of the density along the axes of every cell.

    A line through the centroid is followed both ways in steps of 1 px to the edge of the box. The
    pixel nearest to each point counts if it belongs to the cell; of several equally near the mean
    of those that do.

    Parameters
    ----------
    levels, density
        As for `shells`.
    labels : (H, W) int32 array
        Labels of the cells.
    boxes : (n_cells, 4) int64 array
        Boxes of the cells, see ``runs.pixels``.
    shape : (n_cells, 37) float64 array
        Shape of the cells, see ``shape.shape_of_cells``.
    out : (n_cells, 30) float64 array
        Filled: the columns of `COLUMNS` on axes.
    """
    for cell in range(boxes.shape[0]):
        rr, cc = shape[cell, SHAPE.variance_row], shape[cell, SHAPE.variance_column]
        rc = shape[cell, SHAPE.covariance]
        # False for a cell without pixels.
        if not math.hypot(cc - rr, 2.0 * rc) > 1e-10 * (rr + cc):
            continue
        angle = 0.5 * math.atan2(2.0 * rc, cc - rr)
        dy, dx = math.sin(angle), math.cos(angle)
        top, left = boxes[cell, 0], boxes[cell, 2]
        height, width = boxes[cell, 1] - top, boxes[cell, 3] - left
        y, x = shape[cell, SHAPE.centroid_row] - top, shape[cell, SHAPE.centroid_column] - left
        longest = math.ceil(math.hypot(height, width))
        for axis in range(2):
            n = 0
            first = second = variation = 0.0
            origin = last = 0.0
            low, high = np.inf, -np.inf
            for step in range(-longest, longest + 1):
                v, u = y + step * dy + 0.5, x + step * dx + 0.5
                n_near, value = 0, 0.0
                for r in range(math.floor(v - TIE), math.floor(v + TIE) + 1):
                    for c in range(math.floor(u - TIE), math.floor(u + TIE) + 1):
                        if (
                            0 <= r < height
                            and 0 <= c < width
                            and labels[top + r, left + c] == cell + 1
                        ):
                            n_near += 1
                            value += density[levels[top + r, left + c]]
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
            if n > 0:
                row = out[cell, AT.minor_axis_sd if axis else AT.major_axis_sd :]
                row[0] = math.sqrt(max(second / n - (first / n) ** 2, 0.0))
                row[1], row[2] = low, high
                if high > low:
                    row[3] = variation / (high - low)
            dy, dx = dx, -dy


@kernel
def displacement(red, green, blue, run_starts, runs, boxes, column, out):
    """Measure the distances from each centroid to the centres of mass of R, G, B and R+G+B.

    Distances are divided by the equivalent diameter.

    Parameters
    ----------
    red, green, blue : (H, W) uint8 arrays
        Planes R, G and B.
    run_starts, runs, boxes
        Runs and boxes of the regions, see ``runs.find_runs`` and ``runs.pixels``.
    column : int
        First of the four columns to fill.
    out : (n_cells, 30) float64 array
        Filled.
    """
    # Weight, and weighted sums of rows and columns.
    sums = np.empty((4, 3), np.int64)
    for cell in range(run_starts.size - 1):
        for channel in range(4):
            for k in range(3):
                sums[channel, k] = 0
        area = y = x = np.int64(0)
        for run in range(run_starts[cell], run_starts[cell + 1]):
            row, first, stop = runs[run, 0], runs[run, 1], runs[run, 2]
            n, start, height = stop - first, first - boxes[cell, 2], row - boxes[cell, 0]
            area += n
            y += n * height
            x += n * start + n * (n - 1) // 2
            for channel in range(3):
                plane = red if channel == 0 else (green if channel == 1 else blue)
                line = plane[row, first:stop]
                total = moment = np.int64(0)
                for k in range(n):
                    total += line[k]
                    moment += np.int64(line[k]) * k
                sums[channel, 0] += total
                sums[channel, 1] += total * height
                sums[channel, 2] += moment + total * start
        for channel in range(3):
            for k in range(3):
                sums[3, k] += sums[channel, k]
        diameter = 2.0 * math.sqrt(area / math.pi)
        for channel in range(4):
            weight = sums[channel, 0]
            if weight > 0:
                dy = sums[channel, 1] / weight - y / area
                dx = sums[channel, 2] / weight - x / area
                out[cell, column + channel] = math.sqrt(dy * dy + dx * dx) / diameter
