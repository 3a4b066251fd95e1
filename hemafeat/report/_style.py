"""How the page looks and speaks: colours, the settings of figures, the names of metrics."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

P = ParamSpec("P")

# The colours of the page itself. In an inline figure they become the page's CSS variables, so
# that figures follow a dark colour scheme; a figure saved by itself keeps these values.
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
"""Colour and dash of each model's line: the colours of Okabe and Ito (2008), and a dash pattern so
that no line is told by its colour alone."""

RC: dict[str, Any] = {
    "font.family": ["sans-serif"],
    # Verdana has the widths of DejaVu Sans, by which labels are placed.
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


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Run a drawing function under the settings of this page, whatever the user's own are."""

    @wraps(draw)
    def inside(*args: P.args, **kwargs: P.kwargs) -> Figure:
        import matplotlib

        with matplotlib.rc_context():
            # The user's matplotlibrc must not change the page.
            matplotlib.rcParams.update(
                {k: v for k, v in matplotlib.rcParamsDefault.items() if k != "backend"}
            )
            matplotlib.rcParams.update(RC)
            return draw(*args, **kwargs)

    return inside


def svg(figure: Figure, name: str, alt: str) -> str:
    """`figure` as an ``<svg>`` element to stand inside HTML.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Drawn by a function of this room.
    name : str
        Put before each id, so that several figures may share a page.
    alt : str
        What the figure shows, for those who cannot see it.

    Returns
    -------
    str
        The element: no XML declaration, no metadata, no date, no address of any kind. The same
        figure gives the same text.
    """
    import matplotlib
    from markupsafe import escape

    # Drawing puts labels where they belong; doing it here too makes the text the same whether or
    # not the figure was drawn before.
    buffer = io.StringIO()
    with matplotlib.rc_context(RC), warnings.catch_warnings():
        # The browser brings the glyphs of other scripts; matplotlib only measures them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\n?", "", text, flags=re.DOTALL)
    text = text.replace("xlink:href=", "href=")
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'\bhref="#', f'href="#{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    for colour, variable in THEMED.items():
        text = text.replace(f": {colour}", f": {variable}")
    width = figure.get_figwidth() * 96
    box = re.search(r'viewBox="([^"]*)"', text)
    head = (
        f'<svg class="figure" role="img" aria-label="{escape(alt)}" '
        f'viewBox="{box.group(1) if box else ""}" '
        f'style="max-width:{width:.0f}px;min-width:{min(width, max(340.0, 0.62 * width)):.0f}px">'
    )
    return head + text[text.index(">", text.index("<svg")) + 1 :].strip()


METRICS: dict[str, tuple[str, bool]] = {
    "balanced_accuracy": ("Balanced accuracy", True),
    "macro_f1": ("Macro F1", True),
    "auroc": ("ROC AUC", True),
    "accuracy": ("Accuracy", True),
    "weighted_f1": ("Weighted F1", True),
    "log_loss": ("Log loss", False),
    "calibration_error": ("Calibration error", False),
}
"""Heading of a metric and whether more of it is better, in the order of preference."""


def metric_name(metric: str) -> str:
    """The heading of a metric."""
    if metric in METRICS:
        return METRICS[metric][0]
    return metric.replace("_", " ").strip().capitalize() or metric


def in_text(metric: str) -> str:
    """The heading of a metric as it stands inside a sentence."""
    name = metric_name(metric)
    return name if name[:2].isupper() else name[:1].lower() + name[1:]


def more_is_better(metric: str) -> bool:
    """False for errors and losses."""
    if metric in METRICS:
        return METRICS[metric][1]
    return not any(word in metric for word in ("loss", "brier", "error"))


def number(value: Any, digits: int = 3) -> str:
    """A number as the page shows it; an en dash where there is none."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return "–"
    if found != found or found in (float("inf"), float("-inf")):
        return "–"
    return f"{found:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def alike(text: str, limit: int = 28) -> str:
    """`text` cut in the middle when it is longer than a figure has room for."""
    if len(text) <= limit:
        return text
    head = (limit - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"
