"""A fitted pipeline that knows which columns, in which units, it was fitted on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from hemafeat import extract
from hemafeat._public import public
from hemafeat.pipelines._inspect import IMAGES, reads
from hemafeat.pipelines._steps.columns import FeatureColumns, shortlist


@public
class ModelError(ValueError):
    """A model file that cannot be used, or a table that does not fit a model."""


@public
@dataclass
class Model:
    """A fitted pipeline and what it needs.

    Attributes
    ----------
    pipeline : estimator
        Fitted.
    columns : list of str
        Columns it takes, in order; ``["image"]`` for a pipeline of images.
    classes : list of str
        Labels it gives, in the order of the probabilities.
    units : dict of str to str
        Unit of each column, where known.
    versions : dict of str to str
        Packages it was fitted with.
    note : str
        Free text kept with it.
    name : str
        Name of its file, for messages.
    """

    pipeline: Any
    columns: list[str]
    classes: list[str]
    units: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    note: str = ""
    name: str = "the model"

    def check(self, table: pd.DataFrame, units: Mapping[str, str] | None = None) -> None:
        """Refuse a table that does not fit.

        Parameters
        ----------
        table : DataFrame
            Other columns may stand beside those needed.
        units : mapping of str to str, optional
            Unit of each column; by default `extract.units` of the table. Units that are not known
            on either side cannot be compared.

        Raises
        ------
        ModelError
            Columns are missing, or their units differ.
        """
        if not isinstance(table, pd.DataFrame):
            raise ModelError(f"{self.name} needs a table with named columns, not {type(table)!r}")
        missing = [name for name in self.columns if name not in table.columns]
        if missing:
            raise ModelError(
                f"{self.name} needs {len(missing)} columns that the table lacks: "
                f"{shortlist(missing)}"
            )
        given = extract.units(table) if units is None and self.units else units or {}
        for name in self.columns:
            here, there = given.get(name), self.units.get(name)
            if here is not None and there is not None and here != there:
                raise ModelError(
                    f"{self.name} was fitted on {name} in {there!r}, the table has it in {here!r}"
                )

    def predict(self, table: pd.DataFrame) -> np.ndarray:
        """The label of each row.

        Parameters
        ----------
        table : DataFrame
            See `check`.

        Returns
        -------
        (n_cells,) ndarray of str
        """
        return np.asarray(self.pipeline.predict(self._part(table))).astype(str)

    def predict_proba(self, table: pd.DataFrame) -> np.ndarray:
        """Probabilities, (n_cells, n_classes) float64 in the order of `classes`.

        Parameters
        ----------
        table : DataFrame
            See `check`.
        """
        return np.asarray(self.pipeline.predict_proba(self._part(table)), dtype=np.float64)

    def _part(self, table: pd.DataFrame) -> pd.DataFrame:
        self.check(table)
        part = table[self.columns]
        part.attrs = {}
        return part


def columns_of(model: Any) -> list[str]:
    """The columns a fitted model takes.

    Parameters
    ----------
    model : estimator
        Fitted on a DataFrame.

    Returns
    -------
    list of str

    Raises
    ------
    ModelError
        It is not fitted, or was fitted without column names.
    """
    if getattr(model, "classes_", None) is None:
        raise ModelError(f"the model is not fitted, or no classifier: {type(model).__name__}")
    return list(dict.fromkeys(_taken(model)))


def _taken(model: Any) -> list[str]:
    first = model.steps[0][1] if hasattr(model, "steps") else model
    if getattr(first, "reads_images", False):
        return ["image"]
    members = getattr(model, "estimators_", None)
    members = [getattr(model, "estimator_", None)] if members is None else members
    if isinstance(members, list) and any(IMAGES in reads(m) or _picks(m) for m in members):
        # An ensemble of models that choose their columns themselves; it may hold groups beside.
        return [name for member in members for name in _taken(member)]
    holder = first if isinstance(first, FeatureColumns) else model
    names = getattr(holder, "feature_names_in_", None)
    if names is None:
        raise ModelError("the model was fitted on an array without column names; fit it on a table")
    return [str(name) for name in names]


def _picks(model: Any) -> bool:
    """Whether a member, or what it holds, begins with `FeatureColumns`."""
    if hasattr(model, "steps"):
        return isinstance(model.steps[0][1], FeatureColumns)
    inner = getattr(model, "estimators_", None) or [getattr(model, "estimator_", None)]
    return isinstance(inner, list) and any(_picks(member) for member in inner if member is not None)
