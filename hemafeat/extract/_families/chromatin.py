"""Chromatin of the nucleus: dark parts, roughness and pale spots."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from hemafeat.extract._families.granulometry import N_LEVELS
from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels import chromatin as _kernel
from hemafeat.extract._prepared import OD_MAX, Prepared, prepare

_CLUMPS = "chromatin texture, Young et al. 1986"
_PALE = "top-hat of optical density, Meyer 1979"

_DECLARED = {
    "fraction_above_mean_plus_sd": Column(
        "1",
        "share of pixels with OD_G > mean + sd",
        _CLUMPS,
        "Share of the nucleus in its densest chromatin, relative to itself: about 16 % in any "
        "nucleus, less if dense spots are few and strong.",
    ),
    "fraction_above_mean_plus_1_5_sd": Column(
        "1",
        "share of pixels with OD_G > mean + 1.5 sd",
        _CLUMPS,
        "Share of the nucleus in its very densest chromatin, relative to itself: about 7 % in any "
        "nucleus.",
    ),
    "dark_part_count": Column(
        "1",
        f"number of 4-connected parts of {_kernel.SMALLEST_DARK} or more pixels with "
        "OD_G > mean + sd",
        _CLUMPS,
        "Number of separate dark patches of chromatin: many small ones if it is finely divided.",
    ),
    "dark_part_count_per_area": Column(
        "px^-2",
        "dark_part_count / area",
        _CLUMPS,
        "How closely dark patches of chromatin lie: high if it is fine, low if coarse.",
    ),
    "dark_part_area_mean": Column(
        "px^2",
        "mean area of these parts",
        _CLUMPS,
        "Mean size of the dark patches of chromatin: large if it is coarsely clumped.",
    ),
    "heterogeneity": Column(
        "OD",
        "mean over squares of 3 x 3 pixels inside of the population sd of OD_G",
        _CLUMPS,
        "How grainy the chromatin is from pixel to pixel; noise and sharpness of the image raise "
        "it.",
    ),
    "heterogeneity_relative": Column(
        "1",
        "heterogeneity / mean of OD_G",
        _CLUMPS,
        "How grainy the chromatin is in relation to the depth of its stain.",
    ),
    "pale_spot_count": Column(
        "1",
        "number of pale spots",
        _PALE,
        "Number of round pale spots within the nucleus: nucleoli, but also vacuoles and gaps; 0 in "
        "most cells.",
    ),
    "pale_spot_area_fraction": Column(
        "1",
        "share of pixels that lie in pale spots",
        _PALE,
        "Share of the nucleus in round pale spots.",
    ),
    "pale_spot_area_max": Column(
        "px^2",
        "area of the largest pale spot, 0 where there is none",
        _PALE,
        "Size of the largest round pale spot, such as a prominent nucleolus.",
    ),
}
_COLUMNS = {name: _DECLARED[name] for name in _kernel.COLUMNS}


@family(
    _COLUMNS,
    masks=("nucleus",),
    prepared=True,
    white=True,
    # JPEG removes and adds pale spots.
    default=(
        "*__fraction_above_mean_plus_1_5_sd",
        "*__dark_part_count",
        "*__dark_part_area_mean",
        "*__heterogeneity*",
    ),
    reference="Young, Verbeek and Mayall, Cytometry 7:467-474 (1986)",
)
def chromatin(
    image: np.ndarray | Prepared,
    labels: np.ndarray,
    n_cells: int | None = None,
    *,
    wanted: Collection[str] = _kernel.COLUMNS,
) -> np.ndarray:
    """Measure the chromatin of the nucleus: dark parts, local roughness and pale spots.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8, or Prepared
        RGB image. The white of a bare array is measured outside `labels`; see `background_white`.
    labels : (H, W) ndarray of int
        Label image of the nuclei: 1 to n_cells, 0 is background.
    n_cells : int, optional
        Number of cells, which is the number of rows returned. By default the largest label.
    wanted : collection of str
        Names of the columns that are needed; others may be NaN. By default all.

    Returns
    -------
    (n_cells, 10) ndarray of float64
        ``fraction_above_mean_plus_sd`` and ``fraction_above_mean_plus_1_5_sd``: shares of the
        nucleus denser than its mean by one and by one and a half standard deviations.
        ``dark_part_count``, ``dark_part_count_per_area`` and ``dark_part_area_mean`` (NaN where
        there is none) of connected parts of the former.
        ``heterogeneity``: mean standard deviation of squares of 3 x 3 pixels, NaN where none lies
        inside, and ``heterogeneity_relative``: the same divided by the mean density.
        ``pale_spot_count``, ``pale_spot_area_fraction`` and ``pale_spot_area_max``: round pale
        spots of 40 pixels or more. NaN where there is no nucleus.

    Notes
    -----
    All values are those of the optical density of green in 256 levels over [0, 1.5]; the standard
    deviation is that of the population. A pale spot lies 17 levels (0.0996) or more below the
    closing by a square of 17 x 17 pixels within the nucleus, fills at least half of its bounding
    box, which is at most twice as long as wide, and does not touch the edge of the nucleus.
    Nucleoli are such spots, but so are vacuoles over the nucleus and gaps in the chromatin. Sizes
    are in pixels and suit images of about 0.1 um per pixel. Parts are 4-connected.

    References
    ----------
    .. [1] I. T. Young, P. W. Verbeek and B. H. Mayall, "Characterization of chromatin distribution
       in cell nuclei", Cytometry 7, 467-474, 1986.
    .. [2] F. Meyer, "Iterative image transformations for an automatic screening of cervical
       smears", J. Histochem. Cytochem. 27, 128-135, 1979.

    Examples
    --------
    >>> from hemafeat import datasets, extract
    >>> cell = datasets.draw_cell("neutrophil", random_state=0)
    >>> values = extract.chromatin(cell.image, cell.nucleus)
    >>> row = dict(zip(extract.chromatin.facts.columns, values[0]))
    >>> print(f"{row['fraction_above_mean_plus_sd']:.1f} {row['heterogeneity']:.2f}")
    0.1 0.07
    """
    prepared = prepare(image)
    n_cells = int(labels.max()) if n_cells is None else n_cells
    regions = prepared.regions(labels, n_cells)
    levels = prepared.levels("od_g", N_LEVELS, labels)
    values = np.full((n_cells, len(_kernel.COLUMNS)), np.nan)
    where = (regions.run_starts, regions.runs, regions.boxes)
    _kernel.measure(levels, *where, OD_MAX / N_LEVELS, values)
    if any(name in wanted for name in _kernel.PALE_COLUMNS):
        _kernel.pale_spots(levels, *where, regions.area, values)
    return values
