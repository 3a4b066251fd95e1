"""Images of the same cell that are not the same file: saved again, turned, cropped, brightened.

Two steps. A thumbnail gives 25 numbers that do not change when it is turned or mirrored: a flip
changes only the sign of a coefficient of the cosine transform, a quarter turn swaps rows and
columns besides. A tree over these numbers finds few candidates without comparing all pairs, also
among crops of the thumbnails. Then the pictures of a candidate pair are laid over each other, and
what counts is whether their fine structure agrees: two cells of one type may have the same outline,
but not the same chromatin. All of it is done twice: with the image as it is, and with the square
around its cell, which stays where it is when a copy is cut off centre.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
import pandas as pd

_AROUND = 2.2
"""Side of what is shown, in square roots of the area of the cell's dark parts."""

_WORK = 128
"""Pixels along the longer side of the copy that the cell is looked for in."""


def centred(image: np.ndarray) -> np.ndarray:
    """The square around the cell, wherever in the image it lies.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB.

    Returns
    -------
    (side, side, 3) ndarray of uint8
        Around the most saturated region near the middle, `_AROUND` times as wide as it; mirrored
        at the border. The image itself where nothing stands out.
    """
    height, width = image.shape[:2]
    zoom = min(1.0, _WORK / max(height, width))
    size = max(1, round(width * zoom)), max(1, round(height * zoom))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    saturation = cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_RGB2HSV)[:, :, 1], (0, 0), 1.5)
    _, dark = cv2.threshold(saturation, 0, 255, cv2.THRESH_OTSU)
    n, _, facts, places = cv2.connectedComponentsWithStats(dark)
    if n < 2:
        return image
    areas = facts[1:, cv2.CC_STAT_AREA].astype(np.float64)
    away = ((places[1:] - np.array(size) / 2) ** 2).sum(axis=1)
    best = 1 + int(np.argmax(areas - 0.15 * away))
    area = facts[best, cv2.CC_STAT_AREA]
    if area < 0.01 * small.shape[0] * small.shape[1]:
        return image
    x, y = (places[best] + 0.5) / zoom - 0.5
    side = max(8, round(_AROUND * float(np.sqrt(area)) / zoom))
    move = np.array([[1, 0, (side - 1) / 2 - x], [0, 1, (side - 1) / 2 - y]], np.float64)
    return cv2.warpAffine(image, move, (side, side), borderMode=cv2.BORDER_REFLECT_101)


SIDE = 64
"""Side of a thumbnail, px."""

SCALES = (1.0, 0.97, 0.94, 0.91, 0.88, 0.85, 0.82, 0.79)
"""Sides of the middle parts of an image that another may be a crop to, as a share of its own."""

RADIUS = 0.1
NEIGHBOURS = 8
"""How far, and how many at most per image and scale, candidates are."""

COARSE, DETAIL, SIMILAR = 0.9, 0.7, 0.88
"""Correlation of two thumbnails, of their details, and of the details of the aligned pictures, from
which a pair is one cell."""

SIMILAR_ALONE = 0.985
"""The same where both cells were laid on black: what is left of their outlines agrees."""

_CENTRED = 0.0  # stands for the scale of pairs found by the squares around their cells
_FINE = 128
_ORDERS = 6
_CORNER = 12
_CHUNK = 1024

COLUMNS = ["a", "b", "similarity", "turn", "mirrored", "scale"]

Reader = Callable[[int], np.ndarray]


def thumbnail(image: np.ndarray, side: int = SIDE) -> np.ndarray:
    """A small grey copy of an image by which it is recognised.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB. Where a cell was laid on black, the ground takes the mean grey of the cell
        and the view that of its bounding box: the round outline would make all cells alike.
    side : int
        Height and width of the copy.

    Returns
    -------
    (side, side) ndarray of uint8
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    middle = _ground(grey)
    if _is_laid(middle):
        cell = np.abs(grey.astype(np.int16) - int(middle)) > 12
        rows, columns = np.flatnonzero(cell.any(axis=1)), np.flatnonzero(cell.any(axis=0))
        if rows.size > 4 and columns.size > 4:
            grey = np.where(cell, grey, np.uint8(grey[cell].mean()))
            grey = grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    small = side <= min(grey.shape)
    mode = cv2.INTER_AREA if small else cv2.INTER_LINEAR
    return cv2.resize(grey, (side, side), interpolation=mode)


def thumbnails_of(image: np.ndarray) -> np.ndarray:
    """Thumbnails of the whole image and of the square around its cell: (2, SIDE, SIDE) of uint8."""
    return np.stack([thumbnail(image), thumbnail(centred(image))])


def near_pairs(thumbnails: np.ndarray, reader: Reader, *, turned: bool = True) -> pd.DataFrame:
    """Find the pairs of images that show one cell.

    Parameters
    ----------
    thumbnails : (n, 2, SIDE, SIDE) ndarray of uint8
        From `thumbnails_of`.
    reader : callable
        ``reader(i)`` gives image i, (H, W, 3) RGB; called for candidates only.
    turned : bool
        Also find images turned by quarter turns or mirrored.

    Returns
    -------
    DataFrame
        ``a, b``: positions, a < b, each pair once; ``similarity``: correlation of the details of
        the two after alignment, `SIMILAR` to 1; ``turn``, ``mirrored``: a is mirrored left to right
        if so, then turned by so many quarters counter-clockwise, to lie on b; ``scale``: the
        larger of the two shows more around the cell, this share of its side is seen in the other;
        1 for pairs found by the squares around their cells.
        Sorted by a, b.
    """
    best: dict[tuple[int, int], tuple[float, int, bool, float]] = {}
    tried: dict[tuple[int, int, bool], int] = {}
    for _, i, j, turn, mirrored, scale in sorted(
        [
            *_candidates(thumbnails[:, 0], turned),
            *((*found[:5], _CENTRED) for found in _candidates(thumbnails[:, 1], turned, (1.0,))),
        ],
        # What the whole images say goes first: it knows how much of the one is seen in the other.
        key=lambda found: (found[5] == _CENTRED, -found[0], *found[1:]),
    ):
        pair = (min(i, j), max(i, j))
        # The scales next to the best one say the same again.
        often = (*pair, scale == _CENTRED)
        if pair in best or tried.get(often, 0) == 2:
            continue
        tried[often] = tried.get(often, 0) + 1
        one, other = reader(i), reader(j)
        if scale == _CENTRED:
            similarity = agreement(_turned(centred(one), turn, mirrored), centred(other))
            scale = 1.0
        else:
            similarity = agreement(_turned(one, turn, mirrored), _cropped_image(other, scale))
        alone = all(_is_laid(_ground(image[:, :, 1])) for image in (one, other))
        if similarity < (SIMILAR_ALONE if alone else SIMILAR):
            continue
        if i > j and turn % 2 and not mirrored:
            turn = 4 - turn
        best[pair] = (similarity, turn, mirrored, scale)
    rows = [(*pair, *found) for pair, found in sorted(best.items())]
    return pd.DataFrame(rows, columns=COLUMNS).astype(
        {"a": np.int64, "b": np.int64, "similarity": float, "turn": np.int64, "mirrored": bool}
    )


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of the details of two pictures, moved onto each other: -1 to 1.

    Parameters
    ----------
    one, other : (H, W, 3) ndarray of uint8
        RGB, of any size.
    """
    a, b = (_band(thumbnail(image, _FINE)[None], 1.0, 4.0)[0] for image in (one, other))
    window = cv2.createHanningWindow((_FINE, _FINE), cv2.CV_32F)
    (dx, dy), _ = cv2.phaseCorrelate(a, b, window)
    best = _correlation(a, b)
    if max(abs(dx), abs(dy)) < _FINE / 8:
        move = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
        a = cv2.warpAffine(a, move, (_FINE, _FINE), borderMode=cv2.BORDER_CONSTANT)
        edge = int(np.ceil(max(abs(dx), abs(dy)))) + 1
        best = max(best, _correlation(a[edge:-edge, edge:-edge], b[edge:-edge, edge:-edge]))
    return best


def descriptor(thumbnails: np.ndarray) -> np.ndarray:
    """Numbers that stay when an image is turned by quarters, mirrored, or changed in contrast.

    Returns
    -------
    (n, 25) ndarray of float32
        Sizes of low coefficients of the cosine transform, those of one pair of orders sorted, over
        the root of the energy of the first 12 x 12. NaN for an image without contrast.
    """
    from scipy.fft import dctn

    parts = []
    for start in range(0, len(thumbnails), _CHUNK):
        small = thumbnails[start : start + _CHUNK].astype(np.float32)
        low = dctn(small, axes=(1, 2), norm="ortho")[:, :_CORNER, :_CORNER]
        low[:, 0, 0] = 0
        energy = np.sqrt((low**2).sum(axis=(1, 2)))
        energy[energy < SIDE] = np.nan
        size = np.abs(low[:, :_ORDERS, :_ORDERS])
        values = []
        for u, v in _PAIRS:
            values.append(np.maximum(size[:, u, v], size[:, v, u]))
            if u != v:
                values.append(np.minimum(size[:, u, v], size[:, v, u]))
        parts.append(np.stack(values, axis=1) / energy[:, None])
    return np.concatenate(parts) if parts else np.zeros((0, 25), np.float32)


_PAIRS = [(u, v) for u in range(_ORDERS) for v in range(u + 1) if 0 < u + v <= 6]


def _candidates(
    thumbnails: np.ndarray, turned: bool, scales: Sequence[float] = SCALES
) -> Iterator[tuple[float, int, int, int, bool, float]]:
    from scipy.spatial import cKDTree

    whole = descriptor(thumbnails)
    known = np.flatnonzero(np.isfinite(whole).all(axis=1))
    if known.size < 2:
        return
    for scale in scales:
        cropped = _cropped(thumbnails[known], scale)
        numbers = descriptor(cropped)
        some = np.flatnonzero(np.isfinite(numbers).all(axis=1))
        if not some.size:
            continue
        tree = cKDTree(numbers[some])
        # One more than wanted: at scale 1 an image is its own nearest neighbour.
        _, places = tree.query(
            whole[known], k=NEIGHBOURS + 1, distance_upper_bound=RADIUS, workers=1
        )
        rows, columns = np.nonzero(places < some.size)
        i, j = known[rows], some[places[rows, columns]]
        apart = (i < known[j]) if scale == 1 else (i != known[j])
        i, j = i[apart], j[apart]
        for start in range(0, len(i), _CHUNK):
            part = slice(start, start + _CHUNK)
            yield from _compared(thumbnails[i[part]], cropped[j[part]], i[part], known[j[part]],
                                 turned, scale)  # fmt: skip


def _compared(
    one: np.ndarray, other: np.ndarray, i: np.ndarray, j: np.ndarray, turned: bool, scale: float
) -> Iterator[tuple[float, int, int, int, bool, float]]:
    plain, detail = _unit(_halved(other)), _unit(_band(other, 1.0, 4.0))
    best = np.full(len(i), -1.0)
    fine, how = best.copy(), np.zeros(len(i), dtype=int)
    for turn in range(4 if turned else 1):
        for mirrored in (False, True) if turned else (False,):
            view = _turned(one, turn, mirrored, first=1)
            score = (_unit(_halved(view)) * plain).sum(axis=1)
            better = score > best
            best[better] = score[better]
            how[better] = 2 * turn + mirrored
            if better.any():
                fine[better] = (_unit(_band(view[better], 1.0, 4.0)) * detail[better]).sum(axis=1)
    for place in np.flatnonzero((best >= COARSE) & (fine >= DETAIL)):
        turn, flip = divmod(int(how[place]), 2)
        yield float(fine[place]), int(i[place]), int(j[place]), turn, bool(flip), scale


def _ground(plane: np.ndarray) -> float:
    return float(np.median(np.concatenate([plane[0], plane[-1], plane[:, 0], plane[:, -1]])))


def _is_laid(ground: float) -> bool:
    return ground <= 8


def _turned(images: np.ndarray, turn: int, mirrored: bool, first: int = 0) -> np.ndarray:
    """Mirror left to right, then turn by quarters, the axes from `first` on."""
    if mirrored:
        images = np.flip(images, axis=first + 1)
    return np.ascontiguousarray(np.rot90(images, turn, (first, first + 1)))


def _cropped(thumbnails: np.ndarray, scale: float) -> np.ndarray:
    """The middle part of every thumbnail, at the size of the whole."""
    if scale == 1:
        return thumbnails
    start = (SIDE * (1 - scale) + scale - 1) / 2
    middle = np.array([[scale, 0, start], [0, scale, start]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.stack([cv2.warpAffine(t, middle, (SIDE, SIDE), flags=flags) for t in thumbnails])


def _cropped_image(image: np.ndarray, scale: float) -> np.ndarray:
    height, width = image.shape[:2]
    top, left = round(height * (1 - scale) / 2), round(width * (1 - scale) / 2)
    return np.ascontiguousarray(image[top : height - top, left : width - left])


def _halved(thumbnails: np.ndarray) -> np.ndarray:
    half = SIDE // 2
    return thumbnails.reshape(-1, half, 2, half, 2).mean(axis=(2, 4), dtype=np.float32)


def _band(images: np.ndarray, fine: float, coarse: float) -> np.ndarray:
    """What is larger than `fine` and smaller than `coarse` pixels."""
    planes = images.astype(np.float32)
    return np.stack(
        [cv2.GaussianBlur(p, (0, 0), fine) - cv2.GaussianBlur(p, (0, 0), coarse) for p in planes]
    )


def _unit(images: np.ndarray) -> np.ndarray:
    flat = images.reshape(len(images), -1).astype(np.float32)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float((_unit(a[None]) * _unit(b[None])).sum())
