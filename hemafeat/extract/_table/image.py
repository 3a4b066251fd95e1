"""Measure one image, whatever may be wrong with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from hemafeat.extract._family import Family
from hemafeat.extract._measure import central_cell, image_quality, measure_window
from hemafeat.extract._prepared import Prepared
from hemafeat.extract._table.errors import ErrorRow, error_row
from hemafeat.extract._windows import windows
from hemafeat.images import MAX_PIXELS, orientation, path_of, read, tile_of
from hemafeat.segment import MaskError, Masks, as_masks, find_cells

Segmenter = Callable[[np.ndarray], Masks]

Normaliser = Callable[[np.ndarray], np.ndarray]
"""``image -> image``, both (H, W, 3) uint8 RGB."""


@dataclass(slots=True)
class ImageResult:
    """Cells of one image that were measured, and what could not be.

    Attributes
    ----------
    features : (n_cells, k) ndarray of float64
        Values in px, in the order of the families.
    quality : dict of str to (n_cells,) ndarray
        Quality columns, without their prefix.
    cell : (n_cells,) ndarray of int64
        Number of each cell in its image, from 1 on.
    errors : list of dict
        Rows of the table of errors.
    state : tuple of int, optional
        State of the files before they were read, see `file_state`.
    position : dict of str to (n_cells,) ndarray
        Where the cells lie, see `hemafeat.segment.Masks.positions`.
    """

    features: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    quality: dict[str, np.ndarray] = field(default_factory=dict)
    cell: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    errors: list[ErrorRow] = field(default_factory=list)
    state: tuple[int, ...] | None = None
    position: dict[str, np.ndarray] = field(default_factory=dict)


def measure_image(
    image: Any,
    name: str,
    mask: Any,
    families: Mapping[str, Family],
    segment: Segmenter | None,
    normalise: Normaliser | None,
    *,
    central: bool,
    zoom: float = 1.0,
    mask_kind: str = "auto",
) -> ImageResult:
    """Measure the cells of one image; an error of any kind becomes a row of errors.

    Parameters
    ----------
    image : path or array
        Entry of the image table.
    name : str
        Name of the image in the tables.
    mask : path, array, Masks or MaskError
        Mask of the image, or why there is none. Ignored if there is a segmenter.
    families : mapping of str to function
        Families to measure, in the order of the table.
    segment : callable or None
        ``image -> Masks``; None if masks are given.
    normalise : callable or None
        ``image -> image``. The image it returns is measured in place of the one segmented.
    central : bool
        Keep only the cell at the centre of the image.
    zoom : float
        Factor by which the image is resized before it is measured.
    mask_kind : str
        Meaning of the values of `mask`, see `hemafeat.segment.read_masks`.

    Returns
    -------
    ImageResult
        Without cells if the image could not be measured.
    """
    # Taken before the image is read: a file that changes meanwhile counts as changed.
    state = file_state(image, mask)
    stage = "read"
    errors: list[ErrorRow] = []
    try:
        tile, pixels = tile_of(image), read(image)
        stage = "mask" if segment is None else "segment"
        if segment is None:
            masks = as_masks(mask, mask_kind, pixels.shape)
            _check_fit(masks, pixels, image)
            if masks.note:
                errors.append(error_row(name, stage, "MaskWarning", masks.note))
        else:
            masks = find_cells(segment, pixels, image)
        found = masks
        if zoom != 1:
            pixels, masks = resize(pixels, masks, zoom)
        if masks.n_cells == 0 and tile is not None:
            # Most of a large image may be empty, which is no error.
            return ImageResult(errors=errors, state=state)
        if masks.n_cells == 0:
            errors.append(error_row(name, stage, "NoCellFound", "no cell was found in the image"))
            return ImageResult(errors=errors, state=state)
        kept = central_cell(masks) if central and masks.n_cells > 1 else None
        if normalise is not None:
            stage = "normalise"
            pixels = normalise(pixels)
        prepared = Prepared(pixels, masks)
        stage = "extract"
        order: list[np.ndarray] = []
        blocks: list[np.ndarray] = []
        records: list[dict[str, np.ndarray]] = []
        failures: dict[str, Exception] = {}
        for rows, window, window_masks in windows(prepared, masks, kept):
            record = {key: column[rows] for key, column in masks.quality.items()}
            records.append(record | image_quality(window, window_masks, masks.n_cells))
            block, failed = measure_window(window, window_masks, families)
            order.append(rows)
            blocks.append(block)
            failures |= failed
        rows, values, quality = _in_order(order, blocks, records)
        # In the pixels of the image itself, also where another size was measured.
        position = found.positions(rows)
        position = position if tile is None else tile.on_slide(position)
    except Exception as error:
        return ImageResult(errors=[*errors, error_row(name, stage, error)], state=state)
    errors += [error_row(name, f"extract:{family}", error) for family, error in failures.items()]
    return ImageResult(values, quality, rows + 1, errors, state, position)


def _in_order(
    order: list[np.ndarray], blocks: list[np.ndarray], records: list[dict[str, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Join rows, values and quality of several windows, in the order of the cells."""
    if len(order) == 1:
        return order[0], blocks[0], records[0]
    rows = np.concatenate(order)
    sorting = np.argsort(rows)
    quality = {key: np.concatenate([one[key] for one in records])[sorting] for key in records[0]}
    return rows[sorting], np.concatenate(blocks)[sorting], quality


def _check_fit(masks: Masks, pixels: np.ndarray, image: Any) -> None:
    """Raise a `MaskError` unless the masks fit; it says whether metadata turned the image."""
    try:
        masks.check_fit(pixels.shape)
    except MaskError as error:
        turned = masks.shape == pixels.shape[1::-1] and orientation(image)
        if turned not in (5, 6, 7, 8):
            raise
        raise MaskError(
            f"{error}: the metadata of the image (EXIF orientation {turned}) turn it, and a mask "
            "is laid on the turned image; turn the mask too"
        ) from None


def resize(image: np.ndarray, masks: Masks, zoom: float) -> tuple[np.ndarray, Masks]:
    """Resize an image and its masks, which fit it, by the factor `zoom`."""
    height, width = image.shape[:2]
    size = max(1, round(width * zoom)), max(1, round(height * zoom))
    if size[0] * size[1] > MAX_PIXELS:
        raise ValueError(
            f"would have {size[0]:,} x {size[1]:,} pixels at the scale to resample to; check the "
            "um per pixel"
        )
    interpolation = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    cell, nucleus = (
        cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT)
        for labels in (masks.cell, masks.nucleus)
    )
    resized = cv2.resize(image, size, interpolation=interpolation)
    return resized, Masks.known(cell, nucleus, masks.n_cells, dict(masks.quality))


def file_state(image: Any, mask: Any = None) -> tuple[int, ...] | None:
    """Return size and modification time of the files of an image and its mask.

    Returns
    -------
    tuple of int or None
        Size in bytes and time in ns of each file, of two for a pair of masks. None if a file does
        not exist, or is not a local file (an array, a URI), so that changes to it cannot be
        noticed.
    """
    state: list[int] = []
    try:
        for source in (image, *(mask if isinstance(mask, (tuple, list)) else [mask])):
            if isinstance(source, (str, os.PathLike)):
                status = os.stat(path_of(source))
                state += (status.st_size, status.st_mtime_ns)
    except (OSError, ValueError):
        return None
    return tuple(state) or None
