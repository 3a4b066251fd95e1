"""``hemafeat compare``: models on held-out groups, a summary and a page."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemafeat._files import write_table
from hemafeat.cli import _arguments, _deep, _inputs, _output, _patients, _studies
from hemafeat.cli._audit import audited
from hemafeat.cli._errors import Usage

if TYPE_CHECKING:
    import pandas as pd

    from hemafeat.evaluate import Comparison

DESCRIPTION = """\
Compare classifiers on cells they have not seen, of patients (or other groups) they have
not seen. Prints every model with intervals, writes the predictions and a page."""

EXAMPLES = """\
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
      what a trained network sees in the images, classified by XGBoost
  hemafeat compare features/ --models svc lenet5 --epochs 20
      a network trained on the images beside a model on features
  hemafeat compare features/ --models svc --save-model svc.hemafeat"""


_EXAMPLES = f"{EXAMPLES}\n{_studies.EXAMPLES}\n{_patients.EXAMPLE}"


def add(commands: Any) -> None:
    """Add the command."""
    parser = _arguments.command(
        commands, "compare", run, "models on held-out groups, and a page", DESCRIPTION, _EXAMPLES
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
        help="what must not be on both sides; default: group (patient, else copies of an image)",
    )
    _studies.add(parser)
    parser.add_argument("--models", nargs="+", metavar="NAME", help="all of them by default")
    parser.add_argument("--folds", type=_folds, default=5, metavar="N", help="default: 5")
    parser.add_argument(
        "--metadata",
        nargs="+",
        default=[],
        metavar="COLUMN",
        help="attributes (age, counts) for a model of these alone, to be beaten",
    )
    parser.add_argument(
        "--rare",
        choices=("error", "drop"),
        default="error",
        help="what to do with a class of fewer groups than folds",
    )
    parser.add_argument(
        "--resamples", type=_arguments.positive, default=1000, metavar="N", help="of the intervals"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--pixels", action="store_true", help="add a forest on grey pixels")
    parser.add_argument(
        "--audit", action="store_true", help="look for leaks too, in a section of the page"
    )
    parser.add_argument("--no-importance", action="store_true", help="skip what features matter")
    parser.add_argument(
        "--out", default="hemafeat-comparison", metavar="DIR", help="default: hemafeat-comparison"
    )
    parser.add_argument("--title", metavar="TEXT", help="heading of the page")
    parser.add_argument(
        "--save-model", metavar="FILE", help="fit the best model on all cells and save it"
    )
    _patients.add(parser)
    _arguments.add_images(parser)
    _deep.add_embeddings(parser)
    _deep.add_networks(parser)
    _arguments.add_jobs(parser)


def _folds(text: str) -> int:
    value = _arguments.positive(text)
    if value < 2:
        raise argparse.ArgumentTypeError("at least 2 folds are needed")
    return value


def run(args: argparse.Namespace) -> None:
    """Measure if need be, compare, print, write."""
    from hemafeat import report

    out = _folder(args.out)
    if args.level == "patient":
        _studies.not_of_patients(args)
        _patients.run(args, out, _command(args))
        return
    models = _models(args)
    _studies.check(args)
    if args.save_model is not None:
        _output.in_folder(Path(args.save_model), "--save-model")
    for path in args.input:
        if not Path(path).exists():
            raise Usage(f"{path}: no such file or folder")
    table, listed = _inputs.table(args)
    _check_columns(table, args)
    if listed is not None:
        out.mkdir(parents=True, exist_ok=True)
        _keep(table, out / "features")
    made = _deep.made(models, args)
    comparison = compared(table, made, args)
    comparison.save(out)
    write_table(comparison.results, out / "results.csv")
    studies = _studies.made(table, made, args, out)
    audit, probes = audited(table, listed, args) if args.audit else (None, None)
    _arguments.say(args, "writing the page ...")
    page = report.page(
        comparison,
        out / "page.html",
        table=table,
        images=listed,
        segmenter=_inputs.segmenter(args),
        masks=_inputs.masks(args) if args.masks != "given" or listed is not None else None,
        title=args.title,
        command=_command(args),
        audit=audit,
        probes=probes,
        studies=studies,
    )
    print(_output.scores(comparison))
    if args.save_model is not None:
        name = save_best(comparison, table, Path(args.save_model), args.label, made)
        print(f"{name}, fitted on all cells: {args.save_model}")
    print(page)


def compared(table: pd.DataFrame, models: Any, args: argparse.Namespace) -> Comparison:
    """The comparison that the arguments ask for."""
    from hemafeat import evaluate

    _arguments.say(args, f"comparing {', '.join(models)} on {len(table)} cells ...")
    return evaluate.compare(
        models,
        table,
        label=args.label,
        groups=args.group,
        protocol=_studies.protocol(args),
        n_splits=args.folds,
        metadata=args.metadata,
        rare=args.rare,
        n_boot=args.resamples,
        random_state=args.seed,
        importance=not args.no_importance,
        n_jobs=_arguments.workers(args),
        progress=_arguments.progress(args),
    )


def save_best(
    comparison: Comparison, table: pd.DataFrame, path: Path, label: str, made: Any = ()
) -> str:
    """Fit the best model on every labelled cell, and save it."""
    from hemafeat import extract, pipelines
    from hemafeat.pipelines._inspect import FEATURES, GROUPS, IMAGES, reads

    name = _output.best_model(comparison)
    known = table[table[label].notna()]
    model = made[name] if isinstance(made, Mapping) else pipelines.make(name)
    wanted = reads(model)
    columns = ["image"] if IMAGES in wanted else []
    columns += ["group"] if GROUPS in wanted and "group" in known else []
    columns += extract.feature_columns(known) if FEATURES in wanted else []
    model.fit(known[columns], known[label].astype(str).to_numpy(dtype=object))
    note = f"best of a comparison. {comparison.protocol}"
    pipelines.save(model, path, units=extract.units(table), note=note)
    return name


def _models(args: argparse.Namespace) -> list[str]:
    from hemafeat import pipelines

    known = pipelines.names(images=True, deep=True)
    asked = args.models or pipelines.names()
    names = [name for words in asked for name in words.split(",") if name]
    names = [_deep.model_name(name, args) for name in names]
    for name in names:
        if _deep.is_embedding(name):
            _deep.check(name)
        elif name not in known:
            raise Usage(f"--models: no model {name!r}; there are: {', '.join(known)}")
    if args.pixels:
        names.append("grey_pixels")
    return list(dict.fromkeys(names))


def _folder(text: str) -> Path:
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise Usage(f"--out: {path} is a file")
    marks = ("comparison.json", "results.csv", "features")
    if path.is_dir() and any(path.iterdir()) and not any((path / name).exists() for name in marks):
        raise Usage(f"--out: {path} is not empty and holds no earlier comparison")
    return path


def _check_columns(table: pd.DataFrame, args: argparse.Namespace) -> None:
    for option, names in (("label", [args.label]), ("group", [args.group])):
        for name in names:
            if name not in table:
                raise Usage(f"--{option}: the table has no column {name!r}")
    for name in args.metadata:
        if name not in table:
            raise Usage(f"--metadata: the table has no column {name!r}")
    if table[args.label].isna().all():
        raise Usage(
            f"no cell has a label in column {args.label!r}: labels come from one sub-folder per "
            'class, or a column "label" of a CSV'
        )


def _keep(table: pd.DataFrame, folder: Path) -> None:
    from hemafeat import extract

    extract.save(table, folder, {"made_by": "hemafeat compare"})


def _command(args: argparse.Namespace) -> str:
    """The command as it could be typed again; defaults are left out."""
    words = ["hemafeat", "compare", *args.input]
    for name, option in (
        ("dataset", "--dataset"),
        ("label", "--label"),
        ("level", "--level"),
        ("patient", "--patient"),
        ("positive", "--positive"),
        ("group", "--group"),
        ("split", "--protocol"),
        ("folds", "--folds"),
        ("rare", "--rare"),
        ("resamples", "--resamples"),
        ("seed", "--seed"),
        ("segmenter", "--segmenter"),
        ("masks", "--masks"),
        ("cells", "--cells"),
        ("um_per_px", "--um-per-px"),
        ("stain", "--stain"),
        ("stain_reference", "--stain-reference"),
        ("to_um_per_px", "--to-um-per-px"),
        ("weights", "--weights"),
        ("epochs", "--epochs"),
        ("image_size", "--image-size"),
    ):
        value = getattr(args, name)
        if value is not None and value != _DEFAULTS.get(name):
            words += [option, str(value)]
    for name in ("models", "metadata", "embedding"):
        if getattr(args, name):
            words += [f"--{name}", *getattr(args, name)]
    if args.families != ["default"]:
        words += ["--families", *args.families]
    if args.streams != ["rgb_cell"]:
        words += ["--streams", *args.streams]
    words += ["--pixels"] * args.pixels + ["--no-importance"] * args.no_importance
    words += ["--audit"] * args.audit + _studies.words(args)
    return shlex.join([*words, "--out", args.out])


_DEFAULTS = {
    "label": "label",
    "level": "cell",
    "patient": "patient",
    "group": "group",
    "split": "grouped",
    "folds": 5,
    "rare": "error",
    "resamples": 1000,
    "seed": 0,
    "segmenter": "contours",
    "cells": "auto",
}
