"""All geometry of a mask, cell by cell."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel
from hemafeat.extract._kernels.region.bays import indentations
from hemafeat.extract._kernels.region.contour import (
    boundary,
    local_runs,
    perimeter_crofton,
    topology,
)
from hemafeat.extract._kernels.region.hull import calipers, extremes, filled, hull_chains, polygon
from hemafeat.extract._kernels.region.moments import axes, covariance, distance_moments

N_SHAPE = 32
N_MEASURED = 37


@kernel
def shape_of_cells(run_starts, runs, boxes):
    """Geometry of every cell.

    Parameters
    ----------
    run_starts, runs
        As ``regions.find_runs`` gives them.
    boxes : (n_cells, 4) int64 array
        Bounding boxes, as ``regions.pixels`` gives them.

    Returns
    -------
    (n_cells, N_MEASURED) float64 array
        The columns of the family ``shape``, then row and column of the centroid and the variances
        of row and column and their covariance. NaN where there is no pixel.
    """
    n_cells = run_starts.size - 1
    out = np.full((n_cells, N_MEASURED), np.nan)
    for cell in range(n_cells):
        if run_starts[cell + 1] > run_starts[cell]:
            measure(runs[run_starts[cell] : run_starts[cell + 1]], boxes[cell], out[cell])
    return out


@kernel
def measure(absolute, box, row):
    """Fill the row of one cell."""
    height, width = box[1] - box[0], box[3] - box[2]
    runs, rows = local_runs(absolute, box[0], box[2], height)
    area, y, x, rr, cc, rc = covariance(runs)
    perimeter = perimeter_crofton(runs, rows)
    diameter = 2.0 * math.sqrt(area / math.pi)
    row[0] = area
    row[1] = perimeter
    row[2] = diameter
    major, minor = axes(rr, cc, rc)
    row[3] = major
    row[4] = minor
    if minor > 0.0:
        row[5] = major / minor
    if major > 0.0:
        row[6] = math.sqrt(1.0 - (minor / major) ** 2)
        row[7] = 1.0 - minor / major
    row[8] = 4.0 * math.pi * area / (perimeter * perimeter)
    row[9] = area / (height * width)

    left, right = hull_chains(extremes(runs, rows))
    hull = filled(left, right, height)
    hull_rows = np.arange(height + 1)
    area_convex = 0
    for k in range(height):
        area_convex += hull[k, 2] - hull[k, 1]
    row[10] = area_convex
    row[11] = area / area_convex
    row[12] = perimeter_crofton(hull, hull_rows)
    row[13] = row[12] / perimeter
    outer_left, outer_right = hull_chains(hull[:, 1:])
    longest, narrowest, rectangle = calipers(polygon(outer_left, outer_right))
    row[14] = longest
    row[15] = narrowest
    row[16] = narrowest / longest
    if minor > 0.0:
        row[17] = area / rectangle

    points = boundary(runs, rows)
    mean, sd, smallest, largest, skewness, kurtosis, ellipse = distance_moments(
        points, y, x, rr, cc, rc
    )
    row[18] = mean
    row[19] = sd
    row[20] = smallest
    row[21] = largest
    row[22] = sd / mean
    row[23] = skewness
    row[24] = kurtosis
    row[25] = ellipse

    n_components, euler, n_holes = topology(runs, rows, area)
    row[26] = n_components
    row[27] = euler
    row[28] = n_holes
    depth, n_deep = indentations(runs, rows, hull, polygon(left, right), 0.1 * diameter)
    row[29] = depth
    row[30] = depth / diameter
    row[31] = n_deep
    row[32] = box[0] + y
    row[33] = box[2] + x
    row[34] = rr
    row[35] = cc
    row[36] = rc
