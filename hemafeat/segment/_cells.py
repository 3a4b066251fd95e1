"""The outline of a whole cell: the best closed curve around its nucleus."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hemafeat.segment._background import BITS, Frame
from hemafeat.segment._curve import Curve, circle, closed_path
from hemafeat.segment._nuclei import Seed

COARSE = 32, 40
FINE = 64, 64
"""Angles and radii of the first and of the second search."""

REACH = 2.7
"""How far the outline is sought, in radii of the nuclear hull."""

PRIORS = 0.5, 0.0, 1.0
"""Log-odds of a stained pixel near a nucleus to be of its cell, colour apart: at first, and then
where the outline leaves doubts, for cells whose touching red cells resemble them (too much was
taken in) or whose cytoplasm resembles red cells (too little)."""

DOUBT = 1.5
"""Doubt about an outline above which others are tried."""

RIM = 6.0
"""Weight of the rim of the cell against the colours it encloses."""


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
    """Outline of the cell around one seed: the first found, or the best of three if in doubt."""
    best = _outline(image, frame, seeds, number, owner, PRIORS[0])
    if best.doubt() > DOUBT:
        others = [_outline(image, frame, seeds, number, owner, prior) for prior in PRIORS[1:]]
        best = max([best, *others], key=Outline.worth)
    return best


def _outline(
    image: np.ndarray,
    frame: Frame,
    seeds: list[Seed],
    number: int,
    owner: np.ndarray | None,
    prior: float,
) -> Outline:
    """Outline of the cell around one seed.

    The colours far from every nucleus are those of red cells and platelets; the colours near this
    one are of the cell and of whatever touches it. Their ratio says of each pixel how likely it
    belongs to the cell, in any stain. The curve encloses the largest sum of this evidence, follows
    the step down to the background, and may not turn sharply, which cuts off what is attached.
    """
    seed = seeds[number]
    foreign = None if owner is None else (owner != number).astype(np.uint8)
    shape = frame.dark.shape
    stained = (frame.dark >= frame.faint).astype(np.uint8)
    near = np.zeros(shape, np.uint8)
    middle = np.array(seed.centre)
    around = (seed.hull[:, 0] - middle) * (1.35 + 1.0 / seed.radius) + middle
    cv2.fillPoly(near, [np.rint(around).astype(np.int32)[:, None]], 1)
    near &= stained
    if foreign is not None:
        near[foreign > 0] = 0
    far = _far(seeds, number, shape) & stained
    odds = _log_odds(frame.bins, near, far)
    search = _Search(image, frame, foreign, prior)
    reach = REACH * seed.radius * frame.scale
    first = search.best(odds, frame.faint, frame.full(seed.centre), reach, COARSE)

    # Once more from the middle of what was found, with its colours.
    inside = first.fill(shape, frame.scale)
    wider = Curve(first.centre, first.radius + 2.0 * frame.scale)
    beyond = far | (1 - wider.fill(shape, frame.scale))
    for place, other in enumerate(seeds):
        if place != number:
            at = (round(other.centre[0]), round(other.centre[1]))
            cv2.circle(beyond, at, round(1.6 * other.radius), 0, cv2.FILLED)
    moments = cv2.moments(inside, binaryImage=True)
    centre = first.centre
    faint = frame.faint
    if moments["m00"] > 0:
        centre = frame.full((moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]))
        # The palest part of the cell sets where it ends: nearly half way from the background to it.
        levels = np.cumsum(cv2.calcHist([frame.dark], [0], inside, [256], [0, 256]))
        palest = float(np.searchsorted(levels, 0.15 * levels[-1]))
        faint = float(np.clip(0.4 * palest, 0.7 * faint, 4 * faint))
    stained = (frame.dark >= faint).astype(np.uint8)
    odds = _log_odds(frame.bins, inside & stained, beyond & stained)
    reach = 1.35 * float(first.radius.max())
    second = search.best(odds, faint, centre, reach, FINE)
    return search.judged(second, first)


class _Search:
    """The best curve around a point, and the evidence it was found by."""

    def __init__(
        self, image: np.ndarray, frame: Frame, foreign: np.ndarray | None, prior: float
    ) -> None:
        self.image, self.frame, self.foreign, self.prior = image, frame, foreign, prior

    def best(
        self,
        odds: np.ndarray,
        faint: float,
        centre: tuple[float, float],
        reach: float,
        size: tuple[int, int],
    ) -> Curve:
        frame = self.frame
        n_angles, n_radii = size
        height, width = self.image.shape[:2]
        step = reach / n_radii
        cos, sin = circle(n_angles)
        radius = np.arange(n_radii) * step
        x, y = centre[0] + cos[:, None] * radius, centre[1] + sin[:, None] * radius
        # Every sample is set, off the image as well: samples are blurred across its border.
        polar = cv2.remap(
            self.image,
            x.astype(np.float32),
            y.astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        polar = cv2.blur(polar, (3, 3))
        dark = frame.darkness(polar).astype(np.float32)
        colour = odds[frame.colour_bins(polar)]
        # Paler than the palest cytoplasm is background, whatever its tint: blur, haloes.
        pale = np.clip((dark - faint) * (1.5 / faint), -3.0, 0.2)
        weighed = 0.7 * np.clip(colour + self.prior, -2.0, 3.0)
        evidence = np.where(pale < 0, np.minimum(weighed, 0.0), weighed) + pale
        # Outside the image nothing is known, and the curve is drawn smoothly on.
        off = (x < 0) | (y < 0) | (x > width - 1) | (y > height - 1)
        if self.foreign is not None:
            # The nearest nucleus is another's: the pixel is not of this cell.
            rows = np.clip(y / frame.scale, 0, self.foreign.shape[0] - 1).astype(np.intp)
            columns = np.clip(x / frame.scale, 0, self.foreign.shape[1] - 1).astype(np.intp)
            evidence[self.foreign[rows, columns] > 0] = -3.0
        evidence[off] = 0.0
        # Summed along each ray, each sample weighted by the area it stands for.
        gain = np.cumsum(evidence * ((np.arange(n_radii) + 0.5) / n_radii), axis=1)
        # A step down to background is the rim of a cell; a step down to what is still stained may
        # be that of its nucleus.
        edge = np.clip((dark[:, :-2] - dark[:, 2:]) * (0.25 / faint), -0.5, 0.5)
        edge *= np.where(dark[:, 2:] < 2 * faint, RIM, 0.35 * RIM)
        edge[off[:, 2:]] = 0.0
        gain[:, 1:-1] += edge
        path = closed_path(gain.astype(np.float32))
        self._last = path, dark, colour, off, faint
        return Curve(centre, (path + 0.5) * step)

    def judged(self, curve: Curve, first: Curve) -> Outline:
        path, dark, colour, off, faint = self._last
        n_angles, n_radii = dark.shape
        row = np.arange(n_angles)
        inner, outer = np.maximum(path - 2, 0), np.minimum(path + 3, n_radii - 1)
        known = ~off[row, outer]
        drop = dark[row, inner] - dark[row, outer] > 0.75 * faint
        rim = float(drop[known].mean()) if known.any() else 0.0
        clear = drop & (dark[row, outer] < 2 * faint)
        at_rim = float(clear[known].mean()) if known.any() else 0.0
        limit = float((path[known] >= n_radii - 2).mean()) if known.any() else 1.0
        place = np.arange(n_radii)
        ring = (place >= 0.75 * path[:, None]) & (place <= path[:, None]) & ~off
        mean_odds = float(colour[ring].mean()) if ring.any() else 0.0
        shape, scale = self.frame.dark.shape, self.frame.scale
        a, b = curve.fill(shape, scale), first.fill(shape, scale)
        both = cv2.countNonZero(a & b)
        total = cv2.countNonZero(a) + cv2.countNonZero(b)
        agreement = 2.0 * both / total if total else 0.0
        return Outline(curve, rim, limit, mean_odds, agreement, at_rim)


def _far(seeds: list[Seed], number: int, shape: tuple[int, ...]) -> np.ndarray:
    # As far as a cell with a small nucleus to one side may reach, if that leaves enough to see.
    far = np.ones(shape, np.uint8)
    for reach in (REACH, 2.3, 2.0):
        far[:] = 1
        for place, seed in enumerate(seeds):
            radius = seed.radius * (reach if place == number else 2.0)
            centre = (round(seed.centre[0]), round(seed.centre[1]))
            cv2.circle(far, centre, round(radius), 0, cv2.FILLED)
        if cv2.countNonZero(far) >= 0.25 * far.size:
            break
    return far


def _log_odds(bins: np.ndarray, near: np.ndarray, far: np.ndarray) -> np.ndarray:
    """(bins,) float32: how much likelier a colour is inside the cell than outside of it."""
    n_near, n_far = cv2.countNonZero(near), cv2.countNonZero(far)
    inside = _histogram(bins, near) / max(n_near, 1)
    # Few stained pixels far away say little: they are not blown up to a distribution.
    outside = _histogram(bins, far) / max(n_far, 0.5 * n_near, 1)
    floor = 2e-4
    return np.clip(np.log((inside + floor) / (outside + floor)), -3.0, 3.0)


def _histogram(bins: np.ndarray, mask: np.ndarray) -> np.ndarray:
    n = 1 << BITS
    counts = cv2.calcHist([bins], [0], mask, [n**3], [0, n**3])
    # A little smoothing along all three channels: the middle one as rows, then the other two.
    kernel = np.array([0.107, 0.786, 0.107], np.float32)
    one = np.ones(1, np.float32)
    cube = cv2.sepFilter2D(counts.reshape(n, n * n), -1, one, kernel)
    planes = cube.reshape(n, n, n).transpose(1, 0, 2).reshape(n, n * n)
    planes = cv2.sepFilter2D(np.ascontiguousarray(planes), -1, one, kernel)
    cube = planes.reshape(n, n, n).transpose(1, 0, 2).reshape(n * n, n)
    return cv2.sepFilter2D(np.ascontiguousarray(cube), -1, kernel, one).ravel()
