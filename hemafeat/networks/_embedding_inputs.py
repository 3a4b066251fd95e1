"""What an embedding network is shown of a cell: colours, the part of the image, its size."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from hemafeat.extract._prepared import OD_MAX, Prepared
from hemafeat.images._crop import centre, round_box, square
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
            image = square(image, *_round_cell(prepared, masks, row, self.margin))
        elif stream.part == "centre":
            image = centre(image, self.centre)
        shrinks = max(image.shape[:2]) > self.side
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        image = cv2.resize(np.ascontiguousarray(image), (self.side, self.side), interpolation=how)
        if stream.colour == "hsv":
            return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL))
        if stream.colour == "od":
            scaled = np.clip(prepared.density_lut() * (255.0 / OD_MAX), 0, 255)
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
    top, left, side = round_box(top, bottom, left, right, margin)
    down, across = prepared.origin
    return top + down, left + across, side
