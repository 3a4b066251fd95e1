"""One image and its masks to one row of numbers per cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hemafeat.extract._columns import Families, family_units, length_powers
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
    failures: dict[str, Exception] = {}
    widths = [function.facts.width for function in which.values()]
    values = np.empty((masks.n_cells, sum(widths)))
    at = 0
    for (name, function), width in zip(which.items(), widths, strict=True):
        block = values[:, at : at + width]
        at += width
        try:
            _fill_block(name, function, prepared, masks, block)
        except Exception as error:
            failures[name] = error
            block[:] = np.nan
    return values, failures


def _fill_block(
    name: str, function: Family, prepared: Prepared, masks: Masks, block: np.ndarray
) -> None:
    facts, n_cells = function.facts, masks.n_cells
    image = prepared if facts.prepared else prepared.rgb
    width = len(facts.columns)
    calls = [(image, masks)]
    if facts.per_mask:
        calls = [
            (image if plane is None else prepared.plane(plane), getattr(masks, mask))
            for mask in facts.masks
            for plane in facts.planes or (None,)
        ]
    for place, (given, labels) in enumerate(calls):
        found = np.asarray(function(given, labels, n_cells))
        if found.shape != (n_cells, width):
            # An assignment would stretch what has one row or column.
            raise ValueError(f"family {name!r} returned {found.shape}, expected {(n_cells, width)}")
        block[:, place * width : (place + 1) * width] = found


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
