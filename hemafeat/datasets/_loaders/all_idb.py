"""Loaders of ALL-IDB: smear fields and single cells of acute lymphoblastic leukaemia."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from hemafeat.datasets._catalogue import wrong_folder
from hemafeat.datasets._finish import finish
from hemafeat.datasets._loaders.layout import warn_skipped
from hemafeat.datasets._schema import DatasetError, folder, text, walk

ALL_IDB1_LABELS = {"1": "all", "0": "healthy"}
"""Label of the patient by the last digit of the name of a field."""

ALL_IDB2_LABELS = {"1": "lymphoblast", "0": "healthy"}
"""Label of the cell by the last digit of its name."""

_NAME = re.compile(r"im(\d+)_([01])", re.IGNORECASE)
_SUFFIXES = (".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".png")


def all_idb1(root: str | os.PathLike[str]) -> pd.DataFrame:
    """List ALL-IDB1: 108 smear fields of patients with and without acute lymphoblastic leukaemia.

    Parameters
    ----------
    root : path
        Unpacked folder (``im/Im001_1.jpg``, ``xyc/Im001_1.xyc``) or any folder above it.

    Returns
    -------
    DataFrame
        An image table (see `as_table`). ``label`` is the label of the patient, ``all`` or
        ``healthy``, from the last digit of the name; a field of a patient with leukaemia also shows
        healthy cells. The attribute ``n_blasts`` is the number of points of `all_idb1_blasts`,
        missing for a field without a file of points. Patients are not identified, so a split by
        patient is impossible; the scale is not published.

    Warns
    -----
    DatasetWarning
        Issued if images with other names are skipped.

    Raises
    ------
    DatasetError
        Raised if there is no such image, or if a file of points cannot be read.

    See Also
    --------
    all_idb1_blasts : Read the positions of the blasts.

    Notes
    -----
    Source: scotti.di.unimi.it/all, on request. Cameras, sizes (1712 x 1368 and 2592 x 1944 px) and
    magnifications differ.

    References
    ----------
    .. [1] R. Donida Labati, V. Piuri and F. Scotti, "ALL-IDB: the acute lymphoblastic leukemia
       image database for image processing", IEEE ICIP, 2045-2048, 2011.

    Examples
    --------
    >>> from pathlib import Path
    >>> from hemafeat import datasets
    >>> for name in ("im/Im001_1.jpg", "im/Im007_0.jpg"):  # empty files in place of images
    ...     Path(name).parent.mkdir(exist_ok=True)
    ...     Path(name).touch()
    >>> datasets.all_idb1(".")["label"].tolist()
    ['all', 'healthy']
    """
    table, files, root = _list_images("all_idb1", root, ALL_IDB1_LABELS, "im/Im001_1.jpg")
    points = _points(root)
    table["n_blasts"] = np.array(
        [
            len(points[file.stem.lower()]) if file.stem.lower() in points else np.nan
            for file in files
        ]
    )
    return finish(table, root)


def all_idb1_blasts(root: str | os.PathLike[str]) -> pd.DataFrame:
    r"""Read the positions of the blasts of ALL-IDB1.

    Parameters
    ----------
    root : path
        Folder of the data set, as for `all_idb1`.

    Returns
    -------
    DataFrame
        One row per blast: ``image`` (path), ``x``, ``y`` (float64, px from the upper left corner).

    Raises
    ------
    DatasetError
        Raised if there is no file of points, or if one cannot be read.

    Examples
    --------
    >>> from pathlib import Path
    >>> from hemafeat import datasets
    >>> Path("im").mkdir()
    >>> Path("xyc").mkdir()
    >>> Path("im/Im001_1.jpg").touch()
    >>> Path("xyc/Im001_1.xyc").write_text("120 340\n") > 0
    True
    >>> datasets.all_idb1_blasts(".")
                image      x      y
    0  im/Im001_1.jpg  120.0  340.0
    """
    _, files, root = _list_images("all_idb1", root, ALL_IDB1_LABELS, "im/Im001_1.jpg")
    points = _points(root)
    if not points:
        raise DatasetError(f"{root} has no files of points (xyc/Im001_1.xyc and so on)")
    rows = [
        {"image": str(file), "x": x, "y": y}
        for file in files
        for x, y in points.get(file.stem.lower(), [])
    ]
    table = pd.DataFrame(rows, columns=["image", "x", "y"])
    return table.astype({"x": np.float64, "y": np.float64})


def all_idb2(root: str | os.PathLike[str]) -> pd.DataFrame:
    """List ALL-IDB2: 260 single cells of 257 x 257 px, half of them lymphoblasts.

    Parameters
    ----------
    root : path
        Unpacked folder (``img/Im001_1.tif``) or any folder above it.

    Returns
    -------
    DataFrame
        An image table (see `as_table`). ``label`` is ``lymphoblast`` or ``healthy``, from the last
        digit of the name; the first number predicts it as well, since the blasts come first.
        Patients are not identified and the cells are cropped from few fields, so a split by patient
        is impossible.

    Warns
    -----
    DatasetWarning
        Issued if images with other names are skipped.

    Raises
    ------
    DatasetError
        Raised if there is no such image.

    Notes
    -----
    Source, licence and reference are those of `all_idb1`. The cells are cropped from its fields, so
    the two must not be on different sides of a split.

    Examples
    --------
    >>> from pathlib import Path
    >>> from hemafeat import datasets
    >>> for name in ("img/Im001_1.tif", "img/Im131_0.tif"):  # empty files in place of images
    ...     Path(name).parent.mkdir(exist_ok=True)
    ...     Path(name).touch()
    >>> datasets.all_idb2(".")["label"].tolist()
    ['lymphoblast', 'healthy']
    """
    table, _, root = _list_images("all_idb2", root, ALL_IDB2_LABELS, "img/Im001_1.tif")
    return finish(table, root)


def _list_images(
    name: str, root: str | os.PathLike[str], labels: Mapping[str, str], example: str
) -> tuple[pd.DataFrame, list[Path], Path]:
    root = folder(root)
    files = walk(root, _SUFFIXES)
    # Both archives use the same names; folders and suffixes distinguish them.
    other_folders = ("all_idb2", "img") if name == "all_idb1" else ("all_idb1", "im")
    suffixes = (".jpg", ".jpeg") if name == "all_idb1" else (".tif", ".tiff", ".bmp", ".png")
    selected: list[Path] = []
    skipped: list[Path] = []
    for file in files:
        folders = [part.lower() for part in file.relative_to(root).parts[:-1]]
        if any(part in other_folders for part in folders):
            continue
        matches = _NAME.fullmatch(file.stem) and file.suffix.lower() in suffixes
        (selected if matches else skipped).append(file)
    if not selected:
        raise wrong_folder(name, root, f"{example} and so on")
    if skipped:
        warn_skipped(root, skipped, f"not named like {example}")
    raw = [match.group(2) for file in selected if (match := _NAME.fullmatch(file.stem))]
    table = pd.DataFrame(
        {
            "image": text(str(file) for file in selected),
            "label": text(labels[digit] for digit in raw),
            "label_raw": text(raw),
            "dataset": text(name for _ in selected),
        }
    )
    return table, selected, root


def _points(root: Path) -> dict[str, list[tuple[float, float]]]:
    """Read the points of each field, by the stem of its name in lower case."""
    parent = root.parent if root.name.lower() == "im" else root
    points = {}
    for file in walk(parent, (".xyc",)):
        lines = [
            line.split() for line in file.read_text("utf-8-sig", errors="replace").splitlines()
        ]
        try:
            points[file.stem.lower()] = [(float(x), float(y)) for x, y in filter(None, lines)]
        except ValueError:
            raise DatasetError(f"{file} must have two numbers on each line, x and y") from None
    return points
