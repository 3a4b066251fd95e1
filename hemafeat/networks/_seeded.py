"""Weights and dropout that depend on `random_state` alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager


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
