"""Define what a large image is, of which only parts are read."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from hemafeat._public import public
from hemafeat._scale import doubt_scale
from hemafeat.images._formats import Unreadable

_SAME_SHAPE = 0.02
"""Relative difference by which the ratios of width to height of two levels may differ."""


@public
@dataclass(frozen=True)
class Level:
    """Size of a level of the pyramid of a large image.

    Parameters
    ----------
    width, height : int
        Size in px.
    um_per_px : float
        Side of a pixel in um; NaN if the file does not state it.

    Examples
    --------
    >>> from hemafeat import images
    >>> images.Level(2048, 1024, 0.5).width
    2048
    """

    width: int
    height: int
    um_per_px: float


@public
class Slide(ABC):
    """A large image of which parts are read; `open_slide` makes one.

    Attributes
    ----------
    levels : tuple of Level
        Levels of the pyramid, the largest first.
    """

    levels: tuple[Level, ...]

    @abstractmethod
    def pixels(
        self, level: int, x: int, y: int, width: int, height: int
    ) -> tuple[np.ndarray, bool, int | None]:
        """Read a rectangle that lies in a level.

        Parameters
        ----------
        level : int
            Index of the level.
        x, y, width, height : int
            Rectangle, in px of the level.

        Returns
        -------
        array : (height, width) or (height, width, C) ndarray
            Pixels.
        alpha : bool
            True if a second or fourth channel holds transparency.
        significant : int or None
            Bits per channel that are used, if the file states them.
        """


def levels_of(sizes: list[tuple[int, int]], um_per_px: float) -> tuple[Level, ...]:
    """Return the levels of these sizes, (width, height), of which the first has this scale."""
    if any(width < 1 or height < 1 for width, height in sizes):
        raise Unreadable("has a level without pixels")
    full = sizes[0][0]
    return tuple(Level(width, height, um_per_px * full / width) for width, height in sizes)


def is_level(size: tuple[int, int], full: tuple[int, int]) -> bool:
    """Return whether a picture may be a smaller copy of another, by their sizes."""
    if min(*size, *full) < 1 or size[0] >= full[0]:
        return False
    return abs(math.log(size[0] * full[1] / (size[1] * full[0]))) < _SAME_SHAPE


def credible_scale(x: float | None, y: float | None) -> float:
    """Return the um per pixel of metadata, or NaN for what no microscope has."""
    if x is None or y is None or not (0 < x < math.inf and 0 < y < math.inf):
        return math.nan
    if abs(x - y) > 0.01 * x or doubt_scale(x) is not None:
        return math.nan
    return float(x)
