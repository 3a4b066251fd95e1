"""Arguments that several commands share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from hemafeat._machine import n_workers
from hemafeat.datasets import LOADERS
from hemafeat.images import NORMALISERS
from hemafeat.segment import MASK_KINDS

DATASETS = tuple(name for name in LOADERS if name != "folder")
"""Names that ``--dataset`` accepts."""


class FormerName(argparse.Action):
    """Option under its former name: it works as before and prints its current name."""

    def __init__(self, *args: Any, current: str, **kwargs: Any) -> None:
        kwargs["help"] = argparse.SUPPRESS
        super().__init__(*args, **kwargs)
        self.current = current

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Store the value and print a warning."""
        print(
            f"hemafeat: warning: {option_string} is now called {self.current}; the former name "
            "will be removed in the next version",
            file=sys.stderr,
        )
        setattr(namespace, self.dest, True if self.nargs == 0 else values)


def add_command(
    commands: Any, name: str, run: Any, summary: str, description: str, examples: str
) -> argparse.ArgumentParser:
    """Add a command with the arguments that every command has."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog="examples:\n" + examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, parser=parser, resumes=lambda args: False)
    parser.add_argument(
        "--quiet", "-q", action="store_true", help="print the results only, no progress"
    )
    parser.add_argument("--debug", action="store_true", help="show where an error came from")
    return parser


def add_dataset(parser: argparse.ArgumentParser) -> None:
    """Add ``--dataset``."""
    parser.add_argument(
        "--dataset",
        choices=DATASETS,
        metavar="NAME",
        help="read the folder as this public data set, with its labels, patients and masks; "
        "'hemafeat datasets' lists them",
    )


def add_keep_dates(parser: argparse.ArgumentParser) -> None:
    """Add ``--keep-dates``."""
    parser.add_argument(
        "--keep-dates",
        action="store_true",
        help="with --dataset lymphocytosis: keep the dates of birth as they are written, to see "
        "how much their format reveals",
    )


def add_images(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that select images and say how their cells are found and measured."""
    add_dataset(parser)
    add_keep_dates(parser)
    add_segmenter(parser)
    parser.add_argument(
        "--masks",
        metavar="PATH",
        help="use existing masks instead of a segmenter: a folder of files named like the images "
        "(or of 'hemafeat segment'), a file of COCO, or 'given' for the masks named by the image "
        "table or the data set",
    )
    add_nuclei(parser)
    add_mask_kind(parser)
    parser.add_argument(
        "--families",
        nargs="+",
        metavar="NAME",
        default=["default"],
        help="families of features to measure: fast, default, all, robust, or names (see 'hemafeat "
        "families')",
    )
    parser.add_argument(
        "--cells",
        choices=("auto", "all", "central"),
        default="auto",
        help="cells to measure in each image; auto: the central cell if any image has a label, "
        "every cell if none has; predict measures as the model was trained",
    )
    parser.add_argument(
        "--um-per-px",
        type=number_or_auto,
        metavar="X",
        help="side of a pixel in micrometres; lengths are then in um instead of px. auto: by the "
        "red cells of each data set, where it states no scale",
    )
    parser.add_argument(
        "--to-um-per-px",
        type=number,
        metavar="X",
        help="rescale all images to this side of a pixel, in micrometres, before measuring",
    )
    parser.add_argument(
        "--normalise",
        choices=NORMALISERS,
        help="normalise the colours of each image before measuring",
    )
    parser.add_argument(
        "--stain", dest="normalise", action=FormerName, current="--normalise", choices=NORMALISERS
    )
    parser.add_argument(
        "--normalise-reference",
        metavar="DIR",
        help="images that define the target of --normalise; use training images only",
    )
    parser.add_argument(
        "--stain-reference",
        dest="normalise_reference",
        action=FormerName,
        current="--normalise-reference",
    )


def add_nuclei(parser: argparse.ArgumentParser) -> None:
    """Add ``--nuclei``."""
    parser.add_argument(
        "--nuclei",
        metavar="DIR",
        help="masks of the nuclei, if they are in a folder of their own; alone, only nuclei are "
        "measured",
    )


def add_masks_of_cells(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the masks with which cells were measured."""
    parser.add_argument("--masks", metavar="PATH", help="masks that the cells were measured with")
    add_nuclei(parser)
    add_mask_kind(parser)


def add_edits(parser: argparse.ArgumentParser) -> None:
    """Add ``--edits``."""
    parser.add_argument(
        "--edits",
        nargs="+",
        metavar="FILE",
        help="apply what was decided on the page of hemafeat explore: labels that are changed, and "
        "cells that are left out",
    )


def add_mask_kind(parser: argparse.ArgumentParser) -> None:
    """Add ``--mask-kind``."""
    parser.add_argument(
        "--mask-kind",
        choices=MASK_KINDS,
        default="auto",
        help="what the values of the masks mean: trimap (0, 128 cytoplasm, 255 nucleus), labels (a "
        "number for each cell), cells or nuclei (0 and another value); auto: inferred",
    )


def add_segmenter(
    parser: argparse.ArgumentParser, *, several: bool = False, default: str = "contours"
) -> None:
    """Add ``--segmenter``, which takes one name or several."""
    known = {"contours": "", "unet": "a network", "best": "the more trusted of both for each cell"}
    known[default] = f"default; {known[default]}".rstrip("; ")
    listed = ", ".join(f"{name} ({words})" if words else name for name, words in known.items())
    parser.add_argument(
        "--segmenter",
        "--method",
        nargs="+" if several else None,
        default=[default] if several else default,
        metavar="NAME",
        help=f"method that finds the cells: {listed}, a network with your own "
        "weights (unet:FILE.onnx), sobel_watershed (of a report), or the name of a plugged-in "
        "segmenter" + (" (several are compared on the same images)" if several else ""),
    )


def add_restart(parser: argparse.ArgumentParser, what: str) -> None:
    """Add ``--restart``, which lets a command replace an earlier result."""
    parser.add_argument(
        "--restart", action="store_true", help=f"replace the {what} that the folder holds"
    )


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Add ``--jobs``."""
    parser.add_argument(
        "--jobs",
        "-j",
        type=positive_int,
        metavar="N",
        help="number of workers; by default one for each processor",
    )


def positive_int(text: str) -> int:
    """Convert `text` to a whole number above 0."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return value


def seed(text: str) -> int:
    """Convert `text` to a seed of random numbers."""
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to {2**32 - 1}")
    return value


def number(text: str) -> float:
    """Convert `text` to a number."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def number_or_auto(text: str) -> float | str:
    """Convert `text` to a number, unless it is ``auto``."""
    return text if text == "auto" else number(text)


def given(args: argparse.Namespace, *names: str) -> list[str]:
    """Return those options, of the arguments `names`, that differ from their default."""
    return [
        "--" + name.replace("_", "-")
        for name in names
        if getattr(args, name, None) != args.parser.get_default(name)
    ]


def jobs(args: argparse.Namespace) -> int:
    """Return the number of workers to start."""
    return n_workers(args.jobs)


def progress(args: argparse.Namespace) -> bool | None:
    """Return whether to show progress: not with ``--quiet``; None for bars on a terminal only."""
    return False if args.quiet else None


def say(args: argparse.Namespace, text: str) -> None:
    """Print a line about the progress on the standard error stream, unless ``--quiet`` is set."""
    if not args.quiet:
        print(text, file=sys.stderr, flush=True)


def split_names(words: Sequence[str]) -> list[str]:
    """Return the names in words that may hold several, separated by commas."""
    return [name for word in words for name in word.split(",") if name.strip()]
