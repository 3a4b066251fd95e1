"""Texture by Gabor filters: how much there is of each wavelength and direction."""

from __future__ import annotations

import numpy as np

from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels import gabor as _kernel
from hemafeat.extract._prepared import Prepared, prepare

WAVELENGTHS = (3, 5, 8, 12)
"""In pixels."""

ANGLES = tuple(range(0, 180, 180 // _kernel.N_ANGLES))
"""In degrees: the direction across the waves, clockwise from the rows."""

_SOURCE = "Daugman 1985; skimage.filters.gabor_kernel, bandwidth 1"


def _columns() -> dict[str, Column]:
    found: dict[str, Column] = {}
    for wave in WAVELENGTHS:
        what = f"the magnitude of the response to waves of {wave} px"
        for angle in ANGLES:
            found[f"mean_{wave}_{angle:03d}"] = Column(
                "OD", f"mean over the mask of {what} at {angle} degrees", _SOURCE
            )
        for angle in ANGLES:
            found[f"sd_{wave}_{angle:03d}"] = Column(
                "OD",
                f"standard deviation over the mask of {what} at {angle} degrees",
                _SOURCE,
            )
        over = f"over the {len(ANGLES)} angles"
        found |= {
            f"mean_{wave}": Column("OD", f"mean of mean_{wave}_* {over}", _SOURCE),
            f"sd_{wave}": Column("OD", f"mean of sd_{wave}_* {over}", _SOURCE),
            f"anisotropy_{wave}": Column(
                "1", f"(max - min) / mean of mean_{wave}_* {over}", _SOURCE
            ),
        }
    return found


@family(
    _columns(),
    masks=("nucleus", "cytoplasm"),
    prepared=True,
    white=True,
    default=False,
    reference="Daugman, J. Opt. Soc. Am. A 2:1160-1169 (1985)",
)
def gabor(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None
) -> np.ndarray:
    """Responses of Gabor filters, 4 wavelengths by 6 directions, within each mask.

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
    (n_cells, 60) ndarray of float64
        For waves of 3, 5, 8 and 12 pixels: mean magnitude at 0, 30, 60, 90, 120 and 150 degrees,
        its standard deviation at each, the mean of both over the angles, and the range of the means
        over their mean (NaN where the mask is flat). NaN where a mask has no pixel.

    Notes
    -----
    Filters act on green optical density. Its mean over the mask is taken off, and outside the mask
    it is 0, so that nothing there matters and the edge adds no step. A filter is the wave under a
    round Gaussian of one octave, cut at three standard deviations, as scikit-image makes it.
    Turning by 90 degrees moves every column by three angles, mirroring takes an angle to its
    negative; neither changes what goes over all angles.

    References
    ----------
    .. [1] J. G. Daugman, "Uncertainty relation for resolution in space, spatial frequency, and
       orientation optimized by two-dimensional visual cortical filters", J. Opt. Soc. Am. A 2,
       1160-1169, 1985.
    """
    prepared = prepare(image)
    n_cells = int(labels.max()) if n_cells is None else n_cells
    where = prepared.regions(labels, n_cells)
    found = _kernel.measure(
        prepared.plane("g"),
        prepared.density_lut(labels)[1],
        where.run_starts,
        where.runs,
        where.boxes,
        _WAVELENGTHS,
    )
    return found.reshape(n_cells, -1)


_WAVELENGTHS = np.array(WAVELENGTHS, dtype=np.float64)
