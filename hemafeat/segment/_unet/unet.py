"""White cells by a small U-Net, run by OpenCV: no other package is needed."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from hemafeat.images import scale
from hemafeat.segment._cells import (
    KIND_PLATELET,
    KIND_WHITE,
    MIN_CONFIDENCE,
    Cell,
    Record,
    assemble,
)
from hemafeat.segment._contours.contours import MIN_SHARE, segment_by_contours
from hemafeat.segment._contours.frame import Frame
from hemafeat.segment._contours.nuclei import Seed, find_seeds, large_seeds
from hemafeat.segment._contours.nucleus import outline_nucleus
from hemafeat.segment._contours.surround import prepare
from hemafeat.segment._kernels.regions import remove_specks
from hemafeat.segment._masks import Masks
from hemafeat.segment._scores import dice
from hemafeat.segment._unet.refine import refine_nucleus
from hemafeat.segment._unet.scale import (
    MAX_ZOOM,
    UNET_RADIUS,
    UNET_SIDE,
    UNET_UM_PER_PX,
    multiply_density,
    optical_density,
    resize,
    stain_gain,
)
from hemafeat.segment._unet.tiles import SIDE, predict_logits, weights_file
from hemafeat.segment._unet.watershed import ROUND, SOLID, mask_solidity, split_touching
from hemafeat.segment._unet.windows import MARGINS, Window, find_windows

RED_CELL, PLATELET, CYTOPLASM, NUCLEUS, DEPTH = range(1, 6)
"""Channels of the network besides background."""

SURE = 0.955
"""Expected Dice below which the network is run again at other scales."""

OTHER_SCALES = (0.75, 1.4)
"""Relative scales of these runs."""

SIMILAR_SCALE = 1.4
"""Ratio of the found and the expected sizes of cells up to which one run is enough."""

SAME_SCALE = 1.15
"""The same for the middle of an image, where there are fewer of them."""

RED_RADIUS = 17.5
"""Radius of red cells, in pixels of the network: 3.6 um, a little less as the network sees them."""

FLAT = 0.88
"""Depth of red cells by a threshold, which misses their rim, relative to it."""

LONGEST = 1.6
"""Length over width of a red cell up to which it tells the scale."""

MIN_RED = 80
"""Least area of a red cell, in pixels of the network."""

FEW_RED = 3
"""Least number of red cells that have a typical size."""

MANY_RED = 12
"""Number of red cells from which a second part of a large image is not looked at."""

RED_SPREAD, ONE_RED_SPREAD, NUCLEUS_SPREAD = 0.1, 0.7, 0.25
"""Standard deviations of the logarithm of the scale by many red cells, by one, and by nuclei."""

NUCLEUS_TO_RED = (0.55, 2.5)
"""Radius of nuclei over that of red cells: outside this range one of them has been mistaken."""

CLEARLY = 0.1
"""Difference of the expected Dice from which the less likely of two scales is the better one."""

SMALL = 0.85
"""Radius of a cell over that of red cells below which it is a platelet."""

SMALL_NUCLEUS = 0.8
"""The same for the nucleus of a crop, by thresholds, from which all of the crop is looked at."""

MOST_CHANGES = 4
"""Number of runs after which the scale is no longer changed."""

MOST_ENLARGED = 1.6
"""Largest zoom to begin with, unless red cells tell that it is larger."""

ENLARGED = 0.7
"""Power of a zoom above 1 by which an image is enlarged."""

MOST_PIXELS = 6e6
"""Pixels of the network up to which an image is enlarged."""

CROP = 288
"""Side, in pixels of the network, up to which an image is of one cell, not of a field."""

MIN_NUCLEUS = 0.05
"""Area of the nucleus, as a share of the cell, below which a region is not a white cell."""

LEAST_CONFIDENCE = 0.01
"""Confidence below which a region is no cell, but for the cell in the middle of a crop."""

LEAST_CHANCE = 0.6
"""Mean probability of a white cell over a region below which it is none."""

CUT = 2
"""Pixels of the network between a cell and the border of its window up to which it may be cut."""

AGREED = 0.75
"""Dice of the nuclei by the network and by a threshold below which the threshold is used."""

FAMILIAR = 0.9
"""Expected Dice of the nucleus below which the network has not learned from similar cells."""

MIDDLE = 0.2
"""Distance from the middle, relative to the shorter side, within which a cell or platelet is the
one that an image was taken of."""

DENTED = 0.82
"""Solidity below which an outline is not that of one cell."""

MIN_PLATELET = 30
"""Least area of a platelet, in pixels of the network."""

CLUMP = 2.2
"""Area, relative to the median of a field, from which a dented outline is that of a clump."""

# Confidence as a logistic function of the expected Dice, fitted on drawn cells and fields of BCCD
# that were not learned from, with blurred, paled, noisy and badly lit copies. Few of them fail, so
# the numbers are round.
_DICE, _SPREAD = 0.9, 0.015

_REASONS = {
    "clump": "several cells that could not be parted",
    "cell": "the network is not sure of the outline of the cell",
    "nucleus": "the network is not sure of the outline of the nucleus",
}


@dataclass(slots=True)
class _NetworkCell(Cell):
    """A cell with its solidity, the expected Dice of its masks, and whether its window cuts it."""

    solidity: float
    expected_dice: dict[str, float]
    is_cut: bool = False
    kind: str = KIND_WHITE

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
    scene = _Scene(image, frame, nuclei, stain_gain(frame), path)
    view = _at_its_scale(scene)
    platelets = [cell for cell in view.cells if _is_small(cell, view)]
    view.cells[:] = [cell for cell in view.cells if not _is_small(cell, view)]
    is_crop = max(shape) * view.zoom <= CROP
    if is_crop and not view.is_plausible:
        for ratio in OTHER_SCALES:
            if view.cells and _certainty(view) < SURE:
                near = min(ratio * view.zoom, MAX_ZOOM)
                view = max(view, _look(scene, near), key=_certainty)
    cells = [
        cell
        for cell in view.cells
        if cell.confidence >= LEAST_CONFIDENCE or (is_crop and _off_centre(cell, shape) < MIDDLE)
    ]
    if is_crop and not cells:
        cells = _central_platelet(view, image, frame) or _without_nucleus(platelets, shape)
    _mark_clumps(cells)
    return assemble(cells, shape, _rate, frame.surround)


def _is_small(cell: _NetworkCell, view: _View) -> bool:
    """Return True if a cell is smaller than red cells, as platelets are and no white cell is."""
    return view.zoom * math.sqrt(cell.area / math.pi) < SMALL * view.red


def _without_nucleus(cells: list[_NetworkCell], shape: tuple[int, int]) -> list[_NetworkCell]:
    """Return the cell nearest to the middle of a crop as a platelet."""
    central = [cell for cell in cells if _off_centre(cell, shape) < MIDDLE]
    for cell in central:
        cell.nucleus[:] = 0
        cell.kind = KIND_PLATELET
    return sorted(central, key=lambda cell: _off_centre(cell, shape))[:1]


@dataclass(frozen=True, slots=True)
class _Scene:
    """An image as the network sees it: with its white, its nuclei and its strength of stain."""

    image: np.ndarray
    frame: Frame
    nuclei: Sequence[Seed]
    gain: float
    path: Path

    @property
    def radii(self) -> tuple[float, float]:
        """Typical radii of red cells (NaN without any) and of nuclei (0) by thresholds, in px."""
        frame = self.frame
        avoid = cv2.dilate(frame.nuclei, np.ones((5, 5), np.uint8))
        red = frame.red_cell_radius(avoid) * frame.scale
        return red, _typical_radius([frame.scale**2 * seed.area for seed in self.nuclei])


@dataclass(frozen=True, slots=True)
class _View:
    """What the network sees at one scale: the cells, and its probabilities in each window.

    `red` is the typical radius of red cells, in pixels of the network, 0 where there are too few,
    and `n_red` their number. `is_part` is True if it is the middle only.
    """

    zoom: float
    cells: list[_NetworkCell]
    windows: list[Window]
    chances: list[np.ndarray]
    red: float
    n_red: int
    is_part: bool

    def with_part(self, other: _View) -> _View:
        """Return what is seen in two parts of an image at the same scale."""
        n_red = self.n_red + other.n_red
        red = (self.n_red * self.red + other.n_red * other.red) / max(n_red, 1)
        return replace(self, cells=self.cells + other.cells, red=red, n_red=n_red)

    @property
    def nucleus(self) -> float:
        """Typical radius of nuclei, in pixels of the network; 0 where there are none."""
        return self.zoom * _typical_radius([cv2.countNonZero(c.nucleus) for c in self.cells])

    @property
    def is_plausible(self) -> bool:
        """True if there are red cells, and nuclei, if any, have a size that fits theirs."""
        low, high = NUCLEUS_TO_RED
        return self.red > 0 and (self.nucleus == 0 or low < self.nucleus / self.red < high)

    @property
    def change(self) -> float:
        """Factor of the zoom at which what is seen has the expected size."""
        logs, weights = [], []
        if self.red > 0:
            logs.append(math.log(RED_RADIUS / self.red))
            weights.append(1 / (RED_SPREAD**2 + ONE_RED_SPREAD**2 / self.n_red))
        if self.nucleus > 0:
            logs.append(math.log(UNET_RADIUS / self.nucleus))
            weights.append(1 / NUCLEUS_SPREAD**2)
        if len(logs) == 2 and not self.is_plausible:
            return math.exp(logs[int(weights[1] > weights[0])])
        return math.exp(np.average(logs, weights=weights)) if logs else 1.0


def _at_its_scale(scene: _Scene) -> _View:
    """Look at an image at the scale at which red cells and nuclei have the expected size."""
    shape = scene.image.shape[:2]
    red, nucleus = scene.radii
    zooms = _zooms(scene)
    if math.isfinite(red) and nucleus < SMALL_NUCLEUS * red:
        # A platelet: the red cells around it tell so.
        scene = replace(scene, nuclei=[])
    views: list[_View] = []
    for zoom in zooms:
        if any(1 / SAME_SCALE < zoom / view.zoom < SAME_SCALE for view in views):
            continue
        views.append(_approach(scene, zoom))
        is_crop = max(shape) * views[-1].zoom <= CROP
        # In a crop there may be no whole red cell.
        if views[-1].is_plausible or (is_crop and views[-1].cells):
            break
    view = views[0]
    for other in views[1:]:
        # The first guesses are the better ones.
        if (other.is_plausible, _certainty(other)) > (
            view.is_plausible,
            _certainty(view) + CLEARLY,
        ):
            view = other
    if view.is_part:
        zoom = _limit_zoom(view.change * view.zoom, shape)
        view = _look(scene, zoom)
        better = _limit_zoom(view.change * zoom, shape)
        if view.is_plausible and not 1 / SIMILAR_SCALE < better / zoom < SIMILAR_SCALE:
            view = _look(scene, better)
    return view


def _approach(scene: _Scene, zoom: float) -> _View:
    """Look at an image, or at parts of it if it is large, until the scale no longer changes."""
    shape = scene.image.shape[:2]
    for last in range(MOST_CHANGES - 1, -1, -1):
        first, *others = _parts(shape, zoom)
        view = _look(scene, zoom, first)
        for part in others:
            if view.n_red < MANY_RED:
                view = view.with_part(_look(scene, zoom, part))
        better = _limit_zoom(view.change * zoom, shape)
        limit = SAME_SCALE if view.is_part else SIMILAR_SCALE
        if not last or 1 / limit < better / zoom < limit:
            break
        zoom = better
    return view


def _zooms(scene: _Scene) -> Iterator[float]:
    """Estimate the zoom from red cells, from nuclei, and from the size of the image.

    The network corrects a zoom that is too large more surely than one that is too small.
    """
    shape = scene.image.shape[:2]
    red, nucleus = scene.radii
    zooms = [UNET_SIDE / max(shape)]
    if nucleus > 0:
        zooms.insert(0, min(UNET_RADIUS / nucleus, MOST_ENLARGED))
    if math.isfinite(red):
        low, high = NUCLEUS_TO_RED
        of_red = min(FLAT * RED_RADIUS / red, MOST_ENLARGED)
        is_plausible = nucleus == 0 or low < nucleus / red < high
        zooms.insert(0 if is_plausible else 1, of_red)
        if not is_plausible and zooms[0] < of_red:
            zooms[:2] = zooms[1::-1]
    if max(shape) * zooms[0] > CROP:
        found = scale(scene.image).um_per_px
        if math.isfinite(found):
            yield _limit_zoom(found / UNET_UM_PER_PX, shape)
        zooms.insert(-1, MOST_ENLARGED)
    for zoom in zooms:
        yield _limit_zoom(zoom, shape)


def _parts(shape: tuple[int, int], zoom: float) -> list[Window | None]:
    """Return squares that the network sees at once, the one in the middle first.

    They are the whole image, None, if it is hardly larger.
    """
    side = int(SIDE / zoom)
    if shape[0] * shape[1] < 1.5 * side * side or max(shape) * zoom <= SIDE:
        return [None]
    places = ((1, 2), (1, 2)), ((0, 1), (0, 1)), ((1, 1), (1, 1))
    return [
        tuple(
            slice(max(0, (length - side) * n // d), min(length, (length - side) * n // d + side))
            for length, (n, d) in zip(shape, place, strict=True)
        )
        for place in places
    ]


def _look(scene: _Scene, zoom: float, part: Window | None = None) -> _View:
    """Run the network at one scale: on a part, on all of the image, or in a crop, round nuclei."""
    image, frame, shape = scene.image, scene.frame, scene.image.shape[:2]
    is_crop = max(shape) * zoom <= CROP
    view = None
    for margin in MARGINS:
        nuclei = scene.nuclei if is_crop else []
        windows = find_windows(nuclei, frame.scale, shape, zoom, margin) if part is None else [part]
        chances = [
            _run_network(image, frame, window, zoom, scene.gain, scene.path) for window in windows
        ]
        cells = [
            cell
            for window, chance in zip(windows, chances, strict=True)
            for cell in _find_cells(chance, image, frame, window)
        ]
        view = _View(zoom, cells, windows, chances, *_red_cells(chances), part is not None)
        if part is not None or not any(cell.is_cut for cell in cells):
            break
    assert view is not None
    return view


def _red_cells(chances: list[np.ndarray]) -> tuple[float, int]:
    """Return the typical radius and the number of the red cells that lie alone."""
    radii = []
    for chance in chances:
        red = (chance[RED_CELL] > 0.5).astype(np.uint8)
        height, width = red.shape
        lines, _ = cv2.findContours(red, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        for line in lines:
            x, y, w, h = cv2.boundingRect(line)
            is_whole = x > 0 and y > 0 and x + w < width and y + h < height
            if not is_whole or max(w, h) > LONGEST * min(w, h):
                continue
            # OpenCV measures between the centres of border pixels: half the length is missing.
            area = cv2.contourArea(line) + 0.5 * len(line)
            hull = cv2.convexHull(line)
            if area >= MIN_RED and area >= ROUND * (cv2.contourArea(hull) + 0.5 * len(hull)):
                radii.append(math.sqrt(area / math.pi))
    radii = [radius for radius in radii if radius > 0.5 * max(radii)]
    return (float(np.median(radii)), len(radii)) if len(radii) >= FEW_RED else (0.0, 0)


def _rate(cell: _NetworkCell, touches_border: bool) -> Record:
    part = min(cell.expected_dice, key=lambda name: cell.expected_dice[name])
    suspected = cell.confidence < MIN_CONFIDENCE
    reason = _REASONS[part] if suspected else ""
    return Record(touches_border, cell.confidence, suspected, reason, cell.kind)


def _certainty(view: _View) -> float:
    """Return the expected Dice over all pixels, reduced for outlines as dented as a clump."""
    if not view.cells:
        return 0.0
    total = sum(
        cell.area * min(cell.expected_dice.values()) * min(1.0, cell.solidity / SOLID)
        for cell in view.cells
    )
    return total / sum(cell.area for cell in view.cells)


def _limit_zoom(zoom: float, shape: tuple[int, int]) -> float:
    """Enlarge an image less than asked: it gains pixels to look at, and no detail."""
    most = min(MAX_ZOOM, max(1.0, math.sqrt(MOST_PIXELS / (shape[0] * shape[1]))))
    return min(zoom, max(1.0, zoom) ** ENLARGED, most)


def _typical_radius(areas: Sequence[float]) -> float:
    """Compute the radius of a disc of the typical area; 0 without any."""
    if not areas:
        return 0.0
    # The mean over pixels, not over nuclei: platelets and dirt are many but small.
    return math.sqrt(sum(area * area for area in areas) / sum(areas) / math.pi)


def _run_network(
    image: np.ndarray, frame: Frame, window: Window, zoom: float, gain: float, path: Path
) -> np.ndarray:
    """Return the (6, h, w) probabilities of a window at the scale of the network."""
    density = multiply_density(optical_density(resize(image[window], zoom), frame), gain)
    logits = predict_logits(density, path)
    classes = np.exp(logits[:DEPTH] - logits[:DEPTH].max(axis=0))
    classes /= classes.sum(axis=0)
    depth = 1.0 / (1.0 + np.exp(-logits[DEPTH:]))
    return np.concatenate([classes, depth])


def _mark_clumps(cells: list[_NetworkCell]) -> None:
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


def _central_platelet(view: _View, image: np.ndarray, frame: Frame) -> list[_NetworkCell]:
    """Find the platelet in the middle of an image."""
    best: list[_NetworkCell] = []
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
            cell = _at_full_size(
                inside.astype(np.float32), None, box, mask.shape, image, frame, window
            )
            if cell is None:
                continue
            away = _off_centre(cell, image.shape[:2])
            if away <= nearest:
                nearest = away
                cell.expected_dice = {"cell": _expected_dice(inside)}
                cell.kind = KIND_PLATELET
                best = [cell]
    return best


def _find_cells(
    chances: np.ndarray, image: np.ndarray, frame: Frame, window: Window
) -> list[_NetworkCell]:
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
    nucleus_chance: np.ndarray | None,
    box: tuple[slice, slice],
    small_shape: tuple[int, int],
    image: np.ndarray,
    frame: Frame,
    window: Window,
) -> _NetworkCell | None:
    """Draw a cell at full size, where its probabilities exceed one half.

    Without probabilities of a nucleus it is a platelet.
    """
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
    nucleus = np.zeros_like(cell)
    if nucleus_chance is not None:
        nucleus = refine_nucleus(
            enlarge(nucleus_chance), cell, optical_density(part[top:bottom, left:right], frame)
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
