"""Missing values: medians, and one flag per pattern of missingness."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from hemafeat._public import public


@public
class FillMissing(TransformerMixin, BaseEstimator):
    """Fill with the training median, and flag what was missing once per pattern.

    A platelet has no nucleus, so that all its nucleus columns are NaN together. That is
    information, and it is one fact: hundreds of equal indicator columns would drown everything
    else in a distance. Columns that are missing in the same training rows share one flag. Columns
    that take one value only in the training rows are dropped.

    Parameters
    ----------
    flags : bool
        Add the flags.

    Attributes
    ----------
    kept_ : ndarray of int
        The columns that vary in the training rows.
    medians_ : ndarray of float
        Training median of every kept column.
    flagged_ : ndarray of int
        The first column of every pattern of missingness.

    Notes
    -----
    Differs from ``SimpleImputer(add_indicator=True)`` in the shared flags, and in that a column
    without any training value does not warn.
    """

    def __init__(self, flags: bool = True) -> None:
        self.flags = flags

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn medians and patterns.

        Parameters
        ----------
        X : (n_cells, n_features) array
            May hold NaN.
        y : object
            Not used.
        """
        X = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan")
        missing = np.isnan(X)
        known = ~missing.all(axis=0)
        low = np.min(X, axis=0, where=~missing, initial=np.inf)
        high = np.max(X, axis=0, where=~missing, initial=-np.inf)
        kept = known & (low < high)
        if not kept.any():
            # A model needs a column to stand on, even one that says nothing.
            kept[0] = True
        self.kept_ = np.flatnonzero(kept)
        medians = np.zeros(X.shape[1])
        medians[known] = np.nanmedian(X[:, known], axis=0)
        self.medians_ = medians[self.kept_]
        first: dict[bytes, int] = {}
        if self.flags:
            for column in np.flatnonzero(missing.any(axis=0) & known):
                first.setdefault(np.packbits(missing[:, column]).tobytes(), int(column))
        self.flagged_ = np.asarray(sorted(first.values()), dtype=np.int64)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Fill and flag.

        Returns
        -------
        (n_cells, n_kept + n_flags) ndarray of float64
            Without NaN.
        """
        check_is_fitted(self, "kept_")
        X = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False)
        values = X[:, self.kept_]
        filled = np.where(np.isnan(values), self.medians_, values)
        if not self.flagged_.size:
            return filled
        return np.hstack([filled, np.isnan(X[:, self.flagged_])])

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the kept columns, then ``missing__<first column of the pattern>``."""
        check_is_fitted(self, "kept_")
        if input_features is None:
            given = getattr(self, "feature_names_in_", None)
            input_features = (
                given if given is not None else [f"x{j}" for j in range(self.n_features_in_)]
            )
        names = np.asarray(input_features, dtype=object)
        if len(names) != self.n_features_in_:
            raise ValueError("input_features should have length equal to number of features")
        flags = [f"missing__{name}" for name in names[self.flagged_]]
        return np.concatenate([names[self.kept_], np.asarray(flags, dtype=object)])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
