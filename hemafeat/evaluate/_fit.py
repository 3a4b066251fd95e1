"""Fits of one model on one fold, in any number of processes."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from hemafeat import pipelines
from hemafeat._fits import Fits, families, fit_once, sharing, takes_validation
from hemafeat._machine import give_back_memory, steps_of
from hemafeat._words import without_numpy
from hemafeat.evaluate._importance import permutation_losses
from hemafeat.evaluate._rows import CompareError

EVERY_IMAGE = "every image"
"""Name of the test part together with the images in which no cell was measured."""

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
    budget : int
        Number of predictions of these permutations.
    validation : (n,) ndarray of int
        Row numbers for an estimator that takes rows to validate on, such as a network that stops.
    parts : dict of str to (n,) ndarray of int
        Row numbers of other parts to predict, by their names.
    keep_model : bool
        Return the fitted model.
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
    budget: int = 0
    validation: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=int))
    parts: Mapping[str, np.ndarray] = field(default_factory=dict)
    keep_model: bool = False


Judged = tuple[np.ndarray, np.ndarray | None]
"""Predicted classes, and probabilities or None."""

Choice = tuple[str, str, str, float, str]
"""A parameter that a search has chosen: step, parameter, value, score, rows it was scored on."""


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
        Wall time; that of a fit which another model had made is added.
    importance : dict of str to float
        Loss of balanced accuracy by permuted columns.
    warnings : list of (str, str)
        Category and text of the warnings issued.
    parts : dict of str to (predicted, probability)
        Predictions of the other parts.
    choices : list of Choice
        What searches inside the model have chosen.
    fitted : estimator or None
        The fitted model, if it was to be kept.
    answers : DataFrame or None
        What a model that refuses cells says of the test rows beside classes and probabilities:
        ``set, coverage, anomaly, refused`` and ``uncalibrated__<class>``, see
        `hemafeat.pipelines.SelectiveClassifier.answers`.
    """

    model: str
    fold: str
    predicted: np.ndarray
    probability: np.ndarray | None
    fit_seconds: float
    predict_seconds: float
    importance: dict[str, float]
    warnings: list[tuple[str, str]] = field(default_factory=list)
    parts: dict[str, Judged] = field(default_factory=dict)
    choices: list[Choice] = field(default_factory=list)
    fitted: Any = None
    answers: pd.DataFrame | None = None


def run_together(tasks: Sequence[Task]) -> Iterator[Outcome]:
    """Run the tasks of one fold one after another; fits that they have in common are made once.

    Each fit uses one thread, so that its result does not depend on the number of processors, and
    processes do not wait for each other's threads.
    """
    fits = Fits.of([task.estimator for task in tasks])
    for task in tasks:
        with sharing(fits), threadpool_limits(1):
            outcome = run(task, fits)
        yield outcome


class _Parcel:
    """Rows with bags of cells, on their way to another process.

    The features of all cells are one array, which processes share. Inside a table of objects every
    bag would be copied to every process, for every task.

    Parameters
    ----------
    inputs : DataFrame
        The rows. If there is a file, their bags are replaced by those in it.
    file : Path or None
        File to map the features from, in this process as well. None leaves it to joblib, which
        writes a file for the other processes.
    """

    def __init__(self, inputs: pd.DataFrame, file: Path | None) -> None:
        bags = inputs["cells"].tolist()
        self.rest = inputs.drop(columns="cells")
        self.place = list(inputs.columns).index("cells")
        self.sizes = np.array([len(bag) for bag in bags])
        self.whole = replace(
            bags[0],
            features=_joined([bag.features for bag in bags]),
            rows=np.concatenate([bag.rows for bag in bags]),
            beside={
                name: np.concatenate([bag.beside[name] for bag in bags]) for name in bags[0].beside
            },
        )
        if file is not None and self.whole.features.size:
            np.save(file, self.whole.features)
            self.whole = replace(self.whole, features=np.load(file, mmap_mode="r"))
            inputs["cells"] = self.open()["cells"]

    def open(self) -> pd.DataFrame:
        """Return the rows."""
        whole = replace(self.whole, features=np.asarray(self.whole.features))
        ends = np.cumsum(self.sizes)
        bags = [
            whole.cells(slice(stop - size, stop))
            for size, stop in zip(self.sizes.tolist(), ends.tolist(), strict=True)
        ]
        rows = self.rest.copy(deep=False)
        rows.insert(self.place, "cells", pd.Series(bags, index=rows.index, dtype=object))
        return rows


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Concatenate arrays; those that follow each other in one array are not copied."""
    base = parts[0].base
    if base is not None and base.ndim == 2 and base.flags.c_contiguous:
        ends = np.cumsum([part.nbytes for part in parts]) + base.ctypes.data
        follow = all(
            part.base is base and part.flags.c_contiguous and part.ctypes.data + part.nbytes == end
            for part, end in zip(parts, ends.tolist(), strict=True)
        )
        if follow and sum(map(len, parts)) == len(base):
            return base
    return np.concatenate(parts)


def _packed(groups: Sequence[dict[int, Task]], folder: Path | None) -> Iterator[dict[int, Task]]:
    """Yield the groups with bags in parcels, one for all tasks that have the same rows."""
    parcels: dict[int, Any] = {}
    for group in groups:
        for task in group.values():
            if id(task.inputs) not in parcels:
                file = None if folder is None else folder / f"{len(parcels)}.npy"
                has_bags = _has_bags(task.inputs)
                parcels[id(task.inputs)] = _Parcel(task.inputs, file) if has_bags else task.inputs
        yield {
            number: replace(task, inputs=parcels[id(task.inputs)]) for number, task in group.items()
        }


def _has_bags(inputs: pd.DataFrame) -> bool:
    return "cells" in inputs and isinstance(inputs["cells"].iloc[0], pipelines.Bag)


def _run_group(tasks: dict[int, Task]) -> dict[int, Outcome]:
    """Run the tasks of a group in another process."""
    opened: dict[int, pd.DataFrame] = {}
    for number, task in tasks.items():
        if isinstance(task.inputs, _Parcel):
            key = id(task.inputs)
            if key not in opened:
                opened[key] = task.inputs.open()
            tasks[number] = replace(task, inputs=opened[key])
    outcomes = dict(zip(tasks, run_together(list(tasks.values())), strict=True))
    give_back_memory()
    return outcomes


def run(task: Task, fits: Fits) -> Outcome:
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
            start, saved = time.perf_counter(), fits.seconds_saved
            model = fit_once(model, train, task.truth[task.train], validation=validation_of(task))
            fitted = time.perf_counter()
            fit_seconds = fitted - start + fits.seconds_saved - saved
            answers = None
            if isinstance(model, pipelines.SelectiveClassifier):
                (predicted, probability), answers = _answered(model, test, task.classes)
            else:
                predicted, probability = _judge(model, test, task.classes)
            done = time.perf_counter()
            losses = {}
            if task.importance:
                truth = task.truth[task.test]
                # Groups only divide the training rows.
                values = test.drop(columns="group", errors="ignore")
                losses = permutation_losses(
                    model, values, truth, task.importance, task.seed, task.budget
                )
            parts = {
                name: _judge(model, task.inputs.iloc[rows], task.classes)
                for name, rows in task.parts.items()
            }
        except Exception as error:
            raise CompareError(
                f"model {task.model!r} failed on fold {task.fold}: {type(error).__name__}: "
                f"{without_numpy(str(error))}"
            ) from error
    unknown = sorted(set(predicted).union(*(of for of, _ in parts.values())) - set(task.classes))
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
        fit_seconds,
        done - fitted,
        losses,
        sorted(messages),
        parts,
        list(choices_of(model)),
        model if task.keep_model else None,
        answers,
    )


def _answered(
    model: pipelines.SelectiveClassifier, rows: pd.DataFrame, classes: Sequence[str]
) -> tuple[Judged, pd.DataFrame]:
    """Return classes and probabilities, and what else a model that refuses cells says.

    A class that the training rows lacked has the probability 0.
    """
    answers = model.answers(rows)
    columns = {
        prefix: [f"{prefix}__{name}" for name in classes] for prefix in ("p", "uncalibrated")
    }
    probability = answers.reindex(columns=columns["p"], fill_value=0.0).to_numpy(np.float64)
    others = ["set", "coverage", "anomaly", "refused", *columns["uncalibrated"]]
    predicted = answers["predicted"].to_numpy().astype(str)
    return (predicted, probability), answers.reindex(columns=others, fill_value=0.0)


def validation_of(task: Task) -> tuple[pd.DataFrame, np.ndarray] | None:
    """Return the rows to validate on, of the classes that are trained on, or None."""
    rows = task.validation[np.isin(task.truth[task.validation], task.truth[task.train])]
    if not len(rows) or not takes_validation(task.estimator):
        return None
    return task.inputs.iloc[rows], task.truth[rows]


def _judge(model: Any, rows: pd.DataFrame, classes: Sequence[str]) -> Judged:
    """Return the classes that a fitted model predicts, and the probabilities if it gives any."""
    probability = _probabilities(model, rows, classes)
    if probability is not None and _is_most_probable(model):
        predicted = np.asarray(model.classes_).astype(str)[probability[0].argmax(axis=1)]
    else:
        predicted = np.asarray(model.predict(rows)).astype(str)
    return predicted, None if probability is None else probability[1]


def choices_of(model: Any, step: str = "") -> Iterator[Choice]:
    """Yield the parameters that searches inside a fitted model have chosen, step by step."""
    if hasattr(model, "best_params_"):
        on = getattr(model, "selected_on_", "inner folds")
        for name, value in model.best_params_.items():
            yield step, str(name), str(value), float(getattr(model, "best_score_", np.nan)), on
    elif isinstance(model, pipelines.BestOf):
        score = model.scores_.get(model.chosen_, np.nan)
        yield step, "estimator", model.chosen_, float(score), "inner folds"
    named = getattr(model, "steps", None) or []
    if hasattr(model, "estimators_") and hasattr(model, "estimators"):
        names = [name for name, member in model.estimators if not isinstance(member, str)]
        named = [*named, *zip(names, model.estimators_, strict=False)]
    for attribute in ("estimator_", "best_estimator_"):
        if hasattr(model, attribute):
            named = [*named, ("", getattr(model, attribute))]
    for name, part in named:
        yield from choices_of(part, "__".join(filter(None, (step, name))))


def _is_most_probable(model: Any) -> bool:
    """Return whether the label that a fitted model predicts is the most probable one.

    Only of models that say so of themselves: predicting both would take twice the time.
    """
    from sklearn.ensemble import RandomForestClassifier, VotingClassifier
    from sklearn.pipeline import Pipeline

    last = model.steps[-1][1] if type(model) in (Pipeline, pipelines.CellPipeline) else model
    if type(last) is VotingClassifier:
        return bool(last.voting == "soft")
    return type(last) in (
        pipelines.BoostedTrees,
        pipelines.CellVote,
        pipelines.DecisionRule,
        pipelines.PatientStack,
        pipelines.SelectiveClassifier,
        pipelines.SupportVectors,
        RandomForestClassifier,
    )


def _probabilities(
    model: Any, test: pd.DataFrame, classes: Sequence[str]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the probabilities as predicted, and those of all classes.

    The latter are 0 for a class that the training rows lacked.
    """
    try:
        predict_proba = model.predict_proba
    except AttributeError:
        return None
    given = np.asarray(predict_proba(test))
    values = given.astype(np.float64)
    out = np.zeros((len(test), len(classes)))
    index = {name: k for k, name in enumerate(classes)}
    for column, name in enumerate(np.asarray(model.classes_).astype(str)):
        out[:, index[name]] = values[:, column]
    return given, out


def run_all(
    tasks: Sequence[Task],
    n_jobs: int,
    progress: bool | Progress | None,
    kept: Mapping[int, Outcome] | None = None,
    keep: Callable[[int, Outcome], object] | None = None,
) -> list[Outcome]:
    """Run tasks in `n_jobs` processes and return their outcomes in the order of the tasks.

    Those that are `kept`, by their numbers, are not run again; `keep` is called with the others.
    """
    outcomes: dict[int, Outcome] = dict(kept or {})
    groups = _groups({n: task for n, task in enumerate(tasks) if n not in outcomes}, n_jobs)
    with steps_of(
        len(tasks), "compare", progress or False, unit="fit", initial=len(outcomes)
    ) as advance:
        for number, outcome in _run_groups(groups, n_jobs):
            outcomes[number] = outcome
            if keep is not None:
                keep(number, outcome)
            advance(step=f"{outcome.model}, fold {outcome.fold}")
    return [outcomes[number] for number in range(len(tasks))]


def _groups(tasks: Mapping[int, Task], n_jobs: int) -> list[dict[int, Task]]:
    """Divide tasks into those that one process runs: related models on one fold, or all of them."""
    by_fold: dict[str, dict[int, Task]] = {}
    for number, task in tasks.items():
        by_fold.setdefault(task.fold, {})[number] = task
    if n_jobs == 1:
        return list(by_fold.values())
    divided = []
    for part in by_fold.values():
        numbers = list(part)
        together = families([task.estimator for task in part.values()])
        divided.append([{numbers[k]: part[numbers[k]] for k in group} for group in together])
    # The groups of the most work first, so that no process is left alone with one at the end.
    return [group for rank in zip_longest(*divided) for group in rank if group]


def _run_groups(groups: Sequence[dict[int, Task]], n_jobs: int) -> Iterator[tuple[int, Outcome]]:
    """Yield number and outcome of each task when its group is done, or at once in this process."""
    if n_jobs == 1:
        for group in groups:
            yield from zip(group, run_together(list(group.values())), strict=True)
        return
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    # Windows cannot remove a file that is mapped.
    with nullcontext() if os.name == "nt" else TemporaryDirectory() as folder:
        packed = _packed(groups, None if folder is None else Path(folder))
        for done in parallel(delayed(_run_group)(group) for group in packed):
            yield from done.items()
