"""Size, outline and indentation of nucleus and cell."""

from __future__ import annotations

import numpy as np

from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels.shape import COLUMNS, shape_of_cells
from hemafeat.extract._prepared import Prepared, prepare

_SKIMAGE = "skimage.measure.regionprops"
_HAEMORASIS = "de Almeida et al., Nat. Commun. 14:4378 (2023)"
_BAYS = "convexity defects: Sklansky, IEEE Trans. Comput. C-21:1355 (1972)"

_COLUMNS = {
    "area": Column(
        "px^2",
        "number of pixels A",
        f"{_SKIMAGE} area",
        "Size of the nucleus or cell as it lies on the slide.",
    ),
    "perimeter_crofton": Column(
        "px",
        "P = pi/8 (crossings of rows + columns + diagonals / sqrt 2)",
        "skimage.measure.perimeter_crofton, 4 directions",
        "Length of the outline, with that of holes; it grows with size and with every notch.",
    ),
    "equivalent_diameter_area": Column(
        "px",
        "2 sqrt(A / pi)",
        f"{_SKIMAGE} equivalent_diameter_area",
        "Diameter of a round cell or nucleus of the same area.",
    ),
    "axis_major_length": Column(
        "px",
        "4 sqrt(larger eigenvalue of the covariance)",
        f"{_SKIMAGE} axis_major_length",
        "Length of the cell or nucleus, taken as an ellipse.",
    ),
    "axis_minor_length": Column(
        "px",
        "4 sqrt(smaller eigenvalue of the covariance)",
        f"{_SKIMAGE} axis_minor_length",
        "Width of the cell or nucleus, taken as an ellipse.",
    ),
    "aspect_ratio": Column(
        "1",
        "axis_major_length / axis_minor_length",
        "ratio of the axes",
        "How many times longer than wide: 1 is round, larger is oval or rod-shaped.",
    ),
    "eccentricity": Column(
        "1",
        "sqrt(1 - (minor / major)^2)",
        f"{_SKIMAGE} eccentricity",
        "How oval the shape is, from 0 for round to nearly 1 for a rod.",
    ),
    "elongation": Column(
        "1",
        "1 - minor / major",
        "ratio of the axes",
        "How oval the shape is, from 0 for round to nearly 1 for a rod; it rises more evenly than "
        "the eccentricity.",
    ),
    "circularity": Column(
        "1",
        "4 pi A / P^2",
        "Cox, J. Paleontol. 1:179 (1927)",
        "How round and smooth the outline is: about 1 for a smooth disc, less if it is oval, lobed "
        "or ragged; with this perimeter a square has about .88.",
    ),
    "extent": Column(
        "1",
        "A / area of the bounding box",
        f"{_SKIMAGE} extent",
        "Share of its upright bounding box that the shape fills: .79 for a disc; it also depends "
        "on how the cell is turned.",
    ),
    "area_convex": Column(
        "px^2",
        "number of pixels whose centre lies in the convex hull of the midpoints of pixel edges",
        f"{_SKIMAGE} area_convex",
        "Area after all notches, bays and gaps between lobes are filled by a taut band.",
    ),
    "solidity": Column(
        "1",
        "A / area_convex",
        f"{_SKIMAGE} solidity",
        "How little the outline is indented: 1 without bays, low for a horseshoe or separate "
        "lobes.",
    ),
    "perimeter_convex": Column(
        "px",
        "Crofton perimeter of the pixels of the hull",
        "skimage.measure.perimeter_crofton",
        "Length of a taut band around the shape.",
    ),
    "convexity": Column(
        "1",
        "perimeter_convex / P",
        "ratio of the perimeters",
        "How smooth the outline is: 1 without bays, lower the longer its detours.",
    ),
    "feret_diameter_max": Column(
        "px",
        "largest distance between two edge midpoints of the pixels of the hull",
        f"{_SKIMAGE} feret_diameter_max",
        "Longest diameter that a ruler would measure.",
    ),
    "feret_diameter_min": Column(
        "px",
        "smallest width of the convex hull of the edge midpoints of the pixels of the hull",
        "minimum caliper (Feret)",
        "Narrowest gap between two rulers that the shape would pass.",
    ),
    "feret_ratio": Column(
        "1",
        "feret_diameter_min / feret_diameter_max",
        "ratio of the calipers",
        "How compact the shape is: 1 for round, low for long and narrow.",
    ),
    "rectangularity": Column(
        "1",
        "A / area of the smallest rectangle around the edge midpoints of the pixels of the hull",
        "Rosin, Mach. Vis. Appl. 11:191 (1999)",
        "How nearly the shape is a rectangle at any angle: an ellipse has about .77.",
    ),
    "radial_mean": Column(
        "px",
        "mean distance r of boundary points from the centroid",
        _HAEMORASIS,
        "Mean radius of the outline around its centre.",
    ),
    "radial_sd": Column(
        "px",
        "population standard deviation of r",
        _HAEMORASIS,
        "How much the radius of the outline varies around the centre.",
    ),
    "radial_min": Column(
        "px",
        "smallest r",
        _HAEMORASIS,
        "Distance from the centre to the nearest point of the outline, small at a deep bay.",
    ),
    "radial_max": Column(
        "px",
        "largest r",
        _HAEMORASIS,
        "Distance from the centre to the farthest point of the outline, such as the tip of a lobe.",
    ),
    "circle_variance": Column(
        "1",
        "radial_sd / radial_mean",
        "Peura and Iivarinen (1997)",
        "How far the outline is from a circle, whatever its size: 0 for a circle.",
    ),
    "radial_skewness": Column(
        "1",
        "m3 / m2^1.5 of r",
        _HAEMORASIS,
        "Positive if a few points of the outline lie far out (a tail), negative if a few lie close "
        "to the centre (a notch).",
    ),
    "radial_kurtosis": Column(
        "1",
        "m4 / m2^2 - 3 of r",
        _HAEMORASIS,
        "High if a few points of the outline stand out from an otherwise even radius.",
    ),
    "ellipse_variance": Column(
        "1",
        "sd / mean of the Mahalanobis distance of boundary points",
        "Peura and Iivarinen (1997)",
        "How far the outline is from an ellipse: near 0 for smooth round or oval shapes, high for "
        "lobed or irregular ones.",
    ),
    "n_components": Column(
        "1",
        "number of 8-connected parts above 5 % of A",
        "skimage.measure.label",
        "Number of separate pieces, such as nuclear segments whose filament is not visible.",
    ),
    "euler_number": Column(
        "1",
        "number of 8-connected parts minus holes",
        f"{_SKIMAGE} euler_number",
        "Separate pieces minus holes: 1 for a plain shape, 0 for a ring.",
    ),
    "n_holes": Column(
        "1",
        "number of 4-connected parts of the outside that the mask encloses",
        f"{_SKIMAGE} euler_number",
        "Number of holes, as in a ring-shaped nucleus; a single missing pixel counts too.",
    ),
    "indentation_depth": Column(
        "px",
        "depth of the deepest bay below the sides of the hull that it opens to",
        _BAYS,
        "Depth of the deepest notch, such as that of a kidney-shaped nucleus.",
    ),
    "indentation_ratio": Column(
        "1",
        "indentation_depth / equivalent_diameter_area",
        _BAYS,
        "Depth of the deepest notch in relation to the size.",
    ),
    "n_indentations": Column(
        "1",
        "number of bays deeper than 10 % of equivalent_diameter_area",
        _BAYS,
        "Number of distinct notches of the outline.",
    ),
}


def measure_shape(image: Prepared, labels: np.ndarray, n_cells: int) -> np.ndarray:
    """Measure the shape of every region once per image.

    Returns
    -------
    (n_cells, 37) ndarray of float64
        The columns of `shape`, then the moments of the pixel centres; ``_kernels.shape.AT`` holds
        the index of each.
    """
    return image.shared(
        "shape",
        labels,
        n_cells,
        lambda regions: shape_of_cells(regions.run_starts, regions.runs, regions.boxes),
    )


@family(
    {name: _COLUMNS[name] for name in COLUMNS},
    masks=("nucleus", "cell"),
    prepared=True,
    # The hull of a cell, and its radii, repeat its area and axes; it is hardly ever in parts.
    default=(
        "*__area",
        "*__perimeter_crofton",
        "*__axis_*",
        "*__eccentricity",
        "*__circularity",
        "*__solidity",
        "*__feret_ratio",
        "*__rectangularity",
        "*__radial_sd",
        "*__radial_skewness",
        "*__radial_kurtosis",
        "*__circle_variance",
        "*__ellipse_variance",
        "*__indentation_*",
        "nucleus__*convex*",
        "nucleus__feret_*",
        "nucleus__radial_m*",
        "nucleus__n_components",
        "nucleus__n_indentations",
        "cell__radial_min",
    ),
    fast=True,
    reference="van der Walt et al., PeerJ 2:e453 (2014), scikit-image; Peura and Iivarinen (1997)",
)
def shape(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None
) -> np.ndarray:
    """Measure the size, outline and indentation of a mask.

    Area is the number of pixels, and perimeter is that of Crofton with four directions. Columns
    with a name of scikit-image follow its definition. A mask of several parts, such as the lobes of
    a nucleus, is measured as a whole: the hull encloses all parts, and the boundary is that of all
    of them, holes included.

    Boundary points are the midpoints of the pixel edges between mask and background, which are the
    vertices of the marching-squares contour at 0.5. The hull consists of the pixels whose centre
    lies in the convex hull of these points. Calipers and the smallest rectangle are those of the
    edge midpoints of these pixels in turn, as in scikit-image; they are about 0.4 px wider than
    those of the points themselves.

    A bay is a 4-connected part of the hull outside the mask that opens to the edge of the hull: one
    of the sides of the convex hull of the boundary points lies within 1 px of the centre of one of
    its pixels. Its depth is the largest distance of the centre of a pixel to the nearest of the
    sides that it opens to, not of all sides, plus half a pixel. A gap that is open at both ends is
    as deep as its middle. Parts of the mask are 8-connected, and holes 4-connected.

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
    (n_cells, 32) ndarray of float64
        Lengths in px, areas in px^2. NaN where a value is undefined: ratios of the axes of a
        single pixel, values divided by a width of 0, the skewness of a constant distance.

    References
    ----------
    .. [1] S. van der Walt et al., "scikit-image: image processing in Python", PeerJ 2:e453, 2014.
    .. [2] M. Peura and J. Iivarinen, "Efficiency of simple shape descriptors", Aspects of Visual
       Form, 443-451, 1997.
    .. [3] J. G. de Almeida et al., "Computational analysis of peripheral blood smears detects
       disease-associated cytomorphologies", Nat. Commun. 14:4378, 2023.

    Examples
    --------
    >>> from hemafeat import datasets, extract
    >>> cell = datasets.draw_cell("neutrophil", random_state=2)
    >>> values = extract.shape(cell.image, cell.nucleus)
    >>> values.shape
    (1, 32)
    >>> row = dict(zip(extract.shape.facts.columns, values[0].tolist(), strict=True))
    >>> round(row["solidity"], 2), row["n_indentations"]
    (0.88, 1.0)
    """
    prepared = prepare(image)
    n_cells = int(labels.max()) if n_cells is None else n_cells
    return measure_shape(prepared, labels, n_cells)[:, : len(COLUMNS)].copy()
