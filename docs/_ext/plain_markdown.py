"""Pages in plain Markdown: readable where nobody builds them, with links where somebody does.

- Between ``<!-- site: FILE -->`` and ``<!-- site: end -->`` a page says where something is; the
  site shows the file itself there (``FILE#part``: what is between its comments ``part: begin`` and
  ``part: end``).
- A link to the programs of the gallery leads to the gallery.
- Code that is a public name, such as `extract.table` or `GridSearchCV`, becomes a link to its
  reference.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

BLOCK = re.compile(r"<!-- site: (\S+) -->\n.*?<!-- site: end -->\n?", re.DOTALL)
LINK = re.compile(r"\]\((?![a-z]+:|#|/)([^)\s]+)\)")
ROOMS = "images|datasets|segment|extract|networks|pipelines|evaluate|report|recipes|testing"
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


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", fill)
    app.add_transform(LinkNames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
