"""Result folders and files, and the printed form of a comparison."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemafeat._files import is_table_file, write_whole
from hemafeat.cli._errors import Usage

if TYPE_CHECKING:
    import pandas as pd

    from hemafeat.evaluate import Comparison


SETTINGS = "settings.json"
"""File of a result folder that holds the settings of the command."""

_NOT_SETTINGS = {
    *("run", "parser", "resumes", "argv", "quiet", "debug", "jobs", "needed"),
    *("out", "title", "restart", "save_model", "strict", "format", "mlflow"),
}
"""Arguments that do not change the numbers of a result."""

_FILE_SUFFIXES = {
    *(".csv", ".parquet", ".xlsx", ".json", ".html", ".htm", ".txt", ".pdf", ".zip", ".gz"),
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".npy", ".npz", ".h5", ".hemafeat"),
}


_OTHER_FILES = _FILE_SUFFIXES - {".hemafeat"} | {
    *(".pkl", ".pickle", ".joblib", ".keras", ".onnx", ".pt", ".py"),
}
"""Suffixes of files that are no models of hemafeat."""


def table_file(text: str, option: str = "--out", inputs: Iterable[str] = ()) -> Path:
    """Return the path of a table to be written.

    Raises
    ------
    Usage
        If the suffix is not ``.csv`` or ``.parquet``, if the path is a folder, if its folder does
        not exist or is not writable, or if it is one of the `inputs`.
    """
    path = Path(text)
    if not is_table_file(path):
        raise Usage(f"{option}: {path} should end in .csv or .parquet")
    if path.is_dir():
        raise Usage(f"{option}: {path} is a folder")
    in_existing_folder(path, option)
    return writable_file(path, option, inputs)


def model_file(text: str, option: str, inputs: Iterable[str] = ()) -> Path:
    """Return the path of a model to be written, or raise `Usage` if that is no place for one."""
    path = Path(text)
    if path.suffix.lower() in _OTHER_FILES and not path.is_dir():
        raise Usage(f"{option}: {path} names a file of another kind; models end in .hemafeat")
    return writable_file(path, option, inputs)


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


def writable_file(path: Path, option: str, inputs: Iterable[str] = ()) -> Path:
    """Return `path`, or raise `Usage` if no file can be written there.

    Its folder need not exist, if it can be made. None of the `inputs` is written over.
    """
    if path.is_dir():
        raise Usage(f"{option}: {path} is a folder, not a file")
    for name in inputs:
        if path.exists() and Path(name).exists() and os.path.samefile(path, name):
            raise Usage(f"{option}: {path} is read by this command; choose another file")
    if path.exists() and not os.access(path, os.W_OK):
        raise Usage(f"{option}: {path} cannot be written to (no permission)")
    _check_can_be_made(path.parent, option)
    return path


def _check_can_be_made(folder: Path, option: str) -> None:
    """Raise `Usage` if a folder neither exists nor can be made, or is not writable."""
    for place in (folder, *folder.parents):
        if place.is_dir():
            if not os.access(place, os.W_OK | os.X_OK):
                raise Usage(f"{option}: the folder {place} is not writable")
            return
        if place.exists() or place.is_symlink():
            raise Usage(f"{option}: {place} is not a folder")


def result_folder(
    text: str, command: str, marks: Iterable[str], inputs: Iterable[str] = ()
) -> Path:
    """Return the folder that a command writes to.

    Parameters
    ----------
    text : str
        Value of ``--out``.
    command : str
        What the folder is for, for messages.
    marks : iterable of str
        Names of files by which an earlier result of the same command is recognised.
    inputs : iterable of str
        Folders that the command reads, and does not write into.

    Raises
    ------
    Usage
        If the path is or names a file, if the folder cannot be made, or if it holds something else
        than an earlier result.
    """
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise Usage(f"--out: {path} is a file; this command writes a folder")
    if not path.exists() and path.suffix.lower() in _FILE_SUFFIXES and not text.endswith("/"):
        raise Usage(f"--out: {path} names a file; this command writes a folder")
    _check_can_be_made(path, "--out")
    for name in inputs:
        if path.exists() and Path(name).is_dir() and os.path.samefile(path, name):
            raise Usage(f"--out: {path} is read by this command; choose another folder")
    if path.is_dir() and any(path.iterdir()) and not any((path / name).exists() for name in marks):
        raise Usage(f"--out: {path} is not empty and does not hold an earlier {command}")
    return path


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments that decide about the numbers of a result."""
    values = {k: v for k, v in vars(args).items() if k not in _NOT_SETTINGS}
    values["input"] = [os.path.abspath(path) for path in values.get("input", ())]
    settings: dict[str, Any] = json.loads(json.dumps(values, default=str))
    return settings


def save_settings(folder: Path, values: dict[str, Any]) -> None:
    """Write the settings of a result into its folder."""
    text = json.dumps(values, indent=2, ensure_ascii=True) + "\n"
    write_whole(folder / SETTINGS, lambda part: part.write_text(text, encoding="utf-8"))


def keep_earlier(folder: Path, command: str, args: argparse.Namespace, *, same: bool) -> None:
    """Refuse to write over an earlier result, unless ``--restart`` is set.

    Parameters
    ----------
    folder : Path
        Folder of the result.
    command : str
        What it holds, for messages.
    args : Namespace
        Arguments of this run.
    same : bool
        True lets a result of the same settings be made again.

    Raises
    ------
    Usage
        With the settings that differ, and what to do.
    """
    if args.restart:
        return
    try:
        before = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = None
    now = settings(args)
    if not isinstance(before, dict):
        differ = "whose settings are not known"
    else:
        words = [
            f"{_option(name)} was {_value(before.get(name))}, is {_value(now.get(name))}"
            for name in sorted({*before, *now})
            if before.get(name) != now.get(name)
        ]
        if not words and same:
            return
        differ = f"of other settings ({'; '.join(words)})" if words else "of the same settings"
    raise Usage(
        f"--out: {folder} holds an earlier {command} {differ}; choose another folder, or pass "
        "--restart to replace it"
    )


def _option(name: str) -> str:
    return "the input" if name == "input" else f"--{name.replace('_', '-')}"


def _value(value: Any) -> str:
    if value is None or value is False or value == []:
        return "not given"
    if value is True:
        return "given"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


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
    remarks = "".join(f"\n{textwrap.fill(remark, 100)}\n" for remark in comparison.remarks())
    return f"{warning}{comparison.protocol}\n\n{lines}\n{remarks}"
