"""Access to Keras, with an error that says how to install it, and reproducible seeds of layers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hemafeat._machine import how_to_install


def need_keras(user: str) -> Any:
    """Import Keras 3.

    Parameters
    ----------
    user : str
        Feature that needs Keras, for the error message.

    Returns
    -------
    module
        ``keras``.

    Raises
    ------
    ImportError
        Keras 3 or its backend is not installed. The message says how to install both.
    """
    try:
        import keras
    except ImportError as error:
        raise ImportError(
            f"{user} needs Keras 3 with TensorFlow: {how_to_install('keras', 'deep')} ({error})"
        ) from error
    if int(keras.__version__.split(".")[0]) < 3:
        raise ImportError(
            f"{user} needs Keras 3, found {keras.__version__}: {how_to_install('keras', 'deep')}"
        )
    return keras


@contextmanager
def layer_seed(random_state: int) -> Iterator[None]:
    """Derive the seeds of layers that are built inside the context from `random_state`.

    Keras draws the seed of a layer without one from Python's `random`. The state of `random` is
    restored afterwards.
    """
    state = random.getstate()
    random.seed(random_state)
    try:
        yield
    finally:
        random.setstate(state)


def seeds(random_state: int) -> Iterator[int]:
    """Generate seeds that do not overlap with those of neighbouring values of `random_state`."""
    number = (random_state * 1009) % (2**31 - 2000)
    while True:
        number += 1
        yield number


def all_layers(model: Any) -> Iterator[Any]:
    """Iterate over a model and all its layers, including nested models and their layers."""
    keras = need_keras("a network on images")
    yield model
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from all_layers(layer)
        else:
            yield layer
