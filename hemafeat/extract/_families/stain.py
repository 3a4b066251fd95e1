"""Amounts of azure and eosin in nucleus and cytoplasm, by colour deconvolution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hemafeat.extract._families.colour import LINEAR
from hemafeat.extract._families.intensity import density_statistics
from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels import intensity as _intensity, stain as _kernel
from hemafeat.extract._prepared import Prepared, prepare

if TYPE_CHECKING:
    from hemafeat.segment import Masks

_RUIFROK = "Ruifrok and Johnston, Anal. Quant. Cytol. Histol. 23:291 (2001)"
_MACENKO = "Macenko et al., ISBI 2009, 1107"

VECTORS = np.array([[0.834750233, 0.513556283, 0.196330403], [0.092789, 0.954111, 0.283111]])
"""Optical density in R, G, B of the azure (methylene blue) and the eosin of a Giemsa stain.

They were measured by G. Landini for his ImageJ plug-in, and are those of
``skimage.color.rgb_from_bex``.
"""
_VECTORS = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)


def _amounts(prefix: str, dyes: str, source: str) -> dict[str, Column]:
    return {
        f"{part}_{prefix}{dye}_{name}": Column(
            "OD", f"{text} of {dye} in the {part}, {dyes}", source
        )
        for part in _kernel.PARTS
        for dye in _kernel.DYES
        for name, text in (("mean", "mean"), ("sd", "population standard deviation"))
    }


_DECLARED = (
    _amounts("", "dyes of a Giemsa stain", _RUIFROK)
    | _amounts("macenko_", "dyes found in the cell itself", _MACENKO)
    | {
        "eosinophilia": Column("1", "eosin / (azure + eosin), means of the cytoplasm", _RUIFROK),
        "macenko_eosinophilia": Column(
            "1", "the same with the dyes found in the cell itself", _MACENKO
        ),
        "macenko_angle": Column("deg", "angle between the two dyes' density vectors", _MACENKO),
    }
    | {
        f"macenko_{dye}_{c}": Column("1", f"{c.upper()} of the unit vector of {dye}", _MACENKO)
        for dye in _kernel.DYES[:2]
        for c in "rgb"
    }
    | {
        "cytoplasm_u_skewness": Column(
            "1", "m3 / m2^1.5 of CIELUV u* in the cytoplasm", "CIE 15:2004, CIE 1976 L*u*v*"
        )
    }
)
_COLUMNS = {name: _DECLARED[name] for name in _kernel.COLUMNS}


@family(
    _COLUMNS,
    masks=("cell",),
    per_mask=False,
    prepared=True,
    white=True,
    reference="Ruifrok and Johnston (2001); Macenko et al., ISBI 2009",
)
def stain(image: np.ndarray | Prepared, masks: Masks, n_cells: int | None = None) -> np.ndarray:
    """Compute the amounts of azure and eosin in nucleus and cytoplasm.

    Optical density is a sum over the dyes, each with its own ratio of red, green and blue
    (Beer-Lambert); solving for the amounts is colour deconvolution. It is done twice: with the
    density vectors of azure and eosin in a Giemsa stain, the same for every image, and with two
    vectors estimated from the cell itself by Macenko's method, which are the 1st and 99th
    percentile of the angles of its pixels in the plane of their two main directions. The one that
    absorbs more red is azure. The third amount, the residual, lies off the plane of the two dyes
    (haemoglobin, dirt, a lamp that is not white).

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8, or Prepared
        RGB image. The white of a bare array is measured outside the cells; see `background_white`.
    masks : Masks
        Masks of cells and nuclei.
    n_cells : int, optional
        Number of cells, which is the number of rows returned. By default ``masks.n_cells``.

    Returns
    -------
    (n_cells, 34) ndarray of float64
        Amounts in OD along the unit vector of the dye. NaN for a part that is missing, for a share
        where there is no dye, and for the dyes estimated from the cell where both have the same
        direction (less than 1 degree apart) or fewer than two pixels have a density vector longer
        than 0.15.

    Notes
    -----
    Amounts are not clipped at 0, so that means follow from the mean density. Standard deviations,
    directions and skewness are computed from a sample of 4,096 to 8,191 pixels of larger regions,
    every k-th in raster order. They change slightly when the image is rotated; means do not.

    References
    ----------
    .. [1] A. C. Ruifrok and D. A. Johnston, "Quantification of histochemical staining by color
       deconvolution", Anal. Quant. Cytol. Histol. 23:291-299, 2001.
    .. [2] M. Macenko et al., "A method for normalizing histology slides for quantitative analysis",
       ISBI 2009, 1107-1110.

    Examples
    --------
    >>> from hemafeat import datasets, extract, segment
    >>> cell = datasets.draw_cell("neutrophil", random_state=0)
    >>> values = extract.stain(cell.image, segment.Masks(cell.cell, cell.nucleus))
    >>> row = dict(zip(extract.stain.facts.columns, values[0]))
    >>> print(f"{row['nucleus_azure_mean']:.1f} {row['cytoplasm_azure_mean']:.1f}")
    0.7 0.2
    """
    prepared = prepare(image)
    n_cells = masks.n_cells if n_cells is None else n_cells
    parts = (masks.nucleus, masks.cytoplasm)
    regions = [prepared.regions(labels, n_cells) for labels in (*parts, masks.cell)]
    density = prepared.density_lut(masks.cell)
    nucleus, cytoplasm = (
        np.ascontiguousarray(
            density_statistics(prepared, labels, n_cells)[:, :, _intensity.AT.mean]
        )
        for labels in parts
    )
    return np.asarray(
        _kernel.stain_of_cells(
            prepared.rgb.reshape(-1, 3),
            density,
            tuple(region.starts for region in regions),
            tuple(region.index for region in regions),
            (nucleus, cytoplasm),
            _kernel.unmixing(_VECTORS[0], _VECTORS[1]),
            LINEAR,
        )
    )
