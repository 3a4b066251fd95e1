"""``hemafeat compare --level patient``: one verdict per patient, from images or cells to a page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemafeat._files import write_table
from hemafeat.cli import _arguments, _inputs, _output
from hemafeat.cli._audit import audited
from hemafeat.cli._errors import Usage

if TYPE_CHECKING:
    import pandas as pd

    from hemafeat.evaluate import PatientComparison

EXAMPLE = """\
  hemafeat compare cohort/ --dataset lymphocytosis --level patient --out result/
      one verdict per patient, beside what bag size and attributes alone would say
  hemafeat compare result/features --level patient --save-model verdict.hemafeat
      the best model, fitted on all patients with a label, for hemafeat predict"""

_NOT_HERE = ("pixels",)


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
    if args.save_model is not None:
        _output.in_folder(Path(args.save_model), "--save-model")
    for path in args.input:
        if not Path(path).exists():
            raise Usage(f"{path}: no such file or folder")
    table, listed = _inputs.table(args)
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
        protocol=args.split,
        n_splits=args.folds,
        metadata=args.metadata or None,
        positive=args.positive,
        n_boot=args.resamples,
        importance=not args.no_importance,
        random_state=args.seed,
        n_jobs=_arguments.workers(args),
        progress=_arguments.progress(args),
    )
    comparison.save(out)
    write_table(comparison.results, out / "results.csv")
    if len(comparison.verdicts):
        write_table(comparison.verdicts, out / "verdicts.csv")
    audit, probes = audited(table, listed, args) if args.audit else (None, None)
    _arguments.say(args, "writing the page ...")
    page = report.page(
        comparison,
        out / "page.html",
        table=table,
        images=listed,
        segmenter=_inputs.segmenter(args),
        masks=_inputs.masks(args) if args.masks != "given" or listed is not None else None,
        title=args.title or "Comparison of verdicts on patients",
        command=command,
        audit=audit,
        probes=probes,
    )
    print(_output.scores(comparison))
    if args.save_model is not None:
        print(save_best(comparison, table, args))
    print(page)


def save_best(comparison: PatientComparison, table: pd.DataFrame, args: argparse.Namespace) -> str:
    """Fit the best model on every labelled patient and save it; what was done, in words."""
    from hemafeat import extract, pipelines

    ranked = comparison.ranked(baselines=True)
    chosen = next(iter(comparison.ranked()), None)
    if chosen is None:
        raise Usage("--save-model: none of the models compared looks at the cells")
    told = [str(name) for name in comparison.patients.columns]
    attributes = [name for name in told if name not in ("patient", "label", "n_cells")]
    known = table[table[args.label].notna() & table[args.patient].notna()]
    known = known.sort_values(["image", "cell"], key=lambda column: column.map(str), kind="stable")
    rows = pipelines.bags(known, patient=args.patient, label=args.label, attributes=attributes)
    model = pipelines.make_patient(chosen, random_state=args.seed)
    model.fit(rows, rows["label"].astype(str).to_numpy(dtype=object))
    one_each = not known["image"].map(str).duplicated().any()
    measured = {"cells": "central" if one_each else args.cells}
    for name in ("stain", "to_um_per_px"):
        if getattr(args, name) is not None:
            measured[name] = str(getattr(args, name))
    pipelines.save(
        model,
        args.save_model,
        units=extract.units(table),
        note=f"best of a comparison. {comparison.protocol}",
        patient=args.patient,
        measured=measured,
    )
    words = f"{chosen}, fitted on all {len(rows)} patients with a label: {args.save_model}"
    if ranked[0] != chosen:
        words += (
            f"\nIt scores below {ranked[0]}, which looks at no cell: do not trust its verdicts."
        )
    return words


def _models(args: argparse.Namespace) -> Any:
    from hemafeat import pipelines

    if not args.models:
        return None
    known = pipelines.patient_names(attributes=True, deep=True, images=True)
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
