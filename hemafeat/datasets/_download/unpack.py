"""Unpack untrusted archives into a folder and nowhere else."""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any, NamedTuple

from hemafeat._words import reason_of
from hemafeat.datasets._schema import DatasetError

MAX_RATIO = 100
"""Largest accepted ratio of unpacked to packed size; archives of images reach about 10."""

FREE_BYTES = 2**28
"""Unpacked size, in bytes, up to which any ratio is accepted."""

MAX_FILES = 2_000_000
"""Largest accepted number of files."""

_IGNORED = ("__MACOSX", ".DS_Store", "Thumbs.db")
_MAX_NAME = 2**20
"""Largest accepted size, in bytes, of the header that holds a long name in a TAR archive."""


class _Entry(NamedTuple):
    name: str
    size: int
    kind: str
    source: Any


def is_archive(path: str | os.PathLike[str]) -> bool:
    """Return True if `unpack` supports a file, according to its suffix."""
    return str(path).lower().endswith((".zip", ".tar", ".tar.gz", ".tgz"))


def unpack(archive: str | os.PathLike[str], to: str | os.PathLike[str]) -> Path:
    """Unpack a ZIP or TAR archive into a folder, completely or not at all.

    The archive is rejected if an entry has an absolute path, leads out of the folder, is a link or
    a device, or occurs twice; if it would grow to more than `MAX_RATIO` times its size (and
    `FREE_BYTES`); if it holds more than `MAX_FILES` files; or if it does not fit on the disk. This
    is checked before anything is written. Entries named ``__MACOSX``, ``.DS_Store`` and
    ``Thumbs.db`` are ignored.

    Parameters
    ----------
    archive : path
        File with a suffix that `is_archive` accepts.
    to : path
        Folder to create. An existing folder is replaced after everything is unpacked.

    Returns
    -------
    Path
        The folder `to`.

    Raises
    ------
    DatasetError
        Raised if the archive is damaged or rejected; nothing is left on the disk.
    """
    archive, to = Path(archive), Path(to)
    to.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{to.name}.", suffix=".unpacking", dir=to.parent))
    try:
        with _open_archive(archive) as (entries, read):
            _check(archive, entries, shutil.disk_usage(part).free)
            for entry in entries:
                if entry.kind == "file":
                    _write(archive, entry, read(entry), part / entry.name)
                else:
                    (part / entry.name).mkdir(parents=True, exist_ok=True)
        os.chmod(part, 0o755)
        if to.exists():
            shutil.rmtree(to)
        os.replace(part, to)
    except DatasetError:
        raise
    except RuntimeError as problem:  # a password is required, or a compression is unknown
        raise DatasetError(f"{archive} cannot be unpacked: {problem}") from None
    except FileExistsError as problem:
        raise DatasetError(f"{archive} holds {problem.filename} twice") from None
    except OSError as problem:
        # Decompressors raise an OSError without a number as well.
        if problem.errno is not None:
            reason = problem.strerror or problem
            raise DatasetError(f"{archive} cannot be unpacked: {reason}") from None
        raise DatasetError(f"{archive} is a damaged archive: {problem}") from None
    # A damaged archive may raise any exception of its decompressor.
    except Exception as problem:
        reason = reason_of(problem)
        raise DatasetError(f"{archive} is a damaged archive: {reason}") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return to


@contextmanager
def _open_archive(
    archive: Path,
) -> Iterator[tuple[list[_Entry], Callable[[_Entry], IO[bytes] | None]]]:
    """Open an archive and yield its entries and a function that reads an entry."""
    if str(archive).lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as zip_file:
            entries = [_zip_entry(info) for info in zip_file.infolist()]
            yield _without_ignored(entries), lambda entry: zip_file.open(entry.source)
    else:
        with tarfile.open(archive, tarinfo=_TarInfo) as tar_file:
            limit = _largest(archive)
            entries = []
            for info in tar_file:
                entries.append(_tar_entry(info))
                # A small archive can hold headers, or state sizes, without end.
                if tar_file.offset > limit + 2**16:
                    raise _grows(archive, tar_file.offset)
                _check_number(archive, entries)
            yield _without_ignored(entries), lambda entry: tar_file.extractfile(entry.source)


class _TarInfo(tarfile.TarInfo):
    """Entry of a TAR archive whose name is not read if it takes gigabytes."""

    def _proc_member(self, tar_file: tarfile.TarFile) -> Any:
        if self.type in _NAMES and self.size > _MAX_NAME:
            raise tarfile.ReadError(f"a name of {self.size:,} bytes")
        return super()._proc_member(tar_file)  # type: ignore[misc]


_NAMES = (
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)  # fmt: skip


def _zip_entry(info: zipfile.ZipInfo) -> _Entry:
    mode = info.external_attr >> 16
    kind = "folder" if info.is_dir() else "file"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        kind = "link" if stat.S_ISLNK(mode) else "device"
    return _Entry(info.filename, info.file_size, kind, info)


def _tar_entry(info: tarfile.TarInfo) -> _Entry:
    kind = "folder" if info.isdir() else "file" if info.isreg() else "device"
    return _Entry(info.name, info.size, "link" if info.issym() or info.islnk() else kind, info)


def _without_ignored(entries: list[_Entry]) -> list[_Entry]:
    return [
        entry
        for entry in entries
        if not any(part in _IGNORED for part in entry.name.replace("\\", "/").split("/"))
    ]


def _check(archive: Path, entries: list[_Entry], free: int) -> None:
    for entry in entries:
        path = PurePosixPath(entry.name)
        if (
            (not entry.name.strip("/. ") and entry.kind == "file")
            or path.is_absolute()
            or ".." in path.parts
            # On Windows a backslash separates folders and a colon follows a drive.
            or ".." in PureWindowsPath(entry.name).parts
            or PureWindowsPath(entry.name).drive
            or PureWindowsPath(entry.name).root
            or "\0" in entry.name
        ):
            raise DatasetError(
                f"{archive} is rejected: it holds {entry.name!r}, which leads out of its folder"
            )
        if entry.kind in ("link", "device"):
            raise DatasetError(f"{archive} is rejected: it holds {entry.name!r}, a {entry.kind}")
    size = sum(entry.size for entry in entries)
    if size > _largest(archive):
        raise _grows(archive, size)
    _check_number(archive, entries)
    if size > free:
        raise DatasetError(
            f"{archive} needs {size / 1e9:.1f} GB, but only {free / 1e9:.1f} GB are free"
        )


def _largest(archive: Path) -> int:
    """Return how many bytes an archive may become."""
    return max(FREE_BYTES, MAX_RATIO * archive.stat().st_size)


def _grows(archive: Path, size: int) -> DatasetError:
    packed = archive.stat().st_size
    return DatasetError(
        f"{archive} is rejected: its {packed / 1e6:.0f} MB would become {size / 1e6:.0f} MB"
    )


def _check_number(archive: Path, entries: list[_Entry]) -> None:
    if len(entries) > MAX_FILES:
        raise DatasetError(f"{archive} is rejected: it holds {len(entries)} files")


def _write(archive: Path, entry: _Entry, source: IO[bytes] | None, to: Path) -> None:
    """Write one file, never more bytes than its entry states."""
    if source is None:
        raise DatasetError(f"{archive} is a damaged archive: {entry.name!r} has no data")
    to.parent.mkdir(parents=True, exist_ok=True)
    remaining = entry.size
    with source, open(to, "xb") as file:
        while chunk := source.read(2**20):
            remaining -= len(chunk)
            if remaining < 0:
                raise DatasetError(f"{archive} is rejected: {entry.name!r} is larger than stated")
            file.write(chunk)
    if remaining:
        raise DatasetError(f"{archive} is a damaged archive: {entry.name!r} ends early")
