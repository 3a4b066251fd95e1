"""Colour against scikit-image's conversions, pixel by pixel."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import pytest
from skimage.color import deltaE_cie76, rgb2hsv, rgb2lab

from hemafeat import extract, images
from hemafeat.extract._families.colour import lab_of
from hemafeat.segment import Masks

NAMES = list(extract.colour.facts.columns)


def measure(image: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    return dict(zip(NAMES, extract.colour(image, labels)[0], strict=True))


def expected_values(image: np.ndarray, inside: np.ndarray) -> dict[str, float]:
    rgb, lab, hsv = image[inside].astype(float), rgb2lab(image)[inside], rgb2hsv(image)[inside]
    hue = hsv[hsv[:, 1] > 0, 0] * 2 * math.pi
    row = {}
    for index, channel in enumerate("rgb"):
        row[f"mean__{channel}"] = rgb[:, index].mean()
        row[f"sd__{channel}"] = rgb[:, index].std()
    for index, channel in enumerate("lab"):
        row[f"mean__lab_{channel}"] = lab[:, index].mean()
        row[f"sd__lab_{channel}"] = lab[:, index].std()
    for index, name in ((1, "saturation"), (2, "value")):
        row[f"mean__{name}"] = hsv[:, index].mean()
        row[f"sd__{name}"] = hsv[:, index].std()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        row["hue_cos"], row["hue_sin"] = np.cos(hue).mean(), np.sin(hue).mean()
        row["hue_concentration"] = abs(np.exp(1j * hue).mean())
    red, green, blue = rgb.mean(axis=0)
    row["ratio_r_b"] = red / blue if blue > 0 else math.nan
    row["ratio_g_b"] = green / blue if blue > 0 else math.nan
    return row


def assert_agrees(image: np.ndarray, labels: np.ndarray) -> None:
    values, expected = measure(image, labels), expected_values(image, labels == 1)
    assert set(values) == set(expected)
    for name, value in expected.items():
        # Same constants and full precision on both sides: only rounding is left.
        assert values[name] == pytest.approx(value, rel=1e-9, abs=1e-9, nan_ok=True), name


@pytest.mark.parametrize(("low", "high"), [(0, 256), (0, 12), (200, 256), (90, 130)])
def test_random_colours(low: int, high: int) -> None:
    rng = np.random.default_rng(low + high)
    image = rng.integers(low, high, (31, 37, 3)).astype(np.uint8)
    assert_agrees(image, (rng.random((31, 37)) < 0.7).astype(np.int32))


def test_corners_of_the_cube() -> None:
    corners = np.stack(np.meshgrid([0, 1, 128, 254, 255], [0, 127, 255], [0, 255]), -1)
    image = corners.reshape(5, 6, 3).astype(np.uint8)
    assert_agrees(image, np.ones((5, 6), np.int32))


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 255), (255, 255, 255), (0, 0, 0)])
def test_flat_colour(colour: tuple[int, int, int]) -> None:
    image = np.full((6, 7, 3), colour, np.uint8)
    assert_agrees(image, np.ones((6, 7), np.int32))
    values = measure(image, np.ones((6, 7), np.int32))
    for name, value in values.items():
        if name.startswith("sd__"):
            assert value == 0, name
    grey = len(set(colour)) == 1
    assert math.isnan(values["hue_concentration"]) == grey
    if not grey:
        # Cosine and sine are polynomials with errors below 1e-10.
        assert values["hue_concentration"] == pytest.approx(1, rel=1e-10)
    assert math.isnan(values["ratio_r_b"]) == (colour[2] == 0)


def test_hue_is_averaged_as_an_angle() -> None:
    """The mean of two reds on either side of hue 0 is red, not cyan."""
    image = np.zeros((2, 10, 3), np.uint8)
    image[0], image[1] = (200, 40, 20), (200, 20, 40)
    values = measure(image, np.ones((2, 10), np.int32))
    assert values["hue_sin"] == pytest.approx(0, abs=1e-12)
    assert values["hue_cos"] > 0.99
    assert values["hue_concentration"] == pytest.approx(values["hue_cos"], rel=1e-12)


def test_difference_of_colour_is_cie76() -> None:
    rng = np.random.default_rng(1)
    image = np.full((40, 40, 3), 235, np.uint8)
    cell, nucleus = np.zeros((40, 40), np.int32), np.zeros((40, 40), np.int32)
    cell[8:32, 8:32] = 1
    nucleus[14:26, 14:26] = 1
    image[cell == 1] = rng.integers(150, 220, (24 * 24, 3))
    image[nucleus == 1] = rng.integers(30, 140, (12 * 12, 3))
    masks = Masks(cell, nucleus)
    names = list(extract.relation.facts.columns)
    row = dict(zip(names, extract.relation(image, masks)[0], strict=True))
    lab = rgb2lab(image)
    mean = [lab[mask == 1].mean(axis=0) for mask in (nucleus, masks.cytoplasm)]
    assert row["delta_e_nucleus_cytoplasm"] == pytest.approx(deltaE_cie76(*mean), rel=1e-9)
    white = rgb2lab(np.full((1, 1, 3), 235, np.uint8))[0, 0]
    assert row["cytoplasm__delta_e_background"] == pytest.approx(
        deltaE_cie76(mean[1], white), rel=1e-9
    )


def test_lab_of_one_colour() -> None:
    for colour in [(0, 0, 0), (3, 2, 1), (255, 255, 255), (240, 236, 229)]:
        expected = rgb2lab(np.array([[colour]], np.uint8))[0, 0]
        # scikit-image converts uint8 in double precision, so that only rounding differs.
        np.testing.assert_allclose(lab_of(np.array(colour)), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.realdata
def test_real_cells(real_data: Path) -> None:
    for path in sorted((real_data / "segwbc_d1").rglob("*.bmp"))[:60:20]:
        image = images.read(path)[::3, ::3].copy()
        labels = np.ones(image.shape[:2], np.int32)
        labels[:5] = 0
        assert_agrees(image, labels)


def test_whole_cell_is_the_sum_of_its_parts() -> None:
    """A cell measured through its nucleus and cytoplasm has the values of the whole cell."""
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (40, 44, 3)).astype(np.uint8)
    cell, nucleus = np.zeros((40, 44), np.int32), np.zeros((40, 44), np.int32)
    cell[2:20, 3:18], cell[22:38, 5:40], cell[3:15, 25:40] = 1, 2, 3
    nucleus[5:12, 6:14], nucleus[22:38, 5:40] = 1, 2  # no cytoplasm; and the third has no nucleus
    masks = Masks(cell, nucleus)
    prepared = extract.Prepared(image, masks)
    assert prepared.parts(masks.cell, 3) is not None
    from_parts = extract.colour(prepared, masks.cell, 3)
    np.testing.assert_allclose(from_parts, extract.colour(image, cell, 3), rtol=1e-12, atol=1e-11)


def test_a_nucleus_without_a_cell_has_no_parts() -> None:
    cell, nucleus = np.zeros((20, 30), np.int32), np.zeros((20, 30), np.int32)
    cell[2:10, 2:10], nucleus[4:8, 4:8], nucleus[12:18, 15:20] = 1, 1, 2
    masks = Masks(cell, nucleus)
    image = np.random.default_rng(4).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    prepared = extract.Prepared(image, masks)
    assert prepared.parts(masks.cell, 2) is None
    assert np.isnan(extract.colour(prepared, masks.cell, 2)[1]).all()
    assert np.isfinite(extract.colour(prepared, masks.nucleus, 2)[1]).all()
