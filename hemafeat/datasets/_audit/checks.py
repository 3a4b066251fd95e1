"""Check an image table; each check yields findings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from hemafeat.datasets._audit.batches import cluster, label_shares, permutation_test
from hemafeat.datasets._copies.marks import MARKS
from hemafeat.datasets._copies.survey import BACKGROUND
from hemafeat.datasets._scales import describe
from hemafeat.images import stem_of

SEVERE, WARNING, NOTE = "severe", "warning", "note"

FEW = 5
"""Smallest number of groups of a class that can be divided into five folds."""

_BLANK = 2.0
_MAX_SIZES = 12
_SIGNIFICANT, _ALPHA = 0.01, 0.05
_STRONG, _WEAK = 0.5, 0.05
_UNEVEN = 0.25
"""Difference of the shares of marked images, inside and outside a class, from which a mark gives
the class away."""


@dataclass(frozen=True)
class Finding:
    """A finding of an audit.

    Attributes
    ----------
    severity : {"severe", "warning", "note"}
        Severity of the finding.
    kind : str
        Kind of the finding.
    message : str
        Description in words.
    rows : sequence of int
        Rows of the table that it concerns.
    description : str
        The part of the message that does not say how well the label is predicted; empty if no part
        does.
    """

    severity: str
    kind: str
    message: str
    rows: Sequence[int] | np.ndarray = field(default_factory=list)
    description: str = ""


def count(n: int, noun: str) -> str:
    """Return a number with its noun: ``1 image``, ``2 images``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}es" if noun[-1] == "s" else f"{n} {noun}s"


def short_name(path: str) -> str:
    """Return the last two parts of a path: the file and its folder."""
    return "/".join(path.replace("\\", "/").split("/")[-2:])


def check_files(survey: pd.DataFrame) -> Iterator[Finding]:
    """Find unreadable images, wrong suffixes, missing headers and blank images."""
    rows = np.flatnonzero(survey["problem"].notna())
    if rows.size:
        first = survey.iloc[rows[0]]
        yield Finding(
            WARNING,
            "unreadable",
            f"{count(len(rows), 'image')} cannot be read; {short_name(first['image'])} "
            f"{first['problem']}",
            rows,
        )
    has_both = survey["format"].notna() & survey["suffix"].notna()
    rows = np.flatnonzero(has_both & (survey["format"] != survey["suffix"]))
    if rows.size:
        first = survey.iloc[rows[0]]
        yield Finding(
            WARNING,
            "header",
            f"{count(len(rows), 'file')} with a format other than the suffix indicates, for "
            f"example {short_name(first['image'])}, which is a {first['format']}",
            rows,
        )
    # A JPEG file begins with JFIF or EXIF; a few files without it have another origin.
    rows = np.flatnonzero((survey["jfif"] == False) & survey["problem"].isna())  # noqa: E712
    if rows.size:
        yield Finding(
            NOTE,
            "jfif",
            f"{count(len(rows), 'JPEG')} without a JFIF header, for example "
            f"{short_name(survey['image'].iloc[rows[0]])}",
            rows,
        )
    rows = np.flatnonzero(survey["contrast"] < _BLANK)
    if rows.size:
        yield Finding(
            WARNING,
            "blank",
            f"{count(len(rows), 'image')} of a single colour, for example "
            f"{short_name(survey['image'].iloc[rows[0]])}",
            rows,
        )


def check_labels(table: pd.DataFrame) -> Iterator[Finding]:
    """Find missing labels, variants in spelling, class imbalance and classes of few groups."""
    label = table["label"]
    missing = np.flatnonzero(label.isna())
    if len(missing) == len(table):
        yield Finding(NOTE, "labels", "none of the images has a label, so no leak can be found")
        return
    if missing.size:
        yield Finding(NOTE, "labels", f"{count(len(missing), 'image')} without a label", missing)
    names = pd.Series(sorted(label.dropna().unique()))
    folded = names.str.casefold().str.replace(r"[\s_-]+", " ", regex=True).str.strip()
    for _, variants in names.groupby(folded):
        if len(variants) > 1:
            rows = np.flatnonzero(label.isin(set(variants)))
            words = " and ".join(map(repr, variants))
            yield Finding(WARNING, "spelling", f"a label is spelt in several ways: {words}", rows)
    counts = label.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    if len(counts) == 1:
        yield Finding(NOTE, "balance", f"all labels are {counts.index[0]!r}")
        return
    most, least = counts.index[0], counts.index[-1]
    ratio = counts.iloc[0] / counts.iloc[-1]
    span = f"from {counts.iloc[-1]} ({least}) to {counts.iloc[0]} ({most}) images, 1 to {ratio:.3g}"
    if ratio == 1:
        span = f"of {counts.iloc[0]} images each"
    yield Finding(
        NOTE,
        "balance",
        f"{len(counts)} classes, {span}; always predicting {most!r} has accuracy "
        f"{counts.iloc[0] / counts.sum():.3f} and balanced accuracy {1 / len(counts):.3f}",
    )
    groups = table.groupby("label")["group"].nunique()
    few = groups[groups < FEW]
    if len(few):
        words = ", ".join(f"{name} ({n})" for name, n in few.items())
        rows = np.flatnonzero(label.isin(set(few.index)))
        yield Finding(
            WARNING, "few_groups", f"classes of fewer than {FEW} groups or folds: {words}", rows
        )


def check_names(table: pd.DataFrame, survey: pd.DataFrame) -> Iterator[Finding]:
    """Find file names that occur under two labels."""
    stems = pd.Series([stem_of(name) for name in survey["image"]])
    # Plain numbers restart in every folder, and arrays have no names.
    is_name = stems.str.contains(r"[A-Za-z]") & ~stems.str.startswith("<")
    used = is_name & table["label"].notna().to_numpy()
    n_labels = table["label"].reset_index(drop=True)[used].groupby(stems[used]).nunique()
    repeated = set(n_labels[n_labels > 1].index)
    rows = np.flatnonzero(stems.isin(repeated) & used)
    if rows.size:
        yield Finding(
            WARNING,
            "name",
            f"{count(len(repeated), 'file name')} under two labels, for example {min(repeated)!r}",
            rows,
        )


def check_patients(table: pd.DataFrame) -> Iterator[Finding]:
    """Find missing patients, patients of a single class, and patients or groups that are split."""
    patient = table["patient"]
    has_patient = patient.notna()
    if not has_patient.any():
        yield Finding(
            NOTE,
            "patients",
            "patients are unknown, so cells of a person may be on both sides of any split",
        )
    elif not has_patient.all():
        yield Finding(
            WARNING,
            "patients",
            f"{count(int((~has_patient).sum()), 'image')} of {len(table)} without a patient",
            np.flatnonzero(~has_patient),
        )
    has_both = has_patient & table["label"].notna()
    if has_both.any() and len(set(table["label"].dropna())) > 1:
        n_classes = table[has_both].groupby("patient")["label"].nunique()
        n_single = int((n_classes == 1).sum())
        if n_single == len(n_classes) and int(has_both.sum()) > len(n_classes):
            yield Finding(
                WARNING,
                "single_class",
                f"each of the {len(n_classes)} patients has a single class, so the patient "
                "determines the label and only a split by patient gives a meaningful score",
                np.flatnonzero(has_both),
            )
        elif n_single and int(has_both.sum()) > len(n_classes):
            single = set(n_classes[n_classes == 1].index)
            yield Finding(
                NOTE,
                "single_class",
                f"{n_single} of {len(n_classes)} patients have a single class",
                np.flatnonzero(has_both & patient.isin(single)),
            )
    for column in ("patient", "group"):
        rows, divided = _on_both_sides(table, column)
        if not divided or (column == "group" and _on_both_sides(table, "patient")[1]):
            continue
        yield Finding(
            SEVERE,
            f"{column}_split",
            f"{count(len(divided), column)} on both sides of the official split, for example "
            f"{divided[0]}",
            rows,
        )


def _on_both_sides(table: pd.DataFrame, column: str) -> tuple[np.ndarray, list[str]]:
    """Return rows and names of the patients or groups in several parts of the official split."""
    used = table[column].notna() & table["split"].notna()
    n_parts = table[used].groupby(column)["split"].nunique()
    divided = sorted(map(str, n_parts[n_parts > 1].index))
    return np.flatnonzero(used & table[column].isin(set(divided))), divided


def check_copies(
    table: pd.DataFrame, sets: Sequence[Sequence[int]], survey: pd.DataFrame, near: bool
) -> Iterator[Finding]:
    """Find copies of an image under two labels, on both sides of a split or in several groups.

    Parameters
    ----------
    table, survey : DataFrame
        Image table and its survey.
    sets : list of list of int
        Rows of each set of copies.
    near : bool
        True if copies are similar, False if they are equal.
    """
    if not sets:
        return
    kind = "near_duplicate" if near else "duplicate"
    noun = "near copies (rotated, cropped or saved again)" if near else "copies"

    def conflicts(column: str) -> list[Sequence[int]]:
        values = table[column]
        return [rows for rows in sets if len(set(values.iloc[list(rows)].dropna())) > 1]

    def example(rows: Sequence[int], column: str | None) -> str:
        values = [None] * len(table) if column is None else list(table[column])
        pair = list(rows)[:2]
        if column is not None:
            named = [row for row in rows if isinstance(values[row], str)]
            second = next(row for row in named if values[row] != values[named[0]])
            pair = [named[0], second]
        return " and ".join(
            short_name(survey["image"].iloc[row]) + (f" ({values[row]})" if column else "")
            for row in pair
        )

    for column, words in (
        ("label", "have two labels"),
        ("split", "are on both sides of the official split"),
        ("patient", "belong to two patients"),
    ):
        conflict = conflicts(column)
        if conflict:
            yield Finding(
                SEVERE,
                f"{kind}_{column}",
                f"{noun} of {count(len(conflict), 'image')} {words}, for example "
                f"{example(conflict[0], column)}",
                sorted(row for rows in conflict for row in rows),
            )
    rows = sorted(row for members in sets for row in members)
    separate = conflicts("group")
    message = f"{len(rows)} files are {noun} of {count(len(sets), 'image')}, for example "
    message += example(sets[0], None)
    if separate:
        sets_of = count(len(separate), "set")
        message += f". {sets_of} of copies in several groups, which a split may separate"
    yield Finding(WARNING if separate else NOTE, kind, message, rows)


def check_sizes(table: pd.DataFrame, survey: pd.DataFrame) -> tuple[list[Finding], pd.DataFrame]:
    """Test whether the size of an image predicts its label."""
    readable = survey["width"].notna().to_numpy()
    text = [f"{w:.0f} x {h:.0f}" for w, h in survey.loc[readable, ["width", "height"]].to_numpy()]
    batch = pd.Series(text, index=np.flatnonzero(readable), dtype=object)
    counts = batch.value_counts()
    if len(counts) < 2:
        return [], pd.DataFrame()
    # Ties are sorted by name, so that the order of the files does not matter.
    sizes = sorted(counts.index, key=lambda name: (-counts[name], name))
    batch = batch.where(batch.isin(set(sizes[:_MAX_SIZES])), "other sizes")
    listed = ", ".join(f"{name} ({counts[name]})" for name in sizes[:4])
    rest = f" and {len(sizes) - 4} more" if len(sizes) > 4 else ""
    start = f"{len(sizes)} image sizes (width x height): {listed}{rest}"
    unusual = batch[batch != sizes[0]].index.to_numpy()
    return _check_batches(table, batch, "image_size", start, unusual)


def check_backgrounds(
    table: pd.DataFrame, survey: pd.DataFrame, random_state: int
) -> tuple[list[Finding], pd.DataFrame, np.ndarray]:
    """Divide images by background colour and test whether the background predicts the label."""
    numbers = np.full(len(table), -1)
    readable = np.flatnonzero(survey["background"].notna())
    if readable.size < 8:
        return [], pd.DataFrame(), numbers
    colours = survey[BACKGROUND].to_numpy(dtype=np.float64)[readable]
    # Sorted, so that the order of the files does not decide between equally good clusterings.
    order = np.lexsort(colours.T)
    clusters = np.empty(len(readable), dtype=int)
    clusters[order] = cluster(colours[order], random_state)
    numbers[readable] = clusters
    if clusters.max() > 0:
        text = {}
        for k in range(clusters.max() + 1):
            r, g, b = np.median(colours[clusters == k], axis=0)
            text[k] = f"batch {k + 1}: rgb {r:.0f} {g:.0f} {b:.0f}"
        batch = pd.Series([text[k] for k in clusters], index=readable, dtype=object)
        counts = batch.value_counts()
        listed = ", ".join(
            f"{name[name.index('rgb') :]} ({counts[name]})" for name in text.values()
        )
        start = f"{len(text)} batches of background colour: {listed}"
    else:
        level = survey["background"].to_numpy(dtype=np.float64)[readable]
        edges = np.unique(np.quantile(level, [0.2, 0.4, 0.6, 0.8]))
        fifth = np.searchsorted(edges, level, side="right")
        bounds = [level.min(), *edges, level.max()]
        text = {k: f"grey {bounds[k]:.0f} to {bounds[k + 1]:.0f}" for k in range(len(edges) + 1)}
        batch = pd.Series([text[k] for k in fifth], index=readable, dtype=object)
        if np.ptp(level) < 1:
            return [], pd.DataFrame(), numbers
        start = (
            f"the grey value of the background varies from {level.min():.0f} to {level.max():.0f} "
            "without distinct batches; images are divided by its quintiles"
        )
    rows = readable[clusters > 0] if clusters.max() > 0 else np.array([], dtype=int)
    return (*_check_batches(table, batch, "background", start, rows), numbers)


def _check_batches(
    table: pd.DataFrame, batch: pd.Series, kind: str, start: str, rows: np.ndarray
) -> tuple[list[Finding], pd.DataFrame]:
    label = table["label"].iloc[batch.index]
    label.index = batch.index
    counts = label.value_counts()
    frequent = label.isin(set(counts[counts >= FEW].index))
    if label[frequent].nunique() < 2:
        return [Finding(NOTE, kind, start, rows, start)], pd.DataFrame()
    used = frequent[frequent].index
    shares = label_shares(batch[used], label[used], kind)
    if batch[used].nunique() < 2:
        return [Finding(NOTE, kind, start, rows, start)], shares
    group = table["group"].iloc[used].to_numpy()
    score, chance, p = permutation_test(batch[used].to_numpy(), label[used].to_numpy(), group)
    gain = (score - chance) / (1 - chance) if chance < 1 else 0.0
    result = f"balanced accuracy {score:.3f} from this alone, {chance:.3f} by chance, p = {p:.3f}"
    if p > _SIGNIFICANT:
        message = f"{start}. They do not predict the label ({result})"
        return [Finding(NOTE, kind, message, rows, start)], shares
    strength = "strongly" if gain >= _STRONG else "weakly" if gain < _WEAK else "partly"
    unusual = _unusual_shares(shares, label[used].value_counts(normalize=True))
    message = f"{start}. They {strength} predict the label: {result}{unusual}"
    severity = SEVERE if gain >= _STRONG else NOTE if gain < _WEAK else WARNING
    return [Finding(severity, kind, message, rows, start + unusual)], shares


def _unusual_shares(shares: pd.DataFrame, overall: pd.Series) -> str:
    """List the batches in which a label is at least twice as frequent as overall."""
    n = shares.groupby("batch", sort=False)["n"].transform("sum")
    shares = shares.assign(overall=shares["label"].map(overall))
    unusual = shares[(n >= FEW) & (shares["share"] >= 2 * shares["overall"])]
    top = unusual.sort_values(["n", "batch"], ascending=[False, True]).head(3)
    columns = (top[name] for name in ("batch", "label", "share", "overall"))
    return "".join(
        f"; {100 * share:.0f} % of {batch} are {label}, {100 * usual:.0f} % of all"
        for batch, label, share, usual in zip(*columns, strict=True)
    )


def check_marks(table: pd.DataFrame, survey: pd.DataFrame) -> Iterator[Finding]:
    """Find images with text, scale bars or pointers, and test whether these predict a class."""
    marks = survey["marks"].fillna("").astype(str)
    is_marked = (marks != "").to_numpy()
    rows = np.flatnonzero(is_marked)
    if not rows.size:
        return
    words = [
        f"{phrase} ({n})"
        for name, phrase in MARKS.items()
        if (n := int(marks.str.split().map(lambda names, name=name: name in names).sum()))
    ]
    message = (
        f"{count(len(rows), 'image')} with {' or '.join(words)} on the picture, for example "
        f"{short_name(survey['image'].iloc[rows[0]])}"
    )
    label = table["label"].reset_index(drop=True)
    usable = survey["width"].notna().to_numpy() & label.notna().to_numpy()
    classes, severity = label[usable], NOTE
    if len(set(classes)) > 1 and 0 < is_marked[usable].sum() < usable.sum():
        shares = pd.Series(is_marked[usable], index=classes.index).groupby(classes)
        inside, sizes = shares.mean(), shares.count()
        others = (is_marked[usable].sum() - inside * sizes) / (usable.sum() - sizes)
        difference = (inside - others).abs()
        frequent = difference[sizes >= FEW]
        name = (frequent if len(frequent) else difference).idxmax()
        phrase = (
            f"{100 * inside[name]:.0f} % of {name} and {100 * others[name]:.0f} % of the others"
        )
        group = table["group"].to_numpy()[usable]
        _, _, p = permutation_test(is_marked[usable], (classes == name).to_numpy(), group)
        # The most uneven class was chosen among all.
        p = min(1.0, p * classes.nunique())
        if difference[name] >= _UNEVEN and p <= _ALPHA:
            severity = SEVERE
            message += f". They give a class away: {phrase} have them (p = {p:.3f})"
        elif difference[name] > 0:
            message += f". {phrase[:1].upper()}{phrase[1:]} have them"
    yield Finding(severity, "marks", message, rows)


def check_joint_batch(survey: pd.DataFrame) -> Iterator[Finding]:
    """Find images with both an unusual size and an unusual background."""
    readable = survey["width"].notna()
    size = survey["width"] * 1e6 + survey["height"]
    odd_size = readable & (size != size[readable].mode().min())
    odd_background = survey["background_batch"] > 1
    both = int((odd_size & odd_background).sum())
    either = int((odd_size | odd_background).sum())
    if both and both >= 0.8 * either:
        yield Finding(
            NOTE,
            "batch",
            f"image size and background coincide: {both} of the {int(odd_size.sum())} images of an "
            "unusual size have an unusual background and form a separate batch",
            np.flatnonzero(odd_size & odd_background),
        )


def check_scales(table: pd.DataFrame, scales: pd.DataFrame) -> Iterator[Finding]:
    """State the scale of each data set by its red cells, and whether another one is stated."""
    for found in scales.to_dict("records"):
        if not found["um_per_px"] > 0:
            continue
        message = f"the scale is {describe(found)}"
        severity = NOTE
        rows = np.array([], dtype=int)
        if found["problem"]:
            same = table["um_per_px"] == found["stated"]
            if isinstance(found["dataset"], str):
                same &= table["dataset"] == found["dataset"]
            severity, message, rows = WARNING, found["problem"], np.flatnonzero(same)
        elif found["stated"] > 0:
            message += f"; {found['stated']:.4g} is stated"
        yield Finding(severity, "scale", message, rows)
