"""Files that are whole or absent, and tables in files that notice when they are damaged.

Files are written aside, then renamed. A Parquet file carries a seal among its metadata, which other
readers of Parquet ignore: the SHA-256 digest of all its bytes but the digest itself.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from hemafeat._csv import without_formulas

if TYPE_CHECKING:
    import pandas as pd

SEAL_KEY = b"hemafeat.seal"
"""Key of the seal in the metadata of a Parquet file."""

UNSEALED = b"sha256:" + b"0" * 64
"""Value of `SEAL_KEY` in the bytes that are digested."""

NO_SPACE = (errno.ENOSPC, getattr(errno, "EDQUOT", None), errno.EFBIG)
"""Errors of a full disk, a quota, and a file that may not grow."""

# In the footer of a Parquet file two bytes stand between a key and its value.
_SEAL = re.compile(re.escape(SEAL_KEY) + rb"..(sha256:[0-9a-f]{64})", re.DOTALL)
_CHUNK = 1 << 22
_LONGEST_NAME = 200

_FILE_SUFFIX = re.compile(r"\.(7z|(?!v\d)[a-z][a-z0-9]{0,9})", re.IGNORECASE)
"""Suffix of a file; ``.v2`` and ``.1`` end the name of a folder."""


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, then rename it: nobody ever sees half a file.

    Raises
    ------
    OSError
        The file cannot be written; the error names `path`.
    """
    write_together(path, {path: write})


def write_together(path: Path, files: Mapping[Path, Callable[[Path], object]]) -> None:
    """Write a file and those that belong to it: all of them or none.

    All are written aside before the first is renamed, so that a full disk changes nothing. The
    others are absent while `path` is renamed: none is ever beside a `path` it does not belong to.

    Parameters
    ----------
    path : Path
        One of `files`, to which the others belong.
    files : mapping of Path to callable
        Each is given the path to write to.

    Raises
    ------
    OSError
        A file cannot be written; the error names it.
    """
    aside: dict[Path, Path] = {}
    put_away: dict[Path, Path] = {}
    try:
        for target, write in files.items():
            aside[target] = _beside(target, "part")
            with _naming(target):
                write(aside[target])
                # A renamed file whose bytes are still in memory would be empty after a power cut.
                with open(aside[target], "rb+") as file:
                    os.fsync(file.fileno())
        for target in files:
            if target != path and target.exists():
                with _naming(target):
                    os.replace(target, _beside(target, "old"))
                put_away[target] = _beside(target, "old")
        with _naming(path):
            os.replace(aside[path], path)
        while put_away:
            put_away.popitem()[1].unlink()
        for target in files:
            if target != path:
                with _naming(target):
                    os.replace(aside[target], target)
    finally:
        for target, old in put_away.items():
            os.replace(old, target)
        for part in aside.values():
            part.unlink(missing_ok=True)


def _beside(path: Path, kind: str) -> Path:
    """Return the name of a hidden file of this thread beside `path`, which is not too long."""
    name = path.name
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    return path.with_name(f".{name}.{threading.get_native_id()}.{kind}")


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let errors of the system name `path`, not the file beside it."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise OSError(f"{path} cannot be written: {error}") from error
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from None


def is_table_file(path: str | os.PathLike[str]) -> bool:
    """Return whether a path names a file that `write_table` writes: ``.csv`` or ``.parquet``."""
    return Path(path).suffix.lower() in (".csv", ".parquet")


def is_cells_file(path: str | os.PathLike[str]) -> bool:
    """Return whether a path names a file that a table of cells is written to: also ``.h5ad``."""
    return is_table_file(path) or Path(path).suffix.lower() == ".h5ad"


def check_folder_name(path: str | os.PathLike[str]) -> None:
    """Refuse the name of a file, such as ``table.xlsx``, where a folder would be written.

    A folder that exists, or a name that ends with a slash, may have any suffix.

    Raises
    ------
    ValueError
        The path names a file, or is a URI.
    """
    text = os.fspath(path)
    if "://" in text:
        raise ValueError(f"{text} is a URI; results are written to local files and folders only")
    name = Path(text).name
    suffix = name if is_cells_file(f"x{name}") else Path(text).suffix
    is_folder = text.endswith(("/", os.sep)) or Path(text).is_dir()
    if not is_folder and _FILE_SUFFIX.fullmatch(suffix):
        raise ValueError(
            f"{text} names a file of a kind that cannot be written. Tables are written as .csv or "
            ".parquet, those of cells also as .h5ad, or into a folder, whose name has no suffix or "
            "ends with a slash" + (". Excel opens .csv" if suffix.lower() == ".xlsx" else "")
        )


def check_table_file(path: Path) -> None:
    """Refuse a path to which `write_table` cannot write.

    Raises
    ------
    FileExistsError
        It is a folder.
    FileNotFoundError
        Its parent folder does not exist.
    OSError
        No file can be written there.
    """
    if path.is_dir():
        raise FileExistsError(f"{path} is a folder, not a file to write a table to")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent}")
    check_writable(path)


def check_writable(path: Path) -> None:
    """Raise the error that writing a file would raise: permissions, a read-only disk, a long name.

    Raises
    ------
    OSError
        No file can be written there; the error names `path`.
    """
    probe = _beside(path, "part")
    try:
        with _naming(path):
            # The name of the probe may be shorter.
            with suppress(FileNotFoundError):
                os.lstat(path)
            probe.touch()
    finally:
        probe.unlink(missing_ok=True)


def write_table(
    frame: pd.DataFrame, path: Path, metadata: Mapping[bytes, bytes] | None = None
) -> None:
    """Write `frame` as CSV (UTF-8) or sealed Parquet, by the suffix of `path`.

    `metadata` are further entries of a Parquet file.
    """
    write_whole(path, table_writer(frame, path, metadata))


def table_writer(
    frame: pd.DataFrame, path: Path, metadata: Mapping[bytes, bytes] | None = None
) -> Callable[[Path], object]:
    """Return a function that writes `frame` to the file it is given, as `write_table` does."""
    if path.suffix.lower() == ".csv":
        # Names of files may hold bytes that are not UTF-8.
        options: dict[str, Any] = {"encoding": "utf-8", "errors": "backslashreplace"}
        text = without_formulas(frame)
        return lambda aside: text.to_csv(aside, index=False, **options)
    return lambda aside: _write_parquet(frame, aside, metadata or {})


def _write_parquet(frame: pd.DataFrame, path: Path, metadata: Mapping[bytes, bytes]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False)
    entries = {**(table.schema.metadata or {}), **metadata, SEAL_KEY: UNSEALED}
    # pyarrow opens no path that is not UTF-8.
    with open(path, "wb+") as file:
        pq.write_table(table.replace_schema_metadata(entries), file, write_page_checksum=True)
        seal(file)


def seal(file: IO[bytes]) -> None:
    """Write the digest of a Parquet file with the entry `UNSEALED` into that entry."""
    place = _place_of_seal(file)
    assert place is not None
    computed = _digest(file, place)
    file.seek(place)
    file.write(computed)


def check_seal(path: Path) -> str | None:
    """Return the seal of a Parquet file; None if it has none, as those of earlier versions.

    Raises
    ------
    ValueError
        The bytes of the file are not those that were written.
    OSError
        It cannot be read.
    """
    with open(path, "rb") as file:
        try:
            return _checked(file)
        except ValueError as error:
            raise ValueError(f"{path} {error}") from None


def seal_of(data: bytes) -> str:
    """Return the seal of the bytes of a sealed Parquet file."""
    stored = _checked(io.BytesIO(data))
    assert stored is not None
    return stored


def _checked(file: IO[bytes]) -> str | None:
    place = _place_of_seal(file)
    if place is None:
        return None
    file.seek(place)
    stored = file.read(len(UNSEALED))
    if stored != _digest(file, place):
        raise ValueError("is damaged: its bytes are not those that were written")
    return stored.decode()


def _place_of_seal(file: IO[bytes]) -> int | None:
    size = file.seek(0, os.SEEK_END)
    if size < 12:
        return None
    file.seek(size - 8)
    start = size - 8 - int.from_bytes(file.read(4), "little")
    if start < 0:
        return None
    file.seek(start)
    # The last one, since the footer may also hold text of the table.
    places = [match.start(1) for match in _SEAL.finditer(file.read())]
    return start + places[-1] if places else None


def _digest(file: IO[bytes], place: int) -> bytes:
    digest = hashlib.sha256()
    file.seek(0)
    left = place
    while left:
        chunk = file.read(min(_CHUNK, left))
        digest.update(chunk)
        left -= len(chunk)
    digest.update(UNSEALED)
    file.seek(place + len(UNSEALED))
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return b"sha256:" + digest.hexdigest().encode()


def read_parquet(
    paths: Path | Sequence[Path],
    columns: Sequence[str] | None = None,
    *,
    sealed: bool = False,
    checked: bool = False,
) -> pd.DataFrame:
    """Read a Parquet file, or several as one table, and check their seals.

    Parameters
    ----------
    paths : Path or sequence of Path
        The files, which have the same columns.
    columns : sequence of str, optional
        Columns to read; all by default.
    sealed : bool
        Refuse a file without a seal. By default it is read, since earlier versions wrote none.
    checked : bool
        Whether the seals were checked before. Default False.

    Raises
    ------
    ValueError
        A file is damaged; the message names it.
    """
    from concurrent.futures import ThreadPoolExecutor

    import pandas as pd

    from hemafeat._machine import n_workers

    paths = [paths] if isinstance(paths, Path) else list(paths)
    with ThreadPoolExecutor(n_workers()) as pool:
        seals = pool.map(check_seal, [] if checked else paths)
        for path, stored in zip(paths, seals, strict=False):
            if sealed and stored is None:
                raise ValueError(f"{path} is damaged: it has lost its seal")
    # Folders above the files, such as "fold=1", are not columns of the table.
    options: dict[str, Any] = {"partitioning": None}
    names = None if columns is None else list(columns)
    try:
        "".join(map(str, paths)).encode()
    except UnicodeEncodeError:
        return _from_open_files(paths, names)
    source: Any = paths[0] if len(paths) == 1 else paths
    return pd.read_parquet(source, columns=names, **options)


def _from_open_files(paths: list[Path], columns: list[str] | None) -> pd.DataFrame:
    """Read files whose names are not UTF-8, which pyarrow cannot open by name."""
    import pandas as pd

    tables = []
    for path in paths:
        with open(path, "rb") as file:
            tables.append(pd.read_parquet(file, columns=columns))
    return tables[0] if len(tables) == 1 else pd.concat(tables, ignore_index=True)


@contextmanager
def locked(path: Path, taken: str) -> Iterator[None]:
    """Hold the lock file `path`; it is free again when this process ends, however it ends.

    On a file system without locks nothing is held.

    Raises
    ------
    BlockingIOError
        Another process holds it; the message is `taken`.
    """
    with open(path, "a+b") as file:
        try:
            _lock(file)
        except (BlockingIOError, PermissionError):
            raise BlockingIOError(taken) from None
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                raise
        yield


def _lock(file: IO[bytes]) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
