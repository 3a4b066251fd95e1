"""White cells by a small U-Net, run by OpenCV: no other package is needed."""

from __future__ import annotations

import math
import os
from pathlib import Path

import cv2
import numpy as np

from hemafeat.segment._cells import (
    KIND_PLATELET,
    MIN_CONFIDENCE,
    Cell,
    Record,
    assemble,
)
from hemafeat.segment._contours.contours import MIN_SHARE, segment_by_contours
from hemafeat.segment._contours.frame import Frame
from hemafeat.segment._contours.nuclei import find_seeds, large_seeds
from hemafeat.segment._contours.surround import prepare
from hemafeat.segment._masks import Masks
from hemafeat.segment._unet.cells import NetworkCell
from hemafeat.segment._unet.looks import (
    CROP,
    LARGE_CROP,
    RED_RADIUS,
    Scene,
    View,
    at_its_scale,
    certainty,
    look,
)
from hemafeat.segment._unet.scale import MAX_ZOOM, stain_gain
from hemafeat.segment._unet.tiles import weights_file
from hemafeat.segment._unet.watershed import SOLID

SURE = 0.955
"""Expected Dice below which the network is run again at other scales."""

OTHER_SCALES = (0.75, 1.4)
"""Relative scales of these runs."""

SMALL = 0.93
"""Radius of a cell over that of red cells below which it is a platelet."""

LEAST_CONFIDENCE = 0.1
"""Confidence below which a region is no cell, but for the cell in the middle of a crop."""

CELL_SIDE, PLATELET_SIDE = 0.2, 0.1
"""Diameters over the side of the image from which a cell or a platelet may be the one that an image
was taken of."""

FULL_RADIUS = 24.0
"""Radius of a cell, where red cells have theirs, from which its size does not speak against it."""

# Confidence as a logistic function of the log-odds of the expected Dice of the cell, its solidity
# and the logarithm of the factor by which it is too small, fitted on fields that were not learned
# from. The certainty of the nucleus did not help.
_DICE, _SOLIDITY, _SMALLNESS, _CONSTANT = 1.8, 7.3, -6.1, -11.7

MIDDLE = 0.2
"""Distance from the middle, relative to the shorter side, within which a cell or platelet is the
one that an image was taken of."""

DENTED = 0.82
"""Solidity below which an outline is not that of one cell."""

CLUMP = 2.2
"""Area, relative to the median of a field, from which a dented outline is that of a clump."""

_CLUMP = "several cells that could not be parted"
_UNSURE = "the network is not sure that this is the outline of a white cell"


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
    is replaced by the threshold of `contours` where the two disagree. A platelet in the middle of a
    crop is that of `contours`, and `kind` says so, and so is the cell in the middle of a crop in
    which the network finds nothing, and one that was cut out and laid on black.

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


def segment_by_network(
    image: np.ndarray, frame: Frame, path: Path, first: Masks | None = None
) -> Masks:
    """Segment white cells in an image and its reduced copy, as returned by `prepare`.

    `first` is what `contours` finds in it, if that is known.
    """
    if frame.black is not None:
        return first or segment_by_contours(image, frame)
    shape = image.shape[:2]
    if frame.is_dim:
        return assemble([], shape, _rate)
    if max(shape) <= LARGE_CROP:
        first = first or segment_by_contours(image, frame)
        if first.n_cells == 1 and first.quality["kind"][0] == KIND_PLATELET:
            return first
    nuclei = [seed for seed in large_seeds(find_seeds(frame), MIN_SHARE) if not seed.oversized]
    scene = Scene(image, frame, nuclei, stain_gain(frame), path)
    view = at_its_scale(scene)
    is_crop = max(shape) * view.zoom <= CROP
    if is_crop and not view.is_plausible:
        for ratio in OTHER_SCALES:
            if view.cells and certainty(view) < SURE:
                near = min(ratio * view.zoom, MAX_ZOOM)
                view = max(view, look(scene, near), key=certainty)
    cells, small = [], []
    for cell in view.cells:
        cell.confidence = _confidence(cell, view)
        is_central = is_crop and _off_centre(cell, shape) < MIDDLE
        if cell.radius < SMALL * view.red:
            small.append(cell)
        elif cell.confidence >= LEAST_CONFIDENCE or is_central:
            cells.append(cell)
    if is_crop and not cells:
        # Somebody has cut the image out round something.
        cells = _as_platelet(small, shape)
        first = first or segment_by_contours(image, frame)
        number = central_cell(first, PLATELET_SIDE)
        if not cells and number is not None:
            return first.select(np.array([number - 1]))
    _mark_clumps(cells)
    return assemble(cells, shape, _rate, frame.surround)


def _confidence(cell: NetworkCell, view: View) -> float:
    """Compute the probability that an outline is that of a white cell, and good."""
    expected = min(max(cell.expected_dice["cell"], 0.01), 0.995)
    odds = _CONSTANT + _DICE * math.log(expected / (1.0 - expected)) + _SOLIDITY * cell.solidity
    if view.red > 0:
        full_radius = FULL_RADIUS * view.red / RED_RADIUS
        odds += _SMALLNESS * max(0.0, math.log(full_radius / cell.radius))
    return 1.0 / (1.0 + math.exp(-odds))


def _as_platelet(cells: list[NetworkCell], shape: tuple[int, int]) -> list[NetworkCell]:
    """Return the cell nearest to the middle of a crop as a platelet."""
    central = [cell for cell in cells if _off_centre(cell, shape) < MIDDLE]
    for cell in central:
        cell.nucleus[:] = 0
        cell.kind = KIND_PLATELET
    return sorted(central, key=lambda cell: _off_centre(cell, shape))[:1]


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
    suspected = cell.confidence < MIN_CONFIDENCE
    reason = (_CLUMP if cell.is_clump else _UNSURE) if suspected else ""
    return Record(touches_border, cell.confidence, suspected, reason, cell.kind)


def _mark_clumps(cells: list[NetworkCell]) -> None:
    """Mark the outlines that are far larger than the others and dented as suspected failures."""
    areas = [cell.area for cell in cells]
    for cell in cells:
        others = float(np.median(areas))
        if cell.solidity < SOLID and (cell.area > CLUMP * others or cell.solidity < DENTED):
            cell.is_clump = True
            cell.confidence *= MIN_CONFIDENCE


def _off_centre(cell: Cell, shape: tuple[int, int]) -> float:
    """Return the distance of a cell from the middle of the image, relative to the shorter side."""
    x = cell.left + (cell.cell.shape[1] - shape[1]) / 2
    y = cell.top + (cell.cell.shape[0] - shape[0]) / 2
    return math.hypot(x, y) / min(shape)
