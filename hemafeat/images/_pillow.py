"""What OpenCV has no way for and Pillow does: transparency, palettes, rotation, most TIFF."""

from __future__ import annotations

import io

import numpy as np

from hemafeat.images._formats import Refused


class UnknownKind(Refused):
    """A file Pillow has no mode for, which is not to say that it is damaged."""


def pillow_array(data: bytes, raw: bool = False) -> np.ndarray:
    """Decode by Pillow what OpenCV has no way for: 8 bits with transparency, most TIFF.

    Returns
    -------
    (H, W), (H, W, 3) or (H, W, 4) ndarray
        Rotated as the metadata say. With `raw`, a palette of colours is left as indices.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as opened:
            image: Image.Image = opened
            image.load()
            image = ImageOps.exif_transpose(image)
            if raw and image.mode == "P":
                indices, palette = np.asarray(image), image.convert("RGB")
                return indices if is_coloured(np.asarray(palette)) else np.asarray(palette)[..., 0]
            if raw:
                return np.array(image)
            clear = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
            return np.array(image.convert("RGBA" if clear else "RGB"))
    except UnidentifiedImageError:
        raise UnknownKind("is of a kind that is not read") from None
    # Damaged files end in whatever the code that met the damage raises.
    except Exception as problem:
        kind = "TIFF" if data[:2] in (b"II", b"MM") else "file"
        reason = " ".join(str(problem).split()) or type(problem).__name__
        raise Refused(f"is a damaged {kind}: {reason}") from None


def rotated(image: np.ndarray, data: bytes) -> np.ndarray:
    """`image` turned as the EXIF data of the file it came from say."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as opened:
        return oriented(image, int(opened.getexif().get(0x0112, 1)))


def oriented(image: np.ndarray, tag: int) -> np.ndarray:
    """Turn and mirror an image (first two axes) as EXIF or TIFF orientation 1..8 says."""
    if tag in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if tag in (3, 4, 7, 8):
        image = image[::-1]
    if tag in (2, 3, 6, 7):
        image = image[:, ::-1]
    return image


def is_coloured(image: np.ndarray) -> bool:
    """Whether the first three channels of (H, W, C) differ anywhere."""
    return bool((image[:, :, :1] != image[:, :, 1:3]).any())
