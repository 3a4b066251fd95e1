"""Drawn cells and what drawings on them share; the drawings are in `_drawings`."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from scipy import ndimage as ndi
from skimage import measure

from hemafeat import datasets

MARGIN = 6
"""Pixels around a cell."""

INK, SECOND, THIRD = "#0b7285", "#d9480f", "#5f3dc4"
"""Colours of what is drawn over a cell."""


@dataclass(frozen=True)
class Drawing:
    """A function that draws, with its caption, and what the picture shows to who cannot see it."""

    draw: Callable[[Any], None]
    caption: str
    alt: str
    ratios: tuple[float, ...]


DRAWINGS: dict[str, Drawing] = {}


def draws(name: str, caption: str, alt: str, ratios: tuple[float, ...] = (1, 1, 1)) -> Any:
    """Declare a function that fills panels of the given widths."""

    def keep(draw: Callable[[Any], None]) -> Callable[[Any], None]:
        DRAWINGS[name] = Drawing(draw, caption, alt, ratios)
        return draw

    return keep


@dataclass(frozen=True)
class View:
    """A drawn cell: RGB image, masks of cell and nucleus, background white of each channel."""

    rgb: np.ndarray
    cell: np.ndarray
    nucleus: np.ndarray
    white: np.ndarray

    @property
    def cytoplasm(self) -> np.ndarray:
        return self.cell & ~self.nucleus

    @property
    def od(self) -> np.ndarray:
        """Optical density of each channel."""
        return np.log10((self.white + 1) / (self.rgb + 1.0))

    @property
    def levels(self) -> np.ndarray:
        """The 32 levels of the density of green, from 0."""
        return np.clip(np.floor(32 * self.od[..., 1] / 1.5), 0, 31).astype(int)

    @property
    def grey(self) -> np.ndarray:
        weights = np.array([9798, 19235, 3735])
        return ((self.rgb.astype(int) @ weights + 2**14) >> 15).astype(np.uint8)

    def around(self, mask: np.ndarray, margin: int = MARGIN) -> View:
        """What is near a mask."""
        box = ndi.find_objects(mask.astype(int))[0]
        rows, columns = (slice(max(side.start - margin, 0), side.stop + margin) for side in box)
        parts = (self.rgb, self.cell, self.nucleus)
        return View(*(part[rows, columns] for part in parts), self.white)


@cache
def drawn(kind: str, seed: int, size: int = 250) -> View:
    """A cell alone, with a plain stain and light."""
    light = datasets.Light(noise=0.5)
    stain = datasets.Stain.preset("white")
    cell = datasets.draw_cell(
        kind, size=size, neighbours=0, stain=stain, light=light, random_state=seed
    )
    whole = np.percentile(cell.image[cell.cell == 0], 99, axis=0)
    view = View(cell.image, cell.cell > 0, cell.nucleus > 0, whole)
    return view.around(view.cell)


def neutrophil() -> View:
    return drawn("neutrophil", 12)


def lobed() -> View:
    return drawn("neutrophil", 17)


def monocyte() -> View:
    return drawn("monocyte", 6)


def granular() -> View:
    return drawn("eosinophil", 1)


def show(axes: Any, picture: np.ndarray, title: str = "", **given: Any) -> None:
    """An image without axes, under a title."""
    axes.imshow(picture, interpolation="nearest", **given)
    axes.set_title(title)
    axes.set_axis_off()


def outline(axes: Any, mask: np.ndarray, colour: str = INK, **given: Any) -> None:
    for line in measure.find_contours(np.pad(mask, 1).astype(float), 0.5):
        axes.plot(line[:, 1] - 1, line[:, 0] - 1, color=colour, **({"lw": 1.5} | given))


def inside(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Values in a mask, and nothing elsewhere."""
    return np.where(mask, values, np.nan)


def picture(name: str) -> bytes:
    """The drawing of a family as PNG, 640 x 240 px."""
    drawing = DRAWINGS[name]
    style = {
        "font.size": 8,
        "axes.titlesize": 8,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(6.4, 2.4), dpi=100, layout="constrained")
        figure.get_layout_engine().set(h_pad=0.07, w_pad=0.05)
        panels = figure.subplots(1, len(drawing.ratios), width_ratios=drawing.ratios, squeeze=False)
        drawing.draw(panels[0])
        raw = io.BytesIO()
        figure.savefig(raw, format="png")
    few = Image.open(raw).convert("RGB").quantize(96, dither=Image.Dither.NONE)
    out = io.BytesIO()
    few.save(out, "PNG", optimize=True)
    return out.getvalue()
