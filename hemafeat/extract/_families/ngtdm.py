"""Texture of the optical density by difference from the neighbours, under IBSI's names."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hemafeat.extract._families.matrices import N_LEVELS, density_patches, plane_patches
from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels import ngtdm as _kernel
from hemafeat.extract._prepared import Prepared, prepare

STATISTICS: dict[str, Column] = {
    "coarseness": Column("1", "1 / sum p_i s_i; NaN for one level", "IBSI QCDE"),
    "contrast": Column(
        "1",
        "sum_ij p_i p_j (i - j)^2 / (G (G - 1)) * sum s_i / N, G levels occur; NaN for one",
        "IBSI 65HE",
    ),
    "busyness": Column(
        "1", "sum p_i s_i / sum_ij |i p_i - j p_j|, levels from 1; NaN for one level", "IBSI NQ30"
    ),
    "complexity": Column("1", "sum_ij |i - j| (p_i s_i + p_j s_j) / (p_i + p_j) / N", "IBSI HDEZ"),
    "strength": Column(
        "1", "sum_ij (p_i + p_j) (i - j)^2 / sum s_i; NaN for one level", "IBSI 1X9X"
    ),
}
"""In order; p_i is the share of level i among the N pixels, s_i its summed difference."""


@family(
    STATISTICS,
    masks=("nucleus", "cytoplasm"),
    prepared=True,
    white=True,
    reference="Zwanenburg et al., Radiology 295:328-338 (2020); arXiv:1612.07003, section 3.10",
)
def ngtdm(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None
) -> np.ndarray:
    """Difference of each pixel's optical density of green from its neighbours, inside each cell.

    Optical density is cut into the 32 levels of `glcm`. The difference of a pixel is that of its
    level from the mean level of those of its 8 neighbours that lie in the cell; a pixel without
    such a neighbour is left out.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8, or Prepared
        RGB.
    labels : (H, W) ndarray of int
        Cells 1..n_cells; 0 is background.
    n_cells : int, optional
        Number of rows; the largest label when not given.

    Returns
    -------
    (n_cells, 5) ndarray of float64
        The IBSI statistics (IBSI's "2D"). NaN for a cell of single pixels, and where a divisor is
        0: of one level only the complexity is defined. IBSI puts a million for the coarseness of
        such a cell, and 0 for its strength.

    Notes
    -----
    Turning the image by 90 degrees or mirroring it changes no value in the last bit.

    References
    ----------
    .. [1] A. Zwanenburg et al., "The Image Biomarker Standardization Initiative", Radiology 295,
       328-338, 2020; reference manual arXiv:1612.07003, section 3.10.
    .. [2] M. Amadasun and R. King, "Textural features corresponding to textural properties", IEEE
       Trans. SMC 19, 1264-1274, 1989.
    """
    prepared = prepare(image)
    n_cells = int(labels.max()) if n_cells is None else n_cells
    where = prepared.regions(labels, n_cells)
    patches = density_patches(prepared, labels, n_cells)
    return _kernel.statistics(
        _kernel.difference_matrices(patches, where.run_starts, where.runs, where.boxes, N_LEVELS)
    )


def ngtdm_matrix(
    levels: Any, labels: Any | None = None, *, n_levels: int, n_cells: int | None = None
) -> np.ndarray:
    """Neighbourhood grey tone differences of any plane of grey levels, at distance 1.

    Parameters
    ----------
    levels : (H, W) array_like of int
        Grey levels 0..n_levels - 1.
    labels : (H, W) array_like of int, optional
        Cells 1..n_cells; 0 is background. Without it the whole plane is one cell.
    n_levels : int
        Number of grey levels, 1 to 255.
    n_cells : int, optional
        Number of cells; the largest label when not given.

    Returns
    -------
    (n_cells, n_levels, 2) ndarray of float64
        For each level the number of its pixels that have a neighbour in the cell, and the sum of
        their absolute differences from the mean of these neighbours.

    Raises
    ------
    ValueError
        Levels outside 0..n_levels - 1, or shapes that differ.

    References
    ----------
    .. [1] arXiv:1612.07003, section 3.10.
    """
    found = _kernel.difference_matrices(*plane_patches(levels, labels, n_levels, n_cells), n_levels)
    return np.swapaxes(found, 1, 2)


def ngtdm_statistics(matrix: Any) -> dict[str, np.ndarray]:
    """The 5 IBSI statistics of neighbourhood grey tone difference matrices.

    Parameters
    ----------
    matrix : (..., L, 2) array_like
        Row i belongs to the grey level i + 1: number of pixels, sum of differences. Sums of
        matrices are matrices as well.

    Returns
    -------
    dict of str to (...) ndarray of float64
        By IBSI's name. NaN where a divisor is 0, as all are where a matrix is empty.

    Raises
    ------
    ValueError
        Another shape, or negative entries.

    References
    ----------
    .. [1] arXiv:1612.07003, section 3.10.
    """
    given = np.asarray(matrix, dtype=np.float64)
    if given.ndim < 2 or given.shape[-1] != 2:
        raise ValueError(f"matrix has shape {given.shape}, expected (..., levels, 2)")
    if given.size and given.min() < 0:
        raise ValueError("matrix holds negative entries")
    n = math.prod(given.shape[:-2])
    flat = np.ascontiguousarray(np.swapaxes(given.reshape(n, *given.shape[-2:]), 1, 2))
    values = _kernel.statistics(flat)
    return {name: values[:, k].reshape(given.shape[:-2]) for k, name in enumerate(STATISTICS)}
