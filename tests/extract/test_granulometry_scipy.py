"""Oracle: grey openings of SciPy, and drawn grains of known size."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from hemafeat import extract
from hemafeat.extract._families import granulometry as family

WHITE = (255.0, 255.0, 255.0)
RADII = [1, 2, 3, 4, 6, 8]


def measure(green: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    image = np.repeat(np.asarray(green, np.uint8)[:, :, None], 3, axis=2)
    prepared = extract.Prepared(image, white=WHITE)
    row = extract.granulometry(prepared, labels)[0]
    return dict(zip(extract.granulometry.facts.columns, row, strict=True))


def levels_of(green: np.ndarray) -> np.ndarray:
    image = np.repeat(np.asarray(green, np.uint8)[:, :, None], 3, axis=2)
    return extract.Prepared(image, white=WHITE).levels("od_g", family.N_LEVELS).astype(int)


def test_spectrum_is_scipys() -> None:
    """The mask is the whole image, outside of which SciPy has neutral constants as well."""
    green = ndimage.gaussian_filter(np.random.default_rng(0).normal(0, 1, (48, 61)), 1.5)
    green = np.rint(128 + 200 * green).clip(0, 255)
    values = measure(green, np.ones(green.shape, np.int32))
    levels = levels_of(green)
    for name, plane in (("dark", levels), ("pale", 255 - levels)):
        before = plane.sum()
        for radius in RADII:
            side = 2 * radius + 1
            eroded = ndimage.grey_erosion(plane, (side, side), mode="constant", cval=255)
            opened = ndimage.grey_dilation(eroded, (side, side), mode="constant", cval=0)
            expected = (before - opened.sum()) / levels.sum()
            assert values[f"{name}_{radius}"] == pytest.approx(expected, rel=1e-12), (name, radius)
            before = opened.sum()


def disk(height: int = 90, width: int = 96, radius: int = 40) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    inside = (rows - height // 2) ** 2 + (columns - width // 2) ** 2 <= radius**2
    return inside.astype(np.int32)


@pytest.mark.parametrize(("side", "sieve"), [(1, 1), (3, 2), (5, 3), (7, 4), (9, 6), (13, 8)])
@pytest.mark.parametrize("sign", ["dark", "pale"])
def test_a_grain_stays_in_its_sieve(side: int, sieve: int, sign: str) -> None:
    """Squares of side s pass openings of side s, but not larger ones."""
    labels = disk()
    green = np.full(labels.shape, 120)
    for row, column in [(30, 40), (45, 60), (60, 30)]:
        green[row : row + side, column : column + side] = 60 if sign == "dark" else 200
    values = measure(green, labels)
    levels = levels_of(green)
    height = abs(levels[30, 40] - levels[45, 48])
    assert height > 20
    opposite = "pale" if sign == "dark" else "dark"
    for radius in RADII:
        expected = 3 * side**2 * height / levels[labels == 1].sum() if radius == sieve else 0.0
        assert values[f"{sign}_{radius}"] == pytest.approx(expected, abs=1e-15), radius
        assert values[f"{opposite}_{radius}"] == 0.0
    assert values[f"{sign}_mean"] == sieve
    assert values[f"{sign}_sd"] == 0.0
    assert values[f"{sign}_entropy"] == 0.0
    assert np.isnan(values[f"{sign}_skewness"])
    assert np.isnan(values[f"{opposite}_mean"])


def test_flat_and_unstained() -> None:
    labels = disk()
    values = measure(np.full(labels.shape, 120), labels)
    for name, value in values.items():
        assert np.isnan(value) if name.split("_")[1].isalpha() else value == 0, name
    assert all(np.isnan(v) for v in measure(np.full(labels.shape, 255), labels).values())


def test_turning_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    labels = disk()
    labels[40:50, 50:] = 0
    green = ndimage.gaussian_filter(rng.normal(0, 1, labels.shape), 1) * 150 + 130
    green = green.clip(0, 255)
    expected = measure(green, labels)
    for turns in range(4):
        for mirrored in (False, True):
            plane, mask = np.rot90(green, turns), np.rot90(labels, turns)
            if mirrored:
                plane, mask = plane[:, ::-1], mask[:, ::-1]
            assert measure(plane, np.ascontiguousarray(mask)) == expected


def test_sizes_of_one_grain_and_the_next() -> None:
    """Two sizes of equal volume give the mean of the radii, half their difference, and one bit."""
    labels = disk()
    green = np.full(labels.shape, 120)
    green[30:35, 40:45] = 60
    for k in range(25):
        green[50 + 3 * (k // 5), 30 + 3 * (k % 5)] = 60
    values = measure(green, labels)
    assert values["dark_1"] == values["dark_3"] > 0
    assert values["dark_mean"] == pytest.approx(2)
    assert values["dark_sd"] == pytest.approx(1)
    assert values["dark_skewness"] == pytest.approx(0, abs=1e-12)
    assert values["dark_entropy"] == pytest.approx(1)
