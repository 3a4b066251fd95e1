"""Texture by local binary patterns: how often each pattern of brighter neighbours occurs."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels import lbp as _kernel
from hemafeat.extract._kernels.lbp_histograms import histograms
from hemafeat.extract._prepared import Prepared, Regions, prepare

CIRCLES = ((8, 1), (16, 2), (24, 3))
"""Points and radius in pixels of each circle: 8 points per pixel of radius."""

METHODS = ("default", "uniform", "nri_uniform")

_OJALA = "Ojala et al. 2002, LBP_{{{},{}}}^{}; skimage.feature.local_binary_pattern"


def _columns() -> dict[str, Column]:
    columns: dict[str, Column] = {}
    source = _OJALA.format(8, 1, "u2")
    for code in range(59):
        columns[f"u2_{code:02d}"] = Column(
            "1", f"share of pixels of code {code} (method nri_uniform), 8 points, radius 1", source
        )
    for points, radius in CIRCLES:
        circle = f"{points} points, radius {radius}"
        source = _OJALA.format(points, radius, "riu2")
        for code in range(points + 2):
            what = f"uniform with {code} ones" if code <= points else "not uniform"
            name = f"riu2_p{points}_{code:0{1 if points == 8 else 2}d}"
            columns[name] = Column(
                "1", f"share of pixels whose pattern is {what}, {circle}", source
            )
    for points, radius in CIRCLES:
        columns[f"entropy_p{points}"] = Column(
            "1",
            f"-sum p log2 p of riu2_p{points}, radius {radius}",
            _OJALA.format(points, radius, "riu2"),
        )
    for points, radius in CIRCLES:
        columns[f"uniform_share_p{points}"] = Column(
            "1",
            f"share of pixels with at most 2 changes around the circle, {points} points, "
            f"radius {radius}; = 1 - riu2_p{points}_{points + 1}",
            _OJALA.format(points, radius, "riu2"),
        )
    return columns


@family(
    _columns(),
    masks=("nucleus", "cell"),
    prepared=True,
    reference="Ojala, Pietikainen and Maenpaa, IEEE Trans. PAMI 24:971-987 (2002)",
)
def lbp(image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None) -> np.ndarray:
    """Histograms of local binary patterns of the grey image inside each cell.

    Each pixel is compared with points on a circle around it; one bit says whether a point is at
    least as bright. A pattern is uniform when its bits change at most twice around the circle.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8, or Prepared
        RGB.
    labels : (H, W) ndarray of int
        Cells 1..n_cells; 0 is background.
    n_cells : int, optional
        Number of rows; the largest label when not given.

    Returns
    -------
    (n_cells, 119) ndarray of float64
        Shares of pixels that sum to 1 within each histogram: ``u2_00`` to ``u2_58`` (8 points at
        radius 1, every uniform pattern on its own, numbered as scikit-image's ``nri_uniform``; 58
        is all the others), ``riu2_p8_*``, ``riu2_p16_*`` and ``riu2_p24_*`` (radius 1, 2 and 3:
        uniform patterns by their number of ones, the last one all the others); then the entropy of
        each ``riu2`` histogram in bits and its share of uniform patterns. A histogram of radius R
        counts the pixels whose square of 2 R + 1 pixels lies in the cell, so that nothing outside
        takes part; its columns are NaN where there is no such pixel.

    Notes
    -----
    Codes are those of `lbp_codes`: moving the image by whole pixels changes nothing, and turning
    it by 90 degrees or mirroring it changes no ``riu2`` share in the last bit.

    References
    ----------
    .. [1] T. Ojala, M. Pietikainen and T. Maenpaa, "Multiresolution gray-scale and rotation
       invariant texture classification with local binary patterns", IEEE Trans. PAMI 24, 971-987,
       2002.
    .. [2] V. Singhal and P. Singh, "Local binary pattern for automatic detection of acute
       lymphoblastic leukemia", NCC 2014.
    """
    prepared = prepare(image)
    n_cells = int(labels.max()) if n_cells is None else n_cells
    where = prepared.regions(labels, n_cells)
    fine, middle, coarse = _planes(prepared, labels, n_cells, where)
    return histograms(fine, middle, coarse, where.run_starts, where.runs, where.boxes, _INVARIANT)


def lbp_codes(
    plane: Any,
    n_points: int = 8,
    radius: int = 1,
    method: str = "uniform",
    *,
    rounding: str = "exact",
) -> np.ndarray:
    """Local binary pattern of every pixel of a plane.

    Parameters
    ----------
    plane : (H, W) array_like of uint8
        Grey levels; outside the plane they are 0.
    n_points : int
        Points on the circle, 1 to 24. Point 0 lies to the right, the next ones follow
        anti-clockwise.
    radius : int
        Radius of the circle in pixels.
    method : {"default", "uniform", "nri_uniform"}
        The bits as a number; the number of ones of a uniform pattern, else ``n_points + 1``
        (riu2); a number for each uniform pattern, else ``n_points * (n_points - 1) + 2`` (u2). As
        in scikit-image.
    rounding : {"exact", "scikit-image"}
        How a point is compared with its centre where interpolation makes both equal, as in a
        smooth area. ``"exact"`` computes without rounding, so that equal is equal everywhere.
        ``"scikit-image"`` repeats the rounding of `skimage.feature.local_binary_pattern`, which
        depends on the row and column of the pixel, and gives its codes bit for bit (as built for
        x86-64; elsewhere its compiler may fuse products and sums).

    Returns
    -------
    (H, W) ndarray of int32
        Codes.

    Raises
    ------
    ValueError
        A plane that is not two-dimensional uint8, or arguments out of range.

    Notes
    -----
    Positions of points are rounded to 5 decimals, as in scikit-image. For 8 points at radius 1
    both ways of rounding hardly ever differ; for 16 and 24 points they differ in less than one
    pixel of a thousand inside real cells, and in less than one of a hundred of a whole image with
    its smooth background.

    References
    ----------
    .. [1] T. Ojala, M. Pietikainen and T. Maenpaa, IEEE Trans. PAMI 24, 971-987, 2002.
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
        found = _kernel.plane_codes(
            np.pad(grey, int(radius)),
            int(radius),
            *_samples(n_points, int(radius)),
            METHODS.index(method),
        )
    elif rounding == "scikit-image":
        found = _rounded_codes(grey, n_points, int(radius), METHODS.index(method))
    else:
        raise ValueError(f"no rounding {rounding!r}; there are: exact, scikit-image")
    codes: np.ndarray = found
    return codes


def _planes(
    prepared: Prepared, labels: np.ndarray, n_cells: int, where: Regions
) -> tuple[np.ndarray, ...]:
    """Bins of every pixel under `labels`; found once for all masks of an image."""
    masks = prepared.masks
    if masks is None or not (
        labels is masks.nucleus or labels is masks.cell or labels is masks.cytoplasm
    ):
        return tuple(_bins(prepared, where))

    def of_all(cell: Regions) -> np.ndarray:
        if (cell.area > 0).all():
            return _bins(prepared, cell)
        # A nucleus lies in its cell, unless nothing but the nucleus is known.
        return _bins(prepared, cell, prepared.regions(masks.nucleus, n_cells))

    return tuple(prepared.shared("lbp", masks.cell, n_cells, of_all))


def _bins(prepared: Prepared, *covers: Regions) -> np.ndarray:
    """(3, H, W) uint8 bins for each circle, filled where the covers are."""
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
    """Rows and columns of the points from their centre, rounded to 5 decimals."""
    angle = 2 * np.pi * np.arange(n_points, dtype=np.float64) / n_points
    # Scikit-image holds the radius as a 32-bit float, which is exact for whole numbers.
    return np.round(-radius * np.sin(angle), 5), np.round(radius * np.cos(angle), 5)


@cache
def _samples(n_points: int, radius: int) -> tuple[np.ndarray, ...]:
    """`heights`, `points`, `weights` and `parts` of ``_kernels.lbp.bits_of``."""
    rows, columns = (
        np.rint(place * _kernel.ONE).astype(np.int64) for place in _positions(n_points, radius)
    )
    distinct, which = np.unique(rows, return_inverse=True)
    heights = np.stack(np.divmod(distinct, _kernel.ONE), axis=1)
    points = np.stack([which, *np.divmod(columns, _kernel.ONE)], axis=1)
    rest = np.concatenate([heights[:, 1], points[:, 2]])
    nearer = np.minimum(rest, _kernel.ONE - rest)
    # One half would be 32768, which 16 bits do not hold.
    weights = np.minimum(np.rint(nearer * (65536 / _kernel.ONE)), 32767).astype(np.int16)
    low, far = heights[which, 1], points[:, 2]
    up, near = _kernel.ONE - low, _kernel.ONE - far
    parts = np.stack([up * near, up * far, low * near, low * far], axis=1)
    return heights, points, weights, parts


@cache
def _uniform(n_points: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Uniform patterns in ascending order, their number in ``nri_uniform``, their ones."""
    full = (1 << n_points) - 1
    found = {0: (0, 0), full: (n_points * (n_points - 1) + 1, n_points)}
    for ones in range(1, n_points):
        for turn in range(n_points):
            # The first has its ones at points 0, 1, ...; each turn moves them one point down.
            run = (1 << ones) - 1
            pattern = (run >> turn) | (run << (n_points - turn)) & full
            found[pattern] = (1 + (ones - 1) * n_points + turn, ones)
    patterns = np.array(sorted(found), dtype=np.int64)
    numbers, counts = np.array([found[int(pattern)] for pattern in patterns]).T
    return patterns, numbers, counts


def _rounded_codes(grey: np.ndarray, n_points: int, radius: int, method: int) -> np.ndarray:
    """Codes from scikit-image's own fractions, which are those of its absolute coordinates."""
    margin = radius + 1
    padded = np.zeros((grey.shape[0] + 2 * margin, grey.shape[1] + 2 * margin))
    padded[margin:-margin, margin:-margin] = grey
    whole, rest = [], []
    for place, length in zip(_positions(n_points, radius), grey.shape, strict=True):
        at = np.arange(length)[None, :] + place[:, None]
        whole.append(np.floor(place).astype(np.int64))
        rest.append(at - np.floor(at))
    found: np.ndarray = _kernel.rounded_codes(padded, margin, *whole, *rest, method)
    return found


def _fine_table() -> tuple[np.ndarray, np.ndarray]:
    """u2 number of each of the 256 codes of 8 points; rotation-invariant bin of each number."""
    patterns, numbers, ones = _uniform(8)
    table = np.full(256, 58, np.uint8)
    table[patterns] = numbers
    invariant = np.full(59, 9, np.int64)
    invariant[numbers] = ones
    return table, invariant


_FINE, _INVARIANT = _fine_table()
