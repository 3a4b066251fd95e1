"""The outline of a whole cell: the best closed curve around its nucleus."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hemafeat.segment._contours.frame import Frame
from hemafeat.segment._contours.nuclei import Seed
from hemafeat.segment._kernels.curve import unit_circle
from hemafeat.segment._kernels.outline import find_outline

COARSE = 32, 40
FINE = 64, 64
"""Numbers of angles and radii of the first and of the second search."""

PRIORS = 0.5, 0.0, 1.0
"""Log-odds, apart from its colour, of a stained pixel near a nucleus to belong to its cell. The
second and the third are tried if the outline is doubtful: for cells that resemble the red cells
they touch (too much was included) and for cytoplasm that resembles red cells (too little was)."""

MAX_DOUBT = 1.5
"""Doubt about an outline above which others are tried."""

SINGLE = np.zeros((1, 1), np.uint8)


@dataclass(slots=True)
class Curve:
    """A closed curve, one radius per angle, in pixels of the full image.

    Attributes
    ----------
    centre : (float, float)
        (x, y).
    radius : (n,) ndarray of float64
        Radius at the angles ``2 pi i / n``.
    """

    centre: tuple[float, float]
    radius: np.ndarray

    def fill(self, shape: tuple[int, int], scale: float = 1.0) -> np.ndarray:
        """Return a uint8 mask of the inside on an image that is `scale` times smaller."""
        mask = np.zeros(shape, np.uint8)
        points = np.rint(self._points(scale) * 16).astype(np.int32)
        cv2.fillPoly(mask, [points[:, None]], 1, shift=4)
        return mask

    def _points(self, scale: float) -> np.ndarray:
        # fillPoly includes every pixel that the outline crosses: half a pixel too much.
        radius = np.maximum(self.radius - 0.5 * scale, 0.0)
        return ((radius * unit_circle(self.radius.size)).T + self.centre + 0.5) / scale - 0.5


@dataclass(slots=True)
class Outline:
    """The outline of a cell and the evidence for it.

    Attributes
    ----------
    curve : Curve
        The outline.
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
        """Compute the evidence against the outline, as in `hemafeat.segment._cells`."""
        return 3.5 * (1.0 - self.rim) + 2.0 * self.limit + 1.7 * max(0.0, 1.5 - self.odds)

    def support(self) -> float:
        """Compute the evidence for this outline, to compare it with others of the same cell."""
        return 3.5 * self.clear - 2.0 * self.limit - 0.8 * max(0.0, 1.5 - self.odds)


def nearest_seed(seeds: list[Seed], shape: tuple[int, int]) -> np.ndarray | None:
    """Map each reduced pixel to the nearest seed.

    Parameters
    ----------
    seeds : list of Seed
        Nuclei; only the first 255 are used.
    shape : (int, int)
        Height and width of the reduced image.

    Returns
    -------
    (h, w) ndarray of uint8 or None
        Index of the seed; None for fewer than two seeds.
    """
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


def outline_cell(
    image: np.ndarray,
    frame: Frame,
    seeds: list[Seed],
    number: int,
    owner: np.ndarray | None,
) -> Outline:
    """Find the outline of the cell around one seed; if it is doubtful, the best of three.

    The colours far from every nucleus are those of red cells and platelets; the colours near this
    one are those of the cell and of whatever touches it. Their ratio tells how likely each pixel
    belongs to the cell, in any stain. The curve encloses the largest sum of this evidence, follows
    the step down to the background, and may not turn sharply, which cuts off what is attached.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB image at full size.
    frame : Frame
        Its reduced copy.
    seeds : list of Seed
        All nuclei.
    number : int
        Index of the seed.
    owner : (h, w) ndarray of uint8 or None
        See `nearest_seed`.

    Returns
    -------
    Outline
    """
    centres = np.array([seed.centre for seed in seeds])
    radii = np.array([seed.radius for seed in seeds])

    def search(prior: float) -> Outline:
        radius, x, y, *evidence = find_outline(
            image,
            frame.scale,
            frame.coded,
            frame.dark,
            frame.bins,
            frame.faint,
            SINGLE if owner is None else owner,
            number,
            centres,
            radii,
            seeds[number].hull,
            prior,
            COARSE,
            FINE,
        )
        return Outline(Curve((float(x), float(y)), radius), *map(float, evidence))

    outline = search(PRIORS[0])
    if outline.doubt() > MAX_DOUBT:
        outline = max([outline, *map(search, PRIORS[1:])], key=Outline.support)
    return outline
