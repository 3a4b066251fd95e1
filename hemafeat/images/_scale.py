"""Estimate the size of a pixel from the red cells of a smear."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np

from hemafeat._public import public
from hemafeat._words import plural
from hemafeat.images._formats import ImageError
from hemafeat.images._read import read

RED_CELL_UM = 7.2
"""Mean diameter in um of red cells in a dried smear; 6.5 to 8 in healthy persons."""

MIN_CELLS = 6
"""Smallest number of red cells from which a scale is estimated."""

_PER_IMAGE = 12
"""Number of red cells of an image that count when it is decided whether they are enough."""

_WINDOW = 0.25
"""Natural logarithm of the ratio to the mode within which a diameter is that of a red cell: their
coefficient of variation is 6 to 10 %, and up to 15 % in disease."""

_MIN_SHARE = 0.5
"""Share of the objects of at least half the diameter of the mode that must lie in that window."""

_MOST_SPREAD = 0.13
"""Standard deviation in that window from which there is no mode; 0.144 if all are as frequent."""

_MOST_OTHER = 0.15
"""Share of the images whose red cells may be of another size than those of the others."""

_VIEW = 1 << 20
"""Number of pixels in which red cells are looked for at a time."""

_N_VIEWS = 6
"""Number of views of a larger image."""

_LEAST_PX = 14
"""Diameter in px below which a finer view is taken, if there is one."""

_THRESHOLDS = (0.3, 0.5)
"""Densities at which objects are told from the background, as shares of that of a red cell."""

_BLACK = 24
"""Highest grey level of a black surround, of burnt-in text or of a pointer."""


@public
@dataclass(frozen=True)
class Scale:
    """Size of a pixel by the red cells of one or several images.

    Attributes
    ----------
    um_per_px : float
        Side of a pixel in um; NaN if the red cells do not tell it.
    spread : float
        Standard deviation of the logarithm of the diameters of the red cells, which is about their
        coefficient of variation; NaN if there are too few.
    n_cells : int
        Number of red cells.
    n_images : int
        Number of images that were looked at.
    reason : str
        Why there is no estimate; empty if there is one.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import images
    >>> found = images.scale(np.full((200, 200, 3), 230, np.uint8))
    >>> found.um_per_px, found.reason
    (nan, 'no whole red cell was found in 1 image, and at least 6 are needed')
    """

    um_per_px: float
    spread: float
    n_cells: int
    n_images: int
    reason: str = ""


class _Discs(NamedTuple):
    """Objects whose outline was seen, in px: (n,) float64 each."""

    x: np.ndarray
    y: np.ndarray
    diameter: np.ndarray
    coverage: np.ndarray
    """Share of the outline that was seen."""
    is_round: np.ndarray
    """1 if it is round, 0 if it is long or rough."""


def scale(images: Any, *, max_images: int = 200, enough: int = 300) -> Scale:
    """Estimate the size of a pixel from the red cells, which are 7.2 um wide on average.

    Parameters
    ----------
    images : path, array, or sequence of these
        An image in any form that `read` accepts, or images of one microscope at one magnification,
        whose red cells are pooled.
    max_images : int
        Largest number of images that are read. They are spread evenly over the sequence.
    enough : int
        Number of red cells, at most 12 of each image, after which no further image is read.

    Returns
    -------
    Scale
        Without an estimate, but with a reason, if fewer than 6 whole red cells were found, or if
        round objects are of no common size.

    Raises
    ------
    ImageError
        Raised if an image that is given alone cannot be read. Of several it is passed over.

    Notes
    -----
    Density is measured from the background, a surface of second order through the brightest large
    area, along the colour of what is stained in the image; hence no stain or lamp is assumed. Round
    objects are sought around the maxima of the distance to the background. Their outline is the
    steepest fall of density along 48 rays, to which a circle with an elongation is fitted; at least
    60 % of it must be seen, so that cells that touch or are cut by the border count, and clumps do
    not. Objects with a nucleus, and that at the centre of a crop, do not count. The diameter of the
    red cells is the median around the mode of all diameters, weighted by area: platelets are many
    and small. Of an image of more than a megapixel, six parts are looked at, as coarsely as the
    size of the cells allows.

    The diameter of red cells depends on the patient: their mean is 6.5 to 8 um in healthy persons,
    below 6 um in some with spherocytes or a lack of iron, above 9 um in megaloblastic anaemia. An
    estimate from one patient is wrong by as much; pool the images of several.

    Examples
    --------
    >>> from hemafeat import datasets, images
    >>> field = datasets.draw_field(["monocyte"], um_per_px=0.1, random_state=0)
    >>> found = images.scale(field.image)
    >>> found.n_cells >= 6, 0.09 < found.um_per_px < 0.11
    (True, True)
    """
    one = isinstance(images, str | bytes | bytearray | os.PathLike)
    if one or (isinstance(images, np.ndarray) and images.ndim < 4):
        return _pool([_discs_of(read(images))])
    found: list[_Discs] = []
    names: list[str] = []
    for image in _spread_out(list(images))[: max(1, max_images)]:
        with suppress(ImageError):
            found.append(_discs_of(read(image)))
            names.append(os.fsdecode(image) if isinstance(image, str | os.PathLike) else "")
        if _PER_IMAGE * len(found) >= enough and _pool(found).n_cells >= enough:
            break
    return _pool(found, names)


def _spread_out(images: list[Any]) -> list[Any]:
    """Return the images in an order of which every beginning is spread evenly over all."""
    golden = np.arange(len(images)) * (math.sqrt(5) - 1) / 2 % 1
    return [images[k] for k in np.argsort(np.argsort(golden))]


def _pool(found: list[_Discs], names: Sequence[str] = ()) -> Scale:
    """Return the scale at which most of the area of round objects is that of red cells."""
    n_images = len(found)
    discs = _join(found)
    seen = np.log(discs.diameter)
    is_round = discs.is_round > 0
    log, coverage = seen[is_round], discs.coverage[is_round]
    inside, mode = np.zeros(len(log), bool), 0.0
    if len(log) >= MIN_CELLS:
        # Platelets and debris are many and small: objects count by the area that was seen.
        weight = np.exp(2 * log) * coverage**2
        grid = np.arange(log.min() - 0.1, log.max() + 0.1, 0.01)
        counts = np.histogram(log, np.append(grid - 0.005, grid[-1] + 0.005), weights=weight)[0]
        kernel = np.exp(-0.5 * (np.arange(-18, 19) * 0.01 / 0.06) ** 2)
        mode = float(grid[np.argmax(np.convolve(counts, kernel, "same"))])
        for _ in range(3):
            inside = np.abs(log - mode) < _WINDOW
            mode = float(np.median(log[inside])) if inside.any() else mode
    n_cells = int(inside.sum())
    spread = float(log[inside].std()) if n_cells >= MIN_CELLS else math.nan
    n_large = int((seen > mode - math.log(2)).sum())
    where = f"in {plural(n_images, 'image')}"
    reason = ""
    if not found:
        reason = "no image can be read"
    elif len(log) < MIN_CELLS:
        n_cells = len(log)
        cells = "cell was" if n_cells == 1 else "cells were"
        few = f"only {n_cells} whole red {cells}" if n_cells else "no whole red cell was"
        reason = f"{few} found {where}, and at least {MIN_CELLS} are needed"
    elif n_cells < max(MIN_CELLS, _MIN_SHARE * n_large) or spread > _MOST_SPREAD:
        reason = (
            f"{n_large} single cells were found {where}, and they are not round and of one size"
        )
    elif len(others := _of_other_scale(found, mode)) > _MOST_OTHER * n_images:
        reason = f"the red cells of {len(others)} of {n_images} images are of another size"
        if listed := [names[k] for k in others[:3] if k < len(names) and names[k]]:
            reason += f" ({', '.join(listed)}{' ...' if len(others) > 3 else ''})"
    um_per_px = math.nan if reason else RED_CELL_UM / math.exp(mode)
    return Scale(um_per_px, spread, n_cells, n_images, reason)


def _of_other_scale(found: list[_Discs], mode: float) -> list[int]:
    """Return the numbers of images most of whose round objects, by area, are of another size."""
    others = []
    for number, discs in enumerate(found):
        diameter = np.sort(discs.diameter[discs.is_round > 0])
        if len(diameter) >= 3:
            area = np.cumsum(diameter**2)
            middle = diameter[np.searchsorted(area, area[-1] / 2)]
            if abs(math.log(middle) - mode) > _WINDOW:
                others.append(number)
    return others


# --- Views of an image ------------------------------------------------------------------------


def _discs_of(image: np.ndarray) -> _Discs:
    """Find the round objects of an image, as coarsely as their size allows."""
    height, width = image.shape[:2]
    factor = max(1.0, math.sqrt(height * width / _VIEW))
    best = _no_discs()
    while True:
        parts = [
            d._replace(x=x + d.x * factor, y=y + d.y * factor, diameter=d.diameter * factor)
            for x, y, view in _views(image, factor)
            for d in [_find_discs(view)]
        ]
        discs = _join(parts)
        if factor == 1:
            more = len(discs.x) >= len(best.x)
            break
        large = discs.diameter >= _LEAST_PX * factor
        discs, n_small = _Discs(*(column[large] for column in discs)), int((~large).sum())
        if (more := len(discs.x) >= len(best.x)) and len(discs.x) >= max(60, 2 * n_small):
            break
        best = discs if more else best
        factor = max(1.0, factor / 2)
    return _without_subject(discs if more else best, height, width)


def _views(image: np.ndarray, factor: float) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield left and top of parts that are spread over the image, each made smaller by a factor."""
    height, width = image.shape[:2]
    side = round(math.sqrt(_VIEW) * factor)
    boxes = [(0, 0, width, height)]
    if height * width > 1.01 * _VIEW * factor**2:
        w, h = min(side, width), min(side, height)
        rows, columns = height // h, width // w
        n = min(_N_VIEWS, rows * columns)
        chosen = (rows * columns * (2 * np.arange(n) + 1)) // (2 * n)
        places = [(k % columns, k // columns) for k in chosen.tolist()]
        boxes = [
            (
                (width - w) * (2 * i + 1) // (2 * columns),
                (height - h) * (2 * j + 1) // (2 * rows),
                w,
                h,
            )
            for i, j in places
        ]
    for x, y, w, h in boxes:
        part = image[y : y + h, x : x + w]
        if factor > 1:
            size = max(1, round(w / factor)), max(1, round(h / factor))
            part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        yield x, y, part


def _without_subject(discs: _Discs, height: int, width: int) -> _Discs:
    """Leave out the object at the centre of a crop, which is a white cell in most of them."""
    away = np.hypot(discs.x - width / 2, discs.y - height / 2)
    subject = (away < 0.5 * discs.diameter) & (discs.diameter > min(height, width) / 7)
    return _Discs(*(column[~subject] for column in discs))


def _join(parts: list[_Discs]) -> _Discs:
    return _Discs(*(np.concatenate(column) for column in zip(_no_discs(), *parts, strict=True)))


def _no_discs() -> _Discs:
    return _Discs(*(np.empty(0) for _ in _Discs._fields))


# --- Density above the background -------------------------------------------------------------

_DENSITY = -np.log((np.arange(256) + 1) / 256).astype(np.float32)

_N_SAMPLES = 1 << 13


def _density_of(view: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Measure density from the background along the colour of red cells.

    Returns
    -------
    density : (h, w) ndarray of float32
        0 in the background, about 1 in a red cell.
    black : (h, w) ndarray of uint8
        Where there is a black surround, text or a pointer.

    None is returned if there is no background, or nothing on it.
    """
    planes = cv2.LUT(cv2.blur(view, (3, 3)), _DENSITY[None])
    brightest = cv2.max(cv2.max(view[..., 0], view[..., 1]), view[..., 2])
    black = cv2.threshold(brightest, _BLACK, 1, cv2.THRESH_BINARY_INV)[1]
    height, width = black.shape
    step = max(1, int(math.sqrt(height * width / _N_SAMPLES)))
    samples = planes[::step, ::step].reshape(-1, 3).astype(np.float64)
    hidden = cv2.dilate(black, np.ones((5, 5), np.uint8))[::step, ::step].ravel() > 0
    y, x = np.mgrid[0:height:step, 0:width:step]
    u, v = (x / width * 2 - 1).ravel(), (y / height * 2 - 1).ravel()
    terms = np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=1)
    surface = _background(samples, terms, ~hidden)
    if surface is None:
        return None
    coefficients, noise = surface
    over = samples - terms @ coefficients
    colour = _colour_of_red_cells(over, noise, ~hidden)
    if colour is None:
        return None
    weights = colour / (colour @ colour)
    b = (coefficients @ weights).astype(np.float32)
    u, v = (
        (np.arange(n, dtype=np.float32) / n * 2 - 1).reshape(shape)
        for n, shape in ((width, (1, -1)), (height, (-1, 1)))
    )
    background = (b[0] + b[1] * u + b[3] * u * u) + v * (b[2] + b[4] * u + b[5] * v)
    return cv2.transform(planes, weights[None]) - background, black


def _background(
    samples: np.ndarray, terms: np.ndarray, usable: np.ndarray
) -> tuple[np.ndarray, float] | None:
    """Fit the density of the background: (6, 3) coefficients and the noise of its sum."""
    total = samples[:, 0] + samples[:, 1] + samples[:, 2]
    if usable.mean() < 0.1 or np.count_nonzero(usable) < 500:
        return None
    surface = _lower_envelope(total, terms, usable)
    coefficients, noise = np.zeros((6, 3)), 0.0
    for n_terms in (3, 6, 6, 6):
        rest = total - surface
        level = _lowest_peak(rest[usable])
        # Only the background is brighter than the background.
        brighter = level - rest[usable & (rest < level)]
        noise = max(1.4826 * float(np.median(brighter)) if len(brighter) else 0.0, 0.008)
        near = usable & (np.abs(rest - level) < max(2.5 * noise, 0.03))
        if np.count_nonzero(near) < 50:
            return None
        chosen = terms[near, :n_terms]
        normal = chosen.T @ chosen + 1e-6 * np.eye(n_terms)
        coefficients[:n_terms] = np.linalg.solve(normal, chosen.T @ samples[near])
        surface = terms @ coefficients.sum(axis=1)
    return coefficients, noise


def _lower_envelope(total: np.ndarray, terms: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Fit a surface to the brightest tenth of each part of the image, from below."""
    part = np.minimum((terms[:, 1:3] + 1) * 2.5, 4).astype(int) @ (1, 5)
    members = [np.flatnonzero(usable & (part == k)) for k in range(25)]
    members = [rows for rows in members if len(rows) >= 10]
    level = np.array([np.quantile(total[rows], 0.1) for rows in members])
    basis = np.array([terms[rows].mean(axis=0) for rows in members])
    weight, fit = np.ones(len(level)), np.zeros(6)
    for _ in range(10):
        weighted = basis.T * weight
        fit = np.linalg.solve(weighted @ basis + np.diag([0, 0, 0, 1, 1, 1]), weighted @ level)
        # Parts full of cells lie above the surface.
        weight = np.where(level > basis @ fit, 0.05, 1.0)
    return terms @ fit


def _lowest_peak(values: np.ndarray) -> float:
    """Return the lowest value near which many lie."""
    width = 0.01
    start = max(float(values.min()), -3.0) - 5 * width
    counts = np.histogram(values, start + width * np.arange(2000))[0]
    smooth = np.convolve(counts, (1, 2, 3, 4, 3, 2, 1), "same")
    mass = np.convolve(counts, np.ones(9), "same") / len(values)
    peak = (smooth >= np.roll(smooth, 1)) & (smooth >= np.roll(smooth, -1)) & (mass >= 0.06)
    first = np.argmax(peak) if peak.any() else np.argmax(smooth)
    return start + width * (float(first) + 0.5)


def _colour_of_red_cells(over: np.ndarray, noise: float, usable: np.ndarray) -> np.ndarray | None:
    """Return the density (3,) of the palest of what is stained: nuclei are darker.

    None is returned if little is stained, or the palest is no haemoglobin.
    """
    total = over[:, 0] + over[:, 1] + over[:, 2]
    darkest = np.maximum(np.maximum(over[:, 0], over[:, 1]), over[:, 2])
    stained = usable & (total > max(5 * noise, 0.06)) & (darkest < _DARKEST)
    if np.count_nonzero(stained) < 0.005 * len(total):
        return None
    level = np.quantile(total[stained], 0.3)
    for _ in range(4):
        chosen = stained & (total > 0.5 * level) & (total < 1.7 * level)
        level = np.median(total[chosen])
    colour = np.median(over[chosen], axis=0)
    return colour if colour[2] > _LEAST_BLUE * colour[1] else None


# --- Round objects ----------------------------------------------------------------------------

_N_RAYS = 48
_ANGLES = np.arange(_N_RAYS) * (2 * np.pi / _N_RAYS)
_COS, _SIN = np.cos(_ANGLES).astype(np.float32), np.sin(_ANGLES).astype(np.float32)
_CIRCLE = np.stack([np.ones(_N_RAYS), _COS, _SIN, np.cos(2 * _ANGLES), np.sin(2 * _ANGLES)], axis=1)
"""Terms of the radius of a circle that is shifted and elongated."""

_PRODUCTS = (_CIRCLE[:, :, None] * _CIRCLE[:, None]).reshape(_N_RAYS, -1)

_STIFFNESS = np.diag([1e-6, 0.2, 0.2, 1.5, 1.5])
"""Keeps the part of an outline that is not seen round."""

_STEPS = np.arange(0.3, 2.0, 0.05, dtype=np.float32)
"""Distances, in units of the depth of a maximum, at which a ray may leave its object."""

_FINE = np.linspace(-1, 1, 15, dtype=np.float32)
_INSIDE = np.array([0.1, 0.3, 0.5, 0.65, 0.8], np.float32)

_BLUR = 1.2
"""Variance in px^2 of the blur by the lens, the camera and `_density_of`: it moves the steepest
fall of a disc inwards, by itself over the diameter."""

_LEAST_SIDE = 16
_LEAST_RADIUS = 3.5
_LEAST_COVERAGE = 0.6
_MOST_ROUGH, _MOST_LONG, _MOST_SHIFT = 0.05, 0.15, 0.35
"""Residual, elongation (0.15 is an axis ratio of 1.35) and shift, as shares of the radius."""

_DARKEST = 1.1
"""Natural density over the background, in the darkest channel, that red cells do not reach: 0.7 in
the darkest fields seen, and 1.5 to 2.3 in nuclei."""

_LEAST_BLUE = 0.3
"""Least ratio of the densities in blue and green: haemoglobin absorbs both (0.36 and more in fields
seen), azure hardly any blue (0.2 to 0.33), so that a field of blasts alone tells no scale."""

_NUCLEUS = 1.8
"""Density, in units of that of red cells, that a tenth of an object exceeds if it has a nucleus."""


def _find_discs(view: np.ndarray) -> _Discs:
    prepared = _density_of(view) if min(view.shape[:2]) >= _LEAST_SIDE else None
    if prepared is None:
        return _no_discs()
    density, black = prepared
    found = []
    for threshold in _THRESHOLDS:
        mask = _filled((density > threshold).astype(np.uint8))
        found.append(_measure_discs(density, mask | black))
    x, y, radius, coverage, is_round = np.concatenate(found, axis=1)
    kept = _best_apart(x, y, radius, coverage + is_round)
    return _Discs(x[kept], y[kept], 2 * radius[kept], coverage[kept], is_round[kept])


def _filled(mask: np.ndarray) -> np.ndarray:
    """Fill pale centres, which are convex; gaps between cells that touch are not."""
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    lines, tree = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    for k, line in enumerate(lines):
        if tree[0, k, 3] < 0:
            continue
        area = cv2.contourArea(line)
        if area < 20 or area >= 0.88 * cv2.contourArea(cv2.convexHull(line)):
            cv2.drawContours(mask, [line], 0, 1, cv2.FILLED)
    return mask


def _measure_discs(density: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return x, y, radius, coverage and roundness (5, n) of the objects of a mask."""
    if mask.all():
        return np.empty((5, 0))
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    smooth = cv2.GaussianBlur(depth, (0, 0), 1.0)
    peaks = (smooth >= cv2.dilate(smooth, np.ones((5, 5), np.uint8))) & (depth > _LEAST_RADIUS)
    y, x = np.nonzero(peaks)
    kept = _best_apart(x, y, depth[y, x], depth[y, x])
    x, y = x[kept].astype(np.float32), y[kept].astype(np.float32)
    if not len(x):
        return np.empty((5, 0))
    radius, seen = _edges(density, mask, x, y, depth[y.astype(int), x.astype(int)])
    shape, good = _fit_circles(radius, seen)
    size = np.maximum(shape[:, 0], 1e-3)
    off = np.where(good, radius - shape @ _CIRCLE.T, 0)
    rough = np.sqrt((off**2).sum(axis=1) / np.maximum(good.sum(axis=1), 1)) / size
    coverage = good.mean(axis=1)
    shift, long = (np.hypot(shape[:, k], shape[:, k + 1]) / size for k in (1, 3))
    reach = size[:, None, None].astype(np.float32) * _INSIDE
    dark = np.quantile(_along_rays(density, x, y, reach)[:, ::4].reshape(len(x), -1), 0.9, axis=1)
    is_round = (
        (coverage >= _LEAST_COVERAGE)
        & (rough < _MOST_ROUGH)
        & (long < _MOST_LONG)
        & (shift < _MOST_SHIFT)
    )
    accepted = (seen.mean(axis=1) >= _LEAST_COVERAGE) & (dark < _NUCLEUS) & (size > _LEAST_RADIUS)
    size = size + _BLUR / (2 * size)
    found = np.stack([x + shape[:, 1], y + shape[:, 2], size, coverage, is_round])
    return found[:, accepted]


def _edges(
    density: np.ndarray, mask: np.ndarray, x: np.ndarray, y: np.ndarray, depth: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the radius of the edge along each ray, and whether one was seen: (n, rays) each."""
    height, width = mask.shape
    reach = depth[:, None, None] * _STEPS
    px = x[:, None, None] + _COS[:, None] * reach
    py = y[:, None, None] + _SIN[:, None] * reach
    columns = np.clip(np.rint(px), 0, width - 1).astype(np.int32)
    rows = np.clip(np.rint(py), 0, height - 1).astype(np.int32)
    left = mask[rows, columns] == 0
    first = np.argmax(left, axis=2)
    seen = left.any(axis=2)
    coarse = depth[:, None] * _STEPS[first]
    # The steepest fall of density near the point at which the ray leaves the mask.
    half = np.maximum(2.5, 0.15 * depth)[:, None]
    reach = np.maximum(coarse[:, :, None] + half[:, :, None] * _FINE, 0)
    profile = _along_rays(density, x, y, reach)
    fall = profile[:, :, :-2] - profile[:, :, 2:]
    at = np.clip(np.argmax(fall, axis=2), 1, fall.shape[2] - 2)
    a, b, c = (np.take_along_axis(fall, at[:, :, None] + k, 2)[:, :, 0] for k in (-1, 0, 1))
    bend = np.minimum(a - 2 * b + c, -1e-6)
    offset = np.clip(0.5 * (a - c) / bend, -1, 1)
    radius = coarse + half * (_FINE[0] + (_FINE[1] - _FINE[0]) * (at + 1 + offset))
    outer = profile[:, :, -4:].min(axis=2)
    seen &= (profile[:, :, :6].max(axis=2) - outer > 0.35) & (outer < 0.35)
    end = coarse + half
    ex, ey = x[:, None] + _COS * end, y[:, None] + _SIN * end
    seen &= (ex >= 0) & (ey >= 0) & (ex <= width - 1) & (ey <= height - 1)
    # An outline runs across the rays of its own cell, and not across those of a neighbour.
    turn = np.minimum(*(np.abs(radius - np.roll(radius, k, axis=1)) for k in (1, -1)))
    return radius, seen & (turn < 0.45 * (2 * np.pi / _N_RAYS) * radius)


def _along_rays(density: np.ndarray, x: np.ndarray, y: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Return the density at distances `reach` (n, rays or 1, k) of the centres: (n, rays, k)."""
    px = x[:, None, None] + _COS[:, None] * reach
    py = y[:, None, None] + _SIN[:, None] * reach
    flat = (px.reshape(len(x), -1), py.reshape(len(x), -1))
    values = cv2.remap(density, *flat, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return values.reshape(px.shape)


def _fit_circles(radius: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit circles to what was seen: (n, 5) coefficients of `_CIRCLE`, and what they explain."""
    good = seen
    shape = np.zeros((len(radius), 5))
    for _ in range(3):
        weight = good.astype(np.float64)
        normal = (weight @ _PRODUCTS).reshape(-1, 5, 5)
        right = (weight * radius) @ _CIRCLE
        shape = np.linalg.solve(normal + _STIFFNESS, right[:, :, None])[:, :, 0]
        good = seen & (np.abs(radius - shape @ _CIRCLE.T) < 0.1 * np.maximum(shape[:, :1], 1e-3))
    return shape, good


def _best_apart(x: np.ndarray, y: np.ndarray, radius: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """Return the indices of at most 400 objects, the best first, no two of which are one."""
    free, kept = np.ones(len(x), bool), []
    for k in np.argsort(-rank, kind="stable").tolist():
        if free[k]:
            kept.append(k)
            free &= np.hypot(x - x[k], y - y[k]) > 0.9 * np.maximum(radius[k], radius)
            if len(kept) == _MOST_DISCS:
                break
    return np.array(kept, np.intp)


_MOST_DISCS = 400
