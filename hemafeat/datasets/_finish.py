"""Complete and check image tables before they are returned."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from hemafeat.datasets._copies.duplicates import group_duplicates
from hemafeat.datasets._schema import ALIASES, COLUMNS, TEXT, DatasetError, text
from hemafeat.images import name_of


def finish(table: pd.DataFrame, source: object, text_columns: Sequence[str] = ()) -> pd.DataFrame:
    """Complete an image table: check it, convert and order its columns, and fill in groups.

    Parameters
    ----------
    table : DataFrame
        Table with a column of images.
    source : object
        File or folder the table comes from, for messages.
    text_columns : sequence of str
        Attributes to convert to the dtype of text, also if all values are missing.

    Returns
    -------
    DataFrame
        An image table; see `as_table`.

    Raises
    ------
    DatasetError
        Raised if there are no images, an image occurs twice, or a scale is not positive.
    """
    table = table.rename(columns={image_column(table, source): "image"}).reset_index(drop=True)
    if table.empty:
        raise DatasetError(f"{source} lists no images")
    missing = np.flatnonzero([_is_missing(image) for image in table["image"]])
    if missing.size:
        raise DatasetError(f"{source} names no image in row {missing[0] + 1}")
    table["image"] = _images(table["image"])
    _check_unique(table["image"], source)
    for name in COLUMNS[1:]:
        column = table[name] if name in table else pd.Series([None] * len(table), dtype=object)
        table[name] = _scale(column, source) if name == "um_per_px" else _as_text(column)
    if table["label_raw"].isna().all():
        table["label_raw"] = table["label"]
    attributes = [name for name in table.columns if name not in COLUMNS]
    table = table[[*COLUMNS, *attributes]]
    if table["group"].isna().any():
        table = group_duplicates(table)
    for name in text_columns:
        table[name] = table[name].astype(TEXT)
    return table


def image_column(table: pd.DataFrame, source: object) -> str:
    """Return the name of the column that holds the images."""
    repeated = table.columns[table.columns.duplicated()]
    if len(repeated):
        raise DatasetError(f"{source} has two columns called {repeated[0]!r}")
    for name in ALIASES:
        if name in table.columns:
            return name
    columns = ", ".join(map(str, table.columns)) or "none"
    raise DatasetError(
        f"{source} has no column 'image' (or {', '.join(ALIASES[1:])}); its columns are: {columns}"
    )


def _is_missing(image: Any) -> bool:
    if image is None or image is pd.NA or (isinstance(image, float) and np.isnan(image)):
        return True
    return isinstance(image, str) and not image.strip()


def image_type(items: Sequence[Any]) -> Any:
    """Return the dtype of a column of images: text, or object if some are arrays."""
    return TEXT if all(isinstance(item, str) for item in items) else object


def _images(column: pd.Series) -> pd.Series:
    items = [name_of(item) if isinstance(item, str | os.PathLike) else item for item in column]
    return pd.Series(items, dtype=image_type(items))


def _check_unique(images: pd.Series, source: object) -> None:
    names = pd.Series([image for image in images if isinstance(image, str)], dtype=TEXT)
    repeated = names[names.duplicated()]
    if len(repeated):
        raise DatasetError(
            f"{source} lists {len(repeated)} image(s) more than once, for example "
            f"{repeated.iloc[0]}"
        )


def _scale(column: pd.Series, source: object) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce").astype(np.float64)
    invalid = (numbers.isna() & column.notna()) | (numbers <= 0) | np.isinf(numbers)
    if invalid.any():
        value = column[invalid].iloc[0]
        raise DatasetError(f"{source} has um_per_px = {value}; expected a number above 0")
    return numbers


def _as_text(column: pd.Series) -> pd.Series:
    return text(None if pd.isna(value) else _to_text(value) for value in column)


def _to_text(value: Any) -> str | None:
    # A column of ids with gaps is read as floats: patient 7 must not become "7.0".
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return name_of(str(value).strip()) or None
