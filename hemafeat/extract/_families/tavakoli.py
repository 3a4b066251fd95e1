"""The 51 features of Tavakoli et al. (2021): shape of the nucleus, its colour over its hull's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hemafeat.extract._families.shape import measured_shape
from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels.tavakoli import SHIFT_LAB, SHIFT_XYZ, colour_ratios
from hemafeat.extract._prepared import Prepared, prepare

if TYPE_CHECKING:
    from hemafeat.segment import Masks

CODES = ("r", "g", "b", "h", "s", "v", "lab_l", "lab_a", "lab_b", "y", "cr", "cb")
"""The channels, as OpenCV codes 8-bit RGB, HSV, CIELAB and YCrCb."""

_PAPER = "Tavakoli et al., Sci. Rep. 11:19428 (2021)"

_COLUMNS = {
    "solidity": Column("1", "area of the nucleus A / area of its hull", _PAPER),
    "convexity": Column("1", "perimeter of the hull / perimeter P of the nucleus", _PAPER),
    "circularity_inverse": Column("1", "P^2 / (4 pi A), at least 1", _PAPER),
} | {
    f"{code}_{statistic}_{part}_hull": Column(
        "1", f"{name} of {code} in the {where} / in the hull, 8-bit code of OpenCV", _PAPER
    )
    for code in CODES
    for statistic, name in (("mean", "mean"), ("sd", "population standard deviation"))
    for part, where in (("nucleus", "nucleus"), ("roc", "hull without the nucleus"))
}

# Tables of OpenCV's fixed-point conversions (modules/imgproc/src/color_hsv.simd.hpp and color_lab).
_SOME = np.arange(1, 256)
_BY_VALUE = np.concatenate([[0], np.rint((255 << 12) / _SOME)]).astype(np.int32)
_BY_CHROMA = np.concatenate([[0], np.rint((180 << 12) / (6.0 * _SOME))]).astype(np.int32)
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


@family(_COLUMNS, masks=("nucleus",), per_mask=False, prepared=True, white=True, reference=_PAPER)
def tavakoli(image: np.ndarray | Prepared, masks: Masks, n_cells: int | None = None) -> np.ndarray:
    """The 51 features of Tavakoli et al.: shape of the nucleus, colour relative to its hull.

    What the convex hull adds to a nucleus stands for the cytoplasm (the paper's "representative of
    the cytoplasm", ROC), so that no outline of the cell is needed. Every colour is a ratio: nucleus
    over hull, or ROC over hull.

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
    (n_cells, 51) ndarray of float64
        Solidity, convexity, the inverse of circularity, then mean and standard deviation of 12
        channels in nucleus
        and ROC over those in the hull. A row of NaN where nucleus or cell is missing; the ROC of a
        nucleus that fills its hull and ratios to a flat hull are NaN.

    Notes
    -----
    It differs from the published code where that depends on what lies around the cell, and where
    it is in error. The image is balanced so that its background is grey (gain of a channel: mean
    white / white of the channel), not so that its mean is ("grey world"). Colours of the hull are
    those of its pixels inside the cell; where a hull bulges beyond the cell, background counted in
    the published features. Areas are pixels and perimeters Crofton's (there a mask of 255 was
    summed and the hull went through pixel centres), and a nucleus without ROC keeps its 51 columns
    (there it got 75). As published, hue is averaged as a number, which is wrong for reds on either
    side of 0; `colour` averages it as an angle.

    References
    ----------
    .. [1] S. Tavakoli et al., "New segmentation and feature extraction algorithm for
       classification of white blood cells in peripheral smear images", Sci. Rep. 11:19428, 2021.
    """
    ready = prepare(image)
    n = masks.n_cells if n_cells is None else n_cells
    shape = measured_shape(ready, masks.nucleus, n)
    nucleus = ready.regions(masks.nucleus, n)
    cell = ready.regions(masks.cell, n)
    out = np.empty((n, len(_COLUMNS)))
    out[:, 0] = shape[:, 11]
    out[:, 1] = shape[:, 13]
    out[:, 2] = 1.0 / shape[:, 8]
    out[:, 3:] = colour_ratios(
        ready.pixel_levels(masks.nucleus, n),
        nucleus.starts,
        ready.plane("r"),
        ready.plane("g"),
        ready.plane("b"),
        np.ascontiguousarray(masks.cell, dtype=np.int32),
        nucleus.run_starts,
        nucleus.runs,
        nucleus.boxes,
        cell.starts,
        ready.white(masks.cell),
        _TABLES,
        _ROOT,
        _MATRIX,
    )
    out[cell.area == 0] = np.nan
    return out
