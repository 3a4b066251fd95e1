"""``hemafeat audit``: leaks of a data set that a model could exploit."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemafeat._words import no_column, plural
from hemafeat.cli import _arguments, _inputs, _output
from hemafeat.cli._errors import Failure, Usage

if TYPE_CHECKING:
    import pandas as pd

    from hemafeat.datasets import Audit
    from hemafeat.evaluate import Probes

DESCRIPTION = """\
Search a data set for problems that inflate scores: unreadable and misnamed files, copies and
near copies (also under two labels, or on both sides of a split), batches of size and
background, patients on both sides, and how well file names, sizes, backgrounds, bag size
and each attribute predict the label on their own. Writes tables and audit.html."""

EXAMPLES = """\
  hemafeat audit cells/                       a folder for each class, or a CSV
  hemafeat audit PBC_dataset_normal_DIB/ --dataset pbc --out audit/
  hemafeat audit cells.csv --strict           exit code 1 if there is a severe finding
  hemafeat audit cells/ --no-near --no-probes exact copies only, and no models"""

MARKS = ("audit_findings.csv", "audit_findings.parquet")


def add(commands: Any) -> None:
    """Add the command."""
    parser = _arguments.add_command(
        commands, "audit", run, "leaks that a model could exploit", DESCRIPTION, EXAMPLES
    )
    parser.add_argument("input", nargs="+", metavar="IMAGES", help="a folder, a CSV or images")
    _arguments.add_dataset(parser)
    _arguments.add_keep_dates(parser)
    parser.add_argument(
        "--group",
        default="group",
        metavar="COLUMN",
        help="column of the groups that must not be on both sides of a split; default: group (the "
        "patient, or else copies of one image)",
    )
    parser.add_argument(
        "--folds",
        type=_arguments.positive_int,
        default=5,
        metavar="N",
        help="number of folds of the leak probes; default: 5",
    )
    parser.add_argument(
        "--out",
        default="hemafeat-audit",
        metavar="DIR",
        help="folder to write; default: hemafeat-audit",
    )
    parser.add_argument(
        "--format", choices=("csv", "parquet"), default="csv", help="format of the tables"
    )
    parser.add_argument(
        "--strict", action="store_true", help="exit with code 1 if there is a severe finding"
    )
    parser.add_argument("--no-near", action="store_true", help="skip the search for near copies")
    parser.add_argument(
        "--no-turned", action="store_true", help="skip turned and mirrored near copies"
    )
    parser.add_argument("--no-probes", action="store_true", help="skip the leak probes")
    parser.add_argument(
        "--seed", type=_arguments.seed, default=0, metavar="N", help="seed of batches and folds"
    )
    parser.add_argument("--title", metavar="TEXT", help="heading of the page")
    _arguments.add_restart(parser, "audit of other settings")
    _arguments.add_jobs(parser)


def run(args: argparse.Namespace) -> None:
    """Audit the images, probe for leaks, print and write the findings."""
    from hemafeat import datasets, report

    if args.folds < 2 and not args.no_probes:
        raise Usage("--folds: at least 2 folds are needed")
    out = _output.result_folder(args.out, "audit", MARKS, args.input)
    settings = _output.settings(args)
    if any((out / name).exists() for name in MARKS):
        _output.keep_earlier(out, "audit", args, same=True)
    table = _inputs.images(args.input, args.dataset, keep_dates=args.keep_dates)
    if args.group not in table:
        raise Usage(f"--group: {no_column(args.group, table.columns)}")
    _arguments.say(args, f"auditing {plural(len(table), 'image')} ...")
    audit = datasets.audit(
        table,
        near=not args.no_near,
        turned=not args.no_turned,
        n_jobs=_arguments.jobs(args),
        random_state=args.seed,
        progress=_arguments.progress(args),
    )
    probes = None if args.no_probes else _leak_probes(audit, args)
    if probes is not None:
        audit = audit.with_probes(probes)
    audit.save(out, suffix=f".{args.format}")
    print(audit)
    if probes is not None:
        probes.save(out, suffix=f".{args.format}")
        print(probes)
    page = report.audit_page(
        audit,
        out / "audit.html",
        probes=probes,
        title=args.title or f"Audit of {Path(args.input[0]).name or args.input[0]}",
        command=_output.typed_command(args),
    )
    _output.save_settings(out, settings)
    print(page)
    n_severe = len(audit.severe)
    if args.strict and n_severe:
        raise Failure(f"{plural(n_severe, 'severe finding')}: see {page}")


def audit_and_probes(
    table: pd.DataFrame, listed: pd.DataFrame | None, args: argparse.Namespace
) -> tuple[Audit, Probes | None]:
    """Audit the images of the cells that are compared, and probe them for leaks."""
    from hemafeat import datasets

    _arguments.say(args, "searching for leaks ...")
    if listed is None:
        columns = [name for name in table if "__" not in str(name) and name != "cell"]
        listed = datasets.as_table(table[columns].drop_duplicates("image"))
    audit = datasets.audit(listed, n_jobs=_arguments.jobs(args), progress=_arguments.progress(args))
    return audit, _leak_probes(audit, args)


def _leak_probes(audit: Audit, args: argparse.Namespace) -> Probes | None:
    """Return the leak probes, or None after printing why there are none."""
    from hemafeat import evaluate

    try:
        return evaluate.leak_probes(
            audit, groups=args.group, n_splits=args.folds, random_state=args.seed
        )
    except evaluate.CompareError as error:
        _arguments.say(args, f"no leak probes: {error}")
        return None
