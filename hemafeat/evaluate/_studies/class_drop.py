"""Predictions of cells of a class that models were not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from hemafeat._public import brief, public, renamed_argument
from hemafeat._resample import draw, interval
from hemafeat.evaluate._fit import Outcome, Progress, Task, run_all
from hemafeat.evaluate._protocols.protocols import Protocol
from hemafeat.evaluate._rows import ROW, CompareError, image_names
from hemafeat.evaluate._setup import Models, Setup, set_up


@public
@brief
@dataclass
class ClassDrop:
    """Predictions of the cells of classes that were left out of training.

    Attributes
    ----------
    results : DataFrame
        One row per model, class left out, class predicted and fold: ``model, dropped, predicted,
        fold, cells, share, low, high, confidence, protocol, seed, leaky, fingerprint, version``.
        `cells` is the number of dropped cells predicted as that class, `share` their share of all
        dropped cells (with its interval in fold ``"all"``), `confidence` their mean probability of
        that class.
    predictions : DataFrame
        One row per model and dropped cell: ``model, dropped, row, image, cell, group, fold,
        predicted, confidence``.
    classes : list of str
        Class names, sorted.
    leaky : bool
        Whether cells of one group were on both sides.
    protocol : str
        Description of the study in one sentence.
    """

    results: pd.DataFrame
    predictions: pd.DataFrame
    classes: list[str]
    leaky: bool
    protocol: str

    @property
    def models(self) -> list[str]:
        """Names of the models, in the order compared."""
        return list(dict.fromkeys(self.results["model"]))

    def shares(self, model: str) -> pd.DataFrame:
        """Return the share of the cells of each dropped class (rows) predicted as each other class.

        Parameters
        ----------
        model : str
            One of `models`.

        Returns
        -------
        DataFrame
            Columns are the classes predicted. NaN for the dropped class itself. Rows sum to 1.

        Raises
        ------
        CompareError
            If there is no such model.
        """
        if model not in self.models:
            raise CompareError(f"no model {model!r}; there are: {', '.join(self.models)}")
        rows = self.results[(self.results["model"] == model) & (self.results["fold"] == "all")]
        wide = rows.pivot_table(index="dropped", columns="predicted", values="share")
        return wide.reindex(index=list(dict.fromkeys(rows["dropped"])), columns=self.classes)


@renamed_argument("split", "protocol")
def class_drop(
    models: Models,
    table: pd.DataFrame,
    *,
    dropped: str | Sequence[str] | None = None,
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
) -> ClassDrop:
    """Train models without a class and predict its cells.

    Parameters
    ----------
    models : None, str, list of str, or mapping of str to estimator
        As in `compare`.
    table : DataFrame
        As in `compare`.
    dropped : str or list of str, optional
        Classes to leave out, one at a time. By default all of them.
    label, groups, protocol, n_splits, columns, rare, n_boot, random_state, n_jobs, progress
        As in `compare`.

    Returns
    -------
    ClassDrop

    Raises
    ------
    CompareError
        As in `compare`, and for an unknown class or fewer than three classes.

    Notes
    -----
    Every dropped cell is predicted once, by a model trained on the other classes of the folds that
    do not hold its group. A class that resembles another is predicted as that one; a class that is
    predicted as many others, with little confidence, resembles none. Shares need not mirror a
    confusion matrix, where the class itself could be predicted.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from hemafeat import evaluate
    >>> label = np.repeat(["small", "middle", "large"], 12)
    >>> area = np.repeat([100.0, 200.0, 250.0], 12) + np.random.default_rng(0).normal(0, 5, 36)
    >>> table = pd.DataFrame({"label": label, "cell__shape__area": area})
    >>> drop = evaluate.class_drop("logistic", table, dropped="large", n_splits=2, n_boot=20)
    >>> drop.shares("logistic").loc["large"].to_dict()
    {'large': nan, 'middle': 1.0, 'small': 0.0}
    """
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
    if len(setup.classes) < 3:
        raise CompareError(f"class_drop needs three classes; there are {setup.classes}")
    names = [dropped] if isinstance(dropped, str) else list(dropped or setup.classes)
    unknown = [name for name in names if name not in setup.classes]
    if unknown:
        raise CompareError(f"no class {unknown[0]!r}; there are: {', '.join(setup.classes)}")
    tasks = [(name, task) for name in names for task in _tasks_without(setup, name)]
    outcomes = run_all([task for _, task in tasks], n_jobs, progress)
    predicted = pd.concat(
        [
            _predictions(setup, name, task, outcome)
            for (name, task), outcome in zip(tasks, outcomes, strict=True)
        ],
        ignore_index=True,
    )
    results = _shares(predicted, setup.classes, n_boot, random_state)
    return ClassDrop(
        setup.stamp(results),
        predicted,
        setup.classes,
        setup.plan.leaky,
        setup.sentence(n_boot, "each class left out of training in turn"),
    )


def _tasks_without(setup: Setup, name: str) -> list[Task]:
    """Return tasks that train on the other classes and predict the cells of class `name`."""
    others = [other for other in setup.classes if other != name]
    tasks = []
    for task in setup.tasks():
        train = task.train[setup.truth[task.train] != name]
        test = task.test[setup.truth[task.test] == name]
        if len(test) and len(set(setup.truth[train])) > 1:
            tasks.append(replace(task, train=train, test=test, classes=others))
    if not tasks:
        raise CompareError(f"no cell of class {name!r} can be scored under this protocol")
    return tasks


def _predictions(setup: Setup, dropped: str, task: Task, outcome: Outcome) -> pd.DataFrame:
    rows = setup.table.iloc[task.test]
    confidence = np.full(len(rows), np.nan)
    if outcome.probability is not None:
        index = {name: k for k, name in enumerate(task.classes)}
        columns = [index[name] for name in outcome.predicted]
        confidence = outcome.probability[np.arange(len(rows)), columns]
    return pd.DataFrame(
        {
            "model": task.model,
            "dropped": dropped,
            "row": rows[ROW].to_numpy(),
            "image": image_names(rows),
            "cell": rows["cell"].to_numpy() if "cell" in rows else 1,
            "group": setup.groups.ids[task.test],
            "fold": task.fold,
            "predicted": outcome.predicted,
            "confidence": confidence,
        }
    )


def _shares(
    predicted: pd.DataFrame, classes: Sequence[str], n_boot: int, random_state: int
) -> pd.DataFrame:
    """Tabulate the shares of the classes predicted; see `ClassDrop.results`."""
    rows = []
    for (model, dropped), part in predicted.groupby(["model", "dropped"], sort=False):
        counts, member = draw(part["group"].to_numpy(), n_boot, random_state)
        weights = counts[:, member].astype(np.float64)
        for name in classes:
            if name == dropped:
                continue
            is_name = (part["predicted"] == name).to_numpy()
            for fold, index in part.groupby("fold", sort=False).groups.items():
                in_fold = part.loc[index]
                hits = in_fold["predicted"] == name
                confidence = in_fold.loc[hits, "confidence"].mean()
                rows.append(
                    (
                        *(model, dropped, name, fold, hits.sum(), hits.mean()),
                        *(np.nan, np.nan, confidence),
                    )
                )
            low, high = interval(weights @ is_name / weights.sum(axis=1), is_name.mean())
            confidence = part.loc[is_name, "confidence"].mean()
            rows.append(
                (
                    *(model, dropped, name, "all", is_name.sum(), is_name.mean()),
                    *(low, high, confidence),
                )
            )
    names = ["model", "dropped", "predicted", "fold", "cells", "share", "low", "high", "confidence"]
    return pd.DataFrame(rows, columns=names)
