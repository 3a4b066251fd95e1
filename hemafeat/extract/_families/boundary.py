"""The outline as a curve: Fourier descriptors, bending, moment invariants, box counts."""

from __future__ import annotations

import numpy as np

from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels.boundary import boundary_of_cells
from hemafeat.extract._prepared import Prepared, prepare

_FOURIER = "Granlund, IEEE Trans. Comput. C-21:195 (1972)"
_BENDING = "bending energy: Young, Walker and Bowie, Inf. Control 25:357 (1974)"
_CURVATURE = "circle through three points of a curve (Menger)"
_HU = "skimage.measure.moments_hu; Hu, IRE Trans. Inf. Theory 8:179 (1962)"

_COLUMNS = (
    {
        f"fourier_{k}": Column("1", f"|F_{k}| / |F_1| of the outline as a complex curve", _FOURIER)
        for k in range(2, 8)
    }
    | {
        f"fourier_minus_{k}": Column(
            "1", f"|F_-{k}| / |F_1| of the outline as a complex curve", _FOURIER
        )
        for k in range(1, 6)
    }
    | {
        "bending_energy": Column("px^-2", "mean square of the curvature K", _BENDING),
        "bending_ratio": Column("1", "bending_energy (L / 2 pi)^2, 1 of a circle", _BENDING),
        "n_concave_segments": Column(
            "1", "stretches of negative curvature K with K L / 2 pi below -1/2", _CURVATURE
        ),
        "concave_fraction": Column("1", "share of points with K L / 2 pi below -1/2", _CURVATURE),
        "curvature_min": Column("1", "smallest K L / 2 pi, negative in a bay", _CURVATURE),
        "curvature_max": Column("1", "largest K L / 2 pi", _CURVATURE),
    }
    | {f"hu_{k}": Column("1", f"sign(h) log10 |h| of Hu's moment {k}", _HU) for k in range(1, 8)}
    | {
        "box_dimension": Column(
            "1",
            "slope of log boxes against log 1 / size, boxes of 2, 4, 8 and 16 px",
            "Mandelbrot, The Fractal Geometry of Nature (1982)",
        )
    }
)


@family(
    _COLUMNS,
    masks=("nucleus", "cell"),
    prepared=True,
    reference="Granlund (1972); Hu (1962); Young, Walker and Bowie (1974)",
)
def boundary(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None
) -> np.ndarray:
    """Shape of the outline of a mask, apart from its size, place and direction.

    The outline is the closed polygon through the middles of the pixel edges around the largest
    8-connected part, without its holes. It is run through at constant speed as z = column + i row;
    its Fourier coefficients are integrals over the polygon itself, so that they depend neither on
    where it starts nor on how it is sampled. An n-fold outline shows in F_1+n and F_1-n.

    The curvature at a middle of an edge is that of the circle through it and the points L / 16
    before and behind along the outline of length L, positive where the outline turns inwards.

    Moments after Hu are those of the pixel centres of the whole mask; that of moment 7 changes its
    sign in a mirror. Boxes that hold a pixel with a side on the outside are counted on grids that
    start at each of the four corners of the upright box around the mask, and their mean number is
    used.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8, or Prepared
        Its pixels are not looked at.
    labels : (H, W) ndarray of int
        Regions numbered 1..n_cells; 0 is background.
    n_cells : int, optional
        Number of rows; default is the largest label.

    Returns
    -------
    (n_cells, 25) ndarray of float64
        NaN where a value is undefined: a moment that symmetry makes 0, the dimension of a mask
        less than 16 px wide and high.

    References
    ----------
    .. [1] G. H. Granlund, "Fourier preprocessing for hand print character recognition", IEEE Trans.
       Comput. C-21:195-201, 1972.
    .. [2] M.-K. Hu, "Visual pattern recognition by moment invariants", IRE Trans. Inf. Theory
       8:179-187, 1962.
    .. [3] I. T. Young, J. E. Walker and J. E. Bowie, "An analysis technique for biological shape",
       Information and Control 25:357-370, 1974.
    """
    ready = prepare(image)
    n = int(labels.max()) if n_cells is None else n_cells
    found = ready.regions(labels, n)
    return np.asarray(boundary_of_cells(found.run_starts, found.runs, found.boxes))
