"""Measure images on the threads or processes of this machine, and return them in order."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from threading import Event, Thread

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
    processes = run.processes and n_jobs > 1
    stopped = Event()

    def measure(part: Part, start: int, stop: int) -> list[ImageResult]:
        """Measure images, and stop between two of them if the run was interrupted."""
        numbers = range(start, stop)
        return [r for n in numbers if not stopped.is_set() for r in maker.measure(part, n, n + 1)]

    with _serial_opencv(), _pool(n_jobs, processes, stopped) as pool:
        task = maker.measure if processes else measure
        queue: deque[tuple[Part, Future[list[ImageResult]]]] = deque()

        def in_order() -> Iterator[tuple[Part, list[ImageResult]]]:
            for part in parts:
                for start in range(0, len(part), batch):
                    if len(queue) >= AHEAD * n_jobs:
                        oldest, future = queue.popleft()
                        yield oldest, future.result()
                    stop = min(start + batch, len(part))
                    queue.append((part, pool.submit(task, part, start, stop)))
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


@contextmanager
def _pool(n_jobs: int, processes: bool, stopped: Event) -> Iterator[Executor]:
    """Start threads or processes; if the run is interrupted, `stopped` is set and none is left."""
    pool: Executor = ThreadPoolExecutor(n_jobs)
    if processes:
        # Spawned, not forked: a copy of a process with threads may hang.
        pool = ProcessPoolExecutor(
            n_jobs, mp_context=get_context("spawn"), initializer=_start_worker
        )
    with pool:
        try:
            yield pool
        except BaseException as error:
            stopped.set()
            # Nobody waits for the results any more, after an interruption or a failed write.
            if not isinstance(error, BrokenProcessPool):
                for worker in list((getattr(pool, "_processes", None) or {}).values()):
                    worker.terminate()
            raise


def _start_worker() -> None:
    """Prepare a process that measures: it ends with its parent, however that ends."""
    cv2.setNumThreads(1)
    # An interruption from the terminal reaches all processes; the parent ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _serial_opencv() -> Iterator[None]:
    """Keep OpenCV on the calling thread: each thread over images would else start a pool."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
