"""Many models, the same held-out cells, one table."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pandas as pd

from hemafeat import __version__, pipelines

from ._comparison import Comparison
from ._fingerprint import fingerprint
from ._fit import Outcome, Task, run
from ._importance import blocks, candidates
from ._rows import common, features, in_order, labelled, metadata_columns
from ._splits import CompareError, Folds, Groups, folds, group_ids
from ._tables import importances, predictions, scored, seconds

BASELINE = "baseline"
METADATA = "metadata"

_FEW_GROUPS = 20
"""Below this, a percentile interval over groups is only a rough one."""

_PACKAGES = ("numpy", "scipy", "pandas", "scikit-learn", "xgboost")

Progress = Callable[[int, int, str], None]


def compare(
    models: str | Iterable[str] | Mapping[str, Any] | None,
    table: pd.DataFrame,
    *,
    label: str = "label",
    groups: str | None = "group",
    split: str = "grouped",
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
    split : {"grouped", "image-random", "official"}
        ``"grouped"``: stratified folds that never divide a group. ``"image-random"``: folds that
        ignore the groups; marked leaky when that divides one. ``"official"``: the column ``split``.
    n_splits : int
        Number of folds.
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
    used, errors = labelled(table, label)
    used, values = in_order(used, features(used, columns), label)
    which = group_ids(used, groups)
    truth = used[label].astype(str).to_numpy(dtype=object).astype(str)
    if split != "official":
        keep, left_out = common(truth, which, split, n_splits, rare)
        errors += left_out
        used, values, truth = used[keep], values[keep], truth[keep]
        which = Groups(which.ids[keep], which.noun, which.note)
    if len(set(truth)) < 2:
        raise CompareError(f"fewer than two classes in column {label!r}: {sorted(set(truth))}")
    official = used["split"] if "split" in used.columns else None
    plan = folds(
        truth,
        which,
        split=split,
        n_splits=n_splits,
        official=official,
        random_state=random_state,
    )
    errors += [("", "split", "note", note) for note in plan.notes]
    chosen = _models(models, bool(metadata), columns is not None, random_state)
    inputs = _inputs(chosen, used, values, metadata)
    rows = np.concatenate([part for pair in plan.pairs for part in pair])
    classes = [str(name) for name in np.unique(truth[rows])]
    sets = _permuted_sets(values, truth) if importance else None
    tasks = [
        Task(
            name,
            fold,
            estimator,
            inputs[name],
            truth,
            train,
            test,
            classes,
            sets if inputs[name] is values and name != BASELINE else None,
            (random_state, number),
        )
        for name, estimator in chosen.items()
        for number, (fold, (train, test)) in enumerate(zip(plan.names, plan.pairs, strict=True))
    ]
    outcomes = _run_all(tasks, n_jobs, progress)
    for outcome in outcomes:
        stage = f"{outcome.model}, fold {outcome.fold}"
        errors += [("", stage, kind, text) for kind, text in outcome.warnings]
    predicted = predictions(outcomes, plan, used, truth, which, classes)
    results, differences = scored(predicted, classes, n_boot, random_state)
    mark = fingerprint(values, truth, _known_groups(which))
    return Comparison(
        results=results.assign(
            protocol=plan.protocol, seed=random_state, fingerprint=mark, version=__version__
        ),
        predictions=predicted,
        differences=differences,
        importances=importances(outcomes, sets),
        seconds=seconds(outcomes),
        errors=pd.DataFrame(errors, columns=["image", "stage", "error", "message"], dtype=str),
        classes=classes,
        leaky=plan.leaky,
        protocol=_sentence(plan, which, classes, n_boot, random_state),
        fingerprint=mark,
        versions=_versions(),
        n_boot=n_boot,
        random_state=random_state,
    )


def _models(
    models: str | Iterable[str] | Mapping[str, Any] | None,
    metadata: bool,
    all_columns: bool,
    random_state: int,
) -> dict[str, Any]:
    if models is None:
        models = pipelines.names()
    elif isinstance(models, str):
        models = [models]
    if not isinstance(models, Mapping):
        try:
            models = {name: _seeded(pipelines.make(name), random_state) for name in models}
        except ValueError as error:
            raise CompareError(str(error)) from None
    chosen = {str(name): model for name, model in models.items()}
    for name, model in chosen.items():
        if isinstance(model, type) or not (hasattr(model, "fit") and hasattr(model, "predict")):
            raise CompareError(f"model {name!r} is no scikit-learn estimator: {model!r}")
    if BASELINE not in chosen:
        chosen[BASELINE] = pipelines.baseline()
    if metadata:
        if METADATA in chosen:
            raise CompareError(f"{METADATA!r} is the name of the model of metadata alone")
        chosen[METADATA] = pipelines.metadata_only(random_state=random_state)
    if all_columns:
        from sklearn.base import clone

        for name, model in chosen.items():
            steps = getattr(model, "steps", [("", None)])
            if isinstance(steps[0][1], pipelines.FeatureColumns):
                # They get the features only, under names of the caller's choice.
                chosen[name] = clone(model).set_params(**{f"{steps[0][0]}__columns": "all"})
    return chosen


def _seeded(model: Any, random_state: int) -> Any:
    keys = [key for key in model.get_params() if key.split("__")[-1] == "random_state"]
    return model.set_params(**dict.fromkeys(keys, random_state))


def _inputs(
    chosen: Mapping[str, Any],
    table: pd.DataFrame,
    values: pd.DataFrame,
    metadata: Sequence[str],
) -> dict[str, pd.DataFrame]:
    inputs = {}
    for name, model in chosen.items():
        first = model.steps[0][1] if hasattr(model, "steps") else model
        if name == METADATA and metadata:
            inputs[name] = metadata_columns(table, metadata)
        elif getattr(first, "reads_images", False):
            if "image" not in table.columns:
                raise CompareError(f"model {name!r} reads images; the table has no column 'image'")
            if table["image"].map(str).duplicated().any():
                raise CompareError(
                    f"model {name!r} looks at whole images, but the table has several cells of one"
                )
            inputs[name] = table[["image"]]
        else:
            inputs[name] = values
    return inputs


def _permuted_sets(values: pd.DataFrame, truth: np.ndarray) -> dict[str, list[str]]:
    sets = {f"{m}__{f}__*": names for (m, f), names in blocks(values.columns).items()}
    return {**sets, **{name: [name] for name in candidates(values, truth)}}


def _run_all(tasks: Sequence[Task], n_jobs: int, progress: bool | Progress | None) -> list[Outcome]:
    from joblib import Parallel, delayed

    report = _reporter(progress, len(tasks))
    outcomes = []
    report(0, len(tasks), "")
    parallel = Parallel(n_jobs=n_jobs, return_as="generator")
    for outcome in parallel(delayed(run)(task) for task in tasks):
        outcomes.append(outcome)
        report(len(outcomes), len(tasks), f"{outcome.model}, fold {outcome.fold}")
    return outcomes


def _reporter(progress: bool | Progress | None, total: int) -> Progress:
    if callable(progress):
        return progress
    if not progress:
        return lambda done, total, what: None
    from tqdm.auto import tqdm

    bar = tqdm(total=total, desc="compare")

    def show(done: int, total: int, what: str) -> None:
        bar.set_postfix_str(what, refresh=False)
        bar.update(done - bar.n)
        if done == total:
            bar.close()

    return show


def _known_groups(which: Groups) -> np.ndarray:
    # An image's own path says nothing about the cells; only groups that were given count.
    return np.array([name if name.startswith("group ") else "" for name in which.ids])


def _sentence(
    plan: Folds,
    which: Groups,
    classes: Sequence[str],
    n_boot: int,
    random_state: int,
) -> str:
    scored = np.concatenate([test for _, test in plan.pairs])
    parts = [
        plan.sentence,
        f"intervals: 95 % percentile bootstrap over {which.noun} ({n_boot} resamples), "
        f"seed {random_state}",
        f"{len(scored)} cells, {len(classes)} classes",
    ]
    n_groups = len(np.unique(which.ids[scored]))
    if n_groups < _FEW_GROUPS:
        parts.append(f"only {n_groups} {which.noun}, so the intervals are rough")
    if which.note:
        parts.append(which.note)
    return "; ".join(parts) + "."


def _versions() -> dict[str, str]:
    found = {"hemafeat": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            # XGBoost has a second distribution name for machines without a graphics card.
            found[name] = "unknown"
    return found
