"""Optical density: how much light each channel loses in the stain."""

from __future__ import annotations

from typing import Literal

import numpy as np

from hemafeat.extract._families.intensity import measured_density
from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels.intensity import N_STATISTICS
from hemafeat.extract._prepared import Prepared, background_white, density_lut, prepare

Base = Literal["decadic", "natural"]

# Mean, deviation, skewness, 10th and 90th percentile and sum among those of `measured_density`.
_CHOSEN = np.array([0, 2, 3, 7, 8, 21])
_PLACES = np.add.outer(N_STATISTICS * np.arange(3), _CHOSEN).ravel()
_HAS_UNIT = np.array([True, True, False, True, True, True])

_REFERENCE = "Ruifrok and Johnston, Anal. Quant. Cytol. Histol. 23:291 (2001)"


def _columns(unit: str, density: str) -> dict[str, Column]:
    found: dict[str, Column] = {}
    for channel in "rgb":
        od = f"{density} of {channel.upper()}"
        found |= {
            f"mean__{channel}": Column(unit, f"mean of {od}", "Beer-Lambert"),
            f"sd__{channel}": Column(unit, f"population standard deviation of {od}", "IBSI ECT3"),
            f"skewness__{channel}": Column("1", f"m3 / m2^1.5 of {od}", "IBSI KE2A"),
            f"p10__{channel}": Column(unit, f"10th percentile of {od}", "IBSI QG58"),
            f"p90__{channel}": Column(unit, f"90th percentile of {od}", "IBSI 8DWT"),
            f"integrated__{channel}": Column(
                f"{unit} px^2", f"sum of {od} over the pixels", "integrated optical density"
            ),
        }
    return found


def _measured(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None, base: Base
) -> np.ndarray:
    ready = prepare(image)
    n = int(labels.max()) if n_cells is None else n_cells
    # One `take` of flat places: an index array on the last of three axes is far slower.
    found = measured_density(ready, labels, n).reshape(n, -1).take(_PLACES, axis=1)
    if base != "decadic":
        found *= np.tile(np.where(_HAS_UNIT, _factor(base), 1.0), 3)
    return np.asarray(found)


def _factor(base: Base) -> float:
    if base not in ("decadic", "natural"):
        raise ValueError(f"base is {base!r}; it is 'decadic' or 'natural'")
    return 1.0 if base == "decadic" else float(np.log(10.0))


@family(
    _columns("OD", "log10((I0 + 1) / (I + 1))"),
    prepared=True,
    white=True,
    fast=True,
    reference=_REFERENCE,
)
def density(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None
) -> np.ndarray:
    """Decadic optical density of R, G and B against the background white of the image.

    ``OD = log10((I0 + 1) / (I + 1))``. Every value is exact: it follows from the histogram of the
    8-bit channel.

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
    (n_cells, 18) ndarray of float64
        For each channel: mean, population standard deviation, skewness (NaN where flat), 10th and
        90th percentile (linear between neighbours), in OD, and the integrated density in OD px^2.

    References
    ----------
    .. [1] A. C. Ruifrok and D. A. Johnston, "Quantification of histochemical staining by color
       deconvolution", Anal. Quant. Cytol. Histol. 23:291-299, 2001.
    """
    return _measured(image, labels, n_cells, "decadic")


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
    """Natural-logarithm optical density: `density` times ln 10, for methods defined that way.

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
    (n_cells, 18) ndarray of float64
        The columns of `density`, in units of ``OD_e = ln((I0 + 1) / (I + 1))``.

    References
    ----------
    .. [1] R. Duggal et al., "SD-Layer: stain deconvolutional layer for CNNs in medical microscopic
       imaging", MICCAI 2017.
    """
    return _measured(image, labels, n_cells, "natural")


def optical_density(
    image: np.ndarray, white: np.ndarray | None = None, base: Base = "decadic"
) -> np.ndarray:
    """Optical density of every pixel.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB.
    white : sequence of 3 floats, optional
        Background white I0 of R, G and B; default is `background_white` of the whole image.
    base : {"decadic", "natural"}
        ``log10((I0 + 1) / (I + 1))`` or ``ln((I0 + 1) / (I + 1))``.

    Returns
    -------
    (H, W, 3) ndarray of float64
        Negative where a pixel is brighter than the background.

    Raises
    ------
    ValueError
        The image is not 8-bit RGB, or `base` is neither of the two.

    References
    ----------
    .. [1] A. C. Ruifrok and D. A. Johnston, "Quantification of histochemical staining by color
       deconvolution", Anal. Quant. Cytol. Histol. 23:291-299, 2001.
    """
    rgb = prepare(image).rgb
    reference = background_white(rgb) if white is None else np.asarray(white, np.float64)
    lut = density_lut(reference.reshape(3)) * _factor(base)
    return np.stack([lut[channel][rgb[:, :, channel]] for channel in range(3)], axis=2)
