"""Permutation importance of columns, measured on held-out cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hemafeat.evaluate._scores import balanced_accuracy

MAX_ROWS = 200
"""Number of held-out cells per fold used for importances."""


def blocks(columns: Iterable[str]) -> dict[tuple[str, str], list[str]]:
    """Group columns by (mask, family), in the order of the table."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name in columns:
        mask, _, rest = name.partition("__")
        groups.setdefault((mask, rest.partition("__")[0]), []).append(name)
    return groups


def column_sets(features: pd.DataFrame, truth: np.ndarray) -> dict[str, list[str]]:
    """Return the sets of columns to permute: each block, and the best column of each block.

    Parameters
    ----------
    features : (n_rows, n_features) DataFrame
        May hold NaN.
    truth : (n_rows,) ndarray of str
        Labels.

    Returns
    -------
    dict of str to list of str
        ``"mask__family__*"`` to the columns of a block, then columns by their own name.
    """
    sets = {f"{m}__{f}__*": names for (m, f), names in blocks(features.columns).items()}
    return {**sets, **{name: [name] for name in candidates(features, truth)}}


def candidates(features: pd.DataFrame, truth: np.ndarray) -> list[str]:
    """Return the column of each block that separates the classes best alone.

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
    """Compute the share of each column's variance that lies between the classes (eta squared).

    Parameters
    ----------
    values : (n_rows, n_columns) ndarray of float64
        NaN is left out, column by column.
    truth : (n_rows,) ndarray of str
        Labels.

    Returns
    -------
    (n_columns,) ndarray of float64
        0 for a column without variance.
    """
    finite = ~np.isnan(values)
    filled = np.where(finite, values, 0.0)
    n = np.maximum(finite.sum(axis=0), 1)
    centred = np.where(finite, values - filled.sum(axis=0) / n, 0.0)
    total = (centred**2).sum(axis=0)
    between = np.zeros(values.shape[1])
    for name in np.unique(truth):
        in_class = truth == name
        count = finite[in_class].sum(axis=0)
        between += centred[in_class].sum(axis=0) ** 2 / np.maximum(count, 1)
    return np.where(total > 0, between / np.where(total > 0, total, 1.0), 0.0)


def permutation_losses(
    model: Any,
    features: pd.DataFrame,
    truth: np.ndarray,
    sets: Mapping[str, Sequence[str]],
    seed: Sequence[int],
) -> dict[str, float]:
    """Compute the loss of balanced accuracy when each set of columns is permuted together.

    Parameters
    ----------
    model : estimator
        Fitted.
    features : (n_rows, n_features) DataFrame
        Held-out cells, of which `MAX_ROWS` are used.
    truth : (n_rows,) ndarray of str
        Their labels.
    sets : mapping of str to list of str
        Columns permuted together, by a name.
    seed : sequence of int
        Seed; the same for every model of a fold, so that all see the same permutations.

    Returns
    -------
    dict of str to float
        By the names of `sets`.
    """
    rng = np.random.default_rng(list(seed))
    rows = np.sort(rng.permutation(len(features))[:MAX_ROWS])
    part, labels = features.iloc[rows], truth[rows]
    intact = balanced_accuracy(labels, model.predict(part))
    index = {name: j for j, name in enumerate(features.columns)}
    values = part.to_numpy(dtype=np.float64)
    losses = {}
    for name, columns in sets.items():
        permuted = values.copy()
        numbers = [index[column] for column in columns]
        permuted[:, numbers] = values[rng.permutation(len(rows))][:, numbers]
        frame = pd.DataFrame(permuted, columns=features.columns)
        losses[name] = intact - balanced_accuracy(labels, model.predict(frame))
    return losses
