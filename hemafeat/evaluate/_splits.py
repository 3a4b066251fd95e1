"""Which rows are trained on and which are scored, so that no group stands on both sides."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

SPLITS = ("grouped", "image-random", "official")

_TRAIN = ("train", "training")
_TEST = ("test", "testing")
_VALID = ("val", "valid", "validation")


class CompareError(ValueError):
    """A comparison that cannot be made as asked; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Groups:
    """What must stay together.

    Attributes
    ----------
    ids : (n_rows,) ndarray of str
        Group of each row.
    noun : str
        What a group is, in the plural: ``"patients"``, ``"groups"``, ``"images"``.
    note : str
        What is not known about the groups; empty when all is.
    """

    ids: np.ndarray
    noun: str
    note: str

    @property
    def n(self) -> int:
        """How many groups."""
        return len(np.unique(self.ids))


@dataclass(frozen=True, slots=True)
class Folds:
    """Rows to train on and rows to score.

    Attributes
    ----------
    pairs : list of (train, test)
        Arrays of row numbers.
    names : list of str
        Name of each fold.
    leaky : bool
        Rows of one group stand on both sides.
    protocol : str
        Short name for tables: ``"grouped"``, ``"image-random (leaky)"`` ...
    sentence : str
        The same in plain words.
    """

    pairs: list[tuple[np.ndarray, np.ndarray]]
    names: list[str]
    leaky: bool
    protocol: str
    sentence: str
    notes: list[str] = field(default_factory=list)


def group_ids(table: pd.DataFrame, groups: str | None) -> Groups:
    """The group of every row: the column, or the image where the column says nothing.

    Parameters
    ----------
    table : DataFrame
        One row per cell.
    groups : str or None
        Name of the column. None, a column that is not there, or one without any value: every
        image is its own group, and the note says that patients are unknown.

    Returns
    -------
    Groups
    """
    own = _own_groups(table)
    per_image = "images" if "image" in table.columns else "rows"
    if groups is None or groups not in table.columns or table[groups].isna().all():
        return Groups(own, per_image, "patients are unknown and may be on both sides")
    given = table[groups]
    known = given.notna().to_numpy()
    ids = np.where(known, "group " + given.astype("string").fillna("").to_numpy(dtype=object), own)
    patients = table["patient"] if "patient" in table.columns else None
    named_patient = groups == "patient"
    same = (
        patients is not None
        and patients.notna().all()
        and (patients.astype("string") == given.astype("string")).fillna(False).all()
    )
    notes = []
    if not known.all():
        notes.append(f"{int((~known).sum())} cells of unknown group stand alone, image by image")
    if not (named_patient or same):
        if patients is not None and patients.isna().all():
            notes.append("patients are unknown and may be on both sides")
        return Groups(ids.astype(str), "groups", "; ".join(notes))
    return Groups(ids.astype(str), "patients", "; ".join(notes))


def _own_groups(table: pd.DataFrame) -> np.ndarray:
    # Cells of one image share its patient, whoever that is.
    names = []
    for row, image in enumerate(
        table["image"] if "image" in table.columns else [None] * len(table)
    ):
        names.append(f"image {image}" if isinstance(image, str) else f"row {row}")
    return np.asarray(names, dtype=str)


def folds(
    truth: np.ndarray,
    groups: Groups,
    *,
    split: str = "grouped",
    n_splits: int = 5,
    official: pd.Series | None = None,
    random_state: int = 0,
) -> Folds:
    """Divide the rows.

    Parameters
    ----------
    truth : (n_rows,) ndarray of str
        Labels.
    groups : Groups
        What must stay together.
    split : {"grouped", "image-random", "official"}
        ``"grouped"``: folds stratified by label that never divide a group. ``"image-random"``:
        stratified by label only. ``"official"``: as the column `official` says: ``train`` against
        ``test`` (or ``val`` when there is no ``test``), or, when it names folds, each in turn.
    n_splits : int
        Number of folds of the first two.
    official : Series, optional
        The column of the official split.
    random_state : int
        Seed.

    Returns
    -------
    Folds

    Raises
    ------
    CompareError
        Too few groups of a class, an unknown split, or an official one that cannot be used.
    """
    if split not in SPLITS:
        raise CompareError(f"no split {split!r}; there are: {', '.join(SPLITS)}")
    if split == "official":
        return _official(truth, groups, official)
    if n_splits < 2:
        raise CompareError(f"n_splits is the number of folds, at least 2; got {n_splits}")
    grouped = split == "grouped"
    ids = groups.ids if grouped else np.arange(len(truth)).astype(str)
    _enough(truth, ids, n_splits, groups.noun if grouped else "cells")
    pairs = _stratified(truth, ids, n_splits, random_state)
    if grouped:
        words = f"{n_splits} folds, stratified by label, {groups.n} {groups.noun}"
        if groups.n < len(truth) or groups.noun == "patients":
            words += " never on both sides"
        return Folds(pairs, _numbers(n_splits), False, split, words)
    shared = _shared(groups.ids, pairs)
    words = f"{n_splits} folds, stratified by label, cells drawn at random"
    if shared:
        words += f": LEAKY, {shared} of {groups.n} {groups.noun} are on both sides"
    return Folds(
        pairs, _numbers(n_splits), bool(shared), split + (" (leaky)" if shared else ""), words
    )


def _numbers(n: int) -> list[str]:
    return [str(i + 1) for i in range(n)]


def _enough(truth: np.ndarray, ids: np.ndarray, n_splits: int, noun: str) -> None:
    counts = pd.Series(ids).groupby(truth).nunique()
    rare = counts[counts < n_splits]
    if not len(rare):
        return
    listed = ", ".join(f"{name!r} ({count})" for name, count in rare.items())
    least = int(rare.min())
    change = "drop or merge these classes, or pass rare='drop'"
    if least >= 2:
        change = f"lower n_splits to {least}, or {change}"
    raise CompareError(
        f"{n_splits} folds need {n_splits} {noun} of every class; too few of {listed}: {change}"
    )


def _stratified(
    truth: np.ndarray, ids: np.ndarray, n_splits: int, random_state: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    # Where nothing needs to stay together the plain one balances the classes exactly.
    if len(np.unique(ids)) == len(ids):
        plain = StratifiedKFold(n_splits, shuffle=True, random_state=random_state)
        return list(plain.split(truth, truth))
    # The greedy assignment can leave a class out of a training part, or a fold empty, when
    # groups are few and large; another order of the groups then often does better.
    classes = set(truth)
    for attempt in range(20):
        splitter = StratifiedGroupKFold(n_splits, shuffle=True, random_state=random_state + attempt)
        pairs = list(splitter.split(truth, truth, ids))
        if all(len(test) and set(truth[train]) == classes for train, test in pairs):
            return pairs
    raise CompareError(
        f"the groups cannot be laid out in {n_splits} folds with every class in every training "
        "part: lower n_splits"
    )


def _shared(ids: np.ndarray, pairs: list[tuple[np.ndarray, np.ndarray]]) -> int:
    both: set[str] = set()
    for train, test in pairs:
        both |= set(ids[train]) & set(ids[test])
    return len(both)


def _official(truth: np.ndarray, groups: Groups, official: pd.Series | None) -> Folds:
    if official is None or official.isna().all():
        raise CompareError("split='official' needs a column 'split' with values; there are none")
    part = official.astype("string").str.strip().str.lower()
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
        given = part.notna().to_numpy()
        pairs = []
        for value in values:
            inside = (part == value).fillna(False).to_numpy(dtype=bool)
            pairs.append((np.flatnonzero(given & ~inside), np.flatnonzero(inside)))
        names = [str(value) for value in values]
        words_ = f"official folds, each of {len(values)} in turn"
    else:
        raise CompareError(f"the official split has one part only: {values}")
    for name, (fit, scored) in zip(names, pairs, strict=True):
        unseen = sorted(set(truth[scored]) - set(truth[fit]))
        if unseen:
            notes.append(f"part {name!r} holds classes that training has not: {', '.join(unseen)}")
    shared = _shared(groups.ids, pairs)
    if shared:
        words_ += f": LEAKY, {shared} of {groups.n} {groups.noun} are on both sides"
    else:
        words_ += f", {groups.n} {groups.noun}"
        if groups.n < len(truth) or groups.noun == "patients":
            words_ += " never on both sides"
    return Folds(
        pairs, names, bool(shared), "official" + (" (leaky)" if shared else ""), words_, notes
    )
