"""Rows and columns of a table that a comparison uses: checked, ordered and hashed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd

from hemafeat import extract
from hemafeat._frames import need_frame
from hemafeat._public import public
from hemafeat._words import no_column

Note = tuple[str, str, str, str]
"""Row of the errors table: image, stage, error, message."""

ROW = "__row"
"""Column with the position of each row in the caller's table."""


@public
class CompareError(ValueError):
    """Comparison that cannot be made; the message says what to change."""


def drop_unlabelled(
    table: pd.DataFrame, label: str, *, features: bool = True
) -> tuple[pd.DataFrame, list[Note]]:
    """Return the rows with a label, numbered in a column `ROW`, and a note on each of the others.

    If no features are read and the table has none, the scale does not matter.

    Raises
    ------
    CompareError
        If the table has no rows, no column `label`, or no value in it; two columns have one name;
        or the scale is known for some rows only.
    """
    table = need_frame(table, "a comparison", CompareError)
    try:
        has_units = features or bool(extract.feature_columns(table))
        extract.units(table if has_units else table.iloc[:0], assume_px=False)
    except ValueError as error:
        raise CompareError(str(error)) from None
    if label not in table.columns:
        raise CompareError(no_column(label, table.columns))
    if not len(table):
        raise CompareError("the table has no rows")
    table = table.copy(deep=False)
    table.attrs = {}
    table[ROW] = np.arange(len(table))
    has_label = table[label].notna().to_numpy()
    errors: list[Note] = [
        (name, "compare", "no label", f"column {label!r} is empty")
        for name in image_names(table[~has_label])
    ]
    if not has_label.any():
        raise CompareError(f"no row has a value in column {label!r}")
    return (table if has_label.all() else table[has_label]), errors


CELLS = {
    "central": "the central cell of each image",
    "all": "every cell of an image",
    "auto": "the central cell of labelled images, every cell of the others",
}
"""Which cells of the images a table holds, in words, see `hemafeat.extract.measured`."""


EDITS = "edits"
"""Stage of the note on labels that were changed by hand, see `hemafeat.datasets.edited`."""


def cells_measured(table: pd.DataFrame) -> tuple[str, list[Note]]:
    """Return which cells of the images a table holds, and notes on how it came about.

    There is a note if the cells were not chosen by one rule, and if a person edited the labels.
    """
    rule = extract.measured(table).get("cells", "")
    notes: list[Note] = []
    if rule == "auto":
        message = (
            "labelled images are measured by another rule than unlabelled ones: one cell of each, "
            "and all cells. Measure them again before a model is applied to the unlabelled ones"
        )
        notes.append(("", "compare", "note", message))
    if told := table.attrs.get("edits"):
        notes.append(("", EDITS, "note", str(told)))
    return CELLS.get(rule, ""), notes


def image_names(table: pd.DataFrame) -> np.ndarray:
    """Return the name of the image of each row, or ``"row N"`` if it has none."""
    images = table["image"] if "image" in table.columns else [None] * len(table)
    names = [
        image if isinstance(image, str) else f"row {row}"
        for row, image in zip(table[ROW], images, strict=True)
    ]
    return np.array(names, dtype=object)


def feature_values(
    table: pd.DataFrame, columns: Sequence[str] | None, *, needed: bool = True
) -> pd.DataFrame:
    """Return the feature columns as float64; by default all called ``mask__family__feature``.

    Raises
    ------
    CompareError
        If there are no such columns and they are `needed`, or they hold infinite values or text.
    """
    names = extract.feature_columns(table) if columns is None else list(columns)
    if len(set(names)) < len(names):
        twice = sorted({str(name) for name in names if names.count(name) > 1})
        raise CompareError(f"columns that are named twice: {', '.join(twice[:5])}")
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise CompareError(f"the table lacks {len(missing)} columns: {', '.join(missing[:5])}")
    if not names and not needed:
        return pd.DataFrame(index=range(len(table)))
    if not names:
        raise CompareError(
            "the table has no feature columns (mask__family__feature); name them with columns=[...]"
        )
    try:
        values = table[names].to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        dtypes = table[names].dtypes
        words = [name for name in names if not pd.api.types.is_numeric_dtype(dtypes[name])]
        raise CompareError(
            f"feature columns that are not numbers: {', '.join(map(str, words[:5]))}"
        ) from None
    infinite = np.isinf(values).any(axis=0)
    if infinite.any():
        bad = [name for name, is_bad in zip(names, infinite, strict=True) if is_bad]
        raise CompareError(f"infinite values in feature columns: {', '.join(map(str, bad[:5]))}")
    return pd.DataFrame(values, columns=names)


def sort_rows(
    table: pd.DataFrame, values: pd.DataFrame, label: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Sort rows by image and cell, or by their values if the images have no names."""
    table = table.reset_index(drop=True)
    named = "image" in table.columns and all(isinstance(name, str) for name in table["image"])
    if named:
        cells = table["cell"] if "cell" in table.columns else [0] * len(table)
        keys: list[Any] = list(zip(table["image"].str.replace("\\", "/"), cells, strict=True))
        named = len(set(keys)) == len(keys)
    if not named:
        labels = table[label].astype(str).to_numpy(dtype=object)
        keys = row_digests(values, labels, np.full(len(table), ""))
    order = sorted(range(len(table)), key=keys.__getitem__)
    return table.iloc[order].reset_index(drop=True), values.iloc[order].reset_index(drop=True)


def frequent_classes(
    truth: np.ndarray, ids: np.ndarray, n_splits: int, rare: str, nouns: tuple[str, str]
) -> tuple[np.ndarray, list[Note]]:
    """Mark the rows of classes that have a group for every fold, if the others are to be dropped.

    Parameters
    ----------
    truth, ids : (n_rows,) ndarray of str
        Label and group of each row.
    n_splits : int
        Number of folds.
    rare : {"error", "drop"}
        ``"error"`` marks all rows: dividing them raises the error.
    nouns : (str, str)
        Plural of what a row and of what a group is.

    Returns
    -------
    keep : (n_rows,) ndarray of bool
    errors : list of Note
    """
    if rare not in ("error", "drop"):
        raise CompareError(f"rare={rare!r}: give 'error' or 'drop'")
    keep = np.ones(len(truth), dtype=bool)
    if rare == "error":
        return keep, []
    rows_noun, groups_noun = nouns
    counts = pd.Series(ids).groupby(truth).nunique()
    errors: list[Note] = []
    for name, count in counts[counts < n_splits].items():
        in_class = truth == name
        keep &= ~in_class
        text = (
            f"class {str(name)!r} left out: {in_class.sum()} {rows_noun}, fewer {groups_noun} "
            f"({count}) than folds ({n_splits})"
        )
        errors.append(("", "compare", "rare class", text))
    return keep, errors


def metadata_values(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return attribute columns as numbers or text, with ``"missing"`` for text that is missing."""
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise CompareError(f"the table lacks the metadata columns: {', '.join(missing)}")
    out = pd.DataFrame(index=table.index)
    for name in columns:
        column = table[name]
        if pd.api.types.is_numeric_dtype(column.dtype):
            out[name] = column.to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            out[name] = column.astype("string").fillna("missing").astype(object)
    return out


def row_digests(features: pd.DataFrame, truth: np.ndarray, groups: np.ndarray) -> list[bytes]:
    """Return a digest of the values, label and group of each row.

    Parameters
    ----------
    features : (n_rows, n_features) DataFrame of numbers
        Columns are taken in the order of their names.
    truth, groups : (n_rows,) ndarray of str
        Label and group of each row.

    Returns
    -------
    list of bytes
    """
    columns = sorted(features.columns)
    values = features[columns].to_numpy(dtype=np.float64, na_value=np.nan).copy()
    # One bit pattern for NaN, and -0 is 0.
    values[np.isnan(values)] = np.nan
    values += 0.0
    digests = []
    for row, label, group in zip(np.ascontiguousarray(values), truth, groups, strict=True):
        digest = hashlib.blake2b(row.tobytes(), digest_size=16)
        digest.update(f"\0{label}\0{group}".encode())
        digests.append(digest.digest())
    return digests


def file_digests(table: pd.DataFrame) -> list[bytes]:
    """Return a digest of the file of each image, empty for what is not a file that can be read."""
    digests = []
    for image in table["image"] if "image" in table.columns else [None] * len(table):
        digest = b""
        if isinstance(image, str | os.PathLike):
            with suppress(OSError, ValueError), open(image, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").digest()
        digests.append(digest)
    return digests


def fingerprint(features: pd.DataFrame, truth: np.ndarray, groups: np.ndarray) -> str:
    """Return a hash of a set of cells that does not depend on the order of rows and columns.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    whole = hashlib.blake2b(digest_size=16)
    for name in sorted(features.columns):
        whole.update(str(name).encode() + b"\0")
    for digest in sorted(row_digests(features, truth, groups)):
        whole.update(digest)
    return whole.hexdigest()
