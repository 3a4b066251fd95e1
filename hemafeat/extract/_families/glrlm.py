"""Texture of the optical density by runs of one grey level, under IBSI's names."""

from __future__ import annotations

from typing import Any

import numpy as np

from hemafeat.extract._families import matrices as _extents
from hemafeat.extract._families.matrices import N_LEVELS, density_patches, plane_patches
from hemafeat.extract._family import family
from hemafeat.extract._kernels import glrlm as _kernel
from hemafeat.extract._kernels.extents import each_statistics
from hemafeat.extract._prepared import Prepared, prepare

NAMES = (
    "short_runs_emphasis",
    "long_runs_emphasis",
    "low_grey_level_run_emphasis",
    "high_grey_level_run_emphasis",
    "short_run_low_grey_level_emphasis",
    "short_run_high_grey_level_emphasis",
    "long_run_low_grey_level_emphasis",
    "long_run_high_grey_level_emphasis",
    "grey_level_non_uniformity",
    "normalised_grey_level_non_uniformity",
    "run_length_non_uniformity",
    "normalised_run_length_non_uniformity",
    "run_percentage",
    "grey_level_variance",
    "run_length_variance",
    "run_entropy",
)
CODES = "22OV W4KO V3SW G3QZ HTZT GD3A IVPO 3KUM R5YN OVBL W92Y IC23 9ZK5 8CE5 SXLW HJ9O"

STATISTICS = _extents.columns(NAMES, CODES, "runs of level i and length j; mean over 4 angles")


@family(
    STATISTICS,
    masks=("nucleus", "cytoplasm"),
    prepared=True,
    white=True,
    reference="Zwanenburg et al., Radiology 295:328-338 (2020); arXiv:1612.07003, section 3.7",
)
def glrlm(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None
) -> np.ndarray:
    """Run lengths of the optical density of green inside each cell.

    Optical density is cut into the 32 levels of `glcm`. A run is a longest row of neighbouring
    pixels of one level, all in the cell, at 0, 45, 90 or 135 degrees; a diagonal step counts as
    one, like a straight one.

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
    (n_cells, 16) ndarray of float64
        The 16 IBSI statistics, each the mean over the angles (IBSI's "2D averaged"). NaN for a cell
        without pixels.

    Notes
    -----
    Turning the image by 90 degrees or mirroring it changes no value in the last bit. The entropy is
    in bits. The two non-uniformities that are not normalised grow with the number of runs.

    References
    ----------
    .. [1] A. Zwanenburg et al., "The Image Biomarker Standardization Initiative", Radiology 295,
       328-338, 2020; reference manual arXiv:1612.07003, section 3.7.
    .. [2] M. M. Galloway, "Texture analysis using gray level run lengths", Computer Graphics and
       Image Processing 4, 172-179, 1975.
    """
    prepared = prepare(image)
    n_cells = int(labels.max()) if n_cells is None else n_cells
    where = prepared.regions(labels, n_cells)
    patches = density_patches(prepared, labels, n_cells)
    counts = _kernel.run_matrices(patches, where.run_starts, where.runs, where.boxes, N_LEVELS)
    lengths = np.arange(1, counts.shape[2] + 1)
    values = each_statistics(
        counts.reshape(n_cells * 4, *counts.shape[2:]), lengths, _extents.weighted_logs()
    ).reshape(n_cells, 4, -1)
    # In this order a turn by 90 degrees, which swaps 0 with 2 and 1 with 3, changes no bit.
    mean = ((values[:, 0] + values[:, 2]) + (values[:, 1] + values[:, 3])) / 4
    return mean[:, : len(NAMES)]


def glrlm_matrix(
    levels: Any, labels: Any | None = None, *, n_levels: int, n_cells: int | None = None
) -> np.ndarray:
    """Run length counts of any plane of grey levels.

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
    (n_cells, 4, n_levels, J) ndarray of int64
        Runs at 0, 45, 90 and 135 degrees by grey level and length 1..J, J being the longest.

    Raises
    ------
    ValueError
        Levels outside 0..n_levels - 1, or shapes that differ.

    References
    ----------
    .. [1] arXiv:1612.07003, section 3.7.
    """
    counts = _kernel.run_matrices(*plane_patches(levels, labels, n_levels, n_cells), n_levels)
    return np.swapaxes(counts, 2, 3)


def glrlm_statistics(matrix: Any) -> dict[str, np.ndarray]:
    """The 16 IBSI statistics of run length matrices.

    Parameters
    ----------
    matrix : (..., L, J) array_like of int
        Counts; entry (i, j) belongs to the grey level i + 1 and the length j + 1. Sums of matrices
        over angles (IBSI's "merged" ones) are matrices as well.

    Returns
    -------
    dict of str to (...) ndarray of float64
        By IBSI's name. NaN where a matrix is empty.

    Raises
    ------
    ValueError
        Fewer than two dimensions, or entries that are not whole numbers of at least 0.

    References
    ----------
    .. [1] arXiv:1612.07003, section 3.7.
    """
    counts = np.asarray(matrix)
    lengths = np.arange(1, counts.shape[-1] + 1 if counts.ndim else 1)
    return _extents.statistics(counts, lengths, NAMES)
