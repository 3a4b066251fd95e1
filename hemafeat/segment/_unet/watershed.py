"""Cells that touch, parted by the depth a network sees in them."""

from __future__ import annotations

import math
from itertools import combinations

import cv2
import numpy as np

from hemafeat.segment._unet.scale import RADIUS

CORE = 0.5
"""Depth above which pixels are the core of one cell."""

PEAK = 0.7
"""Depth a core must reach to be one of its own."""

ROUND = 0.94
"""Area over that of the convex hull from which parts are lobes of one cell, not cells that touch:
two equal discs that touch have 0.88."""

SOLID = 0.9
"""Area over that of the convex hull from which an outline may be that of one whole cell."""

MOST_LOBES = 5
"""Parts, at most, that are tried as one cell."""

LEAST_AREA = 0.1 * math.pi * RADIUS**2
"""Area, in pixels of the network, below which there is no cell."""

CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


def parted(
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
            if left.issuperset(some) and solidity(np.isin(parts, some)) >= ROUND:
                groups.append(some)
                left -= set(some)
    groups += [(one,) for one in left]
    number = np.zeros(n + 1, np.int32)
    for place, group in enumerate(sorted(groups), 1):
        number[list(group)] = place
    return number[parts]


def solidity(mask: np.ndarray) -> float:
    """Area over that of the convex hull of all pieces, 0 to 1."""
    places = cv2.findNonZero(mask.astype(np.uint8))
    hull = np.zeros(mask.shape, np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(places), 1)
    return len(places) / cv2.countNonZero(hull)
