"""Tables of the page, as text for the templates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hemafeat.report._figures import difference_metric, importance_rows
from hemafeat.report._ranking import metrics as metrics_of, scores as scores_of
from hemafeat.report._style import metric_name, more_is_better, number

if TYPE_CHECKING:
    from hemafeat.evaluate import Comparison


@dataclass(frozen=True)
class Entry:
    """Field of a table.

    Attributes
    ----------
    text, below : str
        Content, and small print below it.
    kind : str
        CSS class, such as ``"best"``.
    """

    text: str
    below: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """Table of the page.

    Attributes
    ----------
    head : list of Entry
        Headings.
    rows : list of list of Entry
        Fields, row by row.
    n_text : int
        Number of columns that hold text; the others hold numbers.
    muted : set of int
        Rows shown in grey.
    """

    head: list[Entry]
    rows: list[list[Entry]]
    n_text: int = 1
    muted: set[int] = field(default_factory=set)


def results(comparison: Comparison, models: Sequence[str]) -> Table:
    """Tabulate all models and metrics with intervals, the best model of each metric marked."""
    from hemafeat.evaluate import BASELINES

    metrics = metrics_of(comparison)
    scores = {metric: scores_of(comparison, metric) for metric in metrics}
    top = {metric: _leaders(comparison, scores[metric]["value"], metric) for metric in metrics}
    rows = []
    for name in models:
        below = BASELINES.get(name, "baseline") if name in comparison.baselines else ""
        if name in comparison.transductive:
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
        Entry(metric_name(metric), "" if more_is_better(metric) else "lower is better")
        for metric in metrics
    ]
    muted = {row for row, name in enumerate(models) if name in comparison.baselines}
    seconds = [Entry("Fit", "seconds"), Entry("Predict", "seconds")]
    return Table([Entry("Model"), *head, *seconds], rows, 1, muted)


def parts(comparison: Comparison) -> Table:
    """Tabulate the scores of each part; empty if there is no other part than the test part."""
    frame = comparison.parts()
    if set(comparison.part_scores.get("part", ())) <= {"test"}:
        return Table([], [])
    metrics = [str(name) for name in frame if name != "n"]
    bounds = comparison.part_scores.set_index(["model", "part", "metric"])[["low", "high"]]
    of = {key: (float(low), float(high)) for key, low, high in bounds.itertuples()}
    rows: list[list[Entry]] = []
    muted, last = set(), ""
    for (model, part), record in zip(frame.index, frame.to_dict("records"), strict=True):
        row = [Entry(str(model) if model != last else ""), Entry(str(part))]
        row.append(Entry(number(record["n"], 0)))
        for metric in metrics:
            low, high = of[model, part, metric]
            below = "" if np.isnan(low) else f"{number(low)} to {number(high)}"
            row.append(Entry(number(record[metric]), below))
        if model in comparison.baselines:
            muted.add(len(rows))
        rows.append(row)
        last = model
    head = ["Model", "Part", f"{comparison.unit.capitalize()}s", *map(metric_name, metrics)]
    return Table([Entry(name) for name in head], rows, 2, muted)


_SHOWN = ("balanced_accuracy", "accuracy", "macro_f1", "auroc", "calibration_error")
"""Metrics of the table by data set."""


def per_dataset(comparison: Comparison) -> Table:
    """Tabulate the scores of each data set; empty if the table compared holds only one."""
    frame = comparison.per_dataset()
    rows: list[list[Entry]] = []
    muted, last = set(), ""
    for (model, name), part in frame.groupby(["model", "dataset"], sort=False):
        of = part.set_index("metric")
        row = [Entry(str(model) if model != last else ""), Entry(str(name))]
        row.append(Entry(number(int(part["n"].iloc[0]), 0)))
        for metric in _SHOWN:
            row.append(_bounded(*of.loc[metric, ["value", "low", "high"]].to_numpy(np.float64)))
        if model in comparison.baselines:
            muted.add(len(rows))
        rows.append(row)
        last = str(model)
    head = ["Model", "Data set", f"{comparison.unit.capitalize()}s", *map(metric_name, _SHOWN)]
    return Table([Entry(name) for name in head], rows, 2, muted)


def answers(comparison: Comparison) -> Table:
    """Tabulate how far the answers of models that refuse cells can be trusted."""
    rows: list[list[Entry]] = []
    last = ""
    for record in comparison.answers().to_dict("records"):
        model = str(record["model"])
        bounds = {
            name: [record[name], record[f"{name}_low"], record[f"{name}_high"]]
            for name in ("coverage", "refused", "accuracy", "answered")
        }
        rows.append(
            [
                Entry(model if model != last else ""),
                Entry(str(record["dataset"])),
                Entry(number(record["n"], 0)),
                Entry(number(record["stated"])),
                _bounded(*bounds["coverage"]),
                Entry(number(record["least_coverage"])),
                Entry(number(record["set_size"], 2)),
                _bounded(*bounds["refused"]),
                Entry(number(record["unlike"])),
                _bounded(*bounds["accuracy"]),
                _bounded(*bounds["answered"]),
                Entry(f"{number(record['error_before'])} → {number(record['error_after'])}"),
            ]
        )
        last = model
    head = [
        *(Entry("Model"), Entry("Data set"), Entry("Cells"), Entry("Stated coverage")),
        *(Entry("Coverage"), Entry("of the worst class"), Entry("Classes in a set")),
        *(Entry("Refused"), Entry("as unlike"), Entry("Accuracy"), Entry("of those answered")),
        Entry("Calibration error", "before → after"),
    ]
    return Table(head, rows, 2)


def _bounded(value: float, low: float, high: float) -> Entry:
    """Return a number with its interval below it."""
    below = "" if np.isnan(low) else f"{number(low)} to {number(high)}"
    return Entry("–" if np.isnan(value) else number(value), below)


def searches(comparison: Comparison) -> Table:
    """Tabulate the parameters that searches have chosen in each fold."""
    rows = [
        [
            Entry(str(row.model)),
            Entry(str(row.fold)),
            Entry(f"{row.step}__{row.parameter}".removeprefix("__"), kind="code"),
            Entry(str(row.value)),
            Entry(str(row.selected_on)),
            Entry(number(row.score)),
        ]
        for row in comparison.searches.itertuples(index=False)
    ]
    head = ["Model", "Fold", "Parameter", "Value", "Selected on", "Score there"]
    return Table([Entry(name) for name in head], rows, 5)


def _leaders(comparison: Comparison, values: pd.Series, metric: str) -> set[str]:
    """Return the models with the best score as printed, so that equal numbers are all marked."""
    scored = values[[name not in comparison.baselines for name in values.index]].dropna()
    if scored.empty:
        return set()
    top = scored.max() if more_is_better(metric) else scored.min()
    return {str(name) for name, value in scored.items() if number(value) == number(top)}


def _seconds(comparison: Comparison, model: str) -> tuple[str, str]:
    """Return the seconds of fitting and predicting as text."""
    rows = comparison.seconds[comparison.seconds["model"] == model]
    if rows.empty:
        return "–", "–"
    fit, predict = float(rows["fit"].sum()), float(rows["predict"].sum())
    return _duration(fit), _duration(predict)


def _duration(seconds: float) -> str:
    return number(seconds, 0 if seconds >= 100 else 1 if seconds >= 10 else 2)


def differences(comparison: Comparison, models: Sequence[str]) -> Table:
    """Tabulate the differences of all pairs of models in the metric of the forest plot."""
    rows = comparison.differences
    rows = rows[rows["metric"] == difference_metric(comparison)]
    order = {name: rank for rank, name in enumerate(models)}
    lines = []
    numbers = rows[["difference", "low", "high"]].to_numpy(np.float64)
    for first, second, (value, low, high) in zip(
        rows["model_a"], rows["model_b"], numbers, strict=True
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
    """Tabulate the scores of one model for each class, with their intervals."""
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
    headings = {"f1": "F1", "support": f"{comparison.unit.capitalize()}s"}
    head = ["Class", *(headings.get(name, metric_name(name)) for name in shown)]
    return Table([Entry(name) for name in head], rows)


def top_columns(comparison: Comparison, model: str, n_top: int = 20) -> Table:
    """Tabulate the most important columns of a model, with their unit and meaning."""
    from hemafeat import extract

    rows = importance_rows(comparison, model, "column").head(n_top)
    meanings = _meanings()
    lines = []
    for row in rows.itertuples(index=False):
        (current,) = extract.current_names([str(row.column)])
        unit, what, how = meanings.get(current, ("", "", ""))
        loss = f"{number(row.importance, 4)} ± {number(row.sd, 4)}"
        lines.append(
            [Entry(str(row.column), kind="code"), Entry(what, how), Entry(unit), Entry(loss)]
        )
    head = [Entry(name) for name in ("Column", "What it is", "Unit")]
    return Table([*head, Entry("Importance", "mean ± standard deviation")], lines, 3)


def _meanings() -> dict[str, tuple[str, str, str]]:
    """Return unit, meaning and formula (or formula and source) of every feature column."""
    from hemafeat import extract

    return {
        str(row.column): (
            (str(row.unit), str(row.meaning), str(row.formula))
            if row.meaning
            else (str(row.unit), str(row.formula), str(row.source))
        )
        for row in extract.describe("all").itertuples(index=False)
    }


def errors(*frames: pd.DataFrame | None) -> Table:
    """Tabulate all errors of tables and comparisons, none left out."""
    filled = [frame.astype(object) for frame in frames if frame is not None and len(frame)]
    if not filled:
        return Table([], [])
    rows = pd.concat(filled, ignore_index=True).drop_duplicates().fillna("")
    first = [name for name in ("image", "model", "fold", "stage") if name in rows]
    columns = [*first, *(str(name) for name in rows if name not in first)]
    entries = [[Entry(str(value)) for value in row] for row in rows[columns].to_numpy(object)]
    return Table([Entry(name.capitalize()) for name in columns], entries, len(columns))
