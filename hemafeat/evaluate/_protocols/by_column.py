"""Splits along a column of the table: official parts, batches, data sets."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations

import numpy as np
import pandas as pd

from hemafeat.evaluate._protocols.splits import Cells, CompareError, Folds, marked

_TRAIN = ("train", "training")
_TEST = ("test", "testing")
_VALID = ("val", "valid", "validation")

Pair = tuple[np.ndarray, np.ndarray]


def official(cells: Cells) -> Folds:
    """As the column ``split`` says: train against test (or val), or each of its folds in turn."""
    given = cells.table["split"] if "split" in cells.table.columns else None
    if given is None or given.isna().all():
        raise CompareError("split='official' needs a column 'split' with values; there are none")
    part = given.astype("string").str.strip().str.lower()
    values = sorted(part.dropna().unique())
    notes = []
    if part.isna().any():
        notes.append(f"{int(part.isna().sum())} cells outside the official split are not used")
    train = part.isin(_TRAIN).fillna(False).to_numpy(dtype=bool)
    if train.any():
        for words in (_TEST, _VALID):
            test = part.isin(words).fillna(False).to_numpy(dtype=bool)
            if test.any():
                break
        else:
            raise CompareError(f"the official split has a train but no test part: {values}")
        unused = ~train & ~test & part.notna().to_numpy()
        if unused.any():
            notes.append(f"{int(unused.sum())} cells of other parts of the split are not used")
        pairs = [(np.flatnonzero(train), np.flatnonzero(test))]
        names = [str(part[test].iloc[0])]
        words_ = f"official split, {int(train.sum())} cells to train, {int(test.sum())} to score"
    elif len(values) >= 2:
        known = part.notna().to_numpy()
        pairs = []
        for value in values:
            inside = (part == value).fillna(False).to_numpy(dtype=bool)
            pairs.append((np.flatnonzero(known & ~inside), np.flatnonzero(inside)))
        names = [str(value) for value in values]
        words_ = f"official folds, each of {len(values)} in turn"
    else:
        raise CompareError(f"the official split has one part only: {values}")
    notes += unseen(cells.truth, pairs, names)
    return _told(Folds(pairs, names, False, "official", words_, notes), cells)


def leave_one_batch_out(cells: Cells) -> Folds:
    """Every batch is scored by models that have seen the others only."""
    name = cells.options.get("column")
    if name is None:
        name = "batch" if "batch" in cells.table.columns else "dataset"
    batch, values = _column(cells, name, "leave-one-batch-out")
    if len(values) < 2:
        raise CompareError(f"column {name!r} has one batch only: {values[0]!r}")
    notes = _outside(batch, name)
    pairs = []
    for value in values:
        inside = (batch == value).fillna(False).to_numpy(dtype=bool)
        others = batch.notna().to_numpy() & ~inside
        pair, said = _apart(
            cells, np.flatnonzero(others), np.flatnonzero(inside), f"batch {value!r}"
        )
        train, test = pair
        known = np.isin(cells.truth[test], np.unique(cells.truth[train]))
        if not known.all():
            lost = ", ".join(np.unique(cells.truth[test][~known]))
            said.append(
                f"batch {value!r}: {int((~known).sum())} cells of classes that no other batch has "
                f"are not scored: {lost}"
            )
        pairs.append(_usable(cells, (train, test[known]), f"batch {value!r} left out"))
        notes += said
    words = f"each of {len(values)} batches (column {name}) scored by models of the others"
    return _told(Folds(pairs, values, False, "leave-one-batch-out", words, notes), cells)


def cross_dataset(cells: Cells) -> Folds:
    """Trained on one data set, scored on another, on the classes that both have."""
    name = cells.options.get("column") or "dataset"
    which, values = _column(cells, name, "cross-dataset")
    train, test = cells.options.get("train"), cells.options.get("test")
    for wanted in (train, test):
        if wanted is not None and str(wanted) not in values:
            raise CompareError(f"no data set {wanted!r} in column {name!r}: {', '.join(values)}")
    if train is not None and train == test:
        raise CompareError(f"cross-dataset: {train!r} cannot be both sides")
    directions = [
        (a, b) for a, b in permutations(values, 2) if train in (None, a) and test in (None, b)
    ]
    if not directions:
        raise CompareError(f"cross-dataset needs two data sets in column {name!r}: {values}")
    pairs, names, notes = [], [], _outside(which, name)
    for a, b in directions:
        on, against = (
            np.flatnonzero((which == value).fillna(False).to_numpy(dtype=bool)) for value in (a, b)
        )
        (on, against), said = _apart(cells, on, against, f"{a} to {b}")
        both = np.intersect1d(cells.truth[on], cells.truth[against])
        for side, rows in ((a, on), (b, against)):
            alone = ~np.isin(cells.truth[rows], both)
            if alone.any():
                lost = ", ".join(np.unique(cells.truth[rows][alone]))
                said.append(f"{a} to {b}: classes of {side} only are not used: {lost}")
        pair = tuple(rows[np.isin(cells.truth[rows], both)] for rows in (on, against))
        pairs.append(_usable(cells, (pair[0], pair[1]), f"{a} to {b}"))
        names.append(f"{a} to {b}")
        notes += said + _scales(cells.table, a, b, on, against)
    words = "trained on one data set and scored on another (" + ", ".join(names) + ")"
    return _told(
        Folds(pairs, names, False, "cross-dataset", words, list(dict.fromkeys(notes))), cells
    )


def _column(cells: Cells, name: str, protocol: str) -> tuple[pd.Series, list[str]]:
    if name not in cells.table.columns or cells.table[name].isna().all():
        raise CompareError(
            f"split={protocol!r} needs a column {name!r} with values; there are none"
        )
    column = cells.table[name].astype("string")
    return column, [str(value) for value in sorted(column.dropna().unique())]


def _outside(column: pd.Series, name: str) -> list[str]:
    n = int(column.isna().sum())
    return [f"{n} cells without a value in column {name!r} are not used"] if n else []


def _apart(cells: Cells, train: np.ndarray, test: np.ndarray, what: str) -> tuple[Pair, list[str]]:
    """Training rows whose group is scored go: a patient seen in two batches is no new patient."""
    seen = np.isin(cells.groups.ids[train], np.unique(cells.groups.ids[test]))
    if not seen.any():
        return (train, test), []
    said = f"{what}: {int(seen.sum())} cells of {cells.groups.noun} that are scored do not train"
    return (train[~seen], test), [said]


def _usable(cells: Cells, pair: Pair, what: str) -> Pair:
    train, test = pair
    if len(set(cells.truth[train])) < 2 or not len(test):
        raise CompareError(
            f"{what}: {len(train)} cells of {len(set(cells.truth[train]))} classes are left to "
            f"train and {len(test)} to score"
        )
    return pair


def _scales(table: pd.DataFrame, a: str, b: str, train: np.ndarray, test: np.ndarray) -> list[str]:
    if "um_per_px" not in table.columns:
        return [f"{a} to {b}: no scale is known, so lengths in px need not mean the same"]
    scale = pd.to_numeric(table["um_per_px"], errors="coerce").to_numpy(np.float64)
    one, other = (np.unique(scale[rows]) for rows in (train, test))
    unknown = [name for name, found in ((a, one), (b, other)) if np.isnan(found).any()]
    if unknown:
        return [
            f"{a} to {b}: the scale of {' and '.join(unknown)} is not known, so lengths in px need "
            "not mean the same"
        ]
    if not np.array_equal(one, other):
        sizes = [" ".join(f"{value:.4g}" for value in found) for found in (one, other)]
        return [
            f"{a} to {b}: a pixel is {sizes[0]} um and {sizes[1]} um; lengths are in um, but "
            "texture is that of the pixels unless images were resampled to one scale"
        ]
    return []


def unseen(truth: np.ndarray, pairs: Iterable[Pair], names: Iterable[str]) -> list[str]:
    """What to say of classes that are scored and not trained on."""
    notes = []
    for name, (fit, scored) in zip(names, pairs, strict=True):
        missing = sorted(set(truth[scored]) - set(truth[fit]))
        if missing:
            notes.append(f"part {name!r} holds classes that training has not: {', '.join(missing)}")
    return notes


def _told(plan: Folds, cells: Cells) -> Folds:
    groups = cells.groups
    found = marked(plan, groups)
    if found.leaky:
        return found
    words = f", {groups.n} {groups.noun}"
    if groups.n < len(cells.truth) or groups.noun == "patients":
        words += " never on both sides"
    return Folds(plan.pairs, plan.names, False, plan.protocol, plan.sentence + words, plan.notes)
