"""Check format, size and completeness of an image file before it is decoded.

A decoder allocates as much memory as the header states and fills missing pixels with grey. These
checks take some microseconds and prevent both.
"""

from __future__ import annotations

import re
import struct
import zlib
from itertools import islice
from typing import NamedTuple

from hemafeat._public import public

MAX_PIXELS = 2**26
"""Default limit of the size of an image: 67 megapixels (8192 x 8192)."""

READABLE = "JPEG, PNG, BMP or TIFF"


@public
class ImageError(ValueError):
    """Signal an image that cannot be read.

    Parameters
    ----------
    image : str
        Name of the image.
    reason : str
        Reason in plain words; the message is the name followed by the reason.
    """

    def __init__(self, image: str, reason: str) -> None:
        super().__init__(image, reason)
        self.image = image
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.image} {self.reason}"


class Unreadable(ValueError):
    """Signal that a source is not a complete image; the message continues the name of the file."""


class Header(NamedTuple):
    """Properties of an image file that are known before it is decoded.

    Attributes
    ----------
    format : {"JPEG", "PNG", "BMP", "TIFF"}
        Format according to the content of the file, regardless of its suffix.
    width, height : int
        Size as stored, before any rotation stated in the metadata; 0 for a TIFF, whose directory
        is read later.
    depth : int
        Bits per channel.
    alpha : bool
        True if the image has, or may have, transparency.
    data : bytes
        Content of the file, without ancillary PNG chunks about which libpng prints warnings.
    significant : int, optional
        Bits per channel that are used, if the file states them.
    """

    format: str
    width: int
    height: int
    depth: int
    alpha: bool
    data: bytes
    significant: int | None = None


def max_bytes(max_pixels: int) -> int:
    """Return how many bytes a file, or its pixels, may take: 16 per pixel, as RGBA of float32."""
    return 16 * max_pixels + 2**20


def too_large(size: int, max_pixels: int) -> Unreadable:
    """Return the error for a file of `size` bytes."""
    return Unreadable(
        f"is a file of {size / 1e6:.0f} MB, too large for an image of at most "
        f"{max_pixels / 1e6:.3g} megapixels; max_pixels sets the limit"
    )


def check_size(width: int, height: int, max_pixels: int | None) -> None:
    """Raise `Unreadable` if an image has no pixels, or more than `max_pixels`."""
    if width < 1 or height < 1:
        raise Unreadable(f"has no pixels: its header states {width} x {height}")
    if max_pixels is not None and width * height > max_pixels:
        raise Unreadable(
            f"is {width} x {height} pixels ({width * height / 1e6:.0f} megapixels), more than the "
            f"limit of {max_pixels / 1e6:.3g} megapixels; max_pixels sets the limit"
        )


def header(data: bytes) -> Header:
    """Read and check the header of an image file.

    Parameters
    ----------
    data : bytes
        Content of the whole file.

    Returns
    -------
    Header
        Format, size and bit depth of the image.

    Raises
    ------
    Unreadable
        Raised if the data are empty, truncated, or not an image in a supported format.
    """
    if not data:
        raise Unreadable("is empty (0 bytes)")
    if data[:3] == b"\xff\xd8\xff":
        return _jpeg(data)
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return _png(data)
    if data[:2] == b"BM" and len(data) >= 26 and data[15:18] == b"\0\0\0":
        return _bmp(data)
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return Header("TIFF", 0, 0, 0, False, data)
    raise Unreadable(f"is not a {READABLE} image; it looks like {looks_like(data)}")


_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_NO_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_MAX_SCANS = 200
_SCAN = re.compile(b"\xff\xda")  # found three times as fast as by `bytes.count`


def _jpeg(data: bytes) -> Header:
    truncated = Unreadable("is a truncated JPEG: it ends before its end-of-image marker")
    position, frame, marker = 2, None, 0
    while marker not in (0xD9, 0xDA):
        position = data.find(b"\xff", position) + 1
        if position == 0 or position + 3 > len(data):
            if position and data[position : position + 1] == b"\xd9":
                break
            raise truncated
        marker = data[position]
        if marker == 0xFF or marker in _NO_LENGTH or marker == 0:
            continue
        length = int.from_bytes(data[position + 1 : position + 3], "big")
        if marker in _FRAMES and frame is None and length >= 8 and position + 8 <= len(data):
            frame = struct.unpack_from(">BHH", data, position + 3)
        position += 1 + length
    # Coded data contain 0xFF only before 0x00 or a restart marker, so a match is the real end.
    if marker == 0xDA and not data.endswith(b"\xff\xd9") and data.find(b"\xff\xd9", position) < 0:
        raise truncated
    if frame is None or marker != 0xDA:
        raise Unreadable("is a JPEG without picture data")
    depth, height, width = frame
    if depth != 8:
        raise Unreadable(f"is a {depth}-bit JPEG; only 8-bit JPEG files are supported")
    # Each scan visits every pixel; a progressive JPEG needs ten, and a file can hold millions.
    if next(islice(_SCAN.finditer(data), _MAX_SCANS, None), None) is not None:
        scans = data.count(b"\xff\xda")
        raise Unreadable(f"is a JPEG of {scans:,} scans; at most {_MAX_SCANS} are read")
    return Header("JPEG", width, height, depth, False, data)


_PNG_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT", b"IEND"}


def _png(data: bytes) -> Header:
    truncated = Unreadable("is a truncated PNG: it ends before its last chunk")
    view, position, has_ancillary = memoryview(data), 8, False
    kept: list[bytes | memoryview] = [data[:8]]
    shape, transparency, has_pixels, significant = None, None, False, None
    while True:
        if position + 12 > len(data):
            raise truncated
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise truncated
        if zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            name = f"its {kind.decode()} chunk" if kind.isalpha() else "a chunk"
            raise Unreadable(f"is a damaged PNG: {name} fails its checksum")
        if kind == b"IHDR" and length == 13:
            shape = struct.unpack_from(">IIBB", data, position + 8)
        elif kind == b"acTL" and (frames := int.from_bytes(view[position + 8 : position + 12])) > 1:
            raise Unreadable(f"is an animation of {frames} frames; expected a single frame")
        elif kind == b"tRNS":
            transparency = length
        elif kind == b"sBIT" and length:
            significant = max(view[position + 8 : end - 4])
        has_pixels |= kind == b"IDAT"
        if kind in _PNG_KEPT:
            kept.append(view[position:end])
        else:
            has_ancillary = True
        position = end
        if kind == b"IEND":
            break
    if shape is None or not has_pixels:
        raise Unreadable("is a PNG without picture data")
    width, height, depth, colour = shape
    if transparency is not None and not _fits(transparency, colour):
        raise Unreadable(f"is a damaged PNG: its tRNS chunk has {transparency} bytes")
    alpha = transparency is not None or colour in (4, 6)
    content = b"".join(kept) if has_ancillary else data
    return Header("PNG", width, height, depth, alpha, content, significant)


def _fits(transparency: int, colour: int) -> bool:
    """Return True if a tRNS chunk may have this length: it is a colour, or a byte per entry."""
    return transparency == {0: 2, 2: 6}.get(colour) or (colour == 3 and 1 <= transparency <= 256)


def _bmp(data: bytes) -> Header:
    start = int.from_bytes(data[10:14], "little")
    os2 = int.from_bytes(data[14:18], "little") == 12
    if len(data) < (26 if os2 else 54):
        raise Unreadable("is a truncated BMP: it ends within its header")
    width, height = struct.unpack_from("<HH" if os2 else "<ii", data, 18)
    height = abs(height)  # negative if the rows are stored from the top
    bits = int.from_bytes(data[24:26] if os2 else data[28:30], "little")
    compression = 0 if os2 else int.from_bytes(data[30:34], "little")
    # Run-length coding (1, 2) does not determine the size; OpenCV rejects truncated data of it.
    if compression in (0, 3, 6) and start + (width * bits + 31) // 32 * 4 * height > len(data):
        raise Unreadable("is a truncated BMP: it ends before its last row")
    # Without bit fields the fourth byte is reserved and may have any value.
    return Header("BMP", width, height, 8, bits == 32 and compression != 0, data)


_SIGNATURES = (
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive (or an Office document)"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"7z\xbc\xaf", "a 7-Zip archive"),
    (0, b"GIF8", "a GIF image"),
    (8, b"WEBP", "a WebP image"),
    (4, b"ftypheic", "a HEIC photograph"),
    (4, b"ftypavif", "an AVIF image"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (0, b"8BPS", "a Photoshop document"),
    (128, b"DICM", "a DICOM file"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"\x93NUMPY", "a NumPy array file"),
    (0, b"PAR1", "a Parquet file"),
    (0, b"\0\x05\x16\x07", "metadata that macOS stores beside a file of the same name"),
    (4, b"Bud1", "folder settings of macOS"),
    (0, b"version https://git-lfs", "a Git LFS pointer to an image that was not downloaded"),
)


def looks_like(data: bytes) -> str:
    """Describe the kind of file that bytes without an image come from."""
    for offset, magic, name in _SIGNATURES:
        if data[offset : offset + len(magic)] == magic:
            return name
    start = data[:512]
    if not start.strip(b"\0"):
        return "an erased file: its bytes are all zero"
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    if text.startswith((b"<?xml", b"<svg")):
        return "an XML or SVG document"
    try:
        # The last character of the sample may be incomplete.
        sample = start.decode("utf-8", "strict" if len(data) <= 512 else "ignore")
    except UnicodeDecodeError:
        sample = "\0"
    if all(character.isprintable() or character in "\t\r\n" for character in sample):
        return "text"
    return f"an unknown format (it starts with {start[:8].hex(' ')})"
