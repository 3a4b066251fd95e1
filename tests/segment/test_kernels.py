"""The kernels of the segmenter, against plain twins and shapes whose answer is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from hemafeat.segment._contours import light as _light
from hemafeat.segment._contours.cell import Curve
from hemafeat.segment._kernels import colours, fill, labels, levels, light, nuclei, outline
from reference import naive_segment as naive
from support.made_images import cell_image, cellular

SHAPES = [(40, 51), (17, 9), (3, 4)]


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_position(share):
    rng = np.random.default_rng(0)
    for counts in (rng.integers(0, 9, 256), np.zeros(5, np.int64), np.array([0, 0, 4, 4])):
        assert levels.position(counts, share) == naive.position(counts, share)


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
    for one, two in zip(levels.planes(image, white), naive.planes(image, white), strict=True):
        assert np.array_equal(one, two)


def test_white_of_noise():
    image = np.random.default_rng(3).integers(0, 256, (21, 23, 3)).astype(np.uint8)
    assert np.array_equal(levels.white_level(image), naive.white_level(image))


def test_solve():
    rng = np.random.default_rng(5)
    for n in (1, 2, 6):
        part = rng.normal(size=(n + 3, n))
        matrix, value = part.T @ part, rng.normal(size=n)
        solution = light.solve(matrix.copy(), value.copy())
        assert np.allclose(solution, np.linalg.solve(matrix, value), rtol=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_background_surface(seed):
    small = cell_image((33, 42), seed).astype(float)
    small *= np.linspace(0.7, 1.0, 42)[:, None]
    small = small.astype(np.uint8)
    white = levels.white_level(small)
    given = (_light.TILE, _light.TINT, _light.NEAR, _light.BEND, _light.SPREADS)
    surface, found = light.background_surface(small, white, *given)
    other, known = naive.background_surface(small, white, *given)
    assert np.allclose(surface, other, rtol=1e-8)
    # A pixel may be on either side of a limit.
    assert np.allclose(found[:3], known[:3], atol=1.5 / surface.size)
    assert np.allclose(found[3:], known[3:], rtol=1e-8)
    # The lamp that was put in, where there is no noise to be on top of.
    assert found[3] / found[4] == pytest.approx(0.7, abs=0.06)


def test_too_little_background_has_no_surface():
    given = (_light.TILE, _light.TINT, _light.NEAR, _light.BEND, _light.SPREADS)
    red = np.zeros((20, 20, 3), np.uint8)
    red[:, :, 0] = 200
    surface, found = light.background_surface(red, np.full(3, 200.0), *given)
    assert not surface.any()
    assert not found.any()


@pytest.mark.parametrize("seed", range(10))
def test_fill_takes_the_pixels_whose_middle_is_inside(seed):
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 9))
    radius = rng.uniform(3, 16, 9)
    x, y = 12 + radius * np.cos(angle), 10 + radius * np.sin(angle)
    mask = np.full((21, 26), 7, np.uint8)
    area = fill.fill(x, y, mask)
    corners = np.stack([x, y], axis=1).astype(np.float32)[:, None]
    inside = [
        [cv2.pointPolygonTest(corners, (float(c), float(r)), False) > 0 for c in range(26)]
        for r in range(21)
    ]
    assert np.array_equal(mask > 0, inside)
    assert area == mask.sum()


def test_a_disc_is_cleared():
    for radius in (0, 1, 4, 9):
        mask, drawn = np.ones((20, 24), np.uint8), np.ones((20, 24), np.uint8)
        fill.clear_disc(mask, 5, 11, radius)
        cv2.circle(drawn, (5, 11), radius, 0, cv2.FILLED)
        assert not mask[drawn == 0].any()
        y, x = np.mgrid[:20, :24]
        assert np.array_equal(mask > 0, np.hypot(y - 11, x - 5) > radius + 0.49)


def test_means_of_parts():
    image, _, table, *_ = cellular((20, 31), 2)
    mask = (np.random.default_rng(1).random((6, 9)) < 0.5).astype(np.uint8)
    part = image[4:10, 7:16][mask > 0]
    means = [table[c][part[:, c]].mean() for c in range(3)]
    assert np.allclose(fill.mean_density(mask, image, table, 7, 4), means)
    assert not fill.mean_density(0 * mask, image, table, 7, 4).any()


def test_colours_are_smoothed_and_counted():
    rng = np.random.default_rng(4)
    counts = rng.poisson(0.1, 4096).astype(np.float32)
    assert np.allclose(colours.smoothed(counts.copy()), naive.smoothed(counts), atol=1e-5)
    _, _, _, _, dark, bins, _, _ = cellular((30, 41), 4)
    near, far = np.zeros(dark.shape, np.uint8), np.ones(dark.shape, np.uint8)
    near[10:20, 12:30] = 1
    far[5:25, 5:35] = 0
    found = colours.colours(bins, dark, 3.0, near, far)
    for one, two in zip(found, naive.colours(bins, dark, 3.0, near, far), strict=True):
        assert np.allclose(one, two, atol=1e-6)


def test_samples_along_rays():
    image = np.random.default_rng(6).integers(0, 256, (20, 27, 3)).astype(np.uint8)
    angle = np.linspace(0, 2 * np.pi, 9)
    cos, sin = np.cos(angle), np.sin(angle)
    polar, off = np.empty((9, 14), np.int64), np.empty((9, 14), bool)
    outline.sample(image, 11.3, 8.6, cos, sin, 1.7, 14, polar, off)
    known, beyond = naive.sample(image, 11.3, 8.6, cos, sin, 1.7, 14)
    lanes = np.stack([polar >> (outline.LANE * c) & outline.LOW for c in range(3)], axis=2)
    assert np.array_equal(lanes, known)
    assert np.array_equal(off, beyond)
    assert off.any()


@pytest.mark.parametrize("size", [(32, 40), (16, 12)])
def test_search_and_what_is_seen_along_its_path(size):
    image, _, _, coded, dark, bins, _, _ = cellular((48, 57), 7)
    near, far = np.zeros(dark.shape, np.uint8), np.ones(dark.shape, np.uint8)
    near[14:34, 18:38] = 1
    far[4:44, 8:48] = 0
    inside, outside = colours.colours(bins, dark, 3.0, near, far)
    given = (3.0, 28.0, 24.0, 30.0, size, 0.5)
    alone = np.zeros((1, 1), np.uint8)
    path, level, colour, off = outline.search(
        image, 1.0, coded, inside, outside, given[0], alone, 0, *given[1:]
    )
    gain, *known = naive.search(image, coded, inside, outside, *given)
    for one, two in zip((level, colour, off), known, strict=True):
        assert np.allclose(one, two, atol=1e-5)
    assert np.array_equal(path, outline.closed(gain.astype(np.float32)))
    seen = outline.judged(path, level, colour, off, 3.0)
    assert np.allclose(seen, naive.judged(path, level, colour, off, 3.0))


def test_another_nucleus_keeps_its_ground():
    image, _, _, coded, dark, bins, _, _ = cellular((48, 57), 7)
    near, far = (dark > 3).astype(np.uint8), (dark <= 3).astype(np.uint8)
    inside, outside = colours.colours(bins, dark, 3.0, near, far)
    owner = np.zeros(dark.shape, np.uint8)
    owner[:, 33:] = 1
    path, *_ = outline.search(
        image, 1.0, coded, inside, outside, 3.0, owner, 0, 28.0, 24.0, 30.0, (32, 30), 0.5
    )
    # The ray to the right ends at the border between the two, that to the left at the rim.
    assert path[0] < 9 < 15 < path[16]


def test_the_outline_of_a_drawn_cell():
    image, _, _, coded, dark, bins, _, _ = cellular((60, 66), 8)
    angle = np.arange(40) * (2 * np.pi / 40)
    hull = np.rint(np.stack([33 + 12 * np.cos(angle), 30 + 12 * np.sin(angle)], axis=1))
    radius, found = outline.find_outline(
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
    assert np.allclose(found[:2], (33, 30), atol=0.7)
    rim, limit, _, agreement, clear = found[2:]
    assert rim > 0.95
    assert clear > 0.95
    assert limit == 0
    assert agreement > 0.97


def test_a_curve_fills_what_it_fills_elsewhere():
    angle = np.arange(64) * (2 * np.pi / 64)
    curve = Curve((70.0, 55.0), 40 + 6 * np.sin(3 * angle))
    mask = np.empty((60, 70), np.uint8)
    area = outline.fill_curve(*curve.centre, curve.radius, 2.0, mask)
    drawn = curve.fill((60, 70), 2.0)
    assert area == pytest.approx(int(drawn.sum()), rel=0.01)
    assert np.count_nonzero(mask != drawn) < 0.03 * area


def test_remote_is_far_from_all_nuclei():
    centres, radii = np.array([[20.0, 30.0], [70.0, 40.0]]), np.array([6.0, 8.0])
    far = outline.remote((80, 90), centres, radii, 0)
    y, x = np.mgrid[:80, :90]
    from_one, from_two = np.hypot(x - 20, y - 30), np.hypot(x - 70, y - 40)
    assert far[(from_one > 17) & (from_two > 17)].all()
    assert not far[(from_one < 16) | (from_two < 16)].any()
    # A nucleus that fills the image leaves a rest all the same.
    assert 0 < outline.remote((40, 40), np.array([[20.0, 20.0]]), np.array([9.0]), 0).sum() < 1600


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
def test_spots_and_contrast(shape, seed):
    image, _, table, _, dark, _, violet, _ = cellular(shape, seed)
    found, any_found = nuclei.spots(violet, image, table, dark, 3.0, 12)
    known, _ = naive.spots(violet, image, table, dark, 3.0, 12)
    assert any_found
    assert np.array_equal(found, known)
    height, width = shape[0] - 7, shape[1] - 4
    part = image[2 : 2 + height, 3 : 3 + width]
    plane = nuclei.contrast(image, table, 3, 2, height, width)
    assert np.array_equal(plane, naive.contrast(part, table))
    mask = (np.random.default_rng(seed).random((height, width)) < 0.7).astype(np.uint8)
    counts = np.bincount(plane[:height, :width][mask > 0], minlength=256)
    assert nuclei.otsu_inside(plane, mask) == nuclei.otsu(counts)
    for reach in (1, 3):
        assert np.array_equal(
            nuclei.above(plane, 60.0, mask, reach), naive.above(plane, 60.0, mask, reach)
        )


def test_no_spots_where_nothing_is_stained():
    plane = np.full((9, 9), 5, np.uint8)
    image = np.full((9, 9, 3), 200, np.uint8)
    table = np.zeros((3, 256), np.uint8)
    found, any_found = nuclei.spots(plane, image, table, plane, 3.0, 12)
    assert not any_found
    assert not found.any()


def test_what_lies_between_two_pieces():
    rng = np.random.default_rng(9)
    one, two = rng.integers(0, 30, (12, 2)), rng.integers(25, 60, (15, 2))
    apart = np.hypot(*(one[:, None] - two[None]).transpose(2, 0, 1))
    least, i, j = nuclei.nearest(one.astype(np.int32), two.astype(np.int32))
    assert least == apart.min() == apart[i, j]
    dark = np.zeros((30, 40), np.uint8)
    dark[8:20, 5:33] = 50
    assert nuclei.breadth(dark, 12.0, 10.0, 1.0, 0.0, 3.0) == 28 + 1  # its own pixel counts twice
    assert nuclei.breadth(dark, 12.0, 10.0, 0.0, 1.0, 3.0) == 12 + 1
    dark[12, 20] = 7
    assert nuclei.palest(dark, 10.0, 12.0, 30.0, 12.0, 41) == 7
    assert nuclei.palest(dark, 10.0, 13.0, 30.0, 13.0, 41) == 50


def test_cells_are_laid_into_label_images():
    rng = np.random.default_rng(10)
    cells, inner = np.zeros((20, 24), np.int32), np.zeros((20, 24), np.int32)
    for number in range(1, 5):
        mask = np.ones((8, 9), np.uint8)
        nucleus = (rng.random((8, 9)) < 0.4).astype(np.uint8)
        left, top = int(rng.integers(0, 15)), int(rng.integers(0, 12))
        known = naive.lay(cells, inner, number, mask, nucleus, left, top, 36.0)
        laid = labels.lay(cells, inner, number, mask, nucleus, left, top, 36.0)
        assert laid == known[2]
        assert np.array_equal(cells, known[0])
        assert np.array_equal(inner, known[1])
    # Where it is taken already, nothing is laid.
    assert not labels.lay(cells, inner, 9, mask, nucleus, left, top, 73.0)
    assert (cells != 9).all()
