"""Any image file or array to (H, W, 3) uint8 RGB, or an `ImageError` that says why not.

What becomes of each kind:

=========================  =====================================================================
grey, 1 bit, palette       spread over the three channels, or looked up in the palette
16 bit                     ``round(v / 257)``: 0..65535 to 0..255, the same for every image. Values
                           of at most 255 are 8-bit ones in a wide type and stay. A maximum in
                           256..4095 is refused: it is 12-bit (or dark) data, and a guess at the
                           scale would make two images of one series incomparable.
float                      in [0, 1]: times 255; in [0, 255] with a maximum above 1: as it is
transparency               laid on white, the empty field of a bright-field microscope. An alpha
                           channel that is 0 everywhere carries nothing and is ignored.
CMYK JPEG                  by the plain formula, without its colour profile
rotation in the metadata   applied (EXIF, the TIFF tag)
several pages              refused, but for reduced copies and masks of the first page
=========================  =====================================================================

A name may end in ``#xywh=x,y,width,height`` (a W3C media fragment, pixels from the upper left
corner): that rectangle alone is returned. In ``#image=train_images,17`` it ends for an image of an
archive of arrays (``.npz``): image 17, counted from 0, of the array ``train_images``.
"""

from __future__ import annotations

import os
import re
import stat
from typing import Any

import cv2
import numpy as np

from hemafeat._public import public
from hemafeat.images._formats import Header, Refused, header
from hemafeat.images._pillow import is_coloured, pillow_array, rotated

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
"""Suffixes, in lower case, by which a folder is searched for images."""

MAX_PIXELS = 2**26
"""Largest image that is decoded unless told otherwise: 67 megapixels, 8192 x 8192."""

_RGB = getattr(cv2, "IMREAD_COLOR_RGB", None)  # from OpenCV 4.11 on
_WINDOW = re.compile(r"#xywh=(\d+),(\d+),(\d+),(\d+)$")
_PLACE = re.compile(r"#image=([^#,]+),(\d+)$")
# Two letters at least, since one is a drive; chained as in ``zip://cell.png::s3://bucket/cells.zip``.
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(::[^/]*)?://")


@public
class ImageError(ValueError):
    """An image that cannot be used.

    Parameters
    ----------
    image : str
        Its name.
    reason : str
        Why, in plain words, reading on after the name.
    """

    def __init__(self, image: str, reason: str) -> None:
        super().__init__(image, reason)
        self.image = image
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.image} {self.reason}"


def read(source: Any, *, max_pixels: int | None = MAX_PIXELS) -> np.ndarray:
    """Read an image.

    Parameters
    ----------
    source : str, path, bytes or array
        A JPEG, PNG, BMP or TIFF file, recognised by its content whatever it is called; a URI that
        fsspec can open (``s3://``, ``https://``, ``zip://cell.png::cells.zip``); an image of an
        archive of arrays (``cells.npz#image=train_images,17``); the bytes of a file;
        or an array of shape (H, W), (H, W, 1), (H, W, 2) grey and alpha, (H, W, 3) RGB or
        (H, W, 4) RGB and alpha, of bool, whole numbers or floats. The head of this module says
        what becomes of each kind.
    max_pixels : int, optional
        Larger images are refused before they are decoded; None sets no limit.

    Returns
    -------
    (H, W, 3) ndarray of uint8
        RGB, C-contiguous, writable. An array that is one already is returned as it is.

    Raises
    ------
    ImageError
        Missing, unreadable, empty, cut short, damaged, too large, not an image, or of values that
        have no clear meaning.
    """
    name = name_of(source)
    try:
        if _is_array(source):
            return _from_array(np.asarray(source))
        if (place := _placed(source)) is not None:
            return _from_array(_of_archive(*place, max_pixels))
        data, window = _load(source, max_pixels)
        return _cut(_decode(data, max_pixels), window)
    except Refused as problem:
        raise ImageError(name, str(problem)) from None


def read_labels(source: Any, *, max_pixels: int | None = MAX_PIXELS) -> np.ndarray:
    """Read a mask or label image as the whole numbers it holds.

    Parameters
    ----------
    source : str, path, bytes or array
        A grey image of any depth; a colour one of equal channels; a 1-bit one (0 and 1); a palette
        one (its greys, or the indices where the palette is coloured). An alpha channel is ignored.
    max_pixels : int, optional
        As for `read`.

    Returns
    -------
    (H, W) ndarray of int
        The values as they are, in the type that holds them.

    Raises
    ------
    ImageError
        As for `read`, and for values that are not whole numbers or channels that differ.
    """
    name = name_of(source)
    try:
        if _is_array(source):
            return _whole(np.asarray(source))
        if (place := _placed(source)) is not None:
            return _whole(_of_archive(*place, max_pixels))
        data, window = _load(source, max_pixels)
        return _cut(_whole(_decode_raw(data, max_pixels)), window)
    except Refused as problem:
        raise ImageError(name, str(problem)) from None


def name_of(source: Any) -> str:
    """What to call an image in tables and messages: its path, or a description of an array."""
    if isinstance(source, bytes | bytearray | memoryview):
        return f"<{len(source)} bytes>"
    if isinstance(source, str | os.PathLike):
        return os.fsdecode(source)
    if _is_array(source):
        shape = " x ".join(map(str, np.shape(source)))
        return f"<array {shape} {getattr(source, 'dtype', '')}>"
    return f"<{type(source).__name__}>"


def path_of(source: str | os.PathLike[str]) -> str:
    """The file an image is read from: its name without ``#xywh=...`` or ``#image=...``."""
    return _PLACE.sub("", _WINDOW.sub("", os.fsdecode(source)))


def is_uri(source: Any) -> bool:
    """Whether an image is read through fsspec: ``s3://...``, ``https://...``.

    Parameters
    ----------
    source : str, path, bytes or array
        As `read` takes it.
    """
    return isinstance(source, str) and _URI.match(source) is not None


# --- From a source to bytes -------------------------------------------------------------------


def _is_array(source: Any) -> bool:
    return isinstance(source, np.ndarray) or (
        hasattr(source, "__array__") and hasattr(source, "dtype")
    )


def _placed(source: Any) -> tuple[str, str, int] | None:
    """File, array and number of an image that is one of many in an archive of arrays."""
    if not isinstance(source, str | os.PathLike):
        return None
    name = os.fsdecode(source)
    found = _PLACE.search(name)
    return (name[: found.start()], found.group(1), int(found.group(2))) if found else None


def _of_archive(path: str, key: str, index: int, max_pixels: int | None) -> np.ndarray:
    from hemafeat.images._npz import read_part

    if is_uri(path):
        raise Refused("is in an archive that is not on this machine: copy it here first")
    return read_part(path, key, index, max_pixels)


def _load(source: Any, max_pixels: int | None) -> tuple[bytes, tuple[int, ...] | None]:
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), None
    if not isinstance(source, str | os.PathLike):
        raise Refused("is not an image: expected a path, the bytes of a file, or an array")
    name = os.fsdecode(source)
    found = _WINDOW.search(name)
    path = name[: found.start()] if found else name
    window = tuple(int(number) for number in found.groups()) if found else None
    if is_uri(source):
        return _fetch(path, max_pixels), window
    try:
        state = os.stat(path)
        if stat.S_ISDIR(state.st_mode):
            raise Refused("is a folder, not an image")
        if not stat.S_ISREG(state.st_mode):
            raise Refused("is not an ordinary file")
        if max_pixels is not None and state.st_size > _most_bytes(max_pixels):
            raise _too_large(state.st_size, max_pixels)
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        raise Refused("does not exist") from None
    except PermissionError:
        raise Refused("may not be read: no permission") from None
    except OSError as problem:
        raise Refused(f"cannot be opened: {problem.strerror or problem}") from None
    except ValueError as problem:
        if isinstance(problem, Refused):
            raise
        raise Refused(f"is no path: {problem}") from None
    return data, window


def _fetch(uri: str, max_pixels: int | None) -> bytes:
    """The bytes at a URI. What may go wrong there is as various as the services behind it."""
    limit = -1 if max_pixels is None else _most_bytes(max_pixels) + 1
    try:
        import fsspec
    except ImportError:
        raise Refused("is a URI, which needs fsspec: pip install 'hemafeat[cluster]'") from None
    try:
        with fsspec.open(uri, "rb") as file:
            data = bytes(file.read(limit))
    except FileNotFoundError:
        raise Refused("does not exist") from None
    except ImportError as problem:
        raise Refused(f"needs a package that is not installed: {problem}") from None
    except Exception as problem:
        raise Refused(f"cannot be opened: {problem or type(problem).__name__}") from None
    if max_pixels is not None and len(data) == limit:
        raise _too_large(len(data), max_pixels)
    return data


def _most_bytes(max_pixels: int) -> int:
    # Sixteen bytes a pixel (float RGB and alpha) is the most that an image can take.
    return 16 * max_pixels + 2**20


def _too_large(size: int, max_pixels: int) -> Refused:
    return Refused(
        f"is a file of {size / 1e6:.0f} MB, too large for an image of at most "
        f"{max_pixels / 1e6:.0f} megapixels; max_pixels sets the limit"
    )


def _cut(image: np.ndarray, window: tuple[int, ...] | None) -> np.ndarray:
    if window is None:
        return image
    x, y, width, height = window
    if not width or not height or y + height > image.shape[0] or x + width > image.shape[1]:
        raise Refused(
            f"names a part that is not inside the image of {image.shape[1]} x {image.shape[0]}"
        )
    return np.ascontiguousarray(image[y : y + height, x : x + width])


def _check_size(width: int, height: int, max_pixels: int | None) -> None:
    if width < 1 or height < 1:
        raise Refused(f"has no pixels: its header says {width} x {height}")
    if max_pixels is not None and width * height > max_pixels:
        raise Refused(
            f"is {width} x {height} pixels ({width * height / 1e6:.0f} megapixels), more than the "
            f"limit of {max_pixels / 1e6:.3g} megapixels; max_pixels sets the limit"
        )


# --- From bytes to pixels ---------------------------------------------------------------------


def _decode(data: bytes, max_pixels: int | None) -> np.ndarray:
    head = header(data)
    if head.format == "TIFF":
        from hemafeat.images._tiff import read_tiff

        return _from_array(*read_tiff(data, lambda w, h: _check_size(w, h, max_pixels)))
    _check_size(head.width, head.height, max_pixels)
    if head.alpha and head.depth == 16:
        return _from_array(rotated(_opencv(head, cv2.IMREAD_UNCHANGED, 4), head.data))
    if head.alpha:
        return _from_array(pillow_array(head.data))
    if head.depth == 16:
        return _from_array(_opencv(head, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH, 3))
    return _opencv(head, cv2.IMREAD_COLOR if _RGB is None else _RGB, 3)


def _opencv(head: Header, flag: int, channels: int) -> np.ndarray:
    """(H, W, channels) in the order R, G, B(, alpha)."""
    try:
        image = cv2.imdecode(np.frombuffer(head.data, np.uint8), flag)
    except cv2.error:
        image = None
    if image is None or sorted(image.shape[:2]) != sorted((head.height, head.width)):
        raise Refused(f"is a damaged {head.format}: its pixels cannot be decoded")
    if image.ndim == 2:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    if flag == _RGB:
        return image
    if channels == 4 and image.shape[2] == 4:
        return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


# --- From an array to 8-bit RGB ---------------------------------------------------------------


def _from_array(array: np.ndarray, alpha: bool = True) -> np.ndarray:
    """8-bit RGB of an array; `alpha` says whether a second or fourth channel is transparency."""
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 2, 3, 4)):
        first = array.ndim == 3 and array.shape[0] in (1, 3, 4)
        raise Refused(
            f"has shape {array.shape}, expected (height, width) or (height, width, 1 to 4)"
            + ("; channels come last" if first else "")
        )
    if array.size == 0:
        raise Refused(f"is empty: its shape is {array.shape}")
    if array.ndim == 2:
        array = array[:, :, None]
    n_colours = 1 if array.shape[2] <= 2 else 3
    colours = np.ascontiguousarray(_eight_bit(array[:, :, :n_colours]))
    if n_colours == 1:
        colours = np.repeat(colours, 3, axis=2)
    if not alpha or array.shape[2] == n_colours:
        return colours
    cover = _eight_bit(array[:, :, n_colours:]).astype(np.uint16)
    if cover.max() == 0 or cover.min() == 255:
        return colours
    # 255 a + 255 (255 - a) + 127 stays below 2 ** 16.
    return ((colours * cover + 255 * (255 - cover) + 127) // 255).astype(np.uint8)


def _eight_bit(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind not in "uif":
        raise Refused(f"holds values of type {array.dtype}, expected numbers")
    low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise Refused("holds values that are not finite (NaN or infinite)")
    if low < 0:
        raise Refused(f"holds negative values (lowest {low:g})")
    if array.dtype.kind == "f":
        if high <= 1:
            return np.rint(array * 255).astype(np.uint8)
        if high <= 255:
            return np.rint(array).astype(np.uint8)
        raise Refused(f"holds floats up to {high:g}; expected 0 to 1 or 0 to 255")
    if high <= 255:
        return array.astype(np.uint8)
    if array.dtype.itemsize == 2 and high >= 4096:
        return ((array.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    if array.dtype.itemsize == 2:
        raise Refused(
            f"holds 16-bit values up to {high} only, so their scale is unknown (12-bit data?); "
            "scale them to 0..65535"
        )
    raise Refused(f"holds whole numbers up to {high}; expected 0..255, or uint16 for 0..65535")


# --- Masks ------------------------------------------------------------------------------------


def _decode_raw(data: bytes, max_pixels: int | None) -> np.ndarray:
    head = header(data)
    if head.format == "TIFF":
        from hemafeat.images._tiff import read_tiff

        return read_tiff(data, lambda w, h: _check_size(w, h, max_pixels), raw=True)[0]
    _check_size(head.width, head.height, max_pixels)
    return pillow_array(head.data, raw=True)


def _whole(array: np.ndarray) -> np.ndarray:
    if array.ndim == 3 and array.shape[2] in (3, 4):
        if is_coloured(array):
            raise Refused("is a picture in colour, not a mask: its channels differ")
        array = array[:, :, 0]
    elif array.ndim == 3 and array.shape[2] in (1, 2):
        array = array[:, :, 0]
    if array.ndim != 2 or array.size == 0:
        raise Refused(f"has shape {array.shape}, expected a mask of (height, width)")
    if array.dtype == bool:
        return array.astype(np.uint8)
    if array.dtype.kind in "ui":
        return np.ascontiguousarray(array)
    if array.dtype.kind == "f" and np.isfinite(array).all() and (array == np.floor(array)).all():
        return array.astype(np.int64)
    raise Refused(f"holds {array.dtype} values that are not whole numbers; a mask is of those")
