"""Azure and eosin in nucleus and cytoplasm, by colour deconvolution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hemafeat.extract._families.colour import LINEAR
from hemafeat.extract._families.intensity import measured_density
from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels.stain import stain_of_cells, unmixing
from hemafeat.extract._prepared import Prepared, prepare

if TYPE_CHECKING:
    from hemafeat.segment import Masks

_RUIFROK = "Ruifrok and Johnston, Anal. Quant. Cytol. Histol. 23:291 (2001)"
_MACENKO = "Macenko et al., ISBI 2009, 1107"

VECTORS = np.array([[0.834750233, 0.513556283, 0.196330403], [0.092789, 0.954111, 0.283111]])
"""Optical density in R, G, B of the azure (methylene blue) and the eosin of a Giemsa stain.

Measured by G. Landini for his plug-in of ImageJ; ``skimage.color.rgb_from_bex`` holds the same.
"""
_VECTORS = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)

_PARTS = ("nucleus", "cytoplasm")
_DYES = ("azure", "eosin", "residual")


def _quantities(prefix: str, what: str, source: str) -> dict[str, Column]:
    return {
        f"{part}_{prefix}{dye}_{name}": Column(
            "OD", f"{text} of {dye} in the {part}, {what}", source
        )
        for part in _PARTS
        for dye in _DYES
        for name, text in (("mean", "mean"), ("sd", "population standard deviation"))
    }


_COLUMNS = (
    _quantities("", "dyes of a Giemsa stain", _RUIFROK)
    | _quantities("macenko_", "dyes found in the cell itself", _MACENKO)
    | {
        "eosinophilia": Column("1", "eosin / (azure + eosin), means of the cytoplasm", _RUIFROK),
        "macenko_eosinophilia": Column(
            "1", "the same with the dyes found in the cell itself", _MACENKO
        ),
        "macenko_angle": Column("deg", "angle between the two dyes' density vectors", _MACENKO),
    }
    | {
        f"macenko_{dye}_{c}": Column("1", f"{c.upper()} of the unit vector of {dye}", _MACENKO)
        for dye in _DYES[:2]
        for c in "rgb"
    }
    | {
        "cytoplasm_u_skewness": Column(
            "1", "m3 / m2^1.5 of CIELUV u* in the cytoplasm", "CIE 15:2004, CIE 1976 L*u*v*"
        )
    }
)


@family(
    _COLUMNS,
    masks=("cell",),
    per_mask=False,
    prepared=True,
    white=True,
    reference="Ruifrok and Johnston (2001); Macenko et al., ISBI 2009",
)
def stain(image: np.ndarray | Prepared, masks: Masks, n_cells: int | None = None) -> np.ndarray:
    """How much azure and eosin nucleus and cytoplasm took.

    Optical density is a sum over the dyes, each with its own share of red, green and blue
    (Beer-Lambert); solving for the amounts is colour deconvolution. It is done twice. Once with the
    density vectors of azure and eosin in a Giemsa stain, the same for every image; once with the
    two directions the cell itself shows, found as Macenko's: in the plane of its two main
    directions, the 1st and 99th percentile of the angles of its pixels. Of those the one that takes
    more red is azure. The third, the residual, is what lies off the plane of the two dyes
    (haemoglobin, dirt, a lamp that is not white).

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8, or Prepared
        RGB. The white of a bare image is measured outside the cells; see `background_white`.
    masks : Masks
        Cells and nuclei.
    n_cells : int, optional
        Number of rows; default is ``masks.n_cells``.

    Returns
    -------
    (n_cells, 34) ndarray of float64
        Quantities in OD along the unit vector of the dye. NaN for a part that is missing, for a
        share of no dye, and, of the cell's own dyes, where it shows but one direction (less than 1
        degree apart), or has no two pixels with a density vector longer than 0.15.

    Notes
    -----
    Quantities are not cut off at zero, so means follow from the mean density. Deviations,
    directions and skewness look at 4,096 to 8,191 pixels of a larger region: every second, third
    ... in raster order. Those move a little when the image is turned; means do not.

    References
    ----------
    .. [1] A. C. Ruifrok and D. A. Johnston, "Quantification of histochemical staining by color
       deconvolution", Anal. Quant. Cytol. Histol. 23:291-299, 2001.
    .. [2] M. Macenko et al., "A method for normalizing histology slides for quantitative analysis",
       ISBI 2009, 1107-1110.
    """
    ready = prepare(image)
    n = masks.n_cells if n_cells is None else n_cells
    parts = (masks.nucleus, masks.cytoplasm)
    found = [ready.regions(labels, n) for labels in (*parts, masks.cell)]
    density = ready.density_lut(masks.cell)
    nucleus, cytoplasm = (
        np.ascontiguousarray(measured_density(ready, labels, n)[:, :, 0]) for labels in parts
    )
    return np.asarray(
        stain_of_cells(
            ready.rgb.reshape(-1, 3),
            density,
            tuple(region.starts for region in found),
            tuple(region.index for region in found),
            (nucleus, cytoplasm),
            unmixing(_VECTORS[0], _VECTORS[1]),
            LINEAR,
        )
    )
