"""Measure images into a table in memory: one row per cell."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from hemafeat._files import is_cells_file
from hemafeat._machine import steps_of
from hemafeat._public import renamed_argument
from hemafeat.datasets import DatasetWarning, as_table
from hemafeat.extract._columns import FamilyChoice
from hemafeat.extract._former import FORMULAS
from hemafeat.extract._measured import MEASURED, n_fields, n_left_out, n_without_nucleus
from hemafeat.extract._table.compile import compile_ahead
from hemafeat.extract._table.errors import scale_warning
from hemafeat.extract._table.fingerprint import options
from hemafeat.extract._table.image import Normaliser
from hemafeat.extract._table.part import assemble
from hemafeat.extract._table.result import check_target, save
from hemafeat.extract._table.run import Cells, Run, warn_of_scale
from hemafeat.extract._table.shard import ShardMaker, check_attributes, gather
from hemafeat.extract._table.stream import (
    SHARD_SIZE,
    mask_warnings,
    measure_into_folder,
    measure_shards,
    warn_of_left_out,
)
from hemafeat.extract._table.threads import measure_parts
from hemafeat.images import StainJitter
from hemafeat.segment import MaskWarning

if TYPE_CHECKING:
    from distributed import Client


@renamed_argument("resample", "to_um_per_px")
def table(
    images: Any,
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
    augment: int = 0,
    random_state: int = 0,
    n_jobs: int | None = None,
    out: str | os.PathLike[str] | None = None,
    shard_size: int | None = None,
    restart: bool = False,
    processes: bool | None = None,
    scheduler: str | Client | None = None,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Measure every cell of every image.

    Parameters
    ----------
    images : folder, file, list of paths or arrays, or DataFrame
        Images to measure, in any form that `hemafeat.datasets.as_table` takes: a folder with one
        sub-folder per class, a CSV file with a column ``image``, an image table, paths or URIs,
        (H, W, 3) arrays.
    segmenter : str or callable
        ``"contours"``, the name of another segmenter, or a callable that takes an (H, W, 3) uint8
        image and returns `Masks`.
    masks : None, "given", folder, pair of folders, or list, optional
        Masks to use instead of a segmenter, laid on the image as `hemafeat.images.read` returns it:
        ``"given"`` takes the files named in the column ``mask`` of the image table; a folder is
        searched for files named like the images, see `hemafeat.datasets.mask_finder`; of a pair of
        folders the first holds the cells and the second their nuclei; and a list holds one path,
        array, `Masks`, or pair of (cell, nucleus) per image.
    mask_kind : {"auto", "trimap", "labels", "cells", "nuclei"}
        Meaning of the values of masks in files and arrays, see `hemafeat.segment.read_masks`. By
        default it is inferred; where that is uncertain, the cells are measured and the image is a
        row of errors, ``MaskWarning``.
    families : {"fast", "default", "all", "robust"} or list of names or functions
        Feature families to measure: a set of families, or their names or functions. The order of a
        list does not change the table.
    cells : {"auto", "all", "central"}
        ``"central"`` keeps the cell at the centre of each image, ``"all"`` keeps every cell.
        ``"auto"`` is ``"central"`` if any image has a label, since a label describes one cell, and
        ``"all"`` if none has. The rule is the same for all images of a table, which holds it
        (`measured`). A warning says if most of the cells found are left out, or those of a field
        of five cells or more.
    label, patient : str, optional
        Names of the columns of the image table that hold labels and patients, if these are not
        called ``label`` and ``patient``.
    um_per_px : float or "auto", optional
        Side of a pixel in um, for all images. The default is the column of that name in the image
        table. Lengths are in um if the scale is known, else in px. ``"auto"`` estimates it from the
        red cells where that column holds none: one scale for each data set (column ``dataset``),
        pooled over its images, see `hemafeat.datasets.with_scale`.
    normalise : {"grey-world", "reinhard", "macenko"} or callable, optional
        Change the colours of each image before its cells are measured: a name of
        `hemafeat.images.normaliser`, or a function of an (H, W, 3) uint8 image that returns
        another. Cells are found in the original image. An image that cannot be normalised is a row
        of errors, and its cells are not measured.
    to_um_per_px : float, optional
        Resize each image so that the side of a pixel is this many um before its cells are
        measured, so that texture has the same meaning across microscopes. The scale of every image
        must be known. Cells are found in the original image, and ``um_per_px`` of the result is
        this one.
    augment : int
        Number of copies of each cell that are measured beside it, in the same outline, in the image
        as another laboratory might have taken it (`hemafeat.images.StainJitter`). Copies have the
        group of their cell, and 1, 2 ... in a column ``redrawn``; models are trained on them, and
        `hemafeat.evaluate.compare` never scores them. They are measured in memory: `out` must be a
        file then. Default 0, which adds no column.
    random_state : int
        Seed of the copies.
    n_jobs : int, optional
        Number of threads or processes; all processors by default. It does not change the table.
    out : path, optional
        Also write the result. A folder is filled as by `stream`: an interrupted run resumes when
        the call is repeated, and the table is read back at the end. A ``.parquet``, ``.csv`` or
        ``.h5ad`` file is written when all images are measured, in place of an earlier table of
        cells, see `save`. `load` reads any of them. Attributes other than numbers, booleans, text
        and dates without a time zone are written as text.
    shard_size, restart : int and bool, optional
        For a folder, see `stream`.
    processes : bool, optional
        Use `n_jobs` processes or threads, see `stream`. By default it depends on the number of
        images.
    scheduler : str or distributed.Client, optional
        Measure on a Dask cluster, see `stream`.
    progress : bool, optional
        As in `stream`.

    Returns
    -------
    DataFrame
        One row per cell, in the order of the images: ``image, cell`` (1..n), ``label, label_raw,
        patient, group, split, dataset, um_per_px`` and the attributes of the image, then
        ``where__*`` (the position of the cell in px of its image, see
        `hemafeat.segment.Masks.positions`) and ``quality__*``, which models do not use, then the
        features in the order of ``columns(families)``. ``attrs["units"]`` holds the units,
        ``errors(table)`` returns what could not be measured, and ``measured(table)`` how the cells
        were measured.

    Raises
    ------
    hemafeat.datasets.DatasetError
        There are no images, `images` has none of the forms above, or one of its columns has a name
        of the table of cells (such as ``cell`` or ``nucleus__shape__area``) or cannot be written.
    FamilyError
        A family does not exist.
    ValueError
        A scale is not positive or known for some of the images only, or cannot be estimated, the
        number of masks is not that of the images, the segmenter does not exist, `out` has the
        suffix of another kind of file, or is a folder while there is to be `augment`.
    FileExistsError
        `out` holds something other than a result of these settings, or a file that is not a table
        of cells.
    FileNotFoundError
        The folder of the file `out` does not exist.
    OSError
        `out` is not writable, or the disk is full.

    Warns
    -----
    hemafeat.segment.MaskWarning
        The kind of some masks was inferred and is uncertain; they are rows of errors.
    hemafeat.datasets.DatasetWarning
        The scale is one that no image of white cells has, the red cells of a data set contradict
        it, or it makes cells wider than 100 um; the latter are rows of errors.

    Examples
    --------
    >>> from hemafeat import datasets, extract
    >>> cells = datasets.drawn("cells", 4, size=120, random_state=0)
    >>> table = extract.table(cells, families=["shape", "colour"])
    >>> len(table), len(extract.feature_columns(table))
    (4, 127)
    >>> extract.units(table)["nucleus__shape__area"]
    'um^2'
    """
    if out is not None:
        check_target(out)
    target = None if out is None else Path(out)
    to_file = target is not None and is_cells_file(target) and not target.is_dir()
    if augment < 0 or (augment and target is not None and not to_file):
        raise ValueError(
            f"augment={augment}: expected the number of copies of each cell"
            if augment < 0
            else "augment: a result folder holds no copies; give a .parquet or .csv file as out"
        )
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
    if target is not None and not to_file:
        return measure_into_folder(run, target, restart).load()
    if target is not None:
        check_attributes(run)
    warn_of_scale(run, stacklevel=4)
    result = _measure_in_memory(run)
    result.attrs |= {MEASURED: options(run), "formulas": FORMULAS}
    warn_of_left_out(run, len(result), n_left_out(result), n_fields(result), stacklevel=4)
    if text := scale_warning(result.attrs["errors"]):
        warnings.warn(text, DatasetWarning, stacklevel=3)
    n_without = n_without_nucleus(result) if run.segment is None else 0
    for text in mask_warnings(run, result.attrs["errors"], len(result), n_without):
        warnings.warn(text, MaskWarning, stacklevel=3)
    if augment:
        result = _with_copies(run, result, range(random_state, random_state + augment))
    if target is not None:
        save(result, target)
    return result


@dataclass(frozen=True)
class _Both:
    """Redraw an image, and then normalise it if that was asked for."""

    jitter: StainJitter
    normalise: Normaliser | None

    def __call__(self, image: np.ndarray) -> np.ndarray:
        redrawn = self.jitter(image)
        return redrawn if self.normalise is None else self.normalise(redrawn)


def _with_copies(run: Run, result: pd.DataFrame, seeds: range) -> pd.DataFrame:
    """Append the cells of redrawn images to a table, in a column ``redrawn``; groups are kept."""
    tables = [result]
    for seed in seeds:
        redrawn = copy(run)
        redrawn.normalise = _Both(StainJitter(seed), run.normalise)
        tables.append(_measure_in_memory(redrawn))
    for number, table in enumerate(tables):
        table.insert(list(table.columns).index("cell") + 1, "redrawn", number)
        # The copies of a cell without a group would otherwise be in other folds than the cell.
        table["group"] = table["group"].where(table["group"].notna(), table["image"])
    errors = [row for table in tables for row in table.attrs["errors"]]
    joined = pd.concat([table.assign() for table in tables], ignore_index=True)
    joined.attrs = {
        **result.attrs,
        "errors": [r for i, r in enumerate(errors) if r not in errors[:i]],
    }
    return joined


def _measure_in_memory(run: Run) -> pd.DataFrame:
    if run.scheduler is not None:
        size = run.shard_size or SHARD_SIZE
        return gather(measure_shards(run, range(run.n_parts(size)), size), run.units)
    compile_ahead(run.families, run.segment, run.n_jobs, run.progress)
    maker, whole = ShardMaker.of(run), run.part(0, len(run))
    with steps_of(len(run), "extract", run.progress, short=False) as advance:
        ((part, results),) = measure_parts(run, maker, [whole], advance, len(run))
    return assemble(part, results, run.families)
