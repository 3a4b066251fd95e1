"""White cells by a small U-Net, run by OpenCV: no other package is needed."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import cv2
import numpy as np

from hemafeat.segment._contours import nuclei as _nuclei, nucleus as _nucleus
from hemafeat.segment._contours.contours import LEAST_SHARE, contours
from hemafeat.segment._contours.frame import Frame, is_dim, prepared, red_cell_radius
from hemafeat.segment._kernels.labels import lay
from hemafeat.segment._kernels.regions import tidied
from hemafeat.segment._masks import Masks
from hemafeat.segment._quality import LEAST, Record, gathered
from hemafeat.segment._scores import dice
from hemafeat.segment._unet.refine import sharpened
from hemafeat.segment._unet.scale import (
    LARGEST_ZOOM,
    SIDE,
    densities,
    resized,
    stain_gain,
    stained,
    zoom_of,
)
from hemafeat.segment._unet.tiles import scores, weights_file
from hemafeat.segment._unet.watershed import SOLID, parted, solidity

SURE = 0.955
"""Dice to be expected below which an image is seen again."""

OTHER_SIZES = (0.8, 1.6)
"""Sizes at which it is: lobes far apart ask for a smaller one, a clump of nuclei for a larger."""

NEAR_SIZE = 1.3
"""Ratio of radii of nuclei, found and expected, up to which an image need not be seen again."""

LEAST_NUCLEUS = 0.05
"""Nucleus, as a share of the cell, below which it is no white cell."""

LEAST_VIOLET = 0.1
"""Share of a nucleus that is as violet as dyed chromatin is: where there is none, a red cell."""

AGREED = 0.75
"""Dice of two nuclei of a cell, by the network and by a threshold, below which they differ."""

KNOWN = 0.9
"""Dice of the nucleus to be expected below which the network has not seen the likes of it."""

LEAST_TO_RED = 0.5
"""Radius of a cell over that of red cells, below which it is a platelet. White cells are as large
as red ones at least, but where these overlap they are taken for up to twice as large."""

DOUBTFUL_TO_RED = 1.0
"""The same of a cell whose outline is suspected to have failed."""

# Confidence as a logistic of the Dice to be expected by the network's own probabilities, fitted on
# drawn cells and fields of BCCD not learned from, with blurred, paled, noisy and badly lit copies.
# Few of them fail, so that the numbers are round.
_DICE, _SPREAD = 0.9, 0.015

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
    solidity: float
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
    pixels, and to optical densities relative to its own white, so strong that these nuclei have one
    of 0.5 in green light: neither microscope nor background nor the strength of the dye matters.
    The network [1]_ gives the chances of background, cytoplasm and nucleus, and the depth inside
    the cell; where the depth has several summits cells that touch are parted along the valleys
    between them [2]_, unless the parts together are round. Where the nuclei found have another size
    than was thought, or the network is not sure, the image is looked at again at another size and
    the surest result is taken. Borders are drawn at full size where the chance is one half; that of
    the nucleus also heeds by how much the colours of this cell differ, and is left to the threshold
    of `contours` where that says otherwise. What is no more violet than a red cell, or smaller than
    half a red cell, or smaller than one and doubtful, is left out. A cell that was cut out and laid
    on black is left to `contours`: its outline is known.

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
    near = cv2.dilate(view.nuclei, np.ones((5, 5), np.uint8)) if view.any_nuclei else None
    gain = stain_gain(densities(view.rgb, view), view.nuclei)

    def seen_at(zoom: float) -> list[_Found]:
        small = stained(densities(resized(image, zoom), view), gain)
        found = _cells(scores(small, path, near), image, view)
        return _without_platelets([one for one in found if _is_violet(one, view)], view)

    zoom = _zoom(view, image.shape[:2])
    found = seen_at(zoom)
    better = _zoom_for([cv2.countNonZero(one.nucleus) for one in found])
    if better is not None and not 1 / NEAR_SIZE < better / zoom < NEAR_SIZE:
        # Lobes that lie apart had been taken for nuclei, or several nuclei for one.
        found = max(found, seen_at(better), key=_sureness)
    for other in (times * zoom for times in OTHER_SIZES):
        # Nothing is enlarged more than ever: a large image would not fit into memory.
        if found and other <= LARGEST_ZOOM and _sureness(found) < SURE:
            found = max(found, seen_at(other), key=_sureness)
    return _assembled(found, image.shape[:2])


def _sureness(found: list[_Found]) -> float:
    """Dice to be expected, over all pixels; less where an outline has dents as a clump has."""
    if not found:
        return 0.0
    each = [min(one.dice.values()) * min(1.0, one.solidity / SOLID) for one in found]
    return float(np.average(each, weights=[one.area for one in found]))


def _is_violet(one: _Found, view: Frame) -> bool:
    """Whether a nucleus is dyed as nuclei are; True where nothing in the image is."""
    if not view.any_nuclei:
        return True
    ys, xs = np.nonzero(one.nucleus)
    rows = np.minimum(((one.top + ys + 0.5) / view.scale).astype(np.intp), view.nuclei.shape[0] - 1)
    across = ((one.left + xs + 0.5) / view.scale).astype(np.intp)
    across = np.minimum(across, view.nuclei.shape[1] - 1)
    return bool(view.nuclei[rows, across].mean() >= LEAST_VIOLET)


def _zoom(view: Frame, shape: tuple[int, int]) -> float:
    seeds = _nuclei.seeds(view)
    least = LEAST_SHARE * seeds[0].area if seeds else 0.0
    zoom = _zoom_for([view.scale**2 * seed.area for seed in seeds if seed.area >= least])
    return SIDE / max(shape) if zoom is None else zoom


def _zoom_for(areas: list[float]) -> float | None:
    """The size at which nuclei of these areas have the radius the network expects."""
    if not areas:
        return None
    # The mean over pixels, not over nuclei: platelets and dirt are many but small.
    weights = np.array(areas, np.float64)
    return zoom_of(np.sqrt([np.average(weights, weights=weights) / math.pi]))


def _without_platelets(found: list[_Found], view: Frame) -> list[_Found]:
    """Cells that are not far smaller than the red cells round them, if there are any.

    Those that may well have failed are not smaller at all.
    """
    avoid = np.zeros(view.dark.shape, np.uint8)
    for one in found:
        height, width = one.cell.shape
        x, y = (round(place / view.scale) for place in (one.left, one.top))
        w, h = (max(1, round(length / view.scale)) for length in (width, height))
        part = cv2.resize(one.cell, (w, h), interpolation=cv2.INTER_NEAREST)
        there = avoid[y : y + h, x : x + w]
        there |= part[: there.shape[0], : there.shape[1]]
    red = red_cell_radius(view, avoid) * view.scale
    if not math.isfinite(red):
        return found
    return [
        one
        for one in found
        if math.sqrt(one.area / math.pi)
        >= red * (LEAST_TO_RED if _confidence(one) >= LEAST else DOUBTFUL_TO_RED)
    ]


def _cells(logits: np.ndarray, image: np.ndarray, view: Frame) -> list[_Found]:
    chances = np.exp(logits[:3] - logits[:3].max(axis=0))
    chances /= chances.sum(axis=0)
    inside, nucleus = 1.0 - chances[0], chances[2]
    depth = 1.0 / (1.0 + np.exp(-logits[3]))
    labels, boxes = parted(inside, depth)
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
        one = _at_full_size(cell, core, box, labels.shape, image, view)
        if one is not None:
            one.dice = {"cell": _expected_dice(cell, mine), "nucleus": _expected_dice(core)}
            _asked_again(one, image, view)
            found.append(one)
    if found:
        most = max(cv2.countNonZero(one.nucleus) for one in found)
        found = [one for one in found if cv2.countNonZero(one.nucleus) >= LEAST_SHARE * most]
    return found


def _asked_again(one: _Found, image: np.ndarray, view: Frame) -> None:
    """The nucleus by a threshold inside the outline, where it differs or the network is not sure.

    On images like those learned from that is rare; of a stain the network has never seen it may be
    sure and wrong, and a threshold knows no stain by heart.
    """
    other, _ = _nucleus.outline(image, one.left, one.top, one.cell, view.table)
    if not other.any():
        return
    agreed = dice(other, one.nucleus)
    if agreed < AGREED or one.dice["nucleus"] < KNOWN:
        one.nucleus = other
    # What is to be expected where either may be right.
    one.dice["nucleus"] = min(one.dice["nucleus"], (1.0 + agreed) / 2.0)


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
    image: np.ndarray,
    view: Frame,
) -> _Found | None:
    """The masks of a box of the image: where chances pass one half, and colours agree."""
    shape = image.shape[:2]
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
    chances = [
        cv2.warpAffine(
            part, matrix, (right - left, bottom - top), flags=how, borderMode=cv2.BORDER_REPLICATE
        )
        for part in (cell, nucleus)
    ]
    whole = _largest((chances[0] > 0.5).astype(np.uint8))
    if whole is None:
        return None
    inner = sharpened(chances[1], whole, densities(image[top:bottom, left:right], view))
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
        solidity(whole),
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
    confidence = _confidence(one)
    suspected = confidence < LEAST
    return Record(at_border, confidence, suspected, _REASONS[part] if suspected else "")


def _confidence(one: _Found) -> float:
    return 1.0 / (1.0 + math.exp(-(min(one.dice.values()) - _DICE) / _SPREAD))


def _assembled(found: list[_Found], shape: tuple[int, int]) -> Masks:
    cell, nucleus = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    records: list[Record] = []
    for one in sorted(found, key=lambda one: (-one.area, one.top, one.left)):
        number = len(records) + 1
        if lay(cell, nucleus, number, one.cell, one.nucleus, one.left, one.top, 0.5 * one.area):
            records.append(_record(one, shape))
    return Masks.known(cell, nucleus, len(records), gathered(records))
