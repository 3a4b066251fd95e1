"""Model files with some of their parts replaced."""

from __future__ import annotations

import zipfile


def rewrite(path, out, **parts):
    """Write a copy of a model file with some of its parts replaced; None leaves a part out."""
    with zipfile.ZipFile(path) as box:
        whole = {name: box.read(name) for name in box.namelist()}
    with zipfile.ZipFile(out, "w") as box:
        for name, data in {**whole, **parts}.items():
            if data is not None:
                box.writestr(name, data)
    return out
