"""Figures of probabilities: ROC curves, precision-recall curves and calibration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from hemafeat.report._ranking import predictions_of, probabilities, ranking
from hemafeat.report._style import (
    BLUE,
    GRID,
    INK,
    MUTED,
    PAPER,
    SERIES,
    VERMILION,
    shortened,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hemafeat.evaluate import Comparison

GRID_POINTS = 401
"""Number of points at which curves of classes are averaged."""

Curve = tuple[np.ndarray, np.ndarray, float]


@styled
def figure_roc(
    comparison: Comparison, model: str | None = None, *, models: Sequence[str] | None = None
) -> Figure:
    """Draw receiver operating characteristics, one class against the rest.

    Parameters
    ----------
    comparison : Comparison
        Result of `hemafeat.evaluate.compare`.
    model : str, optional
        Draw one panel per class, with this model in colour and the others in grey. By default the
        mean over the classes (macro) is drawn, with one line per model.
    models : list of str, optional
        Models to show, in this order. By default all, the best first and the baselines last.

    Returns
    -------
    matplotlib.figure.Figure
        The test cells of all folds are pooled. Models without probabilities are left out.

    Examples
    --------
    >>> from hemafeat import datasets, evaluate, report
    >>> cells = datasets.drawn_bags(24, cells=(4, 8), random_state=0)
    >>> comparison = evaluate.compare(
    ...     "logistic", cells, groups="patient", n_splits=2, n_boot=20, importance=False
    ... )
    >>> figure = report.figure_roc(comparison, "logistic")
    >>> [panel.get_title("left") for panel in figure.axes]
    ['malignant', 'reactive']
    """
    names = with_probabilities(comparison, models or ranking(comparison))
    return (
        _macro(comparison, names, "roc")
        if model is None
        else _per_class(comparison, model, names, "roc")
    )


@styled
def figure_precision_recall(
    comparison: Comparison, model: str | None = None, *, models: Sequence[str] | None = None
) -> Figure:
    """Draw precision against recall, one class against the rest.

    Parameters
    ----------
    comparison : Comparison
        Result of `hemafeat.evaluate.compare`.
    model, models
        As in `figure_roc`.

    Returns
    -------
    matplotlib.figure.Figure
        The area is the average precision. A dotted line marks the precision of guessing, which is
        the share of the class.

    Examples
    --------
    >>> from hemafeat import datasets, evaluate, report
    >>> cells = datasets.drawn_bags(24, cells=(4, 8), random_state=0)
    >>> comparison = evaluate.compare(
    ...     "logistic", cells, groups="patient", n_splits=2, n_boot=20, importance=False
    ... )
    >>> report.figure_precision_recall(comparison).axes[0].get_ylabel()
    'precision (mean over classes)'
    """
    names = with_probabilities(comparison, models or ranking(comparison))
    return (
        _macro(comparison, names, "pr")
        if model is None
        else _per_class(comparison, model, names, "pr")
    )


@styled
def figure_calibration(
    comparison: Comparison, n_bins: int = 15, *, models: Sequence[str] | None = None
) -> Figure:
    """Draw the accuracy of each model by its confidence (reliability diagram).

    Parameters
    ----------
    comparison : Comparison
        Result of `hemafeat.evaluate.compare`.
    n_bins : int, default=15
        Number of bins of equal width over the probability of the likeliest class.
    models : list of str, optional
        Models to show, in this order. By default all, the best first and the baselines last.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per model that gives probabilities: accuracy per bin with its Wilson interval
        (95 %), the share of the cells in the bin as grey bars, and the expected calibration error
        (ECE). Of a `hemafeat.pipelines.SelectiveClassifier`, a grey line shows the probabilities
        before calibration.

    References
    ----------
    .. [1] C. Guo et al., "On calibration of modern neural networks", ICML 2017.

    Examples
    --------
    >>> from hemafeat import datasets, evaluate, report
    >>> cells = datasets.drawn_bags(24, cells=(4, 8), random_state=0)
    >>> comparison = evaluate.compare(
    ...     "logistic", cells, groups="patient", n_splits=2, n_boot=20, importance=False
    ... )
    >>> figure = report.figure_calibration(comparison)
    >>> [panel.get_title("left") for panel in figure.axes]
    ['logistic', 'baseline']
    """
    names = with_probabilities(comparison, models or ranking(comparison))
    figure, axes = _panels(len(names), 2.75)
    for panel, name in zip(axes, names, strict=True):
        confidence, accuracy, n_cells, error = reliability(comparison, name, n_bins)
        edges = np.linspace(0, 1, n_bins + 1)
        panel.bar(
            edges[:-1],
            n_cells / max(n_cells.sum(), 1),
            width=1 / n_bins,
            align="edge",
            color=GRID,
            linewidth=0,
        )
        panel.plot([0, 1], [0, 1], ":", color=MUTED, lw=1.2)
        before = uncalibrated(comparison, name)
        if before is not None:
            of_bins = reliability(comparison, name, n_bins, before)
            there = of_bins[2] > 0
            panel.plot(of_bins[0][there], of_bins[1][there], "s-", color=MUTED, ms=3.5, lw=1.1)
        filled = n_cells > 0
        low, high = _wilson(accuracy[filled], n_cells[filled])
        panel.vlines(confidence[filled], low, high, color=BLUE, lw=1.2)
        panel.plot(confidence[filled], accuracy[filled], "o-", color=BLUE, ms=4.5, lw=1.4)
        panel.set_title(shortened(name, 16 if before is None else 10))
        text = f"ECE {error:.3f}" if before is None else f"ECE {of_bins[3]:.3f} → {error:.3f}"
        panel.set_title(text, loc="right", fontweight="normal", fontsize=8.5)
        panel.set_xlim(0, 1)
        panel.set_ylim(0, 1.02)
        panel.set_xticks([0, 0.5, 1])
        panel.set_yticks([0, 0.5, 1])
        panel.set_aspect("equal", adjustable="box")
    figure.supxlabel("probability of the likeliest class", fontsize=9)
    figure.supylabel(f"share of {comparison.unit}s predicted correctly", fontsize=9)
    return figure


def with_probabilities(comparison: Comparison, models: Sequence[str]) -> list[str]:
    """Return the models that predict class probabilities."""
    return [name for name in models if probabilities(comparison, name) is not None]


def uncalibrated(comparison: Comparison, model: str) -> np.ndarray | None:
    """Return the probabilities of a model before calibration; None if they were not calibrated."""
    rows = predictions_of(comparison, model)
    columns = [f"uncalibrated__{name}" for name in comparison.classes]
    if not set(columns) <= set(rows.columns):
        return None
    values = rows[columns].to_numpy(np.float64, na_value=np.nan)
    return values if np.isfinite(values).all() else None


def reliability(
    comparison: Comparison, model: str, n_bins: int = 15, values: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Compute the confidence and accuracy of a model in bins of confidence.

    The confidence is the highest probability, and the prediction its class, which need not be the
    one that the model predicts. `values` are the probabilities, by default those of the model.

    Returns
    -------
    confidence, accuracy, n_cells : (n_bins,) ndarray of float64
        Means and number of cells of each bin.
    error : float
        Expected calibration error.
    """
    truth = predictions_of(comparison, model)["truth"].astype(str).to_numpy(dtype=object)
    values = probabilities(comparison, model) if values is None else values
    assert values is not None
    top = values.argmax(axis=1)
    confidence = values[np.arange(top.size), top]
    hit = (np.array(comparison.classes, dtype=object)[top] == truth).astype(np.float64)
    # Bins are (a, b], as in the calibration error of `evaluate`.
    bins = np.clip(np.ceil(confidence * n_bins).astype(int) - 1, 0, n_bins - 1)
    n_cells = np.bincount(bins, minlength=n_bins).astype(np.float64)
    divisor = np.maximum(n_cells, 1)
    mean = np.bincount(bins, confidence, n_bins) / divisor
    accuracy = np.bincount(bins, hit, n_bins) / divisor
    error = float((np.abs(mean - accuracy) * n_cells).sum() / max(n_cells.sum(), 1))
    return mean, accuracy, n_cells, error


def _wilson(share: np.ndarray, n: np.ndarray, z: float = 1.96) -> tuple[np.ndarray, np.ndarray]:
    """Compute the Wilson interval of a share of n."""
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return middle - half, middle + half


def curve(positive: np.ndarray, score: np.ndarray, kind: str) -> Curve | None:
    """Compute x, y and area of a ROC (``"roc"``) or precision-recall (``"pr"``) curve.

    Returns
    -------
    (x, y, area), or None
        None if there are no positive or no negative rows, and so no curve.
    """
    from sklearn.metrics import precision_recall_curve, roc_curve

    if positive.all() or not positive.any():
        return None
    if kind == "roc":
        x, y, _ = roc_curve(positive, score)
        return x, y, float(np.trapezoid(y, x))
    precision, recall, _ = precision_recall_curve(positive, score)
    # The step area, as scikit-learn defines average precision, and not the trapezoids.
    area = -float(np.sum(np.diff(recall) * precision[:-1]))
    return recall[::-1], precision[::-1], area


def _curves(comparison: Comparison, model: str, kind: str) -> dict[str, Curve | None]:
    """Compute the curve of each class."""
    values = probabilities(comparison, model)
    if values is None:
        return {}
    truth = predictions_of(comparison, model)["truth"].astype(str).to_numpy(dtype=object)
    return {
        name: curve(truth == str(name), values[:, index], kind)
        for index, name in enumerate(comparison.classes)
    }


def _on_grid(x: np.ndarray, y: np.ndarray, kind: str) -> np.ndarray:
    """Interpolate a curve on a common grid of x, so that classes can be averaged."""
    grid = np.linspace(0, 1, GRID_POINTS)
    if kind == "roc":
        # Several y share an x where the curve rises: it reaches the first and leaves the last.
        last = np.searchsorted(x, grid, side="right") - 1
        after = np.minimum(last + 1, x.size - 1)
        share = (grid - x[last]) / np.maximum(x[after] - x[last], np.finfo(float).tiny)
        return y[last] + share * (y[after] - y[last])
    # Precision is a step function of recall: the value of the next recall reached.
    index = np.clip(np.searchsorted(x, grid, side="left"), 0, x.size - 1)
    return y[index]


def _thin(x: np.ndarray, y: np.ndarray, limit: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Return at most `limit` points of a curve."""
    if x.size <= limit:
        return x, y
    keep = np.unique(np.linspace(0, x.size - 1, limit).astype(int))
    return x[keep], y[keep]


def _set_up_axes(panel: Axes, kind: str) -> None:
    panel.set_xlim(-0.015, 1.015)
    panel.set_ylim(-0.015, 1.015)
    panel.set_xticks([0, 0.5, 1])
    panel.set_yticks([0, 0.5, 1])
    panel.set_aspect("equal", adjustable="box")
    panel.grid(True)
    panel.set_axisbelow(True)
    panel.set_anchor("W")
    if kind == "roc":
        panel.plot([0, 1], [0, 1], ":", color=MUTED, lw=1.2)


def _panels(n: int, size: float) -> tuple[Figure, list[Axes]]:
    """Make `n` square panels in rows with as few gaps as possible."""
    n_columns = n if n <= 3 else min((4, 3), key=lambda columns: (-n % columns, -columns))
    n_rows = math.ceil(max(n, 1) / n_columns)
    width = size * n_columns if n_columns > 1 else size + 1.2
    figure = Figure(figsize=(width, 0.45 + size * n_rows), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.07, w_pad=0.1)  # type: ignore[union-attr, call-arg]
    axes = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    for k, panel in enumerate(axes.flat):
        panel.set_visible(k < n)
        panel.tick_params(labelbottom=k + n_columns >= n)
    return figure, list(axes.flat[:n])


def _labels(kind: str) -> tuple[str, str]:
    if kind == "roc":
        return "false positive rate", "true positive rate"
    return "recall", "precision"


def _macro(comparison: Comparison, models: Sequence[str], kind: str) -> Figure:
    """Draw the mean curve over the classes, with one line per model."""
    figure = Figure(figsize=(8.2, 4.6), layout="constrained")
    panel = figure.subplots()
    _set_up_axes(panel, kind)
    grid = np.linspace(0, 1, GRID_POINTS)
    for k, name in enumerate(models):
        curves = [c for c in _curves(comparison, name, kind).values() if c is not None]
        if not curves:
            continue
        mean = np.mean([_on_grid(x, y, kind) for x, y, _ in curves], axis=0)
        area = float(np.mean([a for _, _, a in curves]))
        colour, dash = SERIES[k % len(SERIES)]
        x, y = grid, mean
        if kind == "roc":
            x, y = np.insert(grid, 0, 0.0), np.insert(mean, 0, 0.0)
        panel.plot(x, y, color=colour, ls=dash, label=f"{area:.3f}  {shortened(name, 34)}")
    x_label, y_label = _labels(kind)
    panel.set_xlabel(f"{x_label} (mean over classes)" if kind == "roc" else x_label)
    panel.set_ylabel(f"{y_label} (mean over classes)")
    if panel.get_legend_handles_labels()[0]:
        panel.legend(
            loc="center left",
            bbox_to_anchor=(1.02, 0.5),
            title="area, model" if kind == "roc" else "average precision, model",
            title_fontsize=9,
            alignment="left",
            handlelength=3.2,
            labelspacing=0.7,
        )
    return figure


def _per_class(comparison: Comparison, model: str, models: Sequence[str], kind: str) -> Figure:
    """Draw one panel per class, with `model` in colour and the other models in grey."""
    classes = list(comparison.classes)
    figure, axes = _panels(len(classes), 2.75)
    others = {
        name: _curves(comparison, name, kind)
        for name in models
        if name != model and name not in comparison.baselines
    }
    own = _curves(comparison, model, kind)
    noun = comparison.unit
    truth = predictions_of(comparison, model)["truth"].astype(str)
    for panel, name in zip(axes, classes, strict=True):
        _set_up_axes(panel, kind)
        share = float((truth == str(name)).mean())
        if kind == "pr":
            panel.axhline(share, ls=":", color=MUTED, lw=1.2)
        steps = "steps-pre" if kind == "pr" else "default"
        for curves in others.values():
            other = curves[name]
            if other is not None:
                x, y = _thin(other[0], other[1], limit=120)
                panel.plot(x, y, color=MUTED, lw=0.7, alpha=0.55, drawstyle=steps)
        panel.set_title(shortened(str(name), 22))
        drawn = own.get(name)
        if drawn is None:
            text = f"no {noun} of this class in the test parts"
        else:
            panel.plot(*_thin(drawn[0], drawn[1]), color=BLUE, lw=1.9, drawstyle=steps)
            text = f"{'AUC' if kind == 'roc' else 'AP'} {drawn[2]:.3f}"
        n_cells = round(share * len(truth))
        panel.text(
            0.97 if kind == "roc" else 0.03,
            0.05 if kind == "roc" or share > 0.6 else share + 0.04,
            f"{text}\n{n_cells} {noun}s",
            ha="right" if kind == "roc" else "left",
            va="bottom",
            color=VERMILION if drawn is None else INK,
            bbox={"facecolor": PAPER, "alpha": 0.8, "linewidth": 0, "pad": 1.5},
        )
    x_label, y_label = _labels(kind)
    figure.supxlabel(x_label, fontsize=9)
    figure.supylabel(y_label, fontsize=9)
    return figure
