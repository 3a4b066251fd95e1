"""The nucleus in its cell: figures with known values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hemafeat import extract
from hemafeat.segment import Masks

NAMES = list(extract.relation.facts.columns)


def disc(shape: tuple[int, int], row: float, column: float, radius: float) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.hypot(y - row, x - column) <= radius


def ellipse(shape: tuple[int, int], a: float, b: float, degrees: float) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    y, x = y - shape[0] // 2, x - shape[1] // 2
    turn = math.radians(degrees)
    u, v = x * math.cos(turn) + y * math.sin(turn), -x * math.sin(turn) + y * math.cos(turn)
    return (u / a) ** 2 + (v / b) ** 2 <= 1


def measure(cell: np.ndarray, nucleus: np.ndarray) -> dict[str, float]:
    image = np.full((*cell.shape, 3), 240, np.uint8)
    image[cell > 0] = (210, 180, 200)
    image[nucleus > 0] = (90, 50, 140)
    row = extract.relation(image, Masks(cell, nucleus))
    assert row.shape == (1, len(NAMES))
    return dict(zip(NAMES, row[0], strict=True))


def test_concentric_discs() -> None:
    shape = (101, 101)
    cell, nucleus = disc(shape, 50, 50, 45), disc(shape, 50, 50, 25)
    values = measure(cell, nucleus)
    share = nucleus.sum() / cell.sum()
    # Pixel counts: exact.
    assert values["nucleus_to_cell_area_ratio"] == pytest.approx(share, rel=1e-12)
    assert values["nucleus_to_cell_diameter_ratio"] == pytest.approx(math.sqrt(share), rel=1e-12)
    assert values["nucleus_to_cytoplasm_area_ratio"] == pytest.approx(
        share / (1 - share), rel=1e-12
    )
    assert values["cytoplasm__area"] == cell.sum() - nucleus.sum()
    assert values["eccentric_position"] == pytest.approx(0, abs=1e-12)
    assert values["nucleus__border_contact"] == 0
    # The error of Crofton is the same for both discs, apart from their staircases.
    assert values["perimeter_ratio"] == pytest.approx(25 / 45, abs=0.01)
    # Along a ray both edges are off by up to a pixel; on average by far less.
    assert values["cytoplasm__thickness_mean"] == pytest.approx(20, abs=0.3)
    assert values["cytoplasm__thickness_from_area"] == pytest.approx(20, abs=0.3)
    assert 18.5 <= values["cytoplasm__thickness_min"] <= values["cytoplasm__thickness_mean"]
    assert values["cytoplasm__thickness_mean"] <= values["cytoplasm__thickness_max"] <= 21.5
    assert values["cytoplasm__thickness_cv"] < 0.04
    # A disc has no major axis.
    assert math.isnan(values["axis_angle"])


def test_shifted_nucleus() -> None:
    shape = (101, 101)
    cell, nucleus = disc(shape, 50, 50, 45), disc(shape, 50, 60, 25)
    values = measure(cell, nucleus)
    radius = math.sqrt(cell.sum() / math.pi)
    assert values["eccentric_position"] == pytest.approx(10 / radius, rel=1e-9)
    assert values["cytoplasm__thickness_min"] == pytest.approx(10, abs=1)
    assert values["cytoplasm__thickness_max"] == pytest.approx(30, abs=1)
    assert values["nucleus__border_contact"] == 0


def test_squares_have_exact_values() -> None:
    cell, nucleus = np.zeros((40, 40), np.int32), np.zeros((40, 40), np.int32)
    cell[5:35, 5:35] = 1
    nucleus[10:30, 10:30] = 1
    values = measure(cell, nucleus)
    assert values["hull_occupancy"] == pytest.approx(400 / 900, rel=1e-12)
    assert values["nucleus__convex_deficiency"] == 0
    # Sides are 5 apart; the ray nearest to the normal of a side is 2.5 degrees off, the one nearest
    # to a corner 42.5.
    assert values["cytoplasm__thickness_min"] == pytest.approx(
        5 / math.cos(math.radians(2.5)), rel=1e-12
    )
    assert values["cytoplasm__thickness_max"] == pytest.approx(
        5 / math.cos(math.radians(42.5)), rel=1e-12
    )
    rays = [5 / max(abs(math.cos(a)), abs(math.sin(a))) for a in np.radians(np.arange(2.5, 360, 5))]
    assert values["cytoplasm__thickness_mean"] == pytest.approx(np.mean(rays), rel=1e-12)
    assert values["cytoplasm__thickness_cv"] == pytest.approx(
        np.std(rays) / np.mean(rays), rel=1e-9
    )


@pytest.mark.parametrize("gap", [0, 1, 2])
def test_contact_of_one_side(gap: int) -> None:
    """A square nucleus on one side of the cell: a quarter of its boundary, and the corners."""
    cell, nucleus = np.zeros((40, 40), np.int32), np.zeros((40, 40), np.int32)
    cell[5:35, 5:35] = 1
    nucleus[5 + gap : 15 + gap, 12:22] = 1
    values = measure(cell, nucleus)
    # 36 boundary pixels. The top row of 10 touches while at most 1 px of cytoplasm is above it;
    # with no gap the second row's two end pixels are 2 px from the outside too.
    assert values["nucleus__border_contact"] == pytest.approx(
        {0: 12, 1: 10, 2: 0}[gap] / 36, rel=1e-12
    )


@pytest.mark.parametrize("degrees", [0, 10, 45, 80, 90, 130])
def test_angle_between_axes(degrees: float) -> None:
    shape = (121, 121)
    values = measure(ellipse(shape, 55, 40, 20), ellipse(shape, 30, 15, 20 + degrees))
    expected = degrees if degrees <= 90 else 180 - degrees
    # The staircase turns the axis of a figure of this size by less than half a degree.
    assert values["axis_angle"] == pytest.approx(expected, abs=0.5)


@pytest.mark.parametrize("degrees", [0, 30])
def test_turning_and_mirroring_change_nothing(degrees: float) -> None:
    shape = (91, 101)
    cell = ellipse(shape, 42, 33, degrees)
    nucleus = disc(shape, 40, 56, 16) | disc(shape, 56, 44, 9)
    before = measure(cell, nucleus & cell)
    for change in (np.rot90, np.flipud, np.fliplr, np.transpose):
        after = measure(change(cell), change(nucleus & cell))
        for name in NAMES:
            # The same numbers, summed in another order.
            assert after[name] == pytest.approx(before[name], rel=1e-10, abs=1e-10, nan_ok=True), (
                name
            )


def test_centroid_outside_a_bent_nucleus() -> None:
    shape = (101, 101)
    cell = disc(shape, 50, 50, 45)
    band = disc(shape, 50, 50, 34) & ~disc(shape, 50, 58, 30)
    values = measure(cell, band)
    # Rays that miss the band do not count; the others see between 0 and the radius of the cell.
    assert 0 < values["cytoplasm__thickness_min"] <= values["cytoplasm__thickness_max"] < 45
    assert values["nucleus__convex_deficiency"] > 0.4


def test_centroid_on_the_edge_of_the_nucleus() -> None:
    """The centroid lies between two pixels, one of them nucleus: neither side is preferred."""
    cell, nucleus = np.zeros((24, 24), np.int32), np.zeros((24, 24), np.int32)
    cell[2:22, 2:22] = 1
    nucleus[8:12, 9:15] = 1
    nucleus[13:15, 6:18] = 1
    assert np.argwhere(nucleus).mean(axis=0).tolist() == [11.5, 11.5]
    before = measure(cell, nucleus)
    after = measure(np.flipud(cell), np.flipud(nucleus))
    for name in NAMES:
        assert after[name] == pytest.approx(before[name], rel=1e-10, abs=1e-10, nan_ok=True), name


def test_nucleus_fills_the_cell() -> None:
    shape = (41, 41)
    cell = disc(shape, 20, 20, 15)
    values = measure(cell, cell)
    assert (values["nucleus_to_cell_area_ratio"], values["cytoplasm__area"]) == (1, 0)
    assert (values["nucleus__border_contact"], values["perimeter_ratio"]) == (1, 1)
    assert values["cytoplasm__thickness_mean"] == 0
    for name in (
        "nucleus_to_cytoplasm_area_ratio",
        "cytoplasm__thickness_cv",
        "delta_e_nucleus_cytoplasm",
        "cytoplasm__delta_e_background",
    ):
        assert math.isnan(values[name]), name


def test_without_nucleus_or_cell_all_is_nan() -> None:
    cell, nucleus = np.zeros((30, 60), np.int32), np.zeros((30, 60), np.int32)
    cell[5:25, 5:25] = 1
    nucleus[10:20, 40:50] = 2
    image = np.full((30, 60, 3), 200, np.uint8)
    assert np.isnan(extract.relation(image, Masks(cell, nucleus))).all()


def test_nucleus_at_the_edge_of_the_image() -> None:
    cell, nucleus = np.zeros((30, 30), np.int32), np.zeros((30, 30), np.int32)
    cell[:20, :20] = 1
    nucleus[:8, :8] = 1
    values = measure(cell, nucleus)
    assert values["cytoplasm__thickness_min"] == pytest.approx(0, abs=1e-12)
    # Two sides of 8 lie at the edge, 15 pixels; the next pixel inwards on the other two as well.
    assert values["nucleus__border_contact"] == pytest.approx(17 / 28, rel=1e-12)
