"""Write image files: damaged in every way, and of every kind that must be readable."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import Image


def picture(height: int = 24, width: int = 32, seed: int = 0) -> np.ndarray:
    """Return an image, (H, W, 3) uint8, of a dark disc on a bright field with some noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    disc = (y - height / 2) ** 2 + (x - width / 2) ** 2 < (min(height, width) / 3) ** 2
    image = np.where(disc[..., None], (110, 70, 150), (225, 215, 230))
    return np.clip(image + rng.integers(-9, 10, image.shape), 0, 255).astype(np.uint8)


def encoded(image: np.ndarray | Image.Image, kind: str, **options: object) -> bytes:
    """Return the bytes of an image file."""
    stream = io.BytesIO()
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    image.save(stream, kind, **options)
    return stream.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk of a PNG with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """Return a PNG whose header states a size."""
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + png_chunk(b"IEND", b"")


def _bmp_header(width: int, height: int) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 2835, 2835, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + info


def _bmp_with_alpha(rgba: np.ndarray) -> bytes:
    """Return a version 4 BMP, whose bit fields state that the fourth byte is alpha."""
    height, width = rgba.shape[:2]
    info = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, 0, 2835, 2835, 0, 0)
    fields = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48)
    rows = np.ascontiguousarray(rgba[::-1, :, [2, 1, 0, 3]]).tobytes()
    return b"BM" + struct.pack("<IHHI", 122 + len(rows), 0, 0, 122) + info + fields + rows


def _tiff(image: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, image, **options)
    return stream.getvalue()


def write_bad_files(folder: Path) -> dict[str, str]:
    """Write files with the suffix of an image that cannot be read.

    Returns
    -------
    dict of str to str
        Words that the error must contain, by the name of the file.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    image = picture()
    jpeg, whole_png = encoded(image, "JPEG", quality=90), encoded(image, "PNG")
    bmp, tiff = encoded(image, "BMP"), _tiff(image)
    flipped = bytearray(whole_png)
    flipped[whole_png.index(b"IDAT") + 30] ^= 0xFF
    frame = jpeg.index(b"\xff\xc0")
    twelve, flat = bytearray(jpeg), bytearray(jpeg)
    twelve[frame + 4] = 12
    flat[frame + 5 : frame + 7] = b"\0\0"
    # Tables without a frame, as in a file whose head was overwritten.
    headless = jpeg[:frame] + jpeg[jpeg.index(b"\xff\xc4") :]
    no_code = bytearray(encoded(image, "TIFF", compression="tiff_lzw"))
    no_code[8:60] = b"\xff" * 52
    wide_code = bytearray(cv2.imencode(".tiff", image.astype(np.uint16) * 257)[1].tobytes())
    wide_code[40:90] = b"\xff" * 50
    files: dict[str, tuple[bytes, str]] = {
        "empty.jpg": (b"", "empty"),
        "cut_half.jpg": (jpeg[: len(jpeg) // 2], "truncated JPEG"),
        "cut_last_byte.jpg": (jpeg[:-1], "truncated JPEG"),
        "cut_in_header.jpg": (jpeg[:40], "truncated JPEG"),
        "start_only.jpg": (b"\xff\xd8\xff\xd9", "without picture data"),
        "tables_only.jpg": (jpeg[: jpeg.index(b"\xff\xda")] + b"\xff\xd9", "without picture data"),
        "no_frame.jpg": (headless, "without picture data"),
        "twelve_bits.jpg": (bytes(twelve), "12-bit JPEG"),
        "no_rows.jpg": (bytes(flat), "no pixels"),
        "cut_half.png": (whole_png[: len(whole_png) // 2], "truncated PNG"),
        "cut_end.png": (whole_png[:-12], "truncated PNG"),
        "flipped_byte.png": (bytes(flipped), "checksum"),
        "no_pixels.png": (png(8, 8), "without picture data"),
        "no_such_depth.png": (
            whole_png.replace(
                whole_png[8:33],
                png_chunk(
                    b"IHDR", struct.pack(">IIBBBBB", 32, 24, 8, 2, 0, 0, 0)[:8] + b"\7\2\0\0\0"
                ),
            ),
            "damaged PNG",
        ),
        "short_rows.png": (png(8, 8, png_chunk(b"IDAT", zlib.compress(b"\0\0"))), "damaged PNG"),
        "bomb.png": (
            png(60000, 60000, png_chunk(b"IDAT", zlib.compress(b"\0" * 1000))),
            "megapixels",
        ),
        "animation.png": (
            png(8, 8, png_chunk(b"acTL", struct.pack(">II", 3, 0)), png_chunk(b"IDAT", b"")),
            "3 frames",
        ),
        "cut_half.bmp": (bmp[: len(bmp) // 2], "truncated BMP"),
        "cut_in_header.bmp": (bmp[:30], "truncated BMP"),
        "bomb.bmp": (_bmp_header(50000, 50000), "truncated BMP"),
        "cut_half.tif": (tiff[: len(tiff) // 2], "truncated TIFF"),
        "cut_in_header.tif": (tiff[:12], "TIFF"),
        "damaged.tif": (bytes(no_code), "damaged TIFF"),
        "damaged_sixteen.tif": (bytes(wide_code), "damaged TIFF"),
        "two_pages.tif": (_tiff(np.stack([image, image]), photometric="rgb"), "2 pages"),
        "twelve_bits.tif": (_tiff(image[:, :, 0].astype(np.uint16) * 16), "scale is unknown"),
        "not_a_number.tif": (_tiff(np.full((8, 8), np.nan, np.float32)), "not finite"),
        "negative.tif": (_tiff(np.full((8, 8), -3, np.int16)), "negative"),
        "large_floats.tif": (_tiff(np.full((8, 8), 1e6, np.float32)), "floats up to"),
        "five_channels.tif": (
            _tiff(np.zeros((8, 8, 5), np.uint8), photometric="minisblack", planarconfig="contig"),
            "shape",
        ),
        "text.jpg": (b"patient;label\n7;monocyte\n", "text"),
        "page.jpg": (b"<!DOCTYPE html><html>404</html>", "web page"),
        "document.png": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "PDF"),
        "archive.jpeg": (b"PK\x03\x04" + bytes(60), "ZIP"),
        "moving.bmp": (encoded(image, "GIF"), "GIF"),
        "web.png": (encoded(image, "WEBP"), "WebP"),
        "zeros.jpg": (bytes(4096), "all zero"),
        "noise.tiff": (b"\x9c\x01\xfe\x80" * 100, "starts with 9c 01"),
        "pointer.png": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
        "beside.jpg": (b"\0\x05\x16\x07\0\x02\0\0Mac OS X" + bytes(80), "macOS"),
        "array.png": (b"\x93NUMPY\x01\0v\0{'descr': '|u1'}", "NumPy"),
    }
    for name, (data, _) in files.items():
        (folder / name).write_bytes(data)
    (folder / "folder.jpg").mkdir(exist_ok=True)
    return {name: words for name, (_, words) in files.items()} | {"folder.jpg": "folder"}


def write_good_files(folder: Path) -> dict[str, np.ndarray]:
    """Write files of every kind that must be readable.

    Returns
    -------
    dict of str to ndarray
        Image, (H, W, 3) uint8, by the name of the file; a JPEG differs from it by a few levels.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    image = picture()
    grey = np.asarray(Image.fromarray(image).convert("L"))
    grey_rgb = np.repeat(grey[:, :, None], 3, axis=2)
    bits = np.where(grey > 160, 255, 0).astype(np.uint8)
    bits_rgb = np.repeat(bits[:, :, None], 3, axis=2)
    ramp = np.linspace(0, 255, grey.shape[1]).round().astype(np.uint8)
    alpha = np.repeat(ramp[None], grey.shape[0], axis=0)
    share = alpha[:, :, None] / 255.0
    on_white = np.rint(image * share + 255 * (1 - share)).astype(np.uint8)
    grey_on_white = np.rint(grey_rgb * share + 255 * (1 - share)).astype(np.uint8)
    rgba = np.dstack([image, alpha])
    palette = Image.fromarray(image).quantize(32)
    palette_rgb = np.asarray(palette.convert("RGB"))
    clear = np.where(np.asarray(palette)[..., None] == 3, 255, palette_rgb).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = np.rot90(image, -1)
    smooth = np.asarray(Image.fromarray(image).resize((64, 48), Image.Resampling.BICUBIC))
    cmyk = Image.fromarray(smooth).convert("CMYK")
    wide = image.astype(np.uint16) * 257
    files: dict[str, tuple[bytes, np.ndarray]] = {
        "plain.jpg": (encoded(smooth, "JPEG", quality=98, subsampling=0), smooth),
        "progressive.jpeg": (
            encoded(smooth, "JPEG", quality=98, subsampling=0, progressive=True),
            smooth,
        ),
        "grey.jpg": (encoded(grey, "JPEG", quality=99), grey_rgb),
        "cmyk.jpg": (encoded(cmyk, "JPEG", quality=98, subsampling=0), smooth),
        "turned.jpg": (
            encoded(smooth, "JPEG", quality=98, subsampling=0, exif=exif),
            np.rot90(smooth, -1),
        ),
        "no_jfif.jpg": (_without_jfif(encoded(smooth, "JPEG", quality=98, subsampling=0)), smooth),
        "trailing.jpg": (encoded(smooth, "JPEG", quality=98, subsampling=0) + b"\0" * 700, smooth),
        "plain.png": (encoded(image, "PNG"), image),
        "grey.png": (encoded(grey, "PNG"), grey_rgb),
        "one_bit.png": (encoded(Image.fromarray(bits).convert("1"), "PNG"), bits_rgb),
        "sixteen.png": (encoded(grey.astype(np.uint16) * 257, "PNG"), grey_rgb),
        "rgba.png": (encoded(rgba, "PNG"), on_white),
        "opaque.png": (encoded(np.dstack([image, np.full_like(grey, 255)]), "PNG"), image),
        "empty_alpha.png": (encoded(np.dstack([image, np.zeros_like(grey)]), "PNG"), image),
        "grey_alpha.png": (
            encoded(Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)]), "PNG"),
            grey_on_white,
        ),
        "palette.png": (encoded(palette, "PNG"), palette_rgb),
        "clear_palette.png": (encoded(palette, "PNG", transparency=3), clear),
        "turned.png": (encoded(image, "PNG", exif=exif), turned),
        "profile.png": (encoded(image, "PNG", icc_profile=b"no profile at all"), image),
        "plain.bmp": (encoded(image, "BMP"), image),
        "grey.bmp": (encoded(grey, "BMP"), grey_rgb),
        "one_bit.bmp": (encoded(Image.fromarray(bits).convert("1"), "BMP"), bits_rgb),
        "palette.bmp": (encoded(palette, "BMP"), palette_rgb),
        "opaque.bmp": (encoded(np.dstack([image, np.full_like(grey, 255)]), "BMP"), image),
        "alpha.bmp": (_bmp_with_alpha(rgba), on_white),
        "plain.tif": (_tiff(image, photometric="rgb"), image),
        "grey.tiff": (_tiff(grey), grey_rgb),
        "lzw.tif": (encoded(image, "TIFF", compression="tiff_lzw"), image),
        "deflate.tif": (_tiff(image, photometric="rgb", compression="zlib"), image),
        "one_bit.tif": (
            encoded(Image.fromarray(bits).convert("1"), "TIFF", compression="group4"),
            bits_rgb,
        ),
        "palette.tif": (encoded(palette, "TIFF"), palette_rgb),
        "rgba.tif": (encoded(rgba, "TIFF"), on_white),
        "turned.tif": (encoded(image, "TIFF", exif=exif), turned),
        "planar.tif": (
            _tiff(image.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"),
            image,
        ),
        "sixteen.tif": (_tiff(wide, photometric="rgb"), image),
        "sixteen_planar.tif": (
            _tiff(wide.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"),
            image,
        ),
        "sixteen_turned.tif": (
            _tiff(wide, photometric="rgb", extratags=[(274, 3, 1, 6, True)]),
            turned,
        ),
        "sixteen_grey.tif": (_tiff(grey.astype(np.uint16) * 257), grey_rgb),
        "sixteen_inverse.tif": (
            _tiff(65535 - grey.astype(np.uint16) * 257, photometric="miniswhite"),
            grey_rgb,
        ),
        "float.tif": (_tiff((image / 255.0).astype(np.float32), photometric="rgb"), image),
        "big.tif": (_tiff(image, photometric="rgb", bigtiff=True), image),
        "big_endian.tif": (_tiff(wide, photometric="rgb", byteorder=">"), image),
        "thumbnail.tif": (_with_thumbnail(image), image),
        "really_a_png.jpg": (encoded(image, "PNG"), image),
        "Zelle \u00e4\u00f6\u00fc \u7d30\u80de.PNG": (encoded(image, "PNG"), image),
    }
    for name, (data, _) in files.items():
        (folder / name).write_bytes(data)
    return {name: expected for name, (_, expected) in files.items()}


def _without_jfif(jpeg: bytes) -> bytes:
    assert jpeg[2:4] == b"\xff\xe0"
    return jpeg[:2] + jpeg[4 + int.from_bytes(jpeg[4:6], "big") :]


def _with_thumbnail(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as file:
        file.write(image, photometric="rgb")
        file.write(image[::2, ::2], photometric="rgb", subfiletype=1)
    return stream.getvalue()


def tiff_of(
    tags: dict[int, int | list[int]],
    pixels: bytes = bytes(64 * 64),
    *,
    order: str = "<",
    big: bool = False,
    pages: int = 1,
    after: int | None = None,
) -> bytes:
    """Return a TIFF of 64 x 64 grey pixels in which `tags` replace or join its own.

    `after` is the number of the page that follows the last one, counted from 0; by default none
    does. The value of the tags 273 and 279 (offset and size of the strip) is set if it is missing.
    """
    head, entry = (16, 20) if big else (8, 12)
    own = {256: 64, 257: 64, 258: 8, 259: 1, 262: 1, 277: 1, 278: 64}
    own |= {273: 0, 279: len(pixels)} if 322 not in tags else {324: 0, 325: len(pixels)}
    body = bytearray()
    used = own | tags
    size = (8 if big else 2) + len(used) * entry + (8 if big else 4)
    starts = [head + number * size for number in range(pages)]
    base = head + pages * size
    used = {code: base if code in (273, 324) and not used[code] else used[code] for code in used}
    body += pixels
    directories = bytearray()
    for number in range(pages):
        directories += struct.pack(f"{order}{'Q' if big else 'H'}", len(used))
        for code in sorted(used):
            value = used[code]
            values = value if isinstance(value, list) else [value]
            packed = struct.pack(f"{order}{len(values)}I", *values)
            field = 8 if big else 4
            if len(packed) > field:
                packed = struct.pack(f"{order}{'Q' if big else 'I'}", base + len(body))
                body += struct.pack(f"{order}{len(values)}I", *values)
            directories += struct.pack(f"{order}HH{'Q' if big else 'I'}", code, 4, len(values))
            directories += packed.ljust(field, b"\0")
        follows = starts[number + 1] if number + 1 < pages else 0
        if number + 1 == pages and after is not None:
            follows = starts[after]
        directories += struct.pack(f"{order}{'Q' if big else 'I'}", follows)
    mark = {"<": b"II", ">": b"MM"}[order]
    version = (
        struct.pack(f"{order}HHHQ", 43, 8, 0, head) if big else struct.pack(f"{order}HI", 42, head)
    )
    return mark + version + bytes(directories) + bytes(body)
