"""An image made ready for a segmenter: checked, evenly lit, and known by its background."""

from __future__ import annotations

import numpy as np

from hemafeat.segment import _light
from hemafeat.segment._background import Frame, frame

LEAST_WHITE = 24
"""Brightness of the background below which there is no light to see cells by."""


def prepared(image: np.ndarray) -> tuple[np.ndarray, Frame]:
    """The image, evened out where its light is not even, and what is known of its background.

    Raises
    ------
    ValueError
        `image` is not an (H, W, 3) uint8 array.
    """
    image = np.ascontiguousarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"expected an (H, W, 3) uint8 RGB image, got {image.shape} {image.dtype}; "
            "hemafeat.images.read makes one of any file or array"
        )
    view = frame(image)
    if view.black is None and view.uneven and not is_dim(view):
        factor = _light.gain(view.rgb, view.white)
        if factor is not None:
            image = _light.evened(image, factor)
            view = frame(image)
    return image, view


def is_dim(view: Frame) -> bool:
    """Whether the background is too dark for anything to be seen on it."""
    return bool(view.white.max() < LEAST_WHITE)
