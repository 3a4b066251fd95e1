"""Arrays are converted to RGB by documented rules; masks keep their values."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from hemafeat.images import ImageError, read, read_labels
from support.bad_files import picture, png_chunk

# --- Arrays -----------------------------------------------------------------------------------


def test_arrays():
    image = picture()
    grey = image[:, :, 0]
    spread = np.repeat(grey[:, :, None], 3, axis=2)
    on = grey > 128
    cases = [
        (image, image),
        (grey, spread),
        (grey[:, :, None], spread),
        (np.dstack([image, np.full_like(grey, 255)]), image),
        (np.dstack([image, np.zeros_like(grey)]), image),
        (image.astype(np.uint16) * 257, image),
        (image.astype(np.int64), image),
        (image.astype(np.uint16), image),
        (image / 255.0, image),
        (image.astype(np.float32), image),
        (image + 0.25, image),
        (on, np.repeat(on[:, :, None], 3, axis=2) * np.uint8(255)),
        (image[::-1, ::2], image[::-1, ::2]),
        (np.asfortranarray(image), image),
    ]
    for source, truth in cases:
        before = source.copy()
        result = read(source)
        np.testing.assert_array_equal(result, truth)
        assert result.dtype == np.uint8
        assert result.flags.c_contiguous
        np.testing.assert_array_equal(source, before)


def test_an_rgb_array_is_not_copied():
    image = picture()
    assert np.shares_memory(read(image), image)


def test_transparency_is_laid_on_white():
    image = np.zeros((1, 3, 4), np.uint8)
    image[0, :, 3] = (0, 128, 255)
    np.testing.assert_array_equal(read(image)[0, :, 0], [255, 127, 0])
    np.testing.assert_array_equal(read(image[:, :, 2:])[0, :, 0], [255, 127, 0])


def test_sixteen_bits_by_one_rule():
    values = np.array([[0, 128, 129, 4095, 32768, 65407, 65535]], np.uint16)
    np.testing.assert_array_equal(read(values)[0, :, 0], [0, 0, 1, 16, 128, 255, 255])
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    np.testing.assert_array_equal(read(every)[:, :, 0], np.rint(every / 257.0))


@pytest.mark.parametrize("bits", range(9, 16))
def test_the_bits_of_a_file_give_the_scale(bits):
    """Without them a maximum below half of 16 bits raises an error."""
    top = 2**bits - 1
    values = np.array([[0, top // 3, top // 2, top - 1]], np.uint16)
    truth = np.rint(values[0] * 255.0 / top)
    deep = cv2.imencode(".png", values)[1].tobytes()
    stated = deep[:33] + png_chunk(b"sBIT", bytes([bits])) + deep[33:]
    files = [stated]
    for options in (
        {"extratags": [(281, 3, 1, top, True)]},
        {"description": f'<OME><Pixels SignificantBits="{bits}"/></OME>'},
    ):
        stream = io.BytesIO()
        tifffile.imwrite(stream, values, **options)
        files.append(stream.getvalue())
    for file in files:
        np.testing.assert_allclose(read(file)[0, :, 0], truth, atol=0.5)
        # As a mask, the values are those in the file.
        np.testing.assert_array_equal(read_labels(file), values)
    stream = io.BytesIO()
    # The largest value of the image says nothing about its scale.
    tifffile.imwrite(stream, values, extratags=[(281, 3, 1, int(values.max()), True)])
    for file in (deep, stream.getvalue()):
        with pytest.raises(ImageError, match="scale is unknown"):
            read(file)


def test_the_upper_bits_of_a_png_are_the_significant_ones():
    values = np.array([[0, 16, 4096, 65520]], np.uint16)
    deep = cv2.imencode(".png", values)[1].tobytes()
    stated = deep[:33] + png_chunk(b"sBIT", b"\x0c") + deep[33:]
    np.testing.assert_array_equal(read(stated), read(deep))
    dark = cv2.imencode(".png", values[:, :3])[1].tobytes()
    full = dark[:33] + png_chunk(b"sBIT", b"\x10") + dark[33:]
    np.testing.assert_array_equal(read(full)[0, :, 0], [0, 0, 16])


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((0, 5, 3)), "empty"),
        (np.zeros((5, 0)), "empty"),
        (np.zeros(5), "shape"),
        (np.zeros(()), "shape"),
        (np.zeros((2, 5, 5, 3)), "shape"),
        (np.zeros((3, 40, 50)), "channels must be the last"),
        (np.zeros((5, 5, 7)), "shape"),
        (np.full((5, 5), np.nan), "not finite"),
        (np.full((5, 5), np.inf), "not finite"),
        (np.full((5, 5), -0.5), "negative"),
        (np.full((5, 5), 255.5), "floats up to 255.5"),
        (np.full((5, 5), -1, np.int16), "negative"),
        (np.full((5, 5), 256, np.int64), "integers up to 256"),
        (np.full((5, 5), 70000, np.uint32), "integers up to 70000"),
        *((np.full((5, 5), top, np.uint16), "scale is unknown") for top in (256, 1023, 4000)),
        *((np.full((5, 5), top, np.uint16), "multiply by 65535") for top in (4096, 16320, 32767)),
        (np.full((5, 5), 32767, np.int16), "scale is unknown"),
        (np.full((5, 5), 1 + 1j), "complex128"),
        (np.full((5, 5), "a"), "expected numbers"),
        (np.full((5, 5), None), "expected numbers"),
    ],
)
def test_arrays_without_a_meaning(array, words):
    with pytest.raises(ImageError, match=words):
        read(array)


# --- Masks ------------------------------------------------------------------------------------


def test_labels_are_the_values_in_the_file(tmp_path):
    rng = np.random.default_rng(3)
    small = rng.integers(0, 200, (12, 15)).astype(np.uint8)
    wide = rng.integers(0, 60000, (12, 15)).astype(np.uint16)
    deep = rng.integers(0, 2**31 - 1, (12, 15)).astype(np.int32)
    Image.fromarray(small).save(tmp_path / "grey.png")
    Image.fromarray(np.dstack([small] * 3)).save(tmp_path / "rgb.png")
    Image.fromarray(np.dstack([small] * 3 + [wide.astype(np.uint8)])).save(tmp_path / "rgba.png")
    Image.fromarray(small > 90).save(tmp_path / "bits.png")
    Image.fromarray(small).save(tmp_path / "grey.bmp")
    Image.fromarray(wide).save(tmp_path / "wide.png")
    tifffile.imwrite(tmp_path / "wide.tif", wide)
    tifffile.imwrite(tmp_path / "deep.tif", deep)
    tifffile.imwrite(tmp_path / "float.tif", small.astype(np.float32))
    # tifffile, and hence scikit-image, writes "0 is white"; stored values count, not appearance.
    tifffile.imwrite(tmp_path / "bits.tif", small > 90)
    tifffile.imwrite(tmp_path / "inverse.tif", small, photometric="miniswhite")
    Image.fromarray(small).save(tmp_path / "lzw.tif", compression="tiff_lzw")
    Image.fromarray(np.dstack([small] * 3)).save(tmp_path / "rgb_lzw.tif", compression="tiff_lzw")
    truth = {"wide": wide, "deep": deep, "bits": (small > 90).astype(np.uint8)}
    for file in tmp_path.iterdir():
        labels = read_labels(file)
        assert labels.dtype.kind in "iu", file.name
        np.testing.assert_array_equal(labels, truth.get(file.stem, small), err_msg=file.name)


def test_palettes_of_labels(tmp_path):
    indices = np.random.default_rng(0).integers(0, 4, (9, 9)).astype(np.uint8)
    coloured = Image.fromarray(indices).convert("P")
    coloured.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    coloured.save(tmp_path / "coloured.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "coloured.png"), indices)
    greys = np.array([0, 128, 255, 60], np.uint8)
    coloured.putpalette([int(grey) for grey in greys for _ in range(3)])
    coloured.save(tmp_path / "greys.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "greys.png"), greys[indices])


@pytest.mark.parametrize(
    ("greys", "means_greys"),
    [
        ([0, 128, 255, 60], True),
        ([128, 0, 255, 60], True),
        ([255, 0, 128, 60], True),
        ([255, 192, 128, 64], False),
        ([255, 0, 0, 0], False),
        ([0, 128, 128, 128], False),
        ([255, 255, 255, 255], False),
        ([0, 1, 2, 3], True),
    ],
)
@pytest.mark.parametrize("suffix", [".png", ".bmp"])
def test_a_grey_palette_shows_labels_or_stores_greys(tmp_path, greys, means_greys, suffix):
    """The background is along the border: index 0 if the palette shows labels, else black."""
    background = greys.index(0) if means_greys else 0
    indices = np.full((12, 12), background, np.uint8)
    indices[3:9, 3:9] = np.random.default_rng(0).integers(0, 4, (6, 6))
    image = Image.fromarray(indices).convert("P")
    image.putpalette([grey for grey in greys for _ in range(3)])
    image.save(tmp_path / f"mask{suffix}")
    expected = np.array(greys, np.uint8)[indices] if means_greys else indices
    np.testing.assert_array_equal(read_labels(tmp_path / f"mask{suffix}"), expected)


def test_label_arrays():
    labels = np.arange(12).reshape(3, 4)
    for source in (labels, labels.astype(float), labels[:, :, None], np.dstack([labels] * 3)):
        np.testing.assert_array_equal(read_labels(source), labels)
    assert read_labels(labels > 5).dtype == np.uint8
    wrong = [labels + 0.5, np.full((3, 3), np.nan), np.zeros(4), picture(), np.zeros((0, 3))]
    wrong += [np.full((3, 3), value) for value in (1e300, -1e300, np.inf, -np.inf, 2.0**63)]
    wrong += [np.full((3, 3), "a"), np.full((3, 3), None), np.full((3, 3), 1j)]
    for source in wrong:
        with pytest.raises(ImageError):
            read_labels(source)


def test_floats_that_do_not_tell_labels_apart():
    for dtype, largest in ((np.float16, 2**11), (np.float32, 2**24), (np.float64, 2**53)):
        labels = np.array([[0, largest]], dtype)
        np.testing.assert_array_equal(read_labels(labels), [[0, largest]])
        with pytest.raises(ImageError, match=f"above {largest:,} that type does not tell"):
            read_labels(labels * 2)
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.full((4, 4), 1e30, np.float32))
    with pytest.raises(ImageError, match="does not tell labels apart"):
        read_labels(stream.getvalue())
