"""Texture of the optical density by dependence of grey levels, with the names of IBSI."""

from __future__ import annotations

from typing import Any

import numpy as np

from hemafeat.extract._families.matrices import (
    density_patches,
    extent_columns,
    extent_indices,
    extent_statistics,
    matrix_family,
    plane_patches,
    weighted_logs,
)
from hemafeat.extract._kernels import gldm as _kernel
from hemafeat.extract._kernels.matrices import stack_statistics
from hemafeat.extract._prepared import Prepared

NAMES = {
    "small_extent_emphasis": ("low_dependence_emphasis", "SODN"),
    "large_extent_emphasis": ("high_dependence_emphasis", "IMOQ"),
    "low_level_emphasis": ("low_grey_level_count_emphasis", "TL9H"),
    "high_level_emphasis": ("high_grey_level_count_emphasis", "OAE7"),
    "small_extent_low_level_emphasis": ("low_dependence_low_grey_level_emphasis", "EQ3F"),
    "small_extent_high_level_emphasis": ("low_dependence_high_grey_level_emphasis", "JA6D"),
    "large_extent_low_level_emphasis": ("high_dependence_low_grey_level_emphasis", "NBZI"),
    "large_extent_high_level_emphasis": ("high_dependence_high_grey_level_emphasis", "9QMG"),
    "level_non_uniformity": ("grey_level_non_uniformity", "FP8K"),
    "normalised_level_non_uniformity": ("normalised_grey_level_non_uniformity", "5SPA"),
    "extent_non_uniformity": ("dependence_count_non_uniformity", "Z87G"),
    "normalised_extent_non_uniformity": ("normalised_dependence_count_non_uniformity", "OKJI"),
    "percentage": ("dependence_count_percentage", "6XV8"),
    "level_variance": ("grey_level_variance", "1PFV"),
    "extent_variance": ("dependence_count_variance", "DNX2"),
    "entropy": ("dependence_count_entropy", "FCBV"),
    "energy": ("dependence_count_energy", "CAS9"),
}
"""Name of the statistic and IBSI code, by the name of the kernel."""

# Every pixel has a dependence, so the percentage is 1 in every image.
_COLUMNS = {key: name for key, name in NAMES.items() if key != "percentage"}


@matrix_family(
    extent_columns(
        _COLUMNS,
        "pixels of level i that j - 1 of their 8 neighbours share",
        {
            "things": "points",
            "extent": "number of like neighbours",
            "small": "points unlike their neighbours",
            "large": "points like their neighbours",
        },
    ),
    section="3.11",
    # The others repeat `density` and `intensity`.
    default=(
        "*__low_dependence_emphasis",
        "*__high_dependence_*",
        "*__low_dependence_high_*",
        "*__grey_level_non_uniformity",
        "*__dependence_count_*",
        "*__normalised_dependence_*",
    ),
    fast=True,
)
def gldm(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None
) -> np.ndarray:
    """Compute dependence statistics of the optical density of green inside each cell.

    Optical density is cut into the 32 levels of `glcm`. The dependence of a pixel is 1 plus the
    number of its 8 neighbours that lie in the cell and have the same level (IBSI's neighbouring
    grey level dependence matrix at distance 1 and coarseness 0).

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
    (n_cells, 16) ndarray of float64
        The IBSI statistics (IBSI's "2D") without the dependence count percentage, which is always
        1. NaN for a cell without pixels.

    Notes
    -----
    Rotating the image by 90 degrees or mirroring it does not change any value, not even in the last
    bit. The entropy is in bits. The five columns named after the grey level alone depend on how
    often each level occurs, not on where.

    References
    ----------
    .. [1] A. Zwanenburg et al., "The Image Biomarker Standardization Initiative", Radiology 295,
       328-338, 2020; reference manual arXiv:1612.07003, section 3.11.
    .. [2] C. Sun and W. G. Wee, "Neighboring gray level dependence matrix for texture
       classification", Computer Vision, Graphics, and Image Processing 23, 341-352, 1983.

    Examples
    --------
    >>> from hemafeat import datasets, extract
    >>> cell = datasets.draw_cell("neutrophil", random_state=0)
    >>> values = extract.gldm(cell.image, cell.nucleus)
    >>> row = dict(zip(extract.gldm.facts.columns, values[0]))
    >>> print(f"{row['dependence_count_entropy']:.0f}")
    6
    """
    counts = _kernel.dependence_matrices(*density_patches(image, labels, n_cells))
    dependences = np.arange(1, counts.shape[1] + 1)
    values = stack_statistics(counts, dependences, weighted_logs())
    return np.asarray(values[:, extent_indices(_COLUMNS)])


def gldm_matrix(
    levels: Any, labels: Any | None = None, *, n_levels: int, n_cells: int | None = None
) -> np.ndarray:
    """Count the pixels of a plane by grey level and dependence, at distance 1 and coarseness 0.

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
    (n_cells, n_levels, 9) ndarray of int64
        Number of pixels by grey level and dependence 1..9, which is 1 plus the number of neighbours
        in the cell that have the same level.

    Raises
    ------
    ValueError
        If levels lie outside 0..n_levels - 1, or `levels` and `labels` differ in shape.

    References
    ----------
    .. [1] arXiv:1612.07003, section 3.11.

    Examples
    --------
    >>> from hemafeat import extract
    >>> matrix = extract.gldm_matrix([[0, 0, 0], [1, 1, 0]], n_levels=2)
    >>> matrix[0]  # four zeros with 1, 3, 2 and 2 equal neighbours, and two ones with 1
    array([[0, 1, 2, 1, 0, 0, 0, 0, 0],
           [0, 2, 0, 0, 0, 0, 0, 0, 0]])
    """
    counts = _kernel.dependence_matrices(*plane_patches(levels, labels, n_levels, n_cells))
    return np.swapaxes(counts, 1, 2)


def gldm_statistics(matrix: Any) -> dict[str, np.ndarray]:
    """Compute the 17 IBSI statistics of neighbouring grey level dependence matrices.

    Parameters
    ----------
    matrix : (..., L, J) array_like of int
        Counts; entry (i, j) belongs to the grey level i + 1 and the dependence j + 1. Sums of
        matrices are allowed.

    Returns
    -------
    dict of str to (...) ndarray of float64
        Values by IBSI's name. NaN where a matrix is empty.

    Raises
    ------
    ValueError
        If `matrix` has fewer than two dimensions, or entries that are not counts.

    References
    ----------
    .. [1] arXiv:1612.07003, section 3.11.

    Examples
    --------
    >>> from hemafeat import extract
    >>> values = extract.gldm_statistics([[0, 1, 2, 1], [0, 2, 0, 0]])
    >>> round(float(values["high_dependence_emphasis"]), 3)
    7.667
    """
    values = extent_statistics(matrix, NAMES)
    # Each entry counts pixels, so the percentage is 1 by definition.
    percentage = values["dependence_count_percentage"]
    values["dependence_count_percentage"] = np.where(np.isnan(percentage), np.nan, 1.0)
    return values
