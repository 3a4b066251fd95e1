"""Grad-CAM: heat maps of the image regions that speak for a class."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any

import cv2
import numpy as np

from hemafeat.networks._classifier.network import images_of
from hemafeat.networks._keras import all_layers, need_keras


def grad_cam(
    model: Any,
    images: Any,
    *,
    classes: Any = None,
    layer: str | None = None,
    resize: bool = True,
    batch_size: int = 16,
) -> np.ndarray:
    """Compute heat maps of the image regions that speak for a class.

    The method is that of [1]_.

    Parameters
    ----------
    model : keras.Model
        Network from images to probabilities that has a convolution, possibly in a nested model.
    images : (n, H, W, channels) array, or sequence as in `fit_images`
        Images, with values of 0 to 255.
    classes : int or (n,) array of int, optional
        Index of the class of each image. By default it is the most probable class.
    layer : str, optional
        Name of the layer whose maps are used. By default it is the last convolution.
    resize : bool
        Resize the maps to the size of the images by bilinear interpolation (default). Otherwise
        they keep the size of the layer.
    batch_size : int
        Number of images that are processed together.

    Returns
    -------
    (n, H, W) ndarray of float32
        Heat maps from 0 to 1, with a maximum of 1 in each image, or 0 everywhere if nothing speaks
        for the class.

    Raises
    ------
    ImportError
        Keras is not installed.
    ValueError
        There is no such layer, it does not return maps, or it is used several times.

    Notes
    -----
    With A_k the maps of the layer and y the score of the class before the softmax, the heat map is
    ``relu(sum_k mean(dy/dA_k) A_k)`` over its maximum. The score of the first of two classes that
    share one output is the negative of that of the second.

    References
    ----------
    .. [1] R. R. Selvaraju et al., "Grad-CAM: Visual explanations from deep networks via
       gradient-based localization", ICCV 2017.

    Examples
    --------
    >>> from hemafeat import datasets, networks
    >>> image = datasets.draw_cell("neutrophil", size=48, random_state=0).image
    >>> model = networks.build("lenet5", 8, input_shape=(48, 48, 3))
    >>> networks.grad_cam(model, image[None], layer="conv_2").shape
    (1, 48, 48)
    """
    keras = need_keras("Grad-CAM")
    map_layer = _find_layer(keras, model, layer)
    n = len(images)
    class_index = None if classes is None else np.broadcast_to(np.asarray(classes), (n,))
    parts = []
    for start in range(0, n, max(1, batch_size)):
        rows = np.arange(start, min(start + batch_size, n))
        batch = images_of(images, rows).astype(np.float32)
        batch_classes = None if class_index is None else class_index[rows]
        maps = _maps(keras, model, map_layer, batch, batch_classes)
        if resize:
            height, width = batch.shape[1:3]
            maps = np.stack(
                [cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR) for heat in maps]
            )
        parts.append(maps)
    if not parts:
        return np.empty((0, *model.input_shape[1:3]), np.float32)
    return _normalise(np.concatenate(parts))


def _maps(
    keras: Any, model: Any, layer: Any, images: np.ndarray, classes: np.ndarray | None
) -> np.ndarray:
    """Return the weighted sum of the maps of a layer for some images."""
    outputs: list[Any] = []

    def record(output: Any) -> Any:
        outputs.append(output)
        return output

    with _without_softmax(keras, model), _replaced_output(layer, record):
        class_scores = keras.ops.convert_to_numpy(model(images, training=False))
    if len(outputs) != 1:
        raise ValueError(f"layer {layer.name!r} is used {len(outputs)} times in the network")
    maps = np.asarray(keras.ops.convert_to_numpy(outputs[0]), np.float32)
    if maps.ndim != 4:
        raise ValueError(f"layer {layer.name!r} returns {maps.shape[1:]}, not feature maps")
    weights = _class_weights(np.asarray(class_scores), classes)

    def score(layer_maps: Any) -> Any:
        # The output of the layer is replaced, so that the score is a function of its maps.
        with _without_softmax(keras, model), _replaced_output(layer, lambda output: layer_maps):
            scores = model(images, training=False)
        return keras.ops.sum(keras.ops.cast(scores, "float32") * weights)

    slopes = gradient(score, maps)
    if keras.config.image_data_format() == "channels_first":
        maps, slopes = (part.transpose(0, 2, 3, 1) for part in (maps, slopes))
    return np.einsum("nhwk,nk->nhw", maps, slopes.mean(axis=(1, 2)))


def _class_weights(scores: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
    """Return factors that reduce the sum of all scores to the scores of the classes."""
    n_outputs = scores.shape[1]
    if n_outputs == 1:
        index = (scores[:, 0] > 0).astype(int) if classes is None else classes
        return np.where(np.asarray(index) == 1, 1.0, -1.0).astype(np.float32)[:, None]
    index = scores.argmax(axis=1) if classes is None else classes
    if not (np.min(index, initial=0) >= 0 and np.max(index, initial=0) < n_outputs):
        raise ValueError(f"classes are numbers from 0 to {n_outputs - 1}")
    return np.eye(n_outputs, dtype=np.float32)[np.asarray(index, dtype=int)]


def _normalise(maps: np.ndarray) -> np.ndarray:
    """Clip maps at 0 and divide each by its maximum."""
    maps = np.maximum(maps, 0.0)
    top = maps.max(axis=(1, 2), keepdims=True)
    return (maps / np.where(top > 0, top, 1.0)).astype(np.float32)


def _find_layer(keras: Any, model: Any, name: str | None) -> Any:
    """Return the layer called `name`, or the last convolution."""
    layers = [layer for layer in all_layers(model) if not isinstance(layer, keras.Model)]
    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)
    convolutions = [layer for layer in layers if isinstance(layer, kinds)]
    if name is not None:
        named = [layer for layer in layers if layer.name == name]
        if not named:
            names = ", ".join(layer.name for layer in convolutions) or "none"
            raise ValueError(f"no layer {name!r}; convolutions are: {names}")
        return named[-1]
    if not convolutions:
        raise ValueError("the network has no convolution: name the layer whose maps are used")
    return convolutions[-1]


@contextmanager
def _replaced_output(layer: Any, change: Callable[[Any], Any]) -> Iterator[None]:
    """Replace the output of a layer by ``change(output)`` inside the context."""
    call = layer.call

    def changed(*args: Any, **kwargs: Any) -> Any:
        return change(call(*args, **kwargs))

    layer.call = changed
    try:
        yield
    finally:
        layer.call = call


@contextmanager
def _without_softmax(keras: Any, model: Any) -> Iterator[None]:
    """Remove the last softmax or sigmoid of a network inside the context."""
    last = list(all_layers(model))[-1]
    with ExitStack() as stack:
        if isinstance(last, keras.layers.Softmax):
            call = last.call
            last.call = lambda inputs, *args, **kwargs: inputs
            stack.callback(setattr, last, "call", call)
        elif getattr(last, "activation", None) in (
            keras.activations.softmax,
            keras.activations.sigmoid,
        ):
            stack.callback(setattr, last, "activation", last.activation)
            last.activation = keras.activations.linear
        yield


def gradient(function: Callable[[Any], Any], at: np.ndarray) -> np.ndarray:
    """Compute the gradient of a function of tensors.

    Parameters
    ----------
    function : callable
        Function from one tensor to a scalar, made of operations of Keras.
    at : ndarray
        Argument at which the gradient is computed.

    Returns
    -------
    ndarray of float32
        Gradient, of the shape of `at`.

    Raises
    ------
    ValueError
        The backend is not TensorFlow, JAX or PyTorch.
    """
    keras = need_keras("a gradient")
    argument = keras.ops.convert_to_tensor(np.asarray(at))
    kind = keras.backend.backend()
    if kind == "tensorflow":
        tensorflow = import_module("tensorflow")
        with tensorflow.GradientTape() as tape:
            tape.watch(argument)
            value = function(argument)
        slopes = tape.gradient(value, argument)
    elif kind == "jax":
        slopes = import_module("jax").grad(function)(argument)
    elif kind == "torch":
        torch = import_module("torch")
        with torch.enable_grad():
            argument = argument.detach().requires_grad_(True)
            (slopes,) = torch.autograd.grad(function(argument), argument, allow_unused=True)
    else:
        raise ValueError(f"gradients need TensorFlow, JAX or PyTorch, not {kind}")
    if slopes is None:  # the function does not depend on its argument
        return np.zeros(np.shape(at), np.float32)
    return np.asarray(keras.ops.convert_to_numpy(slopes), np.float32)
