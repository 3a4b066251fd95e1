"""Tell what a name of an image means: a file, a URI, a part of a file; and write it as text."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np

from hemafeat._machine import how_to_install
from hemafeat._public import public
from hemafeat.images._formats import ImageError, Unreadable

PROTOCOLS = (
    *("file", "http", "https", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory"),
)  # fmt: skip
"""Protocols of the URIs that are read; fsspec knows more, of which some run code."""

WINDOW = re.compile(r"#xywh=(\d+),(\d+),(\d+),(\d+)$", re.ASCII)
ARRAY_INDEX = re.compile(r"#image=([^#,]+),(\d+)$", re.ASCII)
LEVEL = re.compile(r"#level=(\d{1,2})(&xywh=(\d+),(\d+),(\d+),(\d+)&margin=(\d+))?$", re.ASCII)
_PARTS = (WINDOW, ARRAY_INDEX, LEVEL)
# At least two letters, since a single one is a drive; chained URIs such as
# ``zip://cell.png::s3://bucket/cells.zip`` match too.
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(::[^/]*)?://")
_SURROGATE = re.compile("[%\ud800-\udfff]")
_ESCAPED_BYTE = re.compile("%[89A-Fa-f][0-9A-Fa-f]")


def name_of(source: Any) -> str:
    """Return the name of an image for tables and messages.

    Parameters
    ----------
    source : str, path, bytes or array
        Image in any form that `read` accepts.

    Returns
    -------
    str
        Path of a file, or a description of an array or of bytes. Bytes of a file name that are not
        UTF-8, which no table can hold, are written as in a URI (``%E4``); `read` and `path_of`
        find the file by this name.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import images
    >>> images.name_of("cells/a.png")
    'cells/a.png'
    >>> images.name_of(np.zeros((4, 6, 3), np.uint8))
    '<array 4 x 6 x 3 uint8>'
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return f"<{len(source)} bytes>"
    if isinstance(source, str | os.PathLike):
        return _as_text(os.fsdecode(source))
    if is_array(source):
        shape = " x ".join(map(str, np.shape(source)))
        return f"<array {shape} {getattr(source, 'dtype', '')}>"
    return f"<{type(source).__name__}>"


def path_of(source: str | os.PathLike[str]) -> str:
    """Return the path of the file that an image is read from.

    Parameters
    ----------
    source : str or path
        Name of an image, which may end in ``#xywh=...``, ``#image=...`` or ``#level=...``.

    Returns
    -------
    str
        Name without these endings, and with the bytes of the file name for which `name_of` wrote
        ``%E4``.

    Examples
    --------
    >>> from hemafeat import images
    >>> images.path_of("cells/a.png#xywh=0,0,64,64")
    'cells/a.png'
    """
    return on_disk(_without_part(os.fsdecode(source)))


def _without_part(name: str) -> str:
    for part in _PARTS:
        name = part.sub("", name)
    return name


@public
@dataclass(frozen=True)
class Tile:
    """Tell which part of a large image a tile is.

    A tile owns the cells whose darkest point lies in its core, and is read with a margin around it,
    in which these cells are whole. The cores of the tiles of an image cover it without overlap.

    Parameters
    ----------
    path : str
        File of the large image.
    level : int
        Level of its pyramid, 0 for the full size. All other numbers are in pixels of this level.
    x, y, width, height : int
        Core of the tile.
    margin : int
        Margin read on each side of the core, where the image has one.

    Examples
    --------
    >>> from hemafeat import images
    >>> tile = images.Tile("slide.tif", 0, 1024, 0, 1024, 1024, 200)
    >>> str(tile), (tile.left, tile.top)
    ('slide.tif#level=0&xywh=1024,0,1024,1024&margin=200', (824, 0))
    >>> images.tile_of(str(tile)) == tile
    True
    """

    path: str
    level: int
    x: int
    y: int
    width: int
    height: int
    margin: int

    def __str__(self) -> str:
        core = f"{self.x},{self.y},{self.width},{self.height}"
        return f"{self.path}#level={self.level}&xywh={core}&margin={self.margin}"

    @property
    def left(self) -> int:
        """Column of the large image at which the tile begins as it is read."""
        return max(0, self.x - self.margin)

    @property
    def top(self) -> int:
        """Row of the large image at which the tile begins as it is read."""
        return max(0, self.y - self.margin)

    def on_slide(self, position: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return positions of cells, see `segment.Masks.positions`, in px of the large image."""
        shift = dict.fromkeys(("x", "left", "right"), self.left)
        shift |= dict.fromkeys(("y", "top", "bottom"), self.top)
        return {name: values + shift.get(name, 0) for name, values in position.items()}

    def owns(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return whether points, in px of the tile as it is read, lie in its core."""
        x, y = x + (self.left - self.x), y + (self.top - self.y)
        return (x >= 0) & (x < self.width) & (y >= 0) & (y < self.height)


def tile_of(source: Any) -> Tile | None:
    """Return which tile of a large image a name means.

    Parameters
    ----------
    source : str, path, bytes or array
        Image in any form that `read` accepts.

    Returns
    -------
    Tile or None
        None for an image that is no tile.

    Examples
    --------
    >>> from hemafeat import images
    >>> images.tile_of("slide.tif#level=1&xywh=0,0,512,512&margin=64").width
    512
    >>> images.tile_of("cells/a.png") is None
    True
    """
    match = LEVEL.search(os.fsdecode(source)) if isinstance(source, str | os.PathLike) else None
    if match is None or match[2] is None:
        return None
    x, y, width, height, margin = (int(match[number]) for number in range(3, 8))
    path = os.fsdecode(source)[: match.start()]
    return Tile(path, int(match[1]), x, y, width, height, margin)


def stem_of(source: str | os.PathLike[str]) -> str:
    r"""Return the name of an image without folders and suffix.

    Parameters
    ----------
    source : str or path
        Name of an image; both ``/`` and ``\`` separate folders.

    Returns
    -------
    str
        Stem of the file name, as `name_of` writes it.

    Examples
    --------
    >>> from hemafeat import images
    >>> images.stem_of("cells/BNE_1234.jpg")
    'BNE_1234'
    """
    base = _base(os.fsdecode(source))
    if _is_text(base):
        # As in any other folder, whatever the names of the folders above it are.
        return base.rpartition(".")[0] or base
    base = _base(name_of(source))
    return base.rpartition(".")[0] or base


def _base(name: str) -> str:
    return re.split(r"[\\/]", _without_part(name))[-1]


def is_uri(source: Any) -> bool:
    """Return True if an image is named by a URI: ``s3://...``, ``https://...``.

    Parameters
    ----------
    source : str, path, bytes or array
        Image in any form that `read` accepts.

    Returns
    -------
    bool
        False for paths of local files, bytes and arrays.

    Examples
    --------
    >>> from hemafeat import images
    >>> images.is_uri("s3://bucket/cell.png"), images.is_uri("cells/a.png")
    (True, False)
    """
    return isinstance(source, str) and _URI.match(source) is not None


def file_system(uri: str) -> tuple[Any, str]:
    """Return the fsspec file system of a URI and the path in it; nothing is requested yet.

    Parameters
    ----------
    uri : str
        URI with one of the protocols `PROTOCOLS`.

    Returns
    -------
    system : fsspec.AbstractFileSystem
        File system.
    path : str
        Path in the file system.

    Raises
    ------
    ImageError
        Raised for another protocol, for a chain of URIs (``zip://a.png::s3://...``), and if fsspec
        or the package of the service is not installed.

    Examples
    --------
    >>> from hemafeat import images
    >>> system, path = images.file_system("memory://cells/a.png")
    >>> path
    '/cells/a.png'
    """
    with only_image_errors(uri):
        return find_file_system(uri)


def find_file_system(uri: str) -> tuple[Any, str]:
    """Return what `file_system` does, but raise `Unreadable`."""
    # fsspec opens chains and protocols such as ``reference://``, which can run code, by name alone.
    protocol = uri.partition("://")[0]
    if "::" in uri:
        raise Unreadable(
            "is a chain of URIs (::), which is not read; unpack or download the file first"
        )
    if protocol not in PROTOCOLS:
        raise Unreadable(
            f"is a URI of the protocol {protocol!r}, which is not read; the protocols are "
            + ", ".join(PROTOCOLS)
        )
    try:
        import fsspec.core
    except ImportError:
        raise Unreadable(
            f"is a URI, which needs fsspec: {how_to_install('fsspec', 'cluster')}"
        ) from None
    try:
        system, path = fsspec.core.url_to_fs(uri)
    except ImportError as problem:
        raise Unreadable(f"needs a package that is not installed: {problem}") from None
    # Each service behind fsspec raises exceptions of its own.
    except Exception as problem:
        raise Unreadable(f"cannot be opened: {problem or type(problem).__name__}") from None
    return system, str(path)


def is_array(source: Any) -> bool:
    """Return True for NumPy arrays and what converts itself to one."""
    return isinstance(source, np.ndarray) or (
        hasattr(source, "__array__") and hasattr(source, "dtype")
    )


@contextmanager
def only_image_errors(source: Any) -> Iterator[None]:
    """Turn whatever a decoder raises into an `ImageError` that names `source`."""
    try:
        yield
    except Unreadable as problem:
        raise ImageError(name_of(source), str(problem)) from None
    except MemoryError:
        raise ImageError(name_of(source), "needs more memory than is free") from None
    except Exception as problem:
        reason = " ".join(str(problem).split())[:300]
        what = f"{type(problem).__name__}: {reason}" if reason else type(problem).__name__
        raise ImageError(name_of(source), f"cannot be decoded ({what})") from None


# --- File names that are not UTF-8 ------------------------------------------------------------


def _as_text(name: str) -> str:
    """Write a file name as text that can be encoded; Python has surrogates for other bytes."""
    if _is_text(name):
        return name
    text = _SURROGATE.sub(_escape, name)
    # Nobody can tell the two apart by name if there is a file that is really called so.
    for position in range(text.rfind("/") + 1, len(text)):
        if not os.path.lexists(text):
            break
        if text[position].isalnum() and text[position].isascii():
            text = f"{text[:position]}%{ord(text[position]):02X}{text[position + 1 :]}"
    return text


def _is_text(name: str) -> bool:
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:
        return f"%{code - 0xDC00:02X}"
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))


def on_disk(path: str) -> str:
    """Return the path for which `name_of` wrote `path`; a file of exactly this name goes first."""
    if "%" not in path or is_uri(path) or not _ESCAPED_BYTE.search(path) or os.path.exists(path):
        return path
    escaped = os.fsdecode(unquote_to_bytes(path))
    return escaped if os.path.exists(escaped) else path
