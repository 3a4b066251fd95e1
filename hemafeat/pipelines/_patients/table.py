"""From bags of cells to one row of numbers per patient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from hemafeat._public import public
from hemafeat.pipelines._patients.bags import Bag, as_bags, taken
from hemafeat.pipelines._patients.encodings import Fisher, Prototypes

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
"""What `PatientTable` can tell of a bag."""

_PER_COLUMN = STATISTICS[:10]


@public
class PatientTable(TransformerMixin, BaseEstimator):
    """Describe each patient by statistics over the cells.

    Parameters
    ----------
    statistics : sequence of str
        Of each column: ``mean``, ``sd`` (of a sample, NaN for one cell), ``p10``, ``p50``, ``p90``,
        ``trimmed_mean``, ``min``, ``max``, ``sum`` and ``top_k`` (mean of the `k` largest). Of the
        bag: ``prototypes`` (share of the cells nearest to each centre of k-means), ``fisher``
        (Fisher vector [1]_ of a mixture of Gaussians) and ``count``.
    groups : str
        Column that says whose cells these are, where a table of cells is given.
    columns : list of str, optional
        The features; by default those called ``mask__family__feature``, or all of a bag.
    k : int
        Cells in ``top_k``; all where there are fewer.
    trim : float
        Share of the cells that ``trimmed_mean`` leaves out at either end.
    n_prototypes, n_mixtures : int
        Centres, and Gaussians.
    n_components : int
        Principal axes on which both are learned.
    n_each : int
        Cells of one patient, at most, that they are learned from.
    random_state : int
        Seed of both.

    Attributes
    ----------
    columns_ : list of str
        The features taken.

    Notes
    -----
    ``count`` and ``sum`` hold the number of cells, and ``min``, ``max`` and ``top_k`` reach further
    out the more cells there are. Where the number of cells goes with the label, because more
    pictures were taken of the sick, say, they learn that; `bag_size_only` says how much there is to
    be learned. None is among the default.

    Statistics of a column leave missing values out, and are NaN where none is left. Prototypes and
    mixture fill them with training medians. Both are learned in `fit`, so that inside a fold they
    never see the patients to be judged.

    References
    ----------
    .. [1] J. Sanchez et al., "Image Classification with the Fisher Vector: Theory and Practice",
       International Journal of Computer Vision 105, 2013.

    Examples
    --------
    >>> from hemafeat import datasets, pipelines
    >>> cells = datasets.drawn_bags(6, n_features=2, random_state=0)
    >>> table = pipelines.PatientTable(["mean", "count"]).set_output(transform="pandas")
    >>> table.fit_transform(cells).shape
    (6, 3)
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
        """What the table is made of: nothing but the number of cells for ``"count"``."""
        counts = self.statistics == "count" or list(self.statistics) == ["count"]
        return frozenset() if counts else frozenset({"features"})

    def fit(self, X: Any, y: Any = None) -> Self:
        """Note the columns, and learn the vocabularies asked for.

        Parameters
        ----------
        X : DataFrame or sequence of arrays
            Rows of `bags`, a table of cells with the column `groups`, or one array of cells per
            patient.
        y : object
            Not used.

        Raises
        ------
        ValueError
            An unknown statistic, or bags that differ in their columns.
        """
        chosen = [self.statistics] if isinstance(self.statistics, str) else list(self.statistics)
        unknown = [name for name in chosen if name not in STATISTICS]
        if unknown or not chosen:
            raise ValueError(f"no statistic {unknown}; there are: {', '.join(STATISTICS)}")
        if not 0 <= self.trim < 0.5:
            raise ValueError(f"trim={self.trim}: expected a share from 0 to below 0.5")
        if self.k < 1:
            raise ValueError(f"k={self.k}: expected at least 1")
        found = as_bags(X, self.groups, self.columns)
        self.columns_ = list(found[0].columns if self.columns is None else self.columns)
        found = _filled(taken(found, self.columns_))
        common = (self.n_components, self.n_each, self.random_state)
        words: dict[str, Any] = {}
        if "prototypes" in chosen:
            words["prototypes"] = Prototypes(self.n_prototypes, *common).fit(found)
        if "fisher" in chosen:
            words["fisher"] = Fisher(self.n_mixtures, *common).fit(found)
        self.words_ = words
        self.statistics_ = chosen
        return self

    def transform(self, X: Any) -> np.ndarray:
        """One row per patient.

        Parameters
        ----------
        X : DataFrame or sequence of arrays
            As in `fit`. Of a table of cells, the rows come in the order of the sorted patients.

        Returns
        -------
        (n_patients, n_columns) ndarray of float64
            Columns as `get_feature_names_out` names them.
        """
        check_is_fitted(self, "statistics_")
        found = _filled(taken(as_bags(X, self.groups, self.columns_), self.columns_))
        per_column = [name for name in self.statistics_ if name in _PER_COLUMN]
        n = len(self.columns_)
        numbers = np.empty((len(found), n * len(per_column)))
        for row, bag in enumerate(found if per_column else ()):
            numbers[row] = _described(bag.features, per_column, self.k, self.trim)
        parts, start = [], 0
        for name in self.statistics_:
            if name in _PER_COLUMN:
                parts.append(numbers[:, start : start + n])
                start += n
            elif name == "count":
                parts.append(np.array([[len(bag)] for bag in found], dtype=np.float64))
            else:
                parts.append(self.words_[name].transform(found))
        return np.hstack(parts)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """``<column>__<statistic>``; of the bag ``bag__prototype__00``, ``bag__count`` and such."""
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


def _filled(found: list[Bag]) -> list[Bag]:
    for place, bag in enumerate(found):
        if not len(bag):
            raise ValueError(f"bag {place} holds no cell")
    return found


def _described(values: np.ndarray, names: Sequence[str], k: int, trim: float) -> np.ndarray:
    """All statistics of all columns of one bag, statistic by statistic."""
    # Sorting puts NaN last, and a sum over sorted values does not depend on the order of cells.
    ordered = np.sort(values, axis=0)
    known = np.sum(~np.isnan(values), axis=0)
    return np.concatenate([_STATISTIC[name](ordered, known, k, trim) for name in names])


def _sum_between(ordered: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    place = np.arange(len(ordered))[:, None]
    return np.sum(ordered, axis=0, where=(place >= start) & (place < stop))


def _over(total: np.ndarray, n: np.ndarray) -> np.ndarray:
    return np.divide(total, n, out=np.full(total.shape, np.nan), where=n > 0)


def _mean(ordered: np.ndarray, known: np.ndarray, k: int, trim: float) -> np.ndarray:
    return _over(_sum_between(ordered, np.zeros_like(known), known), known)


def _sd(ordered: np.ndarray, known: np.ndarray, k: int, trim: float) -> np.ndarray:
    away = (ordered - _mean(ordered, known, k, trim)) ** 2
    return np.sqrt(_over(_sum_between(away, np.zeros_like(known), known), known - 1))


def _trimmed(ordered: np.ndarray, known: np.ndarray, k: int, trim: float) -> np.ndarray:
    cut = np.floor(trim * known).astype(int)
    return _over(_sum_between(ordered, cut, known - cut), known - 2 * cut)


def _sum(ordered: np.ndarray, known: np.ndarray, k: int, trim: float) -> np.ndarray:
    total = _sum_between(ordered, np.zeros_like(known), known)
    return np.where(known > 0, total, np.nan)


def _top(ordered: np.ndarray, known: np.ndarray, k: int, trim: float) -> np.ndarray:
    start = np.maximum(known - k, 0)
    return _over(_sum_between(ordered, start, known), known - start)


def _quantile(q: float) -> Callable[..., np.ndarray]:
    def at(ordered: np.ndarray, known: np.ndarray, k: int, trim: float) -> np.ndarray:
        place = q * np.maximum(known - 1, 0)
        low = np.floor(place).astype(int)
        column = np.arange(ordered.shape[1])
        below, above = ordered[low, column], ordered[np.ceil(place).astype(int), column]
        return below + (place - low) * (above - below)

    return at


_STATISTIC: dict[str, Callable[..., np.ndarray]] = {
    "mean": _mean,
    "sd": _sd,
    "p10": _quantile(0.1),
    "p50": _quantile(0.5),
    "p90": _quantile(0.9),
    "trimmed_mean": _trimmed,
    "min": _quantile(0.0),
    "max": _quantile(1.0),
    "sum": _sum,
    "top_k": _top,
}
