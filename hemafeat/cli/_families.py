"""``hemafeat families``: what each family gives, and what it costs."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from hemafeat.cli import _arguments

DESCRIPTION = """\
The families of features, plugged-in ones included: how many columns each gives, the smallest
set it belongs to (fast, default, all), and its measured cost in milliseconds and as a multiple
of decoding the JPEG of the same cell."""

EXAMPLES = """\
  hemafeat families                               a table
  hemafeat families --format csv > families.csv   the same for a program
  hemafeat extract cells/ --families fast --out features/
  hemafeat extract cells/ --families default gabor --out features/"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = _arguments.command(
        commands, "families", run, "what each family gives, and what it costs",
        DESCRIPTION, EXAMPLES,
    )  # fmt: skip
    parser.add_argument("--format", choices=("text", "csv"), default="text")


def run(args: argparse.Namespace) -> None:
    """Print the families."""
    from hemafeat import extract

    families = extract.families()
    if args.format == "csv":
        sys.stdout.write(families.frame().to_csv(lineterminator="\n"))
    else:
        print(families)
