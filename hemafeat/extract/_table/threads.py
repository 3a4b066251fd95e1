"""Images over the threads or processes of this machine, in order, a few in memory for each."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context

import cv2

from hemafeat.extract._table.image import Outcome, Work
from hemafeat.extract._table.run import Part

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
    processes: bool = False,
) -> Iterator[tuple[Part, list[Outcome]]]:
    """Each part with the outcomes of its images, in order; `done` is told of every few images.

    Parts are made as they are needed, so that a list of any length takes no more memory.
    """
    threads = max(1, min(n_threads(n_jobs), n_images))
    batch = max(1, min(BATCH, n_images // (AHEAD * threads)))
    with _serial_opencv(), _pool(threads, processes and threads > 1) as pool:
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
        except BrokenProcessPool:
            raise RuntimeError(
                "a process that measured images was killed (by the system for want of memory, or "
                "by an image that brings a library down); called again, a result in a folder goes "
                "on where it stopped"
            ) from None
        finally:
            for _, future in waiting:
                future.cancel()


def _pool(n_jobs: int, processes: bool) -> Executor:
    if not processes:
        return ThreadPoolExecutor(n_jobs)
    # Begun afresh, not forked: a copy of a process with threads may hang. Workers that outlive a
    # killed parent find their pipe closed and end.
    return ProcessPoolExecutor(
        n_jobs, mp_context=get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,)
    )


@contextmanager
def _serial_opencv() -> Iterator[None]:
    """OpenCV on the calling thread: threads over images would otherwise each start a pool."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
