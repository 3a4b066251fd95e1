"""Texture of the optical density by grey-level co-occurrence, with the names of IBSI."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from hemafeat.extract._families.matrices import (
    by_name,
    density_patches,
    matrix_family,
    plane_patches,
    weighted_logs,
)
from hemafeat.extract._family import Column
from hemafeat.extract._kernels import glcm as _kernel
from hemafeat.extract._prepared import Prepared

DISTANCES = (1, 2, 4)
ANGLES = (0, 45, 90, 135)

_DECLARED = {
    "joint_maximum": Column("1", "max p(i, j)", "IBSI GYBY"),
    "joint_average": Column("1", "mu = sum i p(i, j), levels from 1", "IBSI 60VM"),
    "joint_variance": Column(
        "1", "sum (i - mu)^2 p(i, j)", "IBSI UR99; Haralick 1973 f4 (sum of squares)"
    ),
    "joint_entropy": Column("bit", "-sum p(i, j) log2 p(i, j)", "IBSI TU9B; Haralick 1973 f9"),
    "difference_average": Column("1", "sum k p_(x-y)(k)", "IBSI TF7R"),
    "difference_variance": Column(
        "1",
        "sum (k - difference_average)^2 p_(x-y)(k)",
        "IBSI D3YU; Haralick 1973 f10, as IBSI reads it",
    ),
    "difference_entropy": Column(
        "bit", "-sum p_(x-y)(k) log2 p_(x-y)(k)", "IBSI NTRS; Haralick 1973 f11"
    ),
    "sum_average": Column(
        "1", "sum k p_(x+y)(k), levels from 1; = 2 joint_average", "IBSI ZGXS; Haralick 1973 f6"
    ),
    "sum_variance": Column(
        "1", "sum (k - sum_average)^2 p_(x+y)(k)", "IBSI OEEB; Haralick 1973 f7"
    ),
    "sum_entropy": Column("bit", "-sum p_(x+y)(k) log2 p_(x+y)(k)", "IBSI P6QZ; Haralick 1973 f8"),
    "angular_second_moment": Column("1", "sum p(i, j)^2", "IBSI 8ZQL; Haralick 1973 f1"),
    "contrast": Column("1", "sum (i - j)^2 p(i, j)", "IBSI ACUI; Haralick 1973 f2"),
    "dissimilarity": Column("1", "sum |i - j| p(i, j); = difference_average", "IBSI 8S9J"),
    "inverse_difference": Column("1", "sum p(i, j) / (1 + |i - j|)", "IBSI IB1Z"),
    "normalised_inverse_difference": Column("1", "sum p(i, j) / (1 + |i - j| / L)", "IBSI NDRX"),
    "inverse_difference_moment": Column(
        "1", "sum p(i, j) / (1 + (i - j)^2)", "IBSI WF0Z; Haralick 1973 f5"
    ),
    "normalised_inverse_difference_moment": Column(
        "1", "sum p(i, j) / (1 + (i - j)^2 / L^2)", "IBSI 1QCO"
    ),
    "inverse_variance": Column("1", "2 sum_(i<j) p(i, j) / (i - j)^2", "IBSI E8JP"),
    "correlation": Column(
        "1",
        "sum (i - mu)(j - mu) p(i, j) / joint_variance; NaN for one level",
        "IBSI NI2N; Haralick 1973 f3",
    ),
    "autocorrelation": Column("1", "sum i j p(i, j), levels from 1", "IBSI QWB0"),
    "cluster_tendency": Column("1", "sum (i + j - 2 mu)^2 p(i, j); = sum_variance", "IBSI DG8W"),
    "cluster_shade": Column("1", "sum (i + j - 2 mu)^3 p(i, j)", "IBSI 7NFM"),
    "cluster_prominence": Column("1", "sum (i + j - 2 mu)^4 p(i, j)", "IBSI AE86"),
    "information_correlation_1": Column(
        "1", "(HXY - HXY1) / HX; NaN for one level", "IBSI R8DG; Haralick 1973 f12"
    ),
    "information_correlation_2": Column(
        "1", "sqrt(1 - exp(-2 (HXY2 - HXY)))", "IBSI JN9H; Haralick 1973 f13"
    ),
}
_MEANINGS = {
    "joint_maximum": "How far one pair of shades prevails: high in an evenly stained part",
    "joint_average": "How darkly the part is stained",
    "joint_variance": "How unevenly the part is stained",
    "joint_entropy": "How varied the pairs of shades are: high in a complex texture",
    "difference_average": "How much the shade changes over a distance, on average",
    "difference_variance": "Whether the shade changes little in some places and much in others",
    "difference_entropy": "How varied the changes of shade over a distance are",
    "sum_average": "How darkly the part is stained, on a scale of twice the levels",
    "sum_variance": "How far neighbourhoods differ in shade, as dark clumps from pale areas do",
    "sum_entropy": "How varied the shades of neighbourhoods are",
    "angular_second_moment": "How orderly the texture is: high if a few pairs of shades prevail",
    "contrast": "How strongly the shade changes over a distance: high in clumped or granular "
    "texture",
    "dissimilarity": "How much the shade changes over a distance; the same as the difference "
    "average",
    "inverse_difference": "How smooth the part is: 1 if it has one shade",
    "normalised_inverse_difference": "How smooth the part is, with less weight on small changes",
    "inverse_difference_moment": "How smooth the part is, with hardly any weight on large changes",
    "normalised_inverse_difference_moment": "How smooth the part is, with little weight on any but "
    "the largest changes",
    "inverse_variance": "How often the shade changes slightly rather than not at all or much",
    "correlation": "Whether points at a distance have like shades, as within clumps wider than it",
    "autocorrelation": "How far dark points lie beside dark ones: high in a dark part",
    "cluster_tendency": "How far dark and pale areas are set apart; the same as the sum variance",
    "cluster_shade": "Whether a few dark clumps lie in a pale part (positive) or pale holes in a "
    "dark one (negative)",
    "cluster_prominence": "Whether a few areas are far darker or paler than the rest",
    "information_correlation_1": "How well a shade predicts the one beside it: near 0 if not, "
    "negative if it does",
    "information_correlation_2": "How well a shade predicts the one beside it: 0 if not, near 1 "
    "if it "
    "does",
}
STATISTICS = {
    name: replace(_DECLARED[name], meaning=_MEANINGS[name]) for name in _kernel.STATISTICS
}
"""Declarations of the statistics of one matrix; L is the number of grey levels."""

# The range over the angles shows whether a texture has a direction. Statistics of the marginal
# distribution (average, variance) hardly depend on the angle, and their range would be noise from
# the border. Of the others, these five are the classic ones; the rest correlate with one of them.
RANGED = (
    "angular_second_moment",
    "contrast",
    "correlation",
    "inverse_difference_moment",
    "joint_entropy",
)

_RANGED = np.array([_kernel.STATISTICS.index(name) for name in RANGED])
_DISTANCES = np.array(DISTANCES)


def _columns() -> dict[str, Column]:
    columns: dict[str, Column] = {}
    for distance in DISTANCES:
        pairs = f"pairs {distance} px apart"
        for name, column in STATISTICS.items():
            columns[f"{name}_d{distance}"] = replace(
                column,
                formula=f"{column.formula}; mean over 4 angles, {pairs}",
                meaning=f"{column.meaning} (points {distance} px apart).",
            )
        for name in RANGED:
            column = STATISTICS[name]
            columns[f"{name}_range_d{distance}"] = replace(
                column,
                formula=f"{column.formula}; max - min over 4 angles, {pairs}",
                meaning=f"Whether the texture has a direction, seen in the "
                f"{name.replace('_', ' ')} "
                f"of points {distance} px apart.",
            )
    return columns


@matrix_family(
    _columns(),
    section="3.6",
    # At a second distance most statistics repeat themselves; ranges over angles are not stable.
    default=(
        "*__joint_maximum_d2",
        "*__joint_entropy_d2",
        "*__angular_second_moment_d2",
        "*__cluster_shade_d2",
        "*__cluster_prominence_d2",
        "*__inverse_difference_d2",
        "*__difference_entropy_d?",
        "*__contrast_d4",
        "*__inverse_variance_d?",
        "*__correlation_d?",
        "*__information_correlation_1_d?",
    ),
)
def glcm(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None
) -> np.ndarray:
    """Compute co-occurrence statistics of the optical density of green inside each cell.

    Optical density is cut into 32 levels of fixed width over [0, 1.5], so that a level has the same
    meaning in every image. A pair of pixels counts only when both lie in the same cell. There is a
    symmetric matrix for each of 4 angles and of the Chebyshev distances 1, 2 and 4 px, as IBSI
    counts them: a diagonal pair at distance 2 is two rows and two columns apart.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8, or Prepared
        RGB image.
    labels : (H, W) ndarray of int
        Label image of the cells, or of one of their compartments: 1 to n_cells, 0 is background.
    n_cells : int, optional
        Number of cells, which is the number of rows returned. By default the largest label.

    Returns
    -------
    (n_cells, 90) ndarray of float64
        For each distance the 25 IBSI statistics, each the mean over the angles (IBSI's "2D
        averaged"), then the range over the angles (largest minus smallest) of five of them. Angles
        at which a mask has no pair or a statistic is undefined are left out. NaN where no angle is
        left.

    Notes
    -----
    Haralick's thirteen statistics are among the 25 except for the maximal correlation coefficient.
    Other packages define some differently: ``difference_variance`` is the variance of the
    difference distribution (IBSI), in mahotas the variance of the list of its probabilities; and
    levels count from 1 (IBSI), not from 0 (mahotas, scikit-image), which shifts only
    ``joint_average``, ``sum_average`` and ``autocorrelation``. Entropies are in bits.

    Rotating the image by 90 degrees or mirroring it does not change any value, not even in the last
    bit.

    References
    ----------
    .. [1] A. Zwanenburg et al., "The Image Biomarker Standardization Initiative", Radiology 295,
       328-338, 2020; reference manual arXiv:1612.07003, section 3.6.
    .. [2] R. M. Haralick, K. Shanmugam and I. Dinstein, "Textural features for image
       classification", IEEE Trans. SMC-3, 610-621, 1973.

    Examples
    --------
    >>> from hemafeat import datasets, extract
    >>> cell = datasets.draw_cell("neutrophil", random_state=0)
    >>> values = extract.glcm(cell.image, cell.nucleus)
    >>> row = dict(zip(extract.glcm.facts.columns, values[0]))
    >>> print(f"{row['correlation_d1']:.2f} {row['correlation_d4']:.2f}")
    0.72 0.06
    """
    values = _kernel.measure(
        *density_patches(image, labels, n_cells), _DISTANCES, _RANGED, weighted_logs()
    )
    return np.asarray(values.reshape(len(values), -1))


def glcm_matrix(
    levels: Any,
    labels: Any | None = None,
    *,
    n_levels: int,
    distance: int = 1,
    n_cells: int | None = None,
) -> np.ndarray:
    """Count the pairs of grey levels in a plane.

    Parameters
    ----------
    levels : (H, W) array_like of int
        Grey levels, 0 to n_levels - 1.
    labels : (H, W) array_like of int, optional
        Label image of the cells: 1 to n_cells, 0 is background. By default the whole plane is one
        cell.
    n_levels : int
        Number of grey levels, 1 to 255.
    distance : int
        Chebyshev distance of the pixels of a pair. By default 1.
    n_cells : int, optional
        Number of cells. By default the largest label.

    Returns
    -------
    (n_cells, 4, n_levels, n_levels) ndarray of float64
        Symmetric counts at 0, 45, 90 and 135 degrees (rows count downwards, as in scikit-image),
        with every pair in both orders. A pair counts when both pixels lie in the same cell.

    Raises
    ------
    ValueError
        If levels lie outside 0..n_levels - 1, `levels` and `labels` differ in shape, or `distance`
        is below 1.

    References
    ----------
    .. [1] arXiv:1612.07003, section 3.6.

    Examples
    --------
    >>> from hemafeat import extract
    >>> matrix = extract.glcm_matrix([[0, 0, 1], [1, 1, 1]], n_levels=2)
    >>> matrix[0, 0]  # 0 degrees: the pairs 0 0, 0 1, 1 1 and 1 1, in both orders
    array([[2., 1.],
           [1., 4.]])
    """
    if distance < 1:
        raise ValueError(f"distance is {distance}, expected at least 1")
    patches = plane_patches(levels, labels, n_levels, n_cells, distance)
    return np.asarray(_kernel.symmetric_matrices(*patches, distance, distance))


def glcm_statistics(matrix: Any) -> dict[str, np.ndarray]:
    """Compute the 25 IBSI statistics of symmetric co-occurrence matrices.

    Parameters
    ----------
    matrix : (..., L, L) array_like
        Symmetric counts or probabilities; entry (i, j) belongs to the grey levels i + 1 and j + 1.
        Sums of matrices (IBSI's "merged" matrices) are allowed.

    Returns
    -------
    dict of str to (...) ndarray of float64
        Values by IBSI's name. NaN where a matrix is empty; correlation and the first information
        measure are also NaN where it holds a single grey level.

    Raises
    ------
    ValueError
        If a matrix is not square, not symmetric, or has negative entries.

    References
    ----------
    .. [1] arXiv:1612.07003, section 3.6.

    Examples
    --------
    >>> from hemafeat import extract
    >>> values = extract.glcm_statistics([[2, 1], [1, 4]])
    >>> round(float(values["contrast"]), 3), round(float(values["correlation"]), 3)
    (0.25, 0.467)
    """
    joint = np.asarray(matrix, dtype=np.float64)
    if joint.ndim < 2 or joint.shape[-1] != joint.shape[-2]:
        raise ValueError(f"matrix has shape {joint.shape}, expected (..., L, L)")
    if not np.array_equal(joint, np.swapaxes(joint, -1, -2)):
        raise ValueError("matrix is not symmetric: add its transpose")
    if joint.size and joint.min() < 0:
        raise ValueError("matrix holds negative entries")
    stack = np.ascontiguousarray(joint.reshape(-1, *joint.shape[-2:]))
    rows = np.empty((len(stack), _kernel.N_STATISTICS))
    for single, row in zip(stack, rows, strict=True):
        _kernel.matrix_statistics(single, row)
    return by_name(rows, _kernel.STATISTICS, joint.shape[:-2])
