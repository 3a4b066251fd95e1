"""Sizes of dark and pale grains: the pattern spectrum of optical density."""

from __future__ import annotations

import numpy as np

from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels import granulometry as _kernel
from hemafeat.extract._prepared import Prepared, prepare

RADII = np.array([1, 2, 3, 4, 6, 8])
"""Radii r in pixels of the squares of (2 r + 1) x (2 r + 1) pixels."""

N_LEVELS = 256
"""Number of levels of the optical density of green."""

_SOURCE = "pattern spectrum, Maragos 1989"
_MOMENTS = "granulometric moments, Dougherty et al. 1992"


_GRAINS = {
    "dark": "dark grains, such as chromatin clumps or granules",
    "pale": "pale gaps, such as nucleoli, clear zones or vacuoles",
}


def _columns() -> dict[str, Column]:
    columns: dict[str, Column] = {}
    for name, operation in (("dark", "opening"), ("pale", "closing")):
        before = 0
        for radius in RADII.tolist():
            columns[f"{name}_{radius}"] = Column(
                "1",
                f"sum of |{operation} by r = {before} - {operation} by r = {radius}| over the sum "
                "of the levels of green optical density, squares of side 2 r + 1",
                _SOURCE,
                f"Stain of {_GRAINS[name]}, {2 * before + 1} to {2 * radius} px wide, as a "
                f"share of "
                "all stain.",
            )
            before = radius
        weights = f"weighted by {name}_r"
        declared = {
            "mean": Column(
                "px",
                f"mean radius {weights}",
                _MOMENTS,
                f"How large the {_GRAINS[name]}, are on average.",
            ),
            "sd": Column(
                "px",
                f"standard deviation of the radius {weights}",
                _MOMENTS,
                f"How much the {_GRAINS[name]}, differ in size.",
            ),
            "skewness": Column(
                "1",
                f"m3 / m2^1.5 of the radius {weights}",
                _MOMENTS,
                f"Whether most of the {_GRAINS[name]}, are small and a few large (positive).",
            ),
            "entropy": Column(
                "bit",
                f"-sum p log2 p, p = {name}_r over their sum",
                "Maragos 1989",
                f"How evenly the {_GRAINS[name]}, are spread over all sizes.",
            ),
        }
        columns |= {f"{name}_{moment}": declared[moment] for moment in _kernel.MOMENTS}
    return columns


@family(
    _columns(),
    masks=("nucleus", "cytoplasm"),
    prepared=True,
    white=True,
    # Sizes are numbers of pixels: at another scale the columns change.
    default=False,
    reference="Maragos, IEEE Trans. PAMI 11:701-716 (1989)",
)
def granulometry(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None
) -> np.ndarray:
    """Compute the stain in dark grains, and missing in pale grains, by the size of the grains.

    An opening by a square removes every dark grain into which the square does not fit; a closing
    fills the pale ones. Squares of increasing size act as sieves for the grains: chromatin clumps
    and pale nucleoli in the nucleus, granules and vacuoles in the cytoplasm.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8, or Prepared
        RGB image. The white of a bare array is measured outside `labels`; see `background_white`.
    labels : (H, W) ndarray of int
        Label image of the cells, or of one of their compartments: 1 to n_cells, 0 is background.
    n_cells : int, optional
        Number of cells, which is the number of rows returned. By default the largest label.

    Returns
    -------
    (n_cells, 20) ndarray of float64
        ``dark_1`` to ``dark_8``: stain that openings by squares of side 3, 5, 7, 9, 13 and 17
        remove in addition to the smaller ones, as a share of all stain. ``dark_mean``, ``dark_sd``,
        ``dark_skewness`` and ``dark_entropy`` (bits) of the radius with these weights, NaN where
        nothing is removed (the skewness also where all grains have the same size). Then the same
        for closings, also as a share of all stain: ``pale_*``. NaN where a mask has no pixel or no
        stain at all.

    Notes
    -----
    Levels are the optical density of green in 256 bins over [0, 1.5]. Pixels outside the mask have
    no influence: squares are centred in the mask and clipped to it. Where a larger square keeps,
    near a bay of the outline, what a smaller one removes, the smaller one counts. Mirroring the
    image or rotating it by 90 degrees does not change any value. Squares are not disks, and
    rotating by 45 degrees changes the values slightly.

    References
    ----------
    .. [1] P. Maragos, "Pattern spectrum and multiscale shape representation", IEEE Trans. PAMI 11,
       701-716, 1989.
    .. [2] E. R. Dougherty, J. B. Pelz, F. Sand and A. Lent, "Morphological image segmentation by
       local granulometric size distributions", J. Electronic Imaging 1, 46-60, 1992.

    Examples
    --------
    >>> from hemafeat import datasets, extract
    >>> cell = datasets.draw_cell("neutrophil", random_state=0)
    >>> values = extract.granulometry(cell.image, cell.nucleus)
    >>> row = dict(zip(extract.granulometry.facts.columns, values[0]))
    >>> print(f"{row['dark_mean']:.1f} {row['pale_mean']:.1f}")
    5.0 3.1
    """
    prepared = prepare(image)
    n_cells = int(labels.max()) if n_cells is None else n_cells
    regions = prepared.regions(labels, n_cells)
    levels = prepared.levels("od_g", N_LEVELS, labels)
    volumes = _kernel.volumes(levels, regions.run_starts, regions.runs, regions.boxes, RADII)
    return np.asarray(_kernel.spectra(volumes, RADII, regions.area))
