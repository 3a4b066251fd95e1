"""Style of the page: colours, settings of figures, names of metrics and formats of numbers."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

P = ParamSpec("P")

# Colours of the page. In an inline figure they become the CSS variables of the page, so that
# figures follow a dark colour scheme; a figure saved by itself keeps these values.
INK, MUTED, GRID, PAPER = "#1b2330", "#5a6473", "#d5dbe4", "#fefefe"
BLUE, VERMILION, HEAT = "#0072b2", "#d55e00", "#0a6ead"
THEMED = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    PAPER: "var(--paper)",
    BLUE: "var(--data)",
}

SERIES = (
    (BLUE, "-"),
    ("#d55e00", "--"),
    ("#009e73", "-."),
    ("#cc79a7", ":"),
    ("#e69f00", (0, (6, 1, 1, 1))),
    ("#56b4e9", (0, (1, 1))),
    ("#8c6bb1", (0, (8, 2))),
    (MUTED, (0, (4, 1, 1, 1, 1, 1))),
    ("#a6761d", (0, (3, 1))),
    (INK, "-"),
)
"""Colour and dash of each model's line: the colours of Okabe and Ito (2008), with a dash pattern so
that lines do not differ by colour alone."""

RC: dict[str, Any] = {
    "font.family": ["sans-serif"],
    # Verdana has the same widths as DejaVu Sans, for which labels are placed.
    "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.labelsize": 9.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "axes.unicode_minus": True,
    "axes.formatter.use_locale": False,
    "figure.facecolor": "none",
    "figure.edgecolor": "none",
    "savefig.facecolor": "none",
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.7,
    # A class may be called anything, "$" included.
    "text.parse_math": False,
    "svg.hashsalt": "hemafeat",
    "svg.fonttype": "none",
    "path.simplify": True,
}


class ShownFigure(Figure):
    """Figure that a notebook shows, also if no backend of matplotlib was chosen there."""

    def _repr_png_(self) -> bytes:
        import matplotlib

        buffer = io.BytesIO()
        with matplotlib.rc_context(RC):
            self.savefig(buffer, format="png", dpi=110, facecolor="white")
        return buffer.getvalue()


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Run a drawing function under the settings of the page, whatever those of the user are."""

    @wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Figure:
        import matplotlib

        with matplotlib.rc_context():
            matplotlib.rcParams.update(
                {k: v for k, v in matplotlib.rcParamsDefault.items() if k != "backend"}
            )
            matplotlib.rcParams.update(RC)
            figure = draw(*args, **kwargs)
            figure.__class__ = ShownFigure
            return figure

    return wrapper


def style_rows(panel: Axes) -> None:
    """Style axes whose rows are models: a grid for the values, no axis beside the names."""
    panel.grid(axis="x")
    panel.set_axisbelow(True)
    panel.tick_params(left=False)
    panel.spines["left"].set_visible(False)


def draw_interval(
    panel: Axes, y: float, low: float, value: float, high: float, colour: str, *, filled: bool
) -> None:
    """Draw a dot, filled or open, on the bar of its interval."""
    panel.plot([low, high], [y, y], color=colour, lw=2.2, solid_capstyle="round")
    panel.plot(value, y, "o", ms=7, mec=colour, mew=1.6, mfc=colour if filled else PAPER)


def write_beside(panel: Axes, y: float, text: str, colour: str = INK) -> None:
    """Write text at the right of a row."""
    panel.annotate(
        text,
        (1.02, y),
        xycoords=("axes fraction", "data"),
        va="center",
        fontsize=8.5,
        color=colour,
    )


def signed(value: float, low: float, high: float) -> str:
    """Format a difference with its interval."""
    # Zero has no sign, whatever it was rounded from.
    texts = [f"{round(x, 3):+.3f}" if round(x, 3) else "0.000" for x in (value, low, high)]
    return "{}  [{}, {}]".format(*texts).replace("-", "\N{MINUS SIGN}")


METRICS: dict[str, tuple[str, bool]] = {
    "balanced_accuracy": ("Balanced accuracy", True),
    "macro_f1": ("Macro F1", True),
    "auroc": ("ROC AUC", True),
    "accuracy": ("Accuracy", True),
    "weighted_f1": ("Weighted F1", True),
    "log_loss": ("Log loss", False),
    "calibration_error": ("Calibration error", False),
}
"""Heading of each metric and whether higher is better, in the order of the page."""


def metric_name(metric: str) -> str:
    """Return the heading of a metric."""
    if metric in METRICS:
        return METRICS[metric][0]
    return metric.replace("_", " ").strip().capitalize() or metric


def in_text(metric: str) -> str:
    """Return the heading of a metric for the inside of a sentence."""
    name = metric_name(metric)
    return name if name[:2].isupper() else name[:1].lower() + name[1:]


def more_is_better(metric: str) -> bool:
    """Return False for errors and losses."""
    if metric in METRICS:
        return METRICS[metric][1]
    return not any(word in metric for word in ("loss", "brier", "error"))


def number(value: Any, digits: int = 3) -> str:
    """Format a number for the page; an en dash stands for none."""
    try:
        as_float = float(value)
    except (TypeError, ValueError):
        return "–"
    if not math.isfinite(as_float):
        return "–"
    return f"{as_float:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def count(n: int) -> str:
    """Format a whole number with thin spaces between thousands."""
    return f"{n:,}".replace(",", "\N{THIN SPACE}")


def listed(versions: Mapping[str, str]) -> str:
    """Format versions of packages as one line."""
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def shortened(text: str, limit: int = 28) -> str:
    """Return `text`, cut in the middle if it is longer than `limit`."""
    if len(text) <= limit:
        return text
    head = (limit - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"
