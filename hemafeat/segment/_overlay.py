"""Draw the outlines of masks over their image."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from hemafeat.segment._masks import Masks

CELL = (0, 230, 0)
NUCLEUS = (255, 230, 0)
SUSPECTED = (255, 40, 40)


def outline(image: np.ndarray, masks: Masks, *, texts: Sequence[str] | None = None) -> np.ndarray:
    """Draw the borders of cells and nuclei over an image.

    Each line is one pixel wide and lies on the border pixels of the mask, with a dark pixel on
    either side, so that it is visible on pale and on dark stain. Cells are green (red where a
    failure is suspected), nuclei yellow.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB image.
    masks : Masks
        Masks of the same height and width.
    texts : sequence of str, optional
        What to write above each cell. Only ASCII characters are drawn.

    Returns
    -------
    (H, W, 3) ndarray of uint8
        A new image.

    Raises
    ------
    MaskError
        Masks and image differ in size.
    ValueError
        The number of texts is not that of the cells.

    Examples
    --------
    >>> from hemafeat import datasets, segment
    >>> drawn = datasets.draw_cell("neutrophil", random_state=0)
    >>> masks = segment.Masks(drawn.cell, drawn.nucleus)
    >>> picture = segment.outline(drawn.image, masks)
    >>> picture.shape == drawn.image.shape, bool((picture == (0, 230, 0)).all(axis=2).any())
    (True, True)
    """
    masks.check_fit(image.shape)
    out = np.array(image, dtype=np.uint8, order="C")
    suspected = np.asarray(masks.quality["suspected_failure"], dtype=bool)
    colours = np.array([CELL] + [SUSPECTED if flag else CELL for flag in suspected], np.uint8)
    lines = [
        (edges(masks.cell), colours),
        (edges(masks.nucleus), np.tile(np.array(NUCLEUS, np.uint8), (masks.n_cells + 1, 1))),
    ]
    dark = np.zeros(masks.shape, np.uint8)
    for border, _ in lines:
        dark |= cv2.dilate((border > 0).astype(np.uint8), np.ones((3, 3), np.uint8))
    out[dark > 0] //= 2
    for border, colour in lines:
        line = border > 0
        out[line] = colour[border[line]]
    if texts is not None:
        _write(out, masks, texts, colours)
    return out


def _write(out: np.ndarray, masks: Masks, texts: Sequence[str], colours: np.ndarray) -> None:
    if len(texts) != masks.n_cells:
        raise ValueError(f"{len(texts)} texts for {masks.n_cells} cells")
    height, width = masks.shape
    size = max(0.4, min(height, width) / 700)
    thick = max(1, round(2 * size))
    both = np.maximum(masks.cell, masks.nucleus)
    for number, text in enumerate(texts, 1):
        rows, columns = np.nonzero(both == number)
        if not rows.size:
            continue
        font = cv2.FONT_HERSHEY_SIMPLEX
        (long, high), _ = cv2.getTextSize(text, font, size, thick)
        # Beside the cell, moved inside the image.
        x = int(np.clip((columns.min() + columns.max() - long) // 2, 2, max(2, width - long - 2)))
        y = int(rows.min()) - 5
        if y - high < 0:
            y = min(int(rows.max()) + high + 5, height - 3)
        # On a dark ground, so that it can be read on pale and on dark stain.
        cv2.rectangle(out, (x - 2, y - high - 2), (x + long + 1, y + 3), (0, 0, 0), cv2.FILLED)
        cv2.putText(out, text, (x, y), font, size, colours[number].tolist(), thick, cv2.LINE_AA)


def edges(labels: np.ndarray) -> np.ndarray:
    """Return the labels of pixels that share a side with another label; 0 elsewhere."""
    border = np.zeros(labels.shape, bool)
    down = labels[1:] != labels[:-1]
    across = labels[:, 1:] != labels[:, :-1]
    border[1:] |= down
    border[:-1] |= down
    border[:, 1:] |= across
    border[:, :-1] |= across
    return np.where(border, labels, 0)
