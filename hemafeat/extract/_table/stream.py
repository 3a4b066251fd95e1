"""Images in, shards out: memory does not grow with their number, and a killed run goes on."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hemafeat._public import public
from hemafeat.extract._columns import Families
from hemafeat.extract._table.compile import compile_ahead
from hemafeat.extract._table.folder import ERROR_PARTS, Folder, opened
from hemafeat.extract._table.image import Error
from hemafeat.extract._table.result import load, read_manifest
from hemafeat.extract._table.run import Cells, Normaliser, Run
from hemafeat.extract._table.settings import asked
from hemafeat.extract._table.shard import Shard, Task, attribute_types
from hemafeat.extract._table.threads import measured, n_threads

if TYPE_CHECKING:
    from distributed import Client

SHARD = 512
"""Images in a shard unless told otherwise: some seconds of work, some megabytes on disk."""


@public
@dataclass(frozen=True)
class Extraction:
    """A result on disk, and what was found.

    Attributes
    ----------
    folder : Path
        Where it is; ``cells/*.parquet`` in it are one table for any reader of Parquet.
    n_images, n_cells, n_errors : int
        Images, rows of the table, rows of the table of errors.
    n_failed : int
        Images with an error.
    n_suspect : int
        Cells with a suspected segmentation failure.
    n_shards, n_kept : int
        Shards of the result, and those that an earlier run had made.
    """

    folder: Path
    n_images: int
    n_cells: int
    n_errors: int
    n_failed: int
    n_suspect: int
    n_shards: int
    n_kept: int

    def load(self, columns: list[str] | None = None) -> pd.DataFrame:
        """The table, in memory; see `hemafeat.extract.load`."""
        return load(self.folder, columns=columns)

    def first_error(self) -> Error | None:
        """The first row of the table of errors."""
        if self.n_errors:
            for path in sorted((self.folder / ERROR_PARTS).glob("part-*.parquet")):
                found = pd.read_parquet(path)
                if len(found):
                    return {str(k): str(v) for k, v in found.iloc[0].items()}
        return None


def stream(
    images: Any,
    out: str | os.PathLike[str],
    *,
    segmenter: str | Callable[[np.ndarray], Any] = "contours",
    masks: Any = None,
    families: Families = "default",
    cells: Cells = "auto",
    um_per_px: float | None = None,
    normalise: str | Normaliser | None = None,
    resample: float | None = None,
    n_jobs: int | None = None,
    shard_size: int | None = None,
    restart: bool = False,
    processes: bool = False,
    scheduler: str | Client | None = None,
    progress: bool | None = None,
    notify: Callable[[str], object] | None = None,
) -> Extraction:
    """Measure every cell of every image into a folder, however many there are.

    The table goes to disk in shards, each of which is whole or absent, and is never in memory.
    Killed and called again, it goes on where it stopped and ends with the table of a run that was
    not disturbed. Asked for what is there already, it returns at once.

    Parameters
    ----------
    images : folder, file, list of paths or arrays, or DataFrame
        As in `table`.
    out : path
        The folder.
    segmenter : str or callable
        As in `table`.
    masks : None, "given", folder, or list, optional
        As in `table`.
    families : {"fast", "default", "all"} or list of names or functions
        As in `table`.
    cells : {"auto", "all", "central"}
        As in `table`.
    um_per_px : float, optional
        As in `table`.
    normalise : {"grey-world", "reinhard", "macenko"} or callable, optional
        As in `table`.
    resample : float, optional
        As in `table`.
    n_jobs : int, optional
        Threads of this machine; all processors by default. Not looked at with a `scheduler`.
    shard_size : int, optional
        Images in a shard: 512, or what the result in the folder has. It does not change the table.
    restart : bool
        True: remove the result in the folder, if there is one, and measure everything anew.
    processes : bool
        True: `n_jobs` processes in the place of threads. Threads wait for each other in the parts
        of Python that only one of them may run; processes do not, but take a few seconds to begin,
        need a segmenter and families that can be imported, and, in a script, the call to stand
        under ``if __name__ == "__main__":``. The result is the same.
    scheduler : str or distributed.Client, optional
        Measure on a Dask cluster: its address (``"tcp://host:8786"``), the file that the scheduler
        wrote, a client, or ``"active"`` for the one of this process. Without it no cluster is
        used, even where there is a client. Only this process writes to `out`.
    progress : bool, optional
        Show a progress bar; default is when a person is watching the terminal.
    notify : callable, optional
        Called with a line of text for what a user may want to know on the way: shards that are
        there already, images that were changed since. By default the latter are warnings.

    Returns
    -------
    Extraction
        Counts, and ``load()``.

    Raises
    ------
    FileExistsError
        The folder holds something else, or the result of other settings, other images or other
        versions; the message says what differs.
    OSError
        It cannot be written to, the disk is full, or another process writes to it. What is there
        stays whole; the same call goes on with it.
    RuntimeError
        The cluster cannot be used, or a process was killed.
    hemafeat.datasets.DatasetError, FamilyError, ValueError
        As for `table`.

    Warns
    -----
    UserWarning
        Images of finished shards were changed since (their shards are measured again) or are no
        longer there (their rows are kept).
    """
    if shard_size is not None and shard_size < 1:
        raise ValueError(f"shard_size is {shard_size}, expected at least 1")
    folder = Path(out)
    run = Run(images, segmenter, masks, families, cells, um_per_px, normalise, resample)
    size = shard_size or _size_of(folder, restart) or SHARD
    n_shards = -(-len(run) // size)
    with opened(folder, asked(run, size), run.units, n_shards, restart) as result:
        missing = result.missing(run)
        _tell(result, missing, notify)
        complete = (read_manifest(folder) or {}).get("state") == "complete"
        if missing and complete:
            result.say("running")
        task = Task(run.work, attribute_types(run.listed, run.attributes), result.digest)
        n_left = _images(run, missing, size)
        if missing:
            if scheduler is None:
                compile_ahead(run.work, n_threads(n_jobs), progress)
            with progress_bar(len(run), len(run) - n_left, progress) as done:
                parts = (run.part(number, size) for number in missing)
                for shard in shards(task, parts, n_jobs, n_left, scheduler, done, processes):
                    result.write(shard)
        if missing or not complete:
            result.complete()
    counts = result.counts
    return Extraction(
        folder,
        len(run),
        counts.n_cells,
        counts.n_errors,
        counts.n_failed,
        counts.n_suspect,
        n_shards,
        n_shards - len(missing),
    )


def shards(
    task: Task,
    parts: Iterable[Any],
    n_jobs: int | None,
    n_images: int,
    scheduler: str | Client | None,
    done: Callable[[int], object],
    processes: bool = False,
) -> Iterator[Shard]:
    """The shards of `parts`: in order from this machine, as they are ready from a cluster."""
    if scheduler is not None:
        from hemafeat.extract._table.cluster import connected, on_cluster

        with connected(scheduler) as client:
            yield from on_cluster(client, task, parts, done)
        return
    for part, outcomes in measured(task.work, parts, n_jobs, n_images, done, processes):
        yield task.shard(part, outcomes)


def _images(run: Run, missing: list[int], size: int) -> int:
    """Images in the shards that are missing; the last shard may be a short one."""
    return sum(min(size, len(run) - number * size) for number in missing)


def _size_of(folder: Path, restart: bool) -> int | None:
    there = None if restart else read_manifest(folder)
    return None if there is None else there.get("asked", {}).get("shard_size")


def _tell(result: Folder, missing: list[int], notify: Callable[[str], object] | None) -> None:
    kept = result.n_shards - len(missing)
    if kept and missing and notify is not None:
        notify(f"Resuming: {kept} of {result.n_shards} shards are there")
    for names, what in (
        (result.changed, "changed since they were measured: their shards are measured again"),
        (result.vanished, "no longer there: their rows are kept as they were measured"),
    ):
        if names:
            text = f"Images {what} ({len(names)}, the first is {names[0]})"
            if notify is not None:
                notify(text)
            else:
                warnings.warn(text, stacklevel=3)


@contextmanager
def progress_bar(
    total: int, initial: int, progress: bool | None
) -> Iterator[Callable[[int], object]]:
    """A bar over images; gives the function to move it by."""
    from tqdm import tqdm

    hidden = not (sys.stderr.isatty() if progress is None else progress)
    with tqdm(total=total, initial=initial, unit="image", desc="extract", disable=hidden) as bar:
        yield bar.update
