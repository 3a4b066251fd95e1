"""Weights of a state file in a network of Keras."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from hemafeat._public import public
from hemafeat.networks._weights.names import module_of
from hemafeat.networks._weights.state_file import StateArray, read_state

LAST = "logit"
"""Name of the last layer with weights, which depends on the classes."""

_PARTS = {
    "BatchNormalization": ("weight", "bias", "running_mean", "running_var"),
    "Conv2D": ("weight", "bias"),
    "DepthwiseConv2D": ("weight", "bias"),
    "Dense": ("weight", "bias"),
    "LayerNormalization": ("weight", "bias"),
}
"""Arrays of a module of PyTorch, in the order in which Keras holds them."""


@public
class WeightsError(ValueError):
    """Weights that are missing, cannot be downloaded, or do not fit the network."""


def state_of(path: Path) -> dict[str, StateArray]:
    """List the arrays of a state file; see `read_state`.

    Raises
    ------
    WeightsError
        The file does not exist or cannot be read.
    """
    try:
        return read_state(path)
    except ValueError as error:
        raise WeightsError(str(error)) from None


def load_state(model: Any, network: str, path: Path, title: str | None = None) -> None:
    """Give a network of `OWN` the weights of a state file.

    Parameters
    ----------
    model : keras.Model
        The network, whole or up to its last feature maps.
    network : str
        Its name in `OWN`.
    path : Path
        File of PyTorch or of safetensors.
    title : str, optional
        Name of the network in messages. By default `network`.

    Raises
    ------
    WeightsError
        The file cannot be read, or holds the weights of another network.

    Warns
    -----
    UserWarning
        The file has another last layer, or none: that of the network keeps its weights.
    """
    state, left_out = matched(model, network, path, title)
    for layer, names, _ in _expected(model, network):
        if layer.name == LAST and left_out:
            continue
        try:
            weights = [_to_keras(model, layer, state[name].read()) for name in names]
        except ValueError as error:
            raise WeightsError(str(error)) from None
        if not all(np.isfinite(array).all() for array in weights):
            raise WeightsError(f"{path}: the weights of {names[0]} are not finite")
        layer.set_weights(weights)
    if left_out:
        warn_left_out(path, title or network, left_out)


def warn_left_out(path: Path, title: str, reason: str) -> None:
    """Warn that the last layer of a network keeps its own weights."""
    warnings.warn(
        f"{path}: all weights of {title} are loaded but those of the last layer: {reason}",
        stacklevel=4,
    )


def matched(
    model: Any, network: str, path: Path, title: str | None = None
) -> tuple[dict[str, StateArray], str]:
    """Compare a network with a state file, of which only the names and shapes are read.

    Returns
    -------
    state : dict of str to StateArray
        Arrays by the name that the network expects.
    left_out : str
        Why the last layer of the file is not used, empty if it is.

    Raises
    ------
    WeightsError
        The file cannot be read, or holds the weights of another network.
    """
    whole = state_of(path)
    expected = {
        name: (layer.name, shape)
        for layer, names, shapes in _expected(model, network)
        for name, shape in zip(names, shapes, strict=True)
    }
    prefix = _prefix(whole, expected)
    state = {name.removeprefix(prefix): a for name, a in whole.items() if name.startswith(prefix)}
    last = f"{module_of(network, LAST)}."
    # Dense layers of a file are not missed in a network that ends in maps.
    top = last if any(layer == LAST for layer, _ in expected.values()) else last.split(".")[0] + "."
    body = {name: shape for name, (layer, shape) in expected.items() if layer != LAST}
    wrong = [f"{name} is missing" for name in body if name not in state]
    wrong += [
        f"{name} has the shape {state[name].shape}, not {shape}"
        for name, shape in body.items()
        if name in state and not _fits(state[name].shape, shape)
    ]
    wrong += [
        f"{name} {state[name].shape} belongs to no layer"
        for name in state
        if name not in body and not name.startswith(top) and not _is_aside(name)
    ]
    if wrong:
        library = _LIBRARIES.get(network, "torchvision")
        more = f", and {len(wrong) - 2} more" if len(wrong) > 2 else ""
        raise WeightsError(
            f"{path}: not weights of {title or network} (names as in {library}): "
            f"{'; '.join(wrong[:2])}{more}"
        )
    return state, _last_differs(state, expected)


def _fits(found: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Return whether an array has a shape, or holds the positions of another grid of patches."""
    if len(found) == len(shape) == 3 and found[::2] == shape[::2] and shape[1] > 1:
        return all(n > 1 and round((n - 1) ** 0.5) ** 2 == n - 1 for n in (found[1], shape[1]))
    return found == shape


def _last_differs(
    state: dict[str, StateArray], expected: dict[str, tuple[str, tuple[int, ...]]]
) -> str:
    """Return how the last layer of a file differs from that of the network."""
    for name, (layer, shape) in expected.items():
        if layer != LAST:
            continue
        if name not in state:
            return f"the file has no {name}"
        if state[name].shape != shape:
            return f"{name} has the shape {state[name].shape} in the file, not {shape}"
    return ""


def _is_aside(name: str) -> bool:
    """Return whether an array counts something, or serves for training only."""
    return name.endswith("num_batches_tracked") or name == "mask_token"


def _prefix(state: Iterable[str], expected: Iterable[str]) -> str:
    """Return what stands before all names in a file, such as ``module.`` of parallel training."""
    names, wanted = set(state), list(expected)
    first = wanted[0]
    prefixes = {name.removesuffix(first) for name in names if name.endswith(first)} | {""}
    return max(
        sorted(prefixes, key=len), key=lambda prefix: sum(prefix + name in names for name in wanted)
    )


_LIBRARIES = {
    "se_resnext50": "pretrainedmodels",
    "efficientnet_lite0": "efficientnet_lite_pytorch",
    **{f"dinov2_{size}": "DINOv2" for size in "sbgl"},
}
"""Library whose names a file has, if it is not torchvision."""


def _expected(model: Any, network: str) -> Iterable[tuple[Any, list[str], list[tuple[int, ...]]]]:
    """Iterate over layers with weights, the names and the shapes of their arrays in a file."""
    for layer in model.layers:
        if not layer.weights:
            continue
        module = module_of(network, layer.name)
        parts = getattr(layer, "file_names", None) or _PARTS[type(layer).__name__]
        shapes = [_to_torch_shape(layer, tuple(weight.shape)) for weight in layer.weights]
        names = [f"{module}.{part}" if module else part for part in parts[: len(shapes)]]
        yield layer, names, shapes


def _to_torch_shape(layer: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that an array of a layer has in PyTorch."""
    if len(shape) == 4:
        height, width, channels, filters = shape
        if type(layer).__name__ == "DepthwiseConv2D":
            return channels, filters, height, width
        return filters, channels, height, width
    return shape[::-1] if len(shape) == 2 else shape


def _to_keras(model: Any, layer: Any, array: np.ndarray) -> np.ndarray:
    """Return an array of PyTorch in the order of the axes of Keras."""
    if array.ndim == 4:
        depthwise = type(layer).__name__ == "DepthwiseConv2D"
        return array.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
    if array.ndim == 2:
        if layer.name == "dense_1":  # the layer behind `flatten`
            # PyTorch flattens in the order channel, row, column.
            height, width, channels = model.get_layer("flatten").input.shape[1:]
            array = array.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
            array = array.reshape(len(array), -1)
        return array.T
    if array.ndim == 3 and array.shape[1] > 1:
        from hemafeat.networks._transformer import resized_positions

        n_tokens = layer.output.shape[1]
        return array if array.shape[1] == n_tokens else resized_positions(array, n_tokens)
    return array
