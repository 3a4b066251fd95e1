"""Size, position and colour of a nucleus relative to its cell."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import indices, inlined, kernel
from hemafeat.extract._kernels.arrays import mean_and_sd
from hemafeat.extract._kernels.shape import AT as SHAPE

COLUMNS = (
    "nucleus_to_cell_area_ratio",
    "nucleus_to_cytoplasm_area_ratio",
    "nucleus_to_cell_diameter_ratio",
    "cytoplasm__area",
    "eccentric_position",
    "nucleus__border_contact",
    "perimeter_ratio",
    "axis_angle",
    "hull_occupancy",
    "nucleus__convex_deficiency",
    "cytoplasm__thickness_from_area",
    "cytoplasm__thickness_mean",
    "cytoplasm__thickness_min",
    "cytoplasm__thickness_max",
    "cytoplasm__thickness_cv",
    "delta_e_nucleus_cytoplasm",
    "cytoplasm__delta_e_background",
)
"""Columns of the family ``relation``."""
N_COLUMNS = len(COLUMNS)

AT = indices(COLUMNS)


@kernel
def relations(nucleus, cell, contact, thickness, lab_nucleus, lab_cytoplasm, lab_white):
    """Relate every nucleus to its cell.

    Parameters
    ----------
    nucleus, cell : (n_cells, 37) float64 arrays
        Shape of both, see ``shape.shape_of_cells``.
    contact : (n_cells,) float64 array
        Contact of the nucleus with the edge of the cell, see `border_contact`.
    thickness : (n_cells, 4) float64 array
        Statistics of the thickness of the cytoplasm, see `thickness_statistics`.
    lab_nucleus, lab_cytoplasm : (n_cells, K) float64 arrays
        Mean L*, a*, b* in the first three columns.
    lab_white : (3,) float64 array
        L*, a*, b* of the white level.

    Returns
    -------
    (n_cells, 17) float64 array
        `COLUMNS`. A row of NaN where nucleus or cell is missing.
    """
    n_cells = nucleus.shape[0]
    out = np.empty((n_cells, N_COLUMNS), np.float64)
    out[:] = np.nan
    for k in range(n_cells):
        area_n, area_c = nucleus[k, SHAPE.area], cell[k, SHAPE.area]
        if not (area_n > 0.0 and area_c > 0.0):
            continue
        row = out[k]
        cytoplasm = area_c - area_n
        row[AT.nucleus_to_cell_area_ratio] = area_n / area_c
        if cytoplasm > 0.0:
            row[AT.nucleus_to_cytoplasm_area_ratio] = area_n / cytoplasm
        row[AT.nucleus_to_cell_diameter_ratio] = math.sqrt(row[AT.nucleus_to_cell_area_ratio])
        row[AT.cytoplasm__area] = cytoplasm
        down = nucleus[k, SHAPE.centroid_row] - cell[k, SHAPE.centroid_row]
        right = nucleus[k, SHAPE.centroid_column] - cell[k, SHAPE.centroid_column]
        row[AT.eccentric_position] = math.hypot(down, right) / (
            cell[k, SHAPE.equivalent_diameter_area] / 2.0
        )
        row[AT.nucleus__border_contact] = contact[k]
        perimeter_n = nucleus[k, SHAPE.perimeter_crofton]
        perimeter_c = cell[k, SHAPE.perimeter_crofton]
        row[AT.perimeter_ratio] = perimeter_n / perimeter_c
        row[AT.axis_angle] = axis_angle(
            nucleus[k, SHAPE.variance_row : SHAPE.covariance + 1],
            cell[k, SHAPE.variance_row : SHAPE.covariance + 1],
        )
        hull_n = nucleus[k, SHAPE.area_convex]
        row[AT.hull_occupancy] = area_n / cell[k, SHAPE.area_convex]
        row[AT.nucleus__convex_deficiency] = (hull_n - area_n) / hull_n
        row[AT.cytoplasm__thickness_from_area] = cytoplasm / ((perimeter_n + perimeter_c) / 2.0)
        for i in range(thickness.shape[1]):
            row[AT.cytoplasm__thickness_mean + i] = thickness[k, i]
        to_nucleus = to_white = 0.0
        for c in range(3):
            to_nucleus += (lab_nucleus[k, c] - lab_cytoplasm[k, c]) ** 2
            to_white += (lab_cytoplasm[k, c] - lab_white[c]) ** 2
        row[AT.delta_e_nucleus_cytoplasm] = math.sqrt(to_nucleus)
        row[AT.cytoplasm__delta_e_background] = math.sqrt(to_white)
    return out


@kernel
def axis_angle(a, b):
    """Return the degrees between the major axes of two covariances (rr, cc, rc); NaN without one.

    It is half the angle between the doubled directions, which are vectors and not axes.
    """
    v, u = 2.0 * a[2], a[1] - a[0]
    w, t = 2.0 * b[2], b[1] - b[0]
    if math.hypot(u, v) <= 1e-10 * (a[0] + a[1]):
        return np.nan
    if math.hypot(t, w) <= 1e-10 * (b[0] + b[1]):
        return np.nan
    return math.degrees(math.atan2(abs(u * w - v * t), u * t + v * w)) / 2.0


@kernel
def thickness_statistics(profile):
    """Return mean, minimum, maximum and sd / mean over the directions that meet the nucleus.

    `profile` is that of ``rays.ray_thickness``; values are (n_cells, 4) float64.
    """
    n_cells = profile.shape[0]
    out = np.empty((n_cells, 4), np.float64)
    out[:] = np.nan
    used = np.empty(profile.shape[1], np.float64)
    for k in range(n_cells):
        n = 0
        low, high = np.inf, -np.inf
        for ray in range(profile.shape[1]):
            thickness = profile[k, ray]
            if np.isfinite(thickness):
                used[n] = thickness
                n += 1
                low, high = min(low, thickness), max(high, thickness)
        if n == 0:
            continue
        mean, sd = mean_and_sd(used[:n])
        out[k, 0], out[k, 1], out[k, 2] = mean, low, high
        if mean > 0.0:
            out[k, 3] = sd / mean
    return out


@kernel
def border_contact(nucleus, cell, run_starts, runs):
    """Return the share of the boundary pixels of each nucleus that lie at the edge of the cell.

    A boundary pixel has one of its four neighbours outside the nucleus. It lies at the edge of the
    cell if a pixel outside the cell is at most 2 px away, centre to centre, so that at most one
    pixel of cytoplasm is between. Pixels beyond the image are outside the cell.

    Parameters
    ----------
    nucleus, cell : (H, W) int32 arrays
        Labels 1..n_cells; 0 is background.
    run_starts, runs
        Runs of the nuclei, see ``runs.find_runs``.

    Returns
    -------
    (n_cells,) float64 array
        NaN where there is no nucleus.
    """
    height, width = cell.shape
    out = np.empty(run_starts.size - 1, np.float64)
    out[:] = np.nan
    covered = np.empty(width, np.bool_)
    for k in range(run_starts.size - 1):
        label = k + 1
        n_boundary = n_contact = 0
        for run in range(run_starts[k], run_starts[k + 1]):
            row, first, stop = runs[run, 0], runs[run, 1], runs[run, 2]
            n = stop - first
            inner = covered[:n]
            if 0 < row < height - 1:
                above, below = nucleus[row - 1, first:stop], nucleus[row + 1, first:stop]
                for c in range(n):
                    inner[c] = (above[c] == label) & (below[c] == label)
                inner[0] = inner[n - 1] = False
            else:
                inner[:] = False
            for c in range(n):
                if not inner[c]:
                    n_boundary += 1
                    n_contact += at_edge(cell, label, row, first + c)
        if n_boundary > 0:
            out[k] = n_contact / n_boundary
    return out


@inlined
def at_edge(cell, label, row, column):
    """Return True if a pixel that is not `label` lies at most 2 px from this one."""
    height, width = cell.shape
    for dr in range(-2, 3):
        for dc in range(-2, 3):
            if dr * dr + dc * dc <= 4:
                r, c = row + dr, column + dc
                if r < 0 or r >= height or c < 0 or c >= width or cell[r, c] != label:
                    return True
    return False
