"""What relates a nucleus to its cell, from what is known of each."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel

N_RELATION = 17


@kernel
def relations(nucleus, cell, contact, thickness, lab_nucleus, lab_cytoplasm, lab_white):
    """The columns of the family ``relation``; a row of NaN where nucleus or cell is missing.

    Parameters
    ----------
    nucleus, cell : (n_cells, N_MEASURED) float64 arrays
        As ``shape.shape_of_cells`` gives them.
    contact : (n_cells,) float64 array
        As ``rays.border_contact`` gives it.
    thickness : (n_cells, 4) float64 array
        As ``rays.thickness`` gives it.
    lab_nucleus, lab_cytoplasm : (n_cells, K) float64 arrays
        Mean L*, a*, b* in the first three columns.
    lab_white : (3,) float64 array
    """
    n_cells = nucleus.shape[0]
    out = np.full((n_cells, N_RELATION), np.nan)
    for k in range(n_cells):
        area_n, area_c = nucleus[k, 0], cell[k, 0]
        if not (area_n > 0.0 and area_c > 0.0):
            continue
        row = out[k]
        cytoplasm = area_c - area_n
        row[0] = area_n / area_c
        if cytoplasm > 0.0:
            row[1] = area_n / cytoplasm
        row[2] = math.sqrt(row[0])
        row[3] = cytoplasm
        apart = math.hypot(nucleus[k, 32] - cell[k, 32], nucleus[k, 33] - cell[k, 33])
        row[4] = apart / (cell[k, 2] / 2.0)
        row[5] = contact[k]
        row[6] = nucleus[k, 1] / cell[k, 1]
        row[7] = axis_angle(nucleus[k, 34:37], cell[k, 34:37])
        row[8] = area_n / cell[k, 10]
        row[9] = (nucleus[k, 10] - area_n) / nucleus[k, 10]
        row[10] = cytoplasm / ((nucleus[k, 1] + cell[k, 1]) / 2.0)
        row[11:15] = thickness[k]
        to_nucleus = to_white = 0.0
        for c in range(3):
            to_nucleus += (lab_nucleus[k, c] - lab_cytoplasm[k, c]) ** 2
            to_white += (lab_cytoplasm[k, c] - lab_white[c]) ** 2
        row[15] = math.sqrt(to_nucleus)
        row[16] = math.sqrt(to_white)
    return out


@kernel
def axis_angle(one, other):
    """Degrees between the major axes of two covariances (rr, cc, rc); NaN where one has none.

    Half the angle between the doubled directions, which are vectors and not axes.
    """
    v, u = 2.0 * one[2], one[1] - one[0]
    w, t = 2.0 * other[2], other[1] - other[0]
    if math.hypot(u, v) <= 1e-10 * (one[0] + one[1]):
        return np.nan
    if math.hypot(t, w) <= 1e-10 * (other[0] + other[1]):
        return np.nan
    return math.degrees(math.atan2(abs(u * w - v * t), u * t + v * w)) / 2.0
