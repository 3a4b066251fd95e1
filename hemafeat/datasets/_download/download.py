"""Public data sets, downloaded, checked and unpacked."""

from __future__ import annotations

import json
import os
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from hemafeat._files import locked, write_whole
from hemafeat.datasets._download.fetch import TIMEOUT, fetch
from hemafeat.datasets._download.unpack import is_archive, unpack
from hemafeat.datasets._loaders.bloodmnist import BLOODMNIST_SIZES
from hemafeat.datasets._registry import DATASETS, Remote
from hemafeat.datasets._schema import DatasetError

RECORD = "hemafeat-download.json"
"""The file in the folder of a download that says what came from where, with its checksums."""


def download(
    name: str,
    to: str | os.PathLike[str],
    *,
    size: int | None = None,
    keep_archives: bool = False,
    progress: bool = False,
) -> Path:
    """Download a public data set into a folder.

    A connection that breaks is continued, also by a later call. Every file is checked against the
    checksum its authors publish. Where they publish none that is known here, the checksum of the
    first download is written to ``hemafeat-download.json`` in the folder, and a later download into
    it has to give the same file; the first one is taken on trust. Archives are unpacked beside,
    then renamed, and refused when anything in them leads out of the folder. What is there already
    and right is left as it is, and what somebody else has put there is never replaced.

    Parameters
    ----------
    name : str
        A data set of `catalogue` with ``download``.
    to : path
        The folder, made if need be. Give it to `load` afterwards.
    size : {28, 64, 128, 224}, optional
        Which file of ``bloodmnist``; 28 by default.
    keep_archives : bool
        Whether archives stay when they are unpacked.
    progress : bool
        Whether to show a bar for each file.

    Returns
    -------
    Path
        `to`.

    Raises
    ------
    DatasetError
        No such data set; one that needs a login (the message says how to get it); a file that
        cannot be had or is not what it should be.

    See Also
    --------
    catalogue : What there is.
    load : List the images of what was downloaded.
    """
    if name not in DATASETS:
        raise DatasetError(f"no data set {name!r} is known; there are: {', '.join(DATASETS)}")
    source = DATASETS[name]
    if not source.files and not source.record:
        raise DatasetError(
            f"{source.title} cannot be downloaded from here. By hand: {source.how}. It is at "
            f"{source.where} ({source.licence})"
        )
    folder = Path(to)
    if folder.exists() and not folder.is_dir():
        raise DatasetError(f"{folder} is a file: expected a folder to download into")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with locked(folder / f".{RECORD}.lock", f"{folder}: another download into it is running"):
            _download(name, folder, size, keep_archives, progress)
    except BlockingIOError as taken:
        raise DatasetError(str(taken)) from None
    return folder


def _download(
    name: str, folder: Path, size: int | None, keep_archives: bool, progress: bool
) -> None:
    source, before = DATASETS[name], _read_record(folder, name)
    # A finished folder needs no network, not even to ask what belongs to it.
    remotes = list(source.files) if source.files else _whole_record(before, source.record)
    if name == "bloodmnist":
        remotes = [remote for remote in remotes if remote.name == _of_size(size)]
    elif size is not None:
        raise DatasetError(f"size is for bloodmnist, not for {name}")
    for remote in remotes:
        known = before["files"].get(remote.name, {})
        file, place = folder / remote.name, folder / _stem(remote.name)
        if known.get("done") and place.is_dir():
            continue
        _spare(place, file, remote, bool(known))
        theirs = file.exists() and not known
        checksum = remote.checksum or known.get("sha256")
        path, found = fetch(remote.url, file, checksum, progress=progress)
        entry = {
            "url": remote.url,
            "sha256": found,
            "bytes": path.stat().st_size,
            "checked_against": remote.checksum or known.get("sha256") or "nothing: first download",
        }
        before["files"][remote.name] = entry
        _write_record(folder, before)
        if is_archive(remote.name):
            unpack(path, place)
            if not keep_archives and not theirs:
                path.unlink()
        before["files"][remote.name] = {**entry, "done": True}
        _write_record(folder, before)
    if not source.files:
        before["complete"] = True
        _write_record(folder, before)


def _spare(place: Path, file: Path, remote: Remote, known: bool) -> None:
    """Refuse to replace what another has put there."""
    if known or not place.exists():
        return
    if place == file and remote.checksum is not None:
        import pooch

        kind, expected = remote.checksum.split(":")
        if pooch.file_hash(str(file), kind) == expected:
            return
    raise DatasetError(
        f"{place} is there and comes from no download: move it away, or choose another folder"
    )


def _of_size(size: int | None) -> str:
    if size is not None and size not in BLOODMNIST_SIZES:
        raise DatasetError(f"size is {size!r}, expected one of {BLOODMNIST_SIZES}")
    return "bloodmnist.npz" if size in (None, 28) else f"bloodmnist_{size}.npz"


def _stem(name: str) -> str:
    for suffix in (".tar.gz", ".tgz", ".tar", ".zip"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


# --- What was downloaded ----------------------------------------------------------------------


def _read_record(folder: Path, name: str) -> dict[str, Any]:
    path = folder / RECORD
    if not path.is_file():
        return {"name": name, "files": {}}
    try:
        found = json.loads(path.read_text("utf-8"))
        if not isinstance(found["files"], dict) or not isinstance(found["name"], str):
            raise KeyError("files")
    except (OSError, ValueError, KeyError, TypeError):
        raise DatasetError(f"{path} is damaged: delete it to download anew") from None
    if found["name"] != name:
        raise DatasetError(f"{folder} holds {found['name']}: choose another folder for {name}")
    return dict(found)


def _write_record(folder: Path, record: dict[str, Any]) -> None:
    text = json.dumps(record, indent=1, sort_keys=True) + "\n"
    write_whole(folder / RECORD, lambda aside: aside.write_text(text, encoding="utf-8"))


# --- Records that list their files ------------------------------------------------------------


def _whole_record(before: dict[str, Any], url: str) -> list[Remote]:
    """The files of a record, which a finished download knows and the server else tells."""
    if before.get("complete"):
        return [
            Remote(entry["url"], name, entry["sha256"]) for name, entry in before["files"].items()
        ]
    return listed(url)


def listed(url: str) -> list[Remote]:
    """The files of a Zenodo record, with the checksums it gives.

    Raises
    ------
    DatasetError
        It cannot be had, or says something else.
    """
    import requests

    try:
        with requests.get(url, timeout=TIMEOUT) as answer:
            answer.raise_for_status()
            entries = answer.json()["files"]
        remotes = [
            Remote(str(one["links"]["self"]), str(one["key"]), str(one["checksum"]))
            for one in entries
        ]
    except (requests.RequestException, ValueError, KeyError, TypeError) as problem:
        raise DatasetError(f"{url} does not list its files: {problem!r}") from None
    for remote in remotes:
        # They become names of files here.
        parts = (PurePosixPath(remote.name).parts, PureWindowsPath(remote.name).parts)
        if any(len(part) != 1 for part in parts) or remote.name.startswith("."):
            raise DatasetError(f"{url} lists a file called {remote.name!r}, which is refused")
        if not str(remote.checksum).startswith(("md5:", "sha256:")):
            raise DatasetError(f"{url} gives no checksum for {remote.name}")
    return sorted(remotes, key=lambda remote: remote.name)
