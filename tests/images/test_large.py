"""Large images: only a part of the file is read, and what cannot be read is one clear line."""

import shutil

import numpy as np
import pytest
import tifffile

from hemafeat import datasets, images
from support.slides import draw_slide, write_slide

CORE = (300, 200, 150, 130)
PART = np.s_[160:370, 260:490]
NAME = "#level=0&xywh=300,200,150,130&margin=40"


@pytest.fixture(scope="module")
def picture():
    return draw_slide().image


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "zlib"},
        {"compression": None},
        {"tile": None, "rowsperstrip": 37},
        {"tile": None, "rowsperstrip": 900, "compression": None},
        {"predictor": 2},
        {"byteorder": ">"},
        {"bigtiff": True},
    ],
    ids=str,
)
def test_a_tile_is_the_part_of_the_image(tmp_path, picture, options):
    path = tmp_path / "slide.tif"
    given = {"tile": (128, 256), "compression": "zlib", "photometric": "rgb"} | options
    file = {name: given.pop(name) for name in ("byteorder", "bigtiff") if name in given}
    with tifffile.TiffWriter(path, **file) as writer:
        writer.write(picture, **given)
    np.testing.assert_array_equal(images.read(f"{path}{NAME}"), picture[PART])
    corner = images.read(f"{path}#level=0&xywh=1200,800,100,100&margin=40")
    np.testing.assert_array_equal(corner, picture[760:, 1160:])
    np.testing.assert_array_equal(images.read(f"{path}#level=0"), picture)


def test_grey_separate_and_sixteen_bits(tmp_path, picture):
    path = tmp_path / "slide.tif"
    for array, options in [
        (picture[:, :, 1].copy(), {"photometric": "minisblack"}),
        (picture[:, :, 1].copy(), {"photometric": "miniswhite"}),
        (np.moveaxis(picture, 2, 0).copy(), {"photometric": "rgb", "planarconfig": "separate"}),
        (
            picture.astype(np.uint16) << 4,
            {"photometric": "rgb", "extratags": [(281, "H", 3, (4095,) * 3, True)]},
        ),
    ]:
        tifffile.imwrite(path, array, tile=(256, 256), **options)
        np.testing.assert_array_equal(images.read(f"{path}{NAME}"), images.read(path)[PART])


def test_jpeg_tiles_without_their_tables_in_each(tmp_path, picture):
    pytest.importorskip("imagecodecs")
    path = tmp_path / "slide.tif"
    tifffile.imwrite(
        path, picture, tile=(256, 256), photometric="rgb", compression="jpeg",
        compressionargs={"level": 95},
    )  # fmt: skip
    difference = np.abs(images.read(f"{path}{NAME}").astype(int) - picture[PART])
    assert difference.mean() < 2


def test_levels_and_their_scale(tmp_path, picture):
    path = tmp_path / "slide.ome.tif"
    write_slide(path, picture, levels=3)
    levels = images.open_slide(path).levels
    assert [(level.width, level.height) for level in levels] == [
        (1300, 900),
        (650, 450),
        (325, 225),
    ]
    assert [level.um_per_px for level in levels] == pytest.approx([0.2, 0.4, 0.8])
    np.testing.assert_array_equal(images.read(f"{path}#level=1"), picture[::2, ::2])
    with pytest.raises(images.ImageError, match="has the levels 0 to 2, not 3"):
        images.read(f"{path}#level=3")
    with pytest.raises(images.ImageError, match="outside the image"):
        images.read(f"{path}#level=0&xywh=1300,0,10,10&margin=0")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"resolution": (40000, 40000), "resolutionunit": "CENTIMETER"}, 0.25),
        ({"resolution": (101600, 101600), "resolutionunit": "INCH"}, 0.25),
        ({"resolution": (72, 72), "resolutionunit": "INCH"}, np.nan),
        ({"resolution": (40000, 20000), "resolutionunit": "CENTIMETER"}, np.nan),
        ({"imagej": True, "resolution": (4, 4), "metadata": {"unit": "um"}}, 0.25),
        ({"imagej": True, "resolution": (4, 4), "metadata": {"unit": "pixel"}}, np.nan),
        ({"ome": True, "metadata": {"PhysicalSizeX": 250, "PhysicalSizeXUnit": "nm"}}, 0.25),
        ({}, np.nan),
    ],
)
def test_scale_of_the_metadata(tmp_path, picture, options, expected):
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, picture, photometric=None if "imagej" in options else "rgb", **options)
    (level,) = images.open_slide(path).levels
    assert level.um_per_px == pytest.approx(expected, nan_ok=True)


def test_what_cannot_be_read_is_one_line(tmp_path, picture):
    def reason(name="slide.tif"):
        with pytest.raises(images.ImageError) as caught:
            images.open_slide(tmp_path / name)
        assert caught.value.image.endswith(name)
        assert "\n" not in str(caught.value)
        return caught.value.reason

    path = tmp_path / "slide.tif"
    assert reason() == "does not exist"
    path.write_bytes(b"")
    assert reason() == "is empty (0 bytes)"
    path.write_bytes(b"a picture")
    assert reason() == "is not a TIFF file"
    tifffile.imwrite(path, picture, tile=(256, 256), photometric="rgb", compression="zlib")
    path.write_bytes(path.read_bytes()[:-1000])
    assert "truncated" in reason()
    tifffile.imwrite(path, np.stack([picture[:, :, 0]] * 3), photometric="minisblack")
    assert "3 pictures of one size" in reason()
    tifffile.imwrite(path, picture.astype(np.uint16) << 4, photometric="rgb")
    assert "16 bits" in reason()
    tifffile.imwrite(path, picture.astype(np.float32), photometric="rgb")
    assert "32 bits" in reason()
    tifffile.imwrite(path, np.zeros((9000, 8000), np.uint8), rowsperstrip=9000)
    assert "save it as a tiled TIFF" in reason()
    (tmp_path / "folder.zarr").mkdir()
    assert "zarr" in reason("folder.zarr")
    (tmp_path / "slide.svs").write_bytes(b"II*\0 not a slide")
    assert "OpenSlide" in reason("slide.svs")


def test_damaged_picture_data_is_an_error_of_its_tile(tmp_path, picture):
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, picture, tile=(256, 256), photometric="rgb", compression="zlib")
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        start, count = page.dataoffsets[0], page.databytecounts[0]
    data = bytearray(path.read_bytes())
    data[start : start + count] = b"\xff" * count
    path.write_bytes(data)
    with pytest.raises(images.ImageError, match="damaged"):
        images.read(f"{path}#level=0&xywh=0,0,100,100&margin=0")
    far = images.read(f"{path}#level=0&xywh=600,600,100,100&margin=0")
    np.testing.assert_array_equal(far, picture[600:700, 600:700])


def test_a_bomb_in_a_tile_is_refused(tmp_path):
    path = tmp_path / "slide.tif"
    black = np.zeros((4096, 4096), np.uint8)
    tifffile.imwrite(path, black, tile=(4096, 4096), compression="zlib")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        tags = file.pages[0].tags
        for name in ("TileWidth", "TileLength", "ImageWidth", "ImageLength"):
            tag = tags[name]
            data[tag.valueoffset : tag.valueoffset + 2] = (128).to_bytes(2, "little")
    path.write_bytes(data)
    with pytest.raises(images.ImageError, match="more than the stated size"):
        images.read(f"{path}#level=0&xywh=0,0,128,128&margin=0")


def test_sparse_tiles_are_empty_glass(tmp_path, picture):
    path = tmp_path / "slide.tif"
    tiles = [picture[:256, :256], None, None, None]
    tifffile.imwrite(
        path, iter(tiles), shape=(512, 512, 3), dtype=np.uint8, tile=(256, 256), photometric="rgb"
    )
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        tag = file.pages[0].tags["TileByteCounts"]
        size = tag.dtype_name and tag.valuebytecount // tag.count
        for number in range(1, 4):
            at = tag.valueoffset + number * size
            data[at : at + size] = bytes(size)
    path.write_bytes(data)
    read = images.read(f"{path}#level=0")
    np.testing.assert_array_equal(read[:256, :256], picture[:256, :256])
    assert (read[256:] == 255).all()


def test_jpeg_2000_is_refused_and_not_read_as_black(tmp_path, picture):
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, picture, photometric="rgb", compression="zlib")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        at = file.pages[0].tags["Compression"].valueoffset
    data[at : at + 2] = (34712).to_bytes(2, "little")
    path.write_bytes(data)
    for name in (path, f"{path}#level=0"):
        with pytest.raises(images.ImageError, match="JPEG2000, which is not read"):
            images.read(name)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["cyx", "tczyx", "yxc"])
def test_ome_zarr(tmp_path, picture, version, axes):
    zarr = pytest.importorskip("zarr")
    path = tmp_path / "slide.ome.zarr"
    array = {"yxc": picture, "cyx": np.moveaxis(picture, 2, 0)}.get(
        axes, np.moveaxis(picture, 2, 0)[None, :, None]
    )
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    sets = []
    for number in range(2):
        small = array[tuple(slice(None, None, 1 + number * (axis in "xy")) for axis in axes)]
        chunks = tuple(128 if axis in "xy" else 1 for axis in axes)
        made = group.create_array(str(number), shape=small.shape, dtype=small.dtype, chunks=chunks)
        made[...] = small
        scale = [0.25 * 2**number if axis in "xy" else 1.0 for axis in axes]
        sets.append(
            {"path": str(number), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        )
    names = [{"name": axis, **({"unit": "micrometer"} if axis in "xy" else {})} for axis in axes]
    multiscales = [{"axes": names, "datasets": sets}]
    if version == "0.4":
        group.attrs["multiscales"] = multiscales
    else:
        group.attrs["ome"] = {"version": version, "multiscales": multiscales}
    assert images.open_slide(path).levels == (
        images.Level(1300, 900, 0.25),
        images.Level(650, 450, 0.5),
    )
    np.testing.assert_array_equal(images.read(f"{path}{NAME}"), picture[PART])
    np.testing.assert_array_equal(images.read(f"{path}#level=1"), picture[::2, ::2])
    assert len(datasets.as_table(path)) == 1
    shutil.rmtree(path / "0")
    sizes = [64 if axis in "xy" else 2 for axis in axes]
    group.create_array("0", shape=sizes, dtype="uint8", chunks=sizes)
    again = path.rename(tmp_path / "two_channels.zarr")
    with pytest.raises(images.ImageError, match="one bright-field picture"):
        images.open_slide(again)


def test_slide_of_a_scanner(tmp_path, picture):
    pytest.importorskip("openslide")
    pytest.importorskip("imagecodecs")
    path = tmp_path / "slide.svs"
    about = "Aperio Image Library v11\r\n1300x900 (256x256) JPEG/RGB Q=90|AppMag = 40|MPP = 0.2500"
    jpeg = {"photometric": "rgb", "compression": "jpeg", "compressionargs": {"level": 95}}
    with tifffile.TiffWriter(path) as file:
        for step in (1, 4):
            small = np.ascontiguousarray(picture[::step, ::step])
            file.write(small, tile=(256, 256), description=about, metadata=None, **jpeg)
    levels = images.open_slide(path).levels
    assert levels == (images.Level(1300, 900, 0.25), images.Level(325, 225, 1.0))
    difference = np.abs(images.read(f"{path}{NAME}").astype(int) - picture[PART])
    assert difference.mean() < 2
    assert images.read(f"{path}#level=1").shape == (225, 325, 3)
    assert datasets.as_table(path)["um_per_px"].tolist() == [0.25]
    path.write_bytes(path.read_bytes()[:5000])
    assert len(datasets.as_table(path)) == 1
    with pytest.raises(images.ImageError, match="damaged"):
        images.read(datasets.as_table(path)["image"].iloc[0])
