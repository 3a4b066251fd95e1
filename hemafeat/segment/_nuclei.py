"""Nuclei: found as violet spots on the reduced image, outlined at full size inside their cell."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hemafeat.segment._background import Frame

MIN_DENSITY = 12
"""Least violet density of a nucleus, in steps of 1/100: below it there is nothing stained."""


@dataclass(slots=True)
class Seed:
    """The nuclear pieces of one cell on the reduced image.

    Attributes
    ----------
    pieces : list of (n, 1, 2) ndarray of int32
        Outer contours, reduced pixels, (x, y).
    area : float
        Their area together.
    hull : (n, 1, 2) ndarray of int32
        Convex hull of all pieces.
    centre : (float, float)
        Centre of the hull, (x, y).
    radius : float
        Radius of the circle of the hull's area.
    """

    pieces: list[np.ndarray]
    area: float
    hull: np.ndarray
    centre: tuple[float, float]
    radius: float


def violet(rgb: np.ndarray, table: np.ndarray) -> np.ndarray:
    """(h, w) uint8 density of dye that is not haemoglobin: ``od_g + od_r - od_b``.

    Thiazine and eosin dyes absorb little blue light and haemoglobin much of it, so that nuclei stand
    out five to eight times as high as red cells, whatever the colour of the background.
    """
    red = cv2.LUT(rgb[:, :, 0], table[0])
    green = cv2.LUT(rgb[:, :, 1], table[1])
    blue = cv2.LUT(rgb[:, :, 2], table[2])
    return cv2.subtract(cv2.add(red, green), blue)


def seeds(frame: Frame, plane: np.ndarray) -> list[Seed]:
    """Groups of nuclear pieces, one for each white cell (or platelet), largest first."""
    smooth = cv2.GaussianBlur(plane, (3, 3), 0)
    threshold = _threshold(smooth, frame.inside)
    if threshold is None:
        return []
    found = (smooth > threshold).astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    found = cv2.morphologyEx(found, cv2.MORPH_OPEN, cross)
    contours, _ = cv2.findContours(found, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    pieces = [(cv2.contourArea(c) + 0.5 * len(c), c) for c in contours]
    if not pieces:
        return []
    largest = max(area for area, _ in pieces)
    pieces = [(area, c) for area, c in pieces if area >= max(9.0, 0.04 * largest)]
    return sorted(_grouped(pieces, found.shape, largest), key=lambda seed: -seed.area)


def _threshold(plane: np.ndarray, inside: np.ndarray | None) -> float | None:
    histogram = cv2.calcHist([plane], [0], inside, [256], [0, 256]).ravel()
    total = histogram.sum()
    if total == 0:
        return None
    # The level of the darkest fifth of a percent: a nucleus is at least that large a part.
    top = int(np.searchsorted(np.cumsum(histogram), total * 0.996))
    if top < MIN_DENSITY:
        return None
    if inside is not None:
        return 0.35 * top
    level = np.arange(256)
    weight = np.cumsum(histogram)
    moment = np.cumsum(histogram * level)
    low = moment / np.maximum(weight, 1)
    high = (moment[-1] - moment) / np.maximum(total - weight, 1)
    otsu = int(np.argmax(weight * (total - weight) * (high - low) ** 2))
    return float(np.clip(otsu, 0.25 * top, 0.5 * top))


def _grouped(
    pieces: list[tuple[float, np.ndarray]], shape: tuple[int, ...], largest: float
) -> list[Seed]:
    # Lobes of one nucleus lie closer to each other than half a nuclear radius.
    reach = max(1, round(0.25 * np.sqrt(largest / np.pi)))
    canvas = np.zeros(shape, np.uint8)
    cv2.drawContours(canvas, [c for _, c in pieces], -1, 1, cv2.FILLED)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    n_groups, label = cv2.connectedComponents(cv2.dilate(canvas, disc))
    groups: list[list[tuple[float, np.ndarray]]] = [[] for _ in range(n_groups)]
    for area, contour in pieces:
        x, y = contour[0, 0]
        groups[label[y, x]].append((area, contour))
    found = []
    for group in groups[1:]:
        hull = cv2.convexHull(np.concatenate([c for _, c in group]))
        moments = cv2.moments(hull)
        if moments["m00"] > 0:
            centre = moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]
        else:
            centre = tuple(hull[:, 0].mean(axis=0).tolist())
        hull_area = cv2.contourArea(hull) + 0.5 * len(hull)
        radius = float(np.sqrt(max(hull_area, 1.0) / np.pi))
        found.append(Seed([c for _, c in group], sum(a for a, _ in group), hull, centre, radius))
    return found


def outline(rgb: np.ndarray, cell: np.ndarray, table: np.ndarray) -> np.ndarray:
    """The nucleus inside one cell, at full size.

    Parameters
    ----------
    rgb : (h, w, 3) ndarray of uint8
        The box of the cell.
    cell : (h, w) ndarray of uint8
        1 inside the cell.
    table : (3, 256) ndarray of uint8
        Density of each level; see `density_table`.

    Returns
    -------
    (h, w) ndarray of uint8
        1 inside the nucleus.
    """
    size = np.sqrt(float(cv2.countNonZero(cell)))
    if size < 3:
        return np.zeros_like(cell)
    plane = _darkness(rgb, table)
    sigma = max(0.8, size / 90.0)
    plane = cv2.GaussianBlur(plane, (0, 0), sigma)
    histogram = cv2.calcHist([plane], [0], cell, [256], [0, 256]).ravel()
    threshold = _split(histogram)
    nucleus = cv2.bitwise_and((plane > threshold).astype(np.uint8), cell)
    return cv2.bitwise_and(_tidy(nucleus, size), cell)


def _darkness(rgb: np.ndarray, table: np.ndarray) -> np.ndarray:
    # Half absorbance, half density: absorbance alone drowns pale nuclei, density alone puts the
    # threshold inside dark ones.
    luts = []
    for channel in range(3):
        density = table[channel].astype(np.float64)
        absorbed = 1.0 - 10.0 ** (-density / 100.0)
        luts.append(np.clip(127.5 * (absorbed + density / 150.0), 0, 255).astype(np.uint8))
    green = cv2.LUT(rgb[:, :, 1], luts[1])
    red = cv2.LUT(rgb[:, :, 0], luts[0])
    return cv2.addWeighted(green, 0.7, red, 0.3, 0.0)


def _split(histogram: np.ndarray) -> float:
    level = np.arange(256)
    weight = np.cumsum(histogram)
    total = weight[-1]
    moment = np.cumsum(histogram * level)
    low = moment / np.maximum(weight, 1)
    high = (moment[-1] - moment) / np.maximum(total - weight, 1)
    between = weight * (total - weight) * (high - low) ** 2
    best = int(np.argmax(between))
    # A cell that is nearly all nucleus has one mode: what is below it is edge, not cytoplasm.
    if low[best] > 0.68 * high[best]:
        return 0.5 * high[best]
    return float(best)


def _tidy(nucleus: np.ndarray, size: float) -> np.ndarray:
    k = 2 * max(1, round(size / 60.0)) + 1
    nucleus = cv2.medianBlur(nucleus * 255, k) // 255
    contours, tree = cv2.findContours(nucleus, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return nucleus
    areas = [cv2.contourArea(c) for c in contours]
    is_hole = tree[0, :, 3] >= 0
    largest = max(area for area, hole in zip(areas, is_hole, strict=True) if not hole)
    for i, (area, hole) in enumerate(zip(areas, is_hole, strict=True)):
        if hole and area < 0.08 * largest:
            cv2.drawContours(nucleus, contours, i, 1, cv2.FILLED)
        elif not hole and area < 0.06 * largest:
            cv2.drawContours(nucleus, contours, i, 0, cv2.FILLED)
    return nucleus
