"""Regions, holes and distances of masks, and curves and pieces, against SciPy and OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy import ndimage

from hemafeat.segment._contours.cell import Curve
from hemafeat.segment._contours.nuclei import describe_hull, is_red, make_seed
from hemafeat.segment._contours.nucleus import gaussian_weights, outline_nucleus, smooth
from hemafeat.segment._kernels import curve, regions
from support.made_images import cell_image, cell_planes

SHAPES = [(1, 1), (1, 9), (7, 1), (13, 17), (40, 31)]


def label_image(mask):
    found = regions.find_regions(mask)
    runs, begin, label = found[:3]
    image = np.full(mask.shape, -1)
    for y in range(mask.shape[0]):
        for r in range(begin[y], begin[y + 1]):
            assert (mask[y, runs[r, 0] : runs[r, 1]] == runs[r, 2]).all()
            image[y, runs[r, 0] : runs[r, 1]] = label[r]
    return image, found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [0.1, 0.4, 0.5, 0.6, 0.9])
def test_regions_are_those_of_scipy(shape, share):
    for seed in range(8):
        mask = (np.random.default_rng(seed).random(shape) < share).astype(np.uint8)
        labels, found = label_image(mask)
        k = len(found.area)
        inside, n = ndimage.label(mask, np.ones((3, 3)))
        outside, m = ndimage.label(mask == 0)
        assert k == n + m
        expected = inside + (n + 1) * outside
        # Each label has one counterpart.
        pairs = {(a, b) for a, b in zip(labels.ravel(), expected.ravel(), strict=True)}
        assert len(pairs) == k
        assert found.inside.sum() == n
        assert regions.find_regions(mask, k + 1) is None


def test_the_region_around_a_hole():
    mask = np.zeros((20, 24), np.uint8)
    mask[2:12, 3:14] = 1
    mask[4:7, 5:9] = 0
    mask[5, 6] = 1
    mask[15:, 18:] = 1
    mask[17, 20:] = 0
    labels, found = label_image(mask)
    box, area, around = found.box, found.area, found.around
    ring, hole, island, notch = labels[2, 3], labels[4, 5], labels[5, 6], labels[17, 23]
    assert around[hole] == ring
    assert around[island] == -1
    assert around[notch] == -1
    assert area[hole] == 11
    assert area[ring] == 110 - 1
    assert box[hole].tolist() == [5, 8, 4, 6]


@pytest.mark.parametrize("share", [0.5, 0.97, 1.0])
def test_distances_are_those_of_opencv(share):
    mask = (np.random.default_rng(3).random((33, 41)) < share).astype(np.uint8)
    labels, found = label_image(mask)
    depth, deepest = np.empty((35, 43), np.int32), np.zeros(len(found.area), np.int32)
    runs, begin, label, _, _, around, inside = found
    regions.measure_depths(runs, begin, label, around, inside, depth, deepest)
    distance = depth[1:-1, 1:-1] / regions.UNIT
    assert deepest[0] > 0 or not mask[0, 0]
    if share == 1.0:
        # There is no background.
        assert distance.min() > 1000
        return
    # Holes, unless they touch the border, count as parts of the region around them.
    filled = mask | (around[labels] >= 0)
    expected = cv2.distanceTransform(filled.astype(np.uint8), cv2.DIST_L2, 3)
    assert np.allclose(distance, expected, atol=1e-3)
    owner = np.where(around[labels] >= 0, around[labels], labels)
    largest = ndimage.maximum(distance, owner, np.arange(len(deepest)))
    assert np.allclose(
        deepest / regions.UNIT, np.where(np.isin(range(len(deepest)), owner), largest, 0)
    )


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
        assert regions.red_cell_radius(dark, 8, free) == pytest.approx(radius, abs=1.2)
        # A pale middle is part of the cell.
        pale = discs([radius] * 7, hole=radius // 3)
        assert regions.red_cell_radius(pale, 8, free) == pytest.approx(radius, abs=1.2)
    assert np.isnan(regions.red_cell_radius(discs([14]), 8, free))
    assert np.isnan(regions.red_cell_radius(0 * dark, 8, free))
    # Pixels to avoid do not count.
    assert np.isnan(regions.red_cell_radius(dark, 8, np.ones_like(free)))


def test_small_holes_and_specks_are_removed():
    mask = np.zeros((60, 60), np.uint8)
    cv2.circle(mask, (25, 30), 20, 1, cv2.FILLED)
    kept = mask.copy()
    mask[28:31, 24:27] = 0
    mask[2:4, 50:53] = 1
    cv2.circle(kept, (30, 30), 9, 0, cv2.FILLED)
    mask &= kept | (cv2.circle(np.zeros_like(mask), (30, 30), 9, 1, cv2.FILLED) ^ 1)
    mask[40:52, 50:58] = kept[40:52, 50:58] = 1
    regions.remove_specks(mask)
    assert np.array_equal(mask, kept)


@pytest.mark.parametrize("seed", range(5))
def test_solidity_is_area_over_that_of_the_hull(seed):
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 40))
    radius = rng.uniform(20, 40, 40)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).astype(np.float32)
    expected = cv2.contourArea(points) / cv2.contourArea(cv2.convexHull(points))
    solidity = curve.solidity(*points.T.astype(float).copy())
    assert solidity == pytest.approx(expected, rel=1e-5)
    assert curve.solidity(np.zeros(4), np.zeros(4)) == 1.0


@pytest.mark.parametrize("centre", [(70.0, 55.0), (12.0, 110.0)])
def test_a_curve_mask_is_cropped_to_its_box(centre):
    angle = np.arange(64) * (2 * np.pi / 64)
    outline = Curve(centre, 30 + 6 * np.sin(3 * angle))
    mask, left, top, solidity = curve.curve_mask(*outline.centre, outline.radius, 120, 140)
    height, width = mask.shape
    assert mask[0].any()
    assert mask[-1].any()
    assert mask[:, 0].any()
    assert mask[:, -1].any()
    expected = outline.fill((120, 140))
    assert 0.8 < solidity < 0.995
    pasted = np.zeros_like(expected)
    pasted[top : top + height, left : left + width] = mask
    assert np.count_nonzero(pasted != expected) < 0.03 * expected.sum()


def test_a_curve_beyond_the_image_has_an_empty_mask():
    mask, *_ = curve.curve_mask(300.0, 50.0, np.full(64, 20.0), 120, 140)
    assert mask.size == 0 or not mask.any()


@pytest.mark.parametrize("sigma", [0.8, 1.1, 1.85, 2.5, 4.7])
@pytest.mark.parametrize("shape", [(60, 51), (3, 4), (1, 7)])
def test_blur_is_that_of_whole_numbers(sigma, shape):
    plane = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    along, down = gaussian_weights(sigma)
    weights = along.astype(int)
    assert weights.sum() == 256
    assert np.abs(weights / 256 - cv2.getGaussianKernel(weights.size, sigma)[:, 0]).max() < 1 / 256
    reach = weights.size // 2
    wider = cv2.copyMakeBorder(plane, *[reach] * 4, cv2.BORDER_REFLECT_101).astype(int)
    rows = np.apply_along_axis(np.convolve, 1, wider, weights, "valid")
    expected = (np.apply_along_axis(np.convolve, 0, rows, weights, "valid") + 2**15) >> 16
    assert np.array_equal(smooth(plane, along, down), expected)
    white = np.full(shape, 255, np.uint8)
    assert np.array_equal(smooth(white, along, down), white)


def test_the_nucleus_of_a_drawn_cell():
    image = cell_image((120, 130), 8)
    _, _, table, *_ = cell_planes((120, 130), 8)
    y, x = np.mgrid[:120, :130]
    far = np.hypot(y - 60, x - 65)
    left, top = 12, 8
    cell = (far < 47)[top:112, left:118].astype(np.uint8)
    nucleus, separation = outline_nucleus(image, left, top, cell, table)
    expected = (far < 24)[top:112, left:118]
    assert separation > 4
    assert 2 * (nucleus & expected).sum() / (nucleus.sum() + expected.sum()) > 0.97
    # A tiny cell has none.
    tiny = np.ones((2, 3), np.uint8)
    nucleus, separation = outline_nucleus(image, 0, 0, tiny, table)
    assert not nucleus.any()
    assert separation == 0


@pytest.mark.parametrize("seed", range(12))
def test_pieces_are_described_as_by_opencv(seed):
    rng = np.random.default_rng(seed)
    image, _, table, *_ = cell_planes((60, 70), seed)
    mask = np.zeros((60, 70), np.uint8)
    for _ in range(int(rng.integers(1, 5))):
        centre, axes = rng.integers(15, 45, 2).tolist(), rng.integers(0, 14, 2).tolist()
        cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, cv2.FILLED)
    lines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = np.concatenate(lines)
    hull, (x, y), hull_area = describe_hull(points)
    expected = cv2.convexHull(points)
    assert sorted(map(tuple, hull.tolist())) == sorted(map(tuple, expected[:, 0].tolist()))
    moments = cv2.moments(expected)
    assert hull_area == pytest.approx(moments["m00"])
    if hull_area > 0:
        assert x == pytest.approx(moments["m10"] / hull_area)
        assert y == pytest.approx(moments["m01"] / hull_area)
    for line in lines:
        filled = cv2.drawContours(np.zeros_like(mask), [line], -1, 1, cv2.FILLED)
        red, green, blue = (table[c][image[:, :, c][filled > 0]].mean() for c in range(3))
        grey = abs(red - green) + abs(green - blue) < 0.1 * (red + green + blue)
        assert make_seed([line]).area == pytest.approx(cv2.contourArea(line) + 0.5 * len(line))
        assert is_red(line, image, table) == (blue > 0.5 * green and not grey)


def test_a_piece_the_colour_of_red_cells():
    table = np.zeros((3, 256), np.uint8)
    table[:, 1], table[:, 2] = (4, 40, 30), (60, 60, 15)
    square = np.array([[[3, 3]], [[3, 9]], [[9, 9]], [[9, 3]]], np.int32)
    for level, expected in ((1, True), (2, False)):
        image = np.full((12, 12, 3), level, np.uint8)
        assert is_red(square, image, table) == expected
    assert describe_hull(square)[1:] == ((6, 6), 36)
