"""Optical density: its definition, its background and its logarithm."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from hemafeat import extract
from hemafeat.segment import Masks

NAMES = list(extract.density.facts.columns)


def flat_cell(level: tuple[int, int, int], white: int = 239) -> tuple[np.ndarray, np.ndarray]:
    image = np.full((30, 34, 3), white, np.uint8)
    labels = np.zeros((30, 34), np.int32)
    labels[6:20, 8:28] = 1
    image[labels == 1] = level
    return image, labels


def measure(function, image, labels) -> dict[str, float]:
    return dict(zip(NAMES, function(image, labels)[0], strict=True))


def test_ten_times_darker_is_one() -> None:
    # (239 + 1) / (23 + 1) = 10.
    image, labels = flat_cell((23, 239, 119))
    values = measure(extract.density, image, labels)
    assert values["mean__r"] == pytest.approx(1, rel=1e-12)
    assert values["mean__g"] == 0
    assert values["mean__b"] == pytest.approx(math.log10(2), rel=1e-12)
    assert values["integrated__r"] == pytest.approx(14 * 20, rel=1e-12)
    assert values["percentile_10__r"] == values["percentile_90__r"] == values["mean__r"]
    for channel in "rgb":
        assert values[f"sd__{channel}"] == 0
        assert math.isnan(values[f"skewness__{channel}"])


def test_natural_is_decadic_times_ln_10() -> None:
    rng = np.random.default_rng(0)
    image, labels = flat_cell((0, 0, 0))
    image[labels == 1] = rng.integers(20, 220, (280, 3))
    decadic = measure(extract.density, image, labels)
    natural = measure(extract.density_natural, image, labels)
    for name in NAMES:
        factor = 1 if name.startswith("skewness") else math.log(10)
        # Each side rounds its table once.
        assert natural[name] == pytest.approx(factor * decadic[name], rel=1e-12), name


def test_the_logarithm_shows_in_name_and_unit() -> None:
    decadic, natural = extract.density.facts, extract.density_natural.facts
    assert list(decadic.columns) == list(natural.columns)
    assert decadic.default
    assert not natural.default
    for name, column in decadic.columns.items():
        if column.unit != "1":
            assert column.unit.split()[0] == "OD"
            assert natural.columns[name].unit.split()[0] == "OD_e"
        assert "log10" in column.formula
        assert "ln" in natural.columns[name].formula
    columns = extract.columns(families=["density", "density_natural"])
    assert "cytoplasm__density__mean__g" in columns
    assert "cytoplasm__density_natural__mean__g" in columns


def test_density_of_pixels_gives_the_family() -> None:
    """`optical_density` and `density` give the same numbers."""
    rng = np.random.default_rng(1)
    image, labels = flat_cell((0, 0, 0))
    image[labels == 1] = rng.integers(0, 256, (280, 3))
    white = extract.background_white(image, labels)
    np.testing.assert_array_equal(white, [239, 239, 239])
    pixels = extract.optical_density(image, white)[labels == 1]
    values = measure(extract.density, image, labels)
    for index, channel in enumerate("rgb"):
        x = pixels[:, index]
        # The histogram holds the same values, and only the order of the sums differs.
        assert values[f"mean__{channel}"] == pytest.approx(x.mean(), rel=1e-12)
        assert values[f"sd__{channel}"] == pytest.approx(x.std(), rel=1e-12)
        assert values[f"integrated__{channel}"] == pytest.approx(x.sum(), rel=1e-12)
        assert values[f"percentile_10__{channel}"] == pytest.approx(np.percentile(x, 10), rel=1e-12)
        assert values[f"percentile_90__{channel}"] == pytest.approx(np.percentile(x, 90), rel=1e-12)
    natural = extract.optical_density(image, white, base="natural")[labels == 1]
    np.testing.assert_allclose(natural, pixels * math.log(10), rtol=1e-12)


def test_brighter_than_white_is_negative() -> None:
    density = extract.optical_density(np.full((2, 2, 3), 250, np.uint8), white=(239, 239, 255))
    assert (density[..., :2] < 0).all()
    assert (density[..., 2] > 0).all()


def test_a_dimmer_lamp_changes_little() -> None:
    """Density is a ratio, and hardly changes with half the light on image and background."""
    rng = np.random.default_rng(2)
    image, labels = flat_cell((0, 0, 0), white=240)
    image[labels == 1] = rng.integers(40, 220, (280, 3))
    bright = measure(extract.density, image, labels)
    dim = measure(extract.density, image // 2, labels)
    for name in ("mean__g", "percentile_10__g", "percentile_90__g"):
        # Adding 1 to each level and rounding down change the darkest pixels by up to 1/20.
        assert dim[name] == pytest.approx(bright[name], abs=0.03), name


def scene(seed: int, shape: tuple[int, int] = (173, 190)) -> tuple[np.ndarray, np.ndarray]:
    """Draw two dark cells on a shaded background with noise; its white is near 225, 215 and 205."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    shade = 20 * np.sin(rows / 40 + seed) + 12 * np.cos(columns / 30)
    image = np.array([200, 190, 180]) + shade[..., None] + rng.normal(0, 4, (*shape, 3))
    labels = np.zeros(shape, np.int32)
    for label, (row, column) in enumerate([(50, 60), (120, 140)], start=1):
        labels[np.hypot(rows - row, columns - column) < 25] = label
    image[labels > 0] -= 90
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), labels


def _is_dark(image: np.ndarray) -> np.ndarray:
    return image[:, :, 1] < 100


TURNS = {
    "quarter turn": np.rot90,
    "half turn": lambda a: np.rot90(a, 2),
    "left to right": lambda a: a[:, ::-1],
    "top to bottom": lambda a: a[::-1],
    "transposed": lambda a: a.swapaxes(0, 1),
}


@pytest.mark.parametrize("size", [(13, 7), (40, 50), (101, 103), (173, 190)])
@pytest.mark.parametrize("seed", range(3))
def test_white_is_the_99th_percentile_of_all_pixels_outside_the_cells(seed, size) -> None:
    image, labels = scene(seed)
    image, labels = image[: size[0], : size[1]], labels[: size[0], : size[1]]
    expected = np.percentile(image[labels == 0], 99, axis=0)
    np.testing.assert_allclose(extract.background_white(image, labels), expected, rtol=1e-12)


def test_white_between_two_levels() -> None:
    image = np.full((1, 101, 3), 200, np.uint8)
    image[0, 100] = 210
    np.testing.assert_allclose(extract.background_white(image), 200)
    np.testing.assert_allclose(extract.background_white(image[:, 1:]), 200.1)  # 0.99 x 99 = 98.01


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("turn", TURNS)
def test_white_does_not_depend_on_place(turn: str, seed: int) -> None:
    """Turned and mirrored images have the same white in the last bit, and so have their values."""
    image, labels = scene(seed)
    turned, turned_labels = TURNS[turn](image), TURNS[turn](labels)
    white = extract.background_white(image, labels)
    np.testing.assert_array_equal(extract.background_white(turned, turned_labels), white)
    masks, turned_masks = (
        Masks(x, x * _is_dark(y)) for x, y in ((labels, image), (turned_labels, turned))
    )
    families = ["density", "intensity", "glcm", "glrlm", "glszm", "gldm", "ngtdm", "granulometry"]
    pd.testing.assert_frame_equal(
        extract.measure(turned, turned_masks, families=families),
        extract.measure(image, masks, families=families),
        check_exact=True,
    )
    # Sums over the pixels in another order.
    pd.testing.assert_frame_equal(
        extract.measure(turned, turned_masks, families=["stain"]),
        extract.measure(image, masks, families=["stain"]),
        rtol=1e-9,
        atol=1e-9,
    )
    shuffled = image.copy()
    shuffled[labels == 0] = np.random.default_rng(seed).permutation(image[labels == 0])
    np.testing.assert_array_equal(extract.background_white(shuffled, labels), white)


@pytest.mark.parametrize("seed", range(3))
def test_white_with_more_of_the_same_background(seed: int) -> None:
    """A border as bright as the white, and the same image beside it, hardly move it."""
    image, labels = scene(seed)
    white = extract.background_white(image, labels)
    border = np.empty((187, 204, 3), np.uint8)
    border[:] = np.rint(white)
    border[7:-7, 7:-7] = image
    moved = extract.background_white(border, np.pad(labels, 7))
    assert (moved == white)[white == np.rint(white)].all()
    assert abs(moved - white).max() <= 0.5
    twice = np.concatenate([image, image], axis=1)
    labels_twice = np.concatenate([labels, np.where(labels, labels + 2, 0)], axis=1)
    both = extract.background_white(twice, labels_twice)
    assert abs(both - white).max() < 1
    assert (both == white)[white == np.rint(white)].mean() >= 0.9


@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("width", [2, 20])
def test_a_border_of_black_or_pure_white_is_not_background(level: int, width: int) -> None:
    image, labels = scene(1)
    expected = extract.background_white(image, labels)
    assert expected.max() < 255
    border = np.pad(image, ((width, width), (width, width), (0, 0)), constant_values=level)
    moved = extract.background_white(border, np.pad(labels, width))
    np.testing.assert_array_equal(moved, expected)
    # An overexposed background is white.
    overexposed = np.maximum(image, np.where(labels == 0, 255, 0)[..., None]).astype(np.uint8)
    np.testing.assert_array_equal(extract.background_white(overexposed, labels), [255, 255, 255])


def test_black_background_has_no_white() -> None:
    image, labels = flat_cell((120, 60, 150), white=0)
    np.testing.assert_array_equal(extract.background_white(image, labels), [255, 255, 255])
    values = measure(extract.density, image, labels)
    assert values["mean__g"] == pytest.approx(math.log10(256 / 61), rel=1e-12)


def test_no_background_in_view() -> None:
    image = np.full((9, 9, 3), 100, np.uint8)
    full = np.ones((9, 9), np.int32)
    np.testing.assert_array_equal(extract.background_white(image, full), [255, 255, 255])


def test_missing_cell_is_nan() -> None:
    image, labels = flat_cell((90, 80, 70))
    values = extract.density(image, labels, 3)
    assert values.shape == (3, 18)
    assert np.isnan(values[1:]).all()


@pytest.mark.parametrize("base", ["log2", "", None])
def test_unknown_base(base) -> None:
    with pytest.raises(ValueError, match="decadic"):
        extract.optical_density(np.zeros((2, 2, 3), np.uint8), (255, 255, 255), base=base)


def test_wrong_image() -> None:
    with pytest.raises(ValueError, match="RGB"):
        extract.optical_density(np.zeros((4, 4), np.uint8))
