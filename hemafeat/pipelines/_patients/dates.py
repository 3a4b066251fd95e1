"""Parsing of dates that were written in different formats."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd

_NUMBERS = re.compile(r"\s*(\d{1,4})\s*([-/. ])\s*(\d{1,2})\s*\2\s*(\d{1,4})(?:[T ]\d.*)?\s*")
_DIGITS = re.compile(r"\s*(\d{4})(\d{2})(\d{2})\s*|\s*(\d{4})\s*")
_DEFAULT_ORDER = {"/": "month first", "-": "day first", ".": "day first", " ": "day first"}


def read_dates(values: Iterable[Any], orders: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Parse dates written in different formats, and mark those that are ambiguous.

    Parameters
    ----------
    values : iterable
        Text such as ``3/25/1950``, ``25-03-1950``, ``1950-03-25``, ``25.3.1950``, ``19500325`` or
        ``1950``, dates and time stamps, or missing values.
    orders : mapping of str to str, optional
        ``"day first"`` or ``"month first"`` by separator. By default the order of the unambiguous
        dates with the same separator. If there are none, or they contradict each other, ``/``
        stands for month first, as in the United States, and the other separators for day first.

    Returns
    -------
    DataFrame
        One row per value: ``year``, ``month``, ``day`` (float64, NaN if unknown), ``format``
        (``"a/b/y"``, ``"y-b-a"``, ... as written, NA for a missing value), ``ambiguous`` (day and
        month could be exchanged, and no other date with this separator decides) and ``problem``,
        the reason why a value cannot be parsed, empty if it can. The year is never ambiguous, so
        that an age in years is off by one at most.

    Raises
    ------
    ValueError
        If an order is neither of the two.

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> dates = pipelines.read_dates(["3/25/1950", "4/5/1950", "04-05-1950"])
    >>> dates["month"].tolist(), dates["ambiguous"].tolist()
    ([3.0, 4.0, 5.0], [False, False, True])
    """
    index = values.index if isinstance(values, pd.Series) else None
    values = list(values)
    orders = dict(orders or {})
    wrong = [order for order in orders.values() if order not in ("day first", "month first")]
    if wrong:
        raise ValueError(f"order {wrong[0]!r}: expected 'day first' or 'month first'")
    decided = date_orders(values)
    rows = []
    for value in values:
        written, a, b, year, problem = _parse(value)
        month, day, ambiguous = np.nan, np.nan, False
        if not problem and np.isfinite(a):
            separator = written[1] if written[1:2] in _DEFAULT_ORDER else ""
            if written.startswith("y"):
                month, day = b, a  # after the year the month always comes first
            else:
                default = decided.get(separator, _DEFAULT_ORDER.get(separator, ""))
                unambiguous = a > 12 or b > 12 or a == b
                day_first = orders.get(separator, default) == "day first"
                day, month = (a, b) if a > 12 or (b <= 12 and day_first) else (b, a)
                ambiguous = not unambiguous and separator not in {*orders, *decided}
            try:
                date(int(year), int(month), int(day))
            except ValueError:
                year, month, day, ambiguous = np.nan, np.nan, np.nan, False
                problem = f"{value!r} is not a day of the calendar"
        rows.append((year, month, day, written or None, ambiguous, problem))
    names = ["year", "month", "day", "format", "ambiguous", "problem"]
    return pd.DataFrame(rows, columns=names, index=index)


def date_orders(values: Iterable[Any]) -> dict[str, str]:
    """Return the order of day and month by separator, where the unambiguous dates agree on it."""
    votes: dict[str, set[str]] = {}
    for value in values:
        written, a, b, _, problem = _parse(value)
        if problem or written.startswith("y") or not np.isfinite(a) or (a > 12) == (b > 12):
            continue
        votes.setdefault(written[1], set()).add("day first" if a > 12 else "month first")
    return {separator: orders.pop() for separator, orders in votes.items() if len(orders) == 1}


def date_formats(values: Iterable[Any]) -> list[str]:
    """Return the format in which each date is written, empty for missing and unreadable ones."""
    return ["" if pd.isna(name) else str(name) for name in read_dates(values)["format"]]


def _parse(value: Any) -> tuple[str, float, float, float, str]:
    """Return the format, the first number, the second number, the year, and the problem."""
    nothing = (np.nan, np.nan, np.nan)
    if value is None or value is pd.NaT or value is pd.NA:
        return "", *nothing, ""
    if isinstance(value, float) and np.isnan(value):
        return "", *nothing, ""
    if isinstance(value, datetime | date):
        return "y-b-a", float(value.day), float(value.month), float(value.year), ""
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    if not text.strip():
        return "", *nothing, ""
    if match := _NUMBERS.fullmatch(text):
        first, separator, second, third = match.groups()
        if len(first) == 4 and len(third) <= 2:
            written = f"y{separator}b{separator}a"
            return written, float(third), float(second), float(first), ""
        if len(third) == 4 and len(first) <= 2:
            written = f"a{separator}b{separator}y"
            return written, float(first), float(second), float(third), ""
        return "", *nothing, f"{text!r} has no year of four digits"
    match = _DIGITS.fullmatch(text)
    if match and match.group(4):
        return "y", np.nan, np.nan, float(match.group(4)), ""
    if match:
        year, month, day = (float(match.group(k)) for k in (1, 2, 3))
        return "yba", day, month, year, ""
    return "", *nothing, f"{text!r} is not a date"
