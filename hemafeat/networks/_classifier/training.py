"""Training of networks on images: batches, learning rate, frozen layers and early stopping."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hemafeat._machine import progress_bar
from hemafeat.networks._classifier.network import (
    body,
    compile_network,
    head_length,
    images_of,
    predict_images,
)
from hemafeat.networks._keras import all_layers, need_keras


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
    augment: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None = None,
    random_state: int = 0,
    progress: bool | None = None,
) -> list[dict[str, float]]:
    """Train a network on images and keep the weights of the best epoch.

    Parameters
    ----------
    model : keras.Model
        Network from (n, H, W, channels) images of 0 to 255 to (n, n_classes) probabilities, or to
        (n, 1), the probability of the second of two classes.
    images : sequence
        Any object with a length that returns images for an array of indices, ``images[rows]``, as
        (n, H, W, channels) uint8: an array, or `Pictures`, which reads files on demand.
    y : (n_images,) ndarray of int
        Index of the class of each image, from 0.
    class_weight : sequence of float, optional
        Weight of each class in the loss. By default all weigh the same.
    held_back : (n_images,) ndarray of bool, optional
        Images that are not used for training. Their loss decides when the rate is lowered and when
        training stops, and the weights with the lowest loss are kept. By default no image is held
        back: all epochs are run, and the training loss decides when the rate is lowered.
    epochs : int
        Largest number of epochs.
    patience : int
        Number of epochs to wait for a lower loss.
    batch_size : int
        Number of images per step.
    optimizer : str, dict or callable
        Name of an optimiser of Keras (``"adam"`` by default); a dict of ``class_name`` and
        ``config``; or a function from the learning rate to an optimiser.
    learning_rate : float
        Rate at the start of each phase.
    slower_by, slower_after : float, int
        The rate is multiplied by `slower_by` if the loss has not fallen for `slower_after` epochs.
    last_layers : int, optional
        Number of layers with weights that are trained, counted from the end, see `trained_layers`.
        By default all layers are trained.
    head_epochs : int
        With `last_layers`, number of preceding epochs in which only the layers behind the last
        feature maps are trained.
    augment : callable, optional
        Random changes of training images: an `Augmentation`, or any callable ``(images, rng)`` that
        returns images of the same shape. By default there are none.
    random_state : int
        Seed of the order and the augmentation. The seeds of weights and dropout are part of the
        model.
    progress : bool, optional
        Show a progress bar. By default it is batch on a terminal.

    Returns
    -------
    list of dict
        One entry per epoch: ``phase``, ``loss``, ``accuracy``, ``learning_rate``, ``seconds`` and,
        with images held back, ``val_loss``, ``val_accuracy`` and ``val_balanced_accuracy``. The
        loss is weighted by class.

    Raises
    ------
    ValueError
        Every image is held back, or the loss is not finite any more.

    Notes
    -----
    Only one batch is in memory beside what `images` keeps. Every step has the same number of
    images, so that only one shape is compiled: the last step of an epoch is filled with images of
    the first.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import networks
    >>> images = np.zeros((8, 32, 32, 3), np.uint8)
    >>> history = networks.fit_images(
    ...     networks.build("lenet5", 2), images, np.arange(8) % 2, epochs=1, progress=False
    ... )
    >>> len(history), sorted(history[0])
    (1, ['accuracy', 'learning_rate', 'loss', 'phase', 'seconds'])
    """
    keras = need_keras("a network on images")
    held = np.zeros(len(y), dtype=bool) if held_back is None else np.asarray(held_back)
    trained_rows, held_rows = np.flatnonzero(~held), np.flatnonzero(held)
    if not trained_rows.size:
        raise ValueError("every image is held back: there is nothing to learn from")
    n_classes = max(int(y.max()) + 1, 2)
    weight = np.ones(n_classes) if class_weight is None else np.asarray(class_weight, np.float64)
    rng = np.random.default_rng(random_state)
    steps = _batches(keras, model, images, y, weight, trained_rows, batch_size, augment, rng)
    history: list[dict[str, float]] = []
    phases = _phases(model, epochs, head_epochs, last_layers)
    # Layers that were frozen before stay frozen.
    flags = [(layer, layer.trainable) for layer in all_layers(model)]
    n_epochs = sum(n for n, _ in phases)
    with progress_bar(n_epochs, "epochs", progress=progress, unit="epoch", leave=False) as bar:
        for number, (n_epochs, layers) in enumerate(phases):
            _restore(flags)
            _freeze(model, layers)
            compile_network(model, _optimizer(keras, optimizer, learning_rate))
            recorder = _recorder(
                keras, images, y, weight, held_rows, batch_size, number, history, bar
            )
            monitor = "val_loss" if held_rows.size else "loss"
            callbacks: list[Any] = [
                recorder,
                keras.callbacks.ReduceLROnPlateau(
                    monitor=monitor, factor=slower_by, patience=slower_after, min_lr=0
                ),
            ]
            if held_rows.size:
                callbacks.append(
                    keras.callbacks.EarlyStopping(
                        monitor=monitor, patience=patience, restore_best_weights=True
                    )
                )
            try:
                model.fit(steps, epochs=n_epochs, callbacks=callbacks, verbose=0, shuffle=False)
            except Exception:
                if steps.error is not None:
                    raise steps.error from None
                raise
    _restore(flags)
    return history


def _restore(flags: Sequence[tuple[Any, bool]]) -> None:
    """Reset which layers are trainable."""
    for layer, trainable in flags:
        layer.trainable = trainable


def changed(augment: Callable[..., Any], batch: np.ndarray, rng: Any) -> np.ndarray:
    """Return a batch of images changed by `augment`, or raise an error if it returns others."""
    images = np.asarray(augment(batch, rng))
    if images.shape != batch.shape:
        raise ValueError(
            f"the augmentation returned images of {images.shape} for images of {batch.shape}"
        )
    return images


def trained_layers(model: Any, last_layers: int | None = None) -> list[str]:
    """List the layers of a network with weights, or the last of them, which fine-tuning trains.

    Parameters
    ----------
    model : keras.Model
        Network.
    last_layers : int, optional
        Number of layers, counted from the end. Layers without weights, such as pooling, dropout,
        activations and the softmax, do not count. By default all layers are listed.

    Returns
    -------
    list of str
        Names of the layers, in order.

    Raises
    ------
    ValueError
        `last_layers` is below 1, or larger than the number of layers with weights.

    Examples
    --------
    >>> from hemafeat import networks
    >>> networks.trained_layers(networks.build("lenet5", 8), 2)
    ['dense_2', 'logit']
    """
    return [layer.name for layer in _last_layers(model, last_layers)]


def _last_layers(model: Any, n: int | None) -> list[Any]:
    """Return the last `n` layers with weights that can be trained, all of them for None."""
    keras = need_keras("a network on images")
    layers = [
        layer
        for layer in all_layers(body(model))
        if layer.weights and not isinstance(layer, (keras.Model, keras.layers.Normalization))
    ]
    if n is None:
        return layers
    if n < 1:
        raise ValueError(f"last_layers={n}: at least one layer must be trained")
    if n > len(layers):
        raise ValueError(
            f"last_layers={n}: the network has {len(layers)} layers with weights "
            f"({layers[0].name if layers else 'none'} to {layers[-1].name if layers else 'none'}); "
            "last_layers=None trains all of them"
        )
    return layers[-n:]


def _phases(
    model: Any, epochs: int, head_epochs: int, last_layers: int | None
) -> list[tuple[int, list[Any] | None]]:
    """Return the number of epochs of each phase, and the layers that are trained in it."""
    if last_layers is None:
        return [(epochs, None)]
    last = _last_layers(model, last_layers)
    head = body(model).layers[-head_length(model) :]
    names = {id(layer) for outer in head for layer in _with_inner(outer)}
    of_head = [layer for layer in _last_layers(model, None) if id(layer) in names]
    first = [(head_epochs, of_head or last[-1:])] if head_epochs else []
    return [*first, (epochs, last)]


def _with_inner(layer: Any) -> list[Any]:
    """Return a layer, or a model and all layers in it."""
    return list(all_layers(layer)) if hasattr(layer, "layers") else [layer]


def _freeze(model: Any, trained: list[Any] | None) -> None:
    """Freeze all layers with weights but those in `trained`; change nothing if it is None."""
    if trained is not None:
        kept = {id(layer) for layer in trained}
        for layer in _last_layers(model, None):
            if id(layer) not in kept:
                layer.trainable = False
    if not model.trainable_variables:
        raise ValueError("all weights of the network are frozen: there is nothing to learn")


def _optimizer(keras: Any, optimizer: Any, learning_rate: float) -> Any:
    """Create an optimiser from a name, a dict or a function."""
    if callable(optimizer):
        return optimizer(learning_rate)
    if isinstance(optimizer, dict):
        config = {"learning_rate": learning_rate, **optimizer.get("config", {})}
        return keras.optimizers.get({**optimizer, "config": config})
    instance = keras.optimizers.get(optimizer)
    instance.learning_rate = learning_rate
    return instance


def _batches(
    keras: Any,
    model: Any,
    images: Any,
    y: np.ndarray,
    weight: np.ndarray,
    trained_rows: np.ndarray,
    batch_size: int,
    augment: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None,
    rng: np.random.Generator,
) -> Any:
    """Create the data set of the training images."""
    size = min(batch_size, len(trained_rows))
    n_steps = math.ceil(len(trained_rows) / size)
    binary = int(model.output_shape[-1]) == 1
    target = y.astype(np.float32)[:, None] if binary else y.astype(np.int32)

    class Batches(keras.utils.PyDataset):
        """Training images, in a new order in every epoch."""

        def __init__(self) -> None:
            super().__init__(workers=1)
            # TensorFlow reads in a separate graph, which hides the original error.
            self.error: Exception | None = None
            self.shuffle()

        def shuffle(self) -> None:
            self.order = np.resize(rng.permutation(trained_rows), n_steps * size)
            # With a seed for each step, the result does not depend on the order of computation.
            self.seeds = rng.integers(2**63, size=n_steps)

        def __len__(self) -> int:
            return n_steps

        def __getitem__(self, step: int) -> tuple[Any, ...]:
            rows = self.order[step * size : (step + 1) * size]
            try:
                batch = images_of(images, rows)
            except Exception as error:
                self.error = error
                raise
            if augment is not None:
                rng = np.random.default_rng(self.seeds[step])
                try:
                    batch = changed(augment, batch, rng)
                except Exception as error:
                    self.error = error
                    raise
            return batch.astype(np.float32), target[rows], weight[y[rows]].astype(np.float32)

        def on_epoch_end(self) -> None:
            self.shuffle()

    return Batches()


def _recorder(
    keras: Any,
    images: Any,
    y: np.ndarray,
    weight: np.ndarray,
    held_rows: np.ndarray,
    batch_size: int,
    phase: int,
    history: list[dict[str, float]],
    bar: Any,
) -> Any:
    """Create the callback that appends each epoch to `history`."""

    class Recorder(keras.callbacks.Callback):
        """Add the scores of images held back to the logs. It must run before other callbacks."""

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.started = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            assert logs is not None
            entry = {
                "phase": float(phase),
                "loss": float(logs["loss"]),
                "accuracy": float(logs.get("accuracy", np.nan)),
                "learning_rate": float(
                    keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
                ),
            }
            if not math.isfinite(entry["loss"]):
                raise ValueError(
                    f"the loss of epoch {epoch + 1} is not finite: use a lower learning rate"
                )
            if held_rows.size:
                probabilities = predict_images(self.model, images, held_rows, batch_size)
                entry |= _scores(probabilities, y[held_rows], weight)
                logs |= {name: entry[name] for name in entry if name.startswith("val_")}
            entry["seconds"] = time.perf_counter() - self.started
            history.append(entry)
            names = [name for name in ("loss", "val_loss", "val_accuracy") if name in entry]
            bar.set_postfix({name: f"{entry[name]:.3f}" for name in names}, refresh=False)
            bar.update()

    return Recorder()


def _scores(probabilities: np.ndarray, y: np.ndarray, weight: np.ndarray) -> dict[str, float]:
    """Compute the scores of predictions."""
    losses = -np.log(np.clip(probabilities[np.arange(len(y)), y], 1e-7, 1.0))
    correct = probabilities.argmax(axis=1) == y
    recalls = [correct[y == k].mean() for k in np.unique(y)]
    return {
        "val_loss": float(np.average(losses, weights=weight[y])),
        "val_accuracy": float(correct.mean()),
        "val_balanced_accuracy": float(np.mean(recalls)),
    }
