"""Sizes of dark and pale grains: the pattern spectrum of optical density."""

from __future__ import annotations

import numpy as np

from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels import granulometry as _kernel
from hemafeat.extract._prepared import Prepared, prepare

RADII = np.array([1, 2, 3, 4, 6, 8])
"""Radii in pixels of the squares of (2 r + 1) x (2 r + 1) pixels."""

N_LEVELS = 256

_SOURCE = "pattern spectrum, Maragos 1989"
_MOMENTS = "granulometric moments, Dougherty et al. 1992"


def _columns() -> dict[str, Column]:
    found: dict[str, Column] = {}
    for name, operation in (("dark", "opening"), ("pale", "closing")):
        before = 0
        for radius in RADII.tolist():
            found[f"{name}_{radius}"] = Column(
                "1",
                f"sum of |{operation} by r = {before} - {operation} by r = {radius}| over the sum "
                "of the levels of green optical density",
                _SOURCE,
            )
            before = radius
        weights = f"weighted by {name}_r"
        found |= {
            f"{name}_mean": Column("px", f"mean radius {weights}", _MOMENTS),
            f"{name}_sd": Column("px", f"standard deviation of the radius {weights}", _MOMENTS),
            f"{name}_skewness": Column("1", f"m3 / m2^1.5 of the radius {weights}", _MOMENTS),
            f"{name}_entropy": Column(
                "1", f"-sum p log2 p, p = {name}_r over their sum", "Maragos 1989"
            ),
        }
    return found


@family(
    _columns(),
    masks=("nucleus", "cytoplasm"),
    prepared=True,
    white=True,
    reference="Maragos, IEEE Trans. PAMI 11:701-716 (1989)",
)
def granulometry(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None
) -> np.ndarray:
    """How much stain lies in dark grains, and is missing in pale ones, of each size.

    An opening by a square takes away every dark grain the square does not fit into; a closing fills
    the pale ones. Squares of growing size sieve the grains: chromatin clumps and pale nucleoli in
    the nucleus, granules and vacuoles in the cytoplasm.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8, or Prepared
        RGB. The white of a bare image is measured outside `labels`; see `background_white`.
    labels : (H, W) ndarray of int
        Regions numbered 1..n_cells; 0 is background.
    n_cells : int, optional
        Number of rows; default is the largest label.

    Returns
    -------
    (n_cells, 20) ndarray of float64
        ``dark_1`` to ``dark_8``: what openings by squares of side 3, 5, 7, 9, 13 and 17 take away,
        each more than the ones before, as a share of all stain. ``dark_mean``, ``dark_sd``,
        ``dark_skewness`` and ``dark_entropy`` (bits) of the radius with these weights, NaN where
        nothing is taken away (the skewness also where one size takes all). Then the same for
        closings, as a share of all stain too: ``pale_*``. NaN where a mask has no pixel or no stain
        at all.

    Notes
    -----
    Levels are green optical density in 256 bins over [0, 1.5]. Pixels outside the mask are neutral:
    squares are centred in it and cut to it, so that neither background nor the other compartment
    matters. Where a larger square, near a bay of the outline, keeps what a smaller one took, the
    smaller one counts. Mirroring and turning by 90 degrees change nothing; squares are not disks,
    and turning by 45 degrees changes the values a little.

    References
    ----------
    .. [1] P. Maragos, "Pattern spectrum and multiscale shape representation", IEEE Trans. PAMI 11,
       701-716, 1989.
    .. [2] E. R. Dougherty, J. B. Pelz, F. Sand and A. Lent, "Morphological image segmentation by
       local granulometric size distributions", J. Electronic Imaging 1, 46-60, 1992.
    """
    prepared = prepare(image)
    n_cells = int(labels.max()) if n_cells is None else n_cells
    where = prepared.regions(labels, n_cells)
    levels = prepared.levels("od_g", N_LEVELS, labels)
    found = _kernel.volumes(levels, where.run_starts, where.runs, where.boxes, RADII)
    return _kernel.spectra(found, RADII, where.area)
