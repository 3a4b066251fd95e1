"""The outline of a whole cell: the best closed curve around its nucleus, in polar coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hemafeat.segment._background import BITS, Frame, colour_index
from hemafeat.segment._nuclei import Seed

OFF, LO, SIG, EW, KS, IN = 0.5, -2.0, 1.0, 6.0, 2.0, 0.35
ANGLES = 96
RADII = 72
REACH = 2.7
"""How far the outline is sought, in radii of the nuclear hull."""


@dataclass(slots=True)
class Outline:
    """A closed curve around `centre`: one radius per angle, full-size pixels."""

    centre: tuple[float, float]
    radius: np.ndarray

    def points(self) -> np.ndarray:
        """(ANGLES, 2) float64 points (x, y)."""
        angle = np.arange(self.radius.size) * (2 * np.pi / self.radius.size)
        x = self.centre[0] + self.radius * np.cos(angle)
        y = self.centre[1] + self.radius * np.sin(angle)
        return np.stack([x, y], axis=1)

    def fill(self, shape: tuple[int, int]) -> np.ndarray:
        """(h, w) uint8 mask, 1 inside the curve."""
        mask = np.zeros(shape, np.uint8)
        points = np.rint(self.points() * 16).astype(np.int32)
        cv2.fillPoly(mask, [points[:, None]], 1, shift=4)
        return mask


def _histogram(index: np.ndarray) -> np.ndarray:
    n = 1 << BITS
    counts = np.bincount(index, minlength=n**3).astype(np.float32)
    cube = cv2.GaussianBlur(counts.reshape(n, n, n), (0, 0), SIG)
    flat = cv2.GaussianBlur(cube.reshape(n * n, n), (0, 0), sigmaX=SIG, sigmaY=1e-3)
    return flat.ravel()


def log_odds(near: np.ndarray, far: np.ndarray) -> np.ndarray:
    """(bins,) float32: how much likelier a colour is inside the cell than outside of it."""
    n, f = _histogram(near), _histogram(far)
    n /= max(near.size, 1)
    # Few stained pixels far away say little: they are not blown up to a distribution.
    f /= max(far.size, 0.5 * near.size, 1)
    floor = 2e-4
    return np.clip(np.log((n + floor) / (f + floor)), -3.0, 3.0)


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
        owner[distance < nearest] = number
        nearest = np.minimum(nearest, distance)
    return owner


def outline(
    image: np.ndarray,
    frame: Frame,
    seeds: list[Seed],
    number: int,
    owner: np.ndarray | None,
) -> Outline:
    """Outline of the cell around `seed`.

    The colours far from every nucleus are those of background, red cells and platelets; the
    colours near this one are of the cell and of whatever touches it. Their ratio says of each
    pixel how likely it belongs to the cell, in any stain. The curve encloses the largest sum of
    this evidence, follows edges, and may not turn sharply, which cuts off what is attached.
    """
    seed = seeds[number]
    others = [other for other in seeds if other is not seed]
    foreign = None if owner is None else (owner != number).astype(np.uint8)
    index = frame.index
    shape = frame.rgb.shape[:2]
    near = np.zeros(shape, np.uint8)
    cv2.fillPoly(near, [seed.hull], 1)
    grow = max(1, round(0.35 * seed.radius))
    near = cv2.dilate(near, _disc(grow))
    far = _far(seeds, number, shape)
    # Background at hand is no evidence of a cell: it is left out of the colours near by.
    near[frame.dark < frame.faint] = 0
    if foreign is not None:
        near[foreign > 0] = 0
    far[frame.dark < frame.faint] = 0
    table = log_odds(index[near > 0], index[far > 0])
    reach = REACH * seed.radius * frame.scale
    centre = _full(seed.centre, frame.scale)
    found = _best_curve(image, frame, table, frame.faint, centre, reach, 48, 48, foreign)
    # Once more from the middle of what was found, with its colours.
    small = Outline(
        ((found.centre[0] + 0.5) / frame.scale - 0.5, (found.centre[1] + 0.5) / frame.scale - 0.5),
        found.radius / frame.scale,
    )
    inside = small.fill(shape)
    beyond = cv2.bitwise_or(far, 1 - cv2.dilate(inside, _disc(2)))
    for other in others:
        centre = (round(other.centre[0]), round(other.centre[1]))
        cv2.circle(beyond, centre, round(1.6 * other.radius), 0, cv2.FILLED)
    moments = cv2.moments(inside, binaryImage=True)
    centre = found.centre
    if moments["m00"] > 0:
        middle = (moments["m10"] / moments["m00"], moments["m01"] / moments["m00"])
        centre = _full(middle, frame.scale)
    # The palest part of the cell sets where it ends: half way between there and the background.
    level = np.percentile(frame.dark[inside > 0], 15) if moments["m00"] > 0 else 2 * frame.faint
    edge = float(np.clip(0.5 * level, frame.faint, 4 * frame.faint))
    inside[frame.dark < edge] = 0
    beyond[frame.dark < edge] = 0
    table = log_odds(index[inside > 0], index[beyond > 0])
    reach = 1.35 * float(found.radius.max())
    return _best_curve(image, frame, table, edge, centre, reach, ANGLES, RADII, foreign)


def _far(seeds: list[Seed], number: int, shape: tuple[int, int]) -> np.ndarray:
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


def _disc(radius: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))


def _full(point: tuple[float, float], scale: float) -> tuple[float, float]:
    return (point[0] + 0.5) * scale - 0.5, (point[1] + 0.5) * scale - 0.5


def _best_curve(
    image: np.ndarray,
    frame: Frame,
    table: np.ndarray,
    faint: float,
    centre: tuple[float, float],
    reach: float,
    n_angles: int,
    n_radii: int,
    foreign: np.ndarray | None,
) -> Outline:
    polar = cv2.warpPolar(
        image, (n_radii, n_angles), centre, reach, cv2.INTER_LINEAR | cv2.WARP_FILL_OUTLIERS
    )
    polar = cv2.blur(polar, (3, 3))
    dark = frame.darkness(polar).astype(np.float32)
    colour = 0.7 * np.clip(table[colour_index(polar)] + OFF, LO, 3)
    # Paler than the palest cytoplasm is background, whatever its tint: blur, haloes.
    pale = np.clip((dark - faint) * (1.5 / faint), -3.0, 0.2)
    evidence = np.where(pale < 0, np.minimum(colour, 0.0), colour) + pale
    step = reach / n_radii
    # Outside the image nothing is known, and the curve is drawn smoothly on.
    height, width = image.shape[:2]
    angle = np.arange(n_angles)[:, None] * (2 * np.pi / n_angles)
    radius = np.arange(n_radii)[None, :] * step
    x, y = centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)
    off = (x < 0) | (y < 0) | (x > width - 1) | (y > height - 1)
    evidence[off] = 0.0
    if foreign is not None:
        # The nearest nucleus is another's: the pixel is not of this cell.
        rows = np.clip((y / frame.scale).astype(np.int32), 0, foreign.shape[0] - 1)
        columns = np.clip((x / frame.scale).astype(np.int32), 0, foreign.shape[1] - 1)
        evidence[(foreign[rows, columns] > 0) & ~off] = -3.0
    # Sum along each ray, weighted by the area each sample stands for.
    weight = (np.arange(n_radii) + 0.5) / n_radii
    gain = np.cumsum(evidence * weight[None, :], axis=1)
    # A step down to background is the rim of a cell; a step down to what is still stained may be
    # that of its nucleus.
    edge = np.zeros_like(dark)
    edge[:, 1:-1] = np.clip((dark[:, :-2] - dark[:, 2:]) / (4 * faint), -0.5, 0.5)
    edge[:, 1:-1] *= np.where(dark[:, 2:] < KS * faint, 1.0, IN)
    edge[off] = 0
    gain += EW * edge
    best = _closed_path(gain.astype(np.float32))
    return Outline(centre, (best + 0.5) * step)


def _closed_path(gain: np.ndarray, bend: float = 0.6, turn: int = 2) -> np.ndarray:
    """(n,) positions of the path of largest gain, one per row, that closes on itself."""
    n, m = gain.shape
    # A quarter more than once round: the middle turn no longer knows where it began.
    rows = np.concatenate([np.arange(n), np.arange(n // 4)])
    score = np.empty((rows.size, m), np.float32)
    step = np.zeros((rows.size, m), np.int8)
    padded = np.full(m + 2 * turn, -np.inf, np.float32)
    score[0] = gain[0]
    moves = np.arange(-turn, turn + 1)
    cost = (bend * moves.astype(np.float32) ** 2)[:, None]
    windows = np.lib.stride_tricks.sliding_window_view(padded, m)
    for i in range(1, rows.size):
        padded[turn:-turn] = score[i - 1]
        options = windows - cost
        step[i] = options.argmax(axis=0)
        score[i] = gain[rows[i]] + options.max(axis=0)
    path = np.empty(rows.size, np.int64)
    path[-1] = int(score[-1].argmax())
    for i in range(rows.size - 1, 0, -1):
        path[i - 1] = path[i] + moves[step[i, path[i]]]
    out = np.empty(n, np.int64)
    start = n // 8
    middle = np.arange(start, start + n)
    out[rows[middle]] = path[middle]
    return out
