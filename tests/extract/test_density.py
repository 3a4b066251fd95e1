"""Optical density: its definition, its background and its logarithm."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hemafeat import extract

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
    assert values["p10__r"] == values["p90__r"] == values["mean__r"]
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
        assert values[f"p10__{channel}"] == pytest.approx(np.percentile(x, 10), rel=1e-12)
        assert values[f"p90__{channel}"] == pytest.approx(np.percentile(x, 90), rel=1e-12)
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
    for name in ("mean__g", "p10__g", "p90__g"):
        # Adding 1 to each level and rounding down change the darkest pixels by up to 1/20.
        assert dim[name] == pytest.approx(bright[name], abs=0.03), name


def test_white_is_the_99th_percentile_outside_the_cells() -> None:
    image = np.zeros((20, 50, 3), np.uint8)
    labels = np.zeros((20, 50), np.int32)
    labels[:, 40:] = 1
    image[:, :40] = np.repeat(np.arange(201, 241), 20).reshape(40, 20).T[:, :, None]
    image[:, 40:] = 255  # inside a cell: not background
    # 800 pixels, 20 of each level 201..240: the 792nd is 240.
    np.testing.assert_array_equal(extract.background_white(image, labels), [240, 240, 240])
    image[:, 39] = 0
    # Now 780 bright ones above 20 black ones; the 792nd is 239.
    np.testing.assert_array_equal(extract.background_white(image, labels), [239, 239, 239])


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
