"""Classification of patients by the predictions for their single cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted

from hemafeat._fits import fit_once
from hemafeat._public import public
from hemafeat.pipelines._inspect import FEATURES, GROUPS, IMAGES, looks_at
from hemafeat.pipelines._patients.bags import (
    Bag,
    as_bags,
    positive_place,
    select_columns,
    sources_of,
    two_columns,
    units_of,
)
from hemafeat.pipelines._steps.columns import measured_of
from hemafeat.pipelines._steps.inner_folds import GROUP

AGGREGATES = ("mean", "majority", "min", "max")


@public
class CellVote(ClassifierMixin, BaseEstimator):
    """Classify every cell, then patients by the predictions for their cells.

    A classifier of images, such as `NetworkClassifier`, gets the images of the cells.

    Each training cell is given the label of its patient, whatever it looks like. If ill patients
    have few abnormal cells, most of these labels are wrong, and the maximum of the probability of
    the positive class is the best rule; if all cells of a patient are alike, it is the mean.

    Parameters
    ----------
    model : estimator
        Classifier of cells with `predict_proba`, such as `pipelines.logistic`.
    aggregate : {"mean", "majority", "min", "max"}
        Rule that turns the probabilities of the cells into one: their mean; the share of cells for
        which a class is the most probable; or, for two classes, the smallest or largest probability
        of the positive class.
    positive : str, optional
        Class that ``"min"`` and ``"max"`` refer to. By default the one beside a label such as
        ``reactive`` or ``normal``, else the last, see `positive_place`.
    groups : str
        Column that names the patient of each cell, if a table of cells is given.

    Attributes
    ----------
    model_ : estimator
        Classifier fitted on the cells of the training patients.
    classes_ : ndarray
        The labels, sorted.

    Examples
    --------
    >>> from hemafeat import datasets, pipelines
    >>> rows = pipelines.bags(datasets.drawn_bags(8, random_state=0))
    >>> cells = pipelines.logistic().set_params(columns__columns="all")
    >>> model = pipelines.CellVote(cells, "mean").fit(rows, rows["label"])
    >>> model.predict_proba(rows).shape
    (8, 2)
    """

    unit = "patient"

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
        """Fit the classifier of cells.

        Parameters
        ----------
        X : DataFrame or sequence of arrays
            Patients: rows of `bags`, a table of cells, or one array of cells per patient.
        y : (n_patients,) array
            Labels of the patients.

        Returns
        -------
        CellVote
            The same object.

        Raises
        ------
        ValueError
            If there is no rule of that name, or it is for two classes and there are more.
        """
        if self.aggregate not in AGGREGATES:
            raise ValueError(f"aggregate={self.aggregate!r}: choose from {', '.join(AGGREGATES)}")
        y = np.asarray(y)
        bags = as_bags(X, self.groups, None if FEATURES in self.looks_at else [])
        if len(bags) != len(y):
            raise ValueError(f"{len(bags)} patients and {len(y)} labels")
        self.columns_ = list(bags[0].columns) if FEATURES in self.looks_at else []
        self.units_ = dict(bags[0].units)
        self.measured_ = measured_of(X)
        self.classes_ = np.unique(y)
        if self.aggregate in ("min", "max"):
            if len(self.classes_) != 2:
                raise ValueError(f"aggregate={self.aggregate!r} is for two classes")
            positive_place(self.classes_, self.positive)
        labels = np.repeat(y, [len(bag) for bag in bags])
        cells = self._frame(select_columns(bags, self.columns_))
        self.model_ = fit_once(clone(self.model), cells, labels)
        return self

    def cell_proba(self, X: Any) -> list[np.ndarray]:
        """Return the probability of each class for each cell.

        Parameters
        ----------
        X : DataFrame or sequence of arrays
            Patients, as in `fit`.

        Returns
        -------
        list of (n_cells, n_classes) ndarray of float64
            One array per patient.
        """
        check_is_fitted(self, "model_")
        bags = select_columns(as_bags(X, self.groups, self.columns_), self.columns_, units_of(self))
        probabilities = np.asarray(self.model_.predict_proba(self._frame(bags)), dtype=np.float64)
        return np.split(probabilities, np.cumsum([len(bag) for bag in bags])[:-1])

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class for each patient.

        Parameters
        ----------
        X : DataFrame or sequence of arrays
            Patients, as in `fit`.

        Returns
        -------
        (n_patients, n_classes) ndarray of float64
        """
        cells = self.cell_proba(X)
        n = len(self.classes_)
        if self.aggregate == "mean":
            return np.array([part.mean(axis=0) for part in cells])
        if self.aggregate == "majority":
            votes = [np.bincount(part.argmax(axis=1), minlength=n) / len(part) for part in cells]
            return np.array(votes)
        position = positive_place(self.classes_, self.positive)
        extreme = np.min if self.aggregate == "min" else np.max
        return two_columns(np.array([extreme(part[:, position]) for part in cells]), position)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable label of each patient.

        Parameters
        ----------
        X : DataFrame or sequence of arrays
            Patients, as in `fit`.

        Returns
        -------
        (n_patients,) ndarray
        """
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    @property
    def looks_at(self) -> frozenset[str]:
        """Parts of the table that are looked at: those of the classifier of cells."""
        return looks_at(self.model) - {GROUPS}

    def _frame(self, bags: Sequence[Bag]) -> pd.DataFrame:
        """Return the table of the cells, with their images and patients for a model of images."""
        shape = sum(map(len, bags)), len(self.columns_)
        # Column after column, as pandas keeps them, so that no copy is needed.
        values = np.empty(shape, order="F")
        np.concatenate([bag.features for bag in bags], out=values)
        frame = pd.DataFrame(values, columns=self.columns_, copy=False)
        parts = looks_at(self.model)
        if IMAGES not in parts:
            return frame
        images = [source for bag in bags for source in sources_of(bag)]
        frame["image"] = pd.Series(images, index=frame.index, dtype=object)
        for name in ("um_per_px", "mask"):
            if all(name in bag.beside for bag in bags):
                frame[name] = np.concatenate([bag.beside[name] for bag in bags])
        if GROUPS in parts:
            # Images that are held back to stop the training are those of whole patients.
            frame[GROUP] = np.repeat(np.arange(len(bags)), [len(bag) for bag in bags])
        return frame

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.two_d_array = False
        return tags
