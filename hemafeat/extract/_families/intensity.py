"""First-order statistics of the optical densities, with the names of IBSI."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels.intensity import STATISTICS, first_order
from hemafeat.extract._prepared import OD_MAX, Prepared, prepare

N_LEVELS = 32
"""Number of levels for entropy and uniformity."""

LIGHT = {
    "r": "red light, which the blue dye (azure: nucleus, ribosomes) takes up",
    "g": "green light, which both dyes (azure and eosin) take up",
    "b": "blue light, which haemoglobin takes up, and both dyes a little",
}
"""What the optical density of each channel shows in a blood smear."""

_DECLARED = {
    "mean": Column("OD", "mean of x", "IBSI Q4LE", "How strongly the part is stained"),
    "variance": Column(
        "OD^2", "mean of (x - mean)^2", "IBSI ECT3", "How unevenly the part is stained, squared"
    ),
    "sd": Column(
        "OD", "square root of the variance", "IBSI ECT3", "How unevenly the part is stained"
    ),
    "skewness": Column(
        "1",
        "m3 / m2^1.5",
        "IBSI KE2A",
        "Whether a few spots are much darker than the rest (positive) or paler (negative)",
    ),
    "kurtosis": Column(
        "1",
        "m4 / m2^2 - 3",
        "IBSI IPH6",
        "Whether most of the part is alike and a few spots are far darker or paler (high)",
    ),
    "median": Column(
        "OD",
        "50th percentile",
        "IBSI Y12H",
        "Stain of the typical point, whatever a few spots hold",
    ),
    "minimum": Column(
        "OD", "smallest x", "IBSI 1GSF", "Stain of the palest single pixel, which noise can decide"
    ),
    "percentile_10": Column(
        "OD",
        "10th percentile, linear between neighbours",
        "IBSI QG58",
        "Stain of the pale tenth of the part, such as clear zones or vacuoles",
    ),
    "percentile_90": Column(
        "OD",
        "90th percentile, linear between neighbours",
        "IBSI 8DWT",
        "Stain of the dark tenth of the part, such as chromatin clumps or granules",
    ),
    "maximum": Column(
        "OD", "largest x", "IBSI 84IY", "Stain of the darkest single pixel, which noise can decide"
    ),
    "interquartile_range": Column(
        "OD",
        "75th - 25th percentile",
        "IBSI SALO",
        "Step in stain between the paler and the darker half of the part",
    ),
    "range": Column(
        "OD",
        "maximum - minimum",
        "IBSI 2OJQ",
        "Step in stain between the palest and the darkest pixel, which noise can decide",
    ),
    "mean_absolute_deviation": Column(
        "OD",
        "mean of |x - mean|",
        "IBSI 4FUA",
        "How far the stain of a point lies from the mean of the part, on average",
    ),
    "robust_mean_absolute_deviation": Column(
        "OD",
        "mean absolute deviation of the x within [P10, P90]",
        "IBSI 1128",
        "How uneven the stain is when the palest and the darkest tenth are left out",
    ),
    "median_absolute_deviation": Column(
        "OD",
        "mean of |x - median|",
        "IBSI N72L",
        "How far the stain of a point lies from that of the typical point, on average",
    ),
    "coefficient_of_variation": Column(
        "1",
        "sd / mean",
        "IBSI 7TET",
        "How unevenly the part is stained for its strength, so that pale and dark cells compare",
    ),
    "quartile_coefficient_of_dispersion": Column(
        "1",
        "(P75 - P25) / (P75 + P25)",
        "IBSI 9S40",
        "Unevenness for the strength of the stain, without the palest and darkest quarter",
    ),
    "energy": Column(
        "OD^2 px^2",
        "sum of x^2 over the pixels",
        "IBSI N8CA",
        "Size of the part times the square of its stain: large in a large or dark part",
    ),
    "root_mean_square": Column(
        "OD",
        "square root of the mean of x^2",
        "IBSI 5ZWQ",
        "Strength of the stain with more weight on the dark spots",
    ),
    "entropy": Column(
        "bit",
        "-sum p log2 p over 32 levels of fixed width over [0, 1.5]",
        "IBSI TLU2",
        "How many different shades the part has: low if smooth, high if coarse or mixed",
    ),
    "uniformity": Column(
        "1",
        "sum p^2 over 32 levels of fixed width over [0, 1.5]",
        "IBSI BJ5W",
        "How far one shade prevails in the part: 1 if there is a single one",
    ),
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
        f"{name}__od_{c}": replace(
            column,
            formula=f"{column.formula}; x is OD of {c.upper()}",
            meaning=f"{column.meaning}, seen in {light}.",
        )
        for c, light in LIGHT.items()
        for name, column in _COLUMNS.items()
    },
    prepared=True,
    white=True,
    # The others repeat `density` or each other, or hang on single pixels; JPEG changes the spread
    # of blue.
    default=(
        "nucleus__median__od_g",
        "c*__median__*",
        "*__interquartile_range__od_[rg]",
        "*__coefficient_of_variation__od_[rg]",
        "*__quartile_coefficient_of_dispersion__od_[rg]",
        "cell__interquartile_range__od_b",
        "cell__*coefficient_of*__od_b",
        "*__entropy__od_[rg]",
        "*__uniformity__od_[rg]",
        "nucleus__kurtosis__od_[rg]",
        "cell__kurtosis__*",
        "c*__root_mean_square__*",
    ),
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
    >>> print(f"{row['median__od_g']:.2f} {row['entropy__od_g']:.0f}")
    1.08 3
    """
    prepared = prepare(image)
    n_cells = int(labels.max()) if n_cells is None else n_cells
    values = density_statistics(prepared, labels, n_cells)
    return values[:, :, : len(_COLUMNS)].reshape(n_cells, -1)
