"""One file from the web to the disk: resumed where it broke off, checked, whole or absent."""

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
from hemafeat.datasets._schema import DatasetError

ATTEMPTS = 5
"""How often a connection is made anew without a byte gained before it is given up."""

TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as broken."""

PAUSE = 1.0
"""Seconds before the second attempt; twice as long before each further one."""

_CHUNK = 2**16


def fetch(url: str, to: Path, checksum: str | None, *, progress: bool = False) -> tuple[Path, str]:
    """Download a file.

    What has come is kept beside `to`, in ``.NAME.part``, when the connection breaks or the process
    ends, and continued by the next call if the server says that the file is the same one.

    Parameters
    ----------
    url : str
    to : Path
        Where the file shall be; one that is there and fits `checksum` is left as it is.
    checksum : str or None
        ``md5:...`` or ``sha256:...``.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    Path, str
        `to`, and ``sha256:...`` of what it is.

    Raises
    ------
    DatasetError
        The file cannot be had, or is not what it should be; nothing of a wrong file stays.
    """
    try:
        import pooch
    except ImportError:
        raise DatasetError("downloads need pooch: pip install pooch") from None
    try:
        with _quiet(pooch.get_logger()):
            pooch.retrieve(
                url,
                known_hash=checksum,
                fname=to.name,
                path=to.parent,
                downloader=_Resumed(to, checksum, progress),
            )
    except ValueError as problem:
        if isinstance(problem, DatasetError) or "hash" not in str(problem).lower():
            raise
        raise DatasetError(
            f"{url} is not the file that was expected: its checksum is not {checksum}. Nothing of "
            "it was kept; try again, and compare with its page if it fails again"
        ) from None
    return to, f"sha256:{pooch.file_hash(str(to))}"


class _Resumed:
    """A downloader for pooch that goes on where an earlier one stopped."""

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
            # Bytes that came are worth another attempt, however often.
            failures = 1 if self._size() > before else failures + 1
            if failures >= ATTEMPTS:
                raise DatasetError(
                    f"{url} cannot be downloaded: {problem}. The {self._size() / 1e6:.1f} MB that "
                    "came are kept, and the next attempt continues them"
                ) from None
            time.sleep(pause if failures > 1 else 0)
            pause = pause * 2 if failures > 1 else PAUSE
        # Pooch checks what it finds there, and renames it.
        os.replace(self.part, output_file)
        self.state.unlink(missing_ok=True)

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _transfer(self, url: str) -> None:
        import requests

        known = self._known(url)
        have = self._size() if known is not None else 0
        # Ranges count the bytes as they are kept, so none may be compressed on the way.
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        if have and known:
            headers["If-Range"] = known
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            if answer.status_code == 416:
                if answer.headers.get("Content-Range", "") == f"bytes */{have}":
                    return  # It was whole already.
                self.part.unlink(missing_ok=True)
                raise requests.ConnectionError("the server has no such part")
            answer.raise_for_status()
            goes_on = answer.status_code == 206 and self._starts(answer, have)
            if answer.status_code == 206 and not goes_on:
                self.part.unlink(missing_ok=True)
                raise requests.ConnectionError("the server sent another part than asked for")
            have = have if goes_on else 0
            total = self._total(answer, have)
            self._remember(url, answer)
            self._check_room(total, have)
            with open(self.part, "ab" if goes_on else "wb") as file, self._bar(have, total) as bar:
                for chunk in answer.iter_content(_CHUNK):
                    file.write(chunk)
                    bar.update(len(chunk))
        if total is not None and self._size() != total:
            if self._size() > total:
                self.part.unlink()
            raise requests.ConnectionError(f"{self._size()} of {total} bytes came")

    def _starts(self, answer: Any, have: int) -> bool:
        found = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
        return found is not None and int(found.group(1)) == have

    def _total(self, answer: Any, have: int) -> int | None:
        length = answer.headers.get("Content-Length", "")
        return have + int(length) if length.isdigit() else None

    def _known(self, url: str) -> str | None:
        """What tells that the file on the server is still the one that was begun.

        Empty where only the checksum will tell, None where nothing would.
        """
        with suppress(OSError, ValueError, KeyError, TypeError):
            state = json.loads(self.state.read_text("utf-8"))
            if state["url"] == url and (state["same"] or self.checksum):
                return str(state["same"])
        return None

    def _remember(self, url: str, answer: Any) -> None:
        tag = answer.headers.get("ETag", "")
        # A weak tag does not promise the same bytes.
        same = tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified", "")
        text = json.dumps({"url": url, "same": same})
        write_whole(self.state, lambda aside: aside.write_text(text, encoding="utf-8"))

    def _check_room(self, total: int | None, have: int) -> None:
        free = shutil.disk_usage(self.part.parent).free
        if total is not None and total - have > free:
            raise DatasetError(
                f"{self.name} needs {(total - have) / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free"
            )

    def _bar(self, have: int, total: int | None) -> Any:
        from tqdm import tqdm

        return tqdm(
            desc=self.name,
            initial=have,
            total=total,
            unit="B",
            unit_scale=True,
            disable=not self.progress,
        )


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Without what pooch says of every file; here it is said once, by whoever asked."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
