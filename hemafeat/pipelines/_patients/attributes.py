"""What is known of a patient beside the cells, made into numbers."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from hemafeat._public import public
from hemafeat.pipelines._patients.bags import CELLS
from hemafeat.pipelines._steps.columns import shortlist

_SEX = {"m": 1.0, "male": 1.0, "h": 1.0, "f": 0.0, "female": 0.0, "w": 0.0}
_BORN = ("dob", "date_of_birth", "birth_date", "birthdate", "born")
_SEXES = ("sex", "gender")


@public
class PatientAttributes(TransformerMixin, BaseEstimator):
    """Age, sex and measured values of a patient, from columns as hospitals write them.

    Parameters
    ----------
    columns : list of str, optional
        The attributes; by default every column but ``cells`` and ``label``. ``dob`` (or
        ``date_of_birth``, ``birthdate``, ``born``) becomes an age, ``sex`` (or ``gender``) in any
        spelling 1 for male and 0 for female. Other columns of numbers stay as they are; of other
        text each value seen in training becomes a column of 0 and 1.
    year : int
        The year that ages are counted to.

    Attributes
    ----------
    orders_ : dict of str to str
        By separator, whether training dates write the day or the month first.
    feature_names_out_ : list of str

    Notes
    -----
    An age is `year` less the year of birth, whatever month that was: which of two numbers is the
    month, if that is in doubt, does not matter. How a date is written is not passed on. In the
    public lymphocytosis set it goes with the label, and a model given the text would learn the
    clerk. `date_format_only` says how much there is to be learned.

    Values that cannot be read, and sexes of other words, are NaN, with one warning.
    """

    unit = "patient"
    looks_at = frozenset({"attributes"})

    def __init__(self, columns: Sequence[str] | None = None, year: int = 2024) -> None:
        self.columns = columns
        self.year = year

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:
        """Note the columns, the order of days and months, and the values of text.

        Raises
        ------
        ValueError
            No attribute, or one of `columns` is missing.
        """
        self.columns_ = attribute_columns(X, self.columns)
        self.orders_: dict[str, dict[str, str]] = {}
        self.values_: dict[str, list[str]] = {}
        for name in self.columns_:
            if _is_birth(name, X[name]):
                self.orders_[name] = date_orders(X[name])
            elif name.lower() not in _SEXES and not _is_number(X[name]):
                self.values_[name] = sorted(set(X[name].dropna().astype(str)))
        self.feature_names_out_ = [name for part in self._parts(X) for name in part.columns]
        return self

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        """Numbers, one row per patient: (n_patients, n_out) ndarray of float64, with NaN."""
        check_is_fitted(self, "columns_")
        missing = [name for name in self.columns_ if name not in X.columns]
        if missing:
            raise ValueError(f"the table lacks the attributes {shortlist(missing)}")
        return pd.concat(self._parts(X), axis=1).to_numpy(dtype=np.float64)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """``age``, ``sex``, and the names of the other columns."""
        check_is_fitted(self, "columns_")
        return np.asarray(self.feature_names_out_, dtype=object)

    def _parts(self, X: pd.DataFrame) -> list[pd.DataFrame]:
        parts = []
        for name in self.columns_:
            column = X[name]
            if name in self.orders_:
                read = read_dates(column, self.orders_[name])
                _warn(name, [text for text in read["problem"] if text])
                out = pd.DataFrame({"age": self.year - read["year"].to_numpy()}, index=X.index)
            elif name.lower() in _SEXES:
                out = pd.DataFrame({name: _sex(column, name)}, index=X.index)
            elif name in self.values_:
                text = column.astype("string")
                out = pd.DataFrame(
                    {
                        f"{name}={value}": (text == value).fillna(False)
                        for value in self.values_[name]
                    },
                    index=X.index,
                ).astype(np.float64)
            else:
                out = pd.DataFrame({name: pd.to_numeric(column, errors="coerce")}, index=X.index)
            parts.append(out)
        return parts

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


@public
class DateFormat(TransformerMixin, BaseEstimator):
    """How each date is written, and nothing of what it says: columns of 0 and 1.

    Parameters
    ----------
    columns : list of str, optional
        Columns of dates as text; by default those that hold a date of birth.
    """

    unit = "patient"
    looks_at = frozenset({"attributes"})

    def __init__(self, columns: Sequence[str] | None = None) -> None:
        self.columns = columns

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:
        """Note the formats there are."""
        self.columns_ = list(self.columns) if self.columns is not None else date_columns(X)
        if not self.columns_:
            raise ValueError("the table has no column with dates of birth as text")
        self.formats_ = [(n, f) for n in self.columns_ for f in sorted(set(_formats(X[n])))]
        return self

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        """One column per format seen in training."""
        check_is_fitted(self, "formats_")
        found = {name: _formats(X[name]) for name in self.columns_}
        return np.column_stack(
            [[float(f == wanted) for f in found[name]] for name, wanted in self.formats_]
        )

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """``dob=a/b/y`` and such."""
        return np.asarray([f"{name}={wanted}" for name, wanted in self.formats_], dtype=object)


def attribute_columns(table: pd.DataFrame, columns: Sequence[str] | None = None) -> list[str]:
    """The columns named, or all but the bags and the label."""
    if columns is None:
        columns = [str(name) for name in table.columns if name not in (CELLS, "label")]
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise ValueError(f"the table lacks the attributes {shortlist(missing)}")
    if not len(columns):
        raise ValueError("the table has no attributes beside the cells and the label")
    return list(columns)


def date_columns(table: pd.DataFrame) -> list[str]:
    """Columns that hold dates of birth as text.

    Parameters
    ----------
    table : DataFrame
        One row per patient.
    """
    return [
        str(name)
        for name in table.columns
        if _is_birth(str(name), table[name]) and any(_formats(table[name]))
    ]


def _formats(column: pd.Series) -> list[str]:
    return ["" if pd.isna(f) else str(f) for f in read_dates(column)["format"]]


def _is_birth(name: str, column: pd.Series) -> bool:
    return name.lower() in _BORN or pd.api.types.is_datetime64_any_dtype(column.dtype)


def _is_number(column: pd.Series) -> bool:
    if pd.api.types.is_numeric_dtype(column.dtype):
        return True
    known = column.dropna()
    return bool(pd.to_numeric(known, errors="coerce").notna().all())


def _sex(column: pd.Series, name: str) -> list[float]:
    out, odd = [], []
    for value in column:
        found = np.nan
        if isinstance(value, str) and value.strip():
            found = _SEX.get(value.strip().lower(), np.nan)
            if np.isnan(found):
                odd.append(value)
        elif not pd.isna(value) and value in (0, 1):
            found = float(value)
        out.append(found)
    _warn(name, [f"{value!r} is no sex known here" for value in sorted(set(odd))])
    return out


def _warn(name: str, problems: list[str]) -> None:
    if problems:
        warnings.warn(
            f"column {name!r}: {len(problems)} values are taken as missing: "
            + shortlist(problems, 3),
            UserWarning,
            stacklevel=4,
        )


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
