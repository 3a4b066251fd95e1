"""Write tables to disk as a whole, and read results back."""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet

from hemafeat import __version__
from hemafeat._csv import with_formulas, without_formulas
from hemafeat._files import (
    check_folder_name,
    check_seal,
    check_table_file,
    check_writable,
    is_cells_file,
    read_parquet,
    table_writer,
    write_together,
    write_whole,
)
from hemafeat._frames import need_frame
from hemafeat._machine import n_workers
from hemafeat.extract._anndata import columns_of_h5ad, need_anndata, read_h5ad, write_h5ad
from hemafeat.extract._attributes import storable
from hemafeat.extract._columns import describe, feature_columns, units
from hemafeat.extract._former import FORMULAS, RENAMED, changed_columns, current_names
from hemafeat.extract._measured import MEASURED, as_options
from hemafeat.extract._table.errors import ERROR_COLUMNS, errors
from hemafeat.extract._table.fingerprint import digest
from hemafeat.extract._table.shard import ShardInfo

CELLS, ERRORS, MANIFEST = "cells.parquet", "errors.parquet", "manifest.json"

CELLS_FOLDER, ERRORS_FOLDER = "cells", "errors"
"""Folders of the parts of a result in shards."""

N_LISTED = 5
"""Number of renamed columns that a warning lists."""

CELL_COLUMNS = {"image", "cell"}
"""Columns of every table of cells."""

DICTIONARY = ("column", "unit", "meaning", "formula", "source", "reference")
"""Columns of the list of columns beside a CSV file."""

WHERE = {
    "where__mask_label": ("number of the cell in its mask", ""),
    "where__x": ("centroid, from the left edge of the image", "px"),
    "where__y": ("centroid, from the top edge of the image", "px"),
    "where__left": ("left edge of the box around the cell", "px"),
    "where__top": ("top edge of the box around the cell", "px"),
    "where__right": ("right edge of the box around the cell, one beyond its last pixel", "px"),
    "where__bottom": ("bottom edge of the box around the cell, one beyond its last pixel", "px"),
    "where__area_px": ("number of pixels of the cell", "px^2"),
}
"""Meaning and unit of each column that says where a cell lies."""

_MEANINGS = {
    "image": "path or name of the image",
    "cell": "number of the cell in its image, from 1",
    "redrawn": "0 for a cell as it is, 1, 2 ... for its copies in a changed image",
    "label": "class",
    "label_raw": "class as the authors of the data set write it",
    "patient": "patient",
    "group": "what must not be split between training and test: the patient, or copies of an image",
    "split": "part of the data set (training, test) that its authors state",
    "dataset": "data set",
    "um_per_px": "side of a pixel",
    "mask": "file of the mask",
    **{name: meaning for name, (meaning, _) in WHERE.items()},
    "quality__touches_border": "whether the cell touches the border of the image",
    "quality__confidence": "how sure the segmenter is of the outline, from 0 to 1",
    "quality__suspected_failure": "whether the outline is suspected to be wrong",
    "quality__failure_reason": "why it is suspected",
    "quality__kind": "kind of object, as far as the segmenter tells",
    "quality__n_cells": "number of cells found in the image",
    "quality__white_r": "red of the background, from 0 to 255",
    "quality__white_g": "green of the background, from 0 to 255",
    "quality__white_b": "blue of the background, from 0 to 255",
    "quality__focus": "sharpness: variance of the Laplacian of the grey image around the cell",
    "quality__clipped": "share of the pixels of the cell at the end of the range of values",
}
"""What the columns are that are no features; the others are attributes of the image."""

_UNITS = {"um_per_px": "um", **{name: unit for name, (_, unit) in WHERE.items()}}

LOCK = ".lock"

FORMAT = 2
"""Version of the folder: from 2 on the manifest is signed, and every file of a table is sealed."""

REPEAT = "Repeat the same call or command, which measures what is damaged and keeps the rest"

_FORMULAS_KEY = b"hemafeat.formulas"
_EXACT: dict[str, Any] = {"float_precision": "round_trip"}
_ADVICE = f"{REPEAT}, or measure everything anew with restart=True (--restart)"
_PART_FILE = re.compile(r"part-\d{5,}\.parquet|\.part-\d{5,}\.parquet\.\d+\.(part|old)")
_STATES = ("running", "complete", "discarded")


class ManifestError(ValueError):
    """Signal a manifest that cannot be used; the message names it.

    Attributes
    ----------
    later : bool
        Whether a later version of this package wrote it.
    """

    def __init__(self, message: str, *, later: bool = False) -> None:
        super().__init__(message)
        self.later = later


def check_target(out: str | os.PathLike[str]) -> None:
    """Refuse a target that would mix with, or overwrite, something that is not a result.

    Raises
    ------
    FileExistsError
        A folder with other content, a file that is not a table of cells, or a folder instead of a
        file.
    FileNotFoundError
        The parent folder of a file does not exist.
    ValueError
        The path has the suffix of a kind of file that is not written, or is a URI.
    OSError
        Nothing can be written there.
    ImportError
        It is a file of AnnData, and the package anndata is not installed.
    """
    path = Path(out)
    if is_cells_file(path) and not os.fspath(out).endswith(("/", os.sep)):
        check_table_file(path)
        if path.suffix.lower() == ".h5ad":
            need_anndata(f"writing {path}")
        _check_replaceable(path, CELL_COLUMNS, "a table of cells")
        _check_replaceable(error_file(path), set(ERROR_COLUMNS), "a table of errors")
        _check_replaceable(column_file(path), set(DICTIONARY), "a list of columns")
        return
    if not path.is_dir() and (path.exists() or path.is_symlink()):
        raise FileExistsError(f"{path} is a file; a result needs a folder, .parquet or .csv")
    check_folder_name(out)
    if not path.is_dir():
        return
    if not holds_result(path):
        raise FileExistsError(f"{path} is not empty and does not hold an earlier result")
    check_writable(path / MANIFEST)


def _check_replaceable(path: Path, names: set[str], what: str) -> None:
    """Refuse to replace a file that is not a table with these columns, such as a list of images."""
    if path.is_file() and path.stat().st_size and not is_own(path, names):
        raise FileExistsError(
            f"{path} exists and is not {what}, so it is not replaced. Choose another name"
        )


def is_own(path: Path, names: set[str]) -> bool:
    """Return whether a file is a table with these columns, or a damaged one of this package."""
    try:
        return names <= set(_column_names(path))
    except ValueError:
        return _lost_result(path)


def _lost_result(path: Path) -> bool:
    """Return whether a file that cannot be read is a damaged table of this package."""
    return path.suffix.lower() == ".parquet" and b"hemafeat.seal" in path.read_bytes()


def holds_result(folder: Path) -> bool:
    """Return whether a folder is empty or was written by this package, damaged or not."""
    try:
        if read_manifest(folder) is not None:
            return True
    except ManifestError as error:
        if error.later:
            return True
    if _is_empty(folder) or any(map(ShardInfo.read, part_files(folder / CELLS_FOLDER))):
        return True
    if (folder / CELLS).is_file() and _lost_result(folder / CELLS):
        return True
    # The lock is left by every run; with files of others beside it the folder may be theirs.
    own = {CELLS, ERRORS, MANIFEST, CELLS_FOLDER, ERRORS_FOLDER}
    visible = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    return (folder / LOCK).is_file() and visible <= own


def _is_empty(folder: Path) -> bool:
    """Return whether a folder has no files but hidden ones, which an interrupted run may leave."""
    return all(path.name.startswith(".") for path in folder.iterdir())


def part_file(folder: Path, kind: str, number: int, n_shards: int) -> Path:
    """Return the path of a part of `kind` (`CELLS_FOLDER`, `ERRORS_FOLDER`); sorted by number."""
    width = max(5, len(str(n_shards - 1)))
    return folder / kind / f"part-{number:0{width}}.parquet"


def part_files(folder: Path) -> list[Path]:
    """Return the files with names of parts in a folder, whole or half-written, in order."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _PART_FILE.fullmatch(path.name))


def check_shard(folder: Path, number: int, n_shards: int, asked: str) -> ShardInfo:
    """Check that the files of a shard are there and are those that its run has written.

    Parameters
    ----------
    folder : Path
        Folder of the result.
    number, n_shards : int
        Number of the shard, and of all shards.
    asked : str
        Digest of the fingerprint of the run.

    Returns
    -------
    ShardInfo
        Description of the shard.

    Raises
    ------
    FileNotFoundError
        There is no file of cells.
    ValueError
        A file is damaged or of another run; the message names it.
    """
    cells = part_file(folder, CELLS_FOLDER, number, n_shards)
    failures = part_file(folder, ERRORS_FOLDER, number, n_shards)
    if not cells.exists():
        raise FileNotFoundError(f"{cells} is missing")
    info = ShardInfo.read(cells)
    try:
        if check_seal(cells) is None or info is None:
            raise ValueError(f"{cells} is damaged")
        if (info.digest, info.number) != (asked, number):
            raise ValueError(f"{cells} is of another run")
        if (info.n_errors or number == 0) and check_seal(failures) != info.errors:
            raise ValueError(f"{failures} is damaged")
    except FileNotFoundError:
        raise ValueError(f"{failures} is missing") from None
    except OSError as error:
        raise ValueError(f"{error.filename or cells} cannot be read: {error.strerror}") from None
    return info


def is_result(path: str | os.PathLike[str]) -> bool:
    """Return whether a folder or file is a table of cells that `load` reads.

    Parameters
    ----------
    path : path
        Folder or file; it need not exist.

    Returns
    -------
    bool
        True for the folder of a result (which may be incomplete), and for a ``.parquet``, ``.csv``
        or ``.h5ad`` file with the columns ``image``, ``cell`` and at least one feature. A table of
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
        try:
            return (path / CELLS).is_file() or "shards" in (read_manifest(path) or {})
        except ManifestError:
            # One that `load` names as damaged, unless the file is of somebody else.
            return holds_result(path)
    if not is_cells_file(path):
        return False
    try:
        names = _column_names(path)
    except (OSError, ValueError):
        return path.is_file() and _lost_result(path)
    return set(names) >= CELL_COLUMNS and bool(feature_columns(pd.DataFrame(columns=names)))


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Read and check the manifest of a result; None if there is no manifest.

    Raises
    ------
    ManifestError
        The file is damaged, is no manifest, or was written by a later version.
    """
    path = folder / MANIFEST
    try:
        text = path.read_text(encoding="utf-8")
        manifest = json.loads(text)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ManifestError(f"{path} cannot be read ({reason}). {_ADVICE}") from None
    if not isinstance(manifest, dict) or not {"hemafeat", "state"} & manifest.keys():
        raise ManifestError(f"{path} is not the manifest of a result. {_ADVICE}")
    version = manifest.get("format", 1)
    signed = manifest.pop("sha256", None)
    if isinstance(version, int) and version > FORMAT and signed == _signature(manifest):
        raise ManifestError(
            f"{path} was written by a later version of hemafeat ({manifest.get('hemafeat')}), in a "
            "format that this one does not read. Update hemafeat, or measure everything anew with "
            "restart=True (--restart)",
            later=True,
        )
    sound = version in (1, FORMAT) and _is_manifest(manifest)
    if not sound or signed != (_signature(manifest) if version == FORMAT else None):
        raise ManifestError(f"{path} is damaged. {_ADVICE}")
    return manifest


def _is_manifest(manifest: dict[str, Any]) -> bool:
    """Return whether the entries that are used have the types of a manifest."""
    types = {"units": dict, "asked": dict, "shards": int, "formulas": int}
    fits = all(isinstance(manifest.get(key, kind()), kind) for key, kind in types.items())
    return fits and manifest.get("state", "complete") in _STATES


def _signature(manifest: dict[str, Any]) -> str:
    """Return the digest of all entries but the state, whose damage shows by itself."""
    entries = {key: value for key, value in manifest.items() if key not in ("state", "sha256")}
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()


def manifest_text(entries: dict[str, Any]) -> str:
    """Return the manifest with these entries, signed, as text."""
    manifest = {"hemafeat": __version__, "format": FORMAT, "formulas": FORMULAS, **entries}
    # As it will be read: keys are text, tuples are lists.
    manifest = json.loads(json.dumps(manifest))
    return json.dumps(manifest | {"sha256": _signature(manifest)}, indent=1)


def write_manifest(folder: Path, entries: dict[str, Any]) -> None:
    """Write the manifest of a result."""
    text = manifest_text(entries)
    write_whole(folder / MANIFEST, lambda aside: aside.write_text(text, encoding="utf-8"))


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
        ``.parquet`` or ``.csv`` file, beside which a file with its errors is written (to
        ``cells.csv`` belong ``cells.errors.csv`` and ``cells.columns.csv``, which holds unit,
        meaning and formula of each column), or a ``.h5ad`` file, see `to_anndata`.
    settings : dict, optional
        Entries to store in the manifest of a folder.

    Raises
    ------
    FileExistsError
        `out` holds something other than a result.
    FileNotFoundError
        The parent folder of the file `out` does not exist.
    ValueError
        `out` has the suffix of another kind of file, two columns have one name, or the scale
        (``um_per_px``) is known for some rows only.
    hemafeat.datasets.DatasetError
        A column holds objects that cannot be stored as text.
    OSError
        `out` cannot be written; an earlier table there is left as it was.

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
    check_target(out)
    path = Path(out)
    failures = storable(errors(table))
    formulas = int(table.attrs.get("formulas", FORMULAS))
    about = {_FORMULAS_KEY: str(formulas).encode()}
    bare = storable(table).copy(deep=False)
    # pandas copies the attributes for every column it writes; units and errors are written
    # elsewhere. It stores the attributes in a Parquet file, and in those that users make of it.
    how = as_options(table.attrs.get(MEASURED))
    bare.attrs = {"formulas": formulas} | ({MEASURED: how} if how else {})
    if path.suffix.lower() == ".h5ad":
        write_whole(path, lambda aside: write_h5ad(table, aside))
        return
    if is_cells_file(path):
        other = error_file(path)
        files = {other: table_writer(failures, other), path: table_writer(bare, path, about)}
        if path.suffix.lower() == ".csv":
            files[column_file(path)] = table_writer(dictionary(table), path)
        write_together(path, files)
        return
    path.mkdir(parents=True, exist_ok=True)
    text = manifest_text(
        (settings or {})
        | {"n_cells": len(table), "n_errors": len(failures), "units": table_units}
        | {"formulas": formulas, MEASURED: how}
    )
    write_together(
        path / CELLS,
        {
            path / ERRORS: table_writer(failures, path / ERRORS),
            path / CELLS: table_writer(bare, path / CELLS, about),
            path / MANIFEST: lambda aside: aside.write_text(text, encoding="utf-8"),
        },
    )
    # The manifest now describes this table; shards of an earlier result are of no use any more.
    for folder in (CELLS_FOLDER, ERRORS_FOLDER):
        for part in part_files(path / folder):
            part.unlink()


def load(source: str | os.PathLike[str], *, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table that `table`, `stream` or ``hemafeat extract`` wrote.

    Parameters
    ----------
    source : path
        The folder, or the ``.parquet``, ``.csv`` or ``.h5ad`` file.
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
        The file is not a table of cells, a column does not exist, the result is not complete, the
        scale (``um_per_px``) is known for some rows only, or a file of the result is not the one
        that was written; the message names the file, and the same call of `table` or `stream` makes
        it again.

    Warns
    -----
    UserWarning
        The table, or `columns`, has former names of columns, or columns that later versions compute
        differently; the warning lists the first few.

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
    checked = "state" in manifest
    if checked:
        if manifest["state"] != "complete":
            raise ValueError(f"{path} is not complete: repeat the extraction to resume it")
        cells, failures = _sound_parts(path, manifest)
    elif path.is_dir():
        cells, failures = [path / CELLS], [path / ERRORS]
        if not cells[0].exists() and part_files(path / CELLS_FOLDER):
            raise ValueError(f"{path / MANIFEST} is missing. {REPEAT}")
    else:
        cells, failures = [path], [error_file(path)]
    if not cells or not cells[0].exists():
        raise FileNotFoundError(f"{path} does not hold the result of an extraction")
    stored = _column_names(cells[0])
    if columns is None and not set(stored) >= CELL_COLUMNS:
        raise ValueError(
            f"{cells[0]} is not a table of cells: it has no columns 'image' and 'cell'"
        )
    # A table that was joined from two may have both names of a column, and is left as it is.
    renamed = {name: RENAMED[name] for name in stored if RENAMED.get(name, name) not in stored}
    former = list(renamed)
    names = None
    if columns is not None:
        stored_names = {current: name for name, current in renamed.items()}
        names = [stored_names.get(name, name) for name in current_names(columns)]
        former = [name for name in RENAMED if name in names or name in columns]
    formulas = _formulas(path, manifest, cells[0], former=bool(renamed))
    remarks = []
    if former:
        pairs = ", ".join(f"{name} is now {RENAMED[name]}" for name in former[:N_LISTED])
        rest = len(former) - N_LISTED
        more = f" and {rest} more, see extract.current_names" if rest > 0 else ""
        remarks.append(f"columns of {path} were renamed: {pairs}{more}")
    if changed := changed_columns(current_names(stored if names is None else names), formulas):
        remarks.append(
            f"columns of {path} have other values in tables measured since ({len(changed)}: "
            f"{', '.join(changed[:3])}{' ...' if len(changed) > 3 else ''}); measure again to "
            "compare them"
        )
    if remarks:
        warnings.warn("; ".join(remarks), stacklevel=2)
    # Without the seals only parts of the first format are read unchecked.
    sealed = manifest.get("format", 1) >= FORMAT
    table = _read(cells, names, sealed=sealed, checked=checked).rename(columns=renamed)
    how = as_options(manifest.get(MEASURED, table.attrs.get(MEASURED)))
    of_file = table.attrs.get("errors")
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
    table.attrs["formulas"] = formulas
    if sealed or (failures and failures[0].exists()):
        found = _read(failures, sealed=sealed, checked=checked)
        table.attrs["errors"] = found.astype(str).to_dict("records")
    elif of_file:
        table.attrs["errors"] = of_file
    return table


def _sound_parts(folder: Path, manifest: dict[str, Any]) -> tuple[list[Path], list[Path]]:
    """Return the files of a complete result in shards: only those that its manifest names."""
    n_stored = len(part_files(folder / CELLS_FOLDER))
    n_shards, asked = manifest.get("shards", n_stored), digest(manifest.get("asked", {}))
    cells = [part_file(folder, CELLS_FOLDER, n, n_shards) for n in range(n_shards)]
    failures = [part_file(folder, ERRORS_FOLDER, n, n_shards) for n in range(n_shards)]
    if manifest.get("format", 1) < FORMAT:
        return cells, [path for path in failures if path.is_file()]

    def check(number: int) -> tuple[ShardInfo | None, str]:
        try:
            return check_shard(folder, number, n_shards, asked), ""
        except (OSError, ValueError) as error:
            return None, str(error)

    with ThreadPoolExecutor(min(32, 2 * n_workers())) as pool:
        outcomes = list(pool.map(check, range(n_shards)))
    faults = [fault for info, fault in outcomes if info is None]
    if faults:
        more = f", and {len(faults) - 1} more shards are not sound" if len(faults) > 1 else ""
        raise ValueError(f"{faults[0]}{more}. {REPEAT}")
    with_errors = [n for n, (info, _) in enumerate(outcomes) if info and (info.n_errors or n == 0)]
    return cells, [failures[n] for n in with_errors]


def _formulas(path: Path, manifest: dict[str, Any], cells: Path, *, former: bool) -> int:
    """Return the version of the values of a stored table; a CSV tells by its former names."""
    if path.is_dir():
        return int(manifest.get("formulas", 1))
    if path.suffix.lower() in (".csv", ".h5ad"):
        return 1 if former else FORMULAS
    with open(cells, "rb") as file:
        metadata = pyarrow.parquet.read_metadata(file).metadata or {}
    try:
        if _FORMULAS_KEY in metadata:
            return int(metadata[_FORMULAS_KEY])
        # A file that a user wrote by `DataFrame.to_parquet`.
        return int(json.loads(metadata.get(b"PANDAS_ATTRS", b"{}"))["formulas"])
    except (ValueError, TypeError, KeyError):
        return 1


def error_file(path: Path) -> Path:
    """Return the path of the table of errors beside a result in one file."""
    return path.with_name(f"{path.stem}.errors{path.suffix}")


def column_file(path: Path) -> Path:
    """Return the path of the list of columns beside a result in a CSV file."""
    return path.with_name(f"{path.stem}.columns{path.suffix}")


def dictionary(table: pd.DataFrame) -> pd.DataFrame:
    """Say of each column of a table of cells what it is: the columns `DICTIONARY`, as text."""
    rows = describe(table).set_index("column")
    others = {
        name: (_UNITS.get(name, ""), _MEANINGS.get(name, "attribute of the image"))
        for name in map(str, table.columns)
        if name not in rows.index
    }
    first = pd.DataFrame(
        [
            [name, unit, meaning, *[""] * (len(DICTIONARY) - 3)]
            for name, (unit, meaning) in others.items()
        ],
        columns=list(DICTIONARY),
    )
    return pd.concat([first, rows.reset_index()[list(DICTIONARY)]], ignore_index=True)


def _column_names(path: Path) -> list[str]:
    """Return the names of the columns of a file."""
    try:
        if path.suffix.lower() == ".h5ad":
            return columns_of_h5ad(path)
        if path.suffix.lower() == ".csv":
            return list(
                map(str, with_formulas(pd.read_csv(path, encoding="utf-8", nrows=0)).columns)
            )
        with open(path, "rb") as file:
            return list(pyarrow.parquet.read_schema(file).names)
    except Exception as error:
        raise ValueError(f"{path} cannot be read as a table: {error}") from error


def _read(
    paths: list[Path], columns: list[str] | None = None, *, sealed: bool, checked: bool
) -> pd.DataFrame:
    path = paths[0]
    try:
        if path.suffix.lower() == ".h5ad":
            table = read_h5ad(path)
            return table if columns is None else table[columns]
        if path.suffix.lower() == ".csv":
            # Doubles must come back bit by bit, which is the default of pandas from version 3 on.
            exact = {} if int(pd.__version__.split(".")[0]) >= 3 else _EXACT
            names = (
                None if columns is None else list(without_formulas(pd.DataFrame(columns=columns)))
            )
            table = with_formulas(pd.read_csv(path, encoding="utf-8", usecols=names, **exact))
            return table if columns is None else table[columns]
        return read_parquet(paths, columns, sealed=sealed, checked=checked)
    except Exception as error:
        # Readers of Parquet go on with the whole list of columns.
        text = (str(error).splitlines() or [""])[0]
        reason = text if "is damaged" in text else f"{path} cannot be read as a table: {text}"
        raise ValueError(reason) from error
