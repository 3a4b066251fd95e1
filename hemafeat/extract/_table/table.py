"""Images in, one row per cell out, whatever becomes of single images."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hemafeat.extract._columns import Families
from hemafeat.extract._table.compile import compile_ahead
from hemafeat.extract._table.result import check_target, is_file, save
from hemafeat.extract._table.run import Cells, Normaliser, Run, assemble
from hemafeat.extract._table.shard import Task, attribute_types, gathered
from hemafeat.extract._table.stream import SHARD, progress_bar, shards, stream
from hemafeat.extract._table.threads import measured, n_threads

if TYPE_CHECKING:
    from distributed import Client


def table(
    images: Any,
    *,
    segmenter: str | Callable[[np.ndarray], Any] = "contours",
    masks: Any = None,
    families: Families = "default",
    cells: Cells = "auto",
    um_per_px: float | None = None,
    normalise: str | Normaliser | None = None,
    resample: float | None = None,
    n_jobs: int | None = None,
    out: str | os.PathLike[str] | None = None,
    shard_size: int | None = None,
    restart: bool = False,
    processes: bool = False,
    scheduler: str | Client | None = None,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Measure every cell of every image.

    Parameters
    ----------
    images : folder, file, list of paths or arrays, or DataFrame
        Whatever `hemafeat.datasets.as_table` takes: a class-per-folder tree, a CSV with an
        ``image`` column, an image table, paths or URIs, (H, W, 3) arrays.
    segmenter : str or callable
        ``"contours"``, the name of a plugged-in segmenter, or any callable that takes an
        (H, W, 3) uint8 image and returns `Masks`.
    masks : None, "given", folder, or list, optional
        Masks to use in the place of a segmenter: ``"given"`` takes the files named in the ``mask``
        column of the image table, a folder is searched for a file of the same name (any suffix)
        and a list holds one path, array or `Masks` per image.
    families : {"fast", "default", "all"} or list of names or functions
        Which features.
    cells : {"auto", "all", "central"}
        ``"central"`` keeps the cell at the centre of each image, ``"all"`` keeps every cell.
        ``"auto"`` keeps the central one of a labelled image, since the label speaks of that cell,
        and all cells of an unlabelled one.
    um_per_px : float, optional
        Side of a pixel in um, for all images; default is the column of that name. With it lengths
        are in um, without it in px.
    normalise : {"grey-world", "reinhard", "macenko"} or callable, optional
        What is done to the colours of an image before its cells are measured: a name of
        `hemafeat.images.normaliser`, or any function of an (H, W, 3) uint8 image that gives
        another. Cells are found in the image as it is. An image that cannot be normalised is an
        error of the table, and its cells are not measured.
    resample : float, optional
        Side of a pixel in um that all images are brought to before their cells are measured, so
        that texture means the same across microscopes. Every scale must be known. Cells are found
        in the image as it is, and ``um_per_px`` of the result is this one.
    n_jobs : int, optional
        Threads; all processors by default. The table does not depend on it.
    out : path, optional
        Where to write the result as well. A folder is filled by `stream`: the images are measured
        without their table in memory, a killed call goes on where it stopped when it is repeated,
        and the table is read back at the end (`stream` does all but that). A ``.parquet`` or
        ``.csv`` file is written when all is measured. `load` reads either.
    shard_size, restart : int and bool, optional
        Of a folder; see `stream`.
    processes : bool
        True: `n_jobs` processes in the place of threads; see `stream`.
    scheduler : str or distributed.Client, optional
        Measure on a Dask cluster; see `stream`.
    progress : bool, optional
        Show a progress bar; default is when a person is watching the terminal.

    Returns
    -------
    DataFrame
        One row per cell, in the order of the images: ``image, cell`` (1..n), ``label, label_raw,
        patient, group, split, dataset, um_per_px`` and the attributes of the image, then
        ``quality__*`` (never fed to a model by default), then the features in the order of
        ``columns(families)``. ``attrs["units"]`` holds the units. What could not be measured is in
        ``errors(table)``.

    Raises
    ------
    hemafeat.datasets.DatasetError
        There are no images, or `images` is nothing of the above.
    FamilyError
        An unknown family.
    ValueError
        A scale that is not positive or known for some of the images only, masks that do not match
        the images in number, an unknown segmenter.
    FileExistsError
        `out` holds something else than a result of these settings.
    OSError
        `out` cannot be written to, or its disk is full.
    """
    if out is not None and not is_file(out):
        return stream(
            images,
            out,
            segmenter=segmenter,
            masks=masks,
            families=families,
            cells=cells,
            um_per_px=um_per_px,
            normalise=normalise,
            resample=resample,
            n_jobs=n_jobs,
            shard_size=shard_size,
            restart=restart,
            processes=processes,
            scheduler=scheduler,
            progress=progress,
        ).load()
    run = Run(images, segmenter, masks, families, cells, um_per_px, normalise, resample)
    if out is not None:
        check_target(out)
    result = _in_memory(run, n_jobs, shard_size or SHARD, scheduler, progress, processes)
    if out is not None:
        save(result, out)
    return result


def _in_memory(
    run: Run,
    n_jobs: int | None,
    size: int,
    scheduler: str | Client | None,
    progress: bool | None,
    processes: bool,
) -> pd.DataFrame:
    if scheduler is None:
        compile_ahead(run.work, n_threads(n_jobs), progress)
    with progress_bar(len(run), 0, progress) as done:
        if scheduler is not None:
            task = Task(run.work, attribute_types(run.listed, run.attributes), "")
            made = shards(task, run.parts(size), n_jobs, len(run), scheduler, done)
            return gathered(made, run.units)
        whole = [run.part(0, len(run))]
        ((part, outcomes),) = measured(run.work, whole, n_jobs, len(run), done, processes)
        return assemble(run.work, part, outcomes).frame(run.units)
