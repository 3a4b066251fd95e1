"""The windows of an image in which its cells are measured: one, or several if it is very large."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hemafeat.extract._prepared import MARGIN, Prepared
from hemafeat.segment import Masks

LARGE = 1 << 24
"""Pixels of an image from which its cells are measured in several windows: planes of the whole
would need many times its memory."""

SIDE = 1024
"""Side of the squares of a very large image; the cells with their centre in one share a window."""


def windows(
    prepared: Prepared, masks: Masks, keep: int | None = None
) -> Iterator[tuple[np.ndarray, Prepared, Masks]]:
    """Yield the windows in which the cells of an image are measured.

    Parameters
    ----------
    prepared : Prepared
        The image.
    masks : Masks
        At least one cell.
    keep : int, optional
        Row of the only cell to measure. By default all cells are measured.

    Yields
    ------
    rows : (n,) ndarray of int
        Rows of the cells in the window, 0 for the first cell of `masks`.
    window : Prepared
        A view of the image.
    masks : Masks
        Labels 1 to n in the window, without quality columns.
    """
    if keep is not None or masks.cell.size < LARGE:
        rows = np.arange(masks.n_cells) if keep is None else np.array([keep])
        yield rows, *prepared.window(masks, keep)
        return
    boxes = _boxes(masks)
    squares = (boxes[:, ::2] + boxes[:, 1::2]) // (2 * SIDE)
    _, groups = np.unique(squares, axis=0, return_inverse=True)
    for group in range(int(groups.max()) + 1):
        rows = np.flatnonzero(groups == group)
        yield rows, *_window_of(prepared, masks, rows, boxes[rows])


def _boxes(masks: Masks) -> np.ndarray:
    """Return first row, row after the last one, first and last column of cells: (n, 4) int."""
    from scipy.ndimage import find_objects

    n = masks.n_cells
    found = [find_objects(labels, n) for labels in (masks.cell, masks.nucleus)]
    boxes = np.empty((n, 4), np.intp)
    for row, parts in enumerate(zip(*found, strict=True)):
        rows, columns = zip(*[part for part in parts if part is not None], strict=True)
        boxes[row, 0], boxes[row, 1] = min(s.start for s in rows), max(s.stop for s in rows)
        boxes[row, 2], boxes[row, 3] = min(s.start for s in columns), max(s.stop for s in columns)
    return boxes


def _window_of(
    prepared: Prepared, masks: Masks, rows: np.ndarray, boxes: np.ndarray
) -> tuple[Prepared, Masks]:
    """Cut out the window of some cells, without the others."""
    height, width = masks.shape
    top, left = (max(0, int(first) - MARGIN) for first in boxes[:, ::2].min(axis=0))
    bottom, right = (int(last) + MARGIN for last in boxes[:, 1::2].max(axis=0))
    box = np.s_[top : min(bottom, height), left : min(right, width)]
    numbers = np.zeros(masks.n_cells + 1, np.int32)
    numbers[rows + 1] = np.arange(1, rows.size + 1)
    window_masks = Masks.known(numbers[masks.cell[box]], numbers[masks.nucleus[box]], rows.size)
    return prepared.view(box, window_masks, masks.cell), window_masks
