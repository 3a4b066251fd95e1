"""A closed curve around a point: one radius per angle, and the search for the best one."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hemafeat.segment._kernels.path import best_path


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
        cos, sin = circle(self.radius.size)
        # fillPoly takes in every pixel the outline passes through: half a pixel too much.
        radius = np.maximum(self.radius - 0.5 * scale, 0.0)
        x = (self.centre[0] + radius * cos + 0.5) / scale - 0.5
        y = (self.centre[1] + radius * sin + 0.5) / scale - 0.5
        mask = np.zeros(shape, np.uint8)
        points = np.rint(np.stack([x, y], axis=1) * 16).astype(np.int32)
        cv2.fillPoly(mask, [points[:, None]], 1, shift=4)
        return mask


def circle(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine of n equal steps around the circle."""
    angle = np.arange(n) * (2 * np.pi / n)
    return np.cos(angle), np.sin(angle)


def closed_path(gain: np.ndarray, bend: float = 0.6, turn: int = 2) -> np.ndarray:
    """The path of largest gain, one position per row, that closes on itself.

    Parameters
    ----------
    gain : (n, m) ndarray of float32
        What each position of each row is worth.
    bend : float
        Cost of a step of one position from row to row; it grows as the square.
    turn : int
        Largest step.

    Returns
    -------
    (n,) ndarray of int64
        Positions 0..m-1.
    """
    n = gain.shape[0]
    # A quarter more than once round: the middle turn no longer knows where it began.
    rows = np.concatenate([np.arange(n), np.arange(n // 4)])
    cost = bend * np.arange(-turn, turn + 1, dtype=np.float32) ** 2
    path = best_path(gain, rows, cost)
    out = np.empty(n, np.int64)
    middle = np.arange(n // 8, n // 8 + n)
    out[rows[middle]] = path[middle]
    return out
