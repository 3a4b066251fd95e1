"""Data sets put together, and how much a cell's data set says about its class."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hemafeat._public import public
from hemafeat.datasets._harmonise import harmonise
from hemafeat.datasets._schema import DatasetError, DatasetWarning, text
from hemafeat.datasets._table import as_table

_TELLING = 0.1
"""Cramer's V from which an association is called one; the convention for a small effect."""

_CHANCE = 0.001


@public
@dataclass(frozen=True)
class Confounding:
    """What the data set of a cell says about its label.

    Attributes
    ----------
    counts : DataFrame
        Cells by label (rows) and data set (columns).
    balanced_accuracy : float
        The best mean recall of the classes that a guess can have that knows the data set only.
    chance : float
        The same without knowing the data set: 1 over the number of classes.
    cramers_v : float
        0: they are independent; 1: one follows from the other.
    mutual_information : float
        bit that the data set tells of the label.
    label_entropy : float
        bit there are to be told.
    p_value : float
        Of the chi-square test of independence; NaN for one data set or one class.
    alone : dict of str to str
        Classes that live in one data set only, and which.
    """

    counts: pd.DataFrame
    balanced_accuracy: float
    chance: float
    cramers_v: float
    mutual_information: float
    label_entropy: float
    p_value: float
    alone: dict[str, str]

    @property
    def predicts(self) -> bool:
        """Whether the data set tells something of the label: more than chance, and not a trifle."""
        return bool(self.alone) or (self.p_value < _CHANCE and self.cramers_v >= _TELLING)

    def sentence(self) -> str:
        """In plain words."""
        words = (
            f"which data set a cell is from predicts its label: balanced accuracy "
            f"{self.balanced_accuracy:.2f} where {self.chance:.2f} is chance, Cramer's V "
            f"{self.cramers_v:.2f}, {self.mutual_information:.2f} of {self.label_entropy:.2f} bit"
        )
        if not self.predicts:
            words = words.replace("predicts its label", "hardly predicts its label")
        if self.alone:
            listed = ", ".join(f"{label} ({name})" for label, name in self.alone.items())
            words += f"; in one data set only: {listed}"
        return words


def confounding(table: pd.DataFrame, *, by: str = "dataset", label: str = "label") -> Confounding:
    """Measure what the data set of a cell says about its label.

    Parameters
    ----------
    table : DataFrame
        An image table or a table of cells.
    by : str
        Column of the data sets (or scanners, batches, slides).
    label : str
        Column of the labels. Rows without either are not counted.

    Returns
    -------
    Confounding

    Raises
    ------
    DatasetError
        A column is missing, or holds nothing.

    Notes
    -----
    All figures are in-sample; with many small batches they exceed zero by chance, which `p_value`
    takes into account. A model that can tell data sets apart, by stain, camera or crop, gets all
    that the data set says for nothing, and a split that ignores data sets does not notice.
    """
    for name in (by, label):
        if name not in table.columns or table[name].isna().all():
            raise DatasetError(f"the table has no column {name!r} with values")
    known = table[by].notna() & table[label].notna()
    counts = pd.crosstab(
        table.loc[known, label].astype(str), table.loc[known, by].astype(str)
    ).rename_axis(index="label", columns=by)
    values = counts.to_numpy(dtype=np.float64)
    share = values / values.sum()
    rows, columns = share.sum(axis=1), share.sum(axis=0)
    expected = np.outer(rows, columns)
    seen = share > 0
    information = float((share[seen] * np.log2(share[seen] / expected[seen])).sum())
    # Of each class the share that lies in each data set; a guess for all of a data set wins that.
    recall = values / values.sum(axis=1, keepdims=True)
    several = min(values.shape) > 1
    v = p = float("nan")
    if several:
        from scipy.stats import chi2_contingency
        from scipy.stats.contingency import association

        v = float(association(values.astype(int), method="cramer"))
        p = float(chi2_contingency(values, correction=False).pvalue)
    homes = (values > 0).sum(axis=1)
    alone = {
        str(name): str(counts.columns[values[place].argmax()])
        for place, name in enumerate(counts.index)
        if homes[place] == 1 and values.shape[1] > 1
    }
    return Confounding(
        counts,
        float(recall.max(axis=0).sum() / len(counts)),
        1 / len(counts),
        v,
        information,
        float(-(rows * np.log2(rows)).sum()),
        p,
        alone,
    )


def merge(
    tables: Mapping[str, Any] | Sequence[Any],
    *,
    labels: str | Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Put data sets together under one set of labels, and say what their mixture gives away.

    Parameters
    ----------
    tables : mapping of str to table, or sequence of tables
        Image tables (or whatever `as_table` takes), or tables of cells. By a mapping each gets the
        name of its data set; otherwise its own column ``dataset`` counts.
    labels : mapping, optional
        What labels are called afterwards: ``{"ig": "immature granulocyte"}`` for all sets, or
        ``{"pbc": {...}, "bccd": {...}}`` for each by its name. A label that maps to None is left
        out; one that is not named stays as it is. ``"coarse"`` or ``"fine"``: the names of
        `harmonise`. ``label_raw`` is never changed.

    Returns
    -------
    DataFrame
        All rows, in the order given. Patients and groups get the name of their data set in front,
        so that patient 7 of one is not patient 7 of another. ``attrs["confounding"]`` says what
        `confounding` finds, in words.

    Raises
    ------
    DatasetError
        Two data sets of one name, a set without a name, one whose labels all map to None, or tables
        of cells of which one is in um and another in px.

    Warns
    -----
    DatasetWarning
        The data set predicts the label, or classes live in one set only; the message has the
        figures.

    Examples
    --------
    >>> from hemafeat import datasets
    >>> both = datasets.merge({"pbc": one, "bccd": two})  # doctest: +SKIP
    """
    named = list(tables.items()) if isinstance(tables, Mapping) else [(None, t) for t in tables]
    if not named:
        raise DatasetError("no data set was given to merge")
    parts: list[pd.DataFrame] = []
    names: list[str] = []
    attrs: dict[Any, Any] = {}
    for name, given in named:
        part = _table_of(given)
        if name is not None:
            part["dataset"] = name
        part = _prefixed(part)
        own = sorted(part["dataset"].unique())
        twice = set(own) & set(names)
        if twice:
            raise DatasetError(f"two data sets are called {sorted(twice)[0]!r}: name them apart")
        names += own
        _join_attrs(attrs, part.attrs)
        part.attrs = {}
        parts.append(part)
    merged = pd.concat(parts, ignore_index=True)
    if isinstance(labels, str):
        merged = harmonise(merged, labels)
    elif labels:
        merged = _harmonised(merged, labels, names)
    merged.attrs = attrs
    if merged["label"].notna().any():
        found = confounding(merged)
        merged.attrs["confounding"] = found.sentence()
        if found.predicts:
            warnings.warn(found.sentence(), DatasetWarning, stacklevel=2)
    return merged


def _join_attrs(all_: dict[Any, Any], attrs: Mapping[Any, Any]) -> None:
    """Units must agree, errors of every table are kept."""
    units = attrs.get("units")
    if units:
        known = all_.setdefault("units", dict(units))
        other = [name for name in units if known.setdefault(name, units[name]) != units[name]]
        if other:
            raise DatasetError(
                f"{other[0]} is in {known[other[0]]} in one table and in {units[other[0]]} in "
                "another: give um_per_px for all, or for none"
            )
    if "errors" in attrs:
        all_["errors"] = [*all_.get("errors", []), *attrs["errors"]]


def _table_of(given: Any) -> pd.DataFrame:
    if isinstance(given, pd.DataFrame) and "cell" in given.columns:
        missing = [name for name in ("image", "label") if name not in given.columns]
        if missing:
            raise DatasetError(f"a table of cells without column {missing[0]!r} cannot be merged")
        return given.copy()
    return as_table(given).copy()


def _prefixed(part: pd.DataFrame) -> pd.DataFrame:
    """`part` with its patients and groups named after their data set."""
    if "dataset" not in part.columns or part["dataset"].isna().any():
        raise DatasetError(
            "a data set has no name in its column 'dataset': merge({'name': table, ...}) names it"
        )
    part["dataset"] = part["dataset"].astype(str)
    for column in ("patient", "group"):
        if column in part.columns:
            part[column] = text(
                None if pd.isna(value) else f"{name}: {value}"
                for name, value in zip(part["dataset"], part[column], strict=True)
            ).set_axis(part.index)
    return part


def _harmonised(
    merged: pd.DataFrame, labels: Mapping[str, Any], names: Sequence[str]
) -> pd.DataFrame:
    per_set = all(isinstance(value, Mapping) for value in labels.values())
    if per_set:
        unknown = [name for name in labels if name not in names]
        if unknown:
            raise DatasetError(
                f"labels of no data set {unknown[0]!r}; there are: {', '.join(names)}"
            )
    new = []
    for name, label in zip(merged["dataset"], merged["label"], strict=True):
        known = labels.get(name, {}) if per_set else labels
        new.append(known.get(label, label))
    dropped = np.array([value is None for value in new]) & merged["label"].notna().to_numpy()
    merged["label"] = text(new)
    kept = merged[~dropped].reset_index(drop=True)
    gone = [name for name in names if name not in set(kept["dataset"])]
    if gone:
        raise DatasetError(f"no label of {gone[0]!r} is left: all of them map to None")
    return kept
