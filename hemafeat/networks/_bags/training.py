"""Fit a network of bags: padding, weights of the classes, and when to stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hemafeat._public import public
from hemafeat.networks._keras import need_keras

_STEP = 32  # bags are padded to a multiple of it, so that few shapes occur


@public
@dataclass
class BagNetwork:
    """A fitted network of bags.

    Attributes
    ----------
    model : keras.Model
        See `mil_model`.
    history : list of dict
        Per epoch ``loss`` and, where some patients were held back, ``held_back``.
    best : int
        Epoch whose weights are kept, from 0.
    """

    model: Any
    history: list[dict[str, float]] = field(default_factory=list)
    best: int = 0

    def inputs(
        self,
        found: Sequence[Any],
        n_cells: int | None = None,
        rng: np.random.Generator | None = None,
    ) -> list[np.ndarray]:
        """What the network takes for these bags, padded to `n_cells`; `rng` where it is taught."""
        return list(pad_bags(found, n_cells))

    def check(self, found: Sequence[Any]) -> None:
        """Raise ValueError for bags that cannot be learned from."""
        if any(np.isnan(bag).any() for bag in found):
            raise ValueError("bags hold NaN: fill what is missing first")

    def __call__(self, found: Sequence[np.ndarray], batch_size: int = 32) -> list[dict[str, Any]]:
        """Judge bags: per bag ``logit``, ``weights`` and ``cell_logits``, without padding."""
        out: list[dict[str, Any]] = [{} for _ in found]
        # Bags of one size together need the least padding; the result does not depend on it.
        order = np.argsort([len(bag) for bag in found], kind="stable")
        for start in range(0, len(found), batch_size):
            rows = order[start : start + batch_size]
            values, mask = pad_bags([found[row] for row in rows])
            given = self.model.predict_on_batch([values, mask])
            for place, row in enumerate(rows):
                n = len(found[row])
                out[row] = {
                    "logit": np.asarray(given["logit"][place], dtype=np.float64),
                    "weights": np.asarray(given["weights"][place, :n], dtype=np.float64),
                    "cell_logits": np.asarray(given["cell_logits"][place, :n], dtype=np.float64),
                }
        return out


def pad_bags(found: Sequence[np.ndarray], n_cells: int | None = None) -> tuple[Any, Any]:
    """Bags of several sizes as one array.

    Parameters
    ----------
    found : sequence of (n_cells, n_features) ndarray
    n_cells : int, optional
        Cells of every bag after padding; by default the most there are, rounded up.

    Returns
    -------
    values : (n_bags, n_cells, n_features) ndarray of float32
        Padded with 0.
    mask : (n_bags, n_cells) ndarray of float32
        1 for a cell and 0 for padding.
    """
    most = max(len(bag) for bag in found)
    n = -(-most // _STEP) * _STEP if n_cells is None else n_cells
    values = np.zeros((len(found), n, found[0].shape[1]), dtype=np.float32)
    mask = np.zeros((len(found), n), dtype=np.float32)
    for row, bag in enumerate(found):
        values[row, : len(bag)] = bag
        mask[row, : len(bag)] = 1.0
    return values, mask


def fit_bags(
    model: Any,
    found: Sequence[Any],
    y: np.ndarray,
    *,
    class_weight: Sequence[float] | None = None,
    held_back: np.ndarray | None = None,
    epochs: int = 200,
    patience: int = 25,
    batch_size: int = 16,
    max_cells: int = 512,
    learning_rate: float = 3e-3,
    weight_decay: float = 1e-2,
    random_state: int = 0,
) -> BagNetwork:
    """Fit a network of bags.

    Parameters
    ----------
    model : keras.Model or BagNetwork
        From `mil_model`, unfitted; or an `ImageBagNetwork`, for bags of images.
    found : sequence of (n_cells, n_features) ndarray
        Bags, without NaN, on one scale; of an `ImageBagNetwork` what that takes.
    y : (n_bags,) ndarray of int
        Class numbers.
    class_weight : sequence of float, optional
        Weight of each class in the loss.
    held_back : (n_bags,) ndarray of bool, optional
        Bags that are not learned from: training stops when their loss has not fallen for `patience`
        epochs, and the weights of its lowest point are kept. Without any all epochs are run.
    epochs, patience, batch_size : int
        Most epochs, epochs to wait, bags per step.
    max_cells : int
        Of a larger bag so many cells are drawn anew for each step.
    learning_rate, weight_decay : float
        Of the optimiser, AdamW.
    random_state : int
        Seed of the order of bags and of the cells drawn.

    Returns
    -------
    BagNetwork

    Raises
    ------
    ValueError
        Nothing to learn from, or NaN.
    """
    keras = need_keras("a network of bags")
    out = model if isinstance(model, BagNetwork) else BagNetwork(model)
    model = out.model
    n_outputs = int(model.output["logit"].shape[-1])
    held = np.zeros(len(y), dtype=bool) if held_back is None else np.asarray(held_back)
    learned = np.flatnonzero(~held)
    if not learned.size:
        raise ValueError("every bag is held back: there is nothing to learn from")
    out.check(found)
    weight = np.ones(max(int(y.max()) + 1, 2)) if class_weight is None else np.array(class_weight)
    loss = (
        keras.losses.BinaryCrossentropy(from_logits=True)
        if n_outputs == 1
        else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    # Only the verdict is learned from; weights and logits of the cells are for the reader.
    trained = keras.Model(model.inputs, model.output["logit"])
    trained.compile(
        optimizer=keras.optimizers.AdamW(learning_rate=learning_rate, weight_decay=weight_decay),
        loss=loss,
        jit_compile=False,
    )
    # Or the first step is traced twice: once to make the optimiser's variables.
    trained.optimizer.build(trained.trainable_variables)
    rng = np.random.default_rng(random_state)
    most = min(max(len(found[int(row)]) for row in learned), max_cells)
    target = y.astype(np.float32)[:, None] if n_outputs == 1 else y.astype(np.int32)
    lowest, kept = np.inf, None
    for epoch in range(epochs):
        losses, sizes = [], []
        order = rng.permutation(learned)
        for rows in np.array_split(order, max(1, len(order) // batch_size)):
            some = [_some(found[int(row)], most, rng) for row in rows]
            step = trained.train_on_batch(
                out.inputs(some, most, rng),
                target[rows],
                sample_weight=weight[y[rows]].astype(np.float32),
            )
            losses.append(float(np.asarray(step)))
            sizes.append(len(rows))
        told = {"loss": float(np.average(losses, weights=sizes))}
        if held.any():
            told["held_back"] = _loss(out, found, y, np.flatnonzero(held), weight, n_outputs)
        out.history.append(told)
        if held.any() and told["held_back"] < lowest - 1e-4:
            lowest, kept, out.best = told["held_back"], model.get_weights(), epoch
        elif held.any() and epoch - out.best >= patience:
            break
    if kept is not None:
        model.set_weights(kept)
    else:
        out.best = len(out.history) - 1
    return out


def _some(bag: Any, n: int, rng: np.random.Generator) -> Any:
    return bag if len(bag) <= n else bag[rng.choice(len(bag), n, replace=False)]


def _loss(
    network: BagNetwork,
    found: Sequence[Any],
    y: np.ndarray,
    rows: np.ndarray,
    weight: np.ndarray,
    n_outputs: int,
) -> float:
    """Weighted mean of the negative log-likelihood."""
    from scipy.special import log_softmax

    logits = np.array([told["logit"] for told in network([found[row] for row in rows])])
    if n_outputs == 1:
        logits = np.hstack([np.zeros_like(logits), logits])
    surprise = -log_softmax(logits, axis=1)[np.arange(len(rows)), y[rows]]
    return float(np.average(surprise, weights=weight[y[rows]]))
