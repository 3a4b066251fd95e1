"""The rim of cytoplasm around the nucleus, and the projections of the cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hemafeat.extract._families.relation import thickness_profiles
from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels.rim import COLUMNS, rim_of_cells
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
        "deg",
        "widest angle without boundary of the nucleus, seen from the centroid of the cell",
        _RAYS,
    ),
    "villi_index": Column("1", "perimeter of the cell / perimeter of its opening - 1", _OPENING),
    "n_projections": Column(
        "1", "number of parts of at least r^2 / 2 px that the opening removes", _OPENING
    ),
    "projection_fraction": Column("1", "share of the area that the opening removes", _OPENING),
    "largest_projection_fraction": Column(
        "1", "area of the largest part that the opening removes / area", _OPENING
    ),
}


@family(
    {name: _COLUMNS[name] for name in COLUMNS},
    masks=("cell",),
    per_mask=False,
    prepared=True,
    reference="Serra, Image Analysis and Mathematical Morphology, Academic Press, 1982",
)
def rim(image: np.ndarray | Prepared, masks: Masks, n_cells: int | None = None) -> np.ndarray:
    """Measure the rim of cytoplasm around the nucleus and the projections of the cell.

    The thickness t is that of `relation`, along 72 rays from the centroid of the nucleus. The cell
    is opened by an octagon whose radius r is a tenth of the equivalent radius of the cell, at least
    1 px, in alternating steps of a plus of 5 pixels and a square of 9. Perimeters are those of
    `shape`.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8, or Prepared
        RGB image. Its pixels are not used.
    masks : Masks
        Masks of cells and nuclei.
    n_cells : int, optional
        Number of rows of the result. By default ``masks.n_cells``.

    Returns
    -------
    (n_cells, 13) ndarray of float64
        A row of NaN where nucleus or cell is missing. Values of the thickness are NaN if no ray
        meets the nucleus, those of its lean also if there is no cytoplasm, and the villi index if
        the opening leaves nothing.

    References
    ----------
    .. [1] J. Serra, "Image Analysis and Mathematical Morphology", Academic Press, 1982.

    Examples
    --------
    >>> from hemafeat import datasets, extract, segment
    >>> cell = datasets.draw_cell("lymphocyte", random_state=0)
    >>> masks = segment.Masks(cell.cell, cell.nucleus)
    >>> values = extract.rim(cell.image, masks)
    >>> values.shape
    (1, 13)
    >>> row = dict(zip(extract.rim.facts.columns, values[0].tolist(), strict=True))
    >>> round(row["thickness_median"], 1), row["n_projections"]
    (4.2, 0.0)
    """
    prepared = prepare(image)
    n_cells = masks.n_cells if n_cells is None else n_cells
    nucleus = prepared.regions(masks.nucleus, n_cells)
    cell = prepared.regions(masks.cell, n_cells)
    return np.asarray(
        rim_of_cells(
            thickness_profiles(prepared, masks, n_cells),
            nucleus.run_starts,
            nucleus.runs,
            cell.run_starts,
            cell.runs,
            cell.boxes,
        )
    )
