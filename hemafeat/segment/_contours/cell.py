"""The outline of a whole cell: the best closed curve around its nucleus."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from hemafeat.segment._contours.frame import Frame
from hemafeat.segment._contours.nuclei import Seed
from hemafeat.segment._kernels.outline import find_outline

COARSE = 32, 40
FINE = 64, 64
"""Angles and radii of the first and of the second search."""

PRIORS = 0.5, 0.0, 1.0
"""Log-odds of a stained pixel near a nucleus to be of its cell, colour apart: at first, and then
where the outline leaves doubts, for cells whose touching red cells resemble them (too much was
taken in) or whose cytoplasm resembles red cells (too little)."""

DOUBT = 1.5
"""Doubt about an outline above which others are tried."""

ALONE = np.zeros((1, 1), np.uint8)


@dataclass(slots=True)
class Outline:
    """The outline of a cell and what speaks for it.

    Attributes
    ----------
    curve : Curve
    rim : float
        Share of the angles, of those inside the image, at which density drops across the curve.
    limit : float
        Share of the angles at which the search ended at its farthest radius.
    odds : float
        Mean log-odds of the colours in the outer part of the cell.
    agreement : float
        Dice of the first and the second search.
    clear : float
        Share of the angles at which there is background just outside of the curve.
    """

    curve: Curve
    rim: float
    limit: float
    odds: float
    agreement: float
    clear: float

    def doubt(self) -> float:
        """What speaks against the outline, as in `hemafeat.segment._quality`."""
        return 3.5 * (1.0 - self.rim) + 2.0 * self.limit + 1.7 * max(0.0, 1.5 - self.odds)

    def worth(self) -> float:
        """What speaks for this outline of a cell rather than for another one."""
        return 3.5 * self.clear - 2.0 * self.limit - 0.8 * max(0.0, 1.5 - self.odds)


def territories(seeds: list[Seed], shape: tuple[int, int]) -> np.ndarray | None:
    """(h, w) uint8: the number, from 0, of the seed each reduced pixel lies nearest to."""
    if len(seeds) < 2:
        return None
    nearest = np.full(shape, np.inf, np.float32)
    owner = np.zeros(shape, np.uint8)
    for number, seed in enumerate(seeds[:255]):
        canvas = np.ones(shape, np.uint8)
        cv2.drawContours(canvas, seed.pieces, -1, 0, cv2.FILLED)
        distance = cv2.distanceTransform(canvas, cv2.DIST_L2, 3)
        closer = distance < nearest
        owner[closer] = number
        np.minimum(nearest, distance, out=nearest)
    return owner


def outline(
    image: np.ndarray,
    frame: Frame,
    seeds: list[Seed],
    number: int,
    owner: np.ndarray | None,
) -> Outline:
    """Outline of the cell around one seed: the first found, or the best of three if in doubt.

    The colours far from every nucleus are those of red cells and platelets; the colours near this
    one are of the cell and of whatever touches it. Their ratio says of each pixel how likely it
    belongs to the cell, in any stain. The curve encloses the largest sum of this evidence, follows
    the step down to the background, and may not turn sharply, which cuts off what is attached.
    """
    centres = np.array([seed.centre for seed in seeds])
    radii = np.array([seed.radius for seed in seeds])
    hull = seeds[number].hull
    nearest = ALONE if owner is None else owner

    def found(prior: float) -> Outline:
        radius, values = find_outline(
            image,
            frame.scale,
            frame.coded,
            frame.dark,
            frame.bins,
            frame.faint,
            nearest,
            number,
            centres,
            radii,
            hull,
            prior,
            COARSE,
            FINE,
        )
        x, y, rim, limit, odds, agreement, clear = values.tolist()
        return Outline(Curve((x, y), radius), rim, limit, odds, agreement, clear)

    best = found(PRIORS[0])
    if best.doubt() > DOUBT:
        best = max([best, *map(found, PRIORS[1:])], key=Outline.worth)
    return best


@dataclass(slots=True)
class Curve:
    """A closed curve, one radius per angle, in pixels of the full image.

    Attributes
    ----------
    centre : (float, float)
        (x, y).
    radius : (n,) ndarray of float64
        At angles ``2 pi i / n``.
    """

    centre: tuple[float, float]
    radius: np.ndarray

    def fill(self, shape: tuple[int, int], scale: float = 1.0) -> np.ndarray:
        """(h, w) uint8 mask, 1 inside the curve, on an image `scale` times as small."""
        mask = np.zeros(shape, np.uint8)
        points = np.rint(self._points(scale) * 16).astype(np.int32)
        cv2.fillPoly(mask, [points[:, None]], 1, shift=4)
        return mask

    def _points(self, scale: float) -> np.ndarray:
        # fillPoly takes in every pixel the outline passes through: half a pixel too much.
        radius = np.maximum(self.radius - 0.5 * scale, 0.0)
        return ((radius * circle(self.radius.size)).T + self.centre + 0.5) / scale - 0.5


@cache
def circle(n: int) -> np.ndarray:
    """(2, n) cosine and sine of n equal steps around the circle."""
    angle = np.arange(n) * (2 * np.pi / n)
    return np.stack([np.cos(angle), np.sin(angle)])
