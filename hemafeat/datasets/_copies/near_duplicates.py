"""Find images of the same cell that were saved again, rotated, mirrored, cropped or brightened.

The search has two steps. First, each thumbnail is described by 25 numbers that are invariant to
rotation by 90 degrees and mirroring: mirroring changes only signs of coefficients of the cosine
transform, and a rotation also swaps rows and columns. A k-d tree of these numbers finds candidate
pairs, also among crops of the thumbnails, without comparing all pairs. Second, the images of a
candidate pair are aligned and the correlation of their fine structure is computed: two cells of one
type may have the same outline, but not the same chromatin. Both steps are applied to the whole
image and to the square around its cell, which does not move if a copy is cropped off centre.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
import pandas as pd

_CELL_SQUARE = 2.2
"""Side of the square around a cell, in square roots of the area of its dark parts."""

_SEARCH_SIDE = 128
"""Longer side, in px, of the copy of an image in which the cell is searched for."""


def crop_to_cell(image: np.ndarray) -> np.ndarray:
    """Cut the square around the cell from an image.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB image.

    Returns
    -------
    (side, side, 3) ndarray of uint8
        Square around the most saturated region near the centre, with the image mirrored at the
        border. The image itself if there is no such region.
    """
    height, width = image.shape[:2]
    zoom = min(1.0, _SEARCH_SIDE / max(height, width))
    size = max(1, round(width * zoom)), max(1, round(height * zoom))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    saturation = cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_RGB2HSV)[:, :, 1], (0, 0), 1.5)
    _, dark = cv2.threshold(saturation, 0, 255, cv2.THRESH_OTSU)
    n, _, statistics, centroids = cv2.connectedComponentsWithStats(dark)
    if n < 2:
        return image
    areas = statistics[1:, cv2.CC_STAT_AREA].astype(np.float64)
    squared_distances = ((centroids[1:] - np.array(size) / 2) ** 2).sum(axis=1)
    best = 1 + int(np.argmax(areas - 0.15 * squared_distances))
    area = statistics[best, cv2.CC_STAT_AREA]
    if area < 0.01 * small.shape[0] * small.shape[1]:
        return image
    x, y = (centroids[best] + 0.5) / zoom - 0.5
    side = max(8, round(_CELL_SQUARE * float(np.sqrt(area)) / zoom))
    shift = np.array([[1, 0, (side - 1) / 2 - x], [0, 1, (side - 1) / 2 - y]], np.float64)
    return cv2.warpAffine(image, shift, (side, side), borderMode=cv2.BORDER_REFLECT_101)


SIDE = 64
"""Side of a thumbnail, in px."""

SCALES = (1.0, 0.97, 0.94, 0.91, 0.88, 0.85, 0.82, 0.79)
"""Sides of central crops that another image is compared with, as shares of the whole side."""

RADIUS = 0.1
"""Largest distance of the descriptors of a candidate pair."""

NEIGHBOURS = 8
"""Largest number of candidates per image and scale."""

COARSE, DETAIL, SIMILAR = 0.9, 0.7, 0.88
"""Smallest correlations of a pair that shows one cell: of the thumbnails, of their details, and of
the details of the aligned images."""

SIMILAR_ON_BLACK = 0.985
"""`SIMILAR` for two cells on a black background, whose outlines always agree in part."""

PAIR_COLUMNS = ["a", "b", "similarity", "turn", "mirrored", "scale"]
"""Columns of a table of pairs."""

_CELL_CROP = 0.0  # in place of the scale, for candidates found by the squares around their cells
_ALIGNED_SIDE = 128
_ORDERS = 6
_CORNER = 12
_CHUNK = 1024

Reader = Callable[[int], np.ndarray]


def thumbnail(image: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Make a small grey copy of an image.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB image. If its cell lies on a black background, the background is replaced by the mean
        grey value of the cell and the image is cropped to the cell; otherwise the round outline
        would make all cells similar.
    side : int
        Height and width of the copy, in px.

    Returns
    -------
    (side, side) ndarray of uint8
        Grey values.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    border = _border_level(grey)
    if _is_black(border):
        cell = np.abs(grey.astype(np.int16) - int(border)) > 12
        rows, columns = np.flatnonzero(cell.any(axis=1)), np.flatnonzero(cell.any(axis=0))
        if rows.size > 4 and columns.size > 4:
            grey = np.where(cell, grey, np.uint8(grey[cell].mean()))
            grey = grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    small = side <= min(grey.shape)
    mode = cv2.INTER_AREA if small else cv2.INTER_LINEAR
    return cv2.resize(grey, (side, side), interpolation=mode)


def make_thumbnails(image: np.ndarray) -> np.ndarray:
    """Make thumbnails of an image and of the square around its cell: (2, SIDE, SIDE) of uint8."""
    return np.stack([thumbnail(image), thumbnail(crop_to_cell(image))])


def find_near_pairs(thumbnails: np.ndarray, reader: Reader, *, turned: bool = True) -> pd.DataFrame:
    """Find the pairs of images that show one cell.

    Parameters
    ----------
    thumbnails : (n, 2, SIDE, SIDE) ndarray of uint8
        Results of `make_thumbnails`.
    reader : callable
        Function of a position that returns the (H, W, 3) RGB image; called for candidates only.
    turned : bool
        If True, also find images rotated by multiples of 90 degrees or mirrored.

    Returns
    -------
    DataFrame
        One row per pair, sorted: ``a``, ``b``, positions with a < b; ``similarity``, the
        correlation of the details after alignment, from `SIMILAR` to 1; ``mirrored``, True if a is
        mirrored left to right, and ``turn``, the number of counter-clockwise rotations by 90
        degrees that follow, to match b; ``scale``, the share of the side of the larger image that
        the smaller one shows, 1 for pairs found by the squares around their cells.
    """
    pairs: dict[tuple[int, int], tuple[float, int, bool, float]] = {}
    n_trials: dict[tuple[int, int, bool], int] = {}
    for _, i, j, turn, mirrored, scale in sorted(
        [
            *_candidates(thumbnails[:, 0], turned),
            *((*row[:5], _CELL_CROP) for row in _candidates(thumbnails[:, 1], turned, (1.0,))),
        ],
        # Whole images come first, since they also determine the scale.
        key=lambda row: (row[5] == _CELL_CROP, -row[0], *row[1:]),
    ):
        pair = (min(i, j), max(i, j))
        # Neighbouring scales would only repeat the result.
        trial = (*pair, scale == _CELL_CROP)
        if pair in pairs or n_trials.get(trial, 0) == 2:
            continue
        n_trials[trial] = n_trials.get(trial, 0) + 1
        first, second = reader(i), reader(j)
        if scale == _CELL_CROP:
            similarity = detail_correlation(
                _rotate(crop_to_cell(first), turn, mirrored), crop_to_cell(second)
            )
            scale = 1.0
        else:
            similarity = detail_correlation(
                _rotate(first, turn, mirrored), _crop_image(second, scale)
            )
        on_black = all(_is_black(_border_level(image[:, :, 1])) for image in (first, second))
        if similarity < (SIMILAR_ON_BLACK if on_black else SIMILAR):
            continue
        if i > j and turn % 2 and not mirrored:
            turn = 4 - turn
        pairs[pair] = (similarity, turn, mirrored, scale)
    rows = [(*pair, *match) for pair, match in sorted(pairs.items())]
    return pd.DataFrame(rows, columns=PAIR_COLUMNS).astype(
        {"a": np.int64, "b": np.int64, "similarity": float, "turn": np.int64, "mirrored": bool}
    )


def detail_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Align two images by translation and return the correlation of their details, -1 to 1.

    Parameters
    ----------
    first, second : (H, W, 3) ndarray of uint8
        RGB images of any size.
    """
    a, b = (
        _band_pass(thumbnail(image, _ALIGNED_SIDE)[None], 1.0, 4.0)[0] for image in (first, second)
    )
    window = cv2.createHanningWindow((_ALIGNED_SIDE, _ALIGNED_SIDE), cv2.CV_32F)
    (dx, dy), _ = cv2.phaseCorrelate(a, b, window)
    best = _correlation(a, b)
    if max(abs(dx), abs(dy)) < _ALIGNED_SIDE / 8:
        shift = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
        size = (_ALIGNED_SIDE, _ALIGNED_SIDE)
        a = cv2.warpAffine(a, shift, size, borderMode=cv2.BORDER_CONSTANT)
        edge = int(np.ceil(max(abs(dx), abs(dy)))) + 1
        best = max(best, _correlation(a[edge:-edge, edge:-edge], b[edge:-edge, edge:-edge]))
    return best


def descriptor(thumbnails: np.ndarray) -> np.ndarray:
    """Describe thumbnails by numbers invariant to 90 degree rotation, mirroring and contrast.

    Parameters
    ----------
    thumbnails : (n, SIDE, SIDE) ndarray
        Grey values.

    Returns
    -------
    (n, 25) ndarray of float32
        Absolute values of low coefficients of the cosine transform, sorted within each pair of
        transposed orders, divided by the root of the energy of the first 12 x 12. NaN for an image
        without contrast.
    """
    from scipy.fft import dctn

    parts = []
    for start in range(0, len(thumbnails), _CHUNK):
        small = thumbnails[start : start + _CHUNK].astype(np.float32)
        low = dctn(small, axes=(1, 2), norm="ortho")[:, :_CORNER, :_CORNER]
        low[:, 0, 0] = 0
        energy = np.sqrt((low**2).sum(axis=(1, 2)))
        energy[energy < SIDE] = np.nan
        magnitude = np.abs(low[:, :_ORDERS, :_ORDERS])
        values = []
        for u, v in _PAIRS:
            values.append(np.maximum(magnitude[:, u, v], magnitude[:, v, u]))
            if u != v:
                values.append(np.minimum(magnitude[:, u, v], magnitude[:, v, u]))
        parts.append(np.stack(values, axis=1) / energy[:, None])
    return np.concatenate(parts) if parts else np.zeros((0, 25), np.float32)


_PAIRS = [(u, v) for u in range(_ORDERS) for v in range(u + 1) if 0 < u + v <= 6]


def _candidates(
    thumbnails: np.ndarray, turned: bool, scales: Sequence[float] = SCALES
) -> Iterator[tuple[float, int, int, int, bool, float]]:
    from scipy.spatial import cKDTree

    whole = descriptor(thumbnails)
    valid = np.flatnonzero(np.isfinite(whole).all(axis=1))
    if valid.size < 2:
        return
    for scale in scales:
        cropped = _crop_thumbnails(thumbnails[valid], scale)
        numbers = descriptor(cropped)
        valid_crops = np.flatnonzero(np.isfinite(numbers).all(axis=1))
        if not valid_crops.size:
            continue
        tree = cKDTree(numbers[valid_crops])
        # One more than needed, since at scale 1 an image is its own nearest neighbour.
        _, neighbours = tree.query(
            whole[valid], k=NEIGHBOURS + 1, distance_upper_bound=RADIUS, workers=1
        )
        rows, columns = np.nonzero(neighbours < valid_crops.size)
        i, j = valid[rows], valid_crops[neighbours[rows, columns]]
        distinct = (i < valid[j]) if scale == 1 else (i != valid[j])
        i, j = i[distinct], j[distinct]
        for start in range(0, len(i), _CHUNK):
            part = slice(start, start + _CHUNK)
            yield from _compare_orientations(thumbnails[i[part]], cropped[j[part]], i[part],
                                             valid[j[part]], turned, scale)  # fmt: skip


def _compare_orientations(
    first: np.ndarray, second: np.ndarray, i: np.ndarray, j: np.ndarray, turned: bool, scale: float
) -> Iterator[tuple[float, int, int, int, bool, float]]:
    coarse, detail = _standardise(_half_size(second)), _standardise(_band_pass(second, 1.0, 4.0))
    best = np.full(len(i), -1.0)
    fine, orientation = best.copy(), np.zeros(len(i), dtype=int)
    for turn in range(4 if turned else 1):
        for mirrored in (False, True) if turned else (False,):
            view = _rotate(first, turn, mirrored, axis=1)
            score = (_standardise(_half_size(view)) * coarse).sum(axis=1)
            better = score > best
            best[better] = score[better]
            orientation[better] = 2 * turn + mirrored
            if better.any():
                details = _standardise(_band_pass(view[better], 1.0, 4.0))
                fine[better] = (details * detail[better]).sum(axis=1)
    for k in np.flatnonzero((best >= COARSE) & (fine >= DETAIL)):
        turn, flip = divmod(int(orientation[k]), 2)
        yield float(fine[k]), int(i[k]), int(j[k]), turn, bool(flip), scale


def _border_level(plane: np.ndarray) -> float:
    return float(np.median(np.concatenate([plane[0], plane[-1], plane[:, 0], plane[:, -1]])))


def _is_black(level: float) -> bool:
    return level <= 8


def _rotate(images: np.ndarray, turn: int, mirrored: bool, axis: int = 0) -> np.ndarray:
    """Mirror left to right, then rotate `turn` times by 90 degrees; rows are `axis`."""
    if mirrored:
        images = np.flip(images, axis=axis + 1)
    return np.ascontiguousarray(np.rot90(images, turn, (axis, axis + 1)))


def _crop_thumbnails(thumbnails: np.ndarray, scale: float) -> np.ndarray:
    """Cut the centre of every thumbnail and resize it to the size of the whole."""
    if scale == 1:
        return thumbnails
    start = (SIDE * (1 - scale) + scale - 1) / 2
    transform = np.array([[scale, 0, start], [0, scale, start]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.stack([cv2.warpAffine(t, transform, (SIDE, SIDE), flags=flags) for t in thumbnails])


def _crop_image(image: np.ndarray, scale: float) -> np.ndarray:
    height, width = image.shape[:2]
    top, left = round(height * (1 - scale) / 2), round(width * (1 - scale) / 2)
    return np.ascontiguousarray(image[top : height - top, left : width - left])


def _half_size(thumbnails: np.ndarray) -> np.ndarray:
    half = SIDE // 2
    return thumbnails.reshape(-1, half, 2, half, 2).mean(axis=(2, 4), dtype=np.float32)


def _band_pass(images: np.ndarray, fine: float, coarse: float) -> np.ndarray:
    """Return the difference of Gaussians of the standard deviations `fine` and `coarse`, in px."""
    planes = images.astype(np.float32)
    return np.stack(
        [cv2.GaussianBlur(p, (0, 0), fine) - cv2.GaussianBlur(p, (0, 0), coarse) for p in planes]
    )


def _standardise(images: np.ndarray) -> np.ndarray:
    flat = images.reshape(len(images), -1).astype(np.float32)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float((_standardise(a[None]) * _standardise(b[None])).sum())
