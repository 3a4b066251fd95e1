"""The command line.

Each command is a file with two functions: ``add`` declares its arguments, and ``run`` executes it.
Packages of hemafeat are imported inside ``run``, so that ``hemafeat --help`` responds at once.
"""

from hemafeat.cli._main import main

__all__ = ["main"]
