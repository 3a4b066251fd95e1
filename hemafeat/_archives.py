"""Bounds on files of strangers: what ZIP archives may hold, and pickles that call nothing."""

from __future__ import annotations

import io
import pickletools
import zipfile
from dataclasses import dataclass
from typing import Any, BinaryIO

FREE_BYTES = 2**26
"""Size, in bytes, to which an archive of any size may inflate."""

MAX_RATIO = 50
"""Largest ratio of inflated to packed size of larger archives; models reach about 10."""

_MAX_DEPTH = 3
"""Deepest nesting of archives in archives: arrays in a pipeline in a model."""

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Methods of compression whose inflation zipfile bounds by the declared size."""


def check_sizes(archive: zipfile.ZipFile, packed: int, depth: int = 0) -> None:
    """Refuse an archive that would inflate to far more than its size, also one within another.

    Parameters
    ----------
    archive : zipfile.ZipFile
        The archive; only the heads of its members, and archives in it, are read.
    packed : int
        Size of the whole file, in bytes.
    depth : int
        Number of archives round this one.

    Raises
    ------
    ValueError
        If it inflates to more than `MAX_RATIO` times its size (and `FREE_BYTES`), is compressed by
        an unusual method, or holds too many archives in each other.
    """
    members = archive.infolist()
    inflated = sum(member.file_size for member in members)
    if inflated > max(FREE_BYTES, MAX_RATIO * packed):
        raise ValueError(
            f"it would inflate to {inflated / 2**20:.0f} MiB, {inflated / max(packed, 1):.0f} "
            "times its size"
        )
    for member in members:
        if member.compress_type not in _METHODS:
            raise ValueError(f"{member.filename} is compressed by an unknown method")
        with archive.open(member) as file:
            is_archive = file.read(4) == b"PK\x03\x04"
        if is_archive:
            if depth == _MAX_DEPTH:
                raise ValueError("it holds too many archives in each other")
            with zipfile.ZipFile(io.BytesIO(archive.read(member))) as inner:
                check_sizes(inner, packed, depth + 1)


# --- Pickles ----------------------------------------------------------------------------------

MAX_STEPS = 2**20
"""Largest number of instructions of a pickle that is read."""


@dataclass(frozen=True)
class Name:
    """The name of a class or function of another library, which is not imported."""

    name: str


_MARK = object()


class Machine:
    """The stack and the memory of a pickle that is read.

    By itself it builds dicts, lists, tuples, numbers, strings and bytes. A subclass says what the
    few names mean that a kind of file holds.
    """

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memory: dict[int, Any] = {}

    def read(self, stream: BinaryIO) -> Any:
        """Return the value of the pickle at the position of a stream, which is then at its end.

        Raises
        ------
        ValueError
            The pickle is cut or damaged, is too long, or holds anything that is not known.
        """
        try:
            for number, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
                if number == MAX_STEPS:
                    raise ValueError(f"its pickle has more than {MAX_STEPS:,} instructions")
                self._step(opcode.name, argument)
        except (IndexError, KeyError, TypeError) as error:
            raise ValueError(f"its pickle is damaged ({type(error).__name__}: {error})") from None
        if len(self.stack) != 1:
            raise ValueError("its pickle is damaged (more than one value is left)")
        return self.stack[0]

    def known(self, name: str) -> Any:
        """Return what stands for a name, such as ``numpy.dtype``, or refuse it."""
        raise ValueError(f"refused, it names {name[:80]}")

    def called(self, function: Any, arguments: tuple[Any, ...]) -> Any:
        """Return what a function would, for those that are known."""
        name = function.name if isinstance(function, Name) else "something"
        raise ValueError(f"refused, its pickle calls {name} with unusual arguments")

    def changed(self, value: Any, state: Any) -> Any:
        """Return an object with its attributes, for those that are known."""
        raise ValueError("refused, its pickle changes the attributes of an object")

    def outside(self, entry: Any) -> Any:
        """Return what stands for data beside the pickle, where that is known."""
        raise ValueError("refused, its pickle names data outside of it")

    def _step(self, kind: str, argument: Any) -> None:
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
            stack.append(self.known(str(argument).replace(" ", ".", 1)))
        elif kind == "STACK_GLOBAL":
            name, module = stack.pop(), stack.pop()
            stack.append(self.known(f"{module}.{name}"))
        elif kind == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            if not isinstance(arguments, tuple):
                raise ValueError("its pickle is damaged (arguments that are no tuple)")
            stack.append(self.called(function, arguments))
        elif kind == "BUILD":
            state = stack.pop()
            stack.append(self.changed(stack.pop(), state))
        elif kind == "BINPERSID":
            stack.append(self.outside(stack.pop()))
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
        "BINBYTES",
        "BINBYTES8",
        "BINFLOAT",
        "BININT",
        "BININT1",
        "BININT2",
        "BINSTRING",
        "BINUNICODE",
        "BINUNICODE8",
        "LONG1",
        "LONG4",
        "SHORT_BINBYTES",
        "SHORT_BINSTRING",
        "SHORT_BINUNICODE",
    ]
)
"""Opcodes whose argument is a number, a string or bytes."""

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
