"""``hemafeat download``: a public data set, fetched, checked and unpacked."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hemafeat.cli import _arguments
from hemafeat.cli._errors import Failure, Usage

DESCRIPTION = """\
Fetch a public data set from its authors' server into a folder. What breaks off is continued by
the same command; every file is checked, and archives are unpacked. Sets behind a login cannot be
fetched: the command then says where they are and what to do. hemafeat datasets lists them all."""

EXAMPLES = """\
  hemafeat download bloodmnist                          into the folder bloodmnist
  hemafeat download bloodmnist --size 64 --to data/bm64
  hemafeat compare --dataset bloodmnist bloodmnist --out result/"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = _arguments.command(
        commands, "download", run, "fetch a public data set", DESCRIPTION, EXAMPLES
    )
    parser.add_argument("name", metavar="NAME", help="as hemafeat datasets lists it")
    parser.add_argument("--to", metavar="DIR", help="folder to fetch into; NAME by default")
    parser.add_argument(
        "--size", type=int, metavar="PX", help="side of the images of bloodmnist (28 by default)"
    )
    parser.add_argument("--keep-archives", action="store_true", help="keep what was unpacked")


def run(args: argparse.Namespace) -> None:
    """Fetch the data set and say where it is."""
    from hemafeat import datasets

    known = datasets.catalogue().set_index("name")
    if args.name not in known.index:
        raise Usage(f"no data set {args.name!r}; there are: {', '.join(known.index)}")
    facts = known.loc[args.name]
    if facts["download"]:
        _arguments.say(args, f"{facts['title']}, {facts['licence']}, from {facts['where']}")
    try:
        folder = datasets.download(
            args.name,
            Path(args.to or args.name),
            size=args.size,
            keep_archives=args.keep_archives,
            progress=_arguments.progress(args),
        )
    except datasets.DatasetError as error:
        raise Failure(str(error)) from None
    print(folder)
