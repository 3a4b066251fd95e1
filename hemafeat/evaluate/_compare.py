"""Many models, the same held-out cells, one table."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import pandas as pd

from hemafeat import __version__
from hemafeat.evaluate._comparison import Comparison
from hemafeat.evaluate._fit import Progress, run_all
from hemafeat.evaluate._importance import blocks, candidates
from hemafeat.evaluate._patients import compare_patients
from hemafeat.evaluate._protocols.protocols import Protocol
from hemafeat.evaluate._protocols.splits import CompareError
from hemafeat.evaluate._setup import Models, Setup, set_up
from hemafeat.evaluate._tables import importances, predictions, scored, seconds, stamped

_PACKAGES = ("numpy", "scipy", "pandas", "scikit-learn", "xgboost")


def compare(
    models: Models,
    table: pd.DataFrame,
    *,
    label: str = "label",
    groups: str | None = "group",
    level: str = "cell",
    split: str | Protocol = "grouped",
    n_splits: int = 5,
    columns: Sequence[str] | None = None,
    metadata: Sequence[str] = (),
    rare: str = "error",
    n_boot: int = 1000,
    random_state: int = 0,
    importance: bool = True,
    n_jobs: int = 1,
    progress: bool | Progress | None = None,
) -> Comparison:
    r"""Compare models on cells they have not seen, of groups they have not seen.

    Parameters
    ----------
    models : None, str, list of str, or mapping of str to estimator
        Names of `hemafeat.pipelines`, or unfitted scikit-learn classifiers by a name. None: every
        pipeline on features. The majority-class baseline always stands beside them.
    table : DataFrame
        One row per cell, as `extract.table` gives it.
    label : str
        Column of the labels. Rows without one are left out, with a row in `Comparison.errors`.
    groups : str or None
        Column of what must not be on both sides. Where it says nothing, the image is the group.
    level : {"cell", "patient"}
        What is judged. ``"patient"``: one verdict per patient, see `compare_patients`, which this
        calls with the models of that level; the patient is the column ``patient``, or the one
        given as `groups`.
    split : str or Protocol
        A name of `protocols`, or `protocol` where one is to be given options. ``"grouped"``:
        stratified folds that never divide a group. ``"image-random"``: folds that ignore the
        groups; marked leaky when that divides one. ``"official"``: the column ``split``.
    n_splits : int
        Number of folds, of protocols that have folds.
    columns : list of str, optional
        The feature columns; by default those called ``mask__family__feature``.
    metadata : list of str
        Attribute columns (age, counts). When given, a model of these alone (``"metadata"``) stands
        beside the others; features never see them.
    rare : {"error", "drop"}
        What to do with a class that has fewer groups than folds.
    n_boot : int
        Resamples for the intervals.
    random_state : int
        Seed of folds, models and resamples.
    importance : bool
        Permute columns on held-out cells, see `Comparison.importances`.
    n_jobs : int
        Processes. The result does not depend on it.
    progress : bool or callable, optional
        True: a bar. A callable gets ``(done, total, what)``.

    Returns
    -------
    Comparison

    Raises
    ------
    CompareError
        The table or the split cannot be used, or a model failed; the message names it.

    Notes
    -----
    A fold's scaling, imputation, weights and resampling are fitted on its training rows only. The
    rows are put in order of image and cell first, so that the order of the table does not matter.
    Nothing is tuned here: to tune, pass a `GridSearchCV`, whose inner folds stay inside.

    Pooled scores take the held-out predictions of all folds together. Intervals resample whole
    groups, with the folds and fitted models as they are: they hold the luck of the cells scored,
    not that of the training. Resamples are shared by the models, so that differences are paired.

    Examples
    --------
    >>> from hemafeat import evaluate                                       # doctest: +SKIP
    >>> found = evaluate.compare(["svc", "xgboost"], table, groups="patient")  # doctest: +SKIP
    >>> print(found.protocol, found.summary(), sep="\n")  # doctest: +SKIP
    """
    if level == "patient":
        return compare_patients(
            models,
            table,
            label=label,
            patient="patient" if groups in (None, "group") else str(groups),
            split=split,
            n_splits=n_splits,
            columns=columns,
            metadata=metadata or None,
            n_boot=n_boot,
            random_state=random_state,
            importance=importance,
            n_jobs=n_jobs,
            progress=progress,
        )
    if level != "cell":
        raise CompareError(f"level={level!r}: give 'cell' or 'patient'")
    ready = set_up(
        models,
        table,
        label=label,
        groups=groups,
        split=split,
        n_splits=n_splits,
        columns=columns,
        metadata=metadata,
        rare=rare,
        random_state=random_state,
    )
    return compared(ready, n_boot, importance, n_jobs, progress)


def compared(
    ready: Setup,
    n_boot: int,
    importance: bool = False,
    n_jobs: int = 1,
    progress: bool | Progress | None = None,
) -> Comparison:
    """Fit, predict and score what was set up."""
    plan, classes, random_state = ready.plan, ready.classes, ready.random_state
    errors = list(ready.errors)
    sets = _permuted_sets(ready.values, ready.truth) if importance else None
    outcomes = run_all(ready.tasks(sets), n_jobs, progress)
    for outcome in outcomes:
        stage = f"{outcome.model}, fold {outcome.fold}"
        errors += [("", stage, kind, text) for kind, text in outcome.warnings]
    predicted = predictions(outcomes, plan, ready.table, ready.truth, ready.groups, classes)
    results, differences = scored(predicted, classes, n_boot, random_state)
    mark = ready.mark
    return Comparison(
        results=stamped(results, plan, random_state, mark),
        predictions=predicted,
        differences=differences,
        importances=importances(outcomes, sets),
        seconds=seconds(outcomes),
        errors=pd.DataFrame(errors, columns=["image", "stage", "error", "message"], dtype=str),
        classes=classes,
        leaky=plan.leaky,
        protocol=ready.sentence(n_boot),
        fingerprint=mark,
        versions=_versions(),
        n_boot=n_boot,
        random_state=random_state,
        transductive=ready.transductive,
    )


def _permuted_sets(values: pd.DataFrame, truth: np.ndarray) -> dict[str, list[str]]:
    sets = {f"{m}__{f}__*": names for (m, f), names in blocks(values.columns).items()}
    return {**sets, **{name: [name] for name in candidates(values, truth)}}


def _versions() -> dict[str, str]:
    found = {"hemafeat": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            # XGBoost has a second distribution name for machines without a graphics card.
            found[name] = "unknown"
    return found
