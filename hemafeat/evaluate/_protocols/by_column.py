"""Divisions along a column of the table: official parts, batches, data sets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from hemafeat._words import plain
from hemafeat.evaluate._protocols.splits import Folds, Sample, mark_leak, undivided
from hemafeat.evaluate._rows import CompareError

_TRAIN = ("train", "training")
_TEST = ("test", "testing")
_VALID = ("val", "valid", "validation")

Pair = tuple[np.ndarray, np.ndarray]


def official(sample: Sample) -> Folds:
    """Divide rows by the column ``split``: train, val and test, or its folds in turn.

    Without a test part, the rows of the validation part are those that are scored.
    """
    column = sample.table["split"] if "split" in sample.table.columns else None
    if column is None or column.isna().all():
        raise CompareError("protocol='official' needs a column 'split' with values; it is empty")
    part = column.astype("string").str.strip().str.lower()
    values = sorted(part.dropna().unique())
    notes = []
    validation: list[np.ndarray] = []
    if part.isna().any():
        n = int(part.isna().sum())
        notes.append(f"{n} {sample.noun} outside the official split are not used")
    train = _rows_of(part.isin(_TRAIN))
    if train.any():
        for words in (_TEST, _VALID):
            test = _rows_of(part.isin(words))
            if test.any():
                break
        else:
            raise CompareError(f"the official split has a train but no test part: {values}")
        valid = _rows_of(part.isin(_VALID)) & ~test
        if valid.any():
            validation = [np.flatnonzero(valid)]
        unused = ~train & ~valid & ~test & part.notna().to_numpy()
        if unused.any():
            notes.append(
                f"{int(unused.sum())} {sample.noun} of other parts of the split are not used"
            )
        pairs = [(np.flatnonzero(train), np.flatnonzero(test))]
        names = [str(part[test].iloc[0])]
        to_validate = f"{int(valid.sum())} to validate, " if valid.any() else ""
        sentence = (
            f"official split, {int(train.sum())} {sample.noun} to train, {to_validate}"
            f"{int(test.sum())} to score"
        )
    elif len(values) >= 2:
        in_a_fold = part.notna().to_numpy()
        folds = [_rows_of(part == value) for value in values]
        pairs = [(np.flatnonzero(in_a_fold & ~fold), np.flatnonzero(fold)) for fold in folds]
        names = [str(value) for value in values]
        sentence = f"official folds, each of {len(values)} in turn"
    else:
        raise CompareError(f"the official split has one part only: {values}")
    notes += class_notes(sample.truth, pairs, names)
    plan = Folds(pairs, names, False, "official", sentence, notes, validation)
    return _describe(plan, sample)


def leave_one_batch_out(sample: Sample) -> Folds:
    """Score every batch by models trained on the others."""
    name = sample.options.get("column")
    if name is None:
        name = "batch" if "batch" in sample.table.columns else "dataset"
    return _leave_one_out(sample, name, "leave-one-batch-out", ("batch", "batches"))


def leave_one_laboratory_out(sample: Sample) -> Folds:
    """Score every data set by models trained on the others."""
    name = sample.options.get("column") or "dataset"
    return _leave_one_out(sample, name, "leave-one-laboratory-out", ("laboratory", "laboratories"))


def _leave_one_out(sample: Sample, name: str, protocol: str, nouns: tuple[str, str]) -> Folds:
    """Score the rows of every value of a column by models trained on the others."""
    noun, several = nouns
    batch, values = _column(sample, name, protocol)
    if len(values) < 2:
        raise CompareError(f"column {name!r} has one {noun} only: {values[0]!r}")
    notes = _empty_notes(batch, name)
    pairs = []
    for value in values:
        in_batch = _rows_of(batch == value)
        others = batch.notna().to_numpy() & ~in_batch
        (train, test), remarks = _without_shared_groups(
            sample, np.flatnonzero(others), np.flatnonzero(in_batch), f"{noun} {value!r}"
        )
        trained = np.isin(sample.truth[test], np.unique(sample.truth[train]))
        if not trained.all():
            lost = ", ".join(np.unique(sample.truth[test][~trained]))
            remarks.append(
                f"{noun} {value!r}: {int((~trained).sum())} cells of classes that no other {noun} "
                f"has are not scored: {lost}"
            )
        pairs.append(_usable(sample, (train, test[trained]), f"{noun} {value!r} left out"))
        notes += remarks
    sentence = f"each of {len(values)} {several} (column {name}) scored by models of the others"
    plan = Folds(pairs, values, False, protocol, sentence, notes)
    return _describe(plan, sample)


def cross_dataset(sample: Sample) -> Folds:
    """Train on one data set, or several, and score each other, on the classes that both have."""
    name = sample.options.get("column") or "dataset"
    dataset, values = _column(sample, name, "cross-dataset")
    train, test = (_several(sample.options.get(part)) for part in ("train", "test"))
    for value in (*train, *test):
        if value not in values:
            raise CompareError(
                f"no data set {plain(value)} in column {name!r}: {', '.join(values)}"
            )
    if common := set(train) & set(test):
        raise CompareError(f"cross-dataset: {plain(min(common))} cannot be both sides")
    sources = [tuple(train)] if train else [(value,) for value in values if value not in test]
    directions = [
        (source, value) for source in sources for value in test or values if value not in source
    ]
    if not directions:
        raise CompareError(
            f"cross-dataset needs two data sets in column {name!r}: {', '.join(map(str, values))}"
        )
    pairs, names, notes = [], [], _empty_notes(dataset, name)
    for source, b in directions:
        a = " + ".join(source)
        direction = f"{a} to {b}"
        rows_a, rows_b = (np.flatnonzero(_rows_of(dataset.isin(of))) for of in (list(source), [b]))
        (rows_a, rows_b), remarks = _without_shared_groups(sample, rows_a, rows_b, direction)
        both = np.intersect1d(sample.truth[rows_a], sample.truth[rows_b])
        for side, rows in ((a, rows_a), (b, rows_b)):
            alone = ~np.isin(sample.truth[rows], both)
            if alone.any():
                lost = ", ".join(np.unique(sample.truth[rows][alone]))
                remarks.append(f"{direction}: classes of {side} only are not used: {lost}")
        rows_a, rows_b = (rows[np.isin(sample.truth[rows], both)] for rows in (rows_a, rows_b))
        pairs.append(_usable(sample, (rows_a, rows_b), direction))
        names.append(direction)
        notes += remarks + _scale_notes(sample.table, a, b, rows_a, rows_b)
    sentence = "trained on one data set and scored on another (" + ", ".join(names) + ")"
    plan = Folds(pairs, names, False, "cross-dataset", sentence, list(dict.fromkeys(notes)))
    return _describe(plan, sample)


def _several(names: object) -> list[str]:
    """Return the names of data sets that an option holds: none, one, or a list."""
    if names is None:
        return []
    return [str(name) for name in names] if isinstance(names, list | tuple) else [str(names)]


def _rows_of(condition: pd.Series) -> np.ndarray:
    """Return a condition as booleans, False where it is missing."""
    return condition.fillna(False).to_numpy(dtype=bool)


def _column(sample: Sample, name: str, protocol: str) -> tuple[pd.Series, list[str]]:
    if name not in sample.table.columns or sample.table[name].isna().all():
        raise CompareError(f"protocol={protocol!r} needs a column {name!r} with values")
    column = sample.table[name].astype("string")
    return column, [str(value) for value in sorted(column.dropna().unique())]


def _empty_notes(column: pd.Series, name: str) -> list[str]:
    n = int(column.isna().sum())
    return [f"{n} cells without a value in column {name!r} are not used"] if n else []


def _without_shared_groups(
    sample: Sample, train: np.ndarray, test: np.ndarray, part: str
) -> tuple[Pair, list[str]]:
    """Remove training rows of groups that are scored: patients may occur in two batches."""
    shared = np.isin(sample.groups.ids[train], np.unique(sample.groups.ids[test]))
    if not shared.any():
        return (train, test), []
    note = f"{part}: {int(shared.sum())} cells of {sample.groups.noun} that are scored do not train"
    return (train[~shared], test), [note]


def _usable(sample: Sample, pair: Pair, part: str) -> Pair:
    train, test = pair
    n_classes = len(set(sample.truth[train]))
    if n_classes < 2 or not len(test):
        raise CompareError(
            f"{part}: {len(train)} cells of {n_classes} classes are left to train and {len(test)} "
            "to score"
        )
    return pair


def _scale_notes(
    table: pd.DataFrame, a: str, b: str, train: np.ndarray, test: np.ndarray
) -> list[str]:
    """Return a note if the scales of two data sets differ or are unknown."""
    if "um_per_px" not in table.columns:
        return [f"{a} to {b}: no scale is known, so lengths in px need not mean the same"]
    scale = pd.to_numeric(table["um_per_px"], errors="coerce").to_numpy(np.float64)
    scales = {name: np.unique(scale[rows]) for name, rows in ((a, train), (b, test))}
    unknown = [name for name, values in scales.items() if np.isnan(values).any()]
    if unknown:
        return [
            f"{a} to {b}: the scale of {' and '.join(unknown)} is not known, so lengths in px need "
            "not mean the same"
        ]
    if not np.array_equal(scales[a], scales[b]):
        sizes = [" ".join(f"{value:.4g}" for value in values) for values in scales.values()]
        return [
            f"{a} to {b}: a pixel is {sizes[0]} um and {sizes[1]} um; lengths are in um, but "
            "texture is that of the pixels unless images were resampled to one scale"
        ]
    return []


def class_notes(truth: np.ndarray, pairs: Iterable[Pair], names: Iterable[str]) -> list[str]:
    """Return a note for each fold with classes that are scored and not trained on."""
    notes = []
    for name, (train, test) in zip(names, pairs, strict=True):
        missing = sorted(set(truth[test]) - set(truth[train]))
        if missing:
            notes.append(
                f"part {name!r} holds classes that the training part lacks: {', '.join(missing)}"
            )
    return notes


def _describe(plan: Folds, sample: Sample) -> Folds:
    """Return a plan whose sentence counts the groups, marked if it is leaky."""
    marked = mark_leak(plan, sample.groups)
    if marked.leaky:
        return marked
    return replace(marked, sentence=marked.sentence + undivided(sample))
