"""Networks on RGB images as a classifier uses them: colours, probabilities and embeddings."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from hemafeat.networks._keras import layer_seed, need_keras

COLOURS = ("rgb", "hsv", "od_fixed")
"""Colours in which a network can see an image; see `image_network`."""

_RENAMED_COLOURS = {"od": "od_fixed"}

_WITH_COLOURS = "coloured"
"""Name of a model that converts colours before the network itself."""

_MAX_DENSITY = math.log10(256)
"""Decadic density of black, which is scaled to 255."""


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
    """Build a network from RGB images to probabilities that may convert the colours first.

    Parameters
    ----------
    architecture : str, path or callable
        Name of a network of `architectures`; a ``.keras`` file, whose network is trained further;
        or a function ``(input_shape, n_classes)`` that returns a Keras model from images of 0 to
        255 to probabilities.
    n_classes : int
        Number of classes, at least 2.
    input_shape : (height, width, channels), optional
        Shape of the images, in px. By default the published shape or that of the file;
        (128, 128, 3) for a function.
    colour : {"rgb", "hsv", "od_fixed"}
        Colours that the network sees, each scaled to 0 to 255. ``"rgb"`` (default): those of the
        image. ``"hsv"``: hue, saturation and value. ``"od_fixed"``: decadic optical density
        relative to a fixed white of 255, with the density of black, log10(256), scaled to 255.
        (`Embedding` and `PictureMaker` offer ``"od"``, relative to the white of the image.)
    weights : str, optional
        Weights of a network of `architectures`; see `build`. By default they are random.
    mixed_precision : bool
        Compute in half precision if there is an accelerator. By default single precision is used.
    random_state : int
        Seed of weights and dropout.

    Returns
    -------
    keras.Model
        The network, not compiled.

    Raises
    ------
    ImportError
        Keras is not installed.
    ValueError
        The name or the colour is unknown, the file does not exist, or the network has other inputs
        or outputs.

    Warns
    -----
    FutureWarning
        `colour` is ``"od"``, the former name of ``"od_fixed"``.

    Examples
    --------
    >>> from hemafeat import networks
    >>> model = networks.image_network("lenet5", 2, colour="hsv")
    >>> model.input_shape, model.output_shape
    ((None, 32, 32, 3), (None, 2))
    """
    keras = need_keras("a network on images")
    from hemafeat.networks._architectures.architectures import build
    from hemafeat.networks._saved import load_network

    if colour in _RENAMED_COLOURS:
        current = _RENAMED_COLOURS[colour]
        warnings.warn(f"colour {colour!r} is now called {current!r}", FutureWarning, stacklevel=2)
        colour = current
    if colour not in COLOURS:
        raise ValueError(f"no colour {colour!r}; there are: {', '.join(COLOURS)}")
    with layer_seed(random_state), _precision(keras, mixed_precision):
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
            raise ValueError(f"weights={weights!r} need a network that is named in `architectures`")
        return network if colour == "rgb" else _add_colours(keras, network, colour)


def _check(
    keras: Any, network: Any, name: Any, n_classes: int, input_shape: tuple[int, ...] | None
) -> None:
    """Raise ValueError for a network with other inputs or outputs."""
    if not isinstance(network, keras.Model) or len(getattr(network, "inputs", None) or ()) != 1:
        raise ValueError(f"{name} is not a Keras model with one image as input")
    shape, n_outputs = tuple(network.input_shape[1:]), int(network.output_shape[-1])
    if n_outputs != n_classes and not (n_outputs == 1 and n_classes == 2):
        raise ValueError(f"{name} has {n_outputs} outputs, but there are {n_classes} classes")
    if len(shape) != 3 or None in shape or shape[2] not in (1, 3):
        raise ValueError(f"{name} takes {shape}, not images of a fixed size with 1 or 3 channels")
    if input_shape is not None and shape != tuple(input_shape):
        raise ValueError(f"{name} takes images of {shape}, not of {tuple(input_shape)}")


def _add_colours(keras: Any, network: Any, colour: str) -> Any:
    """Put layers that convert RGB to `colour` before a network."""
    from hemafeat.networks._layers import HueSaturationValue, OpticalDensity

    if network.input_shape[-1] != 3:
        raise ValueError(f"colour={colour!r} needs a network of three channels")
    image = keras.Input(network.input_shape[1:], name="image")
    if colour == "hsv":
        x = HueSaturationValue(name="hsv", dtype="float32")(image)
    else:
        x = OpticalDensity(base="10", name="density", dtype="float32")(image)
        x = keras.layers.Rescaling(255.0 / _MAX_DENSITY, name="steps", dtype="float32")(x)
    return keras.Model(image, network(x), name=_WITH_COLOURS)


def body(model: Any) -> Any:
    """Return the network without layers that convert colours."""
    if model.name != _WITH_COLOURS:
        return model
    return model.layers[-1]


def head_length(model: Any) -> int:
    """Return the number of layers behind the last feature maps, the head of the network."""
    layers = body(model).layers
    for n, layer in enumerate(reversed(layers)):
        if len(getattr(layer.output, "shape", ())) == 4:
            return max(n, 1)
    return len(layers)


def _tail(model: Any) -> Any:
    """Return the network from RGB images to the input of the last dense layer."""
    keras = need_keras("a network on images")
    inner = body(model)
    dense = [layer for layer in inner.layers if isinstance(layer, keras.layers.Dense)]
    if not dense:
        raise ValueError(f"{inner.name} has no dense layer, whose input would be the embedding")
    tail = keras.Model(inner.inputs[0], dense[-1].input, name="embedding")
    if inner is not model:
        x = image = keras.Input(model.input_shape[1:], name="image")
        for layer in model.layers[1:-1]:
            x = layer(x)
        tail = keras.Model(image, tail(x), name="embedding")
    return tail


def compile_network(model: Any, optimizer: Any = None) -> Any:
    """Compile a model for predictions, and for training if an optimiser is given."""
    keras = need_keras("a network on images")
    training: dict[str, Any] = {}
    if optimizer is not None:
        binary = int(model.output_shape[-1]) == 1
        loss = "binary_crossentropy" if binary else "sparse_categorical_crossentropy"
        training = {"optimizer": optimizer, "loss": loss, "metrics": ["accuracy"]}
    # JAX needs compilation. With TensorFlow on a processor, XLA takes minutes to compile.
    fast = keras.backend.backend() == "jax" or has_accelerator()
    model.compile(**training, jit_compile="auto" if fast else False)
    return model


def predict_images(
    model: Any, images: Any, rows: np.ndarray | None = None, batch_size: int = 32
) -> np.ndarray:
    """Predict the probabilities of the classes in batches.

    Parameters
    ----------
    model : keras.Model
        Network from images to (n, n_classes) probabilities, or to (n, 1), the probability of the
        second of two classes.
    images : sequence
        Images as in `fit_images`.
    rows : (n,) ndarray of int, optional
        Indices of the images to predict. By default all images.
    batch_size : int
        Number of images that are predicted together.

    Returns
    -------
    (n, n_classes) ndarray of float64
        Probabilities; each row sums to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import networks
    >>> images = np.zeros((3, 32, 32, 3), np.uint8)
    >>> networks.predict_images(networks.build("lenet5", 5), images).shape
    (3, 5)
    """
    probabilities = _outputs(model, images, rows, batch_size).astype(np.float64)
    if probabilities.shape[1] == 1:
        probabilities = np.hstack([1.0 - probabilities, probabilities])
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def embed_images(
    model: Any, images: Any, rows: np.ndarray | None = None, batch_size: int = 32
) -> np.ndarray:
    """Compute the inputs of the last dense layer in batches.

    Parameters
    ----------
    model : keras.Model
        Network with a dense layer.
    images, rows, batch_size
        As in `predict_images`.

    Returns
    -------
    (n, n_features) ndarray of float32
        Embedding of each image.

    Raises
    ------
    ValueError
        The network has no dense layer.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import networks
    >>> images = np.zeros((3, 32, 32, 3), np.uint8)
    >>> networks.embed_images(networks.build("lenet5", 5), images).shape
    (3, 84)
    """
    return _outputs(_tail(model), images, rows, batch_size).astype(np.float32)


def _outputs(model: Any, images: Any, rows: np.ndarray | None, batch_size: int) -> np.ndarray:
    """Run a network on images in batches."""
    if not model.compiled:
        compile_network(model)
    rows = np.arange(len(images)) if rows is None else np.asarray(rows)
    size = max(1, min(batch_size, len(rows)))
    out = []
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        # The last batch is filled with repeated images, so that only one shape is compiled.
        batch = images_of(images, np.resize(part, size)).astype(np.float32)
        out.append(np.asarray(model.predict_on_batch(batch))[: len(part)])
    return np.concatenate(out) if out else np.empty((0, int(model.output_shape[-1])))


def images_of(images: Any, rows: np.ndarray) -> np.ndarray:
    """Return the images at some indices, (n, H, W, channels)."""
    batch = np.asarray(images[rows])
    return batch[..., None] if batch.ndim == 3 else batch


def has_accelerator() -> bool:
    """Return whether the backend of Keras has a graphics card or a TPU."""
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
    """Create layers in half precision inside the context if there is an accelerator."""
    if not (mixed and has_accelerator()):
        yield
        return
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
