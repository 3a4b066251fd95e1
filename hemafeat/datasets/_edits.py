"""Apply what a person decided about cells: labels that are changed, and cells that are left out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hemafeat._frames import as_frame, need_frame
from hemafeat._words import no_column, plural, suggestion
from hemafeat.datasets._schema import DatasetError
from hemafeat.datasets._table import read_file

EDITS = ("relabel", "exclude")

_NEEDED = ("image", "edit")


def edited(
    table: Any, edits: str | os.PathLike[str] | pd.DataFrame, *, label: str = "label"
) -> pd.DataFrame:
    """Change labels of a table, and leave rows out, as a list of edits says.

    Parameters
    ----------
    table : DataFrame
        Table of cells or of images.
    edits : path or DataFrame
        One row per edit, as the page of `hemafeat.report.explore` writes it: ``image``, ``cell``
        (if the table has several cells of an image), ``edit`` (``"relabel"`` or ``"exclude"``),
        ``label`` (the new one) and, to be checked, ``was`` (the label before).
    label : str, default="label"
        Column of the labels to change.

    Returns
    -------
    DataFrame
        A changed copy. ``attrs["edits"]`` says what was done, which `hemafeat.evaluate.compare`
        repeats.

    Raises
    ------
    DatasetError
        If the list cannot be read, lacks a column or holds an unknown edit; names a cell that the
        table lacks, or has under another label, or a cell twice.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import datasets
    >>> table = pd.DataFrame({"image": ["a.png", "b.png"], "label": ["monocyte", "neutrophil"]})
    >>> edits = pd.DataFrame(
    ...     {"image": ["b.png", "a.png"], "edit": ["relabel", "exclude"], "label": ["monocyte", ""]}
    ... )
    >>> changed = datasets.edited(table, edits)
    >>> changed
       image     label
    1  b.png  monocyte
    >>> changed.attrs["edits"]
    '1 label changed and 1 cell left out by hand'
    """
    table = need_frame(table, "a list of edits", DatasetError)
    source = ""
    if isinstance(edits, str | os.PathLike):
        source = f" ({Path(edits).name})"
        edits = read_file(Path(edits))
    edits = _checked(need_frame(as_frame(edits), "a list of edits", DatasetError), table, label)
    place = _places(edits, table)
    changes = (edits["edit"] == "relabel").to_numpy(bool)
    before = table[label].astype(object).to_numpy() if changes.any() else np.array([])
    new = edits["label"].to_numpy(object) if "label" in edits else np.array([None] * len(edits))
    if changes.any():
        _check_before(edits, before, place, changes, new)
    out = table.copy()
    out.attrs = dict(table.attrs)
    if changes.any():
        labels = table[label].astype(object)
        labels.iloc[place[changes]] = new[changes]
        dtype = table[label].dtype
        out[label] = labels if isinstance(dtype, pd.CategoricalDtype) else labels.astype(dtype)
    keep = np.ones(len(table), bool)
    keep[place[~changes]] = False
    out = out[keep]
    done = [
        f"{plural(int(n), noun)} {verb}"
        for n, noun, verb in (
            (changes.sum(), "label", "changed"),
            ((~changes).sum(), "cell", "left out"),
        )
        if n
    ]
    told = f"{' and '.join(done)} by hand{source}" if done else ""
    out.attrs["edits"] = "; ".join(filter(None, [str(table.attrs.get("edits", "")), told]))
    return out


def _checked(edits: pd.DataFrame, table: pd.DataFrame, label: str) -> pd.DataFrame:
    for name in _NEEDED:
        if name not in edits:
            raise DatasetError(
                f"a list of edits needs the column {name!r}; it has "
                f"{', '.join(map(str, edits.columns)) or 'none'}"
            )
    if "image" not in table.columns:
        raise DatasetError(no_column("image", table.columns))
    for kind in edits["edit"]:
        if kind not in EDITS:
            raise DatasetError(f"there is no edit {kind!r}; {suggestion(kind, EDITS)}")
    if "relabel" in set(edits["edit"]):
        if label not in table.columns:
            raise DatasetError(no_column(label, table.columns))
        new = edits.loc[edits["edit"] == "relabel"].get("label")
        if new is None or new.isna().any() or (new.astype(str).str.strip() == "").any():
            raise DatasetError("an edit 'relabel' has no new label in column 'label'")
    return edits.reset_index(drop=True)


def _places(edits: pd.DataFrame, table: pd.DataFrame) -> np.ndarray:
    """Return the position in the table of the cell of each edit."""
    names = table["image"].map(str).str.replace("\\", "/")
    wanted = edits["image"].map(str).str.replace("\\", "/")
    several = bool(names.duplicated().any())
    if several and not {"cell"} <= set(edits) & set(table):
        raise DatasetError("the images hold several cells: edits need the column 'cell'")
    by_cell = {"cell"} <= set(edits) & set(table) and bool(edits["cell"].notna().all())
    keys, asked = (
        list(zip(images, map(_number, frame["cell"]), strict=True))
        if by_cell
        else [(image, None) for image in images]
        for images, frame in ((names, table), (wanted, edits))
    )
    places = {key: place for place, key in enumerate(keys)}
    lacking = [key for key in asked if key not in places]
    if lacking:
        image, cell = lacking[0]
        which = image if cell is None else f"cell {cell} of {image}"
        raise DatasetError(
            f"{len(lacking)} of {len(asked)} edits are not about this table, such "
            f"as that of {which}"
        )
    if len(set(asked)) < len(asked):
        twice = next(key for k, key in enumerate(asked) if key in asked[:k])
        raise DatasetError(f"two edits are about the same cell, of {twice[0]}")
    return np.array([places[key] for key in asked], dtype=int)


def _number(value: Any) -> Any:
    try:
        return int(value)
    except (TypeError, ValueError):
        return value


def _check_before(
    edits: pd.DataFrame, before: np.ndarray, place: np.ndarray, changes: np.ndarray, new: np.ndarray
) -> None:
    """Refuse to change a label that is another one than that which a person looked at."""
    if "was" not in edits:
        return
    for k in np.flatnonzero(changes):
        was, now = edits["was"].iloc[k], before[place[k]]
        if isinstance(was, float) and was.is_integer():  # as read from a file with empty fields
            was = int(was)
        if pd.isna(was) or str(was) in ("", str(now)) or str(new[k]) == str(now):
            continue
        raise DatasetError(
            f"{edits['image'].iloc[k]} was {was!r} when its label was changed to {new[k]!r}, and "
            f"is {now!r} in this table"
        )
