"""Training of networks on bags: padding, class weights and early stopping."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hemafeat._public import public, renamed_argument
from hemafeat.networks._keras import need_keras

MONITORS = ("loss", "balanced_accuracy")

_PADDING_STEP = 32  # bags are padded to a multiple of it, so that few shapes are compiled


@public
@dataclass
class BagNetwork:
    """A network on bags, fitted or to be fitted by `fit_bags`.

    Attributes
    ----------
    model : keras.Model
        Network; see `mil_model`.
    history : list of dict
        Scores of each epoch: the ``loss``, the ``seconds`` it took and, if some bags were held
        back, their loss ``held_back`` and their ``balanced_accuracy``.
    best : int
        Index of the epoch whose weights are kept, from 0.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import networks
    >>> network = networks.BagNetwork(networks.mil_model(n_features=3, pooling="mean"))
    >>> [prediction] = network([np.ones((4, 3))])
    >>> prediction["weights"].ravel().tolist()
    [0.25, 0.25, 0.25, 0.25]
    """

    model: Any
    history: list[dict[str, float]] = field(default_factory=list)
    best: int = 0

    @property
    def head(self) -> BagNetwork:
        """Network from encoded cells to the prediction of their bag: for features, this one."""
        return self

    def inputs(
        self,
        bags: Sequence[Any],
        n_cells: int | None = None,
        rng: np.random.Generator | None = None,
    ) -> list[np.ndarray]:
        """Return the inputs of the network for some bags.

        Parameters
        ----------
        bags : sequence
            Bags as in `fit_bags`.
        n_cells : int, optional
            Number of cells to which each bag is padded; see `pad_bags`.
        rng : numpy.random.Generator, optional
            Source of random changes in training. By default nothing is changed.

        Returns
        -------
        list of ndarray
            One array per input of the network.
        """
        return list(pad_bags(bags, n_cells))

    def training_network(self, sizes: tuple[int, int], n_cells: int) -> Any:
        """Return the network from the inputs of a training step to the logits of its bags.

        Parameters
        ----------
        sizes : (int, int)
            Smallest and largest number of bags of a step.
        n_cells : int
            Number of cells to which each bag is padded.

        Returns
        -------
        keras.Model
            It shares its weights with `model`.
        """
        return need_keras("a network of bags").Model(self.model.inputs, self.model.output["logit"])

    def training_inputs(
        self, bags: Sequence[Any], n_cells: int, rng: np.random.Generator
    ) -> list[np.ndarray]:
        """Return the inputs of `training_network` for some bags; parameters as in `inputs`."""
        return self.inputs(bags, n_cells, rng)

    def check(self, bags: Sequence[Any]) -> None:
        """Raise ValueError if the network cannot learn from the bags."""
        if any(np.isnan(bag).any() for bag in bags):
            raise ValueError("the bags contain NaN: fill missing values first")

    def __call__(self, bags: Sequence[np.ndarray], batch_size: int = 32) -> list[dict[str, Any]]:
        """Predict bags.

        Parameters
        ----------
        bags : sequence of (n_cells, n_features) ndarray
            Bags of any sizes.
        batch_size : int
            Number of bags that are predicted together.

        Returns
        -------
        list of dict
            For each bag ``logit`` and, with a pooling of logits, ``weights`` and ``cell_logits``,
            without padding.
        """
        predictions: list[dict[str, Any]] = [{} for _ in bags]
        # Sorted by size, bags need the least padding. The result does not depend on it.
        order = np.argsort([len(bag) for bag in bags], kind="stable")
        for start in range(0, len(bags), batch_size):
            rows = order[start : start + batch_size]
            values, mask = pad_bags([bags[row] for row in rows])
            outputs = self.model.predict_on_batch([values, mask])
            for i, row in enumerate(rows):
                n = len(bags[row])
                predictions[row] = {
                    name: np.asarray(
                        value[i] if name == "logit" else value[i, :n], dtype=np.float64
                    )
                    for name, value in outputs.items()
                }
        return predictions


@renamed_argument("found", "bags")
def pad_bags(bags: Sequence[np.ndarray], n_cells: int | None = None) -> tuple[Any, Any]:
    """Combine bags of different sizes into one padded array.

    Parameters
    ----------
    bags : sequence of (n_cells, n_features) ndarray
        Bags of any sizes.
    n_cells : int, optional
        Number of cells of every bag after padding. By default it is the size of the largest bag,
        rounded up to a multiple of 32.

    Returns
    -------
    values : (n_bags, n_cells, n_features) ndarray of float32
        Features, padded with 0.
    mask : (n_bags, n_cells) ndarray of float32
        1 for a cell and 0 for padding.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import networks
    >>> values, mask = networks.pad_bags([np.ones((2, 5)), np.ones((3, 5))], n_cells=4)
    >>> values.shape
    (2, 4, 5)
    >>> mask.astype(int).tolist()
    [[1, 1, 0, 0], [1, 1, 1, 0]]
    """
    largest = max(len(bag) for bag in bags)
    n = -(-largest // _PADDING_STEP) * _PADDING_STEP if n_cells is None else n_cells
    values = np.zeros((len(bags), n, bags[0].shape[1]), dtype=np.float32)
    mask = np.zeros((len(bags), n), dtype=np.float32)
    for row, bag in enumerate(bags):
        values[row, : len(bag)] = bag
        mask[row, : len(bag)] = 1.0
    return values, mask


@renamed_argument("found", "bags")
def fit_bags(
    model: Any,
    bags: Sequence[Any],
    y: np.ndarray,
    *,
    class_weight: Sequence[float] | None = None,
    held_back: np.ndarray | None = None,
    epochs: int = 200,
    patience: int = 25,
    monitor: str = "loss",
    batch_size: int = 16,
    max_cells: int = 512,
    learning_rate: float = 3e-3,
    weight_decay: float = 1e-2,
    random_state: int = 0,
) -> BagNetwork:
    """Fit a network on bags.

    Parameters
    ----------
    model : keras.Model or BagNetwork
        Unfitted network of `mil_model`, or an `ImageBagNetwork` for bags of images.
    bags : sequence of (n_cells, n_features) ndarray
        Bags of features on one scale, without NaN; for an `ImageBagNetwork` bags of images.
    y : (n_bags,) ndarray of int
        Index of the class of each bag.
    class_weight : sequence of float, optional
        Weight of each class in the loss. By default all weigh the same.
    held_back : (n_bags,) ndarray of bool, optional
        Bags that are not used for training. Training stops when their score has not improved for
        `patience` epochs, and the weights with the best score are kept. By default no bag is held
        back and all epochs are run.
    epochs : int
        Largest number of epochs.
    patience : int
        Number of epochs to wait for a better score.
    monitor : {"loss", "balanced_accuracy"}
        Score of the bags held back: their loss, or their balanced accuracy, of which few bags have
        few values.
    batch_size : int
        Number of bags per step.
    max_cells : int
        Number of cells that are drawn, anew for each step, from a bag that has more.
    learning_rate, weight_decay : float
        Parameters of the optimiser, AdamW.
    random_state : int
        Seed of the order of bags and of the cells that are drawn.

    Returns
    -------
    BagNetwork
        The fitted network with its losses.

    Raises
    ------
    ValueError
        Every bag is held back, a bag contains NaN, or `monitor` is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import networks
    >>> bags = [np.full((3, 2), i % 2) for i in range(8)]
    >>> model = networks.mil_model(n_features=2)
    >>> network = networks.fit_bags(model, bags, np.arange(8) % 2, epochs=2)
    >>> len(network.history)
    2
    """
    keras = need_keras("a network of bags")
    network = model if isinstance(model, BagNetwork) else BagNetwork(model)
    model = network.model
    n_outputs = int(model.output["logit"].shape[-1])
    if monitor not in MONITORS:
        raise ValueError(f"monitor={monitor!r}: choose from {', '.join(MONITORS)}")
    held = np.zeros(len(y), dtype=bool) if held_back is None else np.asarray(held_back)
    trained_rows = np.flatnonzero(~held)
    if not trained_rows.size:
        raise ValueError("every bag is held back: there is nothing to learn from")
    network.check(bags)
    weight = np.ones(max(int(y.max()) + 1, 2)) if class_weight is None else np.array(class_weight)
    loss = (
        keras.losses.BinaryCrossentropy(from_logits=True)
        if n_outputs == 1
        else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    rng = np.random.default_rng(random_state)
    n_cells = min(max(len(bags[int(row)]) for row in trained_rows), max_cells)
    n_steps = max(1, len(trained_rows) // batch_size)
    smallest = len(trained_rows) // n_steps
    sizes = (smallest, smallest + (len(trained_rows) % n_steps > 0))
    # The loss needs the logit of the bag only.
    trained = network.training_network(sizes, n_cells)
    trained.compile(
        optimizer=keras.optimizers.AdamW(learning_rate=learning_rate, weight_decay=weight_decay),
        loss=loss,
        jit_compile=False,
    )
    # Otherwise the first step is traced twice, once to create the variables of the optimiser.
    trained.optimizer.build(trained.trainable_variables)
    target = y.astype(np.float32)[:, None] if n_outputs == 1 else y.astype(np.int32)
    best_score, best_weights = -np.inf, None
    for epoch in range(epochs):
        started = time.perf_counter()
        losses, counts = [], []
        for rows in np.array_split(rng.permutation(trained_rows), n_steps):
            sample = [_sample_cells(bags[int(row)], n_cells, rng) for row in rows]
            step_loss = trained.train_on_batch(
                network.training_inputs(sample, n_cells, rng),
                target[rows],
                sample_weight=weight[y[rows]].astype(np.float32),
            )
            losses.append(float(np.asarray(step_loss)))
            counts.append(len(rows))
        entry = {"loss": float(np.average(losses, weights=counts))}
        score = -np.inf
        if held.any():
            entry |= _scores(network, bags, y, np.flatnonzero(held), weight, n_outputs)
            score = -entry["held_back"] if monitor == "loss" else entry["balanced_accuracy"]
        entry["seconds"] = time.perf_counter() - started
        network.history.append(entry)
        if held.any() and score > best_score + 1e-4:
            best_score, best_weights, network.best = score, model.get_weights(), epoch
        elif held.any() and epoch - network.best >= patience:
            break
    if best_weights is not None:
        model.set_weights(best_weights)
    else:
        network.best = len(network.history) - 1
    return network


def _sample_cells(bag: Any, n: int, rng: np.random.Generator) -> Any:
    return bag if len(bag) <= n else bag[rng.choice(len(bag), n, replace=False)]


def _scores(
    network: BagNetwork,
    bags: Sequence[Any],
    y: np.ndarray,
    rows: np.ndarray,
    weight: np.ndarray,
    n_outputs: int,
) -> dict[str, float]:
    """Return the weighted mean of the negative log-likelihood, and the balanced accuracy."""
    from scipy.special import log_softmax

    predictions = network([bags[row] for row in rows])
    logits = np.array([prediction["logit"] for prediction in predictions])
    if n_outputs == 1:
        logits = np.hstack([np.zeros_like(logits), logits])
    losses = -log_softmax(logits, axis=1)[np.arange(len(rows)), y[rows]]
    correct = logits.argmax(axis=1) == y[rows]
    recalls = [correct[y[rows] == code].mean() for code in np.unique(y[rows])]
    return {
        "held_back": float(np.average(losses, weights=weight[y[rows]])),
        "balanced_accuracy": float(np.mean(recalls)),
    }
