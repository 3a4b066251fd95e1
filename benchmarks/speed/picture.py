"""Draw the comparison: a panel for each group, bars on a logarithmic scale.

The number of values that a tool computes in that time is in brackets.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import pandas as pd
from peers import GROUPS

OURS, OTHERS, LINE = "#b3243b", "#9aa5b1", "#20303f"
COLUMNS = 3


def draw(table: pd.DataFrame, target: Path) -> None:
    """Write the picture, without rows that were not measured."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    decode = float(table.loc[table["group"] == "decode", "ms"].iloc[0])
    measured = table[(table["status"] == "measured") & (table["group"] != "decode")]
    # Groups without a family of ours or without a peer compare nothing.
    groups = [
        group for group in GROUPS if measured.loc[measured["group"] == group, "ours"].nunique() == 2
    ]
    if not groups:
        raise SystemExit("nothing to draw: no group has both a family of hemafeat and a peer")
    plt.rcParams.update({"font.size": 8, "svg.hashsalt": "speed", "svg.fonttype": "none"})
    columns = min(COLUMNS, len(groups))
    sizes = {g: int((measured["group"] == g).sum()) + 2.4 for g in groups}
    lanes: list[list[str]] = [[] for _ in range(columns)]
    for group in groups:
        min(lanes, key=lambda lane: sum(sizes[g] for g in lane)).append(group)
    height = max(sum(sizes[g] for g in lane) for lane in lanes)
    figure = plt.figure(figsize=(4.3 * columns, 0.19 * height + 0.5))
    drawn = measured.loc[measured["group"].isin(groups), "ms"]
    limits = drawn.min() / 2, drawn.max() * 5
    for k, lane in enumerate(lanes):
        below = 0.0
        for group in lane:
            rows = measured[measured["group"] == group].sort_values("ms", ascending=False)
            bars = len(rows)
            axes = figure.add_axes(
                (
                    (k + 0.4) / columns,
                    1 - (below + 1.3 + bars) / (height + 1.5),
                    0.56 / columns,
                    bars / (height + 1.5),
                )
            )
            below += sizes[group]
            _panel(axes, rows, decode, limits)
            axes.set_title(GROUPS[group], loc="left", x=-0.68, fontsize=8.5, fontweight="bold")
            if group == lane[-1]:
                axes.set_xlabel("ms for one image (line: decoding its JPEG)")
            else:
                axes.tick_params(labelbottom=False)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=110, bbox_inches="tight", metadata=_no_date(target))
    plt.close(figure)


def _panel(axes, rows: pd.DataFrame, decode: float, limits: tuple[float, float]) -> None:
    colours = [OURS if ours else OTHERS for ours in rows["ours"]]
    axes.barh(range(len(rows)), rows["ms"], color=colours, height=0.72, left=0)
    axes.axvline(decode, color=LINE, linewidth=0.9, linestyle="--")
    for index, ms in enumerate(rows["ms"]):
        text = axes.text(ms * 1.15, index, f"{ms:.3g}", va="center", fontsize=7, color=LINE)
        text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.4})
    axes.set_xscale("log")
    axes.set_xlim(limits)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    names = [
        f"{name} ({int(count)})" if count > 1 else name
        for name, count in zip(rows["name"], rows["columns"], strict=True)
    ]
    axes.set_yticks(range(len(rows)), names)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)


def _no_date(target: Path) -> dict | None:
    return {"Date": None} if target.suffix == ".svg" else None
