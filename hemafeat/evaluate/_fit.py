"""One model on one fold: fitted on the training rows, asked about the others."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from hemafeat.evaluate._importance import permuted
from hemafeat.evaluate._protocols.splits import CompareError

Progress = Callable[[int, int, str], None]


@dataclass
class Task:
    """What one worker needs to know."""

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
    """What it found."""

    model: str
    fold: str
    predicted: np.ndarray
    probability: np.ndarray | None
    fit_seconds: float
    predict_seconds: float
    importance: dict[str, float]
    warnings: list[tuple[str, str]] = field(default_factory=list)


def run(task: Task) -> Outcome:
    """Fit and predict.

    Raises
    ------
    CompareError
        The model failed; the message names the model and the fold.
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
            probability = _probability(model, test, task.classes)
            done = time.perf_counter()
            loss = {}
            if task.importance:
                loss = permuted(model, test, task.truth[task.test], task.importance, task.seed)
        except Exception as error:
            raise CompareError(
                f"model {task.model!r} failed on fold {task.fold}: {type(error).__name__}: {error}"
            ) from error
    unknown = sorted(set(predicted) - set(task.classes))
    if unknown:
        raise CompareError(
            f"model {task.model!r} on fold {task.fold} predicted {unknown[:3]}, which are no labels"
        )
    said = {(w.category.__name__, str(w.message)) for w in caught}
    return Outcome(
        task.model,
        task.fold,
        predicted,
        probability,
        fitted - start,
        done - fitted,
        loss,
        sorted(said),
    )


def _probability(model: Any, test: pd.DataFrame, classes: Sequence[str]) -> np.ndarray | None:
    """Columns in the order of all classes; 0 for a class the training rows lacked."""
    try:
        ask = model.predict_proba
    except AttributeError:
        return None
    given = np.asarray(ask(test), dtype=np.float64)
    out = np.zeros((len(test), len(classes)))
    place = {name: k for k, name in enumerate(classes)}
    for column, name in enumerate(np.asarray(model.classes_).astype(str)):
        out[:, place[name]] = given[:, column]
    return out


def run_all(tasks: Sequence[Task], n_jobs: int, progress: bool | Progress | None) -> list[Outcome]:
    """All tasks, in their order, whatever the number of processes."""
    from joblib import Parallel, delayed

    report = _reporter(progress, len(tasks))
    outcomes = []
    report(0, len(tasks), "")
    parallel = Parallel(n_jobs=n_jobs, return_as="generator")
    for outcome in parallel(delayed(run)(task) for task in tasks):
        outcomes.append(outcome)
        report(len(outcomes), len(tasks), f"{outcome.model}, fold {outcome.fold}")
    return outcomes


def _reporter(progress: bool | Progress | None, total: int) -> Progress:
    if callable(progress):
        return progress
    if not progress:
        return lambda done, total, what: None
    from tqdm.auto import tqdm

    bar = tqdm(total=total, desc="compare")

    def show(done: int, total: int, what: str) -> None:
        bar.set_postfix_str(what, refresh=False)
        bar.update(done - bar.n)
        if done == total:
            bar.close()

    return show
