"""Read rectangles of OME-Zarr images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hemafeat._machine import how_to_install
from hemafeat._words import reason_of
from hemafeat.images._formats import Unreadable
from hemafeat.images._large.slide import Slide, credible_scale, levels_of

_MAX_LEVELS = 32
_MAX_CHUNK = 2**28
"""Most bytes that a chunk of the array may take in memory."""

_UM = {"micrometer": 1.0, "micrometre": 1.0, "nanometer": 1e-3, "millimeter": 1e3}


class ZarrSlide(Slide):
    """An OME-Zarr image (versions 0.4 and 0.5) with one channel, or three for RGB.

    Parameters
    ----------
    path : str
        Local folder.
    """

    def __init__(self, path: str) -> None:
        try:
            import zarr
        except ImportError:
            raise Unreadable(
                "is an OME-Zarr image, which needs zarr: " + how_to_install("zarr", "slides")
            ) from None
        try:
            group = zarr.open_group(path, mode="r")
            attributes = dict(group.attrs)
            attributes = dict(attributes.get("ome", attributes))
            image = attributes["multiscales"][0]
            self._axes = [str(axis["name"]) for axis in image["axes"]]
            self._arrays: list[Any] = [
                group[one["path"]] for one in image["datasets"][:_MAX_LEVELS]
            ]
            scale = _scale(image)
        # A folder of anything else may raise any exception in zarr.
        except Exception as problem:
            reason = reason_of(problem, 200)
            raise Unreadable(
                f"is not an OME-Zarr image with its metadata (multiscales): {reason}"
            ) from None
        for array in self._arrays:
            self._check(array)
        self.levels = levels_of(
            [(self._side(array, "x"), self._side(array, "y")) for array in self._arrays], scale
        )

    def pixels(
        self, level: int, x: int, y: int, width: int, height: int
    ) -> tuple[np.ndarray, bool, int | None]:
        """Read a rectangle; see `Slide.pixels`."""
        part = {"x": slice(x, x + width), "y": slice(y, y + height), "c": slice(None)}
        found = np.asarray(self._arrays[level][tuple(part.get(axis, 0) for axis in self._axes)])
        left = [axis for axis in self._axes if axis in part]
        order = [left.index(axis) for axis in ("y", "x", "c") if axis in left]
        return found.transpose(order), False, None

    def _side(self, array: Any, axis: str) -> int:
        return int(array.shape[self._axes.index(axis)])

    def _check(self, array: Any) -> None:
        shape = tuple(getattr(array, "shape", ()))
        if len(shape) != len(self._axes) or not {"x", "y"} <= set(self._axes):
            raise Unreadable(f"has an array of {shape} for the axes {' '.join(self._axes)}")
        sizes = dict(zip(self._axes, shape, strict=True))
        channels = sizes.pop("c", 1)
        others = {axis: n for axis, n in sizes.items() if axis not in "xy" and n != 1}
        if channels not in (1, 3) or others:
            raise Unreadable(
                f"has the size {shape} along {' '.join(self._axes)}; expected one bright-field "
                "picture of 1 channel or 3 (RGB)"
            )
        if array.dtype != np.uint8:
            raise Unreadable(f"holds values of type {array.dtype}, expected uint8")
        if math.prod(array.chunks) * array.dtype.itemsize > _MAX_CHUNK:
            raise Unreadable(
                f"is stored in chunks of {array.chunks}, too large to be read in parts"
            )


def _scale(image: dict[str, Any]) -> float:
    """Return the um per pixel of the first level, or NaN."""
    factors = [1.0] * len(image["axes"])
    for owner in (image["datasets"][0], image):
        for change in owner.get("coordinateTransformations", ()):
            if change.get("type") == "scale":
                factors = [a * float(b) for a, b in zip(factors, change["scale"], strict=True)]
    sides: dict[str, float] = {}
    for axis, factor in zip(image["axes"], factors, strict=True):
        sides[axis["name"]] = factor * _UM.get(str(axis.get("unit", "")), math.nan)
    return credible_scale(sides.get("x"), sides.get("y"))
