"""``hemafeat compare --level patient``: one verdict per patient, from images or cells to a page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemafeat._whole import write_table
from hemafeat.cli import _arguments, _output
from hemafeat.cli._arguments import Usage

if TYPE_CHECKING:
    import pandas as pd

EXAMPLE = """\
  hemafeat compare cohort/ --dataset lymphocytosis --level patient --out result/
      one verdict per patient, beside what bag size and attributes alone would say"""

_NOT_HERE = ("pixels", "audit", "save_model")


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of this level."""
    parser.add_argument(
        "--level",
        choices=("cell", "patient"),
        default="cell",
        help="what is judged; patient: one verdict for all cells of one",
    )
    parser.add_argument(
        "--patient",
        default="patient",
        metavar="COLUMN",
        help="with --level patient: whose cell it is; default: patient",
    )
    parser.add_argument(
        "--positive",
        metavar="LABEL",
        help="with --level patient: the label that cells are shown to speak for",
    )


def run(args: argparse.Namespace, out: Path, command: str) -> None:
    """Measure if need be, compare, print, write."""
    from hemafeat import evaluate, extract, report

    for name in _NOT_HERE:
        if getattr(args, name, None):
            raise Usage(f"--{name.replace('_', '-')} is not for --level patient")
    models = _models(args)
    for path in args.input:
        if not Path(path).exists():
            raise Usage(f"{path}: no such file or folder")
    table, listed = _arguments.table(args)
    _check(table, args)
    if listed is not None:
        out.mkdir(parents=True, exist_ok=True)
        extract.save(table, out / "features", {"made_by": "hemafeat compare"})
    n = table[args.patient].nunique()
    _arguments.say(args, f"comparing models of {n} patients on {len(table)} cells ...")
    comparison = evaluate.compare_patients(
        models,
        table,
        label=args.label,
        patient=args.patient,
        split=args.split,
        n_splits=args.folds,
        metadata=args.metadata or None,
        positive=args.positive,
        n_boot=args.resamples,
        random_state=args.seed,
        n_jobs=_arguments.workers(args),
        progress=_arguments.progress(args),
    )
    comparison.save(out)
    write_table(comparison.results, out / "results.csv")
    if len(comparison.verdicts):
        write_table(comparison.verdicts, out / "verdicts.csv")
    _arguments.say(args, "writing the page ...")
    page = report.page(
        comparison,
        out / "page.html",
        table=table,
        images=listed,
        segmenter=_arguments.segmenter(args),
        masks=_arguments.masks(args) if args.masks != "given" or listed is not None else None,
        title=args.title or "Comparison of verdicts on patients",
        command=command,
    )
    print(_output.scores(comparison))
    print(page)


def _models(args: argparse.Namespace) -> Any:
    from hemafeat import pipelines

    if not args.models:
        return None
    known = pipelines.patient_names(attributes=True, deep=True)
    names = [name for words in args.models for name in words.split(",") if name]
    for name in names:
        if name not in known:
            raise Usage(f"--models: no model of patients {name!r}; there are: {', '.join(known)}")
    return list(dict.fromkeys(names))


def _check(table: pd.DataFrame, args: argparse.Namespace) -> None:
    for option, names in (
        ("label", [args.label]),
        ("patient", [args.patient]),
        ("metadata", args.metadata),
    ):
        for name in names:
            if name not in table:
                raise Usage(f"--{option}: the table has no column {name!r}")
    if table[args.patient].isna().all():
        raise Usage(
            f"no cell has a patient in column {args.patient!r}: read the folder as its data set "
            "(--dataset), or name the patients in a CSV"
        )
    if table[args.label].isna().all():
        raise Usage(f"no cell has a label in column {args.label!r}")
