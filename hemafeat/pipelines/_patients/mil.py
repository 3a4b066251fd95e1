"""Multiple-instance learning on bags of feature vectors, as a classifier of patients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from inspect import signature
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.special import expit, logsumexp, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import Pipeline
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import check_is_fitted

from hemafeat import networks
from hemafeat._fits import shared
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

_LEFT_OUT = 16
"""Number of bags that are predicted together when cells are left out in turn."""


class BagClassifier(ClassifierMixin, BaseEstimator):
    """Base of the classifiers of patients that are networks of bags.

    A fitted classifier is pickled, and saved, as its parameters and the numbers of its weights. The
    network is rebuilt from them, so that no code is read from a file.
    """

    unit = "patient"
    looks_at = frozenset({"features"})
    takes_validation = True

    pooling: str
    class_weight: Any
    validation: float
    epochs: int
    patience: int
    monitor: str
    batch_size: int
    max_cells: int
    learning_rate: float
    weight_decay: float
    positive: Any
    groups: str
    random_state: int
    network_: Any

    def _network(self, *, initial: bool = True) -> Any:
        """Return the network with the sizes determined by `fit`, with initial weights or random."""
        raise NotImplementedError

    def _encoded(self, X: Any) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
        """Yield the encoded cells of each patient, and the indices of the cells of each bag."""
        raise NotImplementedError

    def judged(self, X: Any) -> list[dict[str, np.ndarray]]:
        """Return ``logit``, and ``weights`` and ``cell_logits`` of the cells, of each patient."""
        raise NotImplementedError

    def _class_codes(self, y: Any, n: int) -> np.ndarray:
        """Set the classes and return the codes of the labels: of two classes 1 for the positive."""
        y = np.asarray(y)
        if n != len(y):
            raise ValueError(f"{n} patients and {len(y)} labels")
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            raise ValueError(f"the labels are of one class only: {self.classes_[0]}")
        self.place_ = positive_place(self.classes_, self.positive)
        return self._codes(y)

    def _codes(self, y: Any) -> np.ndarray:
        y = np.asarray(y)
        unknown = sorted(set(y.tolist()) - set(self.classes_.tolist()), key=str)
        if unknown:
            raise ValueError(
                f"the training part has no label {unknown[0]!r} of the validation part"
            )
        codes = np.searchsorted(self.classes_, y)
        return (codes == self.place_).astype(int) if len(self.classes_) == 2 else codes

    @property
    def _n_outputs(self) -> int:
        # The report whose poolings of vectors these are has an output for each of two classes.
        one = len(self.classes_) == 2 and self.pooling not in networks.VECTOR_POOLINGS
        return 1 if one else len(self.classes_)

    def _train(
        self,
        bags: Sequence[Any],
        codes: np.ndarray,
        held_back: np.ndarray,
        n_validation: int = 0,
        max_cells: int | None = None,
    ) -> None:
        """Train the network; the last `n_validation` bags have no part in the class weights."""
        weights = None
        if self.class_weight is not None:
            known = codes[: len(codes) - n_validation]
            labels = self.classes_
            if len(labels) == 2:
                labels = labels[[1 - self.place_, self.place_]]
            weights = compute_class_weight(self.class_weight, classes=labels, y=labels[known])
        self.network_ = networks.fit_bags(
            self._network(),
            bags,
            codes,
            class_weight=weights,
            held_back=held_back,
            epochs=self.epochs,
            patience=self.patience,
            monitor=self.monitor,
            batch_size=self.batch_size,
            max_cells=max_cells or self.max_cells,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            random_state=self.random_state,
        )

    def _hold_back(self, codes: np.ndarray, n_validation: int = 0) -> np.ndarray:
        """Select the patients that are not trained on, as a mask.

        They are the last `n_validation`, those of a validation part, or a share of the others.
        """
        selected = np.zeros(len(codes), dtype=bool)
        if n_validation:
            selected[-n_validation:] = True
            return selected
        n_selected = round(self.validation * len(codes))
        if n_selected < len(self.classes_) or np.bincount(codes).min() < 2:
            return selected
        split = StratifiedShuffleSplit(1, test_size=n_selected, random_state=self.random_state)
        selected[next(split.split(codes, codes))[1]] = True
        return selected

    @property
    def history_(self) -> pd.DataFrame:
        """Scores of the epochs, for `hemafeat.networks.learning_curves`."""
        check_is_fitted(self, "network_")
        names = {"held_back": "val_loss", "balanced_accuracy": "val_balanced_accuracy"}
        return pd.DataFrame(self.network_.history).rename(columns=names).rename_axis("epoch")

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Return the probabilities of the classes for outputs of the network.

        Parameters
        ----------
        logits : (n, n_outputs) ndarray
            Logits of patients or of bags.

        Returns
        -------
        (n, n_classes) ndarray of float64
        """
        if len(self.classes_) == 2:
            return two_columns(expit(self.odds(logits, self.place_)), self.place_)
        return np.asarray(softmax(logits, axis=1))

    def odds(self, logits: np.ndarray, position: int) -> np.ndarray:
        """Return the log-odds of a class for outputs of the network.

        Parameters
        ----------
        logits : (n, n_outputs) ndarray
            Logits of patients or of bags.
        position : int
            Position of the class.

        Returns
        -------
        (n,) ndarray of float64
        """
        if len(self.classes_) == 2:
            odds = logits[:, -1] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]
            return odds if position == self.place_ else -odds
        others = np.delete(logits, position, axis=1)
        return np.asarray(logits[:, position] - logsumexp(others, axis=1))

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
        return self.probabilities(np.array([output["logit"] for output in self.judged(X)]))

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

    def contributions(self, X: Any, position: int) -> list[np.ndarray]:
        """Return the contribution of each cell to the log-odds of a class for its patient.

        With a pooling of logits it is the weight times the logit of the cell; with one of vectors
        the log-odds of the bag minus those without the cell, NaN for the only cell of a bag.

        Parameters
        ----------
        X : DataFrame or sequence
            Patients, as in `fit`.
        position : int
            Position of the class.

        Returns
        -------
        list of (n_cells,) ndarray of float64
            One array per patient.
        """
        if self.pooling in networks.VECTOR_POOLINGS:
            return [self._left_out(*patient, position) for patient in self._encoded(X)]
        parts = []
        for output in self.judged(X):
            logits = output["weights"] * output["cell_logits"]
            if logits.shape[1] == 1:
                parts.append(logits[:, 0] if position == self.place_ else -logits[:, 0])
            else:
                parts.append(logits[:, position])
        return parts

    def _left_out(self, encoded: np.ndarray, bags: list[np.ndarray], position: int) -> np.ndarray:
        """Return the mean change of the log-odds of the bags when a cell in turn is left out."""
        part = np.zeros(len(encoded))
        for rows in bags:
            np.add.at(part, rows, self._without_each(encoded[rows], position) / len(bags))
        return part if len(part) > 1 else np.full(1, np.nan)

    def _without_each(self, encoded: np.ndarray, position: int) -> np.ndarray:
        """Return the log-odds of one bag minus those without each of its cells."""
        n = len(encoded)
        if n == 1:
            return np.array([np.nan])
        logits = []
        for start in range(0, n + 1, _LEFT_OUT):
            bags = [
                np.delete(encoded, range(i, min(i + 1, n)), axis=0).reshape(-1, encoded.shape[-1])
                for i in range(start, min(start + _LEFT_OUT, n + 1))
            ]
            logits += [told["logit"] for told in self.network_.head(bags)]
        # The last one lacks no cell.
        odds = self.odds(np.array(logits), position)
        return odds[-1] - odds[:-1]

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
        # Files of earlier versions lack some parameters.
        defaults = {name: one.default for name, one in signature(type(self)).parameters.items()}
        super().__setstate__({**defaults, **state})
        saved = state.get("network_")
        if isinstance(saved, dict):
            # Initial weights, of a file that may be far away, are not read: all are replaced.
            self.network_ = self._network(initial=False)
            self.network_.model.set_weights(saved["weights"])
            self.network_.history, self.network_.best = saved["history"], saved["best"]


@public
class MILClassifier(BagClassifier):
    """Multiple-instance learning on bags of feature vectors. Needs Keras (extra ``deep``).

    Parameters
    ----------
    pooling : str
        Pooling of the cells of a patient: ``"attention"``, ``"gated"``, ``"batch_weighted"``,
        ``"mean"`` or ``"max"`` of their logits, see `hemafeat.networks.pool`; or ``"vector_min"``,
        ``"vector_max"``, ``"vector_mean"``, ``"vector_sum"`` or ``"self_attention"`` of their
        embeddings, see `hemafeat.networks.pool_vectors`.
    n_hidden : int or None
        Size of the embedding of the cells, see `hemafeat.networks.mil_model`.
    n_attention : int
        Size of the attention layer.
    n_dense : int
        Size of the layer behind a pooling of embeddings.
    dropout : float
        Share of the embedding that is dropped in training.
    class_weight : {"balanced"}, dict or None
        Weights of the classes in the loss, as in scikit-learn.
    validation : float
        Share of the training patients that are held back in order to stop, unless `fit` is given a
        validation part. With 0 the training runs for all `epochs`.
    epochs : int
        Largest number of epochs, see `hemafeat.networks.fit_bags`.
    patience : int
        Number of epochs without improvement after which training stops.
    monitor : {"loss", "balanced_accuracy"}
        Score of the patients held back by which the best epoch is chosen.
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
    history_ : DataFrame
        One row per epoch, for `hemafeat.networks.learning_curves`.

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
        n_hidden: int | None = 32,
        n_attention: int = 16,
        n_dense: int = 32,
        dropout: float = 0.2,
        class_weight: Any = "balanced",
        validation: float = 0.2,
        epochs: int = 150,
        patience: int = 20,
        monitor: str = "loss",
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
        self.n_dense = n_dense
        self.dropout = dropout
        self.class_weight = class_weight
        self.validation = validation
        self.epochs = epochs
        self.patience = patience
        self.monitor = monitor
        self.batch_size = batch_size
        self.max_cells = max_cells
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.positive = positive
        self.groups = groups
        self.random_state = random_state

    @shared
    def fit(self, X: Any, y: Any, validation: tuple[Any, Any] | None = None) -> Self:
        """Train the network.

        Parameters
        ----------
        X : DataFrame or sequence of arrays
            Patients: rows of `bags`, a table of cells, or one array of cells per patient.
        y : (n_patients,) array
            Labels.
        validation : (X, y), optional
            Patients and labels that are held back, in place of a share of the training patients.

        Returns
        -------
        MILClassifier
            The same object.

        Raises
        ------
        ImportError
            If Keras is not installed.
        ValueError
            If there is one class only, or the validation part has another one.
        """
        bags = as_bags(X, self.groups)
        codes = self._class_codes(y, len(bags))
        self.columns_ = list(bags[0].columns)
        self.units_ = dict(bags[0].units)
        self.measured_ = measured_of(X)
        n_validation = 0
        if validation is not None:
            others = self._bags(validation[0])
            n_validation = len(others)
            bags = [*bags, *others]
            codes = np.append(codes, self._codes(validation[1]))
        held_back = self._hold_back(codes, n_validation)
        trained = [bag for bag, held in zip(bags, held_back, strict=True) if not held]
        self.scale_ = Pipeline([("fill", FillMissing()), ("scale", ClippedScaler())])
        self.scale_.fit(stack_bags(trained)[0])
        scaled = self._scale(bags)
        self.n_inputs_ = scaled[0].shape[1]
        self._train(scaled, codes, held_back, n_validation)
        return self

    def _bags(self, X: Any) -> list[Bag]:
        """Return the bags of patients with the columns of the training patients."""
        return select_columns(as_bags(X, self.groups, self.columns_), self.columns_, units_of(self))

    def _network(self, *, initial: bool = True) -> Any:
        return networks.BagNetwork(
            networks.mil_model(
                self.n_inputs_,
                self._n_outputs,
                self.pooling,
                n_hidden=self.n_hidden,
                n_attention=self.n_attention,
                n_dense=self.n_dense,
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
            For each patient ``logit`` and, with a pooling of logits, ``weights`` and
            ``cell_logits`` of the cells.
        """
        check_is_fitted(self, "network_")
        return self.network_(self._scale(self._bags(X)))

    def _encoded(self, X: Any) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
        for cells in self._scale(self._bags(X)):
            yield cells, [np.arange(len(cells))]
