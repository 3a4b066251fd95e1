"""Squares cut from an image of cells, round a cell or the centre, and resized. Needs no Keras."""

from __future__ import annotations

import cv2
import numpy as np


def square(
    image: np.ndarray, top: int, left: int, side: int, border: int = cv2.BORDER_REPLICATE
) -> np.ndarray:
    """A square of the image, or what there is made up to one.

    Parameters
    ----------
    image : (H, W) or (H, W, channels) ndarray of uint8
    top, left : int
        Where it begins, in px; negative above and left of the image.
    side : int
        In px.
    border : int
        What lies beyond the image, a border type of OpenCV: its last pixel, repeated, or black
        (``cv2.BORDER_CONSTANT``).

    Returns
    -------
    (side, side) or (side, side, channels) ndarray of uint8
        A view where it lies within the image.
    """
    height, width = image.shape[:2]
    inside = image[max(top, 0) : top + side, max(left, 0) : left + side]
    missing = (
        max(-top, 0), max(top + side - height, 0), max(-left, 0), max(left + side - width, 0)
    )  # fmt: skip
    if not any(missing):
        return inside
    return np.asarray(cv2.copyMakeBorder(inside, *missing, border))


def centre(image: np.ndarray, side: int, border: int = cv2.BORDER_REPLICATE) -> np.ndarray:
    """The square round the centre, which begins at ``length // 2 - side // 2``; see `square`."""
    top, left = (length // 2 - side // 2 for length in image.shape[:2])
    return square(image, top, left, side, border)


def round_box(top: int, bottom: int, left: int, right: int, margin: float) -> tuple[int, int, int]:
    """The square round a cell.

    Parameters
    ----------
    top, bottom, left, right : int
        The box of the cell, `bottom` and `right` just outside it.
    margin : float
        What is left round it on each side, as a share of its longer side.

    Returns
    -------
    (top, left, side) : tuple of int
        What `square` takes.
    """
    side = max(bottom - top, right - left, 1)
    side += 2 * round(margin * side)
    return (top + bottom - side) // 2, (left + right - side) // 2, side


def resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The image brought to a size: by means of areas where it shrinks, by cubic splines else."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = height * width < image.shape[0] * image.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=how))
