"""The 51 features of Tavakoli et al. (2021): shape of the nucleus, and colour over its hull."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hemafeat.extract._families.shape import measure_shape
from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels.shape import AT as SHAPE
from hemafeat.extract._kernels.tavakoli import (
    CODES,
    RATIOS,
    SHIFT_LAB,
    SHIFT_XYZ,
    colour_ratios,
)
from hemafeat.extract._prepared import Prepared, prepare

if TYPE_CHECKING:
    from hemafeat.segment import Masks

_PAPER = "Tavakoli et al., Sci. Rep. 11:19428 (2021)"

_TERMS = {
    "mean_nucleus": "mean of {code} in the nucleus",
    "mean_rest": "mean of {code} in the hull without the nucleus",
    "sd_nucleus": "population standard deviation of {code} in the nucleus",
    "sd_rest": "population standard deviation of {code} in the hull without the nucleus",
}
_CHANNELS = {
    "r": "red light",
    "g": "green light",
    "b": "blue light",
    "h": "hue",
    "s": "saturation of colour",
    "v": "brightness (value)",
    "lab_l": "lightness L*",
    "lab_a": "redness a*",
    "lab_b": "yellowness b*",
    "y": "luma",
    "cr": "redness Cr",
    "cb": "blueness Cb",
}
_MEANINGS = {
    "mean_nucleus": "Mean {channel} of the nucleus in relation to its convex outline: the farther "
    "from 1, the more the cytoplasm in its bays differs.",
    "mean_rest": "Mean {channel} of the cytoplasm in the bays of the nucleus in relation to its "
    "convex outline: the farther from 1, the more the two differ.",
    "sd_nucleus": "How much the {channel} varies within the nucleus, in relation to its convex "
    "outline: low if the nucleus is even beside its surroundings.",
    "sd_rest": "How much the {channel} varies within the cytoplasm in the bays of the nucleus, in "
    "relation to the convex outline of the nucleus.",
}

_COLUMNS = {
    "solidity": Column(
        "1",
        "area of the nucleus A / area of its hull",
        _PAPER,
        "How little the nucleus is indented: 1 without bays, low for a horseshoe or several lobes.",
    ),
    "convexity": Column(
        "1",
        "perimeter of the hull / perimeter P of the nucleus",
        _PAPER,
        "How smooth the outline of the nucleus is: 1 without bays, lower the longer its detours.",
    ),
    "circularity_inverse": Column(
        "1",
        "P^2 / (4 pi A)",
        _PAPER,
        "How far the nucleus is from a smooth disc: about 1 for a disc, higher if lobed or ragged.",
    ),
} | {
    f"{code}_{ratio}_to_hull": Column(
        "1",
        f"{_TERMS[ratio].format(code=code)} / in the hull, 8-bit code of OpenCV",
        _PAPER,
        _MEANINGS[ratio].format(channel=_CHANNELS[code]),
    )
    for code in CODES
    for ratio in RATIOS
}

# Tables of the fixed-point conversions of OpenCV (modules/imgproc/src/color_hsv.simd.hpp and
# color_lab.cpp).
_DIVISORS = np.arange(1, 256)
_BY_VALUE = np.concatenate([[0], np.rint((255 << 12) / _DIVISORS)]).astype(np.int32)
_BY_CHROMA = np.concatenate([[0], np.rint((180 << 12) / (6.0 * _DIVISORS))]).astype(np.int32)
_GAMMA_SHIFT = SHIFT_LAB - SHIFT_XYZ
_SRGB = np.arange(256) / 255.0
_GAMMA = np.rint(
    (255 << _GAMMA_SHIFT)
    * np.where(_SRGB <= 0.04045, _SRGB / 12.92, ((_SRGB + 0.055) / 1.055) ** 2.4)
).astype(np.int32)
_LIGHT = np.arange((256 * 3 // 2) << _GAMMA_SHIFT) / (255 << _GAMMA_SHIFT)
_ROOT = np.rint(
    (1 << SHIFT_LAB)
    * np.where(_LIGHT < 216 / 24389, _LIGHT * (841 / 108) + 16 / 116, np.cbrt(_LIGHT))
).astype(np.int32)
_XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
_MATRIX = np.rint((1 << SHIFT_XYZ) * _XYZ / np.array([0.950456, 1.0, 1.088754])[:, None]).astype(
    np.int32
)
_TABLES = np.stack([_BY_VALUE, _BY_CHROMA, _GAMMA])


@family(
    _COLUMNS,
    masks=("nucleus",),
    per_mask=False,
    prepared=True,
    white=True,
    # Repeats `shape` and `colour`; the rest of the hull changes with one pixel of the outline.
    default=False,
    reference=_PAPER,
)
def tavakoli(image: np.ndarray | Prepared, masks: Masks, n_cells: int | None = None) -> np.ndarray:
    """Compute the 51 features of Tavakoli et al.: shape of the nucleus, colour over its hull.

    The rest of the convex hull, without the nucleus, stands for the cytoplasm (the "representative
    of the cytoplasm", ROC, of the paper), so that no outline of the cell is needed. Every colour is
    a ratio: nucleus over hull, or rest over hull.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8, or Prepared
        RGB image. The white level of an image that is not prepared is measured outside the cells,
        see `background_white`.
    masks : Masks
        Masks of cells and nuclei.
    n_cells : int, optional
        Number of rows of the result. By default ``masks.n_cells``.

    Returns
    -------
    (n_cells, 51) ndarray of float64
        Solidity, convexity, the inverse of circularity, then mean and standard deviation of 12
        channels in nucleus and rest over those in the hull. A row of NaN where nucleus or cell is
        missing. Values of the rest are NaN if the nucleus fills its hull, and ratios are NaN if the
        hull is flat.

    Notes
    -----
    Values differ from those of the published code where these depend on the surroundings of the
    cell, and where the code is in error. The image is balanced so that its background is grey (gain
    of a channel: mean white / white of the channel), not so that its mean is grey ("grey world").
    Colours of the hull are those of its pixels inside the cell; in the published features,
    background counts where a hull extends beyond the cell. Areas are numbers of pixels and
    perimeters are those of Crofton (the code sums a mask of 255, and its hull goes through pixel
    centres). A nucleus that fills its hull keeps its 51 columns (the code returns 75). As
    published, hue is averaged as a number, which is wrong for reds on either side of 0; `colour`
    averages it as an angle.

    References
    ----------
    .. [1] S. Tavakoli et al., "New segmentation and feature extraction algorithm for
       classification of white blood cells in peripheral smear images", Sci. Rep. 11:19428, 2021.

    Examples
    --------
    >>> from hemafeat import datasets, extract, segment
    >>> cell = datasets.draw_cell("neutrophil", random_state=0)
    >>> masks = segment.Masks(cell.cell, cell.nucleus)
    >>> values = extract.tavakoli(cell.image, masks)
    >>> values.shape
    (1, 51)
    >>> row = dict(zip(extract.tavakoli.facts.columns, values[0].tolist(), strict=True))
    >>> round(row["solidity"], 2), round(row["s_mean_rest_to_hull"], 1)
    (0.94, 0.6)
    """
    prepared = prepare(image)
    n_cells = masks.n_cells if n_cells is None else n_cells
    shape = measure_shape(prepared, masks.nucleus, n_cells)
    nucleus = prepared.regions(masks.nucleus, n_cells)
    cell = prepared.regions(masks.cell, n_cells)
    ratios = colour_ratios(
        prepared.pixel_levels(masks.nucleus, n_cells),
        nucleus.starts,
        prepared.plane("r"),
        prepared.plane("g"),
        prepared.plane("b"),
        np.ascontiguousarray(masks.cell, dtype=np.int32),
        nucleus.run_starts,
        nucleus.runs,
        nucleus.boxes,
        cell.starts,
        prepared.white(masks.cell),
        _TABLES,
        _ROOT,
        _MATRIX,
    )
    outline = (
        shape[:, SHAPE.solidity],
        shape[:, SHAPE.convexity],
        1.0 / shape[:, SHAPE.circularity],
    )
    out = np.column_stack([*outline, ratios])
    out[cell.area == 0] = np.nan
    return out
