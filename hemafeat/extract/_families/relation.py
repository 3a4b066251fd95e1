"""The nucleus in its cell: ratios, position, cytoplasm around it, contrast to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hemafeat.extract._families.colour import lab_of, measured_colour
from hemafeat.extract._families.shape import measured_shape
from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels.region.rays import border_contact, profiles, thickness
from hemafeat.extract._kernels.relation import relations
from hemafeat.extract._prepared import Prepared, Regions, prepare

if TYPE_CHECKING:
    from hemafeat.segment import Masks

_NC = "nuclear-to-cytoplasmic ratio"
_CIE76 = "CIE 15:2004, CIE 1976 colour difference"
_RAYS = "72 rays from the centroid of the nucleus"

_COLUMNS = {
    "nc_ratio_area": Column("1", "area of nucleus / area of cell", _NC),
    "nc_ratio_cytoplasm": Column("1", "area of nucleus / area of cytoplasm", _NC),
    "nc_ratio_diameter": Column("1", "sqrt(area of nucleus / area of cell)", _NC),
    "cytoplasm_area": Column("px^2", "number of pixels of the cell without its nucleus", _NC),
    "eccentric_position": Column(
        "1", "distance of the centroids / equivalent radius of the cell", "position of the nucleus"
    ),
    "border_contact": Column(
        "1",
        "share of the nucleus' boundary with at most 1 px of cytoplasm outside",
        "position of the nucleus",
    ),
    "perimeter_ratio": Column(
        "1", "Crofton perimeter of nucleus / of cell", "ratio of the perimeters"
    ),
    "axis_angle": Column("deg", "angle between the major axes, 0 to 90", "second moments"),
    "hull_occupancy": Column(
        "1", "area of nucleus / area_convex of cell", "skimage.measure.regionprops area_convex"
    ),
    "roc_fraction": Column(
        "1",
        "(area_convex - area) / area_convex of the nucleus",
        "Tavakoli et al., Sci. Rep. 11:19428 (2021)",
    ),
    "cytoplasm_thickness_area": Column(
        "px", "area of cytoplasm / mean perimeter of nucleus and cell", "area over mid-line"
    ),
    "cytoplasm_thickness_mean": Column("px", "mean thickness over the directions", _RAYS),
    "cytoplasm_thickness_min": Column("px", "smallest thickness over the directions", _RAYS),
    "cytoplasm_thickness_max": Column("px", "largest thickness over the directions", _RAYS),
    "cytoplasm_thickness_cv": Column("1", "sd / mean of thickness over the directions", _RAYS),
    "delta_e_nucleus_cytoplasm": Column(
        "CIELAB", "distance of the mean L*a*b* of nucleus and cytoplasm", _CIE76
    ),
    "delta_e_cytoplasm_background": Column(
        "CIELAB", "distance of the cytoplasm's mean L*a*b* from that of the white level", _CIE76
    ),
}


@family(
    _COLUMNS,
    masks=("cell",),
    per_mask=False,
    prepared=True,
    white=True,
    reference="Tavakoli et al., Sci. Rep. 11:19428 (2021); CIE 15:2004, Colorimetry",
)
def relation(image: np.ndarray | Prepared, masks: Masks, n_cells: int | None = None) -> np.ndarray:
    """How the nucleus lies in its cell.

    The thickness of the cytoplasm is looked at along 72 rays from the centroid of the nucleus:
    from where a ray leaves the nucleus for the last time to where it leaves the cell. Rays that
    do not meet the nucleus (its centroid may lie outside of it) do not count. Where the nucleus
    touches the edge of the cell it is 0.

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
    (n_cells, 17) ndarray of float64
        A row of NaN where nucleus or cell is missing. The angle is NaN where either has no major
        axis (a circle), and what relates to the cytoplasm where there is none.

    References
    ----------
    .. [1] S. Tavakoli et al., "New segmentation and feature extraction algorithm for
       classification of white blood cells in peripheral smear images", Sci. Rep. 11:19428, 2021.
    .. [2] CIE 15:2004, "Colorimetry", 3rd edition.
    """
    ready = prepare(image)
    n = masks.n_cells if n_cells is None else n_cells
    found = ready.regions(masks.nucleus, n)
    return np.asarray(
        relations(
            measured_shape(ready, masks.nucleus, n),
            measured_shape(ready, masks.cell, n),
            border_contact(masks.nucleus, masks.cell, found.run_starts, found.runs),
            thickness(thickness_profiles(ready, masks, n)),
            measured_colour(ready, masks.nucleus, n),
            measured_colour(ready, masks.cytoplasm, n),
            lab_of(ready.white(masks.cell)),
        )
    )


def thickness_profiles(image: Prepared, masks: Masks, n_cells: int) -> np.ndarray:
    """(n_cells, 72) thickness of the cytoplasm by direction, as ``_kernels.rays`` gives it."""
    nucleus = measured_shape(image, masks.nucleus, n_cells)
    boxes = image.regions(masks.cell, n_cells).boxes

    def compute(_: Regions) -> np.ndarray:
        y, x = nucleus[:, 32].copy(), nucleus[:, 33].copy()
        return np.asarray(profiles(masks.nucleus, masks.cell, boxes, y, x))

    return image.shared("thickness", masks.nucleus, n_cells, compute)
