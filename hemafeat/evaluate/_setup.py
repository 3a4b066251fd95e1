"""Preparation of a comparison: rows, labels, groups, folds and models, checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd

from hemafeat import __version__, pipelines
from hemafeat._fits import check_weights
from hemafeat.evaluate._fit import EVERY_IMAGE, Task
from hemafeat.evaluate._protocols.protocols import Protocol, as_protocol
from hemafeat.evaluate._protocols.splits import Folds, Groups, Sample, group_ids
from hemafeat.evaluate._rows import (
    CompareError,
    Note,
    cells_measured,
    drop_unlabelled,
    feature_values,
    fingerprint,
    frequent_classes,
    metadata_values,
    sort_rows,
)

GROUP = "group"
"""Column in which models receive the groups, see `hemafeat.pipelines.GroupedFolds`."""

BASELINE = "baseline"
METADATA = "metadata"

_FEW_GROUPS = 20
"""Number of groups below which a percentile interval is only a rough one."""

Models = str | Iterable[str] | Mapping[str, Any] | None


@dataclass
class Setup:
    """Rows, folds and models of a comparison, ready to be fitted and scored.

    Attributes
    ----------
    unit : {"cell", "patient"}
        What a row is.
    table, values : DataFrame
        The rows used, in order, and their features.
    truth : (n_rows,) ndarray of str
        Labels.
    groups : Groups
        Rows that must stay together.
    plan : Folds
        Rows to train on and to score.
    classes : list of str
        Classes of the rows of the plan, sorted.
    models : dict of str to estimator
        Unfitted.
    inputs : dict of str to DataFrame
        Input of each model.
    errors : list of (image, stage, error, message)
        Rows that were left out, and remarks on the folds.
    random_state : int
        Seed.
    fingerprint : str
        Hash of the feature values, labels and groups.
    preface, sizes, remark, measured : str
        Parts of `sentence`: at its beginning, after the number of rows, on the metadata, and on
        which cells of the images are in the table.
    unmeasured : (n_rows,) ndarray of bool, optional
        Rows without any feature, for models that need none. They are in no test part of the plan.
    further : list of ndarray
        Unmeasured rows of the test part of each fold, which are only scored apart.
    """

    unit: str
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
    fingerprint: str
    preface: str = ""
    sizes: str = ""
    remark: str = ""
    measured: str = ""
    unmeasured: np.ndarray | None = None
    further: list[np.ndarray] = field(default_factory=list)

    def tasks(
        self,
        sets: Mapping[str, Sequence[str]] | None = None,
        budget: int = 0,
        parts: Sequence[str] = (),
        keep_models: bool = False,
    ) -> list[Task]:
        """Return a task for every model and fold.

        `sets` are the columns to permute, and `budget` the predictions for that, over all folds;
        `parts` are to be predicted beside the test part.
        """
        tasks = []
        for name, estimator in self.models.items():
            of_all = self.takes_all(name)
            for number, (fold, rows) in enumerate(
                zip(self.plan.names, self.plan.parts(), strict=True)
            ):
                train, valid, test = rows
                if self.unmeasured is not None and not of_all:
                    train, valid = (part[~self.unmeasured[part]] for part in (train, valid))
                asked = {"train": train, "validation": valid}
                asked = {part: asked[part] for part in parts if part in asked}
                if self.further and of_all:
                    asked[EVERY_IMAGE] = self.further[number]
                tasks.append(
                    Task(
                        name,
                        fold,
                        estimator,
                        self.inputs[name],
                        self.truth,
                        train,
                        test,
                        self.classes,
                        sets if self._reads_features_alone(name) else None,
                        (self.random_state, number),
                        budget // len(self.plan.pairs),
                        valid,
                        {part: rows for part, rows in asked.items() if len(rows)},
                        keep_models,
                    )
                )
        return tasks

    def takes_all(self, name: str) -> bool:
        """Return whether a model reads images and no features, so that it takes unmeasured rows."""
        looked_at = pipelines.looks_at(self.models[name])
        return "images" in looked_at and "features" not in looked_at

    def _reads_features_alone(self, name: str) -> bool:
        """Return whether a model is one whose columns can be permuted."""
        looked_at = pipelines.looks_at(self.models[name]) - {"groups"}
        return looked_at == {"features"} and name not in (BASELINE, METADATA)

    @property
    def transductive(self) -> list[str]:
        """Names of the models whose prediction of a row depends on the others scored with it."""
        return [name for name, model in self.models.items() if pipelines.is_transductive(model)]

    @property
    def baselines(self) -> tuple[str, ...]:
        """Names of the models that ignore the cells."""
        return tuple(name for name, model in self.models.items() if self._is_baseline(name, model))

    def _is_baseline(self, name: str, model: Any) -> bool:
        from sklearn.dummy import DummyClassifier

        if name in (BASELINE, METADATA) or not pipelines.looks_at(model) & {"features", "images"}:
            return True
        steps = getattr(model, "steps", None)
        return isinstance(steps[-1][1] if steps else model, DummyClassifier)

    def stamp(self, results: pd.DataFrame) -> pd.DataFrame:
        """Add the columns that say how results were obtained."""
        return results.assign(
            protocol=self.plan.protocol,
            seed=self.random_state,
            leaky=self.plan.leaky,
            fingerprint=self.fingerprint,
            version=__version__,
        )

    def sentence(self, n_boot: int, *details: str) -> str:
        """Describe in one sentence how the rows are divided and scored."""
        scored = np.concatenate([test for _, test in self.plan.pairs])
        noun = self.groups.noun
        n_groups = len(np.unique(self.groups.ids[scored]))
        parts = [
            self.preface,
            self.plan.sentence,
            *details,
            f"intervals: 95 % percentile bootstrap over {noun} ({n_boot} resamples), "
            f"seed {self.random_state}",
            f"{len(scored)} {self.unit}s{self.sizes}, {len(self.classes)} classes",
            self.remark,
            self.measured,
            f"only {n_groups} {noun}, so the intervals are rough" if n_groups < _FEW_GROUPS else "",
            self.groups.note,
        ]
        if self.transductive:
            parts.append(
                f"TRANSDUCTIVE: {', '.join(self.transductive)} saw the {self.unit}s scored "
                f"together, which says nothing of a {self.unit} that comes alone"
            )
        return "; ".join(part for part in parts if part) + "."


def set_up(
    models: Models,
    table: pd.DataFrame,
    *,
    label: str = "label",
    groups: str | None = "group",
    protocol: str | Protocol = "grouped",
    n_splits: int = 5,
    columns: Sequence[str] | None = None,
    metadata: Sequence[str] = (),
    rare: str = "error",
    random_state: int = 0,
    baseline: bool = True,
) -> Setup:
    """Prepare a comparison of cells.

    Parameters
    ----------
    models, table, label, groups, protocol, n_splits, columns, metadata, rare, random_state
        As in `compare`.
    baseline : bool, default=True
        Compare the majority class as well.

    Returns
    -------
    Setup
    """
    chosen_protocol = as_protocol(protocol)
    measured, notes = cells_measured(table)
    estimators = _models(models, metadata, columns, random_state)
    need_features = any(
        "features" in pipelines.looks_at(model)
        for name, model in estimators.items()
        if name not in (BASELINE, METADATA)
    )
    used, errors = drop_unlabelled(table, label, features=need_features)
    errors += notes
    used, values = sort_rows(used, feature_values(used, columns, needed=need_features), label)
    if values.empty and isinstance(estimators[BASELINE], pipelines.CellPipeline):
        estimators[BASELINE] = estimators[BASELINE][-1]  # without the choice of feature columns
    cell_groups = _groups(used, chosen_protocol, groups)
    truth = used[label].astype(str).to_numpy(dtype=object).astype(str)
    check_classes(truth, label)
    if chosen_protocol.folded:
        ids, noun = cell_groups.ids, cell_groups.noun
        if chosen_protocol.leaky:
            ids, noun = np.arange(len(truth)), "cells"
        keep, left_out = frequent_classes(truth, ids, n_splits, rare, ("cells", noun))
        errors += left_out
        used, values = (part[keep].reset_index(drop=True) for part in (used, values))
        truth = truth[keep]
        cell_groups = Groups(cell_groups.ids[keep], cell_groups.noun, cell_groups.note)
    check_classes(truth, label)
    plan = chosen_protocol.folds(
        Sample(truth, cell_groups, used, values, n_splits, random_state, chosen_protocol.options)
    )
    plan = _without_copies(plan, used)
    errors += [("", "split", "note", note) for note in plan.notes]
    if not baseline:
        estimators.pop(BASELINE)
    rows = np.concatenate([part for parts in plan.parts() for part in parts])
    # The path of an image says nothing about its cells; only named groups enter the fingerprint.
    marks = [name if name.startswith("group ") else "" for name in cell_groups.ids]
    if values.empty and "image" in used:
        # Without features only the names of the files tell one set of images from another.
        files = [image if isinstance(image, str) else "" for image in used["image"]]
        marks = [f"{mark}\0{PurePath(file).name}" for mark, file in zip(marks, files, strict=True)]
    setup = Setup(
        unit="cell",
        table=used,
        values=values,
        truth=truth,
        groups=cell_groups,
        plan=plan,
        classes=[str(name) for name in np.unique(truth[rows])],
        models=estimators,
        inputs=_inputs(estimators, used, values, cell_groups, metadata),
        errors=errors,
        random_state=random_state,
        fingerprint=fingerprint(values, truth, np.array(marks)),
        measured=measured,
    )
    return _with_common_rows(setup) if need_features else setup


def _without_copies(plan: Folds, table: pd.DataFrame) -> Folds:
    """Return a plan that scores and validates on no copies of cells, see ``extract.table``."""
    if "redrawn" not in table.columns:
        return plan
    copies = (pd.to_numeric(table["redrawn"], errors="coerce") > 0).to_numpy()
    if not copies.any():
        return plan
    note = f"{int(copies.sum())} redrawn copies of cells are trained on, and never scored"
    return replace(
        plan,
        pairs=[(train, test[~copies[test]]) for train, test in plan.pairs],
        validation=[valid[~copies[valid]] for valid in plan.validation],
        notes=[*plan.notes, note],
    )


def _with_common_rows(setup: Setup) -> Setup:
    """Return a setup in which all models are scored on the rows that all of them can predict.

    Models of images also take images in which no cell was measured.
    """
    of_all = [name for name in setup.models if setup.takes_all(name)]
    unmeasured = pd.isna(setup.values).all(axis=1).to_numpy()
    if not (of_all and unmeasured.any()):
        return setup
    tests = [test for _, test in setup.plan.pairs]
    pairs = [(train, test[~unmeasured[test]]) for train, test in setup.plan.pairs]
    for name, (train, test) in zip(setup.plan.names, pairs, strict=True):
        if not len(test) or len(set(setup.truth[train[~unmeasured[train]]])) < 2:
            raise CompareError(
                f"fold {name}: too few images with a measured cell for models of features"
            )
    n, n_scored = int(unmeasured.sum()), sum(len(test) for _, test in pairs)
    text = (
        f"no cell was measured in {n} of {len(unmeasured)} images, from which only "
        f"{', '.join(of_all)} can learn and which no other model predicts. All models are compared "
        f"on the {n_scored} scored images with a cell; scores on {EVERY_IMAGE} are apart"
    )
    return replace(
        setup,
        plan=replace(setup.plan, pairs=pairs),
        errors=[*setup.errors, ("", "compare", "note", text)],
        unmeasured=unmeasured,
        further=[test[unmeasured[test]] for test in tests],
    )


def check_classes(truth: np.ndarray, label: str) -> None:
    """Raise a `CompareError` if there are fewer than two classes, or as many as rows."""
    classes = sorted(map(str, set(truth)))
    if len(classes) < 2:
        raise CompareError(
            f"fewer than two classes in column {label!r}: {', '.join(classes) or 'none is left'}"
        )
    if len(classes) > 20 and 2 * len(classes) > len(truth):
        raise CompareError(
            f"column {label!r} holds {len(classes)} different values in {len(truth)} rows, such as "
            f"{', '.join(classes[:3])}: these are not classes; name the column of the labels"
        )


def _groups(table: pd.DataFrame, protocol: Protocol, groups: str | None) -> Groups:
    """Return the groups of the column that a protocol insists on, or of `groups`."""
    if protocol.groups is None:
        return group_ids(table, groups)
    unknown = table[protocol.groups].isna() if protocol.groups in table.columns else None
    if unknown is None or unknown.any():
        n = len(table) if unknown is None else int(unknown.sum())
        raise CompareError(
            f"protocol={protocol.name!r}: the {protocol.groups} of {n} of {len(table)} cells is "
            "not known; protocol='grouped' keeps together what is known, and says so"
        )
    return group_ids(table, protocol.groups)


def make_models(
    models: Models, default: Sequence[str], make: Callable[[str], Any]
) -> dict[str, Any]:
    """Return unfitted estimators by name.

    Parameters
    ----------
    models : None, str, list of str, or mapping of str to estimator
        Names, or estimators by name.
    default : sequence of str
        Names that None stands for.
    make : callable
        Makes the estimator of a name; its ValueError becomes a `CompareError`.

    Raises
    ------
    CompareError
        If there is no model of a name, an object is not an estimator, or the weights of a network
        cannot be had or do not fit it.
    """
    if models is None:
        models = default
    elif isinstance(models, str):
        models = [models]
    if not isinstance(models, Mapping):
        try:
            models = {name: make(name) for name in models}
        except ValueError as error:
            raise CompareError(str(error)) from None
    chosen = {str(name): model for name, model in models.items()}
    for name, model in chosen.items():
        if isinstance(model, type) or not (hasattr(model, "fit") and hasattr(model, "predict")):
            raise CompareError(f"model {name!r} is not a scikit-learn estimator: {model!r}")
    try:
        check_weights(chosen)
    except ValueError as error:
        raise CompareError(str(error)) from None
    return chosen


def _models(
    models: Models, metadata: Sequence[str], columns: Sequence[str] | None, random_state: int
) -> dict[str, Any]:
    """Return the models of cells to compare, the baselines last."""
    chosen = make_models(
        models, pipelines.names(), lambda name: pipelines.make(name, random_state=random_state)
    )
    if BASELINE not in chosen:
        chosen[BASELINE] = pipelines.baseline()
    if GROUP in metadata:
        raise CompareError(f"metadata: {GROUP!r} names the groups, and is no attribute")
    if metadata:
        if METADATA in chosen:
            raise CompareError(f"{METADATA!r} is the name of the model of metadata alone")
        chosen[METADATA] = pipelines.metadata_only(random_state=random_state)
    if columns is not None:
        from sklearn.base import clone

        for name, model in chosen.items():
            # Feature columns with names of the caller's choice are passed to every step that
            # selects columns, also inside ensembles.
            params = model.get_params() if hasattr(model, "get_params") else {}
            new = {
                f"{key}__columns": list(columns)
                for key, part in params.items()
                if isinstance(part, pipelines.FeatureColumns)
            }
            if new:
                chosen[name] = clone(model).set_params(**new)
    return chosen


def _inputs(
    models: Mapping[str, Any],
    table: pd.DataFrame,
    values: pd.DataFrame,
    groups: Groups,
    metadata: Sequence[str],
) -> dict[str, pd.DataFrame]:
    """Return the columns that each model looks at."""
    inputs = {}
    for name, model in models.items():
        looked_at = pipelines.looks_at(model)
        if name == METADATA and metadata:
            parts = [metadata_values(table, metadata)]
            if "groups" in looked_at:
                parts.append(pd.DataFrame({GROUP: groups.ids}, index=table.index))
            inputs[name] = pd.concat(parts, axis=1)
            continue
        if looked_at == {"features"}:
            inputs[name] = values
            continue
        parts = []
        if "images" in looked_at:
            if "image" not in table.columns:
                raise CompareError(f"model {name!r} reads images; the table has no column 'image'")
            if table["image"].map(str).duplicated().any():
                raise CompareError(
                    f"model {name!r} looks at whole images, but the table has several cells of one"
                )
            # A model that measures the images itself needs their scale and masks.
            beside = [name for name in ("um_per_px", "mask") if name in table.columns]
            parts.append(table[["image", *beside]])
        if "groups" in looked_at:
            # For divisions inside the training rows; models never see it as a feature.
            parts.append(pd.DataFrame({GROUP: groups.ids}, index=table.index))
        parts += [values] if "features" in looked_at else []
        inputs[name] = pd.concat(parts, axis=1)
    return inputs
