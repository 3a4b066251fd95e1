"""Read rectangles of the files of slide scanners, by OpenSlide."""

from __future__ import annotations

from typing import Any

import numpy as np

from hemafeat._machine import how_to_install
from hemafeat._words import reason_of
from hemafeat.images._formats import Unreadable
from hemafeat.images._large.slide import Slide, credible_scale, levels_of


class ScannerSlide(Slide):
    """A file that OpenSlide reads (Aperio, Hamamatsu, MIRAX, Leica, Ventana ...).

    Parameters
    ----------
    path : str
        Local file.
    """

    def __init__(self, path: str) -> None:
        try:
            import openslide
        except (ImportError, OSError):
            raise Unreadable(
                "is a file of a slide scanner, which needs OpenSlide: "
                + how_to_install("openslide-python", "slides")
            ) from None
        try:
            self._file: Any = openslide.OpenSlide(path)
            properties = self._file.properties
            sizes = [(int(width), int(height)) for width, height in self._file.level_dimensions]
            sides = [_number(properties.get(f"openslide.mpp-{axis}")) for axis in "xy"]
        except openslide.OpenSlideUnsupportedFormatError:
            raise Unreadable("is not a slide that OpenSlide can read, or is damaged") from None
        except Exception as problem:
            raise Unreadable(f"is a damaged slide: {reason_of(problem)}") from None
        self.levels = levels_of(sizes, credible_scale(*sides))

    def pixels(
        self, level: int, x: int, y: int, width: int, height: int
    ) -> tuple[np.ndarray, bool, int | None]:
        """Read a rectangle; see `Slide.pixels`."""
        # OpenSlide wants the corner in pixels of the largest level.
        factor = float(self._file.level_downsamples[level])
        corner = (round(x * factor), round(y * factor))
        try:
            picture = self._file.read_region(corner, level, (width, height))
        except Exception as problem:
            raise Unreadable(f"is a damaged slide: {reason_of(problem)}") from None
        return np.asarray(picture), True, None


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
