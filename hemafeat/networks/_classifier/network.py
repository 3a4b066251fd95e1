"""Networks on RGB images as a classifier uses them: colours, probabilities and embeddings."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from hemafeat.networks._classifier.augment import views_of
from hemafeat.networks._classifier.rates import no_layer
from hemafeat.networks._keras import layer_seed, need_keras

COLOURS = ("rgb", "hsv", "od_fixed")
"""Colours in which a network can see an image; see `image_network`."""

_RENAMED_COLOURS = {"od": "od_fixed"}

_WITH_COLOURS = "coloured"
"""Name of a model that converts colours before the network itself."""

VIEWS_MEANS = ("arithmetic", "geometric")

_MAX_DENSITY = math.log10(256)
"""Decadic density of black, which is scaled to 255."""


def image_network(
    architecture: str | os.PathLike[str] | Callable[..., Any],
    n_classes: int,
    *,
    input_shape: tuple[int, int, int] | None = None,
    colour: str = "rgb",
    weights: str | None = None,
    head: Sequence[int] | None = None,
    dropout: float | None = None,
    mixed_precision: bool = False,
    random_state: int = 0,
) -> Any:
    """Build a network from RGB images to probabilities that may convert the colours first.

    Parameters
    ----------
    architecture : str, path or callable
        Name of a network of `architectures`; ``"keras:"`` and the name of a `backbone`; a
        ``.keras`` file, whose network is trained further; or a function ``(input_shape,
        n_classes)`` that returns a Keras model from images of 0 to 255 to probabilities.
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
    head : sequence of int, optional
        Dense layers of a network named ``"keras:..."``; see `build`.
    dropout : float, optional
        Rate of the dropout of a named network; see `build`.
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
    named = not (callable(architecture) or str(architecture).endswith(".keras"))
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
                head=head,
                dropout=dropout,
                random_state=random_state,
            )
        _check(keras, network, architecture, n_classes, input_shape)
        if not named:
            for name, value in (("weights", weights), ("head", head), ("dropout", dropout)):
                if value is not None:
                    raise ValueError(
                        f"{name}={value!r} needs a network that is named in `architectures`"
                    )
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


def embedding_model(model: Any, layer: str | None = None) -> Any:
    """Return the network from RGB images to the output of a layer, as one vector per image.

    Raises
    ------
    ValueError
        There is no such layer, or, without a name, no dense layer.
    """
    keras = need_keras("a network on images")
    inner = body(model)
    if layer is None:
        dense = [one for one in inner.layers if isinstance(one, keras.layers.Dense)]
        if not dense:
            raise ValueError(f"{inner.name} has no dense layer, whose input would be the embedding")
        output = dense[-1].input
    else:
        names = [one.name for one in inner.layers]
        if layer not in names:
            raise ValueError(f"layer: {no_layer(layer, names)}")
        output = inner.get_layer(layer).output
    if len(output.shape) == 4:
        output = keras.layers.GlobalAveragePooling2D(name="embedding_mean")(output)
    elif len(output.shape) != 2:
        output = keras.layers.Flatten(name="embedding_flat")(output)
    tail = keras.Model(inner.inputs[0], output, name="embedding")
    if inner is not model:
        x = image = keras.Input(model.input_shape[1:], name="image")
        for colours in model.layers[1:-1]:
            x = colours(x)
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
    model: Any,
    images: Any,
    rows: np.ndarray | None = None,
    batch_size: int = 32,
    *,
    views: Any = None,
    views_mean: str = "arithmetic",
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
    views : {"rotations_8", "flips_rot90", "flips_rot90_turns"} or callable, optional
        Versions of each image over which the probabilities are averaged: eight rotations in steps
        of 45 degrees [1]_; four rotations of the image and of its mirror image; these eight, each
        also turned by 10, 20, 30 and 60 degrees in both directions, 72 in all [2]_; or a function
        from an (n, H, W, channels) array of uint8 to the arrays of its versions. By default the
        image alone.
    views_mean : {"arithmetic", "geometric"}
        Mean of the probabilities of the views (default), or the mean of their logarithms, which is
        the mean of the scores before the softmax or the sigmoid.

    Returns
    -------
    (n, n_classes) ndarray of float64
        Probabilities; each row sums to 1.

    Raises
    ------
    ValueError
        `views` or `views_mean` is not known, or a view has another shape than the images.

    Notes
    -----
    Corners of turned images are filled by reflection. The turns of [2]_ are read as angles in both
    directions, which gives the stated number of views.

    References
    ----------
    .. [1] J. Prellberg and O. Kramer, "Acute lymphoblastic leukemia classification from
       microscopic images using convolutional neural networks", arXiv 1906.09020, 2019.
    .. [2] Y. Pan et al., "Neighborhood-correction algorithm for classification of normal and
       malignant cells", ISBI 2019 (repository YongshengPan/ISBI-NMC).

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import networks
    >>> images = np.zeros((3, 32, 32, 3), np.uint8)
    >>> model = networks.build("lenet5", 5)
    >>> networks.predict_images(model, images, views="flips_rot90").shape
    (3, 5)
    """
    make_views = check_views(views, views_mean)

    def predict(batch: np.ndarray) -> np.ndarray:
        if make_views is None:
            return _probabilities(model, batch)
        parts = []
        for view in make_views(batch):
            if np.shape(view) != batch.shape:
                raise ValueError(
                    f"a view has the shape {np.shape(view)}, but the images {batch.shape}"
                )
            parts.append(_probabilities(model, np.asarray(view)))
        if not parts:
            raise ValueError("there are no views to predict")
        if views_mean == "geometric":
            return np.exp(np.mean(np.log(np.maximum(parts, 1e-30)), axis=0))
        return np.mean(parts, axis=0)

    n_outputs = max(2, int(model.output_shape[-1]))
    probabilities = _in_batches(model, predict, images, rows, batch_size, n_outputs)
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def check_views(views: Any, views_mean: Any) -> Any:
    """Return the function that makes views, or raise a ValueError for an unknown option."""
    if views_mean not in VIEWS_MEANS:
        raise ValueError(f"views_mean={views_mean!r}: choose from {', '.join(VIEWS_MEANS)}")
    return views_of(views)


def _probabilities(model: Any, batch: np.ndarray) -> np.ndarray:
    values = np.asarray(model.predict_on_batch(batch.astype(np.float32)), np.float64)
    return np.hstack([1.0 - values, values]) if values.shape[1] == 1 else values


def embed_images(
    model: Any,
    images: Any,
    rows: np.ndarray | None = None,
    batch_size: int = 32,
    *,
    layer: str | None = None,
) -> np.ndarray:
    """Compute the output of a layer, or the input of the last dense layer, in batches.

    Parameters
    ----------
    model : keras.Model
        Network with a dense layer.
    images, rows, batch_size
        As in `predict_images`.
    layer : str, optional
        Name of the layer whose output is the embedding. Feature maps are averaged over their
        places. By default it is the input of the last dense layer.

    Returns
    -------
    (n, n_features) ndarray of float32
        Embedding of each image.

    Raises
    ------
    ValueError
        The network has no such layer, or, without a name, no dense layer.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import networks
    >>> images = np.zeros((3, 32, 32, 3), np.uint8)
    >>> model = networks.build("lenet5", 5)
    >>> networks.embed_images(model, images).shape
    (3, 84)
    >>> networks.embed_images(model, images, layer="dense_1").shape
    (3, 120)
    """
    tail = embedding_model(model, layer)

    def embed(batch: np.ndarray) -> np.ndarray:
        return np.asarray(tail.predict_on_batch(batch.astype(np.float32)))

    n_outputs = int(tail.output_shape[-1])
    return _in_batches(tail, embed, images, rows, batch_size, n_outputs).astype(np.float32)


def _in_batches(
    model: Any,
    run: Callable[[np.ndarray], np.ndarray],
    images: Any,
    rows: np.ndarray | None,
    batch_size: int,
    n_outputs: int,
) -> np.ndarray:
    """Run a function of a network on images in batches."""
    if not model.compiled:
        compile_network(model)
    rows = np.arange(len(images)) if rows is None else np.asarray(rows)
    size = max(1, min(batch_size, len(rows)))
    out = []
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        # The last batch is filled with repeated images, so that only one shape is compiled.
        out.append(run(images_of(images, np.resize(part, size)))[: len(part)])
    return np.concatenate(out) if out else np.empty((0, n_outputs))


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
