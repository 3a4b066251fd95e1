"""Arguments that several commands share, and what they mean."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

DATASETS = (
    "all_idb1",
    "all_idb2",
    "aml_hehr",
    "aml_lmu",
    "apl",
    "bccd",
    "bloodmnist",
    "cnmc",
    "lisc",
    "lymphocytosis",
    "mll23",
    "pbc",
    "raabin",
    "segwbc",
)
"""What ``--dataset`` takes; written out, so that ``--help`` need not load the loaders."""


STAINS = ("grey-world", "reinhard", "macenko")


class Usage(Exception):
    """The command cannot be meant like this (exit code 2)."""


class Failure(Exception):
    """The command was understood and did not succeed (exit code 1)."""


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


def families(args: argparse.Namespace) -> str | list[Any]:
    """The families chosen, known to exist, and embeddings after them."""
    from hemafeat import extract
    from hemafeat.cli import _embedding

    chosen: str | list[Any] = [
        name for words in args.families for name in words.split(",") if name.strip()
    ]
    if len(chosen) == 1 and chosen[0] in ("default", "all"):
        chosen = chosen[0]
    try:
        extract.columns(chosen)
        if more := _embedding.families(args):
            chosen = [*([chosen] if isinstance(chosen, str) else chosen), *more]
        if not chosen:
            raise Usage("--families: no family was given")
    except extract.FamilyError as error:
        raise Usage(f"--families: {error}") from None
    return chosen


def segmenter(args: argparse.Namespace) -> str:
    """The name of the segmenter, known to exist."""
    from hemafeat import segment

    try:
        segment.segmenter(args.segmenter)
    except (ValueError, KeyError, LookupError) as error:
        raise Usage(f"--segmenter: {error.args[0] if error.args else error}") from None
    return str(args.segmenter)


def masks(args: argparse.Namespace) -> str | None:
    """The folder of masks, known to exist, or ``"given"``."""
    if args.masks in (None, "given"):
        return args.masks
    if not Path(args.masks).is_dir():
        raise Usage(f"--masks: {args.masks} is not a folder")
    return str(args.masks)


def scale(args: argparse.Namespace) -> float | None:
    """Micrometres per pixel, above 0."""
    if args.um_per_px is not None and not 0 < args.um_per_px < float("inf"):
        raise Usage(f"--um-per-px: {args.um_per_px} is not above 0")
    return None if args.um_per_px is None else float(args.um_per_px)


def normalise(args: argparse.Namespace) -> Any:
    """The normaliser asked for, its target taken from the reference where there is one."""
    if args.stain is None:
        if args.stain_reference is not None:
            raise Usage("--stain-reference needs --stain")
        return None
    from hemafeat.images import normaliser

    if args.stain_reference is None:
        return normaliser(args.stain)
    listed = images([args.stain_reference])
    say(args, f"taking the target of {args.stain} from {len(listed)} images ...")
    try:
        return normaliser(args.stain, listed["image"])
    except ValueError as error:
        raise Usage(f"--stain-reference: {error}") from None


def resample(args: argparse.Namespace) -> float | None:
    """Micrometres per pixel to bring images to, above 0."""
    if args.to_um_per_px is not None and not 0 < args.to_um_per_px < float("inf"):
        raise Usage(f"--to-um-per-px: {args.to_um_per_px} is not above 0")
    return None if args.to_um_per_px is None else float(args.to_um_per_px)


def images(paths: list[str], dataset: str | None = None) -> pd.DataFrame:
    """The image table that the words of a command line mean."""
    from hemafeat import datasets
    from hemafeat.images import is_uri

    for path in paths:
        if not is_uri(path) and not Path(path).exists():
            raise Usage(f"{path}: no such file or folder")
    several = len(paths) > 1
    if several and dataset is not None:
        raise Usage("--dataset takes one folder")
    for path in paths if several else []:
        if Path(path).is_dir() or Path(path).suffix.lower() in (".csv", ".parquet"):
            raise Usage(f"{path}: give one folder or table, or several images")
    try:
        if dataset is not None:
            return datasets.load(dataset, paths[0])
        return datasets.as_table(list(paths) if several else paths[0])
    except datasets.DatasetError as error:
        raise Usage(str(error)) from None


def is_table(path: Path) -> bool:
    """Whether `path` is a table of cells, made by ``hemafeat extract``, and not one of images."""
    from hemafeat import extract
    from hemafeat.extract._table.result import is_result

    if path.is_dir():
        return is_result(path)
    try:
        if path.suffix.lower() == ".parquet":
            import pyarrow.parquet

            names = list(pyarrow.parquet.read_schema(path).names)
        elif path.suffix.lower() == ".csv":
            with path.open(encoding="utf-8-sig") as lines:
                names = [name.strip().strip('"') for name in lines.readline().split(",")]
        else:
            return False
    except (OSError, ValueError):
        return False
    import pandas as pd

    empty = pd.DataFrame(columns=names)
    return {"image", "cell"} <= set(names) and bool(extract.feature_columns(empty))


def table(
    args: argparse.Namespace,
    keep: Callable[[pd.DataFrame], pd.DataFrame] | None = None,
    **more: Any,
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """The table of cells that ``args.input`` means, and the image table when it was measured now.

    Parameters
    ----------
    args : Namespace
        With ``input`` and what `add_images` and `add_jobs` added.
    keep : callable, optional
        From the table of images, or of cells measured before, to the rows wanted.
    **more
        Passed to `extract.table`.
    """
    from hemafeat import extract

    first = Path(args.input[0])
    if len(args.input) == 1 and first.exists() and args.dataset is None and is_table(first):
        for name in ("stain", "stain_reference", "to_um_per_px"):
            if getattr(args, name) is not None:
                option = "--" + name.replace("_", "-")
                raise Usage(f"{option}: the cells of {first} are measured already")
        loaded = extract.load(first)
        return loaded if keep is None else keep(loaded), None
    which, how, given, um = families(args), segmenter(args), masks(args), scale(args)
    stain, target = normalise(args), resample(args)
    listed = images(args.input, args.dataset)
    if keep is not None:
        listed = keep(listed)
    say(args, f"measuring the cells of {len(listed)} images ...")
    measured = extract.table(
        listed,
        segmenter=how,
        masks=given,
        families=which,
        cells=args.cells,
        um_per_px=um,
        normalise=stain,
        resample=target,
        n_jobs=workers(args),
        progress=progress(args),
        **more,
    )
    if measured.empty:
        raise Failure(f"no cell was measured in {len(listed)} images: {first_error(measured)}")
    return measured, listed


def first_error(measured: pd.DataFrame) -> str:
    """What went wrong first, to stand in a message."""
    from hemafeat import extract

    found = extract.errors(measured)
    if found.empty:
        return "no image was given"
    row = found.iloc[0]
    return f"{row['image']}: {row['message']}"


def plural(n: int, noun: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
