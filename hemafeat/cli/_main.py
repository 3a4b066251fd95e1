"""Parsing of the command line, dispatch to a command, and exit codes."""

from __future__ import annotations

import argparse
import atexit
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from hemafeat import __version__
from hemafeat._machine import how_to_install
from hemafeat.cli import (
    _audit,
    _cell,
    _compare,
    _compile,
    _count,
    _datasets,
    _demo,
    _describe,
    _download,
    _explore,
    _extract,
    _families,
    _merge,
    _output,
    _predict,
    _report,
    _rerun,
    _score,
    _segment,
)
from hemafeat.cli._errors import Failure, Usage
from hemafeat.cli._messages import one_line, plain_warnings, usage

COMMANDS = (
    _demo,
    _audit,
    _extract,
    _merge,
    _segment,
    _score,
    _count,
    _cell,
    _explore,
    _compare,
    _rerun,
    _report,
    _predict,
    _describe,
    _families,
    _datasets,
    _download,
    _compile,
)

DESCRIPTION = """\
Named morphology features of blood cells with their units, and an honest protocol to
compare classifiers on them. Runs on a laptop, without a GPU and without a network."""

EPILOG = """\
examples:
  hemafeat demo                               the whole workflow, on drawn cells
  hemafeat audit cells/                       leaks that a model could exploit
  hemafeat extract cells/ --out features/     one row per cell, and a table of errors
  hemafeat compare features/ --out result/    models on held-out groups, and a page
  hemafeat compare --help                     all arguments of a command

Exit codes: 0 success, 1 the run failed, 2 the command line is not valid, 128 + n stopped by
signal n (130 for Ctrl-C). Set HEMAFEAT_TRACEBACK=1 (or pass --debug) to see where an error
came from."""


class Parser(argparse.ArgumentParser):
    """Parser that reports an error in one line."""

    def error(self, message: str) -> NoReturn:
        """Print the message in one line and exit with code 2."""
        options = [name for action in self._actions for name in action.option_strings]
        _print_error(f"{usage(message, options)} (see {self.prog} --help)")
        raise SystemExit(2)


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
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
        Arguments after ``hemafeat``. By default those of the process.

    Returns
    -------
    int
        Exit code: 0 for success, 1 if the run failed, 2 if the command line is not valid, and 128
        and the number of the signal that stopped the run: 130 for Ctrl-C, 143 for SIGTERM. An error
        is printed as one line on the standard error stream.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    _print_any_path()
    top = parser()
    try:
        args, rest = top.parse_known_args(words)
        if rest:
            # The parser of the command knows which options were meant.
            getattr(args, "parser", top).error(f"unrecognized arguments: {' '.join(rest)}")
        if not hasattr(args, "run"):
            top.print_help(sys.stderr)
            return 2
    except SystemExit as stop:
        return int(stop.code or 0)
    args.argv = words
    try:
        _check_no_empty_word(args)
        with plain_warnings(), _stopped_by_signals():
            args.run(args)
            sys.stdout.flush()
    except Exception as error:
        return _exit_code(error, debug=args.debug)
    except KeyboardInterrupt as stop:
        number = stop.number if isinstance(stop, Stopped) else int(signal.SIGINT)
        with suppress(OSError):  # the terminal may be gone
            again = "run the same command again"
            _print_error(f"stopped; {again}{' to resume' if args.resumes(args) else ''}")
        if argv is None:
            _end_process(128 + number)
        return 128 + number
    return 0


def _end_process(code: int) -> NoReturn:
    """End the process as on its exit, but leave the interpreter as it is.

    Threads of libraries, stopped at any place, may abort a process whose interpreter is taken down.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


def _check_no_empty_word(args: argparse.Namespace) -> None:
    """Refuse an empty word, which is an unset variable of the shell and not the folder ``.``."""
    for action in args.parser._actions:
        value = getattr(args, action.dest, None)
        for word in value if isinstance(value, list) else [value]:
            if isinstance(word, str) and not word.strip() and action.dest != "title":
                name = (action.option_strings or [action.metavar])[0]
                raise Usage(f"{name}: the argument is empty")


def _print_any_path() -> None:
    """Let paths that are not UTF-8 be printed as they are, rather than stop a finished run."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="surrogateescape")


class Stopped(KeyboardInterrupt):
    """A signal that ends a process; raised like Ctrl-C, so that all is left in order.

    Attributes
    ----------
    number : int
        Number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Raise `Stopped` at Ctrl-C, SIGTERM and SIGHUP; a second signal ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def stop(number: int, frame: Any) -> None:
        if received:
            os._exit(128 + number)
        received.append(number)
        raise Stopped(number)

    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    # A signal that is ignored, as under nohup, stays so.
    before = {n: signal.getsignal(n) for n in numbers}
    usual = (signal.SIG_DFL, signal.default_int_handler)
    before = {number: handler for number, handler in before.items() if handler in usual}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    except Exception:
        # The import of a package that is interrupted may raise an error of another kind.
        if received:
            raise Stopped(received[0]) from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit_code(error: Exception, *, debug: bool) -> int:
    if isinstance(error, BrokenPipeError):
        # The reader (head, less) has stopped; the interpreter must not complain when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if debug or os.environ.get("HEMAFEAT_TRACEBACK", "") not in ("", "0"):
        traceback.print_exception(error)
    expected = isinstance(error, (Usage, Failure, ValueError, OSError, ImportError))
    # Not a RecursionError and the like: hemafeat raises it of killed processes and clusters.
    expected = expected or type(error) is RuntimeError
    text = _output.reason(error)
    if isinstance(error, ImportError) and "cannot open shared object" in text:
        text += (
            "; OpenCV does not find graphics libraries of the system: pip uninstall "
            f"opencv-python, then {how_to_install('opencv-python-headless')}"
        )
    _print_error(text if expected else f"{type(error).__name__}: {text}")
    return 2 if isinstance(error, Usage) else 1


def _print_error(message: str) -> None:
    print(f"hemafeat: error: {one_line(message)}", file=sys.stderr)
