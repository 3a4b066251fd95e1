"""Tables of a comparison, from what the folds gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from hemafeat import __version__
from hemafeat.evaluate._fit import Outcome
from hemafeat.evaluate._protocols.splits import Folds, Groups
from hemafeat.evaluate._rows import ROW, image_name, images
from hemafeat.evaluate._scores import METRICS, draw, interval, resampled, scores


def predictions(
    outcomes: Sequence[Outcome],
    plan: Folds,
    table: pd.DataFrame,
    truth: np.ndarray,
    which: Groups,
    classes: Sequence[str],
) -> pd.DataFrame:
    scored = dict(zip(plan.names, (test for _, test in plan.pairs), strict=True))
    names = np.array([image_name(image, row) for row, image in images(table)], dtype=object)
    cells = table["cell"].to_numpy() if "cell" in table.columns else np.ones(len(table), dtype=int)
    parts = []
    for outcome in outcomes:
        test = scored[outcome.fold]
        part = pd.DataFrame(
            {
                "model": outcome.model,
                "row": table[ROW].to_numpy()[test],
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


def arrays(
    predictions: pd.DataFrame, classes: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray]:
    """Truth, prediction, probabilities and fold of one model's rows, as `scores` takes them."""
    number = {name: k for k, name in enumerate(classes)}
    truth, predicted = (
        predictions[name].map(number).to_numpy(dtype=int) for name in ("truth", "predicted")
    )
    probability = predictions[[f"p__{name}" for name in classes]].to_numpy(dtype=np.float64)
    given = None if np.isnan(probability).any() else probability
    folds = predictions["fold"].to_numpy()
    return truth, predicted, given, np.searchsorted(np.unique(folds), folds)


def scored(
    predictions: pd.DataFrame, classes: Sequence[str], n_boot: int, random_state: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows, resamples = [], {}
    times = member = None
    for model, part in predictions.groupby("model", sort=False):
        truth, predicted, given, which = arrays(part, classes)
        fold_names = part["fold"].to_numpy()
        folds_in_order = list(dict.fromkeys(fold_names))
        if times is None or member is None:
            # Every model scored the same rows in the same order: one draw makes pairs of them.
            times, member = draw(part["group"].to_numpy(), n_boot, random_state)
        weights = np.array([fold_names == name for name in folds_in_order], dtype=float)
        per_fold = scores(truth, predicted, given, weights, which)
        pooled = scores(truth, predicted, given, np.ones((1, len(truth))), which)
        resamples[model] = resampled(truth, predicted, given, which, times, member)
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


def stamped(results: pd.DataFrame, plan: Folds, random_state: int, mark: str) -> pd.DataFrame:
    """The results with what every row of them says of how they were made."""
    return results.assign(
        protocol=plan.protocol,
        seed=random_state,
        leaky=plan.leaky,
        fingerprint=mark,
        version=__version__,
    )


def importances(
    outcomes: Sequence[Outcome], sets: Mapping[str, Sequence[str]] | None
) -> pd.DataFrame:
    found: dict[str, list[dict[str, float]]] = {}
    for outcome in outcomes:
        if outcome.importance:
            found.setdefault(outcome.model, []).append(outcome.importance)
    return importance_table(found, list(sets or ()))


def importance_table(
    losses: Mapping[str, Sequence[Mapping[str, float]]], columns: Sequence[str]
) -> pd.DataFrame:
    """Mean and spread over the folds of what each model loses by each column or block of them."""
    names = ["model", "kind", "column", "mask", "family", "importance", "sd"]
    rows = []
    for model, parts in losses.items():
        for column in columns:
            values = np.array([part[column] for part in parts])
            mask, inside, rest = column.partition("__")
            kind = "block" if column.endswith("__*") else "column"
            spread = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
            family = rest.partition("__")[0]
            mask = mask if inside else ""
            rows.append((model, kind, column, mask, family, float(values.mean()), spread))
    return pd.DataFrame(rows, columns=names)


def seconds(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    rows = [(o.model, o.fit_seconds, o.predict_seconds) for o in outcomes]
    frame = pd.DataFrame(rows, columns=["model", "fit", "predict"])
    return frame.groupby("model", sort=False, as_index=False).sum()
