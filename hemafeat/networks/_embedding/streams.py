"""Streams of an embedding: the pictures in which its network sees a cell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from hemafeat.extract import Prepared
from hemafeat.networks._cell_images import CROPS, PictureMaker
from hemafeat.segment import Masks

STREAM_COLOURS = ("rgb", "hsv", "od", "masked", "blackened")

OUTSIDE = {"masked": "white", "blackened": "black"}
"""What becomes of the pixels outside the cell, by the name of the colours."""


@dataclass(frozen=True)
class Stream:
    """Colours and part of the image in which a network sees a cell.

    Attributes
    ----------
    colour : {"rgb", "hsv", "od", "masked", "blackened"}
        Colours; see `PictureMaker`. RGB for the last two, white or black outside the cell.
    part : {"whole", "centre", "cell"}
        The whole image, the square at its centre, or the square round the cell.
    """

    colour: str
    part: str

    @property
    def name(self) -> str:
        """Name such as ``"rgb"`` or ``"hsv_cell"``; the part is omitted for the whole image."""
        return self.colour if self.part == "whole" else f"{self.colour}_{self.part}"

    @property
    def needs_cell(self) -> bool:
        """True if the cells must be found first."""
        return self.colour in ("od", *OUTSIDE) or self.part == "cell"


def parse_streams(names: str | Iterable[str]) -> tuple[Stream, ...]:
    """Parse names of streams such as ``"rgb"`` or ``["rgb", "rgb_cell", "hsv"]``.

    Raises
    ------
    ValueError
        A name is unknown or repeated, or there is none.
    """
    streams: list[Stream] = []
    for name in [names] if isinstance(names, str) else list(names):
        colour, _, part = str(name).partition("_")
        if colour not in STREAM_COLOURS or (part or "whole") not in CROPS:
            raise ValueError(
                f"no stream {name!r}: give a colour ({', '.join(STREAM_COLOURS)}), alone or with "
                "a part (_centre, _cell)"
            )
        streams.append(Stream(colour, part or "whole"))
    if not streams or len(set(streams)) < len(streams):
        raise ValueError(f"give at least one stream, and each only once; got {names!r}")
    return tuple(streams)


@dataclass(frozen=True)
class StreamPictures:
    """Make the pictures of all streams of a cell.

    Attributes
    ----------
    streams : tuple of Stream
        Streams, one picture each.
    side : int
        Side of the pictures, in px.
    centre : int
        Side of the square cut from the centre of the image, in px.
    margin : float
        Room on each side of the bounding box of the cell, as a share of its longer side.
    """

    streams: tuple[Stream, ...]
    side: int
    centre: int = 256
    margin: float = 0.1

    @property
    def needs_cells(self) -> bool:
        """True if the cells must be found first."""
        return any(stream.needs_cell for stream in self.streams)

    def make(self, prepared: Prepared, masks: Masks | None, row: int = 0) -> list[np.ndarray]:
        """Make one (side, side, 3) uint8 picture per stream.

        Parameters
        ----------
        prepared : Prepared
            The image, or the window of it that contains the cells.
        masks : Masks, optional
            Masks of the cells, of the size of `prepared`. They are needed if `needs_cells` is True.
        row : int
            Index of the cell.
        """
        pictures = []
        for stream in self.streams:
            maker = PictureMaker(
                stream.part,
                (self.side, self.side),
                side=self.centre,
                margin=self.margin,
                colour="rgb" if stream.colour in OUTSIDE else stream.colour,
                outside=OUTSIDE.get(stream.colour, "keep"),
                interpolation="linear",
                shrinks_by="side",
            )
            box = cell = None
            if masks is not None and stream.part == "cell":
                edges = prepared.regions(masks.cell, masks.n_cells).boxes[row]
                (top, bottom, left, right), (down, across) = edges.tolist(), prepared.origin
                box = top + down, bottom + down, left + across, right + across
            if masks is not None and stream.colour in OUTSIDE:
                cell = _cell_mask(prepared, masks, row)
            density = prepared.density_lut() if stream.colour == "od" else None
            pictures.append(maker.make(prepared.whole.rgb, box=box, cell=cell, density=density))
        return pictures


def _cell_mask(prepared: Prepared, masks: Masks, row: int) -> np.ndarray:
    """Return the pixels of a cell in the whole image, (H, W) bool."""
    mask = np.zeros(prepared.whole.rgb.shape[:2], bool)
    (top, left), (height, width) = prepared.origin, masks.cell.shape
    mask[top : top + height, left : left + width] = masks.cell == row + 1
    return mask
