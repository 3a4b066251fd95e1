"""The rim of cytoplasm around the nucleus, and the fringe of the cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hemafeat.extract._families.relation import thickness_profiles
from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels.rim import rim_of_cells
from hemafeat.extract._prepared import Prepared, prepare

if TYPE_CHECKING:
    from hemafeat.segment import Masks

_RAYS = "72 rays from the centroid of the nucleus"
_HARMONIC = "circular harmonics of the thickness by direction"
_OPENING = "opening: Serra, Image Analysis and Mathematical Morphology (1982)"

_COLUMNS = {
    "thickness_p10": Column("px", "10th percentile of thickness over the directions", _RAYS),
    "thickness_median": Column("px", "median of thickness over the directions", _RAYS),
    "thickness_p90": Column("px", "90th percentile of thickness over the directions", _RAYS),
    "bare_fraction": Column("1", "share of directions with thickness up to 1 px", _RAYS),
    "cap_angle": Column("deg", "widest angle with thickness up to 1 px throughout", _RAYS),
    "thickness_lean_1": Column("1", "|sum t exp(i a)| / sum t over directions a", _HARMONIC),
    "thickness_lean_2": Column("1", "|sum t exp(2 i a)| / sum t over directions a", _HARMONIC),
    "thickness_lean_3": Column("1", "|sum t exp(3 i a)| / sum t over directions a", _HARMONIC),
    "nucleus_gap_angle": Column(
        "deg", "widest angle without boundary of the nucleus, from the centroid of the cell", _RAYS
    ),
    "villi_index": Column("1", "perimeter of the cell / of the cell opened - 1", _OPENING),
    "n_projections": Column(
        "1", "parts of at least r^2 / 2 px that the opening takes away", _OPENING
    ),
    "projection_fraction": Column("1", "share of the area the opening takes away", _OPENING),
    "largest_projection_fraction": Column("1", "area of the largest such part / area", _OPENING),
}


@family(
    _COLUMNS,
    masks=("cell",),
    per_mask=False,
    prepared=True,
    reference="Serra, Image Analysis and Mathematical Morphology, Academic Press, 1982",
)
def rim(image: np.ndarray | Prepared, masks: Masks, n_cells: int | None = None) -> np.ndarray:
    """How cytoplasm lies around the nucleus, and how ragged the edge of the cell is.

    The thickness t is that of `relation`, along 72 rays from the centroid of the nucleus. The cell
    is opened by an octagon whose radius r is a tenth of the cell's equivalent radius, at least 1
    px: steps of a plus of 5 pixels and a square of 9 in turn. Perimeters are those of `shape`.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8, or Prepared
        Its pixels are not looked at.
    masks : Masks
        Cells and nuclei.
    n_cells : int, optional
        Number of rows; default is ``masks.n_cells``.

    Returns
    -------
    (n_cells, 13) ndarray of float64
        A row of NaN where nucleus or cell is missing. The thickness by direction is NaN where no
        ray meets the nucleus, where it leans to where there is no cytoplasm, and the villi index
        where the opening leaves nothing.

    References
    ----------
    .. [1] J. Serra, "Image Analysis and Mathematical Morphology", Academic Press, 1982.
    """
    ready = prepare(image)
    n = masks.n_cells if n_cells is None else n_cells
    nucleus, cell = ready.regions(masks.nucleus, n), ready.regions(masks.cell, n)
    return np.asarray(
        rim_of_cells(
            thickness_profiles(ready, masks, n),
            nucleus.run_starts,
            nucleus.runs,
            cell.run_starts,
            cell.runs,
            cell.boxes,
        )
    )
