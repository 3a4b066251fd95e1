"""Preparation of an image, and the black surround of a field: an eyepiece's stop, or bars."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np

from hemafeat.segment._contours.frame import Frame, even_light, light_gain, measure_frame
from hemafeat.segment._kernels.levels import white_level

DARK = 0.2
"""Highest level of the surround, relative to the background. Nuclei let more blue light pass."""

NEUTRAL = 20
"""Largest difference between the channels of a pixel of the surround."""

MIN_SIZE = 0.002
"""Share of the image below which a dark corner is left alone."""

MAX_CORNERS = 8
"""Corners of a field with straight edges: a rectangle, turned and cut by the image, has eight."""

STRAIGHT = 0.01
"""Deviation of such a field from a polygon, relative to the root of its area."""

ROUND = 0.015
"""Deviation of the edge from a circle, relative to its radius. That of a cell is larger."""

MAX_NUCLEI = 0.25
"""Share of nuclei in what is not black from which it is a cell that was cut out, not a field."""

EDGE = 0.05
"""Width of a blurred edge of the surround, relative to the longest side of the image."""


def prepare(image: np.ndarray) -> tuple[np.ndarray, Frame]:
    """Check an image, remove a black surround, correct uneven light, and measure the background.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB image.

    Returns
    -------
    image : (H, W, 3) ndarray of uint8
        The image under even light, with the background in place of its surround.
    frame : Frame
        Its reduced copy.

    Raises
    ------
    ValueError
        `image` is not an (H, W, 3) uint8 array.
    """
    image = np.ascontiguousarray(image)
    frame = measure_frame(image)
    small = find_surround(frame)
    surround = None
    if small is not None:
        surround = at_full_size(small, image.shape[:2], frame.scale)
        image = fill_surround(image, surround, frame)
        frame = measure_frame(image)
    if frame.black is None and frame.uneven and not frame.is_dim:
        gain = light_gain(frame.rgb, frame.white)
        if gain is not None:
            image = even_light(image, gain)
            frame = measure_frame(image)
    return image, frame if surround is None else replace(frame, surround=surround)


def find_surround(frame: Frame) -> np.ndarray | None:
    """Find the black surround of a field.

    A surround is neutral and nearly black, holds a corner of the image, and ends at a circle or at
    straight edges. A cell that was cut out and laid on black ends at its own outline.

    Parameters
    ----------
    frame : Frame
        Reduced image and its background.

    Returns
    -------
    (h, w) ndarray of uint8 or None
        1 on the surround of the reduced image and on its blurred edge; None if there is none.
    """
    rgb = frame.rgb
    limit = DARK * max(frame.white.tolist()) if frame.black is None else max(frame.black, 1)
    if rgb[:: rgb.shape[0] - 1 or 1, :: rgb.shape[1] - 1 or 1].max(axis=2).min() > limit:
        return None
    highest, lowest = rgb.max(axis=2), rgb.min(axis=2)
    dark = ((highest <= limit) & (highest - lowest <= NEUTRAL)).astype(np.uint8)
    outside = _connected_to_corners(dark)
    if np.count_nonzero(outside) < MIN_SIZE * outside.size or outside.all():
        return None
    inside = (outside == 0).astype(np.uint8)
    if not _is_field(inside, frame.nuclei):
        return None
    return _with_edge(outside, frame)


def fill_surround(image: np.ndarray, surround: np.ndarray, frame: Frame) -> np.ndarray:
    """Return a copy of an image with its surround, at full size, in the colour of the background.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB image.
    surround : (H, W) ndarray of uint8
        Not 0 on the surround.
    frame : Frame
        Reduced image and its background.

    Returns
    -------
    (H, W, 3) ndarray of uint8
    """
    white = frame.white
    if frame.black is not None:
        # The white of such an image is not that of the field.
        inside = frame.rgb[frame.rgb.max(axis=2) > frame.black]
        white = white_level(np.ascontiguousarray(inside[None]))
    filled = image.copy()
    filled[surround > 0] = np.rint(white).astype(np.uint8)
    return filled


def at_full_size(surround: np.ndarray, shape: tuple[int, int], scale: float) -> np.ndarray:
    """Enlarge a surround of the reduced image to the (H, W) `shape` of the image."""
    height, width = shape
    rows = np.minimum((np.arange(height) / scale).astype(np.intp), surround.shape[0] - 1)
    columns = np.minimum((np.arange(width) / scale).astype(np.intp), surround.shape[1] - 1)
    return surround[rows[:, None], columns]


def _connected_to_corners(dark: np.ndarray) -> np.ndarray:
    _, labels = cv2.connectedComponents(dark, connectivity=8)
    corners = {int(labels[y, x]) for y in (0, -1) for x in (0, -1)} - {0}
    return np.isin(labels, sorted(corners)).astype(np.uint8)


def _is_field(inside: np.ndarray, nuclei: np.ndarray) -> bool:
    # Whatever is dark at its edge, such as a cell, leaves a notch in a round or rectangular field.
    lines, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    line = max(lines, key=cv2.contourArea)
    hull = cv2.convexHull(line)
    area = float(np.count_nonzero(inside))
    polygon = cv2.approxPolyDP(line, max(1.0, STRAIGHT * math.sqrt(area)), True)
    # A small circle has as few corners.
    if area > 40**2 and len(polygon) <= MAX_CORNERS and cv2.isContourConvex(polygon):
        return True
    if np.count_nonzero(nuclei & inside) >= MAX_NUCLEI * area:
        return False
    rows, columns = inside.shape
    points = line[:, 0].astype(np.float64)
    free = (points > 0).all(axis=1) & (points < [columns - 1, rows - 1]).all(axis=1)
    # Points in a notch lie within the hull.
    free &= [abs(cv2.pointPolygonTest(hull, (x, y), True)) <= 1.5 for x, y in points.tolist()]
    if np.count_nonzero(free) < 8:
        return False
    x, y = points[free].T
    # A circle is x^2 + y^2 = 2 a x + 2 b y + c.
    system = np.stack([2 * x, 2 * y, np.ones_like(x)], axis=1)
    (a, b, c), *_ = np.linalg.lstsq(system, x * x + y * y, rcond=None)
    radius = math.sqrt(max(c + a * a + b * b, 0.0))
    if not 0.25 * max(rows, columns) <= radius <= 3.0 * max(rows, columns):
        return False
    deviation = np.abs(np.hypot(x - a, y - b) - radius)
    return bool(np.percentile(deviation, 90) <= ROUND * radius + 0.75)


def _with_edge(outside: np.ndarray, frame: Frame) -> np.ndarray:
    """Add the pixels near the surround that are darkened alike in all channels."""
    reach = max(2, round(EDGE * max(outside.shape)))
    near = cv2.dilate(outside, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    if frame.black is None:
        density = np.stack([frame.table[c][frame.rgb[:, :, c]] for c in range(3)]).astype(int)
        highest, lowest = density.max(axis=0), density.min(axis=0)
        grey = (lowest > frame.faint) & (highest - lowest < 0.35 * highest)
        shaded = ((outside > 0) | (grey & (near > 0))).astype(np.uint8)
        shaded = _connected_to_corners(cv2.morphologyEx(shaded, cv2.MORPH_CLOSE, np.ones((3, 3))))
        outside = outside | shaded
    return cv2.dilate(outside, np.ones((3, 3), np.uint8))
