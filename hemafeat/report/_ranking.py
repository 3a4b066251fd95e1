"""Order of the models, and scores and predictions of one of them, as the page shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hemafeat.report._style import METRICS

if TYPE_CHECKING:
    import pandas as pd

    from hemafeat.evaluate import Comparison


def ranking(comparison: Comparison) -> list[str]:
    """Return the models from best to worst by the main metric, the baselines last."""
    baselines = [name for name in comparison.ranked(baselines=True) if name in comparison.baselines]
    return [*comparison.ranked(), *baselines]


def metrics(comparison: Comparison) -> list[str]:
    """Return the metrics of a comparison, those in `METRICS` first."""
    names = dict.fromkeys(comparison.results["metric"])
    order = {name: k for k, name in enumerate(METRICS)}
    return sorted(names, key=lambda name: order.get(name, len(order)))


def scores(comparison: Comparison, metric: str) -> pd.DataFrame:
    """Return ``value, low, high`` of each model over all folds, by model."""
    rows = comparison.results
    rows = rows[(rows["fold"].astype(str) == "all") & (rows["metric"] == metric)]
    return rows.set_index("model")[["value", "low", "high"]].astype(float)


def predictions_of(comparison: Comparison, model: str) -> pd.DataFrame:
    """Return the predictions of one model.

    Raises
    ------
    KeyError
        If the comparison has no such model.
    """
    rows = comparison.predictions[comparison.predictions["model"] == model]
    if rows.empty:
        names = ", ".join(dict.fromkeys(comparison.predictions["model"]))
        raise KeyError(f"no predictions of {model!r}; there are: {names}")
    return rows


def probabilities(comparison: Comparison, model: str) -> np.ndarray | None:
    """Return the probabilities of one model, or None if it gives none.

    Returns
    -------
    (n_rows, n_classes) ndarray of float64, or None
        Columns in the order of ``comparison.classes``.
    """
    rows = predictions_of(comparison, model)
    columns = [f"p__{name}" for name in comparison.classes]
    if not set(columns) <= set(rows.columns):
        return None
    values = rows[columns].to_numpy(np.float64, na_value=np.nan)
    return values if np.isfinite(values).all() else None
