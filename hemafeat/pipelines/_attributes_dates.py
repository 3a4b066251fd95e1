"""Dates as people write them: several formats in one column, some that can be read two ways."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd

_NUMBERS = re.compile(r"\s*(\d{1,4})\s*([-/. ])\s*(\d{1,2})\s*\2\s*(\d{1,4})(?:[T ]\d.*)?\s*")
_PLAIN = re.compile(r"\s*(\d{4})(\d{2})(\d{2})\s*|\s*(\d{4})\s*")
_USUAL = {"/": "month first", "-": "day first", ".": "day first", " ": "day first"}


def read_dates(values: Iterable[Any], orders: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Read dates written in mixed formats, and say which could be read two ways.

    Parameters
    ----------
    values : iterable
        Text such as ``3/25/1950``, ``25-03-1950``, ``1950-03-25``, ``25.3.1950``, ``19500325`` or
        ``1950``, dates and time stamps, or missing values.
    orders : mapping of str to str, optional
        By separator, ``"day first"`` or ``"month first"``. By default what the dates of the same
        separator say that can be read one way only; where they say nothing or contradict each
        other, ``/`` is taken for month first, as in the United States, and the others for day
        first.

    Returns
    -------
    DataFrame
        A row per value: ``year``, ``month``, ``day`` (float64, NaN where not known), ``format``
        (``"a/b/y"``, ``"y-b-a"``, ... as written, NA where nothing is), ``ambiguous`` (day and
        month could be the other way round, and no other date of this separator settles it) and
        ``problem``, why a value could not be read, else empty. The year is never in doubt, so an
        age in years is off by one at most.

    Raises
    ------
    ValueError
        An order that is neither of the two.

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> read = pipelines.read_dates(["3/25/1950", "4/5/1950", "04-05-1950"])
    >>> read["month"].tolist(), read["ambiguous"].tolist()
    ([3.0, 4.0, 5.0], [False, False, True])
    """
    index = values.index if isinstance(values, pd.Series) else None
    values = list(values)
    parts = [_parts(value) for value in values]
    orders = dict(orders or {})
    wrong = [order for order in orders.values() if order not in ("day first", "month first")]
    if wrong:
        raise ValueError(f"order {wrong[0]!r}: expected 'day first' or 'month first'")
    settled = date_orders(values)
    rows = []
    for value, (written, a, b, year, problem) in zip(values, parts, strict=True):
        month, day, ambiguous = np.nan, np.nan, False
        if not problem and np.isfinite(a):
            separator = written[1] if written[1:2] in _USUAL else ""
            if written.startswith("y"):
                month, day = b, a  # year, month, day is the only order in use
            else:
                order = orders.get(separator, settled.get(separator, _USUAL.get(separator, "")))
                one_way = a > 12 or b > 12 or a == b
                first_is_day = a > 12 or (b <= 12 and order == "day first")
                day, month = (a, b) if first_is_day else (b, a)
                ambiguous = not one_way and separator not in {*orders, *settled}
            try:
                date(int(year), int(month), int(day))
            except ValueError:
                year, month, day, ambiguous = np.nan, np.nan, np.nan, False
                problem = f"{value!r} is no day of the calendar"
        rows.append((year, month, day, written or None, ambiguous, problem))
    names = ["year", "month", "day", "format", "ambiguous", "problem"]
    return pd.DataFrame(rows, columns=names, index=index)


def date_orders(values: Iterable[Any]) -> dict[str, str]:
    """By separator, the order that the dates which can be read one way only agree on."""
    votes: dict[str, set[str]] = {}
    for value in values:
        written, a, b, _, problem = _parts(value)
        if problem or written.startswith("y") or not np.isfinite(a) or (a > 12) == (b > 12):
            continue
        votes.setdefault(written[1], set()).add("day first" if a > 12 else "month first")
    return {separator: found.pop() for separator, found in votes.items() if len(found) == 1}


def _parts(value: Any) -> tuple[str, float, float, float, str]:
    """How it is written, first number, second number, year, and what is wrong."""
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
    found = _NUMBERS.fullmatch(text)
    if found:
        first, mark, second, third = found.groups()
        if len(first) == 4 and len(third) <= 2:
            return f"y{mark}b{mark}a", float(third), float(second), float(first), ""
        if len(third) == 4 and len(first) <= 2:
            return f"a{mark}b{mark}y", float(first), float(second), float(third), ""
        return "", *nothing, f"{text!r} has no year of four digits"
    plain = _PLAIN.fullmatch(text)
    if plain and plain.group(4):
        return "y", np.nan, np.nan, float(plain.group(4)), ""
    if plain:
        year, month, day = (float(plain.group(k)) for k in (1, 2, 3))
        return "yba", day, month, year, ""
    return "", *nothing, f"{text!r} is no date"
