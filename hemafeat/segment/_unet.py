"""White cells by a small U-Net, run by OpenCV: no other package is needed."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np

from hemafeat.segment import _nuclei
from hemafeat.segment._background import Frame
from hemafeat.segment._contours import LEAST_SHARE, contours
from hemafeat.segment._kernels.labels import lay
from hemafeat.segment._kernels.regions import tidied
from hemafeat.segment._masks import Masks
from hemafeat.segment._prepared import is_dim, prepared
from hemafeat.segment._quality import LEAST, Record, gathered
from hemafeat.segment._tiles import scores, weights_file
from hemafeat.segment._working_size import RADIUS, SIDE, densities, resized, zoom_of

CORE = 0.5
"""Depth above which pixels are the core of one cell."""

PEAK = 0.7
"""Depth a core must reach to be one of its own."""

ROUND = 0.94
"""Area over that of the convex hull from which parts are lobes of one cell, not cells that touch:
two equal discs that touch have 0.88."""

SURE = 0.955
"""Dice to be expected, the mean over cells, below which an image is seen again, and smaller."""

SMALLER = 0.8

MOST_LOBES = 5
"""Parts, at most, that are tried as one cell."""

NEAR_SIZE = 1.3
"""Ratio of radii of nuclei, found and expected, up to which an image need not be seen again."""

LEAST_AREA = 0.1 * math.pi * RADIUS**2
"""Area, in pixels of the network, below which there is no cell."""

LEAST_NUCLEUS = 0.05
"""Nucleus, as a share of the cell, below which it is no white cell."""

CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))

# Confidence as a logistic of the Dice to be expected by the network's own probabilities.
_DICE, _SPREAD = 0.86, 0.03

_REASONS = {
    "cell": "the network is not sure of the outline of the cell",
    "nucleus": "the network is not sure of the outline of the nucleus",
}


@dataclass(slots=True)
class _Found:
    left: int
    top: int
    cell: np.ndarray
    nucleus: np.ndarray
    area: int
    dice: dict[str, float]


def unet(image: np.ndarray, *, weights: str | os.PathLike[str] | None = None) -> Masks:
    """White cells and their nuclei, by a U-Net.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB.
    weights : path, optional
        ``network.onnx`` as `hemafeat.networks.train_segmenter` writes it; by default the file the
        environment variable ``HEMAFEAT_UNET`` names, else that of the package.

    Returns
    -------
    Masks
        Cells in order of area, largest first; quality as in `contours`. Only cells with a nucleus.

    Raises
    ------
    FileNotFoundError
        No weights.
    ValueError
        `image` is not an (H, W, 3) uint8 array, or the weights are no such network.

    Notes
    -----
    The image is brought to the size at which the nuclei found as in `contours` have a radius of 24
    pixels, and to optical densities relative to its own white, so that neither microscope nor
    background matters. The network [1]_ gives the chances of background, cytoplasm and nucleus, and
    the depth inside the cell; where the depth has several summits cells that touch are parted along
    the valleys between them [2]_, unless the parts together are round. Where the nuclei found have
    another size than was thought, or the network is not sure, the image is looked at again at
    another size and the surest result is taken. Borders are drawn at full size where
    the chance is one half. A cell that was cut out and laid on black is left to `contours`: its
    outline is known.

    References
    ----------
    .. [1] O. Ronneberger, P. Fischer and T. Brox, "U-Net: convolutional networks for biomedical
       image segmentation", MICCAI 2015.
    .. [2] S. Beucher and C. Lantuejoul, "Use of watersheds in contour detection", Int. Workshop on
       Image Processing, Rennes, 1979.
    """
    path = weights_file(weights)
    image, view = prepared(image)
    if view.black is not None:
        return contours(image)
    if is_dim(view):
        return _assembled([], image.shape[:2])
    zoom = _zoom(view, image.shape[:2])
    found = _seen_at(zoom, image, view, path)
    better = _zoom_of(found)
    if better is not None and not 1 / NEAR_SIZE < better / zoom < NEAR_SIZE:
        # Lobes that lie apart had been taken for nuclei, or several nuclei for one.
        found = max(found, _seen_at(better, image, view, path), key=_sureness)
    if found and _sureness(found) < SURE:
        found = max(found, _seen_at(SMALLER * zoom, image, view, path), key=_sureness)
    return _assembled(found, image.shape[:2])


def _zoom_of(found: list[_Found]) -> float | None:
    """The size at which the nuclei found would have the radius they are expected to have."""
    areas = np.array([cv2.countNonZero(one.nucleus) for one in found], np.float64)
    return zoom_of(np.sqrt(areas / math.pi))


def _sureness(found: list[_Found]) -> float:
    return float(np.mean([min(one.dice.values()) for one in found])) if found else 0.0


def _seen_at(zoom: float, image: np.ndarray, view: Frame, path: Path) -> list[_Found]:
    near = None
    if view.any_nuclei:
        near = cv2.dilate(view.nuclei, np.ones((5, 5), np.uint8))
    small = densities(resized(image, zoom), view)
    return _cells(scores(small, path, near), image.shape[:2])


def _zoom(view: Frame, shape: tuple[int, int]) -> float:
    seeds = _nuclei.seeds(view)
    least = LEAST_SHARE * seeds[0].area if seeds else 0.0
    radii = [math.sqrt(seed.area / math.pi) * view.scale for seed in seeds if seed.area >= least]
    zoom = zoom_of(np.array(radii))
    return SIDE / max(shape) if zoom is None else zoom


def _cells(logits: np.ndarray, shape: tuple[int, int]) -> list[_Found]:
    chances = np.exp(logits[:3] - logits[:3].max(axis=0))
    chances /= chances.sum(axis=0)
    inside, nucleus = 1.0 - chances[0], chances[2]
    depth = 1.0 / (1.0 + np.exp(-logits[3]))
    labels, boxes = _parted(inside, depth)
    found = []
    for number, (left, top, width, height) in boxes.items():
        box = np.s_[
            max(0, top - 3) : min(labels.shape[0], top + height + 3),
            max(0, left - 3) : min(labels.shape[1], left + width + 3),
        ]
        mine = labels[box] == number
        others = (labels[box] > 0) & ~mine
        cell = np.where(others, 0.0, inside[box]).astype(np.float32)
        core = np.where(mine, nucleus[box], 0.0).astype(np.float32)
        if np.count_nonzero(core > 0.5) < LEAST_NUCLEUS * np.count_nonzero(mine):
            continue
        one = _at_full_size(cell, core, box, labels.shape, shape)
        if one is not None:
            one.dice = {"cell": _expected_dice(cell, mine), "nucleus": _expected_dice(core)}
            found.append(one)
    if found:
        most = max(cv2.countNonZero(one.nucleus) for one in found)
        found = [one for one in found if cv2.countNonZero(one.nucleus) >= LEAST_SHARE * most]
    return found


def _parted(
    inside: np.ndarray, depth: np.ndarray
) -> tuple[np.ndarray, dict[int, tuple[int, int, int, int]]]:
    """Labels of cells and their boxes (left, top, width, height)."""
    mask = (inside > 0.5).astype(np.uint8)
    n, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    boxes = {}
    highest = n
    for number in range(1, n):
        left, top, width, height, area = (int(value) for value in stats[number])
        if area < LEAST_AREA:
            labels[labels == number] = 0
            continue
        boxes[number] = (left, top, width, height)
        box = np.s_[top : top + height, left : left + width]
        mine = labels[box] == number
        cores = _cores(np.where(mine, depth[box], 0.0))
        if cores.max() < 2:
            continue
        parts = _joined(_flooded(cores, depth[box], mine))
        if parts.max() < 2:
            continue
        del boxes[number]
        labels[box][mine] = 0
        for part in range(1, int(parts.max()) + 1):
            piece = parts == part
            if np.count_nonzero(piece) < LEAST_AREA:
                continue
            labels[box][piece] = highest
            x, y, w, h = cv2.boundingRect(piece.astype(np.uint8))
            boxes[highest] = (left + x, top + y, w, h)
            highest += 1
    return labels, boxes


def _cores(depth: np.ndarray) -> np.ndarray:
    """(h, w) int32: the cores of cells, 1..n."""
    n, cores = cv2.connectedComponents((depth > CORE).astype(np.uint8))
    kept = np.zeros(n, np.int32)
    for number in range(1, n):
        if depth[cores == number].max() >= PEAK:
            kept[number] = kept.max() + 1
    return kept[cores]


def _flooded(cores: np.ndarray, depth: np.ndarray, mine: np.ndarray) -> np.ndarray:
    """(h, w) int32: each core with the slopes that lead up to it."""
    # OpenCV's own watershed floods by differences between neighbours, not by height.
    parts = cores.astype(np.float32)
    for level in (*np.arange(CORE, 0.0, -0.05), -1.0):
        free = mine & (depth > level) & (parts == 0)
        while True:
            new = free & (parts == 0)
            grown = cv2.dilate(parts, CROSS)
            new &= grown > 0
            if not new.any():
                break
            parts[new] = grown[new]
    return parts.astype(np.int32)


def _joined(parts: np.ndarray) -> np.ndarray:
    """(h, w) int32: lobes of one cell as one part; together they are as round as a cell."""
    n = int(parts.max())
    left, groups = set(range(1, n + 1)), []
    for size in range(min(n, MOST_LOBES), 1, -1):
        for some in combinations(range(1, n + 1), size):
            if left.issuperset(some) and _solidity(np.isin(parts, some)) >= ROUND:
                groups.append(some)
                left -= set(some)
    groups += [(one,) for one in left]
    number = np.zeros(n + 1, np.int32)
    for place, group in enumerate(sorted(groups), 1):
        number[list(group)] = place
    return number[parts]


def _solidity(mask: np.ndarray) -> float:
    """Area over that of the convex hull of all pieces, 0 to 1."""
    places = cv2.findNonZero(mask.astype(np.uint8))
    hull = np.zeros(mask.shape, np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(places), 1)
    return len(places) / cv2.countNonZero(hull)


def _expected_dice(chance: np.ndarray, mask: np.ndarray | None = None) -> float:
    """The Dice of a mask and a truth drawn at random, by the chances of its pixels."""
    mask = chance > 0.5 if mask is None else mask
    total = float(np.count_nonzero(mask)) + float(chance.sum())
    return 2.0 * float(chance[mask].sum()) / total if total else 1.0


def _at_full_size(
    cell: np.ndarray,
    nucleus: np.ndarray,
    box: tuple[slice, slice],
    small: tuple[int, int],
    shape: tuple[int, int],
) -> _Found | None:
    """The masks of a box of the image where chances pass one half."""
    fy, fx = shape[0] / small[0], shape[1] / small[1]
    top, left = math.floor(box[0].start * fy), math.floor(box[1].start * fx)
    bottom = min(shape[0], math.ceil(box[0].stop * fy))
    right = min(shape[1], math.ceil(box[1].stop * fx))
    # Centre of a full-size pixel to the pixels of the box.
    matrix = np.array(
        [
            [1 / fx, 0, (left + 0.5) / fx - 0.5 - box[1].start],
            [0, 1 / fy, (top + 0.5) / fy - 0.5 - box[0].start],
        ]
    )
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    masks = [
        (
            cv2.warpAffine(
                part,
                matrix,
                (right - left, bottom - top),
                flags=how,
                borderMode=cv2.BORDER_REPLICATE,
            )
            > 0.5
        ).astype(np.uint8)
        for part in (cell, nucleus)
    ]
    whole = _largest(masks[0])
    if whole is None:
        return None
    inner = masks[1] & whole
    tidied(inner)
    inner &= whole
    if not inner.any():
        return None
    x, y, w, h = cv2.boundingRect(whole)
    cut = np.s_[y : y + h, x : x + w]
    return _Found(
        left + x,
        top + y,
        np.ascontiguousarray(whole[cut]),
        np.ascontiguousarray(inner[cut]),
        cv2.countNonZero(whole),
        {},
    )


def _largest(mask: np.ndarray) -> np.ndarray | None:
    """The largest piece of a mask, without holes."""
    lines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not lines:
        return None
    out = np.zeros_like(mask)
    cv2.drawContours(out, [max(lines, key=cv2.contourArea)], 0, 1, cv2.FILLED)
    return out


def _record(one: _Found, shape: tuple[int, int]) -> Record:
    height, width = one.cell.shape
    at_border = (
        one.top == 0
        or one.left == 0
        or one.top + height == shape[0]
        or one.left + width == shape[1]
    )
    part = min(one.dice, key=lambda name: one.dice[name])
    confidence = 1.0 / (1.0 + math.exp(-(one.dice[part] - _DICE) / _SPREAD))
    suspected = confidence < LEAST
    return Record(at_border, confidence, suspected, _REASONS[part] if suspected else "")


def _assembled(found: list[_Found], shape: tuple[int, int]) -> Masks:
    cell, nucleus = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    records: list[Record] = []
    for one in sorted(found, key=lambda one: (-one.area, one.top, one.left)):
        number = len(records) + 1
        if lay(cell, nucleus, number, one.cell, one.nucleus, one.left, one.top, 0.5 * one.area):
            records.append(_record(one, shape))
    return Masks.known(cell, nucleus, len(records), gathered(records))
