"""Fitted models with the columns, units and classes that they were fitted on."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score

from hemafeat import datasets, extract
from hemafeat._frames import as_frame, need_frame, with_image_column
from hemafeat._public import brief, public
from hemafeat._words import plural
from hemafeat.pipelines._inspect import ModelError
from hemafeat.pipelines._patients.bags import bags
from hemafeat.pipelines._steps.columns import check_units, shortlist

IMAGE = "image"
OF_IMAGES = ("um_per_px", "mask")
"""Columns beside the image that a model of images may read: its scale and its mask."""


@public
@brief
@dataclass
class Model:
    """Fitted classifier of cells with everything needed to apply it to a table.

    Attributes
    ----------
    pipeline : estimator
        The fitted classifier.
    columns : list of str
        Columns that it takes, in order; ``["image"]`` for a classifier of images.
    classes : list
        Labels that it predicts, in the order of the probabilities.
    units : dict of str to str
        Unit of each column, as far as known.
    versions : dict of str to str
        Versions of the packages with which it was fitted.
    note : str
        Free text.
    name : str
        Name of its file, for messages.
    measured : dict of str to str
        Options with which the cells were measured, as far as noted: ``cells``, ``normalise``, ...,
        see `hemafeat.extract.measured`.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import pipelines
    >>> table = pd.DataFrame({"cell__shape__area": [1.0, 2.0, 8.0, 9.0], "label": list("aabb")})
    >>> pipeline = pipelines.logistic().fit(table, table["label"])
    >>> model = pipelines.Model(pipeline, ["cell__shape__area"], ["a", "b"])
    >>> model.predict(pd.DataFrame({"cell__shape__area": [1.5], "patient": ["P1"]})).tolist()
    ['a']
    """

    pipeline: Any
    columns: list[str]
    classes: list[Any]
    units: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    note: str = ""
    name: str = "the model"
    measured: dict[str, str] = field(default_factory=dict)

    def check(self, table: pd.DataFrame, units: Mapping[str, str] | None = None) -> None:
        """Raise an error if a table does not fit the model.

        Parameters
        ----------
        table : DataFrame
            Table with the columns of the model, in any order. A column whose name has changed
            since the model was fitted may have its former or its current name. Other columns are
            ignored.
        units : mapping of str to str, optional
            Unit of each column of the table, by default `extract.units` of the table. A unit is
            compared only if it is known on both sides.

        Raises
        ------
        ModelError
            If columns are missing or their units differ.

        Warns
        -----
        UserWarning
            If the cells of the table were measured otherwise than those that the model was fitted
            on, for example all cells of an image instead of the central one.
        """
        table = self._frame(table)
        columns = self._columns_in(table)
        missing = [name for name, column in columns.items() if column not in table.columns]
        if missing:
            raise ModelError(
                f"{self.name} needs {plural(len(missing), 'column')} that the table lacks: "
                f"{shortlist(missing)}{_how_to_measure(missing, list(columns))}"
            )
        try:
            if units is None:
                reads_features = self.columns != [IMAGE]
                units = extract.units(table, assume_px=False) if reads_features else {}
            current = {name: units[column] for name, column in columns.items() if column in units}
            check_units(self.units, current)
        except ValueError as error:
            raise ModelError(f"{self.name}: {error}") from None
        if differences := self.measured_otherwise(table):
            warnings.warn(differences, stacklevel=_caller())

    def measured_otherwise(self, table: pd.DataFrame) -> str:
        """Describe how the cells of a table were measured otherwise than the model expects.

        Parameters
        ----------
        table : DataFrame
            Table of cells.

        Returns
        -------
        str
            Empty if nothing is known to differ. An option is compared only if it is known on both
            sides, see `hemafeat.extract.measured`.
        """
        options = extract.measured(table) if self.measured else {}
        pairs = [
            f"{_OPTIONS.get(key, key)} {_words(key, self.measured[key])}, in the table "
            f"{_words(key, value)}"
            for key, value in options.items()
            if key in self.measured and self.measured[key] != value
        ]
        if self.versions:
            # Models of version 0.1 do not say so.
            then = int(self.versions.get("formulas", "1"))
            now = int(table.attrs.get("formulas", extract.FORMULAS))
            names = extract.current_names(self.columns) if then != now else []
            if changed := extract.changed_columns(names, min(then, now)):
                pairs.append(f"{len(changed)} columns by other formulas, such as {changed[0]}")
        if not pairs:
            return ""
        return (
            f"{self.name} was fitted on cells that were measured otherwise: {'; '.join(pairs)}. "
            "Its predictions may be wrong; measure the images with the options of the model"
        )

    def predict(self, table: pd.DataFrame) -> np.ndarray:
        """Predict a label for each cell, or each patient for a model of patients.

        Parameters
        ----------
        table : DataFrame
            Table of cells that fits the model, see `check`.

        Returns
        -------
        (n,) ndarray
            Labels of the cells in the order of the rows, or of the patients in sorted order. They
            are of the type of the labels that the model was fitted on.
        """
        return np.asarray(self.pipeline.predict(self._rows(table)))

    def predict_proba(self, table: pd.DataFrame) -> np.ndarray:
        """Predict the probability of each class for each cell, or each patient.

        Parameters
        ----------
        table : DataFrame
            Table of cells that fits the model, see `check`.

        Returns
        -------
        (n, n_classes) ndarray of float64
            Rows as in `predict`, columns in the order of `classes`.
        """
        return np.asarray(self.pipeline.predict_proba(self._rows(table)), dtype=np.float64)

    def answers(self, table: pd.DataFrame) -> pd.DataFrame:
        """Tabulate all that a model that refuses cells says of each cell.

        Parameters
        ----------
        table : DataFrame
            Table of cells that fits the model, see `check`.

        Returns
        -------
        DataFrame
            See `SelectiveClassifier.answers`.

        Raises
        ------
        ModelError
            If the model is no `SelectiveClassifier`.
        """
        if not hasattr(self.pipeline, "answers"):
            raise ModelError(f"{self.name} refuses no cells: it is no SelectiveClassifier")
        answers: pd.DataFrame = self.pipeline.answers(self._rows(table))
        return answers

    def score(self, table: pd.DataFrame, y: Any) -> float:
        """Return the share of cells, or of patients, whose label is predicted correctly.

        Parameters
        ----------
        table : DataFrame
            Table of cells that fits the model, see `check`.
        y : (n,) array
            Labels, in the order of the rows of `predict`.

        Returns
        -------
        float
        """
        return float(accuracy_score(y, self.predict(table)))

    def _frame(self, table: Any) -> pd.DataFrame:
        """Return a table of any library as a DataFrame, its column of images called ``image``."""
        if IMAGE not in self.columns:
            return need_frame(table, self.name, ModelError)
        frame = as_frame(table, ModelError)
        if not isinstance(frame, pd.DataFrame):
            frame = datasets.as_table(frame)
        return with_image_column(frame)

    def _columns_in(self, table: pd.DataFrame) -> dict[str, str]:
        """Map each column of the model to its name in the table."""
        current = dict(zip(self.columns, extract.current_names(self.columns), strict=True))
        return {name: name if name in table.columns else current[name] for name in self.columns}

    def _rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows that the pipeline takes."""
        table = self._frame(table)
        self.check(table)
        columns = self._columns_in(table)
        rows = table[list(columns.values())].set_axis(list(columns), axis=1)
        # The units have been compared, and may be called by the current names of the columns.
        rows.attrs = {}
        # A model that measures the images itself needs their scale and masks.
        beside = OF_IMAGES if IMAGE in self.columns else ()
        return rows.assign(**{name: table[name] for name in beside if name in table})


@public
@brief
@dataclass
class PatientModel(Model):
    """Fitted classifier of patients with everything needed to apply it to a table of cells.

    Attributes
    ----------
    pipeline, columns, classes, units, versions, note, name, measured : object
        As in `Model`; the columns are those of the cells.
    patient : str
        Column of the table that names the patient of each cell.
    attributes : list of str
        Attributes of the patients that the model takes.
    beside : list of str
        Further columns of the cells that it takes: ``image`` if it reads the images, and the
        background white.

    Examples
    --------
    >>> from hemafeat import datasets, pipelines
    >>> cells = datasets.drawn_bags(8, random_state=0)
    >>> rows = pipelines.bags(cells)
    >>> pipeline = pipelines.patient_table("logistic", "means").fit(rows, rows["label"])
    >>> path = pipelines.save(pipeline, "model.hemafeat")
    >>> pipelines.load(path).verdicts(cells).columns.tolist()
    ['patient', 'n_cells', 'predicted', 'p__malignant', 'p__reactive']
    """

    patient: str = "patient"
    attributes: list[str] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)

    def check(self, table: pd.DataFrame, units: Mapping[str, str] | None = None) -> None:
        """Raise an error if a table of cells does not fit the model.

        Parameters
        ----------
        table : DataFrame
            Table with one row per cell.
        units : mapping of str to str, optional
            Unit of each column of the table, see `Model.check`.

        Raises
        ------
        ModelError
            If columns, attributes or the patients are missing, or units differ.
        """
        table = self._frame(table)
        super().check(table, units)
        needed = (self.patient, *self.attributes, *self.beside)
        missing = [name for name in needed if name not in table]
        if missing:
            raise ModelError(
                f"{self.name} classifies patients and needs {shortlist(missing)}, which the table "
                "lacks"
            )

    def verdicts(self, table: pd.DataFrame) -> pd.DataFrame:
        """Classify every patient of a table of cells.

        Parameters
        ----------
        table : DataFrame
            Table with one row per cell, see `check`. Cells without a patient are ignored.

        Returns
        -------
        DataFrame
            One row per patient, sorted: ``patient``, ``n_cells``, ``predicted``, and
            ``p__<class>``, the probability of each class.

        Raises
        ------
        ModelError
            If the table does not fit, or no cell has a patient.
        """
        rows = self._rows(table)
        verdicts = pd.DataFrame(
            {
                "patient": rows.index.to_numpy(dtype=object),
                "n_cells": [len(bag) for bag in rows["cells"]],
                "predicted": _as_objects(np.asarray(self.pipeline.predict(rows))),
            }
        )
        if hasattr(self.pipeline, "predict_proba"):
            probabilities = np.asarray(self.pipeline.predict_proba(rows), dtype=np.float64)
            for index, name in enumerate(self.classes):
                verdicts[f"p__{name}"] = probabilities[:, index]
        return verdicts

    def _rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return rows of `bags`, in an order that does not depend on that of the table."""
        table = self._frame(table)
        self.check(table)
        cells = table[table[self.patient].notna()]
        if cells.empty:
            raise ModelError(f"{self.name}: no cell has a patient in column {self.patient!r}")
        keys = [name for name in ("image", "cell") if name in cells]
        if keys:
            cells = cells.sort_values(keys, key=_sort_key, kind="stable")
        cells = cells.rename(columns={new: old for old, new in self._columns_in(table).items()})
        try:
            return bags(
                cells,
                patient=self.patient,
                columns=self.columns,
                label=None,
                attributes=self.attributes,
            )
        except ValueError as error:
            raise ModelError(f"{self.name}: {error}") from None


_OPTIONS = {
    "cells": "cells measured:",
    "segmenter": "outlines:",
    "normalise": "colours normalised:",
    "to_um_per_px": "rescaled to um per px:",
}

_CELLS = {
    "central": "the central one of each image",
    "all": "all of each image",
    "auto": "the central one of labelled images and all of the others",
}


def _words(option: str, value: str) -> str:
    """Return the value of an option of measuring in words."""
    return _CELLS.get(value, value) if option == "cells" else value


def _how_to_measure(missing: list[str], columns: list[str]) -> str:
    """Return which families a table with these columns is measured with, "" if none has them."""
    wanted = extract.current_names(missing)
    if not set(wanted) <= set(extract.columns("all")):
        named = dict.fromkeys(name.split("__")[1] for name in wanted if name.count("__") >= 2)
        gone = [name for name in named if name not in extract.families()]
        gone = [name for name in gone if not name.startswith("embedding_")]
        return f"; no family installed here is called {' or '.join(gone)}" if gone else ""
    features = [name for name in extract.current_names(columns) if name.count("__") >= 2]
    for name in ("fast", "default"):
        if set(features) <= set(extract.columns(name)):
            return f"; a table measured with families={name!r} has them"
    names = dict.fromkeys(name.split("__")[1] for name in features)
    noun = "family" if len(names) == 1 else "families"
    return f"; a table measured with the {noun} {', '.join(names)} has them"


def _caller() -> int:
    """Return the level of the first frame outside this file, for a warning."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename == __file__:
        frame, level = frame.f_back, level + 1
    return level


def _as_objects(labels: np.ndarray) -> np.ndarray:
    """Return text as objects, as pandas holds it, and other labels as they are."""
    return labels.astype(object) if labels.dtype.kind in "US" else labels


def _sort_key(column: pd.Series) -> pd.Series:
    return column if pd.api.types.is_numeric_dtype(column.dtype) else column.map(str)
