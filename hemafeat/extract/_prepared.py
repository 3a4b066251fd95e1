"""One image made ready: what several families need of it, each computed once and on demand."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from hemafeat._public import public
from hemafeat.extract._kernels.intensity import histograms
from hemafeat.extract._kernels.region.runs import find_runs, levels_of, pixels
from hemafeat.extract._kernels.window import cut, outside_histogram

if TYPE_CHECKING:
    from hemafeat.segment import Masks


from hemafeat.extract._kernels.region.distance import depths

PLANES = ("r", "g", "b", "grey", "od_r", "od_g", "od_b")

MARGIN = 2
"""Pixels kept around the cells that are measured."""

ENOUGH = 1 << 13
"""Pixels, of the whole image, that suffice to measure its background."""

OD_MAX = 1.5
"""Optical density at which quantisation saturates; Romanowsky nuclei rarely exceed it."""


@dataclass(frozen=True, slots=True)
class Regions:
    """Pixels of each cell under one mask; see ``_kernels.regions``."""

    starts: np.ndarray
    index: np.ndarray
    boxes: np.ndarray
    run_starts: np.ndarray
    runs: np.ndarray

    @property
    def area(self) -> np.ndarray:
        """(n_cells,) int64 pixel counts."""
        # Not by `np.diff`, which is ten times slower on so few.
        return np.asarray(self.starts[1:] - self.starts[:-1])


@public
class Prepared:
    """An RGB image and what families share of it.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB.
    masks : Masks, optional
        When given, the background white is measured outside ``masks.cell``; otherwise outside the
        labels of the first family that asks for it.
    white : sequence of 3 floats, optional
        Background white per channel (R, G, B), when it is known.
    """

    def __init__(
        self, image: np.ndarray, masks: Masks | None = None, white: Any | None = None
    ) -> None:
        rgb = np.ascontiguousarray(image)
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
            raise ValueError(
                f"expected an (H, W, 3) uint8 RGB image, got {rgb.shape} {rgb.dtype}; "
                "hemafeat.images.read makes one of any file or array"
            )
        self.rgb = rgb
        self.masks = masks
        self._white = None if white is None else np.asarray(white, np.float64).reshape(3)
        self._whole: tuple[Prepared, np.ndarray] | None = None
        self.origin = (0, 0)
        self._density_lut: np.ndarray | None = None
        self._planes: dict[str, np.ndarray] = {}
        self._levels: dict[tuple[str, int], np.ndarray] = {}
        # The labels are kept beside the result: an id alone may be reused by another array.
        self._regions: dict[tuple[int, int], tuple[np.ndarray, Regions]] = {}
        self._parts: dict[int, tuple[np.ndarray, np.ndarray] | None] = {}
        self._shared: dict[tuple[str, int, int], tuple[np.ndarray, np.ndarray]] = {}

    @property
    def whole(self) -> Prepared:
        """The whole image, of which this is a window that begins at row and column `origin`."""
        return self if self._whole is None else self._whole[0]

    def window(self, masks: Masks, keep: int | None = None) -> tuple[Prepared, Masks]:
        """The part of the image the cells lie in, with their masks there.

        Whatever a family does to whole planes is then done to no more than the cells need. The
        background white stays that of the whole image.

        Parameters
        ----------
        masks : Masks
            Of the size of the image.
        keep : int, optional
            Row of the one cell to keep; all by default.

        Returns
        -------
        Prepared, Masks
            Views of the image, copies of the labels, without a quality record.
        """
        box, cell, nucleus, cytoplasm = cut(
            masks.cell, masks.nucleus, 0 if keep is None else keep + 1, MARGIN
        )
        top, bottom, left, right = box.tolist()
        n_cells = masks.n_cells if keep is None else 1
        inside = type(masks).known(cell, nucleus, n_cells, cytoplasm=cytoplasm)
        part = Prepared(self.rgb[top:bottom, left:right], inside, self._white)
        part._whole = (self, masks.cell)
        part.origin = (top, left)
        return part, inside

    def regions(self, labels: np.ndarray, n_cells: int) -> Regions:
        """Pixels and bounding box of each cell, found once per mask."""
        key = (id(labels), n_cells)
        known = self._regions.get(key)
        if known is None:
            clean = np.ascontiguousarray(labels, dtype=np.int32)
            found = find_runs(clean, n_cells)
            known = (labels, Regions(*pixels(*found, clean.shape[1]), *found))
            self._regions[key] = known
        return known[1]

    def shared(
        self, what: str, labels: np.ndarray, n_cells: int, compute: Callable[[Regions], np.ndarray]
    ) -> np.ndarray:
        """What several families need of one mask: ``compute(regions)``, called once per `what`."""
        key = (what, id(labels), n_cells)
        known = self._shared.get(key)
        if known is None:
            known = (labels, compute(self.regions(labels, n_cells)))
            self._shared[key] = known
        return known[1]

    def pixel_levels(self, labels: np.ndarray, n_cells: int) -> np.ndarray:
        """(3, N) uint8 levels of R, G and B of the pixels of `regions`, cell after cell."""
        return self.shared(
            "pixel levels",
            labels,
            n_cells,
            lambda found: levels_of(self.rgb, found.runs, found.index.size),
        )

    def histograms(self, labels: np.ndarray, n_cells: int) -> np.ndarray:
        """(n_cells, 3, 256) int64 histograms of R, G and B within each cell."""
        parts = self.parts(labels, n_cells)
        if parts is not None:
            one, other = (self.histograms(part, n_cells) for part in parts)
            return self.shared("histograms", labels, n_cells, lambda _: one + other)
        return self.shared(
            "histograms",
            labels,
            n_cells,
            lambda found: histograms(self.pixel_levels(labels, n_cells), found.starts),
        )

    def parts(self, labels: np.ndarray, n_cells: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Nucleus and cytoplasm, where `labels` are the cells and are made up of just these two.

        What is a sum over the pixels need not be summed again for the whole cell.
        """
        if self.masks is None or labels is not self.masks.cell:
            return None
        if n_cells not in self._parts:
            nucleus, cytoplasm = self.masks.nucleus, self.masks.cytoplasm
            inner, outer = (self.regions(part, n_cells).starts for part in (nucleus, cytoplasm))
            # They are disjoint, and inside the cell if there is one: equal area is equal pixels.
            same = (inner + outer == self.regions(labels, n_cells).starts).all()
            self._parts[n_cells] = (nucleus, cytoplasm) if same else None
        return self._parts[n_cells]

    def white(self, labels: np.ndarray | None = None) -> np.ndarray:
        """(3,) float64 background white; `labels` say what is not background, if no masks do."""
        if self._white is None:
            if self._whole is not None:
                whole, cells = self._whole
                self._white = whole.white(cells)
            else:
                outside = labels if self.masks is None else self.masks.cell
                self._white = background_white(self.rgb, outside)
        return self._white

    def density_lut(self, labels: np.ndarray | None = None) -> np.ndarray:
        """(3, 256) float64: decadic optical density of each grey level of R, G and B."""
        if self._density_lut is None:
            self._density_lut = density_lut(self.white(labels))
        return self._density_lut

    def plane(self, name: str, labels: np.ndarray | None = None) -> np.ndarray:
        """(H, W) plane: uint8 ``r g b grey``, or float32 optical density ``od_r od_g od_b``."""
        if name not in self._planes:
            if name == "grey":
                plane = cv2.cvtColor(self.rgb, cv2.COLOR_RGB2GRAY)
            elif name in ("r", "g", "b"):
                plane = cv2.extractChannel(self.rgb, "rgb".index(name))
            elif name in ("od_r", "od_g", "od_b"):
                channel = "rgb".index(name[-1])
                lut = self.density_lut(labels)[channel].astype(np.float32)
                plane = cv2.LUT(self.plane(name[-1]), lut)
            else:
                raise KeyError(f"no plane {name!r}; there are: {', '.join(PLANES)}")
            self._planes[name] = plane
        return self._planes[name]

    def levels(self, name: str, n_levels: int, labels: np.ndarray | None = None) -> np.ndarray:
        """(H, W) uint8 plane of grey levels 0..n_levels-1.

        Optical density is cut into bins of fixed width over [0, `OD_MAX`], so that levels mean the
        same in every image; 8-bit planes into bins of 256 / n_levels.
        """
        key = (name, n_levels)
        if key not in self._levels:
            if name.startswith("od_"):
                self.density_lut(labels)
                table = _level_lut(float(self.white()["rgb".index(name[-1])]), n_levels)
                source = self.plane(name[-1])
            else:
                table = (np.arange(256) * n_levels // 256).astype(np.uint8)
                source = self.plane(name)
            self._levels[key] = cv2.LUT(source, table)
        return self._levels[key]


def prepare(image: np.ndarray | Prepared) -> Prepared:
    """`image` itself when it is prepared already, else prepared now (a lone call of a family)."""
    return image if isinstance(image, Prepared) else Prepared(image)


def background_white(image: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
    """White level of the background, per channel.

    The 99th percentile of the pixels outside every cell; of a large image every second, third ...
    row and column is looked at, so that it is at least 8,192 pixels. Where the background is black
    (a cell cut out and laid on zeros) or hardly any of it is in view, there is no white to measure
    and it is 255.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB.
    labels : (H, W) ndarray of int, optional
        Cells; 0 is background. Without it the whole image counts as background.

    Returns
    -------
    (3,) ndarray of float64
        R, G, B in 1..255.
    """
    height, width = image.shape[:2]
    if labels is None:
        labels = np.zeros((height, width), np.int32)
    step = max(1, math.isqrt(height * width // ENOUGH))
    n_pixels = -(-height // step) * -(-width // step)
    histogram = outside_histogram(
        np.ascontiguousarray(image), np.ascontiguousarray(labels, dtype=np.int32), step
    )
    n_outside = int(histogram[0].sum())
    white = np.full(3, 255.0)
    if n_outside < 0.01 * n_pixels or n_outside == 0:
        return white
    rank = int(np.ceil(0.99 * n_outside))
    cumulative = np.cumsum(histogram, axis=1)
    found = np.array([float(np.searchsorted(cumulative[c], rank)) for c in range(3)])
    return white if found.max() < 48 else np.maximum(found, 1.0)


def density_lut(white: np.ndarray) -> np.ndarray:
    """(3, 256) float64 decadic optical density, ``-log10((I + 1) / (I0 + 1))`` (Beer-Lambert).

    One is added to both so that a black pixel has a finite density; a pixel brighter than the
    background has a negative one.
    """
    return np.array([_channel_lut(float(level)) for level in white])


# Whites are whole numbers unless they are given: few there are, and images of one smear share them.
@lru_cache(maxsize=1024)
def _channel_lut(white: float) -> np.ndarray:
    level = np.arange(256, dtype=np.float64)
    return np.asarray(np.log10((white + 1.0) / (level + 1.0)))


@lru_cache(maxsize=1024)
def _level_lut(white: float, n_levels: int) -> np.ndarray:
    return level_lut(_channel_lut(white), n_levels)


def level_lut(density: np.ndarray, n_levels: int) -> np.ndarray:
    """(256,) uint8 level of each density: bins of fixed width over [0, `OD_MAX`]."""
    return np.clip(np.floor(density * (n_levels / OD_MAX)), 0, n_levels - 1).astype(np.uint8)


def squared_depths(image: Prepared, labels: np.ndarray, n_cells: int) -> np.ndarray:
    """(H, W) int32 squared distance of each pixel to the nearest one outside its cell.

    From centre to centre, so 1 along the edge; 0 where there is no cell. Beyond the image is
    outside.
    """
    height, width = labels.shape
    return image.shared(
        "distance",
        labels,
        n_cells,
        lambda found: depths(found.run_starts, found.runs, found.boxes, height, width, height),
    )
