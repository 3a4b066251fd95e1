"""What may be wrong with a data set: each check gives findings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from hemafeat.datasets._audit.batches import chance, clusters, counted
from hemafeat.datasets._copies.survey import BACKGROUND, stem_of

SEVERE, WARNING, NOTE = "severe", "warning", "note"

FEW = 5
"""Groups of a class below which it cannot be on both sides of five folds."""

_BLANK = 2.0
_SIZES = 12
_CERTAIN = 0.01
_LITTLE = 0.05


@dataclass(frozen=True)
class Finding:
    """One finding: how bad, of which kind, in words, and the rows it is about."""

    severity: str
    kind: str
    message: str
    rows: Sequence[int] | np.ndarray = field(default_factory=list)


def counting(n: int, noun: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}es" if noun[-1] == "s" else f"{n} {noun}s"


def shown(name: str) -> str:
    """The end of a path: the file and its folder."""
    return "/".join(name.replace("\\", "/").split("/")[-2:])


def files(survey: pd.DataFrame) -> Iterator[Finding]:
    """Unreadable, misnamed, headless and blank images."""
    bad = np.flatnonzero(survey["problem"].notna())
    if bad.size:
        first = survey.iloc[bad[0]]
        yield Finding(
            WARNING,
            "unreadable",
            f"{counting(len(bad), 'image')} cannot be read; {shown(first['image'])} "
            f"{first['problem']}",
            bad,
        )
    other = survey["format"].notna() & survey["suffix"].notna()
    rows = np.flatnonzero(other & (survey["format"] != survey["suffix"]))
    if rows.size:
        first = survey.iloc[rows[0]]
        yield Finding(
            WARNING,
            "header",
            f"{counting(len(rows), 'file')} of another format than the name says: "
            f"{shown(first['image'])} is a {first['format']}",
            rows,
        )
    # A JPEG starts with JFIF or EXIF; a lone one without came another way than the rest.
    bare = (survey["jfif"] == False) & survey["problem"].isna()  # noqa: E712
    rows = np.flatnonzero(bare)
    if rows.size:
        yield Finding(
            NOTE,
            "jfif",
            f"{counting(len(rows), 'JPEG')} without a JFIF header, "
            f"{shown(survey['image'].iloc[rows[0]])} for one",
            rows,
        )
    rows = np.flatnonzero(survey["contrast"] < _BLANK)
    if rows.size:
        yield Finding(
            WARNING,
            "blank",
            f"{counting(len(rows), 'image')} of one colour only, "
            f"{shown(survey['image'].iloc[rows[0]])} for one",
            rows,
        )


def labels(table: pd.DataFrame) -> Iterator[Finding]:
    """Missing labels, labels that differ in spelling, how many images and groups of each."""
    label = table["label"]
    missing = np.flatnonzero(label.isna())
    if len(missing) == len(table):
        yield Finding(NOTE, "labels", "no image has a label: nothing can give one away")
        return
    if missing.size:
        yield Finding(NOTE, "labels", f"{counting(len(missing), 'image')} without a label", missing)
    names = pd.Series(sorted(label.dropna().unique()))
    plain = names.str.casefold().str.replace(r"[\s_-]+", " ", regex=True).str.strip()
    for _, same in names.groupby(plain):
        if len(same) > 1:
            rows = np.flatnonzero(label.isin(set(same)))
            words = " and ".join(map(repr, same))
            yield Finding(WARNING, "spelling", f"one label is spelled {words}", rows)
    counts = label.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    if len(counts) == 1:
        yield Finding(NOTE, "balance", f"every label is {counts.index[0]!r}")
        return
    most, least = counts.index[0], counts.index[-1]
    ratio = counts.iloc[0] / counts.iloc[-1]
    span = f"from {counts.iloc[-1]} ({least}) to {counts.iloc[0]} ({most}) images, 1 to {ratio:.3g}"
    if ratio == 1:
        span = f"of {counts.iloc[0]} images each"
    yield Finding(
        NOTE,
        "balance",
        f"{len(counts)} classes, {span}: guessing {most!r} gives accuracy "
        f"{counts.iloc[0] / counts.sum():.3f} and balanced accuracy {1 / len(counts):.3f}",
    )
    groups = table.groupby("label")["group"].nunique()
    few = groups[groups < FEW]
    if len(few):
        words = ", ".join(f"{name} ({n})" for name, n in few.items())
        rows = np.flatnonzero(label.isin(set(few.index)))
        yield Finding(
            WARNING, "few_groups", f"classes of fewer than {FEW} groups, hence folds: {words}", rows
        )


def names(table: pd.DataFrame, survey: pd.DataFrame) -> Iterator[Finding]:
    """One file name in the folders of two classes."""
    stems = pd.Series([stem_of(name) for name in survey["image"]])
    # Numbers start anew in every folder and say nothing.
    real = stems.str.contains(r"[A-Za-z]") & ~stems.str.startswith("<")
    known = real & table["label"].notna().to_numpy()
    kinds = table["label"].reset_index(drop=True)[known].groupby(stems[known]).nunique()
    torn = set(kinds[kinds > 1].index)
    rows = np.flatnonzero(stems.isin(torn) & known)
    if rows.size:
        yield Finding(
            WARNING,
            "name",
            f"{counting(len(torn), 'file name')} under two labels, {sorted(torn)[0]!r} for one",
            rows,
        )


def patients(table: pd.DataFrame) -> Iterator[Finding]:
    """Who is known, has one class only, or stands on both sides of the official split."""
    patient = table["patient"]
    known = patient.notna()
    if not known.any():
        yield Finding(
            NOTE,
            "patients",
            "no patient is known: cells of one person may be on both sides of any split",
        )
    elif not known.all():
        yield Finding(
            WARNING,
            "patients",
            f"{counting(int((~known).sum()), 'image')} without a patient, of {len(table)}",
            np.flatnonzero(~known),
        )
    both = known & table["label"].notna()
    if both.any() and len(set(table["label"].dropna())) > 1:
        kinds = table[both].groupby("patient")["label"].nunique()
        one = int((kinds == 1).sum())
        if one == len(kinds) and int(both.sum()) > len(kinds):
            yield Finding(
                WARNING,
                "single_class",
                f"each of the {len(kinds)} patients has one class only: who it is tells what it "
                "is, so that only a split by patient means anything",
                np.flatnonzero(both),
            )
        elif one and int(both.sum()) > len(kinds):
            alone = set(kinds[kinds == 1].index)
            yield Finding(
                NOTE,
                "single_class",
                f"{one} of {len(kinds)} patients have one class only",
                np.flatnonzero(both & patient.isin(alone)),
            )
    for column, noun in (("patient", "patient"), ("group", "group")):
        rows, torn = _torn(table, column)
        if not torn or (column == "group" and _torn(table, "patient")[1]):
            continue
        yield Finding(
            SEVERE,
            f"{noun}_split",
            f"{counting(len(torn), noun)} on both sides of the official split, {torn[0]} for one",
            rows,
        )


def _torn(table: pd.DataFrame, column: str) -> tuple[np.ndarray, list[str]]:
    known = table[column].notna() & table["split"].notna()
    parts = table[known].groupby(column)["split"].nunique()
    torn = sorted(map(str, parts[parts > 1].index))
    return np.flatnonzero(known & table[column].isin(set(torn))), torn


def copies(
    table: pd.DataFrame, sets: Sequence[Sequence[int]], survey: pd.DataFrame, near: bool
) -> Iterator[Finding]:
    """Images of one cell: under two labels, on both sides of a split, in several groups.

    Parameters
    ----------
    table, survey : DataFrame
        Images, and what was seen of them.
    sets : list of list of int
        Rows of each set of images that show the same.
    near : bool
        Whether they are similar rather than equal.
    """
    if not sets:
        return
    kind = "near_duplicate" if near else "duplicate"
    what = "nearly the same image (turned, cropped or saved anew)" if near else "the same image"

    def apart(column: str) -> list[Sequence[int]]:
        values = table[column]
        return [rows for rows in sets if len(set(values.iloc[list(rows)].dropna())) > 1]

    def example(rows: Sequence[int], column: str | None) -> str:
        values = [None] * len(table) if column is None else list(table[column])
        pair = list(rows)[:2]
        if column is not None:
            first = next(row for row in rows if isinstance(values[row], str))
            other = next(
                row for row in rows if isinstance(values[row], str) and values[row] != values[first]
            )
            pair = [first, other]
        return " and ".join(
            shown(survey["image"].iloc[row]) + (f" ({values[row]})" if column else "")
            for row in pair
        )

    for column, end, words in (
        ("label", "label", "under two labels"),
        ("split", "split", "on both sides of the official split"),
        ("patient", "patient", "of two patients"),
    ):
        torn = apart(column)
        if torn:
            yield Finding(
                SEVERE,
                f"{kind}_{end}",
                f"{what} stands {words}, {counting(len(torn), 'time')}: {example(torn[0], column)}",
                sorted(row for rows in torn for row in rows),
            )
    rows = sorted(row for some in sets for row in some)
    loose = apart("group")
    message = f"{what}: {len(rows)} files show {counting(len(sets), 'picture')}"
    message += f"; {example(sets[0], None)}"
    if loose:
        message += (
            f". {counting(len(loose), 'set')} over several groups, which a split can part: "
            f"group_duplicates(table, by={'near' if near else 'pixels'!r}) joins them"
        )
    yield Finding(WARNING if loose else NOTE, kind, message, rows)


def sizes(table: pd.DataFrame, survey: pd.DataFrame) -> tuple[list[Finding], pd.DataFrame]:
    """Sizes of images, and whether they tell the label."""
    seen = survey["width"].notna().to_numpy()
    text = [f"{w:.0f} x {h:.0f}" for w, h in survey.loc[seen, ["width", "height"]].to_numpy()]
    batch = pd.Series(text, index=np.flatnonzero(seen), dtype=object)
    counts = batch.value_counts()
    if len(counts) < 2:
        return [], pd.DataFrame()
    # Sorted by name within a count, so that the order of the files does not matter.
    order = sorted(counts.index, key=lambda name: (-counts[name], name))
    kept = set(order[:_SIZES])
    batch = batch.where(batch.isin(kept), "other sizes")
    listed = ", ".join(f"{name} ({counts[name]})" for name in order[:4])
    more = f" and {len(order) - 4} more" if len(order) > 4 else ""
    start = f"{len(order)} sizes of images (width x height): {listed}{more}"
    odd = batch[batch != order[0]].index.to_numpy()
    return _judged(table, batch, "image_size", start, odd)


def backgrounds(
    table: pd.DataFrame, survey: pd.DataFrame, random_state: int
) -> tuple[list[Finding], pd.DataFrame, np.ndarray]:
    """Batches of background colour, and whether they tell the label."""
    number = np.full(len(table), -1)
    seen = np.flatnonzero(survey["background"].notna())
    if seen.size < 8:
        return [], pd.DataFrame(), number
    colours = survey[BACKGROUND].to_numpy(dtype=np.float64)[seen]
    # The order of the files must not decide between equally good divisions.
    order = np.lexsort(colours.T)
    found = np.empty(len(seen), dtype=int)
    found[order] = clusters(colours[order], random_state)
    number[seen] = found
    if found.max() > 0:
        text = {}
        for k in range(found.max() + 1):
            r, g, b = np.median(colours[found == k], axis=0)
            text[k] = f"batch {k + 1}: rgb {r:.0f} {g:.0f} {b:.0f}"
        batch = pd.Series([text[k] for k in found], index=seen, dtype=object)
        counts = batch.value_counts()
        listed = ", ".join(
            f"{name[name.index('rgb') :]} ({counts[name]})" for name in text.values()
        )
        start = f"{len(text)} batches of background colour: {listed}"
    else:
        level = survey["background"].to_numpy(dtype=np.float64)[seen]
        edges = np.unique(np.quantile(level, [0.2, 0.4, 0.6, 0.8]))
        fifth = np.searchsorted(edges, level, side="right")
        bounds = [level.min(), *edges, level.max()]
        text = {k: f"grey {bounds[k]:.0f} to {bounds[k + 1]:.0f}" for k in range(len(edges) + 1)}
        batch = pd.Series([text[k] for k in fifth], index=seen, dtype=object)
        if np.ptp(level) < 1:
            return [], pd.DataFrame(), number
        start = (
            f"background grey runs from {level.min():.0f} to {level.max():.0f} without batches "
            "that stand apart; in fifths of it"
        )
    rows = seen[found > 0] if found.max() > 0 else np.array([], dtype=int)
    return (*_judged(table, batch, "background", start, rows), number)


def _judged(
    table: pd.DataFrame, batch: pd.Series, kind: str, start: str, rows: np.ndarray
) -> tuple[list[Finding], pd.DataFrame]:
    label = table["label"].iloc[batch.index]
    label.index = batch.index
    counts = label.value_counts()
    common = label.isin(set(counts[counts >= FEW].index))
    if label[common].nunique() < 2:
        return [Finding(NOTE, kind, start, rows)], pd.DataFrame()
    at = common[common].index
    share = counted(batch[at], label[at], kind)
    if batch[at].nunique() < 2:
        return [Finding(NOTE, kind, start, rows)], share
    group = table["group"].iloc[at].to_numpy()
    found, luck, p = chance(batch[at].to_numpy(), label[at].to_numpy(), group)
    gain = (found - luck) / (1 - luck) if luck < 1 else 0.0
    said = f"balanced accuracy {found:.3f} from this alone, {luck:.3f} by luck, p = {p:.3f}"
    if p > _CERTAIN:
        return [Finding(NOTE, kind, f"{start}. They do not tell the label ({said})", rows)], share
    little = gain < _LITTLE
    much = "much" if gain >= 0.5 else "a little" if little else "something"
    said = f"{start}. They tell {much} of the label: {said}"
    said += _unlike(share, label[at].value_counts(normalize=True))
    severity = SEVERE if gain >= 0.5 else NOTE if little else WARNING
    return [Finding(severity, kind, said, rows)], share


def _unlike(share: pd.DataFrame, overall: pd.Series) -> str:
    """The batches in which a label is at least twice as frequent as everywhere."""
    n = share.groupby("batch", sort=False)["n"].transform("sum")
    share = share.assign(usual=share["label"].map(overall))
    strange = share[(n >= FEW) & (share["share"] >= 2 * share["usual"])]
    top = strange.sort_values(["n", "batch"], ascending=[False, True]).head(3)
    listed = [
        f"{100 * part:.0f} % of {batch} are {name}, of all {100 * usual:.0f} %"
        for batch, name, part, usual in zip(
            top["batch"], top["label"], top["share"], top["usual"], strict=True
        )
    ]
    return "; " + "; ".join(listed) if listed else ""


def together(survey: pd.DataFrame) -> Iterator[Finding]:
    """Odd sizes and another background in the same images: one batch, seen twice."""
    known = survey["width"].notna()
    size = survey["width"] * 1e6 + survey["height"]
    odd = known & (size != size[known].mode().min())
    other = survey["background_batch"] > 1
    both, either = int((odd & other).sum()), int((odd | other).sum())
    if both and both >= 0.8 * either:
        yield Finding(
            NOTE,
            "batch",
            f"image size and background go together: {both} of the {int(odd.sum())} images of an "
            "unusual size have an unusual background, which makes them a batch of their own",
            np.flatnonzero(odd & other),
        )
