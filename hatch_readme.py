"""Write the README of the package: a package index shows no pictures that lie in the checkout."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

PICTURES = re.compile(r"<!-- pictures: begin -->.*?<!-- pictures: end -->\n\n?", re.DOTALL)


class ReadmeHook(MetadataHookInterface):
    """Leave out the pictures."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the README."""
        text = (Path(self.root) / "README.md").read_text("utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": PICTURES.sub("", text),
        }
