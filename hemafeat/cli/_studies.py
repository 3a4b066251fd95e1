"""How ``hemafeat compare`` divides cells, and the studies it makes beside a comparison."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemafeat._files import write_table
from hemafeat.cli import _arguments
from hemafeat.cli._errors import Usage

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES = """\
  hemafeat compare features/ --leakage
      the same models under an honest and a leaky split, and the difference
  hemafeat compare features/ --models svc --learning-curve --class-drop
  hemafeat compare both/ --protocol cross-dataset --train pbc --test bccd"""

PROTOCOLS = (
    "grouped, patient, duplicates, leave-one-batch-out, cross-dataset, official, image-random, "
    "leaky-ufsc, leaky-mids, leaky-bernard, leaky-bernard-merged, leaky-bernard-copies, "
    "leaky-hincapie"
)
"""Their names, for the help: looking them up would load half of what a help should not."""

_FLAGS = ("leakage", "learning_curve", "class_drop", "copies")
_VALUES = ("batch", "train", "test")


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of protocols and studies."""
    parser.add_argument(
        "--protocol",
        "--split",
        dest="split",
        default="grouped",
        metavar="NAME",
        help=f"how cells are divided: {PROTOCOLS}; default: grouped",
    )
    parser.add_argument("--train", metavar="SET", help="of cross-dataset: what is trained on")
    parser.add_argument("--test", metavar="SET", help="of cross-dataset: what is scored")
    parser.add_argument(
        "--batch",
        metavar="COLUMN",
        help="of leave-one-batch-out and cross-dataset: default: batch, else dataset",
    )
    parser.add_argument(
        "--leakage",
        nargs="?",
        const="image-random",
        metavar="NAME",
        help="the same models under a leaky protocol as well, and the difference; default: "
        "image-random",
    )
    parser.add_argument(
        "--learning-curve",
        nargs="?",
        const="cells",
        choices=("cells", "groups"),
        help="train on ever more cells (default) or whole groups",
    )
    parser.add_argument(
        "--class-drop", action="store_true", help="leave out each class and see where it goes"
    )
    parser.add_argument(
        "--copies",
        action="store_true",
        help="draw cells with replacement before they are divided, to see what that fakes",
    )


def protocol(args: argparse.Namespace) -> Any:
    """The protocol asked for, known to exist, with its options."""
    from hemafeat import evaluate

    try:
        return evaluate.protocol(args.split, train=args.train, test=args.test, column=args.batch)
    except evaluate.CompareError as error:
        raise Usage(f"--protocol: {error}") from None


def check(args: argparse.Namespace) -> None:
    """Refuse what cannot be before hours are spent measuring."""
    from hemafeat import evaluate

    protocol(args)
    if args.leakage is None:
        return
    try:
        other = evaluate.protocol(args.leakage)
    except evaluate.CompareError as error:
        raise Usage(f"--leakage: {error}") from None
    if other.name == args.split:
        raise Usage(f"--leakage: {other.name} is what the comparison itself is made with")


def not_of_patients(args: argparse.Namespace) -> None:
    """Refuse studies of cells where patients are judged."""
    for name in (*_FLAGS, *_VALUES):
        if getattr(args, name):
            raise Usage(f"--{name.replace('_', '-')} is not for --level patient")


def words(args: argparse.Namespace) -> list[str]:
    """The arguments as they could be typed again."""
    found = []
    for name in (*_VALUES, *_FLAGS):
        value = getattr(args, name)
        option = "--" + name.replace("_", "-")
        if value is True:
            found.append(option)
        elif value:
            found += [option, str(value)]
    return found


def made(table: pd.DataFrame, models: Any, args: argparse.Namespace, out: Path) -> list[Any]:
    """The studies asked for: printed in short, their tables written, ready for the page."""
    from hemafeat import evaluate

    if isinstance(models, Mapping):
        models = {name: model for name, model in models.items() if name != "grey_pixels"}
    else:
        models = [name for name in models if name != "grey_pixels"]
    how = {
        "label": args.label,
        "groups": args.group,
        "n_splits": args.folds,
        "rare": args.rare,
        "n_boot": args.resamples,
        "random_state": args.seed,
        "n_jobs": _arguments.workers(args),
        "progress": _arguments.progress(args),
    }
    studies: list[Any] = []
    if args.leakage:
        _arguments.say(args, f"comparing with {args.leakage} ...")
        both = (protocol(args), args.leakage)
        found = evaluate.leakage(models, table, protocols=both, metadata=args.metadata, **how)
        studies.append(found)
        write_table(found.differences, out / "leakage.csv")
        _show("Balanced accuracy with and without leakage", found.summary())
    if args.learning_curve:
        _arguments.say(args, "training on ever more cells ...")
        curve = evaluate.learning_curve(
            models, table, by=args.learning_curve, protocol=protocol(args), **how
        )
        studies.append(curve)
        write_table(curve.results, out / "learning_curve.csv")
        lines = {name: curve.curve(name).set_index("n_train")["value"] for name in curve.models}
        _show("Balanced accuracy by cells trained on", _frame(lines))
    if args.class_drop:
        _arguments.say(args, "leaving out each class in turn ...")
        drop = evaluate.class_drop(models, table, protocol=protocol(args), **how)
        studies.append(drop)
        write_table(drop.results, out / "class_drop.csv")
        _show(f"Share of a left-out class by {drop.models[0]}", drop.shares(drop.models[0]))
    if args.copies:
        _arguments.say(args, "drawing cells with replacement ...")
        twice = evaluate.resampling(models, table, **how)
        studies.append(twice)
        write_table(twice.results, out / "copies.csv")
        _show("Balanced accuracy of cells drawn twice", twice.summary().set_index("model"))
    return studies


def _frame(columns: dict[str, pd.Series]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(columns)


def _show(heading: str, frame: pd.DataFrame) -> None:
    import pandas as pd

    with pd.option_context("display.width", None, "display.max_columns", None):
        print(f"{heading}\n{frame.round(3).to_string(na_rep='-')}\n")
