"""Lobes of the nucleus at rising thresholds of density."""

from __future__ import annotations

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
    "area_ratio": Column("1", "area A / area of the nucleus", _TREE),
    "solidity": Column("1", "A / area of the convex hull", "skimage.measure.regionprops solidity"),
    "circularity": Column("1", "4 pi A / P^2, P the Crofton perimeter", "ISO 9276-6:2008"),
    "n_holes": Column("1", "number of holes of at least 1 % of the nucleus", _TREE),
}

_COLUMNS = {
    f"{name}_at_{share}": replace(
        _VALUES[name], formula=f"{_VALUES[name].formula}; where density is above {share} %"
    )
    for share in SHARES.tolist()
    for name in COLUMNS
}


@family(
    _COLUMNS,
    masks=("nucleus",),
    per_mask=False,
    prepared=True,
    white=True,
    reference="Jones, Comput. Vis. Image Underst. 75:215 (1999); Beucher and Lantuejoul (1979)",
)
def lobulation(
    image: np.ndarray | Prepared, masks: Masks, n_cells: int | None = None
) -> np.ndarray:
    """Measure the lobes of a nucleus at five densities, independently of its outline.

    No single outline answers every question: a low threshold shows filaments between segments, and
    a high one separates lobes that touch or overlap along the paler line between them. A band
    differs from segments, and two lobes from three, in how the number of lobes and the links
    between them change as the threshold rises.

    Density is that of red light, which nuclei absorb but granules of eosinophils hardly do, in 256
    levels over [0, 1.5]. Zero per cent is its median over the cytoplasm (a density of 0 if there is
    none), and 100 % its median over the nucleus. The regions measured are the parts of the cell
    above 20, 35, 50, 65 and 80 %, without parts below 2 % of the area of the nucleus and with holes
    below 1 % filled. For each of them the lobes, depths and links of the family `lobes` are
    measured, without the areas of lobes, and its area, solidity, circularity and holes.

    Pixels are merged into blocks of s x s, each with the mean of its pixels in the cell if these
    are at least half of the block. s is the largest size that leaves a nucleus 512 blocks; the
    first block begins at the corner of the bounding box of the cell. Blocks average out the grain
    of the chromatin, and bound the cost of a cell at any magnification.

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
    .. [3] ISO 9276-6:2008, "Descriptive and quantitative representation of particle shape and
       morphology".

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
    >>> row["n_lobes_at_20"], row["n_lobes_at_80"]
    (1.0, 2.0)
    """
    prepared = prepare(image)
    n_cells = masks.n_cells if n_cells is None else n_cells
    cells = prepared.regions(masks.cell, n_cells)
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
        )
    )
