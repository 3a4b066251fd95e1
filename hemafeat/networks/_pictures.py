"""What an embedding network is shown of a cell: colours, the part of the image, its size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pandas as pd

from hemafeat import images
from hemafeat.extract import Prepared
from hemafeat.images import crop_centre, crop_square, resize, square_around
from hemafeat.segment import Masks

COLOURS = ("rgb", "hsv", "od", "masked")
PARTS = ("whole", "centre", "cell")


@dataclass(frozen=True)
class Stream:
    """One way of showing a cell.

    Attributes
    ----------
    colour : {"rgb", "hsv", "od", "masked"}
        ``"hsv"``: hue, saturation and value, each 0 to 255. ``"od"``: optical density from 0 to 1.5
        in 0 to 255. ``"masked"``: RGB with everything outside the cell white.
    part : {"whole", "centre", "cell"}
        The whole image, the square at its centre, or the square round the cell.
    """

    colour: str
    part: str

    @property
    def name(self) -> str:
        """``"rgb"``, ``"hsv_cell"``; the whole image is not named."""
        return self.colour if self.part == "whole" else f"{self.colour}_{self.part}"

    @property
    def needs_cell(self) -> bool:
        """Whether it can only be made where the cell is known."""
        return self.colour in ("od", "masked") or self.part == "cell"


def streams_of(words: str | Iterable[str]) -> tuple[Stream, ...]:
    """Streams from names such as ``"rgb"`` or ``["rgb", "rgb_cell", "hsv"]``.

    Raises
    ------
    ValueError
        An unknown word, one twice, or none.
    """
    found: list[Stream] = []
    for word in [words] if isinstance(words, str) else list(words):
        colour, _, part = str(word).partition("_")
        if colour not in COLOURS or (part or "whole") not in PARTS:
            raise ValueError(
                f"no stream {word!r}: a colour ({', '.join(COLOURS)}), alone or with a part "
                "(_centre, _cell)"
            )
        found.append(Stream(colour, part or "whole"))
    if not found or len(set(found)) < len(found):
        raise ValueError(f"streams are different ones, at least one; got {words!r}")
    return tuple(found)


@dataclass(frozen=True)
class Shown:
    """How pictures of cells are made.

    Attributes
    ----------
    streams : tuple of Stream
    side : int
        Of the pictures, in px.
    centre : int
        Side of the square cut from the centre of the image, in px.
    margin : float
        Room round the box of the cell, as a share of its longer side.
    """

    streams: tuple[Stream, ...]
    side: int
    centre: int = 256
    margin: float = 0.1

    @property
    def needs_cells(self) -> bool:
        """Whether cells have to be found first."""
        return any(stream.needs_cell for stream in self.streams)

    def pictures(self, prepared: Prepared, masks: Masks | None, row: int = 0) -> list[np.ndarray]:
        """One (side, side, 3) uint8 picture per stream.

        Parameters
        ----------
        prepared : Prepared
            The image, or the window in which its cells lie.
        masks : Masks, optional
            The cells, of the size of `prepared`.
        row : int
            Which of them.
        """
        return [self._picture(stream, prepared, masks, row) for stream in self.streams]

    def _picture(
        self, stream: Stream, prepared: Prepared, masks: Masks | None, row: int
    ) -> np.ndarray:
        image = prepared.whole.rgb
        if stream.colour == "masked":
            image = _on_white(prepared, masks, row)
        if stream.part == "cell":
            image = crop_square(image, *_round_cell(prepared, masks, row, self.margin))
        elif stream.part == "centre":
            image = crop_centre(image, self.centre)
        shrinks = max(image.shape[:2]) > self.side
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        image = cv2.resize(np.ascontiguousarray(image), (self.side, self.side), interpolation=how)
        if stream.colour == "hsv":
            return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL))
        if stream.colour == "od":
            scaled = np.clip(prepared.density_lut() * (255.0 / Prepared.OD_MAX), 0, 255)
            table = np.rint(scaled).astype(np.uint8).T.reshape(1, 256, 3)
            return np.asarray(cv2.LUT(image, np.ascontiguousarray(table)))
        return np.asarray(image)


def _known(masks: Masks | None) -> Masks:
    if masks is None:
        raise ValueError("this stream needs the masks of the cells")
    return masks


def _on_white(prepared: Prepared, masks: Masks | None, row: int) -> np.ndarray:
    """The whole image, white wherever the cell is not."""
    whole, (top, left) = prepared.whole.rgb, prepared.origin
    inside = _known(masks).cell == row + 1
    out = np.full_like(whole, 255)
    height, width = inside.shape
    part = np.s_[top : top + height, left : left + width]
    out[part][inside] = whole[part][inside]
    return out


def _round_cell(
    prepared: Prepared, masks: Masks | None, row: int, margin: float
) -> tuple[int, int, int]:
    """Row and column where the square round a cell begins, and its side."""
    known = _known(masks)
    box = prepared.regions(known.cell, known.n_cells).boxes[row]
    top, bottom, left, right = (int(edge) for edge in box)
    top, left, side = square_around(top, bottom, left, right, margin)
    down, across = prepared.origin
    return top + down, left + across, side


MARGIN = 0.15
"""What is left round the box of a cell on each side, as a share of its longer side."""


def image_sources(X: Any, what: str) -> list[Any]:
    """Paths or arrays, one per row, of whatever a model of images is given.

    Parameters
    ----------
    X : DataFrame with a column ``image``, sequence of paths or arrays, or array
        An (n, 1) array of paths and an (n, H, W, 3) array of images count as sequences.
    what : str
        What reads them, for the message.

    Raises
    ------
    ValueError
        A table without images.
    """
    if isinstance(X, pd.DataFrame):
        if "image" not in X.columns:
            raise ValueError(f"{what} from the images: the table needs an 'image' column")
        return list(X["image"])
    if isinstance(X, np.ndarray) and X.ndim == 2 and X.shape[1] == 1:
        return list(X[:, 0])
    if isinstance(X, str):
        raise ValueError(f"{what} from a table or a list of images, not from one name: {X}")
    return list(X)


class CellImages:
    """Images of one size, read when they are asked for, with a cache that does not grow.

    Parameters
    ----------
    sources : sequence of paths or (H, W, 3) arrays
        One per cell.
    shape : (height, width, channels)
        What they are brought to; one channel is grey.
    crop : int, "cell" or None
        Side of the square cut from the middle, px; ``"cell"``: the square round the cell that lies
        nearest to the middle, found by `segmenter`, with a margin, and the largest square of the
        middle where there is none; None: the whole image.
    segmenter : str or callable
        As in `hemafeat.segment.segmenter`.
    cache : float
        MiB of images that are kept, the first ones asked for; the others are read each time.
    """

    def __init__(
        self,
        sources: Sequence[Any],
        shape: tuple[int, int, int],
        crop: int | str | None = None,
        segmenter: Any = "contours",
        cache: float = 512.0,
    ) -> None:
        if isinstance(crop, str) and crop != "cell":
            raise ValueError(f"crop={crop!r}: give a side in pixels, 'cell' or None")
        if isinstance(crop, int) and crop < 1:
            raise ValueError(f"crop is a side in pixels, at least 1; got {crop}")
        self.sources, self.shape, self.crop = list(sources), tuple(shape), crop
        self._segment: Any = None
        if crop == "cell":
            from hemafeat import segment

            self._segment = segment.segmenter(segmenter)
        room = int(cache * 2**20 // max(1, int(np.prod(shape))))
        self._kept = np.empty((min(room, len(self.sources)), *self.shape), np.uint8)
        self._place = np.full(len(self.sources), -1)
        self._used = 0

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Images of some cells: (n, height, width, channels) uint8."""
        rows = np.asarray(rows)
        out = np.empty((len(rows), *self.shape), np.uint8)
        for place, row in enumerate(rows):
            at = self._place[row]
            if at >= 0:
                out[place] = self._kept[at]
                continue
            out[place] = self._read(self.sources[int(row)])
            if self._used < len(self._kept):
                self._kept[self._used] = out[place]
                self._place[row] = self._used
                self._used += 1
        return out

    def _read(self, source: Any) -> np.ndarray:
        height, width, channels = self.shape
        image = resize(self._cut(images.read(source)), height, width)
        if channels == 1:
            return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
        return image

    def _cut(self, image: np.ndarray) -> np.ndarray:
        if self.crop is None:
            return image
        if self.crop == "cell":
            return cell_square(image, self._segment(image).cell)
        return crop_centre(image, int(self.crop), cv2.BORDER_CONSTANT)


def cell_square(image: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """The square round the cell nearest to the middle; beyond the border the image is repeated.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
    cells : (H, W) ndarray of int
        Labels 1..n.
    """
    height, width = cells.shape
    labels = np.unique(cells)
    labels = labels[labels > 0]
    if not labels.size:
        return crop_centre(image, min(height, width))
    middle = np.array([(height - 1) / 2, (width - 1) / 2])
    boxes = []
    for label in labels:
        ys, xs = np.nonzero(cells == label)
        away = np.hypot(*(np.array([ys.mean(), xs.mean()]) - middle))
        boxes.append((away, ys.min(), ys.max() + 1, xs.min(), xs.max() + 1))
    top, bottom, left, right = (int(edge) for edge in min(boxes)[1:])
    return crop_square(image, *square_around(top, bottom, left, right, MARGIN))


class ImageBag:
    """The images of one patient's cells, read when they are asked for.

    Parameters
    ----------
    sources : sequence of paths or (H, W, 3) arrays
        One per cell.
    crop : int, optional
        Side of the square cut from the middle, px; by default the largest there is.
    size : int
        Side that it is brought to.
    """

    def __init__(self, sources: Sequence[Any], crop: int | None, size: int) -> None:
        self.sources, self.crop, self.size = sources, crop, size
        self._kept: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, rows: np.ndarray) -> Any:
        """Images of some cells: (n, size, size, 3) ndarray of uint8."""
        if self._kept is not None:
            return self._kept[rows]
        return np.stack([self._read(self.sources[int(row)]) for row in rows])

    def keep(self) -> None:
        """Read all of them once."""
        self._kept = self[np.arange(len(self))]

    def _read(self, source: Any) -> np.ndarray:
        image = images.read(source)
        square = crop_centre(image, self.crop or min(image.shape[:2]), cv2.BORDER_CONSTANT)
        return resize(square, self.size, self.size)
