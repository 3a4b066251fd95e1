"""ALL-IDB: acute lymphoblastic leukaemia, as smear fields and as single cells (Labati 2011)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from hemafeat.datasets._catalogue import wrong_folder
from hemafeat.datasets._loaders.layout import finished, warn_left_out
from hemafeat.datasets._schema import DatasetError, folder, text, walk

ALL_IDB1_LABELS = {"1": "all", "0": "healthy"}
"""What the last digit of a field's name says of its patient."""

ALL_IDB2_LABELS = {"1": "lymphoblast", "0": "healthy"}
"""What the last digit of a cell's name says of it."""

_NAME = re.compile(r"im(\d+)_([01])", re.IGNORECASE)
_SUFFIXES = (".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".png")


def all_idb1(root: str | os.PathLike[str]) -> pd.DataFrame:
    """List ALL-IDB1: 108 smear fields of patients with and without acute lymphoblastic leukaemia.

    Parameters
    ----------
    root : path
        The folder unpacked (``im/Im001_1.jpg``, ``xyc/Im001_1.xyc``) or any folder above it.

    Returns
    -------
    DataFrame
        An image table (see `as_table`). ``label`` is that of the patient, ``all`` or ``healthy``,
        from the last digit of the name; a field of a patient also holds healthy cells. Attribute
        ``n_blasts`` counts the points of `all_idb1_blasts`, missing without a file of them. No
        patient is named, so no split is by patient; the scale is not published.

    Warns
    -----
    DatasetWarning
        Images have names of another kind and are left out.

    Raises
    ------
    DatasetError
        No such image, or a file of points that cannot be read.

    See Also
    --------
    all_idb1_blasts : Where the blasts are.

    Notes
    -----
    Source: scotti.di.unimi.it/all, on request. Cameras, sizes (1712 x 1368 and 2592 x 1944 px) and
    magnifications differ.

    References
    ----------
    .. [1] R. Donida Labati, V. Piuri and F. Scotti, "ALL-IDB: the acute lymphoblastic leukemia
       image database for image processing", IEEE ICIP, 2045-2048, 2011.
    """
    table, files, root = _listed("all_idb1", root, ALL_IDB1_LABELS, "im/Im001_1.jpg")
    points = _points(root)
    table["n_blasts"] = np.array(
        [
            len(points[file.stem.lower()]) if file.stem.lower() in points else np.nan
            for file in files
        ]
    )
    return finished(table, root)


def all_idb1_blasts(root: str | os.PathLike[str]) -> pd.DataFrame:
    """Read where the blasts of ALL-IDB1 are.

    Parameters
    ----------
    root : path
        As for `all_idb1`.

    Returns
    -------
    DataFrame
        One row per blast: ``image`` (path), ``x``, ``y`` (float64, px from the upper left corner).

    Raises
    ------
    DatasetError
        No file of points, or one that cannot be read.
    """
    _, files, root = _listed("all_idb1", root, ALL_IDB1_LABELS, "im/Im001_1.jpg")
    points = _points(root)
    if not points:
        raise DatasetError(f"{root}: expected xyc/Im001_1.xyc and so on, found none")
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
        The folder unpacked (``img/Im001_1.tif``) or any folder above it.

    Returns
    -------
    DataFrame
        An image table (see `as_table`). ``label`` is ``lymphoblast`` or ``healthy``, from the last
        digit of the name; the first number tells it as well, since the blasts come first. No
        patient is named and the cells are cut from few fields, so no split is by patient.

    Warns
    -----
    DatasetWarning
        Images have names of another kind and are left out.

    Raises
    ------
    DatasetError
        No such image.

    Notes
    -----
    Source, licence and paper as for `all_idb1`, of whose fields these cells are parts: the two are
    one set to a split.
    """
    table, _, root = _listed("all_idb2", root, ALL_IDB2_LABELS, "img/Im001_1.tif")
    return finished(table, root)


def _listed(
    name: str, root: str | os.PathLike[str], labels: Mapping[str, str], example: str
) -> tuple[pd.DataFrame, list[Path], Path]:
    root = folder(root)
    files = walk(root, _SUFFIXES)
    # Both archives name their pictures alike: the other one is told by its folder and by its kind.
    other = ("all_idb2", "img") if name == "all_idb1" else ("all_idb1", "im")
    kind = (".jpg", ".jpeg") if name == "all_idb1" else (".tif", ".tiff", ".bmp", ".png")
    mine: list[Path] = []
    left: list[Path] = []
    for file in files:
        places = [part.lower() for part in file.relative_to(root).parts[:-1]]
        if any(place in other for place in places):
            continue
        named = _NAME.fullmatch(file.stem) and file.suffix.lower() in kind
        (mine if named else left).append(file)
    if not mine:
        raise wrong_folder(name, root, f"{example} and so on")
    if left:
        warn_left_out(root, left, f"not named like {example}")
    raw = [found.group(2) for file in mine if (found := _NAME.fullmatch(file.stem))]
    table = pd.DataFrame(
        {
            "image": text(str(file) for file in mine),
            "label": text(labels[digit] for digit in raw),
            "label_raw": text(raw),
            "dataset": text(name for _ in mine),
        }
    )
    return table, mine, root


def _points(root: Path) -> dict[str, list[tuple[float, float]]]:
    """Stem of a field, in lower case, to its points."""
    above = root.parent if root.name.lower() == "im" else root
    points = {}
    for file in walk(above, (".xyc",)):
        lines = [
            line.split() for line in file.read_text("utf-8-sig", errors="replace").splitlines()
        ]
        try:
            points[file.stem.lower()] = [(float(x), float(y)) for x, y in filter(None, lines)]
        except ValueError:
            raise DatasetError(f"{file}: expected two numbers on each line, x and y") from None
    return points
