"""The nucleus in its cell: size, position, cytoplasm around it and contrast."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from hemafeat.extract._families.colour import lab_of, measure_colour
from hemafeat.extract._families.shape import measure_shape
from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels.region.rays import ray_thickness
from hemafeat.extract._kernels.relation import (
    COLUMNS,
    border_contact,
    relations,
    thickness_statistics,
)
from hemafeat.extract._kernels.shape import AT as SHAPE
from hemafeat.extract._prepared import Prepared, Regions, prepare

if TYPE_CHECKING:
    from hemafeat.segment import Masks

_NC = "nuclear-to-cytoplasmic ratio"
_CIE76 = "CIE 15:2004, CIE 1976 colour difference"
_RAYS = "72 rays from the centroid of the nucleus, at 2.5, 7.5 ... 357.5 degrees"
_POSITION = "position of the nucleus"

_COLUMNS = {
    "nucleus_to_cell_area_ratio": Column(
        "1",
        "area of nucleus / area of cell",
        _NC,
        "Share of the cell that the nucleus fills, from 0 to 1: high in blasts and small "
        "lymphocytes.",
    ),
    "nucleus_to_cytoplasm_area_ratio": Column(
        "1",
        "area of nucleus / area of cytoplasm",
        _NC,
        "Nuclear-to-cytoplasmic ratio in the strict sense; it has no upper bound and is "
        "unreliable where hardly any cytoplasm is seen.",
    ),
    "nucleus_to_cell_diameter_ratio": Column(
        "1",
        "sqrt(area of nucleus / area of cell)",
        _NC,
        "Diameter of the nucleus in relation to that of the cell, as an observer estimates it.",
    ),
    "cytoplasm__area": Column(
        "px^2",
        "number of pixels of the cell without its nucleus",
        _NC,
        "Amount of cytoplasm that is seen beside the nucleus.",
    ),
    "eccentric_position": Column(
        "1",
        "distance between the centroids / equivalent radius of the cell",
        _POSITION,
        "How far the nucleus lies off the middle of the cell: 0 for a central one, high in plasma "
        "cells.",
    ),
    "nucleus__border_contact": Column(
        "1",
        "share of the pixels of the nucleus with a side neighbour outside it that have a pixel "
        "outside the cell at most 2 px away, centre to centre",
        _POSITION,
        "Share of the outline of the nucleus that touches the edge of the cell, with at most 1 px "
        "of cytoplasm between.",
    ),
    "perimeter_ratio": Column(
        "1",
        "Crofton perimeter of nucleus / of cell",
        "ratio of the perimeters",
        "Length of the outline of the nucleus in relation to that of the cell: high for lobed "
        "nuclei, which alone can exceed 1.",
    ),
    "axis_angle": Column(
        "deg",
        "angle between the major axes, 0 to 90",
        "second moments",
        "Whether nucleus and cell are elongated in the same direction (0) or across (90).",
    ),
    "hull_occupancy": Column(
        "1",
        "area of nucleus / area_convex of cell",
        "skimage.measure.regionprops area_convex",
        "Share of the convex outline of the cell that the nucleus fills, which notches of the cell "
        "do not change.",
    ),
    "nucleus__convex_deficiency": Column(
        "1",
        "(area_convex - area) / area_convex of the nucleus",
        "Tavakoli et al., Sci. Rep. 11:19428 (2021)",
        "Share of the convex outline of the nucleus that lies in its bays and gaps; it is 1 minus "
        "the solidity of the nucleus.",
    ),
    "cytoplasm__thickness_from_area": Column(
        "px",
        "area of cytoplasm / mean perimeter of nucleus and cell",
        "area / length of the middle line",
        "Mean thickness of the cytoplasm if it were spread evenly around the nucleus.",
    ),
    "cytoplasm__thickness_mean": Column(
        "px",
        "mean thickness over the directions",
        _RAYS,
        "Mean thickness of the cytoplasm around the nucleus.",
    ),
    "cytoplasm__thickness_min": Column(
        "px",
        "smallest thickness over the directions",
        _RAYS,
        "Thickness of the cytoplasm on its thinnest side: 0 if the nucleus touches the edge.",
    ),
    "cytoplasm__thickness_max": Column(
        "px",
        "largest thickness over the directions",
        _RAYS,
        "Thickness of the cytoplasm on its widest side.",
    ),
    "cytoplasm__thickness_cv": Column(
        "1",
        "sd / mean of thickness over the directions",
        _RAYS,
        "How unevenly the cytoplasm surrounds the nucleus: 0 for an even rim.",
    ),
    "delta_e_nucleus_cytoplasm": Column(
        "CIELAB",
        "distance between the mean L*a*b* of nucleus and cytoplasm",
        _CIE76,
        "How different nucleus and cytoplasm look in colour and lightness; 2 is just visible.",
    ),
    "cytoplasm__delta_e_background": Column(
        "CIELAB",
        "distance of the mean L*a*b* of the cytoplasm from that of the white level",
        _CIE76,
        "How strongly the cytoplasm is stained: near 0 for a clear one.",
    ),
}

_BY_RAYS = [name for name, column in _COLUMNS.items() if column.source == _RAYS]


@family(
    {name: _COLUMNS[name] for name in COLUMNS},
    masks=("cell", "nucleus", "cytoplasm"),
    per_mask=False,
    prepared=True,
    white=True,
    # The other ratios of nucleus to cell repeat the first; convex_deficiency is 1 - solidity.
    default=(
        "cell__nucleus_to_cell_area_ratio",
        "*__eccentric_position",
        "*__border_contact",
        "*__perimeter_ratio",
        "*__axis_angle",
        "*__area",
        "*__thickness_*",
        "*__delta_e_*",
    ),
    # Those that need only what `shape` and `colour` measure.
    fast=(
        "cell__nucleus_to_cell_area_ratio",
        "*__eccentric_position",
        "*__perimeter_ratio",
        "*__axis_angle",
        "*__area",
        "*__thickness_from_area",
        "*__delta_e_*",
    ),
    reference="Tavakoli et al., Sci. Rep. 11:19428 (2021); CIE 15:2004, Colorimetry",
)
def relation(
    image: np.ndarray | Prepared,
    masks: Masks,
    n_cells: int | None = None,
    *,
    wanted: Collection[str] = COLUMNS,
) -> np.ndarray:
    """Relate the nucleus to its cell in size, position and colour.

    The thickness of the cytoplasm is measured along 72 rays from the centroid of the nucleus, at
    2.5, 7.5 ... 357.5 degrees, from the last exit of the ray from the pixels of the nucleus to its
    last exit from those of the cell. Rays that do not meet the
    nucleus do not count; its centroid may lie outside of it. The thickness is 0 where the nucleus
    touches the edge of the cell.

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
    (n_cells, 17) ndarray of float64
        A row of NaN where nucleus or cell is missing. The angle is NaN if either has no major axis
        (a circle), and values of the cytoplasm are NaN if there is none.

    References
    ----------
    .. [1] S. Tavakoli et al., "New segmentation and feature extraction algorithm for
       classification of white blood cells in peripheral smear images", Sci. Rep. 11:19428, 2021.
    .. [2] CIE 15:2004, "Colorimetry", 3rd edition.

    Examples
    --------
    >>> from hemafeat import datasets, extract, segment
    >>> cell = datasets.draw_cell("lymphocyte", random_state=0)
    >>> masks = segment.Masks(cell.cell, cell.nucleus)
    >>> values = extract.relation(cell.image, masks)
    >>> values.shape
    (1, 17)
    >>> row = dict(zip(extract.relation.facts.columns, values[0].tolist(), strict=True))
    >>> round(row["nucleus_to_cell_area_ratio"], 2), round(row["cytoplasm__thickness_mean"], 1)
    (0.83, 4.3)
    """
    prepared = prepare(image)
    n_cells = masks.n_cells if n_cells is None else n_cells
    contact, thickness = np.full(n_cells, np.nan), np.full((n_cells, len(_BY_RAYS)), np.nan)
    if "nucleus__border_contact" in wanted:
        nuclei = prepared.regions(masks.nucleus, n_cells)
        contact = border_contact(masks.nucleus, masks.cell, nuclei.run_starts, nuclei.runs)
    if any(name in wanted for name in _BY_RAYS):
        thickness = thickness_statistics(thickness_profiles(prepared, masks, n_cells))
    return np.asarray(
        relations(
            measure_shape(prepared, masks.nucleus, n_cells),
            measure_shape(prepared, masks.cell, n_cells),
            contact,
            thickness,
            measure_colour(prepared, masks.nucleus, n_cells),
            measure_colour(prepared, masks.cytoplasm, n_cells),
            lab_of(prepared.white(masks.cell)),
        )
    )


def thickness_profiles(image: Prepared, masks: Masks, n_cells: int) -> np.ndarray:
    """Measure the thickness of the cytoplasm in 72 directions, (n_cells, 72), once per image."""
    nucleus = measure_shape(image, masks.nucleus, n_cells)
    boxes = image.regions(masks.cell, n_cells).boxes

    def compute(_: Regions) -> np.ndarray:
        y, x = nucleus[:, SHAPE.centroid_row].copy(), nucleus[:, SHAPE.centroid_column].copy()
        return np.asarray(ray_thickness(masks.nucleus, masks.cell, boxes, y, x))

    return image.shared("thickness", masks.nucleus, n_cells, compute)
