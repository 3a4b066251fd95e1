"""White cells by thresholds and contours, without learned weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from hemafeat.segment._cells import Cell, Record, assemble, rate_outline
from hemafeat.segment._contours.frame import Frame, foreground_mask
from hemafeat.segment._contours.nuclei import Seed, find_seeds, large_seeds
from hemafeat.segment._contours.nucleus import outline_nucleus
from hemafeat.segment._contours.surround import prepare
from hemafeat.segment._contours.touching import find_outlines
from hemafeat.segment._kernels.curve import curve_mask
from hemafeat.segment._masks import Masks

MIN_SHARE = 0.12
"""Nuclear area, as a share of the largest one, below which a spot is not a white cell."""

NO_NUCLEUS = 4.4
"""Separation of nucleus and cytoplasm from which there is a nucleus."""

SQUARE = np.ones((3, 3), np.uint8)


@dataclass(slots=True)
class _OutlinedCell(Cell):
    """A cell with the evidence for it; see `rate_outline`."""

    evidence: dict[str, float]


def contours(image: np.ndarray) -> Masks:
    """Segment white cells and their nuclei in a single-cell crop or a smear field.

    Nothing is assumed about the stain but that nuclei absorb red and green light and little blue,
    that haemoglobin absorbs blue as well, and that the background is the brightest large area (or
    black, where a cell was cut out). All levels are relative to the white of the image itself, all
    lengths to the nuclei found in it.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB image.

    Returns
    -------
    Masks
        Cells in order of area, largest first. A platelet is reported only if it lies alone in the
        middle of the image; it has no nucleus then. Quality: ``touches_border``, ``confidence`` (0
        to 1), ``suspected_failure`` (confidence below one half: the Dice of cell or nucleus is
        likely to be below 0.8), ``failure_reason`` and ``kind`` (``"white cell"`` or
        ``"platelet"``).

    Raises
    ------
    ValueError
        `image` is not an (H, W, 3) uint8 array.

    Notes
    -----
    A black surround with a round or straight edge, as of the stop of an eyepiece, counts as outside
    the image. If the background is clearly brighter in one part of the image than in another one,
    the light is evened out first. Nuclei are found on an image reduced to at most 216 pixels, as
    spots of violet (density in green and red, less that in blue); lobes are joined unless
    background or a waist lies between them. The outline of the cell is the closed curve in polar
    coordinates, found by dynamic programming [1]_, that encloses the colours that occur near the
    nucleus rather than far from it, and follows the step down to the background. The nucleus is
    separated from the cytoplasm at full size by Otsu's threshold [2]_ inside that outline. A region
    many times as large as the nuclei beside it is a suspected failure, and does not set the scale
    for them.

    References
    ----------
    .. [1] A. A. Amini, T. E. Weymouth, R. C. Jain, "Using dynamic programming for solving
       variational problems in vision", IEEE TPAMI 12(9), 1990.
    .. [2] N. Otsu, "A threshold selection method from gray-level histograms", IEEE Transactions
       on Systems, Man, and Cybernetics 9(1), 1979.

    Examples
    --------
    >>> from hemafeat import datasets, segment
    >>> drawn = datasets.draw_cell("neutrophil", random_state=0)
    >>> masks = segment.contours(drawn.image)
    >>> masks.n_cells
    1
    >>> segment.dice(masks.cell, drawn.cell) > 0.95
    True
    """
    return segment_by_contours(*prepare(image))


def segment_by_contours(image: np.ndarray, frame: Frame) -> Masks:
    """Segment white cells in an image and its reduced copy, as returned by `prepare`."""
    cells: list[_OutlinedCell] = []
    if frame.black is not None:
        cells = _cut_out_cells(image, frame)
    elif not frame.is_dim:
        cells = _stained_cells(image, frame)
    return assemble(cells, image.shape[:2], _rate, frame.surround)


def _rate(cell: _OutlinedCell, touches_border: bool) -> Record:
    return rate_outline(touches_border=touches_border, **cell.evidence)


def _stained_cells(image: np.ndarray, frame: Frame) -> list[_OutlinedCell]:
    seeds = large_seeds(find_seeds(frame), MIN_SHARE)
    cells, seeds_of_cells = [], []
    for seed, outline in find_outlines(image, frame, seeds):
        curve = outline.curve
        mask, left, top, solidity = curve_mask(*curve.centre, curve.radius, *image.shape[:2])
        if mask.size == 0:
            continue
        nucleus, separation = outline_nucleus(image, left, top, mask, frame.table)
        area = cv2.countNonZero(mask)
        evidence = {
            "rim": outline.rim,
            "limit": outline.limit,
            "odds": outline.odds,
            "agreement": outline.agreement,
            "solidity": solidity,
            "separation": separation,
            "nucleus_share": cv2.countNonZero(nucleus) / area,
            "oversized": float(seed.oversized),
        }
        cells.append(_OutlinedCell(left, top, mask, nucleus, area, evidence))
        seeds_of_cells.append(seed)
    return _drop_platelets(cells, seeds_of_cells, frame)


def _drop_platelets(
    cells: list[_OutlinedCell], seeds: list[Seed], frame: Frame
) -> list[_OutlinedCell]:
    side = min(frame.dark.shape)
    candidates = [
        # A red cell more than twice as large would fill a quarter of the image.
        seed.radius < 0.12 * side or (seed.radius < 0.16 * side and _is_granular(cell, seed, frame))
        for cell, seed in zip(cells, seeds, strict=True)
    ]
    if not any(candidates):
        return cells
    avoid = np.zeros(frame.dark.shape, np.uint8)
    for seed in seeds:
        centre = (round(seed.centre[0]), round(seed.centre[1]))
        cv2.circle(avoid, centre, round(1.5 * seed.radius), 1, cv2.FILLED)
    red_radius = frame.red_cell_radius(avoid)
    height, width = frame.dark.shape
    kept = []
    for cell, seed in zip(cells, seeds, strict=True):
        if not _is_platelet(cell, seed, frame, red_radius):
            kept.append(cell)
            continue
        offset = math.hypot(seed.centre[0] - (width - 1) / 2, seed.centre[1] - (height - 1) / 2)
        if offset <= 0.08 * side:
            cell.nucleus[:] = 0
            cell.evidence["nucleus_share"] = 0.0
            kept.append(cell)
    return kept


def _is_platelet(cell: _OutlinedCell, seed: Seed, frame: Frame, red_radius: float) -> bool:
    # Smaller than a red cell, granular all through, and without a distinct nucleus.
    if not math.isfinite(red_radius):
        return False
    if seed.radius < 0.5 * red_radius:
        return True
    most = NO_NUCLEUS - 8.0 * max(0.0, seed.radius / red_radius - 0.95)
    return cell.evidence["separation"] < most and _is_granular(cell, seed, frame)


def _is_granular(cell: _OutlinedCell, seed: Seed, frame: Frame) -> bool:
    if cell.evidence["separation"] >= NO_NUCLEUS:
        return False
    left, top, width, height = cv2.boundingRect(seed.hull)
    # One pixel more on each side, except at the border of the image.
    left, top = max(left - 1, 0), max(top - 1, 0)
    part = frame.dark[top : top + height + 2, left : left + width + 2]
    mask = np.zeros(part.shape, np.uint8)
    cv2.drawContours(mask, seed.pieces, -1, 1, cv2.FILLED, offset=(-left, -top))
    mean, deviation = cv2.meanStdDev(part, mask=cv2.erode(mask, SQUARE))
    return float(deviation[0, 0]) > 0.2 * max(float(mean[0, 0]), 1.0)


def _cut_out_cells(image: np.ndarray, frame: Frame) -> list[_OutlinedCell]:
    foreground = foreground_mask(image, int(frame.black or 0))
    lines, _ = cv2.findContours(foreground, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    areas = [cv2.contourArea(line) for line in lines]
    cells = []
    for line, area in zip(lines, areas, strict=True):
        if area < max(MIN_SHARE * max(areas), 9.0):
            continue
        left, top, width, height = cv2.boundingRect(line)
        mask = np.zeros((height, width), np.uint8)
        cv2.drawContours(mask, [line], 0, 1, cv2.FILLED, offset=(-left, -top))
        hull_area = cv2.contourArea(cv2.convexHull(line))
        nucleus, separation = outline_nucleus(image, left, top, mask, frame.table)
        n_pixels = cv2.countNonZero(mask)
        evidence = {
            "rim": 1.0,
            "limit": 0.0,
            "odds": 3.0,
            "agreement": 1.0,
            "solidity": area / hull_area if hull_area > 0 else 1.0,
            "separation": separation,
            "nucleus_share": cv2.countNonZero(nucleus) / n_pixels,
        }
        cells.append(_OutlinedCell(left, top, mask, nucleus, n_pixels, evidence))
    return cells
