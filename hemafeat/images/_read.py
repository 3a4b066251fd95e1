"""Read image files and arrays as (H, W, 3) uint8 RGB, or raise an `ImageError` with the reason.

How each kind of image is converted:

=========================  =====================================================================
grey, 1 bit, palette       copied to the three channels, or looked up in the palette
16 bit                     ``round(v / 257)``: 0..65535 to 0..255, the same for every image. If no
                           value exceeds 255, the values are kept. If the file states 9 to 15
                           significant bits (TIFF MaxSampleValue or OME SignificantBits, PNG sBIT),
                           their range becomes 0..255. Otherwise a maximum in 256..32767 raises an
                           error: the image has 10, 12, 14 or 15 bits (or is dark), and guessing
                           the scale would make two images of one series incomparable.
float                      in [0, 1]: multiplied by 255; in [0, 255] with a maximum above 1: kept
transparency               composited on white, the empty field of a bright-field microscope. An
                           alpha channel that is 0 everywhere is ignored.
CMYK JPEG                  converted by the plain formula, without its colour profile
rotation in the metadata   applied (EXIF, TIFF tag)
several pages              an error, except for thumbnails and masks of the first page
=========================  =====================================================================

A name may end in ``#xywh=x,y,width,height`` (a W3C media fragment, pixels from the upper left
corner); only that rectangle is returned. A name that ends in ``#image=train_images,17`` is an image
in an ``.npz`` file: image 17, counted from 0, of the array ``train_images``. One that ends in
``#level=1`` is a level of a large image, see `open_slide`, and in
``#level=0&xywh=1024,0,1024,1024&margin=200`` a tile of it, see `Tile`; only that part of the file
is read.
"""

from __future__ import annotations

import os
import stat
from typing import Any

import cv2
import numpy as np

from hemafeat.images._formats import (
    MAX_PIXELS,
    Header,
    Unreadable,
    check_size,
    header,
    max_bytes,
    too_large,
)
from hemafeat.images._large.opening import SLIDES, find_slide
from hemafeat.images._names import (
    ARRAY_INDEX,
    LEVEL,
    WINDOW,
    find_file_system,
    is_array,
    is_uri,
    on_disk,
    only_image_errors,
    tile_of,
)
from hemafeat.images._pillow import is_coloured, orientation_tag, pillow_array, rotate_by_exif
from hemafeat.images._quiet import quiet_codecs, quiet_libraries

EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jpg_large"),
    *(".png", ".bmp", ".dib", ".tif", ".tiff"),
    *SLIDES,
)  # fmt: skip
"""Suffixes, in lower case, of the files that are listed as images."""

quiet_libraries()

_RGB = getattr(cv2, "IMREAD_COLOR_RGB", None)  # from OpenCV 4.11 on


def read(source: Any, *, max_pixels: int | None = MAX_PIXELS) -> np.ndarray:
    """Read an image as 8-bit RGB.

    Parameters
    ----------
    source : str, path, bytes or array
        A JPEG, PNG, BMP or TIFF file, recognised by its content regardless of its suffix; a URI
        (``file://``, ``http(s)://``, ``s3://``, ``gs://``, ``az://``, ``abfs://``, ``memory://``;
        all but the first need fsspec); an image in an ``.npz`` file
        (``cells.npz#image=train_images,17``); the bytes of a file; or an array of shape (H, W),
        (H, W, 1), (H, W, 2) grey and alpha, (H, W, 3) RGB or (H, W, 4) RGB and alpha, of bool,
        integers or floats. A path may end in
        ``#xywh=x,y,width,height`` to read only this rectangle, in pixels.
    max_pixels : int, optional
        Largest number of pixels. Larger images raise an error before they are decoded, and so do
        files and pixels of more than 16 bytes for each; None sets no limit.

    Returns
    -------
    (H, W, 3) ndarray of uint8
        RGB, C-contiguous and writable. An array that already has this form is returned as it is.

    Raises
    ------
    ImageError
        Raised if the image is missing, unreadable, empty, truncated, damaged, too large, not an
        image, or has values whose scale is ambiguous.

    Notes
    -----
    Grey values are copied to the three channels, transparency is composited on white, and rotation
    stated in the metadata is applied. Values of 16-bit images are divided by 257; an image whose
    maximum lies in 256..32767 raises an error, since its scale is unknown, unless the file states
    its significant bits. Floats in [0, 1] are multiplied by 255. Files of several pages raise an
    error.

    Examples
    --------
    >>> import cv2
    >>> import numpy as np
    >>> from hemafeat import images
    >>> cv2.imwrite("cell.png", np.full((4, 6), 200, np.uint8))
    True
    >>> images.read("cell.png").shape
    (4, 6, 3)
    >>> images.read("cell.png#xywh=0,0,2,3").shape
    (3, 2, 3)
    >>> images.read(np.array([[0.0, 1.0]]))[0, :, 0]
    array([  0, 255], dtype=uint8)
    """
    with only_image_errors(source):
        if is_array(source):
            return _from_array(np.asarray(source))
        if (location := _location_in_archive(source)) is not None:
            return _from_array(_from_archive(*location, max_pixels))
        if isinstance(source, str | os.PathLike) and LEVEL.search(os.fsdecode(source)):
            return _from_slide(os.fsdecode(source), max_pixels)
        data, window = _load(source, max_pixels)
        return _crop(_decode(data, max_pixels), window)


def read_labels(source: Any, *, max_pixels: int | None = MAX_PIXELS) -> np.ndarray:
    """Read a mask or label image as integers, without any scaling.

    Parameters
    ----------
    source : str, path, bytes or array
        A grey image of any depth; a colour image with equal channels; a 1-bit image (0 and 1); a
        palette image (its indices, or its grey values if the palette is grey, gives each index
        another grey, and does not show index 0 along the border as another grey than black). An
        alpha channel is ignored. Sources are given as for `read`.
    max_pixels : int, optional
        Largest number of pixels; None sets no limit.

    Returns
    -------
    (H, W) ndarray of int
        Values as stored, in the dtype of the file.

    Raises
    ------
    ImageError
        Raised for the reasons given in `read`, and if values are not integers or channels differ.

    Examples
    --------
    >>> import cv2
    >>> import numpy as np
    >>> from hemafeat import images
    >>> cv2.imwrite("labels.png", np.array([[0, 1], [2, 300]], np.uint16))
    True
    >>> images.read_labels("labels.png")
    array([[  0,   1],
           [  2, 300]], dtype=uint16)
    """
    with only_image_errors(source):
        if is_array(source):
            return _integers(np.asarray(source))
        if (location := _location_in_archive(source)) is not None:
            return _integers(_from_archive(*location, max_pixels))
        data, window = _load(source, max_pixels)
        return _crop(_integers(_decode_raw(data, max_pixels)), window)


def orientation(source: Any) -> int:
    """Return the orientation that the metadata of an image state; `read` turns the image by it.

    Parameters
    ----------
    source : str, path, bytes or array
        Image in any form that `read` accepts.

    Returns
    -------
    int
        1 to 8 as in EXIF: from 5 on, `read` swaps height and width. 1, which is upright, for arrays
        and for files that state nothing or cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import images
    >>> images.orientation(np.zeros((4, 6, 3), np.uint8))
    1
    """
    if is_array(source) or _location_in_archive(source) is not None:
        return 1
    try:
        tag = orientation_tag(_load(source, MAX_PIXELS)[0])
    # Whatever a damaged file raises, it states no orientation.
    except Exception:
        return 1
    return tag if tag in range(1, 9) else 1


# --- From a source to bytes -------------------------------------------------------------------


def _location_in_archive(source: Any) -> tuple[str, str, int] | None:
    """Return path, array name and index of an image in an ``.npz`` file, None for other sources."""
    if not isinstance(source, str | os.PathLike):
        return None
    name = os.fsdecode(source)
    match = ARRAY_INDEX.search(name)
    return (name[: match.start()], match.group(1), int(match.group(2))) if match else None


def _from_archive(path: str, key: str, index: int, max_pixels: int | None) -> np.ndarray:
    from hemafeat.images._npz import read_part

    if is_uri(path):
        raise Unreadable("is in an archive on another machine; download the archive first")
    return read_part(on_disk(path), key, index, max_pixels)


def _from_slide(name: str, max_pixels: int | None) -> np.ndarray:
    """Read a tile of a large image, or the whole of a level."""
    match = LEVEL.search(name)
    assert match is not None
    number, tile = int(match[1]), tile_of(name)
    slide = find_slide(_local_path(name[: match.start()]))
    if number >= len(slide.levels):
        raise Unreadable(f"has the levels 0 to {len(slide.levels) - 1}, not {number}")
    level = slide.levels[number]
    left, top, right, bottom = 0, 0, level.width, level.height
    if tile is not None:
        if not tile.width or not tile.height or tile.x >= right or tile.y >= bottom:
            raise Unreadable(f"names a tile outside the image of {right} x {bottom} pixels")
        left, top = tile.left, tile.top
        right = min(right, tile.x + tile.width + tile.margin)
        bottom = min(bottom, tile.y + tile.height + tile.margin)
    check_size(right - left, bottom - top, max_pixels)
    return _from_array(*slide.pixels(number, left, top, right - left, bottom - top))


def _load(source: Any, max_pixels: int | None) -> tuple[bytes, tuple[int, ...] | None]:
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), None
    if not isinstance(source, str | os.PathLike):
        raise Unreadable("is not an image: expected a path, the bytes of a file, or an array")
    name = os.fsdecode(source)
    match = WINDOW.search(name)
    path = name[: match.start()] if match else name
    window = tuple(int(number) for number in match.groups()) if match else None
    if is_uri(name) and not name.startswith("file://"):
        return _fetch(path, max_pixels), window
    return _read_local(_local_path(path), max_pixels), window


def _read_local(path: str, max_pixels: int | None) -> bytes:
    try:
        state = os.stat(path)
        if stat.S_ISDIR(state.st_mode):
            raise Unreadable("is a folder, not an image")
        if not stat.S_ISREG(state.st_mode):
            raise Unreadable("is not a regular file")
        if max_pixels is not None and state.st_size > max_bytes(max_pixels):
            raise too_large(state.st_size, max_pixels)
        with open(path, "rb") as file:
            if max_pixels is None:
                return file.read()
            # Memory for the largest file that is read would cost as much as decoding does.
            data = file.read(min(state.st_size + 1, most := max_bytes(max_pixels)))
            # A file may grow while it is read, and files of the kernel state no size.
            return data if len(data) <= state.st_size else data + file.read(most - len(data))
    except FileNotFoundError:
        raise Unreadable("does not exist") from None
    except PermissionError:
        raise Unreadable("cannot be read: permission denied") from None
    except OSError as problem:
        raise Unreadable(f"cannot be opened: {problem.strerror or problem}") from None
    except ValueError as problem:
        if isinstance(problem, Unreadable):
            raise
        raise Unreadable(f"is not a valid path: {problem}") from None


def _local_path(path: str) -> str:
    """Return the path of a local file, also of a ``file://`` URI."""
    if not path.startswith("file://"):
        return on_disk(path)
    if "::" in path:
        find_file_system(path)  # refuses chains
    path = path.removeprefix("file://").removeprefix("localhost")
    # file:///C:/cells/a.png
    return on_disk(path[1:] if os.name == "nt" and path[:1] == "/" else path)


def _fetch(uri: str, max_pixels: int | None) -> bytes:
    """Read the bytes at a URI; each service behind fsspec raises exceptions of its own."""
    limit = -1 if max_pixels is None else max_bytes(max_pixels) + 1
    system, path = find_file_system(uri)
    try:
        with system.open(path, "rb") as file:
            data = bytes(file.read(limit))
    except FileNotFoundError:
        raise Unreadable("does not exist") from None
    except ImportError as problem:
        raise Unreadable(f"needs a package that is not installed: {problem}") from None
    except Exception as problem:
        raise Unreadable(f"cannot be opened: {problem or type(problem).__name__}") from None
    if max_pixels is not None and len(data) == limit:
        raise too_large(len(data), max_pixels)
    return data


def _crop(image: np.ndarray, window: tuple[int, ...] | None) -> np.ndarray:
    if window is None:
        return image
    x, y, width, height = window
    if not width or not height or y + height > image.shape[0] or x + width > image.shape[1]:
        raise Unreadable(
            f"names a rectangle outside the image of {image.shape[1]} x {image.shape[0]} pixels"
        )
    return np.ascontiguousarray(image[y : y + height, x : x + width])


# --- From bytes to pixels ---------------------------------------------------------------------


def _decode(data: bytes, max_pixels: int | None) -> np.ndarray:
    head = header(data)
    if head.format == "TIFF":
        from hemafeat.images._tiff import read_tiff

        return _from_array(*read_tiff(data, max_pixels))
    check_size(head.width, head.height, max_pixels)
    if head.alpha and head.depth == 16:
        pixels = rotate_by_exif(_opencv(head, cv2.IMREAD_UNCHANGED, 4), head.data)
        return _from_array(pixels, significant=head.significant)
    if head.alpha:
        return _from_array(pillow_array(head.data))
    if head.depth == 16:
        pixels = _opencv(head, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH, 3)
        return _from_array(pixels, significant=head.significant)
    return _opencv(head, cv2.IMREAD_COLOR if _RGB is None else _RGB, 3)


def _opencv(head: Header, flag: int, channels: int) -> np.ndarray:
    """Decode with OpenCV; channels are returned in the order R, G, B(, alpha)."""
    try:
        with quiet_codecs():
            image = cv2.imdecode(np.frombuffer(head.data, np.uint8), flag)
    except cv2.error:
        image = None
    if image is None or sorted(image.shape[:2]) != sorted((head.height, head.width)):
        raise Unreadable(f"is a damaged {head.format}: its pixels cannot be decoded")
    if image.ndim == 2:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    if flag == _RGB:
        return image
    if channels == 4 and image.shape[2] == 4:
        return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


# --- From an array to 8-bit RGB ---------------------------------------------------------------


def _from_array(
    array: np.ndarray, alpha: bool = True, significant: int | None = None
) -> np.ndarray:
    """Convert an array to 8-bit RGB.

    `alpha` states that channel 2 or 4 is transparency, `significant` how many bits of 16 are used.
    """
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 2, 3, 4)):
        channels_first = array.ndim == 3 and array.shape[0] in (1, 3, 4)
        raise Unreadable(
            f"has shape {array.shape}, expected (height, width) or (height, width, 1 to 4)"
            + ("; channels must be the last axis" if channels_first else "")
        )
    if array.size == 0:
        raise Unreadable(f"is empty: its shape is {array.shape}")
    if array.ndim == 2:
        array = array[:, :, None]
    n_colours = 1 if array.shape[2] <= 2 else 3
    colours = np.ascontiguousarray(_eight_bit(array[:, :, :n_colours], significant))
    if n_colours == 1:
        colours = np.repeat(colours, 3, axis=2)
    if not alpha or array.shape[2] == n_colours:
        return colours
    opacity = _eight_bit(array[:, :, n_colours:], 16).astype(np.uint16)
    if opacity.max() == 0 or opacity.min() == 255:
        return colours
    # 255 a + 255 (255 - a) + 127 stays below 2 ** 16.
    return ((colours * opacity + 255 * (255 - opacity) + 127) // 255).astype(np.uint8)


def _eight_bit(array: np.ndarray, significant: int | None = None) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind not in "uif":
        raise Unreadable(f"holds values of type {array.dtype}, expected numbers")
    low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise Unreadable("holds values that are not finite (NaN or infinite)")
    if low < 0:
        raise Unreadable(f"holds negative values (lowest {low:g})")
    if array.dtype.kind == "f":
        if high <= 1:
            return np.rint(array * 255).astype(np.uint8)
        if high <= 255:
            return np.rint(array).astype(np.uint8)
        raise Unreadable(f"holds floats up to {high:g}; expected 0 to 1 or 0 to 255")
    if high <= 255:
        return array.astype(np.uint8)
    if array.dtype.itemsize == 2:
        top = _top(int(high), array.dtype, significant)
        return ((array.astype(np.uint32) * 255 + top // 2) // top).astype(np.uint8)
    raise Unreadable(f"holds integers up to {high}; expected 0..255, or uint16 for 0..65535")


def _top(high: int, dtype: np.dtype[Any], significant: int | None) -> int:
    """Return the value that becomes 255 of 16-bit data whose largest value is `high`."""
    if dtype.kind == "u" and (high > 32767 or significant == 16):
        return 65535
    if significant is not None and 8 < significant < 16:
        # More significant bits than the file states: they are the upper ones of 16, as in PNG.
        return 2**significant - 1 if high < 2**significant else 65535
    raise Unreadable(
        f"holds 16-bit values up to {high} only, so their scale is unknown (10, 12, 14 or 15-bit "
        "data?); scale the values to 0..65535 (12 bits: multiply by 65535 / 4095), or state the "
        "bits in the file (MaxSampleValue of a TIFF, sBIT of a PNG)"
    )


# --- Masks ------------------------------------------------------------------------------------


def _decode_raw(data: bytes, max_pixels: int | None) -> np.ndarray:
    head = header(data)
    if head.format == "TIFF":
        from hemafeat.images._tiff import read_tiff

        return read_tiff(data, max_pixels, raw=True)[0]
    check_size(head.width, head.height, max_pixels)
    return pillow_array(head.data, raw=True)


def _integers(array: np.ndarray) -> np.ndarray:
    if array.ndim == 3 and array.shape[2] in (3, 4):
        if is_coloured(array):
            raise Unreadable("is a colour image, not a mask: its channels differ")
        array = array[:, :, 0]
    elif array.ndim == 3 and array.shape[2] in (1, 2):
        array = array[:, :, 0]
    if array.ndim != 2 or array.size == 0:
        raise Unreadable(f"has shape {array.shape}, expected a mask of (height, width)")
    if array.dtype == bool:
        return array.astype(np.uint8)
    if array.dtype.kind in "ui":
        return np.ascontiguousarray(array)
    if array.dtype.kind == "f" and np.isfinite(array).all() and (array == np.floor(array)).all():
        # Above this, floats no longer hold every integer: two labels may have become one.
        largest = min(2 ** (np.finfo(array.dtype).nmant + 1), 2**53)
        if np.abs(array).max() > largest:
            raise Unreadable(
                f"holds {array.dtype} values up to {float(np.abs(array).max()):.6g}; above "
                f"{largest:,} that type does not tell labels apart: save the mask as integers"
            )
        return array.astype(np.int64)
    raise Unreadable(f"holds {array.dtype} values that are not integers; a mask holds integers")
