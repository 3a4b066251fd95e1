"""Intervals: whole groups are drawn again, with replacement."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hemafeat.evaluate._scores import METRICS, scores

LEVEL = 0.95

_BLOCK = 4_000_000
"""Row weights held at once; bounds the memory, not the result."""


def draw(ids: np.ndarray, n_boot: int, random_state: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each group is drawn in each resample.

    Parameters
    ----------
    ids : (n_rows,) ndarray
        Group of each row.
    n_boot : int
        Resamples.
    random_state : int
        Seed.

    Returns
    -------
    counts : (n_boot, n_groups) ndarray of int
        Each row sums to n_groups.
    member : (n_rows,) ndarray of int
        Number of the group of each row, so that ``counts[:, member]`` are row weights.
    """
    groups, member = np.unique(ids, return_inverse=True)
    rng = np.random.default_rng(random_state)
    share = np.full(len(groups), 1 / len(groups))
    return rng.multinomial(len(groups), share, size=n_boot), member


def resampled(
    truth: np.ndarray,
    predicted: np.ndarray,
    probability: np.ndarray | None,
    fold: np.ndarray | None,
    counts: np.ndarray,
    member: np.ndarray,
) -> dict[str, np.ndarray]:
    """Every metric on every resample: name to (n_boot,) ndarray."""
    parts = [
        scores(truth, predicted, probability, weights, fold)
        for weights in _row_weights(counts, member)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in METRICS}


def _row_weights(counts: np.ndarray, member: np.ndarray) -> Iterator[np.ndarray]:
    step = max(1, _BLOCK // max(1, len(member)))
    for start in range(0, len(counts), step):
        yield counts[start : start + step][:, member].astype(np.float64)


def interval(values: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Percentile interval of resampled values; NaN when there are none."""
    known = values[~np.isnan(values)]
    if not known.size:
        return float("nan"), float("nan")
    tail = (1 - level) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return float(low), float(high)
