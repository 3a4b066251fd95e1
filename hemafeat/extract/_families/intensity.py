"""Statistics of first order of the optical densities, under the names of the IBSI."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels.intensity import first_order
from hemafeat.extract._prepared import OD_MAX, Prepared, prepare

N_LEVELS = 32

_STATISTICS = {
    "mean": Column("OD", "mean of x", "IBSI Q4LE"),
    "variance": Column("OD^2", "mean of (x - mean)^2", "IBSI ECT3"),
    "sd": Column("OD", "square root of the variance", "IBSI ECT3"),
    "skewness": Column("1", "m3 / m2^1.5", "IBSI KE2A"),
    "kurtosis": Column("1", "m4 / m2^2 - 3", "IBSI IPH6"),
    "median": Column("OD", "50th percentile", "IBSI Y12H"),
    "minimum": Column("OD", "smallest x", "IBSI 1GSF"),
    "percentile_10": Column("OD", "10th percentile, linear between neighbours", "IBSI QG58"),
    "percentile_90": Column("OD", "90th percentile, linear between neighbours", "IBSI 8DWT"),
    "maximum": Column("OD", "largest x", "IBSI 84IY"),
    "interquartile_range": Column("OD", "75th - 25th percentile", "IBSI SALO"),
    "range": Column("OD", "maximum - minimum", "IBSI 2OJQ"),
    "mean_absolute_deviation": Column("OD", "mean of |x - mean|", "IBSI 4FUA"),
    "robust_mean_absolute_deviation": Column(
        "OD", "mean absolute deviation of the x within [P10, P90]", "IBSI 1128"
    ),
    "median_absolute_deviation": Column("OD", "mean of |x - median|", "IBSI N72L"),
    "coefficient_of_variation": Column("1", "sd / mean", "IBSI 7TET"),
    "quartile_coefficient_of_dispersion": Column("1", "(P75 - P25) / (P75 + P25)", "IBSI 9S40"),
    "energy": Column("OD^2", "sum of x^2", "IBSI N8CA"),
    "root_mean_square": Column("OD", "square root of the mean of x^2", "IBSI 5ZWQ"),
    "entropy": Column("bit", "-sum p log2 p over 32 levels of fixed width", "IBSI TLU2"),
    "uniformity": Column("1", "sum p^2 over 32 levels of fixed width", "IBSI BJ5W"),
}


def measured_density(image: Prepared, labels: np.ndarray, n_cells: int) -> np.ndarray:
    """(n_cells, 3, 22) statistics of the density of R, G and B, the last one their sum."""
    values = image.density_lut(labels)
    counts = image.histograms(labels, n_cells)
    return image.shared(
        "first order",
        labels,
        n_cells,
        lambda _: np.asarray(first_order(values, counts, OD_MAX, N_LEVELS)),
    )


@family(
    {
        f"{name}__{c}": replace(column, formula=f"{column.formula}; x is OD of {c.upper()}")
        for c in "rgb"
        for name, column in _STATISTICS.items()
    },
    prepared=True,
    white=True,
    fast=True,
    reference="Zwanenburg et al., Radiology 295:328 (2020); arXiv:1612.07003",
)
def intensity(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None
) -> np.ndarray:
    """Statistics of first order of the decadic optical density, for each channel.

    Red shows the azure dye alone, green both dyes, blue also haemoglobin. Entropy and uniformity
    are those of the IBSI intensity histogram on 32 levels of fixed width over [0, 1.5] OD (values
    outside count to the end levels), which mean the same in every image; all other values use no
    levels.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8, or Prepared
        RGB. The white of a bare image is measured outside `labels`; see `background_white`.
    labels : (H, W) ndarray of int
        Regions numbered 1..n_cells; 0 is background.
    n_cells : int, optional
        Number of rows; default is the largest label.

    Returns
    -------
    (n_cells, 63) ndarray of float64
        21 statistics of R, then of G and of B. Population moments; percentiles linear between
        neighbours, as NumPy's default. Skewness and kurtosis are NaN where the region is flat,
        ratios where their divisor is zero.

    References
    ----------
    .. [1] A. Zwanenburg et al., "The Image Biomarker Standardization Initiative", Radiology
       295:328-338, 2020, and its reference manual, arXiv:1612.07003, sections 3.3 and 3.4.
    """
    ready = prepare(image)
    n = int(labels.max()) if n_cells is None else n_cells
    return measured_density(ready, labels, n)[:, :, : len(_STATISTICS)].reshape(n, -1)
