"""Nuclei: found as violet spots on the reduced image, outlined at full size inside their cell."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hemafeat.segment._background import Frame, red_cell_radius

MIN_DENSITY = 12
"""Least violet density of a nucleus, in steps of 1/100: below it there is nothing stained."""


HAEMOGLOBIN = 0.5
"""Density in blue over that in green: 0.1 to 0.4 in nuclei, 0.55 to 0.8 in red cells."""

BROAD = 22.0
WEAK = 3.7
"""Separation of nucleus and cytoplasm below which the nucleus is drawn in broad strokes."""

ALIKE = 0.72
"""Mean of the paler part over that of the darker one above which they may be one and the same."""

TWO_MODES = 2.9
"""Separation, in broad strokes, below which they are one; a normal histogram has 2.7."""

SAME = 0.86
"""Mean of the paler part over that of the darker one, in broad strokes, above which they are."""


@dataclass(slots=True)
class Seed:
    """The nuclear pieces of one cell on the reduced image.

    Attributes
    ----------
    pieces : list of (n, 1, 2) ndarray of int32
        Outer contours, reduced pixels, (x, y).
    area : float
        Their area together.
    hull : (n, 1, 2) ndarray of int32
        Convex hull of all pieces.
    centre : (float, float)
        Centre of the hull, (x, y).
    radius : float
        Radius of the circle of the hull's area.
    split_from : int
        Pieces cut out of one spot share a number above 0.
    """

    pieces: list[np.ndarray]
    area: float
    hull: np.ndarray
    centre: tuple[float, float]
    radius: float
    split_from: int = 0


def violet(rgb: np.ndarray, table: np.ndarray) -> np.ndarray:
    """(h, w) uint8 density of dye that is not haemoglobin: ``od_g + od_r - od_b``.

    Thiazine and eosin dyes absorb little blue light and haemoglobin much of it, so that nuclei
    stand out five to eight times as high as red cells, whatever the colour of the background.
    """
    red = cv2.LUT(rgb[:, :, 0], table[0])
    green = cv2.LUT(rgb[:, :, 1], table[1])
    blue = cv2.LUT(rgb[:, :, 2], table[2])
    return cv2.subtract(cv2.add(red, green), blue)


def seeds(frame: Frame, plane: np.ndarray) -> list[Seed]:
    """Groups of nuclear pieces, one for each white cell (or platelet), largest first."""
    smooth = cv2.GaussianBlur(plane, (3, 3), 0)
    threshold = _threshold(smooth, frame)
    if threshold is None:
        return []
    found = (smooth > threshold).astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    found = cv2.morphologyEx(found, cv2.MORPH_OPEN, cross)
    contours, _ = cv2.findContours(found, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    pieces = [group_of([contour]) for contour in contours]
    pieces = [piece for piece in pieces if not _is_red(piece, frame)]
    pieces = [piece for piece in pieces if piece.area >= 9.0]
    if not pieces:
        return []
    pieces = _split_up(pieces, frame)
    largest = max(piece.area for piece in pieces)
    pieces = [piece for piece in pieces if piece.area >= 0.04 * largest]
    return _grouped(pieces, frame)


def _threshold(plane: np.ndarray, frame: Frame) -> float | None:
    histogram = cv2.calcHist([plane], [0], None, [256], [0, 256]).ravel()
    total = histogram.sum()
    # The level of the darkest part of the image: a nucleus is at least that large.
    top = int(np.searchsorted(np.cumsum(histogram), total * 0.996))
    if top < MIN_DENSITY:
        return None
    level = np.arange(256)
    weight = np.cumsum(histogram)
    moment = np.cumsum(histogram * level)
    low = moment / np.maximum(weight, 1)
    high = (moment[-1] - moment) / np.maximum(total - weight, 1)
    otsu = int(np.argmax(weight * (total - weight) * (high - low) ** 2))
    threshold = float(np.clip(otsu, 0.25 * top, 0.5 * top))
    # Red cells absorb blue light nearly as they do green; nuclei stand well above them.
    blue = cv2.LUT(frame.rgb[:, :, 2], frame.table[2])
    red_cell = cv2.compare(blue, cv2.convertScaleAbs(frame.dark, alpha=0.45), cv2.CMP_GT)
    red_cell &= cv2.threshold(frame.dark, 2 * frame.faint, 255, cv2.THRESH_BINARY)[1]
    red_cell &= cv2.threshold(plane, 0.6 * top, 255, cv2.THRESH_BINARY_INV)[1]
    levels = np.cumsum(cv2.calcHist([plane], [0], red_cell, [256], [0, 256]))
    if levels[-1] > 0.01 * red_cell.size:
        upper = float(np.searchsorted(levels, 0.75 * levels[-1]))
        threshold = max(threshold, min(1.5 * upper, 0.6 * top))
    return threshold


def _split_up(pieces: list[Seed], frame: Frame) -> list[Seed]:
    # Cells that touch, both violet all through, make one spot with a waist. Lobes of one nucleus do
    # so too: only parts as large as a whole white cell are taken for cells.
    dented = [
        piece.area < 0.93 * np.pi * piece.radius**2 and piece.radius > 0.08 * min(frame.dark.shape)
        for piece in pieces
    ]
    if not any(dented):
        return pieces
    avoid = np.zeros(frame.dark.shape, np.uint8)
    for piece in pieces:
        cv2.drawContours(avoid, piece.pieces, -1, 1, cv2.FILLED)
    red = red_cell_radius(frame, cv2.dilate(avoid, np.ones((7, 7), np.uint8)))
    if not np.isfinite(red):
        return pieces
    found = []
    for number, (piece, is_dented) in enumerate(zip(pieces, dented, strict=True), 1):
        parts = _parts(piece, red) if is_dented else []
        for contour in parts:
            part = group_of([contour])
            part.split_from = number
            found.append(part)
        if not parts:
            found.append(piece)
    return found


def _parts(piece: Seed, red: float) -> list[np.ndarray]:
    """Contours of the parts of a spot on either side of a waist; none where it has no waist."""
    x, y, w, h = cv2.boundingRect(piece.pieces[0])
    mask = np.zeros((h + 2, w + 2), np.uint8)
    cv2.drawContours(mask, piece.pieces, -1, 1, cv2.FILLED, offset=(1 - x, 1 - y))
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    for level in np.arange(0.3, 0.85, 0.1) * float(depth.max()):
        n, label = cv2.connectedComponents((depth > level).astype(np.uint8))
        if n < 3:
            continue
        deep = [i for i in range(1, n) if depth[label == i].max() >= max(0.7 * red, level / 0.9)]
        if len(deep) < 2:
            continue
        # Each pixel goes to the part whose core is nearest.
        away = np.stack(
            [cv2.distanceTransform((label != i).astype(np.uint8), cv2.DIST_L2, 3) for i in deep]
        )
        owner = away.argmin(axis=0)
        contours = []
        for place in range(len(deep)):
            part = ((owner == place) & (mask > 0)).astype(np.uint8)
            radius = np.sqrt(np.count_nonzero(part) / np.pi)
            if not 0.9 * red <= radius <= 2.4 * red:
                return []
            lines, _ = cv2.findContours(
                part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=(x - 1, y - 1)
            )
            line = max(lines, key=cv2.contourArea)
            if cv2.contourArea(line) < 0.88 * cv2.contourArea(cv2.convexHull(line)):
                return []
            contours.append(line)
        return contours
    return []


def _is_red(piece: Seed, frame: Frame) -> bool:
    # Where red cells overlap they are as dark as a pale nucleus, but keep their colour.
    x, y, w, h = cv2.boundingRect(piece.pieces[0])
    mask = np.zeros((h, w), np.uint8)
    cv2.drawContours(mask, piece.pieces, -1, 1, cv2.FILLED, offset=(-x, -y))
    rgb = frame.rgb[y : y + h, x : x + w]
    red, green, blue = (
        cv2.mean(cv2.LUT(rgb[:, :, c], frame.table[c]), mask=mask)[0] for c in range(3)
    )
    grey = abs(red - green) + abs(green - blue) < 0.1 * (red + green + blue)
    return blue > HAEMOGLOBIN * green and not grey


def group_of(contours: list[np.ndarray]) -> Seed:
    """One seed of the pieces inside these outer contours."""
    hull = cv2.convexHull(np.concatenate(contours))
    moments = cv2.moments(hull)
    if moments["m00"] > 0:
        centre = (moments["m10"] / moments["m00"], moments["m01"] / moments["m00"])
    else:
        x, y = hull[:, 0].mean(axis=0).tolist()
        centre = (x, y)
    # Half the length of the contour: OpenCV measures between the centres of border pixels.
    area = sum(cv2.contourArea(c) + 0.5 * len(c) for c in contours)
    radius = float(np.sqrt(max(cv2.contourArea(hull) + 0.5 * len(hull), area) / np.pi))
    return Seed(contours, area, hull, centre, radius)


def _grouped(pieces: list[Seed], frame: Frame) -> list[Seed]:
    dark = cv2.blur(frame.dark, (5, 5))
    # Lobes of one nucleus join by pairs, nearest first, as long as what lies between is one cell.
    pieces = sorted(pieces, key=lambda piece: -piece.area)
    typical = float(np.sqrt(pieces[0].area / np.pi))
    group = list(range(len(pieces)))
    pairs = []
    for i, one in enumerate(pieces):
        for j in range(i + 1, len(pieces)):
            two = pieces[j]
            apart = np.hypot(one.centre[0] - two.centre[0], one.centre[1] - two.centre[1])
            if apart > one.radius + two.radius + 2.2 * typical:
                continue
            gap, ends = _gap(one, two)
            if gap <= 1.8 * typical:
                pairs.append((gap, i, j, ends))
    for gap, i, j, ends in sorted(pairs, key=lambda pair: pair[:3]):
        if group[i] != group[j] and _same_cell(pieces[i], pieces[j], gap, ends, dark, frame.faint):
            old, new = group[j], group[i]
            group = [new if g == old else g for g in group]
    found = []
    for number in sorted(set(group)):
        members = [p for p, g in zip(pieces, group, strict=True) if g == number]
        found.append(group_of([c for piece in members for c in piece.pieces]))
    return sorted(found, key=lambda seed: -seed.area)


def _gap(one: Seed, two: Seed) -> tuple[float, np.ndarray]:
    a = one.pieces[0][:, 0].astype(np.float32)
    b = two.pieces[0][:, 0].astype(np.float32)
    a, b = a[:: max(1, len(a) // 60)], b[:: max(1, len(b) // 60)]
    apart = np.hypot(a[:, None, 0] - b[None, :, 0], a[:, None, 1] - b[None, :, 1])
    i, j = np.unravel_index(int(apart.argmin()), apart.shape)
    return float(apart[i, j]), np.stack([a[i], b[j]])


def _same_cell(
    one: Seed, two: Seed, gap: float, ends: np.ndarray, dark: np.ndarray, faint: float
) -> bool:
    t = np.linspace(0, 1, max(3, int(2 * gap)))[:, None]
    x, y = np.rint(ends[0] * (1 - t) + ends[1] * t).astype(int).T
    # Two cells that touch have a waist where they meet; one cell is widest there.
    a, b = np.array(one.centre), np.array(two.centre)
    along = (b - a) / max(float(np.hypot(*(b - a))), 1e-6)
    across = np.array([-along[1], along[0]])
    waist = _width(dark, ends.mean(axis=0), across, faint)
    sides = min(_width(dark, a, across, faint), _width(dark, b, across, faint))
    if dark[y, x].min() < faint:
        return waist > 0.9 * sides
    apart = gap / np.sqrt(one.area / np.pi)
    if apart > 1.1:
        # Far apart in one cell, lobes have its middle between them, which lies deepest in it. What
        # the border cuts is more likely the nucleus of a neighbour.
        height, width = dark.shape
        for piece in (one, two):
            x, y, w, h = cv2.boundingRect(piece.hull)
            if min(x, y, width - x - w, height - y - h) <= 2:
                return False
        depth = cv2.distanceTransform((dark >= faint).astype(np.uint8), cv2.DIST_L2, 3)
        x, y = np.rint(ends.mean(axis=0)).astype(int)
        least = max(depth[round(c[1]), round(c[0])] for c in (one.centre, two.centre))
        return bool(depth[y, x] >= least)
    # Lobes this close are one nucleus even in cytoplasm too pale to be seen, but parts of one spot
    # may have been cut apart too freely.
    siblings = one.split_from > 0 and one.split_from == two.split_from
    if apart < 0.28 and not siblings:
        return True
    return waist >= (0.8 if apart < 0.8 else 0.95) * sides


def _width(dark: np.ndarray, centre: np.ndarray, across: np.ndarray, level: float) -> float:
    # Pixels on the line through `centre` until background is met, both ways.
    total = 0.0
    height, width = dark.shape
    for sign in (-1.0, 1.0):
        steps = np.arange(0, max(height, width))[:, None] * sign * across + centre
        x, y = np.rint(steps).astype(int).T
        on = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        values = dark[y[on], x[on]]
        pale = np.flatnonzero(values < level)
        total += float(pale[0] if pale.size else values.size)
    return total


def outline(rgb: np.ndarray, cell: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, float]:
    """The nucleus inside one cell, at full size.

    Parameters
    ----------
    rgb : (h, w, 3) ndarray of uint8
        The box of the cell.
    cell : (h, w) ndarray of uint8
        1 inside the cell.
    table : (3, 256) ndarray of uint8
        Density of each level; see `density_table`.

    Returns
    -------
    nucleus : (h, w) ndarray of uint8
        1 inside the nucleus.
    separation : float
        Distance of the mean levels of nucleus and cytoplasm in standard deviations.
    """
    size = np.sqrt(float(cv2.countNonZero(cell)))
    if size < 3:
        return np.zeros_like(cell), 0.0
    plane = _contrast(rgb, table)
    smooth = cv2.GaussianBlur(plane, (0, 0), max(0.8, size / 50.0))
    threshold, low, high, separation = _split(smooth, cell)
    if separation < WEAK or low > ALIKE * high:
        # Granules hide where the nucleus ends: only its broad shape is to be had.
        broad = _broad(plane, cell, size / BROAD)
        reach = max(1, round(size / 16))
        core = cv2.erode(cell, _disc(reach), borderType=cv2.BORDER_CONSTANT, borderValue=0)
        split = _split(broad, core)
        if split[3] < TWO_MODES or split[1] > SAME * split[2]:
            # A cell that is nearly all nucleus has one mode: what is below it is its edge.
            threshold = 0.5 * high
        else:
            threshold, smooth = split[0], broad
    nucleus = cv2.bitwise_and((smooth > threshold).astype(np.uint8), cell)
    return cv2.bitwise_and(_tidy(nucleus, size), cell), separation


def _broad(plane: np.ndarray, cell: np.ndarray, sigma: float) -> np.ndarray:
    # What lies outside the cell must not pale its rim: a mean over the cell only. So wide a blur
    # is the same at a fraction of the size, and a fraction of the cost.
    height, width = plane.shape
    factor = max(1, min(int(sigma / 1.5), height, width))
    size = (-(-width // factor), -(-height // factor))
    share = cv2.resize(cell * 255, size, interpolation=cv2.INTER_AREA)
    value = cv2.resize(plane * cell, size, interpolation=cv2.INTER_AREA)
    sigma = max(0.8, sigma) / factor
    share, value = (cv2.GaussianBlur(part, (0, 0), sigma) for part in (share, value))
    mean = cv2.divide(value, share, scale=255)
    return cv2.resize(mean, (width, height), interpolation=cv2.INTER_LINEAR)


def _contrast(rgb: np.ndarray, table: np.ndarray) -> np.ndarray:
    # Half absorbance, half density: absorbance alone drowns pale nuclei, density alone puts the
    # threshold inside dark ones. Blue counts against: red granules absorb it, nuclei hardly do.
    density = table.astype(np.float64)
    mix = 127.5 * (1.0 - 10.0 ** (-density / 100.0) + density / 150.0)
    lut = np.clip(mix * np.array([[0.2], [0.8], [0.5]]), 0, 255).astype(np.uint8)
    red, green, blue = (cv2.LUT(rgb[:, :, c], lut[c]) for c in range(3))
    return cv2.subtract(cv2.add(green, red), blue)


def _split(plane: np.ndarray, cell: np.ndarray) -> tuple[float, float, float, float]:
    """Otsu's threshold, the means below and above it, and their distance over the spread."""
    histogram = cv2.calcHist([plane], [0], cell, [256], [0, 256]).ravel().astype(np.float64)
    total = histogram.sum()
    if total == 0:
        return 0.0, 0.0, 0.0, 0.0
    level = np.arange(256)
    weight = np.cumsum(histogram)
    moment = np.cumsum(histogram * level)
    low = moment / np.maximum(weight, 1)
    high = (moment[-1] - moment) / np.maximum(total - weight, 1)
    best = int(np.argmax(weight * (total - weight) * (high - low) ** 2))
    spread = (histogram * (level - moment[-1] / total) ** 2).sum() / total
    share = weight[best] / total
    within = spread - share * (1 - share) * (high[best] - low[best]) ** 2
    separation = (high[best] - low[best]) / np.sqrt(max(within, 1.0))
    return float(best), float(low[best]), float(high[best]), float(separation)


def _disc(radius: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))


def _tidy(nucleus: np.ndarray, size: float) -> np.ndarray:
    k = 2 * max(1, round(size / 60.0)) + 1
    nucleus = cv2.medianBlur(nucleus * 255, k) // 255
    contours, tree = cv2.findContours(nucleus, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return nucleus
    areas = [cv2.contourArea(c) for c in contours]
    is_hole = tree[0, :, 3] >= 0
    largest = max(area for area, hole in zip(areas, is_hole, strict=True) if not hole)
    for i, (area, hole) in enumerate(zip(areas, is_hole, strict=True)):
        if hole and area < 0.08 * largest:
            cv2.drawContours(nucleus, contours, i, 1, cv2.FILLED)
        elif not hole and area < 0.06 * largest:
            cv2.drawContours(nucleus, contours, i, 0, cv2.FILLED)
    return nucleus
