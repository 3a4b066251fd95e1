"""Measure images on the threads or processes of this machine, and return them in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context

import cv2

from hemafeat.extract._table.image import ImageResult
from hemafeat.extract._table.part import Part
from hemafeat.extract._table.run import Run
from hemafeat.extract._table.shard import ShardMaker

BATCH = 16
"""Images given to a thread at a time, at most; with single images the overhead is noticeable."""

AHEAD = 4
"""Batches of each thread that may wait for those before them."""


def measure_parts(
    run: Run, maker: ShardMaker, parts: Iterable[Part], advance: Callable[[int], object]
) -> Iterator[tuple[Part, list[ImageResult]]]:
    """Yield each part with the results of its images, in order.

    Parameters
    ----------
    run : Run
        Says how many threads or processes measure.
    maker : ShardMaker
        Its method `measure` is called in the threads.
    parts : iterable of Part
        Taken one after the other as they are needed, so that memory does not grow with their
        number.
    advance : callable
        Called with the number of images that were measured, every few images.
    """
    n_jobs = max(1, min(run.n_jobs, len(run)))
    batch = max(1, min(BATCH, len(run) // (AHEAD * n_jobs)))
    with _serial_opencv(), _pool(n_jobs, run.processes and n_jobs > 1) as pool:
        queue: deque[tuple[Part, Future[list[ImageResult]]]] = deque()

        def in_order() -> Iterator[tuple[Part, list[ImageResult]]]:
            for part in parts:
                for start in range(0, len(part), batch):
                    if len(queue) >= AHEAD * n_jobs:
                        oldest, future = queue.popleft()
                        yield oldest, future.result()
                    stop = min(start + batch, len(part))
                    queue.append((part, pool.submit(maker.measure, part, start, stop)))
            while queue:
                oldest, future = queue.popleft()
                yield oldest, future.result()

        try:
            results: list[ImageResult] = []
            for part, of_batch in in_order():
                results += of_batch
                advance(len(of_batch))
                if len(results) == len(part):
                    yield part, results
                    results = []
        except BrokenProcessPool:
            raise RuntimeError(
                "a process that measured images was killed: either memory ran out, or an image "
                "crashed a library. Repeat the call to resume a result in a folder"
            ) from None
        finally:
            for _, future in queue:
                future.cancel()


def _pool(n_jobs: int, processes: bool) -> Executor:
    if not processes:
        return ThreadPoolExecutor(n_jobs)
    # Spawned, not forked: a copy of a process with threads may hang. Workers that outlive a killed
    # parent find their pipe closed and end.
    return ProcessPoolExecutor(
        n_jobs, mp_context=get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,)
    )


@contextmanager
def _serial_opencv() -> Iterator[None]:
    """Keep OpenCV on the calling thread: each thread over images would else start a pool."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
