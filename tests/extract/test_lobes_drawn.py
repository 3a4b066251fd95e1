"""Lobes, links, skeletons and symmetry of drawn nuclei with known values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage
from skimage import morphology

from hemafeat import extract
from hemafeat.extract._kernels.lobes import upright
from hemafeat.extract._kernels.region.bits import pack, unpack_pixels
from hemafeat.extract._kernels.region.runs import local_runs
from hemafeat.extract._kernels.region.thinning import thin
from hemafeat.extract._prepared import Prepared

NAMES = list(extract.lobes.facts.columns)
Y, X = np.mgrid[:130, :170]


def disc(row: float, column: float, radius: float) -> np.ndarray:
    return np.hypot(Y - row, X - column) <= radius


def bar(start: tuple[int, int], stop: tuple[int, int], width: float) -> np.ndarray:
    """Draw the pixels at most half of `width` from a segment."""
    (r, c), (s, d) = start, stop
    along = np.clip(((Y - r) * (s - r) + (X - c) * (d - c)) / ((s - r) ** 2 + (d - c) ** 2), 0, 1)
    return np.hypot(Y - r - along * (s - r), X - c - along * (d - c)) <= width / 2


def beads(centres: Sequence[tuple[int, int]], radius: float, width: float) -> np.ndarray:
    """Draw discs connected by bars."""
    mask = np.any([disc(*centre, radius) for centre in centres], axis=0)
    for start, stop in pairwise(centres):
        mask |= bar(start, stop, width)
    return mask


def measure(mask: np.ndarray) -> dict[str, float]:
    row = extract.lobes(np.zeros((*mask.shape, 3), np.uint8), np.ascontiguousarray(mask, np.int32))
    assert row.shape == (1, len(NAMES))
    return dict(zip(NAMES, row[0], strict=True))


def banana(inner: float, outer: float, opening: float) -> np.ndarray:
    """Draw a ring with round ends, without `opening` degrees around the positive x axis."""
    r, angle = np.hypot(Y - 65, X - 85), np.degrees(np.arctan2(Y - 65, X - 85))
    mask = (r >= inner) & (r <= outer) & (abs(angle) > opening / 2)
    middle, width = (inner + outer) / 2, outer - inner
    for end in (-math.radians(opening / 2), math.radians(opening / 2)):
        mask |= disc(65 + middle * math.sin(end), 85 + middle * math.cos(end), width / 2)
    return mask


CHAIN = [(35, 25), (35, 85), (95, 85), (95, 145)]


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("width", [3, 5, 7])
def test_count_of_beads_on_a_string(n: int, width: int) -> None:
    radius = 22
    values = measure(beads(CHAIN[:n], radius, width))
    assert values["n_lobes"] == values["n_lobes_filament_rule"] == n
    assert values["n_cores_r20"] == n
    assert values["inscribed_radius"] == pytest.approx(radius, abs=0.6)
    # Discs are equal, but each string belongs to one of its two discs.
    assert values["lobe_area_cv"] < 0.1
    assert values["largest_lobe_fraction"] == pytest.approx(1 / n, abs=0.06)
    links = [values[f"{k}narrowest_isthmus_ratio"] for k in ("", "second_", "third_")]
    # A string of odd width w is w pixels wide, a disc 2 R + 1 or a pixel less.
    expected = [width / (2 * radius)] * (n - 1) + [1.0] * 3
    assert links == pytest.approx(expected[:3], abs=0.02)


@pytest.mark.parametrize(("width", "lobes", "segments"), [(9, 2, 2), (21, 2, 1), (41, 1, 1)])
def test_filament_rule(width: int, lobes: int, segments: int) -> None:
    """Between lobes of 44 px, a link below 1/3 separates segments, and one below 3/4 lobes."""
    values = measure(beads([(60, 40), (60, 110)], 22, width))
    assert (values["n_lobes"], values["n_lobes_filament_rule"]) == (lobes, segments)
    # The path runs between the centres of the lobes, so its largest width is that of a lobe.
    assert values["skeleton_path_width_ratio"] == pytest.approx(width / 44, abs=0.03)


def test_separate_parts_are_lobes_but_specks_are_not() -> None:
    values = measure(disc(40, 40, 25) | disc(90, 100, 20) | disc(20, 100, 2))
    assert values["n_lobes"] == values["n_lobes_filament_rule"] == 2
    assert values["narrowest_isthmus_ratio"] == 0
    assert values["second_narrowest_isthmus_ratio"] == 1
    large, small = disc(40, 40, 25).sum(), disc(90, 100, 20).sum()
    area = large + small + disc(20, 100, 2).sum()
    assert values["largest_lobe_fraction"] == pytest.approx(large / area, rel=1e-12)
    assert values["second_lobe_fraction"] == pytest.approx(small / area, rel=1e-12)
    assert values["lobe_area_cv"] == pytest.approx((large - small) / (large + small), rel=1e-12)


def test_depths_of_a_disc() -> None:
    values = measure(disc(65, 85, 55))
    # Depth falls linearly from R at the centre to 0: mean R / 3, variance R^2 / 18. The staircase
    # is off by half a pixel of 55.
    assert values["depth_mean_ratio"] == pytest.approx(1 / 3, abs=0.01)
    assert values["depth_cv"] == pytest.approx(math.sqrt(1 / 2), abs=0.01)
    assert values["inscribed_ratio"] == pytest.approx(1, abs=0.02)
    for percent in (20, 30, 40, 50, 60):
        share = (1 - percent / 100) ** 2
        assert values[f"core_fraction_r{percent}"] == pytest.approx(share, abs=0.02)
    assert values["depth_at_centroid_ratio"] == values["depth_at_hull_centroid_ratio"] == 1
    assert values["centroid_outside_ratio"] == 0
    # A disc has no major axis, and its skeleton is too short for turns.
    for name in (
        "symmetry_major",
        "symmetry_minor",
        "skeleton_path_turn_net",
        "skeleton_path_turn_total",
    ):
        assert math.isnan(values[name]), name


@pytest.mark.parametrize("opening", [60, 120, 180])
def test_length_and_turns_of_a_band(opening: int) -> None:
    inner, outer = 28, 48
    values = measure(banana(inner, outer, opening))
    middle, width = (inner + outer) / 2, outer - inner
    assert values["n_lobes"] == 1
    # A path of steps of 1 and sqrt 2 along an arc is up to 8.3 % longer than the arc, 5.5 % on
    # average; it ends within a few pixels of the centres of the round ends.
    arc = math.radians(360 - opening) * middle
    assert 0.97 * arc <= values["skeleton_path_length"] <= 1.083 * arc + 6
    assert values["skeleton_path_slenderness"] == pytest.approx(
        values["skeleton_path_length"] / width, rel=0.08
    )
    # The directions of the first and the last of 8 chords are 7/8 of the way apart.
    turn = math.radians(360 - opening) * 7 / 8
    assert values["skeleton_path_turn_net"] == pytest.approx(turn, rel=0.12)
    assert values["skeleton_path_turn_total"] == pytest.approx(turn, rel=0.15)
    assert max(values["symmetry_major"], values["symmetry_minor"]) > 0.98


def test_centroid_of_a_ring_lies_in_its_hole() -> None:
    values = measure(disc(65, 85, 40) & ~disc(65, 85, 20))
    radius = math.sqrt((disc(65, 85, 40) & ~disc(65, 85, 20)).sum() / math.pi)
    assert values["depth_at_centroid_ratio"] == 0
    # The centre of the nearest pixel is just beyond 20, and its edge up to sqrt 1/2 nearer.
    assert values["centroid_outside_ratio"] == pytest.approx(20 / radius, abs=0.75 / radius)
    assert (values["skeleton_endpoints"], values["skeleton_branches"]) == (0, 1)
    assert values["skeleton_length"] == pytest.approx(2 * math.pi * 30, rel=0.1)
    assert values["open_angle_from_hull_centroid"] < 3


def test_an_s_bends_both_ways() -> None:
    upper = (np.hypot(Y - 40, X - 85) <= 25) & (np.hypot(Y - 40, X - 85) >= 11)
    lower = (np.hypot(Y - 76, X - 85) <= 25) & (np.hypot(Y - 76, X - 85) >= 11)
    upper &= ~((X > 85) & (Y > 40))
    lower &= ~((X < 85) & (Y < 76))
    values = measure(upper | lower)
    # Three quarters of a circle to one side and as much to the other.
    assert values["skeleton_path_turn_net"] < 1.0
    assert values["skeleton_path_turn_total"] > 3.0
    assert values["skeleton_endpoints"] == 2


def test_mirror_images_of_a_triangle() -> None:
    triangle = (Y >= 30) & (Y <= 90) & (abs(X - 85) <= (Y - 30) * 0.4)
    values = measure(triangle)
    # The major axis is vertical: the triangle is symmetric in it, and not in the other.
    assert values["symmetry_major"] == 1
    assert 0.3 < values["symmetry_minor"] < 0.8


@pytest.mark.parametrize("seed", range(3))
def test_depths_and_lobes_do_not_change_when_turned(seed: int) -> None:
    rng = np.random.default_rng(seed)
    centres = [tuple(p) for p in rng.integers((25, 25), (105, 145), (3, 2)).tolist()]
    mask = beads(centres, 18, 6) | disc(*centres[0], 23)
    mask &= rng.random(mask.shape) > 0.01
    before = measure(mask)
    for change in (np.rot90, np.flipud, np.fliplr, np.transpose, lambda m: np.rot90(m, 2)):
        assert measure(change(mask)) == before


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 8), (8, 3), (7, 7)])
def test_the_orientation_is_the_least_number(rows: int, columns: int) -> None:
    rng = np.random.default_rng(rows)
    for _ in range(20):
        depth = np.pad(rng.integers(0, 2, (rows, columns)) * 5, 1).astype(np.int32)
        ways = [np.rot90(m, k) for m in (depth, depth[::-1]) for k in range(4)]
        least = min(ways, key=lambda way: (len(way), (way > 0).ravel().tolist()))
        np.testing.assert_array_equal(upright(depth), least)


def test_a_maximum_counts_by_its_depth() -> None:
    """A disc beside a larger part counts from 2 % of the area, half a pixel taken off its depth."""
    speck = disc(20, 150, 5)
    inside = ndimage.distance_transform_edt(speck)
    high, distance = inside.max() - 0.5, inside.max()
    for share, n in ((0.0199, 1), (0.0201, 2)):
        rows = round((math.pi * high**2 / share - speck.sum()) / 100)
        mask = speck.copy()
        mask[20 : 20 + rows, 10:110] = True
        assert (math.pi * high**2 >= 0.02 * mask.sum()) == (n == 2)
        assert math.pi * distance**2 >= 0.02 * mask.sum()
        assert measure(mask)["n_lobes"] == n


@pytest.mark.parametrize("seed", range(6))
def test_skeleton_is_that_of_scikit_image(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = (40, int(rng.integers(20, 150)))
    noise = rng.normal(size=size)
    for _ in range(int(rng.integers(1, 12))):
        noise = sum(np.roll(noise, s, a) for s in (-1, 0, 1) for a in (0, 1))
    mask = np.pad(noise > np.quantile(noise, rng.uniform(0.2, 0.8)), 1)
    regions = Prepared(np.zeros((*mask.shape, 3), np.uint8)).regions(mask.astype(np.int32), 1)
    top, bottom, left, right = regions.boxes[0]
    runs, rows = local_runs(regions.runs, top, left, bottom - top)
    pixels = unpack_pixels(thin(pack(runs, rows, right - left))) + np.array([top, left])
    assert pixels.tolist() == np.argwhere(morphology.thin(mask)).tolist()


def test_skeleton_lies_near_that_of_zhang_and_suen() -> None:
    mask = beads(CHAIN, 20, 5)
    length = measure(mask)["skeleton_length"]
    # Another thinning gives the same line, except near corners, where it may be a pixel off.
    assert length == pytest.approx(morphology.skeletonize(mask).sum(), rel=0.1)


def test_one_pixel_and_a_line() -> None:
    values = measure(np.pad([[True]], 3))
    assert (values["n_lobes"], values["inscribed_radius"], values["skeleton_length"]) == (1, 0.5, 0)
    assert math.isnan(values["skeleton_path_tortuosity"])
    values = measure(np.pad(np.ones((1, 20), bool), 3))
    assert (
        values["n_lobes"],
        values["skeleton_path_length"],
        values["skeleton_path_tortuosity"],
    ) == (1, 19, 1)
    assert (values["skeleton_path_turn_net"], values["skeleton_endpoints"]) == (0, 2)
