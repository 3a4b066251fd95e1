"""Write state files as PyTorch does, without PyTorch, and hostile ones."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from dataclasses import dataclass

import numpy as np

CLASSES = {"float32": "FloatStorage", "float16": "HalfStorage", "int64": "LongStorage"}


@dataclass(frozen=True)
class Named:
    """A global of a pickle, ``module.name``."""

    module: str
    name: str


@dataclass(frozen=True)
class Called:
    """A global that is called with arguments."""

    function: Named
    arguments: tuple


@dataclass(frozen=True)
class Outside:
    """A persistent id: something that lies beside the pickle."""

    entry: tuple


def _opcodes(value) -> bytes:
    if isinstance(value, Named):
        return b"c" + f"{value.module}\n{value.name}\n".encode()
    if isinstance(value, Called):
        return _opcodes(value.function) + _opcodes(value.arguments) + b"R"
    if isinstance(value, Outside):
        return _opcodes(value.entry) + b"Q"
    if isinstance(value, dict):
        items = b"".join(_opcodes(part) for item in value.items() for part in item)
        return b"}(" + items + b"u"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(_opcodes, value)) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(map(_opcodes, value)) + b"e"
    # Plain values as Python writes them, without its first and last opcode.
    return pickle.dumps(value, protocol=2)[2:-1].split(b"q\x00")[0]


def pickled(value) -> bytes:
    """Return a pickle of a value that may hold `Named`, `Called` and `Outside`."""
    return b"\x80\x02" + _opcodes(value) + b"."


def tensor(key: str, array: np.ndarray, *, size: int | None = None, steps=None) -> Called:
    """Return what PyTorch writes for an array whose numbers are called `key`."""
    kind = Named("torch", CLASSES[str(array.dtype)])
    storage = Outside(("storage", kind, key, "cpu", array.size if size is None else size))
    if steps is None:
        steps = tuple(step // array.itemsize for step in array.strides)
    empty = Called(Named("collections", "OrderedDict"), ())
    arguments = (storage, 0, array.shape, steps, False, empty)
    return Called(Named("torch._utils", "_rebuild_tensor_v2"), arguments)


def state_of(arrays: dict[str, np.ndarray]) -> dict[str, Called]:
    return {name: tensor(str(i), array) for i, (name, array) in enumerate(arrays.items())}


def zipped(arrays: dict[str, np.ndarray], root=None) -> bytes:
    """Return a file of PyTorch since 1.6, with `root` in its pickle in place of the arrays."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as box:
        box.writestr("archive/data.pkl", pickled(state_of(arrays) if root is None else root))
        box.writestr("archive/byteorder", "little")
        for i, array in enumerate(arrays.values()):
            box.writestr(f"archive/data/{i}", np.ascontiguousarray(array).tobytes())
    return stream.getvalue()


def legacy(arrays: dict[str, np.ndarray], root=None) -> bytes:
    """Return a file of PyTorch before 1.6."""
    root = state_of(arrays) if root is None else root
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    keys = [str(i) for i in range(len(arrays))]
    parts = [0x1950A86A20F9469CFC6C, 1001, system, root, keys]
    out = b"".join(map(pickled, parts))
    for array in arrays.values():
        out += struct.pack("<q", array.size) + np.ascontiguousarray(array).tobytes()
    return out


def safetensors(arrays: dict[str, np.ndarray]) -> bytes:
    names = {"float32": "F32", "float16": "F16", "int64": "I64"}
    header, body = {"__metadata__": {"format": "pt"}}, b""
    for name, array in arrays.items():
        data = np.ascontiguousarray(array).tobytes()
        span = [len(body), len(body) + len(data)]
        header[name] = {
            "dtype": names[str(array.dtype)],
            "shape": list(array.shape),
            "data_offsets": span,
        }
        body += data
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body
