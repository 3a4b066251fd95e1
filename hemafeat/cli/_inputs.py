"""Read and check the inputs and settings of a command."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemafeat._machine import how_to_install
from hemafeat._scale import check_scale
from hemafeat._words import plural
from hemafeat.cli import _arguments, _deep
from hemafeat.cli._errors import Failure, Usage

if TYPE_CHECKING:
    import pandas as pd


def need(option: str, package: str) -> None:
    """Refuse an option whose package, an extra of the same name, is not installed."""
    try:
        import_module(package)
    except ImportError:
        raise Usage(f"{option} needs {package}: {how_to_install(package, package)}") from None


def families(args: argparse.Namespace) -> str | list[Any]:
    """Check and return the families to measure, followed by embeddings."""
    from hemafeat import extract

    names: str | list[Any] = _arguments.split_names(args.families)
    if len(names) == 1 and names[0] in ("default", "all"):
        names = names[0]
    try:
        extract.columns(names)
        if embeddings := _deep.families(args):
            names = [*([names] if isinstance(names, str) else names), *embeddings]
        if not names:
            raise Usage("--families: no family was given")
    except extract.FamilyError as error:
        raise Usage(f"--families: {error}") from None
    return names


def segmenter(args: argparse.Namespace) -> str:
    """Check and return the name of the segmenter."""
    return _segmenter(args.segmenter)


def segmenters(args: argparse.Namespace) -> list[str]:
    """Check and return the names of the segmenters."""
    names = [_segmenter(name) for name in args.segmenter]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise Usage(f"--segmenter: {repeated} is named twice")
    return names


def _segmenter(name: str) -> str:
    from hemafeat import segment

    try:
        segment.segmenter(name)
    except (ValueError, LookupError) as error:
        raise Usage(f"--segmenter: {error.args[0] if error.args else error}") from None
    return name


def masks(args: argparse.Namespace) -> str | tuple[str | None, str] | None:
    """Check and return the masks: a path, folders of cells and of nuclei, or ``"given"``."""
    if args.masks is None and args.nuclei is None and args.mask_kind != "auto":
        raise Usage("--mask-kind needs --masks")
    if args.masks not in (None, "given") and not Path(args.masks).exists():
        raise Usage(f"--masks: {args.masks} is not a folder of masks, nor a file")
    if args.nuclei is None:
        return None if args.masks is None else str(args.masks)
    for option, path in (("--masks", args.masks), ("--nuclei", args.nuclei)):
        if path is not None and not Path(path).is_dir():
            raise Usage(f"{option}: {path} is not a folder")
    return (args.masks, str(args.nuclei))


def um_per_px(args: argparse.Namespace, option: str = "um_per_px") -> float | None:
    """Check and return the number given as ``--um-per-px`` or ``--to-um-per-px``."""
    value = getattr(args, option)
    try:
        # What is estimated becomes a column of the image table.
        return None if value in (None, "auto") else check_scale(value)
    except ValueError:
        raise Usage(f"--{option.replace('_', '-')}: {value} is not a positive number") from None


def normaliser(args: argparse.Namespace) -> Any:
    """Return the normaliser of colours, fitted to the reference images if there are any."""
    if args.normalise is None:
        if args.normalise_reference is not None:
            raise Usage("--normalise-reference needs --normalise")
        return None
    from hemafeat.images import normaliser

    if args.normalise_reference is None:
        return normaliser(args.normalise)
    listed = images([args.normalise_reference])
    _arguments.say(args, f"fitting {args.normalise} to {len(listed)} reference images ...")
    try:
        return normaliser(args.normalise, listed["image"])
    except ValueError as error:
        raise Usage(f"--normalise-reference: {error}") from None


def measuring_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the keyword arguments of `extract.table` that `add_images` and `add_jobs` offer."""
    return {
        "segmenter": segmenter(args),
        "masks": masks(args),
        "mask_kind": args.mask_kind,
        "families": families(args),
        "cells": args.cells,
        "um_per_px": um_per_px(args),
        "normalise": normaliser(args),
        "to_um_per_px": um_per_px(args, "to_um_per_px"),
        "n_jobs": _arguments.jobs(args),
        "progress": not args.quiet,
    }


def images(
    paths: list[str],
    dataset: str | None = None,
    *,
    keep_dates: bool = False,
    remarks: Iterable[str] = (),
    **names: Any,
) -> pd.DataFrame:
    """Return the image table of the folder, table or images named on the command line.

    `names` are those of the columns of labels and patients, for `hemafeat.datasets.as_table`;
    `remarks` those of the columns of which it may say where they are.
    """
    from hemafeat import datasets
    from hemafeat.images import is_large, is_uri, path_of

    for path in paths:
        if not is_uri(path) and not Path(path_of(path)).exists():
            raise Usage(f"{path}: no such file or folder")
    if keep_dates and dataset != "lymphocytosis":
        raise Usage(
            "--keep-dates needs --dataset lymphocytosis; the dates of other tables are kept as "
            "they are"
        )
    several = len(paths) > 1
    if several and dataset is not None:
        raise Usage("--dataset takes one folder")
    for path in paths if several else []:
        is_folder = Path(path).is_dir() and not is_large(path)
        if is_folder or Path(path).suffix.lower() in (".csv", ".parquet"):
            raise Usage(f"{path}: give one folder, one table, or several images")
    try:
        if dataset is not None:
            return datasets.load(dataset, paths[0], **({"dates": True} if keep_dates else {}))
        with warnings.catch_warnings():
            for name in {"label", "patient"} - set(remarks):
                warnings.filterwarnings("ignore", f".*if it holds the {name}s")
            return datasets.as_table(list(paths) if several else paths[0], **names)
    except datasets.DatasetError as error:
        raise Usage(str(error)) from None


def how_many(listed: pd.DataFrame) -> str:
    """Say how many images an image table lists, and in how many tiles large ones are cut."""
    from hemafeat.images import tile_of

    tiles = [tile_of(image) for image in listed["image"]]
    paths = {tile.path for tile in tiles if tile is not None}
    n_tiles = sum(tile is not None for tile in tiles)
    text = plural(len(listed) - n_tiles + len(paths), "image")
    return f"{text} in {plural(n_tiles, 'tile')}" if n_tiles == len(listed) else text


def table(
    args: argparse.Namespace,
    select: Callable[[pd.DataFrame], pd.DataFrame] | None = None,
    out: Path | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Return the table of cells, measured now unless it was measured before.

    Parameters
    ----------
    args : Namespace
        With ``input`` and the arguments of `add_images` and `add_jobs`.
    select : callable, optional
        Function that picks the rows to use, of the image table or of the table of cells.
    out : Path, optional
        Folder into which the cells are measured, so that an interrupted run can be resumed.

    Returns
    -------
    table : DataFrame
        One row per cell.
    listed : DataFrame or None
        The image table, if the cells were measured now.
    """
    from hemafeat import extract

    if is_table(args):
        cells = extract.load(args.input[0]) if len(args.input) == 1 else merged(args.input)
        return cells if select is None else select(cells), None
    options = measuring_options(args)
    remarks = ["label"] if getattr(args, "label", None) == "label" else []
    listed = images(args.input, args.dataset, keep_dates=args.keep_dates, remarks=remarks)
    if select is not None:
        listed = select(listed)
    check_listed(listed, args)
    listed = with_scale(listed, args)
    _arguments.say(args, f"measuring the cells of {how_many(listed)} ...")
    if out is None:
        with left_out_said_here():
            cells = extract.table(listed, **options)
    else:
        cells = _measured_into(out, listed, options, args)
    if cells.empty:
        raise Failure(f"no cell was measured in {len(listed)} images: {first_error(cells)}")
    if rule := cells_kept(cells):
        _arguments.say(args, rule)
    return cells, listed


def _measured_into(
    out: Path, listed: pd.DataFrame, options: dict[str, Any], args: argparse.Namespace
) -> pd.DataFrame:
    """Measure the cells into a folder, or what is missing there, and return the table."""
    from hemafeat import extract

    # Small shards, of which an interruption costs one; those that are there keep their size.
    size = None if extract.is_result(out) or (out / "manifest.json").exists() else _SHARD_SIZE
    try:
        result = extract.stream(
            listed,
            out,
            **options,
            shard_size=size,
            restart=args.restart,
            notify=lambda text: _arguments.say(args, text),
        )
    except (FileExistsError, FileNotFoundError) as error:
        raise Usage(f"--out: {error}") from None
    return result.load()


_SHARD_SIZE = 128  # number of images that are measured before they are written

_OF_IMAGES = (
    *("families", "cells", "um_per_px", "to_um_per_px", "normalise", "normalise_reference"),
    *("keep_dates", "embedding", "streams"),
)
"""Arguments that say how images are measured."""


def check_measuring(args: argparse.Namespace, *further: str) -> None:
    """Refuse options of measuring with a table of cells that were measured before.

    Parameters
    ----------
    args : Namespace
        As they were given.
    *further : str
        Arguments that have no effect on a table either, for this command.
    """
    options = _arguments.given(args, *_OF_IMAGES, *further)
    if options and is_table(args):
        have = "has" if len(options) == 1 else "have"
        raise Usage(
            f"{', '.join(options)} {have} no effect: {Path(args.input[0])} is already a table of "
            "measured cells"
        )


def check_unmeasured(args: argparse.Namespace) -> None:
    """Refuse options of measuring where no model reads features, so that nothing is measured."""
    names = ("families", "to_um_per_px", "normalise", "normalise_reference", "embedding", "streams")
    options = _arguments.given(args, *names)
    if options:
        have = "has" if len(options) == 1 else "have"
        raise Usage(
            f"{', '.join(options)} {have} no effect: none of the models reads features, so that no "
            "cell is measured"
        )


def check_listed(listed: pd.DataFrame, args: argparse.Namespace) -> None:
    """Refuse images without the masks or the scale that the options need."""
    named = listed.reindex(columns=["mask", "nucleus_mask"])
    if args.masks == "given" and named.isna().all(axis=None):
        raise Usage(
            "--masks given: these images come without masks; name them in a column 'mask', or give "
            "their folder"
        )
    if args.to_um_per_px is None or args.um_per_px is not None:
        return
    if "um_per_px" not in listed or listed["um_per_px"].isna().any():
        raise Usage(
            f"images are to be measured at {args.to_um_per_px:g} um per px, but the scale of some "
            "is unknown: pass --um-per-px (a number, or auto), or a column um_per_px of the images"
        )


def with_scale(listed: pd.DataFrame, args: argparse.Namespace) -> pd.DataFrame:
    """Return the image table with the scale that ``--um-per-px auto`` asks for, and say it."""
    if args.um_per_px != "auto":
        return listed
    from hemafeat import datasets

    try:
        return datasets.with_scale(
            listed, notify=lambda text: _arguments.say(args, f"scale: {text}")
        )
    except datasets.DatasetError as error:
        raise Usage(f"--um-per-px auto: {error}") from None


def is_table(args: argparse.Namespace) -> bool:
    """Return whether the input is a table of cells that were measured before, or several."""
    from hemafeat import extract

    paths = list(map(Path, args.input))
    return args.dataset is None and all(path.exists() and extract.is_result(path) for path in paths)


def check_edits(args: argparse.Namespace) -> None:
    """Refuse files of ``--edits`` that are not there."""
    for path in args.edits or ():
        if not Path(path).is_file():
            raise Usage(f"--edits: {path}: no such file")


def edited(table: pd.DataFrame, args: argparse.Namespace) -> pd.DataFrame:
    """Return the table with the edits of ``--edits``."""
    from hemafeat import datasets

    try:
        for path in args.edits or ():
            table = datasets.edited(table, path, label=args.label)
    except datasets.DatasetError as error:
        raise Usage(f"--edits: {error}") from None
    return table


def merged(
    paths: list[str], names: list[str] | None = None, labels: str | None = None
) -> pd.DataFrame:
    """Return one table of several tables of cells, whose rows keep the names of their data sets.

    Parameters
    ----------
    paths : list of str
        Folders or files of tables.
    names : list of str, optional
        Data set of each table. By default those of its column ``dataset``, else its own name.
    labels : {"coarse", "fine"}, optional
        Names of classes that data sets share.
    """
    from hemafeat import datasets, extract

    if names is not None and len(names) != len(paths):
        raise Usage(f"--names: {plural(len(names), 'name')} for {plural(len(paths), 'table')}")
    tables = []
    for number, path in enumerate(paths):
        if not Path(path).exists():
            raise Usage(f"{path}: no such file or folder")
        if not extract.is_result(path):
            raise Usage(f"{path} is not a table of measured cells: measure it by hemafeat extract")
        part = extract.load(path)
        if names is not None:
            several = set(part["dataset"].dropna()) if "dataset" in part else set()
            if len(several) > 1:
                raise Usage(
                    f"--names: {path} holds {len(several)} data sets, which keep their names; "
                    "leave out --names"
                )
            part["dataset"] = names[number]
        elif "dataset" not in part or part["dataset"].isna().all():
            part["dataset"] = Path(path).stem
        tables.append(part)
    try:
        return datasets.merge(tables, labels=labels)
    except datasets.DatasetError as error:
        text = str(error)
        if "rename one of them" in text:
            text = text.replace("rename one of them", "name them by hemafeat merge --names")
        raise Usage(text) from None


def cells_kept(table: pd.DataFrame) -> str:
    """Return which cells of the images a table holds, in words; empty if that is all there are."""
    from hemafeat import extract

    if extract.measured(table).get("cells") != "central" or "quality__n_cells" not in table:
        return ""
    return left_out(len(table), int(table["quality__n_cells"].sum()) - len(table))


def left_out(n_cells: int, n_left_out: int) -> str:
    """Say how many cells were left out beside the central ones; empty if there are none."""
    if not n_left_out:
        return ""
    were = "was" if n_left_out == 1 else "were"
    return (
        f"{plural(n_cells, 'cell')}: only the central one of each image was measured; "
        f"{plural(n_left_out, 'other cell')} {were} left out (--cells all measures "
        "every cell)"
    )


@contextmanager
def left_out_said_here() -> Iterator[None]:
    """Suppress the warning of `extract.table` on cells that are left out."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="only the central cell of each image")
        yield


def first_error(table: pd.DataFrame) -> str:
    """Return the first error of a table of cells, as text for a message."""
    from hemafeat import extract

    errors = extract.errors(table)
    if errors.empty:
        return "no cell was found"
    row = errors.iloc[0]
    return f"{row['image']}: {row['message']}"
