"""Bootstrap of whole groups, and the percentile intervals of what it gives."""

from __future__ import annotations

import numpy as np

LEVEL = 0.95
"""Level of the intervals."""


def draw(ids: np.ndarray, n_boot: int, random_state: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw whole groups with replacement.

    Parameters
    ----------
    ids : (n_rows,) ndarray
        Group of each row.
    n_boot : int
        Number of resamples.
    random_state : int
        Seed.

    Returns
    -------
    counts : (n_boot, n_groups) ndarray of int
        How often each group is drawn in each resample; a row sums to n_groups.
    member : (n_rows,) ndarray of int
        Index of the group of each row, so that ``counts[:, member]`` are row weights.
    """
    groups, member = np.unique(ids, return_inverse=True)
    rng = np.random.default_rng(random_state)
    share = np.full(len(groups), 1 / len(groups))
    return rng.multinomial(len(groups), share, size=n_boot), member


def interval(
    values: np.ndarray, value: float = np.nan, level: float = LEVEL
) -> tuple[float, float]:
    """Compute the percentile interval of resampled values without NaN; NaN if none is left.

    `value` is the score of all rows. The interval always holds it: percentiles of few resamples,
    or of a skewed score, may lie on one side of it.
    """
    finite = values[~np.isnan(values)]
    if not finite.size:
        return float("nan"), float("nan")
    tail = (1 - level) / 2
    low, high = np.quantile(finite, [tail, 1 - tail])
    return float(np.fmin(low, value)), float(np.fmax(high, value))
