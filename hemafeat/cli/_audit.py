"""``hemafeat audit``: what a data set would let a model cheat with."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemafeat.cli import _arguments, _inputs
from hemafeat.cli._errors import Failure, Usage

if TYPE_CHECKING:
    import pandas as pd

    from hemafeat.datasets import Audit
    from hemafeat.evaluate import Probes

DESCRIPTION = """\
Look for what makes scores too good: unreadable and misnamed files, copies and near
copies (also under two labels, or on both sides of a split), batches of size and
background, patients on both sides, and how well file names, sizes, backgrounds, bag
size and every attribute alone tell the label. Writes tables and audit.html."""

EXAMPLES = """\
  hemafeat audit cells/                       a folder for each class, or a CSV
  hemafeat audit PBC_dataset_normal_DIB/ --dataset pbc --out audit/
  hemafeat audit cells.csv --strict           exit code 1 when something severe is found
  hemafeat audit cells/ --no-near --no-probes equal copies only, and no models"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = _arguments.command(
        commands, "audit", run, "what a model could cheat with", DESCRIPTION, EXAMPLES
    )
    parser.add_argument("input", nargs="+", metavar="IMAGES", help="folder, CSV or files")
    parser.add_argument(
        "--dataset",
        choices=_arguments.DATASETS,
        help="read the folder as this public data set, with its labels and patients",
    )
    parser.add_argument(
        "--group",
        default="group",
        metavar="COLUMN",
        help="what must not be on both sides; default: group (patient, else copies of an image)",
    )
    parser.add_argument("--folds", type=_arguments.positive, default=5, metavar="N")
    parser.add_argument(
        "--out", default="hemafeat-audit", metavar="DIR", help="default: hemafeat-audit"
    )
    parser.add_argument("--format", choices=("csv", "parquet"), default="csv", help="of the tables")
    parser.add_argument(
        "--strict", action="store_true", help="exit code 1 when something severe is found"
    )
    parser.add_argument("--no-near", action="store_true", help="skip near copies")
    parser.add_argument("--no-turned", action="store_true", help="no turned or mirrored copies")
    parser.add_argument("--no-probes", action="store_true", help="skip the leak probes")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--title", metavar="TEXT", help="heading of the page")
    _arguments.add_jobs(parser)


def run(args: argparse.Namespace) -> None:
    """Look, probe, print, write."""
    from hemafeat import datasets, report

    out = _folder(args.out)
    table = _inputs.images(args.input, args.dataset)
    if args.group not in table:
        raise Usage(f"--group: the table has no column {args.group!r}")
    _arguments.say(args, f"looking at {_arguments.plural(len(table), 'image')} ...")
    audit = datasets.audit(
        table,
        near=not args.no_near,
        turned=not args.no_turned,
        n_jobs=_arguments.workers(args),
        random_state=args.seed,
        progress=_arguments.progress(args),
    )
    probes = None if args.no_probes else probed(audit, args)
    audit.save(out, suffix=f".{args.format}")
    print(audit)
    if probes is not None:
        probes.save(out, suffix=f".{args.format}")
        print(probes)
    command = shlex.join(["hemafeat", "audit", *args.input, "--out", args.out])
    print(
        report.audit_page(
            audit,
            out / "audit.html",
            probes=probes,
            title=args.title or f"Audit of {Path(args.input[0]).name or args.input[0]}",
            command=command,
        )
    )
    n_severe = len(audit.severe) + (0 if probes is None else len(probes.severe))
    if args.strict and n_severe:
        raise Failure(f"{n_severe} severe: see {out / 'audit.html'}")


def audited(
    table: pd.DataFrame, listed: pd.DataFrame | None, args: argparse.Namespace
) -> tuple[Audit, Probes | None]:
    """The audit of the images of cells that are compared, and its probes."""
    from hemafeat import datasets

    _arguments.say(args, "looking for leaks ...")
    if listed is None:
        known = [name for name in table if "__" not in str(name) and name != "cell"]
        listed = datasets.as_table(table[known].drop_duplicates("image"))
    audit = datasets.audit(
        listed, n_jobs=_arguments.workers(args), progress=_arguments.progress(args)
    )
    return audit, probed(audit, args)


def probed(audit: Audit, args: argparse.Namespace) -> Probes | None:
    """The leak probes, or None with a line that says why there are none."""
    from hemafeat import evaluate

    if args.folds < 2:
        raise Usage("--folds: at least 2 folds are needed")
    try:
        return evaluate.leak_probes(
            audit, groups=args.group, n_splits=args.folds, random_state=args.seed
        )
    except evaluate.CompareError as error:
        _arguments.say(args, f"no leak probes: {error}")
        return None


def _folder(text: str) -> Path:
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise Usage(f"--out: {path} is a file")
    marks = [path / f"audit_findings{suffix}" for suffix in (".csv", ".parquet")]
    earlier = any(mark.exists() for mark in marks)
    if path.is_dir() and any(path.iterdir()) and not earlier:
        raise Usage(f"--out: {path} is not empty and holds no earlier audit")
    return path
