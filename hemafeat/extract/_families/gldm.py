"""Texture of the optical density by dependence on the neighbours, under IBSI's names."""

from __future__ import annotations

from typing import Any

import numpy as np

from hemafeat.extract._families import matrices as _extents
from hemafeat.extract._families.matrices import N_LEVELS, density_patches, plane_patches
from hemafeat.extract._family import family
from hemafeat.extract._kernels import gldm as _kernel
from hemafeat.extract._kernels.extents import each_statistics
from hemafeat.extract._prepared import Prepared, prepare

NAMES = (
    "low_dependence_emphasis",
    "high_dependence_emphasis",
    "low_grey_level_count_emphasis",
    "high_grey_level_count_emphasis",
    "low_dependence_low_grey_level_emphasis",
    "low_dependence_high_grey_level_emphasis",
    "high_dependence_low_grey_level_emphasis",
    "high_dependence_high_grey_level_emphasis",
    "grey_level_non_uniformity",
    "normalised_grey_level_non_uniformity",
    "dependence_count_non_uniformity",
    "normalised_dependence_count_non_uniformity",
    "dependence_count_percentage",
    "grey_level_variance",
    "dependence_count_variance",
    "dependence_count_entropy",
    "dependence_count_energy",
)
CODES = "SODN IMOQ TL9H OAE7 EQ3F JA6D NBZI 9QMG FP8K 5SPA Z87G OKJI 6XV8 1PFV DNX2 FCBV CAS9"

STATISTICS = _extents.columns(NAMES, CODES, "pixels of level i that j - 1 neighbours share")
# Every pixel has a dependence: their share is 1 in every image.
del STATISTICS["dependence_count_percentage"]

_DEPENDENCES = np.arange(1, 10)
_KEPT = np.array([place for place, name in enumerate(NAMES) if name in STATISTICS])


@family(
    STATISTICS,
    masks=("nucleus", "cytoplasm"),
    prepared=True,
    white=True,
    fast=True,
    reference="Zwanenburg et al., Radiology 295:328-338 (2020); arXiv:1612.07003, section 3.11",
)
def gldm(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None
) -> np.ndarray:
    """Dependence of each pixel's optical density of green on its neighbours, inside each cell.

    Optical density is cut into the 32 levels of `glcm`. The dependence of a pixel is 1 plus the
    number of those of its 8 neighbours that lie in the cell and have the same level (IBSI's
    neighbouring grey level dependence matrix at distance 1 and coarseness 0).

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
        The IBSI statistics (IBSI's "2D") but for the dependence count percentage, which is always
        1. NaN for a cell without pixels.

    Notes
    -----
    Turning the image by 90 degrees or mirroring it changes no value in the last bit. The entropy is
    in bits. Five columns see only how often each level occurs, not where: those named after the
    grey level alone.

    References
    ----------
    .. [1] A. Zwanenburg et al., "The Image Biomarker Standardization Initiative", Radiology 295,
       328-338, 2020; reference manual arXiv:1612.07003, section 3.11.
    .. [2] C. Sun and W. G. Wee, "Neighboring gray level dependence matrix for texture
       classification", Computer Vision, Graphics, and Image Processing 23, 341-352, 1983.
    """
    prepared = prepare(image)
    n_cells = int(labels.max()) if n_cells is None else n_cells
    where = prepared.regions(labels, n_cells)
    patches = density_patches(prepared, labels, n_cells)
    counts = _kernel.dependence_matrices(
        patches, where.run_starts, where.runs, where.boxes, N_LEVELS
    )
    return each_statistics(counts, _DEPENDENCES, _extents.weighted_logs())[:, _KEPT]


def gldm_matrix(
    levels: Any, labels: Any | None = None, *, n_levels: int, n_cells: int | None = None
) -> np.ndarray:
    """Dependence counts of any plane of grey levels, at distance 1 and coarseness 0.

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
    (n_cells, n_levels, 9) ndarray of int64
        Pixels by grey level and dependence 1..9: 1 plus the number of neighbours in the cell that
        have the same level.

    Raises
    ------
    ValueError
        Levels outside 0..n_levels - 1, or shapes that differ.

    References
    ----------
    .. [1] arXiv:1612.07003, section 3.11.
    """
    counts = _kernel.dependence_matrices(
        *plane_patches(levels, labels, n_levels, n_cells), n_levels
    )
    return np.swapaxes(counts, 1, 2)


def gldm_statistics(matrix: Any) -> dict[str, np.ndarray]:
    """The 17 IBSI statistics of neighbouring grey level dependence matrices.

    Parameters
    ----------
    matrix : (..., L, J) array_like of int
        Counts; entry (i, j) belongs to the grey level i + 1 and the dependence j + 1. Sums of
        matrices are matrices as well.

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
    .. [1] arXiv:1612.07003, section 3.11.
    """
    counts = np.asarray(matrix)
    dependences = np.arange(1, counts.shape[-1] + 1 if counts.ndim else 1)
    found = _extents.statistics(counts, dependences, NAMES)
    # Of a matrix, every entry is one pixel.
    share = found["dependence_count_percentage"]
    found["dependence_count_percentage"] = np.where(np.isnan(share), np.nan, 1.0)
    return found
