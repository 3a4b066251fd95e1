"""A closed curve around a point: one radius per angle."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np


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
