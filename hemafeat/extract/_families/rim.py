"""The rim of cytoplasm around the nucleus, and the projections of the cell."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from hemafeat.extract._families.relation import thickness_profiles
from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels.rim import COLUMNS, PROJECTION_COLUMNS, projections, rim_of_cells
from hemafeat.extract._prepared import Prepared, prepare

if TYPE_CHECKING:
    from hemafeat.segment import Masks

_RAYS = "72 rays from the centroid of the nucleus, at 2.5, 7.5 ... 357.5 degrees"
_HARMONIC = "circular harmonics of the thickness by direction"
_OPENING = "opening: Serra, Image Analysis and Mathematical Morphology (1982)"
_VIEW = "angles between neighbouring directions of boundary points"

_COLUMNS = {
    "cytoplasm__thickness_percentile_10": Column(
        "px",
        "10th percentile of thickness over the directions",
        _RAYS,
        "Thickness of the cytoplasm where it is thin: 0 if the nucleus touches the edge of the "
        "cell on a tenth of its sides.",
    ),
    "cytoplasm__thickness_median": Column(
        "px",
        "median of thickness over the directions",
        _RAYS,
        "Typical thickness of the cytoplasm around the nucleus.",
    ),
    "cytoplasm__thickness_percentile_90": Column(
        "px",
        "90th percentile of thickness over the directions",
        _RAYS,
        "Thickness of the cytoplasm where it is ample.",
    ),
    "cytoplasm__bare_fraction": Column(
        "1",
        "share of directions with thickness up to 1 px",
        _RAYS,
        "Share of the sides of the nucleus without cytoplasm.",
    ),
    "cytoplasm__bare_angle": Column(
        "deg",
        "widest angle with thickness up to 1 px throughout",
        _RAYS,
        "Width of the largest side of the nucleus without cytoplasm.",
    ),
    "cytoplasm__thickness_harmonic_1": Column(
        "1",
        "|sum t exp(i a)| / sum t over directions a",
        _HARMONIC,
        "How much the cytoplasm lies on one side of the nucleus: 0 for an even rim.",
    ),
    "cytoplasm__thickness_harmonic_2": Column(
        "1",
        "|sum t exp(2 i a)| / sum t over directions a",
        _HARMONIC,
        "How much the cytoplasm lies at two opposite ends of the nucleus.",
    ),
    "cytoplasm__thickness_harmonic_3": Column(
        "1",
        "|sum t exp(3 i a)| / sum t over directions a",
        _HARMONIC,
        "How much the cytoplasm lies in three corners around the nucleus.",
    ),
    "nucleus__open_angle_from_cell_centroid": Column(
        "deg",
        "widest angle between neighbouring directions of boundary points of the nucleus, seen from "
        "the centroid of the cell",
        _VIEW,
        "Widest view from the middle of the cell that the nucleus leaves free: small if it "
        "surrounds the middle, large if it lies to one side.",
    ),
    "perimeter_excess": Column(
        "1",
        "perimeter of the cell / perimeter of its opening - 1",
        _OPENING,
        "How much longer projections make the outline of the cell: about 0 for a smooth cell; it "
        "depends on how finely the mask follows them.",
    ),
    "n_projections": Column(
        "1",
        "number of projections",
        _OPENING,
        "Number of spikes, blebs and tails narrower than a fifth of the diameter of the cell.",
    ),
    "projection_fraction": Column(
        "1",
        "area of the projections / area",
        _OPENING,
        "Share of the cell that lies in its projections.",
    ),
    "largest_projection_fraction": Column(
        "1",
        "area of the largest projection / area, 0 without one",
        _OPENING,
        "Share of the cell in its largest projection, such as a tail.",
    ),
}


@family(
    {name: _COLUMNS[name] for name in COLUMNS},
    masks=("cell", "cytoplasm", "nucleus"),
    per_mask=False,
    prepared=True,
    # Projections change with one pixel of the outline.
    default=(
        "cytoplasm__*",
        "nucleus__*",
    ),
    reference="Serra, Image Analysis and Mathematical Morphology, Academic Press, 1982",
)
def rim(
    image: np.ndarray | Prepared,
    masks: Masks,
    n_cells: int | None = None,
    *,
    wanted: Collection[str] = COLUMNS,
) -> np.ndarray:
    """Measure the rim of cytoplasm around the nucleus and the projections of the cell.

    The thickness t is that of `relation`, along 72 rays from the centroid of the nucleus at 2.5,
    7.5 ... 357.5 degrees. Percentiles are interpolated linearly. The cell is opened by an octagon
    whose radius r is a tenth of the equivalent radius of the cell, rounded to whole pixels and at
    least 1, in alternating steps of a plus of 5 pixels and a square of 9, the plus first. A
    projection is an 8-connected part of at least r^2 / 2 px that the opening removes; smaller ones
    are corners of the pixel grid. Perimeters are those of `shape`.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8, or Prepared
        RGB image. Its pixels are not used.
    masks : Masks
        Masks of cells and nuclei.
    n_cells : int, optional
        Number of rows of the result. By default ``masks.n_cells``.
    wanted : collection of str
        Names of the columns that are needed; others may be NaN. By default all.

    Returns
    -------
    (n_cells, 13) ndarray of float64
        A row of NaN where nucleus or cell is missing. Values of the thickness are NaN if no ray
        meets the nucleus, those of its harmonics also if there is no cytoplasm, and the excess of
        the perimeter if the opening leaves nothing.

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
    >>> round(row["cytoplasm__thickness_median"], 1), row["n_projections"]
    (4.2, 0.0)
    """
    prepared = prepare(image)
    n_cells = masks.n_cells if n_cells is None else n_cells
    nucleus = prepared.regions(masks.nucleus, n_cells)
    cell = prepared.regions(masks.cell, n_cells)
    values = rim_of_cells(
        thickness_profiles(prepared, masks, n_cells),
        nucleus.run_starts,
        nucleus.runs,
        cell.run_starts,
        cell.runs,
        cell.boxes,
    )
    if any(name in wanted for name in PROJECTION_COLUMNS):
        projections(nucleus.run_starts, cell.run_starts, cell.runs, cell.boxes, values)
    return np.asarray(values)
