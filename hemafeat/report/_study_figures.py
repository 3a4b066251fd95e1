"""Figures of the studies beside a comparison: leakage, learning, left-out classes, copies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hemafeat.report import _ranking as _choice
from hemafeat.report._style import (
    BLUE,
    GRID,
    HEAT,
    INK,
    MUTED,
    PAPER,
    SERIES,
    VERMILION,
    alike,
    metric_name,
    more_is_better,
    number,
    styled,
)

if TYPE_CHECKING:
    from hemafeat.evaluate import ClassDrop, Leakage, LearningCurve, Resampling

METRIC = "balanced_accuracy"


@styled
def figure_leakage(found: Leakage, metric: str = METRIC) -> Figure:
    """Scores under each protocol, and how far the others are from the first.

    Parameters
    ----------
    found : Leakage
        From `hemafeat.evaluate.leakage`.
    metric : str
        Of those of a comparison.

    Returns
    -------
    matplotlib.figure.Figure
        Left: a dot per model and protocol, with its interval; leaky ones are open and red. Right:
        the differences with their paired intervals, filled where they miss zero.
    """
    names = [name for name in _choice.models(found.honest) if not _choice.is_baseline(name)]
    names = names or _choice.models(found.honest)
    pooled = found.results[(found.results["fold"] == "all") & (found.results["metric"] == metric)]
    protocols = list(dict.fromkeys(pooled["protocol"]))
    gaps = found.differences[found.differences["metric"] == metric]
    height = 1.25 + (0.24 * len(protocols) + 0.12) * len(names) + 0.2 * len(protocols)
    figure = Figure(figsize=(11, height), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    right.axvline(0, color=INK, lw=1)
    step = 0.7 / len(protocols)
    for place, protocol in enumerate(protocols):
        here = pooled[pooled["protocol"] == protocol]
        leaky = bool(here["leaky"].any())
        colour = VERMILION if leaky else SERIES[(0, 2, 5)[place % 3]][0]
        for row, name in enumerate(names):
            y = row + (place - (len(protocols) - 1) / 2) * step
            value, low, high = here[here["model"] == name][["value", "low", "high"]].mean()
            left.plot([low, high], [y, y], color=colour, lw=2.2, solid_capstyle="round")
            left.plot(
                value,
                y,
                "sD^v"[place % 4] if leaky else "o",
                color=colour,
                mfc=PAPER if leaky else colour,
                mew=1.5,
                ms=6.5,
                label=alike(protocol, 40) if row == 0 else None,
            )
            gap = gaps[(gaps["protocol"] == protocol) & (gaps["model"] == name)]
            if gap.empty:
                continue
            value, low, high = gap[["difference", "low", "high"]].to_numpy(np.float64)[0]
            apart = not low <= 0 <= high
            flatters = (value > 0) == more_is_better(metric)
            shade = (VERMILION if flatters else BLUE) if apart else MUTED
            right.plot([low, high], [y, y], color=shade, lw=2.2, solid_capstyle="round")
            right.plot(value, y, "o", ms=7, mec=shade, mew=1.6, mfc=shade if apart else PAPER)
            right.annotate(
                f"{value:+.3f}  [{low:+.3f}, {high:+.3f}]".replace("-", "\N{MINUS SIGN}"),
                (1.02, y),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=8.5,
                color=INK,
            )
    left.set_yticks(range(len(names)), [alike(name, 34) for name in names])
    left.set_ylim(len(names) - 0.5, -0.5)
    left.set_title(metric_name(metric))
    right.set_title(f"minus {alike(str(gaps['minus'].iloc[0]), 34)}")
    for panel in (left, right):
        panel.grid(axis="x")
        panel.set_axisbelow(True)
        panel.tick_params(left=False)
        panel.spines["left"].set_visible(False)
        panel.margins(x=0.06)
        panel.locator_params(axis="x", nbins=6)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=2)
    return figure


@styled
def figure_learning_curve(found: LearningCurve, metric: str = METRIC) -> Figure:
    """Score against the number of cells trained on.

    Parameters
    ----------
    found : LearningCurve
        From `hemafeat.evaluate.learning_curve`.
    metric : str
        Of those of a comparison.

    Returns
    -------
    matplotlib.figure.Figure
        A line per model, its interval shaded; the last point is all training cells.
    """
    figure = Figure(figsize=(8.6, 4.4), layout="constrained")
    panel = figure.subplots()
    for place, name in enumerate(found.models):
        colour, dash = SERIES[place % len(SERIES)]
        curve = found.curve(name, metric)
        x = curve["n_train"].to_numpy(np.float64)
        panel.fill_between(x, curve["low"], curve["high"], color=colour, alpha=0.13, lw=0)
        panel.plot(x, curve["value"], color=colour, ls=dash, marker="o", ms=5, label=alike(name))
    panel.set_xscale("log")
    curve = found.curve(found.models[0], metric)
    panel.set_xticks(
        curve["n_train"],
        [
            f"{n:.0f}\n{g:.0f} groups" if found.by == "groups" else f"{n:.0f}"
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
def figure_class_drop(found: ClassDrop, model: str | None = None) -> Figure:
    """Where the cells of each class go that was not trained on.

    Parameters
    ----------
    found : ClassDrop
        From `hemafeat.evaluate.class_drop`.
    model : str, optional
        The first by default.

    Returns
    -------
    matplotlib.figure.Figure
        A row for each class left out, which sums to 1; its own field is struck out.
    """
    model = model or found.models[0]
    shares = found.shares(model)
    values = shares.to_numpy(np.float64)
    rows, columns = (
        [alike(str(n), 24) for n in shares.index],
        [alike(str(n), 24) for n in shares.columns],
    )
    size = min((8.6 - 0.085 * max(map(len, rows)) - 0.75) / len(columns), 1.05)
    height = size * len(rows) + 0.065 * max(map(len, columns)) + 0.85
    figure = Figure(figsize=(8.6, height), layout="constrained")
    panel = figure.subplots()
    small = float(np.clip(size * 12.5, 5.5, 9.5))
    for row, column in np.ndindex(values.shape):
        part = values[row, column]
        own = shares.index[row] == shares.columns[column]
        alpha = 0.0 if own or np.isnan(part) else float(part)
        panel.add_patch(Rectangle((column, row), 1, 1, facecolor=HEAT, alpha=alpha, lw=0))
        panel.add_patch(
            Rectangle((column + 0.02, row + 0.02), 0.96, 0.96, fill=False, lw=0.5, edgecolor=GRID)
        )
        if own:
            panel.plot([column + 0.25, column + 0.75], [row + 0.75, row + 0.25], color=MUTED, lw=1)
        elif part > 0:
            panel.text(
                column + 0.5,
                row + 0.52,
                f"{100 * part:.0f}%" if part >= 0.005 else "<1%",
                ha="center",
                va="center",
                fontsize=small,
                fontweight="bold" if part >= 0.2 else "normal",
                color="#ffffff" if part > 0.6 else INK,
            )
    for artist in (*panel.patches, *panel.texts):
        artist.set_in_layout(False)
    panel.set_xlim(0, len(columns))
    panel.set_ylim(len(rows), 0)
    panel.set_aspect("equal")
    panel.set_xticks(
        np.arange(len(columns)) + 0.5, columns, rotation=38, ha="left", rotation_mode="anchor"
    )
    panel.set_yticks(np.arange(len(rows)) + 0.5, rows)
    panel.xaxis.tick_top()
    panel.xaxis.set_label_position("top")
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    panel.set_ylabel("left out of training")
    panel.set_xlabel(f"called by {alike(model, 34)}")
    return figure


@styled
def figure_resampling(found: Resampling, metric: str = METRIC) -> Figure:
    """Scores of cells drawn without and with replacement, under each protocol.

    Parameters
    ----------
    found : Resampling
        From `hemafeat.evaluate.resampling`.
    metric : str
        Of those of a comparison.

    Returns
    -------
    matplotlib.figure.Figure
        Dots with intervals; open where cells were drawn with replacement, red where the split is
        leaky.
    """
    rows = found.summary(metric)
    rows = rows[[not _choice.is_baseline(str(name)) for name in rows["model"]]]
    names = list(dict.fromkeys(rows["model"]))
    conditions: list[Any] = [(with_, split) for with_, split in found.comparisons]
    figure = Figure(
        figsize=(9.6, 0.9 + (0.26 * len(conditions) + 0.14) * len(names)), layout="constrained"
    )
    panel = figure.subplots()
    ticks, labels = [], []
    for row, name in enumerate(names):
        for place, key in enumerate(conditions):
            side = found.comparisons[key]
            pooled = side.results
            here = pooled[
                (pooled["model"] == name) & (pooled["fold"] == "all") & (pooled["metric"] == metric)
            ]
            value, low, high = here[["value", "low", "high"]].to_numpy(np.float64)[0]
            y = row * (len(conditions) + 0.7) + place
            colour = VERMILION if side.leaky else BLUE
            panel.plot([low, high], [y, y], color=colour, lw=2.2, solid_capstyle="round")
            panel.plot(value, y, "o", ms=6.5, mec=colour, mew=1.6, mfc=PAPER if key[0] else colour)
            ticks.append(y)
            drawn = "with replacement" if key[0] else "without"
            labels.append(f"{alike(name, 20)}: {drawn}, {here['protocol'].iloc[0]}")
            panel.annotate(
                number(value),
                (1.02, y),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=8.5,
            )
    panel.set_yticks(ticks, labels)
    panel.set_ylim(max(ticks) + 0.6, -0.6)
    panel.set_xlabel(metric_name(metric))
    panel.grid(axis="x")
    panel.set_axisbelow(True)
    panel.tick_params(left=False)
    panel.spines["left"].set_visible(False)
    panel.margins(x=0.06)
    return figure
