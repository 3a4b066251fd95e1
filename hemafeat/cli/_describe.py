"""``hemafeat describe``: describe the columns of the table."""

from __future__ import annotations

import argparse
import difflib
import sys
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from hemafeat.cli import _arguments, _inputs
from hemafeat.cli._errors import Usage

if TYPE_CHECKING:
    import pandas as pd

DESCRIPTION = """\
Describe the columns of the table: unit, formula, and who defined them. Columns are named
mask__family__feature or mask__family__feature__plane."""

EXAMPLES = """\
  hemafeat describe                               the default columns, one line each
  hemafeat describe nucleus__shape__area          one column, in full
  hemafeat describe 'nucleus__*__mean*'           columns that match a pattern
  hemafeat describe glcm                          a family, a mask, or a part of a name
  hemafeat describe --families all --format csv > columns.csv
  hemafeat describe --format md shape             a table for a document"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = _arguments.add_command(
        commands, "describe", run, "describe columns: unit, formula, source", DESCRIPTION, EXAMPLES
    )
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="a column, a family, a mask, or a pattern"
    )
    parser.add_argument(
        "--families",
        nargs="+",
        metavar="NAME",
        help="families to search: default, all, or names; all by default if NAME is given",
    )
    parser.add_argument(
        "--format",
        choices=("text", "csv", "md"),
        default="text",
        help="format to print; default: text",
    )


def run(args: argparse.Namespace) -> None:
    """Print the columns."""
    from hemafeat import extract

    if args.families is None:
        args.families = ["all" if args.name else "default"]
    columns = extract.describe(_inputs.families(args))
    if args.name:
        columns = _matching(columns, args.name)
    if args.format == "csv":
        sys.stdout.write(columns.to_csv(index=False, lineterminator="\n"))
    elif args.format == "md":
        print(_markdown(columns))
    elif len(columns) == 1:
        print(_in_full(columns.iloc[0]))
    else:
        print(_one_line_each(columns))


def _matching(columns: pd.DataFrame, name: str) -> pd.DataFrame:
    names = columns["column"]
    exact = (names == name) | (columns["family"] == name) | (columns["mask"] == name)
    if exact.any():
        return columns[exact]
    matches = names.map(lambda column: fnmatchcase(column, name) or name in column)
    if not matches.any():
        similar = difflib.get_close_matches(name, list(names), 3, 0.5)
        hint = f"; did you mean {', '.join(similar)}?" if similar else "; see hemafeat describe"
        raise Usage(f"there is no column, family or mask {name!r}{hint}")
    return columns[matches.astype(bool)]


def _in_full(row: pd.Series) -> str:
    labels = (
        "mask",
        "family",
        "feature",
        "plane",
        "unit",
        "formula",
        "meaning",
        "source",
        "reference",
    )
    lines = [str(row["column"])]
    lines += [f"  {label:<10}{row[label]}" for label in labels if str(row[label])]
    return "\n".join(lines)


def _one_line_each(columns: pd.DataFrame) -> str:
    name_width = max(map(len, columns["column"]))
    unit_width = max(map(len, columns["unit"]))
    return "\n".join(
        f"{name:<{name_width}}  {unit:<{unit_width}}  {formula}".rstrip()
        for name, unit, formula in zip(
            columns["column"], columns["unit"], columns["formula"], strict=True
        )
    )


def _markdown(columns: pd.DataFrame) -> str:
    lines = ["| column | unit | formula | source |", "|---|---|---|---|"]
    for record in columns.to_dict("records"):
        cells = [str(record[key]).replace("|", "\\|") for key in ("unit", "formula", "source")]
        lines.append(f"| `{record['column']}` | {' | '.join(cells)} |")
    return "\n".join(lines)
