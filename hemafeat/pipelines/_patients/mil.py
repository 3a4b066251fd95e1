"""Multiple-instance learning on bags of feature vectors, as a classifier of patients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import Pipeline
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import check_is_fitted

from hemafeat import networks
from hemafeat._public import public
from hemafeat.pipelines._patients.bags import (
    Bag,
    as_bags,
    positive_place,
    select_columns,
    split_bags,
    stack_bags,
    two_columns,
    units_of,
)
from hemafeat.pipelines._steps.columns import measured_of
from hemafeat.pipelines._steps.missing import FillMissing
from hemafeat.pipelines._steps.scale import ClippedScaler


class BagClassifier(ClassifierMixin, BaseEstimator):
    """Base of the classifiers of patients that are networks of bags.

    A fitted classifier is pickled, and saved, as its parameters and the numbers of its weights. The
    network is rebuilt from them, so that no code is read from a file.
    """

    unit = "patient"
    looks_at = frozenset({"features"})

    pooling: str
    class_weight: str | None
    validation: float
    epochs: int
    patience: int
    batch_size: int
    max_cells: int
    learning_rate: float
    weight_decay: float
    positive: Any
    groups: str
    random_state: int
    network_: Any

    def _network(self) -> Any:
        """Return the network without weights, with the sizes determined by `fit`."""
        raise NotImplementedError

    def judged(self, X: Any) -> list[dict[str, np.ndarray]]:
        """Return ``logit``, and ``weights`` and ``cell_logits`` of the cells, of each patient."""
        raise NotImplementedError

    def _class_codes(self, y: Any, n: int) -> np.ndarray:
        """Set the classes and return the codes of the labels: of two classes 1 for the positive."""
        y = np.asarray(y)
        if n != len(y):
            raise ValueError(f"{n} patients and {len(y)} labels")
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"the labels are of one class only: {self.classes_[0]}")
        self.place_ = positive_place(self.classes_, self.positive)
        if len(self.classes_) == 2:
            codes = (codes == self.place_).astype(int)
        return np.asarray(codes)

    @property
    def _n_outputs(self) -> int:
        return 1 if len(self.classes_) == 2 else len(self.classes_)

    def _train(self, bags: Sequence[Any], codes: np.ndarray, held_back: np.ndarray) -> None:
        weights = None
        if self.class_weight == "balanced":
            classes = np.arange(len(self.classes_))
            weights = compute_class_weight("balanced", classes=classes, y=codes)
        self.network_ = networks.fit_bags(
            self._network(),
            bags,
            codes,
            class_weight=weights,
            held_back=held_back,
            epochs=self.epochs,
            patience=self.patience,
            batch_size=self.batch_size,
            max_cells=self.max_cells,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            random_state=self.random_state,
        )

    def _hold_back(self, codes: np.ndarray) -> np.ndarray:
        """Select the training patients that are held back for validation, as a mask."""
        selected = np.zeros(len(codes), dtype=bool)
        n_selected = round(self.validation * len(codes))
        if n_selected < len(self.classes_) or np.bincount(codes).min() < 2:
            return selected
        split = StratifiedShuffleSplit(1, test_size=n_selected, random_state=self.random_state)
        selected[next(split.split(codes, codes))[1]] = True
        return selected

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class for each patient.

        Parameters
        ----------
        X : DataFrame or sequence
            Patients, as in `fit`.

        Returns
        -------
        (n_patients, n_classes) ndarray of float64
        """
        logits = np.array([output["logit"] for output in self.judged(X)])
        if logits.shape[1] > 1:
            return softmax(logits, axis=1)
        return two_columns(expit(logits[:, 0]), self.place_)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable label of each patient.

        Parameters
        ----------
        X : DataFrame or sequence
            Patients, as in `fit`.

        Returns
        -------
        (n_patients,) ndarray
        """
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.two_d_array = False
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        network = state.get("network_")
        if network is not None:
            state["network_"] = {
                "weights": [np.asarray(array) for array in network.model.get_weights()],
                "history": network.history,
                "best": network.best,
            }
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        saved = state.get("network_")
        if isinstance(saved, dict):
            self.network_ = self._network()
            self.network_.model.set_weights(saved["weights"])
            self.network_.history, self.network_.best = saved["history"], saved["best"]


@public
class MILClassifier(BagClassifier):
    """Multiple-instance learning on bags of feature vectors. Needs Keras (extra ``deep``).

    Parameters
    ----------
    pooling : {"attention", "gated", "batch_weighted", "mean", "max"}
        Pooling of the cells of a patient, see `hemafeat.networks.pool`.
    n_hidden : int
        Size of the embedding of the cells.
    n_attention : int
        Size of the attention layer.
    dropout : float
        Share of the embedding that is dropped in training.
    class_weight : {"balanced"} or None
        Whether the classes have the same weight in the loss.
    validation : float
        Share of the training patients that are held back in order to stop. With 0 the training runs
        for all `epochs`.
    epochs : int
        Largest number of epochs, see `hemafeat.networks.fit_bags`.
    patience : int
        Number of epochs without improvement after which training stops.
    batch_size : int
        Number of patients per step.
    max_cells : int
        Largest number of cells of a patient in a step, see `hemafeat.networks.fit_bags`.
    learning_rate : float
        Learning rate of the optimiser.
    weight_decay : float
        Weight decay of the optimiser.
    positive : str, optional
        Of two classes, the one that positive logits stand for, which ``"max"`` searches the cells
        for. By default the one beside a label such as ``reactive`` or ``normal``, else the last,
        see `positive_place`.
    groups : str
        Column that names the patient of each cell, if a table of cells is given.
    random_state : int
        Seed of the weights, the order of the patients and the patients held back.

    Attributes
    ----------
    network_ : hemafeat.networks.BagNetwork
        The trained network with the loss of every epoch.
    classes_ : ndarray
        The labels, sorted.

    Notes
    -----
    Missing values are filled with training medians and features are scaled, as in the other
    pipelines. The patients held back are training patients; those to be predicted are not used. The
    same seed gives the same network on one machine and backend; other processors round differently.

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> model = pipelines.MILClassifier("gated", epochs=20)
    >>> sorted(pipelines.looks_at(model))
    ['features']
    """

    def __init__(
        self,
        pooling: str = "attention",
        *,
        n_hidden: int = 32,
        n_attention: int = 16,
        dropout: float = 0.2,
        class_weight: str | None = "balanced",
        validation: float = 0.2,
        epochs: int = 150,
        patience: int = 20,
        batch_size: int = 16,
        max_cells: int = 512,
        learning_rate: float = 3e-3,
        weight_decay: float = 1e-2,
        positive: Any = None,
        groups: str = "patient",
        random_state: int = 0,
    ) -> None:
        self.pooling = pooling
        self.n_hidden = n_hidden
        self.n_attention = n_attention
        self.dropout = dropout
        self.class_weight = class_weight
        self.validation = validation
        self.epochs = epochs
        self.patience = patience
        self.batch_size = batch_size
        self.max_cells = max_cells
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.positive = positive
        self.groups = groups
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Train the network.

        Parameters
        ----------
        X : DataFrame or sequence of arrays
            Patients: rows of `bags`, a table of cells, or one array of cells per patient.
        y : (n_patients,) array
            Labels.

        Returns
        -------
        MILClassifier
            The same object.

        Raises
        ------
        ImportError
            If Keras is not installed.
        ValueError
            If there is one class only.
        """
        bags = as_bags(X, self.groups)
        codes = self._class_codes(y, len(bags))
        self.columns_ = list(bags[0].columns)
        self.units_ = dict(bags[0].units)
        self.measured_ = measured_of(X)
        held_back = self._hold_back(codes)
        trained = [bag for bag, held in zip(bags, held_back, strict=True) if not held]
        self.scale_ = Pipeline([("fill", FillMissing()), ("scale", ClippedScaler())])
        self.scale_.fit(stack_bags(trained)[0])
        scaled = self._scale(bags)
        self.n_inputs_ = scaled[0].shape[1]
        self._train(scaled, codes, held_back)
        return self

    def _network(self) -> Any:
        return networks.BagNetwork(
            networks.mil_model(
                self.n_inputs_,
                self._n_outputs,
                self.pooling,
                n_hidden=self.n_hidden,
                n_attention=self.n_attention,
                dropout=self.dropout,
                random_state=self.random_state,
            )
        )

    def _scale(self, bags: Sequence[Bag]) -> list[np.ndarray]:
        values, bag_numbers = stack_bags(bags)
        return split_bags(self.scale_.transform(values), bag_numbers, len(bags))

    def judged(self, X: Any) -> list[dict[str, np.ndarray]]:
        """Return the output of the network for each patient.

        Parameters
        ----------
        X : DataFrame or sequence
            Patients, as in `fit`.

        Returns
        -------
        list of dict of str to ndarray
            For each patient ``logit``, and ``weights`` and ``cell_logits`` of the cells.
        """
        check_is_fitted(self, "network_")
        bags = select_columns(as_bags(X, self.groups, self.columns_), self.columns_, units_of(self))
        return self.network_(self._scale(bags))
