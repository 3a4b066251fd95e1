"""Oracle: local binary patterns of scikit-image."""

from __future__ import annotations

import platform
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.feature import local_binary_pattern

from hemafeat import extract
from reference import naive_texture

CIRCLES = [(8, 1), (16, 2), (24, 3)]
METHODS = ["default", "uniform", "nri_uniform"]


def noise(seed: int, shape: tuple[int, int] = (41, 37)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def smooth(seed: int, shape: tuple[int, int] = (60, 50)) -> np.ndarray:
    """Draw few grey levels and flat patches, as in a JPEG of a cell, so that many samples tie."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(120, 25, (shape[0] // 10, shape[1] // 10))
    return np.kron(coarse, np.ones((10, 10))).astype(np.uint8) + rng.integers(0, 2, shape).astype(
        np.uint8
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("n_points", "radius"), [*CIRCLES, (4, 1), (12, 2), (5, 3)])
def test_codes_are_equal_where_nothing_ties(n_points: int, radius: int, method: str) -> None:
    """In noise no interpolated sample equals its centre, so that rounding has no influence."""
    grey = noise(radius)
    expected = local_binary_pattern(grey, n_points, radius, method)
    assert np.array_equal(extract.lbp_codes(grey, n_points, radius, method), expected)


@pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"),
    reason="elsewhere scikit-image's compiler may fuse products and sums",
)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("n_points", "radius"), CIRCLES)
def test_codes_are_bit_equal_in_its_rounding(n_points: int, radius: int, method: str) -> None:
    for grey in (noise(1), smooth(2), np.full((20, 70), 77, np.uint8)):
        expected = local_binary_pattern(grey, n_points, radius, method)
        codes = extract.lbp_codes(grey, n_points, radius, method, rounding="scikit-image")
        assert np.array_equal(codes, expected)


@pytest.mark.parametrize(("n_points", "radius"), CIRCLES)
def test_exact_codes_differ_only_at_ties(n_points: int, radius: int) -> None:
    rows, columns = np.mgrid[:60, :50]
    grey = (rows + columns).astype(np.uint8)  # brighter on one side by what it is darker opposite
    exact = extract.lbp_codes(grey, n_points, radius, "default")
    skimage_codes = local_binary_pattern(grey, n_points, radius, "default").astype(np.int64)
    height, width = grey.shape
    n_ties = 0
    for row in range(radius, height - radius):
        for column in range(radius, width - radius):
            bits = naive_texture.pattern(grey, row, column, n_points, radius)
            assert exact[row, column] == sum(bit << i for i, bit in enumerate(bits))
            difference = int(exact[row, column]) ^ int(skimage_codes[row, column])
            # A bit that differs is set in exact codes, where a tie counts as reached.
            assert difference & int(exact[row, column]) == difference
            n_ties += difference != 0
    assert n_ties > 0 or radius == 1


def test_a_flat_plane_is_flat_everywhere() -> None:
    """In a flat plane all samples tie, so that all bits are set everywhere."""
    flat = np.full((90, 120), 93, np.uint8)
    for n_points, radius in CIRCLES:
        codes = extract.lbp_codes(flat, n_points, radius)
        assert (codes[radius:-radius, radius:-radius] == n_points).all()


@pytest.mark.parametrize(("n_points", "radius"), CIRCLES)
def test_histogram_is_the_one_of_the_codes(n_points: int, radius: int) -> None:
    """The family counts the codes of scikit-image in the eroded mask; noise has no ties."""
    grey = noise(8)
    image = np.repeat(grey[:, :, None], 3, axis=2)
    rows, columns = np.mgrid[: grey.shape[0], : grey.shape[1]]
    labels = (np.hypot(rows - 20, columns - 18) < 14).astype(np.int32)
    inside = np.array(
        [
            [naive_texture.deep_inside(labels == 1, r, c, radius) for c in range(grey.shape[1])]
            for r in range(grey.shape[0])
        ]
    )
    row = dict(zip(extract.lbp.facts.columns, extract.lbp(image, labels)[0], strict=True))
    codes = local_binary_pattern(grey, n_points, radius, "uniform")[inside].astype(int)
    expected = np.bincount(codes, minlength=n_points + 2) / inside.sum()
    stem = f"riu2_p{n_points}_"
    assert np.array_equal([v for k, v in row.items() if k.startswith(stem)], expected)
    if n_points == 8:
        codes = local_binary_pattern(grey, 8, 1, "nri_uniform")[inside].astype(int)
        expected = np.bincount(codes, minlength=59) / inside.sum()
        assert np.array_equal([v for k, v in row.items() if k.startswith("u2_")], expected)


def test_the_plain_histogram_is_that_of_scikit_image() -> None:
    grey = noise(8)
    image = np.repeat(grey[:, :, None], 3, axis=2)
    rows, columns = np.mgrid[: grey.shape[0], : grey.shape[1]]
    # Two cells that touch each other, one of them at the border, and one of a single line.
    labels = (np.hypot(rows - 8, columns - 8) < 12).astype(np.int32)
    labels[(labels == 0) & (np.hypot(rows - 22, columns - 20) < 10)] = 2
    labels[-1, -9:] = 3
    found = extract.lbp256(image, labels)
    codes = local_binary_pattern(grey, 8, 1, "default").astype(int)
    for label in (1, 2):
        inside = np.array(
            [
                [naive_texture.deep_inside(labels == label, r, c, 1) for c in range(grey.shape[1])]
                for r in range(grey.shape[0])
            ]
        )
        expected = np.bincount(codes[inside], minlength=256) / inside.sum()
        np.testing.assert_allclose(found[label - 1], expected, rtol=1e-12)
    assert np.isnan(found[2]).all()


@pytest.mark.realdata
@pytest.mark.slow_without_jit
@pytest.mark.parametrize(("n_points", "radius"), CIRCLES)
def test_real_cells_hardly_differ(real_data: Path, n_points: int, radius: int) -> None:
    """Exact codes differ in fewer than one in a thousand pixels in the middle of real images.

    The cell lies there; in the smooth background ties are more frequent.
    """
    images = sorted((real_data / "pbc_dev").rglob("*.jpg"))[::800]
    assert images
    n_different = n_pixels = 0
    for path in images:
        grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        expected = local_binary_pattern(grey, n_points, radius, "default")
        unequal = extract.lbp_codes(grey, n_points, radius, "default") != expected
        n_different += unequal[120:240, 120:240].sum()
        n_pixels += 120 * 120
        assert unequal.mean() < 0.01
    assert n_different < n_pixels / 1000


@pytest.mark.parametrize(
    ("kwargs", "reason"),
    [
        ({"plane": np.zeros((3, 3))}, "uint8"),
        ({"plane": np.zeros((3, 3, 3), np.uint8)}, "uint8"),
        ({"n_points": 25}, "1 to 24"),
        ({"radius": 0}, "radius"),
        ({"radius": 1.5}, "radius"),
        ({"method": "ror"}, "no method"),
        ({"rounding": "up"}, "no rounding"),
    ],
)
def test_bad_input_is_named(kwargs: dict, reason: str) -> None:
    arguments = {"plane": np.zeros((9, 9), np.uint8), **kwargs}
    with pytest.raises(ValueError, match=reason):
        extract.lbp_codes(**arguments)
