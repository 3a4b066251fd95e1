"""White cells by OpenCV alone: no weights, no training, a few milliseconds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from hemafeat.segment import _quality
from hemafeat.segment._contours import nuclei as _nuclei, nucleus as _nucleus, touching as _parting
from hemafeat.segment._contours.frame import (
    Frame,
    black_surround,
    is_dim,
    prepared,
    red_cell_radius,
)
from hemafeat.segment._contours.nuclei import Seed
from hemafeat.segment._kernels.inside import inside
from hemafeat.segment._kernels.labels import lay
from hemafeat.segment._masks import Masks

LEAST_SHARE = 0.12
"""Nuclear area, as a share of the largest one, below which a spot is not a white cell."""

NO_NUCLEUS = 4.4
"""Separation of nucleus and cytoplasm from which there is a nucleus."""

SQUARE = np.ones((3, 3), np.uint8)


@dataclass(slots=True)
class _Found:
    """A cell on its way into the masks: where its box of the image lies, and its masks there."""

    left: int
    top: int
    cell: np.ndarray
    nucleus: np.ndarray
    evidence: dict[str, float]
    area: float


def contours(image: np.ndarray) -> Masks:
    """White cells and their nuclei in a single-cell crop or a smear field.

    Nothing is assumed of the stain but that nuclei absorb red and green light and little blue,
    that haemoglobin absorbs blue as well, and that the background is the brightest large area (or
    black, where a cell was cut out). All levels are relative to the white of the image itself, all
    lengths to the nuclei found in it.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB.

    Returns
    -------
    Masks
        Cells in order of area, largest first. A platelet is reported only where it is what the
        image shows: alone in the middle of it; it has no nucleus then. Quality: ``touches_border``,
        ``confidence`` (0 to 1), ``suspected_failure`` (confidence below one half: the Dice of cell
        or nucleus is likely to be below 0.8) and ``failure_reason``.

    Raises
    ------
    ValueError
        `image` is not an (H, W, 3) uint8 array.

    Notes
    -----
    Where the background is clearly brighter in one part of the image than in another one, the image
    is evened out first. Nuclei are found on an image reduced to at most 216 pixels, as spots of
    violet (density in green and red, less that in blue); lobes are joined unless background or a
    waist lies between them. The outline of the cell is the closed curve in polar coordinates, found
    by dynamic programming [1]_, that encloses the colours that occur near the nucleus rather than
    far from it, and follows the step down to the background. The nucleus is split from the
    cytoplasm at full size by Otsu's threshold [2]_ inside that outline.

    References
    ----------
    .. [1] A. A. Amini, T. E. Weymouth, R. C. Jain, "Using dynamic programming for solving
       variational problems in vision", IEEE TPAMI 12(9), 1990.
    .. [2] N. Otsu, "A threshold selection method from gray-level histograms", IEEE Transactions
       on Systems, Man, and Cybernetics 9(1), 1979.
    """
    image, view = prepared(image)
    found: list[_Found] = []
    if view.black is not None:
        found = _cut_out(image, view)
    elif not is_dim(view):
        found = _stained(image, view)
    return _assembled(found, image.shape[:2])


def _stained(image: np.ndarray, view: Frame) -> list[_Found]:
    seeds = _nuclei.seeds(view)
    seeds = [seed for seed in seeds if seed.area >= LEAST_SHARE * seeds[0].area]
    found, sizes = [], []
    for seed, outline in _parting.outlines(image, view, seeds):
        curve = outline.curve
        cell, left, top, solidity = inside(*curve.centre, curve.radius, *image.shape[:2])
        if cell.size == 0:
            continue
        nucleus, separation = _nucleus.outline(image, left, top, cell, view.table)
        area = cv2.countNonZero(cell)
        evidence = {
            "rim": outline.rim,
            "limit": outline.limit,
            "odds": outline.odds,
            "agreement": outline.agreement,
            "solidity": solidity,
            "separation": separation,
            "nucleus_share": cv2.countNonZero(nucleus) / area,
        }
        found.append(_Found(left, top, cell, nucleus, evidence, area))
        sizes.append(seed)
    return _without_platelets(found, sizes, view)


def _without_platelets(found: list[_Found], seeds: list[Seed], view: Frame) -> list[_Found]:
    side = min(view.dark.shape)
    may_be = [
        # A red cell more than twice as large would fill a quarter of the image.
        seed.radius < 0.12 * side or (seed.radius < 0.16 * side and _is_granular(one, seed, view))
        for one, seed in zip(found, seeds, strict=True)
    ]
    if not any(may_be):
        return found
    avoid = np.zeros(view.dark.shape, np.uint8)
    for seed in seeds:
        centre = (round(seed.centre[0]), round(seed.centre[1]))
        cv2.circle(avoid, centre, round(1.5 * seed.radius), 1, cv2.FILLED)
    red = red_cell_radius(view, avoid)
    height, width = view.dark.shape
    kept = []
    for one, seed in zip(found, seeds, strict=True):
        if not _is_platelet(one, seed, view, red):
            kept.append(one)
            continue
        off = math.hypot(seed.centre[0] - (width - 1) / 2, seed.centre[1] - (height - 1) / 2)
        if off <= 0.08 * side:
            one.nucleus[:] = 0
            one.evidence["nucleus_share"] = 0.0
            kept.append(one)
    return kept


def _is_platelet(one: _Found, seed: Seed, view: Frame, red: float) -> bool:
    # Smaller than a red cell, granular all through, and no nucleus stands out in it.
    if not math.isfinite(red):
        return False
    if seed.radius < 0.5 * red:
        return True
    most = NO_NUCLEUS - 8.0 * max(0.0, seed.radius / red - 0.95)
    return one.evidence["separation"] < most and _is_granular(one, seed, view)


def _is_granular(one: _Found, seed: Seed, view: Frame) -> bool:
    if one.evidence["separation"] >= NO_NUCLEUS:
        return False
    mask = np.zeros(view.dark.shape, np.uint8)
    cv2.drawContours(mask, seed.pieces, -1, 1, cv2.FILLED)
    mean, deviation = cv2.meanStdDev(view.dark, mask=cv2.erode(mask, SQUARE))
    return float(deviation[0, 0]) > 0.2 * max(float(mean[0, 0]), 1.0)


def _cut_out(image: np.ndarray, view: Frame) -> list[_Found]:
    inside = black_surround(image, int(view.black or 0))
    lines, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    areas = [cv2.contourArea(line) for line in lines]
    found = []
    for line, area in zip(lines, areas, strict=True):
        if area < max(LEAST_SHARE * max(areas), 9.0):
            continue
        left, top, width, height = cv2.boundingRect(line)
        mask = np.zeros((height, width), np.uint8)
        cv2.drawContours(mask, [line], 0, 1, cv2.FILLED, offset=(-left, -top))
        hull = cv2.contourArea(cv2.convexHull(line))
        solidity = area / hull if hull > 0 else 1.0
        nucleus, separation = _nucleus.outline(image, left, top, mask, view.table)
        pixels = cv2.countNonZero(mask)
        evidence = {
            "rim": 1.0,
            "limit": 0.0,
            "odds": 3.0,
            "agreement": 1.0,
            "solidity": solidity,
            "separation": separation,
            "nucleus_share": cv2.countNonZero(nucleus) / pixels,
        }
        found.append(_Found(left, top, mask, nucleus, evidence, pixels))
    return found


def _assembled(found: list[_Found], shape: tuple[int, int]) -> Masks:
    cell, nucleus = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    records: list[_quality.Record] = []
    for one in sorted(found, key=lambda one: (-one.area, one.top, one.left)):
        number = len(records) + 1
        half = 0.5 * one.area
        # Where most of it is another cell already there are two outlines of one cell.
        if not lay(cell, nucleus, number, one.cell, one.nucleus, one.left, one.top, half):
            continue
        height, width = one.cell.shape
        at_border = (
            one.top == 0
            or one.left == 0
            or one.top + height == shape[0]
            or one.left + width == shape[1]
        )
        records.append(_quality.record(touches_border=at_border, **one.evidence))
    return Masks.known(cell, nucleus, len(records), _quality.gathered(records))
