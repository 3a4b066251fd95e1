"""Files made to hang a decoder, to fill the memory or to break a parser end in an `ImageError`."""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import resource
import stat
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from hemafeat.images import ImageError, array_shapes, read, read_labels
from hemafeat.images._quiet import quiet_codecs
from support import fuzz_images
from support.bad_files import encoded, picture, png, png_chunk, tiff_of

# Pillow says in warnings what it makes of damaged metadata; users do not see them.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

KINDS = [{"order": order, "big": big} for order in "<>" for big in (False, True)]
PACKED = zlib.compress(bytes(64 * 64))


def refused(data: bytes, words: str = "is") -> str:
    """Check that a file is refused at once as an image and as a mask; return the reason."""
    start = time.perf_counter()
    for reader in (read, read_labels):
        with pytest.raises(ImageError, match=words) as caught:
            reader(data)
        assert "\n" not in caught.value.reason
    assert time.perf_counter() - start < 2
    return caught.value.reason


# --- TIFF -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_directories_that_form_a_loop(kind):
    assert read(tiff_of({}, **kind)).shape == (64, 64, 3)
    for pages, after in ((1, 0), (2, 0), (2, 1), (3, 1), (50, 7)):
        refused(tiff_of({}, pages=pages, after=after, **kind), "directories form a loop")
        # Thumbnails are no pages, and their chain is followed as well.
        refused(tiff_of({254: 1}, pages=pages, after=after, **kind), "directories form a loop")
    refused(tiff_of({}, pages=300, **kind), "300 pages")
    refused(tiff_of({254: 1}, pages=3, **kind), "without a page")


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_inner_directories_are_not_followed(kind):
    # SubIFDs, EXIF and GPS directories that point at the first directory itself.
    first = 16 if kind["big"] else 8
    for code in (330, 34665, 34853, 40965):
        data = tiff_of({code: [first, first, first]}, **kind)
        assert read(data).shape == (64, 64, 3)
        assert read_labels(data).shape == (64, 64)


def test_too_many_directories_are_not_counted():
    refused(tiff_of({254: 1}, pages=5000), "more than 4,096 pages")
    # Directories of 60,000 tags that lie over each other.
    data = bytearray(b"II*\0" + struct.pack("<I", 8) + bytes(10**6))
    for number in range(3000):
        at = 8 + 2 * number
        struct.pack_into("<H", data, at, 60_000 + number % 7)
    refused(bytes(data), "tags")


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize(
    ("tags", "pixels", "words"),
    [
        ({32997: 50}, bytes(64 * 64), "volume of 50 slices"),
        ({256: 8192, 257: 8192, 32997: 50, 259: 8}, PACKED, "volume of 50"),
        ({259: 8}, zlib.compress(bytes(10**7)), "more than the stated size"),
        ({259: 32946}, zlib.compress(bytes(64 * 64 + 1)), "more than the stated size"),
        ({259: 32773}, b"\x81\0" * 20_000, "more than the stated size"),
        ({259: 32773}, b"\x80" * 10**6, "more than the stated size"),
        ({259: 8, 258: 16}, zlib.compress(bytes(10**7)), "more than the stated size"),
        ({259: 8, 322: 16, 323: 16}, zlib.compress(bytes(257)), "part of its picture data"),
        ({322: 2**31, 323: 2**31, 259: 8}, PACKED, "too much"),
        ({322: 0, 323: 16}, bytes(64), "TIFF"),
        ({277: 60_000}, bytes(64 * 64), "TIFF|shape"),
        ({277: 5, 258: [8] * 5}, bytes(64 * 64 * 5), "shape"),
        ({256: 2**31, 257: 2**31}, bytes(64), "megapixels"),
        ({256: 0}, bytes(64), "TIFF|no pixels"),
        ({258: 4_000_000}, bytes(64), "TIFF|too much"),
        ({278: 1}, bytes(64), "part of its picture data"),
        ({273: [8, 8], 279: [5000, 0], 278: 32}, bytes(5000), "part of its picture data"),
        ({279: 2**31}, bytes(64), "truncated"),
    ],
    ids=str,
)
def test_what_a_tiff_states(kind, tags, pixels, words):
    refused(tiff_of(tags, pixels, **kind), words)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_tags_of_the_wrong_type(kind):
    """A fraction as the depth made a decoder allocate a tuple for every row."""
    data = tiff_of({32997: 1, 257: 64}, **kind)
    order, big = kind["order"], kind["big"]
    start, entry = (24, 20) if big else (10, 12)
    n_entries = data[16] + data[23] if big else data[8] + data[9]
    for at in range(start, start + n_entries * entry, entry):
        code = struct.unpack_from(f"{order}H", data, at)[0]
        for dtype in (2, 5, 7, 9, 11, 12, 99):
            changed = bytearray(data)
            struct.pack_into(f"{order}H", changed, at + 2, dtype)
            refused(bytes(changed), f"tag {code} is not a number|truncated|larger than the file")
    # Tags of microscopes and cameras are not looked at.
    for code in (
        34412,
        33628,
        33629,
        34361,
        50838,
        50839,
        65420,
        65426,
        33723,
        34377,
        50288,
        43314,
    ):
        assert read(tiff_of({code: [2**31] * 9}, **kind)).shape == (64, 64, 3)


def test_a_page_behind_its_thumbnail_is_the_one_read():
    """Decoders take the first directory, whatever it says of itself."""
    image = picture(30, 40)
    for compression in (None, "tiff_lzw"):
        stream = io.BytesIO()
        small = Image.fromarray(image[::2, ::2])
        options = {} if compression is None else {"compression": compression}
        small.save(
            stream, "TIFF", save_all=True, append_images=[Image.fromarray(image)],
            tiffinfo={254: 1}, **options,
        )  # fmt: skip
        data = bytearray(stream.getvalue())
        # Pillow marks both as thumbnails: make the second one a page.
        at = struct.unpack_from("<I", data, 4)[0]
        at += 2 + 12 * struct.unpack_from("<H", data, at)[0]
        second = struct.unpack_from("<I", data, at)[0]
        assert struct.unpack_from("<H", data, second + 2)[0] == 254
        struct.pack_into("<I", data, second + 2 + 8, 0)
        np.testing.assert_array_equal(read(bytes(data)), image)


# --- PNG and JPEG -----------------------------------------------------------------------------


def with_chunks(data: bytes, *chunks: bytes) -> bytes:
    return data[:33] + b"".join(chunks) + data[33:]


def test_odd_chunks_of_deep_pngs(capfd):
    wide = picture(8, 9).astype(np.uint16) * 257
    colour = cv2.imencode(".png", wide)[1].tobytes()
    clear = cv2.imencode(".png", np.dstack([wide, wide[..., 0]]))[1].tobytes()
    bodies = [b"", b"\0", b"II*\0", b"MM\0*" + b"\xff" * 30, b"Exif\0\0", bytes(5000), b"II*\0\x08"]
    bodies.append(b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\x63\0\0\0\x08\0\0\0")
    for data in (colour, clear, encoded(picture(8, 9), "PNG")):
        plain = read(data)
        for body in bodies:
            odd = with_chunks(data, png_chunk(b"eXIf", body))
            np.testing.assert_array_equal(read(odd), plain)
    for body in (b"", b"\0", b"\0\1\2\3\4", bytes(7), bytes(255)):
        refused(with_chunks(colour, png_chunk(b"tRNS", body)), r"tRNS chunk has \d+ bytes")
    assert capfd.readouterr().err == ""


def test_what_chunks_inflate_to_is_ignored():
    bomb = zlib.compress(bytes(5 * 10**7))
    head = {b"zTXt": b"a\0\0", b"iTXt": b"a\0\1\0\0\0", b"iCCP": b"a\0\0"}
    for image in (picture(8, 9), np.dstack([picture(8, 9), np.full((8, 9), 255, np.uint8)])):
        data = encoded(image, "PNG")
        chunks = [png_chunk(kind, start + bomb) for kind, start in head.items()]
        np.testing.assert_array_equal(read(with_chunks(data, *chunks)), picture(8, 9))
    # More rows than stated are not read.
    refused(png(8, 8, png_chunk(b"IDAT", zlib.compress(b"\0\0"))))


def test_a_jpeg_of_thousands_of_scans_is_refused():
    data = encoded(picture(64, 64), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    many = data[:last] + data[last:-2] * 3000 + b"\xff\xd9"
    refused(many, "scans; at most 200")
    assert read(data).shape == (64, 64, 3)


def test_codecs_print_nothing(capfd):
    """The C libraries print to the file of the standard error stream, past `sys.stderr`."""
    rng = np.random.default_rng(5)
    seeds = fuzz_images.seeds()
    for name, data in seeds.items():
        if not name.endswith(".npz"):
            for _ in range(40):
                changed = bytearray(data)
                changed[rng.integers(100, len(changed))] ^= 1 << int(rng.integers(8))
                for reader in (read, read_labels):
                    with contextlib.suppress(ImageError):
                        reader(bytes(changed))
    os.write(2, b"still there\n")
    print("and so is Python", file=sys.stderr)
    assert capfd.readouterr().err == "still there\nand so is Python\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked on this system")
def test_a_process_forked_while_a_codec_is_silent_is_not(capfd):
    with quiet_codecs():
        child = os.fork()
        if not child:
            # In the child nobody is decoding: it can, and it speaks.
            ctypes.CDLL(None).perror(b"child")
            read(encoded(picture(), "PNG"))
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        ctypes.CDLL(None).perror(b"parent")
    assert capfd.readouterr().err.startswith("child")


@pytest.mark.parametrize(
    "data",
    [
        b"P6 100000 100000 255\n" + bytes(30),
        b"GIF89a\xff\xff\xff\xff" + bytes(30),
        b"RIFF\x20\0\0\0WEBPVP8X\n\0\0\0" + b"\xff" * 12,
        b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40),
        b"v/1\x01" + b"\xff" * 40,
        b"8BPS\0\1" + bytes(20),
        b"\x93NUMPY\1\0" + b"\xff" * 20,
        b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + struct.pack(
            "<IiiHHIIiiII", 40, 2**31 - 1, -(2**31), 1, 8, 1, 0, 0, 0, 0, 0
        ),
    ],
    ids=["pnm", "gif", "webp", "jpeg2000", "exr", "psd", "npy", "bmp"],
)  # fmt: skip
def test_what_states_gigapixels_is_refused_at_once(data):
    refused(data)


# --- Archives of arrays -----------------------------------------------------------------------


def npz_with_header(header: bytes, version: int = 1, pixels: bytes = bytes(960)) -> bytes:
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as box:
        box.writestr("a.npy", b"\x93NUMPY" + bytes([version, 0]) + length + header + pixels)
    return stream.getvalue()


@pytest.mark.parametrize("version", [1, 2, 3, 200])
def test_headers_of_arrays(tmp_path, version, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fine = b"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 20, 24)}"
    Path("a.npz").write_bytes(npz_with_header(fine))
    assert read("a.npz#image=a,1").shape == (20, 24, 3)
    headers = [header.encode() for header in fuzz_images._HEADERS]
    headers += [
        fine.replace(b"24)", shape)
        for shape in (b"24, 1000000)", b"-24)", b"24e9)", b"99999999999999999999)", b"2400)")
    ]
    headers += [b"", b"\0" * 30, b"{'a': " * 2000, b"-" * 9000 + b"1", b"9" * 9000, b"\xff\xfe"]
    for number, header in enumerate(headers):
        Path(f"{number}.npz").write_bytes(npz_with_header(header, version))
        for reader in (read, read_labels):
            with pytest.raises(ImageError):
                reader(f"{number}.npz#image=a,1")
        # Other arrays may lie beside images: they have a shape, unless the file is damaged.
        with contextlib.suppress(ImageError):
            array_shapes(f"{number}.npz")
    assert not Path("CREATED").exists()


def test_an_archive_may_not_state_more_than_it_holds(tmp_path):
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (2000000, 20, 24)}"
    data = bytearray(npz_with_header(header))
    struct.pack_into("<I", data, data.rindex(b"PK\x01\x02") + 24, 2**32 - 2)
    (tmp_path / "a.npz").write_bytes(data)
    for index in (0, 1999999):
        with pytest.raises(ImageError, match="ends early"):
            read(f"{tmp_path}/a.npz#image=a,{index}")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes: not on this system")
def test_archives_and_uris_that_are_pipes_do_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    for name in (
        f"{tmp_path}/pipe.npz#image=a,0",
        f"file://{tmp_path}/pipe.npz",
        "file:///dev/zero",
    ):
        with pytest.raises(ImageError, match="not a regular file"):
            read(name)


# --- Memory -----------------------------------------------------------------------------------

PEAK = """
import json, resource, sys
from hemafeat.images import ImageError, read, read_labels
read(sys.argv[2]), read_labels(sys.argv[2])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
answers = []
for reader in (read, read_labels):
    try:
        answers.append(str(reader(sys.argv[1]).shape))
    except ImageError as error:
        answers.append(error.reason)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([answers, (after - before) / 1024]))
"""


def peak(data: bytes, tmp_path: Path) -> tuple[list[str], float]:
    """Return the answers of both readers, and the memory they took at most, in MB."""
    (tmp_path / "bomb.tif").write_bytes(data)
    (tmp_path / "small.tif").write_bytes(tiff_of({}))
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path / "bomb.tif"), str(tmp_path / "small.tif")],
        capture_output=True, check=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (60, 60)),
    )  # fmt: skip
    answers, megabytes = json.loads(done.stdout)
    return answers, megabytes


@pytest.mark.skipif(sys.platform != "linux", reason="units of memory differ")
@pytest.mark.parametrize(
    ("tags", "pixels"),
    [
        ({259: 8}, zlib.compress(bytes(2 * 10**9), 9)),
        ({256: 8192, 257: 8192, 278: 8192, 32997: 50, 259: 8}, zlib.compress(bytes(10**6))),
        ({259: 8, 322: 65_536, 323: 32_768}, zlib.compress(bytes(10**6))),
        ({258: [64] * 4, 277: 4, 339: [3] * 4, 256: 8192, 257: 8192, 278: 8192, 259: 8}, PACKED),
        ({259: 5, 256: 8192, 257: 8192, 278: 8192}, bytes(500)),
    ],
    ids=["inflates", "depth", "tile", "doubles", "lzw"],
)
def test_memory_is_bounded_by_what_is_stated(tmp_path, tags, pixels):
    answers, megabytes = peak(tiff_of(tags, pixels), tmp_path)
    assert not any(answer.startswith("(") for answer in answers), answers
    # 8192 x 8192 grey pixels, decoded once or twice.
    assert megabytes < 400, answers


# --- Anything ---------------------------------------------------------------------------------


def test_a_decoder_may_raise_anything(monkeypatch, tmp_path):
    """One place turns it into an `ImageError`."""
    data = encoded(picture(), "PNG")
    for error in (
        *(ValueError, OverflowError, SyntaxError, struct.error, RecursionError, KeyError),
        *(NotImplementedError, OSError, MemoryError, IndexError, AssertionError, zlib.error),
        *(cv2.error, TypeError, UnicodeDecodeError),
    ):
        arguments = ("utf-8", b"\xff", 0, 1, "odd") if error is UnicodeDecodeError else ("odd",)

        def fail(*_, error=error, arguments=arguments, **__):
            raise error(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr("hemafeat.images._read.header", fail)
            refused(data, "odd|memory")
    # An interruption is no fault of the image.
    with monkeypatch.context() as patch:
        patch.setattr(
            "hemafeat.images._read.header", lambda _: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            read(data)


def test_mutated_files():
    """The same for hours: python benchmarks/attack.py images."""
    lines: list[str] = []
    counts = fuzz_images.run(4, random_state=int(time.time()) // 86400, report=lines.append)
    assert counts["read"] > 20
    assert counts["refused"] > 100
    for fault in ("other_errors", "slow", "printed", "written", "memory"):
        assert counts[fault] == 0, lines


def test_a_small_file_needs_little_memory_and_a_growing_one_is_read_to_its_end(
    tmp_path, monkeypatch
):
    path = tmp_path / "cell.png"
    path.write_bytes(encoded(picture(), "PNG"))
    expected = read(path)
    tracemalloc.start()
    read(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**20
    state = list(os.stat(path))
    state[stat.ST_SIZE] = 10
    monkeypatch.setattr(os, "stat", lambda path: os.stat_result(state))
    assert np.array_equal(read(path), expected)
