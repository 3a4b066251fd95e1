"""Size, outline and indentations of every region."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import find_root, indices, inlined, kernel
from hemafeat.extract._kernels.arrays import mean_and_sd, separate, total
from hemafeat.extract._kernels.region.contour import (
    boundary_points,
    perimeter_crofton,
    topology,
)
from hemafeat.extract._kernels.region.hull import (
    calipers,
    hull_chains,
    hull_polygon,
    hull_runs,
    row_extents,
)
from hemafeat.extract._kernels.region.runs import covariance, join, local_runs

COLUMNS = (
    "area",
    "perimeter_crofton",
    "equivalent_diameter_area",
    "axis_major_length",
    "axis_minor_length",
    "aspect_ratio",
    "eccentricity",
    "elongation",
    "circularity",
    "extent",
    "area_convex",
    "solidity",
    "perimeter_convex",
    "convexity",
    "feret_diameter_max",
    "feret_diameter_min",
    "feret_ratio",
    "rectangularity",
    "radial_mean",
    "radial_sd",
    "radial_min",
    "radial_max",
    "circle_variance",
    "radial_skewness",
    "radial_kurtosis",
    "ellipse_variance",
    "n_components",
    "euler_number",
    "n_holes",
    "indentation_depth",
    "indentation_ratio",
    "n_indentations",
)
"""Columns of the family ``shape``."""

MOMENTS = (
    "centroid_row",
    "centroid_column",
    "variance_row",
    "variance_column",
    "covariance",
)
"""Moments of the pixel centres, which other families use as well."""

AT = indices((*COLUMNS, *MOMENTS))
N_VALUES = len(COLUMNS) + len(MOMENTS)


@kernel
def shape_of_cells(run_starts, runs, boxes):
    """Measure the shape of every cell.

    Parameters
    ----------
    run_starts, runs, boxes
        Runs and boxes of the cells, see ``runs.find_runs`` and ``runs.pixels``.

    Returns
    -------
    (n_cells, 37) float64 array
        `COLUMNS`, then `MOMENTS`. A row of NaN for a cell without pixels.
    """
    n_cells = run_starts.size - 1
    out = np.empty((n_cells, N_VALUES), np.float64)
    out[:] = np.nan
    for cell in range(n_cells):
        first, stop = run_starts[cell], run_starts[cell + 1]
        if stop == first:
            continue
        box, row = boxes[cell], out[cell]
        height, width = box[1] - box[0], box[3] - box[2]
        local, rows = local_runs(runs[first:stop], box[0], box[2], height)
        area, y, x, rr, cc, rc = covariance(local)
        perimeter = perimeter_crofton(local, rows)
        diameter = 2.0 * math.sqrt(area / math.pi)
        row[AT.area] = area
        row[AT.perimeter_crofton] = perimeter
        row[AT.equivalent_diameter_area] = diameter
        major, minor = axes(rr, cc, rc)
        row[AT.axis_major_length] = major
        row[AT.axis_minor_length] = minor
        if minor > 0.0:
            row[AT.aspect_ratio] = major / minor
        if major > 0.0:
            row[AT.eccentricity] = math.sqrt(1.0 - (minor / major) ** 2)
            row[AT.elongation] = 1.0 - minor / major
        row[AT.circularity] = 4.0 * math.pi * area / (perimeter * perimeter)
        row[AT.extent] = area / (height * width)

        left, right = hull_chains(row_extents(local, rows))
        hull = hull_runs(left, right, height)
        hull_rows = separate(height + 1)
        area_convex = 0
        for k in range(height):
            area_convex += hull[k, 2] - hull[k, 1]
        row[AT.area_convex] = area_convex
        row[AT.solidity] = area / area_convex
        row[AT.perimeter_convex] = perimeter_crofton(hull, hull_rows)
        row[AT.convexity] = row[AT.perimeter_convex] / perimeter
        outer_left, outer_right = hull_chains(row_extents(hull, hull_rows))
        longest, narrowest, rectangle = calipers(hull_polygon(outer_left, outer_right))
        row[AT.feret_diameter_max] = longest
        row[AT.feret_diameter_min] = narrowest
        row[AT.feret_ratio] = narrowest / longest
        if minor > 0.0:
            row[AT.rectangularity] = area / rectangle

        points = boundary_points(local, rows)
        mean, sd, smallest, largest, skewness, kurtosis, ellipse = distance_moments(
            points, y, x, rr, cc, rc
        )
        row[AT.radial_mean] = mean
        row[AT.radial_sd] = sd
        row[AT.radial_min] = smallest
        row[AT.radial_max] = largest
        row[AT.circle_variance] = sd / mean
        row[AT.radial_skewness] = skewness
        row[AT.radial_kurtosis] = kurtosis
        row[AT.ellipse_variance] = ellipse

        n_components, euler, n_holes = topology(local, rows, area)
        row[AT.n_components] = n_components
        row[AT.euler_number] = euler
        row[AT.n_holes] = n_holes
        depth, n_deep = indentations(local, rows, hull, hull_polygon(left, right), 0.1 * diameter)
        row[AT.indentation_depth] = depth
        row[AT.indentation_ratio] = depth / diameter
        row[AT.n_indentations] = n_deep
        row[AT.centroid_row] = box[0] + y
        row[AT.centroid_column] = box[2] + x
        row[AT.variance_row] = rr
        row[AT.variance_column] = cc
        row[AT.covariance] = rc
    return out


@inlined
def axes(rr, cc, rc):
    """Return the major and minor axis of the ellipse with these second moments."""
    middle = (rr + cc) / 2.0
    swing = math.sqrt((rr - cc) ** 2 / 4.0 + rc * rc)
    low = middle - swing
    # A straight line of pixels has no width: remove what rounding leaves.
    if low < 1e-10 * (middle + swing):
        low = 0.0
    return 4.0 * math.sqrt(middle + swing), 4.0 * math.sqrt(low)


@inlined
def distance_moments(points, y, x, rr, cc, rc):
    """Describe the distances of boundary points from the centroid (y, x).

    Returns
    -------
    mean, sd, smallest, largest, skewness, excess kurtosis : float
        Statistics of the distances, in pixels.
    ellipse : float
        sd / mean of the Mahalanobis distance under the covariance (rr, cc, rc), NaN if that is
        singular.
    """
    n = points.shape[0]
    distance = np.empty(n, np.float64)
    scaled = np.empty(n, np.float64)
    determinant = rr * cc - rc * rc
    regular = determinant > 1e-10 * (rr + cc) ** 2
    for k in range(n):
        dy, dx = points[k, 0] / 2.0 - y, points[k, 1] / 2.0 - x
        distance[k] = math.sqrt(dy * dy + dx * dx)
        if regular:
            scaled[k] = math.sqrt(
                max((cc * dy * dy - 2.0 * rc * dy * dx + rr * dx * dx) / determinant, 0.0)
            )
    mean = total(distance) / n
    smallest = largest = distance[0]
    m2 = m3 = m4 = 0.0
    for k in range(n):
        smallest, largest = min(smallest, distance[k]), max(largest, distance[k])
        d = distance[k] - mean
        m2 += d * d
        m3 += d * d * d
        m4 += d * d * d * d
    m2 /= n
    m3 /= n
    m4 /= n
    skewness = kurtosis = np.nan
    if m2 > 1e-24 * mean * mean:
        skewness = m3 / (m2 * math.sqrt(m2))
        kurtosis = m4 / (m2 * m2) - 3.0
    ellipse = np.nan
    if regular:
        scaled_mean, scaled_sd = mean_and_sd(scaled)
        ellipse = scaled_sd / scaled_mean
    return mean, math.sqrt(m2), smallest, largest, skewness, kurtosis, ellipse


@kernel
def indentations(runs, rows, hull, points, deep):
    """Return the depth of the deepest bay and the number of bays deeper than `deep`.

    A bay is a 4-connected part of the hull outside the mask; its lids are the edges of the hull
    polygon within one pixel of one of its pixels. Its depth is the largest distance of a pixel to
    the nearest of its lids, plus the half pixel from the centre of that pixel to its edge. A gap
    between two lobes that is open at both ends is as deep as its middle. A hole has no lid and is
    not a bay.

    Parameters
    ----------
    runs, rows
        Runs of the region, see ``runs.local_runs``.
    hull : (height, 3) int64 array
        Runs of the hull, one per row.
    points : (V, 2) int64 array
        Vertices of the hull, in doubled coordinates.
    deep : float
        Depth in pixels.
    """
    bays, starts = gaps(runs, rows, hull)
    n, n_edges = bays.shape[0], points.shape[0]
    if n == 0:
        return 0.0, 0
    parent, _ = join(bays, starts, np.int64(0))
    lids = np.empty((n, n_edges), np.int64)
    n_lids = np.zeros(n, np.int64)
    height = rows.size - 1
    for edge in range(n_edges):
        following = edge + 1 if edge + 1 < n_edges else 0
        top = max(min(points[edge, 0], points[following, 0]) // 2 - 1, 0)
        bottom = min(max(points[edge, 0], points[following, 0]) // 2 + 2, height)
        left = min(points[edge, 1], points[following, 1]) // 2 - 1
        right = max(points[edge, 1], points[following, 1]) // 2 + 2
        for run in range(starts[top], starts[bottom]):
            bay = find_root(parent, run)
            if n_lids[bay] > 0 and lids[bay, n_lids[bay] - 1] == edge:
                continue
            for column in range(max(bays[run, 1], left), min(bays[run, 2], right + 1)):
                if squared_distance(points, edge, 2 * bays[run, 0], 2 * column) <= 4.0:
                    lids[bay, n_lids[bay]] = edge
                    n_lids[bay] += 1
                    break
    depths = np.empty(n, np.float64)
    depths[:] = -1.0
    for run in range(n):
        bay = find_root(parent, run)
        if n_lids[bay] == 0:
            continue
        for column in range(bays[run, 1], bays[run, 2]):
            nearest = np.inf
            for lid in range(n_lids[bay]):
                nearest = min(
                    nearest, squared_distance(points, lids[bay, lid], 2 * bays[run, 0], 2 * column)
                )
            depths[bay] = max(depths[bay], nearest)
    deepest = 0.0
    n_deep = 0
    for bay in range(n):
        if depths[bay] >= 0.0:
            depth = math.sqrt(depths[bay]) / 2.0 + 0.5
            deepest = max(deepest, depth)
            n_deep += depth > deep
    return deepest, n_deep


@inlined
def gaps(runs, rows, hull):
    """Return the runs of the pixels in the hull but not in the mask, indexed by row."""
    height = rows.size - 1
    outside = np.empty((runs.shape[0] + height, 3), np.int64)
    starts = np.zeros(height + 1, np.int64)
    n = 0
    for row in range(height):
        column = hull[row, 1]
        for run in range(rows[row], rows[row + 1]):
            if runs[run, 1] > column:
                outside[n, 0], outside[n, 1], outside[n, 2] = row, column, runs[run, 1]
                n += 1
            column = runs[run, 2]
        if column < hull[row, 2]:
            outside[n, 0], outside[n, 1], outside[n, 2] = row, column, hull[row, 2]
            n += 1
        starts[row + 1] = n
    return outside[:n], starts


@kernel
def squared_distance(points, edge, y, x):
    """Return the squared distance of (y, x) to an edge of a polygon, in doubled coordinates."""
    following = edge + 1 if edge + 1 < points.shape[0] else 0
    v, u = y - points[edge, 0], x - points[edge, 1]
    dy, dx = points[following, 0] - points[edge, 0], points[following, 1] - points[edge, 1]
    along = v * dy + u * dx
    length = dy * dy + dx * dx
    if along <= 0:
        return float(v * v + u * u)
    if along >= length:
        v -= dy
        u -= dx
        return float(v * v + u * u)
    across = v * dx - u * dy
    return across * across / length
