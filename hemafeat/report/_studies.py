"""Sections of the page on studies, each with figures and a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hemafeat.report import _study_figures
from hemafeat.report._html import svg
from hemafeat.report._ranking import ranking
from hemafeat.report._style import in_text, metric_name, number
from hemafeat.report._tables import Entry, Table

if TYPE_CHECKING:
    import pandas as pd

    from hemafeat.evaluate import ClassDrop, Leakage, LearningCurve, Resampling

METRIC = _study_figures.METRIC


@dataclass(frozen=True)
class Section:
    """Section of the page.

    Attributes
    ----------
    anchor, heading, text : str
        Id, heading and introduction of the section.
    pictures : list of (label, svg)
        Figures, one below the other.
    table : Table
        Numbers of the first figure.
    note : str
        Description of the study in one sentence.
    leaky : bool
        Whether it holds scores of a leaky protocol.
    folded : list of (label, svg)
        Further figures, folded away.
    """

    anchor: str
    heading: str
    text: str
    pictures: list[tuple[str, str]]
    table: Table
    note: str
    leaky: bool = False
    folded: list[tuple[str, str]] = field(default_factory=list)


def sections(studies: Iterable[Any]) -> list[Section]:
    """Return the sections of studies, in their order.

    Raises
    ------
    ValueError
        If a study is of an unknown kind.
    """
    makers: dict[str, Callable[[Any, str], Section]] = {
        "Leakage": _leakage,
        "LearningCurve": _learning_curve,
        "ClassDrop": _class_drop,
        "Resampling": _resampling,
    }
    result = []
    for k, study in enumerate(studies):
        kind = type(study).__name__
        if kind not in makers:
            raise ValueError(f"studies are {', '.join(makers)}, not {kind}")
        result.append(makers[kind](study, f"study-{k}"))
    return result


def _lines(frame: pd.DataFrame) -> list[Any]:
    """Return the rows of a table as named tuples."""
    return list(frame.itertuples())


def _interval(value: float, low: float, high: float) -> Entry:
    return Entry(number(value), "" if np.isnan(low) else f"{number(low)} to {number(high)}")


def _leakage(study: Leakage, anchor: str) -> Section:
    differences = study.differences[study.differences["metric"] == METRIC]
    pooled = study.results[(study.results["fold"] == "all") & (study.results["metric"] == METRIC)]
    names = ranking(study.honest)
    protocols = list(dict.fromkeys(pooled["protocol"]))
    others = list(dict.fromkeys(differences["protocol"]))
    rows = []
    for name in names:
        row = [Entry(name)]
        for protocol in protocols:
            part = pooled[(pooled["model"] == name) & (pooled["protocol"] == protocol)]
            row.append(_interval(*map(float, part[["value", "low", "high"]].mean())))
        for protocol in others:
            part = differences[
                (differences["model"] == name) & (differences["protocol"] == protocol)
            ]
            value, low, high = part[["difference", "low", "high"]].to_numpy(np.float64)[0]
            entry = _interval(value, low, high)
            row.append(Entry(entry.text, entry.below, "" if low <= 0 <= high else "best"))
        rows.append(row)
    head = [Entry("Model"), *(Entry(protocol, "score") for protocol in protocols)]
    head += [Entry(protocol, f"minus {differences['minus'].iloc[0]}") for protocol in others]
    text = ", ".join(
        f"{row.model} {row.protocol} {number(row.difference)}" for row in _lines(differences)
    )
    muted = {k for k, name in enumerate(names) if name in study.honest.baselines}
    figure = _study_figures.figure_leakage(study)
    return Section(
        anchor,
        "With and without leakage",
        f"The same models on the same cells, divided in several ways: {in_text(METRIC)} and its "
        "difference to the honest protocol, with paired intervals. If a dot is filled, the "
        "interval excludes zero: that part of the score is due to cells of the same patient, or "
        "copies, on both sides.",
        [("Leakage", svg(figure, anchor, f"Differences in {metric_name(METRIC)}: {text}"))],
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
    for k in range(len(first)):
        row = [Entry(number(first[name].iloc[k], 0)) for name in ("n_train", "n_groups")]
        row += [_interval(*c[["value", "low", "high"]].iloc[k]) for c in curves.values()]
        rows.append(row)
    text = "; ".join(
        f"{name} from {number(c['value'].iloc[0])} to {number(c['value'].iloc[-1])}"
        for name, c in curves.items()
    )
    parts = "cells drawn at random" if study.by == "cells" else "whole groups"
    figure = _study_figures.figure_learning_curve(study)
    return Section(
        anchor,
        "Learning curve",
        f"{metric_name(METRIC)} of models trained on nested parts of the training cells ({parts}) "
        "and scored on the same held-out ones. If a curve still rises, more cells would help.",
        [("Learning curve", svg(figure, anchor, f"{metric_name(METRIC)}: {text}"))],
        Table(head, rows, 1),
        study.protocol,
        leaky=study.leaky,
    )


def _class_drop(study: ClassDrop, anchor: str) -> Section:
    pictures = []
    for k, name in enumerate(study.models):
        shares = study.shares(name)
        text = ", ".join(f"{row} to {shares.loc[row].idxmax()}" for row in shares.index)
        figure = _study_figures.figure_class_drop(study, name)
        alt = f"Predictions of left-out classes by {name}: {text}"
        pictures.append((name, svg(figure, f"{anchor}-{k}", alt)))
    pooled = study.results[study.results["fold"] == "all"]
    rows = []
    for (model, dropped), part in pooled.groupby(["model", "dropped"], sort=False):
        top = part.sort_values("share", ascending=False, kind="stable").head(3)
        row = [Entry(str(model)), Entry(str(dropped)), Entry(number(part["cells"].sum(), 0))]
        for line in _lines(top):
            text = f"{line.predicted} {100 * line.share:.0f} %"
            row.append(Entry(text, f"{100 * line.low:.0f} to {100 * line.high:.0f} %"))
        row += [Entry("–")] * (6 - len(row))
        rows.append(row)
    head = ["Model", "Left out", "Cells", "Predicted as", "second", "third"]
    return Section(
        anchor,
        "Left-out classes",
        "Each class is left out of training in turn, and its held-out cells are predicted: a class "
        "that resembles another is predicted as that one, with few exceptions.",
        pictures[:1],
        Table([Entry(name) for name in head], rows, 2),
        study.protocol,
        leaky=study.leaky,
        folded=pictures[1:],
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
    head = ["Model", "Drawn", "Protocol", "Scored cells with a copy in training"]
    head.append(metric_name(METRIC))
    text = ", ".join(
        f"{row.model} {row.protocol} {number(row.difference)}"
        for row in _lines(study.differences[study.differences["metric"] == METRIC])
    )
    figure = _study_figures.figure_resampling(study)
    return Section(
        anchor,
        "Cells drawn twice",
        f"{study.per_class} cells of each class, drawn without and with replacement before they "
        "are divided. If they are drawn with replacement and divided without regard to copies, "
        "models are trained on and scored on the same cells.",
        [("Resampling", svg(figure, anchor, f"With minus without replacement: {text}"))],
        Table([Entry(name) for name in head], rows, 3),
        study.protocol,
        leaky=bool(study.results["leaky"].any()),
    )
