"""Scores of leak probes, with intervals and the range of chance."""

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
from hemafeat._resample import draw, interval
from hemafeat._words import no_column
from hemafeat.evaluate._fit import Progress
from hemafeat.evaluate._probes.features import Probe, probes
from hemafeat.evaluate._protocols.splits import Groups, Sample, group_ids, grouped
from hemafeat.evaluate._rows import CompareError
from hemafeat.evaluate._scores import from_confusion

NOTHING, EVERYTHING = "majority class", "all of these together"

_ALPHA = 0.05

_WIDENING = np.sqrt(2)
"""Factor on the spread of chance. Two cells of different folds are compared twice, each once in
training and once in the test; permuting test labels alone makes these independent, and so halves
the variance at most."""

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
    """Scores of leak probes; print it to read them.

    Attributes
    ----------
    results : DataFrame
        One row per probe, the most predictive first, then all together and the majority class:
        ``probe, kind, level`` (``image`` or ``patient``: what a row scored is), ``n, n_groups,
        value`` (balanced accuracy on held-out groups), ``low, high`` (95 % interval, groups
        resampled), ``chance, chance_high`` (mean and 97.5th percentile with permuted labels),
        ``p, p_holm`` (plain, and corrected for the number of probes), ``severity`` (``severe``,
        ``warning``, ``note``, or empty) and ``message``.
    protocol : str
        Description of the probes in one sentence.
    left_out : list of str
        Classes with too few groups.
    """

    results: pd.DataFrame
    protocol: str
    left_out: list[str]

    @property
    def findings(self) -> pd.DataFrame:
        """Probes that predict the label; all together only if they say more than any alone."""
        rows = self.results[self.results["severity"] != ""]
        order = ["severe", "warning", "note"]
        alone = rows.loc[rows["kind"] != "all", "severity"].map(order.index)
        more = rows["severity"].map(order.index) < (alone.min() if len(alone) else len(order))
        return rows[(rows["kind"] != "all") | more]

    @property
    def severe(self) -> pd.DataFrame:
        """Findings that predict the label half as well as a perfect probe, or better."""
        return self.findings[self.findings["severity"] == "severe"]

    def frame(self) -> pd.DataFrame:
        """Return a copy of the results."""
        return self.results.copy()

    def save(self, folder: str | os.PathLike[str], *, suffix: str = ".csv") -> Path:
        """Write ``leak_probes.csv`` (or ``.parquet``) into a folder.

        Parameters
        ----------
        folder : path
            Folder, created if it is missing.
        suffix : {".csv", ".parquet"}, default=".csv"
            Format of the table.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        ValueError
            For any other suffix.
        """
        if suffix not in (".csv", ".parquet"):
            raise ValueError(f"suffix is {suffix!r}, expected '.csv' or '.parquet'")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_table(self.results, folder / f"leak_probes{suffix}")
        return folder

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
    r"""Predict the label from everything but the cell.

    Parameters
    ----------
    images : Audit, DataFrame, path
        An audit, whose survey of the images is reused; or an image table, or anything that
        `hemafeat.datasets.as_table` turns into one. Its attributes are probes as well.
    label : str, default="label"
        Column of the labels. Rows without a label are left out.
    groups : str or None, default="group"
        Column of the groups that must not be divided, as in `compare`.
    n_splits : int, default=5
        Number of folds; fewer if the rarest class has fewer groups. Classes of one group are left
        out.
    n_boot, n_permutations : int, default=1000
        Number of resamples of groups for the intervals, and of permutations of labels for the range
        of chance.
    n_jobs : int, optional
        Number of threads that read images. By default all processors.
    random_state : int, default=0
        Seed of folds, models, resamples and permutations.
    progress : bool or callable, optional
        Progress of reading, as in `hemafeat.datasets.audit`.

    Returns
    -------
    Probes

    Raises
    ------
    CompareError
        If there are no labels, or fewer than two classes with two groups each.

    Notes
    -----
    Probes are: words, numbers, length and alphabetical order of the file name (without folders);
    size and format of the file; width and height; colour and brightness of the background; number
    of images of the patient; and of every attribute its value, whether it is missing, and, for
    dates and words in several spellings, its format. Each is given to a decision tree with balanced
    class weights on the folds of the protocol ``"grouped"``, the default of `compare`.

    If every patient has one label, probes that are constant in each patient (bag size, attributes
    of the patient) are scored with one row per patient.

    The range of chance is the score of the same predictions with the labels of the test rows
    permuted within their fold, whole groups at a time if each has one label. Its spread is widened
    by :math:`\sqrt{2}` for cells that are trained on in one fold and tested in another. A probe is
    marked if its p value, corrected over the probes by Holm's method, is at most .05 and its
    interval lies above chance: ``severe`` if :math:`(value - chance) / (1 - chance)` is at least
    .5, ``warning`` from .1, ``note`` below. File names are a ``note`` at most, because no model
    reads them, and they are left out of the probe of everything together. A predictive probe is not
    always a leak: the message says if it can depend on the cell itself.

    Examples
    --------
    The hospital of an image gives its label away:

    >>> from hemafeat import datasets, evaluate
    >>> table = datasets.drawn("cells", 20, kinds=["lymphocyte", "monocyte"], progress=False)
    >>> table["hospital"] = table["label"].map({"lymphocyte": "A", "monocyte": "B"})
    >>> probes = evaluate.leak_probes(
    ...     table, groups="image", n_splits=2, n_boot=20, n_permutations=500, progress=False
    ... )
    >>> probes.severe["probe"].tolist()
    ['hospital']
    """
    if isinstance(images, datasets.Audit):
        table, surveyed = images.table, images.images
    else:
        table = datasets.as_table(images)
        surveyed = datasets.survey(table, n_jobs=n_jobs, progress=progress)
    if label not in table.columns:
        raise CompareError(no_column(label, table.columns))
    order = np.argsort(surveyed["image"].to_numpy(dtype=str), kind="stable")
    table, surveyed = (frame.iloc[order].reset_index(drop=True) for frame in (table, surveyed))
    has_label = table[label].notna().to_numpy()
    if not has_label.any():
        raise CompareError(
            f"no row has a value in column {label!r}, so there is nothing to predict"
        )
    image_groups = group_ids(table, groups)
    truth = table[label][has_label].astype(str).to_numpy(dtype=object).astype(str)
    all_images = _Level("image", truth, image_groups.ids[has_label], np.flatnonzero(has_label))
    left_out, by_image = all_images.without_rare_classes()
    protocol = by_image.divide(image_groups, n_splits, random_state)
    by_patient = _patient_level(table, by_image, n_splits, random_state)
    candidates = probes(table, surveyed, label)
    rows = []
    for probe in candidates:
        is_constant = by_patient is not None and by_patient.constant(probe.inputs)
        level = by_patient if by_patient is not None and is_constant else by_image
        rows.append(_score(probe, level, n_boot, n_permutations, random_state))
    readable = [probe for probe in candidates if not probe.of_name]
    if readable:
        inputs = pd.concat([p.inputs.add_prefix(f"{p.name}: ") for p in readable], axis=1)
        everything = Probe(EVERYTHING, "all", inputs)
        rows.append(_score(everything, by_image, n_boot, n_permutations, random_state))
    if left_out:
        protocol += f" Left out: {', '.join(left_out)}."
    return Probes(_results(rows, by_image), protocol, left_out)


class _Level:
    """Rows that are scored together, images or one row per patient, and their folds.

    Parameters
    ----------
    name : {"image", "patient"}
        What a row is.
    truth, ids : (n,) ndarray of str
        Label and group of each row.
    rows : (n,) ndarray of int
        Row of the image table that stands for each.
    images, patients : ndarray, optional
        Rows of all images of the patients, and the patient of each.
    """

    def __init__(
        self,
        name: str,
        truth: np.ndarray,
        ids: np.ndarray,
        rows: np.ndarray,
        images: np.ndarray | None = None,
        patients: np.ndarray | None = None,
    ) -> None:
        self.name, self.truth, self.ids, self.rows = name, truth, ids, rows
        self.images, self.patients = images, patients
        self.pairs: list[tuple[np.ndarray, np.ndarray]] = []

    def without_rare_classes(self) -> tuple[list[str], _Level]:
        """Return the classes of a single group, and the level without them.

        Raises
        ------
        CompareError
            If fewer than two classes are left.
        """
        counts = pd.Series(self.ids).groupby(self.truth).nunique()
        rare = counts[counts < 2]
        keep = ~np.isin(self.truth, rare.index.to_numpy(dtype=str))
        if len(counts) - len(rare) < 2:
            raise CompareError(
                "fewer than two classes with two groups each: "
                + (
                    ", ".join(f"{name!r} ({n})" for name, n in counts.items())
                    or "there is no label"
                )
            )
        left_out = [f"{name} ({n} group)" for name, n in rare.items()]
        return left_out, _Level(self.name, self.truth[keep], self.ids[keep], self.rows[keep])

    def divide(self, groups: Groups, n_splits: int, random_state: int) -> str:
        """Divide the rows into folds and describe them in one sentence."""
        least = int(pd.Series(self.ids).groupby(self.truth).nunique().min())
        empty = pd.DataFrame(index=range(len(self.truth)))
        own_groups = Groups(self.ids, groups.noun, groups.note)
        for n in range(min(n_splits, least), 1, -1):
            try:
                plan = grouped(Sample(self.truth, own_groups, empty, empty, n, random_state))
            except CompareError:
                if n == 2:
                    raise
                continue
            break
        self.pairs = plan.pairs
        note = f"; {groups.note}" if groups.note else ""
        return f"Balanced accuracy of decision trees: {plan.sentence}{note}."

    def constant(self, inputs: pd.DataFrame) -> bool:
        """Check that inputs are the same in all images of every patient."""
        codes = pd.DataFrame(
            {k: pd.factorize(values, use_na_sentinel=False)[0] for k, values in inputs.items()}
        )
        assert self.images is not None
        n_values = codes.iloc[self.images].groupby(self.patients).nunique()
        return bool((n_values <= 1).to_numpy().all())


def _patient_level(
    table: pd.DataFrame, images: _Level, n_splits: int, random_state: int
) -> _Level | None:
    """Return one row per patient, or None if patients are unknown or have several labels."""
    patient = table["patient"].iloc[images.rows]
    if patient.isna().any() or patient.nunique() == len(patient):
        return None
    names = patient.to_numpy(dtype=object).astype(str)
    n_labels = pd.Series(images.truth).groupby(names).nunique()
    n_groups = pd.Series(images.ids).groupby(names).nunique()
    if (n_labels > 1).any() or (n_groups > 1).any():
        return None
    _, first = np.unique(names, return_index=True)
    level = _Level(
        "patient", images.truth[first], images.ids[first], images.rows[first], images.rows, names
    )
    if pd.Series(level.ids).groupby(level.truth).nunique().min() < 2:
        return None
    try:
        level.divide(Groups(level.ids, "patients", ""), n_splits, random_state)
    except CompareError:
        return None
    return level


def _score(
    probe: Probe, level: _Level, n_boot: int, n_permutations: int, random_state: int
) -> dict[str, Any]:
    """Fit decision trees to a probe and return a row of the results."""
    from sklearn.tree import DecisionTreeClassifier

    classes, truth = np.unique(level.truth, return_inverse=True)
    inputs = probe.inputs.iloc[level.rows].to_numpy(dtype=np.float64)
    predicted = np.full(len(truth), -1)
    fold = np.zeros(len(truth), dtype=int)
    for number, (train, test) in enumerate(level.pairs):
        tree = DecisionTreeClassifier(
            min_samples_leaf=int(np.clip(len(train) // 100, 2, 20)),
            max_leaf_nodes=32,
            class_weight="balanced",
            random_state=random_state,
        )
        # Trees of older scikit-learn versions split NaN less well than a value of its own.
        filled = np.where(np.isnan(inputs), -1e9, inputs)
        predicted[test] = tree.fit(filled[train], truth[train]).predict(filled[test])
        fold[test] = number
    k = len(classes)
    value = _balanced_accuracy(truth, predicted, k)
    counts, member = draw(level.ids, n_boot, random_state)
    by_group = np.zeros((counts.shape[1], k * k))
    np.add.at(by_group, (member, truth * k + predicted), 1.0)
    tables = (counts.astype(np.float64) @ by_group).reshape(-1, k, k)
    whole = by_group.sum(axis=0).reshape(k, k)
    low, high = interval(from_confusion(tables, whole)["balanced_accuracy"], value)
    chance = _chance_scores(truth, predicted, fold, member, k, n_permutations, random_state)
    return {
        "probe": probe.name,
        "kind": probe.kind,
        "level": level.name,
        "n": len(truth),
        "n_groups": counts.shape[1],
        "value": value,
        "low": low,
        "high": high,
        "chance": float(chance.mean()),
        "chance_high": float(np.quantile(chance, 0.975)),
        "p": float((1 + (chance >= value - 1e-12).sum()) / (1 + len(chance))),
        "caveat": probe.caveat,
        "of_name": probe.of_name,
    }


def _balanced_accuracy(truth: np.ndarray, predicted: np.ndarray, k: int) -> float:
    """Compute the balanced accuracy of class numbers 0..k-1."""
    counts = np.bincount(truth * k + predicted, minlength=k * k).reshape(1, k, k)
    return float(from_confusion(counts.astype(float))["balanced_accuracy"][0])


def _chance_scores(
    truth: np.ndarray,
    predicted: np.ndarray,
    fold: np.ndarray,
    member: np.ndarray,
    k: int,
    n_permutations: int,
    random_state: int,
) -> np.ndarray:
    """Compute the balanced accuracies with labels permuted within folds.

    Returns
    -------
    (n_permutations,) ndarray of float64
    """
    rng = np.random.default_rng(random_state)
    pairs = pd.DataFrame({"group": member, "label": truth}).drop_duplicates()
    one_label_each = len(pairs) == member.max() + 1
    unit = member if one_label_each else np.arange(len(truth))
    unit_truth = np.zeros(unit.max() + 1, dtype=int)
    unit_fold = unit_truth.copy()
    unit_truth[unit], unit_fold[unit] = truth, fold
    parts = [np.flatnonzero(unit_fold == number) for number in np.unique(unit_fold)]
    values = np.empty(n_permutations)
    for turn in range(n_permutations):
        permuted = unit_truth.copy()
        for part in parts:
            permuted[part] = rng.permutation(unit_truth[part])
        values[turn] = _balanced_accuracy(permuted[unit], predicted, k)
    return values.mean() + _WIDENING * (values - values.mean())


def _results(rows: list[dict[str, Any]], images: _Level) -> pd.DataFrame:
    """Correct p values, judge the probes and tabulate them."""
    single = sorted(
        (row for row in rows if row["probe"] != EVERYTHING), key=lambda r: (-r["value"], r["probe"])
    )
    # Holm (1979): the k-th smallest of m p values is multiplied by m - k + 1, and none falls below
    # the one before.
    largest = 0.0
    for k, row in enumerate(sorted(rows, key=lambda row: row["p"])):
        largest = row["p_holm"] = min(1.0, max(largest, row["p"] * (len(rows) - k)))
    together = [row for row in rows if row["probe"] == EVERYTHING]
    for row in [*single, *together]:
        gain = (row["value"] - row["chance"]) / (1 - row["chance"])
        significant = row["p_holm"] <= _ALPHA and row["low"] > row["chance"]
        severity = "severe" if gain >= _STRONG else "warning" if gain >= _SLIGHT else "note"
        row["slightly"] = severity == "note"
        # A label in a file name is not an alarm: no model reads it.
        severity = "note" if row["of_name"] else severity
        row["severity"] = severity if significant else ""
        row["message"] = _message(row)
    k = len(np.unique(images.truth))
    share = dict.fromkeys(("value", "low", "high", "chance", "chance_high"), 1 / k)
    majority = {"probe": NOTHING, "kind": "baseline", "level": "image", "n": len(images.truth)}
    majority |= {"n_groups": len(np.unique(images.ids)), "p": 1.0, "p_holm": 1.0, **share}
    majority |= {"severity": "", "message": "always the same prediction"}
    frame = pd.DataFrame([*single, *together, majority], columns=list(_NAMES))
    return frame.astype({"n": np.int64, "n_groups": np.int64})


def _message(row: dict[str, Any]) -> str:
    """Describe the result of one probe in a sentence without a full stop."""
    score = f"balanced accuracy {row['value']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
    chance = f"by chance {row['chance']:.3f}"
    name = row["probe"] if row["probe"] == EVERYTHING else f"{row['probe']} alone"
    if not row["severity"]:
        verb = "do not predict" if row["probe"] == EVERYTHING else "does not predict"
        return f"{name} {verb} the label: {score}, {chance}"
    verb = "predict" if row["probe"] == EVERYTHING else "predicts"
    slightly = "slightly " if row["slightly"] else ""
    text = f"{name} {slightly}{verb} the label: {score}, {chance}, p = {row['p_holm']:.3f}"
    return text + (f"; but {row['caveat']}" if row["caveat"] else "")
