"""Lobes, links, skeletons and symmetry of drawn nuclei whose values are known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from skimage.morphology import skeletonize, thin

from hemafeat import extract
from hemafeat.extract._kernels.region.contour import local_runs
from hemafeat.extract._kernels.region.thinning import packed, set_pixels, thinned
from hemafeat.extract._prepared import Prepared

NAMES = list(extract.lobes.facts.columns)
Y, X = np.mgrid[:130, :170]


def disc(row: float, column: float, radius: float) -> np.ndarray:
    return np.hypot(Y - row, X - column) <= radius


def bar(start: tuple[int, int], stop: tuple[int, int], width: float) -> np.ndarray:
    """Pixels at most half of `width` from a segment."""
    (r, c), (s, d) = start, stop
    along = np.clip(((Y - r) * (s - r) + (X - c) * (d - c)) / ((s - r) ** 2 + (d - c) ** 2), 0, 1)
    return np.hypot(Y - r - along * (s - r), X - c - along * (d - c)) <= width / 2


def beads(places: Sequence[tuple[int, int]], radius: float, width: float) -> np.ndarray:
    """Discs in a chain of bars."""
    mask = np.any([disc(*place, radius) for place in places], axis=0)
    for one, other in pairwise(places):
        mask |= bar(one, other, width)
    return mask


def measured(mask: np.ndarray) -> dict[str, float]:
    row = extract.lobes(np.zeros((*mask.shape, 3), np.uint8), np.ascontiguousarray(mask, np.int32))
    assert row.shape == (1, len(NAMES))
    return dict(zip(NAMES, row[0], strict=True))


def banana(inner: float, outer: float, opening: float) -> np.ndarray:
    """A ring without the sector of `opening` degrees around the positive x axis, round ends."""
    r, angle = np.hypot(Y - 65, X - 85), np.degrees(np.arctan2(Y - 65, X - 85))
    mask = (r >= inner) & (r <= outer) & (abs(angle) > opening / 2)
    middle, width = (inner + outer) / 2, outer - inner
    for end in (-math.radians(opening / 2), math.radians(opening / 2)):
        mask |= disc(65 + middle * math.sin(end), 85 + middle * math.cos(end), width / 2)
    return mask


CHAIN = [(35, 25), (35, 85), (95, 85), (95, 145)]


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("width", [3, 5, 7])
def test_beads_on_a_string_are_counted(n: int, width: int) -> None:
    radius = 22
    found = measured(beads(CHAIN[:n], radius, width))
    assert found["n_lobes"] == found["n_segments"] == n
    assert found["n_cores_20"] == n
    assert found["inscribed_radius"] == pytest.approx(radius, abs=0.6)
    # Equal discs; each string belongs to one of them or the other.
    assert found["lobe_area_cv"] < 0.1
    assert found["largest_lobe_fraction"] == pytest.approx(1 / n, abs=0.06)
    links = [found[f"isthmus_ratio{k}"] for k in ("", "_2", "_3")]
    # A string of odd width w is w pixels wide, a disc 2 R + 1 or a pixel less.
    expected = [width / (2 * radius)] * (n - 1) + [1.0] * 3
    assert links == pytest.approx(expected[:3], abs=0.02)


@pytest.mark.parametrize(("width", "lobes", "segments"), [(9, 2, 2), (21, 2, 1), (41, 1, 1)])
def test_filament_rule(width: int, lobes: int, segments: int) -> None:
    """Two lobes of 44 px: a link below a third of it parts segments, one below 3/4 lobes."""
    found = measured(beads([(60, 40), (60, 110)], 22, width))
    assert (found["n_lobes"], found["n_segments"]) == (lobes, segments)
    # As wide as the lobe itself on the way between the middles.
    assert found["path_width_ratio"] == pytest.approx(width / 44, abs=0.03)


def test_parts_apart_are_lobes_and_specks_are_not() -> None:
    found = measured(disc(40, 40, 25) | disc(90, 100, 20) | disc(20, 100, 2))
    assert found["n_lobes"] == found["n_segments"] == 2
    assert found["isthmus_ratio"] == 0
    assert found["isthmus_ratio_2"] == 1
    one, other = disc(40, 40, 25).sum(), disc(90, 100, 20).sum()
    area = one + other + disc(20, 100, 2).sum()
    assert found["largest_lobe_fraction"] == pytest.approx(one / area, rel=1e-12)
    assert found["second_lobe_fraction"] == pytest.approx(other / area, rel=1e-12)
    assert found["lobe_area_cv"] == pytest.approx((one - other) / (one + other), rel=1e-12)


def test_disc_has_the_depths_of_a_cone() -> None:
    found = measured(disc(65, 85, 55))
    # Depth falls evenly from R at the middle to 0: mean R / 3, variance R^2 / 18. The staircase
    # is worth half a pixel of 55.
    assert found["depth_mean_ratio"] == pytest.approx(1 / 3, abs=0.01)
    assert found["depth_cv"] == pytest.approx(math.sqrt(1 / 2), abs=0.01)
    assert found["inscribed_ratio"] == pytest.approx(1, abs=0.02)
    for percent in (20, 30, 40, 50, 60):
        share = (1 - percent / 100) ** 2
        assert found[f"core_fraction_{percent}"] == pytest.approx(share, abs=0.02)
    assert found["centroid_depth_ratio"] == found["hull_centroid_depth_ratio"] == 1
    assert found["centroid_gap_ratio"] == 0
    # A disc has no axis to mirror it on, and a skeleton too short to turn.
    for name in ("symmetry_major", "symmetry_minor", "path_turn", "path_bending"):
        assert math.isnan(found[name]), name


@pytest.mark.parametrize("opening", [60, 120, 180])
def test_band_is_bent_as_it_was_drawn(opening: int) -> None:
    inner, outer = 28, 48
    found = measured(banana(inner, outer, opening))
    middle, width = (inner + outer) / 2, outer - inner
    assert found["n_lobes"] == 1
    # A path of steps of 1 and sqrt 2 along an arc is up to 8.3 % longer than the arc, 5.5 % on
    # average; it ends within a few pixels of the middles of the round ends.
    whole = math.radians(360 - opening) * middle
    assert 0.97 * whole <= found["path_length"] <= 1.083 * whole + 6
    assert found["path_slenderness"] == pytest.approx(found["path_length"] / width, rel=0.08)
    # The directions of the first and the last of 8 chords are 7/8 of the way apart.
    turn = math.radians(360 - opening) * 7 / 8
    assert found["path_turn"] == pytest.approx(turn, rel=0.12)
    assert found["path_bending"] == pytest.approx(turn, rel=0.15)
    assert max(found["symmetry_major"], found["symmetry_minor"]) > 0.98


def test_ring_has_its_centroid_in_the_hole() -> None:
    found = measured(disc(65, 85, 40) & ~disc(65, 85, 20))
    radius = math.sqrt((disc(65, 85, 40) & ~disc(65, 85, 20)).sum() / math.pi)
    assert found["centroid_depth_ratio"] == 0
    # The nearest pixel has its middle just beyond 20, and begins up to sqrt 1/2 before.
    assert found["centroid_gap_ratio"] == pytest.approx(20 / radius, abs=0.75 / radius)
    assert (found["skeleton_endpoints"], found["skeleton_branches"]) == (0, 1)
    assert found["skeleton_length"] == pytest.approx(2 * math.pi * 30, rel=0.1)
    assert found["horseshoe_angle"] < 3


def test_an_s_bends_both_ways() -> None:
    upper = (np.hypot(Y - 40, X - 85) <= 25) & (np.hypot(Y - 40, X - 85) >= 11)
    lower = (np.hypot(Y - 76, X - 85) <= 25) & (np.hypot(Y - 76, X - 85) >= 11)
    upper &= ~((X > 85) & (Y > 40))
    lower &= ~((X < 85) & (Y < 76))
    found = measured(upper | lower)
    # Three quarters of a circle to one side and as much to the other.
    assert found["path_turn"] < 1.0
    assert found["path_bending"] > 3.0
    assert found["skeleton_endpoints"] == 2


def test_mirror_images_of_a_triangle() -> None:
    triangle = (Y >= 30) & (Y <= 90) & (abs(X - 85) <= (Y - 30) * 0.4)
    found = measured(triangle)
    # Long axis upright: mirrored on it, it is the same; on the other, half overlaps.
    assert found["symmetry_major"] == 1
    assert 0.3 < found["symmetry_minor"] < 0.8


@pytest.mark.parametrize("seed", range(3))
def test_depths_and_lobes_do_not_change_when_turned(seed: int) -> None:
    rng = np.random.default_rng(seed)
    places = [tuple(p) for p in rng.integers((25, 25), (105, 145), (3, 2)).tolist()]
    mask = beads(places, 18, 6) | disc(*places[0], 23)
    mask &= rng.random(mask.shape) > 0.01
    before = measured(mask)
    exact = [
        n for n in NAMES if not n.startswith(("skeleton", "path", "lobe_", "largest", "second"))
    ]
    assert len(exact) > 20
    for change in (np.rot90, np.flipud, np.fliplr, np.transpose):
        after = measured(change(mask))
        for name in exact:
            assert after[name] == pytest.approx(before[name], rel=1e-9, abs=1e-9), name


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
    found = set_pixels(thinned(packed(runs, rows, right - left))) + np.array([top, left])
    assert found.tolist() == np.argwhere(thin(mask)).tolist()


def test_skeleton_lies_near_that_of_zhang_and_suen() -> None:
    mask = beads(CHAIN, 20, 5)
    length = measured(mask)["skeleton_length"]
    # Another thinning: the same line but for corners, where it may be a pixel aside.
    assert length == pytest.approx(skeletonize(mask).sum(), rel=0.1)


def test_one_pixel_and_a_line() -> None:
    found = measured(np.pad([[True]], 3))
    assert (found["n_lobes"], found["inscribed_radius"], found["skeleton_length"]) == (1, 0.5, 0)
    assert math.isnan(found["path_tortuosity"])
    found = measured(np.pad(np.ones((1, 20), bool), 3))
    assert (found["n_lobes"], found["path_length"], found["path_tortuosity"]) == (1, 19, 1)
    assert (found["path_turn"], found["skeleton_endpoints"]) == (0, 2)
