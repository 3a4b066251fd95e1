"""``hemafeat extract``: images in, one row per cell out."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from hemafeat.cli import _arguments
from hemafeat.cli._arguments import Failure, Usage, plural

DESCRIPTION = """\
Measure every cell of every image. The result is a table of named features with units,
one row per cell, and a table of errors: what could not be read, segmented or measured.
One bad image does not stop the run."""

EXAMPLES = """\
  hemafeat extract cells/ --out features/
      a folder (a sub-folder per class gives labels); features/ gets cells.parquet,
      errors.parquet and manifest.json
  hemafeat extract images.csv --out cells.csv --um-per-px 0.1
      a CSV with a column "image" (and label, patient, mask ...); lengths in um
  hemafeat extract *.jpg --out cells.parquet --families shape colour --jobs 2
  hemafeat extract PBC_dataset/ --dataset pbc --out pbc/
  hemafeat extract cells/ --masks masks/ --out features/
      masks of your own, in files named like the images"""


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
    _arguments.add_images(parser)
    _arguments.add_jobs(parser)


def run(args: argparse.Namespace) -> None:
    """Measure and say what came of it."""
    from hemafeat import extract

    began = time.perf_counter()
    out = _target(args.out)
    which, how = _arguments.families(args), _arguments.segmenter(args)
    masks, scale = _arguments.masks(args), _arguments.scale(args)
    listed = _arguments.images(args.input, args.dataset)
    table = extract.table(
        listed,
        segmenter=how,
        masks=masks,
        families=which,
        cells=args.cells,
        um_per_px=scale,
        n_jobs=_arguments.workers(args),
        out=out,
        progress=_arguments.progress(args),
    )
    errors = extract.errors(table)
    seconds = time.perf_counter() - began
    failed = errors["image"].nunique()
    n_features = len(extract.feature_columns(table))
    print(
        f"{plural(len(listed), 'image')}, {plural(len(table), 'cell')}, "
        f"{n_features} features, {plural(len(errors), 'error')}, {seconds:.1f} s"
    )
    if len(errors):
        print(
            f"{plural(failed, 'image')} with errors, see the errors table; the first is "
            f"{_arguments.first_error(table)}"
        )
    flag = table.get("quality__suspected_failure")
    if flag is not None and (n_suspect := int(flag.astype("boolean").fillna(False).sum())):
        print(f"{plural(n_suspect, 'cell')} with a suspected segmentation failure")
    print(out)
    if table.empty:
        raise Failure(f"no cell was measured: {_arguments.first_error(table)}")


def _target(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() in (".csv", ".parquet"):
        if path.is_dir():
            raise Usage(f"--out: {path} is a folder")
        if not path.parent.is_dir():
            raise Usage(f"--out: there is no folder {path.parent}")
    elif path.exists() and not path.is_dir():
        raise Usage(f"--out: {path} is a file; give a folder, or a .parquet or .csv file")
    elif path.is_dir() and any(path.iterdir()) and not (path / "manifest.json").is_file():
        raise Usage(f"--out: {path} is not empty and holds no earlier result")
    return path
