"""Colour of the cell, nucleus and cytoplasm in RGB, CIELAB, hue, saturation and value."""

from __future__ import annotations

import numpy as np

from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels import colour as _kernel
from hemafeat.extract._prepared import Prepared, Regions, prepare

_CIE = "CIE 15:2004, D65, 2 degrees; skimage.color.rgb2lab"
_HSV = "Smith 1978; skimage.color.rgb2hsv"
_MARDIA = "Mardia and Jupp, Directional Statistics (2000), 2.2"

_NAMES = {"r": "red", "g": "green", "b": "blue"}
_STARRED = {"l": "L*", "a": "a*", "b": "b*"}
_AXES = {
    "l": ("How light the part looks to the eye", "light and dark spots"),
    "a": ("How red (positive) or green (negative) the part looks to the eye", "redder spots"),
    "b": ("How yellow (positive) or blue (negative) the part looks to the eye", "bluer spots"),
}

_DECLARED = (
    {
        f"mean__{c}": Column(
            "level",
            f"mean of {c.upper()}, 0 to 255",
            "8-bit RGB",
            f"How much {light} light the part lets through in this image; it follows the lamp and "
            "the camera.",
        )
        for c, light in _NAMES.items()
    }
    | {
        f"sd__{c}": Column(
            "level",
            f"population standard deviation of {c.upper()}",
            "8-bit RGB",
            f"How much the {light} light that the part lets through varies, as by clumps or "
            "granules.",
        )
        for c, light in _NAMES.items()
    }
    | {
        f"mean__lab_{c}": Column("CIELAB", f"mean of CIELAB {_STARRED[c]}", _CIE, f"{text}.")
        for c, (text, _) in _AXES.items()
    }
    | {
        f"sd__lab_{c}": Column(
            "CIELAB",
            f"population standard deviation of CIELAB {_STARRED[c]}",
            _CIE,
            f"How far {spots} stand out in the part to the eye.",
        )
        for c, (_, spots) in _AXES.items()
    }
    | {
        "mean__saturation": Column(
            "1",
            "mean of (max - min) / max of R, G, B",
            _HSV,
            "How vivid the colour of the part is: 0 if grey, 1 if pure.",
        ),
        "sd__saturation": Column(
            "1",
            "population standard deviation of saturation",
            _HSV,
            "Whether vivid and washed-out areas lie side by side in the part.",
        ),
        "mean__value": Column(
            "1",
            "mean of max(R, G, B) / 255",
            _HSV,
            "How bright the brightest of the three colours of the part is.",
        ),
        "sd__value": Column(
            "1",
            "population standard deviation of value",
            _HSV,
            "Whether bright and dark areas lie side by side in the part.",
        ),
        "hue_cos": Column(
            "1",
            "mean cosine of the HSV hue, over pixels that have one",
            _MARDIA,
            "Whether the part is red to pink (near 1) or cyan (near -1).",
        ),
        "hue_sin": Column(
            "1",
            "mean sine of the HSV hue, over pixels that have one",
            _MARDIA,
            "Whether the part is yellow to green (positive) or blue to purple (negative).",
        ),
        "hue_concentration": Column(
            "1",
            "sqrt(hue_cos^2 + hue_sin^2)",
            _MARDIA,
            "Whether the part has one hue (near 1) or several, as with granules of another colour.",
        ),
        "ratio_r_b": Column(
            "1",
            "mean R / mean B",
            "ratio of channel means",
            "How much redder than blue the part is: high if eosinophilic, low if basophilic.",
        ),
        "ratio_g_b": Column(
            "1",
            "mean G / mean B",
            "ratio of channel means",
            "How much of green rather than blue light the part lets through: low if purple.",
        ),
    }
)
_COLUMNS = {name: _DECLARED[name] for name in _kernel.COLUMNS}

_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_WHITE = (_kernel.WHITE_X, 1.0, _kernel.WHITE_Z)
_SRGB = np.arange(256) / 255.0
LINEAR = np.where(_SRGB > 0.04045, ((_SRGB + 0.055) / 1.055) ** 2.4, _SRGB / 12.92)


def colour_moments(image: Prepared, labels: np.ndarray, n_cells: int) -> np.ndarray:
    """Return the (n_cells, 14) moments of the colour; see ``_kernels.colour.MOMENTS``."""
    parts = image.parts(labels, n_cells)

    def compute(regions: Regions) -> np.ndarray:
        if parts is not None:
            nucleus, cytoplasm = (colour_moments(image, part, n_cells) for part in parts)
            return np.asarray(_kernel.combine(nucleus, cytoplasm))
        levels = image.pixel_levels(labels, n_cells)
        return np.asarray(_kernel.moments(levels, regions.starts, LINEAR))

    return image.shared("colour moments", labels, n_cells, compute)


def measure_colour(image: Prepared, labels: np.ndarray, n_cells: int) -> np.ndarray:
    """Return the (n_cells, 13) columns of ``_kernels.colour.BEYOND_RGB``."""
    return image.shared(
        "colour",
        labels,
        n_cells,
        lambda _: np.asarray(_kernel.values_beyond_rgb(colour_moments(image, labels, n_cells))),
    )


def lab_of(rgb: np.ndarray) -> np.ndarray:
    """Return the (3,) CIELAB values (D65) of a colour given as three levels from 0 to 255."""
    # Plain floats, as NumPy takes ten times as long for three numbers.
    r, g, b = (
        ((level / 255 + 0.055) / 1.055) ** 2.4 if level / 255 > 0.04045 else level / 255 / 12.92
        for level in map(float, rgb)
    )
    f = [
        t ** (1 / 3) if t > _kernel.EPSILON else 7.787 * t + 16 / 116
        for t in (
            (p * r + q * g + s * b) / white for (p, q, s), white in zip(_XYZ, _WHITE, strict=True)
        )
    ]
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@family(
    _COLUMNS,
    prepared=True,
    # JPEG changes the spread of blue, of a, b and of hue.
    default=(
        "c*__mean__r",
        "*__mean__[!r]*",
        "*__sd__[rg]",
        "*__sd__lab_l",
        "*__sd__saturation",
        "*__hue_cos",
        "c*__hue_sin",
        "cell__hue_concentration",
        "*__ratio_*",
    ),
    fast=True,
    reference="CIE 15:2004, Colorimetry; Mardia and Jupp, Directional Statistics (2000)",
)
def colour(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None
) -> np.ndarray:
    """Compute mean and standard deviation of the colour in RGB, CIELAB and HSV.

    For CIELAB the image is taken to be sRGB under D65. Hue is an angle and is averaged as such:
    cosine and sine are averaged over the pixels that have a hue (are not grey), and the length of
    this mean vector is 1 where all hues agree and near 0 where they are spread over the circle.

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
    (n_cells, 21) ndarray of float64
        RGB in grey levels, CIELAB in its own units, the others without unit. Standard deviations
        are those of the population. The hue is NaN where every pixel is grey, a ratio where the
        mean of B is 0.

    References
    ----------
    .. [1] CIE 15:2004, "Colorimetry", 3rd edition.
    .. [2] K. V. Mardia and P. E. Jupp, "Directional Statistics", Wiley, 2000, section 2.2.

    Examples
    --------
    >>> from hemafeat import datasets, extract
    >>> cell = datasets.draw_cell("neutrophil", random_state=0)
    >>> values = extract.colour(cell.image, cell.nucleus)
    >>> row = dict(zip(extract.colour.facts.columns, values[0]))
    >>> print(f"{row['mean__lab_a']:.0f} {row['hue_concentration']:.2f}")
    44 1.00
    """
    prepared = prepare(image)
    n_cells = int(labels.max()) if n_cells is None else n_cells
    return np.asarray(
        _kernel.assemble_columns(
            prepared.histograms(labels, n_cells), measure_colour(prepared, labels, n_cells)
        )
    )
