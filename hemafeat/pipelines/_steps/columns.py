"""The first step of every pipeline: the feature columns of a table, and nothing else of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from hemafeat import extract
from hemafeat._public import public


def shortlist(names: Iterable[object], show: int = 5) -> str:
    """The first few names and how many more there are, for a message."""
    words = [str(name) for name in names]
    more = f" and {len(words) - show} more" if len(words) > show else ""
    return ", ".join(words[:show]) + more


@public
class FeatureColumns(TransformerMixin, BaseEstimator):
    """Take the feature columns out of a table.

    A model given the whole table of `extract.table` must not learn from the label, the patient or
    the quality columns that stand beside the features. This step selects by name, so that
    ``model.fit(table, table["label"])`` is safe, extra columns do no harm, and the order of the
    columns does not matter.

    Parameters
    ----------
    columns : "features", "all" or list of str
        ``"features"``: the columns called ``mask__family__feature``. ``"all"``: every column, for
        a table that holds only features under other names. A list: exactly those.

    Attributes
    ----------
    feature_names_in_ : ndarray of str
        The columns taken, in the order of the table seen in `fit`. Absent when fitted on an array,
        which is passed on as it is.

    Notes
    -----
    Missing values are passed on as NaN; infinite ones raise, with the names of their columns.
    """

    looks_at = frozenset({"features"})

    def __init__(self, columns: str | list[str] = "features") -> None:
        self.columns = columns

    def fit(self, X: Any, y: Any = None) -> Self:
        """Note which columns to take.

        Parameters
        ----------
        X : DataFrame or array of shape (n_cells, n_columns)
            The table of cells.
        y : object
            Not used.

        Raises
        ------
        ValueError
            No column of the table is a feature, or one of `columns` is missing.
        """
        if not isinstance(X, pd.DataFrame):
            self.n_features_in_ = _array(X).shape[1]
            self.__dict__.pop("feature_names_in_", None)
            return self
        if isinstance(self.columns, str) and self.columns == "features":
            taken = extract.feature_columns(X)
            if not taken:
                raise ValueError(
                    "no column of the table is called mask__family__feature (its first columns: "
                    f"{shortlist(X.columns)}); with columns='all' every column is taken"
                )
        elif isinstance(self.columns, str) and self.columns == "all":
            taken = [str(name) for name in X.columns]
        elif isinstance(self.columns, str):
            raise ValueError(
                f"columns={self.columns!r}: give 'features', 'all' or a list of column names"
            )
        else:
            taken = list(self.columns)
        self.feature_names_in_ = np.asarray(taken, dtype=object)
        self.n_features_in_ = len(taken)
        self._select(X)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """The columns taken in `fit`, as float64.

        Parameters
        ----------
        X : DataFrame or array of shape (n_cells, n_columns)
            A table that holds at least the columns seen in `fit`, in any order.

        Returns
        -------
        (n_cells, n_features) ndarray of float64
            NaN where a value is missing.

        Raises
        ------
        ValueError
            Columns are missing, are not numbers, or hold infinite values.
        """
        check_is_fitted(self, "n_features_in_")
        if isinstance(X, pd.DataFrame) and hasattr(self, "feature_names_in_"):
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
        part = X[list(self.feature_names_in_)]
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
                "a value that is not defined must be NaN"
            )
        return values

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns given on; ``x0, x1, ...`` when fitted on an array."""
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
