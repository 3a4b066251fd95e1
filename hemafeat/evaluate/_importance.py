"""Permutation importance of columns, measured on held-out cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hemafeat.evaluate._rows import CompareError
from hemafeat.evaluate._scores import balanced_accuracy

BUDGET = 50_000
"""Number of predictions that are spent on the importances of one model, over all folds."""

MAX_ROWS = 200
"""Largest number of held-out cells per fold used for importances."""

MIN_ROWS = 50
"""Number of held-out cells below which fewer sets of columns are permuted instead."""

MAX_REPEATS = 3
"""Largest number of permutations of one set of columns."""

NARROW = 0.005
"""Standard error of a loss over its repeats with which it is not repeated again."""

_AT_ONCE = 4000  # rows in one call of a model


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


def checked_budget(importance: bool | int) -> int:
    """Return the number of predictions to spend; 0 for none.

    Raises
    ------
    CompareError
        If it is negative.
    """
    if isinstance(importance, bool):
        return BUDGET if importance else 0
    if importance < 0:
        raise CompareError(f"importance={importance}: a number of predictions is not negative")
    return int(importance)


def spend(
    names: Sequence[str],
    n_rows: int,
    budget: int,
    losses_of: Callable[[list[str], int], Iterable[float]],
) -> dict[str, float]:
    """Measure losses until they are precise enough or the predictions are used up.

    Parameters
    ----------
    names : sequence of str
        What can be permuted, the most important to know first: the last ones are not measured if
        the budget does not suffice.
    n_rows : int
        Number of predictions that one loss takes, and the prediction without a permutation.
    budget : int
        Number of predictions that may be made.
    losses_of : callable
        Called with names and the number of the repeat; returns a loss for each of the names.

    Returns
    -------
    dict of str to float
        Mean of the repeats of each loss.
    """
    left = budget - n_rows
    found: dict[str, list[float]] = {name: [] for name in names[: max(0, left // n_rows)]}
    for repeat in range(MAX_REPEATS):
        # Those with the widest intervals first, if not all of them can be repeated.
        wide = sorted(
            (name for name, values in found.items() if _error(values) > NARROW),
            key=lambda name: -_error(found[name]),
        )[: left // n_rows]
        if not wide:
            break
        for name, loss in zip(wide, losses_of(wide, repeat), strict=True):
            found[name].append(loss)
        left -= len(wide) * n_rows
    return {name: float(np.mean(values)) for name, values in found.items()}


def _error(values: Sequence[float]) -> float:
    """Return the standard error of a mean; infinite for fewer than two values."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.inf


def permutation_losses(
    model: Any,
    features: pd.DataFrame,
    truth: np.ndarray,
    sets: Mapping[str, Sequence[str]],
    seed: Sequence[int],
    budget: int,
) -> dict[str, float]:
    """Compute the loss of balanced accuracy when each set of columns is permuted together.

    Parameters
    ----------
    model : estimator
        Fitted.
    features : (n_rows, n_features) DataFrame
        Held-out cells, of which at most `MAX_ROWS` are used.
    truth : (n_rows,) ndarray of str
        Their labels.
    sets : mapping of str to list of str
        Columns permuted together, by a name.
    seed : sequence of int
        Seed; the same for every model of a fold, so that all see the same permutations.
    budget : int
        Number of predictions that may be made, see `spend`.

    Returns
    -------
    dict of str to float
        By the names of `sets`.
    """
    n_rows = min(MAX_ROWS, len(features), max(MIN_ROWS, budget // (len(sets) + 1)))
    if budget < n_rows:
        return {}
    rows = np.sort(np.random.default_rng(list(seed)).permutation(len(features))[:n_rows])
    part, labels = features.iloc[rows], truth[rows]
    intact = balanced_accuracy(labels, model.predict(part))
    index = {name: j for j, name in enumerate(features.columns)}
    values = part.to_numpy(dtype=np.float64)
    place = {name: number for number, name in enumerate(sets)}

    def losses_of(names: list[str], repeat: int) -> Iterator[float]:
        n_sets = max(1, _AT_ONCE // n_rows)
        for start in range(0, len(names), n_sets):
            batch = names[start : start + n_sets]
            permuted = np.tile(values, (len(batch), 1))
            for block, name in zip(np.split(permuted, len(batch)), batch, strict=True):
                numbers = [index[column] for column in sets[name]]
                order = np.random.default_rng([*seed, place[name], repeat]).permutation(n_rows)
                block[:, numbers] = values[order][:, numbers]
            predicted = model.predict(pd.DataFrame(permuted, columns=features.columns))
            for answer in np.split(np.asarray(predicted), len(batch)):
                yield intact - balanced_accuracy(labels, answer)

    return spend(list(sets), n_rows, budget, losses_of)
