"""Read single images from the arrays of an ``.npz`` file.

An ``.npz`` file is a ZIP archive of ``.npy`` files. A compressed member can only be read from its
start; to resume in the middle, the state of the decompressor is kept every `BLOCK` bytes (some
45 kB each), and the most recent blocks stay in memory. Reading images in order decompresses the
archive once, random access costs one block, and the whole archive is never held in memory.
"""

from __future__ import annotations

import io
import math
import os
import stat
import struct
import threading
import zipfile
import zlib
from collections import OrderedDict
from typing import Any

import numpy as np

from hemafeat._words import reason_of
from hemafeat.images._formats import Unreadable, check_size
from hemafeat.images._names import on_disk, only_image_errors

BLOCK = 2**22
"""Distance in bytes between two positions at which decompression can resume."""

_KEPT_BLOCKS = 8
_KEPT_ARCHIVES = 4
_CHUNK = 2**14
_MAX_HEADER = 2**14


def array_shapes(path: str | os.PathLike[str]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every array in an ``.npz`` file without reading the arrays.

    Parameters
    ----------
    path : str or path
        File written by `numpy.savez` or `numpy.savez_compressed`.

    Returns
    -------
    dict of str to tuple of int
        Shape of each array. Image ``i`` of an array of images is read as
        ``f"{path}#image={name},{i}"``.

    Raises
    ------
    ImageError
        Raised if the file is missing or damaged, or if an array holds Python objects or has more
        elements than the file.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import images
    >>> np.savez("cells.npz", train_images=np.zeros((5, 28, 28, 3), np.uint8))
    >>> images.array_shapes("cells.npz")
    {'train_images': (5, 28, 28, 3)}
    """
    with only_image_errors(path):
        archive = _archive(on_disk(os.fsdecode(path)))
        return {key: archive.open_member(key).shape for key in archive.keys}


def read_part(path: str, key: str, index: int, max_pixels: int | None = None) -> np.ndarray:
    """Read image `index` of the array `key` of the archive at `path` as it is stored.

    Raises
    ------
    Unreadable
        Raised if the file, array or image does not exist, or the archive is damaged.
    """
    member = _archive(path).member(key)
    n, height, width = member.shape[:3]
    if not 0 <= index < n:
        raise Unreadable(f"names image {index} of {key!r}, which has images 0 to {n - 1}")
    check_size(width, height, max_pixels)
    shape = member.shape[1:]
    if shape[2:] and not 1 <= shape[2] <= 4:
        raise Unreadable(f"has shape {shape}, expected (height, width) or (height, width, 1 to 4)")
    size = math.prod(shape) * member.dtype.itemsize
    data = member.read(index * size, size)
    return np.frombuffer(data, member.dtype).reshape(shape).copy()


# --- Archives, cached by path, size and time of change ----------------------------------------

_archives: OrderedDict[tuple[str, int, int], _Archive] = OrderedDict()
_guard = threading.Lock()


def _archive(path: str) -> _Archive:
    try:
        state = os.stat(path)
        if not stat.S_ISREG(state.st_mode):
            raise Unreadable("cannot be opened: it is not a regular file")
        key = (os.path.abspath(path), state.st_size, state.st_mtime_ns)
        with _guard:
            if key not in _archives:
                _archives[key] = _Archive(path)
            _archives.move_to_end(key)
            while len(_archives) > _KEPT_ARCHIVES:
                _archives.popitem(last=False)
            return _archives[key]
    except Unreadable:
        raise
    except FileNotFoundError:
        raise Unreadable("does not exist") from None
    except OSError as problem:
        raise Unreadable(f"cannot be opened: {problem.strerror or problem}") from None
    # A damaged directory of members raises many kinds of exceptions.
    except Exception as problem:
        raise Unreadable(f"is not an archive of arrays (.npz): {problem}") from None


class _Archive:
    def __init__(self, path: str) -> None:
        self.path = path
        with zipfile.ZipFile(path) as archive:
            self._entries = {
                info.filename.removesuffix(".npy"): info
                for info in archive.infolist()
                if info.filename.endswith(".npy")
            }
        self._members: dict[str, _Member] = {}
        self._lock = threading.Lock()

    @property
    def keys(self) -> list[str]:
        return list(self._entries)

    def member(self, key: str) -> _Member:
        member = self.open_member(key)
        if len(member.shape) not in (3, 4) or 0 in member.shape:
            raise Unreadable(f"holds no images in the array {key!r} of shape {member.shape}")
        if member.dtype.kind not in "buif":
            raise Unreadable(f"holds {member.dtype} in the array {key!r}, not images")
        return member

    def open_member(self, key: str) -> _Member:
        if key not in self._entries:
            names = ", ".join(self._entries) or "none"
            raise Unreadable(f"has no array {key!r}; available: {names}")
        with self._lock:
            if key not in self._members:
                self._members[key] = _Member(self.path, self._entries[key])
            return self._members[key]


class _Member:
    """Random access to the bytes of one ``.npy`` file inside the archive."""

    def __init__(self, path: str, info: zipfile.ZipInfo) -> None:
        self._path, self._name = path, info.filename
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Unreadable(f"holds {info.filename} in a compression other than deflate")
        self._stored = info.compress_type == zipfile.ZIP_STORED
        self._size, self._packed = info.file_size, info.compress_size
        self._start = _data_start(path, info)
        self._lock = threading.Lock()
        # Decompressors before block 0, 1, ... and the position in the file where each resumes.
        self._states: list[tuple[Any, int]] = [(zlib.decompressobj(-zlib.MAX_WBITS), 0)]
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self.shape, self.dtype, self._head = self._header()

    def read(self, start: int, size: int) -> bytes:
        start += self._head
        if start + size > self._size:
            raise Unreadable(f"is a damaged archive: {self._name} is shorter than stated")
        if self._stored:
            with open(self._path, "rb") as file:
                file.seek(self._start + start)
                data = file.read(size)
        else:
            with self._lock:
                first, last = start // BLOCK, (start + size - 1) // BLOCK
                blocks = [self._block(number) for number in range(first, last + 1)]
            begin = start - first * BLOCK
            # Most images lie in a single block, which need not be copied.
            data = (blocks[0] if first == last else b"".join(blocks))[begin : begin + size]
        if len(data) < size:
            raise Unreadable(f"is a damaged archive: {self._name} ends early")
        return data

    def _header(self) -> tuple[tuple[int, ...], np.dtype[Any], int]:
        """Return shape, dtype and the length of the ``.npy`` header."""
        self._head = 0
        start = io.BytesIO(self.read(0, min(self._size, _MAX_HEADER)))
        try:
            version = np.lib.format.read_magic(start)
            read = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, by_columns, dtype = read(start)
        # The header is Python source, and whatever its parser raises may come of it.
        except Exception as problem:
            reason = reason_of(problem, 200)
            raise Unreadable(
                f"is a damaged archive: {self._name} is not an array ({reason})"
            ) from None
        name = self._name.removesuffix(".npy")
        if dtype.hasobject or (by_columns and len(shape) > 1):
            kind = "Python objects" if dtype.hasobject else "an array in Fortran order"
            raise Unreadable(f"holds {kind} as {name!r}, not images")
        shape = tuple(int(n) for n in shape)
        size = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or start.tell() + size > self._size:
            raise Unreadable(
                f"is a damaged archive: the array {name!r} of shape {shape} has {size:,} bytes, "
                f"of {self._size - start.tell():,}"
            )
        return shape, dtype, start.tell()

    def _block(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        with open(self._path, "rb") as file:
            for n in range(min(number, len(self._states) - 1), number + 1):
                block = self._inflate(file, n)
        self._blocks[number] = block
        if len(self._blocks) > _KEPT_BLOCKS:
            self._blocks.popitem(last=False)
        return block

    def _inflate(self, file: io.BufferedReader, number: int) -> bytes:
        """Decompress block `number` from its saved state and save the state after it."""
        saved, position = self._states[number]
        state = saved.copy()
        missing = min(BLOCK, self._size - number * BLOCK)
        parts = []
        file.seek(self._start + position)
        try:
            while missing > 0:
                chunk = file.read(min(_CHUNK, self._packed - position))
                part = state.decompress(chunk, missing)
                position += len(chunk) - len(state.unconsumed_tail)
                missing -= len(part)
                parts.append(part)
                if not part and (not chunk or state.eof):
                    raise Unreadable(f"is a damaged archive: {self._name} ends early")
        except zlib.error as problem:
            raise Unreadable(f"is a damaged archive: {self._name}: {problem}") from None
        if number + 1 == len(self._states):
            self._states.append((state, position))
        return b"".join(parts)


def _data_start(path: str, info: zipfile.ZipInfo) -> int:
    """Return the position of the data of a member, after its local header."""
    with open(path, "rb") as file:
        file.seek(info.header_offset)
        head = file.read(30)
    if len(head) < 30 or head[:4] != b"PK\x03\x04":
        raise Unreadable(f"is a damaged archive: {info.filename} has no local header")
    name, extra = struct.unpack("<HH", head[26:30])
    return int(info.header_offset + 30 + name + extra)
