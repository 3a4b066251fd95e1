"""``hemafeat report``: make the page of a saved comparison."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hemafeat.cli import _arguments, _inputs, _output
from hemafeat.cli._errors import Usage

DESCRIPTION = """\
Make the page of a comparison that hemafeat compare (or Comparison.save) wrote: one HTML
file that loads nothing from the network."""

EXAMPLES = """\
  hemafeat report result/ --out report.html
  hemafeat report result/ --table features/ --out report.html
      with pictures of segmentations, suspected failures and the errors of the extraction
  hemafeat report result/ --table features/ --map tsne
      also with a map in which cells with similar features lie close together"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = _arguments.add_command(
        commands, "report", run, "make the page of a saved comparison", DESCRIPTION, EXAMPLES
    )
    parser.add_argument("comparison", metavar="COMPARISON", help="folder of a comparison")
    parser.add_argument(
        "--out", metavar="FILE", help="file to write; page.html in that folder by default"
    )
    parser.add_argument("--table", metavar="TABLE", help="table of the cells that were compared")
    parser.add_argument("--title", metavar="TEXT", help="heading of the page")
    parser.add_argument(
        "--map",
        choices=("tsne", "pca", "umap"),
        help="also draw a map of the features of the cells (needs --table; umap: umap-learn)",
    )
    _arguments.add_segmenter(parser)
    _arguments.add_masks_of_cells(parser)


def run(args: argparse.Namespace) -> None:
    """Read the comparison and write its page."""
    from hemafeat import evaluate, extract, report

    folder = Path(args.comparison)
    if not folder.is_dir():
        raise Usage(f"{folder}: no such folder")
    if args.table is not None and not Path(args.table).exists():
        raise Usage(f"--table: {args.table}: no such file or folder")
    if args.map is not None and args.table is None:
        raise Usage("--map needs --table, the table of the cells that were compared")
    out = Path(args.out) if args.out is not None else folder / "page.html"
    if out.suffix.lower() not in (".html", ".htm", "") and not out.is_dir():
        raise Usage(f"--out: {out} should end in .html")
    if out.suffix.lower() not in (".html", ".htm"):
        out = out / "page.html"
    _output.writable_file(out, "--out")
    segmenter, masks = _inputs.segmenter(args), _inputs.masks(args)
    comparison = evaluate.load(folder)
    table = None if args.table is None else extract.load(args.table)
    print(
        report.page(
            comparison,
            out,
            table=table,
            segmenter=segmenter,
            masks=masks,
            mask_kind=args.mask_kind,
            title=args.title,
            map=args.map,
        )
    )
