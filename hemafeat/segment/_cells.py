"""The outline of a whole cell: the best closed curve around its nucleus, in polar coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hemafeat.segment._background import Frame
from hemafeat.segment._nuclei import Seed

ANGLES = 96
RADII = 72
REACH = 2.7
"""How far the outline is sought, in radii of the nuclear hull."""

BITS = 5
"""Bits per channel of the colour histograms."""


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


def colour_index(rgb: np.ndarray) -> np.ndarray:
    """(...) int32 bin of each pixel in the colour histograms."""
    coarse = (rgb >> (8 - BITS)).astype(np.int32)
    return (coarse[..., 0] << (2 * BITS)) | (coarse[..., 1] << BITS) | coarse[..., 2]


def _histogram(index: np.ndarray) -> np.ndarray:
    n = 1 << BITS
    counts = np.bincount(index, minlength=n**3).astype(np.float32)
    cube = cv2.GaussianBlur(counts.reshape(n, n, n), (0, 0), 0.7)
    flat = cv2.GaussianBlur(cube.reshape(n * n, n), (0, 0), sigmaX=0.7, sigmaY=1e-3)
    return flat.ravel()


def log_odds(near: np.ndarray, far: np.ndarray) -> np.ndarray:
    """(bins,) float32: how much likelier a colour is inside the cell than outside of it."""
    n, f = _histogram(near), _histogram(far)
    n /= max(near.size, 1)
    f /= max(far.size, 1)
    floor = 2e-4
    return np.clip(np.log((n + floor) / (f + floor)), -3.0, 3.0)


def outline(image: np.ndarray, frame: Frame, seed: Seed, others: list[Seed]) -> Outline:
    """Outline of the cell around `seed`.

    The colours far from every nucleus are those of background, red cells and platelets; the
    colours near this one are of the cell and of whatever touches it. Their ratio says of each
    pixel how likely it belongs to the cell, in any stain. The curve encloses the largest sum of
    this evidence, follows edges, and may not turn sharply, which cuts off what is attached.
    """
    index = colour_index(frame.rgb)
    shape = frame.rgb.shape[:2]
    near = np.zeros(shape, np.uint8)
    cv2.fillPoly(near, [seed.hull], 1)
    grow = max(1, round(0.35 * seed.radius))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * grow + 1, 2 * grow + 1))
    near = cv2.dilate(near, disc)
    far = np.ones(shape, np.uint8)
    for other in [seed, *others]:
        centre = (round(other.centre[0]), round(other.centre[1]))
        cv2.circle(far, centre, round(2.0 * other.radius), 0, cv2.FILLED)
    table = log_odds(index[near > 0], index[far > 0])
    centre = _full(seed.centre, frame.scale)
    found = _best_curve(image, frame, table, centre, REACH * seed.radius * frame.scale)
    # Once more from the middle of what was found, with its colours.
    inside = Outline(
        tuple((c + 0.5) / frame.scale - 0.5 for c in found.centre), found.radius / frame.scale
    ).fill(shape)
    beyond = far | (cv2.dilate(inside, np.ones((5, 5), np.uint8)) == 0).astype(np.uint8)
    for other in others:
        centre = (round(other.centre[0]), round(other.centre[1]))
        cv2.circle(beyond, centre, round(1.6 * other.radius), 0, cv2.FILLED)
    table = log_odds(index[inside > 0], index[beyond > 0])
    moments = cv2.moments(inside, binaryImage=True)
    if moments["m00"] > 0:
        middle = (moments["m10"] / moments["m00"], moments["m01"] / moments["m00"])
        centre = _full(middle, frame.scale)
    reach = 1.35 * float(found.radius.max())
    return _best_curve(image, frame, table, centre, reach)


def _full(point: tuple[float, float], scale: float) -> tuple[float, float]:
    return (point[0] + 0.5) * scale - 0.5, (point[1] + 0.5) * scale - 0.5


def _best_curve(
    image: np.ndarray,
    frame: Frame,
    table: np.ndarray,
    centre: tuple[float, float],
    reach: float,
) -> Outline:
    polar = cv2.warpPolar(
        image, (RADII, ANGLES), centre, reach, cv2.INTER_LINEAR | cv2.WARP_FILL_OUTLIERS
    )
    polar = cv2.blur(polar, (3, 3))
    evidence = table[colour_index(polar)]
    step = reach / RADII
    # Outside the image nothing is known, and the curve is drawn smoothly on.
    height, width = image.shape[:2]
    angle = np.arange(ANGLES)[:, None] * (2 * np.pi / ANGLES)
    radius = np.arange(RADII)[None, :] * step
    x, y = centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)
    off = (x < 0) | (y < 0) | (x > width - 1) | (y > height - 1)
    evidence[off] = 0.0
    # Sum along each ray, weighted by the area each sample stands for.
    weight = (np.arange(RADII) + 0.5) / RADII
    gain = np.cumsum(evidence * weight[None, :], axis=1)
    density = frame.density()
    dark = cv2.addWeighted(
        cv2.LUT(polar[:, :, 1], density[1]), 0.6, cv2.LUT(polar[:, :, 0], density[0]), 0.4, 0
    ).astype(np.float32)
    edge = np.zeros_like(dark)
    edge[:, 2:-2] = dark[:, :-4] - dark[:, 4:]
    edge[off] = 0
    spread = max(float(np.percentile(dark, 90)), 5.0)
    gain += 2.0 * np.clip(edge / spread, -0.5, 0.5)
    best = _closed_path(gain.astype(np.float32))
    return Outline(centre, (best + 0.5) * step)


def _closed_path(gain: np.ndarray, bend: float = 0.6, turn: int = 2) -> np.ndarray:
    """(n,) positions of the path of largest gain, one per row, that closes on itself."""
    n, m = gain.shape
    # One and a half times round: the middle turn no longer knows where it began.
    rows = np.concatenate([np.arange(n), np.arange(n // 2)])
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
    half = n // 4
    middle = np.arange(half, half + n)
    out[rows[middle]] = path[middle]
    return out
