"""Fill outlines to label images, and trace label images to outlines, without loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from hemafeat.segment._masks import MaskError

MAX_CROSSINGS = (2**22, 2**26)
"""How many times an outline, and all of an image, may cross a row of pixels."""

MAX_SIDES = 2**17
"""Largest number of sides of pixels round a label that is traced; a white cell has about 500."""

MAX_COVER = 32
"""How many times the boxes of all outlines may cover the image."""

FARTHEST = 2.0**24
"""Largest coordinate, in px."""

NESTED = 0.5
"""Share of an outline in another one from which it is said to lie in that one."""


@dataclass(frozen=True)
class Outline:
    """One object, drawn as polygons.

    Attributes
    ----------
    rings : list of (n, 2) ndarray of float64
        Vertices (x, y) of closed rings, in px from the upper left corner of the upper left pixel. A
        ring in another one is a hole.
    nucleus : bool
        Whether it is a nucleus.
    name : str
        What the program calls it, for messages.
    """

    rings: list[np.ndarray]
    nucleus: bool = False
    name: str = ""


def fill(outlines: Sequence[Outline], shape: tuple[int, int], *, apart: bool = True) -> np.ndarray:
    """Return the labels of outlines, numbered in their order.

    A pixel belongs to the outline that its centre lies in; where several overlap, to the first.

    Parameters
    ----------
    outlines : sequence of Outline
        Objects of one kind.
    shape : tuple of int
        Height and width of the image.
    apart : bool
        Refuse outlines in each other. Default True.

    Returns
    -------
    (H, W) ndarray of int32
        0 outside of all outlines.

    Raises
    ------
    MaskError
        A coordinate is not a number or too large, an outline lies outside the image, half in
        another one or on no pixel, or the outlines are too complex to be filled.
    """
    height, width = shape
    labels = np.zeros(shape, np.int32)
    crossings = covered = 0
    areas = np.zeros(len(outlines) + 1)
    for number, outline in enumerate(outlines, 1):
        edges = [_edges(ring, outline.name) for ring in outline.rings]
        if not edges:
            continue
        x0, y0, x1, y1 = np.concatenate(edges, axis=1)
        top, bottom = _span(y0, height)
        left, right = _span(x0, width)
        if top >= bottom or left >= right:
            raise MaskError(
                f"{outline.name} lies outside the image, which is {height} x {width} (height x "
                "width): the outlines are those of another image, or in other units than pixels"
            )
        first = np.clip(np.ceil(np.minimum(y0, y1) - 0.5), top, bottom).astype(np.int64)
        last = np.clip(np.ceil(np.maximum(y0, y1) - 0.5), top, bottom).astype(np.int64)
        n_rows = last - first
        n_crossings = int(n_rows.sum())
        crossings += n_crossings
        covered += (bottom - top) * (right - left)
        if (
            n_crossings > MAX_CROSSINGS[0]
            or crossings > MAX_CROSSINGS[1]
            or covered > MAX_COVER * max(height * width, 2**20)
        ):
            raise MaskError("its outlines are too many or too large to be filled")
        # Each edge toggles, in every row whose centre it crosses, all pixels to its right.
        edge = np.repeat(np.arange(n_rows.size), n_rows)
        row = np.arange(edge.size) - np.repeat(np.cumsum(n_rows) - n_rows, n_rows) + first[edge]
        share = (row + 0.5 - y0[edge]) / (y1[edge] - y0[edge])
        x = x0[edge] + share * (x1[edge] - x0[edge])
        column = np.clip(np.ceil(x - 0.5), left, right).astype(np.int64)
        toggles = np.zeros((bottom - top, right - left + 1), np.int32)
        np.add.at(toggles, (row - top, column - left), 1)
        inside = np.cumsum(toggles[:, :-1], axis=1) % 2 == 1
        window = labels[top:bottom, left:right]
        below = window[inside]
        areas[number] = below.size
        if not below.size:
            raise MaskError(f"{outline.name} covers no pixel")
        if apart:
            _check_nesting(below[below > 0], areas, number, outlines)
        window[inside & (window == 0)] = number
    return labels


def _check_nesting(
    below: np.ndarray, areas: np.ndarray, number: int, outlines: Sequence[Outline]
) -> None:
    """Refuse an outline that lies in another one, or another one in it.

    `below` holds the labels of earlier outlines in outline `number`. Either one of the two is a
    nucleus and not called so, or the larger one is a region: as two cells they would be counted
    twice.
    """
    if not below.size:
        return
    others, counts = np.unique(below, return_counts=True)
    others = others[counts >= NESTED * np.minimum(areas[others], areas[number])]
    if not others.size:
        return
    inner, outer = sorted((number, int(others[0])), key=lambda one: float(areas[one]))
    advice = "remove what is no nucleus"
    if not outlines[inner - 1].nucleus:
        advice = "name a nucleus 'nucleus', and remove what is neither a cell nor a nucleus"
    raise MaskError(f"{outlines[inner - 1].name} lies in {outlines[outer - 1].name}: {advice}")


def _edges(ring: np.ndarray, name: str) -> np.ndarray:
    """Return start and end of the edges of a ring, x0, y0, x1 and y1: (4, n)."""
    if ring.ndim != 2 or ring.shape[1] != 2 or len(ring) < 3:
        raise MaskError(f"{name} has fewer than three corners")
    if not np.isfinite(ring).all() or np.abs(ring).max() > FARTHEST:
        raise MaskError(f"{name} has coordinates that are not numbers, or too large")
    return np.concatenate([ring.T, np.roll(ring, -1, axis=0).T])


def _span(values: np.ndarray, length: int) -> tuple[int, int]:
    """Return the first pixel that coordinates may touch, and the one after the last."""
    start, stop = np.clip([np.floor(values.min()), np.ceil(values.max())], 0, length)
    return int(start), int(stop)


def trace(labels: np.ndarray, number: int) -> list[list[np.ndarray]]:
    """Return the polygons of one label, along the sides of its pixels.

    Parameters
    ----------
    labels : (H, W) ndarray of int
        Label image.
    number : int
        Label to trace.

    Returns
    -------
    list of list of (n, 2) ndarray of int64
        For each piece its outer ring and those of its holes: corners (x, y), of which the first is
        not repeated. `fill` gives the pixels back.

    Raises
    ------
    MaskError
        The label is too rough to be traced: noise, not a cell.
    """
    rows, columns = np.nonzero(labels == number)
    if not rows.size:
        return []
    top, left = rows.min(), columns.min()
    mask = np.zeros((int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1), np.uint8)
    mask[rows - top, columns - left] = 1
    padded = np.pad(mask, 1)
    sides = sum(np.count_nonzero(np.diff(padded, axis=axis)) for axis in (0, 1))
    if sides > MAX_SIDES:
        raise MaskError(f"label {number} is too rough to be outlined")
    n, pieces, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    found = []
    for piece in range(1, n):
        x, y, width, height = boxes[piece, :4].tolist()
        inside = pieces[y : y + height, x : x + width] == piece
        shift = np.array([left + x, top + y])
        found.append([ring + shift for ring in _rings(inside)])
    return found


def _rings(mask: np.ndarray) -> list[np.ndarray]:
    """Return the rings round a piece joined by the sides of its pixels, the outer one first."""
    padded = np.pad(mask, 1)
    # Sides of pixels as arrows between corners, the inside to their right.
    following: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for dx0, dy0, dx1, dy1, step in (
        (0, 0, 1, 0, (0, -1)),
        (1, 0, 1, 1, (1, 0)),
        (1, 1, 0, 1, (0, 1)),
        (0, 1, 0, 0, (-1, 0)),
    ):
        beyond = np.roll(padded, (-step[1], -step[0]), axis=(0, 1))
        for y, x in zip(*(part.tolist() for part in np.nonzero(padded & ~beyond)), strict=True):
            start, stop = (x - 1 + dx0, y - 1 + dy0), (x - 1 + dx1, y - 1 + dy1)
            following.setdefault(start, []).append(stop)
    rings = []
    while following:
        start = at = next(iter(following))
        ring, before = [], (0, 0)
        while True:
            choices = following[at]
            # Where two rings meet at a corner, the turn to the right stays on one pixel.
            to = max(choices, key=lambda corner: _turn(before, at, corner))
            choices.remove(to)
            if not choices:
                del following[at]
            heading = (to[0] - at[0], to[1] - at[1])
            if heading != before:
                ring.append(at)
            at, before = to, heading
            if at == start:
                break
        if len(ring) > 1 and _turn(before, at, ring[1]) == 0:
            ring = ring[1:]  # it began in the middle of a straight side
        rings.append(np.array(ring, np.int64))
    return sorted(rings, key=_area, reverse=True)


def _turn(before: tuple[int, int], at: tuple[int, int], to: tuple[int, int]) -> int:
    """Return 1 for a turn to the right, seen with y downwards, -1 to the left, and 0 for none."""
    dx, dy = to[0] - at[0], to[1] - at[1]
    return int(np.sign(before[0] * dy - before[1] * dx))


def _area(ring: np.ndarray) -> float:
    x, y = ring.T.astype(np.float64)
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
