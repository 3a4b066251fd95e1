"""Small pictures of many cells, side by side in a few large ones, with their outlines as lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby

import cv2
import numpy as np

from hemafeat.report._galleries import Pictures, jpeg, square_view

SIDES = ((2_500, 112), (6_000, 80), (20_000, 64))
"""Side of a picture in pixels up to a number of cells; `LEAST` beyond. Multiples of 16, the blocks
of JPEG, so that no picture leaks into its neighbour."""

LEAST = 48

_SHEET = 1344
"""Side of a sheet in pixels, about: a browser decodes it at once."""

_GROUND = 216


@dataclass(frozen=True)
class Sheets:
    """Pictures of cells in the order of the cells.

    Attributes
    ----------
    side, per_row : int
        Side of a picture, and number of pictures in a row and in a column of a sheet.
    sources : list of str
        The sheets as ``data:`` addresses.
    shown : (n_cells,) ndarray of bool
        Whether a cell has a picture.
    outlines : bytes
        For each cell the number of its lines; for each line 0 (cell) or 1 (nucleus), the number of
        its points, and their places across and down, of 255.
    problems : list of str
        Why pictures are missing, each reason once.
    """

    side: int
    per_row: int
    sources: list[str]
    shown: np.ndarray
    outlines: bytes
    problems: list[str]


def sheets(
    names: Sequence[str],
    cells: Sequence[int | None],
    pictures: Pictures,
    *,
    n_jobs: int = 1,
    step: Callable[[int], object] = lambda n: None,
) -> Sheets:
    """Draw the cells of images.

    Parameters
    ----------
    names, cells : sequence
        Image and number of each cell, cells of one image next to each other.
    pictures : Pictures
        Source of the images and masks.
    n_jobs : int
        Number of threads.
    step : callable
        Called with the number of cells that were drawn.
    """
    n = len(names)
    side = next((side for most, side in SIDES if n <= most), LEAST)
    per_row = max(1, _SHEET // side)
    shown = np.zeros(n, dtype=bool)
    lines: list[bytes] = [b"\0"] * n
    problems: dict[str, None] = {}
    sources = []

    def draw(places: list[int]) -> list[tuple[int, np.ndarray | None, bytes, str]]:
        try:
            image, masks, problem = pictures.load(names[places[0]])
        except Exception as error:  # an image may have been removed since it was measured
            reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
            return [(place, None, b"\0", reason) for place in places]
        out: list[tuple[int, np.ndarray | None, bytes, str]] = []
        for place in places:
            cell = cells[place]
            own, box, doubt = pictures.of_cell(names[place], cell, masks)
            window = square_view(image, own, cell, box)
            small = _small(image, window, side)
            out.append((place, small, _lines(own, cell, window), problem or doubt))
        return out

    with ThreadPoolExecutor(n_jobs) as pool:
        for start in range(0, n, per_row**2):
            stop = min(start + per_row**2, n)
            height = -(-(stop - start) // per_row)
            sheet = np.full((height * side, per_row * side, 3), _GROUND, dtype=np.uint8)
            images = [list(group) for _, group in groupby(range(start, stop), names.__getitem__)]
            for drawn in pool.map(draw, images):
                for place, small, line, problem in drawn:
                    if problem:
                        problems.setdefault(problem)
                    if small is None:
                        continue
                    down, across = divmod(place - start, per_row)
                    sheet[down * side : (down + 1) * side, across * side : (across + 1) * side] = (
                        small
                    )
                    shown[place] = True
                    lines[place] = line
                step(len(drawn))
            sources.append(jpeg(sheet) if shown[start:stop].any() else "")
    return Sheets(side, per_row, sources, shown, b"".join(lines), list(problems))


Window = tuple[int, int, int, int]


def _small(image: np.ndarray, window: Window, side: int) -> np.ndarray:
    """Return a square picture of a window, in the middle if the window is not square."""
    top, bottom, left, right = window
    view = image[top:bottom, left:right]
    scale = side / max(view.shape[:2])
    height, width = (max(1, round(length * scale)) for length in view.shape[:2])
    small = cv2.resize(
        view, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    )
    out = np.full((side, side, 3), _GROUND, dtype=np.uint8)
    down, across = (side - height) // 2, (side - width) // 2
    out[down : down + height, across : across + width] = small
    return out


def _lines(masks: object, cell: int | None, window: Window) -> bytes:
    """Return the outlines of a cell and its nucleus in a window."""
    if masks is None or cell is None:
        return b"\0"
    top, bottom, left, right = window
    longest = max(bottom - top, right - left)
    shift = np.array([(longest - (right - left)) / 2, (longest - (bottom - top)) / 2])
    found: list[bytes] = []
    for kind, labels in enumerate((masks.cell, masks.nucleus)):  # type: ignore[attr-defined]
        part = (labels[top:bottom, left:right] == cell).astype(np.uint8)
        contours, _ = cv2.findContours(part, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        for contour in sorted(contours, key=len, reverse=True)[:8]:
            points = cv2.approxPolyDP(contour, 0.004 * longest, closed=True)[:, 0, :]
            if len(points) < 3:
                continue
            points = points[:: -(-len(points) // 255)]
            scaled = np.clip(np.round(255 * (points + 0.5 + shift) / longest), 0, 255)
            found.append(bytes([kind, len(points)]) + scaled.astype(np.uint8).tobytes())
    return bytes([len(found)]) + b"".join(found)
