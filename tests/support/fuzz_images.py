"""Mutate image files and look for anything but an image or an `ImageError`.

Half of the mutations know the format: they change a field of a header, a directory or a chunk and
mend the checksum, so that decoders look further.
"""

from __future__ import annotations

import io
import os
import struct
import tempfile
import time
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import Image

from hemafeat.images import ImageError, array_shapes, read, read_labels
from support.bad_files import encoded, picture, png_chunk

SECONDS = 5.0
"""Longest time that reading one of the small files may take."""

MEGABYTES = 600
"""Largest growth of the memory of the process over a whole run."""

LIMIT = 2**20
"""Largest number of pixels, so that a file cannot ask for much."""

_EDGES = (0, 1, 2, 3, 7, 8, 9, 127, 128, 255, 256, 257, 32767, 32768, 65535, 65536, 2**24)
_EDGES += (2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1)


def seeds() -> dict[str, bytes]:
    """Return a small valid file of every kind that is read, and of some that are refused."""
    image = picture(20, 24)
    grey, alpha = image[..., 0], np.linspace(0, 255, 480).reshape(20, 24).astype(np.uint8)
    wide = image.astype(np.uint16) * 257
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "cells"
    palette = Image.fromarray(image).quantize(16)
    rgba = np.dstack([image, alpha])
    files = {
        "plain.jpg": encoded(image, "JPEG", exif=exif),
        "progressive.jpg": encoded(image, "JPEG", progressive=True),
        "cmyk.jpg": encoded(Image.fromarray(image).convert("CMYK"), "JPEG"),
        "rgb.png": encoded(image, "PNG", exif=exif, icc_profile=b"none", dpi=(300, 300)),
        "rgba.png": encoded(rgba, "PNG", exif=exif),
        "palette.png": encoded(palette, "PNG", transparency=3),
        "wide.png": cv2.imencode(".png", wide)[1].tobytes(),
        "wide_alpha.png": cv2.imencode(".png", np.dstack([wide, wide[..., :1]]))[1].tobytes(),
        "rgb.bmp": encoded(image, "BMP"),
        "palette.bmp": encoded(palette, "BMP"),
        "moving.gif": encoded(palette, "GIF"),
        "web.webp": encoded(image, "WEBP"),
    }
    clear = png_chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3))
    eight = png_chunk(b"eXIf", exif.tobytes()[6:]) + png_chunk(b"sBIT", b"\x0c\x0c\x0c")
    files["wide_clear.png"] = files["wide.png"][:33] + clear + eight + files["wide.png"][33:]
    for name, options in {
        "plain.tif": {},
        "deflate.tif": {"compression": "zlib", "predictor": True},
        "tiles.tif": {"compression": "zlib", "tile": (16, 16)},
        "big.tif": {"bigtiff": True},
        "big_endian.tif": {"byteorder": ">"},
    }.items():
        files[name] = _tiff(image, photometric="rgb", **options)
        files[f"wide_{name}"] = _tiff(wide, photometric="rgb", **options)
    for compression in ("tiff_lzw", "jpeg", "packbits"):
        files[f"{compression}.tif"] = encoded(image, "TIFF", compression=compression)
    files["packbits16.tif"] = encoded(wide[..., 0], "TIFF", compression="packbits")
    files["float.tif"] = _tiff(grey.astype(np.float32))
    files["two_pages.tif"] = _tiff(image, photometric="rgb", pages=2)
    files["lzw16.tif"] = cv2.imencode(".tif", wide)[1].tobytes()
    files["float_lzw.tif"] = cv2.imencode(".tif", (image / 255).astype(np.float32))[1].tobytes()
    stream = io.BytesIO()
    np.save(stream, image)
    files["array.npy"] = stream.getvalue()
    for name, save in {"stored.npz": np.savez, "packed.npz": np.savez_compressed}.items():
        stream = io.BytesIO()
        save(stream, a=np.stack([image, image[::-1]]), b=grey[None])
        files[name] = stream.getvalue()
    return files


def _tiff(image: np.ndarray, pages: int = 1, **options: object) -> bytes:
    stream = io.BytesIO()
    with tifffile.TiffWriter(
        stream, bigtiff=bool(options.pop("bigtiff", False)), byteorder=options.pop("byteorder", "<")
    ) as file:
        for page in range(pages):
            file.write(image, subfiletype=int(page > 0), **options)
    return stream.getvalue()


# --- Mutations --------------------------------------------------------------------------------


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a damaged copy of a file."""
    ways: list[Callable[[bytes, np.random.Generator], bytes]] = [_bits, _cut, _bytes, _fields]
    structured = {b"\x89P": _png, b"II": _tiff_entry, b"MM": _tiff_entry, b"\xff\xd8": _jpeg}
    structured |= {b"PK": _npz, b"\x93N": _npy}
    if data[:2] in structured:
        ways += [structured[data[:2]]] * len(ways)
    for _ in range(int(rng.integers(1, 4))):
        data = ways[rng.integers(len(ways))](data, rng)
    return data


def _edge(rng: np.random.Generator) -> int:
    return int(_EDGES[rng.integers(len(_EDGES))])


def _bits(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        if changed:
            changed[rng.integers(len(changed))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _cut(data: bytes, rng: np.random.Generator) -> bytes:
    start, end = sorted(rng.integers(0, len(data) + 1, 2))
    return [data[:end], data[:start] + data[end:], data[:end] + data[start:]][rng.integers(3)]


def _bytes(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    at = int(rng.integers(min(len(changed), 200) + 1))
    piece = rng.bytes(int(rng.integers(1, 9)))
    changed[at : at + len(piece)] = piece
    return bytes(changed)


def _fields(data: bytes, rng: np.random.Generator) -> bytes:
    """Put a number at which programs stumble somewhere, in either order of bytes."""
    size = int(rng.choice((1, 2, 4, 8)))
    at = int(rng.integers(min(max(1, len(data) - size), 400)))
    number = _edge(rng) % 256**size
    piece = number.to_bytes(size, "little" if rng.random() < 0.5 else "big")
    return data[:at] + piece + data[at + size :]


def _png(data: bytes, rng: np.random.Generator) -> bytes:
    chunks, position = [], 8
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        body = data[position + 8 : position + 8 + length]
        chunks.append((data[position + 4 : position + 8], body))
        position += 12 + length
    if not chunks:
        return data
    at = int(rng.integers(len(chunks)))
    kind, body = chunks[at]
    way = rng.integers(6)
    if way == 0:
        chunks[at] = (kind, _bits(body, rng))
    elif way == 1:
        chunks[at] = (kind, _fields(body, rng))
    elif way == 2:
        chunks[at] = (kind, _cut(body, rng))
    elif way == 3:
        chunks.insert(int(rng.integers(len(chunks))), (kind, body))
    elif way == 4:
        bomb = zlib.compress(bytes(3 * 10**6))
        text = {b"zTXt": b"a\0\0", b"iTXt": b"a\0\1\0\0\0", b"iCCP": b"a\0\0", b"IDAT": b""}
        kind = list(text)[rng.integers(4)]
        chunks.insert(int(rng.integers(1, len(chunks) + 1)), (kind, text[kind] + bomb))
    else:
        kind = [b"tRNS", b"eXIf", b"PLTE", b"acTL", b"sBIT", b"gAMA", b"fcTL"][rng.integers(7)]
        chunks.insert(int(rng.integers(1, len(chunks) + 1)), (kind, rng.bytes(rng.integers(40))))
    return data[:8] + b"".join(png_chunk(*chunk) for chunk in chunks)


def _tiff_entry(data: bytes, rng: np.random.Generator) -> bytes:
    """Change an entry of a directory, the number of entries, or the pointer to the next one."""
    order = "<" if data[:2] == b"II" else ">"
    big = b"+" in data[2:4]
    first, count, pointer, entry = (8, "Q", "Q", 20) if big else (4, "H", "I", 12)
    try:
        position = struct.unpack_from(order + pointer, data, first)[0]
        n_entries = struct.unpack_from(order + count, data, position)[0]
        changed = bytearray(data)
        start = position + struct.calcsize(count)
        end = start + min(n_entries, 60) * entry
        way, number = rng.integers(6), _edge(rng)
        if rng.random() < 0.5:
            number = int(rng.integers(len(data) + 1))
        value = number % 256 ** struct.calcsize(pointer)
        at = start + int(rng.integers(max(1, min(n_entries, 60)))) * entry
        if way == 0:
            struct.pack_into(order + pointer, changed, end, int(rng.choice((position, value))))
        elif way == 1:
            struct.pack_into(order + count, changed, position, number % 65536)
        elif way == 2:
            struct.pack_into(order + "H", changed, at + 2, int(rng.integers(20)))
        elif way == 3:
            struct.pack_into(order + pointer, changed, at + 4, value)
        elif way == 4:
            struct.pack_into(order + pointer, changed, at + entry - struct.calcsize(pointer), value)
        else:
            codes = (254, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 322, 323, 330)
            codes += (338, 339, 347, 32997, 32998, 34665, 34675, 50839, 34412, 281, 274, 320, 512)
            struct.pack_into(order + "H", changed, at, int(rng.choice(codes)))
    except (struct.error, OverflowError):
        return _fields(data, rng)
    return bytes(changed)


def _jpeg(data: bytes, rng: np.random.Generator) -> bytes:
    """Change a segment of the header of a JPEG, or repeat it."""
    starts, position = [], 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        starts.append(position)
        if data[position + 1] == 0xDA:
            break
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    if not starts:
        return _bits(data, rng)
    at = int(rng.choice(starts))
    length = 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    segment = data[at : at + length]
    way = rng.integers(4)
    if way == 0:
        segment = segment[:4] + _bits(segment[4:], rng)
    elif way == 1:
        segment = segment[:4] + _fields(segment[4:] or b"\0", rng)
    elif way == 2:
        segment *= int(rng.choice((2, 3, 300)))
    else:
        segment = b""
    return data[:at] + segment + data[at + length :]


_HEADERS = (
    "{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 20, 24, 3), }",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 99999999999, 99999999999, 3), }",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (18446744073709551616, 20, 24), }",
    "{'descr': '|V0', 'fortran_order': False, 'shape': (2, 20, 24, 3), }",
    "{'descr': '<U0', 'fortran_order': False, 'shape': (2, 20, 24, 3), }",
    "{'descr': '|O', 'fortran_order': False, 'shape': (2, 20, 24), }",
    "{'descr': [('a', '|u1', (3,))], 'fortran_order': False, 'shape': (2, 20, 24), }",
    "{'descr': ('|u1', (3,)), 'fortran_order': False, 'shape': (2, 20, 24), }",
    "{'descr': '<f2', 'fortran_order': False, 'shape': (2, 20, 24, 1.5), }",
    "{'descr': '<M8[s]', 'fortran_order': False, 'shape': (2, 20, 24), }",
    "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 20, 24), }",
    "[" * 3000,
    "(" * 90 + ")" * 90,
    "{'descr': '|u1', 'shape': \n  \\ \n",
    "__import__('os').system('echo > CREATED')",
    "'" + "a" * 9900,
)


def _npy(data: bytes, rng: np.random.Generator) -> bytes:
    """Replace the header of an ``.npy`` file."""
    text = _HEADERS[rng.integers(len(_HEADERS))].encode()
    version = int(rng.choice((1, 2, 3, 9)))
    size = len(text) if rng.random() < 0.8 else _edge(rng)
    length = struct.pack("<H", size % 65536) if version == 1 else struct.pack("<I", size % 2**32)
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + data[128:]


def _npz(data: bytes, rng: np.random.Generator) -> bytes:
    """Rewrite an ``.npz`` file with another header in a member, or lie about its size."""
    if rng.random() < 0.3:
        changed = bytearray(data)
        at = data.rfind(b"PK\x01\x02", 0, max(0, len(data) - int(rng.integers(len(data) + 1))))
        if at < 0:
            return _bits(data, rng)
        field, code = [(8, "H"), (10, "H"), (20, "I"), (24, "I"), (28, "H"), (30, "H"), (42, "I")][
            rng.integers(7)
        ]
        try:
            number = _edge(rng) % 256 ** struct.calcsize(code)
            struct.pack_into(f"<{code}", changed, at + field, number)
        except struct.error:
            return _bits(data, rng)
        return bytes(changed)
    stream = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as box, zipfile.ZipFile(stream, "w") as new:
            for name in box.namelist():
                member = box.read(name)
                member = _npy(member, rng) if rng.random() < 0.5 else _bits(member, rng)
                new.writestr(name, member, compress_type=int(rng.choice((0, 8, 12, 14))))
    except Exception:
        return _bits(data, rng)
    return stream.getvalue()


# --- Running ----------------------------------------------------------------------------------


def run(
    seconds: float, random_state: int = 0, report: Callable[[str], object] = print
) -> dict[str, int]:
    """Read mutated files for a while.

    Parameters
    ----------
    seconds : float
        Time to spend.
    random_state : int
        Seed of the mutations.
    report : callable
        Called with a line about every failure, and with a summary at the end.

    Returns
    -------
    dict of str to int
        Numbers of files that were ``read`` and ``refused``, and of failures: ``other_errors``,
        ``slow`` files, ``printed`` lines of codecs, ``written`` files, ``memory`` in MB above
        `MEGABYTES`.
    """
    rng = np.random.default_rng(random_state)
    kinds = list(seeds().items())
    counts: Counter[str] = Counter(
        {"read": 0, "refused": 0, "other_errors": 0, "slow": 0, "printed": 0, "written": 0}
    )
    before, end = _peak(), time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder, _inside(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while time.monotonic() < end:
            name, data = kinds[rng.integers(len(kinds))]
            data = mutate(data, rng)
            start = time.monotonic()
            with _standard_error() as printed:
                failures = _try(name, data, Path(folder), counts)
            lines = printed()
            took = time.monotonic() - start
            counts["slow"] += took > SECONDS
            counts["printed"] += bool(lines)
            for failure in failures:
                counts["other_errors"] += 1
                report(f"{name}: {failure}")
            if took > SECONDS or lines or failures:
                report(f"{name}: {took:.1f} s, {lines[:200]!r}, {zlib.compress(data).hex()[:4000]}")
        stray = [path for path in os.listdir(folder) if path != "file.npz"]
        counts["written"] = len(stray)
    counts["memory"] = max(0, _peak() - before - MEGABYTES)
    report(", ".join(f"{count:,} {what}" for what, count in counts.items()))
    return dict(counts)


def _try(name: str, data: bytes, folder: Path, counts: Counter[str]) -> list[str]:
    failures = []
    calls: list[Callable[[], object]]
    if name.endswith(".npz"):
        path = folder / "file.npz"
        path.write_bytes(data)
        calls = [lambda: array_shapes(path)]
        for reader in (read, read_labels):
            for part in ("a,0", "a,1", "b,0"):
                calls.append(
                    lambda r=reader, part=part: r(f"{path}#image={part}", max_pixels=LIMIT)
                )
    else:
        calls = [lambda r=reader: r(data, max_pixels=LIMIT) for reader in (read, read_labels)]
    for call in calls:
        try:
            call()
            counts["read"] += 1
        except ImageError:
            counts["refused"] += 1
        except Exception as error:
            failures.append(f"{type(error).__name__}: {error}"[:300])
    return failures


@contextmanager
def _inside(folder: str):
    former = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(former)


@contextmanager
def _standard_error():
    """Collect what codecs write to the file of the standard error stream."""
    former = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield lambda: lines[0]
        finally:
            os.dup2(former, 2)
            os.close(former)
            file.seek(0)
            lines = [file.read(10_000).decode("utf-8", "replace")]


def _peak() -> int:
    """Return the largest memory of this process so far, in MB; 0 where it is not known."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
