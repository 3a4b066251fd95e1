"""Preparation of a comparison of patients: a row is a patient, and so are folds and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from hemafeat import pipelines
from hemafeat._frames import need_frame
from hemafeat._words import no_column
from hemafeat.evaluate._protocols.protocols import PROTOCOLS, Protocol, as_protocol
from hemafeat.evaluate._protocols.splits import Groups, Sample
from hemafeat.evaluate._rows import (
    ROW,
    CompareError,
    Note,
    cells_measured,
    drop_unlabelled,
    feature_values,
    fingerprint,
    frequent_classes,
    sort_rows,
)
from hemafeat.evaluate._setup import Models, Setup, check_classes, make_models

_CLINICAL = ("age", "sex", "gender", "dob", "date_of_birth", "lymphocyte_count")


@dataclass
class PatientSetup(Setup):
    """`Setup` of patients.

    Attributes
    ----------
    cells : DataFrame
        Table of the cells without their features, in the order to which the bags refer.
    attributes : list of str
        Names of the attributes of the patients.
    patients : DataFrame
        One row per patient scored: ``patient, label, n_cells`` and the attributes.
    """

    cells: pd.DataFrame = field(default_factory=pd.DataFrame)
    attributes: list[str] = field(default_factory=list)
    patients: pd.DataFrame = field(default_factory=pd.DataFrame)


def set_up_patients(
    models: Models,
    table: pd.DataFrame,
    *,
    label: str,
    patient: str,
    protocol: str | Protocol,
    n_splits: int,
    columns: Sequence[str] | None,
    metadata: Sequence[str] | None,
    rare: str,
    random_state: int,
) -> PatientSetup:
    """Prepare a comparison of patients; parameters as in `compare_patients`."""
    chosen_protocol = as_protocol(protocol)
    if not chosen_protocol.patients:
        known = ", ".join(name for name, row in PROTOCOLS.items() if row.patients)
        raise CompareError(
            f"patients are divided by {known}, not by {chosen_protocol.name!r}, which divides the "
            "cells of a patient"
        )
    measured, notes = cells_measured(table)
    table = need_frame(table, "a comparison", CompareError)
    if "redrawn" in table.columns:
        copies = (pd.to_numeric(table["redrawn"], errors="coerce") > 0).to_numpy()
        table = table[~copies]
        notes.append(("", "compare", "note", f"{int(copies.sum())} redrawn copies are left out"))
    cells, bags, errors = _bags(
        table, label, patient, columns, metadata, features=_need_features(models)
    )
    truth = bags["label"].astype(str).to_numpy(dtype=object).astype(str)
    check_classes(truth, label)
    if chosen_protocol.folded:
        ids = bags.index.to_numpy(dtype=str)
        keep, left_out = frequent_classes(truth, ids, n_splits, rare, ("patients", "patients"))
        errors += left_out
        bags, truth = bags[keep], truth[keep]
    check_classes(truth, label)
    attributes = [name for name in bags.columns if name not in ("cells", "label", "split")]
    estimators = _models(models, bags, attributes, random_state)
    names = bags.index.to_numpy(dtype=str)
    groups = Groups(names, "patients", "")
    rows = pd.DataFrame({"image": names.astype(object), "cell": 1, ROW: np.arange(len(bags))})
    if "split" in bags.columns:
        rows["split"] = bags["split"].to_numpy()
    values = pd.DataFrame({"n": [float(len(bag)) for bag in bags["cells"]]})
    plan = chosen_protocol.folds(
        Sample(
            truth,
            groups,
            rows,
            values,
            n_splits,
            random_state,
            chosen_protocol.options,
            noun="patients",
        )
    )
    errors += [*notes, *(("", "split", "note", note) for note in plan.notes)]
    scored = bags.iloc[np.unique(np.concatenate([test for _, test in plan.pairs]))]
    sizes = [len(bag) for bag in scored["cells"]]
    span = " to ".join(dict.fromkeys([str(min(sizes)), str(max(sizes))]))
    inputs = bags.drop(columns=["label", "split"], errors="ignore")
    used = cells[cells[patient].astype(str).isin(set(names))]
    return PatientSetup(
        unit="patient",
        table=rows,
        values=values,
        truth=truth,
        groups=groups,
        plan=plan,
        classes=[str(name) for name in np.unique(truth)],
        models=estimators,
        inputs=dict.fromkeys(estimators, inputs),
        errors=errors,
        random_state=random_state,
        fingerprint=fingerprint(
            used[list(bags["cells"].iloc[0].columns)],
            used[label].astype(str).to_numpy(),
            used[patient].to_numpy(str),
        ),
        preface="one verdict per patient",
        sizes=f" with {span} cells" if span != "1" else " with 1 cell each",
        remark=f"attributes: {', '.join(attributes)}"
        if attributes
        else "no attributes, so no model of metadata alone",
        measured=measured,
        cells=cells.drop(columns=list(bags["cells"].iloc[0].columns)),
        attributes=attributes,
        patients=_summaries(scored, attributes),
    )


def _need_features(models: Models) -> bool:
    """Return whether a model of patients to compare reads features, as far as it is known."""
    if models is None:
        return True
    given = models.values() if isinstance(models, Mapping) else [models]
    if not isinstance(models, str | Mapping):
        given = list(models)
    known = set(pipelines.patient_names(attributes=True, deep=True, images=True))
    made = [
        pipelines.make_patient(model) if isinstance(model, str) else model
        for model in given
        if not isinstance(model, str) or model in known
    ]
    return any("features" in pipelines.looks_at(model) for model in made)


def _bags(
    table: pd.DataFrame,
    label: str,
    patient: str,
    columns: Sequence[str] | None,
    metadata: Sequence[str] | None,
    *,
    features: bool,
) -> tuple[pd.DataFrame, pd.DataFrame, list[Note]]:
    """Return the cells of labelled patients in order, their bags, and notes on those left out."""
    if patient not in table.columns:
        raise CompareError(f"patient: {no_column(patient, table.columns)}")
    used, unlabelled = drop_unlabelled(table, label, features=features)
    without = table.loc[table[label].isna(), patient].dropna().astype(str)
    lost = sorted(set(without) - set(used[patient].dropna().astype(str)))
    errors: list[Note] = [
        (name, "compare", "no label", f"no cell of patient {name} has a label") for name in lost
    ]
    if unlabelled and not lost:
        errors.append(
            ("", "compare", "no label", f"{len(unlabelled)} cells without a label are left out")
        )
    values = feature_values(used, columns, needed=features)
    used, values = sort_rows(used.drop(columns=list(values.columns)), values, label)
    used = pd.concat([used, values], axis=1)
    if metadata is None:
        metadata = [name for name in _CLINICAL if name in used.columns]
    also = ["split"] if "split" in used.columns and used["split"].notna().any() else []
    reserved = [name for name in metadata if name in ("cells", "label", "split", label)]
    if reserved:
        raise CompareError(f"metadata: {reserved[0]!r} is not an attribute of a patient")
    try:
        bags = pipelines.bags(
            used,
            patient=patient,
            columns=list(values.columns),
            label=label,
            attributes=[*metadata, *also],
        )
    except ValueError as error:
        raise CompareError(str(error)) from None
    return used, bags.rename(columns={label: "label"}), errors


def _models(
    models: Models, bags: pd.DataFrame, attributes: Sequence[str], random_state: int
) -> dict[str, Any]:
    """Return the models of patients to compare, the baselines last."""
    need_attributes = set(pipelines.patient_names(attributes=True)) - set(pipelines.patient_names())

    def make(name: str) -> Any:
        if name in need_attributes and not attributes:
            raise ValueError(f"model {name!r} needs attributes, and the table has none")
        return pipelines.make_patient(name, random_state=random_state)

    chosen = make_models(models, pipelines.patient_names(attributes=bool(attributes)), make)
    for name in pipelines.patient_baselines(bags):
        if name not in chosen:
            chosen[name] = make(name)
    return chosen


def _summaries(bags: pd.DataFrame, attributes: Sequence[str]) -> pd.DataFrame:
    """Return a table of the patients, their labels, numbers of cells and attributes."""
    out = pd.DataFrame(
        {
            "patient": bags.index.to_numpy(dtype=object),
            "label": bags["label"].astype(str).to_numpy(dtype=object),
            "n_cells": [len(bag) for bag in bags["cells"]],
        }
    )
    for name in attributes:
        out[name] = bags[name].to_numpy()
    return out
