"""Oracle: scikit-image's matrices and properties, where the mask is the whole picture."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.feature import graycomatrix, graycoprops

from hemafeat import extract
from reference import naive_texture

ANGLES = np.deg2rad([0, 45, 90, 135])

PROPERTIES = {
    "contrast": "contrast",
    "dissimilarity": "dissimilarity",
    "homogeneity": "inverse_difference_moment",
    "ASM": "angular_second_moment",
    "correlation": "correlation",
    "mean": "joint_average",
    "variance": "joint_variance",
    "entropy": "joint_entropy",
}


def skimage_matrix(levels: np.ndarray, distance: int, n_levels: int) -> np.ndarray:
    """(4, L, L); scikit-image measures along the diagonal, so a diagonal step is sqrt(2) longer."""
    found = []
    for angle, length in zip(ANGLES, [1, 2**0.5] * 2, strict=True):
        one = graycomatrix(
            levels.astype(np.uint8), [distance * length], [angle], levels=n_levels, symmetric=True
        )
        found.append(one[:, :, 0, 0])
    return np.array(found, dtype=float)


@pytest.mark.parametrize("distance", [1, 2, 4, 7])
def test_matrix_is_equal(distance: int) -> None:
    levels = np.random.default_rng(distance).integers(0, 32, (23, 19))
    found = extract.glcm_matrix(levels, n_levels=32, distance=distance)
    assert np.array_equal(found[0], skimage_matrix(levels, distance, 32))


def test_properties_agree() -> None:
    rng = np.random.default_rng(5)
    levels = np.clip(rng.normal(12, 3, (30, 34)).cumsum(axis=1) / 6, 0, 31).astype(int)
    matrix = extract.glcm_matrix(levels, n_levels=32)[0]
    found = extract.glcm_statistics(matrix)
    theirs = skimage_matrix(levels, 1, 32).astype(np.uint32).transpose(1, 2, 0)[:, :, None, :]
    for name, ours in PROPERTIES.items():
        expected = graycoprops(theirs, name)[0]
        if name == "mean":
            expected = expected + 1  # scikit-image numbers levels from 0, IBSI from 1
        if name == "entropy":
            expected = expected / np.log(2)  # nats there, bits here
        # Sums of 1024 probabilities in another order: 1e-12 is some thousand roundings.
        np.testing.assert_allclose(found[ours], expected, rtol=1e-12, err_msg=name)


def test_statistics_agree_with_double_sums() -> None:
    rng = np.random.default_rng(7)
    for n_levels in (2, 5, 32):
        counts = rng.integers(0, 9, (n_levels, n_levels)) * rng.integers(0, 2, (n_levels, n_levels))
        matrix = (counts + counts.T).astype(float)
        found = list(extract.glcm_statistics(matrix).values())
        # Rounding only; the fourth moment is the largest value, about 1e5.
        np.testing.assert_allclose(found, naive_texture.haralick(matrix), rtol=1e-11, atol=1e-11)


def test_mask_counts_inner_pairs_only() -> None:
    levels = np.array([[0, 1, 2], [1, 1, 2], [2, 0, 0]])
    labels = np.array([[1, 1, 2], [0, 1, 2], [2, 2, 2]])
    found = extract.glcm_matrix(levels, labels, n_levels=3)
    for cell in (1, 2):
        for angle, step in enumerate([(0, 1), (1, 1), (1, 0), (1, -1)]):
            expected = naive_texture.co_occurrence(levels, labels == cell, step, 3)
            assert np.array_equal(found[cell - 1, angle], expected)
    assert found[0, 0].sum() == 2  # one horizontal pair, in both orders
    assert found[1, 2].sum() == 4


@pytest.mark.parametrize(
    ("levels", "more", "reason"),
    [
        (np.zeros((2, 2, 2), int), {}, "expected \\(height, width\\)"),
        (np.array([[0, 4]]), {}, "0..3"),
        (np.array([[0, -1]]), {}, "0..3"),
        (np.array([[0.5, 1.0]]), {}, "whole numbers"),
        (np.array([[0, 1]]), {"distance": 0}, "at least 1"),
        (np.array([[0, 1]]), {"labels": np.ones((2, 2), int)}, "labels are"),
    ],
)
def test_bad_input_is_named(levels: np.ndarray, more: dict, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        extract.glcm_matrix(levels, n_levels=4, **more)


def test_statistics_refuse_what_is_no_symmetric_matrix() -> None:
    with pytest.raises(ValueError, match="not symmetric"):
        extract.glcm_statistics([[0, 1], [2, 0]])
    with pytest.raises(ValueError, match="expected"):
        extract.glcm_statistics([1, 2, 3])
    with pytest.raises(ValueError, match="negative"):
        extract.glcm_statistics([[0, -1], [-1, 0]])
