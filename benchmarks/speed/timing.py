"""One core, one thread, and calls timed in turns, so that noise hits all of them alike."""

from __future__ import annotations

import gc
import os
import random
import time
from collections.abc import Callable, Hashable, Mapping
from contextlib import contextmanager, suppress

import numpy as np

SHORT = 0.02
"""Seconds: what takes less is called once untimed before, so that it finds its own data cached."""

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "PICTOLOGICS_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)
"""Variables that libraries read when they are loaded; see ``__main__``."""


def one_thread() -> None:
    """Libraries that are told by a call, not by a variable."""
    import cv2

    cv2.setNumThreads(1)
    with suppress(ImportError):
        import torch

        torch.set_num_threads(1)


@contextmanager
def one_core():
    """This process on a single core, where the system can do that; gives a word about it."""
    if not hasattr(os, "sched_setaffinity"):
        yield "not pinned: this system cannot"
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield f"pinned to core {max(before)} of {os.cpu_count()}"
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def no_collection():
    """The cyclic garbage collector off: a collection would be charged to whoever is running."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def seconds_of(call: Callable[[], object], hint: float) -> float:
    """Seconds of one call; `hint` is what it took before, 0 where that is not known."""
    if hint < SHORT:
        call()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def in_turns(
    visits: list[Mapping[Hashable, Callable[[], object]]], rounds: int, budget: float
) -> dict[Hashable, list[tuple[int, float]]]:
    """Time every call of every visit, round after round.

    Parameters
    ----------
    visits : list of mappings of a name to a call
        One for each image; the calls of one image follow each other in a new order each time.
    rounds : int
        How often each image is visited.
    budget : float
        Seconds after which a slow call is no longer made.

    Returns
    -------
    dict
        Of each name, the pairs (image, seconds).
    """
    found: dict[Hashable, list[tuple[int, float]]] = {}
    spent: dict[Hashable, float] = {}
    order = random.Random(0)
    with no_collection():
        for _ in range(rounds):
            for image, calls in enumerate(visits):
                names = list(calls)
                order.shuffle(names)
                for name in names:
                    rows = found.setdefault(name, [])
                    if spent.get(name, 0.0) > budget:
                        continue
                    hint = rows[-1][1] if rows else 0.0
                    seconds = seconds_of(calls[name], hint)
                    rows.append((image, seconds))
                    spent[name] = spent.get(name, 0.0) + seconds
            gc.collect()
    return found


def summary(rows: list[tuple[int, float]], yardstick: list[tuple[int, float]]) -> dict[str, float]:
    """Quartiles in ms, and the median of each image against the yardstick's on the same image."""
    ms = 1e3 * np.array([seconds for _, seconds in rows])
    low, middle, high = np.percentile(ms, [25, 50, 75])
    return {
        "ms": middle,
        "ms_q1": low,
        "ms_q3": high,
        "decodes": float(np.median(ratios(rows, yardstick))),
        "times": len(rows),
    }


def ratios(rows: list[tuple[int, float]], yardstick: list[tuple[int, float]]) -> list[float]:
    """Median of each image over that of the yardstick on the same image."""
    images = sorted({image for image, _ in rows} & {image for image, _ in yardstick})
    return [_median(rows, image) / _median(yardstick, image) for image in images]


def _median(rows: list[tuple[int, float]], image: int) -> float:
    return float(np.median([seconds for which, seconds in rows if which == image]))
