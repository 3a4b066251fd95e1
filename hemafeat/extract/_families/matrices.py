"""What matrices of run lengths, zone sizes and dependences share: their statistics and the door."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from hemafeat.extract._family import Column
from hemafeat.extract._kernels import extents as _kernel
from hemafeat.extract._kernels.patches import MARGIN, patches as cut_patches
from hemafeat.extract._kernels.region.runs import find_runs, pixels
from hemafeat.extract._prepared import Prepared

STATISTICS = (
    "sum r_ij / j^2 / N",
    "sum r_ij j^2 / N",
    "sum r_ij / i^2 / N, levels from 1",
    "sum r_ij i^2 / N, levels from 1",
    "sum r_ij / (i^2 j^2) / N",
    "sum r_ij i^2 / j^2 / N",
    "sum r_ij j^2 / i^2 / N",
    "sum r_ij i^2 j^2 / N",
    "sum_i (sum_j r_ij)^2 / N",
    "sum_i (sum_j r_ij)^2 / N^2",
    "sum_j (sum_i r_ij)^2 / N",
    "sum_j (sum_i r_ij)^2 / N^2",
    "N / number of pixels",
    "variance of i over the N",
    "variance of j over the N",
    "-sum p_ij log2 p_ij, p_ij = r_ij / N",
    "sum p_ij^2, p_ij = r_ij / N",
)
"""Formulas in order: r_ij counts grey level i and extent j, and N is the sum of r_ij."""


def columns(names: Sequence[str], codes: str, what: str) -> dict[str, Column]:
    """Declarations of the statistics under the names and IBSI codes of one matrix."""
    return {
        name: Column("1", f"{formula}; {what}", f"IBSI {code}")
        for name, formula, code in zip(names, STATISTICS, codes.split(), strict=False)
    }


@cache
def weighted_logs() -> np.ndarray:
    """(2048,) float64 ``n log2 n``."""
    n = np.arange(2048.0)
    n[1:] *= np.log2(n[1:])
    return n


def statistics(
    counts: np.ndarray, extents: np.ndarray, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """The statistics of whole-number matrices (..., L, K) by name, each (...).

    Raises
    ------
    ValueError
        A matrix that has fewer than two dimensions, or entries that do not count.
    """
    given = np.asarray(counts)
    if given.ndim < 2 or given.shape[-1] != extents.size:
        raise ValueError(
            f"matrix has shape {given.shape}, expected (..., levels, {extents.size or 'extents'})"
        )
    whole = given.astype(np.int64)
    if given.size and (whole.min() < 0 or not np.array_equal(whole, given)):
        raise ValueError("matrix must hold counts: whole numbers of at least 0")
    # An empty matrix has no size from which NumPy could tell how many there are.
    n = math.prod(given.shape[:-2])
    flat = np.ascontiguousarray(np.swapaxes(whole.reshape(n, *given.shape[-2:]), 1, 2))
    values = _kernel.each_statistics(flat, extents, weighted_logs())
    return {name: values[:, k].reshape(given.shape[:-2]) for k, name in enumerate(names)}


N_LEVELS = 32
"""Levels of the optical density of green that the families use."""


def density_patches(prepared: Prepared, labels: np.ndarray, n_cells: int) -> np.ndarray:
    """Patches (see ``_kernels.patches``) of the 32 levels of the optical density of green."""
    levels = prepared.levels("od_g", N_LEVELS, labels)
    return prepared.shared(
        "patches",
        labels,
        n_cells,
        lambda found: cut_patches(
            levels, found.run_starts, found.runs, found.boxes, N_LEVELS, MARGIN
        ),
    )


def plane_patches(
    levels: Any, labels: Any | None, n_levels: int, n_cells: int | None, margin: int = MARGIN
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Patches of any plane of grey levels, with ``run_starts, runs, boxes``.

    Raises
    ------
    ValueError
        Levels outside 0..n_levels - 1, or shapes that differ.
    """
    plane = np.asarray(levels)
    if plane.ndim != 2 or plane.size == 0:
        raise ValueError(f"levels have shape {plane.shape}, expected (height, width)")
    if not 1 <= n_levels <= 255:
        raise ValueError(f"n_levels is {n_levels}, expected 1 to 255")
    if plane.dtype.kind not in "iub" or plane.min() < 0 or plane.max() >= n_levels:
        raise ValueError(f"levels must be whole numbers in 0..{n_levels - 1}")
    inside = np.ones(plane.shape, np.int32) if labels is None else np.asarray(labels)
    if inside.shape != plane.shape:
        raise ValueError(f"levels are {plane.shape} and labels are {inside.shape}")
    inside = np.ascontiguousarray(inside, dtype=np.int32)
    n_cells = int(inside.max()) if n_cells is None else n_cells
    plane = np.ascontiguousarray(plane, dtype=np.uint8)
    run_starts, runs = find_runs(inside, n_cells)
    boxes = pixels(run_starts, runs, plane.shape[1])[2]
    return (
        cut_patches(plane, run_starts, runs, boxes, n_levels, margin),
        run_starts,
        runs,
        boxes,
    )
