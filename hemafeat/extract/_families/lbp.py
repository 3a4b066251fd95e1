"""Texture by local binary patterns: histograms of the patterns of brighter neighbours."""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np

from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels import lbp as _kernel
from hemafeat.extract._prepared import GREY, Prepared, Regions, prepare

CIRCLES = ((8, 1), (16, 2), (24, 3))
"""Number of points and radius in pixels of each circle: 8 points per pixel of radius."""

METHODS = ("default", "uniform", "nri_uniform")

_OJALA = "Ojala et al. 2002, LBP_{{{},{}}}^{}; skimage.feature.local_binary_pattern"


_POINTS = (
    "points at positions rounded to 5 decimals, bilinear, set where at least as bright as the "
    f"centre without rounding; {GREY}"
)


def _columns() -> dict[str, Column]:
    declared: dict[str, Column] = {}
    source = _OJALA.format(8, 1, "u2")
    for code in range(_kernel.N_U2):
        declared[f"u2_{code:02d}"] = Column(
            "1",
            f"share of pixels of code {code} (method nri_uniform), 8 points, radius 1; {_POINTS}",
            source,
            f"One of {_kernel.N_U2} shares that together code the fine texture, such as edges, "
            "corners and spots of one direction; none has a meaning alone.",
        )
    for points, radius in CIRCLES:
        circle = f"{points} points, radius {radius}"
        source = _OJALA.format(points, radius, "riu2")
        for code in range(points + 2):
            pattern = f"uniform with {code} ones" if code <= points else "not uniform"
            name = f"riu2_p{points}_{code:0{1 if points == 8 else 2}d}"
            declared[name] = Column(
                "1",
                f"share of pixels whose pattern is {pattern}, {circle}; {_POINTS}",
                source,
                f"One of {points + 2} shares that together code the texture within {radius} px "
                f"of a "
                "point, from bright spots over edges to dark spots, in whatever direction.",
            )
    for points, radius in CIRCLES:
        declared[f"entropy_p{points}"] = Column(
            "bit",
            f"-sum p log2 p of riu2_p{points}, radius {radius}",
            _OJALA.format(points, radius, "riu2"),
            f"How varied the texture within {radius} px of a point is.",
        )
    for points, radius in CIRCLES:
        declared[f"uniform_share_p{points}"] = Column(
            "1",
            f"share of pixels with at most 2 changes around the circle, {points} points, "
            f"radius {radius}; = 1 - riu2_p{points}_{points + 1}",
            _OJALA.format(points, radius, "riu2"),
            f"How much of the texture within {radius} px of a point is plain edges and spots "
            f"rather "
            "than noise.",
        )
    return {name: declared[name] for name in _kernel.COLUMNS}


@family(
    _columns(),
    masks=("nucleus", "cell"),
    prepared=True,
    # Bins of u2 depend on the direction, and uniform shares repeat a bin of riu2.
    default=(
        "*__riu2_*",
        "*__entropy_*",
    ),
    reference="Ojala, Pietikainen and Maenpaa, IEEE Trans. PAMI 24:971-987 (2002)",
)
def lbp(image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None) -> np.ndarray:
    """Compute histograms of local binary patterns of the grey image inside each cell.

    Each pixel is compared with points on a circle around it; a bit is set where a point is at least
    as bright. A pattern is uniform if its bits change at most twice around the circle. The grey
    image is ``floor((9798 R + 19235 G + 3735 B + 2^14) / 2^15)``.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8, or Prepared
        RGB image.
    labels : (H, W) ndarray of int
        Label image of the cells, or of one of their compartments: 1 to n_cells, 0 is background.
    n_cells : int, optional
        Number of cells, which is the number of rows returned. By default the largest label.

    Returns
    -------
    (n_cells, 119) ndarray of float64
        Shares of pixels that sum to 1 within each histogram: ``u2_00`` to ``u2_58`` (8 points at
        radius 1; each uniform pattern has a bin, numbered as by scikit-image's ``nri_uniform``, and
        58 collects the others), ``riu2_p8_*``, ``riu2_p16_*`` and ``riu2_p24_*`` (radius 1, 2 and
        3; uniform patterns by their number of ones, and the last bin collects the others); then the
        entropy of each ``riu2`` histogram in bits and its share of uniform patterns. A histogram of
        radius R counts the pixels around which a square of side 2 R + 1 lies in the cell, so that
        pixels outside have no influence; its columns are NaN where there is no such pixel.

    Notes
    -----
    Codes are those of `lbp_codes`. Shifting the image by whole pixels does not change any value,
    and rotating it by 90 degrees or mirroring it does not change any ``riu2`` share, not even in
    the last bit.

    References
    ----------
    .. [1] T. Ojala, M. Pietikainen and T. Maenpaa, "Multiresolution gray-scale and rotation
       invariant texture classification with local binary patterns", IEEE Trans. PAMI 24, 971-987,
       2002.
    .. [2] V. Singhal and P. Singh, "Local binary pattern for automatic detection of acute
       lymphoblastic leukemia", NCC 2014.

    Examples
    --------
    >>> from hemafeat import datasets, extract
    >>> cell = datasets.draw_cell("neutrophil", random_state=0)
    >>> values = extract.lbp(cell.image, cell.nucleus)
    >>> row = dict(zip(extract.lbp.facts.columns, values[0]))
    >>> print(f"{row['uniform_share_p8']:.2f} {row['uniform_share_p24']:.1f}")
    0.89 0.6
    """
    prepared = prepare(image)
    n_cells = int(labels.max()) if n_cells is None else n_cells
    regions = prepared.regions(labels, n_cells)
    planes = _bin_planes(prepared, labels, n_cells, regions)
    values = np.full((n_cells, len(_kernel.COLUMNS)), np.nan)
    _kernel.histograms(planes, regions.run_starts, regions.runs, regions.boxes, _INVARIANT, values)
    return values


def _meaning(code: int) -> str:
    if code in (0, 255):
        kind = "dark spots and plain areas" if code else "bright spots"
        return f"How much of the finest texture is {kind}."
    return (
        f"One of 256 shares that together code the finest texture: points of which "
        f"{code.bit_count()} of 8 neighbours are as bright or brighter, on the sides of {code}."
    )


@family(
    {
        f"code_{code:03d}": Column(
            "1",
            f"share of pixels whose 8 bits form the number {code} (method default), 8 points, "
            f"radius 1; {_POINTS}",
            "Ojala et al. 2002, LBP_{8,1}; skimage.feature.local_binary_pattern",
            _meaning(code),
        )
        for code in range(256)
    },
    masks=("nucleus",),
    prepared=True,
    # lbp__u2 holds the same patterns, those that are not uniform in one bin.
    default=False,
    reference="Ojala, Pietikainen and Maenpaa, IEEE Trans. PAMI 24:971-987 (2002)",
)
def lbp256(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None
) -> np.ndarray:
    """Compute the plain histogram of all 256 local binary patterns of the grey image.

    Publications use it as it is, such as [2]_; the columns ``u2`` of `lbp` are the same histogram
    with all patterns that are not uniform in one bin.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8, or Prepared
        RGB image.
    labels : (H, W) ndarray of int
        Label image of the cells, or of one of their compartments: 1 to n_cells, 0 is background.
    n_cells : int, optional
        Number of cells, which is the number of rows returned. By default the largest label.

    Returns
    -------
    (n_cells, 256) ndarray of float64
        Shares of the pixels, which sum to 1. Point 0 is to the right and gives the lowest bit, the
        next ones follow anti-clockwise, see `lbp_codes`. The pixels counted are those around which
        a square of side 3 lies in the mask; NaN where there is none.

    References
    ----------
    .. [1] T. Ojala, M. Pietikainen and T. Maenpaa, "Multiresolution gray-scale and rotation
       invariant texture classification with local binary patterns", IEEE Trans. PAMI 24, 971-987,
       2002.
    .. [2] V. Singhal and P. Singh, "Local binary pattern for automatic detection of acute
       lymphoblastic leukemia", NCC 2014.

    Examples
    --------
    >>> from hemafeat import datasets, extract
    >>> cell = datasets.draw_cell("neutrophil", random_state=0)
    >>> values = extract.lbp256(cell.image, cell.nucleus)
    >>> values.shape, round(float(values.sum()), 6)
    ((1, 256), 1.0)
    """
    prepared = prepare(image)
    n_cells = int(labels.max()) if n_cells is None else n_cells
    grey = prepared.plane("grey")
    codes = _kernel.plane_codes(np.pad(grey, 1), 1, *_samples(8, 1), METHODS.index("default"))
    # The labels around a pixel are equal if their smallest and largest are; outside they are 0.
    padded = np.pad(labels, 1).astype(np.float32)
    square = np.ones((3, 3), np.uint8)
    deep = (cv2.erode(padded, square) == cv2.dilate(padded, square))[1:-1, 1:-1] & (labels > 0)
    bins = (labels[deep].astype(np.int64) - 1) * 256 + codes[deep]
    counts = np.bincount(bins, minlength=256 * n_cells).reshape(n_cells, 256).astype(np.float64)
    total = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)


def lbp_codes(
    plane: Any,
    n_points: int = 8,
    radius: int = 1,
    method: str = "uniform",
    *,
    rounding: str = "exact",
) -> np.ndarray:
    """Compute the local binary pattern of every pixel of a plane.

    Parameters
    ----------
    plane : (H, W) array_like of uint8
        Grey levels; outside the plane they are 0.
    n_points : int
        Number of points on the circle, 1 to 24; 8 by default. Point 0 lies to the right, the next
        ones follow anti-clockwise.
    radius : int
        Radius of the circle in pixels; 1 by default.
    method : {"default", "uniform", "nri_uniform"}
        Codes to return, as in scikit-image. ``"default"``: the bits as a number. ``"uniform"``, the
        default: the number of ones of a uniform pattern, else ``n_points + 1`` (riu2).
        ``"nri_uniform"``: a number for each uniform pattern, else
        ``n_points * (n_points - 1) + 2`` (u2).
    rounding : {"exact", "scikit-image"}
        Arithmetic of the comparison, which matters where a point and its centre are equally bright,
        as in a smooth area. ``"exact"``, the default, computes without rounding, so that ties are
        recognised everywhere. ``"scikit-image"`` repeats the rounding of
        `skimage.feature.local_binary_pattern`, which depends on the row and column of the pixel,
        and returns the same codes bit for bit (as built for x86-64; on other machines its compiler
        may fuse products and sums).

    Returns
    -------
    (H, W) ndarray of int32
        Codes.

    Raises
    ------
    ValueError
        If `plane` is not a two-dimensional uint8 array, or an argument is out of range.

    Notes
    -----
    Positions of points are rounded to 5 decimals, as in scikit-image. For 8 points at radius 1 the
    two kinds of rounding hardly ever differ; for 16 and 24 points they differ in fewer than one in
    a thousand pixels inside real cells, and in fewer than one in a hundred pixels of a whole image
    with its smooth background.

    References
    ----------
    .. [1] T. Ojala, M. Pietikainen and T. Maenpaa, IEEE Trans. PAMI 24, 971-987, 2002.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import extract
    >>> plane = np.array([[1, 1, 5], [1, 3, 5], [1, 1, 5]], np.uint8)
    >>> extract.lbp_codes(plane)  # the centre has a uniform pattern with three brighter points
    array([[3, 6, 1],
           [5, 3, 9],
           [3, 6, 1]], dtype=int32)
    """
    grey = np.asarray(plane)
    if grey.ndim != 2 or grey.size == 0 or grey.dtype != np.uint8:
        raise ValueError(f"expected an (H, W) uint8 plane, got {grey.shape} {grey.dtype}")
    if not 1 <= n_points <= 24:
        raise ValueError(f"n_points is {n_points}, expected 1 to 24")
    if radius < 1 or radius != int(radius):
        raise ValueError(f"radius is {radius}, expected a whole number of at least 1")
    if method not in METHODS:
        raise ValueError(f"no method {method!r}; there are: {', '.join(METHODS)}")
    if rounding == "exact":
        codes = _kernel.plane_codes(
            np.pad(grey, int(radius)),
            int(radius),
            *_samples(n_points, int(radius)),
            METHODS.index(method),
        )
    elif rounding == "scikit-image":
        codes = _rounded_codes(grey, n_points, int(radius), METHODS.index(method))
    else:
        raise ValueError(f"no rounding {rounding!r}; there are: exact, scikit-image")
    return np.asarray(codes)


def _bin_planes(
    prepared: Prepared, labels: np.ndarray, n_cells: int, regions: Regions
) -> np.ndarray:
    """Return planes of bins that cover `labels`; they are shared by all masks of an image."""
    masks = prepared.masks
    if masks is None or not (
        labels is masks.nucleus or labels is masks.cell or labels is masks.cytoplasm
    ):
        return _bins(prepared, regions)

    def compute(cells: Regions) -> np.ndarray:
        if (cells.area > 0).all():
            return _bins(prepared, cells)
        # Nuclei lie in their cells, unless there is a nucleus without a cell.
        return _bins(prepared, cells, prepared.regions(masks.nucleus, n_cells))

    return prepared.shared("lbp", masks.cell, n_cells, compute)


def _bins(prepared: Prepared, *covers: Regions) -> np.ndarray:
    """Return the (3, H, W) uint8 bins of each circle, filled inside the given regions."""
    grey = prepared.plane("grey")
    planes = np.empty((len(CIRCLES), *grey.shape), np.uint8)
    for plane, (n_points, radius) in zip(planes, CIRCLES, strict=True):
        samples = _samples(n_points, radius)
        table = _FINE if n_points == 8 else np.empty(0, np.uint8)
        for cover in covers:
            _kernel.bin_plane(
                grey,
                cover.run_starts,
                cover.runs,
                cover.boxes,
                radius,
                *samples,
                table,
                plane,
            )
    return planes


@cache
def _positions(n_points: int, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of the points relative to the centre, rounded to 5 decimals."""
    angle = 2 * np.pi * np.arange(n_points, dtype=np.float64) / n_points
    # scikit-image stores the radius as a 32-bit float, which is exact for whole numbers.
    return np.round(-radius * np.sin(angle), 5), np.round(radius * np.cos(angle), 5)


@cache
def _samples(n_points: int, radius: int) -> tuple[np.ndarray, ...]:
    """Return `heights`, `points`, `weights` and `parts` of ``_kernels.lbp.compute_bits``."""
    rows, columns = (
        np.rint(offsets * _kernel.ONE).astype(np.int64) for offsets in _positions(n_points, radius)
    )
    distinct, height = np.unique(rows, return_inverse=True)
    heights = np.stack(np.divmod(distinct, _kernel.ONE), axis=1)
    points = np.stack([height, *np.divmod(columns, _kernel.ONE)], axis=1)
    fractions = np.concatenate([heights[:, 1], points[:, 2]])
    farther = np.minimum(fractions, _kernel.ONE - fractions)
    # A weight of one half would be 32768, which does not fit into 16 bits.
    weights = np.minimum(np.rint(farther * (65536 / _kernel.ONE)), 32767).astype(np.int16)
    low, far = heights[height, 1], points[:, 2]
    up, near = _kernel.ONE - low, _kernel.ONE - far
    parts = np.stack([up * near, up * far, low * near, low * far], axis=1)
    return heights, points, weights, parts


@cache
def _uniform(n_points: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the uniform patterns, ascending, their numbers in ``nri_uniform`` and their ones."""
    full = (1 << n_points) - 1
    uniform = {0: (0, 0), full: (n_points * (n_points - 1) + 1, n_points)}
    for ones in range(1, n_points):
        for rotation in range(n_points):
            # The first pattern has its ones at points 0, 1, ...; each rotation moves them by one.
            run = (1 << ones) - 1
            pattern = (run >> rotation) | (run << (n_points - rotation)) & full
            uniform[pattern] = (1 + (ones - 1) * n_points + rotation, ones)
    patterns = np.array(sorted(uniform), dtype=np.int64)
    numbers, counts = np.array([uniform[int(pattern)] for pattern in patterns]).T
    return patterns, numbers, counts


def _rounded_codes(grey: np.ndarray, n_points: int, radius: int, method: int) -> np.ndarray:
    """Return codes with the fractions that scikit-image computes from absolute coordinates."""
    margin = radius + 1
    padded = np.zeros((grey.shape[0] + 2 * margin, grey.shape[1] + 2 * margin))
    padded[margin:-margin, margin:-margin] = grey
    whole, fractions = [], []
    for offsets, length in zip(_positions(n_points, radius), grey.shape, strict=True):
        coordinates = np.arange(length)[None, :] + offsets[:, None]
        whole.append(np.floor(offsets).astype(np.int64))
        fractions.append(coordinates - np.floor(coordinates))
    return np.asarray(_kernel.rounded_codes(padded, margin, *whole, *fractions, method))


def _fine_table() -> tuple[np.ndarray, np.ndarray]:
    """Return the u2 number of each code of 8 points, and the riu2 bin of each number."""
    patterns, numbers, ones = _uniform(8)
    table = np.full(256, _kernel.N_U2 - 1, np.uint8)
    table[patterns] = numbers
    invariant = np.full(_kernel.N_U2, _kernel.N_RIU2_8 - 1, np.int64)
    invariant[numbers] = ones
    return table, invariant


_FINE, _INVARIANT = _fine_table()
