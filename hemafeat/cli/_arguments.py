"""Arguments that several commands share, and what they mean."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from hemafeat.datasets import LOADERS
from hemafeat.images import NORMALISERS

DATASETS = tuple(name for name in LOADERS if name != "folder")
"""Names that ``--dataset`` accepts."""

STAINS = NORMALISERS


def command(
    commands: Any, name: str, run: Any, summary: str, description: str, examples: str
) -> argparse.ArgumentParser:
    """Add a command with the arguments every command has."""
    added: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog="examples:\n" + examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    added.set_defaults(run=run)
    added.add_argument("--quiet", "-q", action="store_true", help="no progress, results only")
    added.add_argument("--debug", action="store_true", help="show where an error came from")
    return added


def add_images(parser: argparse.ArgumentParser) -> None:
    """Arguments that say which images, and how their cells are found and measured."""
    parser.add_argument(
        "--dataset",
        choices=DATASETS,
        metavar="NAME",
        help="read the folder as this public data set, with its labels, patients and masks; "
        "hemafeat datasets lists them",
    )
    add_segmenter(parser)
    parser.add_argument(
        "--masks",
        metavar="DIR",
        help="masks to use instead of a segmenter: a folder of files named like the images, or "
        "'given' for those the image table or the data set names",
    )
    parser.add_argument(
        "--families",
        nargs="+",
        metavar="NAME",
        default=["default"],
        help="families of features: fast, default, all, or names (see hemafeat families)",
    )
    parser.add_argument(
        "--cells",
        choices=("auto", "all", "central"),
        default="auto",
        help="auto: the central cell of a labelled image, every cell of an unlabelled one",
    )
    parser.add_argument(
        "--um-per-px",
        type=float,
        metavar="X",
        help="side of a pixel in micrometres; lengths are then in um",
    )
    parser.add_argument(
        "--to-um-per-px",
        type=float,
        metavar="X",
        help="side of a pixel in micrometres that all images are brought to before measuring",
    )
    parser.add_argument(
        "--stain",
        choices=STAINS,
        help="normalise the stain of each image before measuring",
    )
    parser.add_argument(
        "--stain-reference",
        metavar="DIR",
        help="images to take the target of --stain from: training images only",
    )


def add_segmenter(parser: argparse.ArgumentParser) -> None:
    """The segmenter to use."""
    parser.add_argument(
        "--segmenter",
        "--method",
        default="contours",
        metavar="NAME",
        help="contours (default), a network (unet) or the more trusted of both (best), also with "
        "weights of your own (unet:FILE.onnx), or the name of a plugged-in segmenter",
    )


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """How many workers."""
    parser.add_argument(
        "--jobs", "-j", type=positive, metavar="N", help="workers; all processors by default"
    )


def positive(text: str) -> int:
    """A whole number above 0."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return value


def workers(args: argparse.Namespace) -> int:
    """Workers asked for, else as many as there are processors this process may use."""
    if args.jobs:
        return int(args.jobs)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def progress(args: argparse.Namespace) -> bool:
    """Whether somebody watches: a bar is for a terminal."""
    return not args.quiet and sys.stderr.isatty()


def say(args: argparse.Namespace, text: str) -> None:
    """A line about what is going on, beside the results."""
    if not args.quiet:
        print(text, file=sys.stderr, flush=True)


def plural(n: int, noun: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
