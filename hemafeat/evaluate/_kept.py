"""Finished fits of a comparison, kept in a folder until it is complete."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from hemafeat import pipelines
from hemafeat._files import write_whole
from hemafeat._fits import kind_of, parts_of, value_hash
from hemafeat._machine import versions
from hemafeat.evaluate._fit import Outcome, Task

_KNOWN = ("hemafeat", "sklearn", "xgboost", "imblearn")
"""Packages whose classes do the same as long as their version is the same."""

_PACKAGES = ("numpy", "scipy", "pandas", "scikit-learn", "xgboost", "xgboost-cpu")


class KeptFits:
    """A folder with a JSON file for each model and fold.

    The name of a file is a hash of everything that the outcome depends on: rows, labels, fold,
    parameters of the model, columns to permute, and versions of the packages. Models of classes
    that are not of these packages, and those that read images, are not kept.

    Parameters
    ----------
    folder : Path or None
        None keeps nothing.
    tasks : sequence of Task
        What the comparison consists of.
    """

    def __init__(self, folder: Path | None, tasks: Sequence[Task]) -> None:
        self.files: dict[int, Path] = {}
        self.folder = folder
        if folder is None:
            return
        inputs: dict[int, str] = {}
        common = value_hash(sorted(versions(_PACKAGES).items()))
        for number, task in enumerate(tasks):
            if id(task.inputs) not in inputs:
                inputs[id(task.inputs)] = value_hash(task.inputs)
            key = _key(task, inputs[id(task.inputs)], common)
            if key:
                self.files[number] = folder / f"{key}.json"

    def read(self, tasks: Sequence[Task]) -> dict[int, Outcome]:
        """Return the outcomes that are there, by the number of the task."""
        found = {}
        for number, path in self.files.items():
            with suppress(OSError, ValueError, KeyError, TypeError):
                found[number] = _outcome(json.loads(path.read_text("utf-8")), tasks[number])
        return found

    def write(self, number: int, outcome: Outcome) -> None:
        """Keep the outcome of a task, whole or not at all."""
        path = self.files.get(number)
        if path is None:
            return
        probability = outcome.probability
        entries = {
            **vars(outcome),
            "predicted": outcome.predicted.tolist(),
            "probability": None if probability is None else probability.tolist(),
        }
        text = json.dumps(entries, default=float)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda aside: aside.write_text(text, encoding="utf-8"))

    def remove(self) -> None:
        """Remove the files of these tasks, and the folder if it is empty."""
        for path in self.files.values():
            path.unlink(missing_ok=True)
        if self.folder is not None:
            with suppress(OSError):
                self.folder.rmdir()


def _key(task: Task, inputs: str, common: str) -> str:
    """Return the hash of a task; empty if its outcome cannot be told from another one."""
    kind = kind_of(task.estimator)
    known = all(type(p).__module__.split(".")[0] in _KNOWN for p in parts_of(task.estimator))
    if not (kind and known and inputs) or "images" in pipelines.looks_at(task.estimator):
        return ""
    sets = None if task.importance is None else list(task.importance.items())
    asked = (task.model, task.fold, task.truth, task.train, task.test, list(task.classes))
    return value_hash((common, kind, inputs, asked, sets, list(task.seed), task.budget))


def _outcome(entries: Mapping[str, Any], task: Task) -> Outcome:
    probability = entries["probability"]
    if probability is not None:
        probability = np.array(probability, dtype=np.float64)
        if probability.shape != (len(task.test), len(task.classes)):
            raise ValueError("not the probabilities of this task")
    outcome = Outcome(
        **{
            **entries,
            "predicted": np.array(entries["predicted"], dtype=str),
            "probability": probability,
            "warnings": [(str(category), str(text)) for category, text in entries["warnings"]],
        }
    )
    if len(outcome.predicted) != len(task.test) or outcome.model != task.model:
        raise ValueError("not the predictions of this task")
    return outcome
