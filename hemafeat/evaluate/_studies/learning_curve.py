"""Scores of models trained on growing parts of the training cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from hemafeat._public import brief, public, renamed_argument
from hemafeat.evaluate._fit import Progress, run_all
from hemafeat.evaluate._protocols.protocols import Protocol
from hemafeat.evaluate._protocols.splits import stratified_order
from hemafeat.evaluate._rows import CompareError
from hemafeat.evaluate._setup import Models, Setup, set_up
from hemafeat.evaluate._tables import predictions, score_tables

FIRST = 500
"""Number of cells of the first point if there are several times as many."""


@public
@brief
@dataclass
class LearningCurve:
    """Scores of models trained on parts of the training cells.

    Attributes
    ----------
    results : DataFrame
        One row per model, size, fold and metric: ``model, size, n_train, n_groups, fold, metric,
        value, low, high, protocol, seed, leaky, fingerprint, version``. `size` is the size
        requested, `n_train` and `n_groups` are the numbers of cells and groups trained on (mean
        over folds). Fold ``"all"`` is the score over all held-out cells, with its interval.
    by : {"cells", "groups"}
        What training parts are made of: cells drawn at random, or whole groups.
    leaky : bool
        Whether cells of one group were on both sides.
    protocol : str
        Description of the study in one sentence.
    """

    results: pd.DataFrame
    by: str
    leaky: bool
    protocol: str

    @property
    def models(self) -> list[str]:
        """Names of the models, in the order compared."""
        return list(dict.fromkeys(self.results["model"]))

    def curve(self, model: str, metric: str = "balanced_accuracy") -> pd.DataFrame:
        """Return the curve of one model.

        Parameters
        ----------
        model : str
            One of `models`.
        metric : str, default="balanced_accuracy"
            One of the metrics of a comparison.

        Returns
        -------
        DataFrame
            ``size, n_train, n_groups, value, low, high``, the smallest size first.

        Raises
        ------
        CompareError
            If there is no such model or metric.
        """
        table = self.results
        rows = (table["model"] == model) & (table["fold"] == "all") & (table["metric"] == metric)
        if not rows.any():
            raise CompareError(
                f"no {metric} of model {model!r}; there are models: {', '.join(self.models)}"
            )
        names = ["size", "n_train", "n_groups", "value", "low", "high"]
        return table.loc[rows, names].sort_values("size", ignore_index=True)


@renamed_argument("split", "protocol")
def learning_curve(
    models: Models,
    table: pd.DataFrame,
    *,
    sizes: Sequence[int] | None = None,
    by: str = "cells",
    label: str = "label",
    groups: str | None = "group",
    protocol: str | Protocol = "grouped",
    n_splits: int = 5,
    columns: Sequence[str] | None = None,
    rare: str = "error",
    n_boot: int = 1000,
    random_state: int = 0,
    n_jobs: int = 1,
    progress: bool | Progress | None = None,
) -> LearningCurve:
    """Score models trained on growing parts of the training cells.

    Parameters
    ----------
    models : None, str, list of str, or mapping of str to estimator
        As in `compare`.
    table : DataFrame
        As in `compare`.
    sizes : list of int, optional
        Numbers of cells to train on. The last point is always all training cells. By default 500,
        1000, 2000 ... or, if that leaves fewer than three points, an eighth of the cells, doubled.
    by : {"cells", "groups"}, default="cells"
        ``"cells"`` draws cells at random, stratified by label. ``"groups"`` adds whole groups, one
        after the other, until the size is reached, and shows what another patient is worth.
    label, groups, protocol, n_splits, columns, rare, n_boot, random_state, n_jobs, progress
        As in `compare`.

    Returns
    -------
    LearningCurve

    Raises
    ------
    CompareError
        As in `compare`, and for a size below the number of classes.

    Notes
    -----
    Parts are nested: a larger one holds the smaller. Every part holds every class of the whole, so
    that by groups the first may be larger than requested. All points are scored on the same
    held-out cells, and intervals are those of `compare`: they do not reflect which cells were drawn
    first.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from hemafeat import evaluate
    >>> table = pd.DataFrame({"label": ["monocyte", "lymphocyte"] * 20})
    >>> table["cell__shape__area"] = np.where(table["label"] == "monocyte", 300.0, 100.0)
    >>> curve = evaluate.learning_curve("logistic", table, sizes=[4, 8], n_splits=2, n_boot=20)
    >>> curve.curve("logistic")[["size", "n_train", "value"]]
       size  n_train  value
    0     4      4.0    1.0
    1     8      8.0    1.0
    2    20     20.0    1.0
    """
    if by not in ("cells", "groups"):
        raise CompareError(f"by={by!r}: give 'cells' or 'groups'")
    setup = set_up(
        models,
        table,
        label=label,
        groups=groups,
        protocol=protocol,
        n_splits=n_splits,
        columns=columns,
        rare=rare,
        random_state=random_state,
        baseline=False,
    )
    pairs = setup.plan.pairs
    smallest = min(len(train) for train, _ in pairs)
    orders = [
        _order(setup, train, by, (random_state, fold)) for fold, (train, _) in enumerate(pairs)
    ]
    points = [
        (size, [_prefix(order, size) for order in orders])
        for size in _sizes(sizes, smallest, len(setup.classes))
    ]
    points.append((max(len(train) for train, _ in pairs), [rows for rows, _ in orders]))
    # Tasks are in the order of models, then folds, so that task k is of fold k modulo n_folds.
    tasks = [
        replace(task, train=_within(np.sort(parts[k % len(parts)]), task.train))
        for _, parts in points
        for k, task in enumerate(setup.tasks())
    ]
    outcomes = run_all(tasks, n_jobs, progress)
    n_tasks = len(outcomes) // len(points)
    results = []
    for k, (size, parts) in enumerate(points):
        predicted = predictions(
            outcomes[k * n_tasks : (k + 1) * n_tasks],
            setup.plan,
            setup.table,
            setup.truth,
            setup.groups,
            setup.classes,
        )
        rows, _ = score_tables(predicted, setup.classes, n_boot, random_state)
        rows.insert(1, "size", size)
        rows.insert(2, "n_train", np.mean([len(part) for part in parts]))
        n_groups = np.mean([len(np.unique(setup.groups.ids[part])) for part in parts])
        rows.insert(3, "n_groups", n_groups)
        results.append(rows)
    noun = "cells, stratified by label" if by == "cells" else setup.groups.noun
    return LearningCurve(
        setup.stamp(pd.concat(results, ignore_index=True)),
        by,
        setup.plan.leaky,
        setup.sentence(n_boot, f"trained on nested parts of the training {noun}"),
    )


def _within(part: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return the rows of a part that a model can be trained on."""
    inside: np.ndarray = part[np.isin(part, train)]
    return inside


def _sizes(sizes: Sequence[int] | None, n_cells: int, n_classes: int) -> list[int]:
    """Return the sizes below `n_cells`, the smallest number of training cells of a fold."""
    if sizes is None:
        size = FIRST if n_cells >= 4 * FIRST else max(n_classes, n_cells // 8)
        doubled = []
        while size < n_cells:
            doubled.append(size)
            size *= 2
        return doubled
    unique = sorted(set(sizes))
    if not unique or unique[0] < n_classes:
        raise CompareError(f"sizes are numbers of cells, at least one per class: {list(sizes)}")
    return [size for size in unique if size < n_cells]


def _order(
    setup: Setup, train: np.ndarray, by: str, seed: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return training rows in the order in which they are added, and where a part may end."""
    rng = np.random.default_rng(seed)
    if by == "cells":
        return stratified_order(setup.truth, train, rng), np.arange(1, len(train) + 1)
    names, member = np.unique(setup.groups.ids[train], return_inverse=True)
    truth = setup.truth[train]
    shuffled = rng.permutation(len(names))
    # Groups that add a class come first: a model cannot be fitted to one class.
    classes: set[str] = set()
    first = []
    for group in shuffled:
        in_group = set(truth[member == group])
        if in_group - classes:
            first.append(group)
            classes |= in_group
    turn = np.argsort([*first, *(group for group in shuffled if group not in first)])[member]
    ends = np.cumsum(np.bincount(turn))
    return train[np.argsort(turn, kind="stable")], ends[len(first) - 1 :]


def _prefix(order: tuple[np.ndarray, np.ndarray], size: int) -> np.ndarray:
    """Return the first rows of an order, up to the first end at or after `size`."""
    rows, ends = order
    return rows[: int(ends[min(int(np.searchsorted(ends, size)), len(ends) - 1)])]
