"""``hemafeat families``: list the families of features and their cost."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from hemafeat.cli import _arguments

DESCRIPTION = """\
List the families of features, including plugged-in ones: how many columns each has, in all and in
the sets default and fast, and what measuring all of them costs, in milliseconds and as a multiple
of decoding the JPEG of the same cell. A family that is named gives all its columns."""

EXAMPLES = """\
  hemafeat families                               a table
  hemafeat families --format csv > families.csv   the same for a program
  hemafeat extract cells/ --families fast --out features/
  hemafeat extract cells/ --families default gabor --out features/"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = _arguments.add_command(
        commands, "families", run, "list the families of features", DESCRIPTION, EXAMPLES
    )
    parser.add_argument(
        "--format", choices=("text", "csv"), default="text", help="format to print; default: text"
    )


def run(args: argparse.Namespace) -> None:
    """Print the families."""
    from hemafeat import extract

    families = extract.families()
    if args.format == "csv":
        sys.stdout.write(families.frame().to_csv(lineterminator="\n"))
    else:
        print(families)
