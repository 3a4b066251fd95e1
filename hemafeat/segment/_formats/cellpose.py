"""Read the masks in a ``_seg.npy`` file of Cellpose, without unpickling it."""

from __future__ import annotations

import io
import os
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from hemafeat._archives import Machine, Name
from hemafeat.images import MAX_PIXELS
from hemafeat.segment._masks import MaskError

MAX_BYTES = 2**30
"""Largest file that is read: beside the masks it holds flows, about 30 bytes a pixel."""

EXPORT = "export the masks as an image (in Cellpose: File > Save masks as PNG/tif, or --save_png)"

_RECONSTRUCT = tuple(
    f"numpy.{core}.multiarray._reconstruct" for core in ("core", "_core")
)  # its name before and since NumPy 2
_KIND = re.compile(r"[biu?][1248]?\Z", re.ASCII)


@dataclass
class _Type:
    """Type of the numbers of an array."""

    text: str


@dataclass
class _Array:
    """An array as it is stored; `data` is anything but bytes if it is not one of numbers."""

    shape: Any = ()
    kind: Any = None
    fortran: bool = False
    data: Any = None


class _Machine(Machine):
    """Builds the dict of Cellpose, in which values that are neither numbers nor arrays are None."""

    def known(self, name: str) -> Any:
        return Name(name)

    def called(self, function: Any, arguments: tuple[Any, ...]) -> Any:
        name = function.name if isinstance(function, Name) else ""
        if name in _RECONSTRUCT:
            return _Array()
        if name == "numpy.dtype" and arguments:
            return _Type(str(arguments[0]))
        return None

    def changed(self, value: Any, state: Any) -> Any:
        if isinstance(value, _Array) and isinstance(state, tuple) and len(state) == 5:
            _, value.shape, value.kind, value.fortran, value.data = state
        elif isinstance(value, _Type) and isinstance(state, tuple) and len(state) > 1:
            value.text = f"{state[1]}{value.text}" if state[1] in ("<", ">") else value.text
        return value


def read_seg(path: str, file: io.BufferedReader) -> np.ndarray:
    """Return the masks in a ``_seg.npy`` file.

    No class is imported and no function called: the instructions of the pickle are followed as far
    as they describe dicts, lists, numbers, text and arrays of whole numbers.

    Parameters
    ----------
    path : str
        Path of the file, for its size.
    file : file
        The file, at the end of its header.

    Returns
    -------
    (H, W) ndarray of int
        Label of the cell of each pixel.

    Raises
    ------
    MaskError
        The file is damaged, too large, or has no masks of two dimensions.
    """
    if os.stat(path).st_size > MAX_BYTES:
        raise MaskError(f"is a file of Cellpose of more than {MAX_BYTES >> 20} MiB; {EXPORT}")
    try:
        # In memory, where no length that the file states can reserve more than there is.
        root = _Machine().read(io.BytesIO(file.read(MAX_BYTES)))
        while isinstance(root, _Array) and isinstance(root.data, list) and len(root.data) == 1:
            root = root.data[0]
        masks = root.get("masks") if isinstance(root, dict) else None
        if not isinstance(masks, _Array) or not isinstance(masks.data, bytes):
            raise ValueError("it has no masks")
        return _numbers(masks)
    except ValueError as error:
        raise MaskError(f"cannot be read as a file of Cellpose ({error}); {EXPORT}") from None


def _numbers(stored: _Array) -> np.ndarray:
    """Return a stored array of whole numbers."""
    order, text = re.match(r"([<>]?)(.*)", getattr(stored.kind, "text", "")).groups()  # type: ignore
    if not _KIND.match(text):
        raise ValueError("its masks are not whole numbers")
    shape = stored.shape
    if not isinstance(shape, tuple) or not all(type(n) is int and n > 0 for n in shape):
        raise ValueError("its masks have no shape")
    while len(shape) > 2 and shape[0] == 1:
        shape = shape[1:]
    if len(shape) != 2:
        raise ValueError(f"its masks have shape {shape}, expected (height, width)")
    if shape[0] * shape[1] > MAX_PIXELS:
        raise ValueError(f"its masks hold {shape[0]} x {shape[1]} pixels, more than {MAX_PIXELS}")
    dtype = np.dtype(f"{order}{text}")
    if len(stored.data) != shape[0] * shape[1] * dtype.itemsize:
        raise ValueError("its masks are cut")
    return np.frombuffer(stored.data, dtype).reshape(shape, order="F" if stored.fortran else "C")
