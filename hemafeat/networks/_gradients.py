"""The one thing Keras has no name for on every backend: a gradient with respect to an array."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from hemafeat.networks._keras import need_keras


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
