"""``hemafeat download``: fetch, check and unpack a public data set."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from hemafeat._words import suggestion
from hemafeat.cli import _arguments
from hemafeat.cli._errors import Failure, Usage

DESCRIPTION = """\
Fetch a public data set from the server of its authors into a folder. An interrupted download
resumes with the same command; every file is checked, and archives are unpacked. Data sets
behind a login cannot be fetched: the command then says where they are and what to do.
hemafeat datasets lists all of them."""

EXAMPLES = """\
  hemafeat download bloodmnist                          into the folder bloodmnist
  hemafeat download bloodmnist --size 64 --to data/bm64
  hemafeat compare --dataset bloodmnist bloodmnist --out result/"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = _arguments.add_command(
        commands, "download", run, "fetch a public data set", DESCRIPTION, EXAMPLES
    )
    parser.set_defaults(resumes=lambda args: True)
    parser.add_argument("name", metavar="NAME", help="name as listed by hemafeat datasets")
    parser.add_argument("--to", metavar="DIR", help="folder to fetch into; NAME by default")
    parser.add_argument(
        "--size",
        type=int,
        choices=(28, 64, 128, 224),
        metavar="PX",
        help="side of the images of bloodmnist; default: 28",
    )
    parser.add_argument(
        "--keep-archives", action="store_true", help="keep the archives after unpacking them"
    )


def run(args: argparse.Namespace) -> None:
    """Fetch the data set and print its folder."""
    from hemafeat import datasets

    catalogue = datasets.catalogue().set_index("name")
    if args.name not in catalogue.index:
        hint = suggestion(args.name, catalogue.index, "choose from:")
        raise Usage(f"no data set {args.name!r}; {hint}")
    entry = catalogue.loc[args.name]
    if entry["download"]:
        _arguments.say(args, f"{entry['title']}, {entry['licence']}, from {entry['where']}")
    try:
        folder = datasets.download(
            args.name,
            Path(args.to or args.name),
            size=args.size,
            keep_archives=args.keep_archives,
            progress=not args.quiet and sys.stderr.isatty(),
        )
    except datasets.DatasetError as error:
        raise Failure(str(error)) from None
    print(folder)
