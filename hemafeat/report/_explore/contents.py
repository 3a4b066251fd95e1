"""What the page holds of each cell: names, numbers and places, packed."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hemafeat import extract

if TYPE_CHECKING:
    from hemafeat.evaluate import Comparison

MISSING = 65535
"""Code of a value that is missing, in names and numbers."""

MAX_VALUES = 4_000_000
"""Numbers that a page holds at most, 2 bytes each."""

_MOST_NAMES = 1000
"""Different names above which a column, such as one of file names, tells cells not groups apart."""

_FEW = 12
"""Different numbers up to which a column is one of names."""

_TITLES = {
    "label": "Label",
    "patient": "Patient",
    "dataset": "Data set",
    "group": "Group",
    "split": "Split",
    "label_raw": "Label as written by the authors",
    "quality__suspected_failure": "Outline suspected to be wrong",
    "quality__failure_reason": "Why the outline is suspected",
    "quality__touches_border": "Touches the border of the image",
    "quality__confidence": "Confidence of the outline",
    "quality__focus": "Focus of the image",
    "quality__clipped": "Clipped pixels",
    "quality__n_cells": "Cells in the image",
}

_NOT_SHOWN = {"image", "cell", "mask", "redrawn", "sha256", "width", "height"}


@dataclass
class Contents:
    """Columns of the page.

    Attributes
    ----------
    names : list of (key, title, values)
        Columns of names, of which None is missing.
    numbers : list of (key, title, values)
        Columns of numbers that are no features.
    features : list of str
        Feature columns that the page holds.
    n_features : int
        Number of feature columns of the table.
    """

    names: list[tuple[str, str, list[str | None]]] = field(default_factory=list)
    numbers: list[tuple[str, str, np.ndarray]] = field(default_factory=list)
    features: list[str] = field(default_factory=list)
    n_features: int = 0


def contents(table: pd.DataFrame, label: str) -> Contents:
    """Choose the columns that the page holds, beside those of a comparison."""
    found = Contents()
    features = extract.feature_columns(table)
    found.n_features = len(features)
    most = max(1, MAX_VALUES // max(len(table), 1))
    found.features = features if len(features) <= most else _telling(table, features, label, most)
    others = [name for name in table.columns if name not in set(features) | _NOT_SHOWN]
    seen: list[list[str | None]] = []
    places = {name: k for k, name in enumerate(_TITLES)}
    for name in sorted(
        others, key=lambda name: (name != label, places.get(str(name), len(places)))
    ):
        values = table[name]
        title = _TITLES.get(str(name), str(name).replace("quality__", "").replace("_", " "))
        is_number = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
        if is_number and name != label and not _of_groups(values):
            found.numbers.append((str(name), title, values.to_numpy(np.float64, na_value=np.nan)))
            continue
        words = as_names(values)
        n = len({word for word in words if word is not None})
        if name != label and (n == 0 or n > _MOST_NAMES or _one_to_one(words, seen)):
            continue
        if name not in (label, "patient", "dataset") and n > max(2, len(words) // 2):
            continue
        seen.append(words)
        found.names.append((str(name), title, words))
    return found


def _of_groups(values: pd.Series) -> bool:
    """Return whether numbers are few and whole, such as those of slides, not a measurement."""
    return values.nunique() <= _FEW and bool((values.dropna() % 1 == 0).all())


def as_names(values: pd.Series) -> list[str | None]:
    """Return the values of a column as text, None for what is missing or empty."""
    if pd.api.types.is_bool_dtype(values):
        values = values.map({True: "yes", False: "no"})
    out: list[str | None] = []
    for value in values.astype(object):
        if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
            out.append(None)
        elif isinstance(value, float) and value.is_integer():
            out.append(str(int(value)))
        else:
            out.append(str(value) or None)
    return out


def _one_to_one(words: list[str | None], seen: Sequence[list[str | None]]) -> bool:
    """Return whether a column divides the cells exactly as one before it does."""
    for other in seen:
        pairs = set(zip(words, other, strict=True))
        if len(pairs) == len(set(words)) == len(set(other)):
            return True
    return False


def _telling(table: pd.DataFrame, features: list[str], label: str, most: int) -> list[str]:
    """Return the columns that differ most between the classes, in their order."""
    from hemafeat.report._explore.columns import survey

    rows = table.sample(min(len(table), 2000), random_state=0)
    labels = as_names(rows[label]) if label in rows else None
    between = survey(rows[features].to_numpy(np.float64, na_value=np.nan), labels).between
    chosen = set(np.argsort(-np.nan_to_num(between), kind="stable")[:most].tolist())
    return [name for k, name in enumerate(features) if k in chosen]


def predicted(
    table: pd.DataFrame, comparison: Comparison
) -> tuple[str, list[str | None], np.ndarray]:
    """Return the best model, what it predicts each cell to be, and how probable it holds that.

    Raises
    ------
    ValueError
        If none of the predictions is about a cell of the table.
    """
    ranked = comparison.ranked() or comparison.ranked(baselines=True)
    rows = comparison.predictions[comparison.predictions["model"] == ranked[0]]
    rows = rows.drop_duplicates(["image", "cell"])
    place = {key: k for k, key in enumerate(keys(rows))}
    where = np.array([place.get(key, -1) for key in keys(table)])
    if not (where >= 0).any():
        raise ValueError(
            "the comparison is not one of this table: no prediction is about its cells"
        )
    known = rows["predicted"].astype(str).to_numpy(object)
    named = [known[k] if k >= 0 else None for k in where]
    values = rows[[f"p__{name}" for name in comparison.classes]].to_numpy(np.float64)
    best = np.where(where >= 0, values.max(axis=1)[where], np.nan)
    return ranked[0], named, best


def keys(table: pd.DataFrame) -> list[tuple[str, int]]:
    """Return what identifies each cell: its image and its number."""
    cells = table["cell"] if "cell" in table else pd.Series(1, table.index)
    numbers = pd.to_numeric(cells, errors="coerce").fillna(1).astype(int)
    return list(zip(table["image"].map(str), numbers, strict=True))


def pack(values: np.ndarray) -> str:
    """Return an array as text that the page decodes."""
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")


def pack_names(words: Sequence[str | None], order: Sequence[str] = ()) -> dict[str, Any]:
    """Return a column of names as a list of the different ones and a code for each cell."""
    counts = pd.Series(list(words), dtype=object).value_counts()
    listed = [*order, *(name for name in sorted(map(str, counts.index)) if name not in order)]
    place = {name: k for k, name in enumerate(listed)}
    codes = np.array([MISSING if word is None else place[word] for word in words], dtype="<u2")
    return {"values": listed, "codes": pack(codes)}


def pack_numbers(values: np.ndarray) -> tuple[dict[str, float | None], np.ndarray]:
    """Return the range of a column, and its values in 65,535 steps of it."""
    values = np.where(np.isfinite(values), values, np.nan)
    known = ~np.isnan(values)
    if not known.any():
        return {"low": None, "high": None}, np.full(len(values), MISSING, dtype="<u2")
    low, high = float(values[known].min()), float(values[known].max())
    scale = (MISSING - 1) / (high - low) if high > low else 0.0
    codes = np.full(len(values), MISSING, dtype="<u2")
    codes[known] = np.round((values[known] - low) * scale).astype("<u2")
    return {"low": low, "high": high}, codes


def pack_images(names: Sequence[str]) -> dict[str, Any]:
    """Return the names of the images of the cells, each different one once, without their head."""
    different = list(dict.fromkeys(names))
    # The longest folder that the first and the last name by alphabet share, all names share.
    first, last = min(different), max(different)
    same = next((k for k, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), 0)
    head = first[: max(first.rfind("/", 0, same), first.rfind("\\", 0, same)) + 1]
    place = {name: k for k, name in enumerate(different)}
    codes = np.array([place[name] for name in names], dtype="<u4")
    return {"head": head, "tails": [name[len(head) :] for name in different], "codes": pack(codes)}
