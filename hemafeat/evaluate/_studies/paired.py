"""Paired differences between comparisons of the same models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hemafeat._resample import draw, interval
from hemafeat.evaluate._comparison import Comparison
from hemafeat.evaluate._scores import METRICS, arrays, resampled


def paired_differences(
    minuend: Sequence[Comparison],
    subtrahend: Sequence[Comparison],
    n_boot: int,
    random_state: int,
) -> pd.DataFrame:
    """Compute the differences of the scores of two comparisons, with paired intervals.

    Parameters
    ----------
    minuend, subtrahend : sequence of Comparison
        Repeats with different seeds; a score is their mean.
    n_boot : int
        Number of resamples.
    random_state : int
        Seed of the resamples.

    Returns
    -------
    DataFrame
        ``model, metric, difference, low, high``, for the models of both.

    Notes
    -----
    Each group is drawn equally often on both sides, whatever cells of it were scored, so that the
    effect of the patients drawn cancels.
    """
    sides = (minuend, subtrahend)
    models = [name for name in minuend[0].models if name in subtrahend[0].models]
    ids = np.concatenate([c.predictions["group"].to_numpy() for side in sides for c in side])
    names = np.unique(ids.astype(str))
    counts, _ = draw(names, n_boot, random_state)
    rows = []
    for model in models:
        means = [_mean_resamples(side, model, names, counts) for side in sides]
        for metric in METRICS:
            values = [_mean_score(side, model, metric) for side in sides]
            difference = values[0] - values[1]
            low, high = interval(means[0][metric] - means[1][metric], difference)
            rows.append((model, metric, difference, low, high))
    return pd.DataFrame(rows, columns=["model", "metric", "difference", "low", "high"])


def _mean_resamples(
    side: Sequence[Comparison], model: str, names: np.ndarray, counts: np.ndarray
) -> dict[str, np.ndarray]:
    """Average the scores of each resample over repeats."""
    repeats = []
    for comparison in side:
        part = comparison.predictions[comparison.predictions["model"] == model]
        member = np.searchsorted(names, part["group"].to_numpy().astype(str))
        repeats.append(resampled(*arrays(part, comparison.classes), counts, member))
    return {name: np.mean([values[name] for values in repeats], axis=0) for name in METRICS}


def _mean_score(side: Sequence[Comparison], model: str, metric: str) -> float:
    """Average a pooled score over repeats."""
    values = []
    for comparison in side:
        results = comparison.results
        rows = (
            (results["model"] == model) & (results["fold"] == "all") & (results["metric"] == metric)
        )
        values.append(results.loc[rows, "value"].iloc[0])
    return float(np.mean(values))
