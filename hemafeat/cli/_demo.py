"""``hemafeat demo``: all of it, on drawn cells."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from hemafeat.cli import _arguments, _compare, _errors, _inputs, _output
from hemafeat.cli._arguments import plural
from hemafeat.cli._errors import Usage

DESCRIPTION = """\
Draw stained blood cells of nine kinds and fifteen patients, measure them, compare every
pipeline by patient, and make the page. Needs no network. A score on drawn cells says that
the program works, and nothing about real cells.

It leaves behind: drawn/ (images, masks, manifest.csv), features/ (the table
and its errors), comparison/, model.hemafeat and page.html."""

EXAMPLES = """\
  hemafeat demo
  hemafeat demo --out /tmp/demo --images 90 --jobs 2      a quick one
  hemafeat predict hemafeat-demo/model.hemafeat hemafeat-demo/drawn --out predictions.csv"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = _arguments.command(
        commands, "demo", run, "all of it, on drawn cells", DESCRIPTION, EXAMPLES
    )
    parser.add_argument(
        "--out", default="hemafeat-demo", metavar="DIR", help="default: hemafeat-demo"
    )
    parser.add_argument(
        "--images", type=_arguments.positive, default=360, metavar="N", help="default: 360"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    _arguments.add_jobs(parser)


def run(args: argparse.Namespace) -> None:
    """Draw, measure, compare, write the page."""
    from hemafeat import datasets, evaluate, extract, pipelines, report

    began = time.perf_counter()
    out = Path(args.out)
    _check(out, args)
    jobs, progress = _arguments.workers(args), _arguments.progress(args)
    out.mkdir(parents=True, exist_ok=True)
    _arguments.say(args, f"1/4  drawing {args.images} cells")
    try:
        images = datasets.drawn(
            out / "drawn",
            args.images,
            random_state=args.seed,
            n_jobs=jobs,
            progress=progress,
        )
    except FileExistsError:
        raise Usage(
            f"--out: {out / 'drawn'} holds cells drawn with other settings; give another --out"
        ) from None
    _arguments.say(args, f"2/4  measuring {plural(len(images), 'image')}")
    table = extract.table(
        images, out=out / "features", restart=True, n_jobs=jobs, progress=progress
    )
    if table.empty:
        raise _errors.Failure(f"no cell was measured: {_inputs.first_error(table)}")
    names = pipelines.names()
    _arguments.say(args, f"3/4  comparing {', '.join(names)} on patients not seen in training")
    comparison = evaluate.compare(
        names, table, random_state=args.seed, rare="drop", n_jobs=jobs, progress=progress
    )
    comparison.save(out / "comparison")
    _arguments.say(args, "4/4  writing the page")
    page = report.page(
        comparison,
        out / "page.html",
        table=table,
        images=images,
        title="hemafeat demo: drawn cells",
        command=f"hemafeat demo --images {args.images} --seed {args.seed}",
    )
    _compare.save_best(comparison, table, out / "model.hemafeat", "label")
    errors = extract.errors(table)
    print(
        f"{plural(len(images), 'image')}, {plural(len(table), 'cell')}, "
        f"{len(extract.feature_columns(table))} features, {plural(len(errors), 'error')}, "
        f"{time.perf_counter() - began:.0f} s"
    )
    print(_output.scores(comparison))
    print(page)


def _check(out: Path, args: argparse.Namespace) -> None:
    if out.exists() and not out.is_dir():
        raise Usage(f"--out: {out} is a file")
    if out.is_dir() and any(out.iterdir()) and not (out / "drawn").is_dir():
        raise Usage(f"--out: {out} is not empty and holds no earlier demo")
    if args.images < LEAST:
        raise Usage(
            f"--images: {args.images} is too few to compare anything; give {LEAST} at least"
        )


LEAST = 90
"""Ten cells of each kind, so that every class has cells of five patients."""
