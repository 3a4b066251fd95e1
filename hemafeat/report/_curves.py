"""Figures of probabilities: ROC, precision and recall, calibration."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from hemafeat.report import _ranking as _choice
from hemafeat.report._style import BLUE, GRID, INK, MUTED, PAPER, SERIES, VERMILION, alike, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hemafeat.evaluate import Comparison

GRID_POINTS = 401

Curve = tuple[np.ndarray, np.ndarray, float]


@styled
def figure_roc(comparison: Comparison, model: str | None = None) -> Figure:
    """Receiver operating characteristic, one class against the rest.

    Parameters
    ----------
    comparison : Comparison
        From `hemafeat.evaluate.compare`.
    model : str, optional
        Given: one panel per class, this model in colour and the others in grey. Without: the mean
        over the classes (macro), one line per model.

    Returns
    -------
    matplotlib.figure.Figure
        The test cells of all folds pooled. Models without probabilities are left out.
    """
    if model is None:
        return _macro(comparison, "roc")
    return _per_class(comparison, model, "roc")


@styled
def figure_precision_recall(comparison: Comparison, model: str | None = None) -> Figure:
    """Precision against recall, one class against the rest.

    Parameters
    ----------
    comparison : Comparison
        From `hemafeat.evaluate.compare`.
    model : str, optional
        As in `figure_roc`.

    Returns
    -------
    matplotlib.figure.Figure
        The area given is the average precision. A dotted line is what guessing would give: the
        share of the class.
    """
    if model is None:
        return _macro(comparison, "pr")
    return _per_class(comparison, model, "pr")


@styled
def figure_calibration(comparison: Comparison, n_bins: int = 15) -> Figure:
    """How often a model is right when it says how sure it is (reliability diagram).

    Parameters
    ----------
    comparison : Comparison
        From `hemafeat.evaluate.compare`.
    n_bins : int
        Bins of equal width over the probability of the likeliest class.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per model that gives probabilities: accuracy per bin with its Wilson interval
        (95 %), the share of the cells in the bin as grey bars, and the expected calibration error
        (ECE).

    References
    ----------
    .. [1] C. Guo et al., "On calibration of modern neural networks", ICML 2017.
    """
    names = with_probabilities(comparison)
    figure, axes = _panels(len(names), 2.75)
    for panel, name in zip(axes, names, strict=True):
        sure, right, n_cells, error = reliability(comparison, name, n_bins)
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
        some = n_cells > 0
        low, high = _wilson(right[some], n_cells[some])
        panel.vlines(sure[some], low, high, color=BLUE, lw=1.2)
        panel.plot(sure[some], right[some], "o-", color=BLUE, ms=4.5, lw=1.4)
        panel.set_title(alike(name, 16))
        panel.set_title(f"ECE {error:.3f}", loc="right", fontweight="normal", fontsize=8.5)
        panel.set_xlim(0, 1)
        panel.set_ylim(0, 1.02)
        panel.set_xticks([0, 0.5, 1])
        panel.set_yticks([0, 0.5, 1])
        panel.set_aspect("equal", adjustable="box")
    figure.supxlabel("probability of the likeliest class", fontsize=9)
    figure.supylabel(f"share of {_choice.judged(comparison)}s it is right about", fontsize=9)
    return figure


def with_probabilities(comparison: Comparison) -> list[str]:
    """Models that give a probability for each class, best first."""
    return [
        name
        for name in _choice.models(comparison)
        if _choice.probabilities(comparison, name) is not None
    ]


def reliability(
    comparison: Comparison, model: str, n_bins: int = 15
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Mean confidence, accuracy and cell count of each bin, and the expected calibration error.

    Of the class with the highest probability, which need not be the one a model settled on.
    """
    truth = _choice.of_model(comparison, model)["truth"].astype(str).to_numpy(dtype=object)
    chances = _choice.probabilities(comparison, model)
    assert chances is not None
    top = chances.argmax(axis=1)
    confidence = chances[np.arange(top.size), top]
    hit = (np.array(comparison.classes, dtype=object)[top] == truth).astype(np.float64)
    # Bins are (a, b], as in the calibration error of `evaluate`.
    bins = np.clip(np.ceil(confidence * n_bins).astype(int) - 1, 0, n_bins - 1)
    n_cells = np.bincount(bins, minlength=n_bins).astype(np.float64)
    safe = np.maximum(n_cells, 1)
    sure = np.bincount(bins, confidence, n_bins) / safe
    right = np.bincount(bins, hit, n_bins) / safe
    error = float((np.abs(sure - right) * n_cells).sum() / max(n_cells.sum(), 1))
    return sure, right, n_cells, error


def _wilson(share: np.ndarray, n: np.ndarray, z: float = 1.96) -> tuple[np.ndarray, np.ndarray]:
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return middle - half, middle + half


def curve(positive: np.ndarray, score: np.ndarray, kind: str) -> Curve | None:
    """x, y and area of a ROC (``"roc"``) or precision-recall (``"pr"``) curve of one class.

    Returns None where the class or its rest is empty: there is no curve then.
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
    chances = _choice.probabilities(comparison, model)
    if chances is None:
        return {}
    truth = _choice.of_model(comparison, model)["truth"].astype(str).to_numpy(dtype=object)
    return {
        name: curve(truth == str(name), chances[:, index], kind)
        for index, name in enumerate(comparison.classes)
    }


def _at(x: np.ndarray, y: np.ndarray, kind: str) -> np.ndarray:
    """The curve on the common grid of x, so that classes can be averaged."""
    grid = np.linspace(0, 1, GRID_POINTS)
    if kind == "roc":
        # Several y share x = 0: the last of them is where the curve leaves the axis.
        keep = np.append(np.diff(x) > 0, True)
        found = np.interp(grid, x[keep], y[keep])
        return found
    # Precision is a step function of recall: the value of the next recall reached.
    place = np.clip(np.searchsorted(x, grid, side="left"), 0, x.size - 1)
    return y[place]


def _thin(x: np.ndarray, y: np.ndarray, limit: int = 300) -> tuple[np.ndarray, np.ndarray]:
    if x.size <= limit:
        return x, y
    keep = np.unique(np.linspace(0, x.size - 1, limit).astype(int))
    return x[keep], y[keep]


def _frame(panel: Axes, kind: str) -> None:
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
    """`n` square panels in rows that leave as few gaps as may be."""
    n_columns = n if n <= 3 else min((4, 3), key=lambda columns: (-n % columns, -columns))
    n_rows = math.ceil(max(n, 1) / n_columns)
    width = size * n_columns if n_columns > 1 else size + 1.2
    figure = Figure(figsize=(width, 0.45 + size * n_rows), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.07, w_pad=0.1)  # type: ignore[union-attr, call-arg]
    axes = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    for place, panel in enumerate(axes.flat):
        panel.set_visible(place < n)
        panel.tick_params(labelbottom=place + n_columns >= n)
    return figure, list(axes.flat[:n])


def _labels(kind: str) -> tuple[str, str]:
    if kind == "roc":
        return "false positive rate", "true positive rate"
    return "recall", "precision"


def _macro(comparison: Comparison, kind: str) -> Figure:
    figure = Figure(figsize=(8.2, 4.6), layout="constrained")
    panel = figure.subplots()
    _frame(panel, kind)
    grid = np.linspace(0, 1, GRID_POINTS)
    for place, name in enumerate(with_probabilities(comparison)):
        found = [c for c in _curves(comparison, name, kind).values() if c is not None]
        if not found:
            continue
        mean = np.mean([_at(x, y, kind) for x, y, _ in found], axis=0)
        area = float(np.mean([a for _, _, a in found]))
        colour, dash = SERIES[place % len(SERIES)]
        x, y = grid, mean
        if kind == "roc":
            x, y = np.insert(grid, 0, 0.0), np.insert(mean, 0, 0.0)
        panel.plot(x, y, color=colour, ls=dash, label=f"{area:.3f}  {alike(name, 34)}")
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


def _per_class(comparison: Comparison, model: str, kind: str) -> Figure:
    classes = list(comparison.classes)
    figure, axes = _panels(len(classes), 2.75)
    others = {
        name: _curves(comparison, name, kind)
        for name in with_probabilities(comparison)
        if name != model and not _choice.is_baseline(name)
    }
    own = _curves(comparison, model, kind)
    noun = _choice.judged(comparison)
    truth = _choice.of_model(comparison, model)["truth"].astype(str)
    for panel, name in zip(axes, classes, strict=True):
        _frame(panel, kind)
        share = float((truth == str(name)).mean())
        if kind == "pr":
            panel.axhline(share, ls=":", color=MUTED, lw=1.2)
        steps = "steps-pre" if kind == "pr" else "default"
        for found in others.values():
            theirs = found[name]
            if theirs is not None:
                x, y = _thin(theirs[0], theirs[1], limit=120)
                panel.plot(x, y, color=MUTED, lw=0.7, alpha=0.55, drawstyle=steps)
        panel.set_title(alike(str(name), 22))
        mine = own.get(name)
        if mine is None:
            text = f"no such {noun} in the test parts"
        else:
            panel.plot(*_thin(mine[0], mine[1]), color=BLUE, lw=1.9, drawstyle=steps)
            text = f"{'AUC' if kind == 'roc' else 'AP'} {mine[2]:.3f}"
        n_cells = round(share * len(truth))
        panel.text(
            0.97 if kind == "roc" else 0.03,
            0.05 if kind == "roc" or share > 0.6 else share + 0.04,
            f"{text}\n{n_cells} {noun}s",
            ha="right" if kind == "roc" else "left",
            va="bottom",
            color=VERMILION if mine is None else INK,
            bbox={"facecolor": PAPER, "alpha": 0.8, "linewidth": 0, "pad": 1.5},
        )
    x_label, y_label = _labels(kind)
    figure.supxlabel(x_label, fontsize=9)
    figure.supylabel(y_label, fontsize=9)
    return figure
