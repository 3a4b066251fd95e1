"""Granules and vacuoles: dark spots and pale holes of a cell."""

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


def _granule_columns(prefix: str, region: str) -> dict[str, Column]:
    columns = {
        "count": Column("1", f"number of granules {region}", _TOP_HAT),
        "density": Column("px^-2", f"number of granules {region} / area", _TOP_HAT),
        "cover": Column("1", f"share of the area that granules cover, {region}", _TOP_HAT),
        "diameter_mean": Column(
            "px", f"mean of sqrt(4 area / pi) of the granules {region}", _DIAMETER
        ),
        "diameter_sd": Column(
            "px", f"standard deviation of sqrt(4 area / pi) of the granules {region}", _DIAMETER
        ),
        "contrast": Column(
            "OD", f"mean of OD_G - opening of OD_G over the granules {region}", _TOP_HAT
        ),
        "red_share": Column(
            "1", f"share of granule pixels with OD_R < {_kernel.RED} OD_G, {region}", _COLOUR
        ),
        "dark_share": Column(
            "1", f"share of granule pixels with OD_R > {_kernel.DARK} OD_G, {region}", _COLOUR
        ),
        "red_to_green": Column("1", f"sum OD_R / sum OD_G over the granules {region}", _COLOUR),
        "blue_to_green": Column("1", f"sum OD_B / sum OD_G over the granules {region}", _COLOUR),
    }
    return {prefix + name: column for name, column in columns.items()}


_COLUMNS = (
    _granule_columns("", "in the cytoplasm")
    | _granule_columns("over_cell_", "in the whole cell")
    | {
        "vacuole_count": Column("1", "number of vacuoles in the whole cell", _TOP_HAT),
        "vacuole_area_fraction": Column("1", "share of the cell that vacuoles cover", _TOP_HAT),
        "vacuole_area_max": Column("px^2", "area of the largest vacuole, 0 without one", _TOP_HAT),
    }
)

# The kernel gives contrasts in levels of density.
_SCALES = np.array([OD_MAX / N_LEVELS if "contrast" in name else 1.0 for name in _kernel.COLUMNS])


@family(
    {name: _COLUMNS[name] for name in _kernel.COLUMNS},
    masks=("cytoplasm", "cell", "nucleus"),
    per_mask=False,
    prepared=True,
    white=True,
    reference="Meyer, J. Histochem. Cytochem. 27:128-135 (1979)",
)
def granules(image: np.ndarray | Prepared, masks: Masks, n_cells: int | None = None) -> np.ndarray:
    """Count granules and vacuoles and measure their size, contrast and colour.

    A granule is a small dark spot: at least 4 connected pixels whose green optical density lies at
    least 0.035 above its opening by a square of 7 x 7 pixels. A vacuole is a round pale hole: at
    least 20 connected pixels whose density lies at least 0.129 below its closing by a square of
    29 x 29 pixels and is at most 0.35 of the median of the cytoplasm. They fill at least half of
    their bounding box, which is at most twice as long as wide, and do not touch the edge of the
    cell.

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
        For granules in the cytoplasm: ``count``, ``density`` per pixel, ``cover`` (share of the
        area), mean and standard deviation of their diameter, ``contrast``, ``red_share`` and
        ``dark_share`` of their pixels, and the ratios of their red and blue density to the green
        one; all but the first three are NaN if there is none. The same with ``over_cell_`` for the
        whole cell, since granules of a basophil lie over its nucleus; dark clumps of chromatin are
        counted as well. ``vacuole_count``, ``vacuole_area_fraction`` and ``vacuole_area_max``, in
        the cytoplasm and over the nucleus. A row of NaN where a cell has no cytoplasm.

    Notes
    -----
    Openings and thresholds are in 256 levels of density over [0, 1.5]. Openings use the pixels of
    the cell alone, as in `granulometry`. Sizes are in pixels of the image and suit images of about
    0.1 um per pixel. Spots are 4-connected. Thresholds were chosen on the training and validation
    parts of WBCAtt [3]_.

    References
    ----------
    .. [1] F. Meyer, "Iterative image transformations for an automatic screening of cervical
       smears", J. Histochem. Cytochem. 27, 128-135, 1979.
    .. [2] B. J. Bain, "Blood Cells: A Practical Guide", 5th ed., Wiley, 2015.
    .. [3] S. Tsutsui, W. Pang and B. Wen, "WBCAtt: a white blood cell dataset annotated with
       detailed morphological attributes", NeurIPS 2023.

    Examples
    --------
    A cell with three granules:

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
    >>> row["count"], round(row["diameter_mean"], 2), row["red_share"]
    (3.0, 3.39, 1.0)
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
