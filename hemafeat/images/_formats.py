"""What the bytes of an image file say before anything is decoded: format, size, completeness.

A decoder allocates what the header asks for and fills with grey what is missing. Both are caught
here, at a cost of some microseconds.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

READABLE = "JPEG, PNG, BMP or TIFF"


class Refused(ValueError):
    """Bytes that are not a whole image; the message reads on after the name of the file."""


class Header(NamedTuple):
    """What is known of an image before it is decoded.

    Attributes
    ----------
    format : {"JPEG", "PNG", "BMP", "TIFF"}
        By content, whatever the file is called.
    width, height : int
        As stored, before any rotation the metadata ask for; 0 for a TIFF, whose directory is read
        later.
    depth : int
        Bits per channel.
    alpha : bool
        Whether there is, or may be, transparency.
    data : bytes
        The file without the ancillary PNG chunks over which libpng would complain.
    """

    format: str
    width: int
    height: int
    depth: int
    alpha: bool
    data: bytes


def header(data: bytes) -> Header:
    """Read and check the header of an image file.

    Parameters
    ----------
    data : bytes
        The whole file.

    Returns
    -------
    Header

    Raises
    ------
    Refused
        Not an image, not one of a format that is read, or cut short.
    """
    if not data:
        raise Refused("is empty (0 bytes)")
    if data[:3] == b"\xff\xd8\xff":
        return _jpeg(data)
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return _png(data)
    if data[:2] == b"BM" and len(data) >= 26 and data[15:18] == b"\0\0\0":
        return _bmp(data)
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return Header("TIFF", 0, 0, 0, False, data)
    raise Refused(f"is not a {READABLE} image; it looks like {looks_like(data)}")


_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_NO_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})


def _jpeg(data: bytes) -> Header:
    cut = Refused("is a JPEG cut short: it ends before its end-of-image marker")
    position, frame, marker = 2, None, 0
    while marker not in (0xD9, 0xDA):
        position = data.find(b"\xff", position) + 1
        if position == 0 or position + 3 > len(data):
            if position and data[position : position + 1] == b"\xd9":
                break
            raise cut
        marker = data[position]
        if marker == 0xFF or marker in _NO_LENGTH or marker == 0:
            continue
        length = int.from_bytes(data[position + 1 : position + 3], "big")
        if marker in _FRAMES and frame is None and length >= 8 and position + 8 <= len(data):
            frame = struct.unpack_from(">BHH", data, position + 3)
        position += 1 + length
    # In the coded data that follow 0xFF stands before 0x00 or a restart marker only, so that the
    # end cannot be found where it is not.
    if marker == 0xDA and not data.endswith(b"\xff\xd9") and data.find(b"\xff\xd9", position) < 0:
        raise cut
    if frame is None or marker != 0xDA:
        raise Refused("is a JPEG without picture data")
    depth, height, width = frame
    if depth != 8:
        raise Refused(f"is a {depth}-bit JPEG, which is not read; only 8-bit ones are")
    return Header("JPEG", width, height, depth, False, data)


_PNG_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT", b"IEND"}


def _png(data: bytes) -> Header:
    cut = Refused("is a PNG cut short: it ends before its last chunk")
    view, position, extra = memoryview(data), 8, False
    kept: list[bytes | memoryview] = [data[:8]]
    shape, transparent, pixels = None, False, False
    while True:
        if position + 12 > len(data):
            raise cut
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise cut
        if zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            name = f"its {kind.decode()} chunk" if kind.isalpha() else "a chunk"
            raise Refused(f"is a damaged PNG: {name} fails its checksum")
        if kind == b"IHDR" and length == 13:
            shape = struct.unpack_from(">IIBB", data, position + 8)
        elif kind == b"acTL" and (frames := int.from_bytes(view[position + 8 : position + 12])) > 1:
            raise Refused(f"is an animation of {frames} frames; an image has one")
        transparent |= kind == b"tRNS"
        pixels |= kind == b"IDAT"
        if kind in _PNG_KEPT:
            kept.append(view[position:end])
        else:
            extra = True
        position = end
        if kind == b"IEND":
            break
    if shape is None or not pixels:
        raise Refused("is a PNG without picture data")
    width, height, depth, colour = shape
    alpha = transparent or colour in (4, 6)
    return Header("PNG", width, height, depth, alpha, b"".join(kept) if extra else data)


def bmp_size(start: bytes) -> tuple[int, int]:
    """(width, height) from the first 26 bytes of a BMP file."""
    if int.from_bytes(start[14:18], "little") == 12:
        width, height = struct.unpack_from("<HH", start, 18)
    else:
        width, height = struct.unpack_from("<ii", start, 18)
    return width, abs(height)


def _bmp(data: bytes) -> Header:
    width, height = bmp_size(data)
    start = int.from_bytes(data[10:14], "little")
    old = int.from_bytes(data[14:18], "little") == 12
    if len(data) < (26 if old else 54):
        raise Refused("is a BMP cut short: it ends within its header")
    bits = int.from_bytes(data[24:26] if old else data[28:30], "little")
    compression = 0 if old else int.from_bytes(data[30:34], "little")
    # Run lengths (1, 2) say nothing about the size; OpenCV refuses those that end too early.
    if compression in (0, 3, 6) and start + (width * bits + 31) // 32 * 4 * height > len(data):
        raise Refused("is a BMP cut short: it ends before its last row")
    # Without bit fields the fourth byte is reserved and may hold anything.
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
    (0, b"\0\x05\x16\x07", "metadata macOS left beside a file of the same name"),
    (4, b"Bud1", "folder settings of macOS"),
    (0, b"version https://git-lfs", "a Git LFS pointer; the image itself was not downloaded"),
)


def looks_like(data: bytes) -> str:
    """Name in plain words what bytes that are no image seem to be."""
    for place, magic, name in _SIGNATURES:
        if data[place : place + len(magic)] == magic:
            return name
    start = data[:512]
    if not start.strip(b"\0"):
        return "nothing: its bytes are all zero"
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    if text.startswith((b"<?xml", b"<svg")):
        return "an XML or SVG document"
    try:
        # A character may be cut at the end of the sample.
        sample = start.decode("utf-8", "strict" if len(data) <= 512 else "ignore")
    except UnicodeDecodeError:
        sample = "\0"
    if all(sign.isprintable() or sign in "\t\r\n" for sign in sample):
        return "text"
    return f"nothing known (it starts with {start[:8].hex(' ')})"
