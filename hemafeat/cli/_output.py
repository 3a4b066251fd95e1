"""Result folders and files, and the printed form of a comparison."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from hemafeat._files import check_writable, is_table_file
from hemafeat.cli._errors import Usage

if TYPE_CHECKING:
    import pandas as pd

    from hemafeat.evaluate import Comparison


def table_file(text: str, option: str = "--out") -> Path:
    """Return the path of a table to be written.

    Raises
    ------
    Usage
        If the suffix is not ``.csv`` or ``.parquet``, if the path is a folder, if its folder does
        not exist, or if nothing can be written there.
    """
    path = Path(text)
    if not is_table_file(path):
        raise Usage(f"{option}: {path} should end in .csv or .parquet")
    if path.is_dir():
        raise Usage(f"{option}: {path} is a folder")
    in_existing_folder(path, option)
    try:
        check_writable(path)
    except OSError as error:
        raise Usage(f"{option}: {reason(error)}") from None
    return path


def reason(error: Exception) -> str:
    """Return the text of an error; that of the system without its number."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename is not None else ""
        return where + error.strerror
    return str(error) or type(error).__name__


def in_existing_folder(path: Path, option: str) -> Path:
    """Return `path`, or raise `Usage` if its folder does not exist."""
    if not path.parent.is_dir():
        raise Usage(f"{option}: the folder {path.parent} does not exist")
    return path


def result_folder(text: str, command: str, marks: Iterable[str]) -> Path:
    """Return the folder that a command writes to.

    Parameters
    ----------
    text : str
        Value of ``--out``.
    command : str
        What the folder is for, for messages.
    marks : iterable of str
        Names of files by which an earlier result of the same command is recognised.

    Raises
    ------
    Usage
        If the path is a file, or if the folder holds something else than an earlier result.
    """
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise Usage(f"--out: {path} is a file")
    if path.is_dir() and any(path.iterdir()) and not any((path / name).exists() for name in marks):
        raise Usage(f"--out: {path} is not empty and does not hold an earlier {command}")
    return path


def typed_command(args: argparse.Namespace) -> str:
    """Return the command as it was typed, quoted so that it can be typed again."""
    return shlex.join(["hemafeat", *args.argv])


def print_frame(heading: str, frame: pd.DataFrame) -> None:
    """Print a table under a heading, with three decimals and all its columns."""
    import pandas as pd

    with pd.option_context("display.width", None, "display.max_columns", None):
        print(f"{heading}\n{frame.round(3).to_string(na_rep='-')}\n")


def scores(comparison: Comparison) -> str:
    """Return the protocol and the scores with their intervals, as text to print."""
    import pandas as pd

    summary = comparison.summary()
    metrics = [name for name in ("balanced_accuracy", "macro_f1", "auroc") if name in summary]
    seconds = comparison.seconds.set_index("model")["fit"].reindex(summary.index)
    text = summary[metrics].replace("", "-").rename(columns=lambda name: name.replace("_", " "))
    text["fit, s"] = [f"{value:.1f}" for value in seconds]
    with pd.option_context("display.width", None, "display.max_columns", None):
        lines = text.rename_axis(None).to_string()
    warning = (
        "LEAKY SPLIT: the same group is on both sides, these scores are too good to be true.\n"
        if comparison.leaky
        else ""
    )
    return f"{warning}{comparison.protocol}\n\n{lines}\n"
