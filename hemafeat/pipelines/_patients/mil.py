"""Networks of bags as ordinary classifiers of patients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
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
    stacked,
    taken,
    unstacked,
)
from hemafeat.pipelines._steps.missing import FillMissing
from hemafeat.pipelines._steps.scale import ClippedScaler


class BagClassifier(ClassifierMixin, BaseEstimator):
    """What networks of bags share: classes, patients held back, verdicts, and how they are kept.

    A fitted one is pickled, or saved, as its parameters and the numbers of its weights: the network
    is built anew from them, and no code is read from a file.
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

    def _network(self) -> Any:
        """The network, unfitted, with the sizes that `fit` noted."""
        raise NotImplementedError

    def judged(self, X: Any) -> list[dict[str, np.ndarray]]:
        """Per patient ``logit``, and ``weights`` and ``cell_logits`` of the cells."""
        raise NotImplementedError

    def _numbered(self, y: Any, n: int) -> np.ndarray:
        """Note the classes; their numbers, of two 1 for the positive one."""
        y = np.asarray(y)
        if n != len(y):
            raise ValueError(f"{n} patients and {len(y)} labels")
        self.classes_, numbers = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"one class only: {self.classes_[0]!r}")
        self.place_ = positive_place(self.classes_, self.positive)
        if len(self.classes_) == 2:
            numbers = (numbers == self.place_).astype(int)
        return np.asarray(numbers)

    @property
    def _n_outputs(self) -> int:
        return 1 if len(self.classes_) == 2 else len(self.classes_)

    def _learn(self, found: Sequence[Any], numbers: np.ndarray, held: np.ndarray) -> None:
        weight = None
        if self.class_weight == "balanced":
            every = np.arange(len(self.classes_))
            weight = compute_class_weight("balanced", classes=every, y=numbers)
        self.network_ = networks.fit_bags(
            self._network(),
            found,
            numbers,
            class_weight=weight,
            held_back=held,
            epochs=self.epochs,
            patience=self.patience,
            batch_size=self.batch_size,
            max_cells=self.max_cells,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            random_state=self.random_state,
        )

    def _held_back(self, numbers: np.ndarray) -> np.ndarray:
        held = np.zeros(len(numbers), dtype=bool)
        n_classes = len(self.classes_)
        n_back = round(self.validation * len(numbers))
        if n_back < n_classes or np.bincount(numbers).min() < 2:
            return held
        split = StratifiedShuffleSplit(1, test_size=n_back, random_state=self.random_state)
        held[next(split.split(numbers, numbers))[1]] = True
        return held

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities: (n_patients, n_classes)."""
        from scipy.special import expit, softmax

        logits = np.array([told["logit"] for told in self.judged(X)])
        if logits.shape[1] > 1:
            return softmax(logits, axis=1)
        chance = expit(logits[:, 0])
        pair = [chance, 1 - chance] if self.place_ == 0 else [1 - chance, chance]
        return np.column_stack(pair)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each patient."""
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
                "weights": [np.asarray(one) for one in network.model.get_weights()],
                "history": network.history,
                "best": network.best,
            }
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        told = state.get("network_")
        if isinstance(told, dict):
            self.network_ = self._network()
            self.network_.model.set_weights(told["weights"])
            self.network_.history, self.network_.best = told["history"], told["best"]


@public
class MILClassifier(BagClassifier):
    """Multiple-instance learning on bags of feature vectors. Needs Keras (extra ``deep``).

    Parameters
    ----------
    pooling : {"attention", "gated", "batch_weighted", "mean", "max"}
        How the cells of a patient are weighed, see `hemafeat.networks.pool`.
    n_hidden, n_attention : int
        Size of the cells' embedding, and of the layer of attention.
    dropout : float
        Share of the embedding dropped in training.
    class_weight : {"balanced"} or None
        Whether classes weigh the same in the loss.
    validation : float
        Share of the training patients that are held back to say when to stop; 0 for all `epochs`.
    epochs, patience, batch_size, max_cells : int
        See `hemafeat.networks.fit_bags`.
    learning_rate, weight_decay : float
        Of the optimiser.
    positive : str, optional
        Of two classes, the one that a cell speaks for with a logit above 0, which is the one that
        ``"max"`` looks for; by default the one beside a label such as ``reactive`` or ``normal``,
        else the last.
    groups : str
        Column that says whose cells these are, where a table of cells is given.
    random_state : int
        Seed of everything that is drawn.

    Attributes
    ----------
    network_ : hemafeat.networks.BagNetwork
        With the loss of every epoch.
    classes_ : ndarray

    Notes
    -----
    Missing values are filled with training medians and features scaled as in the other pipelines.
    The patients held back are training patients; those to be judged are never looked at. The same
    seed gives the same network on one machine and backend; other processors round differently.
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
        """Fit the network.

        Parameters
        ----------
        X : DataFrame or sequence of arrays
            Patients, as `bags` gives them.
        y : (n_patients,) array
            Labels.

        Raises
        ------
        ImportError
            Keras is not installed.
        """
        found = as_bags(X, self.groups)
        numbers = self._numbered(y, len(found))
        self.columns_ = list(found[0].columns)
        held = self._held_back(numbers)
        self.scale_ = Pipeline([("fill", FillMissing()), ("scale", ClippedScaler())])
        self.scale_.fit(
            stacked([bag for bag, back in zip(found, held, strict=True) if not back])[0]
        )
        scaled = self._scaled(found)
        self.n_inputs_ = scaled[0].shape[1]
        self._learn(scaled, numbers, held)
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

    def _scaled(self, found: Sequence[Bag]) -> list[np.ndarray]:
        values, member = stacked(found)
        return list(unstacked(self.scale_.transform(values), member, len(found)))

    def judged(self, X: Any) -> list[dict[str, np.ndarray]]:
        """Per patient ``logit``, and ``weights`` and ``cell_logits`` of the cells."""
        check_is_fitted(self, "network_")
        found = taken(as_bags(X, self.groups, self.columns_), self.columns_)
        return self.network_(self._scaled(found))
