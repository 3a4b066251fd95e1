"""The rim of cytoplasm and the projections of drawn cells with known values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage
from skimage import morphology

from hemafeat import extract
from hemafeat.segment import Masks

NAMES = list(extract.rim.facts.columns)
Y, X = np.mgrid[:141, :161]


def disc(row: float, column: float, radius: float) -> np.ndarray:
    return np.hypot(Y - row, X - column) <= radius


def measure(cell: np.ndarray, nucleus: np.ndarray) -> dict[str, float]:
    image = np.full((*cell.shape, 3), 240, np.uint8)
    row = extract.rim(image, Masks(cell.astype(np.int32), nucleus.astype(np.int32)))
    assert row.shape == (1, len(NAMES))
    return dict(zip(NAMES, row[0], strict=True))


def hairy(n: int, width: int, length: int) -> np.ndarray:
    """Draw a disc of radius 50 with n straight hairs."""
    cell = disc(70, 80, 50)
    for angle in np.arange(n) * 2 * math.pi / n + 0.1:
        along = (X - 80) * math.cos(angle) + (Y - 70) * math.sin(angle)
        aside = (Y - 70) * math.cos(angle) - (X - 80) * math.sin(angle)
        cell |= (along > 0) & (along <= 50 + length) & (abs(aside) <= width / 2)
    return cell


def test_concentric_discs() -> None:
    values = measure(disc(70, 80, 60), disc(70, 80, 30))
    for name in ("percentile_10", "median", "percentile_90"):
        # Both edges are staircases, off by up to half a pixel.
        assert values[f"cytoplasm__thickness_{name}"] == pytest.approx(30, abs=1), name
    assert (values["cytoplasm__bare_fraction"], values["cytoplasm__bare_angle"]) == (0, 0)
    for fold in (1, 2, 3):
        assert values[f"cytoplasm__thickness_harmonic_{fold}"] == pytest.approx(0, abs=1e-9)
    assert values["nucleus__open_angle_from_cell_centroid"] < 3
    assert values["perimeter_excess"] == pytest.approx(0, abs=0.01)
    # The opening removes single pixels of the staircase, which are no projections.
    for name in ("n_projections", "projection_fraction", "largest_projection_fraction"):
        assert values[name] == 0, name


def test_harmonics_of_a_shifted_nucleus() -> None:
    shift, outer, inner = 12, 60, 30
    values = measure(disc(70, 80, outer), disc(70, 80 + shift, inner))
    a = np.radians(np.arange(2.5, 360, 5))
    # Distance from an eccentric point to the edge of a circle, minus the radius of the nucleus.
    t = -shift * np.cos(a) + np.sqrt(outer**2 - (shift * np.sin(a)) ** 2) - inner
    for fold in (1, 2):
        expected = abs((t * np.exp(1j * fold * a)).sum()) / t.sum()
        assert values[f"cytoplasm__thickness_harmonic_{fold}"] == pytest.approx(expected, abs=0.01)
    for name, q in (("percentile_10", 10), ("median", 50), ("percentile_90", 90)):
        expected = np.percentile(t, q)
        assert values[f"cytoplasm__thickness_{name}"] == pytest.approx(expected, abs=1), name


def test_angle_of_a_side_without_cytoplasm() -> None:
    nucleus = disc(70, 80, 40)
    angle = np.degrees(np.arctan2(Y - 70, X - 80))
    cell = nucleus | (disc(70, 80, 60) & (abs(angle) > 45))
    values = measure(cell, nucleus)
    # A quarter of the directions, give or take half a step of 5 degrees on both sides.
    assert values["cytoplasm__bare_angle"] == pytest.approx(90, abs=5)
    assert values["cytoplasm__bare_fraction"] == pytest.approx(0.25, abs=5 / 360)
    values = measure(nucleus, nucleus)
    assert (values["cytoplasm__bare_angle"], values["cytoplasm__bare_fraction"]) == (360, 1)
    assert math.isnan(values["cytoplasm__thickness_harmonic_1"])


def test_gap_of_a_nucleus_aside() -> None:
    values = measure(disc(70, 80, 60), disc(70, 120, 15))
    # A disc of radius 15 at distance 40 covers twice the arcsine of their ratio.
    covered = 2 * math.degrees(math.asin(15 / 40))
    assert values["nucleus__open_angle_from_cell_centroid"] == pytest.approx(360 - covered, abs=2)


@pytest.mark.parametrize("seed", range(4))
def test_gaps_narrower_than_a_sector(seed: int) -> None:
    """A nucleus around its middle has gaps of 1 or 2 degrees, wherever they begin and end."""
    rng = np.random.default_rng(seed)
    angle = np.arctan2(Y - 70, X - 80)
    edge = 26 + sum(rng.normal(0, 3) * np.cos(k * angle + rng.uniform(0, 7)) for k in range(2, 7))
    nucleus = np.hypot(Y - 70, X - 80) <= edge
    cell = nucleus | disc(68, 83, 45)
    padded = np.pad(nucleus, 1)
    points = np.concatenate(
        [
            np.argwhere(padded[1:] != padded[:-1]) + np.array([0.5, 0]),
            np.argwhere(padded[:, 1:] != padded[:, :-1]) + np.array([0, 0.5]),
        ]
    )
    lobes = extract.lobes(np.zeros((*Y.shape, 3), np.uint8), nucleus.astype(np.int32))[0]
    hull = np.argwhere(morphology.convex_hull_image(padded))
    for seen_from, value in [
        (np.argwhere(cell) + 1, measure(cell, nucleus)["nucleus__open_angle_from_cell_centroid"]),
        (hull, lobes[list(extract.lobes.facts.columns).index("open_angle_from_hull_centroid")]),
    ]:
        centre = seen_from.mean(axis=0)
        angles = np.sort(np.degrees(np.arctan2(*(points - centre).T)))
        gap = np.diff(angles, append=angles[0] + 360).max()
        assert gap < 5
        assert value == pytest.approx(gap, rel=1e-9)


@pytest.mark.parametrize(("n", "width"), [(5, 4), (12, 4), (12, 6)])
def test_count_of_hairs(n: int, width: int) -> None:
    cell = hairy(n, width, 14)
    values = measure(cell, disc(70, 80, 20))
    assert values["n_projections"] == n
    hairs = cell.sum() - disc(70, 80, 50).sum()
    assert values["projection_fraction"] == pytest.approx(hairs / cell.sum(), rel=0.1)
    assert values["largest_projection_fraction"] == pytest.approx(hairs / n / cell.sum(), rel=0.2)
    # Each hair adds twice its length to the perimeter.
    assert values["perimeter_excess"] == pytest.approx(n * 2 * 14 / (2 * math.pi * 50), rel=0.2)


def test_opening_is_that_of_scipy() -> None:
    rng = np.random.default_rng(0)
    cell = ndimage.gaussian_filter(rng.normal(size=Y.shape), 4) > 0.02
    parts, _ = ndimage.label(cell)
    cell = parts == np.argmax(np.bincount(parts.ravel())[1:]) + 1
    radius = max(round(0.1 * math.sqrt(cell.sum() / math.pi)), 1)
    plus, square = ndimage.generate_binary_structure(2, 1), np.ones((3, 3), bool)
    steps = [square if k % 2 else plus for k in range(radius)]
    kept = np.pad(cell, 1)
    for step in steps:
        kept = ndimage.binary_erosion(kept, step)
    for step in reversed(steps):
        kept = ndimage.binary_dilation(kept, step)
    removed = cell & ~kept[1:-1, 1:-1]
    values = measure(cell, cell)
    sizes = np.bincount(ndimage.label(removed, square)[0].ravel())[1:]
    assert (2 * sizes < radius**2).any()
    sizes = sizes[2 * sizes >= radius**2]
    assert values["n_projections"] == sizes.size
    assert values["projection_fraction"] == pytest.approx(sizes.sum() / cell.sum(), rel=1e-12)
    assert values["largest_projection_fraction"] == pytest.approx(sizes.max() / cell.sum())


def test_turning_and_mirroring_change_nothing() -> None:
    rng = np.random.default_rng(2)
    cell = hairy(7, 4, 12) & (rng.random(Y.shape) > 0.02)
    nucleus = disc(75, 90, 25) & ~disc(80, 110, 12) & cell
    before = measure(cell, nucleus)
    for change in (np.rot90, np.flipud, np.fliplr, np.transpose):
        after = measure(change(cell), change(nucleus))
        for name in NAMES:
            assert after[name] == pytest.approx(before[name], rel=1e-9, abs=1e-9), name


def test_without_a_nucleus_there_is_no_rim() -> None:
    cell = disc(70, 80, 30)
    row = extract.rim(
        np.zeros((*cell.shape, 3), np.uint8),
        Masks(cell.astype(np.int32), 0 * cell.astype(np.int32)),
    )
    assert np.isnan(row).all()
