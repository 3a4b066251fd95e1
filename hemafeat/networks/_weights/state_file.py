"""Reading of PyTorch's state files and of safetensors, without PyTorch and without running code."""

from __future__ import annotations

import json
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from hemafeat._archives import check_sizes
from hemafeat.networks._weights.pickled import MAX_PICKLE, Storage, Tensor, read_pickle

SUFFIXES = (".pth", ".pt", ".bin", ".safetensors")
"""Suffixes of the files that are read."""

_WRAPPERS = ("state_dict", "model_state_dict", "model", "teacher", "net", "module")
"""Keys under which a checkpoint keeps the weights beside other things."""

_MAGIC = 0x1950A86A20F9469CFC6C
"""First number of a file of PyTorch before 1.6."""


@dataclass(frozen=True)
class StateArray:
    """An array of a state file, read when it is needed.

    Attributes
    ----------
    shape : tuple of int
        Its shape.
    """

    shape: tuple[int, ...]
    _numbers: Callable[[], np.ndarray] = field(repr=False, compare=False)

    def read(self) -> np.ndarray:
        """Read the numbers, an ndarray of float32.

        Raises
        ------
        ValueError
            They are damaged, or the file has been changed.
        """
        return np.array(self._numbers(), dtype=np.float32, order="C")


def is_state_file(path: str | os.PathLike[str]) -> bool:
    """Return whether the name of a file is that of a state file."""
    return Path(path).suffix.lower() in SUFFIXES


def read_state(path: str | os.PathLike[str]) -> dict[str, StateArray]:
    """List the arrays of a PyTorch state file or a safetensors file.

    Parameters
    ----------
    path : path-like
        File written by ``torch.save(model.state_dict(), path)``, of any version since 0.1.10, or a
        checkpoint that holds such a dict; or a file of safetensors.

    Returns
    -------
    dict of str to StateArray
        Arrays by the name that PyTorch gives them. Their numbers are read later.

    Raises
    ------
    ValueError
        The file does not exist, is cut or damaged, or names anything but the tensors of a state
        dict. Nothing that it names is imported or called.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: the file of weights does not exist")
    try:
        if path.suffix.lower() == ".safetensors":
            state = _safetensors(path)
        elif zipfile.is_zipfile(path):
            state = _zipped(path)
        else:
            state = _legacy(path)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{path}: not a state file, or incomplete ({error})") from None
    except (ValueError, OSError, struct.error) as error:
        raise ValueError(f"{path}: {error}") from None
    if not state:
        raise ValueError(f"{path}: it holds no tensors")
    return state


def _zipped(path: Path) -> dict[str, StateArray]:
    """Read a file of PyTorch since 1.6: a ZIP archive with a pickle and a member per storage."""
    with zipfile.ZipFile(path) as box:
        check_sizes(box, path.stat().st_size)
        sizes = {member.filename: member.file_size for member in box.infolist()}
        pickles = [name for name in sizes if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickles) != 1:
            raise ValueError("not a state file of PyTorch: a ZIP archive without data.pkl")
        if sizes[pickles[0]] > MAX_PICKLE:
            raise ValueError(f"its pickle of {sizes[pickles[0]]:,} bytes is too long")
        folder = pickles[0].rpartition("/")[0]
        order = f"{folder}/byteorder"
        if order in sizes and box.read(order) != b"little":
            raise ValueError("its numbers are in the byte order of another machine")
        tensors = _tensors(read_pickle(box.read(pickles[0]))[0])
    members = {tensor.storage: f"{folder}/data/{tensor.storage.key}" for tensor in tensors.values()}
    for storage, member in members.items():
        if sizes.get(member, -1) != storage.size * storage.item_size:
            raise ValueError(f"the numbers {member} are missing or of another length")

    @lru_cache(maxsize=1)
    def numbers(storage: Storage) -> bytes:
        try:
            with zipfile.ZipFile(path) as box:
                return box.read(members[storage])
        except (zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"{path}: {members[storage]} is damaged ({error})") from None

    return {name: _array(tensor, numbers) for name, tensor in tensors.items()}


def _legacy(path: Path) -> dict[str, StateArray]:
    """Read a file of PyTorch before 1.6: five pickles, then the numbers of each storage."""
    length = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(MAX_PICKLE)
        at, values = 0, []
        for _ in range(5):
            value, n = read_pickle(head[at:])
            values.append(value)
            at += n
            if values[0] != _MAGIC:
                raise ValueError("not a state file of PyTorch")
        _, _, system, root, keys = values
        if not (isinstance(system, dict) and system.get("little_endian") is True):
            raise ValueError("its numbers are in the byte order of another machine")
        tensors = _tensors(root)
        storages = {tensor.storage.key: tensor.storage for tensor in _all_tensors(root)}
        places: dict[str, int] = {}
        for key in keys if isinstance(keys, list) else []:
            storage = storages.get(str(key))
            if storage is None:
                raise ValueError(f"the numbers {str(key)[:40]} belong to no tensor")
            file.seek(at)
            size = struct.unpack("<q", file.read(8))[0]
            places[storage.key] = at + 8
            at += 8 + storage.size * storage.item_size
            if size != storage.size or at > length:
                raise ValueError(f"the numbers {storage.key[:40]} are cut or of another length")
    missing = {tensor.storage.key for tensor in tensors.values()} - set(places)
    if missing:
        raise ValueError(f"the numbers {min(missing)[:40]} are missing")

    def numbers(storage: Storage) -> bytes:
        return _bytes(path, places[storage.key], storage.size * storage.item_size)

    return {name: _array(tensor, numbers) for name, tensor in tensors.items()}


_SAFE_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


def _safetensors(path: Path) -> dict[str, StateArray]:
    """Read a file of safetensors: the length of a header, the header as JSON, the numbers."""
    length = path.stat().st_size
    with path.open("rb") as file:
        n = struct.unpack("<Q", file.read(8))[0]
        if n > min(MAX_PICKLE, length - 8):
            raise ValueError("not a file of safetensors, or cut")
        try:
            header = json.loads(file.read(n))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"its header is damaged ({error})") from None
    if not isinstance(header, dict):
        raise ValueError("its header is damaged (no dict)")
    header.pop("__metadata__", None)
    state = {}
    for name, entry in header.items():
        try:
            dtype, shape = _SAFE_DTYPES[entry["dtype"]], tuple(entry["shape"])
            start, end = entry["data_offsets"]
            good = all(type(number) is int and number >= 0 for number in (*shape, start, end))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"its header is damaged at {name[:80]} ({error!r})") from None
        storage = Storage(name, dtype, math.prod(shape) if good else 0)
        if not good or end - start != storage.size * storage.item_size or 8 + n + end > length:
            raise ValueError(f"{name[:80]} is cut, or its shape does not fit its numbers")
        state[name] = StateArray(shape, _Slice(path, 8 + n + start, storage, shape))
    return state


@dataclass(frozen=True)
class _Slice:
    """Reads an array that lies in one piece in a file."""

    path: Path
    start: int
    storage: Storage
    shape: tuple[int, ...]

    def __call__(self) -> np.ndarray:
        data = _bytes(self.path, self.start, self.storage.size * self.storage.item_size)
        return _values(data, self.storage.dtype).reshape(self.shape)


def _bytes(path: Path, start: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(length)


def _array(tensor: Tensor, numbers: Callable[[Storage], bytes]) -> StateArray:
    def read() -> np.ndarray:
        values = _values(numbers(tensor.storage), tensor.storage.dtype)
        if 0 in tensor.shape:
            return np.empty(tensor.shape, np.float32)
        # The pickle was checked: no array reaches beyond its storage.
        return np.lib.stride_tricks.as_strided(
            values[tensor.offset :],
            tensor.shape,
            [step * values.itemsize for step in tensor.strides],
            writeable=False,
        )

    return StateArray(tensor.shape, read)


def _values(data: bytes, dtype: str) -> np.ndarray:
    if dtype == "bfloat16":  # the upper half of float32
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, np.dtype(dtype).newbyteorder("<"))


def _tensors(root: Any) -> dict[str, Tensor]:
    """Return the tensors of a state dict, or of that inside a checkpoint."""
    if isinstance(root, dict):
        for part in (root, *(root[key] for key in _WRAPPERS if key in root)):
            if isinstance(part, dict):
                found = {
                    str(key): value for key, value in part.items() if isinstance(value, Tensor)
                }
                if found:
                    return found
    raise ValueError("it holds no dict of tensors")


def _all_tensors(root: Any) -> Iterator[Tensor]:
    """Iterate over all tensors of a checkpoint, also those beside the weights."""
    seen, stack = set[int](), [root]
    while stack:
        part = stack.pop()
        if isinstance(part, Tensor):
            yield part
        elif isinstance(part, (dict, list, tuple)) and id(part) not in seen:
            seen.add(id(part))
            stack += part.values() if isinstance(part, dict) else part
