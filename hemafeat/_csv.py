"""Text in CSV files that spreadsheets do not run as a formula.

A spreadsheet takes a cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line break for a
formula, and file names and labels may come from strangers. Such text is written with an apostrophe
in front, which spreadsheets and people read as "this is text", and which is removed on reading.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
_MARKED = re.compile(r"'+[=+\-@\t\r\n]")
_FIRST = frozenset("'=+-@\t\r\n")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def without_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose text can be written to a CSV file, column names included."""
    return _changed(table, _mark)


def with_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table that was passed to `without_formulas`, after it was read from a file."""
    return _changed(table, _unmark)


def _mark(value: Any) -> Any:
    if not isinstance(value, str) or value[:1] not in _FIRST:
        return value
    if _FORMULA.match(value) and not _NUMBER.fullmatch(value):
        return "'" + value
    return value


def _unmark(value: Any) -> Any:
    return (
        value[1:] if isinstance(value, str) and value[:1] == "'" and _MARKED.match(value) else value
    )


def _changed(table: pd.DataFrame, change: Callable[[Any], Any]) -> pd.DataFrame:
    import pandas as pd

    names = [change(name) for name in table.columns]
    columns = {}
    for position, dtype in enumerate(table.dtypes):
        # Text and objects; categories of numbers have nothing to change.
        if dtype.kind == "O":
            column = table.iloc[:, position]
            changed = [change(value) for value in column]
            if any(a is not b for a, b in zip(changed, column, strict=True)):
                columns[position] = changed
    if not columns and names == list(table.columns):
        return table
    table = table.copy(deep=False)
    for position, changed in columns.items():
        dtype = table.dtypes.iloc[position]
        as_before = object if str(dtype) == "category" else dtype
        table.isetitem(position, pd.Series(changed, dtype=as_before).array)
    table.columns = names
    return table
