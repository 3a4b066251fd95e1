"""Lobes at several densities of drawn nuclei with known values."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from hemafeat import extract
from hemafeat.extract._kernels.lobulation import ENOUGH, SHARES
from hemafeat.segment import Masks
from reference import naive

NAMES = list(extract.lobulation.facts.columns)
WHITE = (254.0, 254.0, 254.0)
Y, X = np.mgrid[:150, :190]
CELL = np.hypot(Y - 75, (X - 95) / 1.3) <= 70


def smear(density: np.ndarray) -> np.ndarray:
    """Return an (H, W, 3) uint8 image with these densities of red light."""
    levels = np.round(255 * 10.0**-density - 1)
    return np.ascontiguousarray(np.repeat(levels[:, :, None], 3, axis=2).astype(np.uint8))


def measure(density: np.ndarray, nucleus: np.ndarray, cell: np.ndarray = CELL) -> dict[str, float]:
    masks = Masks(cell.astype(np.int32), nucleus.astype(np.int32))
    row = extract.lobulation(extract.Prepared(smear(density), masks, WHITE), masks)
    assert row.shape == (1, len(NAMES))
    return dict(zip(NAMES, row[0], strict=True))


def disc(row: float, column: float, radius: float) -> np.ndarray:
    return np.hypot(Y - row, X - column) <= radius


def bar(start: tuple[int, int], stop: tuple[int, int], width: float) -> np.ndarray:
    (r, c), (s, d) = start, stop
    along = np.clip(((Y - r) * (s - r) + (X - c) * (d - c)) / ((s - r) ** 2 + (d - c) ** 2), 0, 1)
    return np.hypot(Y - r - along * (s - r), X - c - along * (d - c)) <= width / 2


PLACES = [(75, 60), (55, 95), (75, 130)]


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("strength", [0.1, 0.3, 0.4, 0.6, 0.7, 0.9])
def test_strings_hold_up_to_their_own_density(n: int, strength: float) -> None:
    """Discs on strings of a share of their density are connected below it, and separate above."""
    discs = np.any([disc(*place, 13) for place in PLACES[:n]], axis=0)
    strings = np.any([np.zeros_like(discs), *(bar(a, b, 7) for a, b in pairwise(PLACES[:n]))], 0)
    density = np.where(CELL, 0.1, 0.0)
    density[strings] = 0.1 + strength * 0.6
    density[discs] = 0.7
    values = measure(density, discs | strings)
    # Blocks are single pixels, so the drawn figure is measured exactly.
    assert (discs | strings).sum() < 4 * ENOUGH
    for share in SHARES.tolist():
        assert values[f"n_dense_parts_d{share}"] == n
        linked = share < 100 * strength
        links = [values[f"{k}narrowest_isthmus_ratio_d{share}"] for k in ("", "second_", "third_")]
        expected = 7 / 26 if linked else 0.0
        assert links[: n - 1] == pytest.approx([expected] * (n - 1), abs=0.03)
        assert links[n - 1 :] == [1.0] * (4 - n)
        assert values[f"n_holes_d{share}"] == 0
        area = discs.sum() + linked * (strings & ~discs).sum()
        assert values[f"area_ratio_d{share}"] == pytest.approx(area / (discs | strings).sum())
        if n == 1:
            assert values[f"solidity_d{share}"] == pytest.approx(1, abs=0.05)
            assert values[f"circularity_d{share}"] == pytest.approx(1, abs=0.05)
            assert values[f"inscribed_ratio_d{share}"] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("width", [9, 33])
def test_band_and_segments(width: int) -> None:
    """The filament rule tells a bar as wide as its ends from two lobes on a filament."""
    ends = disc(75, 50, 20) | disc(75, 140, 20)
    nucleus = ends | bar((75, 50), (75, 140), width)
    values = measure(np.where(nucleus, 0.7, np.where(CELL, 0.1, 0.0)), nucleus)
    for share in SHARES.tolist():
        assert values[f"n_dense_parts_filament_rule_d{share}"] == (2 if width == 9 else 1)
        assert values[f"n_dense_parts_d{share}"] == (2 if width == 9 else 1)


def test_pale_line_separates_overlapping_lobes() -> None:
    """The outline is a disc; a line at half the density runs across it."""
    nucleus = disc(75, 95, 40)
    line = nucleus & (abs(X - 95) <= 3)
    density = np.where(nucleus, 0.7, np.where(CELL, 0.1, 0.0))
    density[line] = 0.4
    values = measure(density, nucleus)
    assert [values[f"n_dense_parts_d{share}"] for share in SHARES] == [1, 1, 2, 2, 2]
    assert [values[f"n_dense_parts_filament_rule_d{share}"] for share in SHARES] == [1, 1, 2, 2, 2]


@pytest.mark.parametrize("radius", [2, 7])
def test_holes(radius: int) -> None:
    """A hole of 7 px in a disc of 25 is 8 % of it; one of 2 px is 0.7 % and filled."""
    nucleus = disc(75, 95, 25)
    density = np.where(nucleus & ~disc(75, 95, radius), 0.7, np.where(CELL, 0.1, 0.0))
    values = measure(density, nucleus)
    for share in SHARES.tolist():
        assert values[f"n_holes_d{share}"] == (radius == 7)
        left = 1 - disc(75, 95, 7).sum() / nucleus.sum() if radius == 7 else 1
        assert values[f"area_ratio_d{share}"] == pytest.approx(left)


def test_specks_do_not_count() -> None:
    """Parts below 2 % of the nucleus are dropped; larger ones stay, in the nucleus or not."""
    nucleus = disc(75, 95, 22)
    density = np.where(CELL, 0.1, 0.0)
    for part in (nucleus, disc(35, 70, 2), disc(110, 130, 6)):
        density[part] = 0.7
    values = measure(density, nucleus)
    for share in SHARES.tolist():
        assert (
            values[f"n_dense_parts_d{share}"]
            == values[f"n_dense_parts_filament_rule_d{share}"]
            == 2
        )
        extra = disc(110, 130, 6).sum() / nucleus.sum()
        assert values[f"area_ratio_d{share}"] == pytest.approx(1 + extra)


def test_without_contrast_all_is_nan() -> None:
    nucleus = disc(75, 95, 30)
    for density in (np.where(CELL, 0.4, 0.0), np.where(nucleus, 0.2, np.where(CELL, 0.5, 0.0))):
        assert np.isnan(list(measure(density, nucleus).values())).all()


def test_without_cytoplasm_density_counts_from_zero() -> None:
    """In a nucleus without cytoplasm the smaller half has 0.4 of the density of the larger."""
    nucleus = disc(75, 95, 40)
    density = np.where(nucleus, np.where(X > 90, 0.75, 0.3), 0.0)
    values = measure(density, nucleus, nucleus)
    share_dense = (nucleus & (X > 90)).sum() / nucleus.sum()
    areas = [values[f"area_ratio_d{share}"] for share in SHARES]
    assert areas == pytest.approx([1, 1, *[share_dense] * 3], abs=0.03)


@pytest.mark.parametrize("zoom", [2, 3])
def test_magnification_changes_only_the_size_of_blocks(zoom: int) -> None:
    """Pixels repeated `zoom` x `zoom` times form the same blocks as before."""
    rng = np.random.default_rng(0)
    nucleus = disc(75, 85, 13) | disc(70, 100, 9)
    cell = disc(75, 95, 32)
    assert ENOUGH <= nucleus.sum() < 2 * ENOUGH
    density = np.where(nucleus, 0.6, 0.2) + rng.normal(0, 0.1, nucleus.shape)
    values = measure(density, nucleus, cell)
    large = [np.repeat(np.repeat(a, zoom, 0), zoom, 1) for a in (density, nucleus, cell)]
    assert measure(*large) == pytest.approx(values, rel=1e-12)


def coarse(seed: int, trim: tuple[int, int] = (0, 0)) -> tuple[np.ndarray, Masks]:
    """Draw a cell with a ragged edge, so that many blocks lie partly outside, and a coarse grain.

    `trim` cuts rows and columns off it.
    """
    rng = np.random.default_rng(seed)
    grain = np.kron(rng.normal(0, 0.12, (30, 38)), np.ones((5, 5)))
    edge = np.kron(rng.normal(0, 4, (50, 95)), np.ones((3, 2)))
    cell = np.hypot(Y - 75, X - 95) + edge <= 55
    nucleus = (np.hypot(Y - 75, X - 90) + edge <= 20 + 10 * seed) & cell
    density = np.where(nucleus, 0.6, 0.2) + grain
    rows, columns = (int(np.flatnonzero(cell.any(axis=axis))[0]) for axis in (1, 0))
    for mask in (cell, nucleus):
        mask[: rows + trim[0]] = mask[:, : columns + trim[1]] = False
    return smear(np.clip(density, 0, 2)), Masks(cell.astype(np.int32), nucleus.astype(np.int32))


TRIMS = [(0, 0), (1, 0), (0, 1), (1, 1), (2, 1)]


@pytest.mark.parametrize("trim", TRIMS)
@pytest.mark.parametrize("seed", range(3))
def test_blocks_agree_with_the_naive_twin(seed: int, trim: tuple[int, int]) -> None:
    image, masks = coarse(seed, trim)
    values = extract.lobulation(extract.Prepared(image, masks, WHITE), masks)
    expected = naive.lobulation(image, masks.cell, masks.nucleus, 1, WHITE)
    assert math.isqrt((masks.nucleus > 0).sum() // ENOUGH) == 1 + seed
    np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("trim", TRIMS)
@pytest.mark.parametrize("seed", range(3))
def test_turning_and_mirroring_change_no_block(seed: int, trim: tuple[int, int]) -> None:
    image, masks = coarse(seed, trim)
    expected = extract.lobulation(extract.Prepared(image, masks, WHITE), masks)
    assert np.isfinite(expected).all()
    for change in (np.rot90, np.flipud, np.fliplr, lambda a: np.swapaxes(a, 0, 1)):
        turned = np.ascontiguousarray(change(image))
        again = Masks(change(masks.cell), change(masks.nucleus))
        values = extract.lobulation(extract.Prepared(turned, again, WHITE), again)
        # Sums of floats in another order.
        np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-12)
