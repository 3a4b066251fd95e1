"""Finished fits of a comparison, kept in a folder until it is complete."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pandas as pd

from hemafeat import pipelines
from hemafeat._files import write_whole
from hemafeat._fits import kind_of, parts_of, value_hash
from hemafeat._machine import versions
from hemafeat.evaluate._fit import Outcome, Task

_KNOWN = ("hemafeat", "sklearn", "xgboost", "imblearn", "numpy", "scipy")
"""Packages whose classes do the same as long as their version is the same."""

_PACKAGES = (
    *("numpy", "scipy", "pandas", "scikit-learn", "xgboost", "xgboost-cpu"),
    *("keras", "tensorflow", "tensorflow-cpu", "jax", "torch"),
)


_MODEL = ".hemafeat"
"""Suffix of the file of a fitted model."""


class KeptFits:
    """A folder with a JSON file for each model and fold.

    The name of a file is a hash of everything that the outcome depends on: rows, labels, fold,
    parameters of the model, columns to permute, versions of the packages, and size and time of the
    files of images and weights that a model reads. Models with classes or functions that are not of
    these packages are not kept, nor those whose images are not local files. Beside the file lies
    the fitted model, if the task asks for it; a model that cannot be saved is not kept.

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
        images: dict[int, str] = {}
        common = value_hash(sorted(versions(_PACKAGES).items()))
        for number, task in enumerate(tasks):
            if id(task.inputs) not in inputs:
                inputs[id(task.inputs)] = value_hash(task.inputs)
            key = _key(task, inputs[id(task.inputs)], common)
            if "images" in pipelines.looks_at(task.estimator):
                if id(task.inputs) not in images:
                    images[id(task.inputs)] = _image_stamps(task.inputs)
                stamps = images[id(task.inputs)]
                key = value_hash((key, stamps)) if key and stamps else ""
            if key:
                self.files[number] = folder / f"{key}.json"

    def read(self, tasks: Sequence[Task]) -> dict[int, Outcome]:
        """Return the outcomes that are there, by the number of the task."""
        found = {}
        for number, path in self.files.items():
            with suppress(OSError, ValueError, KeyError, TypeError, ImportError):
                outcome = _outcome(json.loads(path.read_text("utf-8")), tasks[number])
                if tasks[number].keep_model:
                    outcome.fitted = pipelines.load(path.with_suffix(_MODEL)).pipeline
                found[number] = outcome
        return found

    def write(self, number: int, outcome: Outcome) -> None:
        """Keep the outcome of a task, whole or not at all."""
        path = self.files.get(number)
        if path is None:
            return
        entries = {
            **vars(outcome),
            "predicted": outcome.predicted.tolist(),
            "probability": _listed(outcome.probability),
            "parts": {
                name: [predicted.tolist(), _listed(probability)]
                for name, (predicted, probability) in outcome.parts.items()
            },
            "answers": None if outcome.answers is None else outcome.answers.to_dict("list"),
        }
        model = entries.pop("fitted")
        text = json.dumps(entries, default=float)
        path.parent.mkdir(parents=True, exist_ok=True)
        if model is not None:
            if hasattr(model, "best_estimator_"):
                return  # of a search only the best estimator could be saved
            try:
                pipelines.save(model, path.with_suffix(_MODEL))
            except (pipelines.ModelError, ValueError, AttributeError):
                return
        write_whole(path, lambda aside: aside.write_text(text, encoding="utf-8"))

    def remove(self) -> None:
        """Remove the files of these tasks, and the folder if it is empty."""
        for path in self.files.values():
            path.unlink(missing_ok=True)
            path.with_suffix(_MODEL).unlink(missing_ok=True)
        if self.folder is not None:
            with suppress(OSError):
                self.folder.rmdir()


def _key(task: Task, inputs: str, common: str) -> str:
    """Return the hash of a task; empty if its outcome cannot be told from another one."""
    kind = kind_of(task.estimator)
    known = all(_is_known(type(part)) for part in parts_of(task.estimator))
    weights = _weight_stamps(task.estimator)
    if not (kind and known and inputs) or weights is None:
        return ""
    sets = None if task.importance is None else list(task.importance.items())
    asked = (task.model, task.fold, task.truth, task.train, task.test, list(task.classes))
    further = (task.validation, dict(task.parts), task.keep_model, weights)
    return value_hash((common, kind, inputs, asked, further, sets, list(task.seed), task.budget))


def _is_known(thing: Any) -> bool:
    return str(thing.__module__).split(".")[0] in _KNOWN


def _weight_stamps(model: Any) -> list[tuple[int, int]] | None:
    """Return size and time of the files that are named by parameters; None for a function."""
    stamps = []
    for part in parts_of(model):
        for value in part.get_params(deep=False).values():
            if isinstance(value, FunctionType) and not _is_known(value):
                return None
            if isinstance(value, str | os.PathLike) and os.path.isfile(value):
                stamps.append(_stamp(value))
    return stamps


def _image_stamps(inputs: pd.DataFrame) -> str:
    """Return a hash of size and time of the images and masks of rows; empty if one is no file."""
    if "cells" in inputs:
        beside = [bag.beside for bag in inputs["cells"]]
        columns = [[file for one in beside for file in one.get("image", [])]]
    else:
        columns = [inputs[name].dropna().tolist() for name in ("image", "mask") if name in inputs]
    try:
        return value_hash([[_stamp(file) for file in column] for column in columns])
    except (OSError, TypeError, ValueError):
        return ""


def _stamp(file: Any) -> tuple[int, int]:
    if not isinstance(file, str | os.PathLike):
        raise TypeError("not the name of a file")
    found = os.stat(file)
    return found.st_size, found.st_mtime_ns


def _listed(probability: np.ndarray | None) -> list[list[float]] | None:
    return None if probability is None else probability.tolist()


def _outcome(entries: Mapping[str, Any], task: Task) -> Outcome:
    rows = {"": task.test, **task.parts}
    stored = {"": [entries["predicted"], entries["probability"]], **entries["parts"]}
    if stored.keys() != rows.keys() or entries["model"] != task.model:
        raise ValueError("not the outcome of this task")
    parts = {}
    for name, (predicted, probability) in stored.items():
        if probability is not None:
            probability = np.array(probability, dtype=np.float64)
            if probability.shape != (len(rows[name]), len(task.classes)):
                raise ValueError("not the probabilities of this task")
        if len(predicted) != len(rows[name]):
            raise ValueError("not the predictions of this task")
        parts[name] = (np.array(predicted, dtype=str), probability)
    predicted, probability = parts.pop("")
    answers = entries.get("answers")
    return Outcome(
        **{
            **entries,
            "predicted": predicted,
            "probability": probability,
            "parts": parts,
            "warnings": [(str(category), str(text)) for category, text in entries["warnings"]],
            "choices": [tuple(choice) for choice in entries["choices"]],
            "answers": None if answers is None else pd.DataFrame(answers),
        }
    )
