"""Comparison of models on held-out cells or patients."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hemafeat._frames import need_frame
from hemafeat._machine import versions
from hemafeat._public import renamed_argument
from hemafeat._words import suggestion
from hemafeat.evaluate._comparison import Comparison, PatientComparison
from hemafeat.evaluate._fit import Progress, run_all
from hemafeat.evaluate._importance import checked_budget, column_sets
from hemafeat.evaluate._kept import KeptFits
from hemafeat.evaluate._patient_reasons import add_reasons
from hemafeat.evaluate._patients import set_up_patients
from hemafeat.evaluate._protocols.protocols import Protocol
from hemafeat.evaluate._rows import CompareError
from hemafeat.evaluate._setup import Models, Setup, set_up
from hemafeat.evaluate._tables import (
    importances,
    part_scores,
    predictions,
    score_tables,
    searches,
    seconds,
)

# XGBoost has a second distribution name for machines without a graphics card.
_PACKAGES = ("numpy", "scipy", "pandas", "scikit-learn", "xgboost", "xgboost-cpu")


@renamed_argument("split", "protocol")
def compare(
    models: Models,
    table: pd.DataFrame,
    *,
    label: str = "label",
    groups: str | None = "group",
    level: str = "cell",
    protocol: str | Protocol = "grouped",
    n_splits: int = 5,
    columns: Sequence[str] | None = None,
    metadata: Sequence[str] = (),
    rare: str = "error",
    n_boot: int = 1000,
    random_state: int = 0,
    importance: bool | int = True,
    n_jobs: int = 1,
    progress: bool | Progress | None = None,
    keep: str | os.PathLike[str] | None = None,
    parts: Sequence[str] | None = None,
    keep_models: bool = False,
) -> Comparison:
    r"""Compare models on cells, or patients, that they have not been trained on.

    Parameters
    ----------
    models : None, str, list of str, or mapping of str to estimator
        Names of `hemafeat.pipelines`, or unfitted scikit-learn classifiers by a name of your own.
        None stands for every pipeline on features. The majority-class baseline is always added.
    table : DataFrame
        One row per cell, as returned by `extract.table`. If no model reads features, an image table
        such as those of `hemafeat.datasets`. Rows without any feature are images in which no cell
        was measured: models that read images learn from them and are scored on them apart.
    label : str, default="label"
        Column of the labels. Rows without a label are left out and listed in `Comparison.errors`.
    groups : str or None, default="group"
        Column of the groups that must not be divided between training and test cells. Where it is
        empty, and with None, each image is a group. With ``level="patient"`` the patients are the
        groups; a column that does not name them is refused.
    level : {"cell", "patient"}, default="cell"
        What one prediction is about. ``"patient"`` compares models of patients as
        `compare_patients` does; the patients are those of the column ``patient`` or, if there is
        none, of the column `groups`.
    protocol : str or Protocol, default="grouped"
        How cells are divided into those trained on and those scored: a name of `protocols`, or a
        `protocol` with options. ``"grouped"`` makes stratified folds that never divide a group;
        ``"image-random"`` makes folds that ignore the groups, and is marked leaky if it divides
        one; ``"official"`` reads the column ``split``. Some have a validation part, see Notes.
    n_splits : int, default=5
        Number of folds of protocols that have folds.
    columns : list of str, optional
        Feature columns. By default those called ``mask__family__feature``.
    metadata : list of str, optional
        Attribute columns (age, counts) for a baseline of these alone, called ``"metadata"``. The
        other models never see them, except for models of patients that take attributes.
    rare : {"error", "drop"}, default="error"
        What to do with a class that has fewer groups than there are folds: raise an error, or drop
        the class and list it in `Comparison.errors`.
    n_boot : int, default=1000
        Number of bootstrap resamples for the intervals.
    random_state : int, default=0
        Seed of folds, models and resamples.
    importance : bool or int, default=True
        Permute columns of held-out cells, see `Comparison.importances`. A number is that of the
        predictions of each model that are spent on it; True stands for 50,000. Their number does
        not grow with the table: see Notes.
    n_jobs : int, default=1
        Number of processes, each of which uses one thread. The result does not depend on it.
    progress : bool or callable, optional
        True shows a progress bar on a terminal and in a notebook, and elsewhere, as in a log, a
        line at most every few seconds. A callable is called with ``(done, total, step)``.
    keep : path, optional
        Folder in which the outcome of every model and fold is kept until the comparison is
        complete, so that the same call continues where an interrupted one stopped. Other calls may
        use the same folder: an outcome is only taken if rows, labels, folds, parameters and
        versions are the same, and the files of the images if models read them. Models with classes
        or functions of your own are fitted anew.
    parts : list of {"train", "validation", "test"}, optional
        Parts to score in `Comparison.part_scores`. By default the test part, and the validation
        part if the protocol has one.
    keep_models : bool, default=False
        Return the fitted models in `Comparison.fitted`, for their curves of learning, or pictures
        of what they look at. With `keep` they are written to that folder as well.

    Returns
    -------
    Comparison
        A `PatientComparison` with ``level="patient"``.

    Raises
    ------
    CompareError
        If the table or the protocol cannot be used, or a model fails; the message names it.

    Notes
    -----
    Scaling, imputation, weights and resampling are fitted to the training rows of each fold. Rows
    are sorted by image and cell first, so that the order of the table does not matter. Nothing is
    tuned: to tune, pass a `GridSearchCV`, whose inner folds lie within the training rows, or a
    `ValidatedSearch`.

    A validation part is never trained on. An estimator with an attribute `takes_validation` gets it
    as ``fit(X, y, validation=(X, y))``, also inside an ensemble: `NetworkClassifier` stops by it,
    and `ValidatedSearch` selects parameters on it. For other models it is only scored.

    Pooled scores are computed from the held-out predictions of all folds together. Intervals
    resample whole groups with the folds and fitted models as they are: they reflect the choice of
    the cells scored, not of those trained on. All models share the resamples, so that differences
    are paired.

    A fit that several models have in common, such as a member of an ensemble that is also compared
    alone, is made once in each fold. `Comparison.seconds` holds what each model takes alone.

    For the importances at most 200 held-out cells of a fold are predicted with each block of
    columns permuted, and then with the best column of each block. Within the number of predictions
    this is repeated up to three times, until the standard error of a loss is below .005; if it does
    not suffice, there are fewer cells, at least 50, and then fewer columns.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from hemafeat import evaluate
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"patient": np.repeat(["a", "b", "c", "d"], 10)})
    >>> table["label"] = ["monocyte", "lymphocyte"] * 20
    >>> table["cell__shape__area"] = rng.normal(1000, 50, 40) + 300 * (table["label"] == "monocyte")
    >>> comparison = evaluate.compare(
    ...     ["logistic"], table, groups="patient", n_splits=2, n_boot=20, importance=False
    ... )
    >>> comparison.ranked(baselines=True)
    ['logistic', 'baseline']
    >>> print(comparison.protocol)
    2 folds, stratified by label, 4 patients never on both sides; intervals: ...
    """
    table = need_frame(table, "a comparison", CompareError)
    if level == "patient":
        patient, note = _patient_column(table, groups)
        comparison: Comparison = compare_patients(
            models,
            table,
            label=label,
            patient=patient,
            protocol=protocol,
            n_splits=n_splits,
            columns=columns,
            metadata=metadata or None,
            rare=rare,
            n_boot=n_boot,
            random_state=random_state,
            importance=importance,
            n_jobs=n_jobs,
            progress=progress,
            keep=keep,
            parts=parts,
            keep_models=keep_models,
        )
        if note:
            comparison.errors.loc[len(comparison.errors)] = ["", "split", "note", note]
        return comparison
    if level != "cell":
        raise CompareError(f"level={level!r}: give 'cell' or 'patient'")
    setup = set_up(
        models,
        table,
        label=label,
        groups=groups,
        protocol=protocol,
        n_splits=n_splits,
        columns=columns,
        metadata=metadata,
        rare=rare,
        random_state=random_state,
    )
    compared: Comparison = run_comparison(
        setup,
        n_boot,
        importance,
        n_jobs,
        progress,
        keep,
        parts=parts,
        keep_models=keep_models,
    )
    return compared


@renamed_argument("split", "protocol")
def compare_patients(
    models: Models,
    table: pd.DataFrame,
    *,
    label: str = "label",
    patient: str = "patient",
    protocol: str | Protocol = "grouped",
    n_splits: int = 5,
    columns: Sequence[str] | None = None,
    metadata: Sequence[str] | None = None,
    positive: str | None = None,
    rare: str = "error",
    n_boot: int = 1000,
    random_state: int = 0,
    verdicts: bool = True,
    importance: bool | int = True,
    n_jobs: int = 1,
    progress: bool | Progress | None = None,
    keep: str | os.PathLike[str] | None = None,
    parts: Sequence[str] | None = None,
    keep_models: bool = False,
) -> PatientComparison:
    """Compare models of patients on patients that they have not been trained on.

    Parameters
    ----------
    models : None, str, list of str, or mapping of str to estimator
        Names of `hemafeat.pipelines.make_patient`, or unfitted classifiers of rows of
        `hemafeat.pipelines.bags`. None stands for every one that needs no Keras. Baselines are
        always added: the most frequent label; the number of cells; the white of the background, if
        the table has it, as a table of `extract.table` does; and, if there are attributes, a model
        of these alone and, if a date of birth is text, one of the format of the dates.
    table : DataFrame
        One row per cell, as returned by `extract.table`, with the patient and the patient's label.
    label, patient : str
        Columns of the labels and of the patients. Patients without a label are left out and listed
        in `Comparison.errors`.
    protocol : str or Protocol, default="grouped"
        ``"grouped"`` or ``"patient"``, stratified folds of patients; ``"holdout"``, one division of
        them; ``"official"``, the column ``split``; or ``"leaky-lymphocytosis"``, a report's
        division. None of them divides a patient.
    n_splits : int, default=5
        Number of folds.
    columns : list of str, optional
        Feature columns. By default those called ``mask__family__feature``.
    metadata : list of str, optional
        Attributes of the patient. By default the columns called age, sex, gender, dob,
        date_of_birth or lymphocyte_count.
    positive : str, optional
        Class to whose verdict cells contribute. By default the one that is compared with a label
        such as ``reactive`` or ``normal``, else the last.
    rare : {"error", "drop"}, default="error"
        What to do with a class that has fewer patients than there are folds: raise an error, or
        drop the class and list it in `Comparison.errors`.
    n_boot : int, default=1000
        Number of bootstrap resamples of patients for the intervals.
    random_state : int, default=0
        Seed of folds, models and resamples.
    verdicts : bool, default=True
        Compute the contributions of the cells to the verdicts of the best model, which is fitted
        once more on each fold.
    importance : bool or int, default=True
        Compute the importances of columns for the best model, with the same fits. A number is that
        of the predictions of patients that are spent on it; True stands for 50,000.
    n_jobs : int, default=1
        Number of processes, each of which uses one thread. The result does not depend on it.
    progress : bool or callable, optional
        As in `compare`.
    keep : path, optional
        As in `compare`.
    parts : list of str, optional
        As in `compare`.
    keep_models : bool, default=False
        As in `compare`.

    Returns
    -------
    PatientComparison

    Raises
    ------
    CompareError
        If the table cannot be used, or a model fails; the message says why.

    Notes
    -----
    Balanced accuracy is the mean recall of the classes, for two classes
    (TP / (TP + FN) + TN / (TN + FP)) / 2.

    Examples
    --------
    >>> from hemafeat import datasets, evaluate
    >>> cells = datasets.drawn_bags(24, cells=(4, 8), random_state=0)
    >>> comparison = evaluate.compare_patients(
    ...     ["table_means"], cells, n_splits=2, n_boot=20, verdicts=False, importance=False
    ... )
    >>> comparison.models
    ['table_means', 'baseline', 'bag_size', 'metadata', 'date_format']
    >>> comparison.ranked()
    ['table_means']
    """
    budget = checked_budget(importance)
    setup = set_up_patients(
        models,
        need_frame(table, "a comparison", CompareError),
        label=label,
        patient=patient,
        protocol=protocol,
        n_splits=n_splits,
        columns=columns,
        metadata=metadata,
        rare=rare,
        random_state=random_state,
    )

    def finish(comparison: Comparison) -> PatientComparison:
        return add_reasons(comparison, setup, verdicts=verdicts, budget=budget, positive=positive)

    found: PatientComparison = run_comparison(
        setup,
        n_boot,
        False,
        n_jobs,
        progress,
        keep,
        finish,
        parts=parts,
        keep_models=keep_models,
    )
    return found


def _patient_column(table: pd.DataFrame, groups: str | None) -> tuple[str, str]:
    """Return the column of the patients, and a remark if groups hold several patients.

    Raises
    ------
    CompareError
        If `groups` is a column that divides the cells otherwise than the column ``patient``.
    """
    if groups is None or groups == "patient" or groups not in table.columns:
        return "patient" if groups in (None, "group") else str(groups), ""
    if "patient" not in table.columns:
        return "patient" if groups == "group" else groups, ""
    pairs = table[[groups, "patient"]].dropna().astype(str).drop_duplicates()
    n_patients = pairs.groupby(groups)["patient"].nunique()
    if groups == "group":
        n = int((n_patients > 1).sum())
        note = f"{n} groups of column 'group' hold several patients, which are not kept together"
        return "patient", note if n else ""
    if (n_patients > 1).any() or pairs["patient"].duplicated().any():
        raise CompareError(
            f"level='patient' keeps patients together; groups={groups!r} divides the cells "
            "otherwise than the column 'patient'. Leave groups out, or call "
            f"compare_patients(patient={groups!r}) if this column names the patients"
        )
    return groups, ""


def _checked_parts(parts: Sequence[str] | None) -> Sequence[str]:
    """Return the parts to predict beside the test part."""
    known = ("train", "validation", "test")
    chosen = ["validation"] if parts is None else [parts] if isinstance(parts, str) else list(parts)
    unknown = [part for part in chosen if part not in known]
    if unknown:
        raise CompareError(
            f"parts: there is no part {unknown[0]!r}; {suggestion(unknown[0], known)}"
        )
    return chosen


def _selection(chosen: pd.DataFrame) -> list[str]:
    """Say which models had their parameters selected on the validation part."""
    names = list(dict.fromkeys(chosen.loc[chosen["selected_on"] == "validation", "model"]))
    return [f"parameters of {', '.join(names)} selected on the validation part"] if names else []


def run_comparison(
    setup: Setup,
    n_boot: int,
    importance: bool | int,
    n_jobs: int,
    progress: bool | Progress | None,
    keep: str | os.PathLike[str] | None = None,
    finish: Callable[[Comparison], Comparison] | None = None,
    parts: Sequence[str] | None = None,
    keep_models: bool = False,
) -> Any:
    """Fit and score the models of a setup on its folds.

    Parameters
    ----------
    setup : Setup
        Cells or patients.
    n_boot : int
        Number of resamples for the intervals.
    importance : bool or int
        Permute columns of held-out cells, see `compare`; only for cells.
    n_jobs : int
        Number of processes.
    progress : bool or callable, optional
        As in `compare`.
    keep : path, optional
        As in `compare`.
    finish : callable, optional
        What else belongs to the comparison; until it is done, finished fits are kept.
    parts : list of str, optional
        As in `compare`.
    keep_models : bool
        As in `compare`.

    Returns
    -------
    Comparison
        What `finish` returns, if it is given.
    """
    budget = checked_budget(importance)
    sets = column_sets(setup.values, setup.truth) if budget else None
    tasks = setup.tasks(sets, budget, _checked_parts(parts), keep_models)
    kept = KeptFits(None if keep is None else Path(keep), tasks)
    outcomes = run_all(tasks, n_jobs, progress, kept.read(tasks), kept.write)
    errors = [
        *setup.errors,
        *(
            ("", f"{outcome.model}, fold {outcome.fold}", category, text)
            for outcome in outcomes
            for category, text in outcome.warnings
        ),
    ]
    predicted = predictions(
        outcomes, setup.plan, setup.table, setup.truth, setup.groups, setup.classes
    )
    results, differences = score_tables(predicted, setup.classes, n_boot, setup.random_state)
    chosen = searches(outcomes)
    fitted: dict[str, list[Any]] = {}
    for outcome in outcomes if keep_models else []:
        fitted.setdefault(outcome.model, []).append(outcome.fitted)
    comparison = Comparison(
        results=setup.stamp(results),
        predictions=predicted,
        differences=differences,
        importances=importances(outcomes, sets),
        seconds=seconds(outcomes),
        errors=pd.DataFrame(errors, columns=["image", "stage", "error", "message"], dtype=str),
        classes=setup.classes,
        leaky=setup.plan.leaky,
        protocol=setup.sentence(n_boot, *_selection(chosen)),
        fingerprint=setup.fingerprint,
        versions=versions(_PACKAGES),
        n_boot=n_boot,
        random_state=setup.random_state,
        transductive=setup.transductive,
        unit=setup.unit,
        baselines=setup.baselines,
        part_scores=part_scores(
            outcomes,
            tasks,
            setup.groups,
            setup.classes,
            results,
            n_boot,
            setup.random_state,
        ),
        searches=chosen,
        fitted=fitted,
    )
    if finish is not None:
        comparison = finish(comparison)
    kept.remove()
    return comparison
