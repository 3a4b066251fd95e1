"""Protocols of ``hemafeat compare``, and the studies it makes beside a comparison."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemafeat._files import write_table
from hemafeat.cli import _arguments, _output
from hemafeat.cli._errors import Usage

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES = """\
  hemafeat compare features/ --leakage
      the same models under an honest and a leaky split, and the difference
  hemafeat compare features/ --models svc --learning-curve --class-drop
  hemafeat compare both/ --protocol cross-dataset --train pbc --test bccd
  hemafeat compare pbc/ bccd/ raabin/ --protocol leave-one-laboratory-out
      tables of several laboratories, each scored by models of the others"""

PROTOCOLS = (
    "grouped, patient, holdout, duplicates, leave-one-batch-out, leave-one-laboratory-out, "
    "cross-dataset, official, "
    "image-random, leaky-ufsc, leaky-mids, leaky-bernard, leaky-bernard-merged, "
    "leaky-bernard-copies, leaky-hincapie, leaky-lymphocytosis"
)
"""Names of the protocols; written out, so that ``--help`` need not load them."""

CELLS_ONLY = (
    "selective",
    "leakage",
    "learning_curve",
    "class_drop",
    "resampling",
    "batch",
    "train",
)

_OPTIONS = {
    "train": ("cross-dataset",),
    "test": ("cross-dataset", "holdout"),
    "valid": ("holdout",),
    "batch": ("cross-dataset", "leave-one-batch-out", "leave-one-laboratory-out"),
}
"""Options of some protocols only."""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of protocols and studies."""
    parser.add_argument(
        "--protocol",
        default="grouped",
        metavar="NAME",
        help=f"how the data are split: {PROTOCOLS}; default: grouped",
    )
    parser.add_argument(
        "--split", dest="protocol", action=_arguments.FormerName, current="--protocol"
    )
    parser.add_argument(
        "--train",
        nargs="+",
        metavar="SET",
        help="with --protocol cross-dataset: data set to train on, or several to train on together",
    )
    parser.add_argument(
        "--test",
        nargs="+",
        metavar="SET",
        help="with --protocol cross-dataset: data sets to score, one by one; with holdout: share "
        "of the groups to score, default: 0.25",
    )
    parser.add_argument(
        "--valid",
        metavar="SHARE",
        help="with --protocol holdout: share of the groups to validate on, or 'test' for those "
        "that are scored (leaky); default: none",
    )
    parser.add_argument(
        "--n-train",
        type=_arguments.positive_int,
        metavar="N",
        help="train on N rows at most, drawn at random and stratified by label",
    )
    parser.add_argument(
        "--max-per-class",
        type=_arguments.positive_int,
        metavar="N",
        help="score N rows of each class at most, drawn at random",
    )
    parser.add_argument(
        "--batch",
        metavar="COLUMN",
        help="with --protocol leave-one-batch-out, leave-one-laboratory-out or cross-dataset: "
        "column of the batches; default: batch (of the first only), or else dataset",
    )
    parser.add_argument(
        "--leakage",
        nargs="?",
        const="image-random",
        metavar="NAME",
        help="also compare under a leaky protocol (default: image-random), and report the "
        "difference",
    )
    parser.add_argument(
        "--learning-curve",
        nargs="?",
        const="cells",
        choices=("cells", "groups"),
        help="also train on increasing numbers of cells (default) or of whole groups",
    )
    parser.add_argument(
        "--class-drop",
        action="store_true",
        help="also leave out each class in turn, and report how its cells are then classified",
    )
    parser.add_argument(
        "--resampling",
        action="store_true",
        help="also draw cells with replacement before the split, to show how this inflates scores",
    )
    parser.add_argument(
        "--copies",
        dest="resampling",
        nargs=0,
        action=_arguments.FormerName,
        current="--resampling",
    )


def protocol(args: argparse.Namespace) -> Any:
    """Return the protocol that the arguments ask for, with its options."""
    from hemafeat import evaluate

    options: dict[str, Any] = {"train": args.train, "test": args.test, "valid": args.valid}
    if args.protocol == "holdout":
        if len(args.test or ()) > 1:
            raise Usage("--test: with --protocol holdout it is one share of the groups")
        options["test"] = args.test and args.test[0]
        options |= {name: _share(options[name], name) for name in ("test", "valid")}
    try:
        return evaluate.protocol(
            args.protocol,
            column=args.batch,
            n_train=args.n_train,
            max_per_class=args.max_per_class,
            **options,
        )
    except evaluate.CompareError as error:
        raise Usage(f"--protocol: {error}") from None


def _share(text: str | None, option: str) -> float | str | None:
    """Return the share of a part of a hold-out, or ``"test"``."""
    if text is None or (option, text) == ("valid", "test"):
        return text
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise Usage(f"--{option}: {text!r} is not a share of the groups, such as 0.25")
    return share


def check(args: argparse.Namespace) -> None:
    """Refuse impossible combinations before any cell is measured."""
    from hemafeat import evaluate

    if args.level == "patient":
        for name in CELLS_ONLY:
            if getattr(args, name):
                raise Usage(f"--{name.replace('_', '-')} cannot be combined with --level patient")
        if args.group not in ("group", args.patient):
            raise Usage(
                "--group: with --level patient the groups are the patients; set their column with "
                "--patient"
            )
    else:
        for option in _arguments.given(args, "patient", "positive"):
            raise Usage(f"{option} needs --level patient")
    for name, needed in _OPTIONS.items():
        if args.protocol not in needed and _arguments.given(args, name):
            raise Usage(f"--{name} needs --protocol {' or '.join(needed)}")
    protocol(args)
    if args.leakage is None:
        return
    try:
        leaky = evaluate.protocol(args.leakage)
    except evaluate.CompareError as error:
        raise Usage(f"--leakage: {error}") from None
    if leaky.name == args.protocol:
        raise Usage(f"--leakage: {leaky.name} is already the protocol of the comparison")


def run(table: pd.DataFrame, models: Any, args: argparse.Namespace, out: Path) -> list[Any]:
    """Make the studies that the arguments ask for.

    Each one is printed in short, its table is written to `out`, and the studies are returned for
    the page.
    """
    import pandas as pd

    from hemafeat import evaluate, pipelines

    of_images = set(pipelines.names(images=True)) - set(pipelines.names())
    if isinstance(models, Mapping):
        models = {name: model for name, model in models.items() if name not in of_images}
    else:
        models = [name for name in models or [] if name not in of_images]
    options = {
        "label": args.label,
        "groups": args.group,
        "n_splits": args.folds,
        "rare": args.rare,
        "n_boot": args.n_boot,
        "random_state": args.seed,
        "n_jobs": _arguments.jobs(args),
        "progress": _arguments.progress(args),
    }
    studies: list[Any] = []
    if args.leakage:
        _arguments.say(args, f"comparing under {args.leakage} ...")
        leakage = evaluate.leakage(
            models,
            table,
            protocols=(protocol(args), args.leakage),
            metadata=args.metadata,
            **options,
        )
        studies.append(leakage)
        write_table(leakage.differences, out / "leakage.csv")
        _output.print_frame("Balanced accuracy with and without leakage", leakage.summary())
    if args.learning_curve:
        _arguments.say(args, "training on increasing numbers of cells ...")
        curve = evaluate.learning_curve(
            models, table, by=args.learning_curve, protocol=protocol(args), **options
        )
        studies.append(curve)
        write_table(curve.results, out / "learning_curve.csv")
        by_model = {name: curve.curve(name).set_index("n_train")["value"] for name in curve.models}
        _output.print_frame("Balanced accuracy by training cells", pd.DataFrame(by_model))
    if args.class_drop:
        _arguments.say(args, "leaving out each class in turn ...")
        drop = evaluate.class_drop(models, table, protocol=protocol(args), **options)
        studies.append(drop)
        write_table(drop.results, out / "class_drop.csv")
        first = drop.models[0]
        _output.print_frame(
            f"Predictions of {first} for each left-out class (shares)", drop.shares(first)
        )
    if args.resampling:
        _arguments.say(args, "drawing cells with replacement ...")
        resampling = evaluate.resampling(models, table, **options)
        studies.append(resampling)
        write_table(resampling.results, out / "resampling.csv")
        _output.print_frame(
            "Balanced accuracy of cells drawn with replacement",
            resampling.summary().set_index("model"),
        )
    return studies
