"""Cut squares from an image."""

from __future__ import annotations

import cv2
import numpy as np


def crop_square(
    image: np.ndarray, top: int, left: int, side: int, border: int = cv2.BORDER_REPLICATE
) -> np.ndarray:
    """Cut a square from an image and fill the part of it that lies outside the image.

    Parameters
    ----------
    image : (H, W) or (H, W, channels) ndarray of uint8
        Image to cut from.
    top, left : int
        Row and column of the upper left corner, in px. Negative values lie above and to the left
        of the image.
    side : int
        Side of the square, in px.
    border : int
        OpenCV border type that fills the part outside the image. By default the pixels at the edge
        are repeated; ``cv2.BORDER_CONSTANT`` fills with black.

    Returns
    -------
    (side, side) or (side, side, channels) ndarray of uint8
        A view of `image` if the square lies inside it, otherwise a new array.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import images
    >>> image = np.arange(16, dtype=np.uint8).reshape(4, 4)
    >>> images.crop_square(image, 2, 2, 3)
    array([[10, 11, 11],
           [14, 15, 15],
           [14, 15, 15]], dtype=uint8)
    """
    height, width = image.shape[:2]
    inside = image[max(top, 0) : top + side, max(left, 0) : left + side]
    missing = (
        max(-top, 0), max(top + side - height, 0), max(-left, 0), max(left + side - width, 0)
    )  # fmt: skip
    if not any(missing):
        return inside
    return np.asarray(cv2.copyMakeBorder(inside, *missing, border))


def crop_centre(image: np.ndarray, side: int, border: int = cv2.BORDER_REPLICATE) -> np.ndarray:
    """Cut the square at the centre of an image.

    Parameters
    ----------
    image : (H, W) or (H, W, channels) ndarray of uint8
        Image to cut from.
    side : int
        Side of the square, in px. The square begins at row ``H // 2 - side // 2`` and column
        ``W // 2 - side // 2``.
    border : int
        OpenCV border type that fills the part outside the image; see `crop_square`.

    Returns
    -------
    (side, side) or (side, side, channels) ndarray of uint8
        A view of `image` if the square lies inside it, otherwise a new array.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import images
    >>> image = np.arange(16, dtype=np.uint8).reshape(4, 4)
    >>> images.crop_centre(image, 2)
    array([[ 5,  6],
           [ 9, 10]], dtype=uint8)
    """
    top, left = (length // 2 - side // 2 for length in image.shape[:2])
    return crop_square(image, top, left, side, border)


def square_around(
    top: int, bottom: int, left: int, right: int, margin: float
) -> tuple[int, int, int]:
    """Return the square around the bounding box of a cell.

    Parameters
    ----------
    top, bottom, left, right : int
        Bounding box of the cell, in px; `bottom` and `right` are one past its last row and column.
    margin : float
        Distance between the box and the square on each side, as a share of the longer side of the
        box.

    Returns
    -------
    (top, left, side) : tuple of int
        Arguments of `crop_square`.

    Examples
    --------
    >>> from hemafeat import images
    >>> images.square_around(10, 50, 20, 50, margin=0.25)
    (0, 5, 60)
    """
    side = max(bottom - top, right - left, 1)
    side += 2 * round(margin * side)
    return (top + bottom - side) // 2, (left + right - side) // 2, side
