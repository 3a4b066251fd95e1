"""The command line.

A command is a file of its own, with ``add`` (its arguments) and ``run`` (what it does). Rooms of
the package are imported inside ``run``, so that ``hemafeat --help`` answers at once.
"""

from hemafeat.cli._main import main

__all__ = ["main"]
