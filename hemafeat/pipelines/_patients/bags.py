"""Patients: one row each, with the bag of their cells in a column beside the attributes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from hemafeat import extract
from hemafeat._public import public
from hemafeat.pipelines._steps.columns import shortlist

CELLS = "cells"
"""The column of `bags` that holds them."""

WHITE = ("quality__white_r", "quality__white_g", "quality__white_b")
"""Background white of each image: what is known of a smear before a cell is looked at."""

_BESIDE = ("image", *WHITE)


@public
@dataclass(frozen=True, slots=True, eq=False)
class Bag:
    """The cells of one patient.

    Attributes
    ----------
    features : (n_cells, n_features) ndarray of float64
        NaN where a value is missing.
    columns : tuple of str
        Names of the features.
    rows : (n_cells,) ndarray of int64
        Position of each cell in the table the bag was made of.
    beside : dict of str to (n_cells,) ndarray
        What is known of the cells and is no feature: ``image`` and ``quality__white_r``, ``_g``,
        ``_b``, where the table has them.
    """

    features: np.ndarray
    columns: tuple[str, ...]
    rows: np.ndarray
    beside: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.features)

    def cells(self, chosen: np.ndarray) -> Bag:
        """The bag of some of the cells, by number or by a mask."""
        beside = {name: values[chosen] for name, values in self.beside.items()}
        return Bag(self.features[chosen], self.columns, self.rows[chosen], beside)

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

    A row is what scikit-learn divides, clones and scores, so that with one row per patient no
    split, search or stack can have cells of one patient on both sides, whatever it knows of groups.

    Parameters
    ----------
    cells : DataFrame
        One row per cell, as `extract.table` gives it.
    patient : str
        Column that says whose cell it is.
    columns : list of str, optional
        The features; by default those called ``mask__family__feature``. Any columns of numbers will
        do, such as an embedding. ``[]`` where the table has images and only these are wanted.
    label : str, optional
        Column of the patients' labels. Left out where the table has none.
    attributes : list of str, or DataFrame
        What else is known of the patient: columns of `cells`, or a table of its own with one row
        per patient, named by its column `patient`, else by its index.

    Returns
    -------
    DataFrame
        Index: the patients, sorted. ``cells`` holds a `Bag` each; then ``label`` and the
        attributes. The order of the cells within a bag is that of the table; no model of this
        package looks at it.

    Raises
    ------
    ValueError
        Cells without a patient, a patient with two labels or two values of an attribute, features
        that are missing, infinite or no numbers, or attributes of a patient given twice.

    Examples
    --------
    >>> from hemafeat import datasets, pipelines
    >>> table = datasets.drawn_bags(6, random_state=0)
    >>> pipelines.bags(table, attributes=["sex"]).columns.tolist()
    ['cells', 'label', 'sex']
    """
    if patient not in cells.columns:
        raise ValueError(
            f"the table has no column {patient!r}, which would say whose cells these are"
        )
    unknown = cells[patient].isna()
    if unknown.any():
        raise ValueError(
            f"{int(unknown.sum())} of {len(cells)} cells have no {patient}: leave them out, or say "
            "whose they are"
        )
    names = list(extract.feature_columns(cells)) if columns is None else list(columns)
    values = _numbers(cells, names, columns is not None)
    code, who = pd.factorize(cells[patient].astype(str), sort=True)
    out = pd.DataFrame(index=pd.Index(who.astype(str), name=patient, dtype=object))
    beside = {name: cells[name].to_numpy() for name in _BESIDE if name in cells.columns}
    out[CELLS] = as_column(_divided(values, code, len(who), tuple(names), beside))
    if label is not None and label in cells.columns:
        out["label"] = one_each(cells[label], code, list(who), label)
    for name in [] if isinstance(attributes, pd.DataFrame) else attributes:
        if name not in cells.columns:
            raise ValueError(f"the table has no column {name!r}")
        out[name] = one_each(cells[name], code, list(who), name)
    return _joined(out, attributes, patient) if isinstance(attributes, pd.DataFrame) else out


def one_each(column: pd.Series, code: np.ndarray, who: Sequence[Any], name: str) -> np.ndarray:
    """The one value each patient has in a column of cells; missing values say nothing."""
    known = column.notna().to_numpy()
    number, values = pd.factorize(column[known])
    pairs = np.unique(np.column_stack([code[known], number]), axis=0)
    twice = pairs[1:, 0][np.diff(pairs[:, 0]) == 0] if len(pairs) else pairs[:0, 0]
    if twice.size:
        found = [str(values[k]) for k in pairs[pairs[:, 0] == twice[0], 1]]
        raise ValueError(
            f"patient {who[twice[0]]} has {len(found)} values of {name!r}: {shortlist(found)}"
        )
    out = np.full(len(who), np.nan, dtype=object)
    if len(pairs):
        out[pairs[:, 0]] = np.asarray(values, dtype=object)[pairs[:, 1]]
    if not pd.api.types.is_numeric_dtype(column.dtype):
        return out
    return out.astype(np.float64)


def _joined(out: pd.DataFrame, attributes: pd.DataFrame, patient: str) -> pd.DataFrame:
    table = attributes.set_index(patient) if patient in attributes.columns else attributes
    table = table.set_axis(table.index.map(str), axis=0)
    twice = table.index[table.index.duplicated()]
    if len(twice):
        raise ValueError(f"the attributes name patient {twice[0]} more than once")
    found = table.reindex(out.index)
    if not found.index.isin(table.index).any():
        raise ValueError(
            f"the attributes know none of the patients: they name {shortlist(table.index, 3)}, the "
            f"cells {shortlist(out.index, 3)}"
        )
    for name in found.columns:
        if name == "label" and "label" in out.columns:
            continue
        out[name] = found[name].to_numpy()
    return out


def _numbers(cells: pd.DataFrame, names: list[str], explicit: bool = False) -> np.ndarray:
    missing = [name for name in names if name not in cells.columns]
    if missing:
        raise ValueError(f"the table lacks {len(missing)} columns: {shortlist(missing)}")
    if not names and "image" in cells.columns and explicit:
        return np.empty((len(cells), 0))
    if not names:
        raise ValueError(
            "no column of the table is called mask__family__feature (its first columns: "
            f"{shortlist(cells.columns)}); name the features with columns=[...]"
        )
    try:
        values = cells[names].to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        kinds = cells[names].dtypes
        wrong = [name for name in names if not pd.api.types.is_numeric_dtype(kinds[name])]
        raise ValueError(f"columns that are not numbers: {shortlist(wrong)}") from None
    bad = np.isinf(values).any(axis=0)
    if bad.any():
        raise ValueError(f"infinite values in {shortlist(np.asarray(names)[bad])}")
    return values


def _divided(
    values: np.ndarray,
    code: np.ndarray,
    n: int,
    columns: tuple[str, ...],
    beside: Mapping[str, np.ndarray],
) -> list[Bag]:
    whole = Bag(values, columns, np.arange(len(values)), beside)
    order = np.argsort(code, kind="stable")
    ends = np.searchsorted(code[order], np.arange(1, n))
    return [whole.cells(rows) for rows in np.split(order, ends)]


def as_column(found: Sequence[Bag]) -> np.ndarray:
    """Bags as a column of a table: (n_bags,) ndarray of object."""
    # Not np.array(found): bags have a length, and NumPy would look into them.
    column = np.empty(len(found), dtype=object)
    for place, bag in enumerate(found):
        column[place] = bag
    return column


def as_bags(
    X: Any, groups: str | None = "patient", columns: Sequence[str] | None = None
) -> list[Bag]:
    """Bags of whatever holds them, in the order of their rows, or of the sorted patients.

    Parameters
    ----------
    X : DataFrame, or sequence of Bag, array or DataFrame
        What `bags` gives, or any rows of it; a table of cells with the column `groups`; or one
        array of shape (n_cells, n_features) per patient.
    groups : str, optional
        Column that says whose cells these are.
    columns : list of str, optional
        The features of a table of cells.
    """
    if isinstance(X, pd.DataFrame):
        if CELLS in X.columns and all(isinstance(entry, Bag) for entry in X[CELLS]):
            return _same(list(X[CELLS]))
        if groups is None or groups not in X.columns:
            raise ValueError(
                f"the table has neither bags (pipelines.bags) nor a column {groups!r} that would "
                f"say whose cells these are; its first columns: {shortlist(X.columns)}"
            )
        return list(bags(X, patient=groups, columns=columns, label=None)[CELLS])
    if isinstance(X, pd.Series | np.ndarray):
        X = list(X)
    if not isinstance(X, Sequence) or isinstance(X, str):
        raise ValueError(f"cannot make bags of cells of a {type(X).__name__}")
    return _same([_bag(entry, place) for place, entry in enumerate(X)])


def _bag(entry: Any, place: int) -> Bag:
    if isinstance(entry, Bag):
        return entry
    if isinstance(entry, pd.DataFrame):
        names = list(extract.feature_columns(entry)) or [str(name) for name in entry.columns]
        return Bag(_numbers(entry, names), tuple(names), np.arange(len(entry)))
    values = np.asarray(entry, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(
            f"bag {place} has {values.ndim} axes, expected (n_cells, n_features): a table of cells "
            "needs a column that says whose they are"
        )
    if np.isinf(values).any():
        raise ValueError(f"bag {place} holds infinite values; what is not defined must be NaN")
    return Bag(values, tuple(f"x{j}" for j in range(values.shape[1])), np.arange(len(values)))


def _same(found: list[Bag]) -> list[Bag]:
    if not found:
        raise ValueError("there are no patients")
    first = found[0].columns
    for place, bag in enumerate(found):
        if bag.columns is not first and bag.columns != first:
            raise ValueError(f"bag {place} has other columns than the first bag")
    return found


def taken(found: Sequence[Bag], columns: Sequence[str]) -> list[Bag]:
    """The same bags with these columns, in this order."""
    first = found[0].columns
    if tuple(columns) == first:
        return list(found)
    place = {name: j for j, name in enumerate(first)}
    missing = [name for name in columns if name not in place]
    if missing:
        raise ValueError(f"the bags lack {len(missing)} columns: {shortlist(missing)}")
    index = [place[name] for name in columns]
    return [replace(bag, features=bag.features[:, index], columns=tuple(columns)) for bag in found]


HEALTHY = frozenset(
    ("reactive", "normal", "healthy", "control", "benign", "negative", "hem", "no", "false", "0")
)
"""Labels, in lower case, that say that nothing was found."""


def positive_place(classes: np.ndarray, positive: Any = None) -> int:
    """Number of the class that is looked for.

    Parameters
    ----------
    classes : (n_classes,) ndarray
        Labels.
    positive : str, optional
        The one that is looked for. By default, of two, the one beside a label that says that
        nothing was found (``reactive``, ``normal``, ``healthy``, ``0`` ...), else the last.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        `positive` is no label.
    """
    names = list(classes)
    if positive is not None:
        if positive not in names:
            raise ValueError(f"positive={positive!r} is none of {names}")
        return names.index(positive)
    healthy = [str(name).lower() in HEALTHY for name in names]
    return healthy.index(False) if len(names) == 2 and sum(healthy) == 1 else len(names) - 1


def stacked(found: Sequence[Bag]) -> tuple[np.ndarray, np.ndarray]:
    """All cells below each other, and the number of the bag of each."""
    values = np.concatenate([bag.features for bag in found])
    return values, np.repeat(np.arange(len(found)), [len(bag) for bag in found])


def unstacked(rows: np.ndarray, member: np.ndarray, n: int) -> Iterator[np.ndarray]:
    """The parts of `rows` that belong to each bag; the inverse of `stacked`."""
    yield from np.split(rows, np.searchsorted(member, np.arange(1, n)))
