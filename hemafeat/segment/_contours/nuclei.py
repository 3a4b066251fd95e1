"""Nuclei: found as violet spots on the reduced image, outlined at full size inside their cell."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from hemafeat.segment._contours.frame import Frame, red_cell_radius
from hemafeat.segment._kernels.nuclei import breadth, nearest, palest
from hemafeat.segment._kernels.pieces import described

NOTHING, NO_TABLE = np.zeros((1, 1, 3), np.uint8), np.zeros((3, 256), np.uint8)


@dataclass(slots=True)
class Seed:
    """The nuclear pieces of one cell on the reduced image.

    Attributes
    ----------
    pieces : list of (n, 1, 2) ndarray of int32
        Outer contours, reduced pixels, (x, y).
    area : float
        Their area together.
    hull : (n, 2) ndarray of int32
        Convex hull of all pieces.
    centre : (float, float)
        Centre of the hull, (x, y).
    radius : float
        Radius of the circle of the hull's area.
    split_from : int
        Pieces cut out of one spot share a number above 0.
    """

    pieces: list[np.ndarray]
    area: float
    hull: np.ndarray
    centre: tuple[float, float]
    radius: float
    split_from: int = 0


def seeds(frame: Frame) -> list[Seed]:
    """Groups of nuclear pieces, one for each white cell (or platelet), largest first."""
    if not frame.any_nuclei:
        return []
    contours, _ = cv2.findContours(frame.nuclei, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    pieces = []
    for line in contours:
        # Shorter lines than that enclose too little.
        if len(line) >= 8:
            hull, found = described(line[:, 0], frame.rgb, frame.table, True)
            x, y, around, area, is_red = found.tolist()
            if area >= 9.0 and not is_red:
                pieces.append(_seed([line], hull, x, y, around, area))
    if not pieces:
        return []
    pieces = _split_up(pieces, frame)
    largest = max(piece.area for piece in pieces)
    pieces = [piece for piece in pieces if piece.area >= 0.04 * largest]
    return _grouped(pieces, frame)


def _split_up(pieces: list[Seed], frame: Frame) -> list[Seed]:
    # Cells that touch, both violet all through, make one spot with a waist. Lobes of one nucleus do
    # so too: only parts as large as a whole white cell are taken for cells.
    dented = [
        piece.area < 0.93 * np.pi * piece.radius**2 and piece.radius > 0.08 * min(frame.dark.shape)
        for piece in pieces
    ]
    if not any(dented):
        return pieces
    avoid = np.zeros(frame.dark.shape, np.uint8)
    for piece in pieces:
        cv2.drawContours(avoid, piece.pieces, -1, 1, cv2.FILLED)
    red = red_cell_radius(frame, cv2.dilate(avoid, np.ones((7, 7), np.uint8)))
    if not np.isfinite(red):
        return pieces
    found = []
    for number, (piece, is_dented) in enumerate(zip(pieces, dented, strict=True), 1):
        parts = _parts(piece, red) if is_dented else []
        for contour in parts:
            part = group_of([contour])
            part.split_from = number
            found.append(part)
        if not parts:
            found.append(piece)
    return found


def _parts(piece: Seed, red: float) -> list[np.ndarray]:
    """Contours of the parts of a spot on either side of a waist; none where it has no waist."""
    x, y, w, h = cv2.boundingRect(piece.pieces[0])
    mask = np.zeros((h + 2, w + 2), np.uint8)
    cv2.drawContours(mask, piece.pieces, -1, 1, cv2.FILLED, offset=(1 - x, 1 - y))
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    for level in np.arange(0.3, 0.85, 0.1) * float(depth.max()):
        n, label = cv2.connectedComponents((depth > level).astype(np.uint8))
        if n < 3:
            continue
        deep = [i for i in range(1, n) if depth[label == i].max() >= max(0.7 * red, level / 0.9)]
        if len(deep) < 2:
            continue
        # Each pixel goes to the part whose core is nearest.
        away = np.stack(
            [cv2.distanceTransform((label != i).astype(np.uint8), cv2.DIST_L2, 3) for i in deep]
        )
        owner = away.argmin(axis=0)
        contours = []
        for place in range(len(deep)):
            part = ((owner == place) & (mask > 0)).astype(np.uint8)
            radius = np.sqrt(np.count_nonzero(part) / np.pi)
            if not 0.9 * red <= radius <= 2.4 * red:
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


def group_of(contours: list[np.ndarray]) -> Seed:
    """One seed of the pieces inside these outer contours."""
    points = contours[0] if len(contours) == 1 else np.concatenate(contours)
    hull, found = described(points[:, 0], NOTHING, NO_TABLE, False)
    x, y, around, *_ = found.tolist()
    return _seed(contours, hull, x, y, around, sum(map(_area, contours)))


def _seed(
    contours: list[np.ndarray], hull: np.ndarray, x: float, y: float, around: float, area: float
) -> Seed:
    radius = math.sqrt(max(around + 0.5 * len(hull), area) / math.pi)
    return Seed(contours, area, hull, (x, y), radius)


def _area(line: np.ndarray) -> float:
    # Half the length of the contour: OpenCV measures between the centres of border pixels.
    return float(cv2.contourArea(line)) + 0.5 * len(line)


def _grouped(pieces: list[Seed], frame: Frame) -> list[Seed]:
    if len(pieces) == 1:
        return [_alone(pieces[0])]
    dark = cv2.blur(frame.dark, (5, 5))
    # Lobes of one nucleus join by pairs, nearest first, as long as what lies between is one cell.
    pieces = sorted(pieces, key=lambda piece: -piece.area)
    typical = float(np.sqrt(pieces[0].area / np.pi))
    group = list(range(len(pieces)))
    pairs = []
    for i, one in enumerate(pieces):
        for j in range(i + 1, len(pieces)):
            two = pieces[j]
            apart = math.dist(one.centre, two.centre)
            if apart > one.radius + two.radius + 2.2 * typical:
                continue
            gap, ends = _gap(one, two)
            if gap <= 1.8 * typical:
                pairs.append((gap, i, j, ends))
    for gap, i, j, ends in sorted(pairs, key=lambda pair: pair[:3]):
        if group[i] != group[j] and _same_cell(pieces[i], pieces[j], gap, ends, dark, frame.faint):
            old, new = group[j], group[i]
            group = [new if g == old else g for g in group]
    found = []
    for number in sorted(set(group)):
        members = [p for p, g in zip(pieces, group, strict=True) if g == number]
        found.append(_alone(members[0]) if len(members) == 1 else _joined(members))
    return sorted(found, key=lambda seed: -seed.area)


def _alone(piece: Seed) -> Seed:
    piece.split_from = 0
    return piece


def _joined(pieces: list[Seed]) -> Seed:
    return group_of([line for piece in pieces for line in piece.pieces])


def _gap(one: Seed, two: Seed) -> tuple[float, np.ndarray]:
    a, b = one.pieces[0][:, 0], two.pieces[0][:, 0]
    a, b = a[:: max(1, len(a) // 60)], b[:: max(1, len(b) // 60)]
    apart, i, j = nearest(np.ascontiguousarray(a), np.ascontiguousarray(b))
    return apart, np.stack([a[i], b[j]])


def _same_cell(
    one: Seed, two: Seed, gap: float, ends: np.ndarray, dark: np.ndarray, faint: float
) -> bool:
    (x0, y0), (x1, y1) = ends.tolist()
    middle = 0.5 * (x0 + x1), 0.5 * (y0 + y1)
    # Two cells that touch have a waist where they meet; one cell is widest there.
    apart = max(math.dist(one.centre, two.centre), 1e-6)
    across = (
        -(two.centre[1] - one.centre[1]) / apart,
        (two.centre[0] - one.centre[0]) / apart,
    )
    waist, *sides = (breadth(dark, *at, *across, faint) for at in (middle, one.centre, two.centre))
    side = min(sides)
    if palest(dark, x0, y0, x1, y1, max(3, int(2 * gap))) < faint:
        return waist > 0.9 * side
    apart = gap / math.sqrt(one.area / math.pi)
    if apart > 1.1:
        # Far apart in one cell, lobes have its middle between them, which lies deepest in it. What
        # the border cuts is more likely the nucleus of a neighbour.
        height, width = dark.shape
        for piece in (one, two):
            x, y, w, h = cv2.boundingRect(piece.hull)
            if min(x, y, width - x - w, height - y - h) <= 2:
                return False
        depth = cv2.distanceTransform((dark >= faint).astype(np.uint8), cv2.DIST_L2, 3)
        x, y = round(middle[0]), round(middle[1])
        least = max(depth[round(c[1]), round(c[0])] for c in (one.centre, two.centre))
        return bool(depth[y, x] >= least)
    # Lobes this close are one nucleus even in cytoplasm too pale to be seen, but parts of one spot
    # may have been cut apart too freely.
    siblings = one.split_from > 0 and one.split_from == two.split_from
    if apart < 0.28 and not siblings:
        return True
    return waist >= (0.8 if apart < 0.8 else 0.95) * side
