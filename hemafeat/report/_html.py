"""Self-contained HTML files: templates, figures as inline SVG, files written whole."""

from __future__ import annotations

import io
import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemafeat._files import write_whole
from hemafeat.report._style import RC, THEMED

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """Figure of the page, as SVG, with a caption."""

    svg: str
    caption: str = ""


def render(path: Path, template: str, content: dict[str, Any]) -> Path:
    """Render a template of this package into a file and return its path."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("hemafeat.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["short"] = file_name
    environment.filters["breakable"] = _breakable
    text = environment.get_template(template).render(content)
    write_whole(path, lambda aside: aside.write_bytes(text.encode("utf-8", "replace")))
    return path


def _breakable(name: str) -> str:
    """Return a name of a column that a browser breaks between its parts, and copies as it is."""
    from markupsafe import Markup, escape

    return Markup(re.sub("(_+)", r"\1<wbr>", str(escape(name))))


def target(out: str | os.PathLike[str], default: str) -> Path:
    """Return the file to write, which is `default` in a folder; its folder is created."""
    path = Path(out)
    if path.suffix.lower() not in (".html", ".htm"):
        path = path / default
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def file_name(path: str) -> str:
    """Return the file name of an image without its folders."""
    return os.path.basename(path.replace("\\", "/")) or path


def svg(figure: Figure, name: str, alt: str) -> str:
    """Return a figure as an ``<svg>`` element for an HTML page.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Drawn with the settings of `styled`.
    name : str
        Prefix of each id, so that several figures can share a page.
    alt : str
        Description of the figure for screen readers.

    Returns
    -------
    str
        The element, without XML declaration, metadata, date or address of any kind. The same figure
        gives the same text.
    """
    import matplotlib
    from markupsafe import escape

    buffer = io.StringIO()
    with matplotlib.rc_context(RC), warnings.catch_warnings():
        # The browser has the glyphs of other scripts; matplotlib only measures them.
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
