"""Chromatin of the nucleus: clumps, roughness and pale nucleoli."""

from __future__ import annotations

import numpy as np

from hemafeat.extract._families.granulometry import N_LEVELS
from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels import chromatin as _kernel
from hemafeat.extract._prepared import OD_MAX, Prepared, prepare

_CLUMPS = "chromatin texture, Young et al. 1986"
_NUCLEOLI = "top-hat of optical density, Meyer 1979"

_DECLARED = {
    "clump_fraction": Column("1", "share of pixels with OD_G > mean + sd", _CLUMPS),
    "dense_fraction": Column("1", "share of pixels with OD_G > mean + 1.5 sd", _CLUMPS),
    "clump_count": Column(
        "1",
        f"number of connected parts of {_kernel.SMALLEST_CLUMP} or more pixels with "
        "OD_G > mean + sd",
        _CLUMPS,
    ),
    "clump_density": Column("px^-2", "clump_count over the area", _CLUMPS),
    "clump_area_mean": Column("px^2", "mean area of the clumps", _CLUMPS),
    "heterogeneity": Column(
        "OD", "mean over squares of 3 x 3 pixels inside of the sd of OD_G", _CLUMPS
    ),
    "heterogeneity_relative": Column("1", "heterogeneity / mean of OD_G", _CLUMPS),
    "nucleolus_count": Column("1", "number of pale spots", _NUCLEOLI),
    "nucleolus_area_fraction": Column("1", "share of pixels that lie in pale spots", _NUCLEOLI),
    "nucleolus_area_max": Column(
        "px^2", "area of the largest pale spot, 0 where there is none", _NUCLEOLI
    ),
}
_COLUMNS = {name: _DECLARED[name] for name in _kernel.COLUMNS}


@family(
    _COLUMNS,
    masks=("nucleus",),
    prepared=True,
    white=True,
    reference="Young, Verbeek and Mayall, Cytometry 7:467-474 (1986)",
)
def chromatin(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None
) -> np.ndarray:
    """Measure the chromatin of the nucleus: dense clumps, local roughness and pale nucleoli.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8, or Prepared
        RGB image. The white of a bare array is measured outside `labels`; see `background_white`.
    labels : (H, W) ndarray of int
        Label image of the nuclei: 1 to n_cells, 0 is background.
    n_cells : int, optional
        Number of cells, which is the number of rows returned. By default the largest label.

    Returns
    -------
    (n_cells, 10) ndarray of float64
        ``clump_fraction`` and ``dense_fraction``: shares of the nucleus denser than its mean by one
        and by one and a half standard deviations. ``clump_count``, ``clump_density`` per pixel and
        ``clump_area_mean`` (NaN where there is none) of connected parts of the former.
        ``heterogeneity``: mean standard deviation of squares of 3 x 3 pixels, NaN where none lies
        inside, and ``heterogeneity_relative``: the same divided by the mean density.
        ``nucleolus_count``, ``nucleolus_area_fraction`` and ``nucleolus_area_max``: round pale
        spots of 40 pixels or more. NaN where there is no nucleus.

    Notes
    -----
    Levels are the optical density of green in 256 bins over [0, 1.5]. A pale spot lies 0.1 or more
    below the closing by a square of 17 x 17 pixels within the nucleus, fills at least half of its
    bounding box, which is at most twice as long as wide, and does not touch the edge of the
    nucleus; a vacuole over the nucleus counts as well. Sizes are in pixels and suit images of about
    0.1 um per pixel. Parts are 4-connected.

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
    >>> print(f"{row['clump_fraction']:.1f} {row['heterogeneity']:.2f}")
    0.1 0.07
    """
    prepared = prepare(image)
    n_cells = int(labels.max()) if n_cells is None else n_cells
    regions = prepared.regions(labels, n_cells)
    levels = prepared.levels("od_g", N_LEVELS, labels)
    values = _kernel.measure(
        levels, regions.run_starts, regions.runs, regions.boxes, OD_MAX / N_LEVELS
    )
    return np.asarray(values)
