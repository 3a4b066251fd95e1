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
        "1", "number of maxima of depth with a link narrower than 3/4 of their width", _PEAKS
    ),
    "n_segments": Column(
        "1", "number of maxima of depth with a link narrower than 1/3 of their width", _FILAMENT
    ),
    "lobe_area_cv": Column("1", "population sd / mean of the areas of the lobes", _PEAKS),
    "largest_lobe_fraction": Column("1", "area of the largest lobe / area", _PEAKS),
    "second_lobe_fraction": Column(
        "1", "area of the second largest lobe (0 without one) / area", _PEAKS
    ),
    "isthmus_ratio": Column("1", "smallest width of a link / width of its lobe, at most 1", _PEAKS),
    "isthmus_ratio_2": Column("1", "second smallest of these ratios, 1 without one", _PEAKS),
    "isthmus_ratio_3": Column("1", "third smallest of these ratios, 1 without one", _PEAKS),
    "inscribed_radius": Column("px", "largest depth R", _DEPTH),
    "inscribed_ratio": Column("1", "R / sqrt(A / pi)", _DEPTH),
    "depth_mean_ratio": Column("1", "mean depth / sqrt(A / pi), 1/3 for a disc", _DEPTH),
    "depth_cv": Column("1", "population sd / mean of depth", _DEPTH),
    "core_fraction_20": Column("1", "share of pixels deeper than 0.2 sqrt(A / pi)", _DEPTH),
    "core_fraction_30": Column("1", "share of pixels deeper than 0.3 sqrt(A / pi)", _DEPTH),
    "core_fraction_40": Column("1", "share of pixels deeper than 0.4 sqrt(A / pi)", _DEPTH),
    "core_fraction_50": Column("1", "share of pixels deeper than 0.5 sqrt(A / pi)", _DEPTH),
    "core_fraction_60": Column("1", "share of pixels deeper than 0.6 sqrt(A / pi)", _DEPTH),
    "n_cores_20": Column(
        "1", "number of maxima apart where depth is above 0.2 sqrt(A / pi)", _PEAKS
    ),
    "n_cores_40": Column(
        "1", "number of maxima apart where depth is above 0.4 sqrt(A / pi)", _PEAKS
    ),
    "skeleton_length": Column(
        "px", "sum of the links of 1 and sqrt 2 between pixels of the skeleton", _THIN
    ),
    "skeleton_branches": Column(
        "1", "number of chains between pixels with more than two links", _THIN
    ),
    "skeleton_endpoints": Column("1", "number of pixels of the skeleton with one link", _THIN),
    "path_length": Column("px", "longest path L in the skeleton", _THIN),
    "path_tortuosity": Column("1", "L / distance between the ends of the path", _THIN),
    "path_slenderness": Column("1", "L / mean width w along the path, w = 2 depth", _THIN),
    "path_turn": Column("rad", "size of the sum of the turns between 8 chords of the path", _THIN),
    "path_bending": Column("rad", "sum of the sizes of these turns", _THIN),
    "skeleton_width_mean": Column("px", "mean w over the skeleton", _THIN),
    "skeleton_width_cv": Column("1", "population sd / mean of w over the skeleton", _THIN),
    "path_width_cv": Column("1", "population sd / mean of w along the path", _THIN),
    "path_width_ratio": Column("1", "smallest w in the middle 3/5 of the path / largest w", _THIN),
    "symmetry_major": Column("1", "overlap with the mirror image in the major axis", _MIRROR),
    "symmetry_minor": Column("1", "overlap with the mirror image in the minor axis", _MIRROR),
    "horseshoe_angle": Column(
        "deg", "widest angle without boundary, seen from the centroid of the hull", _CENTROID
    ),
    "centroid_depth_ratio": Column("1", "depth at the centroid (0 outside the region) / R", _DEPTH),
    "hull_centroid_depth_ratio": Column("1", "depth at the centroid of the hull / R", _DEPTH),
    "centroid_gap_ratio": Column(
        "1", "distance of the centroid from the nearest pixel / sqrt(A / pi)", _CENTROID
    ),
}


@family(
    {name: _COLUMNS[name] for name in COLUMNS},
    masks=("nucleus",),
    prepared=True,
    reference="Beucher and Lantuejoul (1979); Guo and Hall, Commun. ACM 32:359 (1989)",
)
def lobes(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None
) -> np.ndarray:
    """Measure the lobes of a nucleus, the links between them, its skeleton and its symmetry.

    The depth of a pixel is its distance to the nearest pixel outside minus half a pixel, which is
    the radius of the largest disc around it. As a threshold on depth sinks, maxima appear and join
    at saddles, the lower one (the later in the image, of equals) into the higher. A maximum counts
    if its squared depth times pi is at least 2 % of the area. It is a lobe if the depth of its
    saddle is below 3/4 of its own, and a segment in the sense of the filament rule if it is below
    1/3. Separate parts have a saddle of depth 0. A pixel belongs to the lobe that the steepest way
    up from neighbour to neighbour leads to.

    The skeleton is that of `skimage.morphology.thin`. Two of its pixels are linked if they share an
    edge, or if they share a corner and no third one shares an edge with both. In each part the
    longest path runs from the pixel farthest from the first one to the pixel farthest from that.

    Depths, and with them the number of lobes, do not change when the image is turned or mirrored.
    The areas of lobes and the skeleton may change by a few pixels.

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
    >>> row["n_lobes"], round(row["isthmus_ratio"], 2)
    (2.0, 0.17)
    """
    prepared = prepare(image)
    n_cells = int(labels.max()) if n_cells is None else n_cells
    regions = prepared.regions(labels, n_cells)
    squared = squared_depths(prepared, labels, n_cells)
    return np.asarray(lobes_of_cells(regions.run_starts, regions.runs, regions.boxes, squared))
