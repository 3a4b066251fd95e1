"""``hemafeat extract``: measure every cell of every image."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hemafeat._files import check_folder_name, check_table_file, is_cells_file
from hemafeat._words import plural
from hemafeat.cli import _arguments, _deep, _inputs, _output
from hemafeat.cli._errors import Failure, Usage

if TYPE_CHECKING:
    import pandas as pd

DESCRIPTION = """\
Measure every cell of every image. The result is a table of named features with units,
one row per cell, and a table of errors: what could not be read, segmented or measured.
One bad image does not stop the run. A folder is filled shard by shard, so that memory
does not limit the number of images; an interrupted run resumes with the same command."""

EXAMPLES = """\
  hemafeat extract cells/ --out features/
      a folder (a sub-folder per class gives labels); features/cells/*.parquet are one
      table for any reader of Parquet, features/errors/*.parquet lists the errors
  hemafeat extract images.csv --out cells.csv --um-per-px 0.1
      a CSV with a column "image" (and label, patient, mask ...); lengths in um
  hemafeat extract cells/ --out features/ --um-per-px auto
      the scale by the red cells, pooled over each data set
  hemafeat extract *.jpg --out cells.parquet --families shape colour --jobs 2
  hemafeat extract PBC_dataset/ --dataset pbc --out pbc/
  hemafeat extract cells/ --masks masks/ --out features/
      your own masks, in files named like the images
  hemafeat extract slide.ome.tiff --out features/ --segmenter best
      a large image (OME-TIFF, OME-Zarr, slides of scanners), in tiles, each cell once
  hemafeat extract cells/ --out features/ --embedding InceptionV3
      the embedding of each cell by a pretrained network, as further columns
  hemafeat extract uris.csv --out features/ --scheduler tcp://head-node:8786
      on a Dask cluster; images by path or URI (s3://, https://, ...)"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = _arguments.add_command(
        commands, "extract", run, "measure every cell of every image", DESCRIPTION, EXAMPLES
    )
    parser.set_defaults(resumes=lambda args: not is_cells_file(args.out))
    parser.add_argument(
        "input", nargs="+", metavar="IMAGES", help="a folder, a CSV or Parquet file, or images"
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="PATH",
        help="where to write: a folder, or a .parquet, .csv or .h5ad (AnnData) file",
    )
    parser.add_argument(
        "--shard-size",
        type=_arguments.positive_int,
        metavar="N",
        help="number of images in a shard of a folder; default: 512, or that of the existing "
        "result",
    )
    parser.add_argument(
        "--restart",
        action="store_true",
        help="remove the result in the folder, and measure all images again",
    )
    parser.add_argument(
        "--processes",
        action=argparse.BooleanOptionalAction,
        help="use processes, or threads; by default processes from 4,000 images on",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="measure on a Dask cluster: tcp://host:8786, or the file written by its scheduler",
    )
    parser.add_argument(
        "--augment",
        type=_arguments.positive_int,
        metavar="N",
        help="also measure N copies of each cell, redrawn as by other laboratories, to train on; "
        "only for a .parquet or .csv file",
    )
    parser.add_argument(
        "--label", metavar="COLUMN", help="column of the labels in a CSV file; default: label"
    )
    parser.add_argument(
        "--patient", metavar="COLUMN", help="column of the patients in it; default: patient"
    )
    _arguments.add_images(parser)
    _deep.add_embeddings(parser)
    _arguments.add_jobs(parser)


def run(args: argparse.Namespace) -> None:
    """Measure the cells, and print what was measured."""
    from hemafeat import extract

    start = time.perf_counter()
    out = Path(args.out)
    to_file = is_cells_file(out) and not out.is_dir()
    if to_file:
        _output.in_existing_folder(out, "--out")
    try:
        if to_file:
            check_table_file(out)
        else:
            check_folder_name(args.out)
    except (OSError, ValueError) as error:
        raise Usage(f"--out: {_output.reason(error)}") from None
    if args.augment and not to_file:
        raise Usage("--augment writes a table: give a .parquet or .csv file as --out")
    options = _inputs.measuring_options(args) | {
        "shard_size": args.shard_size,
        "restart": args.restart,
        "processes": args.processes,
        "scheduler": args.scheduler,
    }
    if args.dataset is not None and (args.label or args.patient):
        raise Usage("--label and --patient name columns of a CSV file, not of a --dataset")
    listed = _inputs.images(
        args.input,
        args.dataset,
        keep_dates=args.keep_dates,
        remarks=("label", "patient"),
        label=args.label,
        patient=args.patient,
    )
    _inputs.check_listed(listed, args)
    listed = _inputs.with_scale(listed, args)
    try:
        if to_file:
            with _inputs.left_out_said_here():
                cells = extract.table(listed, out=args.out, augment=args.augment or 0, **options)
                counts = _count(cells)
        else:
            result = extract.stream(
                listed, args.out, **options, notify=lambda text: _arguments.say(args, text)
            )
            counts = _Counts(
                result.n_cells,
                result.n_errors,
                result.n_failed,
                result.n_suspect,
                result.first_error(),
                result.n_left_out,
            )
    except (FileExistsError, FileNotFoundError) as error:
        raise Usage(f"--out: {_output.reason(error)}") from None
    seconds = time.perf_counter() - start
    copies = f", each also redrawn {plural(args.augment, 'time')}" if args.augment else ""
    print(
        f"{_inputs.how_many(listed)}, {plural(counts.n_cells, 'cell')}{copies}, "
        f"{len(extract.columns(options['families']))} features, "
        f"{plural(counts.n_errors, 'error')}, {seconds:.1f} s"
    )
    if rule := _inputs.left_out(counts.n_cells, counts.n_left_out):
        print(rule)
    if counts.first_error is not None:
        print(
            f"{plural(counts.n_failed, 'image')} with errors, see the table of errors; the first "
            f"is {counts.first_error['image']}: {counts.first_error['message']}"
        )
    if counts.n_suspect:
        print(f"{plural(counts.n_suspect, 'cell')} with a suspected segmentation failure")
    print(out)
    if not counts.n_cells:
        first = counts.first_error or {"image": args.input[0], "message": "no cell was found in it"}
        raise Failure(f"no cell was measured: {first['image']}: {first['message']}")


class _Counts(NamedTuple):
    n_cells: int
    n_errors: int
    n_failed: int
    n_suspect: int
    first_error: dict[str, str] | None
    n_left_out: int


def _count(table: pd.DataFrame) -> _Counts:
    from hemafeat import extract

    errors = extract.errors(table)
    if "redrawn" in table:
        table = table[table["redrawn"] == 0]
    # A table of images none of which was measured may lack these columns.
    suspect, n_found = (table.get(f"quality__{name}") for name in ("suspected_failure", "n_cells"))
    return _Counts(
        len(table),
        len(errors),
        errors["image"].nunique(),
        0 if suspect is None else int(suspect.astype("boolean").fillna(False).sum()),
        None if errors.empty else {str(k): str(v) for k, v in errors.iloc[0].items()},
        int(n_found.sum()) - len(table)
        if n_found is not None and extract.measured(table).get("cells") == "central"
        else 0,
    )
