"""One image out of the arrays of an ``.npz`` file, without reading the others.

An ``.npz`` is a ZIP of ``.npy`` files. A compressed member can only be read from its start; to come
back to a place in the middle, the state of the decompressor is kept every `BLOCK` bytes (some 45 kB
each), and the last blocks stay in memory. Reading images in order decompresses everything once, a
jump costs one block, and an archive of gigabytes is never held.
"""

from __future__ import annotations

import io
import os
import struct
import threading
import zipfile
import zlib
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np

from hemafeat.images._formats import Refused

BLOCK = 2**22
"""Bytes between two places to which a compressed array can be rewound."""

_KEPT_BLOCKS = 8
_KEPT_ARCHIVES = 4
_CHUNK = 2**14


class Layout(NamedTuple):
    """What an array of an archive is.

    Attributes
    ----------
    shape : tuple of int
        Number of images, height, width and, where there is a fourth axis, channels.
    dtype : dtype
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def read_part(path: str, key: str, index: int, max_pixels: int | None = None) -> np.ndarray:
    """Image `index` of the array `key` of the archive at `path`, as it is stored.

    Raises
    ------
    Refused
        No such file, array or image, or a damaged archive.
    """
    member = _archive(path).member(key)
    n, height, width = member.layout.shape[:3]
    if not 0 <= index < n:
        raise Refused(f"names image {index} of the {n} of {key!r}; the first is 0")
    if max_pixels is not None and height * width > max_pixels:
        raise Refused(
            f"is {width} x {height} pixels, more than the limit of {max_pixels / 1e6:.3g} "
            "megapixels; max_pixels sets the limit"
        )
    shape = member.layout.shape[1:]
    size = int(np.prod(shape)) * member.layout.dtype.itemsize
    data = member.read(index * size, size)
    return np.frombuffer(data, member.layout.dtype).reshape(shape).copy()


def layouts(path: str | os.PathLike[str]) -> dict[str, Layout]:
    """Shape and type of every array of an archive; reads headers only.

    Raises
    ------
    Refused
        Missing or damaged, or an array of Python objects in it.
    """
    name = os.fsdecode(path)
    archive = _archive(name)
    return {key: archive.layout(key) for key in archive.keys}


def array(path: str | os.PathLike[str], key: str) -> np.ndarray:
    """A whole array of an archive. No pickled object is ever loaded.

    Raises
    ------
    Refused
        As for `layouts`.
    """
    try:
        with np.load(os.fspath(path), allow_pickle=False) as arrays:
            return np.asarray(arrays[key])
    except FileNotFoundError:
        raise Refused("does not exist") from None
    except KeyError:
        raise Refused(f"has no array {key!r}") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as problem:
        raise Refused(f"is a damaged archive of arrays: {problem}") from None


# --- Archives, kept open by their name and state ----------------------------------------------

_archives: OrderedDict[tuple[str, int, int], _Archive] = OrderedDict()
_guard = threading.Lock()


def _archive(path: str) -> _Archive:
    try:
        state = os.stat(path)
        key = (os.path.abspath(path), state.st_size, state.st_mtime_ns)
        with _guard:
            if key not in _archives:
                _archives[key] = _Archive(path)
            _archives.move_to_end(key)
            while len(_archives) > _KEPT_ARCHIVES:
                _archives.popitem(last=False)
            return _archives[key]
    except FileNotFoundError:
        raise Refused("does not exist") from None
    except (zipfile.BadZipFile, struct.error, EOFError) as problem:
        raise Refused(f"is no archive of arrays (.npz): {problem}") from None
    except OSError as problem:
        raise Refused(f"cannot be opened: {problem.strerror or problem}") from None


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

    def layout(self, key: str) -> Layout:
        return self._opened(key).layout

    def member(self, key: str) -> _Member:
        member = self._opened(key)
        shape = member.layout.shape
        if len(shape) not in (3, 4) or 0 in shape:
            raise Refused(f"holds no images as {key!r}: its shape is {shape}")
        return member

    def _opened(self, key: str) -> _Member:
        if key not in self._entries:
            raise Refused(f"has no array {key!r}; there are: {', '.join(self._entries) or 'none'}")
        with self._lock:
            if key not in self._members:
                self._members[key] = _Member(self.path, self._entries[key])
            return self._members[key]


class _Member:
    """The bytes of one ``.npy`` inside the archive, read from any place."""

    def __init__(self, path: str, info: zipfile.ZipInfo) -> None:
        self._path, self._name = path, info.filename
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Refused(f"holds {info.filename} in a compression that is not ZIP's usual one")
        self._stored = info.compress_type == zipfile.ZIP_STORED
        self._size, self._packed = info.file_size, info.compress_size
        self._start = _data_start(path, info)
        self._lock = threading.Lock()
        # Decompressors before block 0, 1, ... and where each goes on reading.
        self._states: list[tuple[Any, int]] = [(zlib.decompressobj(-zlib.MAX_WBITS), 0)]
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self.layout, self._head = self._header()

    def read(self, start: int, size: int) -> bytes:
        start += self._head
        if start + size > self._size:
            raise Refused(f"is a damaged archive: {self._name} is shorter than its header says")
        if self._stored:
            with open(self._path, "rb") as file:
                file.seek(self._start + start)
                data = file.read(size)
        else:
            with self._lock:
                first, last = start // BLOCK, (start + size - 1) // BLOCK
                blocks = [self._block(number) for number in range(first, last + 1)]
            begin = start - first * BLOCK
            # Most images lie in one block, which is not copied for them.
            data = (blocks[0] if first == last else b"".join(blocks))[begin : begin + size]
        if len(data) < size:
            raise Refused(f"is a damaged archive: {self._name} ends early")
        return data

    def _header(self) -> tuple[Layout, int]:
        self._head = 0
        start = io.BytesIO(self.read(0, min(self._size, 4096)))
        try:
            version = np.lib.format.read_magic(start)
            read = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, by_columns, dtype = read(start)
        except (ValueError, KeyError) as problem:
            raise Refused(f"is a damaged archive: {self._name} is no array ({problem})") from None
        if dtype.hasobject or (by_columns and len(shape) > 1):
            what = "Python objects" if dtype.hasobject else "an array stored by columns"
            raise Refused(f"holds {what} as {self._name.removesuffix('.npy')!r}, not images")
        return Layout(tuple(int(n) for n in shape), dtype), start.tell()

    def _block(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        with open(self._path, "rb") as file:
            at = min(number, len(self._states) - 1)
            while True:
                block = self._inflate(file, at)
                if at == number:
                    break
                at += 1
        self._blocks[number] = block
        if len(self._blocks) > _KEPT_BLOCKS:
            self._blocks.popitem(last=False)
        return block

    def _inflate(self, file: io.BufferedReader, number: int) -> bytes:
        """Block `number`, whose state is known; the state after it is kept."""
        saved, place = self._states[number]
        state = saved.copy()
        wanted = min(BLOCK, self._size - number * BLOCK)
        parts = []
        file.seek(self._start + place)
        try:
            while wanted > 0:
                chunk = file.read(min(_CHUNK, self._packed - place))
                part = state.decompress(chunk, wanted)
                place += len(chunk) - len(state.unconsumed_tail)
                wanted -= len(part)
                parts.append(part)
                if not part and (not chunk or state.eof):
                    raise Refused(f"is a damaged archive: {self._name} ends early")
        except zlib.error as problem:
            raise Refused(f"is a damaged archive: {self._name}: {problem}") from None
        if number + 1 == len(self._states):
            self._states.append((state, place))
        return b"".join(parts)


def _data_start(path: str, info: zipfile.ZipInfo) -> int:
    """Where the data of a member begin: after its local header, which has lengths of its own."""
    with open(path, "rb") as file:
        file.seek(info.header_offset)
        head = file.read(30)
    if len(head) < 30 or head[:4] != b"PK\x03\x04":
        raise Refused(f"is a damaged archive: {info.filename} is not where it should be")
    name, extra = struct.unpack("<HH", head[26:30])
    return int(info.header_offset + 30 + name + extra)
