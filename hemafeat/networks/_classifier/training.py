"""Train a network on images that come in batches: which layers, which rate, and when to stop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from hemafeat.networks._classifier.augment import Augmentation
from hemafeat.networks._classifier.network import (
    body,
    head_start,
    images_of,
    predict_images,
    prepared,
)
from hemafeat.networks._keras import need_keras


def fit_images(
    model: Any,
    images: Any,
    y: np.ndarray,
    *,
    class_weight: Sequence[float] | None = None,
    held_back: np.ndarray | None = None,
    epochs: int = 30,
    patience: int = 8,
    batch_size: int = 32,
    optimizer: Any = "adam",
    learning_rate: float = 1e-3,
    slower_by: float = 0.2,
    slower_after: int = 3,
    last_layers: int | None = None,
    head_epochs: int = 5,
    augment: Augmentation | None = None,
    random_state: int = 0,
    progress: bool | None = None,
) -> list[dict[str, float]]:
    """Train a network of images; its weights afterwards are those of the best epoch.

    Parameters
    ----------
    model : keras.Model
        From (n, H, W, channels) images of 0 to 255 to (n, n_classes) probabilities, or (n, 1), that
        of the second of two classes.
    images : sequence
        Anything with a length that gives images for an array of numbers, ``images[rows]``, as
        (n, H, W, channels) uint8: an array, or what reads files when they are asked for.
    y : (n_images,) ndarray of int
        Class numbers from 0.
    class_weight : sequence of float, optional
        Weight of each class in the loss.
    held_back : (n_images,) ndarray of bool, optional
        Images that are not learned from. Their loss says when to slow down and when to stop, and
        the weights of its lowest point are kept. Without any all epochs are run, and the loss of
        training says when to slow down.
    epochs, patience, batch_size : int
        Most epochs, epochs to wait for a better one, images per step.
    optimizer : str, dict or callable
        A name of Keras; a dict of ``class_name`` and ``config``; or a function that makes one from
        the learning rate.
    learning_rate : float
        At the start of each phase.
    slower_by, slower_after : float, int
        The rate is multiplied by `slower_by` when the loss has not fallen for `slower_after`
        epochs.
    last_layers : int, optional
        Only so many layers are trained, counted from the end with those that hold no weights; all
        by default.
    head_epochs : int
        With `last_layers`, epochs before in which only what follows the last feature maps is
        trained.
    augment : Augmentation, optional
        How training images are changed.
    random_state : int
        Seed of the order and the augmentation. That of weights and dropout lies in the model.
    progress : bool, optional
        A bar; by default where a person watches.

    Returns
    -------
    list of dict
        One per epoch: ``phase``, ``loss``, ``accuracy``, ``learning_rate``, ``seconds`` and, with
        images held back, ``val_loss``, ``val_accuracy`` and ``val_balanced_accuracy``. The loss is
        weighted by class.

    Raises
    ------
    ValueError
        Nothing to learn from, or a loss that is no number any more.

    Notes
    -----
    Only one batch is in memory, beside what `images` keeps. Every step has as many images: the last
    one of an epoch is filled up from the first ones, so that one shape is compiled for.
    """
    keras = need_keras("a network on images")
    held = np.zeros(len(y), dtype=bool) if held_back is None else np.asarray(held_back)
    learned, back = np.flatnonzero(~held), np.flatnonzero(held)
    if not learned.size:
        raise ValueError("every image is held back: there is nothing to learn from")
    n_classes = max(int(y.max()) + 1, 2)
    weight = np.ones(n_classes) if class_weight is None else np.asarray(class_weight, np.float64)
    rng = np.random.default_rng(random_state)
    steps = _batches(keras, model, images, y, weight, learned, batch_size, augment, rng)
    history: list[dict[str, float]] = []
    phases = _phases(model, epochs, head_epochs, last_layers)
    # Layers that are frozen from the start stay frozen.
    flags = [(layer, layer.trainable) for layer in _every(keras, model)]
    with _Bar(sum(n for n, _ in phases), progress) as bar:
        for number, (n_epochs, layers) in enumerate(phases):
            _restore(flags)
            _free(model, layers)
            prepared(model, _optimizer(keras, optimizer, learning_rate))
            judge = _judge(keras, images, y, weight, back, batch_size, number, history, bar)
            watched = "val_loss" if back.size else "loss"
            rules: list[Any] = [
                judge,
                keras.callbacks.ReduceLROnPlateau(
                    monitor=watched, factor=slower_by, patience=slower_after, min_lr=0
                ),
            ]
            if back.size:
                rules.append(
                    keras.callbacks.EarlyStopping(
                        monitor=watched, patience=patience, restore_best_weights=True
                    )
                )
            try:
                model.fit(steps, epochs=n_epochs, callbacks=rules, verbose=0, shuffle=False)
            except Exception:
                if steps.problem is not None:
                    raise steps.problem from None
                raise
    _restore(flags)
    return history


def _restore(flags: Sequence[tuple[Any, bool]]) -> None:
    for layer, trainable in flags:
        layer.trainable = trainable


def _phases(
    model: Any, epochs: int, head_epochs: int, last_layers: int | None
) -> list[tuple[int, int | None]]:
    """Epochs of each phase, and how many layers from the end are trained in it."""
    if last_layers is None:
        return [(epochs, None)]
    if last_layers < 1:
        raise ValueError(f"last_layers={last_layers}: one layer at least is trained")
    first = [(head_epochs, head_start(model))] if head_epochs else []
    return [*first, (epochs, last_layers)]


def _every(keras: Any, model: Any) -> Iterator[Any]:
    """A model and all its layers, those of models inside included; the outer ones first."""
    yield model
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _every(keras, layer)
        else:
            yield layer


def _free(model: Any, n: int | None) -> None:
    """Let the last `n` layers learn, and none before them; change nothing where it is None."""
    if n is not None:
        for layer in body(model).layers[:-n]:
            layer.trainable = False
    if not model.trainable_variables:
        raise ValueError(f"the last {n} layers hold no weights: there is nothing to learn")


def _optimizer(keras: Any, optimizer: Any, learning_rate: float) -> Any:
    if callable(optimizer):
        return optimizer(learning_rate)
    if isinstance(optimizer, dict):
        config = {"learning_rate": learning_rate, **optimizer.get("config", {})}
        return keras.optimizers.get({**optimizer, "config": config})
    made = keras.optimizers.get(optimizer)
    made.learning_rate = learning_rate
    return made


def _batches(
    keras: Any,
    model: Any,
    images: Any,
    y: np.ndarray,
    weight: np.ndarray,
    learned: np.ndarray,
    batch_size: int,
    augment: Augmentation | None,
    rng: np.random.Generator,
) -> Any:
    size = min(batch_size, len(learned))
    n_steps = math.ceil(len(learned) / size)
    one = int(model.output_shape[-1]) == 1
    target = y.astype(np.float32)[:, None] if one else y.astype(np.int32)

    class Batches(keras.utils.PyDataset):
        """The training images in a new order every epoch."""

        def __init__(self) -> None:
            super().__init__(workers=1)
            # TensorFlow reads in a graph of its own, which buries what went wrong.
            self.problem: Exception | None = None
            self.start()

        def start(self) -> None:
            self.order = np.resize(rng.permutation(learned), n_steps * size)
            # A seed for each step, so that the result does not hang on when it is made.
            self.seeds = rng.integers(2**63, size=n_steps)

        def __len__(self) -> int:
            return n_steps

        def __getitem__(self, step: int) -> tuple[Any, ...]:
            rows = self.order[step * size : (step + 1) * size]
            try:
                shown = images_of(images, rows)
            except Exception as error:
                self.problem = error
                raise
            if augment is not None:
                shown = augment(shown, np.random.default_rng(self.seeds[step]))
            return shown.astype(np.float32), target[rows], weight[y[rows]].astype(np.float32)

        def on_epoch_end(self) -> None:
            self.start()

    return Batches()


def _judge(
    keras: Any,
    images: Any,
    y: np.ndarray,
    weight: np.ndarray,
    back: np.ndarray,
    batch_size: int,
    phase: int,
    history: list[dict[str, float]],
    bar: Any,
) -> Any:
    class Judge(keras.callbacks.Callback):
        """Loss of what was held back, at the end of every epoch; first, so that others see it."""

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.started = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            assert logs is not None
            told = {
                "phase": float(phase),
                "loss": float(logs["loss"]),
                "accuracy": float(logs.get("accuracy", np.nan)),
                "learning_rate": float(
                    keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
                ),
            }
            if not math.isfinite(told["loss"]):
                raise ValueError(
                    f"the loss of epoch {epoch + 1} is no number: take a lower learning rate"
                )
            if back.size:
                chance = predict_images(self.model, images, back, batch_size)
                told |= _scores(chance, y[back], weight)
                logs |= {name: told[name] for name in told if name.startswith("val_")}
            told["seconds"] = time.perf_counter() - self.started
            history.append(told)
            bar.step(told)

    return Judge()


def _scores(chance: np.ndarray, y: np.ndarray, weight: np.ndarray) -> dict[str, float]:
    surprise = -np.log(np.clip(chance[np.arange(len(y)), y], 1e-7, 1.0))
    right = chance.argmax(axis=1) == y
    each = [right[y == k].mean() for k in np.unique(y)]
    return {
        "val_loss": float(np.average(surprise, weights=weight[y])),
        "val_accuracy": float(right.mean()),
        "val_balanced_accuracy": float(np.mean(each)),
    }


class _Bar:
    """One bar for all phases, shown where a person watches or on request."""

    def __init__(self, total: int, progress: bool | None) -> None:
        from tqdm.auto import tqdm

        # None: only where the stream is a terminal.
        disable = None if progress is None else not progress
        self._bar = tqdm(total=total, desc="epochs", unit="epoch", disable=disable, leave=False)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def step(self, told: dict[str, float]) -> None:
        """One epoch more."""
        names = [name for name in ("loss", "val_loss", "val_accuracy") if name in told]
        self._bar.set_postfix({name: f"{told[name]:.3f}" for name in names}, refresh=False)
        self._bar.update()
