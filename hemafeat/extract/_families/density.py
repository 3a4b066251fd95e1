"""Optical density: the light that each channel loses in the stain."""

from __future__ import annotations

from typing import Literal

import numpy as np

from hemafeat.extract._families.intensity import LIGHT, density_statistics
from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels.intensity import STATISTICS
from hemafeat.extract._prepared import Prepared, background_white, density_lut, prepare

Base = Literal["decadic", "natural"]

_SOURCES = {
    "mean": "mean",
    "sd": "sd",
    "skewness": "skewness",
    "percentile_10": "percentile_10",
    "percentile_90": "percentile_90",
    "integrated": "sum",
}
"""Statistic of `density_statistics` behind each column."""

_CHOSEN = [STATISTICS.index(name) for name in _SOURCES.values()]
_INDICES = np.add.outer(len(STATISTICS) * np.arange(3), _CHOSEN).ravel()
_HAS_UNIT = np.array([name != "skewness" for name in _SOURCES])

_REFERENCE = "Ruifrok and Johnston, Anal. Quant. Cytol. Histol. 23:291 (2001)"


def _columns(unit: str, density: str) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    for channel, light in LIGHT.items():
        od = f"{density} of {channel.upper()}"
        declared = {
            "mean": ("mean of", "Beer-Lambert", "How strongly the part is stained"),
            "sd": (
                "population standard deviation of",
                "IBSI ECT3",
                "How unevenly the part is stained, as by clumps of chromatin or granules",
            ),
            "skewness": (
                "m3 / m2^1.5 of",
                "IBSI KE2A",
                "Whether a few spots are much darker than the rest (positive) or paler (negative)",
            ),
            "percentile_10": (
                "10th percentile, linear between neighbours, of",
                "IBSI QG58",
                "Stain of the pale tenth of the part, such as clear zones or vacuoles",
            ),
            "percentile_90": (
                "90th percentile, linear between neighbours, of",
                "IBSI 8DWT",
                "Stain of the dark tenth of the part, such as chromatin clumps or granules",
            ),
            "integrated": (
                "sum over the pixels of",
                "integrated optical density",
                "How much stain the part holds altogether, its size times its mean darkness",
            ),
        }
        units = {"skewness": "1", "integrated": f"{unit} px^2"}
        for name in _SOURCES:
            how, source, meaning = declared[name]
            columns[f"{name}__{channel}"] = Column(
                units.get(name, unit), f"{how} {od}", source, f"{meaning}, seen in {light}."
            )
    return columns


def _density(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None, base: Base
) -> np.ndarray:
    prepared = prepare(image)
    n_cells = int(labels.max()) if n_cells is None else n_cells
    values = density_statistics(prepared, labels, n_cells).reshape(n_cells, -1)
    # `take` on two axes is much faster than an index array on the last of three axes.
    values = values.take(_INDICES, axis=1)
    if base != "decadic":
        values *= np.tile(np.where(_HAS_UNIT, _factor(base), 1.0), 3)
    return np.asarray(values)


def _factor(base: Base) -> float:
    """Return the factor from decadic density to density of the given base."""
    if base not in ("decadic", "natural"):
        raise ValueError(f"base is {base!r}, expected 'decadic' or 'natural'")
    return 1.0 if base == "decadic" else float(np.log(10.0))


@family(
    _columns("OD", "log10((I0 + 1) / (I + 1))"),
    prepared=True,
    white=True,
    # Skewness and the spread of blue are not stable within nucleus and cytoplasm.
    default=(
        "*__mean__?",
        "*__sd__[rg]",
        "*__percentile_*",
        "*__integrated__?",
        "cell__skewness__?",
    ),
    fast=True,
    reference=_REFERENCE,
)
def density(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None
) -> np.ndarray:
    """Compute statistics of the decadic optical density of R, G and B.

    ``OD = log10((I0 + 1) / (I + 1))``, where I0 is the background white of the image. Every value
    is exact, as it follows from the histogram of the 8-bit channel.

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
    (n_cells, 18) ndarray of float64
        For each channel the mean, population standard deviation, skewness (NaN where the region is
        flat), 10th and 90th percentile (interpolated linearly), in OD, and the integrated density
        in OD px^2.

    References
    ----------
    .. [1] A. C. Ruifrok and D. A. Johnston, "Quantification of histochemical staining by color
       deconvolution", Anal. Quant. Cytol. Histol. 23:291-299, 2001.

    Examples
    --------
    >>> from hemafeat import datasets, extract
    >>> cell = datasets.draw_cell("neutrophil", random_state=0)
    >>> values = extract.density(cell.image, cell.nucleus)
    >>> row = dict(zip(extract.density.facts.columns, values[0]))
    >>> print(f"{row['mean__g']:.2f} {row['integrated__g']:.0f}")
    1.04 3798
    """
    return _density(image, labels, n_cells, "decadic")


@family(
    _columns("OD_e", "ln((I0 + 1) / (I + 1))"),
    prepared=True,
    white=True,
    default=False,
    reference=_REFERENCE,
)
def density_natural(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None
) -> np.ndarray:
    """Compute the statistics of `density` with natural instead of decadic logarithms.

    Some methods are defined this way. Densities are those of `density` times ln 10.

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
    (n_cells, 18) ndarray of float64
        The columns of `density`, in units of ``OD_e = ln((I0 + 1) / (I + 1))``.

    References
    ----------
    .. [1] R. Duggal et al., "SD-Layer: stain deconvolutional layer for CNNs in medical microscopic
       imaging", MICCAI 2017.

    Examples
    --------
    >>> from hemafeat import datasets, extract
    >>> cell = datasets.draw_cell("neutrophil", random_state=0)
    >>> values = extract.density_natural(cell.image, cell.nucleus)
    >>> row = dict(zip(extract.density_natural.facts.columns, values[0]))
    >>> print(f"{row['mean__g']:.2f}")
    2.40
    """
    return _density(image, labels, n_cells, "natural")


def optical_density(
    image: np.ndarray, white: np.ndarray | None = None, base: Base = "decadic"
) -> np.ndarray:
    """Compute the optical density of every pixel.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB image.
    white : sequence of 3 floats, optional
        Background white I0 of R, G and B. By default the `background_white` of the whole image.
    base : {"decadic", "natural"}
        Base of the logarithm: ``log10((I0 + 1) / (I + 1))``, which is the default, or
        ``ln((I0 + 1) / (I + 1))``.

    Returns
    -------
    (H, W, 3) ndarray of float64
        Optical densities; negative where a pixel is brighter than the background.

    Raises
    ------
    ValueError
        If the image is not 8-bit RGB, or `base` is neither of the two.

    References
    ----------
    .. [1] A. C. Ruifrok and D. A. Johnston, "Quantification of histochemical staining by color
       deconvolution", Anal. Quant. Cytol. Histol. 23:291-299, 2001.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import extract
    >>> image = np.array([[[23, 239, 119]]], np.uint8)
    >>> extract.optical_density(image, white=(239, 239, 239)).round(3)
    array([[[1.   , 0.   , 0.301]]])
    """
    rgb = prepare(image).rgb
    reference = background_white(rgb) if white is None else np.asarray(white, np.float64)
    lut = density_lut(reference.reshape(3)) * _factor(base)
    return np.stack([lut[channel][rgb[:, :, channel]] for channel in range(3)], axis=2)
