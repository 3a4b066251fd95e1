"""White cells by OpenCV alone: no weights, no training, a few milliseconds."""

from __future__ import annotations

import cv2
import numpy as np

from hemafeat.segment import _cells, _nuclei
from hemafeat.segment._background import frame
from hemafeat.segment._masks import Masks


def contours(image: np.ndarray) -> Masks:
    """White cells and their nuclei in a single-cell crop or a smear field.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB.

    Returns
    -------
    Masks
        Cells in order of area, largest first.
    """
    image = np.ascontiguousarray(image)
    height, width = image.shape[:2]
    view = frame(image)
    table = view.table
    found = _nuclei.seeds(view, _nuclei.violet(view.rgb, table))
    if found:
        found = [s for s in found if s.area >= 0.15 * found[0].area]
    cell = np.zeros((height, width), np.int32)
    nucleus = np.zeros((height, width), np.int32)
    owner = _cells.territories(found, view.dark.shape)
    for number in range(1, len(found) + 1):
        mask = _cells.outline(image, view, found, number - 1, owner).fill((height, width))
        mask[cell > 0] = 0
        x, y, w, h = cv2.boundingRect(mask)
        box = np.s_[y : y + h, x : x + w]
        inner = _nuclei.outline(image[box], mask[box], table)
        cell[box][mask[box] > 0] = number
        nucleus[box][inner > 0] = number
    return Masks(cell, nucleus)
