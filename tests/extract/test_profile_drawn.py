"""Profiles of cells whose density is a known function of place."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hemafeat import extract
from hemafeat.extract._kernels.region.distance import depths, spread
from hemafeat.extract._kernels.region.runs import find_runs, pixels
from hemafeat.segment import Masks
from reference import naive

NAMES = list(extract.profile.facts.columns)
WHITE = (254.0, 254.0, 254.0)
SIZE = 101
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE]
AWAY = np.hypot(ROWS - 50, COLUMNS - 50)


def image_of(density: np.ndarray) -> np.ndarray:
    """Grey levels of this optical density against a white of 254."""
    level = np.clip(np.rint(255 * 10**-density - 1), 0, 255).astype(np.uint8)
    return np.repeat(level[:, :, None], 3, axis=2)


def measured(image: np.ndarray, masks: Masks) -> dict[str, float]:
    ready = extract.Prepared(image, masks, WHITE)
    return dict(zip(NAMES, extract.profile(ready, masks)[0], strict=True))


def disc(density: np.ndarray, nucleus: float = 24, cell: float = 44) -> dict[str, float]:
    return measured(image_of(density), Masks(cell >= AWAY, nucleus >= AWAY))


def test_shells_of_a_cone() -> None:
    """Density falls linearly from the centre, so the shells do, and by the slope of the cone."""
    found = disc(np.where(AWAY <= 24, 0.9 - 0.5 * AWAY / 24, 0.2))
    shells = [found[f"nucleus_radial_od_{k}"] for k in range(1, 9)]
    # Mean radius of a ring from a to b is 2/3 (b^3 - a^3) / (b^2 - a^2); depth ends half a pixel
    # and more beyond the last pixel.
    edges = np.arange(9) / 8
    radius = 2 / 3 * np.diff(edges**3) / np.diff(edges**2)
    np.testing.assert_allclose(shells, 0.9 - 0.5 * radius, atol=0.02)
    assert found["nucleus_radial_slope"] == pytest.approx(-0.5, abs=0.03)
    expected = np.std(shells) / np.mean(shells)
    assert found["nucleus_radial_cv"] == pytest.approx(expected, rel=1e-12)


def test_flat_nucleus_has_no_profile() -> None:
    found = disc(np.where(AWAY <= 24, 0.7, 0.2))
    assert found["nucleus_radial_cv"] == pytest.approx(0, abs=1e-12)
    assert found["nucleus_radial_slope"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("slope", [0.01, 0.02])
def test_edges_of_a_slope(slope: float) -> None:
    """A density that falls by so much per px has that gradient at every edge."""
    found = disc(0.1 + slope * np.maximum(44 - AWAY, -4))
    for name in ("nucleus_edge_gradient", "cell_edge_gradient"):
        # Depth counts from the centre of a pixel outside, which is up to 0.7 px from the edge.
        assert found[name] == pytest.approx(slope, rel=0.15), name


def test_step_at_the_edge_of_the_nucleus() -> None:
    found = disc(np.where(AWAY <= 24, 0.8, 0.2))
    # Bands of 2 px on either side: their middles are a little more than 1 px from the edge.
    assert 0.6 / 3 < found["nucleus_edge_gradient"] < 0.6 / 1
    assert found["cell_edge_gradient"] == pytest.approx(0, abs=1e-12)


def test_pale_ring_around_the_nucleus() -> None:
    density = np.where(AWAY <= 24, 0.8, np.where(AWAY <= 27, 0.1, 0.4))
    found = disc(density)
    levels = image_of(np.array([[0.1, 0.4]]))[0, :, 0]
    pale, blue = np.log10(255 / (levels + 1.0))
    assert found["perinuclear_halo"] == pytest.approx(pale - blue, abs=0.03)
    # The ring is the same all around.
    assert found["pale_zone"] == pytest.approx(0, abs=0.02)


def test_pale_zone_on_one_side() -> None:
    """Golgi: a quarter of the surroundings is pale."""
    angle = np.arctan2(ROWS - 50, COLUMNS - 50)
    density = np.where(AWAY <= 24, 0.8, np.where(abs(angle) < math.pi / 4 + 0.05, 0.1, 0.5))
    found = disc(density)
    assert found["pale_zone"] == pytest.approx(0.75 * 0.4, abs=0.03)


def test_displacement_of_a_ramp() -> None:
    """Intensity 1 + a x over a disc: its centroid is off by a (R/2)^2 of the middle's intensity."""
    level = 100 + np.rint(1.5 * (COLUMNS - 50)).astype(np.uint8)
    image = np.repeat(level[:, :, None], 3, axis=2)
    image[:, :, 1] = 90
    found = measured(image, Masks(AWAY <= 44, AWAY <= 24))
    for part, radius in (("nucleus", 24), ("cell", 44)):
        right = 1.5 / 100 * radius**2 / 4 / (2 * radius)
        for c in "rb":
            assert found[f"{part}_mass_displacement_{c}"] == pytest.approx(right, rel=0.02)
        assert found[f"{part}_mass_displacement_g"] == pytest.approx(0, abs=1e-12)
        mean = right * 200 / 290
        assert found[f"{part}_mass_displacement_mean"] == pytest.approx(mean, rel=0.02)


def test_lines_along_the_axes() -> None:
    """An ellipse whose density grows along its long axis and is the same across."""
    inside = ((ROWS - 50) / 20.0) ** 2 + ((COLUMNS - 50) / 40.0) ** 2 <= 1
    image = image_of(0.3 + 0.005 * (COLUMNS - 10))
    found = measured(image, Masks(inside, AWAY <= 12))
    density = np.log10(255 / (image[50, 10:91, 1] + 1.0))
    assert found["major_axis_sd"] == pytest.approx(density.std(), rel=1e-9)
    assert found["major_axis_minimum"] == pytest.approx(density.min(), rel=1e-12)
    assert found["major_axis_maximum"] == pytest.approx(density.max(), rel=1e-12)
    assert found["major_axis_variation"] == pytest.approx(1, rel=1e-9)
    assert found["minor_axis_sd"] == pytest.approx(0, abs=1e-9)
    assert math.isnan(found["minor_axis_variation"])


def test_turned_image() -> None:
    image, masks = noisy()
    plain = measured(image, masks)
    for turn in range(1, 4):
        other = measured(
            np.rot90(image, turn).copy(),
            Masks(np.rot90(masks.cell, turn), np.rot90(masks.nucleus, turn)),
        )
        for name in NAMES:
            # The nearest pixel to a point of a line may be another, and octants share their edges.
            if "axis" not in name and name != "pale_zone":
                assert other[name] == pytest.approx(plain[name], rel=1e-9, abs=1e-12), name


def noisy() -> tuple[np.ndarray, Masks]:
    rng = np.random.default_rng(0)
    cell = 40 + 4 * np.sin(3 * np.arctan2(ROWS - 50, COLUMNS - 50)) >= AWAY
    nucleus = (np.hypot(ROWS - 46, COLUMNS - 55) <= 22) & (np.hypot(ROWS - 40, COLUMNS - 70) > 12)
    image = rng.integers(0, 255, (SIZE, SIZE, 3)).astype(np.uint8)
    return image, Masks(cell, nucleus & cell)


def test_agrees_with_its_twin_on_a_large_cell() -> None:
    image, masks = noisy()
    ready = extract.Prepared(image, masks, WHITE)
    found = extract.profile(ready, masks)
    right = naive.profile(image, masks.cell, masks.nucleus, 1, WHITE)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, right, rtol=1e-9, atol=1e-12)


def test_no_nucleus() -> None:
    image, masks = noisy()
    found = measured(image, Masks(masks.cell, np.zeros_like(masks.cell)))
    for name in NAMES:
        needs = name.startswith("nucleus") or name in ("perinuclear_halo", "pale_zone")
        assert math.isnan(found[name]) == needs, name


def test_near_distances_are_exact() -> None:
    """A reach cuts the work short, not what lies within it."""
    _, masks = noisy()
    starts, runs = find_runs(masks.cell, 1)
    boxes = pixels(starts, runs, SIZE)[2]
    full = depths(starts, runs, boxes, SIZE, SIZE, SIZE)
    near = depths(starts, runs, boxes, SIZE, SIZE, 5)
    np.testing.assert_array_equal(near[full < 25], full[full < 25])
    assert (near[full >= 25] >= 25).all()
    away = spread(masks.nucleus > 0, 6)
    exact = naive.ndimage.distance_transform_edt(masks.nucleus == 0) ** 2
    np.testing.assert_allclose(away[exact <= 36], exact[exact <= 36])
    assert (away[exact > 36] > 36).all()
