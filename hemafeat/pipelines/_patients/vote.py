"""One to one: every cell is judged by itself, and the patient by the verdicts on the cells."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted

from hemafeat._public import public
from hemafeat.pipelines._patients.bags import as_bags, positive_place, stacked, taken, unstacked

AGGREGATES = ("mean", "majority", "min", "max")


@public
class CellVote(ClassifierMixin, BaseEstimator):
    """Judge every cell by itself, then the patient by all verdicts.

    Each training cell is given the label of its patient, whatever it is itself. With few abnormal
    cells in an ill patient most of these labels are wrong, and `positive` is then best judged by
    `max`; with one kind of cell only, by `mean`.

    Parameters
    ----------
    model : estimator
        A classifier of cells with `predict_proba`, such as `pipelines.logistic`.
    aggregate : {"mean", "majority", "min", "max"}
        Of the probabilities of the cells: their mean, or the share of cells that vote for a class;
        for two classes also the least or the largest probability of `positive`.
    positive : str, optional
        The class that ``"min"`` and ``"max"`` look at; by default the one beside a label such as
        ``reactive`` or ``normal``, else the last.
    groups : str
        Column that says whose cells these are, where a table of cells is given.

    Attributes
    ----------
    model_ : estimator
        Fitted on the cells of the training patients.
    classes_ : ndarray
    """

    unit = "patient"
    looks_at = frozenset({"features"})

    def __init__(
        self,
        model: Any,
        aggregate: str = "mean",
        positive: Any = None,
        groups: str = "patient",
    ) -> None:
        self.model = model
        self.aggregate = aggregate
        self.positive = positive
        self.groups = groups

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the model of cells.

        Parameters
        ----------
        X : DataFrame or sequence of arrays
            Patients, as `bags` gives them.
        y : (n_patients,) array
            Labels of the patients.

        Raises
        ------
        ValueError
            An unknown way to aggregate, or one for two classes with more.
        """
        if self.aggregate not in AGGREGATES:
            raise ValueError(f"aggregate={self.aggregate!r}: there are {', '.join(AGGREGATES)}")
        y = np.asarray(y)
        found = as_bags(X, self.groups)
        if len(found) != len(y):
            raise ValueError(f"{len(found)} patients and {len(y)} labels")
        self.columns_ = list(found[0].columns)
        self.classes_ = np.unique(y)
        if self.aggregate in ("min", "max"):
            if len(self.classes_) != 2:
                raise ValueError(f"aggregate={self.aggregate!r} is for two classes")
            positive_place(self.classes_, self.positive)
        values, member = stacked(found)
        self.model_ = clone(self.model).fit(self._frame(values), y[member])
        return self

    def cell_proba(self, X: Any) -> list[np.ndarray]:
        """Probabilities of each cell: per patient (n_cells, n_classes)."""
        check_is_fitted(self, "model_")
        found = taken(as_bags(X, self.groups, self.columns_), self.columns_)
        values, member = stacked(found)
        given = np.asarray(self.model_.predict_proba(self._frame(values)), dtype=np.float64)
        return list(unstacked(given, member, len(found)))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of each patient: (n_patients, n_classes)."""
        cells = self.cell_proba(X)
        n = len(self.classes_)
        if self.aggregate == "mean":
            return np.array([part.mean(axis=0) for part in cells])
        if self.aggregate == "majority":
            votes = [np.bincount(part.argmax(axis=1), minlength=n) / len(part) for part in cells]
            return np.array(votes)
        place = positive_place(self.classes_, self.positive)
        best = np.min if self.aggregate == "min" else np.max
        chance = np.array([best(part[:, place]) for part in cells])
        return np.column_stack([chance, 1 - chance] if place == 0 else [1 - chance, chance])

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each patient."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def _frame(self, values: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame(values, columns=self.columns_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.two_d_array = False
        return tags
