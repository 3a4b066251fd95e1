"""The scale at which a network sees an image, and what it sees there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from hemafeat.images import scale
from hemafeat.segment._contours.frame import Frame
from hemafeat.segment._contours.nuclei import Seed
from hemafeat.segment._unet.cells import DEPTH, RED_CELL, NetworkCell, find_cells
from hemafeat.segment._unet.scale import (
    MAX_ZOOM,
    UNET_SIDE,
    UNET_UM_PER_PX,
    multiply_density,
    optical_density,
    resize,
)
from hemafeat.segment._unet.tiles import SIDE, predict_logits
from hemafeat.segment._unet.watershed import ROUND, SOLID
from hemafeat.segment._unet.windows import MARGINS, Window, find_windows

SIMILAR_SCALE = 1.5
"""Ratio of the found and the expected sizes of cells up to which one run is enough."""

SAME_SCALE = 1.15
"""The same for the middle of an image, where there are fewer of them."""

RED_RADIUS = 17.5
"""Radius of red cells, in pixels of the network: 3.6 um, a little less as the network sees them."""

NUCLEAR_RADIUS = 24.0
"""Radius of nuclei, in pixels of the network: 4.8 um, that of the larger ones, since borders are
drawn better on an image that is too large than on one that is too small."""

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

CERTAIN = 0.83
"""Expected Dice from which the size of a nucleus tells the scale."""

CLEARLY = 0.1
"""Difference of the expected Dice from which the less likely of two scales is the better one."""

SMALL_NUCLEUS = 0.8
"""Radius of the nucleus of a crop over that of red cells, by thresholds, below which all of the
crop is looked at."""

MOST_CHANGES = 4
"""Number of runs after which the scale is no longer changed."""

MOST_ENLARGED = 1.6
"""Largest zoom to begin with, unless red cells tell that it is larger."""

ENLARGED = 0.8
"""Power of a zoom above 1 by which an image is enlarged."""

MOST_PIXELS = 6e6
"""Pixels of the network up to which an image is enlarged."""

CROP = 320
"""Side, in pixels of the network, up to which an image is of one cell, not of a field."""

LARGE_CROP = 400
"""Side, in pixels of the image, up to which it may be taken for one without a look at its red
cells one by one."""


@dataclass(frozen=True, slots=True)
class Scene:
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
class View:
    """What the network sees at one scale.

    `red` is the typical radius of red cells, in pixels of the network, 0 where there are too few,
    and `n_red` their number. `is_part` is True if it shows parts of the image only.
    """

    zoom: float
    cells: list[NetworkCell]
    red: float
    n_red: int
    is_part: bool

    def with_part(self, other: View) -> View:
        """Return what is seen in two parts of an image at the same scale."""
        n_red = self.n_red + other.n_red
        red = (self.n_red * self.red + other.n_red * other.red) / max(n_red, 1)
        return replace(self, cells=self.cells + other.cells, red=red, n_red=n_red)

    @property
    def nucleus(self) -> float:
        """Typical radius of certain nuclei, in pixels of the network; 0 where there are none."""
        areas = [cv2.countNonZero(cell.nucleus) for cell in self.cells if _is_certain(cell)]
        return self.zoom * _typical_radius(areas)

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
            logs.append(math.log(NUCLEAR_RADIUS / self.nucleus))
            weights.append(1 / NUCLEUS_SPREAD**2)
        if len(logs) == 2 and not self.is_plausible:
            return math.exp(logs[int(weights[1] > weights[0])])
        return math.exp(np.average(logs, weights=weights)) if logs else 1.0


def at_its_scale(scene: Scene) -> View:
    """Look at an image at the scale at which red cells and nuclei have the expected size."""
    shape = scene.image.shape[:2]
    red, nucleus = scene.radii
    zooms = _zooms(shape, red, nucleus)
    if math.isfinite(red) and nucleus < SMALL_NUCLEUS * red:
        # A platelet: the red cells around it tell so.
        scene = replace(scene, nuclei=[])
    known = math.nan
    if max(shape) > min(CROP / zooms[0], LARGE_CROP):
        known = scale(scene.image).um_per_px / UNET_UM_PER_PX
    if math.isfinite(known):
        view = look(scene, _limit_zoom(known, shape))
    else:
        view = _search(scene, zooms)
        if not view.is_part:
            return view
        view = look(scene, _limit_zoom(view.change * view.zoom, shape))
    better = _limit_zoom(view.change * view.zoom, shape)
    if view.is_plausible and not 1 / SIMILAR_SCALE < better / view.zoom < SIMILAR_SCALE:
        view = look(scene, better)
    return view


def _search(scene: Scene, zooms: list[float]) -> View:
    """Look at an image, or at parts of it, at several scales until what is seen fits."""
    shape = scene.image.shape[:2]
    views: list[View] = []
    for zoom in zooms:
        zoom = _limit_zoom(zoom, shape)
        if any(1 / SAME_SCALE < zoom / view.zoom < SAME_SCALE for view in views):
            continue
        views.append(_approach(scene, zoom))
        is_crop = max(shape) * views[-1].zoom <= CROP
        # In a crop there may be no whole red cell.
        if views[-1].is_plausible or (is_crop and any(map(_is_certain, views[-1].cells))):
            break
    return _best_view(views)


def _best_view(views: list[View]) -> View:
    """Return the first view, unless another one is clearly better."""
    first, *others = [view for view in views if view.cells] or [
        # Without white cells the one with most red cells, or that of all of the image.
        max(views, key=lambda view: (view.n_red, -view.zoom))
    ]
    best, least = first, certainty(first) + CLEARLY
    for view in others:
        if (view.is_plausible, certainty(view)) > (best.is_plausible, least):
            best, least = view, certainty(view)
    return best


def _approach(scene: Scene, zoom: float) -> View:
    """Look at an image, or at parts of it if it is large, until the scale no longer changes."""
    shape = scene.image.shape[:2]
    for last in range(MOST_CHANGES - 1, -1, -1):
        first, *others = _parts(shape, zoom)
        view = look(scene, zoom, first)
        for part in others:
            if view.n_red < MANY_RED:
                view = view.with_part(look(scene, zoom, part))
        better = _limit_zoom(view.change * zoom, shape)
        limit = SAME_SCALE if view.is_part else SIMILAR_SCALE
        if not last or 1 / limit < better / zoom < limit:
            break
        zoom = better
    return view


def _zooms(shape: tuple[int, int], red: float, nucleus: float) -> list[float]:
    """Estimate the zoom from the radii of red cells and nuclei, and from the size of the image.

    The network corrects a zoom that is too large more surely than one that is too small.
    """
    zooms = [UNET_SIDE / max(shape)]
    if nucleus > 0:
        zooms.insert(0, min(NUCLEAR_RADIUS / nucleus, MOST_ENLARGED))
    if math.isfinite(red):
        low, high = NUCLEUS_TO_RED
        of_red = min(FLAT * RED_RADIUS / red, MOST_ENLARGED)
        is_plausible = nucleus == 0 or low < nucleus / red < high
        zooms.insert(0 if is_plausible else 1, of_red)
        if not is_plausible and zooms[0] < of_red:
            zooms[:2] = zooms[1::-1]
    if max(shape) * zooms[0] > CROP:
        zooms.insert(-1, MOST_ENLARGED)
    return zooms


def _parts(shape: tuple[int, int], zoom: float) -> list[Window | None]:
    """Return squares that the network sees at once, the one in the middle first.

    They are the whole image, None, if it is hardly larger.
    """
    side = int(SIDE / zoom)
    if shape[0] * shape[1] < 1.5 * side * side or max(shape) * zoom <= SIDE:
        return [None]
    height, width = shape

    def part(n: int, d: int) -> Window:
        top, left = max(0, (height - side) * n // d), max(0, (width - side) * n // d)
        return slice(top, min(height, top + side)), slice(left, min(width, left + side))

    return [part(1, 2), part(0, 1), part(1, 1)]


def look(scene: Scene, zoom: float, part: Window | None = None) -> View:
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
            for cell in find_cells(chance, image, frame, window)
        ]
        view = View(zoom, cells, *_red_cells(chances), part is not None)
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


def certainty(view: View) -> float:
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


def _is_certain(cell: NetworkCell) -> bool:
    return min(cell.expected_dice.values()) >= CERTAIN


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
