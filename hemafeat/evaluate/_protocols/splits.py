"""Which rows are trained on and which are scored, so that no group stands on both sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from hemafeat._public import public
from hemafeat.evaluate._fingerprint import row_digests


@public
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


@dataclass(frozen=True)
class Cells:
    """What a protocol may look at to divide the rows.

    Attributes
    ----------
    truth : (n_rows,) ndarray of str
        Labels.
    groups : Groups
        What must stay together.
    table, features : DataFrame
        The rows, and their features.
    n_splits, random_state : int
        Folds of the protocols that have folds, and the seed.
    options : mapping
        What the protocol was given besides.
    """

    truth: np.ndarray
    groups: Groups
    table: pd.DataFrame
    features: pd.DataFrame
    n_splits: int = 5
    random_state: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)


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


def grouped(cells: Cells) -> Folds:
    """Folds stratified by label that never divide a group."""
    n_splits, groups = _whole(cells.n_splits), cells.groups
    _enough(cells.truth, groups.ids, n_splits, groups.noun)
    pairs = _stratified(cells.truth, groups.ids, n_splits, cells.random_state)
    words = f"{n_splits} folds, stratified by label, {groups.n} {groups.noun}"
    if groups.n < len(cells.truth) or groups.noun == "patients":
        words += " never on both sides"
    return Folds(pairs, _numbers(n_splits), False, "grouped", words)


def by_copies(cells: Cells) -> Folds:
    """Folds that keep copies of an image together, and nothing else."""
    n_splits, ids = _whole(cells.n_splits), copies(cells)
    n_clusters = len(np.unique(ids))
    _enough(cells.truth, ids, n_splits, "different cells")
    pairs = _stratified(cells.truth, ids, n_splits, cells.random_state)
    words = (
        f"{n_splits} folds, stratified by label, {len(ids)} cells of {n_clusters} different images "
        "or clusters of copies, never on both sides"
    )
    return marked(Folds(pairs, _numbers(n_splits), False, "duplicates", words), cells.groups)


def image_random(cells: Cells) -> Folds:
    """Folds stratified by label that ignore groups."""
    n_splits = _whole(cells.n_splits)
    ids = np.arange(len(cells.truth)).astype(str)
    _enough(cells.truth, ids, n_splits, "cells")
    pairs = _stratified(cells.truth, ids, n_splits, cells.random_state)
    words = f"{n_splits} folds, stratified by label, cells drawn at random"
    return marked(Folds(pairs, _numbers(n_splits), False, "image-random", words), cells.groups)


def marked(plan: Folds, groups: Groups) -> Folds:
    """`plan` with its leak counted, in its name and its sentence, where there is one."""
    shared = on_both_sides(groups.ids, plan.pairs)
    if not (shared or plan.leaky):
        return plan
    words = f"{shared} of {groups.n} {groups.noun} are on both sides"
    if not shared:
        words = f"{groups.noun} are not looked at"
    return replace(
        plan,
        leaky=True,
        protocol=plan.protocol if "leaky" in plan.protocol else f"{plan.protocol} (leaky)",
        sentence=f"{plan.sentence}: LEAKY, {words}",
    )


def copies(cells: Cells) -> np.ndarray:
    """Cluster of each row: cells of one image, and of images with a cell of the same values.

    Two files of the same pixels give the same features to the last bit, and no two different
    cells do, so that files need not be there to be compared.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    nothing = np.full(len(cells.truth), "")
    digests = row_digests(cells.features, nothing, nothing)
    same, _ = pd.factorize(np.array(digests, dtype=object))
    # A row of nothing but NaN says nothing of what its image shows.
    unknown = cells.features.isna().all(axis=1).to_numpy()
    same[unknown] = len(same) + np.flatnonzero(unknown)
    _, image = np.unique(_own_groups(cells.table), return_inverse=True)
    n_images = int(image.max()) + 1
    size = n_images + int(same.max()) + 1
    links = coo_array((np.ones(len(same)), (image, n_images + same)), shape=(size, size))
    _, found = connected_components(links, directed=False)
    return np.char.add("cluster ", found[image].astype(str))


def _whole(n_splits: int) -> int:
    if n_splits < 2:
        raise CompareError(f"n_splits is the number of folds, at least 2; got {n_splits}")
    return n_splits


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


def on_both_sides(ids: np.ndarray, pairs: list[tuple[np.ndarray, np.ndarray]]) -> int:
    """How many groups have rows on both sides of a pair."""
    both: set[str] = set()
    for train, test in pairs:
        both |= set(ids[train]) & set(ids[test])
    return len(both)
