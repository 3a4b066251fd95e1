"""What a command was given, read and checked."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemafeat.cli._arguments import progress, say, workers
from hemafeat.cli._errors import Failure, Usage

if TYPE_CHECKING:
    import pandas as pd


def families(args: argparse.Namespace) -> str | list[Any]:
    """The families chosen, known to exist, and embeddings after them."""
    from hemafeat import extract
    from hemafeat.cli import _deep

    chosen: str | list[Any] = [
        name for words in args.families for name in words.split(",") if name.strip()
    ]
    if len(chosen) == 1 and chosen[0] in ("default", "all"):
        chosen = chosen[0]
    try:
        extract.columns(chosen)
        if more := _deep.families(args):
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
    if (
        len(args.input) == 1
        and first.exists()
        and args.dataset is None
        and extract.is_result(first)
    ):
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
        to_um_per_px=target,
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
