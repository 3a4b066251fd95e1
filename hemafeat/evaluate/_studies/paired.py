"""Differences between comparisons of the same models, the groups of both drawn together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hemafeat.evaluate._comparison import Comparison
from hemafeat.evaluate._scores import METRICS, draw, interval, resampled
from hemafeat.evaluate._tables import arrays


def gaps(
    one: Sequence[Comparison], other: Sequence[Comparison], n_boot: int, random_state: int
) -> pd.DataFrame:
    """Scores of `one` minus those of `other`, model by model, with paired intervals.

    Parameters
    ----------
    one, other : sequence of Comparison
        Repeats, by seed; a score is their mean.
    n_boot : int
        Resamples.
    random_state : int
        Seed of the resamples.

    Returns
    -------
    DataFrame
        ``model, metric, difference, low, high``.

    Notes
    -----
    A group is drawn on both sides at once, as often, whatever cells of it each side scored; what
    both sides owe to the patients that happened to be there cancels.
    """
    models = [name for name in one[0].models if name in other[0].models]
    ids = np.concatenate([c.predictions["group"].to_numpy() for c in (*one, *other)])
    names = np.unique(ids.astype(str))
    counts, _ = draw(names, n_boot, random_state)
    rows = []
    for model in models:
        means = [_mean(side, model, names, counts) for side in (one, other)]
        for metric in METRICS:
            low, high = interval(means[0][metric] - means[1][metric])
            values = [_value(side, model, metric) for side in (one, other)]
            rows.append((model, metric, values[0] - values[1], low, high))
    return pd.DataFrame(rows, columns=["model", "metric", "difference", "low", "high"])


def _mean(
    side: Sequence[Comparison], model: str, names: np.ndarray, counts: np.ndarray
) -> dict[str, np.ndarray]:
    found = []
    for comparison in side:
        part = comparison.predictions[comparison.predictions["model"] == model]
        member = np.searchsorted(names, part["group"].to_numpy().astype(str))
        found.append(resampled(*arrays(part, comparison.classes), counts, member))
    return {name: np.mean([values[name] for values in found], axis=0) for name in METRICS}


def _value(side: Sequence[Comparison], model: str, metric: str) -> float:
    values = []
    for comparison in side:
        found = comparison.results
        here = (found["model"] == model) & (found["fold"] == "all") & (found["metric"] == metric)
        values.append(found.loc[here, "value"].iloc[0])
    return float(np.mean(values))
