"""Training of networks on images: batches, learning rate, frozen layers and early stopping."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hemafeat._machine import progress_bar
from hemafeat._words import suggestion
from hemafeat.networks._classifier.augment import augmentation_of
from hemafeat.networks._classifier.network import (
    body,
    check_views,
    compile_network,
    embed_images,
    embedding_model,
    head_length,
    images_of,
    predict_images,
)
from hemafeat.networks._classifier.rates import (
    SCHEDULES,
    factors_of,
    no_layer,
    optimizer_of,
    scale_rates,
    schedule_callback,
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
    patience: int | None = 8,
    keep_best: bool = True,
    batch_size: int = 32,
    optimizer: Any = "adam",
    learning_rate: float = 1e-3,
    schedule: str = "plateau",
    slower_by: float = 0.2,
    slower_after: int | Sequence[int] = 3,
    layer_rates: Mapping[str, float] | None = None,
    last_layers: int | str | None = None,
    head_epochs: int = 5,
    oversample: bool = False,
    augment: Any = None,
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
        Images that are not used for training. Their loss decides when the rate falls on a plateau,
        when training stops, and which epoch is the best one. By default no image is held back: all
        epochs are run, the last weights are kept, and the training loss decides when the rate
        falls.
    epochs : int
        Largest number of epochs.
    patience : int, optional
        Number of epochs to wait for a lower loss. With None training never stops early.
    keep_best : bool
        Keep the weights of the epoch with the lowest loss of the images held back (default), or
        those of the last epoch.
    batch_size : int
        Number of images per step.
    optimizer : str, dict or callable
        Name of an optimiser of Keras (``"adam"`` by default); a dict of its ``name`` and options,
        ``{"name": "sgd", "momentum": 0.9}``, or of ``class_name`` and ``config``; or a function
        from the learning rate to an optimiser.
    learning_rate : float
        Rate at the start of each phase.
    schedule : {"plateau", "exponential", "steps", "constant"}
        How the rate falls within a phase. ``"plateau"`` (default): it is multiplied by `slower_by`
        whenever the loss has not fallen for `slower_after` epochs. ``"exponential"``: a little in
        every epoch, so that it is multiplied by `slower_by` in `slower_after` epochs. ``"steps"``:
        it is multiplied by `slower_by` after every `slower_after` epochs, or at each of the epochs
        (counted from 0) that `slower_after` lists. ``"constant"``: it stays.
    slower_by, slower_after : float, int or sequence of int
        Factor and number of epochs of the schedule.
    layer_rates : mapping of str to float, optional
        Learning rate of each group of layers, by the name of the first layer of the group. Layers
        before the first group have `learning_rate`. All of them follow the schedule.
    last_layers : int or str, optional
        Layers that are trained: a number of layers with weights, counted from the end; the name of
        the first one; or ``"head"``, see `trained_layers`. By default all layers are trained.
    head_epochs : int
        With `last_layers`, number of preceding epochs in which only the layers behind the last
        feature maps are trained.
    oversample : bool
        Repeat images of the rarer classes in each epoch, at random, until every class has as many
        as the largest. By default each image is shown once.
    augment : bool, dict or callable, optional
        Random changes of training images: True for the default `Augmentation`, a dict of its
        fields, or any callable ``(images, rng)`` that returns images of the same shape, such as an
        `Augmentation`. By default there are none.
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
        An option has a wrong value, every image is held back, or the loss is not finite any more.

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
    check_options(
        model,
        epochs=epochs,
        patience=patience,
        keep_best=keep_best,
        batch_size=batch_size,
        optimizer=optimizer,
        learning_rate=learning_rate,
        schedule=schedule,
        slower_by=slower_by,
        slower_after=slower_after,
        layer_rates=layer_rates,
        last_layers=last_layers,
        head_epochs=head_epochs,
        oversample=oversample,
        augment=augment,
    )
    held = np.zeros(len(y), dtype=bool) if held_back is None else np.asarray(held_back)
    trained_rows, held_rows = np.flatnonzero(~held), np.flatnonzero(held)
    if not trained_rows.size:
        raise ValueError("every image is held back: there is nothing to learn from")
    n_classes = max(int(y.max()) + 1, 2)
    weight = np.ones(n_classes) if class_weight is None else np.asarray(class_weight, np.float64)
    rng = np.random.default_rng(random_state)
    draw = _Order(trained_rows, y if oversample else None, rng)
    changes = augmentation_of(augment)
    steps = _batches(keras, model, images, y, weight, draw, batch_size, changes)
    history: list[dict[str, float]] = []
    phases = _phases(model, epochs, head_epochs, last_layers)
    # Layers that were frozen before stay frozen.
    flags = [(layer, layer.trainable) for layer in all_layers(model)]
    n_epochs = sum(n for n, _ in phases)
    with progress_bar(n_epochs, "epochs", progress=progress, unit="epoch", leave=False) as bar:
        for number, (n_epochs, layers) in enumerate(phases):
            _restore(flags)
            _freeze(model, layers)
            stepper = optimizer_of(optimizer, learning_rate)
            if layer_rates:
                factors = layer_factors(model, layer_rates, learning_rate)
                scale_rates(stepper, factors.__getitem__)
            compile_network(model, stepper)
            recorder = _recorder(
                keras, images, y, weight, held_rows, batch_size, number, history, bar
            )
            monitor = "val_loss" if held_rows.size else "loss"
            callbacks: list[Any] = [
                recorder,
                schedule_callback(schedule, learning_rate, slower_by, slower_after, monitor),
            ]
            if held_rows.size and (keep_best or patience is not None):
                callbacks.append(
                    keras.callbacks.EarlyStopping(
                        monitor=monitor,
                        patience=n_epochs if patience is None else patience,
                        restore_best_weights=keep_best,
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


def check_options(model: Any = None, **options: Any) -> None:
    """Check the options of `fit_images` and the like before any image is read.

    Parameters
    ----------
    model : keras.Model, optional
        Network that has the layers that `last_layers`, `layer_rates` and `layer` name. By default
        their names are not checked.
    **options
        Options that say how the network is trained, from `epochs` to `augment`, how it predicts,
        `views` and `views_mean`, and the `layer` of embeddings.

    Raises
    ------
    ValueError
        There is no such option, or it has a wrong value. The message names it.

    Examples
    --------
    >>> from hemafeat import networks
    >>> networks.check_options(schedule="steps", slower_after=[10], optimizer="sgd")
    """
    defaults = {
        name: parameter.default
        for function in (fit_images, predict_images, embed_images)
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    for name in options:
        if name not in defaults:
            raise ValueError(f"there is no option {name!r}; {suggestion(name, defaults)}")
    given = {**defaults, **options}
    for name, least in (("epochs", 1), ("batch_size", 1), ("head_epochs", 0)):
        if not _is_whole(given[name], least):
            raise ValueError(f"{name}={given[name]!r}: expected a whole number of at least {least}")
    if given["patience"] is not None and not _is_whole(given["patience"], 0):
        raise ValueError(
            f"patience={given['patience']!r}: expected a whole number of at least 0, or None"
        )
    for name in ("keep_best", "oversample"):
        if not isinstance(given[name], bool | np.bool_):
            raise ValueError(f"{name}={given[name]!r}: expected True or False")
    if not _is_rate(given["learning_rate"]):
        raise ValueError(f"learning_rate={given['learning_rate']!r}: expected a number above 0")
    _check_schedule(given["schedule"], given["slower_by"], given["slower_after"])
    rates = given["layer_rates"]
    if rates is not None and not isinstance(rates, Mapping):
        raise ValueError(
            f"layer_rates={rates!r}: expected a dict of the first layer of each group to its "
            "learning rate"
        )
    for name, rate in (rates or {}).items():
        if not _is_rate(rate):
            raise ValueError(f"layer_rates: {name}={rate!r}: expected a number above 0")
    last = given["last_layers"]
    if isinstance(last, bool) or not isinstance(last, int | np.integer | str | None):
        raise ValueError(
            f"last_layers={last!r}: expected a whole number, the name of a layer, 'head', or None"
        )
    optimizer = given["optimizer"]
    if not (isinstance(optimizer, str | dict) or callable(optimizer)):
        raise ValueError(
            f"optimizer={optimizer!r}: expected the name of an optimiser of Keras, a dict of its "
            "name and options, or a function of the learning rate"
        )
    augmentation_of(given["augment"])
    check_views(given["views"], given["views_mean"])
    optimizer_of(optimizer, float(given["learning_rate"]))
    if model is not None:
        trained_layers(model, last if last is None or isinstance(last, str) else int(last))
        layer_factors(model, rates or {}, 1.0)
        if given["layer"] is not None:
            embedding_model(model, given["layer"])


def _check_schedule(schedule: Any, by: Any, after: Any) -> None:
    if not isinstance(schedule, str) or schedule not in SCHEDULES:
        raise ValueError(f"schedule={schedule!r}: choose from {', '.join(SCHEDULES)}")
    if not (_is_rate(by) and by <= 1):
        raise ValueError(f"slower_by={by!r}: expected a number above 0 and up to 1")
    listed = schedule == "steps" and isinstance(after, list | tuple)
    if not (all(_is_whole(epoch, 0) for epoch in after) if listed else _is_whole(after, 1)):
        also = ", or a list of epochs" if schedule == "steps" else ""
        raise ValueError(
            f"slower_after={after!r}: expected a whole number of epochs of at least 1{also}"
        )


def _is_whole(value: Any, least: int) -> bool:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return whole and bool(value >= least)


def _is_rate(value: Any) -> bool:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return number and 0 < float(value) < math.inf


def layer_factors(model: Any, rates: Mapping[str, float], learning_rate: float) -> list[float]:
    """Return the factor of the learning rate of each trainable variable, in order.

    Raises
    ------
    ValueError
        The network has no layer of a name.
    """
    layers = _layers_of(model)
    factors = factors_of(layers, [layer.name for layer in layers], rates, learning_rate)
    of_variable = {
        id(variable): factors[id(layer)]
        for layer in layers
        for variable in layer.trainable_variables
    }
    return [of_variable[id(variable)] for variable in model.trainable_variables]


def _layers_of(model: Any) -> list[Any]:
    """Return the layers of a network in order, those of nested models in their place."""
    keras = need_keras("a network on images")
    return [layer for layer in all_layers(body(model)) if not isinstance(layer, keras.Model)]


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


def trained_layers(model: Any, last_layers: int | str | None = None) -> list[str]:
    """List the layers of a network with weights, or those of them that fine-tuning trains.

    Parameters
    ----------
    model : keras.Model
        Network.
    last_layers : int or str, optional
        Number of layers, counted from the end, where layers without weights, such as pooling,
        dropout, activations and the softmax, do not count; the name of the first layer, with or
        without weights, from which on all are listed; or ``"head"`` for the layers behind the last
        feature maps. By default all layers are listed.

    Returns
    -------
    list of str
        Names of the layers, in order.

    Raises
    ------
    ValueError
        `last_layers` is below 1 or larger than the number of layers with weights, or there is no
        layer of that name.

    Notes
    -----
    Reports count in several ways, so that the name of the first layer says it best. A report on
    PBC [1]_ frees "the last 4" and "the last 8" layers of VGG16, where pooling counts and the
    dense layers behind it do not: ``"block5_conv1"`` and ``"block4_conv1"``, which are 7 and 10
    layers with weights of ``vgg16_head``. "The last 26" layers of its EfficientNet-B1 are 8 layers
    of the head and 18 of the backbone: ``"block7b_expand_conv"``, 14 layers with weights.

    References
    ----------
    .. [1] L. Bernard et al., "Blood cells" project report, DataScientest (repository
       lbernard9/bloodcells).

    Examples
    --------
    >>> from hemafeat import networks
    >>> model = networks.build("lenet5", 8)
    >>> networks.trained_layers(model, 2)
    ['dense_2', 'logit']
    >>> networks.trained_layers(model, "head")
    ['dense_1', 'dense_2', 'logit']
    """
    return [layer.name for layer in _last_layers(model, last_layers)]


def _last_layers(model: Any, last: int | str | None) -> list[Any]:
    """Return those last layers with weights that can be trained, all of them for None."""
    keras = need_keras("a network on images")
    in_order = _layers_of(model)
    if last == "head":
        return _head(model) or _last_layers(model, 1)
    elif isinstance(last, str):
        names = [layer.name for layer in in_order]
        if last not in names:
            raise ValueError(f"last_layers: {no_layer(last, names)}")
        in_order = in_order[names.index(last) :]
    layers = [
        layer
        for layer in in_order
        if layer.weights and not isinstance(layer, keras.layers.Normalization)
    ]
    if last is None or isinstance(last, str):
        if not layers and last is not None:
            raise ValueError(f"last_layers={last!r}: no layer from there on has weights")
        return layers
    if last < 1:
        raise ValueError(f"last_layers={last}: at least one layer must be trained")
    if last > len(layers):
        raise ValueError(
            f"last_layers={last}: the network has {len(layers)} layers with weights "
            f"({layers[0].name if layers else 'none'} to {layers[-1].name if layers else 'none'}); "
            "last_layers=None trains all of them"
        )
    return layers[-last:]


def _phases(
    model: Any, epochs: int, head_epochs: int, last_layers: int | str | None
) -> list[tuple[int, list[Any] | None]]:
    """Return the number of epochs of each phase, and the layers that are trained in it."""
    if last_layers is None:
        return [(epochs, None)]
    last = _last_layers(model, last_layers)
    if last_layers == "head" or not head_epochs:
        return [(epochs, last)]
    return [(head_epochs, _head(model) or last[-1:]), (epochs, last)]


def _head(model: Any) -> list[Any]:
    """Return the layers with weights behind the last feature maps."""
    head = body(model).layers[-head_length(model) :]
    ids = {id(layer) for outer in head for layer in _with_inner(outer)}
    return [layer for layer in _last_layers(model, None) if id(layer) in ids]


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


class _Order:
    """Orders in which the training images are shown, a new one for each epoch.

    Parameters
    ----------
    rows : (n_rows,) ndarray of int
        Training images.
    y : (n_images,) ndarray of int, optional
        Classes of all images, in order to repeat images of the rarer ones.
    rng : numpy.random.Generator
        Source of the orders.
    """

    def __init__(self, rows: np.ndarray, y: np.ndarray | None, rng: np.random.Generator) -> None:
        self.rng, self.rows = rng, rows
        self._classes = [] if y is None else [rows[y[rows] == code] for code in np.unique(y[rows])]
        self._largest = max(map(len, self._classes), default=0)
        self.n = len(rows) if y is None else self._largest * len(self._classes)

    def draw(self) -> np.ndarray:
        """Return the images of one epoch."""
        more = [
            self.rng.choice(own, self._largest - len(own))
            for own in self._classes
            if len(own) < self._largest
        ]
        return self.rng.permutation(np.concatenate([self.rows, *more]))


def _batches(
    keras: Any,
    model: Any,
    images: Any,
    y: np.ndarray,
    weight: np.ndarray,
    order: _Order,
    batch_size: int,
    augment: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None,
) -> Any:
    """Create the data set of the training images."""
    size = min(batch_size, order.n)
    n_steps = math.ceil(order.n / size)
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
            self.order = np.resize(order.draw(), n_steps * size)
            # With a seed for each step, the result does not depend on the order of computation.
            self.seeds = order.rng.integers(2**63, size=n_steps)

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
