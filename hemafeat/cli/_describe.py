"""``hemafeat describe``: what each column is."""

from __future__ import annotations

import argparse
import sys
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from hemafeat.cli import _arguments, _inputs
from hemafeat.cli._errors import Usage

if TYPE_CHECKING:
    import pandas as pd

DESCRIPTION = """\
The columns of the table: unit, formula, and who defined it. Columns are named
mask__family__feature or mask__family__feature__plane."""

EXAMPLES = """\
  hemafeat describe                               the default columns, a line each
  hemafeat describe nucleus__shape__area          one column, in full
  hemafeat describe 'nucleus__*__mean*'           those that fit a pattern
  hemafeat describe glcm                          a family, a mask, or a part of a name
  hemafeat describe --families all --format csv > columns.csv
  hemafeat describe --format md shape             a table for a document"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = _arguments.command(
        commands, "describe", run, "what each column is: unit, formula, source",
        DESCRIPTION, EXAMPLES,
    )  # fmt: skip
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="a column, a family, a mask, or a pattern"
    )
    parser.add_argument(
        "--families",
        nargs="+",
        metavar="NAME",
        help="default, all, or names; with NAME every family is searched",
    )
    parser.add_argument("--format", choices=("text", "csv", "md"), default="text")


def run(args: argparse.Namespace) -> None:
    """Print the columns."""
    from hemafeat import extract

    if args.families is None:
        args.families = ["all" if args.name else "default"]
    found = extract.describe(_inputs.families(args))
    if args.name:
        found = _named(found, args.name)
    if args.format == "csv":
        sys.stdout.write(found.to_csv(index=False, lineterminator="\n"))
    elif args.format == "md":
        print(_markdown(found))
    elif len(found) == 1:
        print(_full(found.iloc[0]))
    else:
        print(_lines(found))


def _named(found: pd.DataFrame, name: str) -> pd.DataFrame:
    columns = found["column"]
    exact = (columns == name) | (found["family"] == name) | (found["mask"] == name)
    if exact.any():
        return found[exact]
    fits = columns.map(lambda column: fnmatchcase(column, name) or name in column)
    if not fits.any():
        import difflib

        near = difflib.get_close_matches(name, list(columns), 3, 0.5)
        hint = f"; near it: {', '.join(near)}" if near else "; see hemafeat describe"
        raise Usage(f"no column, family or mask is called {name!r}{hint}")
    return found[fits.astype(bool)]


def _full(row: pd.Series) -> str:
    labels = ("mask", "family", "feature", "plane", "unit", "formula", "source", "reference")
    lines = [str(row["column"])]
    lines += [f"  {label:<10}{row[label]}" for label in labels if str(row[label])]
    return "\n".join(lines)


def _lines(found: pd.DataFrame) -> str:
    name = max(len(column) for column in found["column"])
    unit = max(len(text) for text in found["unit"])
    return "\n".join(
        f"{column:<{name}}  {text:<{unit}}  {formula}".rstrip()
        for column, text, formula in zip(
            found["column"], found["unit"], found["formula"], strict=True
        )
    )


def _markdown(found: pd.DataFrame) -> str:
    lines = ["| column | unit | formula | source |", "|---|---|---|---|"]
    for record in found.to_dict("records"):
        cells = [str(record[key]).replace("|", "\\|") for key in ("unit", "formula", "source")]
        lines.append(f"| `{record['column']}` | {' | '.join(cells)} |")
    return "\n".join(lines)
