"""Regions, holes and depths of masks, and what becomes of one cell, against SciPy and OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy import ndimage

from hemafeat.segment._contours import nucleus as _nucleus
from hemafeat.segment._contours.cell import Curve
from hemafeat.segment._kernels import inside, pieces, regions
from support.made_images import cell_image, cellular

SHAPES = [(1, 1), (1, 9), (7, 1), (13, 17), (40, 31)]


def labelled(mask):
    runs = np.empty((mask.size + 1, 3), np.int32)
    begin = regions.runs_of(mask, runs)
    label, k = regions.regions(runs, begin)
    image = np.full(mask.shape, -1)
    for y in range(mask.shape[0]):
        for r in range(begin[y], begin[y + 1]):
            assert (mask[y, runs[r, 0] : runs[r, 1]] == runs[r, 2]).all()
            image[y, runs[r, 0] : runs[r, 1]] = label[r]
    return image, k, runs, begin, label


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [0.1, 0.4, 0.5, 0.6, 0.9])
def test_regions_are_those_of_scipy(shape, share):
    for seed in range(8):
        mask = (np.random.default_rng(seed).random(shape) < share).astype(np.uint8)
        found, k, *_ = labelled(mask)
        inside, n = ndimage.label(mask, np.ones((3, 3)))
        outside, m = ndimage.label(mask == 0)
        assert k == n + m
        known = inside + (n + 1) * outside
        # One label of theirs to each of ours.
        pairs = {(a, b) for a, b in zip(found.ravel(), known.ravel(), strict=True)}
        assert len(pairs) == k


def test_holes_know_what_is_around_them():
    mask = np.zeros((20, 24), np.uint8)
    mask[2:12, 3:14] = 1
    mask[4:7, 5:9] = 0
    mask[5, 6] = 1
    mask[15:, 18:] = 1
    mask[17, 20:] = 0
    found, k, runs, begin, label = labelled(mask)
    box, area, around = regions.measured(runs, begin, label, k, 24)
    ring, hole, island, notch = found[2, 3], found[4, 5], found[5, 6], found[17, 23]
    assert around[hole] == ring
    assert around[island] == -1
    assert around[notch] == -1
    assert area[hole] == 11
    assert area[ring] == 110 - 1
    assert box[hole].tolist() == [5, 8, 4, 6]


@pytest.mark.parametrize("share", [0.5, 0.97, 1.0])
def test_depth_is_that_of_opencv(share):
    mask = (np.random.default_rng(3).random((33, 41)) < share).astype(np.uint8)
    found = regions.depth_of(mask)[1:-1, 1:-1] / regions.UNIT
    if share == 1.0:
        # Nothing to be far from.
        assert found.min() > 1000
        return
    assert np.allclose(found, cv2.distanceTransform(mask, cv2.DIST_L2, 3), atol=1e-3)


def discs(radii, shape=(120, 160), hole=None):
    mask = np.zeros(shape, np.uint8)
    for i, radius in enumerate(radii):
        centre = (20 + 40 * (i % 4), 20 + 40 * (i // 4))
        cv2.circle(mask, centre, radius, 40, cv2.FILLED)
        if hole:
            cv2.circle(mask, centre, hole, 0, cv2.FILLED)
    return mask


def test_the_radius_of_red_cells_is_that_drawn():
    free = np.zeros((120, 160), np.uint8)
    for radius in (9, 14):
        dark = discs([radius] * 7 + [3])
        assert regions.radius_of_red_cells(dark, 8, free) == pytest.approx(radius, abs=1.2)
        # A pale middle is part of the cell.
        pale = discs([radius] * 7, hole=radius // 3)
        assert regions.radius_of_red_cells(pale, 8, free) == pytest.approx(radius, abs=1.2)
    assert np.isnan(regions.radius_of_red_cells(discs([14]), 8, free))
    assert np.isnan(regions.radius_of_red_cells(0 * dark, 8, free))
    # What is to be avoided does not count.
    assert np.isnan(regions.radius_of_red_cells(dark, 8, np.ones_like(free)))


def test_small_holes_and_crumbs_are_tidied_away():
    mask = np.zeros((60, 60), np.uint8)
    cv2.circle(mask, (25, 30), 20, 1, cv2.FILLED)
    kept = mask.copy()
    mask[28:31, 24:27] = 0
    mask[2:4, 50:53] = 1
    cv2.circle(kept, (30, 30), 9, 0, cv2.FILLED)
    mask &= kept | (cv2.circle(np.zeros_like(mask), (30, 30), 9, 1, cv2.FILLED) ^ 1)
    mask[40:52, 50:58] = kept[40:52, 50:58] = 1
    regions.tidied(mask)
    assert np.array_equal(mask, kept)


@pytest.mark.parametrize("seed", range(5))
def test_solidity_is_area_over_that_of_the_hull(seed):
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 40))
    radius = rng.uniform(20, 40, 40)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).astype(np.float32)
    known = cv2.contourArea(points) / cv2.contourArea(cv2.convexHull(points))
    found = inside.solidity(*points.T.astype(float).copy())
    assert found == pytest.approx(known, rel=1e-5)
    assert inside.solidity(np.zeros(4), np.zeros(4)) == 1.0


@pytest.mark.parametrize("centre", [(70.0, 55.0), (12.0, 110.0)])
def test_a_cell_is_cut_to_its_box(centre):
    angle = np.arange(64) * (2 * np.pi / 64)
    curve = Curve(centre, 30 + 6 * np.sin(3 * angle))
    mask, left, top, solid = inside.inside(*curve.centre, curve.radius, 120, 140)
    height, width = mask.shape
    assert mask[0].any()
    assert mask[-1].any()
    assert mask[:, 0].any()
    assert mask[:, -1].any()
    whole = curve.fill((120, 140))
    assert 0.8 < solid < 0.995
    found = np.zeros_like(whole)
    found[top : top + height, left : left + width] = mask
    assert np.count_nonzero(found != whole) < 0.03 * whole.sum()


def test_a_curve_beyond_the_image_holds_nothing():
    mask, *_ = inside.inside(300.0, 50.0, np.full(64, 20.0), 120, 140)
    assert mask.size == 0 or not mask.any()


def test_the_nucleus_of_a_drawn_cell():
    image = cell_image((120, 130), 8)
    _, _, table, *_ = cellular((120, 130), 8)
    y, x = np.mgrid[:120, :130]
    far = np.hypot(y - 60, x - 65)
    left, top = 12, 8
    cell = (far < 47)[top:112, left:118].astype(np.uint8)
    nucleus, separation = _nucleus.outline(image, left, top, cell, table)
    known = (far < 24)[top:112, left:118]
    assert separation > 4
    assert 2 * (nucleus & known).sum() / (nucleus.sum() + known.sum()) > 0.97
    # Too small a cell has none.
    tiny = np.ones((2, 3), np.uint8)
    nucleus, separation = _nucleus.outline(image, 0, 0, tiny, table)
    assert not nucleus.any()
    assert separation == 0


@pytest.mark.parametrize("seed", range(12))
def test_pieces_are_described_as_by_opencv(seed):
    rng = np.random.default_rng(seed)
    image, _, table, *_ = cellular((60, 70), seed)
    mask = np.zeros((60, 70), np.uint8)
    for _ in range(int(rng.integers(1, 5))):
        centre, axes = rng.integers(15, 45, 2).tolist(), rng.integers(0, 14, 2).tolist()
        cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, cv2.FILLED)
    lines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = np.concatenate(lines)
    hull, (x, y, around, *_) = pieces.described(points[:, 0], image, table, False)
    known = cv2.convexHull(points)
    assert sorted(map(tuple, hull.tolist())) == sorted(map(tuple, known[:, 0].tolist()))
    moments = cv2.moments(known)
    assert around == pytest.approx(moments["m00"])
    if around > 0:
        assert x == pytest.approx(moments["m10"] / around)
        assert y == pytest.approx(moments["m01"] / around)
    for line in lines:
        _, (_, _, _, area, is_red) = pieces.described(line[:, 0], image, table, True)
        assert area == pytest.approx(cv2.contourArea(line) + 0.5 * len(line))
        filled = cv2.drawContours(np.zeros_like(mask), [line], -1, 1, cv2.FILLED)
        red, green, blue = (table[c][image[:, :, c][filled > 0]].mean() for c in range(3))
        grey = abs(red - green) + abs(green - blue) < 0.1 * (red + green + blue)
        assert is_red == (blue > 0.5 * green and not grey)


def test_a_piece_the_colour_of_red_cells():
    table = np.zeros((3, 256), np.uint8)
    table[:, 1], table[:, 2] = (4, 40, 30), (60, 60, 15)
    square = np.array([[3, 3], [3, 9], [9, 9], [9, 3]], np.int32)
    for level, known in ((1, 1.0), (2, 0.0)):
        image = np.full((12, 12, 3), level, np.uint8)
        _, found = pieces.described(square, image, table, True)
        assert found[4] == known
        assert found[:3].tolist() == [6, 6, 36]
