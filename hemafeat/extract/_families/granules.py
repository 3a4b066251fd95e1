"""Small dark spots of a cell, such as granules, and pale holes: vacuoles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hemafeat.extract._families.granulometry import N_LEVELS
from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels import granules as _kernel
from hemafeat.extract._prepared import OD_MAX, Prepared, prepare

if TYPE_CHECKING:
    from hemafeat.segment import Masks

_TOP_HAT = "top-hat of optical density, Meyer 1979"
_COLOUR = "eosinophilic and basophilic granules, Bain 2015"
_DIAMETER = "equivalent diameter"


def _dark_spots(prefix: str, region: str) -> dict[str, Column]:
    columns = {
        "count": Column(
            "1",
            f"number of dark spots {region}",
            _TOP_HAT,
            f"Number of small dark spots {region}: granules that are resolved one by one, but also "
            "other dark grain; touching granules count as one.",
        ),
        "count_per_area": Column(
            "px^-2",
            f"number of dark spots {region} / area",
            _TOP_HAT,
            f"How closely small dark spots lie {region}.",
        ),
        "cover": Column(
            "1",
            f"share of the area that dark spots cover, {region}",
            _TOP_HAT,
            f"Share of the area under small dark spots {region}: high if granules are many or "
            "coarse.",
        ),
        "diameter_mean": Column(
            "px",
            f"mean of sqrt(4 area / pi) of the dark spots {region}",
            _DIAMETER,
            f"Mean size of the small dark spots {region}: fine or coarse grain.",
        ),
        "diameter_sd": Column(
            "px",
            f"population standard deviation of sqrt(4 area / pi) of the dark spots {region}",
            _DIAMETER,
            f"How unequal the small dark spots {region} are in size.",
        ),
        "od_rise_mean": Column(
            "OD",
            f"mean of OD_G - opening of OD_G over the dark spots {region}",
            _TOP_HAT,
            f"How much denser the small dark spots {region} are than their surroundings.",
        ),
        "reddish_share": Column(
            "1",
            f"share of pixels of dark spots with OD_R < {_kernel.RED} OD_G, {region}",
            _COLOUR,
            f"Share of the small dark spots {region} that look pink, orange or red, as granules of "
            "eosinophils.",
        ),
        "bluish_share": Column(
            "1",
            f"share of pixels of dark spots with OD_R > {_kernel.BLUE} OD_G, {region}",
            _COLOUR,
            f"Share of the small dark spots {region} that look blue or violet, as granules of "
            "basophils.",
        ),
        "red_to_green": Column(
            "1",
            f"sum OD_R / sum OD_G over the dark spots {region}",
            _COLOUR,
            f"Hue of the small dark spots {region}: low for pink, near 1 for blue or violet.",
        ),
        "blue_to_green": Column(
            "1",
            f"sum OD_B / sum OD_G over the dark spots {region}",
            _COLOUR,
            f"Hue of the small dark spots {region}: high for orange or yellow, low for violet.",
        ),
    }
    return {f"{prefix}dark_spot_{name}": column for name, column in columns.items()}


_COLUMNS = (
    _dark_spots("", "in the cytoplasm")
    | _dark_spots("cell__", "in the whole cell")
    | {
        "cell__vacuole_count": Column(
            "1",
            "number of vacuoles in the whole cell",
            _TOP_HAT,
            "Number of round pale holes, in the cytoplasm and over the nucleus.",
        ),
        "cell__vacuole_area_fraction": Column(
            "1",
            "share of the cell that vacuoles cover",
            _TOP_HAT,
            "Share of the cell in round pale holes: high in a foamy cell.",
        ),
        "cell__vacuole_area_max": Column(
            "px^2",
            "area of the largest vacuole, 0 without one",
            _TOP_HAT,
            "Size of the largest round pale hole.",
        ),
    }
)

# The kernel gives contrasts in levels of density.
_SCALES = np.array([OD_MAX / N_LEVELS if "od_rise" in name else 1.0 for name in _kernel.COLUMNS])


@family(
    {name: _COLUMNS[name] for name in _kernel.COLUMNS},
    masks=("cytoplasm", "cell", "nucleus"),
    per_mask=False,
    prepared=True,
    white=True,
    # vacuole_area_fraction repeats vacuole_area_max.
    default=(
        "*dark_spot*",
        "*__vacuole_count",
        "*__vacuole_area_max",
    ),
    reference="Meyer, J. Histochem. Cytochem. 27:128-135 (1979)",
)
def granules(image: np.ndarray | Prepared, masks: Masks, n_cells: int | None = None) -> np.ndarray:
    """Count dark spots and vacuoles and measure their size, density and colour.

    A dark spot is at least 4 connected pixels whose green optical density lies at least 6 levels
    above its opening by a square of 7 x 7 pixels, or four standard deviations of the noise if that
    is more. Granules that are resolved one by one are dark spots, but so is other grain: the
    packed granules of an eosinophil run together, those of a neutrophil are partly too fine, and
    the cytoplasm of a monocyte is grainy. The number is therefore not one of granules.

    A vacuole is a round pale hole: at least 20 connected pixels whose density lies at least 22
    levels below its closing by a square of 29 x 29 pixels and is at most 0.35 of the lower median
    of the cytoplasm. They fill at least half of their bounding box, which is at most twice as long
    as wide, and do not touch the edge of the cell.

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
    (n_cells, 23) ndarray of float64
        For dark spots in the cytoplasm: ``dark_spot_count``, ``dark_spot_count_per_area``,
        ``dark_spot_cover`` (share of the area), mean and standard deviation of their diameter,
        ``dark_spot_od_rise_mean``, ``dark_spot_reddish_share`` and ``dark_spot_bluish_share`` of
        their pixels, and the ratios of their red and blue density to the green one; all but the
        first three are NaN if there is none. The same for the whole cell, since granules of a
        basophil lie over its nucleus; dark clumps of chromatin are counted as well.
        ``vacuole_count``, ``vacuole_area_fraction`` and ``vacuole_area_max``, in the cytoplasm and
        over the nucleus. A row of NaN where a cell has no cytoplasm.

    Notes
    -----
    Openings and thresholds are in 256 levels of density over [0, 1.5]: 6 levels are 0.0352, 22
    levels 0.1289. Openings use the pixels of the cell alone, as in `granulometry`; densities for
    colours are those of the pixels themselves. Spots are 4-connected. The noise is measured by the
    mask 1 -2 1, -2 4 -2, 1 -2 1 [4]_ over the squares of 3 x 3 pixels inside the cell: the lower
    median of the size of its response is 4.05 standard deviations of normal noise. On images of
    camera and JPEG quality as in WBCAtt it rarely exceeds 6 levels. Sizes are in pixels of the
    image and suit images of about 0.1 um per pixel. Thresholds were chosen on the training and
    validation parts of WBCAtt [3]_.

    References
    ----------
    .. [1] F. Meyer, "Iterative image transformations for an automatic screening of cervical
       smears", J. Histochem. Cytochem. 27, 128-135, 1979.
    .. [2] B. J. Bain, "Blood Cells: A Practical Guide", 5th ed., Wiley, 2015.
    .. [3] S. Tsutsui, W. Pang and B. Wen, "WBCAtt: a white blood cell dataset annotated with
       detailed morphological attributes", NeurIPS 2023.
    .. [4] J. Immerkaer, "Fast noise variance estimation", Comput. Vis. Image Underst. 64:300-302,
       1996.

    Examples
    --------
    A cell with three dark spots:

    >>> import numpy as np
    >>> from hemafeat import extract, segment
    >>> y, x = np.mgrid[:80, :80] - 40
    >>> masks = segment.Masks(np.hypot(y, x) <= 35, np.hypot(y, x) <= 15)
    >>> image = np.full((80, 80, 3), 240, np.uint8)
    >>> image[masks.cell > 0] = 180
    >>> image[masks.nucleus > 0] = 60
    >>> for column in (25, 40, 55):
    ...     image[14:17, column : column + 3] = (160, 60, 90)
    >>> values = extract.granules(image, masks)
    >>> values.shape
    (1, 23)
    >>> row = dict(zip(extract.granules.facts.columns, values[0].tolist(), strict=True))
    >>> row["dark_spot_count"], round(row["dark_spot_diameter_mean"], 2)
    (3.0, 3.39)
    """
    prepared = prepare(image)
    n_cells = masks.n_cells if n_cells is None else n_cells
    cell = prepared.regions(masks.cell, n_cells)
    cytoplasm = prepared.regions(masks.cytoplasm, n_cells)
    values = _kernel.measure(
        prepared.levels("od_g", N_LEVELS, masks.cell),
        prepared.rgb,
        prepared.density_lut(masks.cell),
        cell.run_starts,
        cell.runs,
        cell.boxes,
        cytoplasm.run_starts,
        cytoplasm.runs,
    )
    return np.asarray(values * _SCALES)
