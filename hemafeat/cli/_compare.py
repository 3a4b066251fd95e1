"""``hemafeat compare``: models on held-out groups, a summary and a page."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemafeat._files import write_table
from hemafeat._words import no_column, plain, shortened, suggestion
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
      images: they are measured first, into result/features; the same command continues
      where it was interrupted
  hemafeat compare features/ --models svc xgboost --folds 10 --group patient
  hemafeat compare features/ --protocol image-random
      ignores groups, as published numbers often do; marked leaky everywhere
  hemafeat compare features/ --pixels
      a forest on grey pixels beside the models on features
  hemafeat compare features/ --models svc embedding:InceptionV3+xgboost
      the embedding of a pretrained network, classified by XGBoost
  hemafeat compare features/ --models svc lenet5 --epochs 20
      a network trained on the images beside a model on features
  hemafeat compare features/ --models vgg16_head fine_tuned:vgg16_head/dense_1+svc \\
          --weights imagenet --set last_layers=block4_conv1 learning_rate=1e-4
      a pretrained network whose last layers are trained, and an SVC on a layer of it
  hemafeat compare cells/ --models lenet5 --protocol leaky-ufsc --parts train validation
      networks alone: nothing is measured, and every image is scored; a published split
      with its validation part
  hemafeat compare features/ --edits edits.csv
      with the labels that were changed on the page of hemafeat explore
  hemafeat compare features/ --models svc --save-model svc.hemafeat
  hemafeat compare features/ --models svc --selective 0.95 --save-model svc.hemafeat
      calibrated probabilities, sets of classes, and refused cells
{_studies.EXAMPLES}
  hemafeat compare cohort/ --dataset lymphocytosis --level patient --out result/
      one verdict per patient, beside models of the bag size and of attributes alone
  hemafeat compare result/features --level patient --save-model verdict.hemafeat
      the best model, fitted to all labelled patients, for hemafeat predict"""

FITS = "fits"
"""Folder of the fits that are finished, until the comparison is complete."""

MARKS = ("comparison.json", "results.csv", "features", FITS)

STUDY_FILES = (
    "verdicts.csv",
    "searches.csv",
    "per_dataset.csv",
    "answers.csv",
    "leakage.csv",
    "learning_curve.csv",
    "class_drop.csv",
    "resampling.csv",
)
"""Files that only some comparisons have; those of an earlier one are removed."""


def add(commands: Any) -> None:
    """Add the command."""
    parser = _arguments.add_command(
        commands, "compare", run, "models on held-out groups, and a page", DESCRIPTION, EXAMPLES
    )
    parser.add_argument(
        "input",
        nargs="+",
        metavar="INPUT",
        help="a table of hemafeat extract (or several, of different laboratories), or images "
        "(folder, CSV, files)",
    )
    parser.add_argument("--label", default="label", metavar="COLUMN", help="column of the labels")
    parser.add_argument(
        "--group",
        default="group",
        metavar="COLUMN",
        help="column of the groups that are never on both sides of a split; default: group (the "
        "patient, or else copies of one image)",
    )
    _arguments.add_edits(parser)
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
        "--seed",
        type=_arguments.seed,
        default=0,
        metavar="N",
        help="seed of folds, models and intervals",
    )
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=("train", "validation", "test"),
        metavar="PART",
        help="parts to score in part_scores.csv and on the page: train, validation, test; default: "
        "the test part, and the validation part if the protocol has one",
    )
    parser.add_argument(
        "--selective",
        nargs="?",
        type=_share,
        const=0.95,
        metavar="COVERAGE",
        help="calibrate the probabilities of every model on inner folds, give sets of classes that "
        "hold the true one with this coverage (default: 0.95), and refuse cells that are unlike "
        "those trained on or of which the set is not one class",
    )
    parser.add_argument("--pixels", action="store_true", help="add a forest on grey pixels")
    parser.add_argument(
        "--audit", action="store_true", help="also search for leaks, in a section of the page"
    )
    parser.add_argument(
        "--no-importance", action="store_true", help="skip the importance of the features"
    )
    parser.add_argument(
        "--importance",
        type=_arguments.positive_int,
        default=50_000,
        metavar="N",
        help="number of predictions of each model that are spent on the importance of the "
        "features; default: 50000",
    )
    parser.add_argument(
        "--out",
        default="hemafeat-comparison",
        metavar="DIR",
        help="folder to write; default: hemafeat-comparison",
    )
    parser.add_argument("--title", metavar="TEXT", help="heading of the page")
    parser.add_argument(
        "--explain",
        action="store_true",
        help="say on the page why the best model takes the cells that it classifies wrongly for "
        "what it does, by Shapley values; needs shap",
    )
    parser.add_argument(
        "--mlflow",
        nargs="?",
        const="default",
        metavar="URI",
        help="also log scores, tables and page to MLflow, at this tracking URI or at that of "
        "MLFLOW_TRACKING_URI",
    )
    parser.add_argument(
        "--save-model", metavar="FILE", help="fit the best model to all labelled rows and save it"
    )
    _arguments.add_restart(parser, "comparison (and the file of --save-model)")
    _arguments.add_images(parser)
    _deep.add_embeddings(parser)
    _deep.add_networks(parser)
    _arguments.add_jobs(parser)


def _n_folds(text: str) -> int:
    value = _arguments.positive_int(text)
    if value < 2:
        raise argparse.ArgumentTypeError("at least 2 folds are needed")
    return value


def _share(text: str) -> float:
    value = _arguments.number(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share between 0 and 1, such as 0.95")
    return value


def run(args: argparse.Namespace) -> None:
    """Measure the cells if necessary, compare the models, print and write the results."""
    from hemafeat import report

    out = _output.result_folder(args.out, "comparison", MARKS, args.input)
    if args.mlflow is not None:
        _inputs.need("--mlflow", "mlflow")
    if args.explain:
        if args.level == "patient":
            raise Usage("--explain is of single cells; verdicts on patients show their cells")
        _inputs.need("--explain", "shap")
    settings = _output.settings(args)
    _studies.check(args)
    names = _model_names(args)
    _deep.check_options(names, args)
    _inputs.check_measuring(args)
    if (out / MARKS[0]).exists():
        _output.keep_earlier(out, "comparison", args, same=False)
    _check_model_file(names, args)
    for path in args.input:
        if not Path(path).exists():
            raise Usage(f"{path}: no such file or folder")
    _inputs.check_edits(args)

    def checked(rows: pd.DataFrame) -> pd.DataFrame:
        # Before the cells are measured, which takes long.
        _check_columns(rows, args)
        return rows

    reading = _read(names, args)
    if "features" in reading or _inputs.is_table(args):
        # Measured shard by shard, so that the same command continues where it is interrupted.
        cells, listed = _inputs.table(args, checked, out / "features")
        if listed is not None:
            _check_columns(cells, args)
        table = cells
        if listed is not None and args.level == "cell" and "images" in reading:
            table = _with_unmeasured(cells, listed, args)
        table, cells = _inputs.edited(table, args), _inputs.edited(cells, args)
        if args.edits:
            _check_columns(table, args)
    else:
        _inputs.check_unmeasured(args)
        table = listed = checked(
            _inputs.images(args.input, args.dataset, keep_dates=args.keep_dates)
        )
        table = _inputs.edited(table, args)
        if args.edits:
            _check_columns(table, args)
        cells = None
    models = _selective(_deep.models(names, args), args)
    comparison = compare(models, table, args, keep=out / FITS)
    for name in STUDY_FILES:
        (out / name).unlink(missing_ok=True)
    comparison.save(out)
    _output.save_settings(out, settings)
    comparison.save_csv(out, cells)
    answers = comparison.answers()
    for name, frame in (("per_dataset", comparison.per_dataset()), ("answers", answers)):
        if len(frame):
            write_table(frame, out / f"{name}.csv")
    studies = _studies.run(table, models, args, out)
    audit, probes = audit_and_probes(table, listed, args) if args.audit else (None, None)
    if args.explain:
        _arguments.say(args, "explaining mistakes ...")
    reasons = _reasons(comparison, table) if args.explain else None
    _arguments.say(args, "writing the page ...")
    page = report.page(
        comparison,
        out / "page.html",
        table=cells,
        images=listed,
        segmenter=_inputs.segmenter(args),
        masks=_inputs.masks(args) if args.masks != "given" or listed is not None else None,
        mask_kind=args.mask_kind,
        title=args.title,
        command=_output.typed_command(args),
        audit=audit,
        probes=probes,
        studies=studies,
        reasons=reasons,
    )
    if args.mlflow is not None:
        run = comparison.to_mlflow(None if args.mlflow == "default" else args.mlflow, files=[page])
        _arguments.say(args, f"logged to MLflow as run {run}")
    print(_output.scores(comparison))
    if len(answers):
        shown = ["stated", "coverage", "refused", "unlike", "accuracy", "answered"]
        _output.print_frame(
            "Sets and refused cells (shares of the cells)",
            answers.set_index(["model", "dataset"])[shown],
        )
    if args.parts is not None:
        _output.print_frame("Scores by part", comparison.parts())
    if args.save_model is not None:
        print(save_best(comparison, models, table, args))
    print(page)


_N_EACH = 4
"""Cells of each confused pair of classes that the page shows."""


def _reasons(comparison: Comparison, table: pd.DataFrame) -> pd.DataFrame | None:
    """Explain the mistakes of the best model that the page shows, by the models of their folds."""
    import numpy as np
    import pandas as pd

    from hemafeat import pipelines

    best = next(iter(comparison.ranked()), None)
    if best is None or "features" not in pipelines.looks_at(comparison.fitted[best][0]):
        return None
    rows = comparison.predictions[comparison.predictions["model"] == best]
    chances = rows[[f"p__{name}" for name in comparison.classes]].max(axis=1)
    wrong = rows.assign(chance=chances)[rows["truth"] != rows["predicted"]]
    wrong = wrong.sort_values(["chance", "image", "cell"], ascending=[False, True, True])
    shown = wrong.groupby(["truth", "predicted"], sort=False).head(_N_EACH)
    truth = np.full(len(table), None, dtype=object)
    truth[rows["row"]] = rows["truth"]
    parts = []
    for fold, model in zip(rows["fold"].unique(), comparison.fitted[best], strict=True):
        cells = table.iloc[shown.loc[shown["fold"] == fold, "row"]]
        others = np.ones(len(table), dtype=bool)
        others[rows.loc[rows["fold"] == fold, "row"]] = False
        reference = table.assign(label=truth)[others]
        if len(cells):
            parts.append(pipelines.explain(model, cells, reference, n_top=2))
    return pd.concat(parts, ignore_index=True) if parts else None


def compare(
    models: Any, table: pd.DataFrame, args: argparse.Namespace, keep: Path | None = None
) -> Comparison:
    """Compare the models at the level that the arguments ask for; finished fits are in `keep`."""
    from hemafeat import evaluate, extract

    options: dict[str, Any] = {
        "label": args.label,
        "protocol": _studies.protocol(args),
        "n_splits": args.folds,
        "rare": args.rare,
        "n_boot": args.n_boot,
        "random_state": args.seed,
        "importance": 0 if args.no_importance else args.importance,
        "n_jobs": _arguments.jobs(args),
        # On a terminal a bar, else lines.
        "progress": not args.quiet,
        "keep": keep,
        "parts": args.parts,
        "keep_models": args.explain,
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
    noun = "cells" if extract.feature_columns(table) else "images"
    _arguments.say(args, f"comparing {', '.join(models)} on {len(table)} {noun} ...")
    return evaluate.compare(models, table, groups=args.group, metadata=args.metadata, **options)


def _selective(models: Any, args: argparse.Namespace) -> Any:
    """Return the models, with ``--selective`` as classifiers that refuse cells."""
    from hemafeat import pipelines

    if args.selective is None:
        return models
    made = (
        models
        if isinstance(models, Mapping)
        else {name: pipelines.make(name, random_state=args.seed) for name in models}
    )
    return {
        name: model
        if name == "baseline"
        else pipelines.SelectiveClassifier(
            model, coverage=args.selective, alone=True, random_state=args.seed
        )
        for name, model in made.items()
    }


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
    how_measured: dict[str, Any]
    if comparison.unit == "patient":
        n_rows, how_measured = _fit_to_patients(model, comparison, table, args)
    else:
        n_rows, how_measured = _fit_to_cells(model, table, args), {}
    how_measured["measured"] = _how_measured(table[table[args.label].notna()])
    Path(args.save_model).parent.mkdir(parents=True, exist_ok=True)
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
    if "features" in inputs:
        labelled = labelled.dropna(how="all", subset=extract.feature_columns(labelled))
    columns = ["image"] if "images" in inputs else []
    if "groups" in inputs and args.group in labelled:
        # The groups of the comparison, under the name by which models read them.
        labelled = labelled.assign(group=labelled[args.group])
        columns.append("group")
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
    return len(rows), {"patient": args.patient}


def _how_measured(labelled: pd.DataFrame) -> dict[str, str]:
    """Return the options with which the cells of a model were measured, to measure others alike."""
    from hemafeat import extract

    measured = extract.measured(labelled)
    if measured.get("cells", "auto") == "auto" and "image" in labelled:
        # Not known, as for a table of another program: the rows decide.
        one_per_image = not labelled["image"].map(str).duplicated().any()
        measured["cells"] = "central" if one_per_image else "all"
    return measured


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
        if args.level == "cell" and name.startswith("aligned:"):
            try:
                pipelines.make(name)
            except ValueError as error:
                raise Usage(f"--models: {error}") from None
            continue
        deep = args.level == "cell" and (_deep.is_embedding(name) or _deep.is_network(name))
        if not deep and name not in known:
            noun = "model of patients" if args.level == "patient" else "model"
            hint = suggestion(name, known, "choose from:")
            raise Usage(f"--models: there is no {noun} {name!r}; {hint}")
    if args.pixels:
        names.append("grey_pixels")
    _deep.check(names, args)
    if args.level == "cell" and args.cells == "all":
        of_images = [name for name in names if name == "grey_pixels" or _deep.is_network(name)]
        if of_images:
            source = "--pixels" if of_images == ["grey_pixels"] else of_images[0]
            raise Usage(
                f"--cells all: {of_images[0]} looks at whole images, and an image would stand for "
                f"several cells; leave out --cells all or {source}"
            )
    return list(dict.fromkeys(names))


def _read(names: Any, args: argparse.Namespace) -> set[str]:
    """Return what the models read of a table; the baseline reads nothing."""
    from hemafeat import pipelines

    if names is None:
        return {"features"}
    return {
        part
        for name in names
        if name != "baseline"
        for part in pipelines.looks_at(pipelines.make(name, unit=args.level))
    }


def _with_unmeasured(
    cells: pd.DataFrame, listed: pd.DataFrame, args: argparse.Namespace
) -> pd.DataFrame:
    """Return the table of cells with rows for the images in which no cell was measured."""
    import pandas as pd

    from hemafeat.extract import image_name

    names = [image_name(image, k) for k, image in enumerate(listed["image"])]
    others = listed.assign(image=names)[~pd.Series(names).isin(cells["image"]).to_numpy()]
    if others.empty:
        return cells
    if args.um_per_px not in (None, "auto"):
        others = others.assign(um_per_px=args.um_per_px)
    others = others[[name for name in others if name in cells]]
    measured, others = (frame.copy(deep=False) for frame in (cells, others))
    measured.attrs, others.attrs = {}, {}
    table = pd.concat([measured, others], ignore_index=True)
    table.attrs = cells.attrs
    return table


def _check_model_file(names: Any, args: argparse.Namespace) -> None:
    """Refuse a file for the best model that cannot be written, or holds an earlier model."""
    if args.save_model is None:
        return
    if names == ["baseline"]:
        raise Usage("--save-model: none of the models compared looks at the cells")
    path = _output.model_file(args.save_model, "--save-model", args.input)
    if path.exists() and not args.restart:
        raise Usage(
            f"--save-model: {path} exists; choose another file, or pass --restart to replace it"
        )


def _check_columns(table: pd.DataFrame, args: argparse.Namespace) -> None:
    of_group = ("patient", args.patient) if args.level == "patient" else ("group", args.group)
    options = [("label", args.label), of_group, *(("metadata", name) for name in args.metadata)]
    for option, column in options:
        if column not in table:
            raise Usage(f"--{option}: {no_column(column, table.columns)}")
    if args.level == "patient" and table[args.patient].isna().all():
        raise Usage(
            f"no cell has a patient in column {args.patient!r}: read the folder as its data set "
            "(--dataset), or name the patients in a CSV file"
        )
    _check_classes(table, args)
    _check_protocol(table, args)


def _check_protocol(table: pd.DataFrame, args: argparse.Namespace) -> None:
    """Refuse a protocol whose column is missing or empty."""
    column = {
        "official": "split",
        "patient": "patient",
        "leaky-lymphocytosis": args.patient,
        "cross-dataset": args.batch or "dataset",
        "leave-one-laboratory-out": args.batch or "dataset",
        "leave-one-batch-out": args.batch or ("batch" if "batch" in table else "dataset"),
    }.get(args.protocol)
    if column is None:
        return
    if column not in table:
        option = "--batch" if args.batch else f"--protocol {args.protocol}"
        raise Usage(f"{option}: {no_column(column, table.columns)}")
    values = sorted(set(table[column].dropna().astype(str)))
    if len(values) < 2:
        holds = f"the single value {plain(values[0])}" if values else "no values"
        raise Usage(
            f"--protocol {args.protocol} divides the cells by column {column!r}, which holds "
            f"{holds}"
        )
    for option in ("train", "test"):
        for name in getattr(args, option) or ():
            if name not in values:
                raise Usage(
                    f"--{option}: there is no {name!r} in column {column!r}; "
                    f"{suggestion(name, values)}"
                )


def _check_classes(table: pd.DataFrame, args: argparse.Namespace) -> None:
    """Refuse labels that cannot be compared: none, one class, or fewer groups than folds."""
    labelled = table[table[args.label].notna()]
    classes = sorted(set(labelled[args.label].astype(str)))
    folder = Path(args.input[0])
    from_folders = args.label == "label" and args.dataset is None and folder.is_dir()
    if from_folders and not (folder / "manifest.json").exists() and len(classes) < 2:
        parts = [Path(image).relative_to(folder).parts for image in table["image"].map(str)]
        names = sorted({inside[0] for inside in parts if len(inside) > 1})
        holds = f"one class sub-folder, {plain(names[0])}" if names else "no class sub-folders"
        raise Usage(f"{folder} has {holds}; two or more are needed, one for each class")
    if not classes:
        raise Usage(
            f"no cell has a label in column {args.label!r}: labels come from one sub-folder per "
            'class, or from the column "label" of a CSV file'
        )
    if len(classes) < 2:
        raise Usage(
            f"--label: {plain(classes[0])} is the only class in column {args.label!r}; two or more "
            "are needed"
        )
    if len(classes) > 20 and 2 * len(classes) > len(labelled):
        raise Usage(
            f"--label: column {args.label!r} holds {len(classes)} different values in "
            f"{len(labelled)} rows, such as {', '.join(classes[:3])}: these are not classes"
        )
    if args.positive is not None and args.positive not in classes:
        raise Usage(f"--positive: no class {args.positive!r}; {suggestion(args.positive, classes)}")
    if args.protocol != "grouped" or args.rare != "error":
        return
    groups = args.patient if args.level == "patient" else args.group
    images = labelled["image"].map(str) if "image" in labelled else labelled.index.to_series()
    ids = labelled[groups].astype("string").fillna("image " + images.astype(str))
    counts = ids.groupby(labelled[args.label].astype(str)).nunique()
    rare = counts[counts < args.folds]
    if len(rare):
        least = int(rare.min())
        listed = shortened([f"{plain(name)} ({n})" for name, n in rare.items()])
        lower = f"lower --folds to {least}, " if least >= 2 else ""
        raise Usage(
            f"--folds: {args.folds} folds need {args.folds} groups (column {groups!r}) of every "
            f"class; too few of {listed}: {lower}drop or merge these classes, or pass --rare drop"
        )
