"""White cells by a small U-Net, run by OpenCV: no other package is needed."""

from __future__ import annotations

import math
import os
from pathlib import Path

import cv2
import numpy as np

from hemafeat.segment._cells import KIND_PLATELET, MIN_CONFIDENCE, Cell, Record, assemble
from hemafeat.segment._contours.contours import MIN_SHARE, segment_by_contours
from hemafeat.segment._contours.frame import Frame
from hemafeat.segment._contours.nuclei import find_seeds, large_seeds
from hemafeat.segment._contours.surround import prepare
from hemafeat.segment._masks import Masks
from hemafeat.segment._unet.cells import (
    PLATELET,
    NetworkCell,
    at_full_size,
    expected_dice,
    expected_dice_of,
)
from hemafeat.segment._unet.looks import CROP, Scene, View, at_its_scale, certainty, look
from hemafeat.segment._unet.scale import MAX_ZOOM, stain_gain
from hemafeat.segment._unet.tiles import weights_file
from hemafeat.segment._unet.watershed import SOLID

SURE = 0.955
"""Expected Dice below which the network is run again at other scales."""

OTHER_SCALES = (0.75, 1.4)
"""Relative scales of these runs."""

SMALL = 0.93
"""Radius of a cell over that of red cells below which it is a platelet."""

LEAST_CONFIDENCE = 0.01
"""Confidence below which a region is no cell, but for the cell in the middle of a crop."""

CELL_SIDE, PLATELET_SIDE = 0.2, 0.1
"""Diameters over the side of the image from which a cell or a platelet may be the one that an image
was taken of."""

MIDDLE = 0.2
"""Distance from the middle, relative to the shorter side, within which a cell or platelet is the
one that an image was taken of."""

DENTED = 0.82
"""Solidity below which an outline is not that of one cell."""

MIN_PLATELET = 30
"""Least area of a platelet, in pixels of the network."""

CLUMP = 2.2
"""Area, relative to the median of a field, from which a dented outline is that of a clump."""

_REASONS = {
    "clump": "several cells that could not be parted",
    "cell": "the network is not sure of the outline of the cell",
    "nucleus": "the network is not sure of the outline of the nucleus",
}


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
    The image is brought to a scale of 0.2 um per pixel, which its red cells tell (7.2 um), or where
    none is seen, its nuclei, and to optical densities relative to its own white, multiplied so that
    whatever is stained has a median density of 0.25. A field without any white cell is therefore
    seen as any other one.
    The network [1]_ predicts the probabilities of background, red cell, platelet, cytoplasm and
    nucleus, and the depth inside white cells. Where the depth has several maxima, touching cells
    are separated by a watershed [2]_, unless the parts together are round; a clump that could not
    be parted is a suspected failure. If red cells or nuclei have another size than expected, or the
    network is not sure, it is run again at another scale. Borders are drawn at full size where the
    probability is one half. The border of the nucleus also depends on the colours of this cell, and
    is replaced by the threshold of `contours` where the two disagree. A platelet is reported, as
    the `kind` of its row says, if it is in the middle of an image without white cells. A cell that
    was cut out and laid on black is segmented by `contours`: its outline is known.

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
    shape = image.shape[:2]
    nuclei = [seed for seed in large_seeds(find_seeds(frame), MIN_SHARE) if not seed.oversized]
    scene = Scene(image, frame, nuclei, stain_gain(frame), path)
    view = at_its_scale(scene)
    is_crop = max(shape) * view.zoom <= CROP
    if is_crop and not view.is_plausible:
        for ratio in OTHER_SCALES:
            if view.cells and certainty(view) < SURE:
                near = min(ratio * view.zoom, MAX_ZOOM)
                view = max(view, look(scene, near), key=certainty)
    small = [cell for cell in view.cells if _is_small(cell, view)]
    cells = [
        cell
        for cell in view.cells
        if cell not in small
        and (cell.confidence >= LEAST_CONFIDENCE or (is_crop and _off_centre(cell, shape) < MIDDLE))
    ]
    if is_crop and not any(_off_centre(cell, shape) < MIDDLE for cell in cells):
        # Somebody has cut the image out round something.
        cells += (
            _central_platelet(view, image, frame)
            or _without_nucleus(small, shape)
            or ([] if cells else _by_contours(image, frame))
        )
    _mark_clumps(cells)
    return assemble(cells, shape, _rate, frame.surround)


def _is_small(cell: NetworkCell, view: View) -> bool:
    """Return True if a cell is smaller than red cells, as platelets are and no white cell is."""
    return view.zoom * math.sqrt(cell.area / math.pi) < SMALL * view.red


def _without_nucleus(cells: list[NetworkCell], shape: tuple[int, int]) -> list[NetworkCell]:
    """Return the cell nearest to the middle of a crop as a platelet."""
    central = [cell for cell in cells if _off_centre(cell, shape) < MIDDLE]
    for cell in central:
        cell.nucleus[:] = 0
        cell.kind = KIND_PLATELET
    return sorted(central, key=lambda cell: _off_centre(cell, shape))[:1]


def _by_contours(image: np.ndarray, frame: Frame) -> list[NetworkCell]:
    """Find the cell or platelet in the middle of a crop by `contours`."""
    masks = segment_by_contours(image, frame)
    number = central_cell(masks, PLATELET_SIDE)
    if number is None:
        return []
    mask = (masks.cell == number).astype(np.uint8)
    x, y, w, h = cv2.boundingRect(mask)
    box = np.s_[y : y + h, x : x + w]
    cell, nucleus = mask[box].copy(), (masks.nucleus[box] == number).astype(np.uint8)
    quality = {name: values[number - 1] for name, values in masks.quality.items()}
    expected = expected_dice_of(float(quality["confidence"]))
    area, kind = cv2.countNonZero(cell), str(quality["kind"])
    return [NetworkCell(x, y, cell, nucleus, area, 1.0, {"cell": expected}, kind=kind)]


def central_cell(masks: Masks, least_side: float = CELL_SIDE) -> int | None:
    """Return the number of the cell that an image was taken of; None if there is none."""
    height, width = masks.shape
    side = min(height, width)
    for number in range(1, masks.n_cells + 1):
        x, y, w, h = cv2.boundingRect((masks.cell == number).astype(np.uint8))
        away = math.hypot(x + w / 2 - width / 2, y + h / 2 - height / 2)
        if max(w, h) >= least_side * side and away <= MIDDLE * side:
            return number
    return None


def _rate(cell: NetworkCell, touches_border: bool) -> Record:
    part = min(cell.expected_dice, key=lambda name: cell.expected_dice[name])
    suspected = cell.confidence < MIN_CONFIDENCE
    reason = _REASONS[part] if suspected else ""
    return Record(touches_border, cell.confidence, suspected, reason, cell.kind)


def _mark_clumps(cells: list[NetworkCell]) -> None:
    """Mark the outlines that are far larger than the others and dented as suspected failures."""
    areas = [cell.area for cell in cells]
    for cell in cells:
        others = float(np.median(areas))
        if cell.solidity < SOLID and (cell.area > CLUMP * others or cell.solidity < DENTED):
            cell.expected_dice["clump"] = 0.0


def _off_centre(cell: Cell, shape: tuple[int, int]) -> float:
    """Return the distance of a cell from the middle of the image, relative to the shorter side."""
    x = cell.left + (cell.cell.shape[1] - shape[1]) / 2
    y = cell.top + (cell.cell.shape[0] - shape[0]) / 2
    return math.hypot(x, y) / min(shape)


def _central_platelet(view: View, image: np.ndarray, frame: Frame) -> list[NetworkCell]:
    """Find the platelet in the middle of an image."""
    best: list[NetworkCell] = []
    nearest = MIDDLE
    for window, chance in zip(view.windows, view.chances, strict=True):
        mask = (chance[PLATELET] > 0.5).astype(np.uint8)
        n, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
        for number in range(1, n):
            left, top, w, h, area = stats[number].tolist()
            if area < MIN_PLATELET:
                continue
            box = np.s_[max(0, top - 3) : top + h + 3, max(0, left - 3) : left + w + 3]
            inside = np.where(labels[box] == number, chance[PLATELET][box], 0.0)
            cell = at_full_size(
                inside.astype(np.float32), None, box, mask.shape, image, frame, window
            )
            if cell is None:
                continue
            away = _off_centre(cell, image.shape[:2])
            if away <= nearest:
                nearest = away
                cell.expected_dice = {"cell": expected_dice(inside)}
                cell.kind = KIND_PLATELET
                best = [cell]
    return best
