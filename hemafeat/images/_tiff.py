"""Decode single-page TIFF files of any depth and layout."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from hemafeat.images._formats import Unreadable
from hemafeat.images._pillow import UnsupportedMode, orient, pillow_array

_SEPARATED, _MIN_IS_WHITE, _PALETTE = 5, 0, 3

# Compressions that tifffile decodes without another package: none, deflate (two codes), PackBits.
_BUILT_IN_DECODERS = (1, 8, 32946, 32773)


def read_tiff(
    data: bytes, check_size: Callable[[int, int], None], raw: bool = False
) -> tuple[np.ndarray, bool]:
    """Decode the only page of a TIFF file.

    Parameters
    ----------
    data : bytes
        Content of the file.
    check_size : callable
        Function called with width and height before pixels are decoded; it raises an exception if
        the image is too large.
    raw : bool
        If True, return the values as stored, for masks: the indices of a coloured palette instead
        of its colours.

    Returns
    -------
    array : (H, W) or (H, W, C) ndarray
        Pixels, rotated as the file states.
    alpha : bool
        True if a second or fourth channel holds transparency.

    Raises
    ------
    Unreadable
        Raised if the file is damaged, truncated, has several pages or an unsupported layout.
    """
    import tifffile

    # Without a handler of the user, messages about damaged files would go to the terminal.
    log = logging.getLogger("tifffile")
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = _only_page(file)
            check_size(page.imagewidth, page.imagelength)
            parts = zip(page.dataoffsets, page.databytecounts, strict=False)
            if not page.dataoffsets or any(start + count > len(data) for start, count in parts):
                raise Unreadable("is a truncated TIFF: it ends before its picture data")
            # Pillow applies palettes and photometric tags; tifffile returns the stored values.
            if not raw and page.bitspersample <= 8 and page.samplesperpixel <= 4:
                try:
                    return pillow_array(data), True
                except UnsupportedMode:
                    pass
            array, alpha = _pixels(page, data, raw)
            tag = page.tags.get("Orientation")
            return orient(array, int(tag.value) if tag else 1), alpha
    except Unreadable:
        raise
    # A damaged file may raise any exception in tifffile.
    except Exception as problem:
        reason = " ".join(str(problem).split()) or type(problem).__name__
        raise Unreadable(f"is a damaged TIFF: {reason}") from None


def _only_page(file: Any) -> Any:
    # Thumbnails (bit 1) and transparency masks (bit 4) belong to the page before them.
    pages = [page for page in file.pages if not int(page.subfiletype) & 5]
    if not pages:
        raise Unreadable("is a TIFF without a page")
    count = len(pages)
    if count == 1 and file.is_imagej:
        count = int((file.imagej_metadata or {}).get("images", 1))
    if count > 1:
        raise Unreadable(f"is a TIFF of {count} pages; save the page to measure as a separate file")
    return pages[0]


def _pixels(page: Any, data: bytes, raw: bool) -> tuple[np.ndarray, bool]:
    photometric = int(page.photometric)
    if photometric == _SEPARATED:
        raise Unreadable(f"is a {page.bitspersample}-bit CMYK TIFF, which is not supported")
    if raw and page.bitspersample <= 8 and int(page.compression) not in _BUILT_IN_DECODERS:
        array = pillow_array(data, raw)
        stored = ~array if photometric == _MIN_IS_WHITE and array.dtype.kind in "ub" else array
        return stored, True
    if not raw and photometric == _PALETTE:
        raise Unreadable("is a palette TIFF of a kind that is not supported")
    if int(page.compression) in _BUILT_IN_DECODERS:
        array = page.asarray()
        if page.axes.startswith("S"):
            array = np.moveaxis(array, 0, -1)
        if photometric == _MIN_IS_WHITE and array.dtype.kind in "ub" and not raw:
            array = ~array
    else:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if decoded is None:
            raise Unreadable("is a damaged TIFF: its pixels cannot be decoded")
        array = decoded
        if array.ndim == 3:
            array = array[:, :, [2, 1, 0, 3][: array.shape[2]]]
    alpha = any(int(sample) in (1, 2) for sample in page.extrasamples)
    return array, alpha
