"""Write tables to disk as a whole, and read results back."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet

from hemafeat import __version__
from hemafeat._csv import with_formulas, without_formulas
from hemafeat._files import check_table_file, is_table_file, write_table, write_whole
from hemafeat._frames import need_frame
from hemafeat.extract._columns import RENAMED, current_names, feature_columns, units
from hemafeat.extract._measured import MEASURED, as_options
from hemafeat.extract._table.errors import errors

CELLS, ERRORS, MANIFEST = "cells.parquet", "errors.parquet", "manifest.json"

CELLS_FOLDER, ERRORS_FOLDER = "cells", "errors"
"""Folders of the parts of a result in shards."""

N_LISTED = 5
"""Number of renamed columns that a warning lists."""

_EXACT: dict[str, Any] = {"float_precision": "round_trip"}


def check_target(out: Path) -> None:
    """Refuse a target that would mix with, or overwrite, something that is not a result.

    Raises
    ------
    FileExistsError
        A folder with other content, or a folder instead of a file.
    FileNotFoundError
        The parent folder of a file does not exist.
    """
    if is_table_file(out):
        check_table_file(out)
    elif out.exists() and not out.is_dir():
        raise FileExistsError(f"{out} is a file; a result needs a folder, .parquet or .csv")
    elif out.is_dir() and not (out / MANIFEST).is_file() and not _is_empty(out):
        raise FileExistsError(f"{out} is not empty and does not hold an earlier result")


def _is_empty(folder: Path) -> bool:
    """Return whether a folder has no files but hidden ones, which an interrupted run may leave."""
    return all(path.name.startswith(".") for path in folder.iterdir())


def is_result(path: str | os.PathLike[str]) -> bool:
    """Return whether a folder or file is a table of cells that `load` reads.

    Parameters
    ----------
    path : path
        Folder or file; it need not exist.

    Returns
    -------
    bool
        True for the folder of a result (which may be incomplete), and for a ``.parquet`` or
        ``.csv`` file with the columns ``image``, ``cell`` and at least one feature. A table of
        images, for instance, is not a result.

    Examples
    --------
    >>> from hemafeat import datasets, extract
    >>> cells = datasets.drawn("cells", 2, size=120, random_state=0)
    >>> table = extract.table(cells, families=["shape"], out="features.csv")
    >>> extract.is_result("features.csv"), extract.is_result("cells")
    (True, False)
    """
    path = Path(path)
    if path.is_dir():
        return (path / CELLS).is_file() or "shards" in (read_manifest(path) or {})
    if not is_table_file(path):
        return False
    try:
        names = _column_names(path)
    except (OSError, ValueError):
        return False
    return {"image", "cell"} <= set(names) and bool(feature_columns(pd.DataFrame(columns=names)))


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Read the manifest of a result; None if there is no manifest.

    Raises
    ------
    ValueError
        The file is not a manifest.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def save(
    table: pd.DataFrame, out: str | os.PathLike[str], settings: dict[str, Any] | None = None
) -> None:
    """Write a table with its errors and units; each file is whole or absent.

    Parameters
    ----------
    table : DataFrame
        Table of cells as returned by `table`.
    out : path
        A folder, which then holds ``cells.parquet``, ``errors.parquet`` and ``manifest.json``, or a
        ``.parquet`` or ``.csv`` file; a file with its errors is written beside it.
    settings : dict, optional
        Entries to store in the manifest of a folder.

    Raises
    ------
    FileExistsError
        `out` holds something other than a result.
    FileNotFoundError
        The parent folder of the file `out` does not exist.
    ValueError
        Two columns have one name, or the scale (``um_per_px``) is known for some rows only.

    Examples
    --------
    >>> from pathlib import Path
    >>> from hemafeat import datasets, extract
    >>> cells = datasets.drawn("cells", 2, size=120, random_state=0)
    >>> extract.save(extract.table(cells, families=["shape"]), "features")
    >>> sorted(path.name for path in Path("features").iterdir())
    ['cells.parquet', 'errors.parquet', 'manifest.json']
    """
    table = need_frame(table, "a result")
    table_units = units(table)
    path = Path(out)
    check_target(path)
    failures = errors(table)
    bare = table.copy(deep=False)
    # pandas copies the attributes for every column it writes; units and errors are written
    # elsewhere. It stores the attributes in a Parquet file.
    how = as_options(table.attrs.get(MEASURED))
    bare.attrs = {MEASURED: how} if how else {}
    if is_table_file(path):
        write_table(failures, error_file(path))
        write_table(bare, path)
        return
    path.mkdir(parents=True, exist_ok=True)
    manifest = (settings or {}) | {
        "hemafeat": __version__,
        "n_cells": len(table),
        "n_errors": len(failures),
        "units": table_units,
        MEASURED: how,
    }
    write_table(failures, path / ERRORS)
    write_table(bare, path / CELLS)
    text = json.dumps(manifest, indent=1, sort_keys=True)
    write_whole(path / MANIFEST, lambda aside: aside.write_text(text, encoding="utf-8"))
    # The manifest now describes this table; shards of an earlier result are of no use any more.
    for folder in (CELLS_FOLDER, ERRORS_FOLDER):
        for part in (path / folder).glob("part-*.parquet"):
            part.unlink()


def load(source: str | os.PathLike[str], *, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table that `table`, `stream` or ``hemafeat extract`` wrote.

    Parameters
    ----------
    source : path
        The folder, or the ``.parquet`` or ``.csv`` file.
    columns : sequence of str, optional
        Names of the columns to read, in this order. By default all columns are read; fewer take
        less time and memory.

    Returns
    -------
    DataFrame
        Table as returned by `table`, with ``attrs["units"]`` and ``errors(table)``. Its columns
        have their current names, see `current_names`.

    Raises
    ------
    FileNotFoundError
        The result does not exist.
    ValueError
        The file is not a table of cells, a column does not exist, the result is not complete, or
        the scale (``um_per_px``) is known for some rows only.

    Warns
    -----
    UserWarning
        The table, or `columns`, has former names of columns; the warning lists the first few.

    Examples
    --------
    >>> from hemafeat import datasets, extract
    >>> cells = datasets.drawn("cells", 2, size=120, random_state=0)
    >>> result = extract.stream(cells, "features", families=["shape"])
    >>> extract.load("features", columns=["cell", "nucleus__shape__area"]).shape
    (2, 2)
    """
    path = Path(source)
    manifest = (read_manifest(path) or {}) if path.is_dir() else {}
    if "state" in manifest:
        if manifest["state"] != "complete":
            raise ValueError(f"{path} is not complete: repeat the extraction to resume it")
        cells, failures = path / CELLS_FOLDER, path / ERRORS_FOLDER
    else:
        cells = path / CELLS if path.is_dir() else path
        failures = path / ERRORS if path.is_dir() else error_file(path)
    if not cells.exists():
        raise FileNotFoundError(f"{path} does not hold the result of an extraction")
    stored = _column_names(cells)
    if columns is None and not {"image", "cell"} <= set(stored):
        raise ValueError(f"{cells} is not a table of cells: it has no columns 'image' and 'cell'")
    # A table that was joined from two may have both names of a column, and is left as it is.
    renamed = {name: RENAMED[name] for name in stored if RENAMED.get(name, name) not in stored}
    former = list(renamed)
    names = None
    if columns is not None:
        stored_names = {current: name for name, current in renamed.items()}
        names = [stored_names.get(name, name) for name in current_names(columns)]
        former = [name for name in RENAMED if name in names or name in columns]
    if former:
        pairs = ", ".join(f"{name} is now {RENAMED[name]}" for name in former[:N_LISTED])
        rest = len(former) - N_LISTED
        more = f" and {rest} more, see extract.current_names" if rest > 0 else ""
        warnings.warn(f"columns of {path} were renamed: {pairs}{more}", stacklevel=2)
    table = _read(cells, names).rename(columns=renamed)
    how = as_options(manifest.get(MEASURED, table.attrs.get(MEASURED)))
    table.attrs = {MEASURED: how} if how else {}
    # Without stored units, those of former sums over pixels would be taken to be in um.
    stored_units = manifest.get("units") or {
        name: "OD^2" for name in renamed if "__intensity__energy__" in name
    }
    table.attrs["units"] = {
        renamed.get(name, name): unit
        for name, unit in stored_units.items()
        if renamed.get(name, name) in table.columns
    }
    try:
        table.attrs["units"] = units(table)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if failures.exists():
        table.attrs["errors"] = _read(failures).astype(str).to_dict("records")
    return table


def error_file(path: Path) -> Path:
    """Return the path of the table of errors beside a result in one file."""
    return path.with_name(f"{path.stem}.errors{path.suffix}")


def _column_names(path: Path) -> list[str]:
    """Return the names of the columns of a file, or of a folder of parts."""
    try:
        if path.is_dir():
            path = min(path.glob("*.parquet"))
        if path.suffix.lower() == ".csv":
            return list(
                map(str, with_formulas(pd.read_csv(path, encoding="utf-8", nrows=0)).columns)
            )
        return list(pyarrow.parquet.read_schema(path).names)
    except Exception as error:
        raise ValueError(f"{path} cannot be read as a table: {error}") from error


def _read(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    try:
        if path.suffix.lower() == ".csv":
            # Doubles must come back bit by bit, which is the default of pandas from version 3 on.
            exact = {} if int(pd.__version__.split(".")[0]) >= 3 else _EXACT
            names = (
                None if columns is None else list(without_formulas(pd.DataFrame(columns=columns)))
            )
            table = with_formulas(pd.read_csv(path, encoding="utf-8", usecols=names, **exact))
            return table if columns is None else table[columns]
        return pd.read_parquet(path, columns=columns)
    except Exception as error:
        raise ValueError(f"{path} cannot be read as a table: {error}") from error
