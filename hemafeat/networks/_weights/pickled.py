"""The pickles of PyTorch's files: plain values and the places of arrays; nothing is called."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from hemafeat._archives import Machine, Name

MAX_PICKLE = 2**25
"""Largest pickle that is read, in bytes. Names and shapes of a thousand layers take a tenth."""

_DTYPES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
"""Type of the numbers by the class of their storage."""

_DICT = "collections.OrderedDict"
_TENSORS = ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2")
_PARAMETER = "torch._utils._rebuild_parameter"
_NAMES = frozenset((_DICT, *_TENSORS, _PARAMETER, *(f"torch.{name}" for name in _DTYPES)))
"""Names that a pickle may hold. None of them is imported."""


@dataclass(frozen=True)
class Storage:
    """A block of numbers beside the pickle.

    Attributes
    ----------
    key : str
        Its name in the file.
    dtype : str
        Type of the numbers.
    size : int
        Number of numbers.
    """

    key: str
    dtype: str
    size: int

    @property
    def item_size(self) -> int:
        """Bytes of a number."""
        return 2 if self.dtype == "bfloat16" else np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Tensor:
    """An array inside a storage: the place of its first number, its shape and its steps."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_pickle(data: bytes) -> tuple[Any, int]:
    """Build the dicts, lists, tuples, numbers, strings and tensors of a pickle.

    No class is imported and no function called: the few names that PyTorch writes for a dict of
    tensors are known, and any other is refused.

    Parameters
    ----------
    data : bytes
        A pickle, and perhaps more behind it.

    Returns
    -------
    value : object
        Dicts, lists, tuples, numbers, strings, None, and `Tensor` for arrays.
    length : int
        Number of bytes of the pickle.

    Raises
    ------
    ValueError
        The pickle is cut or damaged, is too long, or holds anything else.
    """
    stream = io.BytesIO(data[:MAX_PICKLE])
    value = _Machine().read(stream)
    return value, stream.tell()


class _Machine(Machine):
    def known(self, name: str) -> Any:
        if name not in _NAMES:
            raise ValueError(
                f"refused, it names {name[:80]}: only tensors in dicts are read. In PyTorch, save "
                "the weights alone: torch.save(model.state_dict(), path)"
            )
        return Name(name)

    def called(self, function: Any, arguments: tuple[Any, ...]) -> Any:
        name = function.name if isinstance(function, Name) else ""
        if name == _DICT and not arguments:
            return {}
        if name == _DICT and len(arguments) == 1 and isinstance(arguments[0], list):
            return dict(arguments[0])
        if name in _TENSORS:
            return _tensor(*arguments[:4])
        if name == _PARAMETER and isinstance(arguments[0], Tensor):
            return arguments[0]
        return super().called(function, arguments)

    def changed(self, value: Any, state: Any) -> Any:
        # What PyTorch notes beside a dict of tensors: versions of its layers.
        return value if isinstance(value, dict) else super().changed(value, state)

    def outside(self, entry: Any) -> Any:
        return _storage(entry)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> Tensor:
    """Check that an array lies inside its storage."""
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, Storage) or not all(type(n) is int and n >= 0 for n in numbers):
        raise ValueError("its pickle is damaged (a tensor without place or shape)")
    if len(shape) != len(strides) or len(shape) > 8:
        raise ValueError("its pickle is damaged (a tensor of an unusual shape)")
    n, end = 1, offset + 1
    for length, step in zip(shape, strides, strict=True):
        n *= length
        end += (length - 1) * step
    # Steps of zero could blow a single number up to any size.
    if n and (end > storage.size or n > storage.size):
        raise ValueError(f"a tensor of shape {shape} does not fit its {storage.size} numbers")
    return Tensor(storage, offset, tuple(shape), tuple(strides))


def _storage(entry: Any) -> Storage:
    """Return the storage of an entry ("storage", class, key, device, size[, view])."""
    whole = isinstance(entry, tuple) and len(entry) >= 5 and entry[0] == "storage"
    if not whole or not isinstance(entry[1], Name) or (len(entry) > 5 and entry[5] is not None):
        raise ValueError("its pickle is damaged (numbers of an unknown kind)")
    dtype = _DTYPES.get(entry[1].name.rpartition(".")[2])
    key, size = str(entry[2]), entry[4]
    if dtype is None or type(size) is not int or size < 0:
        raise ValueError("its pickle is damaged (numbers of an unknown kind)")
    return Storage(key, dtype, size)
