"""Thickness of the cytoplasm by direction, and projections of the cell."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import indices, inlined, kernel
from hemafeat.extract._kernels.arrays import total
from hemafeat.extract._kernels.region.bits import pack, unpack_runs
from hemafeat.extract._kernels.region.contour import (
    CORNERS,
    boundary_points,
    perimeter_crofton,
    widest_gap,
)
from hemafeat.extract._kernels.region.runs import covariance, join, local_runs, part_areas

PROJECTION_COLUMNS = (
    "perimeter_excess",
    "n_projections",
    "projection_fraction",
    "largest_projection_fraction",
)
"""Columns that `projections` fills."""

COLUMNS = (
    "cytoplasm__thickness_percentile_10",
    "cytoplasm__thickness_median",
    "cytoplasm__thickness_percentile_90",
    "cytoplasm__bare_fraction",
    "cytoplasm__bare_angle",
    "cytoplasm__thickness_harmonic_1",
    "cytoplasm__thickness_harmonic_2",
    "cytoplasm__thickness_harmonic_3",
    "nucleus__open_angle_from_cell_centroid",
    *PROJECTION_COLUMNS,
)
"""Columns of the family ``rim``."""
N_COLUMNS = len(COLUMNS)

AT = indices(COLUMNS)

BARE = 1.0
"""Thickness in px up to which a direction counts as without cytoplasm."""

OPENING = 0.1
"""Radius of the octagon as a share of the equivalent radius of the cell."""


@kernel
def rim_of_cells(profile, nucleus_starts, nucleus_runs, cell_starts, cell_runs, boxes):
    """Measure the rim of cytoplasm of every cell.

    Parameters
    ----------
    profile : (n_cells, 72) float64 array
        Thickness of the cytoplasm by direction, see ``rays.ray_thickness``.
    nucleus_starts, nucleus_runs, cell_starts, cell_runs
        Runs of the nuclei and of the cells, see ``runs.find_runs``.
    boxes : (n_cells, 4) int64 array
        Bounding boxes of the cells, see ``runs.pixels``.

    Returns
    -------
    (n_cells, 13) float64 array
        `COLUMNS`; NaN in those that `projections` fills, and a row of NaN where nucleus or cell is
        missing.
    """
    n_cells = profile.shape[0]
    out = np.empty((n_cells, N_COLUMNS), np.float64)
    out[:] = np.nan
    for k in range(n_cells):
        inner = nucleus_runs[nucleus_starts[k] : nucleus_starts[k + 1]]
        outer = cell_runs[cell_starts[k] : cell_starts[k + 1]]
        if inner.shape[0] == 0 or outer.shape[0] == 0:
            continue
        row = out[k]
        thickness_by_direction(profile[k], row)
        left = boxes[k, 2]
        _, y, x, _, _, _ = covariance(outer)
        first, last = inner[0, 0], inner[inner.shape[0] - 1, 0]
        # Columns count from the box of the cell; those of a nucleus beyond it are negative.
        moved, moved_rows = local_runs(inner, first, left, last + 1 - first)
        points = boundary_points(moved, moved_rows)
        row[AT.nucleus__open_angle_from_cell_centroid] = math.degrees(
            widest_gap(points, y - first, x - left)
        )
    return out


@inlined
def thickness_by_direction(profile, row):
    """Measure percentiles, bare directions and asymmetry of the thickness of the cytoplasm."""
    used = np.empty(profile.size, np.float64)
    n = 0
    # Insertion sort: there are 72 values.
    for ray in range(profile.size):
        if math.isfinite(profile[ray]):
            slot = n
            while slot > 0 and used[slot - 1] > profile[ray]:
                used[slot] = used[slot - 1]
                slot -= 1
            used[slot] = profile[ray]
            n += 1
    used = used[:n]
    if n == 0:
        return
    for k in range(3):
        rank = (0.1 + 0.4 * k) * (n - 1)
        low = int(rank)
        high = min(low + 1, n - 1)
        row[AT.cytoplasm__thickness_percentile_10 + k] = used[low] + (rank - low) * (
            used[high] - used[low]
        )
    n_bare = 0
    for k in range(n):
        n_bare += used[k] <= BARE
    row[AT.cytoplasm__bare_fraction] = n_bare / n
    n_rays = profile.size
    longest = n_bare = 0
    for ray in range(2 * n_rays):
        n_bare = n_bare + 1 if profile[ray % n_rays] <= BARE else 0
        longest = max(longest, n_bare)
    row[AT.cytoplasm__bare_angle] = min(longest, n_rays) * 360.0 / n_rays
    sum_ = total(used)
    if sum_ > 0.0:
        for fold in range(1, 4):
            u = v = 0.0
            for ray in range(n_rays):
                if math.isfinite(profile[ray]):
                    angle = fold * (ray + 0.5) * (2.0 * math.pi / n_rays)
                    u += profile[ray] * math.cos(angle)
                    v += profile[ray] * math.sin(angle)
            row[AT.cytoplasm__thickness_harmonic_1 + fold - 1] = math.hypot(u, v) / sum_


@kernel
def projections(nucleus_starts, cell_starts, cell_runs, boxes, out):
    """Measure what an opening removes from every cell: perimeter, number of parts and area.

    Parameters
    ----------
    nucleus_starts, cell_starts, cell_runs, boxes
        As for `rim_of_cells`.
    out : (n_cells, 13) float64 array
        Filled: `PROJECTION_COLUMNS`, where there are nucleus and cell.
    """
    for k in range(cell_starts.size - 1):
        outer = cell_runs[cell_starts[k] : cell_starts[k + 1]]
        if nucleus_starts[k + 1] == nucleus_starts[k] or outer.shape[0] == 0:
            continue
        row = out[k]
        runs, rows = local_runs(outer, boxes[k, 0], boxes[k, 2], boxes[k, 1] - boxes[k, 0])
        area = 0
        for run in range(runs.shape[0]):
            area += runs[run, 2] - runs[run, 1]
        radius = max(int(OPENING * math.sqrt(area / math.pi) + 0.5), 1)
        bits = pack(runs, rows, boxes[k, 3] - boxes[k, 2])
        kept = open_by_octagon(bits, radius)
        kept_runs, kept_rows = unpack_runs(kept)
        if kept_runs.shape[0] > 0:
            perimeter = perimeter_crofton(runs, rows)
            row[AT.perimeter_excess] = perimeter / perimeter_crofton(kept_runs, kept_rows) - 1.0
        for w in range(bits.shape[0]):
            for r in range(bits.shape[1]):
                kept[w, r] = bits[w, r] & ~kept[w, r]
        removed, removed_rows = unpack_runs(kept)
        parent, _ = join(removed, removed_rows, CORNERS)
        n_projections = projecting = largest = 0
        areas = part_areas(removed, parent)
        for run in range(areas.size):
            size = areas[run]
            # Smaller parts are corners of the pixel grid.
            if 2 * size >= radius * radius and size > 0:
                n_projections += 1
                projecting += size
                largest = max(largest, size)
        row[AT.n_projections] = n_projections
        row[AT.projection_fraction] = projecting / area
        row[AT.largest_projection_fraction] = largest / area


@inlined
def open_by_octagon(bits, radius):
    """Open a packed region by an octagon, by steps of a plus of 5 pixels and a square of 9 in turn.

    See ``bits.pack`` for the form of the region, before and after.
    """
    current, other = bits.copy(), bits.copy()
    full = ~np.uint64(0)
    for step in range(2 * radius):
        # Eroding is dilating the outside; the border of zeros is never written to.
        flip = full if step < radius else np.uint64(0)
        square = (step if step < radius else 2 * radius - 1 - step) % 2 == 1
        for w in range(1, bits.shape[0] - 1):
            dilate_column(current[w - 1], current[w], current[w + 1], other[w], flip, square)
        current, other = other, current
    return current


@inlined
def dilate_column(before, centre, after, into, flip, square):
    """Do one step on one column of words: dilate if `flip` is 0, erode if it is all ones."""
    n = centre.size - 2
    one, top = np.uint64(1), np.uint64(63)
    up, mid, down = centre[:n], centre[1 : n + 1], centre[2 : n + 2]
    out = into[1 : n + 1]
    if square:
        for r in range(n):
            # A square is separable: join the three rows first, then the columns.
            middle = (up[r] ^ flip) | (mid[r] ^ flip) | (down[r] ^ flip)
            west = (before[r] ^ flip) | (before[r + 1] ^ flip) | (before[r + 2] ^ flip)
            east = (after[r] ^ flip) | (after[r + 1] ^ flip) | (after[r + 2] ^ flip)
            out[r] = (
                middle | (middle << one) | (west >> top) | (middle >> one) | (east << top)
            ) ^ flip
    else:
        for r in range(n):
            middle = mid[r] ^ flip
            neighbours = (up[r] ^ flip) | (down[r] ^ flip) | (middle << one) | (middle >> one)
            west, east = before[r + 1] ^ flip, after[r + 1] ^ flip
            out[r] = (middle | neighbours | (west >> top) | (east << top)) ^ flip
