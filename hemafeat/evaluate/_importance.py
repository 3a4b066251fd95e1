"""Which columns a model leans on: permuted on held-out cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hemafeat.evaluate._scores import from_confusion, sums

MAX_ROWS = 200
"""Held-out cells per fold used for importances."""


def blocks(columns: Iterable[str]) -> dict[tuple[str, str], list[str]]:
    """Columns by (mask, family), in the order of the table."""
    found: dict[tuple[str, str], list[str]] = {}
    for name in columns:
        mask, _, rest = name.partition("__")
        found.setdefault((mask, rest.partition("__")[0]), []).append(name)
    return found


def candidates(features: pd.DataFrame, truth: np.ndarray) -> list[str]:
    """The column of each block that separates the classes best alone.

    Hundreds of correlated columns stand in for each other, so that permuting one of them says
    little; one per block keeps the list readable and cheap.

    Parameters
    ----------
    features : (n_rows, n_features) DataFrame
        May hold NaN.
    truth : (n_rows,) ndarray of str
        Labels.

    Returns
    -------
    list of str
        In the order of the blocks.
    """
    values = features.to_numpy(dtype=np.float64)
    ratio = dict(zip(features.columns, separation(values, truth), strict=True))
    return [max(names, key=lambda name: ratio[name]) for names in blocks(features.columns).values()]


def separation(values: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Share of each column's variance that lies between the classes (eta squared), without NaN."""
    known = ~np.isnan(values)
    filled = np.where(known, values, 0.0)
    n = np.maximum(known.sum(axis=0), 1)
    centred = np.where(known, values - filled.sum(axis=0) / n, 0.0)
    total = (centred**2).sum(axis=0)
    between = np.zeros(values.shape[1])
    for name in np.unique(truth):
        here = truth == name
        count = known[here].sum(axis=0)
        between += centred[here].sum(axis=0) ** 2 / np.maximum(count, 1)
    return np.where(total > 0, between / np.where(total > 0, total, 1.0), 0.0)


def permuted(
    model: Any,
    features: pd.DataFrame,
    truth: np.ndarray,
    sets: Mapping[str, Sequence[str]],
    seed: Sequence[int],
) -> dict[str, float]:
    """Loss of balanced accuracy when each set of columns is shuffled together.

    Parameters
    ----------
    model : estimator
        Fitted.
    features : (n_rows, n_features) DataFrame
        Held-out cells.
    truth : (n_rows,) ndarray of str
        Their labels.
    sets : mapping of str to list of str
        Columns shuffled together, by a name.
    seed : sequence of int
        Seed; the same for every model of a fold, so that all see the same shuffles.

    Returns
    -------
    dict of str to float
        By the names of `sets`.
    """
    rng = np.random.default_rng(list(seed))
    rows = np.sort(rng.permutation(len(features))[:MAX_ROWS])
    part, labels = features.iloc[rows], truth[rows]
    whole = balanced(labels, model.predict(part))
    place = {name: j for j, name in enumerate(features.columns)}
    values = part.to_numpy(dtype=np.float64)
    loss = {}
    for name, columns in sets.items():
        changed = values.copy()
        take = [place[column] for column in columns]
        changed[:, take] = values[rng.permutation(len(rows))][:, take]
        frame = pd.DataFrame(changed, columns=features.columns)
        loss[name] = whole - balanced(labels, model.predict(frame))
    return loss


def balanced(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Balanced accuracy of some rows."""
    names, codes = np.unique(np.concatenate([truth, predicted.astype(str)]), return_inverse=True)
    k = len(names)
    pairs = codes[: len(truth)] * k + codes[len(truth) :]
    counts = sums(np.ones((1, len(truth))), pairs, k * k).reshape(1, k, k)
    return float(from_confusion(counts)["balanced_accuracy"][0])
