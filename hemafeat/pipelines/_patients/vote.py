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
LABELS = ("soft", "hard")


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
    labels : {"soft", "hard"}
        What the rule combines: the probabilities of the cells (default), or their most probable
        labels, as in a report on lymphocytosis [1]_. The outcome of a rule on labels is a label,
        with probabilities of 0 and 1; of two classes it is the positive one only if more than half
        of the cells have it (``"mean"`` and ``"majority"``), all (``"min"``), or any (``"max"``).
    oversample : bool
        Whether cells of the rarer classes are repeated at random until all classes have as many.
        A network with random augmentation sees them changed each time. By default they are not.
    random_state : int
        Seed of the cells that are repeated.

    Attributes
    ----------
    model_ : estimator
        Classifier fitted on the cells of the training patients.
    classes_ : ndarray
        The labels, sorted.
    takes_validation : bool
        Whether `fit` takes a validation part: whether the classifier of cells does.

    References
    ----------
    .. [1] B. Kabongo and J. C. Tonga, "Lymphocytosis classification", project report, ENS
       Paris-Saclay, 2024.

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
    # Files of earlier versions lack these parameters.
    labels, oversample, random_state = "soft", False, 0

    def __init__(
        self,
        model: Any,
        aggregate: str = "mean",
        positive: Any = None,
        groups: str = "patient",
        *,
        labels: str = "soft",
        oversample: bool = False,
        random_state: int = 0,
    ) -> None:
        self.model = model
        self.aggregate = aggregate
        self.positive = positive
        self.groups = groups
        self.labels = labels
        self.oversample = oversample
        self.random_state = random_state

    def fit(self, X: Any, y: Any, validation: tuple[Any, Any] | None = None) -> Self:
        """Fit the classifier of cells.

        Parameters
        ----------
        X : DataFrame or sequence of arrays
            Patients: rows of `bags`, a table of cells, or one array of cells per patient.
        y : (n_patients,) array
            Labels of the patients.
        validation : (X, y), optional
            Patients and labels for the validation of the classifier of cells, if it takes some.

        Returns
        -------
        CellVote
            The same object.

        Raises
        ------
        ValueError
            If there is no rule of that name, it is for two classes and there are more, or the
            classifier of cells takes no validation part.
        """
        check_rule(self.aggregate)
        if self.labels not in LABELS:
            raise ValueError(f"labels={self.labels!r}: choose from {', '.join(LABELS)}")
        y = np.asarray(y)
        bags = as_bags(X, self.groups, None if FEATURES in self.looks_at else [])
        self.columns_ = list(bags[0].columns) if FEATURES in self.looks_at else []
        self.units_ = dict(bags[0].units)
        self.measured_ = measured_of(X)
        self.classes_ = np.unique(y)
        if self.aggregate in ("min", "max"):
            if len(self.classes_) != 2:
                raise ValueError(f"aggregate={self.aggregate!r} is for two classes")
            positive_place(self.classes_, self.positive)
        cells, labels = self._cells(bags, y)
        if self.oversample:
            rows = balanced_rows(labels, self.random_state)
            cells, labels = cells.iloc[rows].reset_index(drop=True), labels[rows]
        model = clone(self.model)
        if validation is None:
            self.model_ = fit_once(model, cells, labels)
            return self
        if not self.takes_validation:
            raise ValueError(f"{type(self.model).__name__} takes no validation part")
        others = as_bags(validation[0], self.groups, self.columns_)
        others = select_columns(others, self.columns_, units_of(self))
        part = self._cells(others, np.asarray(validation[1]))
        self.model_ = model.fit(cells, labels, validation=part)
        return self

    def _cells(self, bags: Sequence[Bag], y: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
        """Return the table of the cells, and the label of the patient of each."""
        if len(bags) != len(y):
            raise ValueError(f"{len(bags)} patients and {len(y)} labels")
        cells = self.cells_table(select_columns(bags, self.columns_))
        return cells, np.repeat(y, [len(bag) for bag in bags])

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
        probabilities = np.asarray(
            self.model_.predict_proba(self.cells_table(bags)), dtype=np.float64
        )
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
        return np.array([self.vote(cells) for cells in self.cell_proba(X)])

    def vote(self, cells: np.ndarray) -> np.ndarray:
        """Combine the probabilities of the cells of one patient.

        Parameters
        ----------
        cells : (n_cells, n_classes) ndarray
            Probabilities, as `cell_proba` returns them.

        Returns
        -------
        (n_classes,) ndarray of float64
            Probability of each class for the patient.
        """
        return combine(cells, self.aggregate, self.classes_, self.positive, self.labels)

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

    @property
    def takes_validation(self) -> bool:
        """Whether the classifier of cells takes a validation part."""
        return bool(getattr(self.model, "takes_validation", False))

    def cells_table(self, bags: Sequence[Bag]) -> pd.DataFrame:
        """Return the cells of some patients as the classifier of cells takes them.

        Parameters
        ----------
        bags : sequence of Bag
            Patients, with the columns `columns_`.

        Returns
        -------
        DataFrame
            One row per cell, with its image and its patient for a classifier of images.
        """
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


def check_rule(rule: str) -> None:
    """Raise an error if there is no rule of that name."""
    if rule not in AGGREGATES:
        raise ValueError(f"aggregate={rule!r}: choose from {', '.join(AGGREGATES)}")


def combine(
    cells: np.ndarray, rule: str, classes: np.ndarray, positive: Any = None, labels: str = "soft"
) -> np.ndarray:
    """Combine the probabilities of parts of a patient into those of the patient, by a rule.

    Parameters
    ----------
    cells : (n_cells, n_classes) ndarray
        Probabilities of cells, or of bags of cells.
    rule, positive, labels : object
        As in `CellVote`.
    classes : (n_classes,) ndarray
        The labels.

    Returns
    -------
    (n_classes,) ndarray of float64
    """
    n = len(classes)
    place = positive_place(classes, positive)
    if rule == "majority" or labels == "hard":
        cells = np.eye(n)[cells.argmax(axis=1)]
    if rule in ("mean", "majority"):
        out = cells.mean(axis=0)
    else:
        extreme = np.min if rule == "min" else np.max
        out = two_columns(np.array([extreme(cells[:, place])]), place)[0]
    if labels == "soft":
        return out
    return np.eye(n)[(place if out[place] > 0.5 else 1 - place) if n == 2 else out.argmax()]


def balanced_rows(labels: np.ndarray, random_state: int) -> np.ndarray:
    """Return all rows, and rows of the rarer classes again until all classes have as many.

    Parameters
    ----------
    labels : (n_rows,) ndarray
        Labels.
    random_state : int
        Seed of the rows that are repeated. A row is repeated again only once all rows of its class
        have been.

    Returns
    -------
    ndarray of int
        Indices of the rows, those that are repeated last.
    """
    rng = np.random.default_rng(random_state)
    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    rows = [np.arange(len(labels))]
    for code, count in enumerate(counts):
        n_missing = int(counts.max() - count)
        own = np.flatnonzero(codes == code)
        rounds = [rng.permutation(own) for _ in range(-(-n_missing // count))]
        rows.append(np.concatenate([*rounds, own[:0]])[:n_missing])
    return np.concatenate(rows)
