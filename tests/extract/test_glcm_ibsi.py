"""Oracle: the consensus values of the IBSI-1 digital phantom.

The values are those of Zwanenburg et al., Radiology 295:328 (2020), arXiv:1612.07003. They are
published to 3 significant figures, so ours are rounded to 3 and must then be equal.
"""

from __future__ import annotations

import numpy as np
import pytest

from hemafeat import extract
from reference.ibsi_phantom import INSIDE, LEVELS

# 2D averaged, 2D slice-merged, 2.5D direction-merged, 2.5D merged.
REFERENCE = {
    "joint_maximum": (0.519, 0.512, 0.489, 0.492),
    "joint_average": (2.14, 2.14, 2.2, 2.2),
    "joint_variance": (2.69, 2.71, 3.22, 3.24),
    "joint_entropy": (2.05, 2.24, 2.48, 2.61),
    "difference_average": (1.42, 1.4, 1.46, 1.44),
    "difference_variance": (2.9, 3.06, 3.11, 3.23),
    "difference_entropy": (1.4, 1.49, 1.61, 1.67),
    "sum_average": (4.28, 4.29, 4.41, 4.41),
    "sum_variance": (5.47, 5.66, 7.48, 7.65),
    "sum_entropy": (1.6, 1.79, 2.01, 2.14),
    "angular_second_moment": (0.368, 0.352, 0.286, 0.277),
    "contrast": (5.28, 5.19, 5.39, 5.29),
    "dissimilarity": (1.42, 1.4, 1.46, 1.44),
    "inverse_difference": (0.678, 0.683, 0.668, 0.673),
    "normalised_inverse_difference": (0.851, 0.854, 0.847, 0.85),
    "inverse_difference_moment": (0.619, 0.625, 0.606, 0.613),
    "normalised_inverse_difference_moment": (0.899, 0.901, 0.897, 0.899),
    "inverse_variance": (0.0567, 0.0553, 0.0597, 0.0582),
    "correlation": (-0.0121, 0.0173, 0.178, 0.182),
    "autocorrelation": (5.09, 5.14, 5.4, 5.45),
    "cluster_tendency": (5.47, 5.66, 7.48, 7.65),
    "cluster_shade": (7.0, 6.98, 16.6, 16.4),
    "cluster_prominence": (79.1, 80.4, 147.0, 142.0),
    "information_correlation_1": (-0.155, -0.0341, -0.124, -0.0334),
    "information_correlation_2": (0.487, 0.263, 0.487, 0.291),
}

AGGREGATIONS = {
    "2D averaged": (lambda matrices: matrices, 0),
    "2D slice-merged": (lambda matrices: matrices.sum(axis=1), 1),
    "2.5D direction-merged": (lambda matrices: matrices.sum(axis=0), 2),
    "2.5D merged": (lambda matrices: matrices.sum(axis=(0, 1)), 3),
}


def phantom_matrices() -> np.ndarray:
    """Return the symmetric counts at distance 1: (slices, angles, 6, 6)."""
    return np.stack(
        [
            extract.glcm_matrix(plane, mask, n_levels=6)[0]
            for plane, mask in zip(LEVELS, INSIDE, strict=True)
        ]
    )


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_digital_phantom(aggregation: str) -> None:
    merge, column = AGGREGATIONS[aggregation]
    statistics = extract.glcm_statistics(merge(phantom_matrices()))
    assert list(statistics) == list(REFERENCE)
    rounded = {name: float(f"{values.mean():.3g}") for name, values in statistics.items()}
    assert rounded == {name: values[column] for name, values in REFERENCE.items()}


def test_every_column_comes_from_a_vetted_statistic() -> None:
    columns = list(extract.glcm.facts.columns)
    stems = {column.rsplit("_d", 1)[0].removesuffix("_range") for column in columns}
    assert stems == set(REFERENCE)
    assert len(columns) == 3 * (25 + 5)
