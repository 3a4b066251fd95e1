"""References that begin with an initial: ``.. [1] S. van der Walt``.

reStructuredText takes "S." for the nineteenth item of a list if the reference fits on one line, and
the theme prints the number over it.
"""

from __future__ import annotations

import re
from typing import Any


def keep_initials(lines: list[str]) -> None:
    """Escape the initial after the number of each reference, in place."""
    lines[:] = [re.sub(r"^(\s*\.\. \[\w+\] )(?=[A-Z]\. )", r"\1\\", line) for line in lines]


def setup(app: Any) -> dict[str, bool]:
    # Before numpydoc, which renames the references.
    app.connect("autodoc-process-docstring", lambda *given: keep_initials(given[-1]), priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
