"""Define the columns of an image table and list the files of folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hemafeat._frames import IMAGE_COLUMNS
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
"""Columns of every image table, in this order; further columns are attributes."""

ALIASES = IMAGE_COLUMNS
"""Names of the column of images in a file, in order of precedence."""

TRIMAP_CYTOPLASM = 60
"""Grey value above which a pixel of a trimap mask belongs to the cell; see `TRIMAP_NUCLEUS`."""

TRIMAP_NUCLEUS = 200
"""Grey value above which a pixel of a trimap mask belongs to the nucleus.

The two thresholds fit all masks of the supported data sets. Values are 0 / 128 / 255
(segmentation_WBC Dataset 1, drawn cells) or 0 / 155 / 255 (BCCD); noisy masks (37 of BCCD, Dataset
2) have values in between. On these 37, areas differ by less than 0.5 % from those with the
thresholds 50 / 205.
"""

FILE_COLUMNS = ("width", "height", "sha256")
"""Columns of a manifest that describe the image files and not the cells."""

TEXT: Any = "str" if int(pd.__version__.split(".")[0]) >= 3 else object


@public
class DatasetError(ValueError):
    """Signal an invalid data set; the message states what was expected and what was found."""


@public
class DatasetWarning(UserWarning):
    """Warn about a property of a data set that may affect results."""


def text(values: Iterable[Any]) -> pd.Series:
    """Return a column of text in which None and NaN are missing values."""
    items = [np.nan if value is None or value is pd.NA else value for value in values]
    return pd.Series(items, dtype=TEXT)


def folder(root: str | os.PathLike[str]) -> Path:
    """Return `root` as a path and raise a `DatasetError` if it is not a folder."""
    root = Path(root)
    if not root.exists():
        raise DatasetError(f"{root} does not exist; expected a folder of images")
    if not root.is_dir():
        raise DatasetError(f"{root} is a file; expected a folder of images")
    return root


def walk(root: Path, suffixes: Sequence[str] = EXTENSIONS, masks: bool = False) -> list[Path]:
    """List the files below `root` with one of `suffixes`, sorted by path.

    Hidden entries are skipped and, unless `masks` is True, folders called ``masks`` are skipped
    too. Linked folders are followed, each once.
    """
    paths: list[Path] = []
    visited: set[str] = set()
    for parent, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(parent)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith((".", "__MACOSX")) and (masks or name.lower() != "masks")
        )
        paths += [
            Path(parent, name)
            for name in files
            if not name.startswith(".") and name.lower().endswith(tuple(suffixes))
        ]
    return sorted(paths, key=lambda file: file.relative_to(root).as_posix())


def contents(root: Path, limit: int = 8) -> str:
    """List the content of a folder for a message."""
    names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in root.iterdir())
    if not names:
        return "an empty folder"
    suffix = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + suffix
