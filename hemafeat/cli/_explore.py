"""``hemafeat explore``: a page on which the cells of a table are looked at."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hemafeat._words import no_column
from hemafeat.cli import _arguments, _inputs, _output
from hemafeat.cli._errors import Usage

DESCRIPTION = """\
Make a page on which the cells of a table are looked at: one HTML file that loads nothing
from the network. Cells are points, coloured and placed by any column; each is shown with its
outlines. Further views show the columns before any model, every class, and the labels that
look wrong. What you decide there is saved to a file for hemafeat compare --edits."""

EXAMPLES = """\
  hemafeat explore features/
      the table of hemafeat extract; writes explore.html
  hemafeat explore features/ --comparison result/ --out look.html
      also with the predictions of the best model of hemafeat compare
  hemafeat explore features/ --no-pictures --no-suspected
      the columns only: no image is read, and no model is fitted
  hemafeat explore features/ --edits edits.csv
      with the labels that were changed on an earlier page"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = _arguments.add_command(
        commands, "explore", run, "look at the cells of a table", DESCRIPTION, EXAMPLES
    )
    parser.add_argument(
        "input", nargs="+", metavar="TABLE", help="table of hemafeat extract, or several"
    )
    parser.add_argument(
        "--out", default="explore.html", metavar="FILE", help="file to write; default: explore.html"
    )
    parser.add_argument(
        "--comparison", metavar="DIR", help="comparison of this table, for its predictions"
    )
    parser.add_argument("--label", default="label", metavar="COLUMN", help="column of the labels")
    _arguments.add_edits(parser)
    parser.add_argument(
        "--map",
        choices=("auto", "umap", "tsne", "pca"),
        default="auto",
        help="map of all features; auto: umap if umap-learn is installed, else pca",
    )
    parser.add_argument(
        "--n-cells",
        type=_arguments.positive_int,
        default=20_000,
        metavar="N",
        help="largest number of cells on the page, drawn at random from more; default: 20000",
    )
    parser.add_argument(
        "--no-pictures", action="store_true", help="show no pictures, and read no image"
    )
    parser.add_argument(
        "--no-suspected", action="store_true", help="do not search for labels that look wrong"
    )
    parser.add_argument("--title", metavar="TEXT", help="heading of the page")
    parser.add_argument(
        "--seed", type=_arguments.seed, default=0, metavar="N", help="seed of map and search"
    )
    _arguments.add_segmenter(parser)
    _arguments.add_masks_of_cells(parser)
    _arguments.add_jobs(parser)
    parser.set_defaults(dataset=None)


def run(args: argparse.Namespace) -> None:
    """Read the table and write its page."""
    from hemafeat import evaluate, extract, report

    for path in args.input:
        if not Path(path).exists():
            raise Usage(f"{path}: no such file or folder")
        if not extract.is_result(path):
            raise Usage(f"{path} is not a table of measured cells: measure it by hemafeat extract")
    _inputs.check_edits(args)
    if args.comparison is not None and not Path(args.comparison).is_dir():
        raise Usage(f"--comparison: {args.comparison}: no such folder")
    out = Path(args.out)
    if out.is_dir():
        out = out / "explore.html"
    if out.suffix.lower() not in (".html", ".htm"):
        raise Usage(f"--out: {out} should end in .html")
    _output.writable_file(out, "--out", args.input)
    segmenter, masks = _inputs.segmenter(args), _inputs.masks(args)
    comparison = None if args.comparison is None else evaluate.load(args.comparison)
    table, _ = _inputs.table(args)
    if args.label != "label" and args.label not in table:
        raise Usage(f"--label: {no_column(args.label, table.columns)}")
    table = _inputs.edited(table, args)
    print(
        report.explore(
            table,
            out,
            comparison=comparison,
            suspected=not args.no_suspected,
            label=args.label,
            segmenter=segmenter if _arguments.given(args, "segmenter") else None,
            masks=masks,
            mask_kind=args.mask_kind,
            pictures=not args.no_pictures,
            map=args.map,
            n_cells=args.n_cells,
            title=args.title,
            command=_output.typed_command(args),
            random_state=args.seed,
            n_jobs=_arguments.jobs(args),
            notify=lambda text: _arguments.say(args, text),
        )
    )
