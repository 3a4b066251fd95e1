"""Lobes of the nucleus, its skeleton and its symmetry."""

from __future__ import annotations

import numpy as np

from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels.lobes import COLUMNS, lobes_of_cells
from hemafeat.extract._prepared import Prepared, prepare, squared_depths

_PEAKS = "maxima of the distance transform: Beucher and Lantuejoul (1979)"
_FILAMENT = "filament rule: CAP, Arch. Pathol. Lab. Med. 117:437 (1993)"
_DEPTH = "distance transform: Rosenfeld and Pfaltz, J. ACM 13:471 (1966)"
_THIN = "skimage.morphology.thin; Guo and Hall, Commun. ACM 32:359 (1989)"
_MIRROR = "intersection over union with the mirror image"
_CENTROID = "position of a centroid relative to the region"

_COLUMNS = {
    "n_lobes": Column(
        "1",
        "number of maxima of depth with a link narrower than 3/4 of their width",
        _PEAKS,
        "Number of lobes that a gap or a waist sets apart, even if a bridge of up to three "
        "quarters of their width joins them.",
    ),
    "n_lobes_filament_rule": Column(
        "1",
        "number of maxima of depth with a link narrower than 1/3 of their width",
        _FILAMENT,
        "Number of segments as the filament rule counts them: a bridge of a third of the lobe or "
        "more does not separate; 1 for a band.",
    ),
    "lobe_area_cv": Column(
        "1",
        "population sd / mean of the areas of the lobes",
        _PEAKS,
        "How unequal the lobes are in size: 0 for one lobe or equal lobes.",
    ),
    "largest_lobe_fraction": Column(
        "1", "area of the largest lobe / area", _PEAKS, "Share of the nucleus in its largest lobe."
    ),
    "second_lobe_fraction": Column(
        "1",
        "area of the second largest lobe (0 without one) / area",
        _PEAKS,
        "Share of the nucleus in its second largest lobe.",
    ),
    "narrowest_isthmus_ratio": Column(
        "1",
        "smallest depth of a saddle / depth of its maximum, over all counted maxima but the "
        "deepest; 1 without one",
        _PEAKS,
        "Width of the narrowest bridge in relation to its lobe: near 0 for a filament or separate "
        "lobes, towards 1 for a band or a round nucleus.",
    ),
    "second_narrowest_isthmus_ratio": Column(
        "1",
        "second smallest of these ratios, 1 without one",
        _PEAKS,
        "Relative width of the second narrowest bridge, low only with three lobes or more.",
    ),
    "third_narrowest_isthmus_ratio": Column(
        "1",
        "third smallest of these ratios, 1 without one",
        _PEAKS,
        "Relative width of the third narrowest bridge, low only with four lobes or more.",
    ),
    "inscribed_radius": Column(
        "px", "largest depth R", _DEPTH, "Radius of the largest disc that fits into the nucleus."
    ),
    "inscribed_ratio": Column(
        "1",
        "R / sqrt(A / pi)",
        _DEPTH,
        "How compact the nucleus is: 1 for a disc, low for a band or many lobes.",
    ),
    "depth_mean_ratio": Column(
        "1",
        "mean depth / sqrt(A / pi), 1/3 for a disc",
        _DEPTH,
        "How thick the nucleus is on average for its area: the lower, the more band-like or lobed.",
    ),
    "depth_cv": Column(
        "1",
        "population sd / mean of depth",
        _DEPTH,
        "How unevenly thick the nucleus is: about .7 for a disc and .6 for a band of even width.",
    ),
}
for _percent in (20, 30, 40, 50, 60):
    _COLUMNS[f"core_fraction_r{_percent}"] = Column(
        "1",
        f"share of pixels deeper than 0.{_percent // 10} r, r = sqrt(A / pi)",
        _DEPTH,
        f"Share of the nucleus farther than {_percent} % of its equivalent radius from its edge: "
        "large for a compact nucleus, 0 for a thin band.",
    )
for _percent in (20, 40):
    _COLUMNS[f"n_cores_r{_percent}"] = Column(
        "1",
        f"number of parts deeper than 0.{_percent // 10} r that hold a counted maximum, "
        "r = sqrt(A / pi)",
        _PEAKS,
        f"Number of pieces left after {_percent} % of the equivalent radius is peeled off the "
        "edge: bridges thinner than that no longer connect.",
    )
_COLUMNS |= {
    "skeleton_length": Column(
        "px",
        "sum of the links of 1 and sqrt 2 between pixels of the skeleton",
        _THIN,
        "Total length of the middle line of the nucleus with its branches.",
    ),
    "skeleton_branches": Column(
        "1",
        "number of chains between pixels with more than two links",
        _THIN,
        "Number of branches of the middle line: 1 for a band, more for lobes off its course.",
    ),
    "skeleton_endpoints": Column(
        "1",
        "number of pixels of the skeleton with one link",
        _THIN,
        "Number of free ends of the middle line: 2 for a band, 0 for a ring.",
    ),
    "skeleton_path_length": Column(
        "px",
        "length L of the longest path in the skeleton",
        _THIN,
        "Length of the nucleus along its course, as if it were uncoiled.",
    ),
    "skeleton_path_tortuosity": Column(
        "1",
        "L / distance between the ends of the path",
        _THIN,
        "How far the nucleus is bent back on itself: 1 for straight, high for a U or a coil.",
    ),
    "skeleton_path_slenderness": Column(
        "1",
        "L / mean width w along the path, w = 2 depth",
        _THIN,
        "How many times longer than wide the uncoiled nucleus is: high for bands.",
    ),
    "skeleton_path_turn_net": Column(
        "rad",
        "size of the sum of the signed turns between 8 chords of the path",
        _THIN,
        "How far the nucleus turns to one side in all: about pi for a U, near 0 for an S.",
    ),
    "skeleton_path_turn_total": Column(
        "rad",
        "sum of the sizes of these turns",
        _THIN,
        "How much the nucleus turns in all, to either side: high for a U and for an S.",
    ),
    "skeleton_width_mean": Column(
        "px", "mean w over the skeleton", _THIN, "Mean width of the nucleus along its middle line."
    ),
    "skeleton_width_cv": Column(
        "1",
        "population sd / mean of w over the skeleton",
        _THIN,
        "How unevenly wide the nucleus is: low for a band, high for lobes on filaments.",
    ),
    "skeleton_path_width_cv": Column(
        "1",
        "population sd / mean of w along the path",
        _THIN,
        "How unevenly wide the nucleus is along its course, without side branches.",
    ),
    "skeleton_path_width_ratio": Column(
        "1",
        "smallest w over the path without the first and last fifth (floor(n / 5)) of its n "
        "pixels / largest w",
        _THIN,
        "Width of the tightest waist in relation to the widest place: low for a filament.",
    ),
    "symmetry_major": Column(
        "1",
        "overlap with the mirror image in the major axis, mirrored centres rounded to pixels",
        _MIRROR,
        "How alike the two sides of the long axis are: 1 for mirror images.",
    ),
    "symmetry_minor": Column(
        "1",
        "overlap with the mirror image in the minor axis, mirrored centres rounded to pixels",
        _MIRROR,
        "How alike the two ends of the nucleus are: 1 for mirror images.",
    ),
    "open_angle_from_hull_centroid": Column(
        "deg",
        "widest angle between neighbouring directions of boundary points, seen from the centroid "
        "of the hull",
        _CENTROID,
        "Width of the opening of a horseshoe: small for a nucleus that surrounds its middle.",
    ),
    "depth_at_centroid_ratio": Column(
        "1",
        "depth at the centroid (0 outside the region) / R",
        _DEPTH,
        "Whether the centre of mass lies in thick nucleus (1) or outside it (0), as in a U.",
    ),
    "depth_at_hull_centroid_ratio": Column(
        "1",
        "depth at the centroid of the hull (0 outside the region) / R",
        _DEPTH,
        "Whether the middle of the space that the nucleus encloses is thick nucleus (1) or free "
        "(0).",
    ),
    "centroid_outside_ratio": Column(
        "1",
        "distance of the centroid from the nearest square of a pixel (0 inside one) / sqrt(A / pi)",
        _CENTROID,
        "How far outside the nucleus its centre of mass lies: 0 unless it is a U or a ring.",
    ),
}


@family(
    {name: _COLUMNS[name] for name in COLUMNS},
    masks=("nucleus",),
    prepared=True,
    # core_fraction_r30 repeats depth_mean_ratio.
    default=(
        "*lobe*",
        "*isthmus*",
        "*inscribed*",
        "*depth*",
        "*__core_fraction_r[2456]0",
        "*__n_cores_*",
        "*skeleton*",
        "*symmetry*",
        "*__open_angle*",
        "*outside*",
    ),
    reference="Beucher and Lantuejoul (1979); Guo and Hall, Commun. ACM 32:359 (1989)",
)
def lobes(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None
) -> np.ndarray:
    """Measure the lobes of a nucleus, the links between them, its skeleton and its symmetry.

    The depth of a pixel is the distance of its centre to that of the nearest pixel outside minus
    half a pixel, which is the radius of the largest disc around it. At a centroid it is
    interpolated between the four pixels around, of which those outside have the depth 0. As a
    threshold on depth sinks, maxima appear and join at saddles, the lower one (the later in the
    image, of equals) into the higher. The deepest maximum counts, and every other one whose squared
    depth times pi is at least 2 % of the area. It is a lobe if the depth of its
    saddle is below 3/4 of its own, and a segment in the sense of the filament rule if it is below
    1/3. Separate parts have a saddle of depth 0. The way up from a pixel goes to the deepest of its
    8 neighbours (of equals the first in the image), and so on to a maximum, and from a maximum that
    is no lobe to that beyond its saddle; the pixel belongs to the lobe where it ends. Separate
    parts without a lobe belong to none.

    The skeleton is that of `skimage.morphology.thin`. Two of its pixels are linked if they share an
    edge, or if they share a corner and no third one shares an edge with both. In each part the
    longest path runs from the pixel farthest from the first one to the pixel farthest from that.
    Its chords join every eighth part of its pixels.

    A nucleus is measured in one orientation, so that a turned or mirrored image has the same
    values: of the quarter turns and mirror images of its bounding box that are not taller than wide
    the one whose pixels in raster order, 0 outside and 1 inside, are the smallest number. In
    another orientation the areas of lobes and the skeleton may differ by a few pixels.

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
    (n_cells, 37) ndarray of float64
        NaN where a value is undefined: the tortuosity of a path that ends where it starts, the
        turns of a path shorter than 9 pixels, the symmetry if no axis is longer than the other.

    References
    ----------
    .. [1] S. Beucher and C. Lantuejoul, "Use of watersheds in contour detection", Int. Workshop on
       Image Processing, 1979.
    .. [2] Z. Guo and R. W. Hall, "Parallel thinning with two-subiteration algorithms", Commun. ACM
       32:359-373, 1989.
    .. [3] College of American Pathologists, "Band neutrophil counts are unnecessary for the routine
       evaluation of hospitalized adults", and the criteria for bands it discusses, 1993.

    Examples
    --------
    Two discs of radius 15, linked by a bar 5 px wide:

    >>> import numpy as np
    >>> from hemafeat import extract
    >>> y, x = np.mgrid[:50, :100]
    >>> nucleus = np.minimum(np.hypot(y - 25, x - 25), np.hypot(y - 25, x - 75)) <= 15
    >>> nucleus[23:28, 25:75] = True
    >>> values = extract.lobes(np.zeros((50, 100, 3), np.uint8), nucleus.astype(np.int32))
    >>> values.shape
    (1, 37)
    >>> row = dict(zip(extract.lobes.facts.columns, values[0].tolist(), strict=True))
    >>> row["n_lobes"], round(row["narrowest_isthmus_ratio"], 2)
    (2.0, 0.17)
    """
    prepared = prepare(image)
    n_cells = int(labels.max()) if n_cells is None else n_cells
    regions = prepared.regions(labels, n_cells)
    squared = squared_depths(prepared, labels, n_cells)
    return np.asarray(lobes_of_cells(regions.run_starts, regions.runs, regions.boxes, squared))
