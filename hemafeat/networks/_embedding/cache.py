"""Embeddings on disk, so that a picture goes through a network once."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import numpy as np

from hemafeat._files import write_whole

FORMAT = 1
"""Raised when what is stored would mean something else."""

LIMIT_MB = 2000
"""What the cache may take unless told otherwise; the files used least recently go first."""

PLACE = "HEMAFEAT_CACHE"
"""Environment variable that names another folder."""

_DIGEST = 16
_EVERY = 512


def default_folder() -> Path:
    """Where the cache is unless told otherwise: below that of the user."""
    given = os.environ.get(PLACE)
    if given:
        return Path(given) / "embeddings"
    import pooch

    return Path(pooch.os_cache("hemafeat")) / "embeddings"


class Cache:
    """Vectors in files, each named by what it was computed from.

    Several processes may use one folder: a file is there whole or not at all, and two that write
    the same one write the same. A file that is cut short or changed is not believed.

    Parameters
    ----------
    folder : path, optional
        None keeps nothing.
    width : int
        Length of the vectors.
    of : str
        What decides the vector beside the picture: weights, layer, runtime.
    limit_mb : int
        Most it may take, over all networks.
    """

    def __init__(self, folder: Path | None, width: int, of: str, limit_mb: int = LIMIT_MB) -> None:
        self.folder, self.width, self.limit = folder, width, limit_mb * 10**6
        self._of = f"{FORMAT} {of} {width}".encode()
        self._written = 0

    def name(self, picture: np.ndarray) -> str:
        """What the vector of a picture is filed under."""
        found = hashlib.blake2b(self._of, digest_size=20)
        found.update(f"{picture.shape} {picture.dtype}".encode())
        found.update(np.ascontiguousarray(picture).data)
        return found.hexdigest()

    def get(self, name: str) -> np.ndarray | None:
        """(width,) float32, or None where it is not there or damaged."""
        if self.folder is None:
            return None
        path = self._path(name)
        try:
            held = path.read_bytes()
        except OSError:
            return None
        mark, values = held[:_DIGEST], held[_DIGEST:]
        if len(values) != 4 * self.width or mark != _mark(name, values):
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # used just now: the last to go
        return np.frombuffer(values, "<f4").astype(np.float32)

    def put(self, name: str, vector: np.ndarray) -> None:
        """Keep a vector. A disk that is full or not ours to write to costs the cache, no more."""
        if self.folder is None:
            return
        values = np.ascontiguousarray(vector, "<f4").tobytes()
        path = self._path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, lambda aside: aside.write_bytes(_mark(name, values) + values))
        except OSError:
            return
        self._written += 1
        if self._written % _EVERY == 0:
            self.trim()

    def trim(self) -> None:
        """Remove what was used least recently until the limit is kept."""
        if self.folder is None or not self._written:
            return
        held = []
        for path in self.folder.glob("??/*.vec"):
            with contextlib.suppress(OSError):  # another process may be at it too
                state = path.stat()
                held.append((state.st_mtime_ns, state.st_size, path))
        total = sum(size for _, size, _ in held)
        if total <= self.limit:
            return
        # Somewhat below the limit, or it would be looked at again after every few vectors.
        for _, size, path in sorted(held):
            if total <= 0.9 * self.limit:
                break
            with contextlib.suppress(OSError):
                path.unlink()
                total -= size

    def _path(self, name: str) -> Path:
        assert self.folder is not None
        return self.folder / name[:2] / f"{name[2:]}.vec"


def _mark(name: str, values: bytes) -> bytes:
    return hashlib.blake2b(values, digest_size=_DIGEST, key=name.encode()).digest()
