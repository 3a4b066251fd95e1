"""Define the columns of an image table and list the files of folders."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hemafeat._frames import IMAGE_COLUMNS
from hemafeat._public import public
from hemafeat.images import EXTENSIONS, name_of

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

NUCLEUS_MASK = "nucleus_mask"
"""Further column of an image table in which the nuclei have files of their own."""

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
    """Return a column of text in which None and NaN are missing values.

    Names of files and folders that are not UTF-8 are written as `hemafeat.images.name_of` does.
    """
    items = [np.nan if value is None or value is pd.NA else value for value in values]
    return pd.Series(
        [name_of(item) if isinstance(item, str) else item for item in items], dtype=TEXT
    )


def folder(root: str | os.PathLike[str]) -> Path:
    """Return `root` as a path and raise a `DatasetError` if it is not a folder."""
    root = Path(root)
    if not root.exists():
        raise DatasetError(f"{root} does not exist; expected a folder of images")
    if not root.is_dir():
        raise DatasetError(f"{root} is a file; expected a folder of images")
    return root


_SYSTEM_FOLDERS = (
    *(".", "__macosx", "@eadir", "@recycle", "@recently", "@tmp", "#recycle", "#snapshot"),
    *("$recycle.bin", "system volume information", "lost+found"),
)  # fmt: skip
"""Beginnings, in lower case, of the names of folders in which systems keep files of their own."""

_KNOWN_OTHERS = (
    *(".txt", ".md", ".rst", ".csv", ".tsv", ".xls", ".xlsx", ".ods", ".parquet", ".feather"),
    *(".json", ".geojson", ".xml", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".xyc", ".dat"),
    *(".html", ".pdf", ".doc", ".docx", ".rtf", ".bib", ".py", ".ipynb", ".m", ".r", ".sh", ".bat"),
    *(".log", ".db", ".lnk", ".url", ".md5", ".sha256", ".lock", ".part", ".hemafeat", ".keras"),
)  # fmt: skip
"""Suffixes of files beside images that nobody takes for images."""

_KNOWN_NAMES = ("readme", "license", "licence", "copying", "makefile", "authors", "version")


def walk(
    root: Path,
    suffixes: Sequence[str] = EXTENSIONS,
    masks: bool = False,
    others: list[str] | None = None,
) -> list[Path]:
    """List the files below `root` with one of `suffixes`, sorted by path.

    Hidden entries and folders of systems (``__MACOSX``, ``@eaDir``) are skipped and, unless `masks`
    is True, folders called ``masks`` are skipped too. Linked folders are followed, each once. The
    names of the files with other suffixes are added to `others`.
    """
    paths: list[Path] = []
    visited: set[str] = set()
    for parent, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(parent)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not is_skipped_folder(name, masks))
        for name in files:
            if name.startswith("."):
                continue
            if name.lower().endswith(tuple(suffixes)):
                paths.append(Path(parent, name))
            elif others is not None:
                others.append(name)
    return sorted(paths, key=lambda file: file.relative_to(root).as_posix())


def is_skipped_folder(name: str, masks: bool = False) -> bool:
    """Return True for a folder in which no images are looked for."""
    name = name.lower()
    return name.startswith(_SYSTEM_FOLDERS) or (name == "masks" and not masks)


def warn_left_out(root: object, others: Iterable[str]) -> None:
    """Warn about files that may be images, but do not have the suffix of one that is read."""
    suffixes: Counter[str] = Counter()
    for name in others:
        stem, suffix = os.path.splitext(name.lower())
        is_known = suffix in _KNOWN_OTHERS or (not suffix and stem in _KNOWN_NAMES)
        if not (is_known or stem.endswith("_seg")):  # Cellpose keeps its outlines beside images
            suffixes[suffix] += 1
    if not suffixes:
        return
    counts = ", ".join(
        f"{count} {name_of(suffix) or '(without a suffix)'}"
        for suffix, count in sorted(suffixes.items(), key=lambda item: (-item[1], item[0]))
    )
    total = sum(suffixes.values())
    warnings.warn(
        f"{root}: {counts} {'file was' if total == 1 else 'files were'} left out; listed are "
        f"{', '.join(EXTENSIONS)}",
        DatasetWarning,
        stacklevel=4,
    )


def contents(root: Path, limit: int = 8) -> str:
    """List the content of a folder for a message."""
    names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in root.iterdir())
    if not names:
        return "an empty folder"
    suffix = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + suffix
