"""Touching cells, separated by the depth that a network predicts inside them."""

from __future__ import annotations

import math
from itertools import combinations

import cv2
import numpy as np

from hemafeat.segment._unet.scale import UNET_RADIUS

PROMINENCE = 0.1
"""Depth by which the core of a cell stands out from the valleys round it."""

PEAK = 0.25
"""Largest depth of a core below which it is not a cell of its own."""

LEVELS = np.linspace(0.05, 0.95, 19)
"""Depths between which the flooding makes no difference."""

ROUND = 0.94
"""Solidity from which parts are lobes of one cell, not touching cells: two equal discs that touch
have 0.88."""

SOLID = 0.9
"""Solidity from which an outline may be that of one whole cell."""

JOINED = 0.6
"""Depth of the valley between two parts, relative to the lower one, below which they are cells that
touch."""

CLUMP = 2.0 * math.pi * (1.6 * UNET_RADIUS) ** 2
"""Area, in pixels of the network, from which a round region may be of several cells."""

MIN_AREA = 0.1 * math.pi * UNET_RADIUS**2
"""Area, in pixels of the network, below which a region is not a cell."""


def split_touching(
    inside: np.ndarray, depth: np.ndarray
) -> tuple[np.ndarray, dict[int, tuple[int, int, int, int]]]:
    """Label the cells, separating those that touch.

    Parameters
    ----------
    inside : (h, w) ndarray of float32
        Probability of each pixel to lie in a cell.
    depth : (h, w) ndarray of float32
        Predicted depth inside the cell, 0 to 1.

    Returns
    -------
    labels : (h, w) ndarray of int32
        Labels of the cells; 0 is background.
    boxes : dict of int to (left, top, width, height)
        Box of each label.
    """
    mask = (inside > 0.5).astype(np.uint8)
    n, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    boxes = {}
    next_number = n
    for number, (left, top, width, height, area) in enumerate(stats[1:].tolist(), start=1):
        box = np.s_[top : top + height, left : left + width]
        region = labels[box] == number
        if area < MIN_AREA:
            labels[box][region] = 0
            continue
        boxes[number] = (left, top, width, height)
        if area < CLUMP and mask_solidity(region) >= ROUND:
            continue
        cores = _find_cores(np.where(region, depth[box], 0.0))
        if cores.max() < 2:
            continue
        parts = _join_lobes(_flood(cores, depth[box], region), depth[box])
        if parts.max() < 2:
            continue
        del boxes[number]
        labels[box][region] = 0
        for part in range(1, int(parts.max()) + 1):
            piece = parts == part
            if np.count_nonzero(piece) < MIN_AREA:
                continue
            labels[box][piece] = next_number
            x, y, w, h = cv2.boundingRect(piece.astype(np.uint8))
            boxes[next_number] = (left + x, top + y, w, h)
            next_number += 1
    return labels, boxes


def _find_cores(depth: np.ndarray) -> np.ndarray:
    """Label the cores of cells, 1..n: the maxima that stand out from the valleys round them."""
    from skimage.morphology import local_maxima, reconstruction

    steps = np.rint(255 * depth)
    # Not `h_maxima`, which returns two tops of the same height as two cores, however shallow the
    # valley between them.
    domes = reconstruction(np.maximum(steps - round(255 * PROMINENCE), 0), steps)
    n, cores = cv2.connectedComponents(local_maxima(domes).astype(np.uint8), connectivity=8)
    numbers = np.zeros(n, np.int32)
    for number in range(1, n):
        if depth[cores == number].max() >= PEAK:
            numbers[number] = numbers.max() + 1
    return numbers[cores]


def _flood(cores: np.ndarray, depth: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Extend each core over the slopes that lead up to it."""
    # Few cells touch: only they need scikit-image. OpenCV's own watershed floods by the differences
    # between neighbours, not by height.
    from skimage.segmentation import watershed

    # In steps: small dents in the depth must not steer the border.
    height = np.searchsorted(LEVELS, depth)
    return watershed(LEVELS.size - height, cores, connectivity=1, mask=region)


def _join_lobes(parts: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Join the neighbours that together are as round as one cell, without a deep valley between.

    In a large clump many neighbours together are round, too.
    """
    n = int(parts.max())
    peaks = np.array([0.0, *(depth[parts == part].max() for part in range(1, n + 1))])
    near = _saddles(parts, depth) >= JOINED * np.minimum(peaks[:, None], peaks[None])
    near[0] = near[:, 0] = False
    pairs = [set(pair) for pair in combinations(range(1, n + 1), 2) if near[pair]]
    triples = [
        pair | {third}
        for pair in pairs
        for third in range(1, n + 1)
        if third not in pair and near[third, list(pair)].any()
    ]
    left = set(range(1, n + 1))
    groups: list[tuple[int, ...]] = []
    for group in triples + pairs:
        if left.issuperset(group) and mask_solidity(np.isin(parts, list(group))) >= ROUND:
            groups.append(tuple(sorted(group)))
            left -= group
    groups += [(part,) for part in left]
    numbers = np.zeros(n + 1, np.int32)
    for number, members in enumerate(sorted(groups), 1):
        numbers[list(members)] = number
    return numbers[parts]


def _saddles(parts: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Return the largest depth at the border of each pair of parts, (n + 1, n + 1) float32."""
    n = int(parts.max()) + 1
    saddles = np.full((n, n), -1.0, np.float32)
    for one, other in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        first, second = parts[one], parts[other]
        border = (first != second) & (first > 0) & (second > 0)
        heights = np.minimum(depth[one], depth[other])[border]
        np.maximum.at(saddles, (first[border], second[border]), heights)
    return np.maximum(saddles, saddles.T)


def mask_solidity(mask: np.ndarray) -> float:
    """Compute the area of a mask over that of the convex hull of all its pieces, 0 to 1."""
    mask = mask.astype(np.uint8)
    lines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    hull = np.zeros(mask.shape, np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(np.concatenate(lines)), 1)
    return cv2.countNonZero(mask) / cv2.countNonZero(hull)
