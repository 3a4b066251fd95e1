"""Measure the cells of one image, given its masks."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np

from hemafeat._scale import check_scale, doubt_scale, doubt_width
from hemafeat.extract._columns import FamilyChoice, family_units, length_powers
from hemafeat.extract._family import Family, choose
from hemafeat.extract._kernels.window import clipped_share, nearest_to_centre, sharpness
from hemafeat.extract._prepared import Prepared
from hemafeat.extract._windows import windows
from hemafeat.images import scale
from hemafeat.segment import Masks

if TYPE_CHECKING:
    import pandas as pd


def measure(
    image: np.ndarray | Prepared,
    masks: Masks,
    *,
    families: FamilyChoice = "default",
    um_per_px: float | Literal["auto"] | None = None,
) -> pd.DataFrame:
    """Measure every cell of one image.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8, or Prepared
        RGB image, as `hemafeat.images.read` returns it.
    masks : Masks
        Cells and nuclei.
    families : {"fast", "default", "all", "robust"} or list of names or functions
        Feature families, as in `table`.
    um_per_px : float or "auto", optional
        Side of a pixel in um. By default lengths are in px. ``"auto"`` estimates it from the red
        cells of this image alone, see `hemafeat.images.scale`.

    Returns
    -------
    DataFrame
        One row per cell, none if there is no cell, with the columns of ``columns(families)``;
        ``attrs["units"]`` has their units.

    Raises
    ------
    hemafeat.segment.MaskError
        Image and masks differ in size.
    ValueError
        `um_per_px` is not a positive number, or red cells are too few or disagree (``"auto"``).
    Exception
        The error of a family that failed.

    Warns
    -----
    DatasetWarning
        `um_per_px` is below 0.02 or above 2, which no image of white cells has, or it makes a cell
        wider than 100 um.

    Examples
    --------
    >>> from hemafeat import datasets, extract, images, segment
    >>> cell = datasets.draw_cell("neutrophil", random_state=0)
    >>> masks = segment.Masks(cell.cell, cell.nucleus)
    >>> features = extract.measure(images.read(cell.image), masks, families=["shape"])
    >>> features.shape
    (1, 64)
    >>> features["cell__shape__area"].item() == float((cell.cell > 0).sum())
    True
    """
    import pandas as pd

    chosen = choose(families)
    if um_per_px == "auto":
        found = scale(image.rgb if isinstance(image, Prepared) else image)
        if found.reason:
            raise ValueError(f"um_per_px='auto': {found.reason}")
        um_per_px = found.um_per_px
    elif um_per_px is not None:
        um_per_px = check_scale(um_per_px)
        _warn(doubt_scale(um_per_px))
    prepared = image if isinstance(image, Prepared) else Prepared(image, masks)
    values, failures = measure_cells(prepared, masks, chosen)
    for error in failures.values():
        raise error
    if um_per_px is not None and masks.n_cells:
        width = 2 * math.sqrt(np.bincount(masks.cell.ravel())[1:].max() / math.pi) * um_per_px
        _warn(doubt_width(width, um_per_px))
    values = values * scales(chosen, um_per_px)
    units = family_units(chosen, um_per_px is not None)
    table = pd.DataFrame(values, columns=list(units))
    table.attrs["units"] = units
    return table


def _warn(doubt: str | None) -> None:
    """Warn the caller of `measure`."""
    if doubt is not None:
        from hemafeat.datasets import DatasetWarning

        warnings.warn(doubt, DatasetWarning, stacklevel=3)


def measure_cells(
    prepared: Prepared, masks: Masks, families: Mapping[str, Family]
) -> tuple[np.ndarray, dict[str, Exception]]:
    """Measure the cells of a whole image; see `measure_window`."""
    width = sum(function.facts.width for function in families.values())
    values, failures = np.empty((masks.n_cells, width)), dict[str, Exception]()
    for rows, window, window_masks in windows(prepared, masks) if masks.n_cells else ():
        values[rows], failed = measure_window(window, window_masks, families)
        failures |= failed
    return values, failures


def measure_window(
    window: Prepared, masks: Masks, families: Mapping[str, Family]
) -> tuple[np.ndarray, dict[str, Exception]]:
    """Measure the cells in what `Prepared.window` returned.

    Returns
    -------
    values : (n_cells, k) ndarray of float64
        In px. A family that fails leaves NaN in its own columns only.
    failures : dict of str to Exception
        Error of each family that failed.
    """
    failures: dict[str, Exception] = {}
    widths = [function.facts.width for function in families.values()]
    values = np.empty((masks.n_cells, sum(widths)))
    if not masks.n_cells:
        return values, failures
    start = 0
    for (name, function), width in zip(families.items(), widths, strict=True):
        block = values[:, start : start + width]
        start += width
        try:
            _fill(block, name, function, window, masks)
        except Exception as error:
            failures[name] = error
            block[:] = np.nan
    return values, failures


def _fill(block: np.ndarray, name: str, function: Family, window: Prepared, masks: Masks) -> None:
    """Fill the columns of one family, one call after the other."""
    facts, n_cells = function.facts, masks.n_cells
    image = window if facts.prepared else window.rgb
    expected = (n_cells, len(facts.columns))
    start = 0
    for mask, plane, indices in facts.calls:
        values = np.asarray(
            function(
                window.plane(plane) if plane else image,
                getattr(masks, mask) if facts.per_mask else masks,
                n_cells,
            )
        )
        if values.shape != expected:
            # An assignment would broadcast a single row or column.
            raise ValueError(f"family {name!r} returned {values.shape}, expected {expected}")
        stop = start + len(indices)
        block[:, start:stop] = values if len(indices) == expected[1] else values[:, list(indices)]
        start = stop


def scales(families: Mapping[str, Family], um_per_px: float | None) -> np.ndarray:
    """Return the factor of each column that converts px to um: (k,) float64."""
    powers = length_powers(families)
    if um_per_px is None:
        return np.ones(powers.size)
    return check_scale(um_per_px) ** powers.astype(np.float64)


def image_quality(
    prepared: Prepared, masks: Masks, n_cells: int | None = None
) -> dict[str, np.ndarray]:
    """Return the quality columns that are computed from the image.

    Parameters
    ----------
    prepared : Prepared
        Image, or the window in which its cells lie.
    masks : Masks
        The cells.
    n_cells : int, optional
        Number of cells in the whole image. By default that of `masks`.

    Returns
    -------
    dict of str to (n,) ndarray
        ``n_cells``; ``white_r``, ``white_g``, ``white_b``, the background white; ``focus``, the
        variance of the Laplacian of the grey image over the box of the cell; ``clipped``, the share
        of its pixels that are 0 or 255 in some channel.
    """
    n_rows = masks.n_cells
    white = prepared.white(masks.cell)
    regions = prepared.regions(masks.cell, n_rows)
    quality = {"n_cells": np.array([n_rows if n_cells is None else n_cells] * n_rows, np.int64)}
    for name, level in zip("rgb", white.tolist(), strict=True):
        quality[f"white_{name}"] = np.array([level] * n_rows)
    quality["focus"] = sharpness(prepared.plane("grey"), regions.boxes)
    quality["clipped"] = clipped_share(prepared.rgb, regions.run_starts, regions.runs)
    return quality


def central_cell(masks: Masks) -> int:
    """Return the row of the cell that a crop of a single cell shows.

    Parameters
    ----------
    masks : Masks
        At least one cell.

    Returns
    -------
    int
        Row of the cell at the centre of the image, or else of the cell with the pixel nearest to
        it; the first cell is row 0.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import extract, segment
    >>> cells = np.array([[1, 0, 0, 0, 0, 0], [1, 0, 0, 2, 2, 0], [0, 0, 0, 2, 2, 0]])
    >>> extract.central_cell(segment.Masks(cells, np.zeros_like(cells)))
    1
    """
    return int(nearest_to_centre(masks.cell, masks.nucleus)) - 1
