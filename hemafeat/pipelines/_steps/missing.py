"""Imputation of missing values by medians, with one indicator per pattern of missingness."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from hemafeat._fits import shared
from hemafeat._public import public
from hemafeat.pipelines._steps.columns import column_slices


@public
class FillMissing(TransformerMixin, BaseEstimator):
    """Replace missing values by the training median, with one indicator per pattern.

    A platelet has no nucleus, so that all its nucleus columns are NaN together. This is a single
    piece of information: hundreds of equal indicator columns would dominate every distance. Columns
    that are missing in the same training rows therefore share one indicator. Columns that are
    constant in the training rows are dropped.

    Parameters
    ----------
    flags : bool
        Whether to append the indicators.

    Attributes
    ----------
    kept_ : ndarray of int
        Numbers of the columns that vary in the training rows.
    medians_ : ndarray of float
        Training median of each of these columns.
    flagged_ : ndarray of int
        Number of the first column of each pattern of missingness.

    Notes
    -----
    In `sklearn.impute.SimpleImputer` with ``add_indicator=True`` every column has an indicator, and
    a column without any training value causes a warning.

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> nan = float("nan")
    >>> pipelines.FillMissing().fit_transform([[1, nan, nan], [3, 4, 6], [8, 2, 8]]).tolist()
    [[1.0, 3.0, 7.0, 1.0], [3.0, 4.0, 6.0, 0.0], [8.0, 2.0, 8.0, 0.0]]
    """

    def __init__(self, flags: bool = True) -> None:
        self.flags = flags

    @shared
    def fit(self, X: Any, y: Any = None) -> Self:
        """Compute the medians and the patterns of missingness.

        Parameters
        ----------
        X : (n_cells, n_features) array
            Values, NaN where missing.
        y : object
            Not used.

        Returns
        -------
        FillMissing
            The same object.
        """
        X = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan")
        kept = np.zeros(X.shape[1], dtype=bool)
        medians = np.zeros(X.shape[1])
        first: dict[bytes, int] = {}
        for part in column_slices(X.shape[1]):
            values = X[:, part]
            missing = np.isnan(values)
            has_value = ~missing.all(axis=0)
            low = np.min(values, axis=0, where=~missing, initial=np.inf)
            high = np.max(values, axis=0, where=~missing, initial=-np.inf)
            kept[part] = has_value & (low < high)
            medians[part][has_value] = np.nanmedian(values[:, has_value], axis=0)
            if self.flags:
                for column in np.flatnonzero(missing.any(axis=0) & has_value):
                    pattern = np.packbits(missing[:, column]).tobytes()
                    first.setdefault(pattern, part.start + int(column))
        if not kept.any():
            # A model needs at least one column, even a constant one.
            kept[0] = True
        self.kept_ = np.flatnonzero(kept)
        self.medians_ = medians[self.kept_]
        self.flagged_ = np.asarray(sorted(first.values()), dtype=np.int64)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Replace the missing values and append the indicators.

        Parameters
        ----------
        X : (n_cells, n_features) array
            Values, NaN where missing.

        Returns
        -------
        (n_cells, n_kept + n_flags) ndarray of float64
            Values without NaN, then indicators of 0 and 1.
        """
        check_is_fitted(self, "kept_")
        X = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False)
        n = self.kept_.size
        out = np.empty((len(X), n + self.flagged_.size))
        for part in column_slices(n):
            values = X[:, self.kept_[part]]
            np.copyto(values, self.medians_[part], where=np.isnan(values))
            out[:, part] = values
        out[:, n:] = np.isnan(X[:, self.flagged_])
        return out

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the kept columns, then ``missing__<first column of the pattern>``.

        Parameters
        ----------
        input_features : sequence of str, optional
            Names of the columns given to `fit`. By default those of the table, or ``x0, x1, ...``.

        Returns
        -------
        (n_kept + n_flags,) ndarray of object
        """
        check_is_fitted(self, "kept_")
        if input_features is None:
            default = [f"x{j}" for j in range(self.n_features_in_)]
            input_features = getattr(self, "feature_names_in_", default)
        names = np.asarray(input_features, dtype=object)
        if len(names) != self.n_features_in_:
            raise ValueError("input_features should have length equal to number of features")
        flags = [f"missing__{name}" for name in names[self.flagged_]]
        return np.concatenate([names[self.kept_], np.asarray(flags, dtype=object)])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
