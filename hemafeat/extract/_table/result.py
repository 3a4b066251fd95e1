"""Tables to disk and back, whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hemafeat import __version__
from hemafeat._files import write_table, write_whole
from hemafeat.extract._columns import units

CELLS, ERRORS, MANIFEST = "cells.parquet", "errors.parquet", "manifest.json"

SUFFIXES = (".parquet", ".csv")

ERROR_COLUMNS = ["image", "stage", "error", "message"]

_EXACT: dict[str, Any] = {"float_precision": "round_trip"}


def is_file(out: str | os.PathLike[str]) -> bool:
    """Whether `out` names a single file, and not a folder of shards."""
    return Path(out).suffix.lower() in SUFFIXES


def check_target(out: str | os.PathLike[str]) -> None:
    """Refuse a target that would mix with, or wipe, something that is not an earlier result.

    Raises
    ------
    FileExistsError
        A folder with other content, or a folder where a file is meant.
    FileNotFoundError
        The folder the result is to be put in does not exist.
    """
    path = Path(out)
    if is_file(path):
        if path.is_dir():
            raise FileExistsError(f"{path} is a folder, not a file to write a table to")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {path.parent}")
        return
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"{path} is a file; a result needs a folder, .parquet or .csv")
    if path.is_dir() and not (path / MANIFEST).is_file() and not holds_nothing(path):
        raise FileExistsError(f"{path} is not empty and holds no earlier result")


def holds_nothing(folder: Path) -> bool:
    """Whether a folder is empty, but for what a run leaves that was killed as it began."""
    return all(entry.name.startswith(".") for entry in folder.iterdir())


def is_result(folder: Path) -> bool:
    """Whether `load` can be expected to read `folder`."""
    return (folder / CELLS).is_file() or "shards" in (read_manifest(folder) or {})


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """What a folder says of the result in it; None where it says nothing.

    Raises
    ------
    ValueError
        The file is no manifest.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def errors(table: pd.DataFrame) -> pd.DataFrame:
    """What could not be measured, one row per failure.

    Parameters
    ----------
    table : DataFrame
        As returned by `table` or `load`.

    Returns
    -------
    DataFrame
        ``image, stage, error, message``; ``stage`` is ``read``, ``mask``, ``segment``, or
        ``extract:`` and the name of a family.
    """
    return pd.DataFrame(table.attrs.get("errors", []), columns=ERROR_COLUMNS)


def save(
    table: pd.DataFrame, out: str | os.PathLike[str], settings: dict[str, Any] | None = None
) -> None:
    """Write a table with its errors and units; each file aside first, then renamed.

    Parameters
    ----------
    table : DataFrame
        As `table` returned it.
    out : path
        A folder, which then holds ``cells.parquet``, ``errors.parquet`` and ``manifest.json``, or a
        ``.parquet`` or ``.csv`` file, which has its errors beside it.
    settings : dict, optional
        What was asked for, kept in the manifest of a folder.

    Raises
    ------
    FileExistsError, FileNotFoundError
        `out` holds something else, or lies in no folder.
    """
    check_target(out)
    failures = errors(table)
    path = Path(out)
    bare = table.copy(deep=False)
    # pandas copies the attributes for every column it writes; both have files of their own.
    bare.attrs = {}
    if path.suffix in SUFFIXES:
        write_table(failures, error_file(path))
        write_table(bare, path)
        return
    path.mkdir(parents=True, exist_ok=True)
    manifest = (settings or {}) | {
        "hemafeat": __version__,
        "n_cells": len(table),
        "n_errors": len(failures),
        "units": units(table),
    }
    write_table(failures, path / ERRORS)
    write_table(bare, path / CELLS)
    text = json.dumps(manifest, indent=1, sort_keys=True)
    write_whole(path / MANIFEST, lambda aside: aside.write_text(text, encoding="utf-8"))
    # From here on it is the result; shards of an earlier one are of no use any more.
    for part in (*path.glob("cells/part-*.parquet"), *path.glob("errors/part-*.parquet")):
        part.unlink()


def load(source: str | os.PathLike[str], *, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read back a table that `table`, `stream` or ``hemafeat extract`` wrote.

    Parameters
    ----------
    source : path
        The folder, or the ``.parquet`` or ``.csv`` file.
    columns : sequence of str, optional
        Read these only, in this order; of a large table that takes a part of the time and memory.

    Returns
    -------
    DataFrame
        As `table` returned it, with ``attrs["units"]`` and ``errors(table)``.

    Raises
    ------
    FileNotFoundError
        There is no such result.
    ValueError
        The file is no table of cells, it has no such column, or the result is not complete.
    """
    path = Path(source)
    manifest = (read_manifest(path) or {}) if path.is_dir() else {}
    if "state" in manifest:
        if manifest["state"] != "complete":
            raise ValueError(f"{path} is not complete: run the extraction again to go on with it")
        cells, failures = path / "cells", path / "errors"
    else:
        cells = path / CELLS if path.is_dir() else path
        failures = path / ERRORS if path.is_dir() else error_file(path)
    if not cells.exists():
        raise FileNotFoundError(f"{path} holds no result of an extraction")
    wanted = None if columns is None else list(columns)
    table = _read(cells, wanted)
    if columns is None and not {"image", "cell"} <= set(table.columns):
        raise ValueError(f"{cells} is no table of cells: it has no columns 'image' and 'cell'")
    known = manifest.get("units", {})
    table.attrs["units"] = {name: unit for name, unit in known.items() if name in table.columns}
    table.attrs["units"] = units(table)
    if failures.exists():
        table.attrs["errors"] = _read(failures).astype(str).to_dict("records")
    return table


def error_file(path: Path) -> Path:
    """The errors table that goes with a single-file result."""
    return path.with_name(f"{path.stem}.errors{path.suffix}")


def _read(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    try:
        if path.suffix.lower() == ".csv":
            # Doubles must come back bit by bit, which pandas does unasked from version 3 on.
            exact = {} if int(pd.__version__.split(".")[0]) >= 3 else _EXACT
            table = pd.read_csv(path, encoding="utf-8", usecols=columns, **exact)
            return table if columns is None else table[columns]
        return pd.read_parquet(path, columns=columns)
    except Exception as error:
        raise ValueError(f"{path} cannot be read as a table: {error}") from error
