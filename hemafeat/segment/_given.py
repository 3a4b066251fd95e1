"""Masks that somebody else made: trimaps, label images and pairs of them, from files or arrays."""

from __future__ import annotations

import os
from typing import Any

import cv2
import numpy as np

from hemafeat.datasets import TRIMAP_CYTOPLASM, TRIMAP_NUCLEUS
from hemafeat.images import read_labels
from hemafeat.segment._masks import MaskError, Masks

SMALLEST = 25
"""Fewest pixels of a component of a trimap that is a cell and not a stray speck."""


def read_masks(source: Any, nucleus: Any = None, *, smallest: int = SMALLEST) -> Masks:
    """Masks from a file or an array.

    Parameters
    ----------
    source : path or (H, W) array
        With `nucleus`: the labels of the whole cells (0 background; a boolean or 0/255 mask is cut
        into its connected components). Without: a trimap of 0 background, about 128 to 160
        cytoplasm and 255 nucleus, or a label image of whole cells with no nuclei known.
    nucleus : path or (H, W) array, optional
        The labels of the nuclei under the ids of the cells, or a mask of nuclei, which then belong
        to the cells they lie in.
    smallest : int
        Components of a trimap or mask of fewer pixels are dropped.

    Returns
    -------
    Masks

    Raises
    ------
    hemafeat.images.ImageError
        The file cannot be read.
    MaskError
        It is no mask, or cell and nucleus contradict each other; names the file.

    Notes
    -----
    An image is taken for a trimap when its largest value is above 200 and it is not a label image,
    that is, when it has at most three levels apart from the ramps between them. Grey above 60 is
    cell and above 200 nucleus, which serves the masks of all data sets this package loads.
    """
    name = str(source) if isinstance(source, (str, os.PathLike)) else "mask array"
    try:
        first = _array(source)
        if nucleus is not None:
            return _pair(first, _array(nucleus), smallest)
        if _is_trimap(first):
            cell = _components(first > TRIMAP_CYTOPLASM, smallest)
            return Masks(cell, np.where(first > TRIMAP_NUCLEUS, cell, 0))
        return Masks(first, np.zeros(first.shape, np.int32))
    except MaskError as error:
        raise MaskError(f"{name}: {error}") from None


def _array(source: Any) -> np.ndarray:
    if isinstance(source, (str, os.PathLike)) and os.fspath(source).endswith(".npy"):
        try:
            return np.load(source, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise MaskError(str(error)) from None
    return read_labels(source)


def _is_trimap(mask: np.ndarray) -> bool:
    if mask.dtype == bool or mask.max() <= TRIMAP_NUCLEUS or mask.max() > 255:
        return False
    # Label images count up from 1; a trimap leaves nearly all of 1..60 empty but for specks.
    low = np.count_nonzero((mask > 0) & (mask <= TRIMAP_CYTOPLASM))
    return bool(low < 0.5 * np.count_nonzero(mask))


def _pair(cell: np.ndarray, nucleus: np.ndarray, smallest: int) -> Masks:
    if cell.shape != nucleus.shape:
        raise MaskError(f"cell mask is {cell.shape} and nucleus mask is {nucleus.shape}")
    if _is_binary(cell):
        cell = _components(cell > 0, smallest)
        nucleus = nucleus > 0
    if _is_binary(nucleus):
        nucleus = np.where(nucleus > 0, cell, 0)
    return Masks(cell, nucleus)


def _is_binary(mask: np.ndarray) -> bool:
    return mask.dtype == bool or (mask.max() == 255 and not np.any((mask != 0) & (mask != 255)))


def _components(inside: np.ndarray, smallest: int) -> np.ndarray:
    n_found, labels, stats, _ = cv2.connectedComponentsWithStats(
        inside.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S
    )
    kept = stats[:, cv2.CC_STAT_AREA] >= smallest
    kept[0] = False
    lut = np.zeros(n_found, np.int32)
    lut[kept] = np.arange(1, int(kept.sum()) + 1)
    return lut[labels]
