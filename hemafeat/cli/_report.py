"""``hemafeat report``: a saved comparison to a page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hemafeat.cli import _arguments, _inputs
from hemafeat.cli._errors import Usage

DESCRIPTION = """\
Make the page of a comparison that hemafeat compare (or Comparison.save) wrote: one HTML
file that asks the network for nothing."""

EXAMPLES = """\
  hemafeat report result/ --out report.html
  hemafeat report result/ --table features/ --out report.html
      with pictures of segmentations, suspected failures and the errors of the extraction"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = _arguments.command(
        commands, "report", run, "a saved comparison to a page", DESCRIPTION, EXAMPLES
    )
    parser.add_argument("comparison", metavar="COMPARISON", help="the folder of a comparison")
    parser.add_argument("--out", metavar="FILE", help="page.html in that folder by default")
    parser.add_argument("--table", metavar="TABLE", help="the table of cells that was compared")
    parser.add_argument("--title", metavar="TEXT", help="heading of the page")
    _arguments.add_segmenter(parser)
    parser.add_argument("--masks", metavar="DIR", help="the masks that were given to extract")


def run(args: argparse.Namespace) -> None:
    """Read, draw, write."""
    from hemafeat import evaluate, extract, report

    folder = Path(args.comparison)
    if not folder.is_dir():
        raise Usage(f"{folder}: no such folder")
    if args.table is not None and not Path(args.table).exists():
        raise Usage(f"--table: {args.table}: no such file or folder")
    how, masks = _inputs.segmenter(args), _inputs.masks(args)
    comparison = evaluate.load(folder)
    table = None if args.table is None else extract.load(args.table)
    print(
        report.page(
            comparison,
            args.out or folder / "page.html",
            table=table,
            segmenter=how,
            masks=masks,
            title=args.title,
        )
    )
