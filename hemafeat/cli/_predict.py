"""``hemafeat predict``: a saved model on new cells."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemafeat._files import write_table
from hemafeat.cli import _arguments, _deep, _errors, _inputs, _output
from hemafeat.cli._arguments import plural
from hemafeat.cli._errors import Usage

if TYPE_CHECKING:
    import pandas as pd

    from hemafeat.pipelines import Model


from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from hemafeat.pipelines import PatientModel

DESCRIPTION = """\
Classify cells, or judge patients, with a model that hemafeat compare --save-model (or
pipelines.save) wrote. A model of patients gives one row per patient.
A table whose columns or units do not fit the model is refused. It is a research tool:
nothing it prints is a diagnosis."""

EXAMPLES = """\
  hemafeat predict svc.hemafeat new_cells/ --out predictions.csv
      images are measured first, with the families the model needs
  hemafeat predict svc.hemafeat features/ --out predictions.parquet
      the table of hemafeat extract
  hemafeat predict model.hemafeat cohort/ --dataset lymphocytosis --unlabelled --out v.csv
      a model of compare --level patient: verdicts on the patients without a label"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = _arguments.command(
        commands, "predict", run, "a saved model on new cells", DESCRIPTION, EXAMPLES
    )
    parser.add_argument("model", metavar="MODEL", help="a file of hemafeat compare --save-model")
    parser.add_argument(
        "input",
        nargs="+",
        metavar="INPUT",
        help="a table of hemafeat extract, or images (folder, CSV, files)",
    )
    parser.add_argument(
        "--unlabelled", action="store_true", help="only what has no label; the rest is left out"
    )
    parser.add_argument("--out", required=True, metavar="FILE", help=".csv or .parquet")
    _arguments.add_images(parser)
    _deep.add_embeddings(parser, columns=False)
    parser.set_defaults(families=[])
    _arguments.add_jobs(parser)


def run(args: argparse.Namespace) -> None:
    """Measure if need be, predict, write."""
    from hemafeat import extract, pipelines

    out = _output.table_file(args.out)
    if not Path(args.model).is_file():
        raise Usage(f"{args.model}: no such file")
    model = pipelines.load(args.model)
    keep = _without_label if args.unlabelled else None
    judges = isinstance(model, pipelines.PatientModel)
    if isinstance(model, pipelines.PatientModel):
        as_measured(model, args)
    listed = None
    if model.columns == ["image"] or (judges and not model.columns):
        _deep.moved(model.pipeline, args)
        table = listed = _inputs.images(args.input, args.dataset)
        if keep is not None:
            table = listed = keep(listed)
    else:
        # The model knows what it needs; nothing else is measured.
        args.families = args.families or _families(model, args)
        table, listed = _inputs.table(args, keep)
    if isinstance(model, pipelines.PatientModel):
        found = verdicts(model, table, listed)
        what = plural(len(found), "patient")
    else:
        found = predictions(model, table)
        what = f"{plural(len(found), 'cell')} of {plural(found['image'].nunique(), 'image')}"
    write_table(found, out)
    counts = found["predicted"].value_counts()
    print(f"{what}:")
    for name in sorted(counts.index, key=lambda name: (-counts[name], name)):
        print(f"  {name:<24} {counts[name]:>7}")
    if judges and found["predicted"].isna().any():
        print(f"  {'no verdict':<24} {found['predicted'].isna().sum():>7}")
    n_errors = len(extract.errors(table))
    if n_errors:
        print(
            f"{plural(n_errors, 'error')}: those cells have no prediction; the first is "
            f"{_inputs.first_error(table)}"
        )
    print(out)


def _without_label(table: pd.DataFrame) -> pd.DataFrame:
    kept = table[table["label"].isna()] if "label" in table else table
    if kept.empty:
        raise Usage("--unlabelled: everything has a label")
    return kept.reset_index(drop=True)


def predictions(model: Model, table: pd.DataFrame) -> pd.DataFrame:
    """``image, cell, label`` (where known), ``predicted`` and ``p__<class>``, one row per cell."""
    import pandas as pd

    from hemafeat import extract

    # A table read from a file holds its units; one of images has none.
    units = extract.units(table) if model.columns != ["image"] else None
    model.check(table, units)
    found = pd.DataFrame({"image": table["image"].map(str)})
    found["cell"] = table.get("cell", 1)
    if "label" in table and table["label"].notna().any():
        found["label"] = table["label"]
    found["predicted"] = model.predict(table)
    if hasattr(model.pipeline, "predict_proba"):
        chances = model.predict_proba(table)
        for place, name in enumerate(model.classes):
            found[f"p__{name}"] = chances[:, place]
    return found


def _families(model: Model, args: argparse.Namespace) -> list[str]:
    from hemafeat import extract

    needed = _deep.need(model.columns, args)
    known = extract.families()
    missing = [name for name in needed if name not in known]
    if missing or not (needed or args.needed):
        what = f"families that are not installed: {', '.join(missing)}"
        raise _errors.Failure(
            f"{model.name} needs {what if missing else 'columns that hemafeat does not measure'}; "
            "give it a table instead"
        )
    return needed


def as_measured(model: PatientModel, args: argparse.Namespace) -> None:
    """Measure cells as those the model was fitted on, where nothing else is asked for."""
    told = model.measured
    if args.cells == "auto" and "cells" in told:
        # Or every cell of an image without a label would count, of one with a label the central.
        args.cells = told["cells"]
    if args.stain is None and "stain" in told:
        args.stain = told["stain"]
    if args.to_um_per_px is None and "to_um_per_px" in told:
        args.to_um_per_px = float(told["to_um_per_px"])


def verdicts(model: PatientModel, table: pd.DataFrame, listed: pd.DataFrame | None) -> pd.DataFrame:
    """``patient, n_cells, label`` (where known), ``predicted`` and ``p__<class>`` of each patient.

    A patient of whom no cell could be measured stands at the end, without a verdict.
    """
    import pandas as pd

    found = model.verdicts(table)
    if listed is not None and model.patient in listed:
        everyone = sorted(set(listed[model.patient].dropna().astype(str)))
        lost = [name for name in everyone if name not in set(found["patient"])]
        if lost:
            more = pd.DataFrame({"patient": lost, "n_cells": 0})
            found = pd.concat([found, more], ignore_index=True)
    if "label" in table and table["label"].notna().any():
        known = table[table["label"].notna() & table[model.patient].notna()]
        labels = dict(zip(known[model.patient].astype(str), known["label"], strict=True))
        found.insert(2, "label", found["patient"].map(labels))
    return found
