"""Selection of the feature columns of a table, the first step of every pipeline on features."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from hemafeat import extract
from hemafeat._frames import as_frame
from hemafeat._public import public


def column_slices(n: int) -> list[slice]:
    """Divide `n` columns into slices of some 64, which are worked on one after the other.

    What is computed of them at a time stays small, however many rows there are.
    """
    ends = np.linspace(0, n, max(1, n // 64) + 1).astype(int).tolist()
    return [slice(start, stop) for start, stop in pairwise(ends)]


def shortlist(names: Iterable[object], show: int = 5) -> str:
    """Return the first few names and the number of the others, for a message."""
    words = [str(name) for name in names]
    rest = f" and {len(words) - show} more" if len(words) > show else ""
    return ", ".join(words[:show]) + rest


def measured_of(X: Any) -> dict[str, str]:
    """Return how the cells of a table were measured, if it says so; for a model to keep."""
    stored = X.attrs.get("measured") if isinstance(X, pd.DataFrame) else None
    return {str(k): str(v) for k, v in stored.items()} if isinstance(stored, dict) else {}


def check_names(names: Iterable[str]) -> list[str]:
    """Return names of columns as a list, or raise a ValueError if one occurs twice."""
    names = list(names)
    repeated = [name for name, n in Counter(names).items() if n > 1]
    if repeated:
        raise ValueError(f"columns that are named twice: {shortlist(repeated)}")
    return names


def check_units(fitted: Mapping[str, str], given: Mapping[str, str]) -> None:
    """Refuse features in other units than those of the training rows.

    Parameters
    ----------
    fitted, given : mapping of str to str
        Unit of each column in the training rows and in the others, as far as known. A unit is
        compared only if it is known on both sides.

    Raises
    ------
    ValueError
        If a unit differs. The message says what to do.
    """
    differ = [name for name, unit in given.items() if fitted.get(name, unit) != unit]
    if not differ:
        return
    name = differ[0]
    others = f", and {len(differ) - 1} more columns" if len(differ) > 1 else ""
    if re.search(r"\bum\b", fitted[name]):
        advice = "measure its images with their scale (um_per_px)"
    elif re.search(r"\bum\b", given[name]):
        advice = (
            "measure its images without their scale (um_per_px), or fit the model on a table in um"
        )
    else:
        advice = "measure both in the same way"
    raise ValueError(
        f"the model was fitted on {name} in {fitted[name]!r}, the table has it in "
        f"{given[name]!r}{others}: {advice}"
    )


@public
class FeatureColumns(TransformerMixin, BaseEstimator):
    """Select the feature columns of a table by name.

    A model that is given the whole table of `extract.table` must not learn from the label, the
    patient or the quality columns. With this step ``model.fit(table, table["label"])`` is safe, and
    other columns and the order of the columns do not matter.

    Parameters
    ----------
    columns : "features", "all" or list of str
        Columns to select: for ``"features"`` those called ``mask__family__feature``; for ``"all"``
        every column, if the features have other names; or the names of the columns.

    Attributes
    ----------
    feature_names_in_ : ndarray of str
        The selected columns, in the order of the table given to `fit`. It does not exist if the
        step was fitted on an array, all columns of which are selected.
    units_ : dict of str to str
        Unit of each of them, as far as the table given to `fit` tells it, see `extract.units`. A
        table in other units is refused.

    Notes
    -----
    Missing values are passed on as NaN. Infinite values raise an error that names their columns.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import pipelines
    >>> table = pd.DataFrame({"label": ["a", "b"], "cell__shape__area": [5, 7], "patient": [1, 1]})
    >>> pipelines.FeatureColumns().fit_transform(table).tolist()
    [[5.0], [7.0]]
    """

    looks_at = frozenset({"features"})

    def __init__(self, columns: str | list[str] = "features") -> None:
        self.columns = columns

    def fit(self, X: Any, y: Any = None) -> Self:
        """Determine the columns to select.

        Parameters
        ----------
        X : DataFrame or array of shape (n_cells, n_columns)
            Table of cells, of pandas or of any library that converts to it, such as polars.
        y : object
            Not used.

        Returns
        -------
        FeatureColumns
            The same object.

        Raises
        ------
        ValueError
            If no column of the table is a feature, one of `columns` is missing, two columns have
            one name, or the scale is known for some rows only.
        """
        X = as_frame(X)
        self.measured_ = measured_of(X)
        self.units_: dict[str, str] = {}
        if not isinstance(X, pd.DataFrame):
            self.n_features_in_ = _array(X).shape[1]
            self.__dict__.pop("feature_names_in_", None)
            return self
        if isinstance(self.columns, str) and self.columns == "features":
            names = extract.feature_columns(X)
            if not names:
                raise ValueError(
                    "no column of the table is called mask__family__feature (its first columns: "
                    f"{shortlist(X.columns)}); columns='all' selects every column"
                )
        elif isinstance(self.columns, str) and self.columns == "all":
            names = [str(name) for name in X.columns]
        elif isinstance(self.columns, str):
            raise ValueError(
                f"columns={self.columns!r}: expected 'features', 'all' or a list of column names"
            )
        else:
            names = check_names(self.columns)
        self.feature_names_in_ = np.asarray(names, dtype=object)
        self.n_features_in_ = len(names)
        self._select(X)
        units = extract.units(X, assume_px=False)
        self.units_ = {name: units[name] for name in names if name in units}
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the selected columns.

        Parameters
        ----------
        X : DataFrame or array of shape (n_cells, n_columns)
            Table with at least the selected columns, in any order.

        Returns
        -------
        (n_cells, n_features) ndarray of float64
            NaN where a value is missing. It may be read-only and share the memory of the table.

        Raises
        ------
        ValueError
            If columns are missing, are not numbers, hold infinite values, or are in other units
            than those of the table given to `fit`.
        """
        check_is_fitted(self, "n_features_in_")
        X = as_frame(X)
        if isinstance(X, pd.DataFrame) and hasattr(self, "feature_names_in_"):
            # Models of earlier versions have no units.
            check_units(getattr(self, "units_", {}), extract.units(X, assume_px=False))
            return self._select(X)
        values = _array(X)
        if values.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {values.shape[1]} features, but FeatureColumns is expecting "
                f"{self.n_features_in_} features as input"
            )
        return values

    def _select(self, X: pd.DataFrame) -> np.ndarray:
        missing = [name for name in self.feature_names_in_ if name not in X.columns]
        if missing:
            raise ValueError(f"the table lacks {len(missing)} columns: {shortlist(missing)}")
        names = list(self.feature_names_in_)
        # Without a copy, if all columns are selected and are one array.
        part = X if list(X.columns) == names else X[names]
        try:
            values = part.to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError):
            wrong = [
                n for n, kind in part.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)
            ]
            raise ValueError(f"columns that are not numbers: {shortlist(wrong)}") from None
        bad = np.isinf(values).any(axis=0)
        if bad.any():
            raise ValueError(
                f"infinite values in {shortlist(self.feature_names_in_[bad])}; "
                "an undefined value must be NaN"
            )
        values.flags.writeable &= part is not X
        return values

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the selected columns.

        Parameters
        ----------
        input_features : sequence of str, optional
            Names to return if the step was fitted on an array; ``x0, x1, ...`` by default.

        Returns
        -------
        (n_features,) ndarray of object

        Raises
        ------
        ValueError
            If the number of names is not that of the columns.
        """
        check_is_fitted(self, "n_features_in_")
        if hasattr(self, "feature_names_in_"):
            return self.feature_names_in_
        if input_features is not None:
            if len(input_features) != self.n_features_in_:
                raise ValueError("input_features should have length equal to number of features")
            return np.asarray(input_features, dtype=object)
        return np.asarray([f"x{j}" for j in range(self.n_features_in_)], dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _array(X: Any) -> np.ndarray:
    return check_array(X, dtype=np.float64, ensure_all_finite="allow-nan")
