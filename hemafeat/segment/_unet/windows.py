"""The parts of an image that a network is run on: the surroundings of its nuclei."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2

from hemafeat.segment._contours.nuclei import Seed
from hemafeat.segment._unet.tiles import STEP

MARGINS = (32.0, 56.0, 140.0)
"""Distances, in pixels of the network, from a nucleus to the border of its window, which holds the
cell and what the network needs to see around it. The next one is used if a border cuts a cell."""

MOST = 0.6
"""Share of the image from which windows save too little: the whole image is looked at instead, so
that the network sees all that is around a cell."""

Window = tuple[slice, slice]
"""Rows and columns of an image."""

_Box = tuple[float, float, float, float]


def find_windows(
    seeds: Sequence[Seed],
    scale: float,
    shape: tuple[int, int],
    zoom: float,
    margin: float,
) -> list[Window]:
    """Find the windows of an image in which its cells lie.

    Parameters
    ----------
    seeds : sequence of Seed
        Nuclei on the reduced image.
    scale : float
        Pixels of the image per reduced pixel.
    shape : (int, int)
        Height and width of the image.
    zoom : float
        Pixels of the network per pixel of the image.
    margin : float
        Pixels of the network around a nucleus.

    Returns
    -------
    list of (slice, slice)
        Rows and columns of each window; no two windows overlap. The whole image if there is no seed
        or the windows would cover most of it.
    """
    whole = [(slice(0, shape[0]), slice(0, shape[1]))]
    if not seeds:
        return whole
    windows: list[_Box] = []
    for seed in seeds:
        x, y, width, height = cv2.boundingRect(seed.hull)
        box = _fit(
            (
                y * scale - margin / zoom,
                (y + height) * scale + margin / zoom,
                x * scale - margin / zoom,
                (x + width) * scale + margin / zoom,
            ),
            shape,
            zoom,
        )
        while hit := [window for window in windows if _overlap(window, box)]:
            windows = [window for window in windows if window not in hit]
            tops, bottoms, lefts, rights = zip(*hit, box, strict=True)
            box = _fit((min(tops), max(bottoms), min(lefts), max(rights)), shape, zoom)
        windows.append(box)
    area = sum((bottom - top) * (right - left) for top, bottom, left, right in windows)
    if area >= MOST * shape[0] * shape[1]:
        return whole
    return [
        (slice(int(top), int(bottom)), slice(int(left), int(right)))
        for top, bottom, left, right in windows
    ]


def _fit(box: _Box, shape: tuple[int, int], zoom: float) -> _Box:
    """Enlarge a box to whole steps of the network, inside the image."""
    top, bottom, left, right = box
    return (*_fit_side(top, bottom, shape[0], zoom), *_fit_side(left, right, shape[1], zoom))


def _fit_side(start: float, stop: float, length: int, zoom: float) -> tuple[int, int]:
    start, stop = max(start, 0.0), min(stop, float(length))
    steps = math.ceil((stop - start) * zoom / STEP)
    side = min(length, int(steps * STEP / zoom))
    first = min(max(0, round((start + stop - side) / 2)), length - side)
    return first, first + side


def _overlap(first: _Box, second: _Box) -> bool:
    return (
        first[0] < second[1]
        and second[0] < first[1]
        and first[2] < second[3]
        and second[2] < first[3]
    )
