"""Profiles of cells whose density is a known function of position."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage

from hemafeat import extract
from hemafeat.extract._kernels.region.distance import depths, distances_to
from hemafeat.extract._kernels.region.runs import find_runs, pixels
from hemafeat.segment import Masks
from reference import naive

NAMES = list(extract.profile.facts.columns)
WHITE = (254.0, 254.0, 254.0)
SIZE = 101
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE]
AWAY = np.hypot(ROWS - 50, COLUMNS - 50)


def image_of(density: np.ndarray) -> np.ndarray:
    """Return the grey levels of this optical density against a white of 254."""
    level = np.clip(np.rint(255 * 10**-density - 1), 0, 255).astype(np.uint8)
    return np.repeat(level[:, :, None], 3, axis=2)


def measure(image: np.ndarray, masks: Masks) -> dict[str, float]:
    prepared = extract.Prepared(image, masks, WHITE)
    return dict(zip(NAMES, extract.profile(prepared, masks)[0], strict=True))


def disc(density: np.ndarray, nucleus: float = 24, cell: float = 44) -> dict[str, float]:
    return measure(image_of(density), Masks(cell >= AWAY, nucleus >= AWAY))


def test_shells_of_a_cone() -> None:
    """Density falls linearly from the centre, and the shells have the slope of the cone."""
    values = disc(np.where(AWAY <= 24, 0.9 - 0.5 * AWAY / 24, 0.2))
    shells = [values[f"nucleus__radial_od_{k}"] for k in range(1, 9)]
    # Mean radius of a ring from a to b is 2/3 (b^3 - a^3) / (b^2 - a^2); depth ends half a pixel
    # and more beyond the last pixel.
    edges = np.arange(9) / 8
    radius = 2 / 3 * np.diff(edges**3) / np.diff(edges**2)
    np.testing.assert_allclose(shells, 0.9 - 0.5 * radius, atol=0.02)
    assert values["nucleus__radial_slope"] == pytest.approx(-0.5, abs=0.03)
    expected = np.std(shells) / np.mean(shells)
    assert values["nucleus__radial_cv"] == pytest.approx(expected, rel=1e-12)


def test_flat_nucleus_has_no_profile() -> None:
    values = disc(np.where(AWAY <= 24, 0.7, 0.2))
    assert values["nucleus__radial_cv"] == pytest.approx(0, abs=1e-12)
    assert values["nucleus__radial_slope"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("slope", [0.01, 0.02])
def test_edges_of_a_slope(slope: float) -> None:
    """A density that falls at a constant rate per px has this gradient at every edge."""
    values = disc(0.1 + slope * np.maximum(44 - AWAY, -4))
    for name in ("nucleus__edge_gradient", "edge_gradient"):
        # Depth counts from the centre of a pixel outside, which is up to 0.7 px from the edge.
        assert values[name] == pytest.approx(slope, rel=0.15), name


def test_step_at_the_edge_of_the_nucleus() -> None:
    values = disc(np.where(AWAY <= 24, 0.8, 0.2))
    # Bands of 2 px on either side: their mean distance from the edge is a little more than 1 px.
    assert 0.6 / 3 < values["nucleus__edge_gradient"] < 0.6 / 1
    assert values["edge_gradient"] == pytest.approx(0, abs=1e-12)


def test_pale_ring_around_the_nucleus() -> None:
    density = np.where(AWAY <= 24, 0.8, np.where(AWAY <= 27, 0.1, 0.4))
    values = disc(density)
    levels = image_of(np.array([[0.1, 0.4]]))[0, :, 0]
    pale, blue = np.log10(255 / (levels + 1.0))
    assert values["cytoplasm__perinuclear_od_difference"] == pytest.approx(pale - blue, abs=0.03)
    # The ring is the same all around.
    assert values["cytoplasm__pale_zone"] == pytest.approx(0, abs=0.02)


def test_pale_zone_on_one_side() -> None:
    """A quarter of the surroundings is pale, as in a Golgi zone."""
    angle = np.arctan2(ROWS - 50, COLUMNS - 50)
    density = np.where(AWAY <= 24, 0.8, np.where(abs(angle) < math.pi / 4 + 0.05, 0.1, 0.5))
    values = disc(density)
    assert values["cytoplasm__pale_zone"] == pytest.approx(0.75 * 0.4, abs=0.03)


def test_displacement_of_a_ramp() -> None:
    """With intensity 1 + a x over a disc, the centre of mass is displaced by a (R/2)^2."""
    level = 100 + np.rint(1.5 * (COLUMNS - 50)).astype(np.uint8)
    image = np.repeat(level[:, :, None], 3, axis=2)
    image[:, :, 1] = 90
    values = measure(image, Masks(AWAY <= 44, AWAY <= 24))
    for part, radius in (("nucleus__", 24), ("", 44)):
        expected = 1.5 / 100 * radius**2 / 4 / (2 * radius)
        for c in "rb":
            assert values[f"{part}mass_displacement_{c}"] == pytest.approx(expected, rel=0.02)
        assert values[f"{part}mass_displacement_g"] == pytest.approx(0, abs=1e-12)
        mean = expected * 200 / 290
        assert values[f"{part}mass_displacement_mean"] == pytest.approx(mean, rel=0.02)


def test_lines_along_the_axes() -> None:
    """Density of an ellipse grows along its major axis and is constant across."""
    inside = ((ROWS - 50) / 20.0) ** 2 + ((COLUMNS - 50) / 40.0) ** 2 <= 1
    image = image_of(0.3 + 0.005 * (COLUMNS - 10))
    values = measure(image, Masks(inside, AWAY <= 12))
    density = np.log10(255 / (image[50, 10:91, 1] + 1.0))
    assert values["major_axis_sd"] == pytest.approx(density.std(), rel=1e-9)
    assert values["major_axis_minimum"] == pytest.approx(density.min(), rel=1e-12)
    assert values["major_axis_maximum"] == pytest.approx(density.max(), rel=1e-12)
    assert values["major_axis_variation"] == pytest.approx(1, rel=1e-9)
    assert values["minor_axis_sd"] == pytest.approx(0, abs=1e-9)
    assert math.isnan(values["minor_axis_variation"])


def test_turned_image() -> None:
    image, masks = noisy()
    plain = measure(image, masks)
    for turn in range(1, 4):
        turned = measure(
            np.rot90(image, turn).copy(),
            Masks(np.rot90(masks.cell, turn), np.rot90(masks.nucleus, turn)),
        )
        for name in NAMES:
            assert turned[name] == pytest.approx(plain[name], rel=1e-9, abs=1e-12), name


def test_pixels_between_octants_and_beside_an_axis_count_in_equal_shares() -> None:
    """A nucleus whose centre is that of a pixel, or a corner of pixels, in a grainy cell."""
    rng = np.random.default_rng(4)
    for size in (20, 21):
        nucleus, cell = np.zeros((2, SIZE, SIZE), bool)
        nucleus[30 : 30 + size, 30 : 30 + size] = True
        cell[22 : 38 + size, 20 : 40 + size] = True
        image = rng.integers(0, 255, (SIZE, SIZE, 3)).astype(np.uint8)
        plain = measure(image, Masks(cell, nucleus))
        for change in (np.rot90, np.flipud, np.fliplr):
            turned = measure(change(image).copy(), Masks(change(cell), change(nucleus)))
            assert turned == pytest.approx(plain, rel=1e-9, abs=1e-12)
        # Along the middle of an even number of rows both are equally near, and so are columns.
        density = np.log10(255 / (image[:, :, 1] + 1.0))
        rows = density[30 + (size - 1) // 2 : 31 + size // 2, 20 : 40 + size].mean(axis=0)
        if size == 20:
            rows = np.array([rows[max(k - 1, 0) : k + 1].mean() for k in range(rows.size + 1)])
        assert plain["major_axis_sd"] == pytest.approx(rows.std(), rel=1e-9)
        assert plain["major_axis_minimum"] == pytest.approx(rows.min(), rel=1e-9)


def noisy() -> tuple[np.ndarray, Masks]:
    rng = np.random.default_rng(0)
    cell = 40 + 4 * np.sin(3 * np.arctan2(ROWS - 50, COLUMNS - 50)) >= AWAY
    nucleus = (np.hypot(ROWS - 46, COLUMNS - 55) <= 22) & (np.hypot(ROWS - 40, COLUMNS - 70) > 12)
    image = rng.integers(0, 255, (SIZE, SIZE, 3)).astype(np.uint8)
    return image, Masks(cell, nucleus & cell)


def test_agrees_with_its_twin_on_a_large_cell() -> None:
    image, masks = noisy()
    prepared = extract.Prepared(image, masks, WHITE)
    values = extract.profile(prepared, masks)
    expected = naive.profile(image, masks.cell, masks.nucleus, 1, WHITE)
    assert np.isfinite(values).all()
    np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-12)


def test_no_nucleus() -> None:
    image, masks = noisy()
    values = measure(image, Masks(masks.cell, np.zeros_like(masks.cell)))
    for name in NAMES:
        needs = name.startswith(("nucleus", "cytoplasm"))
        assert math.isnan(values[name]) == needs, name


def test_near_distances_are_exact() -> None:
    """A limited reach does not change the distances within it."""
    _, masks = noisy()
    starts, runs = find_runs(masks.cell, 1)
    boxes = pixels(starts, runs, SIZE)[2]
    full = depths(starts, runs, boxes, SIZE, SIZE, SIZE)
    near = depths(starts, runs, boxes, SIZE, SIZE, 5)
    np.testing.assert_array_equal(near[full < 25], full[full < 25])
    assert (near[full >= 25] >= 25).all()
    away = distances_to(masks.nucleus > 0, 6)
    exact = ndimage.distance_transform_edt(masks.nucleus == 0) ** 2
    np.testing.assert_allclose(away[exact <= 36], exact[exact <= 36])
    assert (away[exact > 36] > 36).all()
