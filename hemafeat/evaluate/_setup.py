"""What every study begins with: rows, features, groups, folds, models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hemafeat import pipelines
from hemafeat.evaluate._fingerprint import fingerprint
from hemafeat.evaluate._fit import Task
from hemafeat.evaluate._protocols.protocols import Protocol, protocol
from hemafeat.evaluate._protocols.splits import Cells, CompareError, Folds, Groups, group_ids
from hemafeat.evaluate._rows import Note, common, features, in_order, labelled, metadata_columns
from hemafeat.evaluate._tables import stamped

GROUP = "group"
"""Column in which the models get the groups, see `hemafeat.pipelines.GroupedFolds`."""

BASELINE = "baseline"
METADATA = "metadata"

_FEW_GROUPS = 20
"""Below this, a percentile interval over groups is only a rough one."""

Models = str | Iterable[str] | Mapping[str, Any] | None


@dataclass
class Setup:
    """Rows ready to be fitted and scored.

    Attributes
    ----------
    table, values : DataFrame
        The rows used, in order of image and cell, and their features.
    truth : (n_rows,) ndarray of str
        Their labels.
    groups : Groups
        What must stay together.
    plan : Folds
        What is trained on and what is scored.
    classes : list of str
        Of the rows of the plan, sorted.
    models : dict of str to estimator
        Unfitted.
    inputs : dict of str to DataFrame
        What each model sees.
    errors : list of (image, stage, error, message)
        What was left out, and why.
    random_state : int
        Seed.
    """

    table: pd.DataFrame
    values: pd.DataFrame
    truth: np.ndarray
    groups: Groups
    plan: Folds
    classes: list[str]
    models: dict[str, Any]
    inputs: dict[str, pd.DataFrame]
    errors: list[Note]
    random_state: int

    def tasks(self, sets: Mapping[str, Sequence[str]] | None = None) -> list[Task]:
        """Every model on every fold."""
        return [
            Task(
                name,
                fold,
                estimator,
                self.inputs[name],
                self.truth,
                train,
                test,
                self.classes,
                sets if self.inputs[name] is self.values and name != BASELINE else None,
                (self.random_state, number),
            )
            for name, estimator in self.models.items()
            for number, (fold, (train, test)) in enumerate(
                zip(self.plan.names, self.plan.pairs, strict=True)
            )
        ]

    @property
    def transductive(self) -> list[str]:
        """Names of the models whose verdict on a cell hangs on the others scored with it."""
        return [name for name, model in self.models.items() if pipelines.is_transductive(model)]

    @property
    def mark(self) -> str:
        """Hash of the features, labels and groups."""
        # An image's own path says nothing about the cells; only groups that were given count.
        ids = [name if name.startswith("group ") else "" for name in self.groups.ids]
        return fingerprint(self.values, self.truth, np.array(ids))

    def sentence(self, n_boot: int, *more: str) -> str:
        """How it was done, in words."""
        scored = np.concatenate([test for _, test in self.plan.pairs])
        noun = self.groups.noun
        parts = [
            self.plan.sentence,
            *more,
            f"intervals: 95 % percentile bootstrap over {noun} ({n_boot} resamples), "
            f"seed {self.random_state}",
            f"{len(scored)} cells, {len(self.classes)} classes",
        ]
        n_groups = len(np.unique(self.groups.ids[scored]))
        if n_groups < _FEW_GROUPS:
            parts.append(f"only {n_groups} {noun}, so the intervals are rough")
        if self.groups.note:
            parts.append(self.groups.note)
        if self.transductive:
            parts.append(
                f"TRANSDUCTIVE: {', '.join(self.transductive)} saw the cells scored together, "
                "which says nothing of a cell that comes alone"
            )
        return "; ".join(parts) + "."


def set_up(
    models: Models,
    table: pd.DataFrame,
    *,
    label: str = "label",
    groups: str | None = "group",
    split: str | Protocol = "grouped",
    n_splits: int = 5,
    columns: Sequence[str] | None = None,
    metadata: Sequence[str] = (),
    rare: str = "error",
    random_state: int = 0,
) -> Setup:
    """Check the table and the models and divide the rows; parameters as in `compare`."""
    how = protocol(split) if isinstance(split, str) else split
    used, errors = labelled(table, label)
    used, values = in_order(used, features(used, columns), label)
    which = _groups(used, how, groups)
    truth = used[label].astype(str).to_numpy(dtype=object).astype(str)
    if how.folded:
        ids = np.arange(len(truth)) if how.leaky else which.ids
        keep, left_out = common(truth, ids, n_splits, rare)
        errors += left_out
        used, values = (part[keep].reset_index(drop=True) for part in (used, values))
        truth = truth[keep]
        which = Groups(which.ids[keep], which.noun, which.note)
    if len(set(truth)) < 2:
        raise CompareError(f"fewer than two classes in column {label!r}: {sorted(set(truth))}")
    plan = how.divide(Cells(truth, which, used, values, n_splits, random_state, how.options))
    errors += [("", "split", "note", note) for note in plan.notes]
    named = list(values.columns) if columns is not None else None
    chosen = _models(models, bool(metadata), named, random_state)
    rows = np.concatenate([part for pair in plan.pairs for part in pair])
    return Setup(
        used,
        values,
        truth,
        which,
        plan,
        [str(name) for name in np.unique(truth[rows])],
        chosen,
        _inputs(chosen, used, values, which, metadata),
        errors,
        random_state,
    )


def _groups(table: pd.DataFrame, how: Protocol, groups: str | None) -> Groups:
    if how.groups is None:
        return group_ids(table, groups)
    unknown = table[how.groups].isna() if how.groups in table.columns else None
    if unknown is None or unknown.any():
        n = len(table) if unknown is None else int(unknown.sum())
        raise CompareError(
            f"split={how.name!r}: the {how.groups} of {n} of {len(table)} cells is not known; "
            "split='grouped' keeps together what is known, and says so"
        )
    return group_ids(table, how.groups)


def _models(
    models: str | Iterable[str] | Mapping[str, Any] | None,
    metadata: bool,
    columns: list[str] | None,
    random_state: int,
) -> dict[str, Any]:
    if models is None:
        models = pipelines.names()
    elif isinstance(models, str):
        models = [models]
    if not isinstance(models, Mapping):
        try:
            models = {name: pipelines.make(name, random_state=random_state) for name in models}
        except ValueError as error:
            raise CompareError(str(error)) from None
    chosen = {str(name): model for name, model in models.items()}
    for name, model in chosen.items():
        if isinstance(model, type) or not (hasattr(model, "fit") and hasattr(model, "predict")):
            raise CompareError(f"model {name!r} is no scikit-learn estimator: {model!r}")
    if BASELINE not in chosen:
        chosen[BASELINE] = pipelines.baseline()
    if metadata:
        if METADATA in chosen:
            raise CompareError(f"{METADATA!r} is the name of the model of metadata alone")
        chosen[METADATA] = pipelines.metadata_only(random_state=random_state)
    if columns is not None:
        from sklearn.base import clone

        for name, model in chosen.items():
            # The features have names of the caller's choice; members of an ensemble take them too.
            found = [
                key
                for key, part in _parts(model).items()
                if isinstance(part, pipelines.FeatureColumns)
            ]
            if found:
                given = {f"{key}__columns": columns for key in found}
                chosen[name] = clone(model).set_params(**given)
    return chosen


def _parts(model: Any) -> dict[str, Any]:
    return model.get_params() if hasattr(model, "get_params") else {}


def _inputs(
    chosen: Mapping[str, Any],
    table: pd.DataFrame,
    values: pd.DataFrame,
    which: Groups,
    metadata: Sequence[str],
) -> dict[str, pd.DataFrame]:
    inputs = {}
    for name, model in chosen.items():
        wanted = pipelines.looks_at(model)
        if name == METADATA and metadata:
            inputs[name] = metadata_columns(table, metadata)
            continue
        if wanted == {"features"}:
            inputs[name] = values
            continue
        parts = []
        if "images" in wanted:
            if "image" not in table.columns:
                raise CompareError(f"model {name!r} reads images; the table has no column 'image'")
            if table["image"].map(str).duplicated().any():
                raise CompareError(
                    f"model {name!r} looks at whole images, but the table has several cells of one"
                )
            parts.append(table[["image"]])
        if "groups" in wanted:
            # For divisions inside the training rows; what is trained never sees it as a feature.
            parts.append(pd.DataFrame({GROUP: which.ids}, index=table.index))
        parts += [values] if "features" in wanted else []
        inputs[name] = pd.concat(parts, axis=1)
    return inputs


def set_up_study(models: Models, table: pd.DataFrame, **options: Any) -> Setup:
    """As `set_up`, with the models that were asked for and no baseline beside them."""
    ready = set_up(models, table, **options)
    ready.models = {name: model for name, model in ready.models.items() if name != BASELINE}
    return ready


def results_of(ready: Setup, results: pd.DataFrame) -> pd.DataFrame:
    """The results with what every row of them says of how they were made."""
    return stamped(results, ready.plan, ready.random_state, ready.mark)
