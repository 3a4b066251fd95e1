"""The kernels of segmentation, against plain twins and shapes of known results."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from hemafeat.segment._contours.cell import Curve
from hemafeat.segment._kernels import (
    colours,
    curve,
    fill,
    levels,
    light,
    nuclei,
    outline,
    path as _path,
)
from reference import naive as naive_paths, naive_segment as naive
from support.made_images import cell_image, cell_planes

SHAPES = [(40, 51), (17, 9), (3, 4)]


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_quantile_index(share):
    rng = np.random.default_rng(0)
    for counts in (rng.integers(0, 9, 256), np.zeros(5, np.int64), np.array([0, 0, 4, 4])):
        assert levels.quantile_index(counts, share) == naive.quantile_index(counts, share)


@pytest.mark.parametrize("shape", SHAPES)
def test_black_level(shape):
    black = np.pad(cell_image(shape, 1), [(3, 3), (3, 3), (0, 0)])
    black[[0, -1]] = 3
    for image in (black, cell_image(shape, 1), np.zeros((*shape, 3), np.uint8)):
        assert levels.black_level(image, 12) == naive.black_level(image, 12)
    assert levels.black_level(black, 12) == 3


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(4))
def test_white_and_planes(shape, seed):
    image = cell_image(shape, seed, (255, 240 - 20 * seed, 190))
    white = levels.white_level(image)
    assert np.array_equal(white, naive.white_level(image))
    planes, expected = levels.colour_planes(image, white), naive.colour_planes(image, white)
    for plane, expected_plane in zip(planes, expected, strict=True):
        assert np.array_equal(plane, expected_plane)


def test_white_of_noise():
    image = np.random.default_rng(3).integers(0, 256, (21, 23, 3)).astype(np.uint8)
    assert np.array_equal(levels.white_level(image), naive.white_level(image))


@pytest.mark.parametrize("seed", range(4))
def test_background_surface(seed):
    small = cell_image((33, 42), seed).astype(float)
    small *= np.linspace(0.7, 1.0, 42)[:, None]
    small = small.astype(np.uint8)
    white = levels.white_level(small)
    surface, *shares, lowest, highest = light.background_surface(small, white)
    expected, *expected_shares, expected_lowest, expected_highest = naive.background_surface(
        small, white, light.TILE, light.TINT, light.NEAR, light.BEND, light.SPREADS
    )
    assert np.allclose(surface, expected, rtol=1e-8)
    # A pixel may be on either side of a limit.
    assert np.allclose(shares, expected_shares, atol=1.5 / surface.size)
    assert np.allclose([lowest, highest], [expected_lowest, expected_highest], rtol=1e-8)
    # The range of the light that was drawn; the surface lies above the noise.
    assert lowest / highest == pytest.approx(0.7, abs=0.06)


def test_too_little_background_has_no_surface():
    red = np.zeros((20, 20, 3), np.uint8)
    red[:, :, 0] = 200
    surface, *measures = light.background_surface(red, np.full(3, 200.0))
    assert not surface.any()
    assert not any(measures)


@pytest.mark.parametrize("seed", range(10))
def test_pixels_whose_centre_is_inside_are_filled(seed):
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 9))
    radius = rng.uniform(3, 16, 9)
    x, y = 12 + radius * np.cos(angle), 10 + radius * np.sin(angle)
    mask = np.full((21, 26), 7, np.uint8)
    area, sum_x, sum_y, *box = fill.fill_polygon(x, y, mask)
    corners = np.stack([x, y], axis=1).astype(np.float32)[:, None]
    inside = [
        [cv2.pointPolygonTest(corners, (float(c), float(r)), False) > 0 for c in range(26)]
        for r in range(21)
    ]
    assert np.array_equal(mask > 0, inside)
    assert area == mask.sum()
    rows, columns = np.nonzero(mask)
    assert (sum_x, sum_y) == (columns.sum(), rows.sum())
    assert box == [columns.min(), columns.max(), rows.min(), rows.max()]


def test_nothing_is_filled_beyond_the_mask():
    mask = np.ones((5, 6), np.uint8)
    x, y = np.array([8.0, 12.0, 10.0]), np.array([1.0, 1.0, 4.0])
    assert fill.fill_polygon(x, y, mask)[:3] == (0, 0, 0)
    assert not mask.any()


def test_a_disc_is_cleared():
    for radius in (0, 1, 4, 9):
        mask, drawn = np.ones((20, 24), np.uint8), np.ones((20, 24), np.uint8)
        fill.clear_disc(mask, 5, 11, radius)
        cv2.circle(drawn, (5, 11), radius, 0, cv2.FILLED)
        assert not mask[drawn == 0].any()
        y, x = np.mgrid[:20, :24]
        assert np.array_equal(mask > 0, np.hypot(y - 11, x - 5) > radius + 0.49)


def test_mean_density_over_a_mask():
    image, _, table, *_ = cell_planes((20, 31), 2)
    mask = (np.random.default_rng(1).random((6, 9)) < 0.5).astype(np.uint8)
    part = image[4:10, 7:16][mask > 0]
    means = [table[c][part[:, c]].mean() for c in range(3)]
    assert np.allclose(nuclei.mean_density(mask, image, table, 7, 4), means)
    assert not any(nuclei.mean_density(0 * mask, image, table, 7, 4))


def colour_shares(bins, dark, stained, near, far):
    shares = np.empty((3, colours.BINS), np.float32)
    counts = np.zeros((2, 2, colours.BINS), np.int32)
    colours.count_colours(bins, dark, stained, near, far, counts, shares)
    return shares[:2]


def test_colours_are_smoothed_and_counted():
    rng = np.random.default_rng(4)
    # Colours anywhere in the cube, also at its faces.
    bins = rng.integers(0, 4096, (30, 41)).astype(np.uint16)
    dark = rng.integers(0, 6, bins.shape).astype(np.uint8)
    everywhere = np.ones_like(dark)
    shares = colour_shares(bins, dark, 3, everywhere, everywhere)
    expected = naive.colour_shares(bins, dark, 2.5, everywhere, everywhere)
    assert np.allclose(shares, expected, atol=1e-6)
    _, _, _, _, dark, bins, _, _ = cell_planes((30, 41), 4)
    near, far = np.zeros(dark.shape, np.uint8), np.ones(dark.shape, np.uint8)
    near[10:20, 12:30] = 1
    far[5:25, 5:35] = 0
    shares = colour_shares(bins, dark, 3, near, far)
    assert np.allclose(shares, naive.colour_shares(bins, dark, 3.0, near, far), atol=1e-6)


def test_samples_along_rays():
    image = np.random.default_rng(6).integers(0, 256, (20, 27, 3)).astype(np.uint8)
    angle = np.linspace(0, 2 * np.pi, 9)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    polar, off = np.empty((9, 14), np.int64), np.empty((9, 14), bool)
    outline.sample_rays(image, 11.3, 8.6, circle, 1.7, polar, off)
    expected, expected_off = naive.sample_rays(image, 11.3, 8.6, *circle, 1.7, 14)
    lanes = np.stack([polar >> (outline.LANE * c) & outline.LOW for c in range(3)], axis=2)
    assert np.array_equal(lanes, expected)
    assert np.array_equal(off, expected_off)
    assert off.any()


@pytest.mark.parametrize("size", [(32, 40), (16, 12)])
def test_the_search_and_the_rating_of_its_path(size):
    image, _, _, coded, dark, bins, _, _ = cell_planes((48, 57), 7)
    near, far = np.zeros(dark.shape, np.uint8), np.ones(dark.shape, np.uint8)
    near[14:34, 18:38] = 1
    far[4:44, 8:48] = 0
    inside, outside = naive.colour_shares(bins, dark, 3.0, near, far)
    faint, rest = 3.0, (28.0, 24.0, 30.0, size, 0.5)
    owner = np.zeros((1, 1), np.uint8)
    radius, path, samples, off = outline.search_curve(
        image, 1.0, coded, dark, bins, faint, near, far, owner, 0, *rest
    )
    gain, *expected = naive.search_curve(image, coded, inside, outside, faint, *rest)
    assert np.allclose([*samples[:2], off], expected, atol=1e-4)
    assert np.allclose(samples[2], gain, atol=1e-3)
    n = size[0]
    rows = _path.closed_rows(n)
    expected_path = naive_paths.best_path(samples[2], rows, _path.COST)
    expected_path = np.roll(expected_path[n // 8 : n // 8 + n], n // 8)
    assert np.array_equal(path, expected_path)
    assert np.allclose(radius, (path + 0.5) * 30.0 / size[1])
    rating = outline.rate_curve(path, samples[0], samples[1], off, faint)
    assert np.allclose(rating, naive.rate_curve(path, *samples[:2], off, faint))


def test_a_search_stops_at_the_ground_of_another_nucleus():
    image, _, _, coded, dark, bins, _, _ = cell_planes((48, 57), 7)
    near, far = (dark > 3).astype(np.uint8), (dark <= 3).astype(np.uint8)
    owner = np.zeros(dark.shape, np.uint8)
    owner[:, 33:] = 1
    rest = 28.0, 24.0, 30.0, (32, 30), 0.5
    _, path, *_ = outline.search_curve(
        image, 1.0, coded, dark, bins, 3.0, near, far, owner, 0, *rest
    )
    # To the right the path ends at the border between the two, to the left at the rim.
    assert path[0] < 9 < 15 < path[16]


def test_the_outline_of_a_drawn_cell():
    image, _, _, coded, dark, bins, _, _ = cell_planes((60, 66), 8)
    angle = np.arange(40) * (2 * np.pi / 40)
    hull = np.rint(np.stack([33 + 12 * np.cos(angle), 30 + 12 * np.sin(angle)], axis=1))
    radius, x, y, rim, limit, _, agreement, clear = outline.find_outline(
        image,
        1.0,
        coded,
        dark,
        bins,
        3.0,
        np.zeros((1, 1), np.uint8),
        0,
        np.array([[33.0, 30.0]]),
        np.array([12.0]),
        hull.astype(np.int32),
        0.5,
        (32, 40),
        (64, 64),
    )
    assert np.allclose(radius, 24, atol=1.6)
    assert radius.mean() == pytest.approx(24, abs=0.7)
    assert np.allclose((x, y), (33, 30), atol=0.7)
    assert rim > 0.95
    assert clear > 0.95
    assert limit == 0
    assert agreement > 0.97


def test_a_curve_is_filled_as_by_opencv():
    angle = np.arange(64) * (2 * np.pi / 64)
    drawn_curve = Curve((70.0, 55.0), 40 + 6 * np.sin(3 * angle))
    mask = np.empty((60, 70), np.uint8)
    area, *_ = curve.fill_curve(*drawn_curve.centre, drawn_curve.radius, 2.0, mask)
    drawn = drawn_curve.fill((60, 70), 2.0)
    assert area == pytest.approx(int(drawn.sum()), rel=0.01)
    assert np.count_nonzero(mask != drawn) < 0.03 * area


def test_the_remote_mask_is_far_from_all_nuclei():
    centres, radii = np.array([[20.0, 30.0], [70.0, 40.0]]), np.array([6.0, 8.0])
    far = np.empty((80, 90), np.uint8)
    outline.mark_remote(far, centres, radii, 0)
    y, x = np.mgrid[:80, :90]
    from_one, from_two = np.hypot(x - 20, y - 30), np.hypot(x - 70, y - 40)
    assert far[(from_one > 17) & (from_two > 17)].all()
    assert not far[(from_one < 16) | (from_two < 16)].any()
    # Some pixels are left even if a nucleus fills the image.
    far = np.empty((40, 40), np.uint8)
    outline.mark_remote(far, np.array([[20.0, 20.0]]), np.array([9.0]), 0)
    assert 0 < far.sum() < 1600


def test_the_outside_has_stained_pixels_of_the_inside_but_no_other_nucleus():
    centres, radii = np.array([[20.0, 30.0], [70.0, 40.0]]), np.array([6.0, 8.0])
    rng = np.random.default_rng(0)
    mask, far = rng.integers(0, 2, (2, 80, 90)).astype(np.uint8)
    dark = rng.integers(0, 9, mask.shape).astype(np.uint8)
    expected = ((mask == 0) | ((far > 0) & (dark >= 4))).astype(np.uint8)
    fill.clear_disc(expected, 70, 40, 13)
    outline.mark_outside(mask, far, dark, 4, centres, radii, 0)
    assert np.array_equal(mask, expected)


@pytest.mark.parametrize("seed", range(6))
def test_otsu(seed):
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(60, 9, 300), rng.normal(60 + 25 * seed, 12, 200)])
    counts = np.bincount(np.clip(np.rint(values), 0, 255).astype(int), minlength=256)
    assert np.allclose(nuclei.otsu(counts), naive.otsu(counts))


def test_otsu_of_nothing_and_of_one_level():
    assert nuclei.otsu(np.zeros(256, np.int64)) == (0, 0.0, 0.0, 0.0)
    counts = np.zeros(256, np.int64)
    counts[40] = 10
    assert np.allclose(nuclei.otsu(counts), naive.otsu(counts))


@pytest.mark.parametrize("shape", [(40, 51), (17, 9)])
@pytest.mark.parametrize("seed", range(3))
def test_nuclear_mask_contrast_and_median(shape, seed):
    image, _, table, _, dark, _, violet, _ = cell_planes(shape, seed)
    mask, any_nuclei = nuclei.nuclear_mask(violet, image, table, dark, 3.0, 12)
    expected, _ = naive.nuclear_mask(violet, image, table, dark, 3.0, 12)
    assert any_nuclei
    assert np.array_equal(mask, expected)
    height, width = shape[0] - 7, shape[1] - 4
    part = image[2 : 2 + height, 3 : 3 + width]
    plane = nuclei.contrast_plane(image, table, 3, 2, height, width)
    assert np.array_equal(plane, naive.contrast_plane(part, table))
    mask = (np.random.default_rng(seed).random((height, width)) < 0.7).astype(np.uint8)
    counts = np.bincount(plane[:height, :width][mask > 0], minlength=256)
    assert nuclei.otsu_inside(plane, mask) == nuclei.otsu(counts)
    for reach in (1, 3):
        assert np.array_equal(
            nuclei.threshold_median(plane, 60.0, mask, reach),
            naive.threshold_median(plane, 60.0, mask, reach),
        )


def test_there_are_no_nuclei_where_nothing_is_stained():
    plane = np.full((9, 9), 5, np.uint8)
    image = np.full((9, 9, 3), 200, np.uint8)
    table = np.zeros((3, 256), np.uint8)
    mask, any_nuclei = nuclei.nuclear_mask(plane, image, table, plane, 3.0, 12)
    assert not any_nuclei
    assert not mask.any()


def test_measures_of_the_gap_between_two_pieces():
    rng = np.random.default_rng(9)
    first, second = rng.integers(0, 30, (12, 2)), rng.integers(25, 60, (15, 2))
    distances = np.hypot(*(first[:, None] - second[None]).transpose(2, 0, 1))
    least, i, j = nuclei.closest_points(first.astype(np.int32), second.astype(np.int32))
    assert least == distances.min() == distances[i, j]
    dark = np.zeros((30, 40), np.uint8)
    dark[8:20, 5:33] = 50
    # The pixel itself counts twice.
    assert nuclei.width_across(dark, 12.0, 10.0, 1.0, 0.0, 3.0) == 28 + 1
    assert nuclei.width_across(dark, 12.0, 10.0, 0.0, 1.0, 3.0) == 12 + 1
    dark[12, 20] = 7
    assert nuclei.minimum_between(dark, 10.0, 12.0, 30.0, 12.0, 41) == 7
    assert nuclei.minimum_between(dark, 10.0, 13.0, 30.0, 13.0, 41) == 50


def test_cells_are_drawn_into_label_images():
    rng = np.random.default_rng(10)
    cells, inner = np.zeros((20, 24), np.int32), np.zeros((20, 24), np.int32)
    for number in range(1, 5):
        mask = np.ones((8, 9), np.uint8)
        nucleus = (rng.random((8, 9)) < 0.4).astype(np.uint8)
        left, top = int(rng.integers(0, 15)), int(rng.integers(0, 12))
        expected = naive.draw_cell(cells, inner, number, mask, nucleus, left, top, 36.0)
        drawn = fill.draw_cell(cells, inner, number, mask, nucleus, left, top, 36.0)
        assert drawn == expected[2]
        assert np.array_equal(cells, expected[0])
        assert np.array_equal(inner, expected[1])
    # Nothing is drawn if too few pixels are free.
    assert not fill.draw_cell(cells, inner, 9, mask, nucleus, left, top, 73.0)
    assert (cells != 9).all()
