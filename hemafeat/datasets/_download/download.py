"""Download, check and unpack public data sets."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from hemafeat._files import locked, write_whole
from hemafeat._words import suggestion
from hemafeat.datasets._download.fetch import TIMEOUT, fetch
from hemafeat.datasets._download.unpack import is_archive, unpack
from hemafeat.datasets._loaders.bloodmnist import BLOODMNIST_SIZES
from hemafeat.datasets._registry import DATASETS, Remote
from hemafeat.datasets._schema import DatasetError

_LONGEST_LIST = 2**24

RECORD = "hemafeat-download.json"
"""Name of the file in a download folder that records the sources and checksums of its files."""


def download(
    name: str,
    to: str | os.PathLike[str],
    *,
    size: int | None = None,
    keep_archives: bool = False,
    progress: bool = False,
) -> Path:
    """Download a public data set into a folder.

    An interrupted download resumes where it stopped, also in a later call. Files are checked
    against the checksums published by the authors. If there are none, the checksum of the first
    download that could be read as a whole is recorded in ``hemafeat-download.json`` in the folder,
    and later downloads into it must match. What cannot be read (an error page, a cut file) is
    deleted, so that the call can be repeated. Archives are unpacked into a temporary folder that is
    then renamed, and an archive with entries outside its folder is rejected. Existing valid files
    are kept, and files that were not downloaded by this function are never replaced.

    Parameters
    ----------
    name : str
        Name of a data set in `catalogue` whose column ``download`` is True.
    to : path
        Folder to download into; it is created if it does not exist. `load` reads it afterwards.
    size : {28, 64, 128, 224}, optional
        Side of the images of ``bloodmnist``, in px. By default 28.
    keep_archives : bool
        If True, keep archives after they are unpacked. By default they are deleted.
    progress : bool
        If True, show a progress bar for each file.

    Returns
    -------
    Path
        The folder `to`.

    Raises
    ------
    DatasetError
        Raised if the name is unknown, if the data set requires a login (the message says how to
        obtain it), or if a file is unavailable or does not match its checksum.

    See Also
    --------
    catalogue : List the public data sets.
    load : List the images of a downloaded data set.

    Examples
    --------
    Data sets behind a login cannot be downloaded; the error says how to obtain them.

    >>> from hemafeat import datasets
    >>> try:
    ...     datasets.download("all_idb2", "ALL_IDB2")
    ... except datasets.DatasetError as error:
    ...     print(error)
    ALL-IDB2 cannot be downloaded automatically. By hand: ask its authors by e-mail ...
    """
    if name not in DATASETS:
        raise DatasetError(f"unknown data set {name!r}; {suggestion(name, DATASETS, 'available:')}")
    entry = DATASETS[name]
    if not entry.downloadable:
        raise DatasetError(
            f"{entry.title} cannot be downloaded automatically. By hand: {entry.how}. It is "
            f"available at {entry.where} ({entry.licence})"
        )
    folder = Path(to)
    if folder.exists() and not folder.is_dir():
        raise DatasetError(f"{folder} is a file; expected a folder to download into")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with locked(folder / f".{RECORD}.lock", f"another download into {folder} is running"):
            _download(name, folder, size, keep_archives, progress)
    except BlockingIOError as problem:
        raise DatasetError(str(problem)) from None
    return folder


def _download(
    name: str, folder: Path, size: int | None, keep_archives: bool, progress: bool
) -> None:
    dataset, record = DATASETS[name], _read_record(folder, name)
    # A complete folder needs no network, not even to list its files.
    remotes = list(dataset.files) if dataset.files else _files_of_record(record, dataset.record)
    if name == "bloodmnist":
        remotes = [remote for remote in remotes if remote.name == _bloodmnist_file(size)]
    elif size is not None:
        raise DatasetError(f"size is for bloodmnist, not for {name}")
    for remote in remotes:
        recorded = record["files"].get(remote.name, {})
        file, target = folder / remote.name, folder / _stem(remote.name)
        if recorded.get("done") and target.is_dir():
            continue
        if not recorded:
            _check_target(target, file, remote)
        is_foreign = file.exists() and not recorded
        first = recorded.get("sha256") if recorded.get("done") else None
        checksum = remote.checksum or first
        # From now on the file is known to be ours, but not yet to be whole.
        record["files"][remote.name] = recorded or {"url": remote.url}
        _write_record(folder, record)
        try:
            path, sha256 = fetch(remote.url, file, checksum, progress=progress)
        except DatasetError as problem:
            if (
                is_foreign
                or remote.checksum
                or first is None
                or "expected file" not in str(problem)
            ):
                raise
            raise DatasetError(
                f"{problem}. That checksum is the one of the first download; to accept the file "
                f"that is there now, delete {folder / RECORD}"
            ) from None
        entry = {
            "url": remote.url,
            "sha256": sha256,
            "bytes": path.stat().st_size,
            "checked_against": checksum or "nothing: first download",
        }
        try:
            check_body(path)
            if is_archive(remote.name):
                unpack(path, target)
        except DatasetError as problem:
            if is_foreign:
                raise DatasetError(f"{problem}. Delete {path} to download it") from None
            if checksum is None:
                path.unlink(missing_ok=True)
                raise DatasetError(f"{problem}. It was deleted; try again") from None
            raise
        if is_archive(remote.name) and not keep_archives and not is_foreign:
            path.unlink()
        record["files"][remote.name] = {**entry, "done": True}
        _write_record(folder, record)
    if not dataset.files:
        record["complete"] = True
        _write_record(folder, record)


def check_body(path: Path) -> None:
    """Raise a `DatasetError` if a file is not what its suffix says, as far as that can be seen."""
    name = path.name.lower()
    with open(path, "rb") as file:
        start = file.read(512).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not start:
        raise DatasetError(f"{path} is empty")
    if start.startswith((b"<!doctype html", b"<html")) and not name.endswith((".html", ".htm")):
        raise DatasetError(f"{path} is a web page in place of the file")
    if name.endswith(".npz"):
        try:
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
        # A damaged archive may raise any exception of its decompressor.
        except Exception as problem:
            raise DatasetError(f"{path} is a damaged archive: {problem}") from None
        if damaged is not None:
            raise DatasetError(f"{path} is a damaged archive: {damaged} fails its checksum")


def _check_target(target: Path, file: Path, remote: Remote) -> None:
    """Raise an error if a file or folder that was not downloaded would be replaced."""
    if not target.exists():
        return
    if target == file and remote.checksum is not None:
        import pooch

        algorithm, expected = remote.checksum.split(":")
        if pooch.file_hash(str(file), algorithm) == expected:
            return
    raise DatasetError(
        f"{target} already exists and was not downloaded; move it or choose another folder"
    )


def _bloodmnist_file(size: int | None) -> str:
    if size is not None and size not in BLOODMNIST_SIZES:
        raise DatasetError(f"size is {size!r}; expected one of {BLOODMNIST_SIZES}")
    return "bloodmnist.npz" if size in (None, 28) else f"bloodmnist_{size}.npz"


def _stem(name: str) -> str:
    for suffix in (".tar.gz", ".tgz", ".tar", ".zip"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


# --- The record of a folder -------------------------------------------------------------------


def _read_record(folder: Path, name: str) -> dict[str, Any]:
    path = folder / RECORD
    if not path.is_file():
        return {"name": name, "files": {}}
    try:
        record = json.loads(path.read_text("utf-8"))
        if not isinstance(record["files"], dict) or not isinstance(record["name"], str):
            raise KeyError("files")
    except (OSError, ValueError, KeyError, TypeError):
        raise DatasetError(f"{path} is damaged; delete it to download again") from None
    if record["name"] != name:
        raise DatasetError(f"{folder} holds {record['name']}; choose another folder for {name}")
    return dict(record)


def _write_record(folder: Path, record: dict[str, Any]) -> None:
    text = json.dumps(record, indent=1, sort_keys=True) + "\n"
    write_whole(folder / RECORD, lambda part: part.write_text(text, encoding="utf-8"))


# --- Zenodo -----------------------------------------------------------------------------------


def _files_of_record(record: dict[str, Any], url: str) -> list[Remote]:
    """List the files of a Zenodo record, without the network if the download is complete."""
    if record.get("complete"):
        return [
            Remote(entry["url"], name, entry["sha256"]) for name, entry in record["files"].items()
        ]
    return list_zenodo(url)


def list_zenodo(url: str) -> list[Remote]:
    """List the files of a Zenodo record with their checksums.

    Raises
    ------
    DatasetError
        Raised if the record is unavailable or has another format.
    """
    import requests
    import urllib3

    try:
        with requests.get(url, timeout=TIMEOUT, stream=True) as answer:
            answer.raise_for_status()
            body = answer.raw.read(_LONGEST_LIST, decode_content=True)
            entries = json.loads(body)["files"]
        remotes = [
            Remote(str(entry["links"]["self"]), str(entry["key"]), str(entry["checksum"]))
            for entry in entries
        ]
    except (
        requests.RequestException, urllib3.exceptions.HTTPError, ValueError, KeyError, TypeError,
        RecursionError,
    ) as problem:  # fmt: skip
        raise DatasetError(f"{url} does not list its files: {problem!r}") from None
    for remote in remotes:
        # These become names of local files and must not lead out of the folder.
        parts = (PurePosixPath(remote.name).parts, PureWindowsPath(remote.name).parts)
        if any(len(part) != 1 for part in parts) or remote.name.startswith("."):
            raise DatasetError(f"{url} lists a file with the unsafe name {remote.name!r}")
        if not str(remote.checksum).startswith(("md5:", "sha256:")):
            raise DatasetError(f"{url} lists no checksum for {remote.name}")
    return sorted(remotes, key=lambda remote: remote.name)
