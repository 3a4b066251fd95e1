"""Figures of a comparison: scores, differences, confusion matrices and importances.

Each function returns a new matplotlib ``Figure`` without touching pyplot and its global state. Save
it with ``figure.savefig("scores.pdf")``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hemafeat.report._ranking import metrics as metrics_of, ranking, scores as scores_of
from hemafeat.report._style import (
    BLUE,
    GRID,
    HEAT,
    INK,
    MUTED,
    PAPER,
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
    import pandas as pd
    from matplotlib.axes import Axes

    from hemafeat.evaluate import Comparison

MASK_COLOURS = {"nucleus": "#8c6bb1", "cytoplasm": "#e69f00", "cell": BLUE}


@styled
def figure_scores(
    comparison: Comparison,
    metrics: Sequence[str] | None = None,
    *,
    models: Sequence[str] | None = None,
) -> Figure:
    """Draw the score of every model with its interval, one panel per metric.

    Parameters
    ----------
    comparison : Comparison
        Result of `hemafeat.evaluate.compare`.
    metrics : list of str, optional
        Metrics to show, at most four. By default the first three of the comparison.
    models : list of str, optional
        Models to show, in this order. By default all, the best first; those that ignore the cells
        are grey.

    Returns
    -------
    matplotlib.figure.Figure
        Dots are the scores over all folds, bars their intervals, small ticks the single folds.

    Examples
    --------
    >>> from hemafeat import datasets, evaluate, report
    >>> cells = datasets.drawn_bags(24, cells=(4, 8), random_state=0)
    >>> comparison = evaluate.compare(
    ...     "logistic", cells, groups="patient", n_splits=2, n_boot=20, importance=False
    ... )
    >>> figure = report.figure_scores(comparison)
    >>> [panel.get_title("left") for panel in figure.axes]
    ['Balanced accuracy', 'Macro F1', 'ROC AUC']
    """
    shown = list(metrics or metrics_of(comparison)[:3])[:4]
    names = list(models or comparison.ranked(baselines=True))
    near = _near(comparison)
    figure = Figure(figsize=(11, 0.9 + 0.34 * len(names)), layout="constrained")
    axes = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    single = comparison.results[comparison.results["fold"].astype(str) != "all"]
    for panel, metric in zip(axes, shown, strict=True):
        scores = scores_of(comparison, metric).reindex(names)
        real = [name for name in names if name in near] or names
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
            colour = MUTED if name in comparison.baselines else BLUE
            if name not in real and not panel.get_xlim()[0] <= value <= panel.get_xlim()[1]:
                # To scale, a distant baseline would squeeze the models together.
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
            panel.set_title("lower is better", loc="right", color=MUTED, fontweight="normal")
        style_rows(panel)
    _name_rows(axes[0], comparison, names)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    return figure


def _near(comparison: Comparison) -> set[str]:
    """Return the models that axes must show in full: all but the baselines far from the best."""
    rivals = comparison.rivals()
    return {
        name for name in comparison.models if name not in comparison.baselines or name in rivals
    }


def _name_rows(panel: Axes, comparison: Comparison, names: Sequence[str]) -> None:
    """Write the names of the models beside the rows, grey for those that ignore the cells."""
    panel.set_yticks(range(len(names)), [shortened(name, 34) for name in names])
    for name, label in zip(names, panel.get_yticklabels(), strict=True):
        if name in comparison.baselines:
            label.set_color(MUTED)


@styled
def figure_differences(
    comparison: Comparison,
    metric: str | None = None,
    reference: str | None = None,
    *,
    models: Sequence[str] | None = None,
) -> Figure:
    """Draw the paired differences of all models from one of them as a forest plot.

    Parameters
    ----------
    comparison : Comparison
        Result of `hemafeat.evaluate.compare`.
    metric : str, optional
        One of the metrics in ``comparison.differences``. By default balanced accuracy.
    reference : str, optional
        The model with which the others are compared. By default the best that looks at the cells.
    models : list of str, optional
        Models to show, in this order. By default all, the best first.

    Returns
    -------
    matplotlib.figure.Figure
        Model minus reference; dots are filled if the interval excludes zero. Names of models that
        ignore the cells are grey; one far from the others is off the scale.

    Examples
    --------
    >>> from hemafeat import datasets, evaluate, report
    >>> cells = datasets.drawn_bags(24, cells=(4, 8), random_state=0)
    >>> comparison = evaluate.compare(
    ...     ["logistic", "svc"], cells, groups="patient", n_splits=2, n_boot=20, importance=False
    ... )
    >>> figure = report.figure_differences(comparison, reference="svc")
    >>> figure.axes[0].get_xlabel()
    'Balanced accuracy: model minus svc'
    """
    names = list(models or comparison.ranked(baselines=True))
    metric = metric or difference_metric(comparison)
    reference = reference or next((n for n in ranking(comparison) if n in names), names[0])
    rows = differences_to(comparison, metric, reference, names)
    # To scale, a baseline far below would squeeze the intervals of the others together.
    near = _near(comparison)
    spread = [value for row in rows if row[0] in near for value in row[1:]] or [
        value for row in rows for value in row[1:]
    ]
    ends = np.array([0.0, *(value for value in spread if np.isfinite(value))])
    room = 0.06 * max(float(np.ptp(ends)), 0.01)
    left, right = ends.min() - room, ends.max() + room
    figure = Figure(figsize=(8.6, 1.05 + 0.34 * max(len(rows), 1)), layout="constrained")
    panel = figure.subplots()
    panel.axvline(0, color=INK, lw=1)
    for row, (_, low, value, high) in enumerate(rows):
        apart = not low <= 0 <= high
        worse = (value < 0) == more_is_better(metric)
        colour = (VERMILION if worse else BLUE) if apart else MUTED
        write_beside(panel, row, signed(value, low, high))
        if left <= value <= right:
            draw_interval(panel, row, low, value, high, colour, filled=apart)
        else:
            below = value < left
            panel.annotate(
                "◂" if below else "▸",
                (0.01 if below else 0.99, row),
                xycoords=("axes fraction", "data"),
                ha="left" if below else "right",
                va="center",
                color=colour,
            )
    _name_rows(panel, comparison, [name for name, *_ in rows])
    panel.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    panel.set_xlim(left, right)
    panel.locator_params(axis="x", nbins=6)
    panel.set_xlabel(f"{metric_name(metric)}: model minus {shortened(reference, 34)}")
    style_rows(panel)
    return figure


def difference_metric(comparison: Comparison) -> str:
    """Return the metric of which paired differences are shown."""
    names = list(dict.fromkeys(comparison.differences["metric"]))
    return [*(name for name in metrics_of(comparison) if name in names), *names][0]


def differences_to(
    comparison: Comparison, metric: str, reference: str, models: Sequence[str]
) -> list[tuple[str, float, float, float]]:
    """Return ``(model, low, difference, high)`` of each model minus `reference`."""
    differences: dict[str, tuple[float, float, float]] = {}
    rows = comparison.differences
    rows = rows[rows["metric"] == metric]
    numbers = rows[["low", "difference", "high"]].to_numpy(np.float64)
    for first, second, (low, value, high) in zip(
        rows["model_a"], rows["model_b"], numbers, strict=True
    ):
        if second == reference:
            differences[first] = (low, value, high)
        elif first == reference:
            differences[second] = (-high, -value, -low)
    return [(name, *differences[name]) for name in models if name in differences]


@styled
def figure_confusion(
    comparison: Comparison, model: str | None = None, *, width: float = 8.6
) -> Figure:
    """Draw a confusion matrix, with the share of each true class and the counts.

    Parameters
    ----------
    comparison : Comparison
        Result of `hemafeat.evaluate.compare`.
    model : str, optional
        Name of the model. By default the best.
    width : float, default=8.6
        Width of the figure in inches.

    Returns
    -------
    matplotlib.figure.Figure
        Rows are the truth and sum to 1. Squares on the diagonal are framed.

    Examples
    --------
    >>> from hemafeat import datasets, evaluate, report
    >>> cells = datasets.drawn_bags(24, cells=(4, 8), random_state=0)
    >>> comparison = evaluate.compare(
    ...     "logistic", cells, groups="patient", n_splits=2, n_boot=20, importance=False
    ... )
    >>> panel = report.figure_confusion(comparison, "logistic").axes[0]
    >>> [label.get_text() for label in panel.get_yticklabels()]
    ['malignant', 'reactive']
    """
    model = model or ranking(comparison)[0]
    table = comparison.confusion(model)
    counts = table.to_numpy(np.float64)
    total = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
    figure, panel, size = draw_matrix(shares, table.index, table.columns, width)
    for row, column in np.argwhere(counts > 0):
        share = shares[row, column]
        for y, text, scale, weight in (
            (0.42, percent(share), 1.0, "bold"),
            (0.74, f"{counts[row, column]:.0f}", 0.82, "normal"),
        ):
            panel.text(
                column + 0.5,
                row + y,
                text,
                ha="center",
                va="center",
                fontsize=size * scale,
                fontweight=weight,
                color="#ffffff" if share > 0.6 else INK,
            ).set_in_layout(False)
    for k in range(len(counts)):
        frame = Rectangle((k + 0.02, k + 0.02), 0.96, 0.96, fill=False, lw=1.4, edgecolor=INK)
        panel.add_patch(frame).set_in_layout(False)
    panel.set_ylabel("truth")
    panel.set_xlabel(f"predicted by {shortened(model, 34)}")
    return figure


def percent(share: float) -> str:
    """Format a share for the field of a matrix."""
    return f"{100 * share:.0f}%" if share >= 0.005 else "<1%"


def draw_matrix(
    shares: np.ndarray, rows: Iterable[object], columns: Iterable[object], width: float = 8.6
) -> tuple[Figure, Axes, float]:
    """Draw a matrix of shares as shaded fields.

    Parameters
    ----------
    shares : (n_rows, n_columns) ndarray of float64
        0 to 1; NaN is not shaded.
    rows, columns : iterable
        Names.
    width : float, default=8.6
        Width of the figure in inches.

    Returns
    -------
    figure : Figure
    panel : Axes
        Field (row, column) covers ``column`` to ``column + 1`` and ``row`` to ``row + 1``.
    size : float
        Size of text that fits a field, in points.
    """
    row_names, column_names = ([shortened(str(n), 24) for n in names] for names in (rows, columns))
    n_rows, n_columns = shares.shape
    side = min((width - 0.085 * max(map(len, row_names)) - 0.75) / n_columns, 1.05)
    height = side * n_rows + 0.065 * max(map(len, column_names)) + 0.85
    figure = Figure(figsize=(width, height), layout="constrained")
    panel = figure.subplots()
    for row, column in np.ndindex(shares.shape):
        share = float(np.nan_to_num(shares[row, column]))
        frame = (column + 0.02, row + 0.02), 0.96, 0.96
        for patch in (
            Rectangle((column, row), 1, 1, facecolor=HEAT, alpha=share, lw=0),
            Rectangle(*frame, fill=False, lw=0.5, edgecolor=GRID),
        ):
            # Fields lie inside the axes; measuring each would take most of the time of drawing.
            panel.add_patch(patch).set_in_layout(False)
    panel.set_xlim(0, n_columns)
    panel.set_ylim(n_rows, 0)
    panel.set_aspect("equal")
    panel.set_xticks(
        np.arange(n_columns) + 0.5, column_names, rotation=38, ha="left", rotation_mode="anchor"
    )
    panel.set_yticks(np.arange(n_rows) + 0.5, row_names)
    panel.xaxis.tick_top()
    panel.xaxis.set_label_position("top")
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    return figure, panel, float(np.clip(side * 12.5, 5.5, 9.5))


@styled
def figure_importance(comparison: Comparison, model: str | None = None, n_top: int = 20) -> Figure:
    """Draw the permutation importances of blocks of columns and of single columns.

    Parameters
    ----------
    comparison : Comparison
        Result of `hemafeat.evaluate.compare` with importances.
    model : str, optional
        Name of the model. By default the best of those with importances.
    n_top : int, default=20
        Greatest number of blocks and of columns to show.

    Returns
    -------
    matplotlib.figure.Figure
        Loss of balanced accuracy, mean and standard deviation: left if all columns of one family
        and mask are permuted together, right for single columns. Bars are pale where the loss is
        not above its standard deviation.

    Raises
    ------
    ValueError
        If the comparison was made without importances, or none differs from 0.

    Examples
    --------
    >>> from hemafeat import datasets, evaluate, report
    >>> cells = datasets.drawn_bags(24, cells=(4, 8), random_state=0)
    >>> comparison = evaluate.compare(
    ...     "logistic", cells, groups="patient", n_splits=2, n_boot=20
    ... )
    >>> figure = report.figure_importance(comparison, n_top=5)
    >>> [panel.get_title("left") for panel in figure.axes]
    ['All columns of a family and mask', 'Single columns']
    """
    model = model or next(iter(importance_models(comparison, ranking(comparison))), None)
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
            "this comparison holds no importances: compare with importance=True; columns that do "
            "not change a score are not shown"
        )
    n_lines = max(6, *(len(rows) for rows in parts.values()))
    figure = Figure(figsize=(5.5 * len(parts), 1.0 + 0.235 * n_lines), layout="constrained")
    axes = figure.subplots(1, len(parts), squeeze=False)[0]
    for panel, (title, rows) in zip(axes, parts.items(), strict=True):
        for mask in dict.fromkeys([*MASK_COLOURS, *rows["mask"]]):
            index = np.flatnonzero(rows["mask"] == mask)
            if index.size:
                value, sd = rows["importance"].to_numpy(), rows["sd"].fillna(0.0).to_numpy()
                bars = panel.barh(
                    index,
                    value[index],
                    xerr=sd[index],
                    height=0.7,
                    color=MASK_COLOURS.get(mask, MUTED),
                    label=mask or "no mask",
                    error_kw={"ecolor": INK, "elinewidth": 1, "capsize": 2},
                )
                for bar, row in zip(bars, index, strict=True):
                    if value[row] <= sd[row]:
                        bar.set_alpha(0.4)
        panel.axvline(0, color=INK, lw=0.8)
        single = title == "Single columns"
        names = rows["column"] if single else rows["mask"] + " · " + rows["family"]
        panel.set_yticks(range(len(rows)), [shortened(str(name), 42) for name in names])
        panel.set_ylim(n_lines - 0.4, -0.6)
        panel.set_title(title)
        if panel is axes[0]:
            panel.legend(loc="lower right", title="mask", title_fontsize=8.5)
        panel.locator_params(axis="x", nbins=5)
        panel.set_xlabel("balanced accuracy lost when permuted")
        style_rows(panel)
    return figure


_FAMILIAR = (
    "cell__shape__area",
    "cell__relation__nucleus_to_cell_area_ratio",
    "nucleus__lobes__n_lobes",
    "nucleus__shape__solidity",
)
"""Columns that are read off a smear by eye: size, ratio of nucleus and cell, lobes, indentation."""

_ALIKE = 0.95
"""Rank correlation from which two columns order the cells as one does."""


@styled
def figure_distributions(
    table: pd.DataFrame,
    columns: Sequence[str],
    *,
    label: str | Sequence[object] = "label",
) -> Figure:
    """Draw the values of some columns in each class as box plots.

    Parameters
    ----------
    table : DataFrame
        Table of cells.
    columns : list of str
        Columns of numbers to draw, a panel each.
    label : str or sequence, default="label"
        Column of the classes, or the class of each cell. Cells without one are left out.

    Returns
    -------
    matplotlib.figure.Figure
        Boxes are the middle half of the cells of a class, with the median; whiskers reach from the
        5th to the 95th percentile. Titles are the names of the columns in plain words.

    Raises
    ------
    ValueError
        If there is no such column, or no cell has a class.

    Examples
    --------
    >>> from hemafeat import datasets, extract, report
    >>> cells = datasets.drawn("cells", 6, size=120, random_state=0)
    >>> table = extract.table(cells, families=["shape"])
    >>> figure = report.figure_distributions(table, ["nucleus__shape__area"])
    >>> figure.axes[0].get_title("left"), figure.axes[0].get_xlabel()
    ('area of the nucleus', 'um^2')
    """
    from hemafeat import extract

    missing = [name for name in [*columns, label] if isinstance(name, str) and name not in table]
    if missing:
        raise ValueError(f"the table has no column {missing[0]!r}")
    labels = np.asarray(table[label] if isinstance(label, str) else label, dtype=object)
    known = np.array([value is not None and value == value for value in labels], dtype=bool)
    classes = sorted({str(value) for value in labels[known]})
    if not classes or not len(columns):
        raise ValueError("no cell has a class" if not classes else "no column was given")
    scale = ["um_per_px"] if "um_per_px" in table else []
    described = extract.describe(table[[*columns, *scale]]).set_index("column")[["name", "unit"]]
    text = np.array([str(value) for value in labels])
    n_across = min(4, len(columns))
    n_down = -(-len(columns) // n_across)
    height = 0.75 + 0.21 * len(classes)
    figure = Figure(figsize=(11, n_down * height), layout="constrained")
    axes = figure.subplots(n_down, n_across, sharey=True, squeeze=False).ravel()
    for panel, name in zip(axes, columns, strict=False):
        values = table[name].to_numpy(np.float64, na_value=np.nan)
        groups = [values[known & (text == k) & np.isfinite(values)] for k in classes]
        panel.boxplot(
            groups,
            orientation="horizontal",
            whis=(5, 95),
            widths=0.62,
            showfliers=False,
            patch_artist=True,
            manage_ticks=False,
            boxprops={"facecolor": BLUE, "alpha": 0.35, "edgecolor": BLUE},
            medianprops={"color": INK, "lw": 1.6},
            whiskerprops={"color": MUTED},
            capprops={"color": MUTED},
        )
        panel.set_yticks(range(1, len(classes) + 1), [shortened(k, 22) for k in classes])
        panel.set_ylim(len(classes) + 0.6, 0.4)
        # An attribute, such as the age, is called as its column.
        words, unit = described.loc[name] if name in described.index else (name, "")
        panel.set_title(shortened(str(words), 31))
        panel.set_xlabel("" if unit == "1" else str(unit))
        panel.locator_params(axis="x", nbins=4)
        style_rows(panel)
    for panel in axes[len(columns) :]:
        panel.set_visible(False)
    return figure


def shown_columns(comparison: Comparison, model: str, table: pd.DataFrame, n: int = 8) -> list[str]:
    """Return the columns of which the page shows the distributions.

    They are those that are read off by eye, then those that matter most to the model, without those
    that order the cells as one shown does.
    """
    from hemafeat import extract

    chosen = [name for name in _FAMILIAR if name in table and table[name].notna().any()]
    ranked = importance_rows(comparison, model, "column") if model else None
    candidates = [] if ranked is None else list(ranked.loc[ranked["importance"] > 0, "column"])
    candidates = [name for name in candidates if name.count("__") > 1]  # no attributes
    current = dict(zip(extract.current_names(candidates), candidates, strict=True))
    ranks = table[[name for name in [*chosen, *current] if name in table]].rank()
    for name in current:
        if len(chosen) >= n:
            break
        if name not in table or name in chosen:
            continue
        alike = ranks[chosen].corrwith(ranks[name]).abs().to_numpy() if chosen else np.zeros(0)
        if not (alike > _ALIKE).any():
            chosen.append(name)
    return chosen


def ties(comparison: Comparison, model: str) -> str:
    """Say which of the most important single columns cannot be told apart."""
    rows = importance_rows(comparison, model, "column")
    if len(rows) < 2:
        return ""
    value, sd = (rows[name].fillna(0.0).to_numpy(np.float64) for name in ("importance", "sd"))
    if value[0] <= sd[0]:
        return (
            "No single column stands out: the greatest loss is not above its own standard "
            "deviation, so that the order of single columns says nothing."
        )
    # The losses are of different columns, each with its own spread.
    apart = value[0] - value > np.hypot(sd[0], sd)
    n_tied = int(np.argmax(apart)) if apart.any() else len(rows)
    equal = int((np.abs(value - value[0]) < 5e-5).sum())
    if n_tied < 2:
        return ""
    same = f" (the first {equal} have the same loss)" if equal > 1 else ""
    return (
        f"The first {n_tied} single columns{same} cannot be told apart: their losses differ by "
        "less than the standard deviation of the difference."
    )


def importance_models(comparison: Comparison, models: Sequence[str]) -> list[str]:
    """Return the models whose score changes when some column is permuted."""
    rows = comparison.importances
    names = set(rows.loc[(rows["importance"] != 0) | (rows["sd"] != 0), "model"])
    return [name for name in models if name in names]


def importance_rows(comparison: Comparison, model: str, kind: str) -> pd.DataFrame:
    """Return the importances of one model that differ from 0, the greatest first.

    Parameters
    ----------
    comparison : Comparison
        Result of `hemafeat.evaluate.compare`.
    model : str
        Name of the model.
    kind : {"block", "column"}
        All columns of a mask and family together, or single columns.
    """
    rows = comparison.importances
    rows = rows[(rows["model"] == model) & (rows["kind"] == kind)]
    keys = ["mask", "family", "column"]
    rows = rows.assign(**{key: rows[key].fillna("").astype(str) for key in keys})
    rows = rows[(rows["importance"] != 0) | (rows["sd"] != 0)]
    order = ["importance", *keys]
    return rows.sort_values(order, ascending=[False, True, True, True], ignore_index=True)
