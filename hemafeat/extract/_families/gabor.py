"""Texture by Gabor filters: the strength of each wavelength and direction."""

from __future__ import annotations

import numpy as np

from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels import gabor as _kernel
from hemafeat.extract._prepared import Prepared, prepare

WAVELENGTHS = (3, 5, 8, 12)
"""Wavelengths in pixels."""

_SOURCE = "Daugman 1985; skimage.filters.gabor_kernel, bandwidth 1"


def _columns() -> dict[str, Column]:
    columns: dict[str, Column] = {}
    for wave in WAVELENGTHS:
        over = f"over the {_kernel.N_ANGLES} angles"
        declared = {
            "mean": Column(
                "OD",
                f"mean of mean_{wave}_* {over}",
                _SOURCE,
                f"How strong structure that repeats every {wave} px or so is, in any direction.",
            ),
            "sd": Column(
                "OD",
                f"mean of sd_{wave}_* {over}",
                _SOURCE,
                f"Whether structure of about {wave} px is strong in some places and weak in "
                f"others.",
            ),
            "anisotropy": Column(
                "1",
                f"(max - min) / mean of mean_{wave}_* {over}",
                _SOURCE,
                f"Whether structure of about {wave} px runs in one direction (high) or in all (0).",
            ),
        }
        for angle in _kernel.ANGLES:
            response = f"the magnitude of the response to waves of {wave} px at {angle} degrees"
            declared[f"mean_{angle:03d}"] = Column(
                "OD",
                f"mean over the mask of {response}",
                _SOURCE,
                f"One of {_kernel.N_ANGLES} strengths that together code the direction of "
                f"structure "
                f"of about {wave} px, in the position in which the cell lies.",
            )
            declared[f"sd_{angle:03d}"] = Column(
                "OD",
                f"standard deviation over the mask of {response}",
                _SOURCE,
                f"One of {_kernel.N_ANGLES} numbers that together code, by direction, how patchy "
                f"structure of about {wave} px is.",
            )
        for name in _kernel.COLUMNS:
            statistic, *angles = name.split("_")
            columns["_".join([statistic, str(wave), *angles])] = declared[name]
    return columns


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
    """Compute the responses to Gabor filters of 4 wavelengths and 6 directions in each mask.

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
    (n_cells, 60) ndarray of float64
        For waves of 3, 5, 8 and 12 pixels the mean magnitude at 0, 30, 60, 90, 120 and 150 degrees,
        its standard deviation at each angle, the mean of both over the angles, and the range of the
        means divided by their mean (NaN where the mask is flat). NaN where a mask has no pixel.

    Notes
    -----
    Filters are applied to the optical density of green less its mean over the mask. Outside the
    mask this is set to 0, so that no pixel there has an influence and the edge adds no step. A
    filter is a wave under a round Gaussian of one octave, cut at three standard deviations, as in
    scikit-image. Rotating the image by 90 degrees moves every column by three angles, and mirroring
    changes the sign of the angle; neither changes statistics over all angles.

    References
    ----------
    .. [1] J. G. Daugman, "Uncertainty relation for resolution in space, spatial frequency, and
       orientation optimized by two-dimensional visual cortical filters", J. Opt. Soc. Am. A 2,
       1160-1169, 1985.

    Examples
    --------
    >>> from hemafeat import datasets, extract
    >>> cell = datasets.draw_cell("neutrophil", random_state=0)
    >>> values = extract.gabor(cell.image, cell.nucleus)
    >>> row = dict(zip(extract.gabor.facts.columns, values[0]))
    >>> print(f"{row['anisotropy_8']:.2f}")
    0.18
    """
    prepared = prepare(image)
    n_cells = int(labels.max()) if n_cells is None else n_cells
    regions = prepared.regions(labels, n_cells)
    values = _kernel.measure(
        prepared.plane("g"),
        prepared.density_lut(labels)[1],
        regions.run_starts,
        regions.runs,
        regions.boxes,
        np.array(WAVELENGTHS, dtype=np.float64),
    )
    return np.asarray(values.reshape(n_cells, -1))
