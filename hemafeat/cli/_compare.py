"""``hemafeat compare``: models on held-out groups, a summary and a page."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemafeat._files import write_table
from hemafeat.cli import _arguments, _deep, _inputs, _output, _studies
from hemafeat.cli._audit import audit_and_probes
from hemafeat.cli._errors import Usage

if TYPE_CHECKING:
    import pandas as pd

    from hemafeat.evaluate import Comparison

DESCRIPTION = """\
Compare classifiers on cells they have not seen, of patients (or other groups) they have
not seen. Prints the scores of every model with their intervals, writes the predictions
and a page."""

EXAMPLES = f"""\
  hemafeat compare features/ --out result/
      the table of hemafeat extract; result/ gets the comparison and page.html
  hemafeat compare cells/ --out result/
      images: they are measured first, into result/features
  hemafeat compare features/ --models svc xgboost --folds 10 --group patient
  hemafeat compare features/ --protocol image-random
      ignores groups, as published numbers often do; marked leaky everywhere
  hemafeat compare features/ --pixels
      a forest on grey pixels beside the models on features
  hemafeat compare features/ --models svc embedding:InceptionV3+xgboost
      the embedding of a pretrained network, classified by XGBoost
  hemafeat compare features/ --models svc lenet5 --epochs 20
      a network trained on the images beside a model on features
  hemafeat compare features/ --models svc --save-model svc.hemafeat
{_studies.EXAMPLES}
  hemafeat compare cohort/ --dataset lymphocytosis --level patient --out result/
      one verdict per patient, beside models of the bag size and of attributes alone
  hemafeat compare result/features --level patient --save-model verdict.hemafeat
      the best model, fitted to all labelled patients, for hemafeat predict"""

MARKS = ("comparison.json", "results.csv", "features")


def add(commands: Any) -> None:
    """Add the command."""
    parser = _arguments.add_command(
        commands, "compare", run, "models on held-out groups, and a page", DESCRIPTION, EXAMPLES
    )
    parser.add_argument(
        "input",
        nargs="+",
        metavar="INPUT",
        help="a table of hemafeat extract, or images (folder, CSV, files)",
    )
    parser.add_argument("--label", default="label", metavar="COLUMN", help="column of the labels")
    parser.add_argument(
        "--group",
        default="group",
        metavar="COLUMN",
        help="column of the groups that are never on both sides of a split; default: group (the "
        "patient, or else copies of one image)",
    )
    parser.add_argument(
        "--level",
        choices=("cell", "patient"),
        default="cell",
        help="classify single cells, or each patient from all of the patient's cells",
    )
    parser.add_argument(
        "--patient",
        default="patient",
        metavar="COLUMN",
        help="with --level patient: column of the patients; default: patient",
    )
    parser.add_argument(
        "--positive",
        metavar="LABEL",
        help="with --level patient: class for which the contributions of cells are shown",
    )
    _studies.add(parser)
    parser.add_argument(
        "--models", nargs="+", metavar="NAME", help="models to compare; default: all of them"
    )
    parser.add_argument(
        "--folds", type=_n_folds, default=5, metavar="N", help="number of folds; default: 5"
    )
    parser.add_argument(
        "--metadata",
        nargs="+",
        default=[],
        metavar="COLUMN",
        help="columns of attributes (age, counts) for a baseline model of these alone",
    )
    parser.add_argument(
        "--rare",
        choices=("error", "drop"),
        default="error",
        help="what to do with a class that has fewer groups than there are folds",
    )
    parser.add_argument(
        "--n-boot",
        type=_arguments.positive_int,
        default=1000,
        metavar="N",
        help="number of bootstrap samples for the intervals; default: 1000",
    )
    parser.add_argument(
        "--resamples",
        dest="n_boot",
        type=_arguments.positive_int,
        action=_arguments.FormerName,
        current="--n-boot",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of folds, models and intervals"
    )
    parser.add_argument("--pixels", action="store_true", help="add a forest on grey pixels")
    parser.add_argument(
        "--audit", action="store_true", help="also search for leaks, in a section of the page"
    )
    parser.add_argument(
        "--no-importance", action="store_true", help="skip the importance of the features"
    )
    parser.add_argument(
        "--out",
        default="hemafeat-comparison",
        metavar="DIR",
        help="folder to write; default: hemafeat-comparison",
    )
    parser.add_argument("--title", metavar="TEXT", help="heading of the page")
    parser.add_argument(
        "--save-model", metavar="FILE", help="fit the best model to all labelled rows and save it"
    )
    _arguments.add_images(parser)
    _deep.add_embeddings(parser)
    _deep.add_networks(parser)
    _arguments.add_jobs(parser)


def _n_folds(text: str) -> int:
    value = _arguments.positive_int(text)
    if value < 2:
        raise argparse.ArgumentTypeError("at least 2 folds are needed")
    return value


def run(args: argparse.Namespace) -> None:
    """Measure the cells if necessary, compare the models, print and write the results."""
    from hemafeat import evaluate, extract, report

    out = _output.result_folder(args.out, "comparison", MARKS)
    _studies.check(args)
    names = _model_names(args)
    if args.save_model is not None:
        _output.in_existing_folder(Path(args.save_model), "--save-model")
    for path in args.input:
        if not Path(path).exists():
            raise Usage(f"{path}: no such file or folder")
    table, listed = _inputs.table(args)
    _check_columns(table, args)
    if listed is not None:
        out.mkdir(parents=True, exist_ok=True)
        extract.save(table, out / "features", {"made_by": "hemafeat compare"})
    models = _deep.models(names, args)
    comparison = compare(models, table, args)
    comparison.save(out)
    write_table(comparison.results, out / "results.csv")
    if isinstance(comparison, evaluate.PatientComparison) and len(comparison.verdicts):
        write_table(comparison.verdicts, out / "verdicts.csv")
    studies = _studies.run(table, models, args, out)
    audit, probes = audit_and_probes(table, listed, args) if args.audit else (None, None)
    _arguments.say(args, "writing the page ...")
    page = report.page(
        comparison,
        out / "page.html",
        table=table,
        images=listed,
        segmenter=_inputs.segmenter(args),
        masks=_inputs.masks(args) if args.masks != "given" or listed is not None else None,
        title=args.title,
        command=_output.typed_command(args),
        audit=audit,
        probes=probes,
        studies=studies,
    )
    print(_output.scores(comparison))
    if args.save_model is not None:
        print(save_best(comparison, models, table, args))
    print(page)


def compare(models: Any, table: pd.DataFrame, args: argparse.Namespace) -> Comparison:
    """Compare the models at the level that the arguments ask for."""
    from hemafeat import evaluate

    options: dict[str, Any] = {
        "label": args.label,
        "protocol": _studies.protocol(args),
        "n_splits": args.folds,
        "rare": args.rare,
        "n_boot": args.n_boot,
        "random_state": args.seed,
        "importance": not args.no_importance,
        "n_jobs": _arguments.jobs(args),
        "progress": _arguments.progress(args),
    }
    if args.level == "patient":
        n_patients = table[args.patient].nunique()
        _arguments.say(args, f"comparing models of {n_patients} patients on {len(table)} cells ...")
        return evaluate.compare_patients(
            models,
            table,
            patient=args.patient,
            metadata=args.metadata or None,
            positive=args.positive,
            **options,
        )
    _arguments.say(args, f"comparing {', '.join(models)} on {len(table)} cells ...")
    return evaluate.compare(models, table, groups=args.group, metadata=args.metadata, **options)


def save_best(
    comparison: Comparison, models: Any, table: pd.DataFrame, args: argparse.Namespace
) -> str:
    """Fit the best model that looks at the cells to all labelled rows, save it, and describe it."""
    from hemafeat import extract, pipelines

    ranked = comparison.ranked()
    if not ranked:
        raise Usage("--save-model: none of the models compared looks at the cells")
    name = ranked[0]
    if isinstance(models, Mapping):
        model = models[name]
    else:
        model = pipelines.make(name, unit=comparison.unit, random_state=args.seed)
    if comparison.unit == "patient":
        n_rows, how_measured = _fit_to_patients(model, comparison, table, args)
    else:
        n_rows, how_measured = _fit_to_cells(model, table, args), {}
    pipelines.save(
        model,
        args.save_model,
        units=extract.units(table),
        note=f"best of a comparison. {comparison.protocol}",
        **how_measured,
    )
    text = f"{name}, fitted to all {n_rows} {comparison.unit}s with a label: {args.save_model}"
    first = comparison.ranked(baselines=True)[0]
    if first != name:
        text += (
            f"\nIt scores below {first}, which ignores the cells: do not rely on its predictions."
        )
    return text


def _fit_to_cells(model: Any, table: pd.DataFrame, args: argparse.Namespace) -> int:
    """Fit a model to every labelled cell, and return their number."""
    from hemafeat import extract, pipelines

    labelled = table[table[args.label].notna()]
    inputs = pipelines.looks_at(model)
    columns = ["image"] if "images" in inputs else []
    columns += ["group"] if "groups" in inputs and "group" in labelled else []
    columns += extract.feature_columns(labelled) if "features" in inputs else []
    model.fit(labelled[columns], labelled[args.label].astype(str).to_numpy(dtype=object))
    return len(labelled)


def _fit_to_patients(
    model: Any, comparison: Any, table: pd.DataFrame, args: argparse.Namespace
) -> tuple[int, dict[str, Any]]:
    """Fit a model to every labelled patient; return their number and what to save with it."""
    from hemafeat import pipelines

    columns = map(str, comparison.patients.columns)
    attributes = [name for name in columns if name not in ("patient", "label", "n_cells")]
    cells = table[table[args.label].notna() & table[args.patient].notna()]
    cells = cells.sort_values(["image", "cell"], key=lambda column: column.map(str), kind="stable")
    rows = pipelines.bags(cells, patient=args.patient, label=args.label, attributes=attributes)
    model.fit(rows, rows["label"].astype(str).to_numpy(dtype=object))
    one_per_image = not cells["image"].map(str).duplicated().any()
    measured = {"cells": "central" if one_per_image else args.cells}
    for option in ("normalise", "to_um_per_px"):
        if getattr(args, option) is not None:
            measured[option] = str(getattr(args, option))
    return len(rows), {"patient": args.patient, "measured": measured}


def _model_names(args: argparse.Namespace) -> Any:
    """Return the names of the models, checked; None for all models of patients."""
    from hemafeat import pipelines

    if args.level == "patient":
        if args.pixels:
            raise Usage("--pixels cannot be combined with --level patient")
        if not args.models:
            return None
        known = pipelines.patient_names(attributes=True, deep=True, images=True)
        names = _arguments.split_names(args.models)
    else:
        known = pipelines.names(images=True, deep=True)
        names = _arguments.split_names(args.models or pipelines.names())
        names = [_deep.with_weights(name, args) for name in names]
    for name in names:
        if args.level == "cell" and (_deep.is_embedding(name) or _deep.is_network(name)):
            _deep.check(name, args)
        elif name not in known:
            noun = "model of patients" if args.level == "patient" else "model"
            raise Usage(f"--models: there is no {noun} {name!r}; choose from: {', '.join(known)}")
    if args.pixels:
        names.append("grey_pixels")
    return list(dict.fromkeys(names))


def _check_columns(table: pd.DataFrame, args: argparse.Namespace) -> None:
    of_group = ("patient", args.patient) if args.level == "patient" else ("group", args.group)
    options = [("label", args.label), of_group, *(("metadata", name) for name in args.metadata)]
    for option, column in options:
        if column not in table:
            raise Usage(f"--{option}: the table has no column {column!r}")
    if table[args.label].isna().all():
        raise Usage(
            f"no cell has a label in column {args.label!r}: labels come from one sub-folder per "
            'class, or from the column "label" of a CSV file'
        )
    if args.level == "patient" and table[args.patient].isna().all():
        raise Usage(
            f"no cell has a patient in column {args.patient!r}: read the folder as its data set "
            "(--dataset), or name the patients in a CSV file"
        )
