"""Segmenters by name: those of this package, and what other packages plug in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import entry_points
from typing import Any

import numpy as np

from hemafeat._public import public
from hemafeat.segment._best import best
from hemafeat.segment._contours.contours import contours
from hemafeat.segment._masks import MaskError, Masks
from hemafeat.segment._unet.tiles import network, weights_file
from hemafeat.segment._unet.unet import unet

GROUP = "hemafeat.segmenters"

WEIGHTED: dict[str, Callable[..., Masks]] = {"best": best, "unet": unet}
"""Segmenters that need a file of weights, which may follow the name and a colon."""

Segmenter = Callable[[np.ndarray], Masks]


@public
class SegmenterError(ValueError):
    """A segmenter that is unknown, cannot be loaded, or does not return masks of the image."""


def segmenter(which: str | Callable[[np.ndarray], Any] = "contours") -> Segmenter:
    """A segmenter by name, or any callable made to keep the contract of one.

    Parameters
    ----------
    which : str or callable
        ``"contours"``, ``"unet"`` or ``"best"`` (both with the weights they find, or with those of
        a file: ``"unet:PATH"``), the name of an entry point of the group ``hemafeat.segmenters``,
        or a callable that takes an (H, W, 3) uint8 RGB image and returns `Masks` or a pair of label
        images (cell, nucleus).

    Returns
    -------
    callable
        ``image -> Masks``. What a foreign segmenter returns is checked at every call.

    Raises
    ------
    SegmenterError
        No segmenter of that name (the message lists those there are), or its package or weights
        cannot be loaded. When called: it returned something that is no `Masks` of this image.

    Examples
    --------
    >>> import numpy as np
    >>> def whole_image(image):
    ...     return np.ones(image.shape[:2], int), np.zeros(image.shape[:2], int)
    >>> segmenter(whole_image)(np.zeros((4, 6, 3), np.uint8))
    Masks(1 cells, 4 x 6)
    """
    if isinstance(which, str):
        if which == "contours":
            return contours
        if which.partition(":")[0] in WEIGHTED:
            return _weighted(which)
        points = _plugged_in()
        if which not in points:
            known = ", ".join(["contours", *WEIGHTED, *points])
            raise SegmenterError(f"no segmenter {which!r}; there are: {known}")
        try:
            found = points[which].load()
        except Exception as error:
            raise SegmenterError(
                f"segmenter {which!r} ({points[which].value}) cannot be loaded: {error}"
            ) from error
        if not callable(found):
            raise SegmenterError(f"segmenter {which!r} ({points[which].value}) is not callable")
        return _Checked(found, which)
    if not callable(which):
        raise SegmenterError(
            f"a segmenter is a name or a callable image -> Masks, not {type(which).__name__}"
        )
    if which is contours or isinstance(which, _Checked):
        return which
    return _Checked(which, getattr(which, "__name__", type(which).__name__))


def _weighted(which: str) -> Segmenter:
    name, _, file = which.partition(":")
    try:
        path = weights_file(file or None)
        network(path)
    except (OSError, ValueError) as error:
        raise SegmenterError(f"segmenter {name!r}: {error}") from None
    return _Checked(partial(WEIGHTED[name], weights=path), name)


@cache
def _plugged_in() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda p: (p.name, p.value)):
        if point.name == "contours" or point.name in WEIGHTED or point.name in found:
            raise SegmenterError(f"two segmenters are called {point.name!r}; one is {point.value}")
        found[point.name] = point
    return found


@dataclass(frozen=True)
class _Checked:
    """A foreign segmenter whose results are checked. A class, so that it can be pickled."""

    function: Callable[[np.ndarray], Any]
    __name__: str

    def __call__(self, image: np.ndarray) -> Masks:
        result = self.function(image)
        if not isinstance(result, Masks):
            result = self._masks(result)
        if result.shape != image.shape[:2]:
            raise SegmenterError(
                f"segmenter {self.__name__!r} returned masks of {result.shape} for an image of "
                f"{tuple(image.shape[:2])}"
            )
        return result

    def _masks(self, result: Any) -> Masks:
        pair = isinstance(result, tuple | list) and len(result) == 2
        if not pair:
            raise SegmenterError(
                f"segmenter {self.__name__!r} returned {type(result).__name__}; expected Masks or "
                "a pair of label images (cell, nucleus)"
            )
        try:
            return Masks(np.asarray(result[0]), np.asarray(result[1]))
        except MaskError as error:
            raise SegmenterError(f"segmenter {self.__name__!r}: {error}") from None
