"""Keras, or an error that says how to get it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def need_keras(what: str) -> Any:
    """The module ``keras``.

    Parameters
    ----------
    what : str
        What needs it, for the message.

    Raises
    ------
    ImportError
        Keras 3 or its backend is not installed; names the extra that brings both.
    """
    try:
        import keras
    except ImportError as error:
        raise ImportError(
            f"{what} needs Keras 3 with TensorFlow: pip install 'hemafeat[deep]' ({error})"
        ) from error
    if int(keras.__version__.split(".")[0]) < 3:
        raise ImportError(f"{what} needs Keras 3, found {keras.__version__}: pip install -U keras")
    return keras


@contextmanager
def seeded(random_state: int) -> Iterator[None]:
    """Let Keras layers without a seed draw theirs from `random_state`.

    Keras draws the seed of every such layer from Python's `random`, for which this stands in; the
    state outside is as before afterwards.
    """
    before = random.getstate()
    random.seed(random_state)
    try:
        yield
    finally:
        random.setstate(before)
