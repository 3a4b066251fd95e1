"""``hemafeat predict``: a saved model applied to new cells or patients."""

from __future__ import annotations

import argparse
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemafeat._files import write_table
from hemafeat._words import plain, plural
from hemafeat.cli import _arguments, _deep, _inputs, _output
from hemafeat.cli._errors import Failure, Usage
from hemafeat.images import NORMALISERS

if TYPE_CHECKING:
    import pandas as pd

    from hemafeat.pipelines import Model, PatientModel

DESCRIPTION = """\
Classify cells or patients with a model that hemafeat compare --save-model (or
pipelines.save) wrote. A model of patients gives one row per patient.
A table whose columns or units do not fit the model is refused. A model of hemafeat compare
--selective names the cells that it refuses, and why. This is a research tool: nothing it
prints is a diagnosis."""

EXAMPLES = """\
  hemafeat predict svc.hemafeat new_cells/ --out predictions.csv
      images are measured first, with the families the model needs
  hemafeat predict svc.hemafeat features/ --out predictions.parquet
      the table of hemafeat extract
  hemafeat predict svc.hemafeat new_cells/ --out predictions.csv --explain features/
      also why each cell: "for lymphocyte: nucleus to cell area ratio 0.91, higher than
      97 % of monocyte cells"
  hemafeat predict model.hemafeat cohort/ --dataset lymphocytosis --unlabelled --out v.csv
      a model of compare --level patient: verdicts on the patients without a label"""


REFUSED = "refused"
"""What stands in the column ``predicted`` of a cell that the model refuses."""

_OF_ANSWERS = ["refused", "set", "coverage", "anomaly"]


def add(commands: Any) -> None:
    """Add the command."""
    parser = _arguments.add_command(
        commands, "predict", run, "apply a saved model to new cells", DESCRIPTION, EXAMPLES
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="file written by hemafeat compare --save-model, or leukocytes (of the package)",
    )
    parser.add_argument(
        "input",
        nargs="+",
        metavar="INPUT",
        help="a table of hemafeat extract, or images (folder, CSV, files)",
    )
    parser.add_argument(
        "--unlabelled", action="store_true", help="use only images or cells without a label"
    )
    parser.add_argument(
        "--out", required=True, metavar="FILE", help="file to write: .csv or .parquet"
    )
    parser.add_argument(
        "--explain",
        metavar="TABLE",
        help="table of labelled cells, such as those that the model was fitted on: also write why "
        "(FILE.reasons.csv, and a column because), by Shapley values; needs shap",
    )
    parser.add_argument(
        "--submission",
        nargs="+",
        metavar="NAME",
        help="write two columns, as a leaderboard wants them: their names, for the patient (or the "
        "image) and the label, then the code of each label: ID Predicted malignant=1 reactive=0",
    )
    _arguments.add_images(parser)
    _deep.add_embeddings(parser, columns=False)
    # None: as the model was fitted.
    parser.set_defaults(families=[], segmenter=None)
    _arguments.add_jobs(parser)


def run(args: argparse.Namespace) -> None:
    """Measure the cells if necessary, predict, and write the predictions."""
    from hemafeat import extract, pipelines

    out = _output.table_file(args.out, inputs=[args.model, *args.input])
    _inputs.check_measuring(args, "segmenter", "masks", "nuclei", "mask_kind")
    if args.model not in pipelines.SHIPPED and not Path(args.model).is_file():
        raise Usage(f"{args.model}: no such file")
    model = pipelines.load(args.model)
    codes = _codes(args.submission, model) if args.submission else {}
    reference = None if args.explain is None else _reference(model, args)

    def select(rows: pd.DataFrame) -> pd.DataFrame:
        rows = _without_label(rows) if args.unlabelled else rows
        _check_scale(model, rows, args)
        if isinstance(model, pipelines.PatientModel):
            _check_patients(model, rows)
        return rows

    of_patients = isinstance(model, pipelines.PatientModel)
    _measure_as_fitted(model, args)
    listed = None
    if model.columns == ["image"] or (of_patients and not model.columns):
        _deep.use_weights(model.pipeline, args)
        listed = _inputs.images(args.input, args.dataset, keep_dates=args.keep_dates)
        table = listed = select(listed)
    else:
        # Only the families that the model needs are measured.
        needed = [] if _inputs.is_table(args) else _families(model, args)
        _check_families(model, needed, args)
        args.families = args.families or needed
        table, listed = _inputs.table(args, select)
        if differences := model.measured_otherwise(table):
            warnings.warn(differences, stacklevel=1)
            # Said once, not by each prediction.
            model.measured = {}
    if isinstance(model, pipelines.PatientModel):
        predicted = predict_patients(model, table, listed)
        counted = plural(len(predicted), "patient")
    else:
        predicted = predict_cells(model, table)
        n_images = plural(predicted["image"].nunique(), "image")
        counted = f"{plural(len(predicted), 'cell')} of {n_images}"
    if reference is not None:
        _arguments.say(args, f"explaining {counted} ...")
        why = pipelines.explain(model, table, reference)
        write_table(why, out.with_name(f"{out.stem}.reasons{out.suffix}"))
        predicted["because"] = why.groupby("row")["reason"].agg("; ".join)
    written = submission(predicted, args.submission[:2], codes) if args.submission else predicted
    write_table(written, out)
    counts = predicted["predicted"].value_counts()
    print(f"{counted}:")
    if refused := int(counts.pop(REFUSED)) if "refused" in predicted and REFUSED in counts else 0:
        reasons = predicted.loc[predicted["refused"] != "", "refused"].value_counts()
    for label in sorted(counts.index, key=lambda label: (-counts[label], str(label))):
        print(f"  {label:<24} {counts[label]:>7}")
    if refused:
        print(f"  {REFUSED:<24} {refused:>7}")
        for reason, n in reasons.items():
            print(f"    {reason:<30} {n:>7}")
    if of_patients and predicted["predicted"].isna().any():
        print(f"  {'no verdict':<24} {predicted['predicted'].isna().sum():>7}")
    n_errors = len(extract.errors(table))
    if n_errors:
        print(
            f"{plural(n_errors, 'error')}: these cells have no prediction; the first error is "
            f"{_inputs.first_error(table)}"
        )
    print(out)


def _reference(model: Model, args: argparse.Namespace) -> pd.DataFrame:
    """Return the table of ``--explain``, or refuse it before anything is measured."""
    from hemafeat import extract, pipelines

    if isinstance(model, pipelines.PatientModel) or model.columns == ["image"]:
        raise Usage(f"--explain: {model.name} reads no features of single cells")
    if not extract.is_result(args.explain):
        raise Usage(f"--explain: {args.explain} is not a table of hemafeat extract")
    _inputs.need("--explain", "shap")
    reference = extract.load(args.explain)
    if "label" not in reference or reference["label"].isna().all():
        raise Usage(f"--explain: no cell of {args.explain} has a label")
    model.check(reference)
    return reference


def predict_cells(model: Model, table: pd.DataFrame) -> pd.DataFrame:
    """Return the predictions of a model of cells.

    Parameters
    ----------
    model : Model
        Model of cells.
    table : DataFrame
        One row per cell, or one per image for a model of images.

    Returns
    -------
    DataFrame
        Columns ``image``, ``cell``, ``where__*`` (as in the table), ``label`` (where labels are
        known), ``predicted``, ``probability`` (of the likeliest class), ``suspected_failure`` (why
        the outline is suspected, if the table tells) and ``p__<class>``, with one row per cell. A
        model that refuses cells adds ``refused``, ``set``, ``coverage`` and ``anomaly``, and
        predicts ``"refused"`` where it does.
    """
    import pandas as pd

    from hemafeat import extract

    # A table of cells holds its units; a table of images has none.
    units = extract.units(table) if model.columns != ["image"] else None
    model.check(table, units)
    predicted = pd.DataFrame({"image": table["image"].map(str)})
    predicted["cell"] = table.get("cell", 1)
    predicted = predicted.join(table.filter(regex="^where__"))
    if "label" in table and table["label"].notna().any():
        predicted["label"] = table["label"]
    if hasattr(model.pipeline, "answers"):
        answers = model.answers(table).set_axis(predicted.index)
        reasons = answers["refused"]
        named = answers["predicted"].astype(object).where(reasons == "", REFUSED)
        shown = answers[[f"p__{name}" for name in model.classes]]
        predicted = predicted.assign(predicted=named, probability=shown.max(axis=1))
        predicted = _with_quality(predicted, table)
        return pd.concat([predicted, answers[_OF_ANSWERS], shown], axis=1)
    predicted["predicted"] = model.predict(table)
    if not hasattr(model.pipeline, "predict_proba"):
        return _with_quality(predicted, table)
    probabilities = model.predict_proba(table)
    predicted["probability"] = probabilities.max(axis=1)
    predicted = _with_quality(predicted, table)
    for column, name in enumerate(model.classes):
        predicted[f"p__{name}"] = probabilities[:, column]
    return predicted


def _with_quality(predicted: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Add why outlines are suspected to be wrong, if the table tells."""
    from hemafeat import extract

    if "quality__suspected_failure" not in table:
        return predicted
    return predicted.assign(suspected_failure=extract.suspected(table).to_numpy(object))


def predict_patients(
    model: PatientModel, table: pd.DataFrame, listed: pd.DataFrame | None
) -> pd.DataFrame:
    """Return the verdicts of a model of patients.

    Parameters
    ----------
    model : PatientModel
        Model of patients.
    table : DataFrame
        One row per cell.
    listed : DataFrame or None
        Image table. Its patients of whom no cell could be measured are added at the end, without
        a verdict.

    Returns
    -------
    DataFrame
        Columns ``patient``, ``n_cells``, ``label`` (where labels are known), ``predicted`` and
        ``p__<class>``, with one row per patient.
    """
    import pandas as pd

    verdicts = model.verdicts(table)
    if listed is not None and model.patient in listed:
        patients = sorted(set(listed[model.patient].dropna().astype(str)))
        not_measured = [name for name in patients if name not in set(verdicts["patient"])]
        if not_measured:
            rows = pd.DataFrame({"patient": not_measured, "n_cells": 0})
            verdicts = pd.concat([verdicts, rows], ignore_index=True)
    if "label" in table and table["label"].notna().any():
        labelled = table[table["label"].notna() & table[model.patient].notna()]
        labels = dict(zip(labelled[model.patient].astype(str), labelled["label"], strict=True))
        verdicts.insert(2, "label", verdicts["patient"].map(labels))
    return verdicts


def _codes(words: list[str], model: Model) -> dict[str, str]:
    """Return the code of each label of ``--submission``; none if no codes are given."""
    pairs = [word.partition("=") for word in words[2:]]
    codes = {label: code for label, _, code in pairs}
    labels = {str(name) for name in model.classes}
    if len(words) < 2 or any(not separator for _, separator, _ in pairs):
        raise Usage("--submission: expected two names of columns, then LABEL=CODE for each label")
    if codes and set(codes) != labels:
        odd = sorted(labels ^ set(codes))[0]
        wrong = "has no code" if odd in labels else f"is not one of {', '.join(sorted(labels))}"
        raise Usage(f"--submission: the label {plain(odd)} {wrong}")
    return codes


def submission(
    predicted: pd.DataFrame, names: list[str], codes: dict[str, str] | None = None
) -> pd.DataFrame:
    """Return predictions in the two columns that a leaderboard wants.

    Parameters
    ----------
    predicted : DataFrame
        Result of `predict_cells` or `predict_patients`.
    names : list of two str
        Names of the columns, of the patient or image and of the label.
    codes : dict of str to str, optional
        What to write for each label. By default the label.

    Returns
    -------
    DataFrame
        One row per prediction; missing where there is none.
    """
    import pandas as pd

    key = "patient" if "patient" in predicted else "image"
    labels = predicted["predicted"]
    if "refused" in predicted:
        # A leaderboard wants a label of every cell.
        likeliest = predicted.filter(regex="^p__").idxmax(axis=1).map(lambda name: str(name)[3:])
        labels = labels.where(predicted["refused"] == "", likeliest)
    if codes:
        labels = labels.map(lambda label: label if pd.isna(label) else codes[str(label)])
    return pd.DataFrame(dict(zip(names, (predicted[key], labels), strict=True)))


def _without_label(table: pd.DataFrame) -> pd.DataFrame:
    rows = table[table["label"].isna()] if "label" in table else table
    if rows.empty:
        raise Usage("--unlabelled: all images or cells have a label")
    return rows.reset_index(drop=True)


def _check_scale(model: Model, rows: pd.DataFrame, args: argparse.Namespace) -> None:
    """Refuse images whose scale does not fit the units of the model, before they are measured."""
    if "cell" in rows:
        return  # a table, which has its units
    given = [name for name in ("um_per_px", "to_um_per_px") if getattr(args, name) is not None]
    has_scale = given or ("um_per_px" in rows and rows["um_per_px"].notna().any())
    for column, unit in model.units.items():
        in_um, in_px = (re.search(rf"\b{length}\b", str(unit)) for length in ("um", "px"))
        if in_px and has_scale:
            source = (
                f"--{given[0].replace('_', '-')}" if given else "the column um_per_px of the images"
            )
            raise Usage(f"{model.name} was fitted on {column} in {unit}: leave out {source}")
        if in_um and not has_scale:
            raise Usage(
                f"{model.name} was fitted on {column} in {unit}, and the scale of these images is "
                "not known: pass --um-per-px"
            )


def _check_patients(model: PatientModel, rows: pd.DataFrame) -> None:
    """Refuse rows of no patient, before they are measured."""
    if model.patient not in rows or rows[model.patient].isna().all():
        raise Usage(
            f"{model.name} is a model of patients, and column {plain(model.patient)} names none: "
            "read the folder as its data set (--dataset), or name the patients in a CSV file"
        )


def _check_families(model: Model, needed: list[str], args: argparse.Namespace) -> None:
    """Refuse families without a column that the model needs."""
    from hemafeat import extract

    if needed and args.families:
        lacking = set(model.columns) - set(extract.columns(_inputs.families(args)))
        if lacking:
            raise Usage(
                f"--families: {model.name} needs the families {', '.join(needed)}; leave out "
                "--families"
            )


def _families(model: Model, args: argparse.Namespace) -> list[str]:
    from hemafeat import extract

    names = _deep.families_of(model.columns, args)
    installed = extract.families()
    missing = [name for name in names if name not in installed]
    if missing or not (names or args.needed):
        needs = (
            f"families that are not installed: {', '.join(missing)}"
            if missing
            else "columns that hemafeat does not measure"
        )
        raise Failure(f"{model.name} needs {needs}; give it a table instead")
    return names


def _measure_as_fitted(model: Model, args: argparse.Namespace) -> None:
    """Set the options of measuring to those the model was fitted with, unless they are given."""
    if args.dataset == "lymphocytosis" and "dob" in getattr(model, "attributes", ()):
        args.keep_dates = True
    if _inputs.is_table(args):
        args.segmenter = args.segmenter or "contours"
        return
    measured = model.measured
    if args.cells == "auto" and "cells" in measured:
        # Otherwise all cells of an unlabelled image would count, but one of a labelled image.
        args.cells = measured["cells"]
    if args.segmenter is None:
        named = measured.get("segmenter", "given masks")
        args.segmenter = "contours" if named == "given masks" else named
    # Version 0.1 wrote "stain".
    normalise = measured.get("normalise", measured.get("stain", "none"))
    if args.normalise is None and normalise != "none":
        args.normalise, _, fitted = normalise.partition(" fitted to images ")
        if args.normalise not in NORMALISERS or (fitted and args.normalise_reference is None):
            raise Usage(
                f"{model.name} was fitted on images whose colours were normalised by {normalise}: "
                + (
                    "name the same images with --normalise-reference"
                    if fitted
                    else "measure the images in Python, and give the table"
                )
            )
    zoom = measured.get("to_um_per_px", "none")
    if args.to_um_per_px is None and zoom != "none":
        args.to_um_per_px = float(zoom)
