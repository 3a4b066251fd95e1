"""Segmenters by name: those of this package and those that other packages provide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import entry_points
from typing import Any

import numpy as np

from hemafeat._public import public
from hemafeat._words import suggestion
from hemafeat.segment._best import best
from hemafeat.segment._contours.contours import contours
from hemafeat.segment._masks import MaskError, Masks
from hemafeat.segment._sobel_watershed import sobel_watershed
from hemafeat.segment._unet.tiles import load_network, weights_file
from hemafeat.segment._unet.unet import unet

GROUP = "hemafeat.segmenters"

WEIGHTED: dict[str, Callable[..., Masks]] = {"best": best, "unet": unet}
"""Segmenters that need a file of weights, which may follow their name after a colon."""

PUBLISHED: dict[str, Callable[[np.ndarray], Masks]] = {
    "sobel_watershed": sobel_watershed,
    "sobel_watershed:inverted": partial(sobel_watershed, inverted=True),
}
"""Segmenters of reports, for repeating them."""

Segmenter = Callable[[np.ndarray], Masks]


@public
class SegmenterError(ValueError):
    """A segmenter is unknown, cannot be loaded, or does not return masks of the image."""


def segmenter(which: str | Callable[[np.ndarray], Any] = "contours") -> Segmenter:
    """Return a segmenter by name, or wrap a callable so that its results are checked.

    Parameters
    ----------
    which : str or callable
        ``"contours"``, ``"unet"``, ``"best"``, ``"sobel_watershed"`` (of a report, or
        ``"sobel_watershed:inverted"`` with its error), the name of an entry point of the group
        ``hemafeat.segmenters``, or a callable that takes an (H, W, 3) uint8 RGB image and returns
        `Masks` or a pair of label images (cell, nucleus). ``"unet:PATH"`` and ``"best:PATH"`` use
        the weights of a file.

    Returns
    -------
    callable
        ``image -> Masks``. The results of other packages and of callables are checked at every
        call.

    Raises
    ------
    SegmenterError
        The name is unknown (the message lists the known ones), or the package or the weights
        cannot be loaded. The returned callable raises it if the result is not masks of the image.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import segment
    >>> def whole_image(image):
    ...     return np.ones(image.shape[:2], int), np.zeros(image.shape[:2], int)
    >>> segment.segmenter(whole_image)(np.zeros((4, 6, 3), np.uint8))
    Masks(1 cells, 4 x 6)
    """
    if isinstance(which, str):
        if which == "contours":
            return contours
        if which.partition(":")[0] in WEIGHTED:
            return _weighted(which)
        if which in PUBLISHED:
            return _CheckedSegmenter(PUBLISHED[which], which)
        entries = _entries()
        if which not in entries:
            names = ["contours", *WEIGHTED, *PUBLISHED, *entries]
            raise SegmenterError(
                f"unknown segmenter {which!r}; {suggestion(which, names, 'choose one of:')}"
            )
        try:
            function = entries[which].load()
        except Exception as error:
            raise SegmenterError(
                f"segmenter {which!r} ({entries[which].value}) cannot be loaded: {error}"
            ) from error
        if not callable(function):
            raise SegmenterError(f"segmenter {which!r} ({entries[which].value}) is not callable")
        return _CheckedSegmenter(function, which)
    if not callable(which):
        raise SegmenterError(
            f"a segmenter is a name or a callable image -> Masks, not {type(which).__name__}"
        )
    if which is contours or isinstance(which, _CheckedSegmenter):
        return which
    return _CheckedSegmenter(which, getattr(which, "__name__", type(which).__name__))


def _weighted(which: str) -> Segmenter:
    name, _, file = which.partition(":")
    try:
        path = weights_file(file or None)
        load_network(path)
    except (OSError, ValueError) as error:
        raise SegmenterError(f"segmenter {name!r}: {error}") from None
    return _CheckedSegmenter(partial(WEIGHTED[name], weights=path), name)


@cache
def _entries() -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        if entry.name in {"contours", *WEIGHTED, *PUBLISHED, *entries}:
            raise SegmenterError(
                f"two segmenters have the name {entry.name!r}; one of them is {entry.value}"
            )
        entries[entry.name] = entry
    return entries


@dataclass(frozen=True)
class _CheckedSegmenter:
    """A segmenter whose results are checked; a class, so that it can be pickled."""

    function: Callable[[np.ndarray], Any]
    __name__: str

    def __call__(self, image: np.ndarray) -> Masks:
        result = self.function(image)
        if not isinstance(result, Masks):
            result = self._to_masks(result)
        try:
            result.check_fit(image.shape)
        except MaskError as error:
            raise SegmenterError(f"segmenter {self.__name__!r}: {error}") from None
        return result

    def _to_masks(self, result: Any) -> Masks:
        if not (isinstance(result, tuple | list) and len(result) == 2):
            raise SegmenterError(
                f"segmenter {self.__name__!r} returned {type(result).__name__}; expected Masks or "
                "a pair of label images (cell, nucleus)"
            )
        try:
            return Masks(np.asarray(result[0]), np.asarray(result[1]))
        except MaskError as error:
            raise SegmenterError(f"segmenter {self.__name__!r}: {error}") from None
