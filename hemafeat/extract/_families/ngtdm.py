"""Texture of the optical density by grey tone differences, with the names of IBSI."""

from __future__ import annotations

from typing import Any

import numpy as np

from hemafeat.extract._families.matrices import (
    by_name,
    density_patches,
    matrix_family,
    plane_patches,
    stacked,
)
from hemafeat.extract._family import Column
from hemafeat.extract._kernels import ngtdm as _kernel
from hemafeat.extract._prepared import Prepared

_SUMS = (
    "p_i share of level i among the N pixels, s_i sum over its pixels of |i - mean of the up to 8 "
    "neighbours in the mask|"
)
_DECLARED = {
    "coarseness": Column(
        "1",
        f"1 / sum p_i s_i; NaN for one level; {_SUMS}",
        "IBSI QCDE",
        "How smooth the stain is from point to point; it also falls with the size of the part.",
    ),
    "contrast": Column(
        "1",
        "sum_ij p_i p_j (i - j)^2 / (G (G - 1)) * sum s_i / N, G levels occur; NaN for one; "
        f"{_SUMS}",
        "IBSI 65HE",
        "Whether very dark and very pale points lie close together, as in clumped chromatin.",
    ),
    "busyness": Column(
        "1",
        f"sum p_i s_i / sum_ij |i p_i - j p_j|, levels from 1; NaN for one level; {_SUMS}",
        "IBSI NQ30",
        "Whether the shade changes quickly from point to point, as in fine granulation.",
    ),
    "complexity": Column(
        "1",
        f"sum_ij |i - j| (p_i s_i + p_j s_j) / (p_i + p_j) / N; {_SUMS}",
        "IBSI HDEZ",
        "Whether the part has many different shades with sharp steps between them.",
    ),
    "strength": Column(
        "1",
        f"sum_ij (p_i + p_j) (i - j)^2 / sum s_i; NaN for one level; {_SUMS}",
        "IBSI 1X9X",
        "Whether clearly visible patches stand out; it also falls with the size of the part.",
    ),
}
STATISTICS = {name: _DECLARED[name] for name in _kernel.STATISTICS}
"""Declarations of the statistics of one matrix."""


@matrix_family(STATISTICS, section="3.10")
def ngtdm(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None
) -> np.ndarray:
    """Compute grey tone difference statistics of the optical density of green inside each cell.

    Optical density is cut into the 32 levels of `glcm`. The difference of a pixel is that of its
    level from the mean level of those of its 8 neighbours that lie in the cell; pixels without such
    a neighbour are left out.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8, or Prepared
        RGB image.
    labels : (H, W) ndarray of int
        Label image of the cells, or of one of their compartments: 1 to n_cells, 0 is background.
    n_cells : int, optional
        Number of cells, which is the number of rows returned. By default the largest label.

    Returns
    -------
    (n_cells, 5) ndarray of float64
        The IBSI statistics (IBSI's "2D"). NaN for a cell of isolated pixels, and where a divisor is
        0: for a single level only the complexity is defined. IBSI sets the coarseness of such a
        cell to a million and its strength to 0.

    Notes
    -----
    Rotating the image by 90 degrees or mirroring it does not change any value, not even in the last
    bit.

    References
    ----------
    .. [1] A. Zwanenburg et al., "The Image Biomarker Standardization Initiative", Radiology 295,
       328-338, 2020; reference manual arXiv:1612.07003, section 3.10.
    .. [2] M. Amadasun and R. King, "Textural features corresponding to textural properties", IEEE
       Trans. SMC 19, 1264-1274, 1989.

    Examples
    --------
    >>> from hemafeat import datasets, extract
    >>> cell = datasets.draw_cell("neutrophil", random_state=0)
    >>> values = extract.ngtdm(cell.image, cell.nucleus)
    >>> row = dict(zip(extract.ngtdm.facts.columns, values[0]))
    >>> print(f"{row['contrast']:.2f}")
    0.05
    """
    matrices = _kernel.difference_matrices(*density_patches(image, labels, n_cells))
    return np.asarray(_kernel.stack_statistics(matrices))


def ngtdm_matrix(
    levels: Any, labels: Any | None = None, *, n_levels: int, n_cells: int | None = None
) -> np.ndarray:
    """Sum up the grey tone differences of a plane by grey level, at distance 1.

    Parameters
    ----------
    levels : (H, W) array_like of int
        Grey levels, 0 to n_levels - 1.
    labels : (H, W) array_like of int, optional
        Label image of the cells: 1 to n_cells, 0 is background. By default the whole plane is one
        cell.
    n_levels : int
        Number of grey levels, 1 to 255.
    n_cells : int, optional
        Number of cells. By default the largest label.

    Returns
    -------
    (n_cells, n_levels, 2) ndarray of float64
        For each level the number of its pixels that have a neighbour in the cell, and the sum of
        their absolute differences from the mean of these neighbours.

    Raises
    ------
    ValueError
        If levels lie outside 0..n_levels - 1, or `levels` and `labels` differ in shape.

    References
    ----------
    .. [1] arXiv:1612.07003, section 3.10.

    Examples
    --------
    >>> from hemafeat import extract
    >>> matrix = extract.ngtdm_matrix([[0, 0, 2, 2]], n_levels=3)
    >>> matrix[0]  # the inner 0 and the inner 2 differ by 1 from the mean of their neighbours
    array([[2., 1.],
           [0., 0.],
           [2., 1.]])
    """
    matrices = _kernel.difference_matrices(*plane_patches(levels, labels, n_levels, n_cells))
    return np.swapaxes(matrices, 1, 2)


def ngtdm_statistics(matrix: Any) -> dict[str, np.ndarray]:
    """Compute the 5 IBSI statistics of neighbourhood grey tone difference matrices.

    Parameters
    ----------
    matrix : (..., L, 2) array_like
        Number of pixels and sum of differences; row i belongs to the grey level i + 1. Sums of
        matrices are allowed.

    Returns
    -------
    dict of str to (...) ndarray of float64
        Values by IBSI's name. NaN where a divisor is 0, and all NaN where a matrix is empty.

    Raises
    ------
    ValueError
        If `matrix` has another shape or negative entries.

    References
    ----------
    .. [1] arXiv:1612.07003, section 3.10.

    Examples
    --------
    >>> from hemafeat import extract
    >>> values = extract.ngtdm_statistics([[2, 1], [0, 0], [2, 1]])
    >>> {name: round(float(value), 3) for name, value in values.items()}
    {'coarseness': 1.0, 'contrast': 0.5, 'busyness': 0.5, 'complexity': 1.0, 'strength': 4.0}
    """
    matrices = np.asarray(matrix, dtype=np.float64)
    if matrices.ndim < 2 or matrices.shape[-1] != 2:
        raise ValueError(f"matrix has shape {matrices.shape}, expected (..., levels, 2)")
    if matrices.size and matrices.min() < 0:
        raise ValueError("matrix holds negative entries")
    rows = _kernel.stack_statistics(stacked(matrices))
    return by_name(rows, _kernel.STATISTICS, matrices.shape[:-2])
