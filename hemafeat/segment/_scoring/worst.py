"""The sheet of the worst cells: pictures with true and found outlines."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from threading import Lock
from typing import Any

import cv2
import numpy as np

from hemafeat.segment._masks import Masks
from hemafeat.segment._overlay import edges, outline

TRUE = (0, 190, 255)
"""Colour of true outlines, boxes and points."""

SIDE, STRIP, ACROSS = 240, 32, 8
"""Side of a picture and height of the text above it, in pixels; number of pictures in a row."""

SHOWN = 16
"""Number of cells of each kind on a sheet."""

MARGIN, LEAST = 1.7, 72
"""Side of the part of an image that is shown, relative to the cell, and the least in pixels."""

KINDS = {
    "missed": "missed: true cells without an outline of Dice 0.5",
    "spurious": "spurious: outlines that are no true cell",
    "lowest": "found, the lowest Dice first",
}

Picture = np.ndarray


@dataclass
class Worst:
    """The worst cells of a segmenter, of which only those on the sheet are drawn and kept."""

    kept: dict[str, list[tuple[tuple[float, ...], Picture]]] = field(
        default_factory=lambda: {kind: [] for kind in KINDS}
    )
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    lock: Lock = field(default_factory=Lock, repr=False)

    def offer(self, kind: str, key: tuple[float, ...], draw: Callable[[], Picture]) -> None:
        """Take a cell if its key, which no other cell has, is among the lowest of its kind."""
        with self.lock:
            self.counts[kind] += 1
            kept = self.kept[kind]
            if len(kept) < SHOWN or key < kept[-1][0]:
                insort(kept, (key, draw()), key=lambda item: item[0])
                del kept[SHOWN:]

    def sheet(self, heading: str) -> np.ndarray:
        """Draw the sheet, (H, W, 3) uint8."""
        width = SIDE * ACROSS
        key = (
            "found: cell green (red: suspected failure), nucleus yellow; true: light blue, dashed; "
            "corners: the cell that is meant"
        )
        rows = [_text_strip(width, heading, key)]
        for kind, title in KINDS.items():
            pictures = [picture for _, picture in self.kept[kind]]
            if not pictures:
                continue
            rows.append(_text_strip(width, f"{title} ({len(pictures)} of {self.counts[kind]})"))
            blank = np.full_like(pictures[0], 255)
            pictures += [blank] * (-len(pictures) % ACROSS)
            rows += [
                np.hstack(pictures[start : start + ACROSS])
                for start in range(0, len(pictures), ACROSS)
            ]
        return np.vstack(rows)


def picture(
    image: np.ndarray,
    predicted: Masks,
    true: Masks | np.ndarray,
    box: Sequence[float],
    lines: Sequence[str],
) -> Picture:
    """Draw the part of an image around a cell, with the outlines there and text above.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB image.
    predicted : Masks
        Outlines found.
    true : Masks or (n, 4) ndarray
        The truth, as in `score`.
    box : sequence of float
        ``xmin, ymin, xmax, ymax`` of the cell.
    lines : sequence of str
        Text.

    Returns
    -------
    (STRIP + SIDE, SIDE, 3) ndarray of uint8
    """
    top, left, side = _window(image.shape, box)
    zoom = SIDE / side

    def shown(values: np.ndarray, fill: int, method: int) -> np.ndarray:
        part = values[max(top, 0) : top + side, max(left, 0) : left + side]
        below, right = side - part.shape[0] - max(-top, 0), side - part.shape[1] - max(-left, 0)
        part = cv2.copyMakeBorder(
            part, max(-top, 0), below, max(-left, 0), right, cv2.BORDER_CONSTANT, value=[fill] * 3
        )
        return cv2.resize(part, (SIDE, SIDE), interpolation=method)

    smooth = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    drawn = shown(image, 255, smooth)
    cell, nucleus = (
        shown(part, 0, cv2.INTER_NEAREST) for part in (predicted.cell, predicted.nucleus)
    )
    drawn = outline(drawn, Masks.known(cell, nucleus, predicted.n_cells, dict(predicted.quality)))
    if isinstance(true, Masks):
        y, x = np.indices(drawn.shape[:2])
        dashes = (x + 2 * y) % 9 < 6
        for part in (true.cell, true.nucleus):
            drawn[(edges(shown(part, 0, cv2.INTER_NEAREST)) > 0) & dashes] = TRUE
    else:
        for xmin, ymin, xmax, ymax in (np.asarray(true) - (left, top) * 2) * zoom:
            corners = (round(xmin), round(ymin)), (round(xmax), round(ymax))
            if corners[0] == corners[1]:
                cv2.drawMarker(drawn, corners[0], TRUE, cv2.MARKER_CROSS, 14, 2)
            else:
                cv2.rectangle(drawn, *corners, TRUE, 1)
    _mark_corners(drawn, (np.asarray(box) - (left, top) * 2) * zoom)
    drawn[-1:] = drawn[:, -1:] = 255
    return np.vstack([_text_strip(SIDE, *lines), drawn])


def _mark_corners(drawn: np.ndarray, box: np.ndarray) -> None:
    """Mark the corners of the box of the cell that a picture is of, beside which others may lie."""
    xmin, ymin, xmax, ymax = (round(side) for side in np.add(box, (-4, -4, 3, 3)))
    for x, y, inwards, down in (
        *((xmin, ymin, 8, 8), (xmax, ymin, -8, 8)),
        *((xmin, ymax, 8, -8), (xmax, ymax, -8, -8)),
    ):
        for colour, width in (((255, 255, 255), 3), ((0, 0, 0), 1)):
            cv2.line(drawn, (x, y), (x + inwards, y), colour, width)
            cv2.line(drawn, (x, y), (x, y + down), colour, width)


def _window(shape: tuple[int, ...], box: Sequence[float]) -> tuple[int, int, int]:
    """Return top, left and side of the square around a box, inside the image if that is larger."""
    xmin, ymin, xmax, ymax = box
    wanted = max(MARGIN * max(xmax - xmin, ymax - ymin), LEAST)
    side = max(1, round(min(wanted, max(shape[:2]))))
    starts = []
    for middle, length in (((ymin + ymax) / 2, shape[0]), ((xmin + xmax) / 2, shape[1])):
        start = round(middle - side / 2)
        inside = min(max(start, 0), length - side)
        starts.append(inside if side <= length else (length - side) // 2)
    return starts[0], starts[1], side


def _text_strip(width: int, *lines: str) -> np.ndarray:
    """Draw up to two lines of text, of which the end is kept if they are too long."""
    from PIL import Image, ImageDraw

    strip = Image.new("RGB", (width, STRIP), (255, 255, 255))
    draw, font = ImageDraw.Draw(strip), _font()
    for row, line in enumerate(lines):
        while line and draw.textlength(line, font=font) > width - 6:
            line = line[1:]
        draw.text((3, 1 + 15 * row), line, fill=(0, 0, 0), font=font)
    return np.asarray(strip)


@cache
def _font() -> Any:
    """Return a font with the letters of European languages, which comes with matplotlib."""
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", 11)
