"""Pictures of cells: crop, size, colours, cache; and their augmentation."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hemafeat import images
from hemafeat.extract import central_cell
from hemafeat.images import crop_centre, crop_square, square_around
from hemafeat.networks import Augmentation, PictureMaker, Pictures, image_sources
from hemafeat.networks._cell_images import box_of
from hemafeat.segment import Masks


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    paths = []
    for place in range(6):
        image = rng.integers(0, 256, (20 + place, 24, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / f"{place}.png")
        paths.append(str(tmp_path / f"{place}.png"))
    return paths


@pytest.fixture
def files_read(monkeypatch):
    """Record the files that are read, in order."""
    names = []
    read = images.read

    def noted(source, **given):
        names.append(source)
        return read(source, **given)

    monkeypatch.setattr(images, "read", noted)
    return names


def test_the_cache_is_limited(files, files_read):
    shape = (16, 16, 3)
    three = 3 * 16 * 16 * 3 / 2**20
    maker = PictureMaker(size=(16, 16))
    found = Pictures(files, maker, cache=three)
    first = found[np.arange(6)]
    assert first.shape == (6, *shape)
    assert first.dtype == np.uint8
    assert found._cache.nbytes == round(three * 2**20)
    del files_read[:]
    np.testing.assert_array_equal(found[np.array([5, 0, 1, 2, 4, 3])][[1, 2, 3, 5, 4, 0]], first)
    assert files_read == [files[5], files[4], files[3]], "the first three are remembered"
    none = Pictures(files, maker, cache=0)
    np.testing.assert_array_equal(none[np.arange(6)], first)
    assert none._cache.nbytes == 0


def test_images_are_read_on_demand(files, files_read):
    found = Pictures(files, PictureMaker(size=(8, 8)))
    assert len(found) == 6
    assert not files_read
    found[np.array([2])]
    assert files_read == [files[2]]


def test_size_channels_and_crop(files):
    image = images.read(files[5])

    def picture(size, **options):
        return Pictures(files, PictureMaker(size=size, **options))[np.array([5])][0]

    whole = picture((12, 10))
    np.testing.assert_array_equal(whole, cv2.resize(image, (10, 12), interpolation=cv2.INTER_AREA))
    square = {"crop": "centre", "side": 16, "border": "black"}
    middle = picture((16, 16), **square)
    np.testing.assert_array_equal(middle, image[4:20, 4:20])
    grey = picture((16, 16), colour="grey", **square)
    assert grey.shape == (16, 16, 1)
    assert np.abs(grey[..., 0] - middle @ [0.299, 0.587, 0.114]).max() < 1


def test_the_square_round_the_cell_in_the_middle():
    image = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    cells = np.zeros((60, 80), np.int32)
    cells[20:40, 30:42] = 2  # 20 high, 12 wide, near the middle
    cells[2:50, 60:79] = 1
    maker = PictureMaker("cell", margin=0.15)
    square = maker.make(image, box=box_of(cells == 2))
    side = 20 + 2 * round(0.15 * 20)
    assert square.shape == (side, side, 3)
    np.testing.assert_array_equal(square, image[17:43, 23:49])
    corner = np.zeros((60, 80), np.int32)
    corner[0:10, 0:10] = 1
    square = maker.make(image, box=box_of(corner == 1))
    assert square.shape == (14, 14, 3)
    np.testing.assert_array_equal(square[2:, 2:], image[:12, :12])
    np.testing.assert_array_equal(square[0, 2:], image[0, :12])


def test_the_cell_of_a_picture_is_the_one_that_is_measured():
    image = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    cells = np.zeros((60, 80), np.int32)
    cells[25:35, 50:54] = 1  # its centroid is the nearest to the centre
    cells[28:33, 38:80] = 2  # covers the centre
    pictures = Pictures(
        [image], PictureMaker("cell", (54, 54)), segmenter=lambda image: (cells, cells * 0)
    )
    assert central_cell(Masks(cells, np.zeros_like(cells))) == 1
    expected = PictureMaker("cell", (54, 54)).make(image, box=(28, 33, 38, 80))
    np.testing.assert_array_equal(pictures[[0]][0], expected)


def test_without_a_cell_the_largest_square_at_the_centre_is_taken():
    image = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)

    def nothing(image):
        return np.zeros(image.shape[:2], int), np.zeros(image.shape[:2], int)

    pictures = Pictures([image], PictureMaker("cell", (60, 60)), segmenter=nothing)
    np.testing.assert_array_equal(pictures[[0]][0], image[:, 10:70])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": "middle"}, "crop='middle' is not known; choose one of: whole, centre, cell"),
        ({"colour": "od_fixed"}, "choose one of: rgb, hsv, od, grey"),
        ({"crop": "centre", "side": 0}, "at least 1 px; got 0"),
    ],
)
def test_a_picture_that_cannot_be_made_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PictureMaker(**options)
    with pytest.raises(ValueError, match="needs the box of the cell"):
        PictureMaker("cell").make(np.zeros((8, 8, 3), np.uint8))


def test_former_makers_differ_only_by_named_options():
    """Compare an enlarged and a reduced picture with OpenCV."""
    image = np.random.default_rng(2).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    # Fewer pixels but a longer side than the picture.
    by_pixels = PictureMaker(size=(40, 40), interpolation="cubic").make(image)
    expected = cv2.resize(image, (40, 40), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_array_equal(by_pixels, expected)
    by_side = PictureMaker(size=(40, 40), interpolation="linear", shrinks_by="side").make(image)
    expected = cv2.resize(image, (40, 40), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(by_side, expected)
    grey = PictureMaker(
        "centre", (20, 20), side=60, colour="grey", colour_first=True,
        interpolation="area", border="black",
    ).make(image)  # fmt: skip
    padded = np.pad(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), ((15, 15), (5, 5)))
    expected = cv2.resize(padded, (20, 20), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(grey, expected)


@pytest.mark.parametrize(("border", "mode"), [(cv2.BORDER_REPLICATE, "edge"),
                                             (cv2.BORDER_CONSTANT, "constant")])  # fmt: skip
def test_squares_are_those_of_a_padded_image(border, mode):
    rng = np.random.default_rng(5)
    for height, width, side in rng.integers(1, 24, (60, 3)).tolist():
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        padded = np.pad(image, ((50, 50), (50, 50), (0, 0)), mode=mode)
        top, left = height // 2 - side // 2, width // 2 - side // 2
        expected = padded[top + 50 : top + 50 + side, left + 50 : left + 50 + side]
        np.testing.assert_array_equal(crop_centre(image, side, border), expected)
        np.testing.assert_array_equal(crop_centre(image[..., 1], side, border), expected[..., 1])
        # A box anywhere in the image, with a margin that may lead beyond it.
        top, left = int(rng.integers(height)), int(rng.integers(width))
        bottom, right = int(rng.integers(top, height)) + 1, int(rng.integers(left, width)) + 1
        first, start, long = square_around(top, bottom, left, right, 0.4)
        size = max(bottom - top, right - left)
        assert long == size + 2 * round(0.4 * size)
        assert abs((top - first) - (first + long - bottom)) <= 1
        assert abs((left - start) - (start + long - right)) <= 1
        expected = padded[first + 50 : first + 50 + long, start + 50 : start + 50 + long]
        np.testing.assert_array_equal(crop_square(image, first, start, long, border), expected)


def test_the_cell_is_found_by_a_segmenter():
    image = np.full((90, 90, 3), 235, np.uint8)
    cv2.circle(image, (60, 40), 12, (110, 60, 150), -1)

    def dark(image):
        cell = (image[..., 1] < 150).astype(int)
        return cell, cell

    maker = PictureMaker("cell", (32, 32), margin=0.15)
    found = Pictures([image], maker, segmenter=dark)[np.array([0])][0]
    # 25 px across with 4 on each side.
    share = (image[..., 1] < 150).sum() / 33**2
    assert (found[..., 1] < 150).mean() == pytest.approx(share, abs=0.03)
    contours = Pictures([image], maker)[np.array([0])][0]
    assert np.abs(contours.astype(int) - found).mean() < 15


def test_whatever_names_images(files):
    table = pd.DataFrame({"image": files})
    for given in (table, files, np.array(files, dtype=object)[:, None], pd.Series(files)):
        assert image_sources(given, "it reads") == files
    assert len(image_sources(np.zeros((4, 5, 5, 3), np.uint8), "it reads")) == 4
    with pytest.raises(ValueError, match="not from one name"):
        image_sources(files[0], "it reads")


def some(n=40, height=20, width=24):
    return np.random.default_rng(3).integers(0, 256, (n, height, width, 3)).astype(np.uint8)


def test_mirrored_images_are_one_of_four():
    given = some()
    changed = Augmentation(turn=0, move=0, cut=(0, 0))(given, np.random.default_rng(0))
    kinds = set()
    for image, out in zip(given, changed, strict=True):
        four = [image, image[::-1], image[:, ::-1], image[::-1, ::-1]]
        kinds |= {k for k, one in enumerate(four) if np.array_equal(one, out)}
        assert any(np.array_equal(one, out) for one in four)
    assert kinds == {0, 1, 2, 3}
    same = Augmentation(flip=False, turn=0, move=0, cut=(0, 0))
    np.testing.assert_array_equal(same(given, np.random.default_rng(0)), given)


def test_a_turn_and_a_shift_are_within_their_limits():
    """Measure rotation by a spot right of the centre, and shift by a spot in the centre."""
    right = np.zeros((200, 101, 101, 3), np.uint8)
    right[:, 48:53, 83:88] = 255
    turned = Augmentation(flip=False, move=0, cut=(0, 0))(right, np.random.default_rng(1))
    angles = []
    for image in turned:
        ys, xs = np.nonzero(image[..., 0] > 100)
        near = np.hypot(ys - 50, xs - 50) < 40  # reflected copies lie further out
        angles.append(np.arctan2(ys[near].mean() - 50, xs[near].mean() - 50))
    share = np.abs(angles) / (2 * np.pi)
    assert 0.25 < share.max() < 0.305
    middle = np.zeros((200, 101, 101, 3), np.uint8)
    middle[:, 48:53, 48:53] = 255
    moved = Augmentation(flip=False, turn=0, cut=(0, 0))(middle, np.random.default_rng(2))
    shifts = np.array([[p.mean() - 50 for p in np.nonzero(i[..., 0] > 100)] for i in moved])
    assert (np.abs(shifts).max(axis=0) < 20.4).all()
    assert (np.abs(shifts).max(axis=0) > 17).all()


def test_a_rectangle_is_covered_with_the_mean():
    given = some(50, 40, 60)
    cut = Augmentation(flip=False, turn=0, move=0)(given, np.random.default_rng(4))
    for image, out in zip(given, cut, strict=True):
        ys, xs = np.nonzero((image != out).any(axis=2))
        height, width = np.ptp(ys) + 1, np.ptp(xs) + 1
        assert 3 <= height <= 10
        assert 5 <= width <= 15
        patch = out[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
        np.testing.assert_array_equal(patch, np.broadcast_to(patch[0, 0], patch.shape))
        np.testing.assert_allclose(patch[0, 0], image.mean(axis=(0, 1)), atol=0.51)


def test_the_same_seed_gives_the_same_images():
    given = some(4)
    before = given.copy()
    first, same, other = (Augmentation()(given, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()
    np.testing.assert_array_equal(given, before)
    assert Augmentation()(given[..., :1], np.random.default_rng(0)).shape == (4, 20, 24, 1)


def still(**given):
    return Augmentation(**{"flip": False, "turn": 0, "move": 0, "cut": (0, 0), **given})


@pytest.mark.parametrize(("flip", "axis"), [("horizontal", 2), ("vertical", 1)])
def test_one_flip_alone(flip, axis):
    given = some()
    changed = still(flip=flip)(given, np.random.default_rng(0))
    mirrored = np.flip(given, axis)
    is_same = [np.array_equal(one, out) for one, out in zip(given, changed, strict=True)]
    is_mirrored = [np.array_equal(one, out) for one, out in zip(mirrored, changed, strict=True)]
    assert all(np.logical_xor(is_same, is_mirrored))
    assert 10 < sum(is_mirrored) < 30


def test_zoom_changes_the_size_of_a_square_within_its_limits():
    given = np.zeros((200, 101, 101, 3), np.uint8)
    given[:, 40:61, 40:61] = 255
    changed = still(zoom=0.1)(given, np.random.default_rng(1))
    sides = np.sqrt((changed[..., 0] / 255).sum(axis=(1, 2))) / 21
    assert 0.89 < sides.min() < 0.91
    assert 1.09 < sides.max() < 1.11


def test_brightness_multiplies_all_pixels_alike():
    given = some(60)
    changed = still(brightness=0.3)(given, np.random.default_rng(1))
    factors = [out.sum() / one.sum() for one, out in zip(given // 2, changed // 2, strict=True)]
    dark = np.minimum(given, 190)
    changed = still(brightness=0.3)(dark, np.random.default_rng(1))
    for one, out in zip(dark, changed, strict=True):
        factor = out.mean() / one.mean()
        np.testing.assert_allclose(out, np.clip(one * factor, 0, 255), atol=1.5)
        factors.append(factor)
    assert 0.69 < min(factors) < 0.75
    assert 1.2 < max(factors) < 1.31


def test_zoom_and_brightness_leave_the_other_changes_as_they_are():
    given = np.full((6, 30, 30, 3), 128, np.uint8)
    given[:, :9] = 60
    plain = Augmentation(cut=(0, 0))(given, np.random.default_rng(5))
    lighter = Augmentation(cut=(0, 0), brightness=0.2)(given, np.random.default_rng(5))
    for one, out in zip(plain, lighter, strict=True):
        np.testing.assert_allclose(out, one * (out.mean() / one.mean()), atol=1.5)
    assert (plain != lighter).any()


@pytest.mark.parametrize(("fill", "level"), [("black", 0), ("white", 255), (77, 77)])
def test_the_colour_of_the_rectangle(fill, level):
    given = np.full((20, 40, 60, 3), 128, np.uint8)
    cut = still(cut=(0.1, 0.25), fill=fill)(given, np.random.default_rng(4))
    assert set(np.unique(cut)) == {level, 128}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"flip": "both"}, "flip='both'"),
        ({"turn": -1}, "turn=-1: expected a number of at least 0"),
        ({"zoom": 1.0}, r"zoom=1\.0: .* below 1"),
        ({"brightness": "much"}, "brightness='much'"),
        ({"cut": 0.2}, r"cut=0\.2"),
        ({"cut": (0.5, 0.1)}, "cut="),
        ({"fill": "red"}, "fill='red'"),
        ({"fill": 256}, "fill=256"),
    ],
)
def test_bad_fields_of_an_augmentation_are_named(given, reason):
    with pytest.raises(ValueError, match=reason):
        Augmentation(**given)


def one_cell(image):
    """Find the dark pixels as one cell, and none in an image without any."""
    cell = (image[..., 0] < 100).astype(np.int32)
    return Masks(cell, np.zeros_like(cell))


@pytest.mark.parametrize("outside", ["black", "white", "mean"])
@pytest.mark.parametrize("colour", ["rgb", "grey"])
def test_pixels_outside_the_cell(outside, colour):
    image = np.random.default_rng(0).integers(150, 250, (40, 40, 3)).astype(np.uint8)
    cell = np.zeros((40, 40), bool)
    cell[10:25, 12:30] = True
    image[cell] = (60, 20, 90)
    maker = PictureMaker("centre", (40, 40), colour=colour, outside=outside, colour_first=True)
    empty = np.full_like(image, 200)
    shown, untouched = Pictures([image, empty], maker, segmenter=one_cell)[[0, 1]]
    level = {"black": [0] * 3, "white": [255] * 3, "mean": image[~cell].mean(axis=0)}[outside]
    expected = np.where(cell[..., None], image, np.rint(level).astype(np.uint8))
    if colour == "grey":
        expected = cv2.cvtColor(expected, cv2.COLOR_RGB2GRAY)[..., None]
    np.testing.assert_array_equal(shown, expected)
    assert (untouched == 200).all(), "an image without a cell is left as it is"
    with pytest.raises(ValueError, match="needs the cell"):
        maker.make(image)
    with pytest.raises(ValueError, match="outside='red'"):
        PictureMaker(outside="red")
