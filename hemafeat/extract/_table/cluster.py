"""Measure shards on a Dask cluster: one task for each, few of them submitted at any time.

Workers return whole shards as bytes and this process writes them, so they need no folder in common
with it, and there is one writer. A worker that dies costs the shards it held, which the scheduler
gives to another. A shard that repeatedly dies with its worker is measured on its own at the end,
when nothing else can be the cause, and then given up: a row of errors for each of its images.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import cv2

from hemafeat._machine import how_to_install
from hemafeat.extract._table.errors import error_row
from hemafeat.extract._table.fingerprint import versions
from hemafeat.extract._table.image import ImageResult
from hemafeat.extract._table.part import Part
from hemafeat.extract._table.shard import LOST, Shard, ShardMaker

if TYPE_CHECKING:
    from distributed import Client, Future

AHEAD = 2
"""Shards submitted for each thread of the cluster: one is measured, the next one waits."""

RETRIES = 3
"""Number of times a shard is tried again after an error other than the death of a worker."""

PATIENCE = 60.0
"""Seconds to wait for a first worker."""

HOPELESS = 8
"""Shards that may cost their workers' lives before a first one is finished."""

RECOUNT = 5.0
"""Seconds after which the threads of the cluster, which may grow, are counted again."""


@contextmanager
def connect(scheduler: str | Client) -> Iterator[Client]:
    """Connect to the cluster of `scheduler`; a client made here is closed at the end.

    Raises
    ------
    ImportError
        Dask is not installed.
    RuntimeError
        There is no such cluster, it has no workers, or their versions differ from those of this
        process.
    """
    try:
        import distributed
    except ImportError as error:
        raise ImportError(
            f"a cluster needs dask.distributed: {how_to_install('dask[distributed]', 'cluster')}"
        ) from error
    if isinstance(scheduler, distributed.Client):
        check_workers(scheduler)
        yield scheduler
        return
    if scheduler == "active":
        try:
            client = distributed.get_client()
        except ValueError:
            raise RuntimeError(
                'scheduler="active", but this process has no distributed.Client'
            ) from None
        check_workers(client)
        yield client
        return
    where = {"scheduler_file" if os.path.isfile(scheduler) else "address": scheduler}
    try:
        client = distributed.Client(**where, set_as_default=False)
    except (OSError, ValueError) as error:
        raise RuntimeError(f"no Dask scheduler answers at {scheduler}: {error}") from error
    with client:
        check_workers(client)
        yield client


def check_workers(client: Client) -> None:
    """Check that there are workers, and that they measure the same values as this process.

    Raises
    ------
    RuntimeError
        There are no workers, or one has other versions of packages.
    """
    from distributed import TimeoutError as NoWorkers

    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except (NoWorkers, TimeoutError):
        raise RuntimeError(f"the cluster has had no worker for {PATIENCE:.0f} s") from None
    for worker, answer in client.run(versions, on_error="return").items():
        # A worker that does not answer has just died; the shards of others are checked as well.
        if not isinstance(answer, OSError):
            _check_versions(worker, answer)


def _check_versions(worker: str, answer: Any) -> None:
    if isinstance(answer, Exception):
        raise RuntimeError(f"worker {worker} cannot load hemafeat: {answer}") from answer
    differences = [
        f"{name} {answer.get(name)}, not {version}"
        for name, version in versions().items()
        if answer.get(name) != version
    ]
    if differences:
        raise RuntimeError(f"worker {worker} has other versions than this process: {differences}")


def measure_on_worker(packed: bytes) -> Shard:
    """Measure a part, on a worker, with one thread."""
    from distributed.protocol.pickle import loads

    # The worker runs a task in each of its threads; OpenCV would start more in each of those.
    cv2.setNumThreads(1)
    maker, part = loads(packed)
    shard: Shard = maker(part)
    return shard


def measure_on_cluster(
    client: Client, maker: ShardMaker, parts: Iterable[Part], advance: Callable[[int], object]
) -> Iterator[Shard]:
    """Yield the shards of `parts` as they become ready.

    Parameters
    ----------
    client : distributed.Client
        Connected to the cluster.
    maker : ShardMaker
        Sent to the workers, with each part.
    parts : iterable of Part
        Taken one after the other as they are needed.
    advance : callable
        Called with the number of images of each shard that is done.

    Raises
    ------
    RuntimeError
        A worker cannot do the work at all, or the connection to the cluster is lost.
    """
    suspects: deque[Part] = deque()
    yield from _measure(client, maker, iter(parts), suspects, None, advance)
    while suspects:
        failed: deque[Part] = deque()
        yield from _measure(client, maker, iter([suspects.popleft()]), failed, 1, advance)
        for part in failed:
            yield _give_up(maker, part)
            advance(len(part))


def _measure(
    client: Client,
    maker: ShardMaker,
    parts: Iterator[Part],
    suspects: deque[Part],
    limit: int | None,
    advance: Callable[[int], object],
) -> Iterator[Shard]:
    """Yield the shards of `parts`; a part whose workers died is added to `suspects`.

    `limit` is the number of shards submitted at a time; None follows the size of the cluster.
    """
    from distributed import as_completed
    from distributed.protocol.pickle import dumps

    submitted: dict[Future, Part] = {}
    ready = as_completed(loop=client.loop)
    capacity, counted, n_finished = limit or 0, float("-inf"), 0

    def submit() -> None:
        nonlocal capacity, counted
        if limit is None and time.monotonic() > counted + RECOUNT:
            capacity = max(2, AHEAD * sum(client.nthreads().values()))
            counted = time.monotonic()
        while len(submitted) < capacity:
            part = next(parts, None)
            if part is None:
                return
            # Packed here, because the scheduler would unpack arguments to look for futures.
            packed = dumps((maker, part))
            future = client.submit(
                measure_on_worker, packed, retries=RETRIES, pure=False, priority=-part.number
            )
            submitted[future] = part
            ready.add(future)

    try:
        submit()
        while submitted:
            future = next(ready)
            part = submitted.pop(future)
            shard = _shard_of(future, part)
            future.release()
            if shard is None:
                suspects.append(part)
                if limit is None and not n_finished and len(suspects) >= HOPELESS:
                    raise RuntimeError(
                        f"workers died over each of the first {HOPELESS} shards: do they have "
                        "enough memory, and does the segmenter work there?"
                    )
            else:
                n_finished += 1
                yield shard
                advance(len(part))
            submit()
    finally:
        client.cancel(list(submitted))


def _shard_of(future: Future, part: Part) -> Shard | None:
    """Return the shard; None if workers died over it."""
    from distributed import KilledWorker

    if future.status == "finished":
        shard: Shard = future.result()
        _check_versions("of the cluster", shard.info.versions)
        return shard
    if future.status != "error":
        raise RuntimeError(
            f"the cluster has dropped shard {part.number} ({future.status}): is its scheduler "
            "still running? Repeat the run to resume it"
        )
    error = future.exception()
    if isinstance(error, KilledWorker):
        return None
    raise RuntimeError(
        f"a worker could not measure shard {part.number}: {type(error).__name__}: {error}"
    ) from error


def _give_up(maker: ShardMaker, part: Part) -> Shard:
    """Return a shard without cells, whose images are errors that the next run tries again."""
    message = f"every worker that measured this shard of {len(part)} images died over it"
    rows = [error_row(name, LOST, "KilledWorker", message) for name in part.names]
    return maker.shard(part, [ImageResult(errors=[row]) for row in rows])
