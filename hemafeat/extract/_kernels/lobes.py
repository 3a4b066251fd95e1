"""Lobes, depth, skeleton and symmetry of every nucleus."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import indices, inlined, kernel
from hemafeat.extract._kernels.region.basins import LOBE_COLUMNS, depth_values, lobe_values
from hemafeat.extract._kernels.region.bits import pack, unpack_pixels
from hemafeat.extract._kernels.region.contour import boundary_points, widest_gap
from hemafeat.extract._kernels.region.hull import hull_chains, hull_runs, row_extents
from hemafeat.extract._kernels.region.runs import covariance, runs_where
from hemafeat.extract._kernels.region.skeleton import SKELETON_COLUMNS, skeleton_values
from hemafeat.extract._kernels.region.thinning import thin

COLUMNS = (
    *LOBE_COLUMNS,
    *SKELETON_COLUMNS,
    "symmetry_major",
    "symmetry_minor",
    "open_angle_from_hull_centroid",
    "depth_at_centroid_ratio",
    "depth_at_hull_centroid_ratio",
    "centroid_outside_ratio",
)
"""Columns of the family ``lobes``."""
N_COLUMNS = len(COLUMNS)

AT = indices(COLUMNS)


@kernel
def lobes_of_cells(run_starts, runs, boxes, squared):
    """Measure lobes, depth, skeleton and symmetry of every nucleus.

    Parameters
    ----------
    run_starts, runs, boxes
        Runs and boxes of the nuclei, see ``runs.find_runs`` and ``runs.pixels``.
    squared : (H, W) int32 array
        Squared depth, see ``distance.depths``.

    Returns
    -------
    (n_cells, 37) float64 array
        `COLUMNS`. A row of NaN for a nucleus without pixels.
    """
    n_cells = run_starts.size - 1
    out = np.empty((n_cells, N_COLUMNS), np.float64)
    out[:] = np.nan
    for cell in range(n_cells):
        first, stop = run_starts[cell], run_starts[cell + 1]
        if stop > first:
            top, bottom = boxes[cell, 0], boxes[cell, 1]
            left, right = boxes[cell, 2], boxes[cell, 3]
            depth = np.zeros((bottom - top + 2, right - left + 2), np.int32)
            for run in range(first, stop):
                line, source = depth[runs[run, 0] - top + 1], squared[runs[run, 0]]
                for column in range(runs[run, 1], runs[run, 2]):
                    line[column - left + 1] = source[column]
            turned = upright(depth)
            height, width = turned.shape[0] - 2, turned.shape[1] - 2
            inside = np.empty((height, width), np.bool_)
            for down in range(height):
                for across in range(width):
                    inside[down, across] = turned[down + 1, across + 1] > 0
            local, rows = runs_where(inside, np.bool_(True))
            row = out[cell]
            area, y, x, rr, cc, rc = covariance(local)
            radius = math.sqrt(area / math.pi)
            depth_values(turned, local, area, row)
            lobe_values(turned, area, row)
            points = unpack_pixels(thin(pack(local, rows, width)))
            skeleton_values(points, turned, row[AT.skeleton_length : AT.symmetry_major])
            row[AT.symmetry_major], row[AT.symmetry_minor] = mirror_overlap(
                turned, local, y, x, rr, cc, rc
            )
            hull_left, hull_right = hull_chains(row_extents(local, rows))
            hull = hull_runs(hull_left, hull_right, height)
            _, hull_y, hull_x, _, _, _ = covariance(hull)
            row[AT.open_angle_from_hull_centroid] = math.degrees(
                widest_gap(boundary_points(local, rows), hull_y, hull_x)
            )
            row[AT.depth_at_centroid_ratio] = interpolated(turned, y, x) / row[AT.inscribed_radius]
            row[AT.depth_at_hull_centroid_ratio] = (
                interpolated(turned, hull_y, hull_x) / row[AT.inscribed_radius]
            )
            row[AT.centroid_outside_ratio] = nearest_pixel(local, y, x) / radius
    return out


@inlined
def upright(depth):
    """Turn or mirror a region into the orientation that comes first in a fixed order.

    What depends on the orientation by a few pixels, such as a skeleton, is then the same however
    the image was turned or mirrored. Of the orientations that are not taller than wide, it is the
    one whose pixels in raster order, 0 outside and 1 inside, are the smallest number.

    Parameters
    ----------
    depth : (H, W) int32 array
        0 outside the region.

    Returns
    -------
    (H, W) or (W, H) int32 array
        `depth`, turned.
    """
    height, width = depth.shape
    first = 4 if height > width else 0
    best = first
    for way in range(first + 1, 8 if height == width else first + 4):
        if is_before(depth, way, best):
            best = way
    if best == 0:
        return depth
    turned = np.empty((width, height) if best >= 4 else (height, width), np.int32)
    for row in range(height):
        line = depth[height - 1 - row if best & 1 else row]
        if best >= 4:
            for column in range(width):
                turned[width - 1 - column if best & 2 else column, row] = line[column]
        elif best & 2:
            into = turned[row]
            for column in range(width):
                into[column] = line[width - 1 - column]
        else:
            into = turned[row]
            for column in range(width):
                into[column] = line[column]
    return turned


@inlined
def is_before(depth, way, other):
    """Return True if one way to turn a region comes before another, see `upright`.

    A way is 1 for a mirror image of the rows, plus 2 for one of the columns, plus 4 if rows and
    columns are exchanged afterwards.
    """
    height, width = depth.shape
    rows, columns = (width, height) if way >= 4 else (height, width)
    for row in range(rows):
        for column in range(columns):
            r, c = (column, row) if way >= 4 else (row, column)
            inside = depth[height - 1 - r if way & 1 else r, width - 1 - c if way & 2 else c] > 0
            r, c = (column, row) if other >= 4 else (row, column)
            inside_other = (
                depth[height - 1 - r if other & 1 else r, width - 1 - c if other & 2 else c] > 0
            )
            if inside != inside_other:
                return inside_other
    return False


@inlined
def mirror_overlap(inside, runs, y, x, rr, cc, rc):
    """Return the overlap of a region with its mirror image in its major and in its minor axis.

    Overlap is intersection over union; each pixel is compared with the one that its mirror image
    falls into. NaN if no axis is longer than the other.

    Parameters
    ----------
    inside : (H + 2, W + 2) array
        Not 0 in the region, with a border of 0.
    runs : (M, 3) int64 array
        Runs of the region, without this border.
    y, x, rr, cc, rc : float
        Centroid and covariance.
    """
    swing = math.hypot(cc - rr, 2.0 * rc)
    if swing <= 1e-10 * (rr + cc):
        return np.nan, np.nan
    # The mirror image in an axis at angle t has a matrix of cosine and sine of 2 t.
    cosine, sine = (cc - rr) / swing, 2.0 * rc / swing
    area = 0
    major = minor = 0
    for run in range(runs.shape[0]):
        first, stop = runs[run, 1], runs[run, 2]
        area += stop - first
        v, u = runs[run, 0] - y, first - x
        row = sine * u - cosine * v
        column = cosine * u + sine * v
        # One for the border, and a half so that truncation rounds.
        top, left = y + 1.5, x + 1.5
        major += count_hits(inside, top + row, left + column, sine, cosine, stop - first)
        minor += count_hits(inside, top - row, left - column, -sine, -cosine, stop - first)
    return major / (2.0 * area - major), minor / (2.0 * area - minor)


@kernel
def count_hits(inside, row, column, down, right, n):
    """Count the points of n on a line that lie in the region, after clipping them to the array."""
    last_row, last_column = inside.shape[0] - 1.0, inside.shape[1] - 1.0
    n_hits = 0
    for k in range(n):
        r = int(min(max(row + k * down, 0.0), last_row))
        c = int(min(max(column + k * right, 0.0), last_column))
        n_hits += inside[r, c] != 0
    return n_hits


@inlined
def nearest_pixel(runs, y, x):
    """Return the distance of a point to the nearest pixel of a region; 0 inside a pixel."""
    nearest = np.inf
    for run in range(runs.shape[0]):
        v = max(abs(runs[run, 0] - y) - 0.5, 0.0)
        u = max(max(runs[run, 1] - 0.5 - x, x - runs[run, 2] + 0.5), 0.0)
        nearest = min(nearest, v * v + u * u)
    return math.sqrt(nearest)


@kernel
def interpolated(depth, y, x):
    """Interpolate the depth at a point between pixels; it is 0 at pixels outside.

    `depth` is the squared distance, with a border of zeros.
    """
    row, column = math.floor(y), math.floor(x)
    v, u = y - row, x - column
    value = 0.0
    for r in range(2):
        for c in range(2):
            depth_row, depth_column = row + r + 1, column + c + 1
            if 0 <= depth_row < depth.shape[0] and 0 <= depth_column < depth.shape[1]:
                share = (v if r else 1.0 - v) * (u if c else 1.0 - u)
                value += share * max(math.sqrt(depth[depth_row, depth_column]) - 0.5, 0.0)
    return value
