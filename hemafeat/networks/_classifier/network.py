"""A network as a classifier uses it: colours before it, probabilities and vectors after."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from hemafeat.networks._keras import need_keras, seeded

COLOURS = ("rgb", "hsv", "od")
"""What a network is shown: the image, hue with saturation and value, or optical density."""

_COLOURED = "coloured"
_DENSEST = math.log10(256)
"""Decadic density that is shown as 255; `Embedding` shows densities up to 1.5, of the image's own
white."""


def image_network(
    architecture: str | os.PathLike[str] | Callable[..., Any],
    n_classes: int,
    *,
    input_shape: tuple[int, int, int] | None = None,
    colour: str = "rgb",
    weights: str | None = None,
    mixed_precision: bool = False,
    random_state: int = 0,
) -> Any:
    """A network that turns RGB images into probabilities, whatever colours it works on itself.

    Parameters
    ----------
    architecture : str, path or callable
        A name of `architectures`; a ``.keras`` file, from which training goes on; or a function
        ``(input_shape, n_classes)`` that gives a Keras model from images of 0 to 255 to
        probabilities.
    n_classes : int
        At least 2.
    input_shape : (height, width, channels), optional
        By default the published one, or that of the file; (128, 128, 3) for a function.
    colour : {"rgb", "hsv", "od"}
        What it is shown: RGB; hue, saturation and value; or optical density (decadic, of 255 as
        white, in steps of log10(256) / 255, so that black is close to 255). All of 0 to 255.
    weights : str, optional
        See `build`; only for a name.
    mixed_precision : bool
        Half precision inside where an accelerator is there; a processor has nothing to gain.
    random_state : int
        Seed of weights and dropout.

    Returns
    -------
    keras.Model
        Not compiled.

    Raises
    ------
    ImportError
        Keras is not installed.
    ValueError
        An unknown name or colour, a file that is not there, or a network of other outputs.
    """
    keras = need_keras("a network on images")
    from hemafeat.networks._architectures.architectures import build
    from hemafeat.networks._saved import load_network

    if colour not in COLOURS:
        raise ValueError(f"no colour {colour!r}; there are: {', '.join(COLOURS)}")
    with seeded(random_state), _precision(keras, mixed_precision):
        if callable(architecture):
            network = architecture(input_shape or (128, 128, 3), n_classes)
        elif str(architecture).endswith(".keras"):
            network = load_network(architecture)
        else:
            network = build(
                str(architecture),
                n_classes,
                input_shape=input_shape,
                weights=weights,
                random_state=random_state,
            )
        _check(keras, network, architecture, n_classes, input_shape)
        if weights is not None and (callable(architecture) or str(architecture).endswith(".keras")):
            raise ValueError(f"weights={weights!r} are for a network named by `architectures`")
        return network if colour == "rgb" else _coloured(keras, network, colour)


def _check(
    keras: Any, network: Any, name: Any, n_classes: int, input_shape: tuple[int, ...] | None
) -> None:
    if not isinstance(network, keras.Model) or len(getattr(network, "inputs", None) or ()) != 1:
        raise ValueError(f"{name} gives no Keras model of one image")
    shape, n_outputs = tuple(network.input_shape[1:]), int(network.output_shape[-1])
    if n_outputs != n_classes and not (n_outputs == 1 and n_classes == 2):
        raise ValueError(f"{name} has {n_outputs} outputs, and there are {n_classes} classes")
    if len(shape) != 3 or None in shape or shape[2] not in (1, 3):
        raise ValueError(f"{name} takes {shape}, not images of a fixed size with 1 or 3 channels")
    if input_shape is not None and shape != tuple(input_shape):
        raise ValueError(f"{name} takes images of {shape}, not of {tuple(input_shape)}")


def _coloured(keras: Any, network: Any, colour: str) -> Any:
    from hemafeat.networks._layers import HueSaturationValue, OpticalDensity

    if network.input_shape[-1] != 3:
        raise ValueError(f"colour={colour!r} needs a network of three channels")
    image = keras.Input(network.input_shape[1:], name="image")
    if colour == "hsv":
        x = HueSaturationValue(name="hsv", dtype="float32")(image)
    else:
        x = OpticalDensity(base="10", name="density", dtype="float32")(image)
        x = keras.layers.Rescaling(255.0 / _DENSEST, name="steps", dtype="float32")(x)
    return keras.Model(image, network(x), name=_COLOURED)


def body(model: Any) -> Any:
    """The network itself, without layers of colour before it."""
    if model.name != _COLOURED:
        return model
    return model.layers[-1]


def head_start(model: Any) -> int:
    """How many layers from the end lie behind the last feature maps, that is, are its head."""
    layers = body(model).layers
    for n, layer in enumerate(reversed(layers)):
        if len(getattr(layer.output, "shape", ())) == 4:
            return max(n, 1)
    return len(layers)


def _tail(model: Any) -> Any:
    """From RGB images to the numbers that the last dense layer looks at."""
    keras = need_keras("a network on images")
    inner = body(model)
    dense = [layer for layer in inner.layers if isinstance(layer, keras.layers.Dense)]
    if not dense:
        raise ValueError(f"{inner.name} has no dense layer whose input is its embedding")
    tail = keras.Model(inner.inputs[0], dense[-1].input, name="embedding")
    if inner is not model:
        x = image = keras.Input(model.input_shape[1:], name="image")
        for layer in model.layers[1:-1]:
            x = layer(x)
        tail = keras.Model(image, tail(x), name="embedding")
    return tail


def prepared(model: Any, optimizer: Any = None) -> Any:
    """The model compiled, so that it can be trained, and asked in batches."""
    keras = need_keras("a network on images")
    given: dict[str, Any] = {}
    if optimizer is not None:
        one = int(model.output_shape[-1]) == 1
        loss = "binary_crossentropy" if one else "sparse_categorical_crossentropy"
        given = {"optimizer": optimizer, "loss": loss, "metrics": ["accuracy"]}
    # JAX runs step by step without it; on TensorFlow and a processor XLA takes minutes to compile.
    fast = keras.backend.backend() == "jax" or has_accelerator()
    model.compile(**given, jit_compile="auto" if fast else False)
    return model


def predict_images(
    model: Any, images: Any, rows: np.ndarray | None = None, batch_size: int = 32
) -> np.ndarray:
    """Probabilities, a batch at a time.

    Parameters
    ----------
    model : keras.Model
        From images to (n, n_classes) probabilities, or (n, 1), that of the second of two classes.
    images : sequence
        As in `fit_images`.
    rows : (n,) ndarray of int, optional
        Which of them; all by default.
    batch_size : int
        Images in memory at once.

    Returns
    -------
    (n, n_classes) ndarray of float64
        Each row sums to 1.
    """
    chance = _answered(model, images, rows, batch_size).astype(np.float64)
    if chance.shape[1] == 1:
        chance = np.hstack([1.0 - chance, chance])
    return chance / chance.sum(axis=1, keepdims=True)


def embed_images(
    model: Any, images: Any, rows: np.ndarray | None = None, batch_size: int = 32
) -> np.ndarray:
    """The numbers that the last dense layer looks at, a batch at a time.

    Parameters
    ----------
    model : keras.Model
        With a dense layer.
    images, rows, batch_size
        As in `predict_images`.

    Returns
    -------
    (n, n_numbers) ndarray of float32

    Raises
    ------
    ValueError
        The network has no dense layer.
    """
    return _answered(_tail(model), images, rows, batch_size).astype(np.float32)


def _answered(model: Any, images: Any, rows: np.ndarray | None, batch_size: int) -> np.ndarray:
    if not model.compiled:
        prepared(model)
    rows = np.arange(len(images)) if rows is None else np.asarray(rows)
    size = max(1, min(batch_size, len(rows)))
    out = []
    for start in range(0, len(rows), size):
        some = rows[start : start + size]
        # The last batch is filled up: one shape is compiled for.
        shown = images_of(images, np.resize(some, size)).astype(np.float32)
        out.append(np.asarray(model.predict_on_batch(shown))[: len(some)])
    return np.concatenate(out) if out else np.empty((0, int(model.output_shape[-1])))


def images_of(images: Any, rows: np.ndarray) -> np.ndarray:
    """Some images, as (n, H, W, channels)."""
    found = np.asarray(images[rows])
    return found[..., None] if found.ndim == 3 else found


def has_accelerator() -> bool:
    """Whether the backend of Keras has a graphics card or a TPU."""
    keras = need_keras("a network on images")
    for kind in ("gpu", "tpu"):
        try:
            if keras.distribution.list_devices(kind):
                return True
        except (RuntimeError, ValueError, AttributeError, NotImplementedError):
            continue
    return False


@contextmanager
def _precision(keras: Any, mixed: bool) -> Iterator[None]:
    """Half precision for layers that are made meanwhile, where it helps."""
    if not (mixed and has_accelerator()):
        yield
        return
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
