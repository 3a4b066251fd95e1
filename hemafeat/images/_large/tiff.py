"""Read rectangles of tiled TIFF files, and of TIFF files in strips."""

from __future__ import annotations

import math
import mmap
import os
import re
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from hemafeat._words import reason_of
from hemafeat.images._formats import Unreadable
from hemafeat.images._large.slide import Slide, credible_scale, is_level, levels_of
from hemafeat.images._quiet import quiet_libraries
from hemafeat.images._tiff import directories, kind_of, read_tiff, significant_bits

quiet_libraries()

_MAX_LEVELS = 32
_MAX_SEGMENT = 2**26
"""Most bytes that a tile or strip of the file may take in memory."""

_MAX_DESCRIPTION = 2**24
_UM = {"µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "nm": 1e-3, "mm": 1e3}
_UM |= {"cm": 1e4, "m": 1e6, "inch": 25400.0, "in": 25400.0, "\\u00B5m": 1.0}
_SEPARATE = 2

_JPEG_TABLES, _SUBSAMPLING = 347, 530
_INLINE = 4


class _Page(NamedTuple):
    """A level: what its segments (tiles or strips) have in common, and where they lie."""

    width: int
    height: int
    columns: int
    """Width of a segment."""
    rows: int
    """Height of a segment; the last strip may have fewer."""
    is_tiled: bool
    samples: int
    planes: int
    """Number of pictures of one sample each, or 1 if samples lie side by side."""
    tags: dict[int, tuple[str, tuple[int, ...]]]
    """What a file of one segment states, beside its size."""
    offsets: tuple[int, ...]
    counts: tuple[int, ...]

    @property
    def across(self) -> int:
        return -(-self.width // self.columns)

    @property
    def down(self) -> int:
        return -(-self.height // self.rows)


class TiffSlide(Slide):
    """A TIFF file: a tile or strip of it is decoded as a small file of its own.

    Parameters
    ----------
    path : str
        Local file.
    """

    def __init__(self, path: str) -> None:
        import tifffile

        self._path = path
        _check_directories(path)
        try:
            with tifffile.TiffFile(path) as file:
                self._order = file.byteorder
                base: Any = file.pages[0]
                size = os.stat(path).st_size
                self._pages = [_page(page, size) for page in _levels(file, base)]
                self._significant = significant_bits(base)
                if int(base.bitspersample) == 16 and self._significant is None:
                    raise Unreadable(
                        "has 16 bits and does not state how many are used (MaxSampleValue, or "
                        "SignificantBits of OME); convert it to 8 bits"
                    )
                scale = _scale(base, file)
        except Unreadable:
            raise
        # A damaged file may raise any exception in tifffile.
        except Exception as problem:
            reason = reason_of(problem)
            raise Unreadable(f"is a damaged TIFF: {reason}") from None
        self.levels = levels_of([(page.width, page.height) for page in self._pages], scale)

    def pixels(
        self, level: int, x: int, y: int, width: int, height: int
    ) -> tuple[np.ndarray, bool, int | None]:
        """Read a rectangle; see `Slide.pixels`."""
        page, alpha = self._pages[level], False
        out: np.ndarray | None = None
        with open(self._path, "rb") as file:
            for plane in range(page.planes):
                for row in range(y // page.rows, -(-(y + height) // page.rows)):
                    for column in range(x // page.columns, -(-(x + width) // page.columns)):
                        number = (plane * page.down + row) * page.across + column
                        if page.counts[number] == 0:
                            continue  # scanners leave out the tiles of empty glass
                        segment, has_alpha = self._segment(file, page, number, row)
                        alpha |= has_alpha
                        if segment.ndim == 2:
                            segment = segment[:, :, None]
                        if out is None:
                            channels = page.planes if page.planes > 1 else segment.shape[2]
                            white = np.iinfo(segment.dtype).max
                            out = np.full((height, width, channels), white, segment.dtype)
                        top, left = row * page.rows, column * page.columns
                        a, b = max(y, top), min(y + height, top + page.rows, page.height)
                        c, d = max(x, left), min(x + width, left + page.columns, page.width)
                        part = segment[a - top : b - top, c - left : d - left]
                        where = np.s_[plane : plane + 1] if page.planes > 1 else np.s_[:]
                        if part.shape[:2] != (b - a, d - c) or (
                            page.planes == 1 and part.shape[2] != out.shape[2]
                        ):
                            raise Unreadable(f"is a damaged TIFF: part {number} of it has no size")
                        out[a - y : b - y, c - x : d - x, where] = part[:, :, : out.shape[2]]
        if out is None:
            out = np.full((height, width, 3), 255, np.uint8)
        return out, alpha, self._significant

    def _segment(self, file: Any, page: _Page, number: int, row: int) -> tuple[np.ndarray, bool]:
        """Decode a tile or strip with the decoder, and the checks, of a file of its own."""
        rows = page.rows if page.is_tiled else min(page.rows, page.height - row * page.rows)
        file.seek(page.offsets[number])
        data = file.read(page.counts[number])
        if len(data) < page.counts[number]:
            raise Unreadable("is a truncated TIFF: it ends before its picture data")
        alone = _file_of(self._order, page, rows, data)
        array, alpha, _ = read_tiff(alone, max(2**20, 2 * rows * page.columns))
        # Pillow turns grey into RGB, of which one plane is kept.
        return (array[:, :, :1] if page.planes > 1 and array.ndim == 3 else array), alpha


def size_of(path: str) -> tuple[int, int]:
    """Return width and height of the first picture of a TIFF file; (0, 0) if it is damaged."""
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
                return 0, 0
            kind = kind_of(data)
            position, end, _ = next(directories(data, kind))
            found = {256: 0, 257: 0}
            for at in range(position + struct.calcsize(kind.counter), end, kind.entry):
                code, dtype = struct.unpack_from(kind.order + "HH", data, at)
                if code in found and dtype in (3, 4):
                    found[code] = kind.read({3: "H", 4: "I"}[dtype], data, kind.value_at(at))
            return found[256], found[257]
    except (OSError, ValueError, StopIteration, struct.error):
        return 0, 0


def _check_directories(path: str) -> None:
    """Raise `Unreadable` unless the chain of directories is sound, which decoders trust."""
    with open(path, "rb") as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise Unreadable("is empty (0 bytes)") from None
        with data:
            if data[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
                raise Unreadable("is not a TIFF file")
            for _ in directories(data, kind_of(data)):
                pass


def _levels(file: Any, base: Any) -> Iterator[Any]:
    """Yield the first picture of a file and its smaller copies."""
    yield base
    full = (base.imagewidth, base.imagelength)
    below = list(base.pages)[:_MAX_LEVELS] if base.subifds else []
    others = [file.pages[number] for number in range(1, min(len(file.pages), 2**12))]
    for page in others:
        if (page.imagewidth, page.imagelength) == full:
            raise Unreadable(
                f"holds {len(others) + 1} pictures of one size (channels, slices or times); "
                "expected one bright-field picture"
            )
    last = full
    for page in [*below, *others][:_MAX_LEVELS]:
        size = (page.imagewidth, page.imagelength)
        # A label or a view of the whole glass has another shape, or other samples.
        alike = page.samplesperpixel == base.samplesperpixel and page.dtype == base.dtype
        if alike and is_level(size, full) and size[0] < last[0]:
            last = size
            yield page


def _page(page: Any, size: int) -> _Page:
    height, width, samples = page.imagelength, page.imagewidth, page.samplesperpixel
    bits = int(page.bitspersample)
    if page.imagedepth != 1 or page.tiledepth not in (0, 1):
        raise Unreadable(f"is a volume of {page.imagedepth} slices; save one slice as a file")
    if not 1 <= samples <= 4 or bits not in (8, 16) or page.dtype is None:
        raise Unreadable(
            f"has {samples} samples of {bits} bits a pixel; expected grey or RGB of 8 or 16"
        )
    if page.dtype.kind != "u":
        raise Unreadable(f"holds values of type {page.dtype}, expected whole numbers")
    orientation = page.tags.get("Orientation")
    if orientation is not None and int(orientation.value) != 1:
        raise Unreadable("is stored turned (its tag Orientation), which is not read in parts")
    planes = samples if page.planarconfig == _SEPARATE and samples > 1 else 1
    columns = page.tilewidth if page.is_tiled else width
    rows = page.tilelength if page.is_tiled else min(page.rowsperstrip or height, height)
    if min(columns, rows, width, height) < 1:
        raise Unreadable(f"is a damaged TIFF: its parts have {columns} x {rows} pixels")
    in_memory = columns * rows * samples // planes * bits // 8
    if in_memory > _MAX_SEGMENT:
        raise Unreadable(
            f"is stored in parts of {columns} x {rows} pixels, of which each would be read whole; "
            "save it as a tiled TIFF (tiles of 256 or 512 pixels)"
        )
    tags: dict[int, tuple[str, tuple[int, ...]]] = {
        258: ("H", (bits,) * (samples // planes)),
        259: ("H", (int(page.compression),)),
        262: ("H", (1 if planes > 1 else int(page.photometric),)),
        277: ("H", (samples // planes,)),
        284: ("H", (1,)),
        317: ("H", (int(page.predictor),)),
    }
    if page.extrasamples and planes == 1:
        tags[338] = ("H", tuple(map(int, page.extrasamples)))
    if (tables := page.jpegtables) is not None:
        tags[_JPEG_TABLES] = ("B", tuple(bytes(tables)[: 2**16]))
    if (subsampling := page.tags.get(_SUBSAMPLING)) is not None:
        tags[_SUBSAMPLING] = ("H", tuple(map(int, subsampling.value))[:2])
    offsets, counts = tuple(page.dataoffsets), tuple(page.databytecounts)
    made = _Page(
        width, height, columns, rows, page.is_tiled, samples, planes, tags, offsets, counts
    )
    if min(len(offsets), len(counts)) < made.across * made.down * planes:
        raise Unreadable("is a damaged TIFF: a part of its picture data is missing")
    if any(start + count > size for start, count in zip(offsets, counts, strict=False)):
        raise Unreadable("is a truncated TIFF: it ends before its picture data")
    if max(counts) > 2 * in_memory + 2**16:
        raise Unreadable("is a damaged TIFF: its picture data hold more than the stated size")
    return made


def _file_of(order: str, page: _Page, rows: int, data: bytes) -> bytes:
    """Return a TIFF file of one strip."""
    tags = {
        256: ("I", (page.columns,)),
        257: ("I", (rows,)),
        278: ("I", (rows,)),
        **page.tags,
        279: ("I", (len(data),)),
    }
    codes = {"B": 1, "H": 3, "I": 4}
    end = 8 + 2 + 12 * (len(tags) + 1) + 4
    packed = {code: struct.pack(f"{order}{len(v)}{kind}", *v) for code, (kind, v) in tags.items()}
    extra = b""
    entries = []
    for code, (kind, values) in tags.items():
        value = packed[code]
        if len(value) > _INLINE:
            value, extra = struct.pack(order + "I", end + len(extra)), extra + value
            extra += b"\0" * (len(extra) % 2)
        entries.append((code, codes[kind], len(values), value.ljust(_INLINE, b"\0")))
    start = struct.pack(order + "I", end + len(extra))
    entries.append((273, codes["I"], 1, start))
    directory = b"".join(
        struct.pack(order + "HHI", code, kind, n) + value
        for code, kind, n, value in sorted(entries)
    )
    magic = b"II*\0" if order == "<" else b"MM\0*"
    head = magic + struct.pack(order + "IH", 8, len(entries)) + directory + bytes(4)
    return head + extra + data


def _scale(page: Any, file: Any) -> float:
    """Return the um per pixel that OME metadata, ImageJ or the tags of resolution state."""
    text = (page.description or "")[:_MAX_DESCRIPTION]
    if file.is_ome:
        # The first <Pixels> of the file is its picture; others are labels and views of the glass.
        pixels = re.search(r"<(?:\w+:)?Pixels\b[^>]*>", text)
        sides = []
        for axis in "XY" if pixels else "":
            size = re.search(rf'\bPhysicalSize{axis}="([0-9.eE+-]{{1,32}})"', pixels[0])  # type: ignore[index]
            unit = re.search(rf'\bPhysicalSize{axis}Unit="([^"]{{1,16}})"', pixels[0])  # type: ignore[index]
            factor = _UM.get(unit[1].strip() if unit else "µm", math.nan)
            sides.append(float(size[1]) * factor if size else None)
        if sides and sides[0] is not None:
            return credible_scale(sides[0], sides[1] if sides[1] is not None else sides[0])
    per_unit = [page.tags.get(code) for code in (282, 283)]
    if any(tag is None or not tag.value[0] for tag in per_unit):
        return math.nan
    unit_tag = page.tags.get(296)
    side = {2: _UM["inch"], 3: _UM["cm"]}.get(int(unit_tag.value) if unit_tag else 2, math.nan)
    if file.is_imagej:
        side = _UM.get(str((file.imagej_metadata or {}).get("unit", "")), math.nan)
    return credible_scale(*(side * tag.value[1] / tag.value[0] for tag in per_unit))
