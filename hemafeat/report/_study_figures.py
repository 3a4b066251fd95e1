"""Figures of studies: leakage, learning curves, left-out classes, copies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from hemafeat.report._figures import draw_matrix, percent
from hemafeat.report._ranking import ranking
from hemafeat.report._style import (
    BLUE,
    INK,
    MUTED,
    PAPER,
    SERIES,
    VERMILION,
    draw_interval,
    metric_name,
    more_is_better,
    number,
    shortened,
    signed,
    style_rows,
    styled,
    write_beside,
)

if TYPE_CHECKING:
    from hemafeat.evaluate import ClassDrop, Leakage, LearningCurve, Resampling

METRIC = "balanced_accuracy"
"""Metric of the figures and tables of studies."""


@styled
def figure_leakage(study: Leakage, metric: str = METRIC) -> Figure:
    """Draw the scores under each protocol, and their differences from the first.

    Parameters
    ----------
    study : Leakage
        Result of `hemafeat.evaluate.leakage`.
    metric : str, default="balanced_accuracy"
        One of the metrics of a comparison.

    Returns
    -------
    matplotlib.figure.Figure
        Left: a dot per model and protocol, with its interval; leaky ones are open and red. Right:
        the differences with their paired intervals; dots are filled if the interval excludes zero.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from hemafeat import evaluate, report
    >>> table = pd.DataFrame({"label": ["a", "b", "c"] * 8, "group": np.arange(24) // 2})
    >>> table["cell__shape__area"] = np.arange(24.0)
    >>> study = evaluate.leakage("logistic", table, n_splits=2, n_boot=20)
    >>> [panel.get_title("left") for panel in report.figure_leakage(study).axes]
    ['Balanced accuracy', 'minus grouped']
    """
    names = study.honest.ranked() or ranking(study.honest)
    pooled = study.results[(study.results["fold"] == "all") & (study.results["metric"] == metric)]
    protocols = list(dict.fromkeys(pooled["protocol"]))
    differences = study.differences[study.differences["metric"] == metric]
    height = 1.25 + (0.24 * len(protocols) + 0.12) * len(names) + 0.2 * len(protocols)
    figure = Figure(figsize=(11, height), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    right.axvline(0, color=INK, lw=1)
    step = 0.7 / len(protocols)
    for k, protocol in enumerate(protocols):
        part = pooled[pooled["protocol"] == protocol]
        leaky = bool(part["leaky"].any())
        colour = VERMILION if leaky else SERIES[(0, 2, 5)[k % 3]][0]
        for row, name in enumerate(names):
            y = row + (k - (len(protocols) - 1) / 2) * step
            value, low, high = part[part["model"] == name][["value", "low", "high"]].mean()
            left.plot([low, high], [y, y], color=colour, lw=2.2, solid_capstyle="round")
            left.plot(
                value,
                y,
                "sD^v"[k % 4] if leaky else "o",
                color=colour,
                mfc=PAPER if leaky else colour,
                mew=1.5,
                ms=6.5,
                label=shortened(protocol, 40) if row == 0 else None,
            )
            pair = differences[
                (differences["protocol"] == protocol) & (differences["model"] == name)
            ]
            if pair.empty:
                continue
            value, low, high = pair[["difference", "low", "high"]].to_numpy(np.float64)[0]
            apart = not low <= 0 <= high
            optimistic = (value > 0) == more_is_better(metric)
            shade = (VERMILION if optimistic else BLUE) if apart else MUTED
            draw_interval(right, y, low, value, high, shade, filled=apart)
            write_beside(right, y, signed(value, low, high))
    left.set_yticks(range(len(names)), [shortened(name, 34) for name in names])
    left.set_ylim(len(names) - 0.5, -0.5)
    left.set_title(metric_name(metric))
    right.set_title(f"minus {shortened(str(differences['minus'].iloc[0]), 34)}")
    for panel in (left, right):
        style_rows(panel)
        panel.margins(x=0.06)
        panel.locator_params(axis="x", nbins=6)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=2)
    return figure


@styled
def figure_learning_curve(study: LearningCurve, metric: str = METRIC) -> Figure:
    """Draw the scores of models by the number of cells trained on.

    Parameters
    ----------
    study : LearningCurve
        Result of `hemafeat.evaluate.learning_curve`.
    metric : str, default="balanced_accuracy"
        One of the metrics of a comparison.

    Returns
    -------
    matplotlib.figure.Figure
        A line per model with its interval shaded; the last point is all training cells.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from hemafeat import evaluate, report
    >>> table = pd.DataFrame({"label": ["a", "b", "c"] * 8, "group": np.arange(24) // 2})
    >>> table["cell__shape__area"] = np.arange(24.0)
    >>> study = evaluate.learning_curve("logistic", table, sizes=[6], n_splits=2, n_boot=20)
    >>> report.figure_learning_curve(study).axes[0].get_xlabel()
    'cells trained on (mean over folds)'
    """
    figure = Figure(figsize=(8.6, 4.4), layout="constrained")
    panel = figure.subplots()
    for k, name in enumerate(study.models):
        colour, dash = SERIES[k % len(SERIES)]
        curve = study.curve(name, metric)
        x = curve["n_train"].to_numpy(np.float64)
        panel.fill_between(x, curve["low"], curve["high"], color=colour, alpha=0.13, lw=0)
        panel.plot(
            x, curve["value"], color=colour, ls=dash, marker="o", ms=5, label=shortened(name)
        )
    panel.set_xscale("log")
    curve = study.curve(study.models[0], metric)
    # Of sizes that are almost the same, such as 2,000 and all 2,046 cells, the last is named.
    curve = curve[~(curve["n_train"].shift(-1) < 1.1 * curve["n_train"])]
    panel.set_xticks(
        curve["n_train"],
        [
            f"{n:.0f}\n{g:.0f} groups" if study.by == "groups" else f"{n:.0f}"
            for n, g in zip(curve["n_train"], curve["n_groups"], strict=True)
        ],
    )
    panel.set_xticks([], minor=True)
    panel.set_xlabel("cells trained on (mean over folds)")
    panel.set_ylabel(metric_name(metric))
    panel.grid(axis="y")
    panel.set_axisbelow(True)
    figure.legend(*panel.get_legend_handles_labels(), loc="outside right upper")
    return figure


@styled
def figure_class_drop(study: ClassDrop, model: str | None = None) -> Figure:
    """Draw the predictions of the cells of classes that were left out of training.

    Parameters
    ----------
    study : ClassDrop
        Result of `hemafeat.evaluate.class_drop`.
    model : str, optional
        Name of the model. By default the first.

    Returns
    -------
    matplotlib.figure.Figure
        A row for each class left out, which sums to 1. The field of the class itself is crossed
        out.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from hemafeat import evaluate, report
    >>> table = pd.DataFrame({"label": ["a", "b", "c"] * 8, "group": np.arange(24) // 2})
    >>> table["cell__shape__area"] = np.arange(24.0)
    >>> study = evaluate.class_drop("logistic", table, n_splits=2, n_boot=20)
    >>> report.figure_class_drop(study).axes[0].get_ylabel()
    'left out of training'
    """
    model = model or study.models[0]
    shares = study.shares(model)
    values = shares.to_numpy(np.float64)
    figure, panel, size = draw_matrix(values, shares.index, shares.columns)
    for row, column in np.ndindex(values.shape):
        share = float(values[row, column])
        if shares.index[row] == shares.columns[column]:
            panel.plot([column + 0.25, column + 0.75], [row + 0.75, row + 0.25], color=MUTED, lw=1)
        elif share > 0:
            panel.text(
                column + 0.5,
                row + 0.52,
                percent(share),
                ha="center",
                va="center",
                fontsize=size,
                fontweight="bold" if share >= 0.2 else "normal",
                color="#ffffff" if share > 0.6 else INK,
            ).set_in_layout(False)
    panel.set_ylabel("left out of training")
    panel.set_xlabel(f"predicted by {shortened(model, 34)}")
    return figure


@styled
def figure_resampling(study: Resampling, metric: str = METRIC) -> Figure:
    """Draw the scores of cells drawn without and with replacement, under each protocol.

    Parameters
    ----------
    study : Resampling
        Result of `hemafeat.evaluate.resampling`.
    metric : str, default="balanced_accuracy"
        One of the metrics of a comparison.

    Returns
    -------
    matplotlib.figure.Figure
        Dots with intervals; open if cells were drawn with replacement, red if the protocol is
        leaky.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from hemafeat import evaluate, report
    >>> table = pd.DataFrame({"label": ["a", "b", "c"] * 8, "group": np.arange(24) // 2})
    >>> table["cell__shape__area"] = np.arange(24.0)
    >>> study = evaluate.resampling("logistic", table, n_splits=2, n_boot=20)
    >>> report.figure_resampling(study).axes[0].get_xlabel()
    'Balanced accuracy'
    """
    first = next(iter(study.comparisons.values()))
    names = [name for name in first.models if name not in first.baselines] or first.models
    conditions = list(study.comparisons)
    figure = Figure(
        figsize=(9.6, 0.9 + (0.26 * len(conditions) + 0.14) * len(names)), layout="constrained"
    )
    panel = figure.subplots()
    ticks, labels = [], []
    for row, name in enumerate(names):
        for k, key in enumerate(conditions):
            comparison = study.comparisons[key]
            results = comparison.results
            pooled = results[
                (results["model"] == name)
                & (results["fold"] == "all")
                & (results["metric"] == metric)
            ]
            value, low, high = pooled[["value", "low", "high"]].to_numpy(np.float64)[0]
            y = row * (len(conditions) + 0.7) + k
            colour = VERMILION if comparison.leaky else BLUE
            draw_interval(panel, y, low, value, high, colour, filled=not key[0])
            ticks.append(y)
            drawn = "with replacement" if key[0] else "without"
            labels.append(f"{shortened(name, 20)}: {drawn}, {pooled['protocol'].iloc[0]}")
            write_beside(panel, y, number(value))
    panel.set_yticks(ticks, labels)
    panel.set_ylim(max(ticks) + 0.6, -0.6)
    panel.set_xlabel(metric_name(metric))
    style_rows(panel)
    panel.margins(x=0.06)
    return figure
