"""Oracle: the consensus values of the IBSI-1 digital phantom for the other texture matrices.

The values are those of Zwanenburg et al., Radiology 295:328 (2020), arXiv:1612.07003. They are
published to 3 significant figures, so ours are rounded to 3 and must then be equal.
"""

from __future__ import annotations

import numpy as np
import pytest

from hemafeat import extract
from reference.ibsi_phantom import INSIDE, LEVELS

# 2D averaged, 2D slice-merged, 2.5D direction-merged, 2.5D merged.
GLRLM = {
    "short_runs_emphasis": (0.641, 0.661, 0.665, 0.68),
    "long_runs_emphasis": (3.78, 3.51, 3.46, 3.27),
    "low_grey_level_run_emphasis": (0.604, 0.609, 0.58, 0.585),
    "high_grey_level_run_emphasis": (9.82, 9.74, 10.3, 10.2),
    "short_run_low_grey_level_emphasis": (0.294, 0.311, 0.296, 0.312),
    "short_run_high_grey_level_emphasis": (8.57, 8.67, 9.03, 9.05),
    "long_run_low_grey_level_emphasis": (3.14, 2.92, 2.79, 2.63),
    "long_run_high_grey_level_emphasis": (17.4, 16.1, 17.9, 17.0),
    "grey_level_non_uniformity": (5.2, 20.5, 19.5, 77.1),
    "normalised_grey_level_non_uniformity": (0.46, 0.456, 0.413, 0.412),
    "run_length_non_uniformity": (6.12, 21.6, 22.3, 83.2),
    "normalised_run_length_non_uniformity": (0.492, 0.441, 0.461, 0.445),
    "run_percentage": (0.627, 0.627, 0.632, 0.632),
    "grey_level_variance": (3.35, 3.37, 3.58, 3.59),
    "run_length_variance": (0.761, 0.778, 0.758, 0.767),
    "run_entropy": (2.17, 2.57, 2.52, 2.76),
}

# 2D, 2.5D.
GLSZM = {
    "small_zone_emphasis": (0.363, 0.368),
    "large_zone_emphasis": (43.9, 34.2),
    "low_grey_level_zone_emphasis": (0.371, 0.368),
    "high_grey_level_zone_emphasis": (16.4, 16.2),
    "small_zone_low_grey_level_emphasis": (0.0259, 0.0295),
    "small_zone_high_grey_level_emphasis": (10.3, 9.87),
    "large_zone_low_grey_level_emphasis": (40.4, 30.6),
    "large_zone_high_grey_level_emphasis": (113.0, 107.0),
    "grey_level_non_uniformity": (1.41, 5.44),
    "normalised_grey_level_non_uniformity": (0.323, 0.302),
    "zone_size_non_uniformity": (1.49, 3.44),
    "normalised_zone_size_non_uniformity": (0.333, 0.191),
    "zone_percentage": (0.24, 0.243),
    "grey_level_variance": (3.97, 3.92),
    "zone_size_variance": (21.0, 17.3),
    "zone_size_entropy": (1.93, 3.08),
}

# 2D, 2.5D.
NGLDM = {
    "low_dependence_emphasis": (0.158, 0.159),
    "high_dependence_emphasis": (19.2, 18.8),
    "low_grey_level_count_emphasis": (0.702, 0.693),
    "high_grey_level_count_emphasis": (7.49, 7.66),
    "low_dependence_low_grey_level_emphasis": (0.0473, 0.0477),
    "low_dependence_high_grey_level_emphasis": (3.06, 3.07),
    "high_dependence_low_grey_level_emphasis": (17.6, 17.2),
    "high_dependence_high_grey_level_emphasis": (49.5, 50.8),
    "grey_level_non_uniformity": (10.2, 37.9),
    "normalised_grey_level_non_uniformity": (0.562, 0.512),
    "dependence_count_non_uniformity": (3.96, 12.4),
    "normalised_dependence_count_non_uniformity": (0.212, 0.167),
    "dependence_count_percentage": (1.0, 1.0),
    "grey_level_variance": (2.7, 3.05),
    "dependence_count_variance": (2.73, 3.27),
    "dependence_count_entropy": (2.71, 3.36),
    "dependence_count_energy": (0.17, 0.122),
}

# 2D, 2.5D.
NGTDM = {
    "coarseness": (0.121, 0.0285),
    "contrast": (0.925, 0.601),
    "busyness": (2.99, 6.8),
    "complexity": (10.4, 14.1),
    "strength": (2.88, 0.741),
}


def stack(matrices: list[np.ndarray]) -> np.ndarray:
    """Stack the matrices of the slices, padded to the width of the widest."""
    wide = max(matrix.shape[-1] for matrix in matrices)
    room = [(0, 0)] * (matrices[0].ndim - 1)
    return np.stack([np.pad(m, [*room, (0, wide - m.shape[-1])]) for m in matrices])


def slice_matrices(function) -> list:
    return [function(plane, mask, n_levels=6) for plane, mask in zip(LEVELS, INSIDE, strict=True)]


def assert_rounded(
    matrices: dict[str, np.ndarray], reference: dict[str, tuple], column: int
) -> None:
    rounded = {name: float(f"{values.mean():.3g}") for name, values in matrices.items()}
    assert rounded == {name: values[column] for name, values in reference.items()}


@pytest.mark.parametrize(("axes", "column"), [((), 0), ((1,), 1), ((0,), 2), ((0, 1), 3)])
def test_run_lengths(axes: tuple[int, ...], column: int) -> None:
    matrices = stack([matrices[0] for matrices in slice_matrices(extract.glrlm_matrix)])
    assert matrices.shape == (4, 4, 6, 5)
    assert_rounded(extract.glrlm_statistics(matrices.sum(axis=axes)), GLRLM, column)


def test_zone_sizes() -> None:
    matrices = slice_matrices(extract.glszm_matrix)
    statistics = [extract.glszm_statistics(matrix, sizes) for matrix, sizes in matrices]
    assert_rounded(
        {name: np.array([values[name] for values in statistics]) for name in statistics[0]},
        GLSZM,
        0,
    )
    merged = np.zeros((6, 20), int)
    for matrix, sizes in matrices:
        merged[:, sizes - 1] += matrix[0]
    assert_rounded(extract.glszm_statistics(merged), GLSZM, 1)


@pytest.mark.parametrize(("axes", "column"), [((), 0), ((0, 1), 1)])
def test_dependences(axes: tuple[int, ...], column: int) -> None:
    matrices = np.stack(slice_matrices(extract.gldm_matrix))
    assert_rounded(extract.gldm_statistics(matrices.sum(axis=axes)), NGLDM, column)


@pytest.mark.parametrize(("axes", "column"), [((), 0), ((0, 1), 1)])
def test_tone_differences(axes: tuple[int, ...], column: int) -> None:
    matrices = np.stack(slice_matrices(extract.ngtdm_matrix))
    assert_rounded(extract.ngtdm_statistics(matrices.sum(axis=axes)), NGTDM, column)


def test_every_column_comes_from_a_vetted_statistic() -> None:
    assert list(extract.glrlm.facts.columns) == list(GLRLM)
    assert list(extract.glszm.facts.columns) == list(GLSZM)
    assert list(extract.ngtdm.facts.columns) == list(NGTDM)
    # Always 1: no column.
    assert NGLDM.pop("dependence_count_percentage") == (1.0, 1.0)
    assert list(extract.gldm.facts.columns) == list(NGLDM)
