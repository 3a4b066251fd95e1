"""Measure images on the threads or processes of this machine, and return them in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from threading import Event

import cv2

from hemafeat._machine import start_worker
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
            n_jobs, mp_context=get_context("spawn"), initializer=start_worker
        )
    with pool:
        try:
            yield pool
        except BaseException as error:
            stopped.set()
            # Nobody waits for the results any more, after an interruption or a failed write.
            if not isinstance(error, BrokenProcessPool):
                _end_workers(pool)
            raise


def _end_workers(pool: Executor) -> None:
    """End the processes of a pool at once; threads are not in its reach."""
    for worker in list((getattr(pool, "_processes", None) or {}).values()):
        worker.terminate()
    # A thread of the pool that writes to a full pipe without a reader would never end.
    with suppress(AttributeError, OSError):
        pool._call_queue._reader.close()  # type: ignore[attr-defined]


@contextmanager
def _serial_opencv() -> Iterator[None]:
    """Keep OpenCV on the calling thread: each thread over images would else start a pool."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
