"""The outline as a curve: Fourier descriptors, bending, moment invariants, box counts."""

from __future__ import annotations

import numpy as np

from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels.boundary import COLUMNS, boundary_of_cells
from hemafeat.extract._prepared import Prepared, prepare

_FOURIER = "Granlund, IEEE Trans. Comput. C-21:195 (1972)"
_BENDING = "bending energy: Young, Walker and Bowie, Inf. Control 25:357 (1974)"
_CURVATURE = "circle through three points of a curve (Menger)"
_HU = "skimage.measure.moments_hu; Hu, IRE Trans. Inf. Theory 8:179 (1962)"

_FORWARD = {
    2: "Strength of one inward notch or bulge, as of a kidney.",
    3: "Strength of two bays or bulges on opposite sides, as of a waist.",
    4: "Strength of three bays or bulges around the outline.",
    5: "Strength of four bays or bulges around the outline.",
    6: "Strength of five bays or bulges around the outline.",
    7: "Strength of six bays or bulges around the outline: fine waviness.",
}
_BACKWARD = {
    1: "How oval or two-lobed the outline is: 0 for a circle.",
    2: "How triangular or three-lobed the outline is.",
    3: "How square or four-lobed the outline is.",
    4: "How five-lobed the outline is.",
    5: "How six-lobed the outline is.",
}
_MOMENTS = {
    1: "How spread out the mask is for its size: least (-.80) for a disc.",
    2: "How elongated the mask is, as a power of ten: the more negative, the rounder.",
    3: "How three-cornered the mask is, as a power of ten: the more negative, the less.",
    4: "How lopsided the mask is, as a power of ten: the more negative, the more even.",
    5: "Lopsidedness and corners combined, with a sign for how they lie to each other.",
    6: "Lopsidedness and elongation combined: negative if the mask tapers along its long axis, "
    "positive if across.",
    7: "Handedness of the mask: its sign tells a shape from its mirror image.",
}

_COLUMNS = (
    {
        f"fourier_{k}": Column(
            "1", f"|F_{k}| / |F_1| of the outline as a complex curve", _FOURIER, _FORWARD[k]
        )
        for k in range(2, 8)
    }
    | {
        f"fourier_minus_{k}": Column(
            "1",
            f"|F_-{k}| / |F_1| of the outline as a complex curve; -{k} turns against the outline",
            _FOURIER,
            _BACKWARD[k],
        )
        for k in range(1, 6)
    }
    | {
        "bending_energy": Column(
            "px^-2",
            "mean square of the curvature K",
            _BENDING,
            "How sharply the outline bends on average; small cells bend more than large ones.",
        ),
        "bending_ratio": Column(
            "1",
            "bending_energy (L / 2 pi)^2, 1 for a circle",
            _BENDING,
            "How much more the outline bends than a circle of its length, whatever the size; a "
            "disc of pixels has about 1.1.",
        ),
        "n_concave_segments": Column(
            "1",
            "number of stretches of negative curvature K that reach K L / 2 pi below -1/2",
            _CURVATURE,
            "Number of places where the outline clearly bends inwards, however shallow the notch.",
        ),
        "concave_fraction": Column(
            "1",
            "share of points with K L / 2 pi below -1/2",
            _CURVATURE,
            "Share of the outline that bends inwards.",
        ),
        "curvature_min": Column(
            "1",
            "smallest K L / 2 pi, negative in a bay",
            _CURVATURE,
            "Sharpness of the sharpest notch: the more negative, the sharper.",
        ),
        "curvature_max": Column(
            "1",
            "largest K L / 2 pi",
            _CURVATURE,
            "Sharpness of the sharpest tip; a disc of pixels has about 1.2.",
        ),
    }
    | {
        f"hu_{k}_signed_log": Column(
            "1", f"sign(h) log10 |h| of moment invariant {k} of Hu", _HU, _MOMENTS[k]
        )
        for k in range(1, 8)
    }
    | {
        "box_dimension": Column(
            "1",
            "slope of the log number of boxes against log 1 / size, for sizes 2, 4, 8 and 16 px",
            "Mandelbrot, The Fractal Geometry of Nature (1982)",
            "How ragged the outline is at all scales: 1 for smooth, towards 2 for a frayed one.",
        )
    }
)


@family(
    {name: _COLUMNS[name] for name in COLUMNS},
    masks=("nucleus", "cell"),
    prepared=True,
    # Repeats `shape` and `lobes`; single harmonics and moments say little to a reader.
    default=False,
    reference="Granlund (1972); Hu (1962); Young, Walker and Bowie (1974)",
)
def boundary(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None
) -> np.ndarray:
    """Describe the outline of a mask by Fourier ratios, curvature, moments and box counts.

    The outline is the closed polygon through the midpoints of the pixel edges around the largest
    8-connected part (of equals the first from the top), without its holes. It is traversed at
    constant speed as z = column + i row. Its Fourier coefficients are integrals over the polygon
    itself, so that they depend neither on the starting point nor on sampling. An n-fold outline
    shows in F_1+n and F_1-n.

    The curvature at a midpoint is that of the circle through it and the two points L / 16 before
    and after it, where L is the length of the outline. It is positive where the outline is convex.
    A stretch of negative curvature ends where K L / 2 pi is above -1e-6.

    The moment invariants of Hu are those of the pixel centres of the whole mask, with rows as the
    first coordinate as in scikit-image, given as the sign times the logarithm of the size. All
    moments are far below 1, so that a positive moment is a negative number (the nearer to 0, the
    larger the moment), and a negative moment a positive number. The seventh changes sign in a
    mirror image. For the box dimension, boxes that hold a pixel with an
    edge on the outside are counted on grids that start at each of the four corners of the bounding
    box, and the four counts are averaged.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8, or Prepared
        RGB image. Its pixels are not used.
    labels : (H, W) ndarray of int
        Regions numbered 1..n_cells; 0 is background.
    n_cells : int, optional
        Number of rows of the result. By default the largest label.

    Returns
    -------
    (n_cells, 25) ndarray of float64
        NaN where a value is undefined: the logarithm of a moment that is 0, which symmetry makes
        it, and the box dimension of a mask less than 16 px wide and high.

    References
    ----------
    .. [1] G. H. Granlund, "Fourier preprocessing for hand print character recognition", IEEE Trans.
       Comput. C-21:195-201, 1972.
    .. [2] M.-K. Hu, "Visual pattern recognition by moment invariants", IRE Trans. Inf. Theory
       8:179-187, 1962.
    .. [3] I. T. Young, J. E. Walker and J. E. Bowie, "An analysis technique for biological shape",
       Information and Control 25:357-370, 1974.

    Examples
    --------
    >>> from hemafeat import datasets, extract
    >>> cell = datasets.draw_cell("neutrophil", random_state=2)
    >>> values = extract.boundary(cell.image, cell.nucleus)
    >>> values.shape
    (1, 25)
    >>> row = dict(zip(extract.boundary.facts.columns, values[0].tolist(), strict=True))
    >>> round(row["bending_ratio"], 1), row["n_concave_segments"]
    (5.0, 3.0)
    """
    prepared = prepare(image)
    n_cells = int(labels.max()) if n_cells is None else n_cells
    regions = prepared.regions(labels, n_cells)
    return np.asarray(boundary_of_cells(regions.run_starts, regions.runs, regions.boxes))
