"""Profiles of density from the middle of nucleus and cell to their edges, and along the axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hemafeat.extract._families.shape import measure_shape
from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels.profile import (
    AT,
    BAND,
    COLUMNS,
    N_SHELLS,
    displacement,
    line_profiles,
    rim_gradients,
    shells,
    surroundings,
)
from hemafeat.extract._kernels.region.distance import depths
from hemafeat.extract._prepared import Prepared, prepare, squared_depths

if TYPE_CHECKING:
    from hemafeat.segment import Masks

_SHELLS = "radial distribution by depth; distance transform, Rosenfeld and Pfaltz (1966)"
_EDGE = "density gradient normal to the contour"
_RING = "perinuclear halo and Golgi zone of haematology"
_HAEMORASIS = "de Almeida et al., Nat. Commun. 14:4378 (2023)"

_CHANNELS = {"r": "R", "g": "G", "b": "B", "mean": "R + G + B"}
_LIGHTS = {"r": "red", "g": "green", "b": "blue", "mean": "red, green and blue"}

_COLUMNS = (
    {
        f"nucleus__radial_od_{k + 1}": Column(
            "OD",
            f"mean OD_G of the nucleus at radius {k}/8 to {k + 1}/8",
            _SHELLS,
            f"Density of the nucleus in shell {k + 1} of 8, from the middle (1) to the edge (8).",
        )
        for k in range(N_SHELLS)
    }
    | {
        "nucleus__radial_cv": Column(
            "1",
            "sd / mean of the 8 means",
            _SHELLS,
            "How unevenly dense the nucleus is from its middle to its edge.",
        ),
        "nucleus__radial_slope": Column(
            "OD",
            "slope of the line through the 8 means, from radius 0 to 1",
            _SHELLS,
            "Positive if the nucleus is denser at its edge, negative if in its middle.",
        ),
        "nucleus__edge_gradient": Column(
            "OD px^-1",
            "(OD_G up to 2 px inside the edge - up to 2 px outside) / distance between the two",
            _EDGE,
            "How sharply the nucleus is set off from the cytoplasm; blur lowers it.",
        ),
        "edge_gradient": Column(
            "OD px^-1",
            "(OD_G 2 to 4 px deep - up to 2 px deep) / distance between the two",
            _EDGE,
            "How fast the density of the cell rises inwards from its edge.",
        ),
        "cytoplasm__perinuclear_od_difference": Column(
            "OD",
            "mean OD_G of cytoplasm up to 0.1 R from the nucleus - that above 0.2 to 0.3 R",
            _RING,
            "Negative if the cytoplasm is paler next to the nucleus than farther out, as in a "
            "perinuclear halo.",
        ),
        "cytoplasm__pale_zone": Column(
            "OD",
            "mean OD_G of cytoplasm up to 0.3 R from the nucleus - that of its palest octant",
            _RING,
            "How much paler the palest eighth around the nucleus is than all of it, as the Golgi "
            "zone of a plasma cell; near 0 if all sides are alike.",
        ),
    }
    | {
        f"{axis}_axis_{name}": Column(
            unit, f"{text} of OD_G along the {axis} axis", _HAEMORASIS, f"{meaning} {line}."
        )
        for axis, line in (
            ("major", "on a line along the cell"),
            ("minor", "on a line across the cell"),
        )
        for name, unit, text, meaning in (
            ("sd", "OD", "population standard deviation", "How much the density varies"),
            ("minimum", "OD", "smallest", "Density of the palest place"),
            ("maximum", "OD", "largest", "Density of the densest place"),
            (
                "variation",
                "1",
                "sum of |steps| / (maximum - minimum)",
                "How often the density goes up and down",
            ),
        )
    }
    | {
        f"{mask}mass_displacement_{c}": Column(
            "1",
            f"distance from the centroid to the centroid weighted by ({_CHANNELS[c]}), divided "
            "by the equivalent diameter",
            _HAEMORASIS,
            f"How much one side of the {part} is brighter than the other in {_LIGHTS[c]} light: 0 "
            "if the stain is even.",
        )
        for mask, part in (("nucleus__", "nucleus"), ("", "cell"))
        for c in ("r", "g", "b", "mean")
    }
)


@family(
    {name: _COLUMNS[name] for name in COLUMNS},
    masks=("cell", "nucleus", "cytoplasm"),
    per_mask=False,
    prepared=True,
    white=True,
    # JPEG changes the largest density along an axis, one pixel of the mask the edge of the nucleus.
    default=(
        "nucleus__radial_*",
        "nucleus__mass_displacement_*",
        "cytoplasm__*",
        "cell__edge_gradient",
        "cell__*_axis_sd",
        "cell__*_axis_minimum",
        "cell__*_axis_variation",
        "cell__mass_displacement_*",
    ),
    reference="de Almeida et al., Nat. Commun. 14:4378 (2023); Rosenfeld and Pfaltz (1966)",
)
def profile(image: np.ndarray | Prepared, masks: Masks, n_cells: int | None = None) -> np.ndarray:
    """Measure green density by depth, across the edges, around the nucleus and along the axes.

    The radius of a pixel of the nucleus is ``1 - d / d_max``, where d is the exact distance of its
    centre to that of the nearest pixel outside: 0 in the deepest pixel, and near 1 along the edge
    whatever the shape. Only pixels of the cell are used: the edge of the nucleus is measured from
    both sides, that of the cell from inside. Whether a pixel lies "up to" so many pixels or so
    much of R from an edge is decided by the distance of its centre to that of the nearest pixel on
    the other side; the distance between two sides by which a gradient is divided is that of their
    mean distances, each less half a pixel, as the edge lies half way. R is the equivalent radius
    of the nucleus. Octants lie around its centroid, between the lines along rows, columns and
    diagonals; a pixel on such a line counts in equal shares on both sides, and an octant with less
    than 1/32 of the pixels does not count.

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
    (n_cells, 30) ndarray of float64
        A row of NaN where there is no cell. Values that need a nucleus or cytoplasm are NaN without
        it, and so are values of regions without a pixel: a small nucleus has empty shells, and no
        cytoplasm within a tenth of a radius of less than 10 px. The lines along the axes are NaN if
        the cell has no axes (a circle).

    Notes
    -----
    Profiles along the axes use the pixel nearest to each whole step from the centroid of the cell,
    and the mean of pixels that are equally near.
    Their variation, which is 1 if density only rises or only falls, replaces the complexity of the
    Fourier transform in the paper [1]_. Displacement is weighted by intensity as in the paper, but
    divided by the diameter.

    References
    ----------
    .. [1] J. G. de Almeida et al., "Computational analysis of peripheral blood smears detects
       disease-associated cytomorphologies", Nat. Commun. 14:4378, 2023.
    .. [2] A. Rosenfeld and J. L. Pfaltz, "Sequential operations in digital picture processing",
       J. ACM 13:471-494, 1966.

    Examples
    --------
    >>> from hemafeat import datasets, extract, segment
    >>> cell = datasets.draw_cell("neutrophil", random_state=0)
    >>> masks = segment.Masks(cell.cell, cell.nucleus)
    >>> values = extract.profile(cell.image, masks)
    >>> values.shape
    (1, 30)
    >>> row = dict(zip(extract.profile.facts.columns, values[0].tolist(), strict=True))
    >>> round(row["nucleus__radial_od_1"], 1), round(row["nucleus__radial_od_8"], 1)
    (1.1, 0.9)
    """
    prepared = prepare(image)
    n_cells = masks.n_cells if n_cells is None else n_cells
    density = prepared.density_lut(masks.cell)[1]
    regions = [prepared.regions(labels, n_cells) for labels in (masks.nucleus, masks.cell)]
    nuclei, cells = regions
    green = prepared.plane("g")
    depth = depths(cells.run_starts, cells.runs, cells.boxes, *green.shape, 2 * BAND + 1)
    nuclear_depth = squared_depths(prepared, masks.nucleus, n_cells)
    cytoplasm = np.ascontiguousarray(masks.cytoplasm, dtype=np.int32)
    labels = np.ascontiguousarray(masks.cell, dtype=np.int32)
    values = np.full((n_cells, len(COLUMNS)), np.nan)
    shells(green, nuclear_depth, nuclei.run_starts, nuclei.runs, density, values)
    surroundings(
        green,
        nuclear_depth,
        cytoplasm,
        nuclei.run_starts,
        nuclei.runs,
        nuclei.boxes,
        density,
        values,
    )
    rim_gradients(green, depth, cells.run_starts, cells.runs, density, values)
    line_profiles(
        green, labels, cells.boxes, measure_shape(prepared, masks.cell, n_cells), density, values
    )
    planes = (prepared.plane("r"), green, prepared.plane("b"))
    for region, column in (
        (nuclei, AT.nucleus__mass_displacement_r),
        (cells, AT.mass_displacement_r),
    ):
        displacement(*planes, region.run_starts, region.runs, region.boxes, column, values)
    values[cells.area == 0] = np.nan
    return values
