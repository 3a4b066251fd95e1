"""Consecutive images of a run, and the rows of the table that their cells become."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from hemafeat._scale import WIDEST, doubt_width
from hemafeat.extract._columns import family_units
from hemafeat.extract._family import Family
from hemafeat.extract._measure import scales
from hemafeat.extract._table.errors import ErrorRow, error_row, image_name
from hemafeat.extract._table.image import ImageResult

IDENTITY = ["image", "cell", "label", "label_raw", "patient", "group", "split", "dataset"]
"""First columns of the table."""

BESIDE = ("where__", "quality__")
"""How the columns begin that say where a cell lies and how it was outlined: never features."""

_AREA = "cell__shape__area"


@dataclass(frozen=True)
class Part:
    """Consecutive images of a run; those of one shard, unless the table is made in memory.

    Attributes
    ----------
    number : int
        Number of the part, from 0 on.
    start : int
        Index of its first image in the image table.
    image_table : DataFrame
        Rows of the image table.
    central : (n,) ndarray of bool
        Whether only the cell at the centre of an image is kept.
    masks : list, optional
        Mask of each image, if masks are given.
    scale : (n,) ndarray of float64, optional
        um per pixel of the image that is measured, if it is known.
    zoom : (n,) ndarray of float64, optional
        Factor by which each image is resized before it is measured.
    """

    number: int
    start: int
    image_table: pd.DataFrame
    central: np.ndarray
    masks: list[Any] | None
    scale: np.ndarray | None
    zoom: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.image_table)

    def cut(self, start: int, stop: int) -> Part:
        """Return the images `start` to `stop` as a part."""
        return Part(
            self.number,
            self.start + start,
            self.image_table.iloc[start:stop],
            self.central[start:stop],
            None if self.masks is None else self.masks[start:stop],
            None if self.scale is None else self.scale[start:stop],
            None if self.zoom is None else self.zoom[start:stop],
        )

    @cached_property
    def images(self) -> list[Any]:
        """Paths or arrays of the images."""
        return list(self.image_table["image"])

    @cached_property
    def names(self) -> list[str]:
        """Names of the images in the tables."""
        return [image_name(image, self.start + n) for n, image in enumerate(self.images)]


def assemble(
    part: Part, results: list[ImageResult], families: Mapping[str, Family]
) -> pd.DataFrame:
    """Return the table of the cells of a part, in the order of its images.

    Parameters
    ----------
    part : Part
        The images.
    results : list of ImageResult
        Result of each image.
    families : mapping of str to function
        The families that were measured.

    Returns
    -------
    DataFrame
        One row per cell: identity, attributes, position, quality, features; units and rows of
        errors are in ``attrs``.
    """
    with_cells = [(n, result) for n, result in enumerate(results) if result.cell.size]
    counts = [len(result.cell) for _, result in with_cells]
    index = np.repeat([n for n, _ in with_cells], counts).astype(np.intp)
    units = family_units(families, part.scale is not None)
    values = np.empty((0, len(units)))
    cells = np.empty(0, np.int64)
    if with_cells:
        values = np.concatenate([result.features for _, result in with_cells])
        cells = np.concatenate([result.cell for _, result in with_cells])
    if part.scale is not None:
        # One factor per distinct scale: data sets mix at most a few.
        for um_per_px in np.unique(part.scale[index]):
            rows = part.scale[index] == um_per_px
            values[rows] *= scales(families, float(um_per_px))
    head = part.image_table.iloc[index].reset_index(drop=True)
    head = head.drop(columns=["um_per_px", "mask", "nucleus_mask"], errors="ignore")
    head["image"] = [part.names[n] for n in index]
    head["cell"] = cells
    attributes = [name for name in head.columns if name not in IDENTITY]
    head["um_per_px"] = np.nan if part.scale is None else part.scale[index]
    head = head[[*IDENTITY, "um_per_px", *attributes]]
    records = [_record(result) for _, result in with_cells]
    keys = dict.fromkeys(key for record in records for key in record)
    beside = {key: _joined([record.get(key) for record in records], counts) for key in keys}
    features = pd.DataFrame(values, columns=list(units), index=head.index)
    table = pd.concat([head, pd.DataFrame(beside, index=head.index), features], axis=1)
    table.attrs["units"] = units
    table.attrs["errors"] = [row for result in results for row in result.errors]
    table.attrs["errors"] += _too_wide(table)
    return table


def _too_wide(table: pd.DataFrame) -> list[ErrorRow]:
    """Return a row of errors for each image with a cell that is wider than any white cell."""
    if _AREA not in table or table["um_per_px"].isna().all():
        return []
    diameter = np.sqrt(table[_AREA] * (4 / np.pi))
    rows: list[ErrorRow] = []
    for n in np.flatnonzero((diameter > WIDEST).to_numpy()):
        name = str(table["image"].iloc[n])
        doubt = doubt_width(float(diameter.iloc[n]), float(table["um_per_px"].iloc[n]))
        if doubt is not None and (not rows or rows[-1]["image"] != name):
            rows.append(error_row(name, "extract", "ScaleWarning", doubt))
    return rows


def _record(result: ImageResult) -> dict[str, np.ndarray]:
    """Return what is known of the cells of an image beside their features, by column."""
    position = {f"where__{key}": values for key, values in result.position.items()}
    return position | {f"quality__{key}": values for key, values in result.quality.items()}


def _joined(blocks: list[np.ndarray | None], counts: list[int]) -> np.ndarray:
    """Join the values of the images; those a segmentation does not give are missing, not 0."""
    dtype = np.result_type(*[block.dtype for block in blocks if block is not None])
    missing: Any = np.nan if dtype.kind == "f" else None
    dtype_of_missing = dtype if dtype.kind == "f" else object
    return np.concatenate(
        [
            np.full(n, missing, dtype_of_missing) if block is None else block
            for block, n in zip(blocks, counts, strict=True)
        ]
    )
