"""Columns of an image table, and how folders and text files are read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hemafeat._public import public
from hemafeat.images import EXTENSIONS

COLUMNS = (
    "image",
    "label",
    "label_raw",
    "patient",
    "group",
    "split",
    "dataset",
    "um_per_px",
    "mask",
)

"""Columns every image table has, in this order; what follows them are attributes."""

ALIASES = ("image", "path", "file", "filename")

"""Names under which a file may list its images, the first one found counting."""

TRIMAP_CYTOPLASM = 60

TRIMAP_NUCLEUS = 200

"""Greys above which a pixel of a trimap mask is cell, and nucleus.

One pair serves every mask known here. Clean ones are 0 / 128 / 255 (segmentation_WBC Dataset 1,
drawn cells) or 0 / 155 / 255 (BCCD). Noisy ones (37 of BCCD, Dataset 2) have greys in between: on
the 37, areas change by less than 0.5 % against the pair 50 / 205.
"""

BOOKKEEPING = ["width", "height", "sha256"]

"""Columns of a manifest that describe the files and say nothing about the cells."""

TEXT: Any = "str" if int(pd.__version__.split(".")[0]) >= 3 else object


@public
class DatasetError(ValueError):
    """A data set that is not what it should be; says what was expected and what was found."""


@public
class DatasetWarning(UserWarning):
    """Something in a data set that a user should know of and that stops nothing."""


def text(values: Iterable[Any]) -> pd.Series:
    """A column of text in which None and NaN are missing."""
    listed = [np.nan if value is None or value is pd.NA else value for value in values]
    return pd.Series(listed, dtype=TEXT)


def folder(root: str | os.PathLike[str]) -> Path:
    """`root` as a path, or a `DatasetError` that says that it is no folder."""
    root = Path(root)
    if not root.exists():
        raise DatasetError(f"{root} does not exist: expected a folder of images")
    if not root.is_dir():
        raise DatasetError(f"{root} is a file: expected a folder of images")
    return root


def walk(root: Path, suffixes: Sequence[str] = EXTENSIONS, masks: bool = False) -> list[Path]:
    """Files below `root` with one of `suffixes`, sorted by path, whatever the file system's order.

    Hidden entries and, unless `masks`, everything below a folder ``masks`` are left out. Linked
    folders are followed, each once.
    """
    found: list[Path] = []
    seen: set[str] = set()
    for place, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith((".", "__MACOSX")) and (masks or name.lower() != "masks")
        )
        found += [
            Path(place, name)
            for name in files
            if not name.startswith(".") and name.lower().endswith(tuple(suffixes))
        ]
    return sorted(found, key=lambda file: file.relative_to(root).as_posix())


def contents(root: Path, limit: int = 8) -> str:
    """What a folder holds, for a message."""
    names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in root.iterdir())
    if not names:
        return "an empty folder"
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
