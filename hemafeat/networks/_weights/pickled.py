"""A machine for the pickles of PyTorch's files: it builds plain values and calls nothing."""

from __future__ import annotations

import io
import pickletools
from dataclasses import dataclass
from typing import Any

import numpy as np

MAX_PICKLE = 2**25
"""Largest pickle that is read, in bytes. Names and shapes of a thousand layers take a tenth."""

MAX_STEPS = 2**20
"""Largest number of instructions of a pickle; a layer takes about a hundred."""

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


@dataclass(frozen=True)
class _Name:
    """The name of a class or function of another library."""

    name: str


_MARK = object()


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
    machine = _Machine()
    try:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if number == MAX_STEPS:
                raise ValueError(f"its pickle has more than {MAX_STEPS:,} instructions")
            machine.step(opcode.name, argument)
    except (IndexError, KeyError, TypeError) as error:
        raise ValueError(f"its pickle is damaged ({type(error).__name__}: {error})") from None
    if len(machine.stack) != 1:
        raise ValueError("its pickle is damaged (more than one value is left)")
    return machine.stack[0], stream.tell()


class _Machine:
    """The stack and the memory of a pickle that is read."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memory: dict[int, Any] = {}

    def step(self, kind: str, argument: Any) -> None:
        """Carry out one opcode."""
        stack = self.stack
        if kind in ("PROTO", "FRAME", "STOP"):
            return
        if kind in _VALUES:
            stack.append(argument)
        elif kind in _CONSTANTS:
            stack.append(_CONSTANTS[kind])
        elif kind == "MARK":
            stack.append(_MARK)
        elif kind in ("EMPTY_DICT", "EMPTY_LIST"):
            stack.append({} if kind == "EMPTY_DICT" else [])
        elif kind in ("TUPLE1", "TUPLE2", "TUPLE3"):
            n = int(kind[-1])
            stack[-n:] = [tuple(stack[-n:])]
        elif kind == "TUPLE":
            stack.append(tuple(self._to_mark()))
        elif kind in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memory[len(self.memory) if kind == "MEMOIZE" else argument] = stack[-1]
        elif kind in ("BINGET", "LONG_BINGET"):
            stack.append(self.memory[argument])
        elif kind == "SETITEM":
            value, key = stack.pop(), stack.pop()
            self._fill(stack[-1], [key, value])
        elif kind == "SETITEMS":
            items = self._to_mark()
            self._fill(stack[-1], items)
        elif kind in ("APPEND", "APPENDS"):
            items = [stack.pop()] if kind == "APPEND" else self._to_mark()
            if not isinstance(stack[-1], list):
                raise ValueError("its pickle is damaged (values for something that is no list)")
            stack[-1].extend(items)
        elif kind == "GLOBAL":
            stack.append(_known(str(argument).replace(" ", ".", 1)))
        elif kind == "STACK_GLOBAL":
            name, module = stack.pop(), stack.pop()
            stack.append(_known(f"{module}.{name}"))
        elif kind == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(_built(function, arguments))
        elif kind == "BUILD":
            # What PyTorch notes beside a dict of tensors: versions of its layers.
            stack.pop()
            if not isinstance(stack[-1], dict):
                raise ValueError("refused, its pickle changes the attributes of an object")
        elif kind == "BINPERSID":
            stack.append(_storage(stack.pop()))
        else:
            raise ValueError(f"refused, its pickle holds the instruction {kind}")

    def _to_mark(self) -> list[Any]:
        """Take off what lies above the last mark."""
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise IndexError("no mark")
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def _fill(self, target: Any, items: list[Any]) -> None:
        if not isinstance(target, dict) or len(items) % 2:
            raise ValueError("its pickle is damaged (entries for something that is no dict)")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, (str, int)):
                raise ValueError("its pickle is damaged (a key is neither text nor a number)")
            target[key] = value


_VALUES = frozenset(
    [
        "BINFLOAT",
        "BININT",
        "BININT1",
        "BININT2",
        "BINSTRING",
        "BINUNICODE",
        "BINUNICODE8",
        "LONG1",
        "LONG4",
        "SHORT_BINSTRING",
        "SHORT_BINUNICODE",
    ]
)
"""Opcodes whose argument is a number or a string."""

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}


def _known(name: str) -> _Name:
    if name not in _NAMES:
        raise ValueError(
            f"refused, it names {name[:80]}: only tensors in dicts are read. In PyTorch, save the "
            "weights alone: torch.save(model.state_dict(), path)"
        )
    return _Name(name)


def _built(function: Any, arguments: Any) -> Any:
    """Return what a function of PyTorch would, for the few that are known."""
    name = function.name if isinstance(function, _Name) else ""
    if not isinstance(arguments, tuple):
        raise ValueError("its pickle is damaged (arguments that are no tuple)")
    if name == _DICT and not arguments:
        return {}
    if name == _DICT and len(arguments) == 1 and isinstance(arguments[0], list):
        return dict(arguments[0])
    if name in _TENSORS:
        return _tensor(*arguments[:4])
    if name == _PARAMETER and isinstance(arguments[0], Tensor):
        return arguments[0]
    raise ValueError(f"refused, its pickle calls {name or 'something'} with unusual arguments")


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
    if not whole or not isinstance(entry[1], _Name) or (len(entry) > 5 and entry[5] is not None):
        raise ValueError("its pickle is damaged (numbers of an unknown kind)")
    dtype = _DTYPES.get(entry[1].name.rpartition(".")[2])
    key, size = str(entry[2]), entry[4]
    if dtype is None or type(size) is not int or size < 0:
        raise ValueError("its pickle is damaged (numbers of an unknown kind)")
    return Storage(key, dtype, size)
