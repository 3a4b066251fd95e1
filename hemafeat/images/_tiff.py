"""Decode single-page TIFF files of any depth and layout."""

from __future__ import annotations

import io
import mmap
import re
import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np

from hemafeat._words import reason_of
from hemafeat.images._formats import Unreadable, check_size, max_bytes
from hemafeat.images._pillow import UnsupportedMode, orient, pillow_array
from hemafeat.images._quiet import quiet_codecs

_SEPARATED, _MIN_IS_WHITE, _PALETTE = 5, 0, 3

# Compressions that tifffile decodes without another package: none, deflate (two codes), PackBits.
_NONE, _DEFLATE, _PACK_BITS = 1, (8, 32946), 32773
_BUILT_IN_DECODERS = (_NONE, *_DEFLATE, _PACK_BITS)

# Those that Pillow and OpenCV know besides: fax, LZW, JPEG, LogLuv, LZMA, Zstandard, WebP. OpenCV
# returns black pixels for others, such as JPEG 2000.
_DECODERS = {*_BUILT_IN_DECODERS, 2, 3, 4, 5, 6, 7, 32771, 32809, 34676, 34677, 34925, 50000, 50001}

_MAX_PAGES = 2**12
_MAX_TAGS = 2**10
_MAX_VALUES = 2**24

_UNSIGNED = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_WIDTH, _HEIGHT = 256, 257
# Tags of one unsigned number: size, compression, photometric interpretation, orientation, samples,
# rows of a strip, planar configuration, predictor, size of a tile, depth of image and tile.
_NUMBERS = {
    *(_WIDTH, _HEIGHT, 259, 262, 266, 274, 277, 278, 284, 317, 322, 323, 32997, 32998),
}  # fmt: skip
# Offsets and sizes of strips and tiles, bits and kinds of samples.
_LISTS = {258, 273, 279, 324, 325, 338, 339}
# Description, range of values, options of fax, palette, and what JPEG in TIFF needs.
_OTHERS = {254, 255, 270, 281, 292, 293, 320, 332, 334, 347, *range(512, 522), 529, 530, 531, 532}
_NEW_SUBFILE_TYPE, _SUBFILE_TYPE = 254, 255
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_TYPE_SIZES |= {16: 8, 17: 8, 18: 8}


def read_tiff(
    data: bytes, max_pixels: int | None, raw: bool = False
) -> tuple[np.ndarray, bool, int | None]:
    """Decode the only page of a TIFF file.

    Parameters
    ----------
    data : bytes
        Content of the file.
    max_pixels : int or None
        Largest number of pixels, checked before pixels are decoded.
    raw : bool
        If True, return the values as stored, for masks: the indices of a coloured palette instead
        of its colours.

    Returns
    -------
    array : (H, W) or (H, W, C) ndarray
        Pixels, rotated as the file states.
    alpha : bool
        True if a second or fourth channel holds transparency.
    significant : int or None
        Bits per channel that are used, if the file states them.

    Raises
    ------
    Unreadable
        Raised if the file is damaged, truncated, has several pages or an unsupported layout.
    """
    import tifffile

    try:
        data = _with_one_page(data, max_pixels)
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page: Any = file.pages[0]
            if file.is_imagej:
                _check_count(int((file.imagej_metadata or {}).get("images", 1)))
            check_size(page.imagewidth, page.imagelength, max_pixels)
            _check_layout(page, data, max_pixels)
            if int(page.compression) not in _DECODERS:
                name = getattr(page.compression, "name", str(page.compression))
                raise Unreadable(
                    f"is a TIFF compressed by {name}, which is not read; save it with deflate"
                )
            # Pillow applies palettes and photometric tags; tifffile returns the stored values.
            if not raw and page.bitspersample <= 8:
                try:
                    return pillow_array(data), True, None
                except UnsupportedMode:
                    pass
            array, alpha = _pixels(page, data, raw)
            tag = page.tags.get("Orientation")
            return orient(array, int(tag.value) if tag else 1), alpha, significant_bits(page)
    except Unreadable:
        raise
    except MemoryError:
        raise
    # A damaged file may raise any exception in tifffile.
    except Exception as problem:
        reason = reason_of(problem)
        raise Unreadable(f"is a damaged TIFF: {reason}") from None


# --- Directories ------------------------------------------------------------------------------


class Format(NamedTuple):
    """How the numbers of a file are written: classic TIFF or BigTIFF, in one of two orders."""

    order: str
    first: int
    """Position of the offset of the first directory."""
    counter: str
    offset: str
    entry: int

    def read(self, code: str, data: bytes | mmap.mmap, position: int) -> int:
        return int(struct.unpack_from(self.order + code, data, position)[0])

    def value_at(self, entry: int) -> int:
        """Return the position of a value that fits into its entry."""
        return entry + self.entry - struct.calcsize(self.offset)


def _with_one_page(data: bytes, max_pixels: int | None) -> bytes:
    """Return a file whose only directory is that of the picture, with the tags to decode it.

    Decoders follow the chain of directories, some of them for ever, and each takes the first one.
    They believe the tags of microscopes and cameras before anybody has checked them.
    """
    kind = kind_of(data)
    pages = [(position, end) for position, end, is_page in directories(data, kind) if is_page]
    if not pages:
        raise Unreadable("is a TIFF without a page")
    _check_count(len(pages))
    position, end = pages[0]
    start = position + struct.calcsize(kind.counter)
    kept = _checked_entries(data, kind, start, end, max_pixels)
    alone = bytearray(data)
    struct.pack_into(kind.order + kind.offset, alone, kind.first, position)
    struct.pack_into(kind.order + kind.counter, alone, position, len(kept))
    directory = b"".join(kept) + bytes(struct.calcsize(kind.offset))
    alone[start : start + len(directory)] = directory
    return bytes(alone)


def kind_of(data: bytes | mmap.mmap) -> Format:
    """Return how the numbers of a TIFF file are written, by its first bytes."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    return Format(order, 8, "Q", "Q", 20) if big else Format(order, 4, "H", "I", 12)


def _checked_entries(
    data: bytes, kind: Format, start: int, end: int, max_pixels: int | None
) -> list[bytes]:
    """Return the entries of a directory that are needed to decode its page."""
    entries, size = {}, {}
    for at in range(start, end, kind.entry):
        code, dtype = struct.unpack_from(kind.order + "HH", data, at)
        if code not in _NUMBERS | _LISTS | _OTHERS or code in entries:
            continue
        n_values = kind.read(kind.offset, data, at + 4)
        is_number = dtype in _UNSIGNED and n_values == 1
        if (code in _NUMBERS and not is_number) or (code in _LISTS and dtype not in _UNSIGNED):
            raise Unreadable(f"is a damaged TIFF: its tag {code} is not a number")
        if code in (_WIDTH, _HEIGHT):
            size[code] = kind.read(_UNSIGNED[dtype], data, kind.value_at(at))
        entries[code] = data[at : at + kind.entry]
    check_size(size.get(_WIDTH, 0), size.get(_HEIGHT, 0), max_pixels)
    return list(entries.values())


def directories(data: bytes | mmap.mmap, kind: Format) -> Iterator[tuple[int, int, bool]]:
    """Yield position of each directory, of its pointer to the next, and whether it is a page."""
    visited: set[int] = set()
    truncated = Unreadable("is a truncated TIFF: a directory lies outside the file")
    count_size, pointer_size = struct.calcsize(kind.counter), struct.calcsize(kind.offset)
    if kind.first + pointer_size > len(data):
        raise truncated
    position = kind.read(kind.offset, data, kind.first)
    while position:
        if position in visited:
            raise Unreadable("is a damaged TIFF: its directories form a loop")
        if len(visited) >= _MAX_PAGES:
            raise Unreadable(f"is a TIFF of more than {_MAX_PAGES:,} pages")
        visited.add(position)
        if position + count_size > len(data):
            raise truncated
        n_entries = kind.read(kind.counter, data, position)
        if n_entries > _MAX_TAGS:
            raise Unreadable(f"is a damaged TIFF: a directory has {n_entries:,} tags")
        end = position + count_size + n_entries * kind.entry
        if end + pointer_size > len(data):
            raise truncated
        yield position, end, _is_page(data, kind, position + count_size, end)
        position = kind.read(kind.offset, data, end)


def _is_page(data: bytes | mmap.mmap, kind: Format, start: int, end: int) -> bool:
    # Thumbnails (bit 1) and transparency masks (bit 4) belong to the page before them.
    for entry in range(start, end, kind.entry):
        code, dtype = struct.unpack_from(kind.order + "HH", data, entry)
        n_values = kind.read(kind.offset, data, entry + 4)
        size = _TYPE_SIZES.get(dtype, 1)
        if n_values * size > len(data):
            raise Unreadable(f"is a damaged TIFF: its tag {code} is larger than the file")
        if size > 1 and n_values > _MAX_VALUES:
            raise Unreadable(f"is a damaged TIFF: its tag {code} has {n_values:,} values")
        if code in (_NEW_SUBFILE_TYPE, _SUBFILE_TYPE) and n_values == 1:
            value = kind.read({1: "B", 2: "H"}.get(size, "I"), data, kind.value_at(entry))
            return not (value & 5 if code == _NEW_SUBFILE_TYPE else value == 2)
    return True


def _check_count(count: int) -> None:
    if count > 1:
        raise Unreadable(f"is a TIFF of {count} pages; save the page to measure as a separate file")


# --- Size -------------------------------------------------------------------------------------


def _check_layout(page: Any, data: bytes, max_pixels: int | None) -> None:
    """Check that the pixels are all there, and take no more memory than stated and allowed."""
    height, width, samples = page.imagelength, page.imagewidth, page.samplesperpixel
    if page.imagedepth != 1 or page.tiledepth not in (0, 1):
        raise Unreadable(f"is a volume of {page.imagedepth} slices; save one slice as a file")
    if not 1 <= samples <= 4:
        raise Unreadable(f"has shape {(height, width, samples)}; expected 1 to 4 channels")
    bits = int(page.bitspersample)
    planes, in_segment = (samples, 1) if page.planarconfig == 2 else (1, samples)
    if page.is_tiled:
        rows, columns = page.tilelength, page.tilewidth
        across = -(-width // columns) if columns else 0
    else:
        rows, columns, across = min(page.rowsperstrip or height, height), width, 1
    if rows < 1 or columns < 1:
        raise Unreadable(f"is a damaged TIFF: its tiles have {columns} x {rows} pixels")
    stated = rows * -(-columns * bits * in_segment // 8)
    in_memory = height * width * samples * -(-bits // 8)
    if max_pixels is not None and max(stated, in_memory) > max_bytes(max_pixels):
        raise Unreadable(
            f"would take {max(stated, in_memory) / 1e6:,.0f} MB, too much for an image of at most "
            f"{max_pixels / 1e6:.3g} megapixels; max_pixels sets the limit"
        )
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    if any(start + count > len(data) for start, count in segments):
        raise Unreadable("is a truncated TIFF: it ends before its picture data")
    n_segments = across * -(-height // rows) * planes
    if len(segments) < n_segments or not all(count for _, count in segments):
        raise Unreadable("is a damaged TIFF: a part of its picture data is missing")
    check = {_PACK_BITS: _unpacks_to_more, **dict.fromkeys(_DEFLATE, _inflates_to_more)}
    exceeds = check.get(int(page.compression))
    if exceeds is not None and any(
        exceeds(data[start : start + count], stated) for start, count in segments
    ):
        raise Unreadable("is a damaged TIFF: its picture data hold more than the stated size")


def _inflates_to_more(packed: bytes, stated: int) -> bool:
    inflate = zlib.decompressobj()
    return len(inflate.decompress(packed, stated + 1)) > stated


def _unpacks_to_more(packed: bytes, stated: int) -> bool:
    # A run takes two bytes and holds at least one.
    if len(packed) > 2 * stated + 64:
        return True
    position = size = 0
    while position < len(packed) and size <= stated:
        head = packed[position]
        size += 257 - head if head > 128 else head + 1 if head < 128 else 0
        position += 2 if head > 128 else head + 2 if head < 128 else 1
    return size > stated


# --- Pixels -----------------------------------------------------------------------------------


def significant_bits(page: Any) -> int | None:
    """Return the bits per channel that a file states to be used."""
    bits = int(page.bitspersample)
    if bits != 16:
        return bits if 8 < bits < 16 else None
    if (tag := page.tags.get("MaxSampleValue")) is not None:
        values = tag.value if isinstance(tag.value, tuple) else (tag.value,)
        # Some programs write the largest value there, from which no scale follows.
        if all(int(value) & (int(value) + 1) == 0 for value in values):
            return max(int(value) for value in values).bit_length()
    stated = re.search(r'\bSignificantBits="(\d{1,2})"', page.description or "")
    return int(stated[1]) if stated else None


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
        array = page.asarray(maxworkers=1)
        if page.axes.startswith("S"):
            array = np.moveaxis(array, 0, -1)
        if photometric == _MIN_IS_WHITE and array.dtype.kind in "ub" and not raw:
            array = ~array
    else:
        with quiet_codecs():
            decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if decoded is None:
            raise Unreadable("is a damaged TIFF: its pixels cannot be decoded")
        array = decoded
        if array.ndim == 3:
            array = array[:, :, [2, 1, 0, 3][: array.shape[2]]]
    alpha = any(int(sample) in (1, 2) for sample in page.extrasamples)
    return array, alpha
