"""Masks that are given instead of computed, matched to the images of a table."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hemafeat.segment import MaskError, Masks, read_masks

MaskSource = Callable[[pd.DataFrame, int], list[Any]]
"""Rows of the image table and the place of the first: for each a mask, or why there is none."""


def mask_source(masks: Any, listed: pd.DataFrame) -> MaskSource | None:
    """What gives the masks of the images of `listed`; None when they are to be computed."""
    if masks is None:
        return None
    if isinstance(masks, str) and masks == "given":
        return _from_column(listed)
    if isinstance(masks, (str, os.PathLike)):
        return _from_folder(Path(masks))
    given = [masks] if isinstance(masks, Masks) else list(masks)
    if len(given) != len(listed):
        raise ValueError(f"{len(given)} masks were given for {len(listed)} images")
    return lambda rows, start: given[start : start + len(rows)]


def as_masks(given: Any) -> Masks:
    """Masks from `Masks`, a (cell, nucleus) pair of label images, one trimap, or a file.

    Raises
    ------
    MaskError
        It is no mask; a `MaskError` in its place is raised as it is.
    """
    if isinstance(given, MaskError):
        raise given
    if isinstance(given, Masks):
        return given
    if isinstance(given, (tuple, list)) and len(given) == 2:
        return Masks(np.asarray(given[0]), np.asarray(given[1]))
    return read_masks(given)


def _from_column(listed: pd.DataFrame) -> MaskSource:
    if not listed["mask"].notna().any():
        raise ValueError('masks="given", but no image of the table names a mask file')

    def find(rows: pd.DataFrame, start: int) -> list[Any]:
        none = "the image table names no mask for this image"
        return [MaskError(none) if pd.isna(mask) else mask for mask in rows["mask"]]

    return find


def _from_folder(folder: Path) -> MaskSource:
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder of masks")
    by_stem: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*"), key=Path.as_posix):
        if path.is_file() and not path.name.startswith("."):
            by_stem.setdefault(path.stem, []).append(str(path))

    def one(image: Path) -> str | MaskError:
        found = by_stem.get(image.stem, [])
        if len(found) > 1:
            # Class folders may repeat a name: the mask then lies in a folder called the same.
            found = [path for path in found if Path(path).parent.name == image.parent.name]
        if len(found) != 1:
            return MaskError(f"{len(found)} files in {folder} are named {image.stem}")
        return found[0]

    return lambda rows, start: [one(Path(str(image))) for image in rows["image"]]
