"""Check that labels fit the pixels they are laid on, before a kernel reads either."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from hemafeat.segment import MaskError, Masks, check_labels, misfit

MOST_CELLS = 65535
"""Number of cells that any image may have; a larger one may have as many as it has pixels."""


def fitting_labels(labels: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, int]:
    """Return labels in the form that kernels read, and the largest one.

    Parameters
    ----------
    labels : (H, W) array of int, bool, or floats that are whole numbers
        Labels 1 to n, 0 is background. A boolean mask is one cell.
    shape : tuple of int
        Shape of the image, of which the first two axes count.

    Returns
    -------
    labels : (H, W) ndarray of int32
        C-contiguous and writable. It is the array itself if it has this form.
    largest : int
        The largest label, 0 without cells.

    Raises
    ------
    MaskError
        Labels are not whole numbers of at least 0, differ in size from the image, or exceed the
        number of pixels.
    """
    if isinstance(labels, Masks):
        raise MaskError("expected one label image, such as masks.nucleus, not Masks")
    array = labels if isinstance(labels, np.ndarray) else np.asarray(labels)
    if array.dtype != np.int32 or array.ndim != 2 or not array.size:
        array = check_labels(labels, "label")
    if array.shape != tuple(shape[:2]):
        raise MaskError(misfit("mask", array.shape, "image", shape))
    # A negative label is a large one without its sign.
    largest = int((array.view(np.uint32) if array.dtype == np.int32 else array).max())
    if largest > max(MOST_CELLS, array.size):
        if array.dtype == np.int32 and array.min() < 0:
            raise MaskError("the label mask contains negative labels")
        raise MaskError(
            f"a label is {largest}, but labels number the cells 1 to n; hemafeat.segment.Masks "
            "renumbers any ids"
        )
    if array.dtype == np.int32 and array.flags.c_contiguous and array.flags.writeable:
        # The same object: `np.require` may return a view, and what is shared is kept by object.
        return array, largest
    return np.array(array, np.int32, order="C"), largest


def number_of_cells(n_cells: Any, largest: int, limit: int) -> int:
    """Return `n_cells`, by default the largest label, or raise a `MaskError` if it is too small.

    Parameters
    ----------
    n_cells : int or None
        Number of cells that the caller states.
    largest : int
        Largest label of the mask.
    limit : int
        Number of pixels, which the number of cells cannot exceed.
    """
    if n_cells is None:
        return largest
    try:
        stated = operator.index(n_cells)
    except TypeError:
        raise MaskError(f"n_cells is {n_cells!r}, expected a whole number") from None
    if stated < largest:
        raise MaskError(f"n_cells is {stated}, but the largest label is {largest}")
    if stated > max(MOST_CELLS, limit):
        raise MaskError(f"n_cells is {stated}, but the image has {limit} pixels")
    return stated


def fitting_masks(masks: Any, shape: tuple[int, ...], checked: Any = None) -> Masks:
    """Return `masks` if they are `Masks` of an image of this shape, or raise a `MaskError`.

    Parameters
    ----------
    masks : Masks
        Masks to check.
    shape : tuple of int
        Shape of the image, of which the first two axes count.
    checked : Masks, optional
        Masks that are known to fit.
    """
    if masks is not checked or masks is None:
        if not isinstance(masks, Masks):
            raise MaskError(f"expected Masks of cells and nuclei, not {type(masks).__name__}")
        masks.check_fit(shape)
    return masks
