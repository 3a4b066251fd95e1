"""Tables of a comparison, made of the outcomes of its folds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from hemafeat import extract
from hemafeat._resample import draw, interval
from hemafeat.evaluate._fit import EVERY_IMAGE, Outcome, Task
from hemafeat.evaluate._protocols.splits import Folds, Groups
from hemafeat.evaluate._rows import ROW, image_names
from hemafeat.evaluate._scores import METRICS, arrays, resampled, scores

PARTS = ("train", "validation", EVERY_IMAGE)
"""Parts that can be scored beside the test part."""


def predictions(
    outcomes: Sequence[Outcome],
    plan: Folds,
    table: pd.DataFrame,
    truth: np.ndarray,
    groups: Groups,
    classes: Sequence[str],
) -> pd.DataFrame:
    """Tabulate predictions, one row per model and scored row; see `Comparison.predictions`."""
    test_rows = dict(zip(plan.names, (test for _, test in plan.pairs), strict=True))
    names = image_names(table)
    sets = table["dataset"].astype("string") if "dataset" in table.columns else pd.Series([])
    several = len(set(sets.dropna())) > 1
    cells = table["cell"].to_numpy() if "cell" in table.columns else np.ones(len(table), dtype=int)
    where = table.filter(regex="^where__")
    codes: dict[str, int] = {name: k for k, name in enumerate(classes)}
    doubts = None
    if "quality__suspected_failure" in table:
        doubts = extract.suspected(table).to_numpy(object)
    parts = []
    for outcome in outcomes:
        test = test_rows[outcome.fold]
        part = pd.DataFrame(
            {
                "model": outcome.model,
                "row": table[ROW].to_numpy()[test],
                "image": names[test],
                "cell": cells[test],
                **{str(name): where[name].to_numpy()[test] for name in where},
                "group": groups.ids[test],
                **({"dataset": sets.to_numpy(dtype=object)[test]} if several else {}),
                "fold": outcome.fold,
                "truth": truth[test],
                "predicted": outcome.predicted,
            }
        )
        probability = outcome.probability
        if probability is None:
            probability = np.full((len(test), len(classes)), np.nan)
        predicted = [codes[name] for name in outcome.predicted]
        part["probability"] = probability[np.arange(len(test)), predicted]
        if doubts is not None:
            part["suspected_failure"] = doubts[test]
        columns = pd.DataFrame(probability, columns=[f"p__{name}" for name in classes])
        answers = [] if outcome.answers is None else [outcome.answers]
        parts.append(pd.concat([part, columns, *answers], axis=1))
    return pd.concat(parts, ignore_index=True)


def score_tables(
    predictions: pd.DataFrame, classes: Sequence[str], n_boot: int, random_state: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score all models and the differences of each pair of them, with bootstrap intervals.

    Returns
    -------
    results : DataFrame
        ``model, fold, metric, value, low, high``.
    differences : DataFrame
        ``model_a, model_b, metric, difference, low, high``.
    """
    rows, resamples = [], {}
    counts = member = None
    for model, part in predictions.groupby("model", sort=False):
        truth, predicted, probability, fold = arrays(part, classes)
        fold_names = part["fold"].to_numpy()
        folds_in_order = list(dict.fromkeys(fold_names))
        if counts is None or member is None:
            # All models are scored on the same rows in the same order, so that one draw of groups
            # pairs their resamples.
            counts, member = draw(part["group"].to_numpy(), n_boot, random_state)
        weights = np.array([fold_names == name for name in folds_in_order], dtype=float)
        per_fold = scores(truth, predicted, probability, weights, fold)
        pooled = scores(truth, predicted, probability, np.ones((1, len(truth))), fold)
        resamples[model] = resampled(truth, predicted, probability, fold, counts, member)
        for metric in METRICS:
            for k, name in enumerate(folds_in_order):
                rows.append((model, name, metric, per_fold[metric][k], np.nan, np.nan))
            low, high = interval(resamples[model][metric], pooled[metric][0])
            rows.append((model, "all", metric, pooled[metric][0], low, high))
    results = pd.DataFrame(rows, columns=["model", "fold", "metric", "value", "low", "high"])
    values = results[results["fold"] == "all"].set_index(["model", "metric"])["value"]
    differences = []
    for a, b in combinations(resamples, 2):
        for metric in METRICS:
            difference = values[a, metric] - values[b, metric]
            low, high = interval(resamples[a][metric] - resamples[b][metric], difference)
            differences.append((a, b, metric, difference, low, high))
    names = ["model_a", "model_b", "metric", "difference", "low", "high"]
    return results, pd.DataFrame(differences, columns=names)


def part_scores(
    outcomes: Sequence[Outcome],
    tasks: Sequence[Task],
    groups: Groups,
    classes: Sequence[str],
    results: pd.DataFrame,
    n_boot: int,
    random_state: int,
) -> pd.DataFrame:
    """Score the parts that were predicted beside the test part; see `Comparison.part_scores`.

    Those of the test part are taken from the results.
    """
    codes = {name: k for k, name in enumerate(classes)}
    rows: list[tuple[Any, ...]] = []
    by_model: dict[str, list[tuple[Task, Outcome]]] = {}
    for task, outcome in zip(tasks, outcomes, strict=True):
        by_model.setdefault(task.model, []).append((task, outcome))
    pooled = results[results["fold"] == "all"].set_index(["model", "metric"])
    for model, folds in by_model.items():
        n_test = sum(len(task.test) for task, _ in folds)
        others = [name for name in PARTS if any(name in task.parts for task, _ in folds)]
        for part in [*others, "test"]:
            if part == "test":
                for metric in METRICS:
                    value, low, high = pooled.loc[(model, metric), ["value", "low", "high"]]
                    rows.append((model, part, metric, value, low, high, n_test))
                continue
            scored = _scores_of_part(part, folds, groups, codes, n_boot, random_state)
            rows += [(model, part, metric, *numbers, n) for metric, numbers, n in scored]
    columns = ["model", "part", "metric", "value", "low", "high", "n"]
    return pd.DataFrame(rows, columns=columns).astype({"n": int})


def _scores_of_part(
    part: str,
    folds: Sequence[tuple[Task, Outcome]],
    groups: Groups,
    codes: Mapping[str, int],
    n_boot: int,
    random_state: int,
) -> Iterator[tuple[str, tuple[float, float, float], int]]:
    """Yield metric, value with interval, and number of rows, pooled over the folds of one model."""
    judged = [
        (number, task.parts[part], *outcome.parts[part])
        for number, (task, outcome) in enumerate(folds)
        if part in outcome.parts
    ]
    if part == EVERY_IMAGE:
        judged += [
            (number, task.test, outcome.predicted, outcome.probability)
            for number, (task, outcome) in enumerate(folds)
        ]
    numbers, rows_of, predicted, probabilities = (list(of) for of in zip(*judged, strict=True))
    rows = np.concatenate(rows_of)
    fold = np.repeat(numbers, list(map(len, rows_of)))
    truth = folds[0][0].truth[rows]
    to_codes = np.vectorize(codes.__getitem__, otypes=[int])
    given = [probability for probability in probabilities if probability is not None]
    arguments = (
        to_codes(truth),
        to_codes(np.concatenate(predicted)),
        np.concatenate(given) if len(given) == len(judged) else None,
    )
    values = scores(*arguments, np.ones((1, len(rows))), fold)
    resamples = None
    if part != "train":
        # Rows that were trained on are no sample of those a model has not seen.
        counts, member = draw(groups.ids[rows], n_boot, random_state)
        resamples = resampled(*arguments, fold, counts, member)
    for metric in METRICS:
        value = float(values[metric][0])
        bounds = (np.nan, np.nan) if resamples is None else interval(resamples[metric], value)
        yield metric, (value, *bounds), len(rows)


def searches(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Tabulate what searches have chosen in each fold; see `Comparison.searches`."""
    rows = [
        (outcome.model, outcome.fold, *choice) for outcome in outcomes for choice in outcome.choices
    ]
    names = ["model", "fold", "step", "parameter", "value", "score", "selected_on"]
    return pd.DataFrame(rows, columns=names).astype({"score": float})


def importances(
    outcomes: Sequence[Outcome], sets: Mapping[str, Sequence[str]] | None
) -> pd.DataFrame:
    """Tabulate permutation importances of the models that have them."""
    losses: dict[str, list[dict[str, float]]] = {}
    for outcome in outcomes:
        if outcome.importance:
            losses.setdefault(outcome.model, []).append(outcome.importance)
    return importance_table(losses, list(sets or ()))


def importance_table(
    losses: Mapping[str, Sequence[Mapping[str, float]]], columns: Sequence[str]
) -> pd.DataFrame:
    """Average the losses of each model by column or block over the folds.

    Parameters
    ----------
    losses : mapping of str to list of mapping of str to float
        Losses by column or block, of each fold of each model.
    columns : sequence of str
        Columns and blocks to tabulate.

    Returns
    -------
    DataFrame
        As `Comparison.importances`.
    """
    names = ["model", "kind", "column", "mask", "family", "importance", "sd"]
    rows = []
    for model, folds in losses.items():
        for column in columns:
            values = np.array([fold[column] for fold in folds if column in fold])
            if not len(values):
                continue
            mask, inside, rest = column.partition("__")
            kind = "block" if column.endswith("__*") else "column"
            spread = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
            family = rest.partition("__")[0]
            mask = mask if inside else ""
            rows.append((model, kind, column, mask, family, float(values.mean()), spread))
    return pd.DataFrame(rows, columns=names)


def seconds(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Sum the seconds of fitting and predicting over the folds of each model."""
    rows = [(o.model, o.fit_seconds, o.predict_seconds) for o in outcomes]
    frame = pd.DataFrame(rows, columns=["model", "fit", "predict"])
    return frame.groupby("model", sort=False, as_index=False).sum()
