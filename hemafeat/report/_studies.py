"""Sections of the page for the studies beside a comparison, each with a picture and a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hemafeat.report import _ranking as _choice, _study_figures
from hemafeat.report._style import in_text, metric_name, number, svg
from hemafeat.report._tables import Entry, Table

if TYPE_CHECKING:
    import pandas as pd

    from hemafeat.evaluate import ClassDrop, Leakage, LearningCurve, Resampling

METRIC = _study_figures.METRIC


@dataclass(frozen=True)
class Section:
    """What stands on the page.

    Attributes
    ----------
    anchor, heading, text : str
        Of the section.
    pictures : list of (label, svg)
        Drawn one below the other.
    table : Table
        What the first picture shows, in numbers.
    note : str
        How it was done.
    leaky : bool
        Scores of a leaky split stand in it.
    """

    anchor: str
    heading: str
    text: str
    pictures: list[tuple[str, str]]
    table: Table
    note: str
    leaky: bool = False
    more: list[tuple[str, str]] = field(default_factory=list)


def sections(studies: Iterable[Any]) -> list[Section]:
    """The sections of what `hemafeat.evaluate` found, in the order given."""
    makers: dict[str, Callable[[Any, str], Section]] = {
        "Leakage": _leakage,
        "LearningCurve": _learning_curve,
        "ClassDrop": _class_drop,
        "Resampling": _resampling,
    }
    found = []
    for place, study in enumerate(studies):
        kind = type(study).__name__
        if kind not in makers:
            raise ValueError(f"no section for a {kind}; there are: {', '.join(makers)}")
        found.append(makers[kind](study, f"study-{place}"))
    return found


def _lines(frame: pd.DataFrame) -> list[Any]:
    return list(frame.itertuples())


def _interval(value: float, low: float, high: float) -> Entry:
    return Entry(number(value), "" if np.isnan(low) else f"{number(low)} to {number(high)}")


def _leakage(study: Leakage, anchor: str) -> Section:
    gaps = study.differences[study.differences["metric"] == METRIC]
    pooled = study.results[(study.results["fold"] == "all") & (study.results["metric"] == METRIC)]
    names = _choice.models(study.honest)
    protocols = list(dict.fromkeys(pooled["protocol"]))
    others = list(dict.fromkeys(gaps["protocol"]))
    rows = []
    for name in names:
        row = [Entry(name)]
        for protocol in protocols:
            here = pooled[(pooled["model"] == name) & (pooled["protocol"] == protocol)]
            row.append(_interval(*map(float, here[["value", "low", "high"]].mean())))
        for protocol in others:
            here = gaps[(gaps["model"] == name) & (gaps["protocol"] == protocol)]
            value, low, high = here[["difference", "low", "high"]].to_numpy(np.float64)[0]
            entry = _interval(value, low, high)
            row.append(Entry(entry.text, entry.below, "" if low <= 0 <= high else "best"))
        rows.append(row)
    head = [Entry("Model"), *(Entry(protocol, "score") for protocol in protocols)]
    head += [Entry(protocol, f"minus {gaps['minus'].iloc[0]}") for protocol in others]
    said = ", ".join(f"{row.model} {row.protocol} {number(row.difference)}" for row in _lines(gaps))
    muted = {place for place, name in enumerate(names) if _choice.is_baseline(name)}
    figure = _study_figures.figure_leakage(study)
    return Section(
        anchor,
        "With and without leakage",
        f"The same models on the same cells, divided in several ways: {in_text(METRIC)} and its "
        "difference to the honest split, resampled in pairs. A filled dot misses zero: so much of "
        "the score is owed to cells of the same patient, or copies, on both sides.",
        [("Leakage", svg(figure, anchor, f"Differences in {metric_name(METRIC)}: {said}"))],
        Table(head, rows, 1, muted),
        study.protocol,
        leaky=bool(study.results["leaky"].any()),
    )


def _learning_curve(study: LearningCurve, anchor: str) -> Section:
    curves = {name: study.curve(name, METRIC) for name in study.models}
    first = next(iter(curves.values()))
    head = [Entry("Cells trained on", "mean over folds"), Entry("Groups")]
    head += [Entry(name) for name in curves]
    rows = []
    for place in range(len(first)):
        row = [Entry(number(first["n_train"].iloc[place], 0))]
        row.append(Entry(number(first["n_groups"].iloc[place], 0)))
        row += [_interval(*c[["value", "low", "high"]].iloc[place]) for c in curves.values()]
        rows.append(row)
    said = "; ".join(
        f"{name} from {number(c['value'].iloc[0])} to {number(c['value'].iloc[-1])}"
        for name, c in curves.items()
    )
    what = "cells drawn at random" if study.by == "cells" else "whole groups"
    figure = _study_figures.figure_learning_curve(study)
    return Section(
        anchor,
        "Learning curve",
        f"{metric_name(METRIC)} of models trained on nested parts of the training cells ({what}) "
        "and scored on the same held-out ones. A curve that still rises asks for more.",
        [("Learning curve", svg(figure, anchor, f"{metric_name(METRIC)}: {said}"))],
        Table(head, rows, 1),
        study.protocol,
        leaky=study.leaky,
    )


def _class_drop(study: ClassDrop, anchor: str) -> Section:
    pictures = []
    for place, name in enumerate(study.models):
        shares = study.shares(name)
        said = ", ".join(f"{row} to {shares.loc[row].idxmax()}" for row in shares.index)
        figure = _study_figures.figure_class_drop(study, name)
        alt = f"Where left-out classes go by {name}: {said}"
        pictures.append((name, svg(figure, f"{anchor}-{place}", alt)))
    found = study.results[study.results["fold"] == "all"]
    rows = []
    for (model, dropped), part in found.groupby(["model", "dropped"], sort=False):
        top = part.sort_values("share", ascending=False, kind="stable").head(3)
        row = [Entry(str(model)), Entry(str(dropped)), Entry(number(part["cells"].sum(), 0))]
        for line in _lines(top):
            text = f"{line.predicted} {100 * line.share:.0f} %"
            row.append(Entry(text, f"{100 * line.low:.0f} to {100 * line.high:.0f} %"))
        row += [Entry("–")] * (6 - len(row))
        rows.append(row)
    head = ["Model", "Left out", "Cells", "Goes to", "then to", "then to"]
    return Section(
        anchor,
        "Left-out classes",
        "Each class is left out of training in turn, and its held-out cells are given to the "
        "models all the same: a class that looks like another goes there, with few exceptions.",
        pictures[:1],
        Table([Entry(name) for name in head], rows, 2),
        study.protocol,
        leaky=study.leaky,
        more=pictures[1:],
    )


def _resampling(study: Resampling, anchor: str) -> Section:
    summary = study.summary(METRIC)
    rows = []
    for line in _lines(summary):
        rows.append(
            [
                Entry(str(line.model)),
                Entry("with replacement" if line.replacement else "without"),
                Entry(str(line.protocol)),
                Entry(f"{100 * line.copies:.0f} %"),
                _interval(line.value, line.low, line.high),
            ]
        )
    head = ["Model", "Drawn", "Split", "Scored cells with a copy in training", metric_name(METRIC)]
    said = ", ".join(
        f"{row.model} {row.protocol} {number(row.difference)}"
        for row in _lines(study.differences[study.differences["metric"] == METRIC])
    )
    figure = _study_figures.figure_resampling(study)
    return Section(
        anchor,
        "Cells drawn twice",
        f"{study.per_class} cells of each class, drawn without and with replacement before they "
        "are divided. Drawn with replacement and divided without regard to copies, the same cell "
        "is trained on and scored.",
        [("Resampling", svg(figure, anchor, f"With minus without replacement: {said}"))],
        Table([Entry(name) for name in head], rows, 3),
        study.protocol,
        leaky=bool(study.results["leaky"].any()),
    )
