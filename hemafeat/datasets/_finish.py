"""Checks and types that every image table gets before it is returned."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from hemafeat.datasets._copies.duplicates import group_duplicates
from hemafeat.datasets._schema import ALIASES, COLUMNS, TEXT, DatasetError, text


def finish(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Complete an image table: every column in its type and order, checked, groups filled in."""
    table = table.rename(columns={image_column(table, where): "image"}).reset_index(drop=True)
    if table.empty:
        raise DatasetError(f"{where} lists no images")
    missing = np.flatnonzero([_is_missing(image) for image in table["image"]])
    if missing.size:
        raise DatasetError(f"{where}: no image is named in row {missing[0] + 1}")
    table["image"] = _images(table["image"])
    _check_once(table["image"], where)
    for column in COLUMNS[1:]:
        given = table[column] if column in table else pd.Series([None] * len(table), dtype=object)
        table[column] = _scale(given, where) if column == "um_per_px" else _as_text(given)
    if table["label_raw"].isna().all():
        table["label_raw"] = table["label"]
    attributes = [column for column in table.columns if column not in COLUMNS]
    table = table[[*COLUMNS, *attributes]]
    return group_duplicates(table) if table["group"].isna().any() else table


def image_column(table: pd.DataFrame, where: str) -> str:
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise DatasetError(f"{where} has two columns called {twice[0]!r}")
    for name in ALIASES:
        if name in table.columns:
            return name
    columns = ", ".join(map(str, table.columns)) or "none"
    raise DatasetError(f"{where} has no column 'image' (or {', '.join(ALIASES[1:])}): {columns}")


def _is_missing(image: Any) -> bool:
    if image is None or image is pd.NA or (isinstance(image, float) and np.isnan(image)):
        return True
    return isinstance(image, str) and not image.strip()


def image_type(items: Sequence[Any]) -> Any:
    return TEXT if all(isinstance(item, str) for item in items) else object


def _images(column: pd.Series) -> pd.Series:
    items = [str(item) if isinstance(item, os.PathLike) else item for item in column]
    return pd.Series(items, dtype=image_type(items))


def _check_once(images: pd.Series, where: str) -> None:
    names = pd.Series([image for image in images if isinstance(image, str)], dtype=TEXT)
    twice = names[names.duplicated()]
    if len(twice):
        raise DatasetError(
            f"{where} lists {len(twice)} image(s) more than once, {twice.iloc[0]} for one"
        )


def _scale(column: pd.Series, where: str) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce").astype(np.float64)
    wrong = (numbers.isna() & column.notna()) | (numbers <= 0) | np.isinf(numbers)
    if wrong.any():
        value = column[wrong].iloc[0]
        raise DatasetError(f"{where}: um_per_px is {value!r}, expected micrometres above 0")
    return numbers


def _as_text(column: pd.Series) -> pd.Series:
    return text(None if pd.isna(value) else _word(value) for value in column)


def _word(value: Any) -> str | None:
    # A column of ids with gaps is read as floats: patient 7 must not become "7.0".
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() or None
