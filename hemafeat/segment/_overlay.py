"""Outlines of masks drawn over their image."""

from __future__ import annotations

import cv2
import numpy as np

from hemafeat.segment._masks import MaskError, Masks

CELL = (0, 230, 0)
NUCLEUS = (255, 230, 0)
SUSPECTED = (255, 40, 40)


def outline(image: np.ndarray, masks: Masks) -> np.ndarray:
    """Draw the borders of cells and nuclei over an image.

    Each line is one pixel of colour on the border pixels of the mask, with a dark pixel outside of
    it, so that it shows on pale and on dark stain. Cells are green (red where a failure is
    suspected), nuclei yellow.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB.
    masks : Masks
        Of the same height and width.

    Returns
    -------
    (H, W, 3) ndarray of uint8
        A new image.

    Raises
    ------
    MaskError
        Image and masks differ in size.
    """
    if masks.shape != image.shape[:2]:
        raise MaskError(f"the masks are {masks.shape} and the image {tuple(image.shape[:2])}")
    out = np.array(image, dtype=np.uint8, order="C")
    suspected = np.asarray(masks.quality["suspected_failure"], dtype=bool)
    colours = np.array([CELL] + [SUSPECTED if flag else CELL for flag in suspected], np.uint8)
    lines = [
        (_border(masks.cell), colours),
        (_border(masks.nucleus), np.tile(np.array(NUCLEUS, np.uint8), (masks.n_cells + 1, 1))),
    ]
    dark = np.zeros(masks.shape, np.uint8)
    for border, _ in lines:
        dark |= cv2.dilate((border > 0).astype(np.uint8), np.ones((3, 3), np.uint8))
    out[dark > 0] //= 2
    for border, colour in lines:
        on = border > 0
        out[on] = colour[border[on]]
    return out


def _border(labels: np.ndarray) -> np.ndarray:
    """(H, W) int32: the label on pixels that touch another label by a side, else 0."""
    border = np.zeros(labels.shape, bool)
    down = labels[1:] != labels[:-1]
    across = labels[:, 1:] != labels[:, :-1]
    border[1:] |= down
    border[:-1] |= down
    border[:, 1:] |= across
    border[:, :-1] |= across
    return np.where(border, labels, 0)
