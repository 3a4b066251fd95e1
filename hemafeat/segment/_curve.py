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

    def mask(self, shape: tuple[int, int]) -> tuple[int, int, np.ndarray, float]:
        """The curve on an image of `shape`.

        Returns
        -------
        left, top : int
            Of its box.
        mask : (h, w) ndarray of uint8
            1 inside the curve; of size 0 where it lies beyond the image.
        solidity : float
            Area over that of the convex hull, of the part on the image.
        """
        points = np.rint(self._points(1.0) * 16).astype(np.int32)
        (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        height, width = shape
        if min(x0, y0) < 0 or x1 > 16 * (width - 1) or y1 > 16 * (height - 1):
            seen = np.minimum(np.maximum(points, 0), (16 * (width - 1), 16 * (height - 1)))
            seen = seen.astype(np.int32)
        else:
            seen = points
        hull = cv2.contourArea(cv2.convexHull(seen))
        solidity = cv2.contourArea(seen) / hull if hull > 0 else 1.0
        left, top = max(0, (x0 >> 4) - 1), max(0, (y0 >> 4) - 1)
        right, bottom = min(width, (x1 >> 4) + 3), min(height, (y1 >> 4) + 3)
        mask = np.zeros((max(0, bottom - top), max(0, right - left)), np.uint8)
        if mask.size == 0:
            return left, top, mask, solidity
        cv2.fillPoly(mask, [points - np.array((16 * left, 16 * top), np.int32)], 1, shift=4)
        x, y, w, h = cv2.boundingRect(mask)
        return left + x, top + y, np.ascontiguousarray(mask[y : y + h, x : x + w]), solidity

    def _points(self, scale: float) -> np.ndarray:
        # fillPoly takes in every pixel the outline passes through: half a pixel too much.
        radius = np.maximum(self.radius - 0.5 * scale, 0.0)
        return ((radius * circle(self.radius.size)).T + self.centre + 0.5) / scale - 0.5


@cache
def circle(n: int) -> np.ndarray:
    """(2, n) cosine and sine of n equal steps around the circle."""
    angle = np.arange(n) * (2 * np.pi / n)
    return np.stack([np.cos(angle), np.sin(angle)])
