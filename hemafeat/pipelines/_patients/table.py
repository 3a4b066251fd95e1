"""Statistics over the cells of each patient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from hemafeat._public import public
from hemafeat.pipelines._patients.bags import Bag, as_bags, select_columns, units_of
from hemafeat.pipelines._patients.encodings import Fisher, Prototypes
from hemafeat.pipelines._steps.columns import measured_of

STATISTICS = (
    "mean",
    "sd",
    "p10",
    "p50",
    "p90",
    "trimmed_mean",
    "min",
    "max",
    "sum",
    "top_k",
    "prototypes",
    "fisher",
    "count",
)
"""Statistics of a bag that `PatientTable` can compute."""

_PER_COLUMN = STATISTICS[:10]


@public
class PatientTable(TransformerMixin, BaseEstimator):
    """Describe each patient by statistics over the cells.

    Parameters
    ----------
    statistics : sequence of str
        Statistics to compute. Of each column: ``mean``, ``sd`` (of a sample, NaN for one cell),
        ``p10``, ``p50``, ``p90``, ``trimmed_mean``, ``min``, ``max``, ``sum`` and ``top_k`` (mean
        of the `k` largest values). Of the whole bag: ``prototypes`` (see `Prototypes`), ``fisher``
        (see `Fisher` and [1]_) and ``count`` (number of cells).
    groups : str
        Column that names the patient of each cell, if a table of cells is given.
    columns : list of str, optional
        Names of the features. By default all of the bag, or those called ``mask__family__feature``
        of a table.
    k : int
        Number of cells in ``top_k``; all if there are fewer.
    trim : float
        Share of the cells that ``trimmed_mean`` leaves out at either end.
    n_prototypes : int
        Number of cluster centres of ``prototypes``.
    n_mixtures : int
        Number of Gaussians of ``fisher``.
    n_components : int
        Number of principal axes for ``prototypes`` and ``fisher``.
    n_each : int
        Largest number of cells of one patient on which these two are fitted.
    random_state : int
        Seed of these two.

    Attributes
    ----------
    columns_ : list of str
        The features used.

    Notes
    -----
    ``count`` and ``sum`` reveal the number of cells, and ``min``, ``max`` and ``top_k`` are more
    extreme the more cells there are. If the number of cells is correlated with the label, for
    example because more images of ill patients were taken, a model learns that. `bag_size_only`
    measures how much it could learn. None of them is computed by default.

    Statistics of a column ignore missing values, and are NaN if all values are missing. Prototypes
    and mixture replace them by training medians. Both are fitted in `fit`, so that inside a fold
    they never see the patients to be predicted.

    References
    ----------
    .. [1] J. Sanchez et al., "Image Classification with the Fisher Vector: Theory and Practice",
       International Journal of Computer Vision 105, 2013.

    Examples
    --------
    >>> from hemafeat import datasets, pipelines
    >>> rows = pipelines.bags(datasets.drawn_bags(6, n_features=3, random_state=0))
    >>> table = pipelines.PatientTable(["mean", "count"]).set_output(transform="pandas")
    >>> table.fit_transform(rows).columns.tolist()[-2:]
    ['cell__drawn__f02__mean', 'bag__count']
    """

    def __init__(
        self,
        statistics: Sequence[str] = ("mean", "sd", "p10", "p50", "p90"),
        *,
        groups: str = "patient",
        columns: Sequence[str] | None = None,
        k: int = 10,
        trim: float = 0.1,
        n_prototypes: int = 16,
        n_mixtures: int = 4,
        n_components: int = 8,
        n_each: int = 100,
        random_state: int = 0,
    ) -> None:
        self.statistics = statistics
        self.groups = groups
        self.columns = columns
        self.k = k
        self.trim = trim
        self.n_prototypes = n_prototypes
        self.n_mixtures = n_mixtures
        self.n_components = n_components
        self.n_each = n_each
        self.random_state = random_state

    unit = "patient"

    @property
    def looks_at(self) -> frozenset[str]:
        """Parts of the table that are looked at: none of them for ``"count"`` alone."""
        counts = self.statistics == "count" or list(self.statistics) == ["count"]
        return frozenset() if counts else frozenset({"features"})

    def fit(self, X: Any, y: Any = None) -> Self:
        """Determine the columns, and fit prototypes and mixture if they are needed.

        Parameters
        ----------
        X : DataFrame or sequence of arrays
            Patients: rows of `bags`, a table of cells with the column `groups`, or one array of
            cells per patient.
        y : object
            Not used.

        Returns
        -------
        PatientTable
            The same object.

        Raises
        ------
        ValueError
            If there is no statistic of that name, a bag is empty, or bags differ in their columns.
        """
        single = isinstance(self.statistics, str)
        statistics = [str(self.statistics)] if single else list(self.statistics)
        unknown = [name for name in statistics if name not in STATISTICS]
        if unknown or not statistics:
            raise ValueError(
                f"there are no statistics {', '.join(unknown)}; choose from {', '.join(STATISTICS)}"
            )
        if not 0 <= self.trim < 0.5:
            raise ValueError(f"trim={self.trim}: expected a share from 0 to below 0.5")
        if self.k < 1:
            raise ValueError(f"k={self.k}: expected at least 1")
        bags = as_bags(X, self.groups, self.columns)
        self.columns_ = list(bags[0].columns if self.columns is None else self.columns)
        self.units_ = dict(bags[0].units)
        self.measured_ = measured_of(X)
        bags = _check_sizes(select_columns(bags, self.columns_))
        common = (self.n_components, self.n_each, self.random_state)
        encodings: dict[str, Any] = {}
        if "prototypes" in statistics:
            encodings["prototypes"] = Prototypes(self.n_prototypes, *common).fit(bags)
        if "fisher" in statistics:
            encodings["fisher"] = Fisher(self.n_mixtures, *common).fit(bags)
        self.words_ = encodings
        self.statistics_ = statistics
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the statistics of each patient.

        Parameters
        ----------
        X : DataFrame or sequence of arrays
            Patients, as in `fit`. For a table of cells the patients are sorted.

        Returns
        -------
        (n_patients, n_columns) ndarray of float64
            Columns in the order of `get_feature_names_out`.
        """
        check_is_fitted(self, "statistics_")
        bags = as_bags(X, self.groups, self.columns_)
        bags = _check_sizes(select_columns(bags, self.columns_, units_of(self)))
        per_column = [name for name in self.statistics_ if name in _PER_COLUMN]
        n = len(self.columns_)
        values = np.empty((len(bags), n * len(per_column)))
        for row, bag in enumerate(bags if per_column else ()):
            values[row] = _column_statistics(bag.features, per_column, self.k, self.trim)
        parts, start = [], 0
        for name in self.statistics_:
            if name in _PER_COLUMN:
                parts.append(values[:, start : start + n])
                start += n
            elif name == "count":
                parts.append(np.array([[len(bag)] for bag in bags], dtype=np.float64))
            else:
                parts.append(self.words_[name].transform(bags))
        return np.hstack(parts)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return ``<column>__<statistic>``, or names such as ``bag__prototype__00``.

        Parameters
        ----------
        input_features : object
            Not used.

        Returns
        -------
        (n_columns,) ndarray of object
        """
        check_is_fitted(self, "statistics_")
        names: list[str] = []
        for name in self.statistics_:
            if name in _PER_COLUMN:
                names += [f"{column}__{name}" for column in self.columns_]
            else:
                names += ["bag__count"] if name == "count" else self.words_[name].names()
        return np.asarray(names, dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.two_d_array = False
        return tags


def _check_sizes(bags: list[Bag]) -> list[Bag]:
    """Return the bags, or raise an error if one of them is empty."""
    for number, bag in enumerate(bags):
        if not len(bag):
            raise ValueError(f"bag {number} holds no cells")
    return bags


def _column_statistics(values: np.ndarray, names: Sequence[str], k: int, trim: float) -> np.ndarray:
    """Return all statistics of all columns of one bag, statistic by statistic."""
    # Sorting puts NaN last and makes sums independent of the order of the cells.
    ordered = np.sort(values, axis=0)
    n_valid = np.sum(~np.isnan(values), axis=0)
    return np.concatenate([_STATISTIC[name](ordered, n_valid, k, trim) for name in names])


def _sum_between(ordered: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    rank = np.arange(len(ordered))[:, None]
    return np.sum(ordered, axis=0, where=(rank >= start) & (rank < stop))


def _divide(total: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Return total / n, NaN where n is not positive."""
    return np.divide(total, n, out=np.full(total.shape, np.nan), where=n > 0)


def _mean(ordered: np.ndarray, n_valid: np.ndarray, k: int, trim: float) -> np.ndarray:
    return _divide(_sum_between(ordered, np.zeros_like(n_valid), n_valid), n_valid)


def _sd(ordered: np.ndarray, n_valid: np.ndarray, k: int, trim: float) -> np.ndarray:
    squares = (ordered - _mean(ordered, n_valid, k, trim)) ** 2
    return np.sqrt(_divide(_sum_between(squares, np.zeros_like(n_valid), n_valid), n_valid - 1))


def _trimmed_mean(ordered: np.ndarray, n_valid: np.ndarray, k: int, trim: float) -> np.ndarray:
    cut = np.floor(trim * n_valid).astype(int)
    return _divide(_sum_between(ordered, cut, n_valid - cut), n_valid - 2 * cut)


def _sum(ordered: np.ndarray, n_valid: np.ndarray, k: int, trim: float) -> np.ndarray:
    total = _sum_between(ordered, np.zeros_like(n_valid), n_valid)
    return np.where(n_valid > 0, total, np.nan)


def _top_k(ordered: np.ndarray, n_valid: np.ndarray, k: int, trim: float) -> np.ndarray:
    start = np.maximum(n_valid - k, 0)
    return _divide(_sum_between(ordered, start, n_valid), n_valid - start)


def _quantile(q: float) -> Callable[..., np.ndarray]:
    """Return the function that computes a quantile by linear interpolation."""

    def quantile(ordered: np.ndarray, n_valid: np.ndarray, k: int, trim: float) -> np.ndarray:
        rank = q * np.maximum(n_valid - 1, 0)
        low = np.floor(rank).astype(int)
        column = np.arange(ordered.shape[1])
        below, above = ordered[low, column], ordered[np.ceil(rank).astype(int), column]
        return below + (rank - low) * (above - below)

    return quantile


_STATISTIC: dict[str, Callable[..., np.ndarray]] = {
    "mean": _mean,
    "sd": _sd,
    "p10": _quantile(0.1),
    "p50": _quantile(0.5),
    "p90": _quantile(0.9),
    "trimmed_mean": _trimmed_mean,
    "min": _quantile(0.0),
    "max": _quantile(1.0),
    "sum": _sum,
    "top_k": _top_k,
}
