"""What the page puts first: the metric to rank by, the order of the models, the best of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hemafeat.report._style import METRICS, more_is_better

if TYPE_CHECKING:
    import pandas as pd

    from hemafeat.evaluate import Comparison

BASELINES = (
    *("baseline", "majority", "majority_class", "dummy"),
    *("metadata", "bag_size", "stain", "date_format"),
)
"""Names of models that learn nothing from the features; never called the best."""


def judged(comparison: Comparison) -> str:
    """What a verdict is on: a cell, or a patient."""
    return "patient" if hasattr(comparison, "verdicts") else "cell"


def is_baseline(model: str) -> bool:
    """Whether `model` only stands there to be beaten."""
    return model in BASELINES or model.startswith("baseline")


def pooled(comparison: Comparison) -> pd.DataFrame:
    """The rows of the results that speak of all folds together."""
    results = comparison.results
    return results[results["fold"].astype(str) == "all"]


def metrics(comparison: Comparison) -> list[str]:
    """Every metric of the comparison: the well-known first, then as they come."""
    found = list(dict.fromkeys(pooled(comparison)["metric"]))
    order = {name: place for place, name in enumerate(METRICS)}
    return sorted(found, key=lambda name: order.get(name, len(order)))


def main_metric(comparison: Comparison) -> str:
    """The metric models are ranked by: balanced accuracy where there is one."""
    return metrics(comparison)[0]


def scores(comparison: Comparison, metric: str) -> pd.DataFrame:
    """``value, low, high`` of each model over all folds, by model."""
    rows = pooled(comparison)
    rows = rows[rows["metric"] == metric].set_index("model")
    return rows[["value", "low", "high"]].astype(float)


def models(comparison: Comparison) -> list[str]:
    """Models from best to worst by the main metric, baselines last."""
    metric = main_metric(comparison)
    values = scores(comparison, metric)["value"]
    sign = -1.0 if more_is_better(metric) else 1.0
    names = list(dict.fromkeys(pooled(comparison)["model"]))

    def rank(name: str) -> tuple[bool, float, str]:
        value = float(values.get(name, np.nan))
        return is_baseline(name), np.inf if np.isnan(value) else sign * value, name

    return sorted(names, key=rank)


def best(comparison: Comparison) -> str:
    """The model that scores best by the main metric."""
    return models(comparison)[0]


def of_model(comparison: Comparison, model: str) -> pd.DataFrame:
    """The predictions of one model.

    Raises
    ------
    KeyError
        The comparison has no such model.
    """
    rows = comparison.predictions
    rows = rows[rows["model"] == model]
    if rows.empty:
        known = ", ".join(dict.fromkeys(comparison.predictions["model"]))
        raise KeyError(f"no predictions of {model!r}; there are: {known}")
    return rows


def probabilities(comparison: Comparison, model: str) -> np.ndarray | None:
    """(n_cells, n_classes) of one model, in the order of ``comparison.classes``, or None."""
    rows = of_model(comparison, model)
    columns = [f"p__{name}" for name in comparison.classes]
    if not set(columns) <= set(rows.columns):
        return None
    found = rows[columns].to_numpy(np.float64, na_value=np.nan)
    return found if np.isfinite(found).all() else None
