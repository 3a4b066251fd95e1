"""First-order statistics of the optical densities, with the names of IBSI."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels.intensity import STATISTICS, first_order
from hemafeat.extract._prepared import OD_MAX, Prepared, prepare

N_LEVELS = 32
"""Number of levels for entropy and uniformity."""

_DECLARED = {
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
# The sum of the kernel is a column of the family `density` only.
_COLUMNS = {name: _DECLARED[name] for name in STATISTICS if name != "sum"}


def density_statistics(image: Prepared, labels: np.ndarray, n_cells: int) -> np.ndarray:
    """Return the (n_cells, 3, 22) `STATISTICS` of the optical density of R, G and B."""
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
        for name, column in _COLUMNS.items()
    },
    prepared=True,
    white=True,
    fast=True,
    reference="Zwanenburg et al., Radiology 295:328 (2020); arXiv:1612.07003",
)
def intensity(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None
) -> np.ndarray:
    """Compute first-order statistics of the decadic optical density of each channel.

    Red shows the azure dye alone, green both dyes, blue haemoglobin as well. Entropy and uniformity
    are those of the IBSI intensity histogram with 32 levels of fixed width over [0, 1.5] OD (values
    outside count towards the end levels), so that levels have the same meaning in every image. All
    other values are computed without levels.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8, or Prepared
        RGB image. The white of a bare array is measured outside `labels`; see `background_white`.
    labels : (H, W) ndarray of int
        Label image of the cells, or of one of their compartments: 1 to n_cells, 0 is background.
    n_cells : int, optional
        Number of cells, which is the number of rows returned. By default the largest label.

    Returns
    -------
    (n_cells, 63) ndarray of float64
        The 21 statistics of R, then of G and of B. Moments are those of the population, percentiles
        are interpolated linearly as by default in NumPy. Skewness and kurtosis are NaN where the
        region is flat, ratios where their divisor is 0.

    References
    ----------
    .. [1] A. Zwanenburg et al., "The Image Biomarker Standardization Initiative", Radiology
       295:328-338, 2020, and its reference manual, arXiv:1612.07003, sections 3.3 and 3.4.

    Examples
    --------
    >>> from hemafeat import datasets, extract
    >>> cell = datasets.draw_cell("neutrophil", random_state=0)
    >>> values = extract.intensity(cell.image, cell.nucleus)
    >>> row = dict(zip(extract.intensity.facts.columns, values[0]))
    >>> print(f"{row['median__g']:.2f} {row['entropy__g']:.0f}")
    1.08 3
    """
    prepared = prepare(image)
    n_cells = int(labels.max()) if n_cells is None else n_cells
    values = density_statistics(prepared, labels, n_cells)
    return values[:, :, : len(_COLUMNS)].reshape(n_cells, -1)
