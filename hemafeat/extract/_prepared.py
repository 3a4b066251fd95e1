"""Hold an image and what several families compute from it, each computed once on demand."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from hemafeat._public import public
from hemafeat.extract._family import PLANES
from hemafeat.extract._kernels.intensity import histograms
from hemafeat.extract._kernels.region.distance import depths
from hemafeat.extract._kernels.region.runs import find_runs, levels_of, pixels
from hemafeat.extract._kernels.window import cut, outside_histogram
from hemafeat.extract._labels import fitting_labels, fitting_masks, number_of_cells
from hemafeat.segment import MaskError, check_labels, misfit

if TYPE_CHECKING:
    from hemafeat.segment import Masks

MARGIN = 2
"""Pixels kept around the cells that are measured."""

WHITE_SHARE = 0.99
"""Quantile of the levels of the background that is its white."""

DARK = 48
"""Level below which a background is black rather than white."""

GREY = "grey Y = floor((9798 R + 19235 G + 3735 B + 2^14) / 2^15)"
"""How the plane ``grey`` follows from R, G and B: the weights of OpenCV, in whole numbers."""

OD_MAX = 1.5
"""Optical density at which quantisation saturates; Romanowsky nuclei rarely exceed it."""


@dataclass(frozen=True, slots=True)
class Regions:
    """Pixels of each cell under one mask.

    Attributes
    ----------
    starts : (n_cells + 1,) ndarray of int64
        The pixels of cell i are ``index[starts[i]:starts[i + 1]]``.
    index : (N,) ndarray of int64
        Index of each pixel in the flat image.
    boxes : (n_cells, 4) ndarray of int64
        First row, row after the last one, first column, column after the last one.
    run_starts : (n_cells + 1,) ndarray of int64
        The runs of cell i are ``runs[run_starts[i]:run_starts[i + 1]]``.
    runs : (M, 3) ndarray of int64
        Row, first column, and column after the last one of each horizontal run.
    """

    starts: np.ndarray
    index: np.ndarray
    boxes: np.ndarray
    run_starts: np.ndarray
    runs: np.ndarray

    @property
    def area(self) -> np.ndarray:
        """Number of pixels of each cell: (n_cells,) int64."""
        # `np.diff` is ten times slower on so few values.
        return np.asarray(self.starts[1:] - self.starts[:-1])


@public
class Prepared:
    """An RGB image and what feature families share of it.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB image.
    masks : Masks, optional
        Cells of the image. The background white is measured outside ``masks.cell``; without masks
        it is measured outside the labels of the first family that needs it.
    white : sequence of 3 floats, optional
        Background white per channel (R, G, B). By default it is measured.

    Attributes
    ----------
    rgb : (H, W, 3) ndarray of uint8
        The image.
    masks : Masks or None
        As given.
    origin : tuple of int
        Row and column of the whole image at which this one begins; (0, 0) unless it is a window.

    Raises
    ------
    ValueError
        The image is not (H, W, 3) uint8.
    hemafeat.segment.MaskError
        Masks, or labels given to a method, do not fit the image.

    Examples
    --------
    Families that are given the same `Prepared` compute what they share only once:

    >>> from hemafeat import datasets, extract, images, segment
    >>> cell = datasets.draw_cell("neutrophil", random_state=0)
    >>> masks = segment.Masks(cell.cell, cell.nucleus)
    >>> prepared = extract.Prepared(images.read(cell.image), masks)
    >>> nucleus, cytoplasm = (extract.colour(prepared, x) for x in (masks.nucleus, masks.cytoplasm))
    >>> nucleus.shape == cytoplasm.shape
    True
    >>> prepared.plane("od_g").dtype
    dtype('float32')
    """

    OD_MAX = OD_MAX
    """Optical density at which quantised planes saturate, see `levels`."""

    def __init__(
        self, image: np.ndarray, masks: Masks | None = None, white: Any | None = None
    ) -> None:
        rgb = np.ascontiguousarray(image)
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
            raise ValueError(
                f"expected an (H, W, 3) uint8 RGB image, got {rgb.shape} {rgb.dtype}; "
                "hemafeat.images.read returns one for any file or array"
            )
        self.rgb = rgb
        self.masks = None if masks is None else fitting_masks(masks, rgb.shape)
        self._white = None if white is None else np.asarray(white, np.float64).reshape(3)
        self._whole: tuple[Prepared, np.ndarray] | None = None
        self.origin = (0, 0)
        self._density_lut: np.ndarray | None = None
        self._planes: dict[str, np.ndarray] = {}
        self._levels: dict[tuple[str, int], np.ndarray] = {}
        self._fitting: dict[int, tuple[Any, np.ndarray, int]] = {}
        # The labels are kept with the result, because the id of an array may be reused later.
        self._regions: dict[tuple[int, int], tuple[np.ndarray, Regions]] = {}
        self._parts: dict[int, tuple[np.ndarray, np.ndarray] | None] = {}
        self._shared: dict[tuple[str, int, int], tuple[np.ndarray, np.ndarray]] = {}

    @property
    def whole(self) -> Prepared:
        """The whole image, of which this one may be a window."""
        return self if self._whole is None else self._whole[0]

    def checked_labels(self, labels: Any, n_cells: int | None = None) -> tuple[np.ndarray, int]:
        """Check that labels fit the image, once for each array.

        Families that are declared with `family` are given only what this method returns.

        Parameters
        ----------
        labels : (H, W) ndarray of int or bool
            One mask of the cells, such as ``masks.nucleus``.
        n_cells : int, optional
            Number of cells. By default the largest label.

        Returns
        -------
        labels : (H, W) ndarray of int32
            The same array if it is contiguous and has this type, else a copy.
        n_cells : int
            Number of cells.

        Raises
        ------
        MaskError
            The labels have another size than the image, are not whole numbers of at least 0, or
            exceed `n_cells`.
        """
        known = self._fitting.get(id(labels))
        if known is None:
            array, largest = fitting_labels(labels, self.rgb.shape)
            # The converted array is passed on, and comes back.
            known = self._fitting[id(labels)] = (labels, array, largest)
            self._fitting[id(array)] = (array, array, largest)
        _, array, largest = known
        return array, number_of_cells(n_cells, largest, array.size)

    def checked_masks(self, masks: Any, n_cells: int | None = None) -> tuple[Masks, int]:
        """Check that masks fit the image, as `checked_labels` does for one label image."""
        fitting = fitting_masks(masks, self.rgb.shape, self.masks)
        n_pixels = self.rgb.shape[0] * self.rgb.shape[1]
        return fitting, number_of_cells(n_cells, fitting.n_cells, n_pixels)

    def window(self, masks: Masks, keep: int | None = None) -> tuple[Prepared, Masks]:
        """Cut out the part of the image in which the cells lie.

        Families then process whole planes of no more pixels than the cells need. The background
        white remains that of the whole image.

        Parameters
        ----------
        masks : Masks
            Cells, of the size of the image.
        keep : int, optional
            Row of the only cell to keep. By default all cells are kept.

        Returns
        -------
        window : Prepared
            A view of the image.
        masks : Masks
            Copies of the labels in the window, without quality columns.

        Raises
        ------
        MaskError
            Masks and image differ in size.
        IndexError
            There is no row `keep`.
        """
        fitting_masks(masks, self.rgb.shape, self.masks)
        if keep is not None and not 0 <= keep < masks.n_cells:
            raise IndexError(f"there is no cell of row {keep}: the masks have {masks.n_cells}")
        box, cell, nucleus, cytoplasm = cut(
            masks.cell, masks.nucleus, 0 if keep is None else keep + 1, MARGIN
        )
        top, bottom, left, right = box.tolist()
        n_cells = masks.n_cells if keep is None else 1
        window_masks = type(masks).known(cell, nucleus, n_cells, cytoplasm=cytoplasm)
        window = self.view(np.s_[top:bottom, left:right], window_masks, masks.cell)
        return window, window_masks

    def view(self, box: tuple[slice, slice], masks: Masks, cells: np.ndarray) -> Prepared:
        """Return rows and columns of the image, with the background white of the whole of it.

        Parameters
        ----------
        box : (slice, slice)
            Rows and columns.
        masks : Masks
            Cells of this part.
        cells : (H, W) ndarray of int32
            Cells of the whole image, outside which the white is measured.

        Returns
        -------
        Prepared
        """
        window = Prepared(self.rgb[box], masks, self._white)
        window._whole = (self, cells)
        window.origin = (box[0].start, box[1].start)
        return window

    def regions(self, labels: np.ndarray, n_cells: int) -> Regions:
        """Return the pixels and bounding box of each cell, computed once per mask.

        Parameters
        ----------
        labels : (H, W) ndarray of int
            One mask of the cells, such as ``masks.nucleus``.
        n_cells : int
            Number of cells, including those without pixels in `labels`.

        Returns
        -------
        Regions
            With the attributes ``starts, index, boxes, run_starts, runs`` and ``area``.
        """
        key = (id(labels), n_cells)
        if key not in self._regions:
            fitting, n_cells = self.checked_labels(labels, n_cells)
            runs = find_runs(fitting, n_cells)
            regions = Regions(*pixels(*runs, fitting.shape[1]), *runs)
            self._regions[key] = (labels, regions)
        return self._regions[key][1]

    def shared(
        self, name: str, labels: np.ndarray, n_cells: int, compute: Callable[[Regions], np.ndarray]
    ) -> np.ndarray:
        """Return what several families need of one mask, computed once.

        Parameters
        ----------
        name : str
            Key of the result.
        labels : (H, W) ndarray of int
            One mask of the cells, such as ``masks.nucleus``.
        n_cells : int
            Number of cells, including those without pixels in `labels`.
        compute : callable
            Called with the `Regions` of the mask, once for each `name` and mask.

        Returns
        -------
        ndarray
            Result of `compute`.
        """
        key = (name, id(labels), n_cells)
        if key not in self._shared:
            self._shared[key] = (labels, compute(self.regions(labels, n_cells)))
        return self._shared[key][1]

    def pixel_levels(self, labels: np.ndarray, n_cells: int) -> np.ndarray:
        """Return R, G and B of the pixels of `regions`, cell after cell: (3, N) uint8."""
        return self.shared(
            "pixel levels",
            labels,
            n_cells,
            lambda regions: levels_of(self.rgb, regions.runs, regions.index.size),
        )

    def histograms(self, labels: np.ndarray, n_cells: int) -> np.ndarray:
        """Return the histograms of R, G and B within each cell: (n_cells, 3, 256) int64."""
        parts = self.parts(labels, n_cells)
        if parts is not None:
            nucleus, cytoplasm = (self.histograms(part, n_cells) for part in parts)
            return self.shared("histograms", labels, n_cells, lambda _: nucleus + cytoplasm)
        return self.shared(
            "histograms",
            labels,
            n_cells,
            lambda regions: histograms(self.pixel_levels(labels, n_cells), regions.starts),
        )

    def parts(self, labels: np.ndarray, n_cells: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Return nucleus and cytoplasm if `labels` are the cells and consist of just these two.

        Sums over the pixels of a cell are then those of its parts. None if they are not.
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
        """Return the background white of R, G and B: (3,) float64.

        Parameters
        ----------
        labels : (H, W) ndarray of int, optional
            Cells to exclude from the background, if this image has no masks.
        """
        if self._white is None:
            if self._whole is not None:
                whole, cells = self._whole
                self._white = whole.white(cells)
            else:
                foreground = labels if self.masks is None else self.masks.cell
                self._white = background_white(self.rgb, foreground)
        return self._white

    def density_lut(self, labels: np.ndarray | None = None) -> np.ndarray:
        """Return the decadic optical density of each level of R, G and B: (3, 256) float64.

        Parameters
        ----------
        labels : (H, W) ndarray of int, optional
            Cells to exclude from the background, if this image has no masks.
        """
        if self._density_lut is None:
            self._density_lut = density_lut(self.white(labels))
        return self._density_lut

    def plane(self, name: str, labels: np.ndarray | None = None) -> np.ndarray:
        """Return an image plane, computed once.

        Parameters
        ----------
        name : str
            One of `PLANES`.
        labels : (H, W) ndarray of int, optional
            Cells to exclude from the background, if this image has no masks.

        Returns
        -------
        (H, W) ndarray
            ``r``, ``g``, ``b`` and ``grey`` in uint8, where grey is
            ``floor((9798 R + 19235 G + 3735 B + 2^14) / 2^15)``, as OpenCV computes it; ``od_r``,
            ``od_g`` and ``od_b``, the optical density of a channel, in float32.
        """
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
                raise KeyError(f"there is no plane {name!r}; the planes are {', '.join(PLANES)}")
            self._planes[name] = plane
        return self._planes[name]

    def levels(self, name: str, n_levels: int, labels: np.ndarray | None = None) -> np.ndarray:
        """Return a quantised image plane, computed once.

        Optical density is cut into bins of fixed width over [0, `OD_MAX`], so that levels have the
        same meaning in every image; 8-bit planes are cut into bins of 256 / n_levels.

        Parameters
        ----------
        name : str
            One of `PLANES`.
        n_levels : int
            Number of levels.
        labels : (H, W) ndarray of int, optional
            Cells to exclude from the background, if this image has no masks.

        Returns
        -------
        (H, W) ndarray of uint8
            Levels 0 to ``n_levels - 1``.
        """
        key = (name, n_levels)
        if key not in self._levels:
            if name.startswith("od_"):
                self.density_lut(labels)
                lut = _level_lut(float(self.white()["rgb".index(name[-1])]), n_levels)
                plane = self.plane(name[-1])
            else:
                lut = (np.arange(256) * n_levels // 256).astype(np.uint8)
                plane = self.plane(name)
            self._levels[key] = cv2.LUT(plane, lut)
        return self._levels[key]


def prepare(image: np.ndarray | Prepared) -> Prepared:
    """Return `image` as a `Prepared`; one that is prepared already is returned as it is.

    Families that declare ``prepared=True`` call it, so that they can be called with an array too.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8, or Prepared
        RGB image.

    Returns
    -------
    Prepared
        The image.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import extract
    >>> prepared = extract.prepare(np.full((4, 4, 3), 230, np.uint8))
    >>> extract.prepare(prepared) is prepared
    True
    """
    return image if isinstance(image, Prepared) else Prepared(image)


def background_white(image: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
    """Measure the white level of the background, per channel.

    It is the 99th percentile of all pixels outside every cell, interpolated linearly between two
    levels as by default in NumPy. Pixels that are 0, or 255, in all channels are left out if they
    are fewer than half, as in a border that was added to the image, a scale bar or glare. Where the
    background is black (this percentile is below 48 in every channel, as around a cell that is cut
    out and laid on zeros), or less than 1 % of the pixels, there is no white to measure and it is
    255.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB image.
    labels : (H, W) ndarray of int, optional
        Cells; 0 is background. By default the whole image is background.

    Returns
    -------
    (3,) ndarray of float64
        R, G, B in 1..255; whole numbers, unless the percentile falls between two levels.

    Notes
    -----
    The white does not depend on where a pixel lies: turning or mirroring the image does not change
    it in the last bit. Neither does a border of black or of pure white, or one of pixels that are
    as bright as the white if it is a whole number. Other bright borders, and cells with another
    background beside them, are part of the background and move the percentile.

    Raises
    ------
    hemafeat.segment.MaskError
        The labels have another size than the image, or are not whole numbers of at least 0.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import extract
    >>> image = np.full((20, 20, 3), (240, 235, 230), np.uint8)
    >>> cell = np.zeros((20, 20), int)
    >>> cell[5:15, 5:15] = 1
    >>> image[cell == 1] = 255
    >>> extract.background_white(image, cell)
    array([240., 235., 230.])
    """
    height, width = image.shape[:2]
    if labels is None:
        labels = np.zeros((height, width), np.int32)
    elif getattr(labels, "dtype", None) != np.int32:
        # Only 0 counts, and a large id could become 0 as an int32.
        labels = check_labels(labels, "label") != 0
    if labels.shape != (height, width):
        raise MaskError(misfit("mask", labels.shape, "image", image.shape))
    histogram, n_black, n_saturated = outside_histogram(
        np.ascontiguousarray(image), np.ascontiguousarray(labels, dtype=np.int32)
    )
    n_outside = int(histogram[0].sum())
    no_white = np.full(3, 255.0)
    if n_outside < 0.01 * height * width or n_outside == 0:
        return no_white
    if n_black + n_saturated < 0.5 * n_outside:
        histogram[:, 0] -= n_black
        histogram[:, 255] -= n_saturated
        n_outside -= n_black + n_saturated
    rank = WHITE_SHARE * (n_outside - 1)
    below = math.floor(rank)
    cumulative = histogram.cumsum(axis=1)
    fraction = rank - below
    white = np.count_nonzero(cumulative <= below, axis=1).astype(np.float64)
    if fraction > 0.0:
        white += fraction * (np.count_nonzero(cumulative <= below + 1, axis=1) - white)
    return no_white if white.max() < DARK else np.maximum(white, 1.0)


def density_lut(white: np.ndarray) -> np.ndarray:
    """Return the decadic optical density of each level, given the background white.

    The density is ``-log10((I + 1) / (I0 + 1))`` (Beer-Lambert). One is added to both so that a
    black pixel has a finite density; a pixel brighter than the background has a negative one.

    Parameters
    ----------
    white : (3,) ndarray of float64
        Background white I0 of R, G and B.

    Returns
    -------
    (3, 256) ndarray of float64
        Density of the levels I = 0 to 255.
    """
    return np.array([_channel_lut(float(level)) for level in white])


# Nearly all measured whites are whole numbers, which the images of one smear share.
@lru_cache(maxsize=1024)
def _channel_lut(white: float) -> np.ndarray:
    level = np.arange(256, dtype=np.float64)
    return np.asarray(np.log10((white + 1.0) / (level + 1.0)))


@lru_cache(maxsize=1024)
def _level_lut(white: float, n_levels: int) -> np.ndarray:
    return level_lut(_channel_lut(white), n_levels)


def level_lut(density: np.ndarray, n_levels: int) -> np.ndarray:
    """Return the level of each of 256 densities, in bins of fixed width over [0, `OD_MAX`]."""
    return np.clip(np.floor(density * (n_levels / OD_MAX)), 0, n_levels - 1).astype(np.uint8)


def squared_depths(image: Prepared, labels: np.ndarray, n_cells: int) -> np.ndarray:
    """Return the squared distance of each pixel to the nearest one outside its cell.

    Distances are from centre to centre, so 1 along the edge. Pixels beyond the image are outside.

    Returns
    -------
    (H, W) ndarray of int32
        0 where there is no cell.
    """
    height, width = labels.shape
    return image.shared(
        "distance",
        labels,
        n_cells,
        lambda regions: depths(
            regions.run_starts, regions.runs, regions.boxes, height, width, height
        ),
    )
