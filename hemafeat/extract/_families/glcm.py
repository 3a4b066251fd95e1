"""Texture of the optical density by grey-level co-occurrence, under IBSI's names."""

from __future__ import annotations

from typing import Any

import numpy as np

from hemafeat.extract._families.matrices import (
    N_LEVELS,
    density_patches,
    plane_patches,
    weighted_logs,
)
from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels import glcm as _kernel
from hemafeat.extract._kernels.haralick import statistics
from hemafeat.extract._prepared import Prepared, prepare

DISTANCES = (1, 2, 4)
ANGLES = (0, 45, 90, 135)

STATISTICS: dict[str, Column] = {
    "joint_maximum": Column("1", "max p(i, j)", "IBSI GYBY"),
    "joint_average": Column("1", "mu = sum i p(i, j), levels from 1", "IBSI 60VM"),
    "joint_variance": Column(
        "1", "sum (i - mu)^2 p(i, j)", "IBSI UR99; Haralick 1973 f4 (sum of squares)"
    ),
    "joint_entropy": Column("1", "-sum p(i, j) log2 p(i, j)", "IBSI TU9B; Haralick 1973 f9"),
    "difference_average": Column("1", "sum k p_(x-y)(k)", "IBSI TF7R"),
    "difference_variance": Column(
        "1",
        "sum (k - difference_average)^2 p_(x-y)(k)",
        "IBSI D3YU; Haralick 1973 f10, as IBSI reads it",
    ),
    "difference_entropy": Column(
        "1", "-sum p_(x-y)(k) log2 p_(x-y)(k)", "IBSI NTRS; Haralick 1973 f11"
    ),
    "sum_average": Column(
        "1", "sum k p_(x+y)(k), levels from 1; = 2 joint_average", "IBSI ZGXS; Haralick 1973 f6"
    ),
    "sum_variance": Column(
        "1", "sum (k - sum_average)^2 p_(x+y)(k)", "IBSI OEEB; Haralick 1973 f7"
    ),
    "sum_entropy": Column("1", "-sum p_(x+y)(k) log2 p_(x+y)(k)", "IBSI P6QZ; Haralick 1973 f8"),
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
"""The statistics of one co-occurrence matrix, in order; L is the number of grey levels."""

# A range over angles tells whether a texture has a direction. Statistics of the marginal (average,
# variance) hardly know the angle: their range would be the noise of the border. Of the others,
# these five are the classic ones, and the rest run nearly in step with one of them.
RANGED = (
    "angular_second_moment",
    "contrast",
    "correlation",
    "inverse_difference_moment",
    "joint_entropy",
)

_NAMES = tuple(STATISTICS)
_RANGED = np.array([_NAMES.index(name) for name in RANGED])
_DISTANCES = np.array(DISTANCES)


def _columns() -> dict[str, Column]:
    columns: dict[str, Column] = {}
    for distance in DISTANCES:
        where = f"pairs {distance} px apart"
        for name, fact in STATISTICS.items():
            columns[f"{name}_d{distance}"] = Column(
                fact.unit, f"{fact.formula}; mean over 4 angles, {where}", fact.source
            )
        for name in RANGED:
            fact = STATISTICS[name]
            columns[f"{name}_range_d{distance}"] = Column(
                fact.unit, f"{fact.formula}; max - min over 4 angles, {where}", fact.source
            )
    return columns


@family(
    _columns(),
    masks=("nucleus", "cytoplasm"),
    prepared=True,
    white=True,
    fast=True,
    reference="Zwanenburg et al., Radiology 295:328-338 (2020); arXiv:1612.07003, section 3.6",
)
def glcm(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None
) -> np.ndarray:
    """Co-occurrence statistics of the optical density of green inside each cell.

    Optical density is cut into 32 levels of fixed width over [0, 1.5], so that a level means the
    same in every image. A pair of pixels counts only when both lie in the same cell. Matrices are
    symmetric, one for each of 4 angles and of the Chebyshev distances 1, 2 and 4 px, as IBSI
    counts them: a diagonal pair at distance 2 is two rows and two columns apart.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8, or Prepared
        RGB.
    labels : (H, W) ndarray of int
        Cells 1..n_cells; 0 is background.
    n_cells : int, optional
        Number of rows; the largest label when not given.

    Returns
    -------
    (n_cells, 90) ndarray of float64
        For each distance the 25 IBSI statistics, each the mean over the angles (IBSI's "2D
        averaged"), then the range over the angles (largest minus smallest) of `RANGED`. Angles
        along which a mask has no pair, or a statistic no value, are left out. NaN where none is
        left.

    Notes
    -----
    Haralick's thirteen are among the 25 except for the maximal correlation coefficient. Two read
    differently elsewhere: ``difference_variance`` is the variance of the difference distribution
    (IBSI), where mahotas takes the variance of the list of its probabilities; and levels count
    from 1 (IBSI), not from 0 (mahotas, scikit-image), which shifts ``joint_average``,
    ``sum_average`` and ``autocorrelation`` only. Entropies are in bits.

    Turning the image by 90 degrees or mirroring it changes no value in the last bit.

    References
    ----------
    .. [1] A. Zwanenburg et al., "The Image Biomarker Standardization Initiative", Radiology 295,
       328-338, 2020; reference manual arXiv:1612.07003, section 3.6.
    .. [2] R. M. Haralick, K. Shanmugam and I. Dinstein, "Textural features for image
       classification", IEEE Trans. SMC-3, 610-621, 1973.
    """
    prepared = prepare(image)
    n_cells = int(labels.max()) if n_cells is None else n_cells
    where = prepared.regions(labels, n_cells)
    values = _kernel.measure(
        density_patches(prepared, labels, n_cells),
        where.run_starts,
        where.runs,
        where.boxes,
        N_LEVELS,
        _DISTANCES,
        _RANGED,
        weighted_logs(),
    )
    return values.reshape(n_cells, -1)


def glcm_matrix(
    levels: Any,
    labels: Any | None = None,
    *,
    n_levels: int,
    distance: int = 1,
    n_cells: int | None = None,
) -> np.ndarray:
    """Symmetric co-occurrence counts of any plane of grey levels.

    Parameters
    ----------
    levels : (H, W) array_like of int
        Grey levels 0..n_levels - 1.
    labels : (H, W) array_like of int, optional
        Cells 1..n_cells; 0 is background. Without it the whole plane is one cell.
    n_levels : int
        Number of grey levels, 1 to 255.
    distance : int
        Chebyshev distance in pixels.
    n_cells : int, optional
        Number of cells; the largest label when not given.

    Returns
    -------
    (n_cells, 4, n_levels, n_levels) ndarray of float64
        Counts at 0, 45, 90 and 135 degrees (rows count downwards, as in scikit-image), every pair
        in both orders. A pair counts when both pixels lie in the same cell.

    Raises
    ------
    ValueError
        Levels outside 0..n_levels - 1, shapes that differ, or a distance below 1.

    References
    ----------
    .. [1] arXiv:1612.07003, section 3.6.
    """
    if distance < 1:
        raise ValueError(f"distance is {distance}, expected at least 1")
    found: np.ndarray = _kernel.matrices(
        *plane_patches(levels, labels, n_levels, n_cells, distance), n_levels, distance, distance
    )
    return found


def glcm_statistics(matrix: Any) -> dict[str, np.ndarray]:
    """The 25 IBSI statistics of symmetric co-occurrence matrices.

    Parameters
    ----------
    matrix : (..., L, L) array_like
        Symmetric counts or probabilities; entry (i, j) belongs to the grey levels i + 1 and j + 1.
        Sums of matrices (IBSI's "merged" ones) are matrices as well.

    Returns
    -------
    dict of str to (...) ndarray of float64
        By IBSI's name, see `STATISTICS`. NaN where a matrix is empty; correlation and the first
        information measure are NaN also where it holds a single grey level.

    Raises
    ------
    ValueError
        A matrix that is not square, not symmetric, or has negative entries.

    References
    ----------
    .. [1] arXiv:1612.07003, section 3.6.
    """
    joint = np.asarray(matrix, dtype=np.float64)
    if joint.ndim < 2 or joint.shape[-1] != joint.shape[-2]:
        raise ValueError(f"matrix has shape {joint.shape}, expected (..., L, L)")
    if not np.array_equal(joint, np.swapaxes(joint, -1, -2)):
        raise ValueError("matrix is not symmetric: add its transpose")
    if joint.size and joint.min() < 0:
        raise ValueError("matrix holds negative entries")
    flat = np.ascontiguousarray(joint.reshape(-1, *joint.shape[-2:]))
    values = np.empty((len(flat), len(STATISTICS)))
    for one, out in zip(flat, values, strict=True):
        statistics(one, out)
    return {name: values[:, k].reshape(joint.shape[:-2]) for k, name in enumerate(_NAMES)}
