"""What the site adds to its pages, which are plain Markdown and readable where nobody builds them.

- Between ``<!-- site: FILE -->`` and ``<!-- site: end -->`` a page says where something is; the
  site shows the file itself there (``FILE#part``: what is between its comments ``part: begin`` and
  ``part: end``).
- A link to the programs of the gallery leads to the gallery.
- Code that is a public name, such as `extract.table` or `GridSearchCV`, becomes a link to its
  reference.
- Figures of `hemafeat.report`, which pyplot does not know, are shown in the gallery.
- A reference that begins with an initial (``S. van der Walt``) is no list.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from weakref import WeakSet

from docutils import nodes
from matplotlib.figure import Figure
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx_gallery.scrapers import figure_rst

BLOCK = re.compile(r"<!-- site: (\S+) -->\n.*?<!-- site: end -->\n?", re.DOTALL)
LINK = re.compile(r"\]\((?![a-z]+:|#|/)([^)\s]+)\)")
ROOMS = "images|datasets|segment|extract|networks|pipelines|evaluate|report|recipes|testing"
INITIAL = re.compile(r"^(\.\. \[\d+\] [A-Z])\. ")
OURS = re.compile(rf"(?:hemafeat\.)?((?:{ROOMS})\.\w+)(?:\(.*\))?")


def fill(app: Sphinx, name: str, source: list[str]) -> None:
    """Put files in the place of the words that stand for them."""
    page = Path(app.env.doc2path(name))
    text = BLOCK.sub(lambda found: contents(page.parent, found[1]), source[0])
    source[0] = re.sub(r"\]\([./]*/examples/gallery\)", "](/gallery/index.rst)", text)


def contents(folder: Path, target: str) -> str:
    """Return the text of a file, as it would be written in a page of `folder`."""
    name, _, part = target.partition("#")
    path = folder / name
    text = path.read_text("utf-8")
    if part:
        text = text.split(f"<!-- {part}: begin -->\n")[1].split(f"<!-- {part}: end -->")[0]
    if path.suffix == ".py":
        return f"```python\n{text}```\n"

    def moved(found: re.Match[str]) -> str:
        there = os.path.relpath(path.parent / found[1], folder)
        return f"]({Path(there).as_posix()})"

    return LINK.sub(moved, re.sub(r"\A# .*\n", "", text))


class LinkNames(SphinxTransform):
    """Link code that is a public name to its page."""

    default_priority = 400

    def apply(self, **_: Any) -> None:
        if not self.document["source"].endswith(".md"):
            return
        others = {
            full.rpartition(".")[2]: full
            for inventory in self.env.intersphinx_named_inventory.values()
            for full in inventory.get("py:class", ())
        }
        for code in list(self.document.findall(nodes.literal)):
            if isinstance(code.parent, nodes.reference | nodes.title):
                continue
            text = code.astext()
            found = OURS.fullmatch(text)
            target = f"hemafeat.{found[1]}" if found else others.get(text)
            if target:
                link = pending_xref(
                    "", refdomain="py", reftype="obj", reftarget=target, refdoc=self.env.docname
                )
                code.replace_self(link)
                link += code


_shown: WeakSet[Figure] = WeakSet()


def figures(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Save the figure that the last line of a block returns."""
    value = block_vars["example_globals"].get("___")  # as the gallery calls it
    if not isinstance(value, Figure) or value in _shown:
        return ""
    _shown.add(value)
    path = next(block_vars["image_path_iterator"])
    value.savefig(path, dpi=100)
    return figure_rst([path], gallery_conf["src_dir"])


def _get_sg_image_scraper() -> Any:  # what the gallery looks for
    return figures


def keep_initials(
    app: Sphinx, what: str, name: str, it: Any, options: Any, lines: list[str]
) -> None:
    """Keep the initial of an author from being read as the number of a list."""
    lines[:] = [INITIAL.sub(r"\1\\. ", line) for line in lines]


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", fill)
    app.connect("autodoc-process-docstring", keep_initials, priority=400)  # before numpydoc
    app.add_transform(LinkNames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
