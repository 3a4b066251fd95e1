"""Where in an image a network sees a class: Grad-CAM."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any

import cv2
import numpy as np

from hemafeat.networks._classifier.network import images_of
from hemafeat.networks._keras import need_keras


def grad_cam(
    model: Any,
    images: Any,
    *,
    classes: Any = None,
    layer: str | None = None,
    resize: bool = True,
    batch_size: int = 16,
) -> np.ndarray:
    """Heat maps of what speaks for a class, one per image [1]_.

    Parameters
    ----------
    model : keras.Model
        From images to probabilities, with a convolution somewhere; models inside it are looked
        into.
    images : (n, H, W, channels) array, or sequence as in `fit_images`
        Of 0 to 255.
    classes : int or (n,) array of int, optional
        Number of the class of each image; by default the most probable one.
    layer : str, optional
        Name of the layer whose maps are taken; by default the last convolution.
    resize : bool
        Bring the maps to the size of the images (bilinear); else they are as the layer gives them.
    batch_size : int
        Images at once.

    Returns
    -------
    (n, H, W) ndarray of float32
        0 to 1, with 1 at the strongest place of each image; 0 everywhere where nothing speaks for
        the class.

    Raises
    ------
    ImportError
        Keras is not installed.
    ValueError
        No such layer, one that gives no maps, or one that is used several times.

    Notes
    -----
    With A_k the maps of the layer and y the score of the class before the softmax,
    ``relu(sum_k mean(dy/dA_k) A_k)`` over its maximum. The score of the first of two classes that
    share one output is the negative of that of the second.

    References
    ----------
    .. [1] R. R. Selvaraju et al., "Grad-CAM: Visual explanations from deep networks via
       gradient-based localization", ICCV 2017.

    Examples
    --------
    >>> from hemafeat import networks
    >>> model = networks.build("lenet5", 8)  # doctest: +SKIP
    >>> networks.grad_cam(model, images, layer="conv_2").shape  # doctest: +SKIP
    (40, 32, 32)
    """
    keras = need_keras("Grad-CAM")
    chosen = _layer(keras, model, layer)
    n = len(images)
    asked = None if classes is None else np.broadcast_to(np.asarray(classes), (n,))
    parts = []
    for start in range(0, n, max(1, batch_size)):
        rows = np.arange(start, min(start + batch_size, n))
        shown = images_of(images, rows).astype(np.float32)
        maps = _maps(keras, model, chosen, shown, None if asked is None else asked[rows])
        if resize:
            height, width = shown.shape[1:3]
            maps = np.stack(
                [cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR) for one in maps]
            )
        parts.append(maps)
    if not parts:
        return np.empty((0, *model.input_shape[1:3]), np.float32)
    return _scaled(np.concatenate(parts))


def _maps(
    keras: Any, model: Any, layer: Any, shown: np.ndarray, classes: np.ndarray | None
) -> np.ndarray:
    seen: list[Any] = []

    def note(output: Any) -> Any:
        seen.append(output)
        return output

    with _scores(keras, model), _altered(layer, note):
        given = keras.ops.convert_to_numpy(model(shown, training=False))
    if len(seen) != 1:
        raise ValueError(f"layer {layer.name!r} is used {len(seen)} times: its maps are not one")
    maps = np.asarray(keras.ops.convert_to_numpy(seen[0]), np.float32)
    if maps.ndim != 4:
        raise ValueError(f"layer {layer.name!r} gives {maps.shape[1:]}, which are no maps")
    weights = _weights(np.asarray(given), classes)

    def score(stand_in: Any) -> Any:
        # The layer gives what it is told, so that the score is a function of its maps.
        with _scores(keras, model), _altered(layer, lambda output: stand_in):
            scores = model(shown, training=False)
        return keras.ops.sum(keras.ops.cast(scores, "float32") * weights)

    slopes = gradient(score, maps)
    if keras.config.image_data_format() == "channels_first":
        maps, slopes = (part.transpose(0, 2, 3, 1) for part in (maps, slopes))
    return np.einsum("nhwk,nk->nhw", maps, slopes.mean(axis=(1, 2)))


def _weights(scores: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
    """What the scores are multiplied by, so that their sum is that of the classes asked for."""
    n_outputs = scores.shape[1]
    if n_outputs == 1:
        which = (scores[:, 0] > 0).astype(int) if classes is None else classes
        return np.where(np.asarray(which) == 1, 1.0, -1.0).astype(np.float32)[:, None]
    which = scores.argmax(axis=1) if classes is None else classes
    if not (np.min(which, initial=0) >= 0 and np.max(which, initial=0) < n_outputs):
        raise ValueError(f"classes are numbers from 0 to {n_outputs - 1}")
    return np.eye(n_outputs, dtype=np.float32)[np.asarray(which, dtype=int)]


def _scaled(maps: np.ndarray) -> np.ndarray:
    maps = np.maximum(maps, 0.0)
    top = maps.max(axis=(1, 2), keepdims=True)
    return (maps / np.where(top > 0, top, 1.0)).astype(np.float32)


def _layers(keras: Any, model: Any) -> Iterator[Any]:
    """Every layer, those of models inside included."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(keras, layer)
        else:
            yield layer


def _layer(keras: Any, model: Any, name: str | None) -> Any:
    every = list(_layers(keras, model))
    if name is not None:
        found = [layer for layer in every if layer.name == name]
        if not found:
            maps = [each.name for each in every if _is_convolution(keras, each)]
            raise ValueError(f"no layer {name!r}; convolutions are: {', '.join(maps) or 'none'}")
        return found[-1]
    found = [layer for layer in every if _is_convolution(keras, layer)]
    if not found:
        raise ValueError("the network has no convolution: name the layer whose maps are taken")
    return found[-1]


def _is_convolution(keras: Any, layer: Any) -> bool:
    kinds = [keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D]
    return isinstance(layer, tuple(kinds))


@contextmanager
def _altered(layer: Any, change: Callable[[Any], Any]) -> Iterator[None]:
    """Let a layer give something else than it computes."""
    call = layer.call

    def altered(*args: Any, **kwargs: Any) -> Any:
        return change(call(*args, **kwargs))

    layer.call = altered
    try:
        yield
    finally:
        layer.call = call


@contextmanager
def _scores(keras: Any, model: Any) -> Iterator[None]:
    """Let a network give its scores before the last softmax or sigmoid."""
    last = list(_layers(keras, model))[-1]
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
    """Gradient of a function of tensors.

    Parameters
    ----------
    function : callable
        From one tensor to a scalar, by operations of Keras.
    at : ndarray
        Where.

    Returns
    -------
    ndarray of float32
        Of the shape of `at`.

    Raises
    ------
    ValueError
        A backend other than TensorFlow, JAX and PyTorch.
    """
    keras = need_keras("a gradient")
    given = keras.ops.convert_to_tensor(np.asarray(at))
    kind = keras.backend.backend()
    if kind == "tensorflow":
        tensorflow = import_module("tensorflow")
        with tensorflow.GradientTape() as tape:
            tape.watch(given)
            value = function(given)
        found = tape.gradient(value, given)
    elif kind == "jax":
        found = import_module("jax").grad(function)(given)
    elif kind == "torch":
        torch = import_module("torch")
        with torch.enable_grad():
            given = given.detach().requires_grad_(True)
            (found,) = torch.autograd.grad(function(given), given, allow_unused=True)
    else:
        raise ValueError(f"gradients are taken on TensorFlow, JAX and PyTorch, not on {kind}")
    if found is None:  # the function does not look at what it was given
        return np.zeros(np.shape(at), np.float32)
    return np.asarray(keras.ops.convert_to_numpy(found), np.float32)
