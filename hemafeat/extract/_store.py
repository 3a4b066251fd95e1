"""Tables to disk and back, whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd

from hemafeat import __version__
from hemafeat._whole import write_table, write_whole
from hemafeat.extract._describe import units

CELLS, ERRORS, MANIFEST = "cells.parquet", "errors.parquet", "manifest.json"

SUFFIXES = (".parquet", ".csv")

ERROR_COLUMNS = ["image", "stage", "error", "message"]

_EXACT: dict[str, Any] = {"float_precision": "round_trip"}


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
    if path.suffix in SUFFIXES:
        if path.is_dir():
            raise FileExistsError(f"{path} is a folder, not a file to write a table to")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {path.parent}")
        return
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"{path} is a file; a result needs a folder, .parquet or .csv")
    if path.is_dir() and any(path.iterdir()) and not (path / MANIFEST).is_file():
        raise FileExistsError(f"{path} is not empty and holds no earlier result")


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
    write_whole(
        path / MANIFEST,
        lambda aside: aside.write_text(
            json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8"
        ),
    )


def load(source: str | os.PathLike[str]) -> pd.DataFrame:
    """Read back a table that `table` or ``hemafeat extract`` wrote.

    Parameters
    ----------
    source : path
        The folder, or the ``.parquet`` or ``.csv`` file.

    Returns
    -------
    DataFrame
        As `table` returned it, with ``attrs["units"]`` and ``errors(table)``.

    Raises
    ------
    FileNotFoundError
        There is no such result.
    ValueError
        The file is no table of cells.
    """
    path = Path(source)
    cells = path / CELLS if path.is_dir() else path
    failures = path / ERRORS if path.is_dir() else error_file(path)
    if not cells.is_file():
        raise FileNotFoundError(f"{path} holds no result of an extraction")
    table = _read(cells)
    if not {"image", "cell"} <= set(table.columns):
        raise ValueError(f"{cells} is no table of cells: it has no columns 'image' and 'cell'")
    manifest = path / MANIFEST
    if path.is_dir() and manifest.is_file():
        table.attrs["units"] = json.loads(manifest.read_text(encoding="utf-8"))["units"]
    table.attrs["units"] = units(table)
    if failures.is_file():
        table.attrs["errors"] = _read(failures).astype(str).to_dict("records")
    return table


def error_file(path: Path) -> Path:
    """The errors table that goes with a single-file result."""
    return path.with_name(f"{path.stem}.errors{path.suffix}")


def _read(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".csv":
            # Doubles must come back bit by bit, which pandas does unasked from version 3 on.
            exact = {} if int(pd.__version__.split(".")[0]) >= 3 else _EXACT
            return pd.read_csv(path, encoding="utf-8", **exact)
        return pd.read_parquet(path)
    except Exception as error:
        raise ValueError(f"{path} cannot be read as a table: {error}") from error
