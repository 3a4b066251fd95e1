"""Merge data sets and measure how well the data set of a cell predicts its class."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hemafeat._frames import as_frame
from hemafeat._public import public
from hemafeat.datasets._harmonise import harmonise
from hemafeat.datasets._schema import DatasetError, DatasetWarning, text
from hemafeat.datasets._table import as_table

_SMALL_EFFECT = 0.1
"""Smallest Cramer's V that counts as an association; the convention for a small effect."""

_SIGNIFICANT = 0.001


@public
@dataclass(frozen=True)
class Confounding:
    """Hold measures of association between the data set of a cell and its label.

    Attributes
    ----------
    counts : DataFrame
        Cells by label (rows) and data set (columns).
    balanced_accuracy : float
        Best balanced accuracy of a prediction of the label from the data set alone.
    chance : float
        Balanced accuracy of a constant prediction: 1 over the number of classes.
    cramers_v : float
        Cramer's V: 0 if data set and label are independent, 1 if one determines the other.
    mutual_information : float
        Mutual information of data set and label, in bits.
    label_entropy : float
        Entropy of the label, in bits.
    p_value : float
        p value of the chi-square test of independence; NaN for a single data set or class.
    alone : dict of str to str
        Data set of each class that occurs in a single data set.
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
        """True if the association is significant and not small, or a class is in one data set."""
        significant = self.p_value < _SIGNIFICANT and self.cramers_v >= _SMALL_EFFECT
        return bool(self.alone) or significant

    def sentence(self) -> str:
        """Describe the association in words."""
        verb = "predicts" if self.predicts else "hardly predicts"
        words = (
            f"the data set of a cell {verb} its label: balanced accuracy "
            f"{self.balanced_accuracy:.2f} where {self.chance:.2f} is chance, Cramer's V "
            f"{self.cramers_v:.2f}, {self.mutual_information:.2f} of {self.label_entropy:.2f} bit"
        )
        if self.alone:
            listed = ", ".join(f"{label} ({name})" for label, name in self.alone.items())
            words += f"; classes in a single data set: {listed}"
        return words


def confounding(table: pd.DataFrame, *, by: str = "dataset", label: str = "label") -> Confounding:
    """Measure how well the data set of a cell predicts its label.

    Parameters
    ----------
    table : DataFrame
        An image table or a table of cells.
    by : str
        Name of the column of data sets (or of scanners, batches or slides).
    label : str
        Name of the column of labels. Rows without a value in either column are ignored.

    Returns
    -------
    Confounding
        Measures of association.

    Raises
    ------
    DatasetError
        Raised if a column is missing or empty.

    Notes
    -----
    All measures are in-sample. With many small batches they exceed zero by chance, which `p_value`
    accounts for. A model that recognises the data set by stain, camera or crop can exploit this
    association, and a split that ignores data sets does not reveal it.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import datasets
    >>> table = pd.DataFrame({"dataset": ["a"] * 10 + ["b"] * 10, "label": ["x"] * 9 + ["y"] * 11})
    >>> found = datasets.confounding(table)
    >>> round(found.balanced_accuracy, 2), found.alone
    (0.95, {'x': 'a'})
    """
    for name in (by, label):
        if name not in table.columns or table[name].isna().all():
            raise DatasetError(f"the table has no column {name!r} with values")
    used = table[[label, by]].dropna().astype(str)
    counts = pd.crosstab(used[label], used[by]).rename_axis(index="label", columns=by)
    values = counts.to_numpy(dtype=np.float64)
    share = values / values.sum()
    rows, columns = share.sum(axis=1), share.sum(axis=0)
    expected = np.outer(rows, columns)
    positive = share > 0
    information = float((share[positive] * np.log2(share[positive] / expected[positive])).sum())
    # Recall of each class if it is predicted for all cells of a data set.
    recall = values / values.sum(axis=1, keepdims=True)
    v = p = float("nan")
    if min(values.shape) > 1:
        from scipy.stats import chi2_contingency
        from scipy.stats.contingency import association

        v = float(association(values.astype(int), method="cramer"))
        p = float(chi2_contingency(values, correction=False).pvalue)
    n_datasets = (values > 0).sum(axis=1)
    alone = {
        str(name): str(counts.columns[int(row.argmax())])
        for name, row, n in zip(counts.index, values, n_datasets, strict=True)
        if n == 1 and values.shape[1] > 1
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
    """Merge data sets, rename labels, and check whether the data set predicts the label.

    Parameters
    ----------
    tables : mapping of str to table, or sequence of tables
        Image tables (or anything that `as_table` accepts) or tables of cells. The keys of a mapping
        are the names of the data sets, each of one table; in a sequence, each table has a column
        ``dataset``, which may name several.
    labels : str or mapping, optional
        New names of labels: ``{"ig": "immature granulocyte"}`` for all data sets, or
        ``{"pbc": {...}, "bccd": {...}}`` for each. Cells whose label maps to None are omitted;
        other labels are kept. ``"coarse"`` or ``"fine"`` applies `harmonise`. ``label_raw`` is
        never changed. By default labels are not renamed.

    Returns
    -------
    DataFrame
        All rows, in order. Names of patients and groups are prefixed with the name of their data
        set, so that patient 7 of one is not patient 7 of another. ``attrs["confounding"]`` is the
        result of `confounding` in words.

    Raises
    ------
    DatasetError
        Raised if two data sets have the same name, if a table of several data sets has a key, which
        would replace their names, if one has no name or no label that is not
        mapped to None, or if tables of cells mix um and px.

    Warns
    -----
    DatasetWarning
        Issued if the data set predicts the label or a class occurs in a single data set, with the
        measures of association.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import datasets
    >>> first = pd.DataFrame({"image": ["a.png", "b.png"], "label": ["ig", "monocyte"]})
    >>> second = pd.DataFrame({"image": ["c.png", "d.png"], "label": ["myelocyte", "monocyte"]})
    >>> names = {"ig": "immature granulocyte", "myelocyte": "immature granulocyte"}
    >>> table = datasets.merge({"x": first, "y": second}, labels=names)
    >>> table[["label", "dataset", "group"]]
                      label dataset     group
    0  immature granulocyte       x  x: a.png
    1              monocyte       x  x: b.png
    2  immature granulocyte       y  y: c.png
    3              monocyte       y  y: d.png
    """
    items = list(tables.items()) if isinstance(tables, Mapping) else [(None, t) for t in tables]
    if not items:
        raise DatasetError("expected at least one data set to merge")
    parts: list[pd.DataFrame] = []
    names: list[str] = []
    attrs: dict[Any, Any] = {}
    options: list[dict[Any, Any]] = []
    for name, table in items:
        part = _to_table(table)
        if name is not None:
            _check_one_dataset(name, part)
            part["dataset"] = name
        part = _prefix_patients(part)
        part_names = sorted(part["dataset"].unique())
        repeated = set(part_names) & set(names)
        if repeated:
            raise DatasetError(f"two data sets are called {min(repeated)!r}; rename one of them")
        names += part_names
        _merge_attrs(attrs, part.attrs)
        options.append(dict(part.attrs.get("measured", {})))
        part.attrs = {}
        parts.append(part)
    # How the cells were measured: only what all tables say alike.
    if alike := dict(set.intersection(*(set(told.items()) for told in options))):
        attrs["measured"] = alike
    # pandas leaves each column of tables of different columns on its own until they are copied.
    merged = pd.concat(parts, ignore_index=True).copy()
    if isinstance(labels, str):
        merged = harmonise(merged, labels)
    elif labels:
        merged = _rename_labels(merged, labels, names)
    merged.attrs = attrs
    if merged["label"].notna().any():
        association = confounding(merged)
        merged.attrs["confounding"] = association.sentence()
        if association.predicts:
            warnings.warn(association.sentence(), DatasetWarning, stacklevel=2)
    return merged


def _check_one_dataset(name: str, part: pd.DataFrame) -> None:
    """Refuse to give one name to the data sets of a table, whose patients it would mix."""
    if "dataset" not in part.columns:
        return
    names = sorted({str(value) for value in part["dataset"].dropna()})
    n = len(names) + int(bool(names) and bool(part["dataset"].isna().any()))
    if n > 1:
        raise DatasetError(
            f"{name!r} would replace the names of {n} data sets in one table: {', '.join(names)}"
            f"{'' if n == len(names) else ' and rows without a name'}. Merge a list of tables, "
            "merge([table, ...]), which keeps their names, or remove the column 'dataset'"
        )


def _merge_attrs(merged: dict[Any, Any], attrs: Mapping[Any, Any]) -> None:
    """Add the units and errors of a table; units must agree."""
    units = attrs.get("units")
    if units:
        merged_units = merged.setdefault("units", dict(units))
        for name, unit in units.items():
            if merged_units.setdefault(name, unit) != unit:
                raise DatasetError(
                    f"{name} is in {merged_units[name]} in one table and {unit} in another; give "
                    "um_per_px for all tables or for none"
                )
    if "formulas" in attrs:
        merged["formulas"] = min(attrs["formulas"], merged.get("formulas", attrs["formulas"]))
    if "errors" in attrs:
        merged["errors"] = [*merged.get("errors", []), *attrs["errors"]]


def _to_table(table: Any) -> pd.DataFrame:
    table = as_frame(table, DatasetError)
    if isinstance(table, pd.DataFrame) and "cell" in table.columns:
        missing = [name for name in ("image", "label") if name not in table.columns]
        if missing:
            raise DatasetError(f"a table of cells without column {missing[0]!r} cannot be merged")
        return table.copy()
    return as_table(table).copy()


def _prefix_patients(part: pd.DataFrame) -> pd.DataFrame:
    """Prefix patients and groups with the name of their data set."""
    if "dataset" not in part.columns or part["dataset"].isna().any():
        raise DatasetError(
            "a data set has no name in its column 'dataset'; name it: merge({'name': table, ...})"
        )
    part["dataset"] = part["dataset"].astype(str)
    for column in ("patient", "group"):
        if column in part.columns:
            part[column] = text(
                None if pd.isna(value) else f"{name}: {value}"
                for name, value in zip(part["dataset"], part[column], strict=True)
            ).set_axis(part.index)
    return part


def _rename_labels(
    merged: pd.DataFrame, labels: Mapping[str, Any], names: Sequence[str]
) -> pd.DataFrame:
    by_dataset = all(isinstance(value, Mapping) for value in labels.values())
    if by_dataset:
        unknown = [name for name in labels if name not in names]
        if unknown:
            raise DatasetError(
                f"labels name the unknown data set {unknown[0]!r}; available: {', '.join(names)}"
            )
    renamed = []
    for name, label in zip(merged["dataset"], merged["label"], strict=True):
        new_names = labels.get(name, {}) if by_dataset else labels
        renamed.append(new_names.get(label, label))
    dropped = np.array([label is None for label in renamed]) & merged["label"].notna().to_numpy()
    merged["label"] = text(renamed)
    kept = merged[~dropped].reset_index(drop=True)
    empty = [name for name in names if name not in set(kept["dataset"])]
    if empty:
        raise DatasetError(f"all labels of {empty[0]!r} map to None")
    return kept
