"""Leak probes: how well what is not the cell tells what the cell is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hemafeat import datasets
from hemafeat._files import write_table
from hemafeat._public import public
from hemafeat.evaluate._fit import Progress
from hemafeat.evaluate._probes.features import Probe, probes
from hemafeat.evaluate._protocols.splits import Cells, CompareError, Groups, group_ids, grouped
from hemafeat.evaluate._scores import draw, from_confusion, interval

NOTHING, EVERYTHING = "majority class", "all of these together"

_ALPHA = 0.05

_TWICE = np.sqrt(2)
"""Two cells of different folds are compared twice, each once in training and once in the test; when
only test labels are dealt anew these are two independent chances. That takes half of the variance
away, at most."""

_SLIGHT, _STRONG = 0.1, 0.5
_NAMES = (
    "probe",
    "kind",
    "level",
    "n",
    "n_groups",
    "value",
    "low",
    "high",
    "chance",
    "chance_high",
    "p",
    "p_holm",
    "severity",
    "message",
)


@public
@dataclass(repr=False)
class Probes:
    """What leak probes found; print it to read it.

    Attributes
    ----------
    results : DataFrame
        One row per probe, the most telling first, then all together and the majority class:
        ``probe, kind, level`` (``image`` or ``patient``: what was scored), ``n, n_groups, value``
        (balanced accuracy on held-out groups), ``low, high`` (95 % interval, groups resampled),
        ``chance, chance_high`` (mean and 97.5th percentile with labels dealt anew), ``p, p_holm``
        (plain, and corrected for the number of probes), ``severity`` (``severe``, ``warning``,
        ``note``, or empty) and ``message``.
    protocol : str
        One sentence: how it was done.
    left_out : list of str
        Classes with too few groups.
    """

    results: pd.DataFrame
    protocol: str
    left_out: list[str]

    @property
    def severe(self) -> pd.DataFrame:
        """The probes that alone tell half or more of what there is to be told."""
        rows = self.results
        return rows[(rows["severity"] == "severe") & (rows["kind"] != "all")]

    def frame(self) -> pd.DataFrame:
        """The results, as a table of their own."""
        return self.results.copy()

    def save(self, folder: str | os.PathLike[str], *, suffix: str = ".csv") -> Path:
        """Write ``leak_probes.csv`` (or ``.parquet``) into `folder`."""
        if suffix not in (".csv", ".parquet"):
            raise ValueError(f"suffix is {suffix!r}, expected '.csv' or '.parquet'")
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        write_table(self.results, place / f"leak_probes{suffix}")
        return place

    def __repr__(self) -> str:
        lines = [f"Leak probes. {self.protocol}"]
        width = max((len(name) for name in self.results["probe"]), default=0)
        for row in self.results.itertuples(index=False):
            score = f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]"
            lines.append(
                f"  {row.probe:<{width}}  {score}  chance {row.chance:.3f}  {row.severity}".rstrip()
            )
        return "\n".join(lines)


def leak_probes(
    images: Any,
    *,
    label: str = "label",
    groups: str | None = "group",
    n_splits: int = 5,
    n_boot: int = 1000,
    n_permutations: int = 1000,
    n_jobs: int | None = None,
    random_state: int = 0,
    progress: bool | Progress | None = None,
) -> Probes:
    r"""Try to tell the label from everything but the cell.

    Parameters
    ----------
    images : Audit, DataFrame, path
        An audit, whose look at the images is used again, or an image table, or what
        `hemafeat.datasets.as_table` makes one of. Its attributes are the metadata.
    label : str
        Column of the labels. Rows without one are left out.
    groups : str or None
        Column of what must not be on both sides; see `compare`.
    n_splits : int
        Folds, fewer where the rarest class has fewer groups. Classes of one group are left out.
    n_boot, n_permutations : int
        Resamples of groups for the intervals, and assignments of labels for chance.
    n_jobs : int, optional
        Threads that read images.
    random_state : int
        Seed of folds, models, resamples and permutations.
    progress : bool or callable, optional
        Of the reading, as for `hemafeat.datasets.audit`.

    Returns
    -------
    Probes

    Raises
    ------
    CompareError
        No labels, or not two classes with two groups each.

    Notes
    -----
    Probes are: words, numbers, length and alphabetical order of the file name (without folders);
    size and format of the file; width and height; colour and brightness of the background; number
    of images of the patient; and of every attribute its value, whether it is missing, and, for
    dates and words in several spellings, how it is written. Each goes through a decision tree with
    balanced class weights on the folds of the protocol ``"grouped"`` that `compare` has by default.

    Where every patient has one label, what is known of patients (bag size, attributes that are the
    same in all images of each) is scored with one row per patient.

    Chance is what the same predictions score when the labels of the test rows are dealt out
    anew within their fold, whole groups at a time where each has one label, its spread widened
    by :math:`\sqrt{2}` for cells that are trained on in one fold and tested in another. A probe
    is marked where the p value, corrected over the probes by Holm's method, is at most .05 and
    the interval lies above chance: ``severe`` where :math:`(value - chance) / (1 - chance)` is
    at least .5, ``warning`` from .1, ``note`` below. A probe that tells something is not always
    a leak: the message says where the cell itself may be what is seen.

    Examples
    --------
    >>> from hemafeat import datasets, evaluate
    >>> found = evaluate.leak_probes(datasets.audit("cells"))  # doctest: +SKIP
    >>> print(found)  # doctest: +SKIP
    """
    if isinstance(images, datasets.Audit):
        table, seen = images.table, images.images
    else:
        table = datasets.as_table(images)
        seen = datasets.survey(table, n_jobs=n_jobs, progress=progress)
    if label not in table.columns:
        raise CompareError(f"the table has no column {label!r}")
    order = np.argsort(seen["image"].to_numpy(dtype=str), kind="stable")
    table, seen = table.iloc[order].reset_index(drop=True), seen.iloc[order].reset_index(drop=True)
    found = probes(table, seen, label)
    known = table[label].notna().to_numpy()
    if not known.any():
        raise CompareError(f"no row has a value in column {label!r}: nothing can be told")
    which = group_ids(table, groups)
    by_image = _Level(table[label][known].astype(str).to_numpy(dtype=object).astype(str),
                      which.ids[known], known, "image")  # fmt: skip
    left_out, by_image = by_image.common()
    plan = by_image.folds(which, n_splits, random_state)
    by_patient = _patients(table, label, by_image, n_splits, random_state)
    rows = []
    for probe in found:
        level = by_image
        if by_patient is not None and by_patient.constant(probe.inputs):
            level = by_patient
        rows.append(_scored(probe, level, n_boot, n_permutations, random_state))
    images_only = [p.inputs.add_prefix(f"{p.name}: ") for p in found]
    if images_only:
        everything = Probe(EVERYTHING, "all", pd.concat(images_only, axis=1))
        rows.append(_scored(everything, by_image, n_boot, n_permutations, random_state))
    results = _judged(rows, by_image)
    return Probes(results, plan + ("" if not left_out else f" Left out: {', '.join(left_out)}."),
                  left_out)  # fmt: skip


class _Level:
    """Rows to score, and their folds: images, or one row per patient."""

    def __init__(self, truth: np.ndarray, ids: np.ndarray, known: np.ndarray, name: str) -> None:
        self.truth, self.ids, self.name = truth, ids, name
        self.rows = np.flatnonzero(known)
        self.pairs: list[tuple[np.ndarray, np.ndarray]] = []
        self.member = np.arange(len(truth))

    def common(self) -> tuple[list[str], _Level]:
        counts = pd.Series(self.ids).groupby(self.truth).nunique()
        rare = counts[counts < 2]
        keep = ~np.isin(self.truth, rare.index.to_numpy(dtype=str))
        if len(counts) - len(rare) < 2:
            raise CompareError(
                "fewer than two classes with two groups each: "
                + (", ".join(f"{name!r} ({n})" for name, n in counts.items()) or "no label at all")
            )
        known = np.zeros(self.rows.max() + 1, dtype=bool)
        known[self.rows[keep]] = True
        words = [f"{name} ({n} group)" for name, n in rare.items()]
        return words, _Level(self.truth[keep], self.ids[keep], known, self.name)

    def folds(self, which: Groups, n_splits: int, random_state: int) -> str:
        """Divide the rows; one sentence that says how."""
        least = int(pd.Series(self.ids).groupby(self.truth).nunique().min())
        empty = pd.DataFrame(index=range(len(self.truth)))
        groups = Groups(self.ids, which.noun, which.note)
        for n in range(min(n_splits, least), 1, -1):
            try:
                plan = grouped(Cells(self.truth, groups, empty, empty, n, random_state))
            except CompareError:
                if n == 2:
                    raise
                continue
            break
        self.pairs = plan.pairs
        note = f"; {which.note}" if which.note else ""
        return f"Balanced accuracy of decision trees: {plan.sentence}{note}."

    def constant(self, inputs: pd.DataFrame) -> bool:
        """Whether `inputs` are the same in all images of every patient."""
        codes = pd.DataFrame(
            {k: pd.factorize(values, use_na_sentinel=False)[0] for k, values in inputs.items()}
        )
        whole = codes.iloc[self.every].groupby(self.of_every).nunique()
        return bool((whole <= 1).to_numpy().all())

    every: np.ndarray
    of_every: np.ndarray


def _patients(
    table: pd.DataFrame, label: str, images: _Level, n_splits: int, random_state: int
) -> _Level | None:
    """One row per patient, where patients are known and each has one label."""
    patient = table["patient"].iloc[images.rows]
    if patient.isna().any() or patient.nunique() == len(patient):
        return None
    names = patient.to_numpy(dtype=object).astype(str)
    labels = pd.Series(images.truth).groupby(names).nunique()
    groups = pd.Series(images.ids).groupby(names).nunique()
    if (labels > 1).any() or (groups > 1).any():
        return None
    _, first = np.unique(names, return_index=True)
    level = _Level(images.truth[first], images.ids[first], np.zeros(1, dtype=bool), "patient")
    level.rows = images.rows[first]
    level.every, level.of_every = images.rows, names
    if pd.Series(level.ids).groupby(level.truth).nunique().min() < 2:
        return None
    try:
        level.folds(Groups(level.ids, "patients", ""), n_splits, random_state)
    except CompareError:
        return None
    return level


def _scored(
    probe: Probe, level: _Level, n_boot: int, n_permutations: int, random_state: int
) -> dict[str, Any]:
    from sklearn.tree import DecisionTreeClassifier

    classes, truth = np.unique(level.truth, return_inverse=True)
    inputs = probe.inputs.iloc[level.rows].to_numpy(dtype=np.float64)
    called = np.full(len(truth), -1)
    fold = np.zeros(len(truth), dtype=int)
    for number, (train, test) in enumerate(level.pairs):
        tree = DecisionTreeClassifier(
            min_samples_leaf=int(np.clip(len(train) // 100, 2, 20)),
            max_leaf_nodes=32,
            class_weight="balanced",
            random_state=random_state,
        )
        # Trees of older scikit-learn split NaN less well than a value of its own.
        filled = np.where(np.isnan(inputs), -1e9, inputs)
        called[test] = tree.fit(filled[train], truth[train]).predict(filled[test])
        fold[test] = number
    k = len(classes)
    value = _balanced(truth, called, k)
    counts, member = draw(level.ids, n_boot, random_state)
    by_group = np.zeros((counts.shape[1], k * k))
    np.add.at(by_group, (member, truth * k + called), 1.0)
    tables = (counts.astype(np.float64) @ by_group).reshape(-1, k, k)
    low, high = interval(from_confusion(tables)["balanced_accuracy"])
    luck = _by_luck(truth, called, fold, member, k, n_permutations, random_state)
    return {
        "probe": probe.name,
        "kind": probe.kind,
        "level": level.name,
        "n": len(truth),
        "n_groups": counts.shape[1],
        "value": value,
        "low": low,
        "high": high,
        "chance": float(luck.mean()),
        "chance_high": float(np.quantile(luck, 0.975)),
        "p": float((1 + (luck >= value - 1e-12).sum()) / (1 + len(luck))),
        "may": probe.may,
    }


def _balanced(truth: np.ndarray, called: np.ndarray, k: int) -> float:
    counts = np.bincount(truth * k + called, minlength=k * k).reshape(1, k, k)
    return float(from_confusion(counts.astype(float))["balanced_accuracy"][0])


def _by_luck(
    truth: np.ndarray,
    called: np.ndarray,
    fold: np.ndarray,
    member: np.ndarray,
    k: int,
    n: int,
    random_state: int,
) -> np.ndarray:
    """Balanced accuracy when labels are dealt out anew within folds: (n,)."""
    rng = np.random.default_rng(random_state)
    units = pd.DataFrame({"group": member, "label": truth}).drop_duplicates()
    whole = len(units) == member.max() + 1
    place = member if whole else np.arange(len(truth))
    of_unit = np.zeros(place.max() + 1, dtype=int)
    fold_of = of_unit.copy()
    of_unit[place], fold_of[place] = truth, fold
    parts = [np.flatnonzero(fold_of == number) for number in np.unique(fold_of)]
    found = np.empty(n)
    for turn in range(n):
        dealt = of_unit.copy()
        for part in parts:
            dealt[part] = rng.permutation(of_unit[part])
        found[turn] = _balanced(dealt[place], called, k)
    return found.mean() + _TWICE * (found - found.mean())


def _judged(rows: list[dict[str, Any]], images: _Level) -> pd.DataFrame:
    alone = sorted(
        (row for row in rows if row["probe"] != EVERYTHING), key=lambda r: (-r["value"], r["probe"])
    )
    # Holm (1979): the k-th smallest of m is multiplied by m - k + 1, and none falls below another.
    worst = 0.0
    for k, row in enumerate(sorted(rows, key=lambda row: row["p"])):
        worst = row["p_holm"] = min(1.0, max(worst, row["p"] * (len(rows) - k)))
    together = [row for row in rows if row["probe"] == EVERYTHING]
    for row in [*alone, *together]:
        gain = (row["value"] - row["chance"]) / (1 - row["chance"])
        told = row["p_holm"] <= _ALPHA and row["low"] > row["chance"]
        severity = "severe" if gain >= _STRONG else "warning" if gain >= _SLIGHT else "note"
        row["severity"] = severity if told else ""
        row["message"] = _said(row)
    k = len(np.unique(images.truth))
    share = dict.fromkeys(("value", "low", "high", "chance", "chance_high"), 1 / k)
    nothing = {"probe": NOTHING, "kind": "baseline", "level": "image", "n": len(images.truth)}
    nothing |= {"n_groups": len(np.unique(images.ids)), "p": 1.0, "p_holm": 1.0, **share}
    nothing |= {"severity": "", "message": "always the same answer"}
    frame = pd.DataFrame([*alone, *together, nothing], columns=list(_NAMES))
    return frame.astype({"n": np.int64, "n_groups": np.int64})


def _said(row: dict[str, Any]) -> str:
    score = f"balanced accuracy {row['value']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
    luck = f"by chance {row['chance']:.3f}"
    if not row["severity"]:
        return f"{row['probe']} alone does not tell the label: {score}, {luck}"
    little = "a little of " if row["severity"] == "note" else ""
    alone = "" if row["probe"] == EVERYTHING else " alone"
    verb = "tell" if row["probe"] == EVERYTHING else "tells"
    said = (
        f"{row['probe']}{alone} {verb} {little}the label: {score}, {luck}, p = {row['p_holm']:.3f}"
    )
    return said + (f"; but {row['may']}" if row["may"] else "")
