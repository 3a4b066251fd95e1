"""Division of rows into folds, with the groups that a division must respect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from hemafeat.evaluate._rows import CompareError, file_digests, row_digests


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups of rows that must stay together.

    Attributes
    ----------
    ids : (n_rows,) ndarray of str
        Group of each row.
    noun : str
        Name of the groups in the plural: ``"patients"``, ``"groups"``, ``"images"``.
    note : str
        What is not known about the groups; empty if all is.
    """

    ids: np.ndarray
    noun: str
    note: str

    @property
    def n(self) -> int:
        """Number of groups."""
        return len(np.unique(self.ids))


@dataclass(frozen=True, slots=True)
class Folds:
    """Rows to train on, to validate on and to score.

    Attributes
    ----------
    pairs : list of (train, test)
        Arrays of row numbers.
    names : list of str
        Name of each fold.
    leaky : bool
        Whether rows of one group are in both parts.
    protocol : str
        Short name for tables: ``"grouped"``, ``"image-random (leaky)"`` ...
    sentence : str
        Description in plain words.
    notes : list of str
        Remarks, such as rows that are not used.
    validation : list of ndarray
        Row numbers of the validation part of each fold, on which models stop or are selected, and
        are never trained. Empty if the protocol has no such part.
    """

    pairs: list[tuple[np.ndarray, np.ndarray]]
    names: list[str]
    leaky: bool
    protocol: str
    sentence: str
    notes: list[str] = field(default_factory=list)
    validation: list[np.ndarray] = field(default_factory=list)

    def parts(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Return the rows to train on, to validate on (or none) and to score, fold by fold."""
        none = [np.empty(0, dtype=int)] * len(self.pairs)
        return [
            (train, valid, test)
            for (train, test), valid in zip(self.pairs, self.validation or none, strict=True)
        ]


@dataclass(frozen=True)
class Sample:
    """Rows to be divided, and all that a protocol may look at to divide them.

    Attributes
    ----------
    truth : (n_rows,) ndarray of str
        Labels.
    groups : Groups
        Rows that must stay together.
    table, features : DataFrame
        The rows, and their features.
    n_splits, random_state : int
        Number of folds of the protocols that have folds, and the seed.
    options : mapping
        Options of the protocol.
    noun : str, default="cells"
        Name of the rows in the plural, for sentences.
    """

    truth: np.ndarray
    groups: Groups
    table: pd.DataFrame
    features: pd.DataFrame
    n_splits: int = 5
    random_state: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    noun: str = "cells"


def group_ids(table: pd.DataFrame, groups: str | None) -> Groups:
    """Return the group of every row: the value of a column, or the image if it is empty.

    Parameters
    ----------
    table : DataFrame
        One row per cell.
    groups : str or None
        Name of the column. With None, or a column that is missing or empty, every image is a
        group, and the note says that patients are unknown.

    Returns
    -------
    Groups
    """
    images = _image_groups(table)
    noun = "images" if "image" in table.columns else "rows"
    if groups is None or groups not in table.columns or table[groups].isna().all():
        return Groups(images, noun, "patients are unknown and may be on both sides")
    column = table[groups]
    filled = column.notna().to_numpy()
    names = column.astype("string").fillna("").to_numpy(dtype=object)
    ids = np.where(filled, "group " + names, images)
    patients = table["patient"] if "patient" in table.columns else None
    are_patients = groups == "patient" or (
        patients is not None
        and patients.notna().all()
        and (patients.astype("string") == column.astype("string")).fillna(False).all()
    )
    notes = []
    if not filled.all():
        notes.append(f"{int((~filled).sum())} cells of unknown group stand alone, image by image")
    if not are_patients and patients is not None and patients.isna().all():
        notes.append("patients are unknown and may be on both sides")
    return Groups(ids.astype(str), "patients" if are_patients else "groups", "; ".join(notes))


def _image_groups(table: pd.DataFrame) -> np.ndarray:
    """Group rows by image: cells of one image are of one patient, known or not."""
    images = table["image"] if "image" in table.columns else [None] * len(table)
    names = [
        f"image {image}" if isinstance(image, str) else f"row {row}"
        for row, image in enumerate(images)
    ]
    return np.asarray(names, dtype=str)


def grouped(sample: Sample) -> Folds:
    """Make folds stratified by label that never divide a group."""
    n_splits, groups = _checked_n_splits(sample), sample.groups
    _check_groups_per_class(sample.truth, groups.ids, n_splits, groups.noun)
    pairs = _stratified_folds(sample.truth, groups.ids, n_splits, sample.random_state)
    sentence = f"{n_splits} folds, stratified by label" + undivided(sample)
    return Folds(pairs, _fold_names(n_splits), False, "grouped", sentence)


def by_copies(sample: Sample) -> Folds:
    """Make folds that keep copies of an image together, and nothing else."""
    n_splits, ids = _checked_n_splits(sample), copy_clusters(sample)
    n_clusters = len(np.unique(ids))
    _check_groups_per_class(sample.truth, ids, n_splits, f"different {sample.noun}")
    pairs = _stratified_folds(sample.truth, ids, n_splits, sample.random_state)
    sentence = (
        f"{n_splits} folds, stratified by label, {len(ids)} {sample.noun} of {n_clusters} "
        "different images or clusters of copies, never on both sides"
    )
    plan = Folds(pairs, _fold_names(n_splits), False, "duplicates", sentence)
    return mark_leak(plan, sample.groups)


def image_random(sample: Sample) -> Folds:
    """Make folds stratified by label that ignore groups."""
    n_splits = _checked_n_splits(sample)
    ids = np.arange(len(sample.truth)).astype(str)
    _check_groups_per_class(sample.truth, ids, n_splits, sample.noun)
    pairs = _stratified_folds(sample.truth, ids, n_splits, sample.random_state)
    sentence = f"{n_splits} folds, stratified by label, {sample.noun} drawn at random"
    plan = Folds(pairs, _fold_names(n_splits), False, "image-random", sentence)
    return mark_leak(plan, sample.groups)


def undivided(sample: Sample) -> str:
    """Return the end of a sentence that counts the groups of a plan without a leak."""
    groups = sample.groups
    text = f", {groups.n} {groups.noun}"
    if groups.n < len(sample.truth) or groups.noun == "patients":
        text += " never on both sides"
    return text


def mark_leak(plan: Folds, groups: Groups) -> Folds:
    """Return a plan whose name and sentence say how many groups are on both sides, if any are.

    Models see the validation part as well as the training part. Groups that these two share are
    noted: they only flatter the scores of validation.
    """
    parts = plan.parts()
    shared = _count_shared(groups.ids, [(np.r_[t, v], test) for t, v, test in parts])
    validated = _count_shared(groups.ids, [(train, valid) for train, valid, _ in parts])
    if validated:
        note = f"{validated} {groups.noun} are in the training and in the validation part"
        plan = replace(plan, notes=[*plan.notes, note])
    if not (shared or plan.leaky):
        return plan
    text = f"{shared} of {groups.n} {groups.noun} are on both sides"
    if not shared:
        text = f"{groups.noun} are not looked at"
    return replace(
        plan,
        leaky=True,
        protocol=plan.protocol if "leaky" in plan.protocol else f"{plan.protocol} (leaky)",
        sentence=f"{plan.sentence}: LEAKY, {text}",
    )


def capped(plan: Folds, sample: Sample) -> Folds:
    """Return a plan with no more rows than the options ``n_train`` and ``max_per_class`` allow.

    Training rows are drawn at random, stratified by label and with one row of each class at least,
    and so are the rows that are scored, class by class. Validation parts stay whole.
    """
    n_train, most = (sample.options.get(name) for name in ("n_train", "max_per_class"))
    n_classes = len(set(sample.truth))
    if n_train is not None and n_train < n_classes:
        raise CompareError(f"n_train={n_train}: at least one of each of {n_classes} classes")
    if most is not None and most < 1:
        raise CompareError(f"max_per_class={most}: at least 1")
    pairs, texts = [], []
    for number, (train, test) in enumerate(plan.pairs):
        if n_train is not None and n_train < len(train):
            rng = np.random.default_rng((sample.random_state, number))
            train = np.sort(stratified_order(sample.truth, train, rng)[:n_train])
        if most is not None:
            rng = np.random.default_rng((sample.random_state, number, 1))
            shuffled = pd.Series(rng.permutation(test))
            place = shuffled.groupby(sample.truth[shuffled]).cumcount()
            test = np.sort(shuffled[place < most].to_numpy())
        pairs.append((train, test))
    for (before, _), (after, _) in zip(plan.pairs, pairs, strict=True):
        if len(after) < len(before):
            texts.append(f"of those to train {n_train} drawn, stratified by label")
    if sum(len(test) for _, test in pairs) < sum(len(test) for _, test in plan.pairs):
        texts.append(f"of those to score at most {most} of each class drawn")
    sentence = ", ".join([plan.sentence, *dict.fromkeys(texts)])
    return replace(plan, pairs=pairs, sentence=sentence)


def stratified_order(truth: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return rows in a random order of which every beginning has the class shares of the whole.

    One row of each class comes first.
    """
    shuffled = rng.permutation(rows)
    labels = pd.Series(truth[shuffled])
    number = labels.groupby(labels).cumcount().to_numpy()
    count = labels.groupby(labels).transform("size").to_numpy()
    key = np.where(number == 0, -1.0, (number + 0.5) / count)
    ordered: np.ndarray = shuffled[np.argsort(key, kind="stable")]
    return ordered


def copy_clusters(sample: Sample) -> np.ndarray:
    """Cluster rows by image, joining images that hold a cell with the same values.

    Two files with the same pixels give the same features to the last bit, and no two different
    cells do, so that copies are recognised without reading the files. Only without any features
    the files are compared.

    Returns
    -------
    (n_rows,) ndarray of str
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if sample.features.shape[1]:
        empty = np.full(len(sample.truth), "")
        digests = row_digests(sample.features, empty, empty)
        # A row that holds nothing but NaN cannot be recognised as a copy.
        is_empty = sample.features.isna().all(axis=1).to_numpy()
    else:
        digests = file_digests(sample.table)
        is_empty = np.array([not digest for digest in digests])
    code, _ = pd.factorize(np.array(digests, dtype=object))
    code[is_empty] = len(code) + np.flatnonzero(is_empty)
    _, image = np.unique(_image_groups(sample.table), return_inverse=True)
    n_images = int(image.max()) + 1
    size = n_images + int(code.max()) + 1
    links = coo_array((np.ones(len(code)), (image, n_images + code)), shape=(size, size))
    _, cluster = connected_components(links, directed=False)
    return np.char.add("cluster ", cluster[image].astype(str))


def _checked_n_splits(sample: Sample) -> int:
    if sample.n_splits < 2:
        raise CompareError(f"n_splits is the number of folds, at least 2; it is {sample.n_splits}")
    return sample.n_splits


def _fold_names(n: int) -> list[str]:
    return [str(i + 1) for i in range(n)]


def _check_groups_per_class(truth: np.ndarray, ids: np.ndarray, n_splits: int, noun: str) -> None:
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


def _stratified_folds(
    truth: np.ndarray, ids: np.ndarray, n_splits: int, random_state: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Divide rows into folds with equal shares of the classes that keep groups together.

    Raises
    ------
    CompareError
        If no division has every class in every training part.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    # Without groups, the plain splitter balances the classes exactly.
    if len(np.unique(ids)) == len(ids):
        plain = StratifiedKFold(n_splits, shuffle=True, random_state=random_state)
        return list(plain.split(truth, truth))
    # With few and large groups, the greedy assignment can leave a class out of a training part, or
    # a fold empty; another order of the groups then often does better.
    classes = set(truth)
    for attempt in range(20):
        splitter = StratifiedGroupKFold(n_splits, shuffle=True, random_state=random_state + attempt)
        pairs = list(splitter.split(truth, truth, ids))
        if all(len(test) and set(truth[train]) == classes for train, test in pairs):
            return pairs
    raise CompareError(
        f"the groups cannot be divided into {n_splits} folds with every class in every training "
        "part: lower n_splits"
    )


def _count_shared(ids: np.ndarray, pairs: list[tuple[np.ndarray, np.ndarray]]) -> int:
    """Count the groups with rows on both sides of a pair."""
    shared: set[str] = set()
    for train, test in pairs:
        shared |= set(ids[train]) & set(ids[test])
    return len(shared)
