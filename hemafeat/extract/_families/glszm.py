"""Texture of the optical density by zones of one grey level, under IBSI's names."""

from __future__ import annotations

from typing import Any

import numpy as np

from hemafeat.extract._families import matrices as _extents
from hemafeat.extract._families.matrices import N_LEVELS, density_patches, plane_patches
from hemafeat.extract._family import family
from hemafeat.extract._kernels import glszm as _kernel
from hemafeat.extract._prepared import Prepared, prepare

NAMES = (
    "small_zone_emphasis",
    "large_zone_emphasis",
    "low_grey_level_zone_emphasis",
    "high_grey_level_zone_emphasis",
    "small_zone_low_grey_level_emphasis",
    "small_zone_high_grey_level_emphasis",
    "large_zone_low_grey_level_emphasis",
    "large_zone_high_grey_level_emphasis",
    "grey_level_non_uniformity",
    "normalised_grey_level_non_uniformity",
    "zone_size_non_uniformity",
    "normalised_zone_size_non_uniformity",
    "zone_percentage",
    "grey_level_variance",
    "zone_size_variance",
    "zone_size_entropy",
)
CODES = "5QRC 48P8 XMSY 5GN9 5RAI HW1V YH51 J17V JNSA Y1RO 4JP3 VB3A P30P BYLV 3NSA GU8N"

STATISTICS = _extents.columns(NAMES, CODES, "zones of level i and j pixels")


@family(
    STATISTICS,
    masks=("nucleus", "cytoplasm"),
    prepared=True,
    white=True,
    reference="Zwanenburg et al., Radiology 295:328-338 (2020); arXiv:1612.07003, section 3.8",
)
def glszm(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None
) -> np.ndarray:
    """Sizes of the zones of equal optical density of green inside each cell.

    Optical density is cut into the 32 levels of `glcm`. A zone is a largest 8-connected set of
    pixels of one level, all in the cell.

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
        The 16 IBSI statistics (IBSI's "2D"). NaN for a cell without pixels.

    Notes
    -----
    Turning the image by 90 degrees or mirroring it changes no value in the last bit. Sizes are
    numbers of pixels, whatever the scale of the image. The entropy is in bits.

    References
    ----------
    .. [1] A. Zwanenburg et al., "The Image Biomarker Standardization Initiative", Radiology 295,
       328-338, 2020; reference manual arXiv:1612.07003, section 3.8.
    .. [2] G. Thibault et al., "Texture indexes and gray level size zone matrix. Application to cell
       nuclei classification", Pattern Recognition and Information Processing, 140-145, 2009.
    """
    prepared = prepare(image)
    n_cells = int(labels.max()) if n_cells is None else n_cells
    where = prepared.regions(labels, n_cells)
    patches = density_patches(prepared, labels, n_cells)
    return _kernel.measure(
        patches, where.run_starts, where.runs, where.boxes, N_LEVELS, _extents.weighted_logs()
    )


def glszm_matrix(
    levels: Any, labels: Any | None = None, *, n_levels: int, n_cells: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Zone counts of any plane of grey levels.

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
    matrix : (n_cells, n_levels, K) ndarray of int64
        8-connected zones by grey level and size. Sizes that occur nowhere have no column: a dense
        matrix would be as wide as the largest zone.
    sizes : (K,) ndarray of int64
        Size in pixels of each column, ascending.

    Raises
    ------
    ValueError
        Levels outside 0..n_levels - 1, or shapes that differ.

    References
    ----------
    .. [1] arXiv:1612.07003, section 3.8.
    """
    counts, sizes = _kernel.zone_matrices(
        *plane_patches(levels, labels, n_levels, n_cells), n_levels
    )
    return np.swapaxes(counts, 1, 2), sizes


def glszm_statistics(matrix: Any, sizes: Any | None = None) -> dict[str, np.ndarray]:
    """The 16 IBSI statistics of size zone matrices.

    Parameters
    ----------
    matrix : (..., L, K) array_like of int
        Counts; entry (i, k) belongs to the grey level i + 1 and the size ``sizes[k]``. Sums of
        matrices of the same sizes are matrices as well.
    sizes : (K,) array_like of int, optional
        Ascending; 1..K when not given.

    Returns
    -------
    dict of str to (...) ndarray of float64
        By IBSI's name. NaN where a matrix is empty.

    Raises
    ------
    ValueError
        Fewer than two dimensions, sizes that do not ascend from 1 or do not fit, or entries that
        are not whole numbers of at least 0.

    References
    ----------
    .. [1] arXiv:1612.07003, section 3.8.
    """
    counts = np.asarray(matrix)
    extents = np.arange(1, counts.shape[-1] + 1 if counts.ndim else 1)
    if sizes is not None:
        extents = np.ascontiguousarray(sizes, dtype=np.int64)
        if extents.ndim != 1 or (np.diff(extents, prepend=0) < 1).any():
            raise ValueError("sizes must ascend from at least 1")
    return _extents.statistics(counts, extents, NAMES)
