"""Columns of the image table that become columns of the table of cells.

Some names are refused. Numbers, booleans, text and dates without a time zone are stored as they
are, and all else as text: no reader would return a list, a path or a period as it was.
"""

from __future__ import annotations

import os
import re
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from hemafeat.datasets import DatasetError
from hemafeat.extract._columns import feature_columns
from hemafeat.extract._table.part import BESIDE, IDENTITY

OWN = {*IDENTITY, "um_per_px", "mask", "nucleus_mask"}
"""Columns of an image table that are not attributes, and columns of every table of cells."""

LISTED = 3
"""Columns that a message names."""

EXACT = 2**53
"""Integers up to this are exact as doubles."""

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+>")


def check_names(table: pd.DataFrame) -> pd.DataFrame:
    """Return an image table whose columns do not collide with those that are measured.

    Parameters
    ----------
    table : DataFrame
        Image table.

    Returns
    -------
    DataFrame
        The same table; names that are not text, such as 0 or None, are text.

    Raises
    ------
    hemafeat.datasets.DatasetError
        A column has a name of the table of cells, or one that differs from it in case or spaces.
    """
    if not all(isinstance(name, str) for name in table.columns):
        table = table.rename(columns=str)
    repeated = table.columns[table.columns.duplicated()]
    if len(repeated):
        raise DatasetError(f"the table of images has two columns called {repeated[0]!r}")
    attributes = [name for name in table.columns if name not in OWN - {"cell"}]
    plain = {name: name.strip().casefold() for name in attributes}
    measured = set(feature_columns(pd.DataFrame(columns=list(plain.values()))))
    taken = [
        name
        for name, word in plain.items()
        if word in OWN or word.startswith(BESIDE) or word in measured
    ]
    if not taken:
        return table
    names = ", ".join(map(repr, taken[:LISTED]))
    more = f" and {len(taken) - LISTED} more" if len(taken) > LISTED else ""
    advice = "Rename or remove them"
    if "cell" in table.columns and any(plain[name] in measured for name in taken):
        advice = "It is a table of cells that were measured: give the images, not their table"
    elif not any(plain[name] == name for name in taken):
        advice = "Write them as hemafeat does (all lower case, no spaces), or rename them"
    raise DatasetError(
        f"the table of images has columns with names of the table of cells: {names}{more}. {advice}"
    )


def arrow_type(values: pd.Series) -> pa.DataType:
    """Return the Arrow type in which a column is stored: text unless every reader has its type."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = pd.Series(values.cat.categories)
    array = _as_array(values)
    if array is None:
        return pa.string()
    kind = array.type
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        # Arrow cuts the time of a moment among days, and drops or converts zones.
        objects = [v for v in values if not _missing(v)] if values.dtype == object else []
        mixed = len({type(value) for value in objects}) > 1
        zone = any(getattr(value, "tzinfo", None) is not None for value in objects)
        zone |= pa.types.is_timestamp(kind) and kind.tz is not None
        return pa.string() if mixed or zone else kind
    if pa.types.is_integer(kind) and array.null_count:
        # pandas reads integers with gaps as doubles.
        known = array.drop_null().to_numpy(zero_copy_only=False)
        if len(known) and (known.max() > EXACT or known.min() < -EXACT):
            return pa.string()
    numbers = pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return kind if numbers else pa.string()


def arrow_column(values: pd.Series, kind: pa.DataType | None = None) -> pa.Array:
    """Return a column as it is stored; `kind` is its `arrow_type` if it is known."""
    kind = arrow_type(values) if kind is None else kind
    array = _as_array(values)
    if not pa.types.is_string(kind):
        return pa.array(values, from_pandas=True).cast(kind) if array is None else array.cast(kind)
    if array is not None and _is_text(array.type):
        return array.cast(kind)
    return pa.array([text_or_none(value, values.name) for value in values], kind)


def storable(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of cells in which the columns that are stored as text are text."""
    measured = set(feature_columns(table))
    texts: dict[Any, Any] = {}
    for name in table.columns:
        values = table[name]
        array = None if name in measured else _as_array(values)
        if name in measured or (array is not None and _is_text(array.type)):
            continue
        kind = arrow_type(values)
        if pa.types.is_string(kind):
            text = [text_or_none(value, name) for value in values]
            texts[name] = pd.Series(text, table.index, dtype=object)
        elif isinstance(values.dtype, pd.SparseDtype):
            texts[name] = values.astype(values.dtype.subtype)
    return table.assign(**texts) if texts else table


def _as_array(values: pd.Series) -> pa.Array | None:
    """Return a column as Arrow would store it, or None if it would not."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    if isinstance(values.dtype, pd.SparseDtype):
        values = values.astype(values.dtype.subtype)
    try:
        array = pa.array(values, from_pandas=True)
    except Exception:  # pandas and Arrow raise many kinds for objects
        return None
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _missing(value: Any) -> bool:
    return value is None or (pd.api.types.is_scalar(value) and bool(pd.isna(value)))


def text_or_none(value: Any, column: Any) -> str | None:
    """Return the text in which a value is stored, or None if it is missing.

    Raises
    ------
    hemafeat.datasets.DatasetError
        The value has no text that would be the same in the next run.
    """
    if _missing(value):
        return None
    try:
        text = as_text(value)
    except Exception as error:
        raise DatasetError(
            f"column {column!r} holds a {type(value).__name__}, which cannot be stored as text "
            f"({error}). Give text or numbers, or remove the column"
        ) from None
    # Names of files may hold bytes that are not UTF-8.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def as_text(value: Any) -> str:
    """Return the text of a value; that of a container shows all its members, sets in order."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (np.ndarray, pd.Series, pd.Index)):
        return _member(value.tolist())
    if isinstance(value, (dict, list, tuple, set, frozenset)):
        return _member(value)
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    kind = type(value)
    if kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__:
        raise TypeError("it has no text")
    text = str(value)
    if _ADDRESS.search(text):
        raise TypeError("its text is an address in memory")
    return text


def _member(value: Any) -> str:
    if isinstance(value, dict):
        pairs = (f"{_member(key)}: {_member(item)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, (set, frozenset)):
        return f"{{{', '.join(sorted(map(_member, value)))}}}" if value else "set()"
    if isinstance(value, tuple) and len(value) != 1:
        return f"({', '.join(map(_member, value))})"
    if isinstance(value, tuple):
        return f"({_member(value[0])},)"
    if isinstance(value, list):
        return f"[{', '.join(map(_member, value))}]"
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (np.ndarray, pd.Series, pd.Index, os.PathLike)):
        return as_text(value) if not isinstance(value, os.PathLike) else repr(os.fsdecode(value))
    if isinstance(value, (str, bytes, bool, int, float, complex, type(None))):
        return repr(value)
    return as_text(value)
