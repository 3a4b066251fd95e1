"""Decode with Pillow what OpenCV does not support: transparency, palettes, rotation, most TIFF."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np

from hemafeat._words import reason_of
from hemafeat.images._formats import Unreadable
from hemafeat.images._quiet import quiet_codecs


class UnsupportedMode(Unreadable):
    """Signal an image that Pillow does not support, though it need not be damaged."""


def pillow_array(data: bytes, raw: bool = False) -> np.ndarray:
    """Decode an image file with Pillow and rotate it as its metadata state.

    Parameters
    ----------
    data : bytes
        Content of the file.
    raw : bool
        If True, return the values as stored: the indices of a palette, or its grey values, see
        `_palette_values`. By default the image is converted to RGB or RGBA.

    Returns
    -------
    (H, W), (H, W, 3) or (H, W, 4) ndarray
        Pixels of the image.

    Raises
    ------
    UnsupportedMode
        Raised if Pillow does not support this kind of image.
    Unreadable
        Raised if the file is damaged.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with quiet_codecs(), Image.open(io.BytesIO(data)) as opened:
            image: Image.Image = opened
            image.load()
            image = _rotated(image, ImageOps.exif_transpose)
            if raw and image.mode == "P":
                return _palette_values(np.asarray(image), np.asarray(image.convert("RGB")))
            if raw:
                return np.array(image)
            clear = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
            return np.array(image.convert("RGBA" if clear else "RGB"))
    except UnidentifiedImageError:
        raise UnsupportedMode("is of a kind that is not supported") from None
    # A damaged file may raise any exception of the decoder.
    except Exception as problem:
        kind = "TIFF" if data[:2] in (b"II", b"MM") else "file"
        reason = reason_of(problem, None)
        raise Unreadable(f"is a damaged {kind}: {reason}") from None


def _palette_values(indices: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Return what a mask with a palette means: its indices, or the greys that they stand for.

    They are the greys where programs store greys in less space: the palette is grey, gives each
    index another grey, and black, the background, is at least as frequent as index 0 along the
    border. Otherwise a palette only shows labels.
    """
    greys = colours[:, :, 0]
    if is_coloured(colours):
        return indices
    pairs = np.unique(indices.astype(np.uint16) << 8 | greys)
    if np.unique(pairs & 255).size < pairs.size:
        return indices
    border = np.s_[0, :], np.s_[-1, :], np.s_[:, 0], np.s_[:, -1]
    black, zero = (
        sum(np.count_nonzero(values[line] == 0) for line in border) for values in (greys, indices)
    )
    return greys if black >= zero else indices


def rotate_by_exif(image: np.ndarray, data: bytes) -> np.ndarray:
    """Rotate an image as the EXIF data of its file state."""
    return orient(image, orientation_tag(data))


def orientation_tag(data: bytes) -> int:
    """Return the orientation (1 to 8) that the EXIF data or TIFF tags of a file state.

    It is 1, which is upright, if they are damaged: other decoders ignore them as well.
    """
    from PIL import Image

    try:
        with quiet_codecs(), Image.open(io.BytesIO(data)) as opened:
            return int(opened.getexif().get(0x0112, 1))
    except Exception:
        return 1


def _rotated(image: Any, rotate: Callable[[Any], Any]) -> Any:
    # Pillow fails over damaged EXIF data, which other decoders ignore.
    try:
        return rotate(image)
    except Exception:
        return image


def orient(image: np.ndarray, tag: int) -> np.ndarray:
    """Rotate and mirror an image by the EXIF or TIFF orientation tag (1 to 8)."""
    if tag in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if tag in (3, 4, 7, 8):
        image = image[::-1]
    if tag in (2, 3, 6, 7):
        image = image[:, ::-1]
    return image


def is_coloured(image: np.ndarray) -> bool:
    """Return True if the first three channels of an (H, W, C) image differ anywhere."""
    return bool((image[:, :, :1] != image[:, :, 1:3]).any())
