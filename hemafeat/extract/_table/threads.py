"""Measure images on the threads or processes of this machine, and return them in order."""

from __future__ import annotations

import os
import pickle
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import get_context, parent_process
from threading import Event

import cv2

from hemafeat._machine import free_memory, start_worker
from hemafeat.extract._kernels.region.runs import find_runs
from hemafeat.extract._table.image import ImageResult
from hemafeat.extract._table.part import Part
from hemafeat.extract._table.run import Run
from hemafeat.extract._table.shard import ShardMaker

BATCH = 16
"""Images given to a thread at a time, at most; with single images the overhead is noticeable."""

AHEAD = 4
"""Batches of each thread that may wait for those before them."""

PROCESSES_FROM = 4000
"""Number of images from which processes are used unless the caller decides: on two cores two of
them take 2.6 s to start and 2.5 ms an image of one cell, where two threads take 3.3 ms."""

WORKER_BYTES = 400e6
"""Memory that a process which measures may need."""


def uses_processes(run: Run, maker: ShardMaker, n_images: int) -> bool:
    """Decide whether processes or threads measure.

    Parameters
    ----------
    run : Run
        Its attribute `processes` decides, unless it is None.
    maker : ShardMaker
        What would be sent to the processes.
    n_images : int
        Number of images that are to be measured.

    Returns
    -------
    bool
        By default True on Linux from `PROCESSES_FROM` images on, if images and masks are files,
        kernels are compiled once for all processes, nothing comes from the script that runs, and
        there is enough memory.
    """
    n_jobs = min(run.n_jobs, len(run))
    if n_jobs < 2 or run.processes is not None:
        return bool(run.processes) and n_jobs > 1
    if n_images < PROCESSES_FROM or sys.platform != "linux" or parent_process() is not None:
        return False
    given = run.settings["masks"]
    in_memory = [
        isinstance(given, list),
        not run.image_table["image"].map(lambda image: isinstance(image, (str, os.PathLike))).all(),
    ]
    cached = getattr(getattr(find_runs, "_cache", None), "cache_path", None) is not None
    if any(in_memory) or not cached or free_memory() < n_jobs * WORKER_BYTES:
        return False
    return _is_importable(maker)


def _is_importable(maker: ShardMaker) -> bool:
    """Return True if another process can make `maker` without the script that runs."""
    try:
        return b"__main__" not in pickle.dumps(maker)
    except Exception:  # whatever an object raises that cannot be sent
        return False


def measure_parts(
    run: Run,
    maker: ShardMaker,
    parts: Iterable[Part],
    advance: Callable[[int], object],
    n_images: int,
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
    n_images : int
        Number of images of all parts.
    """
    n_jobs = max(1, min(run.n_jobs, len(run)))
    batch = max(1, min(BATCH, len(run) // (AHEAD * n_jobs)))
    processes = uses_processes(run, maker, n_images)
    # Processes run the script of the caller again only if they need it; by default they never do.
    alone = processes and (run.processes is None or _is_importable(maker))
    stopped = Event()

    def measure(part: Part, start: int, stop: int) -> list[ImageResult]:
        """Measure images, and stop between two of them if the run was interrupted."""
        numbers = range(start, stop)
        return [r for n in numbers if not stopped.is_set() for r in maker.measure(part, n, n + 1)]

    def submit(part: Part, start: int, stop: int) -> Future[list[ImageResult]]:
        if not processes:
            return pool.submit(measure, part, start, stop)
        # Only these images are sent, not the whole part.
        return pool.submit(maker.measure, part.cut(start, stop), 0, stop - start)

    with _serial_opencv(), _pool(n_jobs, processes, stopped, alone) as pool:
        queue: deque[tuple[Part, Future[list[ImageResult]]]] = deque()

        def in_order() -> Iterator[tuple[Part, list[ImageResult]]]:
            for part in parts:
                for start in range(0, len(part), batch):
                    if len(queue) >= AHEAD * n_jobs:
                        oldest, future = queue.popleft()
                        yield oldest, future.result()
                    stop = min(start + batch, len(part))
                    queue.append((part, submit(part, start, stop)))
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
def _pool(n_jobs: int, processes: bool, stopped: Event, alone: bool) -> Iterator[Executor]:
    """Start threads or processes; if the run is interrupted, `stopped` is set and none is left.

    Processes that are `alone` do not import the script that runs, as others do.
    """
    pool: Executor = ThreadPoolExecutor(n_jobs)
    if processes:
        # Spawned, not forked: a copy of a process with threads may hang.
        pool = ProcessPoolExecutor(
            n_jobs, mp_context=get_context("spawn"), initializer=start_worker
        )
    with pool:
        try:
            if alone:
                with _without_script():
                    # A process is started for each task that finds none idle.
                    for _ in range(n_jobs):
                        pool.submit(os.getpid)
            yield pool
        except BaseException as error:
            stopped.set()
            # Nobody waits for the results any more, after an interruption or a failed write.
            if not isinstance(error, BrokenProcessPool):
                _end_workers(pool)
            raise


@contextmanager
def _without_script() -> Iterator[None]:
    """Hide the script that runs from the processes that are started meanwhile."""
    main = sys.modules["__main__"]
    names = ("__spec__", "__file__")
    hidden = {name: main.__dict__.pop(name) for name in names if name in main.__dict__}
    main.__dict__["__spec__"] = None
    try:
        yield
    finally:
        del main.__dict__["__spec__"]
        main.__dict__.update(hidden)


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
