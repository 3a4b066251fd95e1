"""Outlines of all cells, and second thoughts about lobes that may be nuclei of two cells."""

from __future__ import annotations

import cv2
import numpy as np

from hemafeat.segment._contours import cell as _cells, nuclei as _nuclei
from hemafeat.segment._contours.cell import Outline
from hemafeat.segment._contours.frame import Frame
from hemafeat.segment._contours.nuclei import Seed

PALE = 0.045
"""Share of background inside an outline above which it may be drawn around two cells."""

LOBE = 0.2
"""Area of a nucleus, as a share of that beside it, below which it is not one of its own."""

RIM = 0.75
"""Share of the rim of either of two cells that must be seen."""


def outlines(image: np.ndarray, frame: Frame, seeds: list[Seed]) -> list[tuple[Seed, Outline]]:
    """Each cell with its outline, and two of both where one outline spans two cells.

    Lobes are joined before any outline is known. Where red cells fill the gap between two white
    cells, their nuclei are taken for lobes of one: its outline then takes in background, or leaves
    out a nucleus, and is given up if the outline of each by itself fits the image better.
    """
    seeds = list(seeds)
    owner = _cells.territories(seeds, frame.dark.shape)
    found: list[tuple[Seed, Outline]] = []
    while len(found) < len(seeds):
        number = len(found)
        one = _cells.outline(image, frame, seeds, number, owner)
        parts = _parts(seeds[number])
        if parts and _is_odd(one, parts, frame):
            apart = [*seeds[:number], *parts, *seeds[number + 1 :]]
            owner_apart = _cells.territories(apart, frame.dark.shape)
            each = [
                _cells.outline(image, frame, apart, number + i, owner_apart)
                for i in range(len(parts))
            ]
            if _fit_better(each, one, frame):
                # Either may be two again.
                seeds, owner = apart, owner_apart
                continue
        found.append((seeds[number], one))
    return found


def _parts(seed: Seed) -> list[Seed]:
    """The pieces of a seed by which of the two large ones farthest apart they lie nearer to."""
    if len(seed.pieces) < 2:
        return []
    pieces = [_nuclei.group_of([contour]) for contour in seed.pieces]
    largest = max(piece.area for piece in pieces)
    large = [piece for piece in pieces if piece.area >= LOBE * largest]
    if len(large) < 2:
        return []
    pairs = [(_apart(a, b), i, j) for i, a in enumerate(large) for j, b in enumerate(large[:i])]
    _, i, j = max(pairs)
    one: list[np.ndarray] = []
    two: list[np.ndarray] = []
    for piece in pieces:
        nearer = (
            _apart(piece, large[i]) - large[i].radius <= _apart(piece, large[j]) - large[j].radius
        )
        (one if nearer else two).extend(piece.pieces)
    parts = [_nuclei.group_of(one), _nuclei.group_of(two)]
    parts.sort(key=lambda part: -part.area)
    return parts if parts[1].area >= LOBE * parts[0].area else []


def _apart(one: Seed, two: Seed) -> float:
    return float(np.hypot(one.centre[0] - two.centre[0], one.centre[1] - two.centre[1]))


def _is_odd(one: Outline, parts: list[Seed], frame: Frame) -> bool:
    mask = one.curve.fill(frame.dark.shape, frame.scale)
    for part in parts:
        nucleus = np.zeros_like(mask)
        cv2.drawContours(nucleus, part.pieces, -1, 1, cv2.FILLED)
        if cv2.countNonZero(nucleus & mask) < 0.5 * cv2.countNonZero(nucleus):
            return True
    return _pale(one, frame) > PALE


def _pale(one: Outline, frame: Frame) -> float:
    mask = one.curve.fill(frame.dark.shape, frame.scale)
    pale = cv2.countNonZero((frame.dark < frame.faint).astype(np.uint8) & mask)
    return pale / max(cv2.countNonZero(mask), 1)


def _fit_better(each: list[Outline], one: Outline, frame: Frame) -> bool:
    most = 0.5 * max(_pale(one, frame), PALE)
    return all(
        part.rim >= RIM and part.worth() > one.worth() and _pale(part, frame) < most
        for part in each
    )
