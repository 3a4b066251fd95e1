"""Shards measured on a Dask cluster: one task each, few of them on the way at any time.

Workers return whole shards as bytes and this process writes them, so they need no folder in common
with it, and there is one writer. A worker that dies costs the shards it held, which the scheduler
gives to another. A shard that ends with its worker again and again is measured on its own at the
end, when nothing else can be to blame, and then given up: a row of errors for each of its images.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hemafeat.extract._table.image import failed
from hemafeat.extract._table.run import Part
from hemafeat.extract._table.settings import versions
from hemafeat.extract._table.shard import LOST, Shard, Task

if TYPE_CHECKING:
    from distributed import Client, Future

AHEAD = 2
"""Shards on the way for each thread of the cluster: one is measured, one is there to go on with."""

RETRIES = 3
"""Times a shard is tried again after an error that is not the death of a worker."""

PATIENCE = 60.0
"""Seconds to wait for a first worker."""

HOPELESS = 8
"""Shards that may cost their workers' lives before a first one is finished."""

RECOUNT = 5.0
"""Seconds after which the threads of the cluster, which may grow, are counted again."""


@contextmanager
def connected(scheduler: str | Client) -> Iterator[Client]:
    """A client of the cluster that `scheduler` means; one that was made here is closed again.

    Raises
    ------
    ImportError
        Dask is not installed.
    RuntimeError
        There is no such cluster, it has no workers, or they are not like this process.
    """
    try:
        import distributed
    except ImportError as error:
        raise ImportError(
            "a cluster needs dask.distributed: pip install 'hemafeat[cluster]'"
        ) from error
    if isinstance(scheduler, distributed.Client):
        check(scheduler)
        yield scheduler
        return
    if scheduler == "active":
        try:
            client = distributed.get_client()
        except ValueError:
            raise RuntimeError(
                'scheduler="active", but this process has no distributed.Client'
            ) from None
        check(client)
        yield client
        return
    where = {"scheduler_file" if os.path.isfile(scheduler) else "address": scheduler}
    try:
        client = distributed.Client(**where, set_as_default=False)
    except (OSError, ValueError) as error:
        raise RuntimeError(f"no Dask scheduler answers at {scheduler}: {error}") from error
    with client:
        check(client)
        yield client


def check(client: Client) -> None:
    """See that there are workers, and that they would measure what this process measures.

    Raises
    ------
    RuntimeError
        There are none, or one has not the same versions; the message says which.
    """
    from distributed import TimeoutError as NoWorkers

    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except (NoWorkers, TimeoutError):
        raise RuntimeError(f"the cluster has had no worker for {PATIENCE:.0f} s") from None
    for worker, found in client.run(versions, on_error="return").items():
        # A worker that does not answer has just died; what others return is looked at again.
        if not isinstance(found, OSError):
            _same(worker, found)


def _same(worker: str, found: Any) -> None:
    if isinstance(found, Exception):
        raise RuntimeError(f"worker {worker} cannot load hemafeat: {found}") from found
    other = [
        f"{name} {found.get(name)}, not {here}"
        for name, here in versions().items()
        if found.get(name) != here
    ]
    if other:
        raise RuntimeError(f"worker {worker} has other versions than this process: {other}")


def measured_elsewhere(packed: bytes) -> Shard:
    """What a worker does: measure a part with one thread of its own."""
    import cv2
    from distributed.protocol.pickle import loads

    # The worker runs a task in each of its threads; OpenCV would start more in each of those.
    cv2.setNumThreads(1)
    task, part = loads(packed)
    shard: Shard = task(part)
    return shard


def on_cluster(
    client: Client, task: Task, parts: Iterable[Part], done: Callable[[int], object]
) -> Iterator[Shard]:
    """The shards of `parts` as they become ready; `done` is told of the images of each.

    Raises
    ------
    RuntimeError
        A worker cannot do the work at all, or the connection to the cluster is lost.
    """
    waiting = iter(parts)
    suspects: deque[Part] = deque()
    yield from _watched(client, task, waiting, suspects, None, done)
    while suspects:
        again: deque[Part] = deque()
        yield from _watched(client, task, iter([suspects.popleft()]), again, 1, done)
        for part in again:
            yield given_up(task, part)
            done(len(part))


def _watched(
    client: Client,
    task: Task,
    waiting: Iterator[Part],
    suspects: deque[Part],
    limit: int | None,
    done: Callable[[int], object],
) -> Iterator[Shard]:
    from distributed import as_completed
    from distributed.protocol.pickle import dumps

    on_the_way: dict[Future, Part] = {}
    ready = as_completed(loop=client.loop)
    room, counted, finished = limit or 0, float("-inf"), 0

    def fill() -> None:
        nonlocal room, counted
        if limit is None and time.monotonic() > counted + RECOUNT:
            room = max(2, AHEAD * sum(client.nthreads().values()))
            counted = time.monotonic()
        while len(on_the_way) < room:
            part = next(waiting, None)
            if part is None:
                return
            # Packed here, so that the scheduler, which looks into everything, need not unpack it.
            packed = dumps((task, part))
            future = client.submit(
                measured_elsewhere, packed, retries=RETRIES, pure=False, priority=-part.number
            )
            on_the_way[future] = part
            ready.add(future)

    try:
        fill()
        while on_the_way:
            future = next(ready)
            part = on_the_way.pop(future)
            shard = _result(future, part)
            future.release()
            if shard is None:
                suspects.append(part)
                if limit is None and not finished and len(suspects) >= HOPELESS:
                    raise RuntimeError(
                        f"workers died over each of the first {HOPELESS} shards: have they memory "
                        "enough, and does the segmenter work there?"
                    )
            else:
                finished += 1
                yield shard
                done(len(part))
            fill()
    finally:
        client.cancel(list(on_the_way))


def _result(future: Future, part: Part) -> Shard | None:
    """The shard; None where workers died over it."""
    from distributed import KilledWorker

    if future.status == "finished":
        shard: Shard = future.result()
        _same("of the cluster", shard.facts.versions)
        return shard
    if future.status != "error":
        raise RuntimeError(
            f"the cluster has dropped shard {part.number} ({future.status}): is its scheduler "
            "still running? Run it again to go on"
        )
    error = future.exception()
    if isinstance(error, KilledWorker):
        return None
    raise RuntimeError(
        f"a worker could not measure shard {part.number}: {type(error).__name__}: {error}"
    ) from error


def given_up(task: Task, part: Part) -> Shard:
    """A shard without cells: its images are errors, to be tried again by the next run."""
    why = f"every worker that measured this shard of {len(part)} images died over it"
    return task.shard(part, [failed(name, LOST, "KilledWorker", why) for name in part.names])
