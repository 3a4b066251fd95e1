"""White cells by a small U-Net, run by OpenCV: no other package is needed."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from hemafeat.segment._cells import MIN_CONFIDENCE, OVERSIZED, Cell, Record, assemble
from hemafeat.segment._contours.contours import MIN_SHARE, segment_by_contours
from hemafeat.segment._contours.frame import Frame, measure_frame
from hemafeat.segment._contours.nuclei import Seed, find_seeds, large_seeds
from hemafeat.segment._contours.nucleus import outline_nucleus
from hemafeat.segment._contours.surround import at_full_size, prepare
from hemafeat.segment._kernels.regions import remove_specks
from hemafeat.segment._masks import Masks
from hemafeat.segment._scores import dice
from hemafeat.segment._unet.refine import refine_nucleus
from hemafeat.segment._unet.scale import (
    MAX_ZOOM,
    UNET_RADIUS,
    UNET_SIDE,
    multiply_density,
    optical_density,
    resize,
    stain_gain,
)
from hemafeat.segment._unet.tiles import SIDE, predict_logits, weights_file
from hemafeat.segment._unet.watershed import SOLID, mask_solidity, split_touching
from hemafeat.segment._unet.windows import MARGINS, Window, find_windows

SURE = 0.955
"""Expected Dice below which the network is run again at other scales."""

OTHER_SCALES = (0.8, 1.6)
"""Relative scales of these runs: lobes far apart need a smaller one, a clump of nuclei a larger."""

SIMILAR_SCALE = 1.3
"""Ratio of the found and the expected radius of nuclei up to which one run is enough."""

MIN_NUCLEUS = 0.05
"""Area of the nucleus, as a share of the cell, below which a region is not a white cell."""

MIN_VIOLET = 0.1
"""Least share of a nucleus that is as violet as dyed chromatin: less of it has a red cell."""

CUT = 2
"""Pixels of the network between a cell and the border of its window up to which it may be cut."""

AGREED = 0.75
"""Dice of the nuclei by the network and by a threshold below which the threshold is used."""

FAMILIAR = 0.9
"""Expected Dice of the nucleus below which the network has not learned from similar cells."""

MIN_TO_RED = 0.5
"""Radius of a cell over that of red cells below which it is a platelet. White cells are at least as
large as red ones, but overlapping red cells are taken for up to twice as large."""

DOUBTFUL_TO_RED = 1.0
"""The same for a cell whose outline is suspected to have failed."""

# Confidence as a logistic function of the expected Dice, fitted on drawn cells and fields of BCCD
# that were not learned from, with blurred, paled, noisy and badly lit copies. Few of them fail, so
# the numbers are round.
_DICE, _SPREAD = 0.9, 0.015

_REASONS = {
    "size": OVERSIZED,
    "cell": "the network is not sure of the outline of the cell",
    "nucleus": "the network is not sure of the outline of the nucleus",
}


@dataclass(slots=True)
class _NetworkCell(Cell):
    """A cell with its solidity, the expected Dice of its masks, and whether its window cuts it."""

    solidity: float
    expected_dice: dict[str, float]
    is_cut: bool = False

    @property
    def confidence(self) -> float:
        return 1.0 / (1.0 + math.exp(-(min(self.expected_dice.values()) - _DICE) / _SPREAD))


def unet(image: np.ndarray, *, weights: str | os.PathLike[str] | None = None) -> Masks:
    """Segment white cells and their nuclei by a U-Net.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB image.
    weights : path, optional
        A file ``network.onnx`` as `hemafeat.networks.train_segmenter` writes it. By default it is
        the file named by the environment variable ``HEMAFEAT_UNET``, else that of the package.

    Returns
    -------
    Masks
        Cells in order of area, largest first; quality as in `contours`. Only cells with a nucleus
        are reported.

    Raises
    ------
    FileNotFoundError
        The file of weights does not exist.
    ValueError
        `image` is not an (H, W, 3) uint8 array, or the weights are not those of such a network.

    Notes
    -----
    The image is brought to the scale at which the nuclei found as in `contours` have a radius of 24
    pixels, and to optical densities relative to its own white, multiplied so that these nuclei have
    a density of 0.5 in green light: neither microscope nor background nor the strength of the dye
    matters. Only windows around these nuclei are looked at, unless there is none or they cover most
    of the image.
    The network [1]_ predicts the probabilities of background, cytoplasm and nucleus, and
    the depth inside the cell. Where the depth has several maxima, touching cells are separated by a
    watershed [2]_, unless the parts together are round. If the nuclei have another size than
    expected, or the network is not sure, it is run again at another scale, and the result with the
    highest expected Dice is kept. Borders are drawn at full size where the probability is one half.
    The border of the nucleus also depends on the colours of this cell, and is replaced by the
    threshold of `contours` where the two disagree. Regions are left out that are no more violet
    than a red cell, smaller than half a red cell, or smaller than one and doubtful. A cell that was
    cut out and laid on black is segmented by `contours`: its outline is known.

    References
    ----------
    .. [1] O. Ronneberger, P. Fischer and T. Brox, "U-Net: convolutional networks for biomedical
       image segmentation", MICCAI 2015.
    .. [2] S. Beucher and C. Lantuejoul, "Use of watersheds in contour detection", Int. Workshop on
       Image Processing, Rennes, 1979.

    Examples
    --------
    >>> from hemafeat import datasets, segment
    >>> drawn = datasets.draw_cell("neutrophil", random_state=0)
    >>> masks = segment.unet(drawn.image)
    >>> masks.n_cells
    1
    >>> segment.dice(masks.nucleus, drawn.nucleus) > 0.9
    True
    """
    path = weights_file(weights)
    return segment_by_network(*prepare(image), path)


def segment_by_network(image: np.ndarray, frame: Frame, path: Path) -> Masks:
    """Segment white cells in an image and its reduced copy, as returned by `prepare`."""
    if frame.black is not None:
        return segment_by_contours(image, frame)
    if frame.is_dim:
        return assemble([], image.shape[:2], _rate)
    seeds = find_seeds(frame)
    oversized = _oversized_cells([seed for seed in seeds if seed.oversized], image, frame)
    seeds = [seed for seed in seeds if not seed.oversized]
    for cell in oversized:
        # The network would take the size of such a region for that of a nucleus.
        height, width = cell.cell.shape
        box = np.s_[cell.top : cell.top + height, cell.left : cell.left + width]
        image = image.copy()
        image[box][cell.cell > 0] = np.rint(frame.white).astype(np.uint8)
    if oversized:
        frame = replace(measure_frame(image), surround=frame.surround)
    nuclei = large_seeds(seeds, MIN_SHARE)
    green = cv2.LUT(cv2.extractChannel(frame.rgb, 1), frame.table[1])
    gain = stain_gain(green, frame.nuclei)

    def cells_at(zoom: float) -> list[_NetworkCell]:
        cells: list[_NetworkCell] = []
        for margin in MARGINS:
            windows = find_windows(nuclei, frame.scale, image.shape[:2], zoom, margin)
            found = [
                _find_cells(
                    _run_network(image, frame, window, zoom, gain, path), image, frame, window
                )
                for window in windows
            ]
            cells = [cell for of_window in found for cell in of_window]
            if not any(cell.is_cut for cell in cells):
                break
        cells = [cell for cell in _drop_small_nuclei(cells) if _is_violet(cell, frame)]
        return _drop_platelets(cells, frame)

    zoom = _initial_zoom(nuclei, frame, image.shape[:2])
    cells = cells_at(zoom)
    better = _zoom_for_areas([cv2.countNonZero(cell.nucleus) for cell in cells])
    if better is not None and not 1 / SIMILAR_SCALE < better / zoom < SIMILAR_SCALE:
        # Lobes far apart had been taken for nuclei, or several nuclei for one.
        cells = max(cells, cells_at(better), key=_certainty)
    for other in (ratio * zoom for ratio in OTHER_SCALES):
        # The limit keeps large images from exhausting the memory.
        if cells and other <= MAX_ZOOM and _certainty(cells) < SURE:
            cells = max(cells, cells_at(other), key=_certainty)
    return assemble(oversized + cells, image.shape[:2], _rate, frame.surround)


def _rate(cell: _NetworkCell, touches_border: bool) -> Record:
    part = min(cell.expected_dice, key=lambda name: cell.expected_dice[name])
    suspected = cell.confidence < MIN_CONFIDENCE
    return Record(touches_border, cell.confidence, suspected, _REASONS[part] if suspected else "")


def _certainty(cells: list[_NetworkCell]) -> float:
    """Return the expected Dice over all pixels, reduced for outlines as dented as a clump."""
    if not cells:
        return 0.0
    total = sum(
        cell.area * min(cell.expected_dice.values()) * min(1.0, cell.solidity / SOLID)
        for cell in cells
    )
    return total / sum(cell.area for cell in cells)


def _is_violet(cell: _NetworkCell, frame: Frame) -> bool:
    """Return True if a nucleus is stained as nuclei are, or if nothing in the image is."""
    if not frame.any_nuclei:
        return True
    height, width = cell.nucleus.shape
    rows = _nearest(cell.top, height, frame.scale, frame.nuclei.shape[0])
    columns = _nearest(cell.left, width, frame.scale, frame.nuclei.shape[1])
    violet = frame.nuclei.take(rows, axis=0).take(columns, axis=1) & cell.nucleus
    return cv2.countNonZero(violet) >= MIN_VIOLET * cv2.countNonZero(cell.nucleus)


def _nearest(start: int, length: int, scale: float, limit: int) -> np.ndarray:
    """Return the indices in the reduced image of consecutive rows or columns of the image."""
    positions = (np.arange(start, start + length) + 0.5) / scale
    return np.minimum(positions.astype(np.intp), limit - 1)


def _oversized_cells(seeds: list[Seed], image: np.ndarray, frame: Frame) -> list[_NetworkCell]:
    """Draw the regions that are too large for a cell; they are reported as suspected failures."""
    cells = []
    for seed in seeds:
        small = np.zeros(frame.dark.shape, np.uint8)
        cv2.drawContours(small, seed.pieces, -1, 1, cv2.FILLED)
        small = cv2.dilate(small, np.ones((5, 5), np.uint8))
        whole = at_full_size(small, image.shape[:2], frame.scale)
        left, top, width, height = cv2.boundingRect(whole)
        mask = np.ascontiguousarray(whole[top : top + height, left : left + width])
        nucleus, _ = outline_nucleus(image, left, top, mask, frame.table)
        area = cv2.countNonZero(mask)
        cells.append(_NetworkCell(left, top, mask, nucleus, area, 1.0, {"size": 0.0}))
    return cells


def _initial_zoom(seeds: list[Seed], frame: Frame, shape: tuple[int, int]) -> float:
    zoom = _zoom_for_areas([frame.scale**2 * seed.area for seed in seeds])
    return UNET_SIDE / max(shape) if zoom is None else zoom


def _zoom_for_areas(areas: Sequence[float]) -> float | None:
    """Compute the zoom at which nuclei of these areas have the radius the network expects."""
    if not areas:
        return None
    # The mean over pixels, not over nuclei: platelets and dirt are many but small.
    area = sum(area * area for area in areas) / sum(areas)
    return min(UNET_RADIUS / math.sqrt(area / math.pi), MAX_ZOOM)


def _drop_platelets(cells: list[_NetworkCell], frame: Frame) -> list[_NetworkCell]:
    """Drop cells far smaller than the red cells, and doubtful ones that are smaller."""
    avoid = np.zeros(frame.dark.shape, np.uint8)
    for cell in cells:
        height, width = cell.cell.shape
        x, y = (round(position / frame.scale) for position in (cell.left, cell.top))
        w, h = (max(1, round(length / frame.scale)) for length in (width, height))
        part = cv2.resize(cell.cell, (w, h), interpolation=cv2.INTER_NEAREST)
        box = avoid[y : y + h, x : x + w]
        box |= part[: box.shape[0], : box.shape[1]]
    red_radius = frame.red_cell_radius(avoid) * frame.scale
    if not math.isfinite(red_radius):
        return cells
    return [
        cell
        for cell in cells
        if math.sqrt(cell.area / math.pi)
        >= red_radius * (MIN_TO_RED if cell.confidence >= MIN_CONFIDENCE else DOUBTFUL_TO_RED)
    ]


def _run_network(
    image: np.ndarray, frame: Frame, window: Window, zoom: float, gain: float, path: Path
) -> np.ndarray:
    """Return the (4, h, w) logits of a window at the scale of the network."""
    density = multiply_density(optical_density(resize(image[window], zoom), frame), gain)
    near = None
    if frame.any_nuclei and max(density.shape) > SIDE:
        rows, columns = (
            slice(int(part.start / frame.scale), math.ceil(part.stop / frame.scale))
            for part in window
        )
        near = cv2.dilate(frame.nuclei[rows, columns], np.ones((5, 5), np.uint8))
    return predict_logits(density, path, near)


def _find_cells(
    logits: np.ndarray, image: np.ndarray, frame: Frame, window: Window
) -> list[_NetworkCell]:
    highest = np.maximum(np.maximum(logits[0], logits[1]), logits[2])
    background, cytoplasm, nucleus = np.exp(logits[:3] - highest)
    total = background + cytoplasm + nucleus
    inside, nucleus = 1.0 - background / total, nucleus / total
    depth = 1.0 / (1.0 + np.exp(-logits[3]))
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
        cell = _at_full_size(cell_chance, nucleus_chance, box, labels.shape, image, frame, window)
        if cell is not None:
            cell.expected_dice = {
                "cell": _expected_dice(cell_chance, mask),
                "nucleus": _expected_dice(nucleus_chance),
            }
            _check_nucleus(cell, image, frame)
            position = (top, top + height), (left, left + width)
            cell.is_cut = any(map(_is_cut, position, labels.shape, window, image.shape))
            cells.append(cell)
    return cells


def _is_cut(position: tuple[int, int], length: int, part: slice, whole: int) -> bool:
    """Return True if rows or columns of a window reach an end of it that lies in the image."""
    start, stop = position
    return (start <= CUT and part.start > 0) or (stop >= length - CUT and part.stop < whole)


def _drop_small_nuclei(cells: list[_NetworkCell]) -> list[_NetworkCell]:
    sizes = [cv2.countNonZero(cell.nucleus) for cell in cells]
    least = MIN_SHARE * max(sizes, default=0)
    return [cell for cell, size in zip(cells, sizes, strict=True) if size >= least]


def _check_nucleus(cell: _NetworkCell, image: np.ndarray, frame: Frame) -> None:
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


def _expected_dice(chance: np.ndarray, mask: np.ndarray | None = None) -> float:
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
) -> _NetworkCell | None:
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
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cell_chance, nucleus_chance = (
        cv2.warpAffine(
            chance,
            matrix,
            (right - left, bottom - top),
            flags=flags,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for chance in (cell_chance, nucleus_chance)
    )
    cell = _largest_piece((cell_chance > 0.5).astype(np.uint8))
    if cell is None:
        return None
    nucleus = refine_nucleus(
        nucleus_chance, cell, optical_density(part[top:bottom, left:right], frame)
    )
    remove_specks(nucleus)
    nucleus &= cell
    if not nucleus.any():
        return None
    x, y, w, h = cv2.boundingRect(cell)
    crop = np.s_[y : y + h, x : x + w]
    rows, columns = window
    return _NetworkCell(
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
