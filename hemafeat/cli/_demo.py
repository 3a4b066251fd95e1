"""``hemafeat demo``: run the whole workflow on drawn cells."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hemafeat._words import plural
from hemafeat.cli import _arguments, _compare, _inputs, _output
from hemafeat.cli._errors import Failure, Usage

DESCRIPTION = """\
Draw stained blood cells of nine kinds and fifteen patients, measure them, compare all
pipelines by patient, and make the page. Needs no network. A score on drawn cells shows that
the program works; it says nothing about real cells.

The folder then holds drawn/ (images, masks, manifest.csv), features/ (the table and its
errors), comparison/, model.hemafeat and page.html."""

EXAMPLES = """\
  hemafeat demo
  hemafeat demo --out /tmp/demo --images 90 --jobs 2      a shorter run
  hemafeat predict hemafeat-demo/model.hemafeat hemafeat-demo/drawn --out predictions.csv"""


LEAST = 90
"""Smallest number of images: ten of each kind, so that each class has cells of five patients."""

FIRST = {
    "cell": "cell__shape__area",
    "nucleus": "nucleus__shape__area",
    "its solidity": "nucleus__shape__solidity",
    "indentations": "nucleus__shape__n_indentations",
}
"""Columns of the first cell that are printed, and their names there."""


def add(commands: Any) -> None:
    """Add the command."""
    parser = _arguments.add_command(
        commands, "demo", run, "run the whole workflow on drawn cells", DESCRIPTION, EXAMPLES
    )
    parser.add_argument(
        "--out",
        default="hemafeat-demo",
        metavar="DIR",
        help="folder to write; default: hemafeat-demo",
    )
    parser.add_argument(
        "--images",
        type=_arguments.positive_int,
        default=360,
        metavar="N",
        help="number of images to draw; default: 360",
    )
    parser.add_argument(
        "--seed",
        type=_arguments.seed,
        default=0,
        metavar="N",
        help="seed of images, folds and models",
    )
    _arguments.add_jobs(parser)


def run(args: argparse.Namespace) -> None:
    """Draw cells, measure them, compare models and write the page."""
    from hemafeat import datasets, evaluate, extract, pipelines, report

    start = time.perf_counter()
    out = _output.result_folder(args.out, "demo", ["drawn"])
    if args.images < LEAST:
        raise Usage(
            f"--images: {args.images} images are too few to compare models; give at least {LEAST}"
        )
    jobs, progress = _arguments.jobs(args), _arguments.progress(args)
    out.mkdir(parents=True, exist_ok=True)
    with _step(args, "1/5  measuring a first cell") as found:
        found.append(_first_cell(args.seed, jobs, progress))
    with _step(args, f"2/5  drawing {args.images} cells") as found:
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
                f"--out: {out / 'drawn'} holds cells drawn with other settings; choose another "
                "--out"
            ) from None
        found.append(f"{images['patient'].nunique()} patients")
    with _step(args, f"3/5  measuring {plural(len(images), 'image')}") as found:
        table = extract.table(
            images, out=out / "features", restart=True, n_jobs=jobs, progress=progress
        )
        if table.empty:
            raise Failure(f"no cell was measured: {_inputs.first_error(table)}")
        n_features = len(extract.feature_columns(table))
        found.append(f"{n_features} features of {plural(len(table), 'cell')}")
    names = pipelines.names()
    with _step(args, f"4/5  comparing {', '.join(names)} on unseen patients") as found:
        comparison = evaluate.compare(
            names, table, random_state=args.seed, rare="drop", n_jobs=jobs, progress=progress
        )
        comparison.save(out / "comparison")
        comparison.save_csv(out / "comparison", table)
        found.append(f"best: {comparison.ranked()[0]}")
    with _step(args, "5/5  writing the page and the model") as found:
        page = report.page(
            comparison,
            out / "page.html",
            table=table,
            images=images,
            title="hemafeat demo: drawn cells",
            command=f"hemafeat demo --images {args.images} --seed {args.seed}",
        )
        args.label, args.save_model = "label", str(out / "model.hemafeat")
        _compare.save_best(comparison, names, table, args)
    errors = extract.errors(table)
    print(
        f"{plural(len(images), 'image')}, {plural(len(table), 'cell')}, "
        f"{n_features} features, {plural(len(errors), 'error')}, "
        f"{time.perf_counter() - start:.0f} s"
    )
    print(_output.scores(comparison))
    print(page)


@contextmanager
def _step(args: argparse.Namespace, doing: str) -> Iterator[list[str]]:
    """Say what is being done, then what the step appends to the list, and how long it took."""
    _arguments.say(args, doing)
    found: list[str] = []
    start = time.perf_counter()
    yield found
    _arguments.say(args, f"     {', '.join([*found, f'{time.perf_counter() - start:.1f} s'])}")


def _first_cell(seed: int, jobs: int, progress: bool | None) -> str:
    """Draw and measure one cell, and describe it in words; few kernels need to be compiled."""
    from hemafeat import datasets, extract

    cell = datasets.draw_cell("neutrophil", random_state=seed)
    table = extract.table(
        [cell.image], um_per_px=cell.um_per_px, families="fast", n_jobs=jobs, progress=progress
    )
    if table.empty:
        raise Failure(f"the first cell was not measured: {_inputs.first_error(table)}")
    units = extract.units(table)
    words = []
    for name, column in FIRST.items():
        unit = "" if units.get(column, "1") == "1" else f" {units[column]}"
        words.append(f"{name} {table[column].iloc[0]:.3g}{unit}")
    return f"a {cell.kind}: {', '.join(words)}"
