"""``hemafeat datasets``: list the public data sets."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from hemafeat.cli import _arguments

DESCRIPTION = """\
List the public data sets: how many images, classes and patients they have as published, their
licence, whether hemafeat download fetches them without a login, and where they are."""

EXAMPLES = """\
  hemafeat datasets                                     a table
  hemafeat datasets --format csv > datasets.csv         the same for a program
  hemafeat compare --dataset pbc PBC_dataset_normal_DIB --out result/"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = _arguments.add_command(
        commands, "datasets", run, "list the public data sets", DESCRIPTION, EXAMPLES
    )
    parser.add_argument(
        "--format", choices=("text", "csv"), default="text", help="format to print; default: text"
    )


def run(args: argparse.Namespace) -> None:
    """Print the data sets."""
    from hemafeat import datasets

    catalogue = datasets.catalogue()
    if args.format == "csv":
        sys.stdout.write(catalogue.to_csv(index=False, lineterminator="\n"))
        return
    catalogue["download"] = ["yes" if free else "by hand" for free in catalogue["download"]]
    catalogue["images"] = [f"{n:,}" for n in catalogue["images"]]
    columns = ["name", "images", "classes", "patients", "download", "licence", "where"]
    rows = [columns, *catalogue[columns].astype(str).to_numpy().tolist()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            text.rjust(width) if column in ("images", "classes") else text.ljust(width)
            for column, text, width in zip(columns, row, widths, strict=True)
        ]
        print("  ".join(cells).rstrip())
