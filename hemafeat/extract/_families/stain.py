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


_GIEMSA = "azure (.8348 .5136 .1963), eosin (.0928 .9541 .2831) in R, G, B"
_FOUND = (
    f"uncentred second moments of the OD vectors of the cell that are longer than {_kernel.DARK}; "
    f"{100 * _kernel.SHARE:.0f}st and {100 - 100 * _kernel.SHARE:.0f}th percentile of their angles "
    "in the plane of the two main directions; bluer is the one with more OD of R"
)

_TEXTS = {
    "azure": "How much of the blue dye the {part} holds, if the smear is a Giemsa stain{most}.",
    "eosin": "How much of the pink dye the {part} holds, if the smear is a Giemsa stain{least}.",
    "residual": "Colour of the {part} that no mixture of Giemsa's two dyes explains, such as "
    "haemoglobin, dirt or another stain.",
    "macenko_bluer": "How much of the bluer of the cell's own two colours the {part} holds; it "
    "need "
    "not be azure.",
    "macenko_redder": "How much of the redder of the cell's own two colours the {part} holds; it "
    "need not be eosin.",
    "macenko_residual": "Colour of the {part} that no mixture of the cell's own two colours "
    "explains.",
}
_SPREAD = {
    "azure": "How unevenly the blue dye is spread over the {part}.",
    "eosin": "How unevenly the pink dye is spread over the {part}.",
    "residual": "How much the colour that Giemsa's two dyes do not explain varies in the {part}.",
    "macenko_bluer": "How unevenly the bluer of the cell's own two colours is spread over the "
    "{part}.",
    "macenko_redder": "How unevenly the redder of the cell's own two colours is spread over the "
    "{part}.",
    "macenko_residual": "How much the colour that the cell's own two colours do not explain varies "
    "in the {part}.",
}
_HINTS = {
    "nucleus": {"most": "; high in dense chromatin", "least": ""},
    "cytoplasm": {
        "most": "; high in basophilic cytoplasm",
        "least": "; high in eosinophil granules",
    },
}


def _amounts(dyes: tuple[str, ...], how: str, source: str) -> dict[str, Column]:
    """Declare mean and standard deviation of the amounts of two dyes and the residual."""
    columns = {}
    for part in _kernel.PARTS:
        for dye in dyes:
            name = dye.removeprefix("macenko_")
            columns[f"{part}__{dye}_mean"] = Column(
                "OD",
                f"mean amount of {name} in the {part}; {how}",
                source,
                _TEXTS[dye].format(part=part, **_HINTS[part]),
            )
            columns[f"{part}__{dye}_sd"] = Column(
                "OD",
                f"population standard deviation of the amount of {name} in the {part}; {how}",
                source,
                _SPREAD[dye].format(part=part),
            )
    return columns


_DECLARED = (
    _amounts(_kernel.DYES, _GIEMSA, _RUIFROK)
    | _amounts(_kernel.FOUND, _FOUND, _MACENKO)
    | {
        "cytoplasm__eosin_share": Column(
            "1",
            "eosin / (azure + eosin), means of the cytoplasm",
            _RUIFROK,
            "How pink rather than blue the cytoplasm is, if the smear is a Giemsa stain.",
        ),
        "cytoplasm__macenko_redder_share": Column(
            "1",
            "redder / (bluer + redder), means of the cytoplasm",
            _MACENKO,
            "How much of the stain of the cytoplasm is the redder of the cell's own two colours.",
        ),
        "macenko_angle": Column(
            "deg",
            f"angle between the directions of bluer and redder; {_FOUND}",
            _MACENKO,
            "How different the two colours of the cell are; small in a cell of one colour.",
        ),
    }
    | {
        f"{dye}_{c}": Column(
            "1",
            f"OD of {c.upper()} in the unit vector of {dye.removeprefix('macenko_')}; {_FOUND}",
            _MACENKO,
            f"How much {light} light the {dye.removeprefix('macenko_')} of the cell's own two "
            "colours takes up.",
        )
        for dye in _kernel.FOUND[:2]
        for c, light in (("r", "red"), ("g", "green"), ("b", "blue"))
    }
    | {
        "cytoplasm__u_skewness": Column(
            "1",
            "m3 / m2^1.5 of CIELUV u* (D65) over the pixels of the cytoplasm",
            "CIE 15:2004, CIE 1976 L*u*v*",
            "Whether a few parts of the cytoplasm are redder than the rest (positive), as by red "
            "granules, or greener (negative).",
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
    # JPEG changes the angle between Macenko's vectors, and residuals of the nucleus.
    default=(
        "*__azure_mean",
        "nucleus__azure_sd",
        "*__eosin_*",
        "*__residual_mean",
        "cytoplasm__residual_sd",
        "*__macenko_*er_*",
        "cytoplasm__macenko_residual_mean",
        "*__macenko_residual_sd",
        "cytoplasm__u_skewness",
    ),
    reference="Ruifrok and Johnston (2001); Macenko et al., ISBI 2009",
)
def stain(image: np.ndarray | Prepared, masks: Masks, n_cells: int | None = None) -> np.ndarray:
    """Compute the amounts of azure and eosin in nucleus and cytoplasm.

    Optical density is a sum over the dyes, each with its own ratio of red, green and blue
    (Beer-Lambert); solving for the amounts is colour deconvolution. It is done twice: with the
    density vectors of azure and eosin in a Giemsa stain, the same for every image, and with two
    vectors estimated from the cell itself by Macenko's method, which are the 1st and 99th
    percentile of the angles of its pixels in the plane of their two main directions. Of these, the
    one that absorbs more red is called bluer, the other redder: in a cell of one colour they need
    not be dyes. The third amount, the residual, lies off the plane of the two dyes (haemoglobin,
    dirt, a lamp that is not white).

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
    Amounts are not clipped at 0, so that means follow from the mean density. The unit vectors of
    the Giemsa stain are azure (0.834750233, 0.513556283, 0.196330403) and eosin (0.092789,
    0.954111, 0.283111) in R, G and B, divided by their lengths; formulas print four digits. The
    main directions of Macenko's method are the eigenvectors of the sums of products of the
    densities as they are, not less their mean: the line through black and white is not shifted (a
    singular value decomposition of the densities, as in the paper). Implementations that use a
    covariance find other directions. All pixels of the cell with a density vector longer than 0.15
    count. Turning or mirroring the image changes values by rounding only.

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
    >>> print(f"{row['nucleus__azure_mean']:.1f} {row['cytoplasm__azure_mean']:.1f}")
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
