"""Figures of scores: models side by side, their differences, confusion, what features matter.

Each function takes a comparison and returns a matplotlib ``Figure`` of its own; pyplot and its
global state are never touched. Save one with ``figure.savefig("scores.pdf")``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    VERMILION,
    alike,
    metric_name,
    more_is_better,
    number,
    styled,
)

if TYPE_CHECKING:
    import pandas as pd

    from hemafeat.evaluate import Comparison

MASK_COLOURS = {"nucleus": "#8c6bb1", "cytoplasm": "#e69f00", "cell": BLUE}


@styled
def figure_scores(comparison: Comparison, metrics: list[str] | None = None) -> Figure:
    """Score of every model with its interval, one panel per metric.

    Parameters
    ----------
    comparison : Comparison
        From `hemafeat.evaluate.compare`.
    metrics : list of str, optional
        Up to four metrics of the comparison; the first ones by default.

    Returns
    -------
    matplotlib.figure.Figure
        Dots are the scores over all folds, bars their intervals, small ticks the single folds.
    """
    shown = (metrics or _choice.metrics(comparison)[:3])[:4]
    names = _choice.models(comparison)
    figure = Figure(figsize=(11, 0.9 + 0.34 * len(names)), layout="constrained")
    axes = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    single = comparison.results[comparison.results["fold"].astype(str) != "all"]
    for panel, metric in zip(axes, shown, strict=True):
        scores = _choice.scores(comparison, metric).reindex(names)
        real = [name for name in names if not _choice.is_baseline(name)] or names
        of_metric = single[single["metric"] == metric]
        spread = np.append(
            scores.loc[real].to_numpy().ravel(),
            of_metric.loc[of_metric["model"].isin(real), "value"].to_numpy(np.float64),
        )
        spread = spread[np.isfinite(spread)]
        panel.locator_params(axis="x", nbins=5)
        if spread.size:
            room = 0.06 * max(float(np.ptp(spread)), 0.02)
            panel.set_xlim(spread.min() - room, spread.max() + room)
        for row, name in enumerate(names):
            value, low, high = scores.loc[name]
            colour = MUTED if _choice.is_baseline(name) else BLUE
            if name not in real and not panel.get_xlim()[0] <= value <= panel.get_xlim()[1]:
                # Drawn to scale, a baseline far away would press the models together.
                left = value < panel.get_xlim()[0]
                panel.annotate(
                    f"◂ {number(value)}" if left else f"{number(value)} ▸",
                    (0.01 if left else 0.99, row),
                    xycoords=("axes fraction", "data"),
                    ha="left" if left else "right",
                    va="center",
                    color=MUTED,
                    fontsize=8.5,
                )
                continue
            folds = of_metric.loc[of_metric["model"] == name, "value"]
            panel.plot(folds, np.full(len(folds), row), "|", color=MUTED, ms=7, mew=0.9)
            panel.plot([low, high], [row, row], color=colour, lw=2.6, solid_capstyle="round")
            panel.plot(value, row, "o", color=colour, ms=6.5, mec=PAPER, mew=0.9)
        panel.set_title(metric_name(metric))
        if not more_is_better(metric):
            panel.set_title("less is better", loc="right", color=MUTED, fontweight="normal")
        panel.grid(axis="x")
        panel.set_axisbelow(True)
        panel.tick_params(left=False)
        panel.spines["left"].set_visible(False)
    axes[0].set_yticks(range(len(names)), [alike(name, 34) for name in names])
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    return figure


@styled
def figure_differences(
    comparison: Comparison, metric: str | None = None, reference: str | None = None
) -> Figure:
    """Forest plot of how far every model is from one of them, on the same resamples.

    Parameters
    ----------
    comparison : Comparison
        From `hemafeat.evaluate.compare`.
    metric : str, optional
        Of those in ``comparison.differences``; the best known by default.
    reference : str, optional
        The model the others are compared with; the best by default.

    Returns
    -------
    matplotlib.figure.Figure
        Model minus reference, without the baselines; filled where the interval misses zero.
    """
    metric = metric or difference_metric(comparison)
    reference = reference or _choice.best(comparison)
    rows = differences_to(comparison, metric, reference)
    # Far below everything, a baseline would press the intervals of the others together.
    rows = [row for row in rows if not _choice.is_baseline(row[0])] or rows
    figure = Figure(figsize=(8.6, 1.05 + 0.34 * max(len(rows), 1)), layout="constrained")
    panel = figure.subplots()
    panel.axvline(0, color=INK, lw=1)
    for row, (_, low, value, high) in enumerate(rows):
        apart = not low <= 0 <= high
        worse = (value < 0) == more_is_better(metric)
        colour = (VERMILION if worse else BLUE) if apart else MUTED
        panel.plot([low, high], [row, row], color=colour, lw=2.2, solid_capstyle="round")
        panel.plot(value, row, "o", ms=7, mec=colour, mew=1.6, mfc=colour if apart else PAPER)
        text = f"{value:+.3f}  [{low:+.3f}, {high:+.3f}]".replace("-", "\N{MINUS SIGN}")
        panel.annotate(
            text,
            (1.02, row),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=8.5,
            color=INK,
        )
    panel.set_yticks(range(len(rows)), [alike(name, 34) for name, *_ in rows])
    panel.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    panel.margins(x=0.06)
    panel.locator_params(axis="x", nbins=6)
    panel.set_xlabel(f"{metric_name(metric)}: model minus {alike(reference, 34)}")
    panel.grid(axis="x")
    panel.set_axisbelow(True)
    panel.tick_params(left=False)
    panel.spines["left"].set_visible(False)
    return figure


def difference_metric(comparison: Comparison) -> str:
    """The metric whose paired differences are shown."""
    found = list(dict.fromkeys(comparison.differences["metric"]))
    known = [name for name in _choice.metrics(comparison) if name in found]
    return (known or found)[0]


def differences_to(
    comparison: Comparison, metric: str, reference: str
) -> list[tuple[str, float, float, float]]:
    """``(model, low, difference, high)`` of model minus `reference`, best first."""
    found: dict[str, tuple[float, float, float]] = {}
    rows = comparison.differences
    rows = rows[rows["metric"] == metric]
    numbers = rows[["low", "difference", "high"]].to_numpy(np.float64)
    for first, second, (low, value, high) in zip(
        rows["model_a"], rows["model_b"], numbers, strict=True
    ):
        if second == reference:
            found[first] = (low, value, high)
        elif first == reference:
            found[second] = (-high, -value, -low)
    return [(name, *found[name]) for name in _choice.models(comparison) if name in found]


@styled
def figure_confusion(
    comparison: Comparison, model: str | None = None, *, width: float = 8.6
) -> Figure:
    """Confusion matrix: the share of each true class that was called each class, and the count.

    Parameters
    ----------
    comparison : Comparison
        From `hemafeat.evaluate.compare`.
    model : str, optional
        The best by default.
    width : float
        Of the figure, in inches.

    Returns
    -------
    matplotlib.figure.Figure
        Rows are the truth and sum to 1. Squares on the diagonal are framed.
    """
    model = model or _choice.best(comparison)
    counts = comparison.confusion(model)
    found = counts.to_numpy(np.float64)
    total = found.sum(axis=1, keepdims=True)
    share = np.divide(found, total, out=np.zeros_like(found), where=total > 0)
    n_rows, n_columns = found.shape
    names = [alike(str(name), 24) for name in counts.columns]
    truths = [alike(str(name), 24) for name in counts.index]
    margin = 0.085 * max(map(len, truths)) + 0.75
    size = (width - margin) / n_columns
    size = min(size, 1.05)
    figure = Figure(
        figsize=(width, size * n_rows + 0.065 * max(map(len, names)) + 0.85), layout="constrained"
    )
    panel = figure.subplots()
    small = float(np.clip(size * 12.5, 5.5, 9.5))
    for row in range(n_rows):
        for column in range(n_columns):
            part = share[row, column]
            panel.add_patch(Rectangle((column, row), 1, 1, facecolor=HEAT, alpha=float(part), lw=0))
            panel.add_patch(
                Rectangle(
                    (column + 0.02, row + 0.02),
                    0.96,
                    0.96,
                    fill=False,
                    lw=1.4 if row == column else 0.5,
                    edgecolor=INK if row == column else GRID,
                )
            )
            if found[row, column] == 0:
                continue
            colour = "#ffffff" if part > 0.6 else INK
            centre = column + 0.5
            panel.text(
                centre,
                row + 0.42,
                f"{100 * part:.0f}%" if part >= 0.005 else "<1%",
                ha="center",
                va="center",
                fontsize=small,
                fontweight="bold",
                color=colour,
            )
            panel.text(
                centre,
                row + 0.74,
                f"{found[row, column]:.0f}",
                ha="center",
                va="center",
                fontsize=small * 0.82,
                color=colour,
            )
    for artist in (*panel.patches, *panel.texts):
        # They lie inside the axes; measuring each of them would take most of the time.
        artist.set_in_layout(False)
    panel.set_xlim(0, n_columns)
    panel.set_ylim(n_rows, 0)
    panel.set_aspect("equal")
    panel.set_xticks(
        np.arange(n_columns) + 0.5, names, rotation=38, ha="left", rotation_mode="anchor"
    )
    panel.set_yticks(
        np.arange(n_rows) + 0.5,
        [f"{name}" for name in truths],
    )
    panel.xaxis.tick_top()
    panel.xaxis.set_label_position("top")
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    panel.set_ylabel("truth")
    panel.set_xlabel(f"predicted by {alike(model, 34)}")
    return figure


@styled
def figure_importance(comparison: Comparison, model: str | None = None, n_top: int = 20) -> Figure:
    """What a model uses: importance by family and mask, and of the top columns.

    Parameters
    ----------
    comparison : Comparison
        With ``importances``.
    model : str, optional
        The best of those with importances by default.
    n_top : int
        How many blocks, and how many columns.

    Returns
    -------
    matplotlib.figure.Figure
        Loss of balanced accuracy, mean and standard deviation: left when all columns of one family
        and mask are permuted together, right for single columns.

    Raises
    ------
    ValueError
        The comparison was made without importances, or none differs from 0.
    """
    model = model or importance_model(comparison)
    parts = {
        title: importance_rows(comparison, model, kind).head(n_top)
        for title, kind in (
            ("All columns of a family and mask", "block"),
            ("Single columns", "column"),
        )
        if model is not None
    }
    parts = {title: rows for title, rows in parts.items() if len(rows)}
    if not parts:
        raise ValueError(
            "this comparison holds no importances: none was asked for, or no column changes a score"
        )
    n_lines = max(6, *(len(rows) for rows in parts.values()))
    figure = Figure(figsize=(5.5 * len(parts), 1.0 + 0.235 * n_lines), layout="constrained")
    axes = figure.subplots(1, len(parts), squeeze=False)[0]
    for panel, (title, rows) in zip(axes, parts.items(), strict=True):
        for mask in dict.fromkeys([*MASK_COLOURS, *rows["mask"]]):
            at = np.flatnonzero(rows["mask"] == mask)
            if at.size:
                panel.barh(
                    at,
                    rows["importance"].to_numpy()[at],
                    xerr=rows["sd"].fillna(0.0).to_numpy()[at],
                    height=0.7,
                    color=MASK_COLOURS.get(mask, MUTED),
                    label=mask or "no mask",
                    error_kw={"ecolor": INK, "elinewidth": 1, "capsize": 2},
                )
        panel.axvline(0, color=INK, lw=0.8)
        single = title == "Single columns"
        names = rows["column"] if single else rows["mask"] + " · " + rows["family"]
        panel.set_yticks(range(len(rows)), [alike(str(name), 42) for name in names])
        panel.set_ylim(n_lines - 0.4, -0.6)
        panel.set_title(title)
        if panel is axes[0]:
            panel.legend(loc="lower right", title="mask", title_fontsize=8.5)
        panel.locator_params(axis="x", nbins=5)
        panel.set_xlabel("balanced accuracy lost when permuted")
        panel.grid(axis="x")
        panel.set_axisbelow(True)
        panel.tick_params(left=False)
        panel.spines["left"].set_visible(False)
    return figure


def importance_model(comparison: Comparison) -> str | None:
    """The best model that has importances, if any has."""
    return next(iter(importance_models(comparison)), None)


def importance_models(comparison: Comparison) -> list[str]:
    """Models whose score some column changes, best first."""
    found = comparison.importances
    known = set(found.loc[(found["importance"] != 0) | (found["sd"] != 0), "model"])
    return [name for name in _choice.models(comparison) if name in known]


def importance_rows(comparison: Comparison, model: str, kind: str) -> pd.DataFrame:
    """Importances of one model other than 0, greatest first; `kind`: ``"block"``, ``"column"``."""
    rows = comparison.importances
    rows = rows[(rows["model"] == model) & (rows["kind"] == kind)]
    keys = ["mask", "family", "column"]
    rows = rows.assign(**{key: rows[key].fillna("").astype(str) for key in keys})
    # Most single columns of many can be spared: they are not worth a line each.
    rows = rows[(rows["importance"] != 0) | (rows["sd"] != 0)]
    order = ["importance", *keys]
    return rows.sort_values(order, ascending=[False, True, True, True], ignore_index=True)
