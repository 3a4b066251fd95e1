"""Oracle: matrices and properties of scikit-image, where the mask is the whole image."""

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
    """Return (4, L, L) counts; as distances of scikit-image are Euclidean, diagonals are longer."""
    matrices = []
    for angle, length in zip(ANGLES, [1, 2**0.5] * 2, strict=True):
        single = graycomatrix(
            levels.astype(np.uint8), [distance * length], [angle], levels=n_levels, symmetric=True
        )
        matrices.append(single[:, :, 0, 0])
    return np.array(matrices, dtype=float)


@pytest.mark.parametrize("distance", [1, 2, 4, 7])
def test_matrix_is_equal(distance: int) -> None:
    levels = np.random.default_rng(distance).integers(0, 32, (23, 19))
    matrix = extract.glcm_matrix(levels, n_levels=32, distance=distance)
    assert np.array_equal(matrix[0], skimage_matrix(levels, distance, 32))


def test_properties_agree() -> None:
    rng = np.random.default_rng(5)
    levels = np.clip(rng.normal(12, 3, (30, 34)).cumsum(axis=1) / 6, 0, 31).astype(int)
    matrix = extract.glcm_matrix(levels, n_levels=32)[0]
    statistics = extract.glcm_statistics(matrix)
    skimage_counts = (
        skimage_matrix(levels, 1, 32).astype(np.uint32).transpose(1, 2, 0)[:, :, None, :]
    )
    for name, statistic in PROPERTIES.items():
        expected = graycoprops(skimage_counts, name)[0]
        if name == "mean":
            expected = expected + 1  # scikit-image numbers levels from 0, IBSI from 1
        if name == "entropy":
            expected = expected / np.log(2)  # nats there, bits here
        # Sums of 1024 probabilities in another order: 1e-12 is some thousand roundings.
        np.testing.assert_allclose(statistics[statistic], expected, rtol=1e-12, err_msg=name)


def test_statistics_agree_with_double_sums() -> None:
    rng = np.random.default_rng(7)
    for n_levels in (2, 5, 32):
        counts = rng.integers(0, 9, (n_levels, n_levels)) * rng.integers(0, 2, (n_levels, n_levels))
        matrix = (counts + counts.T).astype(float)
        values = list(extract.glcm_statistics(matrix).values())
        # Rounding only; the fourth moment is the largest value, about 1e5.
        np.testing.assert_allclose(values, naive_texture.haralick(matrix), rtol=1e-11, atol=1e-11)


def test_mask_counts_inner_pairs_only() -> None:
    levels = np.array([[0, 1, 2], [1, 1, 2], [2, 0, 0]])
    labels = np.array([[1, 1, 2], [0, 1, 2], [2, 2, 2]])
    matrices = extract.glcm_matrix(levels, labels, n_levels=3)
    for cell in (1, 2):
        for angle, step in enumerate([(0, 1), (1, 1), (1, 0), (1, -1)]):
            expected = naive_texture.co_occurrence(levels, labels == cell, step, 3)
            assert np.array_equal(matrices[cell - 1, angle], expected)
    assert matrices[0, 0].sum() == 2  # one horizontal pair, in both orders
    assert matrices[1, 2].sum() == 4


@pytest.mark.parametrize(
    ("levels", "kwargs", "reason"),
    [
        (np.zeros((2, 2, 2), int), {}, "expected \\(height, width\\)"),
        (np.array([[0, 4]]), {}, "0..3"),
        (np.array([[0, -1]]), {}, "0..3"),
        (np.array([[0.5, 1.0]]), {}, "whole numbers"),
        (np.array([[0, 1]]), {"distance": 0}, "at least 1"),
        (np.array([[0, 1]]), {"labels": np.ones((2, 2), int)}, "the mask is"),
    ],
)
def test_bad_input_is_named(levels: np.ndarray, kwargs: dict, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        extract.glcm_matrix(levels, n_levels=4, **kwargs)


def test_statistics_reject_matrices_that_are_not_symmetric() -> None:
    with pytest.raises(ValueError, match="not symmetric"):
        extract.glcm_statistics([[0, 1], [2, 0]])
    with pytest.raises(ValueError, match="expected"):
        extract.glcm_statistics([1, 2, 3])
    with pytest.raises(ValueError, match="negative"):
        extract.glcm_statistics([[0, -1], [-1, 0]])
