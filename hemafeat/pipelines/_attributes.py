"""What is known of a patient beside the cells, made into numbers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from hemafeat._public import public
from hemafeat.pipelines._attributes_dates import date_orders, read_dates
from hemafeat.pipelines._bags import CELLS
from hemafeat.pipelines._columns import shortlist

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
