"""A fitted model of patients that knows which columns and attributes it was fitted on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from hemafeat._public import public
from hemafeat.pipelines._model import Model, ModelError
from hemafeat.pipelines._patients.attributes import DateFormat, PatientAttributes
from hemafeat.pipelines._patients.bags import WHITE, bags
from hemafeat.pipelines._patients.mil import BagClassifier
from hemafeat.pipelines._patients.mil_images import MILImageClassifier
from hemafeat.pipelines._patients.rules import DecisionRule, PatientStack
from hemafeat.pipelines._patients.stain_only import BackgroundMeans
from hemafeat.pipelines._patients.table import PatientTable
from hemafeat.pipelines._patients.vote import CellVote
from hemafeat.pipelines._steps.columns import shortlist


@public
@dataclass
class PatientModel(Model):
    """A fitted model of patients and what it needs.

    Attributes
    ----------
    pipeline, columns, classes, units, versions, note, name : object
        As in `Model`; the columns are those of cells.
    patient : str
        Column that says whose cell it is.
    attributes : list of str
        Attributes of the patient that it looks at.
    beside : list of str
        Further columns of cells that it looks at: ``image``, where it reads the images, and the
        background white.
    measured : dict of str to str
        How the cells it was fitted on were measured, where that was noted: ``cells``, ``stain`` ...
    """

    patient: str = "patient"
    attributes: list[str] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)
    measured: dict[str, str] = field(default_factory=dict)

    def check(self, table: pd.DataFrame, units: Mapping[str, str] | None = None) -> None:
        """Refuse a table of cells that does not fit; see `Model.check`.

        Parameters
        ----------
        table : DataFrame
            One row per cell.
        units : mapping of str to str, optional
            See `Model.check`.

        Raises
        ------
        ModelError
            Columns, attributes or the patients are missing, or units differ.
        """
        super().check(table, units)
        missing = [n for n in (self.patient, *self.attributes, *self.beside) if n not in table]
        if missing:
            raise ModelError(
                f"{self.name} judges patients and needs {shortlist(missing)}, which the table lacks"
            )

    def predict(self, table: pd.DataFrame) -> np.ndarray:
        """The label of each patient.

        Parameters
        ----------
        table : DataFrame
            One row per cell, see `check`.

        Returns
        -------
        (n_patients,) ndarray of str
            In the order of the sorted patients.
        """
        return np.asarray(self.pipeline.predict(self._part(table))).astype(str)

    def verdicts(self, table: pd.DataFrame) -> pd.DataFrame:
        """Judge every patient of a table of cells.

        Parameters
        ----------
        table : DataFrame
            One row per cell, see `check`. Cells of nobody are left out.

        Returns
        -------
        DataFrame
            One row per patient, sorted: ``patient``, ``n_cells``, ``predicted``, and
            ``p__<class>``, the probabilities.

        Raises
        ------
        ModelError
            See `check`; or no cell has a patient.
        """
        rows = self._part(table)
        found = pd.DataFrame(
            {
                "patient": rows.index.to_numpy(dtype=object),
                "n_cells": [len(bag) for bag in rows["cells"]],
                "predicted": np.asarray(self.pipeline.predict(rows)).astype(str).astype(object),
            }
        )
        if hasattr(self.pipeline, "predict_proba"):
            chances = np.asarray(self.pipeline.predict_proba(rows), dtype=np.float64)
            for place, name in enumerate(self.classes):
                found[f"p__{name}"] = chances[:, place]
        return found

    def _part(self, table: pd.DataFrame) -> pd.DataFrame:
        """Rows of `bags`, in an order that does not depend on that of the table."""
        self.check(table)
        known = table[table[self.patient].notna()]
        if known.empty:
            raise ModelError(f"{self.name}: no cell has a patient in column {self.patient!r}")
        keys = [name for name in ("image", "cell") if name in known]
        if keys:
            known = known.sort_values(keys, key=_sortable, kind="stable")
        try:
            return bags(
                known,
                patient=self.patient,
                columns=self.columns,
                label=None,
                attributes=self.attributes,
            )
        except ValueError as error:
            raise ModelError(f"{self.name}: {error}") from None


def _sortable(column: pd.Series) -> pd.Series:
    return column if pd.api.types.is_numeric_dtype(column.dtype) else column.map(str)


@dataclass
class Needs:
    """What a fitted model of patients looks at."""

    columns: list[str]
    attributes: list[str]
    beside: list[str]


def needs(model: Any) -> Needs | None:
    """What a fitted model of patients looks at; None for a model of cells.

    Parameters
    ----------
    model : estimator
        Fitted.
    """
    parts = list(_parts(model))
    if not parts:
        return None
    found = Needs([], [], [])
    for part in parts:
        if isinstance(part, PatientAttributes | DateFormat):
            found.attributes += part.columns_
        elif isinstance(part, MILImageClassifier):
            found.beside.append("image")
        elif isinstance(part, BackgroundMeans):
            found.beside += WHITE
        else:
            found.columns += part.columns_
    return Needs(*(list(dict.fromkeys(one)) for one in vars(found).values()))


_LOOK = (PatientTable, CellVote, BagClassifier, PatientAttributes, DateFormat, BackgroundMeans)


def _parts(model: Any) -> Iterator[Any]:
    """The parts that look at patients."""
    if isinstance(model, _LOOK):
        yield model
    elif isinstance(model, Pipeline):
        yield from _parts(model.steps[0][1])
    elif isinstance(model, DecisionRule | PatientStack):
        for _, one in _fitted(model):
            yield from _parts(one)
    elif hasattr(model, "best_estimator_"):
        yield from _parts(model.best_estimator_)


def _fitted(model: Any) -> Sequence[tuple[str, Any]]:
    found: Sequence[tuple[str, Any]] = getattr(model, "models_", ())
    return found
