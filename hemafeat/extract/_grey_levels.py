"""Grey levels of each cell as the families of texture matrices take them."""

from __future__ import annotations

from typing import Any

import numpy as np

from hemafeat.extract._kernels.patches import MARGIN, patches as cut_patches
from hemafeat.extract._kernels.regions import find_runs, pixels
from hemafeat.extract._prepared import Prepared

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
