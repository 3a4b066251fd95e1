"""Download a single file, with resumption and a checksum; it is complete or absent."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hemafeat._files import write_whole
from hemafeat._machine import how_to_install, progress_bar
from hemafeat.datasets._schema import DatasetError

ATTEMPTS = 5
"""Number of successive attempts without a single new byte before the download fails."""

TIMEOUT = 30.0
"""Seconds without data after which a connection counts as broken."""

SLOWEST = 1000
"""Bytes per second, over `TIMEOUT` seconds, below which a connection counts as broken."""

PAUSE = 1.0
"""Seconds before the second attempt, doubled before each further one."""

_CHUNK = 2**16


def fetch(url: str, to: Path, checksum: str | None, *, progress: bool = False) -> tuple[Path, str]:
    """Download a file.

    If the connection breaks or the process ends, the data received so far are kept beside `to`, in
    ``.NAME.part``. The next call resumes, provided that the file on the server has not changed.

    Parameters
    ----------
    url : str
        Address of the file.
    to : Path
        Path of the local file. An existing file that matches `checksum` is kept.
    checksum : str or None
        ``md5:...`` or ``sha256:...``.
    progress : bool
        If True, show a progress bar.

    Returns
    -------
    path : Path
        The path `to`.
    checksum : str
        ``sha256:...`` of the file.

    Raises
    ------
    DatasetError
        Raised if the file is unavailable or does not match its checksum; a file that does not match
        is deleted.
    """
    try:
        import pooch
    except ImportError:
        raise DatasetError(f"downloads need pooch: {how_to_install('pooch')}") from None
    try:
        with _quiet(pooch.get_logger()):
            pooch.retrieve(
                url,
                known_hash=checksum,
                fname=to.name,
                path=to.parent,
                downloader=_ResumingDownloader(to, checksum, progress),
            )
    except ValueError as problem:
        if isinstance(problem, DatasetError) or "hash" not in str(problem).lower():
            raise
        raise DatasetError(
            f"{url} is not the expected file: its checksum is not {checksum}. It was deleted; try "
            "again, and compare with the page of the data set if it fails again"
        ) from None
    except OSError as problem:
        raise DatasetError(f"{to} cannot be written: {problem.strerror or problem}") from None
    return to, f"sha256:{pooch.file_hash(str(to))}"


class _ResumingDownloader:
    """Downloader for pooch that resumes an interrupted download."""

    def __init__(self, to: Path, checksum: str | None, progress: bool) -> None:
        self.part = to.with_name(f".{to.name}.part")
        self.state = to.with_name(f".{to.name}.part.json")
        self.name, self.checksum, self.progress = to.name, checksum, progress

    def __call__(self, url: str, output_file: Any, pooch: Any) -> None:
        import requests

        failures, pause = 0, PAUSE
        while True:
            before = self._size()
            try:
                self._transfer(url)
                break
            except requests.RequestException as broken:
                code = 0 if broken.response is None else broken.response.status_code
                if 400 <= code < 500 and code != 429:
                    raise DatasetError(f"{url} cannot be downloaded: {broken}") from None
                problem = broken
            except OSError as full:
                raise DatasetError(f"{self.part} cannot be written: {full}") from None
            # Attempts are unlimited as long as each receives data, and not byte by byte.
            failures = 1 if self._size() >= before + SLOWEST * TIMEOUT else failures + 1
            if failures >= ATTEMPTS:
                raise DatasetError(
                    f"{url} cannot be downloaded: {problem}. The {self._size() / 1e6:.1f} MB "
                    "received are kept, and the next attempt resumes there"
                ) from None
            time.sleep(pause if failures > 1 else 0)
            pause = pause * 2 if failures > 1 else PAUSE
        # pooch checks and renames this file.
        os.replace(self.part, output_file)
        self.state.unlink(missing_ok=True)

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _transfer(self, url: str) -> None:
        import requests

        validator = self._read_validator(url)
        received = self._size() if validator is not None else 0
        # Ranges refer to uncompressed bytes.
        headers = {"Accept-Encoding": "identity"}
        if received:
            headers["Range"] = f"bytes={received}-"
        if received and validator:
            headers["If-Range"] = validator
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            if answer.status_code == 416 and received:
                if answer.headers.get("Content-Range", "") == f"bytes */{received}":
                    return  # The file was already complete.
                self.part.unlink(missing_ok=True)
                raise requests.ConnectionError("the server does not have the requested range")
            answer.raise_for_status()
            resumes = answer.status_code == 206 and self._starts_at(answer, received)
            if answer.status_code == 206 and not resumes:
                self.part.unlink(missing_ok=True)
                raise requests.ConnectionError("the server sent a range that was not requested")
            received = received if resumes else 0
            total = self._total(answer, received)
            self._write_validator(url, answer)
            self._check_free_space(total, received)
            bar = progress_bar(
                total, self.name, progress=self.progress, unit="B", unit_scale=True,
                initial=received,
            )  # fmt: skip
            with open(self.part, "ab" if resumes else "wb") as file, bar:
                for chunk in _chunks(answer):
                    file.write(chunk)
                    bar.update(len(chunk))
        if total is not None and self._size() != total:
            if self._size() > total:
                self.part.unlink()
            raise requests.ConnectionError(f"{self._size()} of {total} bytes were received")

    def _starts_at(self, answer: Any, received: int) -> bool:
        match = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
        return match is not None and int(match.group(1)) == received

    def _total(self, answer: Any, received: int) -> int | None:
        length = answer.headers.get("Content-Length", "")
        return received + int(length) if length.isdigit() and len(length) < 20 else None

    def _read_validator(self, url: str) -> str | None:
        """Return the tag or date by which the server can tell if the file has changed.

        It is empty if only the checksum can detect a change, and None if nothing can.
        """
        with suppress(OSError, ValueError, KeyError, TypeError):
            state = json.loads(self.state.read_text("utf-8"))
            if state["url"] == url and (state["same"] or self.checksum):
                return str(state["same"])
        return None

    def _write_validator(self, url: str, answer: Any) -> None:
        tag = answer.headers.get("ETag", "")
        # A weak tag does not guarantee identical bytes.
        same = tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified", "")
        text = json.dumps({"url": url, "same": same})
        write_whole(self.state, lambda part: part.write_text(text, encoding="utf-8"))

    def _check_free_space(self, total: int | None, received: int) -> None:
        free = shutil.disk_usage(self.part.parent).free
        if total is not None and total - received > free:
            raise DatasetError(
                f"{self.name} needs {(total - received) / 1e9:.1f} GB, but only "
                f"{free / 1e9:.1f} GB are free"
            )


def _chunks(answer: Any) -> Iterator[bytes]:
    """Yield the body of an answer as it arrives, and give up if it arrives drop by drop."""
    import requests
    import urllib3

    # Other ways of reading wait until a chunk is full, however long that takes.
    read = getattr(answer.raw, "read1", answer.raw.read)
    since, size = time.monotonic(), 0
    try:
        while chunk := read(_CHUNK):
            yield chunk
            size += len(chunk)
            took = time.monotonic() - since
            if took > TIMEOUT:
                if size < SLOWEST * took:
                    raise requests.ConnectionError(f"only {size} bytes came in {took:.0f} s")
                since, size = time.monotonic(), 0
    except urllib3.exceptions.HTTPError as problem:
        raise requests.ConnectionError(str(problem)) from None


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Suppress the messages that pooch logs about every file."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
