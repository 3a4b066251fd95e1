"""Figures of an audit: scores of leak probes, and labels in each batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from hemafeat.report._style import (
    BLUE,
    GRID,
    INK,
    MUTED,
    PAPER,
    SERIES,
    VERMILION,
    number,
    shortened,
    style_rows,
    styled,
)

if TYPE_CHECKING:
    from hemafeat.datasets import Audit
    from hemafeat.evaluate import Probes

_KINDS = {"image_size": "Image size", "background": "Background colour"}
_MAX_BARS = 12


@styled
def figure_probes(probes: Probes) -> Figure:
    """Draw the balanced accuracy of every leak probe with its interval and the range of chance.

    Parameters
    ----------
    probes : Probes
        Result of `hemafeat.evaluate.leak_probes`.

    Returns
    -------
    matplotlib.figure.Figure
        A dot and a bar for each probe, grey ticks at the mean and the upper end of chance, and a
        dashed line at the score of the majority class.

    Examples
    --------
    >>> from hemafeat import datasets, evaluate, report
    >>> table = datasets.drawn("cells", 12, kinds=["lymphocyte", "monocyte"], progress=False)
    >>> probes = evaluate.leak_probes(
    ...     table, groups="image", n_splits=2, n_boot=20, n_permutations=20, progress=False
    ... )
    >>> panel = report.figure_probes(probes).axes[0]
    >>> "file size" in [label.get_text() for label in panel.get_yticklabels()]
    True
    """
    rows = probes.results
    figure = Figure(figsize=(9, 1.0 + 0.3 * len(rows)), layout="constrained")
    axes = figure.subplots()
    majority = rows.loc[rows["kind"] == "baseline", "value"]
    if len(majority):
        axes.axvline(float(majority.iloc[0]), color=INK, lw=1.1, ls=(0, (4, 3)), zorder=1)
    for y, row in enumerate(rows.itertuples(index=False)):
        value = float(str(row.value))
        if row.kind != "baseline":
            chance = [float(str(row.chance)), float(str(row.chance_high))]
            axes.plot(chance, [y, y], "|", color=MUTED, ms=9, mew=1.2, zorder=2)
            bounds = [float(str(row.low)), float(str(row.high))]
            colour = VERMILION if row.severity == "severe" else BLUE
            if row.severity not in ("severe", "warning"):
                colour = MUTED
            axes.plot(bounds, [y, y], color=colour, lw=2.6, solid_capstyle="round", zorder=3)
            axes.plot(value, y, "o", color=colour, ms=6.5, mec=PAPER, mew=0.9, zorder=4)
        axes.annotate(
            number(value),
            (1.01, y),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=8.5,
            color=INK if row.severity in ("severe", "warning") else MUTED,
        )
    axes.set_yticks(range(len(rows)), [shortened(str(name), 34) for name in rows["probe"]])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, 1.02)
    axes.set_xlabel("balanced accuracy of this probe alone, on held-out groups")
    style_rows(axes)
    return figure


@styled
def figure_batches(audit: Audit) -> Figure:
    """Draw the shares of the labels in each batch of image size and background colour.

    Parameters
    ----------
    audit : Audit
        Result of `hemafeat.datasets.audit` with at least one row in ``batches``.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each kind of batch, with a stacked bar for each batch and one for all images.

    Raises
    ------
    ValueError
        If the audit holds no batches.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import datasets, report
    >>> small = datasets.drawn("a", 6, kinds=["lymphocyte"], size=200, progress=False)
    >>> large = datasets.drawn("b", 6, kinds=["monocyte"], size=240, progress=False)
    >>> audit = datasets.audit(pd.concat([small, large], ignore_index=True), progress=False)
    >>> figure = report.figure_batches(audit)
    >>> [panel.get_title("left") for panel in figure.axes]
    ['Image size', ...]
    """
    kinds = list(dict.fromkeys(audit.batches["kind"]))
    if not kinds:
        raise ValueError("the audit holds no batches")
    labels = sorted(map(str, set(audit.batches["label"])))
    bars = {kind: _bars(audit, kind, labels) for kind in kinds}
    heights = [len(shares) for shares in bars.values()]
    legend = 0.28 * int(np.ceil(len(labels) / 5))
    figure = Figure(
        figsize=(9, 0.7 * len(kinds) + 0.36 * sum(heights) + legend), layout="constrained"
    )
    panels = figure.subplots(len(kinds), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, kind in zip(panels, kinds, strict=True):
        names, totals = [], []
        for y, (name, n, shares) in enumerate(bars[kind]):
            left = np.concatenate([[0.0], np.cumsum(shares)[:-1]])
            for k, (start, width) in enumerate(zip(left, shares, strict=True)):
                colour, hatch = _colour_and_hatch(k)
                axes.barh(
                    y,
                    width,
                    left=start,
                    height=0.74,
                    color=colour,
                    hatch=hatch,
                    edgecolor=PAPER,
                    linewidth=0.8,
                    label=labels[k] if y == 0 and kind == kinds[0] else None,
                )
            names.append(name)
            totals.append(n)
        axes.set_yticks(range(len(names)), [shortened(name, 40) for name in names])
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.axhline(len(names) - 1.5, color=GRID, lw=0.8)
        axes.set_xlim(0, 1)
        axes.set_title(_KINDS.get(kind, kind))
        for y, n in enumerate(totals):
            axes.annotate(
                f"{n} images",
                (1.01, y),
                xycoords=("axes fraction", "data"),
                va="center",
                color=MUTED,
                fontsize=8.5,
            )
        axes.tick_params(left=False)
        axes.spines["left"].set_visible(False)
    panels[-1].set_xlabel("share of the images")
    figure.legend(loc="outside lower left", ncols=min(5, len(labels)))
    return figure


def _bars(audit: Audit, kind: str, labels: list[str]) -> list[tuple[str, int, np.ndarray]]:
    """Return name, number of images and shares of the labels of each batch, the largest first."""
    rows = audit.batches[audit.batches["kind"] == kind]
    wide = rows.assign(label=rows["label"].astype(str)).pivot_table(
        index="batch", columns="label", values="n", aggfunc="sum", fill_value=0
    )
    wide = wide.reindex(columns=labels, fill_value=0)
    totals = wide.sum(axis=1).sort_values(ascending=False, kind="stable")
    bars = []
    for name in totals.index[:_MAX_BARS]:
        n = int(totals[name])
        bars.append((str(name), n, wide.loc[name].to_numpy(dtype=float) / n))
    counts = wide.sum(axis=0).to_numpy(dtype=float)
    return [*bars, ("all", int(counts.sum()), counts / counts.sum())]


def _colour_and_hatch(k: int) -> tuple[str, str | None]:
    colours = [colour for colour, _ in SERIES[:-1]]
    return colours[k % len(colours)], (None, "///", "...")[(k // len(colours)) % 3]
