"""``hemafeat cell``: one cell of a table, its picture and its values against its class."""

from __future__ import annotations

import argparse
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemafeat._files import write_whole
from hemafeat.cli import _arguments, _inputs, _output
from hemafeat.cli._errors import Failure, Usage

if TYPE_CHECKING:
    import pandas as pd

    from hemafeat.report import CellView

DESCRIPTION = """\
Show one cell of a table: where it lies in its image, what it was taken for, and its values
against those of its class, the most unusual first. --out writes its picture with the outlines
of cell and nucleus."""

EXAMPLES = """\
  hemafeat cell features/ field_07.jpg#3
      cell 3 of an image; its number is that of overlays, predictions and quality.csv
  hemafeat cell features/ field_07.jpg#3 --out cell.png
      and its picture
  hemafeat cell result/predictions.csv field_07.jpg#3 --out cell.png
      a row of predictions: what each model says of the cell, and its picture
  hemafeat cell features/ field_07.jpg#3 --columns 'nucleus__shape__*' --number 40"""

PICTURES = (".png", ".jpg", ".jpeg")


def add(commands: Any) -> None:
    """Add the command."""
    parser = _arguments.add_command(
        commands, "cell", run, "show one cell of a table", DESCRIPTION, EXAMPLES
    )
    parser.add_argument(
        "table", metavar="TABLE", help="a table of hemafeat extract, or predictions"
    )
    parser.add_argument(
        "name", metavar="IMAGE#N", help="image and number of the cell, such as field_07.jpg#3"
    )
    parser.add_argument("--out", metavar="FILE", help="picture to write: .png or .jpg")
    parser.add_argument(
        "--columns", metavar="PATTERN", help="columns to show, such as 'nucleus__shape__*'"
    )
    parser.add_argument(
        "--number",
        "-n",
        type=_arguments.positive_int,
        default=15,
        metavar="N",
        help="number of columns to show; default: 15",
    )
    _arguments.add_segmenter(parser)
    # None: as the table was measured.
    parser.set_defaults(segmenter=None)
    _arguments.add_masks_of_cells(parser)


def run(args: argparse.Namespace) -> None:
    """Print the cell, and write its picture."""
    from hemafeat import report
    from hemafeat.images import ImageError

    if not Path(args.table).exists():
        raise Usage(f"{args.table}: no such file or folder")
    out = None if args.out is None else Path(args.out)
    if out is not None:
        if out.suffix.lower() not in PICTURES:
            raise Usage(f"--out: {out} should end in {' or '.join(PICTURES)}")
        _output.writable_file(out, "--out", [args.table])
    segmenter = None if args.segmenter is None else _inputs.segmenter(args)
    masks = _inputs.masks(args)
    table = _table(args.table)
    try:
        view = report.cell(
            table, args.name, segmenter=segmenter, masks=masks, mask_kind=args.mask_kind
        )
    except LookupError as error:
        raise Usage(str(error.args[0])) from None
    except (ImageError, FileNotFoundError) as error:
        raise Failure(str(error)) from None
    print("\n".join([*_where(view), *_said(table, view)]))
    shown = view.features
    if shown.empty:
        if args.columns is not None:
            raise Usage(f"--columns: {args.table} holds no features")
    elif args.columns is not None:
        shown = shown[[fnmatchcase(name, args.columns) for name in shown["column"]]]
        if shown.empty:
            raise Usage(f"--columns: no column of the table matches {args.columns}")
    if len(shown):
        print(f"against {view.alike}, the most unusual of {len(shown)} columns first:")
        print(_in_columns(shown.head(args.number)))
    if view.problem:
        how = "" if masks or segmenter else "; pass --masks (or --segmenter), as it was measured"
        _arguments.say(args, view.problem + how)
    if out is not None:
        write_whole(out, lambda part: part.write_bytes(_encoded(view, out.suffix)))
        print(out)


def _where(view: CellView) -> list[str]:
    """Return lines on the cell: its label, where it lies, and how sure its outline is."""
    import pandas as pd

    row = view.row

    def known(name: str) -> Any:
        return None if name not in row.index or pd.isna(row[name]) else row[name]

    label = known("label") or known("truth")
    lines = [view.name if label is None else f"{view.name}: {label}"]
    if known("where__x") is not None:
        sides = ("left", "top", "right", "bottom")
        left, top, right, bottom = (int(row[f"where__{side}"]) for side in sides)
        lines.append(
            f"centre at x {row['where__x']:.0f}, y {row['where__y']:.0f}; box x {left} to {right}, "
            f"y {top} to {bottom}; {int(row['where__area_px']):,} px; label "
            f"{int(row['where__mask_label'])} of the mask"
        )
    doubts = ["it touches the border"] if known("quality__touches_border") else []
    if known("quality__suspected_failure"):
        doubts.append(f"its outline may be wrong: {known('quality__failure_reason') or 'unknown'}")
    elif isinstance(reason := known("suspected_failure"), str) and reason:
        doubts.append(f"its outline may be wrong: {reason}")
    return [*lines, *doubts]


def _said(table: pd.DataFrame, view: CellView) -> list[str]:
    """Return a line on what each model says of the cell, if the table holds predictions."""
    if "predicted" not in table:
        return []
    same = table["image"].map(str) + "#" + table["cell"].map(str) == view.name
    return [
        f"{row.get('model', 'predicted')}: {row['predicted']}"
        + (f", probability {p:.2f}" if (p := row.get("probability", float("nan"))) == p else "")
        for row in table[same].to_dict("records")
    ]


def _table(path: str) -> pd.DataFrame:
    """Return a table of cells, measured or predicted."""
    from hemafeat import extract

    if Path(path).is_dir() and not extract.is_result(path):
        inside = Path(path) / "predictions.csv"
        hint = f": name {inside}" if inside.is_file() else ": hemafeat extract writes one"
        raise Usage(f"{path} is not a table of measured cells{hint}")
    try:
        return extract.load(path)
    except ValueError as error:
        raise Usage(str(error)) from None


def _in_columns(values: pd.DataFrame) -> str:
    """Return the values as aligned text."""
    head = ("column", "value", "unit", "percentile", "median", "5 to 95 %")
    rows = [
        (
            str(row["column"]),
            f"{row['value']:.4g}",
            str(row["unit"]),
            f"{row['percentile']:.0f}",
            f"{row['median']:.4g}",
            f"{row['p5']:.4g} to {row['p95']:.4g}",
        )
        for row in values.to_dict("records")
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in (head, *rows)
    )


def _encoded(view: CellView, suffix: str) -> bytes:
    import cv2

    encoded, data = cv2.imencode(suffix, cv2.cvtColor(view.picture, cv2.COLOR_RGB2BGR))
    if not encoded:
        raise Failure("the picture could not be encoded")
    return data.tobytes()
