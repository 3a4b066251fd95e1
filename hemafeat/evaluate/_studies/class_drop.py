"""Models that never saw a class, asked about its cells: where they put them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from hemafeat._public import public
from hemafeat.evaluate._fit import Outcome, Progress, Task, run_all
from hemafeat.evaluate._protocols.protocols import Protocol
from hemafeat.evaluate._protocols.splits import CompareError
from hemafeat.evaluate._rows import ROW, image_name, images
from hemafeat.evaluate._scores import draw, interval
from hemafeat.evaluate._setup import Models, Setup, results_of, set_up_study


@public
@dataclass
class ClassDrop:
    """Where the cells of a class go that was not trained on.

    Attributes
    ----------
    results : DataFrame
        One row per model, class left out, class predicted and fold: ``model, dropped, predicted,
        fold, cells, share, low, high, confidence, protocol, seed, leaky, fingerprint, version``.
        `cells` counts those predicted as such, `share` is their share of the dropped ones (with its
        interval in fold ``"all"``), `confidence` their mean probability of that class.
    predictions : DataFrame
        One row per model and dropped cell: ``model, dropped, row, image, cell, group, fold,
        predicted, confidence``.
    classes : list of str
        Class names, sorted.
    leaky : bool
        Cells of one group were on both sides.
    protocol : str
        How it was done.
    """

    results: pd.DataFrame
    predictions: pd.DataFrame
    classes: list[str]
    leaky: bool
    protocol: str

    @property
    def models(self) -> list[str]:
        """Names of the models, in the order given."""
        return list(dict.fromkeys(self.results["model"]))

    def shares(self, model: str) -> pd.DataFrame:
        """Share of the cells of each dropped class (rows) put into each other class (columns).

        Parameters
        ----------
        model : str
            One of `models`.

        Returns
        -------
        DataFrame
            NaN where a class would be predicted as itself. Rows sum to 1.
        """
        if model not in self.models:
            raise CompareError(f"no model {model!r}; there are: {', '.join(self.models)}")
        found = self.results[(self.results["model"] == model) & (self.results["fold"] == "all")]
        wide = found.pivot_table(index="dropped", columns="predicted", values="share")
        return wide.reindex(index=list(dict.fromkeys(found["dropped"])), columns=self.classes)


def class_drop(
    models: Models,
    table: pd.DataFrame,
    *,
    dropped: str | Sequence[str] | None = None,
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
) -> ClassDrop:
    """Train without a class and see where its cells go.

    Parameters
    ----------
    models : None, str, list of str, or mapping of str to estimator
        As in `compare`.
    table : DataFrame
        As in `compare`.
    dropped : str or list of str, optional
        Classes to leave out, each in turn; all by default.
    label, groups, split, n_splits, columns, rare, n_boot, random_state, n_jobs, progress
        As in `compare`.

    Returns
    -------
    ClassDrop

    Raises
    ------
    CompareError
        As in `compare`, an unknown class, or fewer than three classes.

    Notes
    -----
    Every dropped cell is predicted once, by a model of the folds that do not hold its group, fitted
    to the other classes of these folds. A class that lies close to another goes there; one that
    goes everywhere, with little confidence, is unlike them all. Shares need not mirror a confusion
    matrix: there the class could be chosen.
    """
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
    if len(ready.classes) < 3:
        raise CompareError(f"class_drop needs three classes; there are {ready.classes}")
    wanted = [dropped] if isinstance(dropped, str) else list(dropped or ready.classes)
    unknown = [name for name in wanted if name not in ready.classes]
    if unknown:
        raise CompareError(f"no class {unknown[0]!r}; there are: {', '.join(ready.classes)}")
    jobs = [(name, task) for name in wanted for task in _without(ready, name)]
    outcomes = run_all([task for _, task in jobs], n_jobs, progress)
    predicted = pd.concat(
        [
            _predictions(ready, name, task, outcome)
            for (name, task), outcome in zip(jobs, outcomes, strict=True)
        ],
        ignore_index=True,
    )
    results = _shares(predicted, ready.classes, n_boot, random_state)
    return ClassDrop(
        results_of(ready, results),
        predicted,
        ready.classes,
        ready.plan.leaky,
        ready.sentence(n_boot, "each class left out of training in turn"),
    )


def _without(ready: Setup, name: str) -> list[Task]:
    others = [other for other in ready.classes if other != name]
    tasks = []
    for task in ready.tasks():
        train = task.train[ready.truth[task.train] != name]
        test = task.test[ready.truth[task.test] == name]
        if len(test) and len(set(ready.truth[train])) > 1:
            tasks.append(replace(task, train=train, test=test, classes=others))
    if not tasks:
        raise CompareError(f"no cell of class {name!r} can be scored under this split")
    return tasks


def _predictions(ready: Setup, dropped: str, task: Task, outcome: Outcome) -> pd.DataFrame:
    rows = ready.table.iloc[task.test]
    confidence = np.full(len(rows), np.nan)
    if outcome.probability is not None:
        place = {name: k for k, name in enumerate(task.classes)}
        chosen = [place[name] for name in outcome.predicted]
        confidence = outcome.probability[np.arange(len(rows)), chosen]
    return pd.DataFrame(
        {
            "model": task.model,
            "dropped": dropped,
            "row": rows[ROW].to_numpy(),
            "image": [image_name(image, row) for row, image in images(rows)],
            "cell": rows["cell"].to_numpy() if "cell" in rows else 1,
            "group": ready.groups.ids[task.test],
            "fold": task.fold,
            "predicted": outcome.predicted,
            "confidence": confidence,
        }
    )


def _shares(
    predicted: pd.DataFrame, classes: Sequence[str], n_boot: int, random_state: int
) -> pd.DataFrame:
    rows = []
    for (model, dropped), part in predicted.groupby(["model", "dropped"], sort=False):
        counts, member = draw(part["group"].to_numpy(), n_boot, random_state)
        weights = counts[:, member].astype(np.float64)
        for name in classes:
            if name == dropped:
                continue
            hit = (part["predicted"] == name).to_numpy()
            for fold, inside in part.groupby("fold", sort=False).groups.items():
                here = part.loc[inside]
                mine = here["predicted"] == name
                sure = here.loc[mine, "confidence"].mean()
                rows.append(
                    (model, dropped, name, fold, mine.sum(), mine.mean(), np.nan, np.nan, sure)
                )
            low, high = interval(weights @ hit / weights.sum(axis=1))
            sure = part.loc[hit, "confidence"].mean()
            rows.append((model, dropped, name, "all", hit.sum(), hit.mean(), low, high, sure))
    names = ["model", "dropped", "predicted", "fold", "cells", "share", "low", "high", "confidence"]
    return pd.DataFrame(rows, columns=names)
