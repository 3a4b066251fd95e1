"""The middle of an image as its cell says it is, for copies that were cut off centre."""

from __future__ import annotations

import cv2
import numpy as np

_AROUND = 2.2
"""Side of what is shown, in square roots of the area of the cell's dark parts."""

_WORK = 128
"""Pixels along the longer side of the copy that the cell is looked for in."""


def centred(image: np.ndarray) -> np.ndarray:
    """The square around the cell, wherever in the image it lies.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB.

    Returns
    -------
    (side, side, 3) ndarray of uint8
        Around the most saturated region near the middle, `_AROUND` times as wide as it; mirrored
        at the border. The image itself where nothing stands out.
    """
    height, width = image.shape[:2]
    zoom = min(1.0, _WORK / max(height, width))
    size = max(1, round(width * zoom)), max(1, round(height * zoom))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    saturation = cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_RGB2HSV)[:, :, 1], (0, 0), 1.5)
    _, dark = cv2.threshold(saturation, 0, 255, cv2.THRESH_OTSU)
    n, _, facts, places = cv2.connectedComponentsWithStats(dark)
    if n < 2:
        return image
    areas = facts[1:, cv2.CC_STAT_AREA].astype(np.float64)
    away = ((places[1:] - np.array(size) / 2) ** 2).sum(axis=1)
    best = 1 + int(np.argmax(areas - 0.15 * away))
    area = facts[best, cv2.CC_STAT_AREA]
    if area < 0.01 * small.shape[0] * small.shape[1]:
        return image
    x, y = (places[best] + 0.5) / zoom - 0.5
    side = max(8, round(_AROUND * float(np.sqrt(area)) / zoom))
    move = np.array([[1, 0, (side - 1) / 2 - x], [0, 1, (side - 1) / 2 - y]], np.float64)
    return cv2.warpAffine(image, move, (side, side), borderMode=cv2.BORDER_REFLECT_101)
