"""TIFF: one page of any depth and layout as an array."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from hemafeat.images._formats import Refused
from hemafeat.images._pillow import UnknownKind, oriented, pillow_array

_SEPARATED, _MIN_IS_WHITE, _PALETTE = 5, 0, 3

# None, deflate (two numbers), PackBits: what tifffile decodes without another package.
_OWN_DECODER = (1, 8, 32946, 32773)


def read_tiff(
    data: bytes, check_size: Callable[[int, int], None], raw: bool = False
) -> tuple[np.ndarray, bool]:
    """Decode the one page of a TIFF file.

    Parameters
    ----------
    data : bytes
        The file.
    check_size : callable
        Called with width and height before anything is decoded.
    raw : bool
        A mask: values as stored, indices of a palette of colours.

    Returns
    -------
    array : (H, W) or (H, W, C) ndarray
        Rotated as the file says.
    alpha : bool
        Whether a second or fourth channel is transparency.
    """
    import tifffile

    # What it logs of a damaged file goes where a user sent it, and otherwise not to the terminal.
    log = logging.getLogger("tifffile")
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = _only_page(file)
            check_size(page.imagewidth, page.imagelength)
            ends = zip(page.dataoffsets, page.databytecounts, strict=False)
            if not page.dataoffsets or any(start + count > len(data) for start, count in ends):
                raise Refused("is a TIFF cut short: it ends before its picture data")
            # tifffile gives a mask the values stored, Pillow an image the colours meant.
            if not raw and page.bitspersample <= 8 and page.samplesperpixel <= 4:
                try:
                    return pillow_array(data), True
                except UnknownKind:
                    pass
            array, alpha = _pixels(page, data, raw)
            tag = page.tags.get("Orientation")
            return oriented(array, int(tag.value) if tag else 1), alpha
    except Refused:
        raise
    # tifffile reads what the file says; a damaged one can lead it anywhere.
    except Exception as problem:
        reason = " ".join(str(problem).split()) or type(problem).__name__
        raise Refused(f"is a damaged TIFF: {reason}") from None


def _only_page(file: Any) -> Any:
    # Reduced copies (1) and transparency masks (4) belong to the page before them.
    pages = [page for page in file.pages if not int(page.subfiletype) & 5]
    if not pages:
        raise Refused("is a TIFF without a page")
    count = len(pages)
    if count == 1 and file.is_imagej:
        count = int((file.imagej_metadata or {}).get("images", 1))
    if count > 1:
        raise Refused(f"is a TIFF of {count} pages; save the one to measure as a file of its own")
    return pages[0]


def _pixels(page: Any, data: bytes, raw: bool) -> tuple[np.ndarray, bool]:
    photometric = int(page.photometric)
    if photometric == _SEPARATED:
        raise Refused(f"is a {page.bitspersample}-bit CMYK TIFF, which is not read")
    if raw and page.bitspersample <= 8 and int(page.compression) not in _OWN_DECODER:
        array = pillow_array(data, raw)
        stored = ~array if photometric == _MIN_IS_WHITE and array.dtype.kind in "ub" else array
        return stored, True
    if not raw and photometric == _PALETTE:
        raise Refused("is a palette TIFF of a kind that is not read")
    if int(page.compression) in _OWN_DECODER:
        array = page.asarray()
        if page.axes.startswith("S"):
            array = np.moveaxis(array, 0, -1)
        if photometric == _MIN_IS_WHITE and array.dtype.kind in "ub" and not raw:
            array = ~array
    else:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if decoded is None:
            raise Refused("is a damaged TIFF: its pixels cannot be decoded")
        array = decoded
        if array.ndim == 3:
            array = array[:, :, [2, 1, 0, 3][: array.shape[2]]]
    alpha = any(int(sample) in (1, 2) for sample in page.extrasamples)
    return array, alpha
