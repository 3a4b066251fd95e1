"""Find the cells that belong to a tile of a large image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from hemafeat.images import tile_of
from hemafeat.segment._masks import Masks

_DARK = 15
"""Side of the square, in px, whose mean is looked for where a cell is darkest."""

_BLOCK = 8
_LEAST_RANGE = 16
"""Least range of grey levels, over means of blocks of 8 x 8 px, of a tile that shows anything. The
nucleus of a white cell is 40 levels darker than its surroundings even where the stain has faded."""


def find_cells(segmenter: Callable[[np.ndarray], Masks], pixels: np.ndarray, image: Any) -> Masks:
    """Find the cells of an image; of a tile of a large image, those that no other tile holds.

    Parameters
    ----------
    segmenter : callable
        ``image -> Masks``, as `segmenter` returns it.
    pixels : (H, W, 3) ndarray of uint8
        The image as `hemafeat.images.read` returns it.
    image : str, path, bytes or array
        What it was read from, in any form that `hemafeat.images.read` accepts.

    Returns
    -------
    Masks
        All cells of an image. Of a tile (`hemafeat.images.Tile`), the cells whose darkest point, in
        the nucleus, lies in its core, renumbered from 1 on; a tile of empty glass, in which all is
        of one colour, is not segmented.

    Examples
    --------
    >>> from hemafeat import datasets, images, segment
    >>> cell = datasets.draw_cell("monocyte", size=120, random_state=0).image
    >>> segment.find_cells(segment.contours, cell, "monocyte.png")
    Masks(1 cells, 120 x 120)
    >>> beside = images.Tile("slide.tif", 0, 120, 0, 120, 120, 120)
    >>> segment.find_cells(segment.contours, cell, str(beside))
    Masks(0 cells, 120 x 120)
    """
    tile = tile_of(image)
    if tile is None:
        return segmenter(pixels)
    if _is_blank(pixels):
        return Masks(np.zeros(pixels.shape[:2], np.int32))
    masks = segmenter(pixels)
    if masks.n_cells == 0:
        return masks
    x, y = _darkest(pixels, masks)
    return masks.select(tile.owns(x, y))


def _darkest(pixels: np.ndarray, masks: Masks) -> tuple[np.ndarray, np.ndarray]:
    """Return column and row of the darkest point of each cell, which lies in its nucleus.

    Two tiles outline a cell between them a little differently, so that its centroid may lie in the
    cores of both, or of neither. Their pixels are the same, and so is their darkest point.
    """
    # Sums of whole numbers below 2**24 are exact in float32.
    window = (_DARK, _DARK)
    dark = cv2.boxFilter(pixels[:, :, 1], cv2.CV_32F, window, normalize=False)
    both, where = np.maximum(masks.cell, masks.nucleus), masks.positions()
    points = np.empty((masks.n_cells, 2))
    for n in range(masks.n_cells):
        left, top, right, bottom = (
            int(where[side][n]) for side in ("left", "top", "right", "bottom")
        )
        part = np.s_[top:bottom, left:right]
        values = np.where(both[part] == n + 1, dark[part], np.inf)
        row, column = np.unravel_index(np.argmin(values), values.shape)
        points[n] = left + column, top + row
    return points[:, 0], points[:, 1]


def _is_blank(pixels: np.ndarray) -> bool:
    """Return whether an image shows nothing: glass, or what was not scanned."""
    height, width = pixels.shape[:2]
    size = max(1, width // _BLOCK), max(1, height // _BLOCK)
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return bool(np.ptp(small.reshape(-1, 3), axis=0).max() < _LEAST_RANGE)
