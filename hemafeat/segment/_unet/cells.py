"""The cells and nuclei in the probabilities of a network, drawn at full size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from hemafeat.segment._cells import KIND_WHITE, Cell
from hemafeat.segment._contours.frame import Frame
from hemafeat.segment._contours.nucleus import outline_nucleus
from hemafeat.segment._kernels.regions import remove_specks
from hemafeat.segment._scores import dice
from hemafeat.segment._unet.refine import refine_nucleus
from hemafeat.segment._unet.scale import optical_density
from hemafeat.segment._unet.watershed import mask_solidity, split_touching
from hemafeat.segment._unet.windows import Window

RED_CELL, _, CYTOPLASM, NUCLEUS, DEPTH = range(1, 6)
"""Channels of the network besides background."""

MIN_NUCLEUS = 0.05
"""Area of the nucleus, as a share of the cell, below which a region is not a white cell."""

LEAST_CHANCE = 0.6
"""Mean probability of a white cell over a region below which it is none."""

CUT = 2
"""Pixels of the network between a cell and the border of its window up to which it may be cut."""

AGREED = 0.75
"""Dice of the nuclei by the network and by a threshold below which the threshold is used."""

FAMILIAR = 0.9
"""Expected Dice of the nucleus below which the network has not learned from similar cells."""


@dataclass(slots=True)
class NetworkCell(Cell):
    """A cell with its solidity and the expected Dice of its masks.

    `radius` is that of a disc of its area, in pixels of the network, `is_cut` is True if its window
    cuts it, `is_clump` if it looks like several cells.
    """

    solidity: float
    expected_dice: dict[str, float]
    radius: float = 0.0
    confidence: float = 1.0
    is_cut: bool = False
    is_clump: bool = False
    kind: str = KIND_WHITE


def find_cells(
    chances: np.ndarray, image: np.ndarray, frame: Frame, window: Window
) -> list[NetworkCell]:
    """Find the white cells of a window in the (6, h, w) probabilities of the network."""
    nucleus, depth = chances[NUCLEUS], chances[DEPTH]
    inside = chances[CYTOPLASM] + nucleus
    labels, boxes = split_touching(inside, depth)
    cells = []
    for number, (left, top, width, height) in boxes.items():
        box = np.s_[
            max(0, top - 3) : min(labels.shape[0], top + height + 3),
            max(0, left - 3) : min(labels.shape[1], left + width + 3),
        ]
        mask = labels[box] == number
        others = (labels[box] > 0) & ~mask
        cell_chance = np.where(others, 0.0, inside[box]).astype(np.float32)
        nucleus_chance = np.where(mask, nucleus[box], 0.0).astype(np.float32)
        if np.count_nonzero(nucleus_chance > 0.5) < MIN_NUCLEUS * np.count_nonzero(mask):
            continue
        if cell_chance[mask].mean() < LEAST_CHANCE:
            continue
        cell = _at_full_size(cell_chance, nucleus_chance, box, labels.shape, image, frame, window)
        if cell is not None:
            cell.expected_dice = {
                "cell": expected_dice(cell_chance, mask),
                "nucleus": expected_dice(nucleus_chance),
            }
            cell.radius = math.sqrt(np.count_nonzero(mask) / math.pi)
            _check_nucleus(cell, image, frame)
            position = (top, top + height), (left, left + width)
            cell.is_cut = any(map(_is_cut, position, labels.shape, window, image.shape))
            cells.append(cell)
    return cells


def _is_cut(position: tuple[int, int], length: int, part: slice, whole: int) -> bool:
    """Return True if rows or columns of a window reach an end of it that lies in the image."""
    start, stop = position
    return (start <= CUT and part.start > 0) or (stop >= length - CUT and part.stop < whole)


def _check_nucleus(cell: NetworkCell, image: np.ndarray, frame: Frame) -> None:
    """Replace the nucleus by that of a threshold if they disagree or the network is not sure.

    On images similar to those the network has learned from this is rare. With an unfamiliar stain
    the network may be sure and wrong, while a threshold adapts to any stain.
    """
    other, _ = outline_nucleus(image, cell.left, cell.top, cell.cell, frame.table)
    if not other.any():
        return
    agreement = dice(other, cell.nucleus)
    if agreement < AGREED or cell.expected_dice["nucleus"] < FAMILIAR:
        cell.nucleus = other
    # The expectation if either may be right.
    cell.expected_dice["nucleus"] = min(cell.expected_dice["nucleus"], (1.0 + agreement) / 2.0)


def expected_dice(chance: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Compute the Dice of a mask and a truth drawn at random by the probabilities of its pixels."""
    mask = chance > 0.5 if mask is None else mask
    total = float(np.count_nonzero(mask)) + float(chance.sum())
    return 2.0 * float(chance[mask].sum()) / total if total else 1.0


def _at_full_size(
    cell_chance: np.ndarray,
    nucleus_chance: np.ndarray,
    box: tuple[slice, slice],
    small_shape: tuple[int, int],
    image: np.ndarray,
    frame: Frame,
    window: Window,
) -> NetworkCell | None:
    """Draw a cell at full size, where its probabilities exceed one half."""
    part = image[window]
    shape = part.shape[:2]
    fy, fx = shape[0] / small_shape[0], shape[1] / small_shape[1]
    top, left = math.floor(box[0].start * fy), math.floor(box[1].start * fx)
    bottom = min(shape[0], math.ceil(box[0].stop * fy))
    right = min(shape[1], math.ceil(box[1].stop * fx))
    # Maps the centre of a full-size pixel to the pixels of the box.
    matrix = np.array(
        [
            [1 / fx, 0, (left + 0.5) / fx - 0.5 - box[1].start],
            [0, 1 / fy, (top + 0.5) / fy - 0.5 - box[0].start],
        ]
    )

    def enlarge(chance: np.ndarray) -> np.ndarray:
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size, border = (right - left, bottom - top), cv2.BORDER_REPLICATE
        return cv2.warpAffine(chance, matrix, size, flags=flags, borderMode=border)

    cell = _largest_piece((enlarge(cell_chance) > 0.5).astype(np.uint8))
    if cell is None:
        return None
    density = optical_density(part[top:bottom, left:right], frame)
    nucleus = refine_nucleus(enlarge(nucleus_chance), cell, density)
    remove_specks(nucleus)
    nucleus &= cell
    if not nucleus.any():
        return None
    x, y, w, h = cv2.boundingRect(cell)
    crop = np.s_[y : y + h, x : x + w]
    rows, columns = window
    return NetworkCell(
        columns.start + left + x,
        rows.start + top + y,
        np.ascontiguousarray(cell[crop]),
        np.ascontiguousarray(nucleus[crop]),
        cv2.countNonZero(cell),
        mask_solidity(cell),
        {},
    )


def _largest_piece(mask: np.ndarray) -> np.ndarray | None:
    """Return the largest piece of a mask, with its holes filled."""
    lines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not lines:
        return None
    out = np.zeros_like(mask)
    cv2.drawContours(out, [max(lines, key=cv2.contourArea)], 0, 1, cv2.FILLED)
    return out
