"""Texture of the optical density by run lengths of grey levels, with the names of IBSI."""

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
from hemafeat.extract._kernels import glrlm as _kernel
from hemafeat.extract._kernels.matrices import stack_statistics
from hemafeat.extract._prepared import Prepared

NAMES = {
    "small_extent_emphasis": ("short_runs_emphasis", "22OV"),
    "large_extent_emphasis": ("long_runs_emphasis", "W4KO"),
    "low_level_emphasis": ("low_grey_level_run_emphasis", "V3SW"),
    "high_level_emphasis": ("high_grey_level_run_emphasis", "G3QZ"),
    "small_extent_low_level_emphasis": ("short_run_low_grey_level_emphasis", "HTZT"),
    "small_extent_high_level_emphasis": ("short_run_high_grey_level_emphasis", "GD3A"),
    "large_extent_low_level_emphasis": ("long_run_low_grey_level_emphasis", "IVPO"),
    "large_extent_high_level_emphasis": ("long_run_high_grey_level_emphasis", "3KUM"),
    "level_non_uniformity": ("grey_level_non_uniformity", "R5YN"),
    "normalised_level_non_uniformity": ("normalised_grey_level_non_uniformity", "OVBL"),
    "extent_non_uniformity": ("run_length_non_uniformity", "W92Y"),
    "normalised_extent_non_uniformity": ("normalised_run_length_non_uniformity", "IC23"),
    "percentage": ("run_percentage", "9ZK5"),
    "level_variance": ("grey_level_variance", "8CE5"),
    "extent_variance": ("run_length_variance", "SXLW"),
    "entropy": ("run_entropy", "HJ9O"),
}
"""Name of the column and IBSI code, by statistic."""


@matrix_family(
    extent_columns(
        NAMES,
        "runs of level i and length j; mean over 4 angles",
        {
            "things": "streaks",
            "extent": "length",
            "small": "short streaks",
            "large": "long streaks",
        },
    ),
    section="3.7",
)
def glrlm(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None
) -> np.ndarray:
    """Compute run length statistics of the optical density of green inside each cell.

    Optical density is cut into the 32 levels of `glcm`. A run is a row of neighbouring pixels of
    the same level, as long as possible, all in the cell, at 0, 45, 90 or 135 degrees; a diagonal
    step counts as 1, like a straight one.

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
        The 16 IBSI statistics, each the mean over the angles (IBSI's "2D averaged"). NaN for a cell
        without pixels.

    Notes
    -----
    Rotating the image by 90 degrees or mirroring it does not change any value, not even in the last
    bit. The entropy is in bits. The two non-uniformities that are not normalised grow with the
    number of runs.

    References
    ----------
    .. [1] A. Zwanenburg et al., "The Image Biomarker Standardization Initiative", Radiology 295,
       328-338, 2020; reference manual arXiv:1612.07003, section 3.7.
    .. [2] M. M. Galloway, "Texture analysis using gray level run lengths", Computer Graphics and
       Image Processing 4, 172-179, 1975.

    Examples
    --------
    >>> from hemafeat import datasets, extract
    >>> cell = datasets.draw_cell("neutrophil", random_state=0)
    >>> values = extract.glrlm(cell.image, cell.nucleus)
    >>> row = dict(zip(extract.glrlm.facts.columns, values[0]))
    >>> print(f"{row['run_percentage']:.2f}")
    0.76
    """
    counts = _kernel.run_matrices(*density_patches(image, labels, n_cells))
    n_cells, n_angles, n_lengths, n_levels = counts.shape
    values = stack_statistics(
        counts.reshape(n_cells * n_angles, n_lengths, n_levels),
        np.arange(1, n_lengths + 1),
        weighted_logs(),
    ).reshape(n_cells, n_angles, -1)
    # Rotating by 90 degrees swaps 0 with 2 and 1 with 3; in this order the sum keeps its last bit.
    mean = ((values[:, 0] + values[:, 2]) + (values[:, 1] + values[:, 3])) / n_angles
    return np.asarray(mean[:, extent_indices(NAMES)])


def glrlm_matrix(
    levels: Any, labels: Any | None = None, *, n_levels: int, n_cells: int | None = None
) -> np.ndarray:
    """Count the runs of equal grey levels in a plane.

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
    (n_cells, 4, n_levels, J) ndarray of int64
        Number of runs at 0, 45, 90 and 135 degrees by grey level and length 1..J, where J is the
        length of the longest run.

    Raises
    ------
    ValueError
        If levels lie outside 0..n_levels - 1, or `levels` and `labels` differ in shape.

    References
    ----------
    .. [1] arXiv:1612.07003, section 3.7.

    Examples
    --------
    >>> from hemafeat import extract
    >>> matrix = extract.glrlm_matrix([[0, 0, 1], [1, 1, 1]], n_levels=2)
    >>> matrix[0, 0]  # 0 degrees: one run of two zeros, one of a single 1 and one of three
    array([[0, 1, 0],
           [1, 0, 1]])
    """
    counts = _kernel.run_matrices(*plane_patches(levels, labels, n_levels, n_cells))
    return np.swapaxes(counts, 2, 3)


def glrlm_statistics(matrix: Any) -> dict[str, np.ndarray]:
    """Compute the 16 IBSI statistics of run length matrices.

    Parameters
    ----------
    matrix : (..., L, J) array_like of int
        Counts; entry (i, j) belongs to the grey level i + 1 and the length j + 1. Sums of matrices
        over angles (IBSI's "merged" matrices) are allowed.

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
    .. [1] arXiv:1612.07003, section 3.7.

    Examples
    --------
    >>> from hemafeat import extract
    >>> values = extract.glrlm_statistics([[0, 1, 0], [1, 0, 1]])
    >>> float(values["run_percentage"])  # 3 runs of 6 pixels
    0.5
    """
    return extent_statistics(matrix, NAMES)
