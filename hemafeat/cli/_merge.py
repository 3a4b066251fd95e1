"""``hemafeat merge``: tables of several laboratories made one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hemafeat._files import is_table_file
from hemafeat._words import plural
from hemafeat.cli import _arguments, _inputs, _output
from hemafeat.cli._errors import Usage

DESCRIPTION = """\
Make one table of several tables of cells. Each row keeps the name of its data set, and
patients are told apart by it. Tables in px and in um are not mixed. Says so if the data set
of a cell gives its class away."""

EXAMPLES = """\
  hemafeat merge pbc/ bccd/ --out both/
  hemafeat merge pbc/ bccd/ --out both.parquet --labels coarse
      the names of classes that data sets share
  hemafeat merge a/cells b/cells --names berlin paris --out both/
      names of data sets, where tables have none or the same"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = _arguments.add_command(
        commands, "merge", run, "one table of several tables of cells", DESCRIPTION, EXAMPLES
    )
    parser.add_argument(
        "input", nargs="+", metavar="TABLE", help="a table of hemafeat extract: a folder or file"
    )
    parser.add_argument(
        "--names",
        nargs="+",
        metavar="NAME",
        help="data set of each table, in order; default: those in its column dataset, else the "
        "name of its folder or file",
    )
    parser.add_argument(
        "--labels",
        choices=("coarse", "fine"),
        help="rename the classes to those that data sets share; default: they keep their names",
    )
    parser.add_argument(
        "--out", required=True, metavar="PATH", help="a folder, or a .parquet or .csv file to write"
    )
    _arguments.add_restart(parser, "table")


def run(args: argparse.Namespace) -> None:
    """Merge the tables, write the result, and count its cells by data set and class."""
    import pandas as pd

    from hemafeat import extract

    out = Path(args.out)
    to_file = is_table_file(out) and not out.is_dir()
    if to_file:
        _output.table_file(args.out, inputs=args.input)
        if out.exists() and not args.restart:
            raise Usage(f"--out: {out} exists; choose another file, or pass --restart")
    else:
        _output.result_folder(args.out, "table", ("manifest.json", "cells.parquet"), args.input)
        if (out / "manifest.json").exists() and not args.restart:
            raise Usage(
                f"--out: {out} holds an earlier table; choose another folder, or pass --restart"
            )
    table = _inputs.merged(args.input, args.names, args.labels)
    try:
        extract.save(table, out)
    except FileExistsError as error:
        raise Usage(f"--out: {_output.reason(error)}") from None
    counts = pd.crosstab(table["label"].fillna("(no label)"), table["dataset"], margins=True)
    counts.columns.name = None
    with pd.option_context("display.width", None, "display.max_columns", None):
        print(counts.rename_axis(None).rename(index={"All": "all"}, columns={"All": "all"}))
    print(f"{plural(len(table), 'cell')} of {plural(table['dataset'].nunique(), 'data set')}")
    print(out)
