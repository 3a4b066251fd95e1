"""Archives of strangers, unpacked into one folder and nowhere else."""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any, NamedTuple

from hemafeat.datasets._schema import DatasetError

MAX_RATIO = 100
"""How many times its size an archive of images may grow; the best compressed ones grow tenfold."""

FREE_BYTES = 2**28
"""What an archive may grow to whatever its size."""

MAX_FILES = 2_000_000

_PASSED_OVER = ("__MACOSX", ".DS_Store", "Thumbs.db")


class _Entry(NamedTuple):
    name: str
    size: int
    kind: str
    source: Any


def is_archive(path: str | os.PathLike[str]) -> bool:
    """Whether `unpack` opens a file, by its name."""
    return str(path).lower().endswith((".zip", ".tar", ".tar.gz", ".tgz"))


def unpack(archive: str | os.PathLike[str], to: str | os.PathLike[str]) -> Path:
    """Unpack a ZIP or TAR into a folder that is whole or absent.

    Every name is checked before anything is written: one that is absolute, leads out of the folder
    or is a link, a device or there twice, makes the whole archive refused. So does one that would
    grow to more than `MAX_RATIO` times its size (and `FREE_BYTES`), holds more than `MAX_FILES`
    files, or does not fit the disk. Entries named ``__MACOSX``, ``.DS_Store`` and ``Thumbs.db`` are
    passed over.

    Parameters
    ----------
    archive : path
        A file that `is_archive`.
    to : path
        The folder to make; one that is there is replaced when everything is unpacked.

    Returns
    -------
    Path
        `to`.

    Raises
    ------
    DatasetError
        The archive is damaged or is refused; nothing of it stays.
    """
    archive, to = Path(archive), Path(to)
    to.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{to.name}.", suffix=".unpacking", dir=to.parent))
    try:
        with _opened(archive) as (entries, read):
            _check(archive, entries, shutil.disk_usage(aside).free)
            for entry in entries:
                if entry.kind == "file":
                    _write(archive, entry, read(entry), aside / entry.name)
                else:
                    (aside / entry.name).mkdir(parents=True, exist_ok=True)
        os.chmod(aside, 0o755)
        if to.exists():
            shutil.rmtree(to)
        os.replace(aside, to)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError) as bad:
        raise DatasetError(f"{archive} is a damaged archive: {bad}") from None
    except RuntimeError as locked:
        raise DatasetError(f"{archive} cannot be unpacked: {locked}") from None
    except FileExistsError as twice:
        raise DatasetError(f"{archive} holds {twice.filename} twice") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return to


@contextmanager
def _opened(archive: Path) -> Iterator[tuple[list[_Entry], Callable[[_Entry], IO[bytes] | None]]]:
    """The entries of an archive, and how one of them is read."""
    if str(archive).lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as zipped:
            entries = [_of_zip(info) for info in zipped.infolist()]
            yield _kept(entries), lambda entry: zipped.open(entry.source)
    else:
        with tarfile.open(archive) as tarred:
            entries = [_of_tar(info) for info in tarred.getmembers()]
            yield _kept(entries), lambda entry: tarred.extractfile(entry.source)


def _of_zip(info: zipfile.ZipInfo) -> _Entry:
    mode = info.external_attr >> 16
    kind = "folder" if info.is_dir() else "file"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        kind = "link" if stat.S_ISLNK(mode) else "device"
    return _Entry(info.filename, info.file_size, kind, info)


def _of_tar(info: tarfile.TarInfo) -> _Entry:
    kind = "folder" if info.isdir() else "file" if info.isreg() else "device"
    return _Entry(info.name, info.size, "link" if info.issym() or info.islnk() else kind, info)


def _kept(entries: list[_Entry]) -> list[_Entry]:
    return [
        entry
        for entry in entries
        if not any(part in _PASSED_OVER for part in entry.name.replace("\\", "/").split("/"))
    ]


def _check(archive: Path, entries: list[_Entry], free: int) -> None:
    for entry in entries:
        path = PurePosixPath(entry.name)
        if (
            (not entry.name.strip("/. ") and entry.kind == "file")
            or path.is_absolute()
            or ".." in path.parts
            # On Windows a backslash parts folders and a colon names a drive.
            or ".." in PureWindowsPath(entry.name).parts
            or PureWindowsPath(entry.name).drive
            or PureWindowsPath(entry.name).root
            or "\0" in entry.name
        ):
            raise DatasetError(
                f"{archive} is refused: it holds {entry.name!r}, which leads out of its folder"
            )
        if entry.kind in ("link", "device"):
            raise DatasetError(f"{archive} is refused: it holds {entry.name!r}, a {entry.kind}")
    size, packed = sum(entry.size for entry in entries), archive.stat().st_size
    if size > max(FREE_BYTES, MAX_RATIO * packed):
        raise DatasetError(
            f"{archive} is refused: its {packed / 1e6:.0f} MB would become {size / 1e6:.0f} MB"
        )
    if len(entries) > MAX_FILES:
        raise DatasetError(f"{archive} is refused: it holds {len(entries)} files")
    if size > free:
        raise DatasetError(f"{archive} needs {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free")


def _write(archive: Path, entry: _Entry, source: IO[bytes] | None, to: Path) -> None:
    """Copy one file; never more than it said it holds."""
    if source is None:
        raise DatasetError(f"{archive} is a damaged archive: {entry.name!r} holds nothing")
    to.parent.mkdir(parents=True, exist_ok=True)
    left = entry.size
    with source, open(to, "xb") as file:
        while chunk := source.read(2**20):
            left -= len(chunk)
            if left < 0:
                raise DatasetError(f"{archive} is refused: {entry.name!r} is larger than it says")
            file.write(chunk)
    if left:
        raise DatasetError(f"{archive} is a damaged archive: {entry.name!r} ends early")
