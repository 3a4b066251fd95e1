"""The tables of the page, as text ready to be laid out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hemafeat.report import _ranking as _choice
from hemafeat.report._figures import difference_metric, importance_rows
from hemafeat.report._style import metric_name, more_is_better, number

if TYPE_CHECKING:
    from hemafeat.evaluate import Comparison


@dataclass(frozen=True)
class Entry:
    """One cell of a table: what it says, what stands small below it, and how it is marked."""

    text: str
    below: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """Headings and rows; the first `n_text` columns are text, the others numbers."""

    head: list[Entry]
    rows: list[list[Entry]]
    n_text: int = 1
    muted: set[int] = field(default_factory=set)


def results(comparison: Comparison) -> Table:
    """Every model by every metric with intervals; the best of each metric marked."""
    metrics, names = _choice.metrics(comparison), _choice.models(comparison)
    scores = {metric: _choice.scores(comparison, metric) for metric in metrics}
    top = {metric: _leaders(scores[metric]["value"], metric) for metric in metrics}
    low_bar = {name for name in names if _choice.is_baseline(name)}
    rows = []
    for name in names:
        below = _BASELINE.get(name, "baseline") if name in low_bar else ""
        if name in getattr(comparison, "transductive", ()):
            below = "transductive: saw the tested cells together"
        row = [Entry(name, below=below)]
        for metric in metrics:
            if name not in scores[metric].index:
                row.append(Entry("–"))
                continue
            value, low, high = scores[metric].loc[[name]].to_numpy(np.float64)[0]
            below = "" if np.isnan(low) else f"{number(low)} to {number(high)}"
            row.append(Entry(number(value), below, "best" if name in top[metric] else ""))
        row += [Entry(text) for text in _seconds(comparison, name)]
        rows.append(row)
    head = [
        Entry(metric_name(metric), "" if more_is_better(metric) else "less is better")
        for metric in metrics
    ]
    muted = {row for row, name in enumerate(names) if name in low_bar}
    seconds = [Entry("Fit", "seconds"), Entry("Predict", "seconds")]
    return Table([Entry("Model"), *head, *seconds], rows, 1, muted)


_BASELINE = {
    "baseline": "majority class",
    "metadata": "attributes alone",
    "bag_size": "number of cells alone",
    "stain": "white of the background alone",
    "date_format": "how dates are written",
}


def _leaders(values: pd.Series, metric: str) -> set[str]:
    real = values[[not _choice.is_baseline(str(name)) for name in values.index]].dropna()
    if real.empty:
        return set()
    top = real.max() if more_is_better(metric) else real.min()
    # As printed: two models that read the same are both the best.
    return {str(name) for name, value in real.items() if number(value) == number(top)}


def _seconds(comparison: Comparison, model: str) -> tuple[str, str]:
    found = comparison.seconds
    found = found[found["model"] == model]
    if found.empty:
        return "–", "–"
    fit, predict = float(found["fit"].sum()), float(found["predict"].sum())
    return _duration(fit), _duration(predict)


def _duration(seconds: float) -> str:
    return number(seconds, 0 if seconds >= 100 else 1 if seconds >= 10 else 2)


def differences(comparison: Comparison) -> Table:
    """Every pair of models on the metric of the forest plot."""
    metric = difference_metric(comparison)
    found = comparison.differences
    found = found[found["metric"] == metric]
    order = {name: place for place, name in enumerate(_choice.models(comparison))}
    lines = []
    numbers = found[["difference", "low", "high"]].to_numpy(np.float64)
    for first, second, (value, low, high) in zip(
        found["model_a"], found["model_b"], numbers, strict=True
    ):
        if order.get(first, 0) > order.get(second, 0):
            first, second, value, low, high = second, first, -value, -high, -low
        apart = not low <= 0 <= high
        lines.append(
            (
                (order.get(first, 0), order.get(second, 0)),
                [
                    Entry(first),
                    Entry(second),
                    Entry(number(value)),
                    Entry(f"{number(low)} to {number(high)}"),
                    Entry("yes" if apart else "no", kind="best" if apart else ""),
                ],
            )
        )
    lines.sort(key=lambda line: line[0])
    head = ["Model", "minus", "Difference", "Interval", "Excludes zero"]
    return Table([Entry(name) for name in head], [row for _, row in lines], 2)


def per_class(comparison: Comparison, model: str) -> Table:
    """Scores of one model for each class, with intervals where the comparison has them."""
    frame = comparison.per_class(model)
    frame = frame.rename_axis("class").reset_index()
    bounds = {
        name: (f"{name}_low", f"{name}_high")
        for name in frame.columns
        if {f"{name}_low", f"{name}_high"} <= set(frame.columns)
    }
    hidden = {"model", "class", *(name for pair in bounds.values() for name in pair)}
    shown = [name for name in frame.columns if name not in hidden]
    rows = []
    for record in frame.to_dict("records"):
        row = [Entry(str(record["class"]))]
        for name in shown:
            value = record[name]
            if name == "support":
                row.append(Entry(number(value, 0)))
            else:
                below = ""
                if name in bounds:
                    low, high = (record[bound] for bound in bounds[name])
                    below = f"{number(low)} to {number(high)}" if low == low else ""
                row.append(Entry(number(value), below))
        rows.append(row)
    headings = {"f1": "F1", "support": f"{_choice.judged(comparison).capitalize()}s"}
    head = ["Class", *(headings.get(name, metric_name(name)) for name in shown)]
    return Table([Entry(name) for name in head], rows)


def top_columns(comparison: Comparison, model: str, n_top: int = 20) -> Table:
    """The columns a model depends on most, with their unit and meaning."""
    rows = importance_rows(comparison, model, "column").head(n_top)
    known = _meanings()
    lines = []
    for row in rows.itertuples(index=False):
        unit, formula, source = known.get(str(row.column), ("", "", ""))
        loss = f"{number(row.importance, 4)} ± {number(row.sd, 4)}"
        lines.append(
            [Entry(str(row.column), kind="code"), Entry(formula, source), Entry(unit), Entry(loss)]
        )
    head = [Entry(name) for name in ("Column", "What it is", "Unit")]
    return Table([*head, Entry("Importance", "mean ± standard deviation")], lines, 3)


def _meanings() -> dict[str, tuple[str, str, str]]:
    from hemafeat import extract

    described = extract.describe("all")
    return {
        str(row.column): (str(row.unit), str(row.formula), str(row.source))
        for row in described.itertuples(index=False)
    }


def errors(*frames: pd.DataFrame | None) -> Table:
    """Everything that could not be read, segmented, measured or fitted; nothing is left out."""
    found = [frame for frame in frames if frame is not None and len(frame)]
    if not found:
        return Table([], [])
    everything = pd.concat([frame.astype(object) for frame in found], ignore_index=True)
    everything = everything.drop_duplicates().fillna("")
    first = [name for name in ("image", "model", "fold", "stage") if name in everything]
    columns = [*first, *(str(name) for name in everything if name not in first)]
    rows = [[Entry(_plain(record[name])) for name in columns] for record in _records(everything)]
    return Table([Entry(name.capitalize()) for name in columns], rows, len(columns))


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in record.items()} for record in frame.to_dict("records")]


def _plain(value: Any) -> str:
    return "" if value is None else str(value)
