"""Segmenters by name: those of this package, and plugged-in ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import numpy as np

from hemafeat.segment._masks import MaskError, Masks

GROUP = "hemafeat.segmenters"

BUILT_IN = {"contours": "hemafeat.segment._contours:contours"}

Segmenter = Callable[[np.ndarray], Masks]


@cache
def segmenters() -> dict[str, EntryPoint]:
    """Where every named segmenter is: those of this package first, then plug-ins by name.

    Returns
    -------
    dict of str to importlib.metadata.EntryPoint
        Loaded only when asked for by `segmenter`.

    Raises
    ------
    ValueError
        Two packages offer the same name.
    """
    points = [EntryPoint(name, where, GROUP) for name, where in BUILT_IN.items()]
    points += sorted(entry_points(group=GROUP), key=lambda point: point.name)
    found: dict[str, EntryPoint] = {}
    for point in points:
        if point.name in found:
            raise ValueError(f"two segmenters are called {point.name!r}; one is {point.value}")
        found[point.name] = point
    return found


def segmenter(which: str | Callable[[np.ndarray], Any]) -> Segmenter:
    """A callable that takes an (H, W, 3) uint8 RGB image and returns `Masks`.

    Parameters
    ----------
    which : str or callable
        A name (see `segmenters`), or a function of one image that returns `Masks` or a
        (cell, nucleus) pair of (H, W) label images.

    Returns
    -------
    callable
        Its result is checked: `Masks` of the shape of the image.

    Raises
    ------
    ValueError
        No segmenter of that name.
    TypeError
        Neither a name nor a callable.
    """
    if isinstance(which, str):
        known = segmenters()
        if which not in known:
            raise ValueError(f"no segmenter {which!r}; there are: {', '.join(known)}")
        which = known[which].load()
    if not callable(which):
        raise TypeError(f"a segmenter is a name or a callable, not {type(which).__name__}")
    function = which

    @wraps(function)
    def checked(image: np.ndarray) -> Masks:
        found = function(image)
        if isinstance(found, (tuple, list)) and len(found) == 2:
            found = Masks(np.asarray(found[0]), np.asarray(found[1]))
        if not isinstance(found, Masks):
            raise MaskError(
                f"the segmenter returned {type(found).__name__}, expected Masks or a "
                "(cell, nucleus) pair of label images"
            )
        if found.shape != image.shape[:2]:
            raise MaskError(
                f"the segmenter returned masks of {found.shape} for an image of {image.shape[:2]}"
            )
        return found

    return checked
