"""One image and its masks to one row of numbers per cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hemafeat.extract._describe import Families, family_units, length_powers
from hemafeat.extract._family import Family, chosen
from hemafeat.extract._kernels.window import clipped_share, nearest_to_centre, sharpness
from hemafeat.extract._prepared import Prepared
from hemafeat.segment import Masks

if TYPE_CHECKING:
    import pandas as pd


def measure(
    image: np.ndarray,
    masks: Masks,
    *,
    families: Families = "default",
    um_per_px: float | None = None,
) -> pd.DataFrame:
    """Features of every cell of one image.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB, as `hemafeat.images.read` returns it.
    masks : Masks
        The cells and their nuclei.
    families : {"fast", "default", "all"} or list of names or functions
        Which families.
    um_per_px : float, optional
        Side of a pixel in um. Without it lengths are in px.

    Returns
    -------
    DataFrame
        One row per cell, the columns of ``columns(families)``; ``attrs["units"]`` has their units.

    Raises
    ------
    ValueError
        Image and masks differ in size, or `um_per_px` is not positive.
    """
    import pandas as pd

    which = chosen(families)
    values, failures = measure_cells(Prepared(image, masks), masks, which)
    for error in failures.values():
        raise error
    values = values * scales(which, um_per_px)
    units = family_units(which, um_per_px is not None)
    table = pd.DataFrame(values, columns=list(units))
    table.attrs["units"] = units
    return table


def measure_cells(
    prepared: Prepared, masks: Masks, which: dict[str, Family]
) -> tuple[np.ndarray, dict[str, Exception]]:
    """(n_cells, k) float64 in px, and what each family that failed raised.

    A family that fails leaves NaN in its own columns and does not cost the cell the others.
    """
    if masks.shape != prepared.rgb.shape[:2]:
        raise ValueError(
            f"the masks are {masks.shape[0]} x {masks.shape[1]} and the image is "
            f"{prepared.rgb.shape[0]} x {prepared.rgb.shape[1]}"
        )
    prepared, masks = prepared.window(masks)
    return measure_window(prepared, masks, which)


def measure_window(
    prepared: Prepared, masks: Masks, which: dict[str, Family]
) -> tuple[np.ndarray, dict[str, Exception]]:
    """`measure_cells` for what `Prepared.window` returned."""
    blocks: list[np.ndarray] = []
    failures: dict[str, Exception] = {}
    for name, function in which.items():
        width = function.facts.width
        try:
            block = _family_block(function, prepared, masks)
            if block.shape != (masks.n_cells, width):
                raise ValueError(
                    f"family {name!r} returned {block.shape}, expected {(masks.n_cells, width)}"
                )
        except Exception as error:
            failures[name] = error
            block = np.full((masks.n_cells, width), np.nan)
        blocks.append(block)
    if not blocks:
        return np.empty((masks.n_cells, 0)), failures
    return np.concatenate(blocks, axis=1), failures


def _family_block(function: Family, prepared: Prepared, masks: Masks) -> np.ndarray:
    facts = function.facts
    image = prepared if facts.prepared else prepared.rgb
    if not facts.per_mask:
        return np.asarray(function(image, masks, masks.n_cells), dtype=np.float64)
    parts = []
    for mask in facts.masks:
        labels = getattr(masks, mask)
        for plane in facts.planes or (None,):
            given = image if plane is None else prepared.plane(plane)
            parts.append(np.asarray(function(given, labels, masks.n_cells), dtype=np.float64))
    return np.concatenate(parts, axis=1)


def scales(which: dict[str, Family], um_per_px: float | None) -> np.ndarray:
    """(k,) float64: what turns each column from px into um."""
    powers = length_powers(which)
    if um_per_px is None:
        return np.ones(powers.size)
    if not (np.isfinite(um_per_px) and um_per_px > 0):
        raise ValueError(f"um_per_px must be positive, not {um_per_px}")
    return float(um_per_px) ** powers.astype(np.float64)


def image_quality(
    prepared: Prepared, masks: Masks, n_cells: int | None = None
) -> dict[str, np.ndarray]:
    """Quality columns that need the image: focus, clipped pixels, background, cells found.

    ``focus`` is the variance of the Laplacian of the grey image over the box of the cell,
    ``clipped`` the share of its pixels that are 0 or 255 in some channel. `n_cells` is the number
    of cells in the image, where `masks` are those of some of them.
    """
    rows = masks.n_cells
    white = prepared.white(masks.cell)
    where = prepared.regions(masks.cell, rows)
    found = {"n_cells": np.full(rows, rows if n_cells is None else n_cells, np.int64)}
    for channel, name in enumerate("rgb"):
        found[f"white_{name}"] = np.full(rows, white[channel])
    found["focus"] = sharpness(prepared.plane("grey"), where.boxes)
    found["clipped"] = clipped_share(prepared.rgb.reshape(-1, 3), where.starts, where.index)
    return found


def central_cell(masks: Masks) -> int:
    """Row of the cell a single-cell crop is about.

    The one under the image centre, or else the one with a pixel nearest to it.
    """
    return int(nearest_to_centre(masks.cell, masks.nucleus)) - 1
