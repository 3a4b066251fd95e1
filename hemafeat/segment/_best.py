"""Contours where they are sure of a single cell, the network everywhere else."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from hemafeat.segment._cells import KIND_WHITE
from hemafeat.segment._contours.contours import segment_by_contours
from hemafeat.segment._contours.frame import Frame
from hemafeat.segment._contours.surround import prepare
from hemafeat.segment._masks import Masks
from hemafeat.segment._unet.looks import LARGE_CROP
from hemafeat.segment._unet.tiles import weights_file
from hemafeat.segment._unet.unet import central_cell, segment_by_network

SURE = 0.9
"""Confidence of `contours` from which the network is not asked."""


def best(image: np.ndarray, *, weights: str | os.PathLike[str] | None = None) -> Masks:
    """Segment white cells by `contours` where these are sure of a single cell, else by `unet`.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB image.
    weights : path, optional
        Weights of the network; see `unet`. By default they are those of the package.

    Returns
    -------
    Masks
        Cells in order of area, largest first. Quality as in `contours`, and ``segmenter``, the
        name of the segmenter of each outline.

    Raises
    ------
    FileNotFoundError
        The file of weights does not exist.
    ValueError
        `image` is not an (H, W, 3) uint8 array, or the weights are not those of such a network.

    Notes
    -----
    A single cell in the middle of a crop of up to 400 px is that of `contours` if their confidence
    is at least 0.9. Everything else is as `unet` says.

    Examples
    --------
    >>> from hemafeat import datasets, segment
    >>> drawn = datasets.draw_cell("monocyte", random_state=0)
    >>> masks = segment.best(drawn.image)
    >>> masks.n_cells
    1
    >>> masks.quality["segmenter"][0] in ("contours", "unet")
    True
    """
    path = weights_file(weights)
    return segment_by_cascade(*prepare(image), path)


def segment_by_cascade(image: np.ndarray, frame: Frame, path: Path) -> Masks:
    """Segment white cells in an image and its reduced copy, as returned by `prepare`."""
    first = segment_by_contours(image, frame)
    if frame.black is not None or _is_sure(first):
        return _named(first, "contours")
    return _named(segment_by_network(image, frame, path, first), "unet")


def _is_sure(masks: Masks) -> bool:
    quality = masks.quality
    return bool(
        max(masks.shape) <= LARGE_CROP
        and masks.n_cells == 1
        and central_cell(masks) == 1
        and quality["confidence"][0] >= SURE
        and quality["kind"][0] == KIND_WHITE
        and not quality["touches_border"][0]
    )


def _named(masks: Masks, segmenter: str) -> Masks:
    names = np.full(masks.n_cells, segmenter, object)
    quality = {**masks.quality, "segmenter": names}
    return Masks.known(masks.cell, masks.nucleus, masks.n_cells, quality)
