"""Cache of embeddings on disk."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import numpy as np

from hemafeat._files import write_whole

FORMAT = 1
"""Version of the format; it changes when the meaning of stored vectors changes."""

LIMIT_MB = 2000
"""Default limit of the size of the cache, in MB."""

FOLDER_VARIABLE = "HEMAFEAT_CACHE"
"""Environment variable with the folder of the cache."""

_DIGEST_SIZE = 16
_TRIM_INTERVAL = 512  # vectors


def default_folder() -> Path:
    """Return the default folder of the cache, inside the cache folder of the user."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder:
        return Path(folder) / "embeddings"
    import pooch

    return Path(pooch.os_cache("hemafeat")) / "embeddings"


class Cache:
    """Store vectors in files that are named by a digest of their picture and network.

    Several processes may share a folder: a file is complete or does not exist, and its content is
    determined by its name. Damaged files are ignored.

    Parameters
    ----------
    folder : path or None
        Folder of the files. None stores nothing.
    width : int
        Length of the vectors.
    network : str
        Weights, layer and runtime, on which the vector of a picture depends.
    limit_mb : int
        Largest total size of the files of all networks, in MB.
    """

    def __init__(
        self, folder: Path | None, width: int, network: str, limit_mb: int = LIMIT_MB
    ) -> None:
        self.folder, self.width, self.limit = folder, width, limit_mb * 10**6
        self._prefix = f"{FORMAT} {network} {width}".encode()
        self._written = 0

    def name(self, picture: np.ndarray) -> str:
        """Return the name under which the vector of a picture is stored."""
        digest = hashlib.blake2b(self._prefix, digest_size=20)
        digest.update(f"{picture.shape} {picture.dtype}".encode())
        digest.update(np.ascontiguousarray(picture).data)
        return digest.hexdigest()

    def get(self, name: str) -> np.ndarray | None:
        """Return a vector, (width,) float32, or None if it is not stored or damaged."""
        if self.folder is None:
            return None
        path = self._path(name)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        checksum, values = data[:_DIGEST_SIZE], data[_DIGEST_SIZE:]
        if len(values) != 4 * self.width or checksum != _checksum(name, values):
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # marks the file as used recently
        return np.frombuffer(values, "<f4").astype(np.float32)

    def put(self, name: str, vector: np.ndarray) -> None:
        """Store a vector, or do nothing if the disk is full or the folder is read-only."""
        if self.folder is None:
            return
        values = np.ascontiguousarray(vector, "<f4").tobytes()
        path = self._path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, lambda part: part.write_bytes(_checksum(name, values) + values))
        except OSError:
            return
        self._written += 1
        if self._written % _TRIM_INTERVAL == 0:
            self.trim()

    def trim(self) -> None:
        """Remove the files that were used least recently if the limit is exceeded."""
        if self.folder is None or not self._written:
            return
        files = []
        for path in self.folder.glob("??/*.vec"):
            with contextlib.suppress(OSError):  # another process may have removed it
                status = path.stat()
                files.append((status.st_mtime_ns, status.st_size, path))
        total = sum(size for _, size, _ in files)
        if total <= self.limit:
            return
        # Some room is left, so that the folder is not searched again after a few vectors.
        for _, size, path in sorted(files):
            if total <= 0.9 * self.limit:
                break
            with contextlib.suppress(OSError):
                path.unlink()
                total -= size

    def _path(self, name: str) -> Path:
        assert self.folder is not None
        return self.folder / name[:2] / f"{name[2:]}.vec"


def _checksum(name: str, values: bytes) -> bytes:
    return hashlib.blake2b(values, digest_size=_DIGEST_SIZE, key=name.encode()).digest()
