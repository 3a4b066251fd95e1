"""``hemafeat extract``: images in, one row per cell out."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hemafeat._files import check_table_file, is_table_file
from hemafeat.cli import _arguments, _deep, _inputs
from hemafeat.cli._arguments import plural
from hemafeat.cli._errors import Failure, Usage

if TYPE_CHECKING:
    import pandas as pd

DESCRIPTION = """\
Measure every cell of every image. The result is a table of named features with units,
one row per cell, and a table of errors: what could not be read, segmented or measured.
One bad image does not stop the run. A folder is filled shard by shard, so that any number
of images fits in memory; the same command goes on with a run that was killed."""

EXAMPLES = """\
  hemafeat extract cells/ --out features/
      a folder (a sub-folder per class gives labels); features/cells/*.parquet are one
      table for any reader of Parquet, features/errors/*.parquet what was not measured
  hemafeat extract images.csv --out cells.csv --um-per-px 0.1
      a CSV with a column "image" (and label, patient, mask ...); lengths in um
  hemafeat extract *.jpg --out cells.parquet --families shape colour --jobs 2
  hemafeat extract PBC_dataset/ --dataset pbc --out pbc/ --processes
  hemafeat extract cells/ --masks masks/ --out features/
      masks of your own, in files named like the images
  hemafeat extract cells/ --out features/ --embedding InceptionV3
      what a trained network sees of each cell, as further columns; --weights FILE offline
  hemafeat extract uris.csv --out features/ --scheduler tcp://head-node:8786
      on a Dask cluster; images by path or URI (s3://, https://, ...)"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = _arguments.command(
        commands, "extract", run, "images in, one row per cell out", DESCRIPTION, EXAMPLES
    )
    parser.add_argument(
        "input", nargs="+", metavar="IMAGES", help="a folder, a CSV or Parquet file, or images"
    )
    parser.add_argument(
        "--out", required=True, metavar="PLACE", help="a folder, or a .parquet or .csv file"
    )
    parser.add_argument(
        "--shard-size",
        type=_arguments.positive,
        metavar="N",
        help="images in a shard of a folder; default: 512, or that of the result there",
    )
    parser.add_argument(
        "--restart",
        action="store_true",
        help="remove the result that is in the folder, and measure everything anew",
    )
    parser.add_argument(
        "--processes",
        action="store_true",
        help="--jobs processes in the place of threads: worth it from some thousand images on",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="measure on a Dask cluster: tcp://host:8786, or the file its scheduler wrote",
    )
    _arguments.add_images(parser)
    _deep.add_embeddings(parser)
    _arguments.add_jobs(parser)


def run(args: argparse.Namespace) -> None:
    """Measure and say what came of it."""
    from hemafeat import extract

    began = time.perf_counter()
    out = Path(args.out)
    try:
        if is_table_file(out):
            check_table_file(out)
    except OSError as error:
        raise Usage(f"--out: {error}") from None
    which, how = _inputs.families(args), _inputs.segmenter(args)
    given: dict[str, Any] = {
        "segmenter": how,
        "masks": _inputs.masks(args),
        "families": which,
        "cells": args.cells,
        "um_per_px": _inputs.scale(args),
        "normalise": _inputs.normalise(args),
        "to_um_per_px": _inputs.resample(args),
        "n_jobs": _arguments.workers(args),
        "shard_size": args.shard_size,
        "restart": args.restart,
        "processes": args.processes,
        "scheduler": args.scheduler,
        "progress": _arguments.progress(args),
    }
    listed = _inputs.images(args.input, args.dataset)
    if is_table_file(out):
        found = _found(extract.table(listed, out=out, **given))
    else:
        try:
            made = extract.stream(
                listed, out, **given, notify=lambda text: _arguments.say(args, text)
            )
        except FileExistsError as error:
            raise Usage(f"--out: {error}") from None
        found = _Found(
            made.n_cells, made.n_errors, made.n_failed, made.n_suspect, made.first_error()
        )
    seconds = time.perf_counter() - began
    print(
        f"{plural(len(listed), 'image')}, {plural(found.n_cells, 'cell')}, "
        f"{len(extract.columns(which))} features, {plural(found.n_errors, 'error')}, "
        f"{seconds:.1f} s"
    )
    if found.first is not None:
        print(
            f"{plural(found.n_failed, 'image')} with errors, see the errors table; the first is "
            f"{found.first['image']}: {found.first['message']}"
        )
    if found.n_suspect:
        print(f"{plural(found.n_suspect, 'cell')} with a suspected segmentation failure")
    print(out)
    if not found.n_cells:
        first = found.first or {"image": "", "message": "no image was given"}
        raise Failure(f"no cell was measured: {first['image']}: {first['message']}")


class _Found(NamedTuple):
    n_cells: int
    n_errors: int
    n_failed: int
    n_suspect: int
    first: dict[str, str] | None


def _found(table: pd.DataFrame) -> _Found:
    from hemafeat import extract

    errors = extract.errors(table)
    suspect = table.get("quality__suspected_failure")
    return _Found(
        len(table),
        len(errors),
        errors["image"].nunique(),
        0 if suspect is None else int(suspect.astype("boolean").fillna(False).sum()),
        None if errors.empty else {str(k): str(v) for k, v in errors.iloc[0].items()},
    )
