"""Lobes of the nucleus at rising thresholds of density."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hemafeat.extract._families.lobes import lobes
from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels.lobulation import COLUMNS, SHARES, lobulations
from hemafeat.extract._prepared import Prepared, level_lut, prepare

if TYPE_CHECKING:
    from hemafeat.segment import Masks

_TREE = "component tree: Jones, Comput. Vis. Image Underst. 75:215 (1999)"

_VALUES = {
    **lobes.facts.columns,  # type: ignore[attr-defined]
    "n_dense_parts": replace(
        lobes.facts.columns["n_lobes"],  # type: ignore[attr-defined]
        meaning="Number of dense parts set apart by a waist or a gap: lobes at low densities, "
        "clumps of chromatin at high ones",
    ),
    "n_dense_parts_filament_rule": replace(
        lobes.facts.columns["n_lobes_filament_rule"],  # type: ignore[attr-defined]
        meaning="Number of dense parts joined by less than a third of their width, if at all: "
        "segments at low densities, clumps at high ones",
    ),
    "area_ratio": Column(
        "1",
        "area A / area of the nucleus",
        _TREE,
        "Area of this density in relation to the nucleus: it falls slowly with the threshold if "
        "the nucleus is even",
    ),
    "solidity": Column(
        "1",
        "A / area of the convex hull of its blocks",
        "skimage.measure.regionprops solidity",
        "How little the dense region is indented: 1 without bays, low for a horseshoe or separate "
        "parts",
    ),
    "circularity": Column(
        "1",
        "4 pi A / P^2, P the Crofton perimeter",
        "Cox, J. Paleontol. 1:179 (1927)",
        "How round and smooth the dense region is: about 1 for a disc, less if lobed or ragged",
    ),
    "n_holes": Column(
        "1",
        "number of holes of at least 1 % of the nucleus",
        _TREE,
        "Number of paler places that the dense region surrounds",
    ),
}


def _at_density(name: str, percent: int) -> Column:
    column = _VALUES[name]
    return replace(
        column,
        formula=f"{column.formula}; where OD_R is above {percent} % of the way from the median of "
        "the cytoplasm to that of the nucleus",
        meaning=f"{column.meaning.rstrip('.')} (the part denser than {percent} % of the way from "
        "cytoplasm to nucleus).",
    )


_COLUMNS = {
    f"{name}_d{percent}": _at_density(name, percent)
    for percent in SHARES.tolist()
    for name in COLUMNS
}


@family(
    _COLUMNS,
    masks=("nucleus",),
    per_mask=False,
    prepared=True,
    white=True,
    # The shape of the parts at 50 % lies between that at 35 and 65 %; numbers of holes and cores
    # are not stable.
    default=(
        "*__n_dense_parts*_d[2368]?",
        "*isthmus_ratio_d[2368]?",
        "*__inscribed_ratio_d[2368]?",
        "*__depth_mean_ratio_d[2368]?",
        "*__core_fraction_r60_d[2368]?",
        "*__area_ratio_d[268]?",
        "*__solidity_d[2368]?",
        "*__circularity_d[2368]?",
    ),
    reference="Jones, Comput. Vis. Image Underst. 75:215 (1999); Beucher and Lantuejoul (1979)",
)
def lobulation(
    image: np.ndarray | Prepared,
    masks: Masks,
    n_cells: int | None = None,
    *,
    wanted: Collection[str] = tuple(_COLUMNS),
) -> np.ndarray:
    """Measure the lobes of a nucleus at five densities, independently of its outline.

    No single outline answers every question: a low threshold shows filaments between segments, and
    a high one separates lobes that touch or overlap along the paler line between them. A band
    differs from segments, and two lobes from three, in how the number of lobes and the links
    between them change as the threshold rises.

    Density is that of red light, which nuclei absorb but granules of eosinophils hardly do, in 256
    levels over [0, 1.5]. Zero per cent is its lower median over the cytoplasm (a density of 0 if
    there is none), and 100 % its lower median over the nucleus. The regions measured are the parts
    of the cell, not only of the nucleus, above 20, 35, 50, 65 and 80 %, without parts below 2 % of
    the area of the nucleus and with holes below 1 % filled. Parts are joined along the sides of
    blocks, and holes also at corners. For each region the lobes, depths and links of the family
    `lobes` are measured, without the areas of lobes, and its area, solidity, circularity and holes.
    A name ends in the threshold: ``core_fraction_r20_d35`` is the share deeper than 0.2 of the
    equivalent radius of the region denser than 35 %.

    Pixels are merged into blocks of s x s, each with the mean of its pixels in the cell if these
    are at least half of the block. s is the largest size that leaves a nucleus 512 blocks. As few
    blocks as cover the bounding box of the cell are centred on it; a pixel that the edge of a block
    cuts counts half, or a quarter, on each side, so that turning or mirroring the image changes
    nothing. Blocks average out the grain of the chromatin, and bound the cost of a cell at any
    magnification. Depths are in blocks, and half a block is taken off.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8, or Prepared
        RGB image. The white level of an image that is not prepared is measured outside the cells,
        see `background_white`.
    masks : Masks
        Masks of cells and nuclei.
    n_cells : int, optional
        Number of rows of the result. By default ``masks.n_cells``.
    wanted : collection of str
        Names of the columns that are needed; others may be NaN. By default all.

    Returns
    -------
    (n_cells, 95) ndarray of float64
        The 19 columns at 20 %, then those at 35 % and so on. A row of NaN where nucleus or cell is
        missing, or where the nucleus is not denser than the cytoplasm. The columns of a threshold
        are NaN if nothing is above it.

    Notes
    -----
    On 1,413 cells with the attribute ``nucleus_shape`` of WBCAtt, five random folds, three seeds,
    the macro-averaged F1 of `pipelines.svc` rose from .645 on the other default columns to .662
    with these, that of `pipelines.xgboost` (two seeds) from .653 to .672. Twice as many blocks gave
    .664 and .688 in 1.7 times the time. In earlier trials with `svc`, 7 or 9 thresholds instead of
    5 gave .002 more, blocks of one pixel .004 less than of 2 x 2, and green light .006 less than
    red.

    References
    ----------
    .. [1] R. Jones, "Connected filtering and segmentation using component trees", Comput. Vis.
       Image Underst. 75:215-228, 1999.
    .. [2] S. Beucher and C. Lantuejoul, "Use of watersheds in contour detection", Int. Workshop on
       Image Processing, 1979.
    .. [3] E. P. Cox, "A method of assigning numerical and percentage values to the degree of
       roundness of sand grains", J. Paleontol. 1:179-183, 1927.

    Examples
    --------
    A round nucleus with a paler line across it is one lobe at a low threshold, and two at a high
    one:

    >>> import numpy as np
    >>> from hemafeat import extract, segment
    >>> y, x = np.mgrid[:80, :80] - 40
    >>> masks = segment.Masks(np.hypot(y, x) <= 38, np.hypot(y, x) <= 25)
    >>> image = np.full((80, 80, 3), 240, np.uint8)
    >>> image[masks.cell > 0] = 200
    >>> image[masks.nucleus > 0] = 50
    >>> image[(masks.nucleus > 0) & (abs(x) <= 2)] = 100
    >>> values = extract.lobulation(image, masks)
    >>> values.shape
    (1, 95)
    >>> row = dict(zip(extract.lobulation.facts.columns, values[0].tolist(), strict=True))
    >>> row["n_dense_parts_d20"], row["n_dense_parts_d80"]
    (1.0, 2.0)
    """
    prepared = prepare(image)
    n_cells = masks.n_cells if n_cells is None else n_cells
    cells = prepared.regions(masks.cell, n_cells)
    used = [any(f"{name}_d{share}" in wanted for name in COLUMNS) for share in SHARES.tolist()]
    return np.asarray(
        lobulations(
            prepared.rgb,
            level_lut(prepared.density_lut(masks.cell)[0], 256),
            prepared.histograms(masks.nucleus, n_cells),
            prepared.histograms(masks.cytoplasm, n_cells),
            prepared.regions(masks.nucleus, n_cells).area,
            cells.run_starts,
            cells.runs,
            cells.boxes,
            np.array(used),
        )
    )
