"""Tables with one row per patient, which hold the cells of each patient as a bag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from hemafeat import extract
from hemafeat._frames import as_frame, need_frame, with_image_column
from hemafeat._public import public
from hemafeat.pipelines._steps.columns import (
    check_names,
    check_units,
    measured_of,
    shortlist,
)

CELLS = "cells"
"""Column of a table of patients that holds the bags."""

WHITE = ("quality__white_r", "quality__white_g", "quality__white_b")
"""Columns of the background white of each image, a property of the smear and not of the cells."""

_BESIDE = ("image", "um_per_px", "mask", *WHITE)


@public
@dataclass(frozen=True, slots=True, eq=False)
class Bag:
    """Cells of one patient.

    Attributes
    ----------
    features : (n_cells, n_features) ndarray of float64
        Features of the cells, NaN where missing.
    columns : tuple of str
        Names of the features.
    rows : (n_cells,) ndarray of int64
        Position of each cell in the table from which the bag was made.
    beside : dict of str to (n_cells,) ndarray
        Other columns of the cells, as far as the table has them: ``image``, ``um_per_px``,
        ``mask`` and ``quality__white_r``, ``_g``, ``_b``.
    units : dict of str to str
        Unit of each feature, as far as known.

    Examples
    --------
    >>> from hemafeat import datasets, pipelines
    >>> rows = pipelines.bags(datasets.drawn_bags(3, random_state=0))
    >>> rows["cells"].iloc[0]
    Bag(... cells, 12 features)
    """

    features: np.ndarray
    columns: tuple[str, ...]
    rows: np.ndarray
    beside: Mapping[str, np.ndarray] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.features)

    def cells(self, chosen: np.ndarray | slice) -> Bag:
        """Return the bag of some of the cells.

        Parameters
        ----------
        chosen : (n_cells,) ndarray of bool, ndarray of int, or slice
            Mask or numbers of the cells. The bag of a slice shares the arrays of this one.

        Returns
        -------
        Bag
        """
        beside = {name: values[chosen] for name, values in self.beside.items()}
        return replace(self, features=self.features[chosen], rows=self.rows[chosen], beside=beside)

    def __repr__(self) -> str:
        return f"Bag({self.features.shape[0]} cells, {self.features.shape[1]} features)"


def bags(
    cells: pd.DataFrame,
    *,
    patient: str = "patient",
    columns: Sequence[str] | None = None,
    label: str | None = "label",
    attributes: Sequence[str] | pd.DataFrame = (),
) -> pd.DataFrame:
    """Gather a table of cells into one row per patient.

    scikit-learn splits, clones and scores rows. With one row per patient no split, search or stack
    can have cells of a patient on both sides, even if it knows nothing of groups.

    Parameters
    ----------
    cells : DataFrame
        Table with one row per cell, as `extract.table` returns it; also of another library, such
        as polars.
    patient : str
        Column that names the patient of each cell.
    columns : list of str, optional
        Names of the features. By default those called ``mask__family__feature``. Any columns of
        numbers are possible, such as an embedding. An empty list if the table has images and only
        these are needed.
    label : str, optional
        Column of the labels of the patients. None, or a column that does not exist, for a table
        without labels.
    attributes : list of str, or DataFrame
        Attributes of the patients: columns of `cells`, or a table with one row per patient, who is
        named by its column `patient` or its index.

    Returns
    -------
    DataFrame
        The sorted patients are the index. ``cells`` holds a `Bag` for each; then follow ``label``
        and the attributes. The order of the cells within a bag is that of the table; the models of
        this package do not depend on it.

    Raises
    ------
    ValueError
        If a cell has no patient; a patient has two labels, or two values of an attribute, or occurs
        twice in the table of attributes; features are missing, infinite or not numbers; two
        columns have one name; or the scale of some cells only is known.

    Examples
    --------
    >>> from hemafeat import datasets, pipelines
    >>> table = datasets.drawn_bags(6, random_state=0)
    >>> pipelines.bags(table, attributes=["sex"]).columns.tolist()
    ['cells', 'label', 'sex']
    """
    cells = with_image_column(need_frame(cells, "a table of patients"))
    attributes = as_frame(attributes)
    if patient not in cells.columns:
        raise ValueError(f"the table has no column {patient!r} that names the patient of each cell")
    unknown = cells[patient].isna()
    if unknown.any():
        raise ValueError(
            f"{int(unknown.sum())} of {len(cells)} cells have no {patient}: leave them out, or "
            "name their patients"
        )
    names = extract.feature_columns(cells) if columns is None else check_names(columns)
    values = _feature_values(cells, names, only_images=columns is not None)
    codes, patients = pd.factorize(cells[patient].astype(str), sort=True)
    rows = pd.DataFrame(index=pd.Index(patients.astype(str), name=patient, dtype=object))
    rows.attrs = {"measured": how} if (how := measured_of(cells)) else {}
    beside = {name: cells[name].to_numpy() for name in _BESIDE if name in cells.columns}
    units = extract.units(cells, assume_px=False) if names else {}
    units = {name: units[name] for name in names if name in units}
    whole = Bag(values, tuple(names), np.arange(len(values)), beside, units)
    order = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes, minlength=len(patients))
    divided = divide_bag(whole.cells(order), sizes)
    rows[CELLS] = pd.Series(divided, index=rows.index, dtype=object)
    if label is not None and label in cells.columns:
        rows["label"] = _patient_values(cells[label], codes, list(patients), label)
    for name in [] if isinstance(attributes, pd.DataFrame) else attributes:
        if name not in cells.columns:
            raise ValueError(f"the table has no column {name!r}")
        rows[name] = _patient_values(cells[name], codes, list(patients), name)
    if isinstance(attributes, pd.DataFrame):
        return _join_attributes(rows, attributes, patient)
    return rows


def divide_bag(whole: Bag, sizes: np.ndarray) -> list[Bag]:
    """Return bags of the next `sizes` cells each, which share the arrays of the whole."""
    ends = np.cumsum(sizes)
    return [whole.cells(slice(*pair)) for pair in zip(ends - sizes, ends, strict=True)]


def _patient_values(
    column: pd.Series, codes: np.ndarray, patients: Sequence[Any], name: str
) -> np.ndarray:
    """Return the value of each patient in a column of cells, ignoring missing values."""
    valid = column.notna().to_numpy()
    value_codes, values = pd.factorize(column[valid])
    pairs = np.unique(np.column_stack([codes[valid], value_codes]), axis=0)
    repeated = pairs[1:, 0][np.diff(pairs[:, 0]) == 0] if len(pairs) else pairs[:0, 0]
    if repeated.size:
        several = [str(values[k]) for k in pairs[pairs[:, 0] == repeated[0], 1]]
        raise ValueError(
            f"patient {patients[repeated[0]]} has {len(several)} values of {name!r}: "
            f"{shortlist(several)}"
        )
    out = np.full(len(patients), np.nan, dtype=object)
    if len(pairs):
        out[pairs[:, 0]] = np.asarray(values, dtype=object)[pairs[:, 1]]
    return out.astype(np.float64) if pd.api.types.is_numeric_dtype(column.dtype) else out


def _join_attributes(rows: pd.DataFrame, attributes: pd.DataFrame, patient: str) -> pd.DataFrame:
    table = attributes.set_index(patient) if patient in attributes.columns else attributes
    table = table.set_axis(table.index.map(str), axis=0)
    repeated = table.index[table.index.duplicated()]
    if len(repeated):
        raise ValueError(f"the attributes name patient {repeated[0]} more than once")
    if not rows.index.isin(table.index).any():
        raise ValueError(
            f"none of the patients is in the table of attributes: it names "
            f"{shortlist(table.index, 3)}, the cells {shortlist(rows.index, 3)}"
        )
    for name in table.columns:
        if name != "label" or "label" not in rows.columns:
            rows[name] = table[name].reindex(rows.index).to_numpy()
    return rows


def _feature_values(
    cells: pd.DataFrame, names: list[str], *, only_images: bool = False
) -> np.ndarray:
    """Return the features as float64; none, with `only_images`, for a table with images."""
    missing = [name for name in names if name not in cells.columns]
    if missing:
        raise ValueError(f"the table lacks {len(missing)} columns: {shortlist(missing)}")
    if not names and "image" in cells.columns and only_images:
        return np.empty((len(cells), 0))
    if not names:
        raise ValueError(
            "no column of the table is called mask__family__feature (its first columns: "
            f"{shortlist(cells.columns)}); name the features with columns=[...]"
        )
    try:
        values = cells[names].to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        dtypes = cells[names].dtypes
        wrong = [name for name in names if not pd.api.types.is_numeric_dtype(dtypes[name])]
        raise ValueError(f"columns that are not numbers: {shortlist(wrong)}") from None
    infinite = np.isinf(values).any(axis=0)
    if infinite.any():
        raise ValueError(f"infinite values in {shortlist(np.asarray(names)[infinite])}")
    return values


def as_bags(
    X: Any, groups: str | None = "patient", columns: Sequence[str] | None = None
) -> list[Bag]:
    """Return the bags of patients, in the order of the rows, or of the sorted patients.

    Parameters
    ----------
    X : DataFrame, or sequence of Bag, array or DataFrame
        Rows of `bags`; a table of cells with the column `groups`; or one array of shape
        (n_cells, n_features) per patient.
    groups : str, optional
        Column that names the patient of each cell in a table of cells.
    columns : list of str, optional
        Names of the features in a table of cells.
    """
    if not isinstance(X, Sequence) or isinstance(X, str):
        X = as_frame(X)
    if isinstance(X, pd.DataFrame):
        if CELLS in X.columns and all(isinstance(entry, Bag) for entry in X[CELLS]):
            return _with_equal_columns(list(X[CELLS]))
        if groups is None or groups not in X.columns:
            raise ValueError(
                f"the table has neither bags (pipelines.bags) nor a column {groups!r} that names "
                f"the patient of each cell; its first columns: {shortlist(X.columns)}"
            )
        return list(bags(X, patient=groups, columns=columns, label=None)[CELLS])
    if isinstance(X, pd.Series | np.ndarray):
        X = list(X)
    if not isinstance(X, Sequence) or isinstance(X, str):
        raise ValueError(f"cannot make bags of cells of a {type(X).__name__}")
    return _with_equal_columns([_as_bag(entry, number) for number, entry in enumerate(X)])


def _as_bag(entry: Any, number: int) -> Bag:
    if isinstance(entry, Bag):
        return entry
    entry = as_frame(entry)
    if isinstance(entry, pd.DataFrame):
        names = extract.feature_columns(entry) or [str(name) for name in entry.columns]
        units = extract.units(entry, assume_px=False)
        values = _feature_values(entry, names)
        return Bag(values, tuple(names), np.arange(len(entry)), units=units)
    values = np.asarray(entry, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(
            f"bag {number} has {values.ndim} axes, expected (n_cells, n_features): a table of "
            "cells needs a column that names their patients"
        )
    if np.isinf(values).any():
        raise ValueError(f"bag {number} holds infinite values; an undefined value must be NaN")
    return Bag(values, tuple(f"x{j}" for j in range(values.shape[1])), np.arange(len(values)))


def _with_equal_columns(patients: list[Bag]) -> list[Bag]:
    """Return the bags, or raise an error if there are none or they differ in their columns."""
    if not patients:
        raise ValueError("there are no patients")
    first = patients[0].columns
    for number, bag in enumerate(patients):
        if bag.columns is not first and bag.columns != first:
            raise ValueError(f"bag {number} has other columns than the first bag")
        if bag.units is not patients[0].units:
            check_units(patients[0].units, bag.units)
    return patients


def select_columns(
    patients: Sequence[Bag], columns: Sequence[str], units: Mapping[str, str] | None = None
) -> list[Bag]:
    """Return the bags with these columns, in this order, or refuse them for other `units`."""
    check_units(units or {}, patients[0].units)
    first = patients[0].columns
    if tuple(columns) == first:
        return list(patients)
    position = {name: j for j, name in enumerate(first)}
    missing = [name for name in columns if name not in position]
    if missing:
        raise ValueError(f"the bags lack {len(missing)} columns: {shortlist(missing)}")
    index = [position[name] for name in columns]
    return [
        replace(bag, features=bag.features[:, index], columns=tuple(columns)) for bag in patients
    ]


def units_of(model: Any) -> Mapping[str, str]:
    """Return the units that a model was fitted on; models of earlier versions have none."""
    units: Mapping[str, str] = getattr(model, "units_", {})
    return units


def sources_of(bag: Bag) -> Sequence[Any]:
    """Return the images of a bag, one per cell.

    Raises
    ------
    ValueError
        If the bag holds no images, or several cells of one image.
    """
    sources = bag.beside.get("image")
    if sources is None:
        raise ValueError("the bags hold no images: their table had no column 'image'")
    names = [str(source) for source in sources if not isinstance(source, np.ndarray)]
    n_repeated = len(names) - len(set(names))
    if n_repeated:
        raise ValueError(
            f"this model looks at whole images, but {n_repeated} cells are in an image with "
            "another cell: measure only the central cell of each image (cells='central')"
        )
    return list(sources)


HEALTHY = frozenset(
    ("reactive", "normal", "healthy", "control", "benign", "negative", "hem", "no", "false", "0")
)
"""Labels, in lower case, of patients without a disease."""


def positive_place(classes: np.ndarray, positive: Any = None) -> int:
    """Return the position of the positive class among the classes.

    Parameters
    ----------
    classes : (n_classes,) ndarray
        Labels.
    positive : str, optional
        The positive class. By default the other one of two if one is called ``reactive``,
        ``normal``, ``healthy``, ``control``, ``benign``, ``negative``, ``hem``, ``no``, ``false``
        or ``0``; else the last.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If `positive` is not one of the classes.

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> pipelines.positive_place(["malignant", "reactive"])
    0
    >>> pipelines.positive_place(["a", "b", "c"], "b")
    1
    """
    names = np.asarray(classes).tolist()
    if positive is not None:
        if positive not in names:
            known = ", ".join(map(str, names))
            raise ValueError(f"positive={str(positive)!r} is not one of the classes: {known}")
        return names.index(positive)
    healthy = [str(name).lower() in HEALTHY for name in names]
    return healthy.index(False) if len(names) == 2 and sum(healthy) == 1 else len(names) - 1


def stack_bags(patients: Sequence[Bag]) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of all cells, and the number of the bag of each cell."""
    values = np.concatenate([bag.features for bag in patients])
    return values, np.repeat(np.arange(len(patients)), [len(bag) for bag in patients])


def split_bags(values: np.ndarray, bag_numbers: np.ndarray, n: int) -> list[np.ndarray]:
    """Return the rows of each bag: the inverse of `stack_bags`."""
    return np.split(values, np.searchsorted(bag_numbers, np.arange(1, n)))


def two_columns(probability: np.ndarray, position: int) -> np.ndarray:
    """Return the probabilities of two classes from that of the one at `position`."""
    other = 1 - probability
    return np.column_stack([probability, other] if position == 0 else [other, probability])
