"""Colour of each compartment: RGB, CIELAB, hue, saturation, value."""

from __future__ import annotations

import numpy as np

from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels.colour import EPSILON, columns_of, combined, moments, values_of
from hemafeat.extract._prepared import Prepared, Regions, prepare

_CIE = "CIE 15:2004, D65, 2 degrees; skimage.color.rgb2lab"
_HSV = "Smith 1978; skimage.color.rgb2hsv"
_MARDIA = "Mardia and Jupp, Directional Statistics (2000), 2.2"

_COLUMNS = (
    {
        f"mean__{c}": Column("intensity", f"mean of {c.upper()}, 0 to 255", "8-bit RGB")
        for c in "rgb"
    }
    | {
        f"sd__{c}": Column(
            "intensity", f"population standard deviation of {c.upper()}", "8-bit RGB"
        )
        for c in "rgb"
    }
    | {f"mean__lab_{c}": Column("CIELAB", f"mean of CIELAB {c}*", _CIE) for c in "lab"}
    | {
        f"sd__lab_{c}": Column("CIELAB", f"population standard deviation of CIELAB {c}*", _CIE)
        for c in "lab"
    }
    | {
        "mean__saturation": Column("1", "mean of (max - min) / max of R, G, B", _HSV),
        "sd__saturation": Column("1", "population standard deviation of saturation", _HSV),
        "mean__value": Column("1", "mean of max(R, G, B) / 255", _HSV),
        "sd__value": Column("1", "population standard deviation of value", _HSV),
        "hue_cos": Column("1", "mean cosine of the HSV hue, over pixels that have one", _MARDIA),
        "hue_sin": Column("1", "mean sine of the HSV hue, over pixels that have one", _MARDIA),
        "hue_concentration": Column("1", "sqrt(hue_cos^2 + hue_sin^2)", _MARDIA),
        "ratio_r_b": Column("1", "mean R / mean B", "ratio of channel means"),
        "ratio_g_b": Column("1", "mean G / mean B", "ratio of channel means"),
    }
)

_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_WHITE = (0.95047, 1.0, 1.08883)
_SRGB = np.arange(256) / 255.0
LINEAR = np.where(_SRGB > 0.04045, ((_SRGB + 0.055) / 1.055) ** 2.4, _SRGB / 12.92)


def colour_moments(image: Prepared, labels: np.ndarray, n_cells: int) -> np.ndarray:
    """(n_cells, 14) sums over the pixels, as ``_kernels.colour.moments`` gives them."""
    parts = image.parts(labels, n_cells)

    def compute(found: Regions) -> np.ndarray:
        if parts is not None:
            one, other = (colour_moments(image, part, n_cells) for part in parts)
            return np.asarray(combined(one, other))
        return np.asarray(moments(image.pixel_levels(labels, n_cells), found.starts, LINEAR))

    return image.shared("colour moments", labels, n_cells, compute)


def measured_colour(image: Prepared, labels: np.ndarray, n_cells: int) -> np.ndarray:
    """(n_cells, 13) colour beyond RGB, as ``_kernels.colour.values_of`` gives it."""
    return image.shared(
        "colour",
        labels,
        n_cells,
        lambda _: np.asarray(values_of(colour_moments(image, labels, n_cells))),
    )


def lab_of(rgb: np.ndarray) -> np.ndarray:
    """(3,) CIELAB of one colour given as three levels between 0 and 255, D65."""
    # Plain floats: for three numbers NumPy takes ten times as long.
    r, g, b = (
        ((level / 255 + 0.055) / 1.055) ** 2.4 if level / 255 > 0.04045 else level / 255 / 12.92
        for level in map(float, rgb)
    )
    f = [
        t ** (1 / 3) if t > EPSILON else 7.787 * t + 16 / 116
        for t in (
            (p * r + q * g + s * b) / white for (p, q, s), white in zip(_XYZ, _WHITE, strict=True)
        )
    ]
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@family(
    _COLUMNS,
    prepared=True,
    fast=True,
    reference="CIE 15:2004, Colorimetry; Mardia and Jupp, Directional Statistics (2000)",
)
def colour(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None
) -> np.ndarray:
    """Mean colour and its spread, in RGB, CIELAB and hue, saturation and value.

    CIELAB takes the image for sRGB under D65. Hue is an angle and is averaged as one: the mean of
    its cosine and sine, over the pixels that have a hue (are not grey); the length of that mean is
    1 where all agree and near 0 where they point everywhere.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8, or Prepared
        RGB.
    labels : (H, W) ndarray of int
        Regions numbered 1..n_cells; 0 is background.
    n_cells : int, optional
        Number of rows; default is the largest label.

    Returns
    -------
    (n_cells, 21) ndarray of float64
        RGB in grey levels, CIELAB in its own units, the others without unit. All deviations are
        those of the population. The hue is NaN where every pixel is grey, a ratio where mean B
        is 0.

    References
    ----------
    .. [1] CIE 15:2004, "Colorimetry", 3rd edition.
    .. [2] K. V. Mardia and P. E. Jupp, "Directional Statistics", Wiley, 2000, section 2.2.
    """
    ready = prepare(image)
    n = int(labels.max()) if n_cells is None else n_cells
    return np.asarray(columns_of(ready.histograms(labels, n), measured_colour(ready, labels, n)))
