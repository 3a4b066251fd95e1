"""One self-contained HTML file: templates, pictures inside it, written whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemafeat._files import write_whole
from hemafeat.report import (
    _galleries,
)
from hemafeat.report._style import alike

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Picture:
    """A figure ready to stand on the page."""

    svg: str
    caption: str = ""


def template(name: str) -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("hemafeat.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["short"] = _galleries.short
    environment.filters["unbroken"] = lambda text: alike(str(text), 60)
    return environment.get_template(name)


def write_page(path: Path, text: str) -> None:
    write_whole(path, lambda aside: aside.write_bytes(text.encode("utf-8", "replace")))
