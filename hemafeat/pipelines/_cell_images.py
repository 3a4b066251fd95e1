"""Images of cells as a network takes them: read when they are asked for, cut, and of one size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pandas as pd

from hemafeat import images
from hemafeat.images._crop import centre, resized, round_box, square

MARGIN = 0.15
"""What is left round the box of a cell on each side, as a share of its longer side."""


def image_sources(X: Any, what: str) -> list[Any]:
    """Paths or arrays, one per row, of whatever a model of images is given.

    Parameters
    ----------
    X : DataFrame with a column ``image``, sequence of paths or arrays, or array
        An (n, 1) array of paths and an (n, H, W, 3) array of images count as sequences.
    what : str
        What reads them, for the message.

    Raises
    ------
    ValueError
        A table without images.
    """
    if isinstance(X, pd.DataFrame):
        if "image" not in X.columns:
            raise ValueError(f"{what} from the images: the table needs an 'image' column")
        return list(X["image"])
    if isinstance(X, np.ndarray) and X.ndim == 2 and X.shape[1] == 1:
        return list(X[:, 0])
    if isinstance(X, str):
        raise ValueError(f"{what} from a table or a list of images, not from one name: {X}")
    return list(X)


class CellImages:
    """Images of one size, read when they are asked for, with a cache that does not grow.

    Parameters
    ----------
    sources : sequence of paths or (H, W, 3) arrays
        One per cell.
    shape : (height, width, channels)
        What they are brought to; one channel is grey.
    crop : int, "cell" or None
        Side of the square cut from the middle, px; ``"cell"``: the square round the cell that lies
        nearest to the middle, found by `segmenter`, with a margin, and the largest square of the
        middle where there is none; None: the whole image.
    segmenter : str or callable
        As in `hemafeat.segment.segmenter`.
    cache : float
        MiB of images that are kept, the first ones asked for; the others are read each time.
    """

    def __init__(
        self,
        sources: Sequence[Any],
        shape: tuple[int, int, int],
        crop: int | str | None = None,
        segmenter: Any = "contours",
        cache: float = 512.0,
    ) -> None:
        if isinstance(crop, str) and crop != "cell":
            raise ValueError(f"crop={crop!r}: give a side in pixels, 'cell' or None")
        if isinstance(crop, int) and crop < 1:
            raise ValueError(f"crop is a side in pixels, at least 1; got {crop}")
        self.sources, self.shape, self.crop = list(sources), tuple(shape), crop
        self._segment: Any = None
        if crop == "cell":
            from hemafeat import segment

            self._segment = segment.segmenter(segmenter)
        room = int(cache * 2**20 // max(1, int(np.prod(shape))))
        self._kept = np.empty((min(room, len(self.sources)), *self.shape), np.uint8)
        self._place = np.full(len(self.sources), -1)
        self._used = 0

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Images of some cells: (n, height, width, channels) uint8."""
        rows = np.asarray(rows)
        out = np.empty((len(rows), *self.shape), np.uint8)
        for place, row in enumerate(rows):
            at = self._place[row]
            if at >= 0:
                out[place] = self._kept[at]
                continue
            out[place] = self._read(self.sources[int(row)])
            if self._used < len(self._kept):
                self._kept[self._used] = out[place]
                self._place[row] = self._used
                self._used += 1
        return out

    def _read(self, source: Any) -> np.ndarray:
        height, width, channels = self.shape
        image = resized(self._cut(images.read(source)), height, width)
        if channels == 1:
            return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
        return image

    def _cut(self, image: np.ndarray) -> np.ndarray:
        if self.crop is None:
            return image
        if self.crop == "cell":
            return cell_square(image, self._segment(image).cell)
        return centre(image, int(self.crop), cv2.BORDER_CONSTANT)


def cell_square(image: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """The square round the cell nearest to the middle; beyond the border the image is repeated.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
    cells : (H, W) ndarray of int
        Labels 1..n.
    """
    height, width = cells.shape
    labels = np.unique(cells)
    labels = labels[labels > 0]
    if not labels.size:
        return centre(image, min(height, width))
    middle = np.array([(height - 1) / 2, (width - 1) / 2])
    boxes = []
    for label in labels:
        ys, xs = np.nonzero(cells == label)
        away = np.hypot(*(np.array([ys.mean(), xs.mean()]) - middle))
        boxes.append((away, ys.min(), ys.max() + 1, xs.min(), xs.max() + 1))
    top, bottom, left, right = (int(edge) for edge in min(boxes)[1:])
    return square(image, *round_box(top, bottom, left, right, MARGIN))
