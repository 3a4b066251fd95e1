"""Fits of one model on one fold, in any number of processes."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from hemafeat._machine import progress_bar
from hemafeat._words import without_numpy
from hemafeat.evaluate._importance import permutation_losses
from hemafeat.evaluate._rows import CompareError

Progress = Callable[[int, int, str], None]


@dataclass
class Task:
    """One model to be fitted to the training rows of one fold and scored on its test rows.

    Attributes
    ----------
    model, fold : str
        Names.
    estimator : estimator
        Unfitted; it is cloned.
    inputs : DataFrame
        Input of the model for all rows.
    truth : (n_rows,) ndarray of str
        Labels.
    train, test : (n,) ndarray of int
        Row numbers.
    classes : sequence of str
        Classes of the comparison, in the order of the columns of probabilities.
    importance : mapping of str to list of str, or None
        Columns to permute together, by name.
    seed : sequence of int
        Seed of the permutations.
    """

    model: str
    fold: str
    estimator: Any
    inputs: pd.DataFrame
    truth: np.ndarray
    train: np.ndarray
    test: np.ndarray
    classes: Sequence[str]
    importance: Mapping[str, Sequence[str]] | None
    seed: Sequence[int]


@dataclass
class Outcome:
    """Predictions of one model on the test rows of one fold.

    Attributes
    ----------
    model, fold : str
        Names, as in the task.
    predicted : (n_test,) ndarray of str
        Predicted classes.
    probability : (n_test, n_classes) ndarray of float64, or None
        None if the model gives no probabilities.
    fit_seconds, predict_seconds : float
        Wall time.
    importance : dict of str to float
        Loss of balanced accuracy by permuted columns.
    warnings : list of (str, str)
        Category and text of the warnings issued.
    """

    model: str
    fold: str
    predicted: np.ndarray
    probability: np.ndarray | None
    fit_seconds: float
    predict_seconds: float
    importance: dict[str, float]
    warnings: list[tuple[str, str]] = field(default_factory=list)


def run(task: Task) -> Outcome:
    """Fit a model to the training rows and predict the test rows.

    Raises
    ------
    CompareError
        If the model fails; the message names the model and the fold.
    """
    from sklearn.base import clone

    train = task.inputs.iloc[task.train]
    test = task.inputs.iloc[task.test]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model = clone(task.estimator)
            start = time.perf_counter()
            model.fit(train, task.truth[task.train])
            fitted = time.perf_counter()
            predicted = np.asarray(model.predict(test)).astype(str)
            probability = _probabilities(model, test, task.classes)
            done = time.perf_counter()
            losses = {}
            if task.importance:
                losses = permutation_losses(
                    model, test, task.truth[task.test], task.importance, task.seed
                )
        except Exception as error:
            raise CompareError(
                f"model {task.model!r} failed on fold {task.fold}: {type(error).__name__}: "
                f"{without_numpy(str(error))}"
            ) from error
    unknown = sorted(set(predicted) - set(task.classes))
    if unknown:
        raise CompareError(
            f"model {task.model!r} on fold {task.fold} predicted {unknown[:3]}, which are not "
            "labels of the table"
        )
    messages = {(w.category.__name__, str(w.message)) for w in caught}
    return Outcome(
        task.model,
        task.fold,
        predicted,
        probability,
        fitted - start,
        done - fitted,
        losses,
        sorted(messages),
    )


def _probabilities(model: Any, test: pd.DataFrame, classes: Sequence[str]) -> np.ndarray | None:
    """Return probabilities of all classes; 0 for a class that the training rows lacked."""
    try:
        predict_proba = model.predict_proba
    except AttributeError:
        return None
    values = np.asarray(predict_proba(test), dtype=np.float64)
    out = np.zeros((len(test), len(classes)))
    index = {name: k for k, name in enumerate(classes)}
    for column, name in enumerate(np.asarray(model.classes_).astype(str)):
        out[:, index[name]] = values[:, column]
    return out


def run_all(tasks: Sequence[Task], n_jobs: int, progress: bool | Progress | None) -> list[Outcome]:
    """Run tasks in `n_jobs` processes and return their outcomes in the order of the tasks."""
    from joblib import Parallel, delayed

    report = progress if callable(progress) else None
    if report is not None:
        report(0, len(tasks), "")
    outcomes: list[Outcome] = []
    parallel = Parallel(n_jobs=n_jobs, return_as="generator")
    shown = report is None and bool(progress)
    with progress_bar(len(tasks), "compare", progress=shown, unit="fit") as bar:
        for outcome in parallel(delayed(run)(task) for task in tasks):
            outcomes.append(outcome)
            step = f"{outcome.model}, fold {outcome.fold}"
            bar.set_postfix_str(step, refresh=False)
            bar.update(1)
            if report is not None:
                report(len(outcomes), len(tasks), step)
    return outcomes
