"""Files that are whole or absent: written aside, then renamed."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from hemafeat._csv import without_formulas

if TYPE_CHECKING:
    import pandas as pd


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, then rename it: nobody ever sees half a file."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(aside)
        # A renamed file whose bytes are still in memory would be empty after a power cut.
        with open(aside, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def is_table_file(path: str | os.PathLike[str]) -> bool:
    """Return whether a path names a file that `write_table` writes: ``.csv`` or ``.parquet``."""
    return Path(path).suffix.lower() in (".csv", ".parquet")


def check_table_file(path: Path) -> None:
    """Refuse a path to which `write_table` cannot write.

    Raises
    ------
    FileExistsError
        It is a folder.
    FileNotFoundError
        Its parent folder does not exist.
    """
    if path.is_dir():
        raise FileExistsError(f"{path} is a folder, not a file to write a table to")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent}")


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write `frame` as CSV (UTF-8) or Parquet, by the suffix of `path`."""
    if path.suffix.lower() == ".csv":
        text = without_formulas(frame)
        write_whole(path, lambda aside: text.to_csv(aside, index=False, encoding="utf-8"))
    else:
        write_whole(path, lambda aside: frame.to_parquet(aside, index=False))


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
