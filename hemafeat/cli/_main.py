"""From the words of a command line to an exit code."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from hemafeat import __version__
from hemafeat.cli import (
    _audit,
    _compare,
    _datasets,
    _demo,
    _describe,
    _download,
    _extract,
    _families,
    _predict,
    _report,
    _segment,
)
from hemafeat.cli._errors import Failure, Usage

COMMANDS = (
    _demo,
    _audit,
    _extract,
    _segment,
    _compare,
    _report,
    _predict,
    _describe,
    _families,
    _datasets,
    _download,
)

DESCRIPTION = """\
Named, unit-bearing morphology features of blood cells, and an honest protocol to
compare classifiers on them. It runs on a laptop, without a GPU and without a network."""

EPILOG = """\
examples:
  hemafeat demo                               all of it, on drawn cells
  hemafeat audit cells/                       what a model could cheat with
  hemafeat extract cells/ --out features/     one row per cell, and a table of errors
  hemafeat compare features/ --out result/    models on held-out groups, and a page
  hemafeat compare --help                     every argument of a command

Exit code: 0 done, 1 the run failed, 2 the command was not understood. Set
HEMAFEAT_TRACEBACK=1 (or give --debug) to see where an error came from."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors take one line."""

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with 2."""
        _complain(f"{message} (see {self.prog} --help)")
        raise SystemExit(2)


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = Parser(
        prog="hemafeat",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"hemafeat {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    for command in COMMANDS:
        command.add(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after ``hemafeat``; those of the process by default.

    Returns
    -------
    int
        0 done, 1 the run failed, 2 the command was not understood, 130 interrupted. Errors are one
        line on the standard error stream.
    """
    top = parser()
    try:
        args = top.parse_args(argv)
        if not hasattr(args, "run"):
            top.print_help(sys.stderr)
            return 2
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        args.run(args)
        sys.stdout.flush()
    except Exception as error:
        return _explain(error, debug=args.debug)
    except KeyboardInterrupt:
        _complain("interrupted")
        return 130
    return 0


def _explain(error: Exception, *, debug: bool) -> int:
    if isinstance(error, BrokenPipeError):
        # The reader (head, less) has seen enough; the interpreter must not complain at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if debug or os.environ.get("HEMAFEAT_TRACEBACK", "") not in ("", "0"):
        traceback.print_exception(error)
    expected = isinstance(error, (Usage, Failure, ValueError, OSError))
    text = str(error) or type(error).__name__
    if isinstance(error, ImportError) and "cannot open shared object" in text:
        text += (
            "; OpenCV lacks graphics libraries of the system: pip uninstall opencv-python, then "
            "pip install opencv-python-headless"
        )
    _complain(text if expected else f"{type(error).__name__}: {text}")
    return 2 if isinstance(error, Usage) else 1


def _complain(message: str) -> None:
    print(f"hemafeat: error: {' '.join(message.split())}", file=sys.stderr)
