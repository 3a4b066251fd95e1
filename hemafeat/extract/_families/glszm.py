"""Texture of the optical density by size zones of grey levels, with the names of IBSI."""

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
from hemafeat.extract._kernels import glszm as _kernel
from hemafeat.extract._prepared import Prepared

NAMES = {
    "small_extent_emphasis": ("small_zone_emphasis", "5QRC"),
    "large_extent_emphasis": ("large_zone_emphasis", "48P8"),
    "low_level_emphasis": ("low_grey_level_zone_emphasis", "XMSY"),
    "high_level_emphasis": ("high_grey_level_zone_emphasis", "5GN9"),
    "small_extent_low_level_emphasis": ("small_zone_low_grey_level_emphasis", "5RAI"),
    "small_extent_high_level_emphasis": ("small_zone_high_grey_level_emphasis", "HW1V"),
    "large_extent_low_level_emphasis": ("large_zone_low_grey_level_emphasis", "YH51"),
    "large_extent_high_level_emphasis": ("large_zone_high_grey_level_emphasis", "J17V"),
    "level_non_uniformity": ("grey_level_non_uniformity", "JNSA"),
    "normalised_level_non_uniformity": ("normalised_grey_level_non_uniformity", "Y1RO"),
    "extent_non_uniformity": ("zone_size_non_uniformity", "4JP3"),
    "normalised_extent_non_uniformity": ("normalised_zone_size_non_uniformity", "VB3A"),
    "percentage": ("zone_percentage", "P30P"),
    "level_variance": ("grey_level_variance", "BYLV"),
    "extent_variance": ("zone_size_variance", "3NSA"),
    "entropy": ("zone_size_entropy", "GU8N"),
}
"""Name of the column and IBSI code, by statistic."""


@matrix_family(
    extent_columns(
        NAMES,
        "8-connected zones of level i and j pixels",
        {
            "things": "patches",
            "extent": "size",
            "small": "small patches",
            "large": "large patches",
        },
    ),
    section="3.8",
)
def glszm(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None
) -> np.ndarray:
    """Compute size zone statistics of the optical density of green inside each cell.

    Optical density is cut into the 32 levels of `glcm`. A zone is a connected set of pixels of the
    same level, as large as possible, all in the cell; diagonal neighbours are connected.

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
        The 16 IBSI statistics (IBSI's "2D"). NaN for a cell without pixels.

    Notes
    -----
    Rotating the image by 90 degrees or mirroring it does not change any value, not even in the last
    bit. Sizes are numbers of pixels, whatever the scale of the image. The entropy is in bits.

    References
    ----------
    .. [1] A. Zwanenburg et al., "The Image Biomarker Standardization Initiative", Radiology 295,
       328-338, 2020; reference manual arXiv:1612.07003, section 3.8.
    .. [2] G. Thibault et al., "Texture indexes and gray level size zone matrix. Application to cell
       nuclei classification", Pattern Recognition and Information Processing, 140-145, 2009.

    Examples
    --------
    >>> from hemafeat import datasets, extract
    >>> cell = datasets.draw_cell("neutrophil", random_state=0)
    >>> values = extract.glszm(cell.image, cell.nucleus)
    >>> row = dict(zip(extract.glszm.facts.columns, values[0]))
    >>> print(f"{row['zone_percentage']:.2f}")
    0.36
    """
    values = _kernel.measure(*density_patches(image, labels, n_cells), weighted_logs())
    return np.asarray(values[:, extent_indices(NAMES)])


def glszm_matrix(
    levels: Any, labels: Any | None = None, *, n_levels: int, n_cells: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Count the zones of equal grey levels in a plane.

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
    matrix : (n_cells, n_levels, K) ndarray of int64
        Number of 8-connected zones by grey level and size. Only sizes that occur have a column: a
        full matrix would be as wide as the largest zone.
    sizes : (K,) ndarray of int64
        Size in pixels of each column, ascending.

    Raises
    ------
    ValueError
        If levels lie outside 0..n_levels - 1, or `levels` and `labels` differ in shape.

    References
    ----------
    .. [1] arXiv:1612.07003, section 3.8.

    Examples
    --------
    >>> from hemafeat import extract
    >>> matrix, sizes = extract.glszm_matrix([[0, 0, 1, 0]], n_levels=2)
    >>> sizes
    array([1, 2])
    >>> matrix[0]  # zeros: zones of one and of two pixels; ones: a zone of one pixel
    array([[1, 1],
           [1, 0]])
    """
    counts, sizes = _kernel.zone_matrices(*plane_patches(levels, labels, n_levels, n_cells))
    return np.swapaxes(counts, 1, 2), sizes


def glszm_statistics(matrix: Any, sizes: Any | None = None) -> dict[str, np.ndarray]:
    """Compute the 16 IBSI statistics of size zone matrices.

    Parameters
    ----------
    matrix : (..., L, K) array_like of int
        Counts; entry (i, k) belongs to the grey level i + 1 and the size ``sizes[k]``. Sums of
        matrices of the same sizes are allowed.
    sizes : (K,) array_like of int, optional
        Size in pixels of each column, ascending. By default 1 to K.

    Returns
    -------
    dict of str to (...) ndarray of float64
        Values by IBSI's name. NaN where a matrix is empty.

    Raises
    ------
    ValueError
        If `matrix` has fewer than two dimensions or entries that are not counts, or if `sizes` do
        not ascend from at least 1 or do not fit the matrix.

    References
    ----------
    .. [1] arXiv:1612.07003, section 3.8.

    Examples
    --------
    >>> from hemafeat import extract
    >>> values = extract.glszm_statistics([[1, 1], [1, 0]], sizes=[1, 2])
    >>> float(values["zone_percentage"])  # 3 zones of 4 pixels
    0.75
    """
    if sizes is not None:
        sizes = np.ascontiguousarray(sizes, dtype=np.int64)
        if sizes.ndim != 1 or (np.diff(sizes, prepend=0) < 1).any():
            raise ValueError("sizes must ascend from at least 1")
    return extent_statistics(matrix, NAMES, sizes)
