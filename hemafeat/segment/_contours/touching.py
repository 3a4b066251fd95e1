"""Outlines of all cells, and the splitting of outlines that span two cells."""

from __future__ import annotations

import cv2
import numpy as np

from hemafeat.segment._contours.cell import Outline, nearest_seed, outline_cell
from hemafeat.segment._contours.frame import Frame
from hemafeat.segment._contours.nuclei import Seed, make_seed

PALE = 0.045
"""Share of background inside an outline above which it may enclose two cells."""

LOBE = 0.2
"""Area of a nucleus, relative to the one beside it, below which it is only a lobe."""

RIM = 0.75
"""Share of the rim of each of two cells that must be visible."""


def find_outlines(image: np.ndarray, frame: Frame, seeds: list[Seed]) -> list[tuple[Seed, Outline]]:
    """Outline each cell, and split outlines that span two cells.

    Lobes are joined before any outline is known. Where red cells fill the gap between two white
    cells, their nuclei are taken for lobes of one: the outline then includes background, or leaves
    out a nucleus, and is discarded if the outlines of the two parts fit the image better.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB image at full size.
    frame : Frame
        Its reduced copy.
    seeds : list of Seed
        Nuclei.

    Returns
    -------
    list of (Seed, Outline)
        One pair for each cell.
    """
    seeds = list(seeds)
    owner = nearest_seed(seeds, frame.dark.shape)
    pairs: list[tuple[Seed, Outline]] = []
    while len(pairs) < len(seeds):
        number = len(pairs)
        outline = outline_cell(image, frame, seeds, number, owner)
        parts = _split_seed(seeds[number])
        if parts and _is_suspicious(outline, parts, frame):
            split_seeds = [*seeds[:number], *parts, *seeds[number + 1 :]]
            split_owner = nearest_seed(split_seeds, frame.dark.shape)
            outlines = [
                outline_cell(image, frame, split_seeds, number + i, split_owner)
                for i in range(len(parts))
            ]
            if _fit_better(outlines, outline, frame):
                # Each of the two may have to be split again.
                seeds, owner = split_seeds, split_owner
                continue
        pairs.append((seeds[number], outline))
    return pairs


def _split_seed(seed: Seed) -> list[Seed]:
    """Divide the pieces of a seed between the two large ones that are farthest apart."""
    if len(seed.pieces) < 2:
        return []
    pieces = [make_seed([contour]) for contour in seed.pieces]
    largest = max(piece.area for piece in pieces)
    large = [piece for piece in pieces if piece.area >= LOBE * largest]
    if len(large) < 2:
        return []
    distances = [
        (_distance(a, b), i, j) for i, a in enumerate(large) for j, b in enumerate(large[:i])
    ]
    _, i, j = max(distances)
    halves: tuple[list[np.ndarray], list[np.ndarray]] = [], []
    for piece in pieces:
        to_first = _distance(piece, large[i]) - large[i].radius
        to_second = _distance(piece, large[j]) - large[j].radius
        halves[to_first > to_second].extend(piece.pieces)
    if not all(halves):
        # One piece is so large that the other one lies within it.
        return []
    parts = sorted(map(make_seed, halves), key=lambda part: -part.area)
    return parts if parts[1].area >= LOBE * parts[0].area else []


def _distance(first: Seed, second: Seed) -> float:
    return float(np.hypot(first.centre[0] - second.centre[0], first.centre[1] - second.centre[1]))


def _is_suspicious(outline: Outline, parts: list[Seed], frame: Frame) -> bool:
    mask = outline.curve.fill(frame.dark.shape, frame.scale)
    for part in parts:
        nucleus = np.zeros_like(mask)
        cv2.drawContours(nucleus, part.pieces, -1, 1, cv2.FILLED)
        if cv2.countNonZero(nucleus & mask) < 0.5 * cv2.countNonZero(nucleus):
            return True
    return _pale_share(outline, frame) > PALE


def _pale_share(outline: Outline, frame: Frame) -> float:
    mask = outline.curve.fill(frame.dark.shape, frame.scale)
    pale = cv2.countNonZero((frame.dark < frame.faint).astype(np.uint8) & mask)
    return pale / max(cv2.countNonZero(mask), 1)


def _fit_better(parts: list[Outline], whole: Outline, frame: Frame) -> bool:
    most = 0.5 * max(_pale_share(whole, frame), PALE)
    return all(
        part.rim >= RIM and part.support() > whole.support() and _pale_share(part, frame) < most
        for part in parts
    )
