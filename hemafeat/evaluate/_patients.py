"""Models of patients compared: a row is a patient, and so are folds, resamples and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hemafeat import pipelines
from hemafeat.evaluate._comparison import PatientComparison
from hemafeat.evaluate._fingerprint import fingerprint
from hemafeat.evaluate._fit import Progress, Task, run_all
from hemafeat.evaluate._patient_reasons import best_looking, reasons
from hemafeat.evaluate._protocols.protocols import Protocol, protocol
from hemafeat.evaluate._protocols.splits import Cells, CompareError, Folds, Groups
from hemafeat.evaluate._rows import ROW, Note, features, in_order, labelled
from hemafeat.evaluate._setup import Models
from hemafeat.evaluate._tables import importance_table, predictions, scored, seconds, stamped

BASELINES = ("baseline", "bag_size", "stain", "metadata", "date_format")
"""Models of patients that never look at a cell, to be beaten."""

BLIND = (*BASELINES, "attributes")
"""All models that never look at a cell."""

_CLINICAL = ("age", "sex", "gender", "dob", "date_of_birth", "lymphocyte_count")
_SPLITS = ("grouped", "patient", "official")
_FEW = 20


def compare_patients(
    models: Models,
    table: pd.DataFrame,
    *,
    label: str = "label",
    patient: str = "patient",
    split: str | Protocol = "grouped",
    n_splits: int = 5,
    columns: Sequence[str] | None = None,
    metadata: Sequence[str] | None = None,
    positive: str | None = None,
    n_boot: int = 1000,
    random_state: int = 0,
    verdicts: bool = True,
    importance: bool = True,
    n_jobs: int = 1,
    progress: bool | Progress | None = None,
) -> PatientComparison:
    """Compare models of patients on patients they have not seen.

    Parameters
    ----------
    models : None, str, list of str, or mapping of str to estimator
        Names of `hemafeat.pipelines.make_patient`, or unfitted classifiers of rows of
        `hemafeat.pipelines.bags`. None: every one that needs no Keras. The baselines always stand
        beside them: the most frequent label; the number of cells; where the table has it, as that
        of `extract.table` does, the white of the background; and of attributes a model of these
        alone and, where a date of birth is text, one of how it is written.
    table : DataFrame
        One row per cell, as `extract.table` gives it, with the patient and the patient's label.
    label, patient : str
        Columns of the labels and the patients. Patients without a label are left out, with a row
        in `Comparison.errors`.
    split : {"grouped", "patient", "official"} or Protocol
        Stratified folds of patients, or the column ``split``. No division of patients leaks.
    n_splits : int
        Number of folds.
    columns : list of str, optional
        The feature columns; by default those called ``mask__family__feature``.
    metadata : list of str, optional
        Attributes of the patient. By default the columns called age, sex, gender, dob,
        date_of_birth or lymphocyte_count.
    positive : str, optional
        The class that verdicts speak for; by default the one beside a label such as ``reactive``
        or ``normal``, else the last.
    n_boot : int
        Resamples of patients for the intervals.
    random_state : int
        Seed of folds, models and resamples.
    verdicts : bool
        Ask which cells made the verdicts of the best model; fits it once more per fold.
    importance : bool
        Ask on which columns the best model leans, in the same fits.
    n_jobs : int
        Processes.
    progress : bool or callable, optional
        True: a bar. A callable gets ``(done, total, what)``.

    Returns
    -------
    PatientComparison

    Raises
    ------
    CompareError
        The table cannot be used, or a model failed; the message says why.

    Notes
    -----
    Balanced accuracy is the mean over the classes of the share of their patients that was found,
    for two classes (TP / (TP + FN) + TN / (TN + FP)) / 2.

    Examples
    --------
    >>> from hemafeat import datasets, evaluate
    >>> cells = datasets.drawn_bags(30, random_state=0)
    >>> found = evaluate.compare_patients(["table_means"], cells, n_splits=3)  # doctest: +SKIP
    >>> found.summary()["balanced_accuracy"]  # doctest: +SKIP
    """
    how = protocol(split) if isinstance(split, str) else split
    if how.name not in _SPLITS:
        raise CompareError(f"patients are divided by {', '.join(_SPLITS)}, not by {how.name!r}")
    cells, rows, errors = _patients(table, label, patient, columns, metadata)
    attributes = [name for name in rows.columns if name not in ("cells", "label", "split")]
    truth = rows["label"].astype(str).to_numpy(dtype=object).astype(str)
    classes = [str(name) for name in np.unique(truth)]
    if len(classes) < 2:
        raise CompareError(f"fewer than two classes in column {label!r}: {classes}")
    chosen = _models(models, rows, attributes, random_state)
    plan, which, frame = _plan(how, rows, truth, n_splits, random_state)
    errors += [("", "split", "note", note) for note in plan.notes]
    inputs = rows.drop(columns=["label", "split"], errors="ignore")
    tasks = [
        Task(name, fold, model, inputs, truth, train, test, classes, None, (random_state, number))
        for name, model in chosen.items()
        for number, (fold, (train, test)) in enumerate(zip(plan.names, plan.pairs, strict=True))
    ]
    outcomes = run_all(tasks, n_jobs, progress)
    for outcome in outcomes:
        stage = f"{outcome.model}, fold {outcome.fold}"
        errors += [("", stage, kind, text) for kind, text in outcome.warnings]
    predicted = predictions(outcomes, plan, frame, truth, which, classes)
    results, differences = scored(predicted, classes, n_boot, random_state)
    values = cells[list(rows["cells"].iloc[0].columns)]
    mark = fingerprint(values, cells[label].astype(str).to_numpy(), cells[patient].to_numpy(str))
    scored_rows = np.concatenate([test for _, test in plan.pairs])
    best = best_looking(results, BLIND) if verdicts or importance else None
    spoken, leaned = pd.DataFrame(), importance_table({}, [])
    if best is not None:
        why = reasons(chosen[best], inputs, truth, plan)
        if verdicts:
            spoken = why.verdicts(best, cells, positive)
        if importance:
            leaned = why.importances(best, attributes, random_state)
    from hemafeat.evaluate._compare import _versions

    return PatientComparison(
        results=stamped(results, plan, random_state, mark),
        predictions=predicted,
        differences=differences,
        importances=leaned,
        seconds=seconds(outcomes),
        errors=pd.DataFrame(errors, columns=["image", "stage", "error", "message"], dtype=str),
        classes=classes,
        leaky=plan.leaky,
        protocol=_sentence(plan, rows, scored_rows, classes, attributes, n_boot, random_state),
        fingerprint=mark,
        versions=_versions(),
        n_boot=n_boot,
        random_state=random_state,
        patients=_told(rows.iloc[np.unique(scored_rows)], attributes),
        verdicts=spoken,
    )


def _patients(
    table: pd.DataFrame,
    label: str,
    patient: str,
    columns: Sequence[str] | None,
    metadata: Sequence[str] | None,
) -> tuple[pd.DataFrame, pd.DataFrame, list[Note]]:
    """The cells of labelled patients, in order; their bags; and who was left out."""
    if patient not in table.columns:
        raise CompareError(
            f"the table has no column {patient!r}, which would say whose cells it has"
        )
    used, unlabelled = labelled(table, label)
    without = table.loc[table[label].isna(), patient].dropna().astype(str)
    lost = sorted(set(without) - set(used[patient].dropna().astype(str)))
    errors: list[Note] = [
        (name, "compare", "no label", f"no cell of patient {name} has a label") for name in lost
    ]
    if unlabelled and not lost:
        errors.append(
            ("", "compare", "no label", f"{len(unlabelled)} cells without a label are left out")
        )
    used, values = in_order(used, features(used, columns), label)
    names = list(values.columns)
    if metadata is None:
        metadata = [name for name in _CLINICAL if name in used.columns]
    also = ["split"] if "split" in used.columns and used["split"].notna().any() else []
    clash = [name for name in metadata if name in ("cells", "label", "split", label)]
    if clash:
        raise CompareError(f"metadata: {clash[0]!r} is no attribute of a patient")
    try:
        rows = pipelines.bags(
            used, patient=patient, columns=names, label=label, attributes=[*metadata, *also]
        )
    except ValueError as error:
        raise CompareError(str(error)) from None
    return used, rows.rename(columns={label: "label"}), errors


def _models(
    models: Models,
    rows: pd.DataFrame,
    attributes: Sequence[str],
    random_state: int,
) -> dict[str, Any]:
    if models is None:
        models = pipelines.patient_names(attributes=bool(attributes))
    elif isinstance(models, str):
        models = [models]
    if not isinstance(models, Mapping):
        models = list(models)
        alone = set(pipelines.patient_names(attributes=True)) - set(pipelines.patient_names())
        for name in models:
            if name in alone and not attributes:
                raise CompareError(f"model {name!r} needs attributes, and the table has none")
        try:
            models = {n: pipelines.make_patient(n, random_state=random_state) for n in models}
        except ValueError as error:
            raise CompareError(str(error)) from None
    chosen = {str(name): model for name, model in models.items()}
    for name, model in chosen.items():
        if isinstance(model, type) or not (hasattr(model, "fit") and hasattr(model, "predict")):
            raise CompareError(f"model {name!r} is no scikit-learn estimator: {model!r}")
    for name in pipelines.patient_baselines(rows):
        if name not in chosen:
            chosen[name] = pipelines.make_patient(name, random_state=random_state)
    return chosen


def _plan(
    how: Protocol, rows: pd.DataFrame, truth: np.ndarray, n_splits: int, random_state: int
) -> tuple[Folds, Groups, pd.DataFrame]:
    names = rows.index.to_numpy(dtype=str)
    which = Groups(names, "patients", "")
    frame = pd.DataFrame({"image": names.astype(object), "cell": 1, ROW: np.arange(len(rows))})
    if "split" in rows.columns:
        frame["split"] = rows["split"].to_numpy()
    size = pd.DataFrame({"n": [float(len(bag)) for bag in rows["cells"]]})
    cells = Cells(truth, which, frame, size, n_splits, random_state, how.options)
    return how.divide(cells), which, frame


def _sentence(
    plan: Folds,
    rows: pd.DataFrame,
    scored_rows: np.ndarray,
    classes: Sequence[str],
    attributes: Sequence[str],
    n_boot: int,
    random_state: int,
) -> str:
    n = len(np.unique(scored_rows))
    sizes = [len(bag) for bag in rows["cells"].iloc[np.unique(scored_rows)]]
    parts = [
        "one verdict per patient",
        plan.sentence.replace(" cells", " patients"),
        f"intervals: 95 % percentile bootstrap over patients ({n_boot} resamples), "
        f"seed {random_state}",
        f"{n} patients with {min(sizes)} to {max(sizes)} cells, {len(classes)} classes",
        f"attributes: {', '.join(attributes)}"
        if attributes
        else "no attributes, so no model of metadata alone",
    ]
    if n < _FEW:
        parts.append(f"only {n} patients, so the intervals are rough")
    return "; ".join(parts) + "."


def _told(rows: pd.DataFrame, attributes: Sequence[str]) -> pd.DataFrame:
    out = pd.DataFrame(
        {
            "patient": rows.index.to_numpy(dtype=object),
            "label": rows["label"].astype(str).to_numpy(dtype=object),
            "n_cells": [len(bag) for bag in rows["cells"]],
        }
    )
    for name in attributes:
        out[name] = rows[name].to_numpy()
    return out
