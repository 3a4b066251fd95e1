"""``hemafeat datasets``: the public data sets, and what is known of them."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from hemafeat.cli import _arguments

DESCRIPTION = """\
The public data sets with a loader: how many images, classes and patients they have as published,
their licence, whether hemafeat download fetches them without a login, and where they are."""

EXAMPLES = """\
  hemafeat datasets                                     a table
  hemafeat datasets --format csv > datasets.csv         the same for a program
  hemafeat compare --dataset pbc PBC_dataset_normal_DIB --out result/"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = _arguments.command(
        commands, "datasets", run, "the public data sets, and where they are",
        DESCRIPTION, EXAMPLES,
    )  # fmt: skip
    parser.add_argument("--format", choices=("text", "csv"), default="text")


def run(args: argparse.Namespace) -> None:
    """Print the data sets."""
    from hemafeat import datasets

    known = datasets.catalogue()
    if args.format == "csv":
        sys.stdout.write(known.to_csv(index=False, lineterminator="\n"))
        return
    known["download"] = ["yes" if one else "by hand" for one in known["download"]]
    known["images"] = [f"{n:,}" for n in known["images"]]
    shown = known[["name", "images", "classes", "patients", "download", "licence", "where"]]
    heads = [str(column) for column in shown.columns]
    rows = [heads, *([str(value) for value in row] for row in shown.itertuples(index=False))]
    widths = [max(len(row[place]) for row in rows) for place in range(len(heads))]
    for row in rows:
        cells = [
            value.rjust(width) if head in ("images", "classes") else value.ljust(width)
            for head, value, width in zip(heads, row, widths, strict=True)
        ]
        print("  ".join(cells).rstrip())
