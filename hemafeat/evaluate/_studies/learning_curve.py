"""How scores grow with the cells, or the patients, that a model is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from hemafeat._public import public
from hemafeat.evaluate._fit import Progress, run_all
from hemafeat.evaluate._protocols.protocols import Protocol
from hemafeat.evaluate._protocols.splits import CompareError
from hemafeat.evaluate._setup import Models, Setup, results_of, set_up_study
from hemafeat.evaluate._tables import predictions, scored

FIRST = 500
"""Cells to begin with where there are many times as many."""


@public
@dataclass
class LearningCurve:
    """Scores of models trained on parts of the training cells.

    Attributes
    ----------
    results : DataFrame
        One row per model, size, fold and metric: ``model, size, n_train, n_groups, fold, metric,
        value, low, high, protocol, seed, leaky, fingerprint, version``. `size` is what was asked
        for, `n_train` and `n_groups` how many cells and groups were trained on (mean over folds).
        Fold ``"all"`` is the score over all held-out cells, with its interval.
    by : {"cells", "groups"}
        What was left out: cells drawn at random, or whole groups.
    leaky : bool
        Cells of one group were on both sides.
    protocol : str
        How it was done.
    """

    results: pd.DataFrame
    by: str
    leaky: bool
    protocol: str

    @property
    def models(self) -> list[str]:
        """Names of the models, in the order given."""
        return list(dict.fromkeys(self.results["model"]))

    def curve(self, model: str, metric: str = "balanced_accuracy") -> pd.DataFrame:
        """One model's curve: ``size, n_train, n_groups, value, low, high``, smallest first."""
        found = self.results
        here = (found["model"] == model) & (found["fold"] == "all") & (found["metric"] == metric)
        if not here.any():
            raise CompareError(f"no curve of {model!r}; there are: {', '.join(self.models)}")
        names = ["size", "n_train", "n_groups", "value", "low", "high"]
        return found.loc[here, names].sort_values("size", ignore_index=True)


def learning_curve(
    models: Models,
    table: pd.DataFrame,
    *,
    sizes: Sequence[int] | None = None,
    by: str = "cells",
    label: str = "label",
    groups: str | None = "group",
    split: str | Protocol = "grouped",
    n_splits: int = 5,
    columns: Sequence[str] | None = None,
    rare: str = "error",
    n_boot: int = 1000,
    random_state: int = 0,
    n_jobs: int = 1,
    progress: bool | Progress | None = None,
) -> LearningCurve:
    """Score models trained on more and more of the training cells.

    Parameters
    ----------
    models : None, str, list of str, or mapping of str to estimator
        As in `compare`.
    table : DataFrame
        As in `compare`.
    sizes : list of int, optional
        Cells to train on. All training cells are always the last point. Default: 500, 1000, 2000
        ... or, where that leaves no three points, an eighth of the cells, doubled.
    by : {"cells", "groups"}
        ``"cells"``: drawn at random, stratified by label. ``"groups"``: whole groups, one after the
        other, until the size is reached: what another patient is worth.
    label, groups, split, n_splits, columns, rare, n_boot, random_state, n_jobs, progress
        As in `compare`.

    Returns
    -------
    LearningCurve

    Raises
    ------
    CompareError
        As in `compare`, or sizes that make no sense.

    Notes
    -----
    Parts are nested: a larger one holds the smaller. Every part holds every class that the whole
    has, so that by groups the first may be larger than asked for. All points are scored on the same
    held-out cells, and intervals are those of `compare`: they do not hold the luck of which cells
    came first.
    """
    if by not in ("cells", "groups"):
        raise CompareError(f"by={by!r}: give 'cells' or 'groups'")
    ready = set_up_study(
        models,
        table,
        label=label,
        groups=groups,
        split=split,
        n_splits=n_splits,
        columns=columns,
        rare=rare,
        random_state=random_state,
    )
    whole = min(len(train) for train, _ in ready.plan.pairs)
    asked = _sizes(sizes, whole, len(ready.classes))
    orders = [
        _order(ready, train, by, (random_state, fold))
        for fold, (train, _) in enumerate(ready.plan.pairs)
    ]
    points = [(size, [_prefix(order, size) for order in orders]) for size in asked]
    points.append((max(len(train) for train, _ in ready.plan.pairs), [o[0] for o in orders]))
    tasks = []
    for _, parts in points:
        for place, task in enumerate(ready.tasks()):
            tasks.append(replace(task, train=np.sort(parts[place % len(parts)])))
    outcomes = run_all(tasks, n_jobs, progress)
    n_tasks = len(outcomes) // len(points)
    results = []
    for place, (size, parts) in enumerate(points):
        mine = outcomes[place * n_tasks : (place + 1) * n_tasks]
        found = predictions(mine, ready.plan, ready.table, ready.truth, ready.groups, ready.classes)
        rows, _ = scored(found, ready.classes, n_boot, random_state)
        rows.insert(1, "size", size)
        rows.insert(2, "n_train", np.mean([len(part) for part in parts]))
        n_groups = np.mean([len(np.unique(ready.groups.ids[part])) for part in parts])
        rows.insert(3, "n_groups", n_groups)
        results.append(rows)
    return LearningCurve(
        results_of(ready, pd.concat(results, ignore_index=True)),
        by,
        ready.plan.leaky,
        ready.sentence(n_boot, f"trained on nested parts of the training {_noun(ready, by)}"),
    )


def _noun(ready: Setup, by: str) -> str:
    return "cells, stratified by label" if by == "cells" else ready.groups.noun


def _sizes(sizes: Sequence[int] | None, whole: int, n_classes: int) -> list[int]:
    """Sizes below the whole, which is a point of its own."""
    if sizes is None:
        first = FIRST if whole >= 4 * FIRST else max(n_classes, whole // 8)
        found = []
        while first < whole:
            found.append(first)
            first *= 2
        return found
    wanted = sorted(set(sizes))
    if not wanted or wanted[0] < n_classes:
        raise CompareError(f"sizes are numbers of cells, at least one per class: {list(sizes)}")
    return [size for size in wanted if size < whole]


def _order(
    ready: Setup, train: np.ndarray, by: str, seed: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Training rows in the order in which they are added, and where a part of them may end."""
    rng = np.random.default_rng(seed)
    if by == "cells":
        mixed = rng.permutation(train)
        labels = pd.Series(ready.truth[mixed])
        place = labels.groupby(labels).cumcount().to_numpy()
        count = labels.groupby(labels).transform("size").to_numpy()
        # Spread evenly, so that every part has the shares of the whole; one of each class first.
        key = np.where(place == 0, -1.0, (place + 0.5) / count)
        return mixed[np.argsort(key, kind="stable")], np.arange(1, len(train) + 1)
    names, member = np.unique(ready.groups.ids[train], return_inverse=True)
    truth = ready.truth[train]
    mixed = rng.permutation(len(names))
    # First those that bring a class not seen yet: a model cannot be fitted to one class.
    seen: set[str] = set()
    first = []
    for group in mixed:
        classes = set(truth[member == group])
        if classes - seen:
            first.append(group)
            seen |= classes
    turn = np.argsort([*first, *(group for group in mixed if group not in first)])[member]
    ends = np.cumsum(np.bincount(turn))
    return train[np.argsort(turn, kind="stable")], ends[len(first) - 1 :]


def _prefix(order: tuple[np.ndarray, np.ndarray], size: int) -> np.ndarray:
    rows, ends = order
    return rows[: int(ends[min(int(np.searchsorted(ends, size)), len(ends) - 1)])]
