"""Measure images into a folder of shards: memory does not grow with their number."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from hemafeat._files import is_cells_file, read_parquet
from hemafeat._machine import steps_of
from hemafeat._public import public, renamed_argument
from hemafeat.datasets import DatasetWarning, as_table
from hemafeat.extract._columns import FamilyChoice
from hemafeat.extract._measured import FIELD
from hemafeat.extract._table.cluster import connect, measure_on_cluster
from hemafeat.extract._table.compile import compile_ahead
from hemafeat.extract._table.errors import (
    ErrorRow,
    mask_warning,
    no_nuclei_warning,
    scale_warning,
)
from hemafeat.extract._table.fingerprint import fingerprint, options
from hemafeat.extract._table.folder import Folder, earlier_manifest, open_folder
from hemafeat.extract._table.image import Normaliser
from hemafeat.extract._table.result import (
    ERRORS_FOLDER,
    check_target,
    load,
    part_file,
    read_manifest,
)
from hemafeat.extract._table.run import Cells, Run, warn_of_scale
from hemafeat.extract._table.shard import Shard, ShardMaker, check_attributes, error_rows
from hemafeat.extract._table.threads import measure_parts
from hemafeat.segment import MaskWarning

if TYPE_CHECKING:
    from distributed import Client

SHARD_SIZE = 512
"""Default number of images in a shard: some seconds of work, some megabytes on disk."""


@public
@dataclass(frozen=True)
class Extraction:
    """A result on disk, and the numbers of what was measured.

    Attributes
    ----------
    folder : Path
        Folder of the result; ``cells/*.parquet`` in it are one table for any reader of Parquet.
    n_images, n_cells, n_errors : int
        Numbers of images, of rows of the table, and of rows of the table of errors.
    n_failed : int
        Number of images with an error.
    n_suspect : int
        Number of cells with a suspected segmentation failure.
    n_shards, n_kept : int
        Number of shards of the result, and of those that an earlier run had measured.
    n_left_out : int
        Number of cells that were found and not measured, because only the central one of each
        image was.
    """

    folder: Path
    n_images: int
    n_cells: int
    n_errors: int
    n_failed: int
    n_suspect: int
    n_shards: int
    n_kept: int
    n_left_out: int = 0

    def load(self, columns: list[str] | None = None) -> pd.DataFrame:
        """Read the table into memory; see `hemafeat.extract.load`."""
        return load(self.folder, columns=columns)

    def first_error(self) -> ErrorRow | None:
        """Return the first row of the table of errors, or None if there are no errors."""
        if self.n_errors:
            for number in range(self.n_shards):
                path = part_file(self.folder, ERRORS_FOLDER, number, self.n_shards)
                rows = read_parquet(path) if path.is_file() else pd.DataFrame()
                if len(rows):
                    return {str(key): str(value) for key, value in rows.iloc[0].items()}
        return None


@renamed_argument("resample", "to_um_per_px")
def stream(
    images: Any,
    out: str | os.PathLike[str],
    *,
    segmenter: str | Callable[[np.ndarray], Any] = "contours",
    masks: Any = None,
    mask_kind: str = "auto",
    families: FamilyChoice = "default",
    cells: Cells = "auto",
    label: str | None = None,
    patient: str | None = None,
    um_per_px: float | Literal["auto"] | None = None,
    normalise: str | Normaliser | None = None,
    to_um_per_px: float | None = None,
    n_jobs: int | None = None,
    shard_size: int | None = None,
    restart: bool = False,
    processes: bool | None = None,
    scheduler: str | Client | None = None,
    progress: bool | None = None,
    notify: Callable[[str], object] | None = None,
) -> Extraction:
    """Measure every cell of every image into a folder, for any number of images.

    The table is written in shards, each of which is whole or absent, and is never in memory. An
    interrupted run resumes where it stopped when the call is repeated, and the table is that of an
    undisturbed run. Returns immediately if the result is complete.

    Parameters
    ----------
    images : folder, file, list of paths or arrays, or DataFrame
        As in `table`.
    out : path
        Folder of the result. It is created if it does not exist.
    segmenter : str or callable
        As in `table`.
    masks : None, "given", folder, pair of folders, or list, optional
        As in `table`.
    mask_kind : {"auto", "trimap", "labels", "cells", "nuclei"}
        As in `table`.
    families : {"fast", "default", "all", "robust"} or list of names or functions
        As in `table`.
    cells : {"auto", "all", "central"}
        As in `table`.
    label, patient : str, optional
        As in `table`.
    um_per_px : float or "auto", optional
        As in `table`.
    normalise : {"grey-world", "reinhard", "macenko"} or callable, optional
        As in `table`.
    to_um_per_px : float, optional
        As in `table`.
    n_jobs : int, optional
        Number of threads or processes; all processors of this machine by default. Ignored with a
        `scheduler`.
    shard_size : int, optional
        Number of images in a shard. The default is that of the result in the folder, else 512. It
        does not change the table.
    restart : bool
        Remove an earlier result in the folder, sound or not, and measure everything anew. Files
        that the run did not write stay. Default False.
    processes : bool, optional
        True uses `n_jobs` processes, False threads. Threads wait for each other where Python runs
        only one of them at a time; processes do not, but take a few seconds to start and some
        300 MB each. By default processes are used on Linux from 4,000 images on, if these are
        files, the memory suffices, and segmenter and families can be imported. With True these can
        also be functions of the script that runs, if the call stands under
        ``if __name__ == "__main__":``. The result is the same.
    scheduler : str or distributed.Client, optional
        Dask cluster to measure on: the address of its scheduler (``"tcp://host:8786"``), the file
        that the scheduler wrote, a client, or ``"active"`` for the client of this process. By
        default no cluster is used, even if there is a client. Only this process writes to `out`.
    progress : bool, optional
        True shows a progress bar on a terminal and in a notebook, and elsewhere, as in a log, a
        line at most every few seconds. By default a bar is shown on a terminal or in a notebook,
        and nothing elsewhere.
    notify : callable, optional
        Called with a line of text for each message to the user: how many shards are kept, which
        files are damaged, and which images have changed since they were measured. By default the
        latter two are warnings.

    Returns
    -------
    Extraction
        The folder and the numbers of images, cells and errors; ``load()`` reads the table.

    Raises
    ------
    FileExistsError
        The folder holds something else, or the result of other settings, other images or other
        versions; the message says what differs.
    OSError
        The folder is not writable, the disk is full, or another process is writing to it. Complete
        shards are kept; the same call resumes the run.
    RuntimeError
        The cluster cannot be used, or a process was killed.
    hemafeat.datasets.DatasetError, FamilyError, ValueError
        As for `table`.

    Warns
    -----
    UserWarning
        A file of the result is damaged (what it held is measured again). Images of complete shards
        have changed since (their shards are measured again) or no longer exist (their rows are
        kept).
    hemafeat.segment.MaskWarning
        The kind of some masks was inferred and is uncertain; they are rows of errors.
    hemafeat.datasets.DatasetWarning
        As for `table`.

    Examples
    --------
    >>> from hemafeat import datasets, extract
    >>> cells = datasets.drawn("cells", 4, size=120, random_state=0)
    >>> result = extract.stream(cells, "features", families=["shape"], shard_size=2)
    >>> result.n_images, result.n_shards, result.n_kept
    (4, 2, 0)

    The same call resumes an interrupted run, and has nothing to do after a complete one:

    >>> extract.stream(cells, "features", families=["shape"]).n_kept
    2
    """
    if is_cells_file(out) and not Path(out).is_dir():
        raise ValueError(f"{out} is not a folder; a single file is written by extract.table(out=)")
    check_target(out)
    if label is not None or patient is not None:
        images = as_table(images, label=label, patient=patient)
    run = Run(
        images,
        segmenter=segmenter,
        masks=masks,
        mask_kind=mask_kind,
        families=families,
        cells=cells,
        um_per_px=um_per_px,
        normalise=normalise,
        to_um_per_px=to_um_per_px,
        n_jobs=n_jobs,
        shard_size=shard_size,
        processes=processes,
        scheduler=scheduler,
        progress=progress,
    )
    return measure_into_folder(run, Path(out), restart, notify)


def measure_into_folder(
    run: Run, out: Path, restart: bool, notify: Callable[[str], object] | None = None
) -> Extraction:
    """Measure the shards of a run that the folder does not hold yet.

    `out`, `restart`, `notify` and errors are those of `stream`, which calls it, as `table` does.
    """
    manifest = {} if restart else earlier_manifest(out)[0]
    stored_size = manifest.get("asked", {}).get("shard_size")
    size = run.shard_size or stored_size or SHARD_SIZE
    n_shards = run.n_parts(size)
    check_attributes(run)
    uncertain: list[ErrorRow] = []
    with open_folder(
        out, fingerprint(run, size), run.units, n_shards, restart, options(run)
    ) as folder:
        missing = folder.missing(run)
        _report(folder, missing, notify)
        complete = (read_manifest(out) or {}).get("state") == "complete"
        if missing:
            warn_of_scale(run, stacklevel=5)
            if complete:
                folder.write_manifest("running")
            for shard in measure_shards(run, missing, size, folder.digest):
                folder.write(shard)
                uncertain += error_rows(shard) if shard.info.n_errors else []
        if missing or not complete:
            folder.complete()
    totals = dict(folder.totals)
    n_fields = totals.pop("n_fields")
    if notify is None:
        warn_of_left_out(run, totals["n_cells"], totals["n_left_out"], n_fields)
    n_without = totals.pop("n_without_nucleus")
    if text := scale_warning(uncertain):
        warnings.warn(text, DatasetWarning, stacklevel=4)
    for text in mask_warnings(run, uncertain, totals["n_cells"], n_without):
        warnings.warn(text, MaskWarning, stacklevel=4)
    return Extraction(out, len(run), n_shards=n_shards, n_kept=n_shards - len(missing), **totals)


def mask_warnings(
    run: Run, uncertain: Sequence[ErrorRow], n_cells: int, n_without_nucleus: int
) -> list[str]:
    """Return what is to be said of the masks of a run that has ended, a line each."""
    texts = [mask_warning(uncertain)]
    if run.segment is None and run.mask_kind == "auto":
        # Who states the kind knows whether there are nuclei.
        texts.append(no_nuclei_warning(n_cells, n_without_nucleus))
    return [text for text in texts if text]


def warn_of_left_out(
    run: Run, n_cells: int, n_left_out: int, n_fields: int, stacklevel: int = 5
) -> None:
    """Warn if many cells are left out, and the caller did not choose to keep the central ones.

    Many are more than are kept, or those of any field: of crops, some show a neighbour.
    """
    many = n_left_out > n_cells or n_fields
    if run.rule == "central" and run.settings["cells"] == "auto" and many:
        warnings.warn(
            f"only the central cell of each image was kept, since images have labels: {n_cells} "
            f"cells, and {n_left_out} others were left out{_of_fields(n_fields)}. Set cells='all' "
            "to measure every cell, or cells='central' if this is meant",
            stacklevel=stacklevel,
        )


def _of_fields(n_fields: int) -> str:
    if not n_fields:
        return ""
    return (
        f" ({n_fields} {'image shows' if n_fields == 1 else 'images show'} {FIELD} cells or more)"
    )


def measure_shards(
    run: Run, numbers: Iterable[int], size: int, digest: str = ""
) -> Iterator[Shard]:
    """Yield shards of `size` images: in order on this machine, in any order from a cluster."""
    numbers = list(numbers)
    maker = ShardMaker.of(run, digest)
    parts = (run.part(number, size) for number in numbers)
    n_images = sum(min(size, len(run) - number * size) for number in numbers)
    if run.scheduler is None:
        compile_ahead(run.families, run.segment, run.n_jobs, run.progress)
    initial = len(run) - n_images
    with steps_of(len(run), "extract", run.progress, initial=initial, short=False) as advance:
        if run.scheduler is not None:
            with connect(run.scheduler) as client:
                yield from measure_on_cluster(client, maker, parts, advance)
            return
        for part, results in measure_parts(run, maker, parts, advance, n_images):
            yield maker.shard(part, results)


def _report(folder: Folder, missing: list[int], notify: Callable[[str], object] | None) -> None:
    n_kept = folder.n_shards - len(missing)
    if n_kept and missing and notify is not None:
        notify(f"Resuming: {n_kept} of {folder.n_shards} shards are complete")
    if folder.damaged:
        notify_or_warn = notify or (lambda text: warnings.warn(text, stacklevel=6))
        n = len(folder.damaged)
        more = f", and {n - 1} more files are not sound" if n > 1 else ""
        notify_or_warn(f"{folder.damaged[0]}{more}; what is damaged or missing is made again")
    for names, what in (
        (folder.changed, "have changed since, and their shards are measured again"),
        (folder.vanished, "no longer exist, and their rows are kept"),
    ):
        if names:
            text = f"Images that were measured {what} ({len(names)}, the first is {names[0]})"
            if notify is not None:
                notify(text)
            else:
                # The caller of `stream` or `table`, beyond the wrapper of the renamed argument.
                warnings.warn(text, stacklevel=5)
