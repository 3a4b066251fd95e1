"""Code shared by the families of texture matrices: levels, declarations and statistics."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

import numpy as np

from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels import matrices as _kernel
from hemafeat.extract._kernels.patches import MARGIN, patches as cut_patches
from hemafeat.extract._kernels.region.runs import find_runs, pixels
from hemafeat.extract._labels import fitting_labels, number_of_cells
from hemafeat.extract._prepared import Prepared, prepare

F = TypeVar("F", bound=Callable[..., Any])

IBSI = "Zwanenburg et al., Radiology 295:328-338 (2020); arXiv:1612.07003"

N_LEVELS = 32
"""Number of levels of the optical density of green that the families use."""

FORMULAS = {
    "small_extent_emphasis": "sum r_ij / j^2 / N",
    "large_extent_emphasis": "sum r_ij j^2 / N",
    "low_level_emphasis": "sum r_ij / i^2 / N, levels from 1",
    "high_level_emphasis": "sum r_ij i^2 / N, levels from 1",
    "small_extent_low_level_emphasis": "sum r_ij / (i^2 j^2) / N",
    "small_extent_high_level_emphasis": "sum r_ij i^2 / j^2 / N",
    "large_extent_low_level_emphasis": "sum r_ij j^2 / i^2 / N",
    "large_extent_high_level_emphasis": "sum r_ij i^2 j^2 / N",
    "level_non_uniformity": "sum_i (sum_j r_ij)^2 / N",
    "normalised_level_non_uniformity": "sum_i (sum_j r_ij)^2 / N^2",
    "extent_non_uniformity": "sum_j (sum_i r_ij)^2 / N",
    "normalised_extent_non_uniformity": "sum_j (sum_i r_ij)^2 / N^2",
    "percentage": "N / number of pixels",
    "level_variance": "variance of i over the N",
    "extent_variance": "variance of j over the N",
    "entropy": "-sum p_ij log2 p_ij, p_ij = r_ij / N",
    "energy": "sum p_ij^2, p_ij = r_ij / N",
}
"""Formulas by statistic: r_ij is the count of grey level i and extent j, N is the sum of r_ij."""


MEANINGS = {
    "small_extent_emphasis": "How much of the texture is {small}: high if finely grained",
    "large_extent_emphasis": "How much of the texture is {large}: high if smooth or coarse",
    "low_level_emphasis": "How far pale {things} prevail",
    "high_level_emphasis": "How far dark {things} prevail",
    "small_extent_low_level_emphasis": "How much of the texture is pale {small}",
    "small_extent_high_level_emphasis": "How much of the texture is dark {small}, as in fine "
    "granules or clumps",
    "large_extent_low_level_emphasis": "How much of the texture is pale {large}, as in an even, "
    "pale cytoplasm",
    "large_extent_high_level_emphasis": "How much of the texture is dark {large}, as in dense, "
    "smudged chromatin",
    "level_non_uniformity": "How far {things} of one shade prevail; it also grows with the size of "
    "the part",
    "normalised_level_non_uniformity": "How far {things} of one shade prevail: near 1 if evenly "
    "stained",
    "extent_non_uniformity": "How alike {things} are in {extent}; it also grows with the size "
    "of the part",
    "normalised_extent_non_uniformity": "How alike {things} are in {extent}: near 1 if all are the "
    "same",
    "percentage": "How broken up the stain is: near 1 if finely grained, near 0 if smooth",
    "level_variance": "How much {things} differ in shade",
    "extent_variance": "How much {things} differ in {extent}",
    "entropy": "How varied {things} are in shade and {extent}: high in a complex texture",
    "energy": "How far one combination of shade and {extent} prevails: high in a plain texture",
}
"""What a statistic means for a cell, for a texture of `things` that differ in `extent`."""


def matrix_family(
    columns: Mapping[str, Column],
    section: str,
    *,
    default: bool | Iterable[str] = False,
    fast: bool = False,
) -> Callable[[F], F]:
    """Declare a family of texture statistics of the nucleus and the cytoplasm.

    Parameters
    ----------
    columns : mapping of str to Column
        Declarations of the columns, in their order.
    section : str
        Section of the IBSI reference manual that defines them.
    default : bool or sequence of str
        Columns in the set ``"default"``, as in `family`. Default False.
    fast : bool
        Add them to the set ``"fast"`` too. Default False.
    """
    return family(
        columns,
        masks=("nucleus", "cytoplasm"),
        prepared=True,
        white=True,
        default=default,
        fast=fast,
        reference=f"{IBSI}, section {section}",
    )


def extent_columns(
    names: Mapping[str, tuple[str, str]], counts: str, words: Mapping[str, str]
) -> dict[str, Column]:
    """Return the declarations of statistics of counts by level and extent.

    Parameters
    ----------
    names : mapping of str to (str, str)
        Name of the column and IBSI code, by statistic (a key of `FORMULAS`).
    counts : str
        What is counted, which is appended to each formula.
    words : mapping of str to str
        Words that fill in the `MEANINGS`: ``things``, ``extent``, ``small`` and ``large``.
    """
    return {
        names[key][0]: Column(
            "bit" if key == "entropy" else "1",
            f"{FORMULAS[key]}; {counts}",
            f"IBSI {names[key][1]}",
            f"{MEANINGS[key].format(**words)}.",
        )
        for key in _kernel.STATISTICS
        if key in names
    }


def extent_indices(names: Mapping[str, tuple[str, str]]) -> np.ndarray:
    """Return the indices of the statistics in `names` among those of the kernel, in its order."""
    return np.array([k for k, name in enumerate(_kernel.STATISTICS) if name in names])


def extent_statistics(
    matrix: Any, names: Mapping[str, tuple[str, str]], extents: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Compute the statistics of matrices of counts by level and extent.

    Parameters
    ----------
    matrix : (..., L, K) array_like of int
        Counts.
    names : mapping of str to (str, str)
        Name to return and IBSI code, by statistic.
    extents : (K,) ndarray of int64, optional
        Extent of each column, in ascending order. By default 1 to K.

    Returns
    -------
    dict of str to (...) ndarray of float64
        Values by name; NaN where a matrix is empty.

    Raises
    ------
    ValueError
        If `matrix` has fewer than two dimensions, does not fit `extents`, or has entries that are
        not counts.
    """
    values = np.asarray(matrix)
    if extents is None:
        extents = np.arange(1, values.shape[-1] + 1 if values.ndim else 1)
    if values.ndim < 2 or values.shape[-1] != extents.size:
        raise ValueError(
            f"matrix has shape {values.shape}, expected (..., levels, {extents.size or 'extents'})"
        )
    counts = values.astype(np.int64)
    if values.size and (counts.min() < 0 or not np.array_equal(counts, values)):
        raise ValueError("matrix must hold counts: whole numbers of at least 0")
    rows = _kernel.stack_statistics(stacked(counts), extents, weighted_logs())
    kept = extent_indices(names)
    return by_name(
        rows[:, kept], [names[_kernel.STATISTICS[k]][0] for k in kept], counts.shape[:-2]
    )


def stacked(matrices: np.ndarray) -> np.ndarray:
    """Return (..., L, K) matrices as a contiguous stack of shape (n, K, L)."""
    # An empty matrix has no size from which NumPy could infer n.
    n = math.prod(matrices.shape[:-2])
    return np.ascontiguousarray(np.swapaxes(matrices.reshape(n, *matrices.shape[-2:]), 1, 2))


def by_name(
    rows: np.ndarray, names: Sequence[str], shape: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """Return the columns of `rows` by name, each in the given shape."""
    return {name: rows[:, k].reshape(shape) for k, name in enumerate(names)}


@cache
def weighted_logs() -> np.ndarray:
    """Return the table of ``n log2 n`` that kernels look up: (2048,) float64."""
    n = np.arange(2048.0)
    n[1:] *= np.log2(n[1:])
    return n


def density_patches(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    """Return the patches of the optical density of green, cut into `N_LEVELS` levels.

    Returns
    -------
    patches, run_starts, runs, boxes, n_levels
        The first arguments of the kernels; see ``_kernels.patches``.
    """
    prepared = prepare(image)
    n_cells = int(labels.max()) if n_cells is None else n_cells
    levels = prepared.levels("od_g", N_LEVELS, labels)
    patches = prepared.shared(
        "patches",
        labels,
        n_cells,
        lambda regions: cut_patches(
            levels, regions.run_starts, regions.runs, regions.boxes, N_LEVELS, MARGIN
        ),
    )
    regions = prepared.regions(labels, n_cells)
    return patches, regions.run_starts, regions.runs, regions.boxes, N_LEVELS


def plane_patches(
    levels: Any, labels: Any | None, n_levels: int, n_cells: int | None, margin: int = int(MARGIN)
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    """Return the patches of any plane of grey levels, as `density_patches` does.

    Raises
    ------
    ValueError
        If levels lie outside 0..n_levels - 1, or `labels` do not fit them.
    """
    plane = np.asarray(levels)
    if plane.ndim != 2 or plane.size == 0:
        raise ValueError(f"levels have shape {plane.shape}, expected (height, width)")
    if not 1 <= n_levels <= 255:
        raise ValueError(f"n_levels is {n_levels}, expected 1 to 255")
    if plane.dtype.kind not in "iub" or plane.min() < 0 or plane.max() >= n_levels:
        raise ValueError(f"levels must be whole numbers in 0..{n_levels - 1}")
    whole = np.ones(plane.shape, np.int32)
    regions, largest = fitting_labels(whole if labels is None else labels, plane.shape)
    n_cells = number_of_cells(n_cells, largest, regions.size)
    plane = np.ascontiguousarray(plane, dtype=np.uint8)
    run_starts, runs = find_runs(regions, n_cells)
    boxes = pixels(run_starts, runs, plane.shape[1])[2]
    patches = cut_patches(plane, run_starts, runs, boxes, n_levels, margin)
    return patches, run_starts, runs, boxes, n_levels
