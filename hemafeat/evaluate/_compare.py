"""Many models, the same held-out cells, one table."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from hemafeat import __version__, extract, pipelines

from ._bootstrap import draw, interval, resampled
from ._comparison import Comparison
from ._fingerprint import fingerprint, row_digests
from ._fit import Outcome, Task, run
from ._importance import blocks, candidates
from ._scores import METRICS, scores
from ._splits import CompareError, Folds, Groups, folds, group_ids

BASELINE = "baseline"
METADATA = "metadata"

_FEW_GROUPS = 20
"""Below this, a percentile interval over groups is only a rough one."""

_PACKAGES = ("numpy", "scipy", "pandas", "scikit-learn", "xgboost")

Progress = Callable[[int, int, str], None]


def compare(
    models: None | str | Iterable[str] | Mapping[str, Any],
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
    """Compare models on cells they have not seen, of groups they have not seen.

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
    groups, with the folds and fitted models as they are: they hold the luck of the cells scored, not
    that of the training. Resamples are shared by the models, so that differences are paired.

    Examples
    --------
    >>> from hemafeat import evaluate                                       # doctest: +SKIP
    >>> found = evaluate.compare(["svc", "xgboost"], table, groups="patient")  # doctest: +SKIP
    >>> print(found.protocol, found.summary(), sep="\\n")                    # doctest: +SKIP
    """
    used, errors = _labelled(table, label)
    features = _features(used, columns)
    used, features = _in_order(used, features, label)
    which = group_ids(used, groups)
    truth = used[label].astype(str).to_numpy(dtype=object).astype(str)
    if split != "official":
        keep, dropped = _common(truth, which, split, n_splits, rare)
        errors += dropped
        used, features, truth = used[keep], features[keep], truth[keep]
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
    inputs = _inputs(chosen, used, features, metadata)
    classes = sorted({str(name) for pair in plan.pairs for part in pair for name in truth[part]})
    sets = _permuted_sets(features, truth) if importance else None
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
            sets if inputs[name] is features and name != BASELINE else None,
            (random_state, number),
        )
        for name, estimator in chosen.items()
        for number, (fold, (train, test)) in enumerate(zip(plan.names, plan.pairs, strict=True))
    ]
    outcomes = _run_all(tasks, n_jobs, progress)
    for outcome in outcomes:
        for kind, text in outcome.warnings:
            errors.append(("", f"{outcome.model}, fold {outcome.fold}", kind, text))
    predictions = _predictions(outcomes, plan, used, truth, which, classes)
    marks = {
        "protocol": plan.protocol,
        "seed": random_state,
        "fingerprint": fingerprint(features, truth, _known_groups(which)),
        "version": __version__,
    }
    results, differences = _scored(predictions, classes, n_boot, random_state)
    return Comparison(
        results=results.assign(**marks),
        predictions=predictions,
        differences=differences,
        importances=_importances(outcomes, sets),
        seconds=_seconds(outcomes),
        errors=pd.DataFrame(errors, columns=["image", "stage", "error", "message"], dtype=str),
        classes=classes,
        leaky=plan.leaky,
        protocol=_sentence(plan, which, truth, classes, n_boot, random_state),
        fingerprint=marks["fingerprint"],
        versions=_versions(),
        n_boot=n_boot,
        random_state=random_state,
    )


def _labelled(table: pd.DataFrame, label: str) -> tuple[pd.DataFrame, list[tuple[str, ...]]]:
    if label not in table.columns:
        raise CompareError(f"the table has no column {label!r}")
    if not len(table):
        raise CompareError("the table has no rows")
    table = table.copy(deep=False)
    table.attrs = {}
    table["__row"] = np.arange(len(table))
    known = table[label].notna().to_numpy()
    errors: list[tuple[str, ...]] = [
        (_image_name(image, row), "compare", "no label", f"column {label!r} is empty")
        for row, image in _images(table[~known])
    ]
    if not known.any():
        raise CompareError(f"no row has a value in column {label!r}")
    return table[known], errors


def _images(table: pd.DataFrame) -> list[tuple[int, Any]]:
    images = table["image"] if "image" in table.columns else [None] * len(table)
    return list(zip(table["__row"], images, strict=True))


def _image_name(image: object, row: int) -> str:
    return image if isinstance(image, str) else f"row {row}"


def _features(table: pd.DataFrame, columns: Sequence[str] | None) -> pd.DataFrame:
    wanted = extract.feature_columns(table) if columns is None else list(columns)
    missing = [name for name in wanted if name not in table.columns]
    if missing:
        raise CompareError(f"the table lacks {len(missing)} columns: {', '.join(missing[:5])}")
    if not wanted:
        raise CompareError(
            "the table has no feature columns (mask__family__feature); name them with columns=[...]"
        )
    try:
        values = table[wanted].to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        kinds = table[wanted].dtypes
        words = [n for n in wanted if not pd.api.types.is_numeric_dtype(kinds[n])]
        raise CompareError(f"feature columns that are not numbers: {words[:5]}") from None
    bad = np.isinf(values).any(axis=0)
    if bad.any():
        names = [n for n, infinite in zip(wanted, bad, strict=True) if infinite]
        raise CompareError(f"infinite values in feature columns: {names[:5]}")
    return pd.DataFrame(values, columns=wanted)


def _in_order(
    table: pd.DataFrame, features: pd.DataFrame, label: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows by image and cell; by their values where images have no names."""
    table = table.reset_index(drop=True)
    named = "image" in table.columns and all(isinstance(name, str) for name in table["image"])
    if named:
        cells = table["cell"] if "cell" in table.columns else [0] * len(table)
        keys: list[Any] = list(zip(table["image"].str.replace("\\", "/"), cells, strict=True))
        named = len(set(keys)) == len(keys)
    if not named:
        labels = table[label].astype(str).to_numpy(dtype=object)
        keys = row_digests(features, labels, np.full(len(table), ""))
    order = sorted(range(len(table)), key=keys.__getitem__)
    return table.iloc[order].reset_index(drop=True), features.iloc[order].reset_index(drop=True)


def _common(
    truth: np.ndarray, which: Groups, split: str, n_splits: int, rare: str
) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """Rows of the classes that have a group for every fold, when the caller asked for that."""
    if rare not in ("error", "drop"):
        raise CompareError(f"rare={rare!r}: give 'error' or 'drop'")
    keep = np.ones(len(truth), dtype=bool)
    if rare == "error":
        return keep, []
    ids = which.ids if split == "grouped" else np.arange(len(truth))
    counts = pd.Series(ids).groupby(truth).nunique()
    errors: list[tuple[str, ...]] = []
    for name, count in counts[counts < n_splits].items():
        here = truth == name
        keep &= ~here
        text = f"class {name!r} left out: {here.sum()} cells, fewer groups ({count}) than folds"
        errors.append(("", "compare", "rare class", text))
    return keep, errors


def _models(
    models: None | str | Iterable[str] | Mapping[str, Any],
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
    features: pd.DataFrame,
    metadata: Sequence[str],
) -> dict[str, pd.DataFrame]:
    inputs = {}
    for name, model in chosen.items():
        first = model.steps[0][1] if hasattr(model, "steps") else model
        if name == METADATA and metadata:
            inputs[name] = _metadata(table, metadata)
        elif getattr(first, "reads_images", False):
            if "image" not in table.columns:
                raise CompareError(f"model {name!r} reads images; the table has no column 'image'")
            if table["image"].map(str).duplicated().any():
                raise CompareError(
                    f"model {name!r} looks at whole images, but the table has several cells of one"
                )
            inputs[name] = table[["image"]]
        else:
            inputs[name] = features
    return inputs


def _metadata(table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise CompareError(f"the table lacks the metadata columns: {', '.join(missing)}")
    out = pd.DataFrame(index=table.index)
    for name in names:
        column = table[name]
        if pd.api.types.is_numeric_dtype(column.dtype):
            out[name] = column.to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            out[name] = column.astype("string").fillna("missing").astype(object)
    return out


def _permuted_sets(features: pd.DataFrame, truth: np.ndarray) -> dict[str, list[str]]:
    sets = {f"{m}__{f}__*": names for (m, f), names in blocks(features.columns).items()}
    return {**sets, **{name: [name] for name in candidates(features, truth)}}


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


def _predictions(
    outcomes: Sequence[Outcome],
    plan: Folds,
    table: pd.DataFrame,
    truth: np.ndarray,
    which: Groups,
    classes: Sequence[str],
) -> pd.DataFrame:
    scored = dict(zip(plan.names, (test for _, test in plan.pairs), strict=True))
    names = np.array([_image_name(image, row) for row, image in _images(table)], dtype=object)
    cells = table["cell"].to_numpy() if "cell" in table.columns else np.ones(len(table), dtype=int)
    parts = []
    for outcome in outcomes:
        test = scored[outcome.fold]
        part = pd.DataFrame(
            {
                "model": outcome.model,
                "row": table["__row"].to_numpy()[test],
                "image": names[test],
                "cell": cells[test],
                "group": which.ids[test],
                "fold": outcome.fold,
                "truth": truth[test],
                "predicted": outcome.predicted,
            }
        )
        probability = outcome.probability
        if probability is None:
            probability = np.full((len(test), len(classes)), np.nan)
        chances = pd.DataFrame(probability, columns=[f"p__{name}" for name in classes])
        parts.append(pd.concat([part, chances], axis=1))
    return pd.concat(parts, ignore_index=True)


def _scored(
    predictions: pd.DataFrame, classes: Sequence[str], n_boot: int, random_state: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    number = {name: k for k, name in enumerate(classes)}
    chances = [f"p__{name}" for name in classes]
    rows, resamples = [], {}
    times = member = None
    for model, part in predictions.groupby("model", sort=False):
        truth = part["truth"].map(number).to_numpy(dtype=int)
        predicted = part["predicted"].map(number).to_numpy(dtype=int)
        probability = part[chances].to_numpy(dtype=np.float64)
        given = None if np.isnan(probability).any() else probability
        fold_names = part["fold"].to_numpy()
        folds_in_order = list(dict.fromkeys(fold_names))
        if times is None or member is None:
            # Every model scored the same rows in the same order: one draw makes pairs of them.
            times, member = draw(part["group"].to_numpy(), n_boot, random_state)
        weights = np.array([fold_names == name for name in folds_in_order], dtype=float)
        per_fold = scores(truth, predicted, given, weights)
        pooled = scores(truth, predicted, given, np.ones((1, len(truth))))
        resamples[model] = resampled(truth, predicted, given, times, member)
        for metric in METRICS:
            for place, name in enumerate(folds_in_order):
                rows.append((model, name, metric, per_fold[metric][place], np.nan, np.nan))
            low, high = interval(resamples[model][metric])
            rows.append((model, "all", metric, pooled[metric][0], low, high))
    results = pd.DataFrame(rows, columns=["model", "fold", "metric", "value", "low", "high"])
    pooled_value = results[results["fold"] == "all"].set_index(["model", "metric"])["value"]
    differences = []
    for a, b in combinations(resamples, 2):
        for metric in METRICS:
            low, high = interval(resamples[a][metric] - resamples[b][metric])
            gap = pooled_value[a, metric] - pooled_value[b, metric]
            differences.append((a, b, metric, gap, low, high))
    names = ["model_a", "model_b", "metric", "difference", "low", "high"]
    return results, pd.DataFrame(differences, columns=names)


def _importances(
    outcomes: Sequence[Outcome], sets: Mapping[str, Sequence[str]] | None
) -> pd.DataFrame:
    names = ["model", "kind", "column", "mask", "family", "importance", "sd"]
    found: dict[str, list[dict[str, float]]] = {}
    for outcome in outcomes:
        if outcome.importance:
            found.setdefault(outcome.model, []).append(outcome.importance)
    rows = []
    for model, parts in found.items():
        for column in sets or ():
            values = np.array([part[column] for part in parts])
            mask, _, rest = column.partition("__")
            kind = "block" if column.endswith("__*") else "column"
            spread = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
            family = rest.partition("__")[0]
            rows.append((model, kind, column, mask, family, float(values.mean()), spread))
    return pd.DataFrame(rows, columns=names)


def _seconds(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    rows = [(o.model, o.fit_seconds, o.predict_seconds) for o in outcomes]
    frame = pd.DataFrame(rows, columns=["model", "fit", "predict"])
    return frame.groupby("model", sort=False, as_index=False).sum()


def _known_groups(which: Groups) -> np.ndarray:
    # An image's own path says nothing about the cells; only groups that were given count.
    return np.array([name if name.startswith("group ") else "" for name in which.ids])


def _sentence(
    plan: Folds,
    which: Groups,
    truth: np.ndarray,
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
