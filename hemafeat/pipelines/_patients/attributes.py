"""Transformers of attributes of patients, such as age and sex, to numbers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from hemafeat._frames import as_frame
from hemafeat._public import public
from hemafeat.pipelines._patients.bags import CELLS
from hemafeat.pipelines._patients.dates import date_formats, date_orders, read_dates
from hemafeat.pipelines._steps.columns import shortlist

_SEX = {"m": 1.0, "male": 1.0, "h": 1.0, "f": 0.0, "female": 0.0, "w": 0.0}
_BIRTH_COLUMNS = ("dob", "date_of_birth", "birth_date", "birthdate", "born")
_SEX_COLUMNS = ("sex", "gender")


@public
class PatientAttributes(TransformerMixin, BaseEstimator):
    """Turn attributes of patients, in the notations of hospitals, into numbers.

    Parameters
    ----------
    columns : list of str, optional
        Attributes to use. By default all columns except ``cells`` and ``label``. ``dob`` (or
        ``date_of_birth``, ``birth_date``, ``birthdate``, ``born``) becomes an age, ``sex`` (or
        ``gender``) in any spelling 1 for male and 0 for female. Other columns of numbers are
        unchanged. In other columns of text, every value of the training rows becomes a column of 0
        and 1.
    year : int
        Year in which ages are counted.

    Attributes
    ----------
    columns_ : list of str
        The attributes used.
    orders_ : dict of str to dict of str to str
        Order of day and month by date column and separator, as far as the training dates decide.
    feature_names_out_ : list of str
        Names of the resulting columns.

    Notes
    -----
    An age is `year` minus the year of birth, so that exchanging day and month does not matter. The
    format of a date is not passed on: in the public lymphocytosis set it is correlated with the
    label, and a model that is given the text would learn the habits of the clerks.
    `date_format_only` measures how much the format alone reveals.

    Values that cannot be parsed, and unknown words for the sex, become NaN with a warning.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import pipelines
    >>> table = pd.DataFrame({"sex": ["M", "female"], "dob": ["3/25/1950", "1961"]})
    >>> pipelines.PatientAttributes(year=2020).fit_transform(table).tolist()
    [[1.0, 70.0], [0.0, 59.0]]
    """

    unit = "patient"
    looks_at = frozenset({"attributes"})

    def __init__(self, columns: Sequence[str] | None = None, year: int = 2024) -> None:
        self.columns = columns
        self.year = year

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:
        """Determine the columns, the order of days and months, and the values of text.

        Parameters
        ----------
        X : DataFrame
            One row per patient.
        y : object
            Not used.

        Returns
        -------
        PatientAttributes
            The same object.

        Raises
        ------
        ValueError
            If there are no attributes, or one of `columns` is missing.
        """
        X = as_frame(X)
        self.columns_ = attribute_columns(X, self.columns)
        self.orders_: dict[str, dict[str, str]] = {}
        self.values_: dict[str, list[str]] = {}
        for name in self.columns_:
            if _is_birth(name, X[name]):
                self.orders_[name] = date_orders(X[name])
            elif name.lower() not in _SEX_COLUMNS and not _is_numeric(X[name]):
                self.values_[name] = sorted(set(X[name].dropna().astype(str)))
        self.feature_names_out_ = [name for part in self._parts(X) for name in part.columns]
        return self

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        """Return the attributes as numbers.

        Parameters
        ----------
        X : DataFrame
            One row per patient.

        Returns
        -------
        (n_patients, n_out) ndarray of float64
            NaN where a value is missing.

        Raises
        ------
        ValueError
            If an attribute is missing.
        """
        check_is_fitted(self, "columns_")
        X = as_frame(X)
        attribute_columns(X, self.columns_)
        return pd.concat(list(self._parts(X)), axis=1).to_numpy(dtype=np.float64)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return ``age``, ``sex``, and the names of the other columns.

        Parameters
        ----------
        input_features : object
            Not used.

        Returns
        -------
        (n_out,) ndarray of object
        """
        check_is_fitted(self, "columns_")
        return np.asarray(self.feature_names_out_, dtype=object)

    def _parts(self, X: pd.DataFrame) -> Iterator[pd.DataFrame]:
        """Yield the columns of numbers of each attribute."""
        for name in self.columns_:
            column = X[name]
            if name in self.orders_:
                dates = read_dates(column, self.orders_[name])
                _warn_of_missing(name, [text for text in dates["problem"] if text])
                yield pd.DataFrame({"age": self.year - dates["year"].to_numpy()}, index=X.index)
            elif name.lower() in _SEX_COLUMNS:
                yield pd.DataFrame({name: _sex_codes(column, name)}, index=X.index)
            elif name in self.values_:
                text = column.astype("string")
                yield pd.DataFrame(
                    {
                        f"{name}={value}": (text == value).fillna(False)
                        for value in self.values_[name]
                    },
                    index=X.index,
                ).astype(np.float64)
            else:
                yield pd.DataFrame({name: pd.to_numeric(column, errors="coerce")}, index=X.index)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


@public
class DateFormat(TransformerMixin, BaseEstimator):
    """Describe dates by the format in which they are written, and not by their value.

    Parameters
    ----------
    columns : list of str, optional
        Columns of dates as text. By default the columns that hold a date of birth.

    Attributes
    ----------
    columns_ : list of str
        The columns used.
    formats_ : list of (str, str)
        Column and format of each resulting column.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import pipelines
    >>> step = pipelines.DateFormat()
    >>> step.fit_transform(pd.DataFrame({"dob": ["3/25/1950", "25-03-1950"]})).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    >>> step.get_feature_names_out().tolist()
    ['dob=a-b-y', 'dob=a/b/y']
    """

    unit = "patient"
    looks_at = frozenset({"attributes"})

    def __init__(self, columns: Sequence[str] | None = None) -> None:
        self.columns = columns

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:
        """Determine the formats of the training rows.

        Parameters
        ----------
        X : DataFrame
            One row per patient.
        y : object
            Not used.

        Returns
        -------
        DateFormat
            The same object.

        Raises
        ------
        ValueError
            If there is no column of dates of birth as text.
        """
        X = as_frame(X)
        self.columns_ = list(self.columns) if self.columns is not None else date_columns(X)
        if not self.columns_:
            raise ValueError("the table has no column with dates of birth as text")
        self.formats_ = [
            (name, written)
            for name in self.columns_
            for written in sorted(set(date_formats(X[name])))
        ]
        return self

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        """Return one column per format: 1 for the dates written in it, else 0.

        Parameters
        ----------
        X : DataFrame
            One row per patient.

        Returns
        -------
        (n_patients, n_formats) ndarray of float64
        """
        check_is_fitted(self, "formats_")
        X = as_frame(X)
        formats = {name: np.asarray(date_formats(X[name])) for name in self.columns_}
        columns = [formats[name] == written for name, written in self.formats_]
        return np.column_stack(columns).astype(np.float64)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return names such as ``dob=a/b/y``.

        Parameters
        ----------
        input_features : object
            Not used.

        Returns
        -------
        (n_formats,) ndarray of object
        """
        check_is_fitted(self, "formats_")
        names = [f"{name}={written}" for name, written in self.formats_]
        return np.asarray(names, dtype=object)


def attribute_columns(table: pd.DataFrame, columns: Sequence[str] | None = None) -> list[str]:
    """Return the names of the attributes: `columns`, or all except the bags and the label."""
    if columns is None:
        columns = [str(name) for name in table.columns if name not in (CELLS, "label")]
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise ValueError(f"the table lacks the attributes {shortlist(missing)}")
    if not len(columns):
        raise ValueError("the table has no attributes beside the cells and the label")
    return list(columns)


def date_columns(table: pd.DataFrame) -> list[str]:
    """Return the names of the columns that hold dates of birth as text.

    Parameters
    ----------
    table : DataFrame
        One row per patient.

    Returns
    -------
    list of str

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import pipelines
    >>> pipelines.date_columns(pd.DataFrame({"dob": ["3/25/1950"], "seen": ["1/2/2020"]}))
    ['dob']
    """
    return [
        str(name)
        for name in table.columns
        if _is_birth(str(name), table[name]) and any(date_formats(table[name]))
    ]


def _is_birth(name: str, column: pd.Series) -> bool:
    return name.lower() in _BIRTH_COLUMNS or pd.api.types.is_datetime64_any_dtype(column.dtype)


def _is_numeric(column: pd.Series) -> bool:
    if pd.api.types.is_numeric_dtype(column.dtype):
        return True
    return bool(pd.to_numeric(column.dropna(), errors="coerce").notna().all())


def _sex_codes(column: pd.Series, name: str) -> list[float]:
    """Return 1 for male, 0 for female and NaN for anything else, with a warning."""
    codes, unknown = [], set()
    for value in column:
        code = np.nan
        if isinstance(value, str) and value.strip():
            code = _SEX.get(value.strip().lower(), np.nan)
            if np.isnan(code):
                unknown.add(value)
        elif not pd.isna(value) and value in (0, 1):
            code = float(value)
        codes.append(code)
    _warn_of_missing(name, [f"{value!r} is not a known sex" for value in sorted(unknown)])
    return codes


def _warn_of_missing(name: str, problems: list[str]) -> None:
    if problems:
        warnings.warn(
            f"column {name!r}: {len(problems)} values are treated as missing: "
            + shortlist(problems, 3),
            UserWarning,
            stacklevel=4,
        )
