"""Time calls in turns on one core and one thread, so that noise affects all of them alike."""

from __future__ import annotations

import gc
import os
import random
import time
from collections.abc import Callable, Hashable, Mapping
from contextlib import contextmanager, suppress

import numpy as np

SHORT = 0.02
"""Seconds; a shorter call is made once untimed before, so that its data are cached."""

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "PICTOLOGICS_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)
"""Environment variables that libraries read when they are loaded; see ``__main__``."""


def use_one_thread() -> None:
    """Set the number of threads of libraries that do not read an environment variable."""
    import cv2

    cv2.setNumThreads(1)
    with suppress(ImportError):
        import torch

        torch.set_num_threads(1)


@contextmanager
def pin_to_one_core():
    """Pin this process to a single core, if the system can, and yield a phrase about it."""
    if not hasattr(os, "sched_setaffinity"):
        yield "not pinned: not supported by this system"
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield f"pinned to core {max(before)} of {os.cpu_count()}"
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def without_collection():
    """Turn the garbage collector off: a collection would add to the time of any call."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def time_call(call: Callable[[], object], hint: float) -> float:
    """Return the seconds of one call; `hint` is its last time, 0 if it was never made."""
    if hint < SHORT:
        call()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def time_in_turns(
    visits: list[Mapping[Hashable, Callable[[], object]]], rounds: int, budget: float
) -> dict[Hashable, list[tuple[int, float]]]:
    """Time every call of every visit, round after round.

    Parameters
    ----------
    visits : list of mappings of a name to a call
        One for each image; the calls of an image are made in a new order each time.
    rounds : int
        Number of visits of each image.
    budget : float
        Seconds after which a slow call is not repeated.

    Returns
    -------
    dict
        Pairs (image, seconds) of each name.
    """
    times: dict[Hashable, list[tuple[int, float]]] = {}
    spent: dict[Hashable, float] = {}
    order = random.Random(0)
    with without_collection():
        for _ in range(rounds):
            for image, calls in enumerate(visits):
                names = list(calls)
                order.shuffle(names)
                for name in names:
                    rows = times.setdefault(name, [])
                    if spent.get(name, 0.0) > budget:
                        continue
                    hint = rows[-1][1] if rows else 0.0
                    seconds = time_call(calls[name], hint)
                    rows.append((image, seconds))
                    spent[name] = spent.get(name, 0.0) + seconds
            gc.collect()
    return times


def summary(rows: list[tuple[int, float]], yardstick: list[tuple[int, float]]) -> dict[str, float]:
    """Return quartiles in ms, and the median ratio to the yardstick on the same image."""
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
    """Return the median of each image, divided by that of the yardstick on the same image."""
    images = sorted({image for image, _ in rows} & {image for image, _ in yardstick})
    return [_median(rows, image) / _median(yardstick, image) for image in images]


def _median(rows: list[tuple[int, float]], image: int) -> float:
    return float(np.median([seconds for number, seconds in rows if number == image]))
