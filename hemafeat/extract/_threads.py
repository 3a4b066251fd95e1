"""Images over the threads of this machine, in order, as many in memory as the threads can use."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import cv2

from hemafeat.extract._image import Outcome, Work
from hemafeat.extract._rows import Part

BATCH = 16
"""Images handed to a thread at a time, at most: one by one, the handing over is felt."""

AHEAD = 4
"""Batches of each thread that may wait for those before them."""


def n_threads(n_jobs: int | None) -> int:
    """Threads asked for, else as many as there are processors this process may use."""
    if n_jobs is not None and n_jobs > 0:
        return n_jobs
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def measured(
    work: Work,
    parts: Iterable[Part],
    n_jobs: int | None,
    n_images: int,
    done: Callable[[int], object],
) -> Iterator[tuple[Part, list[Outcome]]]:
    """Each part with the outcomes of its images, in order; `done` is told of every few images.

    Parts are made as they are needed, so that a list of any length takes no more memory.
    """
    threads = max(1, min(n_threads(n_jobs), n_images))
    batch = max(1, min(BATCH, n_images // (AHEAD * threads)))
    with _serial_opencv(), ThreadPoolExecutor(threads) as pool:
        waiting: deque[tuple[Part, Future[list[Outcome]]]] = deque()

        def in_order() -> Iterator[tuple[Part, list[Outcome]]]:
            for part in parts:
                for first in range(0, len(part), batch):
                    if len(waiting) >= AHEAD * threads:
                        before, future = waiting.popleft()
                        yield before, future.result()
                    stop = min(first + batch, len(part))
                    waiting.append((part, pool.submit(part.measure, work, first, stop)))
            while waiting:
                before, future = waiting.popleft()
                yield before, future.result()

        try:
            found: list[Outcome] = []
            for part, outcomes in in_order():
                found += outcomes
                done(len(outcomes))
                if len(found) == len(part):
                    yield part, found
                    found = []
        finally:
            for _, future in waiting:
                future.cancel()


@contextmanager
def _serial_opencv() -> Iterator[None]:
    """OpenCV on the calling thread: threads over images would otherwise each start a pool."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
