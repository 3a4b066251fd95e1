"""Nuclei on the reduced image: violet spots, grouped into those of one cell each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from hemafeat.segment._contours.frame import Frame
from hemafeat.segment._kernels.nuclei import (
    closest_points,
    mean_density,
    minimum_between,
    polygon_sums,
    width_across,
)

HAEMOGLOBIN = 0.5
"""Density in blue over that in green: 0.1 to 0.4 in nuclei, 0.55 to 0.8 in red cells."""

OVERSIZED = 5.0
"""Ratio of the areas of a spot and of the largest nucleus from which the spot is not a nucleus."""

MIN_OVERSIZED = 0.1
"""Share of the image that such a spot covers at least."""


@dataclass(slots=True)
class Seed:
    """The nuclear pieces of one cell on the reduced image.

    Attributes
    ----------
    pieces : list of (n, 1, 2) ndarray of int32
        Outer contours, reduced pixels, (x, y).
    area : float
        Total area of the pieces.
    hull : (n, 2) ndarray of int32
        Convex hull of all pieces.
    centre : (float, float)
        Centroid of the hull, (x, y).
    radius : float
        Radius of the circle of the hull's area.
    split_from : int
        Number of the spot the piece was cut from; 0 for a piece that was not cut.
    oversized : bool
        True if it is many times as large as the other nuclei: dirt, or several cells.
    """

    pieces: list[np.ndarray]
    area: float
    hull: np.ndarray
    centre: tuple[float, float]
    radius: float
    split_from: int = 0
    oversized: bool = False


def find_seeds(frame: Frame) -> list[Seed]:
    """Find the nuclei, one seed for each white cell (or platelet), largest first."""
    if not frame.any_nuclei:
        return []
    contours, _ = cv2.findContours(frame.nuclei, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    pieces = []
    for contour in contours:
        # Shorter contours enclose too little.
        if len(contour) >= 8:
            area = _area(contour)
            if area >= 9.0 and not is_red(contour, frame.rgb, frame.table):
                pieces.append(_seed([contour], area))
    if not pieces:
        return []
    oversized, pieces = _separate_oversized(pieces, frame)
    pieces = _split_waists(pieces, frame)
    largest = max(piece.area for piece in pieces)
    pieces = [piece for piece in pieces if piece.area >= 0.04 * largest]
    return oversized + _group_lobes(pieces, frame)


def large_seeds(seeds: list[Seed], min_share: float) -> list[Seed]:
    """Return the seeds of at least `min_share` of the largest one that is not oversized."""
    largest = max((seed.area for seed in seeds if not seed.oversized), default=0.0)
    return [seed for seed in seeds if seed.area >= min_share * largest]


def make_seed(contours: list[np.ndarray]) -> Seed:
    """Make one seed of the pieces inside these outer contours."""
    return _seed(contours, sum(map(_area, contours)))


def _seed(contours: list[np.ndarray], area: float) -> Seed:
    points = contours[0] if len(contours) == 1 else np.concatenate(contours)
    hull, centre, hull_area = describe_hull(points)
    radius = math.sqrt(max(hull_area + 0.5 * len(hull), area) / math.pi)
    return Seed(contours, area, hull, centre, radius)


def _area(contour: np.ndarray) -> float:
    # OpenCV measures between the centres of border pixels: half the length is missing.
    return float(cv2.contourArea(contour)) + 0.5 * len(contour)


def describe_hull(points: np.ndarray) -> tuple[np.ndarray, tuple[float, float], float]:
    """Compute the convex hull of (n, 1, 2) border pixels, its centroid and its area.

    The hull is an (m, 2) array; its area is that of the polygon through the centres of its pixels.
    """
    hull = cv2.convexHull(points)[:, 0]
    twice, x, y = polygon_sums(hull)
    if twice == 0:
        x, y = np.mean(hull, axis=0).tolist()
        return hull, (x, y), 0.0
    return hull, (x / (3 * twice), y / (3 * twice)), 0.5 * abs(twice)


def is_red(contour: np.ndarray, rgb: np.ndarray, table: np.ndarray) -> bool:
    """Return True if the piece inside a contour has the colour of red cells.

    Overlapping red cells are as dark as a pale nucleus, but keep their colour.

    Parameters
    ----------
    contour : (n, 1, 2) ndarray of int32
        Border pixels, (x, y), in order.
    rgb : (h, w, 3) ndarray of uint8
        Image.
    table : (3, 256) ndarray of uint8
        Density of each level.

    Returns
    -------
    bool
    """
    left, top, width, height = cv2.boundingRect(contour)
    mask = np.zeros((height, width), np.uint8)
    cv2.drawContours(mask, [contour], 0, 1, cv2.FILLED, offset=(-left, -top))
    red, green, blue = mean_density(mask, rgb, table, left, top)
    grey = abs(red - green) + abs(green - blue) < 0.1 * (red + green + blue)
    return blue > HAEMOGLOBIN * green and not grey


def _separate_oversized(pieces: list[Seed], frame: Frame) -> tuple[list[Seed], list[Seed]]:
    """Separate the spots that are far larger than the nuclei of the image, of which there are some.

    Beside a smudge of stain or a clump, every nucleus would be too small to be one.
    """
    largest = max(piece.area for piece in pieces)
    smaller = [piece for piece in pieces if piece.area < largest / OVERSIZED]
    if not smaller or largest < MIN_OVERSIZED * frame.dark.size:
        return [], pieces
    red_radius = _red_cell_radius(pieces, frame)
    # One nucleus in the middle with a spot beside it is a crop of one cell.
    nuclei = [piece for piece in smaller if 0.95 <= piece.radius / red_radius <= 2.4]
    if len(nuclei) < 2 or not math.sqrt(largest / math.pi) > 2.5 * red_radius:
        return [], pieces
    limit = OVERSIZED * max(piece.area for piece in nuclei)
    oversized = [piece for piece in pieces if piece.area > limit]
    for piece in oversized:
        piece.oversized = True
    return oversized, [piece for piece in pieces if not piece.oversized]


def _red_cell_radius(pieces: list[Seed], frame: Frame) -> float:
    avoid = np.zeros(frame.dark.shape, np.uint8)
    for piece in pieces:
        cv2.drawContours(avoid, piece.pieces, -1, 1, cv2.FILLED)
    return frame.red_cell_radius(cv2.dilate(avoid, np.ones((7, 7), np.uint8)))


def _split_waists(pieces: list[Seed], frame: Frame) -> list[Seed]:
    # Touching cells that are violet all through make one spot with a waist. So do the lobes of one
    # nucleus: only parts as large as a whole white cell are taken for cells.
    dented = [
        piece.area < 0.93 * np.pi * piece.radius**2 and piece.radius > 0.08 * min(frame.dark.shape)
        for piece in pieces
    ]
    if not any(dented):
        return pieces
    red_radius = _red_cell_radius(pieces, frame)
    if not np.isfinite(red_radius):
        return pieces
    split = []
    for number, (piece, is_dented) in enumerate(zip(pieces, dented, strict=True), 1):
        parts = _split_spot(piece, red_radius) if is_dented else []
        for contour in parts:
            part = make_seed([contour])
            part.split_from = number
            split.append(part)
        if not parts:
            split.append(piece)
    return split


def _split_spot(piece: Seed, red_radius: float) -> list[np.ndarray]:
    """Return the contours of the parts on either side of a waist; none without a waist."""
    x, y, w, h = cv2.boundingRect(piece.pieces[0])
    mask = np.zeros((h + 2, w + 2), np.uint8)
    cv2.drawContours(mask, piece.pieces, -1, 1, cv2.FILLED, offset=(1 - x, 1 - y))
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    for level in np.arange(0.3, 0.85, 0.1) * float(depth.max()):
        n, label = cv2.connectedComponents((depth > level).astype(np.uint8))
        if n < 3:
            continue
        least = max(0.7 * red_radius, level / 0.9)
        deep = [i for i in range(1, n) if depth[label == i].max() >= least]
        if len(deep) < 2:
            continue
        # Each pixel belongs to the part whose core is nearest.
        distances = np.stack(
            [cv2.distanceTransform((label != i).astype(np.uint8), cv2.DIST_L2, 3) for i in deep]
        )
        owner = distances.argmin(axis=0)
        contours = []
        for i in range(len(deep)):
            part = ((owner == i) & (mask > 0)).astype(np.uint8)
            radius = np.sqrt(np.count_nonzero(part) / np.pi)
            if not 0.9 * red_radius <= radius <= 2.4 * red_radius:
                return []
            lines, _ = cv2.findContours(
                part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=(x - 1, y - 1)
            )
            line = max(lines, key=cv2.contourArea)
            if cv2.contourArea(line) < 0.88 * cv2.contourArea(cv2.convexHull(line)):
                return []
            contours.append(line)
        return contours
    return []


def _group_lobes(pieces: list[Seed], frame: Frame) -> list[Seed]:
    if len(pieces) == 1:
        pieces[0].split_from = 0
        return pieces
    dark = cv2.blur(frame.dark, (5, 5))
    # Lobes of one nucleus are joined in pairs, nearest first, if one cell lies between them.
    pieces = sorted(pieces, key=lambda piece: -piece.area)
    typical = float(np.sqrt(pieces[0].area / np.pi))
    group = list(range(len(pieces)))
    pairs = []
    for i, first in enumerate(pieces):
        for j in range(i + 1, len(pieces)):
            second = pieces[j]
            distance = math.dist(first.centre, second.centre)
            if distance > first.radius + second.radius + 2.2 * typical:
                continue
            gap, ends = _gap(first, second)
            if gap <= 1.8 * typical:
                pairs.append((gap, i, j, ends))
    for gap, i, j, ends in sorted(pairs, key=lambda pair: pair[:3]):
        if group[i] != group[j] and _same_cell(pieces[i], pieces[j], gap, ends, dark, frame.faint):
            old, new = group[j], group[i]
            group = [new if g == old else g for g in group]
    seeds = []
    for number in sorted(set(group)):
        members = [piece for piece, g in zip(pieces, group, strict=True) if g == number]
        if len(members) == 1:
            members[0].split_from = 0
            seeds.append(members[0])
        else:
            seeds.append(make_seed([line for piece in members for line in piece.pieces]))
    return sorted(seeds, key=lambda seed: -seed.area)


def _gap(first: Seed, second: Seed) -> tuple[float, np.ndarray]:
    a, b = first.pieces[0][:, 0], second.pieces[0][:, 0]
    a, b = a[:: max(1, len(a) // 60)], b[:: max(1, len(b) // 60)]
    distance, i, j = closest_points(np.ascontiguousarray(a), np.ascontiguousarray(b))
    return distance, np.stack([a[i], b[j]])


def _same_cell(
    first: Seed, second: Seed, gap: float, ends: np.ndarray, dark: np.ndarray, faint: float
) -> bool:
    (x0, y0), (x1, y1) = ends.tolist()
    middle = 0.5 * (x0 + x1), 0.5 * (y0 + y1)
    # Two touching cells have a waist where they meet; one cell is widest there.
    distance = max(math.dist(first.centre, second.centre), 1e-6)
    across = (
        -(second.centre[1] - first.centre[1]) / distance,
        (second.centre[0] - first.centre[0]) / distance,
    )
    waist, *sides = (
        width_across(dark, *point, *across, faint)
        for point in (middle, first.centre, second.centre)
    )
    side = min(sides)
    if minimum_between(dark, x0, y0, x1, y1, max(3, int(2 * gap))) < faint:
        return waist > 0.9 * side
    relative_gap = gap / math.sqrt(first.area / math.pi)
    if relative_gap > 1.1:
        # Between lobes far apart in one cell lies its centre, which is deepest in it. A piece cut
        # by the border is more likely the nucleus of a neighbour.
        height, width = dark.shape
        for piece in (first, second):
            x, y, w, h = cv2.boundingRect(piece.hull)
            if min(x, y, width - x - w, height - y - h) <= 2:
                return False
        depth = cv2.distanceTransform((dark >= faint).astype(np.uint8), cv2.DIST_L2, 3)
        x, y = round(middle[0]), round(middle[1])
        least = max(depth[round(c[1]), round(c[0])] for c in (first.centre, second.centre))
        return bool(depth[y, x] >= least)
    # Lobes this close are one nucleus even in cytoplasm too pale to be seen, but a spot may have
    # been split too freely.
    siblings = first.split_from > 0 and first.split_from == second.split_from
    if relative_gap < 0.28 and not siblings:
        return True
    return waist >= (0.8 if relative_gap < 0.8 else 0.95) * side
