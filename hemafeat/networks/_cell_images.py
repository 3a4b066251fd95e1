"""Pictures of cells for networks: the part of the image, its colours, its size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import pandas as pd

from hemafeat import images
from hemafeat._frames import as_frame, with_image_column
from hemafeat._public import public
from hemafeat.extract import Prepared, central_cell
from hemafeat.images import crop_centre, crop_square, square_around
from hemafeat.segment import MaskError, misfit

CROPS = ("whole", "centre", "cell")
COLOURS = ("rgb", "hsv", "od", "grey")
OUTSIDE = ("keep", "black", "white", "mean")
BORDERS = {"replicate": cv2.BORDER_REPLICATE, "black": cv2.BORDER_CONSTANT}
INTERPOLATIONS = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC, "area": cv2.INTER_AREA}

Box = tuple[int, int, int, int]


@public
@dataclass(frozen=True)
class PictureMaker:
    """Cut a picture for a network out of an image of cells.

    Every model on images in this package makes its pictures with this class.

    Parameters
    ----------
    crop : {"whole", "centre", "cell"}
        Part of the image: all of it (default), the square at its centre, or the square round the
        bounding box of a cell.
    size : (height, width), optional
        Size to which the part is resized, in px. By default the part keeps its size.
    side : int, optional
        Side of the square at the centre, in px. By default the shorter side of the image.
    margin : float
        Room on each side of the bounding box of the cell, as a share of the longer side of the box.
    colour : {"rgb", "hsv", "od", "grey"}
        Colours of the picture. ``"rgb"`` (default): those of the image. ``"hsv"``: hue, saturation
        and value, each from 0 to 255. ``"od"``: optical density relative to the white of the
        background, with 0 to 1.5 scaled to 0 to 255. ``"grey"``: 0.299 R + 0.587 G + 0.114 B.
    interpolation : {"linear", "cubic", "area"}
        Interpolation used to enlarge a part, cubic by default. A part that shrinks is averaged by
        area.
    shrinks_by : {"pixels", "side"}
        Condition under which a part that is not of the shape of the picture counts as shrinking:
        it has more pixels than the picture (default), or its longer side is above the longer side
        of the picture.
    colour_first : bool
        Convert to grey before resizing, not after it, which is the default.
    border : {"replicate", "black"}
        Filling of a square that extends beyond the image: the pixels at its edge (default), or
        black.
    outside : {"keep", "black", "white", "mean"}
        Pixels outside the cell: as they are (default), black, white, or their mean colour.

    Raises
    ------
    ValueError
        An option has an unknown value, or a length is below 1 px.

    Examples
    --------
    >>> from hemafeat import datasets, networks
    >>> image = datasets.draw_cell("neutrophil", random_state=0).image
    >>> networks.PictureMaker("centre", (32, 32), side=64).make(image).shape
    (32, 32, 3)
    >>> networks.PictureMaker("cell", margin=0.5).make(image, box=(10, 30, 20, 60)).shape
    (80, 80, 3)
    """

    crop: str = "whole"
    size: tuple[int, int] | None = None
    side: int | None = None
    margin: float = 0.1
    colour: str = "rgb"
    interpolation: str = "cubic"
    shrinks_by: str = "pixels"
    colour_first: bool = False
    border: str = "replicate"
    outside: str = "keep"

    def __post_init__(self) -> None:
        for option, values in (
            ("crop", CROPS),
            ("colour", COLOURS),
            ("interpolation", INTERPOLATIONS),
            ("shrinks_by", ("pixels", "side")),
            ("border", BORDERS),
            ("outside", OUTSIDE),
        ):
            if getattr(self, option) not in values:
                raise ValueError(
                    f"{option}={getattr(self, option)!r} is not known; "
                    f"choose one of: {', '.join(values)}"
                )
        for length in (self.side, *(self.size or ())):
            if length is not None and length < 1:
                raise ValueError(f"the side of a picture is at least 1 px; got {length}")

    def make(
        self,
        image: np.ndarray,
        *,
        box: Box | None = None,
        cell: np.ndarray | None = None,
        density: np.ndarray | None = None,
    ) -> np.ndarray:
        """Cut, resize and convert one picture.

        Parameters
        ----------
        image : (H, W, 3) ndarray of uint8
            RGB.
        box : (top, bottom, left, right), optional
            Bounding box of the cell, in px; `bottom` and `right` are one past its last row and
            column. Required for ``crop="cell"``.
        cell : (H, W) ndarray of bool, optional
            Pixels of the cell. Required unless ``outside="keep"``.
        density : (3, 256) ndarray of float, optional
            Optical density of each value of R, G and B. Required for ``colour="od"``.

        Returns
        -------
        (height, width, 3) ndarray of uint8
            (height, width) if grey. It may be a view of `image`.

        Raises
        ------
        ValueError
            Something that `crop` or `colour` requires is missing, or `cell` has another size than
            the image.
        """
        for user, name, value in (
            (self.crop == "cell", "box", box),
            (self.outside != "keep", "cell", cell),
            (self.colour == "od", "density", density),
        ):
            if user and value is None:
                raise ValueError(f"this picture needs the {name} of the cell")
        if self.outside != "keep":
            inside = np.asarray(cell)
            if inside.shape != image.shape[:2]:
                raise MaskError(misfit("mask", inside.shape, "image", image.shape))
            image = np.where(inside[..., None], image, self._filling(image, inside))
        if self.colour == "grey" and self.colour_first:
            image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        picture = self._resized(self._cropped(image, box))
        if self.colour == "hsv":
            return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2HSV_FULL))
        if self.colour == "grey" and not self.colour_first:
            return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))
        if self.colour == "od":
            levels = np.rint(np.clip(np.asarray(density) * (255.0 / Prepared.OD_MAX), 0, 255))
            table = levels.astype(np.uint8).T.reshape(1, 256, 3)
            return np.asarray(cv2.LUT(picture, np.ascontiguousarray(table)))
        return picture

    def _filling(self, image: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """Return the colour of the pixels outside the cell, (3,) uint8."""
        if self.outside == "mean" and not inside.all():
            return np.rint(image[~inside].mean(axis=0)).astype(np.uint8)
        return np.full(3, 0 if self.outside == "black" else 255, np.uint8)

    def _cropped(self, image: np.ndarray, box: Box | None) -> np.ndarray:
        if self.crop == "whole":
            return image
        border = BORDERS[self.border]
        if self.crop == "centre":
            return crop_centre(image, self.side or min(image.shape[:2]), border)
        assert box is not None
        return crop_square(image, *square_around(*box, self.margin), border)

    def _resized(self, part: np.ndarray) -> np.ndarray:
        if self.size is None or part.shape[:2] == self.size:
            return np.ascontiguousarray(part)
        if self.shrinks_by == "side":
            shrinks = max(part.shape[:2]) > max(self.size)
        else:
            shrinks = part.shape[0] * part.shape[1] > self.size[0] * self.size[1]
        interpolation = cv2.INTER_AREA if shrinks else INTERPOLATIONS[self.interpolation]
        part = np.ascontiguousarray(part)
        return np.asarray(cv2.resize(part, self.size[::-1], interpolation=interpolation))


@public
class Pictures:
    """Pictures of cells that are read from their images on demand, in a cache of limited size.

    Parameters
    ----------
    sources : sequence of paths or (H, W, 3) arrays
        One image per cell; see `image_sources`.
    maker : PictureMaker
        Crop, size and colours of the pictures; it needs a size. With ``crop="cell"`` or `outside`
        the cell is the central one (`extract.central_cell`). In an image without cells the largest
        square at the centre takes its place, and no pixel is replaced.
    segmenter : str or callable
        Segmenter that finds the cells, as in `segment.segmenter`. It is used for ``crop="cell"``
        and `outside` only.
    cache : float
        Memory for pictures, in MiB. The first pictures that fit into it are kept; the others are
        read each time. By default none are kept.

    Examples
    --------
    >>> from hemafeat import datasets, networks
    >>> image = datasets.draw_cell("neutrophil", random_state=0).image
    >>> pictures = networks.Pictures([image] * 5, networks.PictureMaker(size=(32, 32)))
    >>> len(pictures), pictures[[0, 3]].shape
    (5, (2, 32, 32, 3))
    """

    def __init__(
        self,
        sources: Sequence[Any],
        maker: PictureMaker,
        *,
        segmenter: Any = "contours",
        cache: float = 0.0,
    ) -> None:
        if maker.size is None:
            raise ValueError("pictures that are read together need a size")
        self.sources, self.maker = list(sources), maker
        self.shape = (*maker.size, 1 if maker.colour == "grey" else 3)
        self._segment: Any = None
        if maker.crop == "cell" or maker.outside != "keep":
            from hemafeat import segment

            self._segment = segment.segmenter(segmenter)
        n_cached = int(min(len(self.sources), cache * 2**20 / np.prod(self.shape)))
        self._cache = np.empty((n_cached, *self.shape), np.uint8)
        self._cache_index = np.full(len(self.sources), -1)
        self._n_cached = 0

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Return the pictures of some cells, (n, height, width, channels) ndarray of uint8."""
        rows = np.asarray(rows)
        pictures = np.empty((len(rows), *self.shape), np.uint8)
        for i, row in enumerate(rows):
            index = self._cache_index[row]
            if index >= 0:
                pictures[i] = self._cache[index]
                continue
            pictures[i] = self._read(self.sources[int(row)])
            if self._n_cached < len(self._cache):
                self._cache[self._n_cached] = pictures[i]
                self._cache_index[row] = self._n_cached
                self._n_cached += 1
        return pictures

    def _read(self, source: Any) -> np.ndarray:
        image, maker = images.read(source), self.maker
        box = cell = None
        if self._segment is not None:
            masks = self._segment(image)
            if masks.n_cells:
                cell = masks.cell == central_cell(masks) + 1
                box = box_of(cell)
            else:
                if maker.crop == "cell":
                    maker = replace(maker, crop="centre", side=None)
                maker = replace(maker, outside="keep")
        return maker.make(image, box=box, cell=cell).reshape(self.shape)


def box_of(cell: np.ndarray) -> Box:
    """Return the bounding box of the pixels of a cell: top, bottom, left, right."""
    ys, xs = np.nonzero(cell)
    return int(ys.min()), int(ys.max()) + 1, int(xs.min()), int(xs.max()) + 1


def image_sources(X: Any, purpose: str = "pictures are made") -> list[Any]:
    """List the images that the argument of an estimator names.

    Parameters
    ----------
    X : DataFrame with a column ``image``, sequence of paths or arrays, or array
        An (n, 1) array of paths and an (n, H, W, 3) array of images count as sequences.
    purpose : str
        Beginning of the error message, such as ``"a network learns"``.

    Returns
    -------
    list of paths or arrays
        One per row.

    Raises
    ------
    ValueError
        `X` is a table without a column ``image``, or a single name.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import networks
    >>> networks.image_sources(pd.DataFrame({"image": ["a.png", "b.png"], "cell": [1, 1]}))
    ['a.png', 'b.png']
    """
    X = as_frame(X)
    if isinstance(X, pd.DataFrame):
        X = with_image_column(X)
        if "image" not in X.columns:
            raise ValueError(f"{purpose} from the images: the table needs an 'image' column")
        return list(X["image"])
    if isinstance(X, np.ndarray) and X.ndim == 2 and X.shape[1] == 1:
        return list(X[:, 0])
    if isinstance(X, str):
        raise ValueError(f"{purpose} from a table or a list of images, not from one name: {X}")
    return list(X)
