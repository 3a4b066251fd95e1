"""One image to numbers, whatever becomes of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hemafeat.extract._family import Family
from hemafeat.extract._measure import central_cell, image_quality, measure_window
from hemafeat.extract._prepared import Prepared
from hemafeat.images import ImageError, path_of, read
from hemafeat.segment import MaskError, Masks, as_masks

Error = dict[str, str]
"""A row of the table of errors: ``image, stage, error, message``."""


@dataclass(slots=True)
class Outcome:
    """What became of one image."""

    features: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    quality: dict[str, np.ndarray] = field(default_factory=dict)
    cell: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    errors: list[Error] = field(default_factory=list)
    state: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Work:
    """What is done to every image. Sent to other machines, so it must be possible to pickle it.

    Attributes
    ----------
    families : dict of str to function
        In the order of the table.
    segment : callable, optional
        ``image -> Masks``; None where masks are given.
    normalise : callable, optional
        ``image -> image``: what is measured, in the place of the image that was segmented.
    """

    families: dict[str, Family]
    segment: Callable[[np.ndarray], Masks] | None
    normalise: Callable[[np.ndarray], np.ndarray] | None = None

    def measure(
        self, image: Any, place: int, mask: Any, central: bool, zoom: float = 1.0
    ) -> Outcome:
        """Measure one image.

        Parameters
        ----------
        image : path or array
            As it stands in the image table.
        place : int
            Its row there.
        mask : path, array, Masks or MaskError
            Its mask, or why there is none; not looked at where a segmenter is to be used.
        central : bool
            Whether to keep the cell at the centre only.
        zoom : float
            Pixels of the image measured per pixel of the image given.
        """
        # Before it is read: a file that changes meanwhile is then taken for changed.
        state = file_state(image, mask)
        name = image_name(image, place)
        stage = "read"
        try:
            pixels = read(image)
            stage = "mask" if self.segment is None else "segment"
            masks = as_masks(mask) if self.segment is None else self.segment(pixels)
            if zoom != 1:
                pixels, masks = zoomed(pixels, masks, zoom)
            if masks.n_cells == 0:
                why = "no cell was found in the image"
                return failed(name, stage, "NoCellFound", why, state)
            kept = central_cell(masks) if central and masks.n_cells > 1 else None
            if self.normalise is not None:
                stage = "normalise"
                pixels = self.normalise(pixels)
            stage = "extract"
            prepared, measured = Prepared(pixels, masks).window(masks, kept)
            quality = dict(masks.quality)
            if kept is not None:
                quality = {key: values[[kept]] for key, values in quality.items()}
            quality |= image_quality(prepared, measured, masks.n_cells)
            values, failures = measure_window(prepared, measured, self.families)
        except ImageError as error:
            return failed(name, stage, "ImageError", getattr(error, "reason", str(error)), state)
        except MaskError as error:
            return failed(name, stage, "MaskError", str(error), state)
        except Exception as error:
            return failed(name, stage, type(error).__name__, str(error), state)
        number = np.arange(1, measured.n_cells + 1) if kept is None else np.array([kept + 1])
        errors = [
            _error(name, f"extract:{family}", type(failure).__name__, str(failure))
            for family, failure in failures.items()
        ]
        return Outcome(values, quality, number, errors, state)


def zoomed(image: np.ndarray, masks: Masks, zoom: float) -> tuple[np.ndarray, Masks]:
    """An image and its masks at another number of pixels per micrometre."""
    height, width = image.shape[:2]
    if masks.shape != (height, width):
        raise MaskError(f"the mask is {masks.shape} and the image {(height, width)}")
    size = max(1, round(width * zoom)), max(1, round(height * zoom))
    how = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    cell, nucleus = (
        cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT)
        for labels in (masks.cell, masks.nucleus)
    )
    resized = cv2.resize(image, size, interpolation=how)
    return resized, Masks.known(cell, nucleus, masks.n_cells, dict(masks.quality))


def failed(
    image: str, stage: str, error: str, message: str, state: tuple[int, ...] | None = None
) -> Outcome:
    """The outcome of an image that gave nothing."""
    return Outcome(errors=[_error(image, stage, error, message)], state=state)


def _error(image: str, stage: str, error: str, message: str) -> Error:
    return {"image": image, "stage": stage, "error": error, "message": message}


def image_name(image: Any, place: int) -> str:
    """What an image is called in the tables: its path, or its place among arrays."""
    if isinstance(image, (str, Path)):
        return str(image)
    return f"array[{place}]"


def file_state(image: Any, mask: Any = None) -> tuple[int, ...] | None:
    """Size and time of change of the files of an image and its mask.

    None where one of them is not there, or where it is no file of this machine (an array, a URI):
    then nothing is known of changes to it.
    """
    found: list[int] = []
    try:
        for source in (image, mask):
            if isinstance(source, (str, os.PathLike)):
                state = os.stat(path_of(source))
                found += (state.st_size, state.st_mtime_ns)
    except (OSError, ValueError):
        return None
    return tuple(found) or None
