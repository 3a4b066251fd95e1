"""What ``hemafeat predict`` does with a model of patients."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from hemafeat.pipelines import PatientModel


def as_measured(model: PatientModel, args: argparse.Namespace) -> None:
    """Measure cells as those the model was fitted on, where nothing else is asked for."""
    told = model.measured
    if args.cells == "auto" and "cells" in told:
        # Or every cell of an image without a label would count, of one with a label the central.
        args.cells = told["cells"]
    if args.stain is None and "stain" in told:
        args.stain = told["stain"]
    if args.to_um_per_px is None and "to_um_per_px" in told:
        args.to_um_per_px = float(told["to_um_per_px"])


def verdicts(model: PatientModel, table: pd.DataFrame, listed: pd.DataFrame | None) -> pd.DataFrame:
    """``patient, n_cells, label`` (where known), ``predicted`` and ``p__<class>`` of each patient.

    A patient of whom no cell could be measured stands at the end, without a verdict.
    """
    import pandas as pd

    found = model.verdicts(table)
    if listed is not None and model.patient in listed:
        everyone = sorted(set(listed[model.patient].dropna().astype(str)))
        lost = [name for name in everyone if name not in set(found["patient"])]
        if lost:
            more = pd.DataFrame({"patient": lost, "n_cells": 0})
            found = pd.concat([found, more], ignore_index=True)
    if "label" in table and table["label"].notna().any():
        known = table[table["label"].notna() & table[model.patient].notna()]
        labels = dict(zip(known[model.patient].astype(str), known["label"], strict=True))
        found.insert(2, "label", found["patient"].map(labels))
    return found
