"""The rows and columns of a table that a comparison uses, checked once at the door."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from hemafeat import extract
from hemafeat.evaluate._fingerprint import row_digests
from hemafeat.evaluate._protocols.splits import CompareError

Note = tuple[str, str, str, str]
"""A row of the errors table: image, stage, error, message."""

ROW = "__row"
"""Position in the caller's table."""


def labelled(table: pd.DataFrame, label: str) -> tuple[pd.DataFrame, list[Note]]:
    if label not in table.columns:
        raise CompareError(f"the table has no column {label!r}")
    if not len(table):
        raise CompareError("the table has no rows")
    table = table.copy(deep=False)
    table.attrs = {}
    table[ROW] = np.arange(len(table))
    known = table[label].notna().to_numpy()
    errors: list[Note] = [
        (image_name(image, row), "compare", "no label", f"column {label!r} is empty")
        for row, image in images(table[~known])
    ]
    if not known.any():
        raise CompareError(f"no row has a value in column {label!r}")
    return table[known], errors


def images(table: pd.DataFrame) -> list[tuple[int, Any]]:
    images = table["image"] if "image" in table.columns else [None] * len(table)
    return list(zip(table[ROW], images, strict=True))


def image_name(image: object, row: int) -> str:
    return image if isinstance(image, str) else f"row {row}"


def features(table: pd.DataFrame, columns: Sequence[str] | None) -> pd.DataFrame:
    wanted = extract.feature_columns(table) if columns is None else list(columns)
    missing = [name for name in wanted if name not in table.columns]
    if missing:
        raise CompareError(f"the table lacks {len(missing)} columns: {', '.join(missing[:5])}")
    if not wanted:
        raise CompareError(
            "the table has no feature columns (mask__family__feature); name them with columns=[...]"
        )
    try:
        values = table[wanted].to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        kinds = table[wanted].dtypes
        words = [n for n in wanted if not pd.api.types.is_numeric_dtype(kinds[n])]
        raise CompareError(f"feature columns that are not numbers: {words[:5]}") from None
    bad = np.isinf(values).any(axis=0)
    if bad.any():
        names = [n for n, infinite in zip(wanted, bad, strict=True) if infinite]
        raise CompareError(f"infinite values in feature columns: {names[:5]}")
    return pd.DataFrame(values, columns=wanted)


def in_order(
    table: pd.DataFrame, features: pd.DataFrame, label: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows by image and cell; by their values where images have no names."""
    table = table.reset_index(drop=True)
    named = "image" in table.columns and all(isinstance(name, str) for name in table["image"])
    if named:
        cells = table["cell"] if "cell" in table.columns else [0] * len(table)
        keys: list[Any] = list(zip(table["image"].str.replace("\\", "/"), cells, strict=True))
        named = len(set(keys)) == len(keys)
    if not named:
        labels = table[label].astype(str).to_numpy(dtype=object)
        keys = row_digests(features, labels, np.full(len(table), ""))
    order = sorted(range(len(table)), key=keys.__getitem__)
    return table.iloc[order].reset_index(drop=True), features.iloc[order].reset_index(drop=True)


def common(
    truth: np.ndarray, ids: np.ndarray, n_splits: int, rare: str
) -> tuple[np.ndarray, list[Note]]:
    """Rows of the classes that have a group for every fold, when the caller asked for that."""
    if rare not in ("error", "drop"):
        raise CompareError(f"rare={rare!r}: give 'error' or 'drop'")
    keep = np.ones(len(truth), dtype=bool)
    if rare == "error":
        return keep, []
    counts = pd.Series(ids).groupby(truth).nunique()
    errors: list[Note] = []
    for name, count in counts[counts < n_splits].items():
        here = truth == name
        keep &= ~here
        text = f"class {name!r} left out: {here.sum()} cells, fewer groups ({count}) than folds"
        errors.append(("", "compare", "rare class", text))
    return keep, errors


def metadata_columns(table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise CompareError(f"the table lacks the metadata columns: {', '.join(missing)}")
    out = pd.DataFrame(index=table.index)
    for name in names:
        column = table[name]
        if pd.api.types.is_numeric_dtype(column.dtype):
            out[name] = column.to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            out[name] = column.astype("string").fillna("missing").astype(object)
    return out
