"""What an image says about itself before any cell is sought: white, blackness, scale."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

WORKING_SIDE = 216
"""Longest side, in pixels, of the reduced image on which cells are found."""

DARK = 12
"""Grey level up to which a pixel may belong to a black surround (JPEG ringing included)."""

DENSITY_STEPS = 100
"""Steps of the 8-bit density planes per unit of decadic optical density."""

BITS = 4
"""Bits per channel of the colour bins."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A reduced copy of the image and what is known of its background.

    Attributes
    ----------
    rgb : (h, w, 3) ndarray of uint8
        The image, reduced so that its longest side is at most `WORKING_SIDE`.
    scale : float
        Full-size pixels per reduced pixel, at least 1.
    white : (3,) ndarray of float64
        Background level of R, G and B: 255 where the background is black.
    black : int or None
        Where a cell was cut out and laid on black: the highest level of that black. Else None.
    table : (3, 256) ndarray of uint8
        Optical density of each level of R, G and B, `DENSITY_STEPS` per unit.
    dark : (h, w) ndarray of uint8
        Density of the reduced image; see `darkness`.
    faint : float
        Density up to which a pixel may well be background.
    bins : (h, w) ndarray of uint16
        Colour bin of the reduced image; see `colour_bins`.
    """

    rgb: np.ndarray
    scale: float
    white: np.ndarray
    black: int | None
    table: np.ndarray
    dark: np.ndarray
    faint: float
    bins: np.ndarray

    def darkness(self, rgb: np.ndarray) -> np.ndarray:
        """(h, w) uint8 density of an image under the same light."""
        return darkness(rgb, self.table)

    def colour_bins(self, rgb: np.ndarray) -> np.ndarray:
        """(h, w) uint16 colour bins of an image under the same light."""
        return colour_bins(rgb, self.table)

    def full(self, point: tuple[float, float]) -> tuple[float, float]:
        """Full-size coordinates of a point of the reduced image."""
        return (point[0] + 0.5) * self.scale - 0.5, (point[1] + 0.5) * self.scale - 0.5

    def reduced(self, point: tuple[float, float]) -> tuple[float, float]:
        """Reduced coordinates of a point of the full image."""
        return (point[0] + 0.5) / self.scale - 0.5, (point[1] + 0.5) / self.scale - 0.5


def frame(image: np.ndarray) -> Frame:
    """Reduce an (H, W, 3) uint8 image and measure its background."""
    height, width = image.shape[:2]
    # Whole factors are several times as fast; the last rows and columns may be left out for them.
    factor = min(-(-max(height, width) // WORKING_SIDE), min(height, width))
    rows, columns = height // factor, width // factor
    reduced = image[: rows * factor, : columns * factor]
    if factor > 1:
        reduced = cv2.resize(reduced, (columns, rows), interpolation=cv2.INTER_AREA)
    reduced = np.ascontiguousarray(reduced)
    black = _black(image)
    white = np.full(3, 255.0) if black is not None else _white(reduced)
    table = density_table(white)
    dark = darkness(reduced, table)
    bins = colour_bins(reduced, table)
    return Frame(reduced, float(factor), white, black, table, dark, _faint(dark), bins)


def density_table(white: np.ndarray) -> np.ndarray:
    """(3, 256) uint8 tables from level to density; negative densities are 0."""
    level = np.arange(256, dtype=np.float64)
    density = np.log10((np.asarray(white)[:, None] + 1.0) / (level + 1.0))
    return np.clip(np.rint(density * DENSITY_STEPS), 0, 255).astype(np.uint8)


def darkness(rgb: np.ndarray, table: np.ndarray) -> np.ndarray:
    """(h, w) uint8 density in steps of 1/100: the mean of green and of the most absorbed channel.

    On a white background pale cytoplasm shows in green, on a yellow one in blue.
    """
    red, green, blue = (cv2.LUT(rgb[:, :, c], table[c]) for c in range(3))
    return cv2.addWeighted(cv2.max(cv2.max(red, green), blue), 0.5, green, 0.5, 0.0)


def colour_bins(rgb: np.ndarray, table: np.ndarray) -> np.ndarray:
    """(h, w) uint16 bin of each colour: the densities of R, G and B, finer where they are low.

    Bins of density mean the same under any light, and leave most of them to the pale colours in
    which cytoplasm and red cells differ.
    """
    top = 1 << BITS
    steps = np.sqrt(table.astype(np.float64) / (1.5 * DENSITY_STEPS)) * top
    lut = np.minimum(steps, top - 1).astype(np.uint8)
    red, green, blue = (cv2.LUT(rgb[:, :, c], lut[c]).astype(np.uint16) for c in range(3))
    return (((red << BITS) | green) << BITS) | blue


def black_surround(image: np.ndarray, level: int) -> np.ndarray:
    """(H, W) uint8: 1 on what is brighter than `level` in any channel."""
    brightest = cv2.max(cv2.max(image[:, :, 0], image[:, :, 1]), image[:, :, 2])
    return cv2.threshold(brightest, level, 1, cv2.THRESH_BINARY)[1]


def _black(image: np.ndarray) -> int | None:
    # A cell laid on black: the rim of the image is black nearly all round. Dark fields of view (a
    # round aperture) leave the middle of the sides bright.
    rim = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]]).max(axis=1)
    dark = rim[rim <= DARK]
    if dark.size < 0.75 * rim.size:
        return None
    inside = np.count_nonzero(image.max(axis=2) > DARK)
    if not 0 < inside < 0.9 * image.shape[0] * image.shape[1]:
        return None
    # Of an uncompressed image the surround is exactly 0, and dark pixels of the cell are cell.
    return int(dark.max())


def _white(rgb: np.ndarray) -> np.ndarray:
    # The brightest peak of the green histogram that holds a fair share of the pixels: background
    # is brighter than any cell, in every stain, but may be less of the image than red cells are.
    smooth = cv2.blur(rgb, (3, 3)) if min(rgb.shape[:2]) >= 3 else rgb
    green = cv2.calcHist([smooth], [1], None, [256], [0, 256]).ravel()
    share = np.convolve(green / green.sum(), np.ones(9), "same").astype(np.float32)
    peak = cv2.dilate(share[:, None], np.ones((13, 1), np.uint8)).ravel()
    found = np.flatnonzero((share >= 0.04) & (share >= peak))
    level = (
        int(found[-1]) if found.size else int(np.searchsorted(np.cumsum(green), green.sum() / 2))
    )
    mask = cv2.inRange(smooth[:, :, 1], max(0, level - 6), min(255, level + 6))
    white = np.empty(3)
    for channel in range(3):
        histogram = cv2.calcHist([smooth], [channel], mask, [256], [0, 256]).ravel()
        total = np.cumsum(histogram)
        white[channel] = np.searchsorted(total, total[-1] / 2)
    return np.maximum(white, 1.0)


def _faint(dark: np.ndarray) -> float:
    # Background pixels lie on both sides of the white, so half of them have density 0; how far the
    # other half strays says how dark background can be.
    total = np.cumsum(cv2.calcHist([dark], [0], None, [256], [0, 256]).ravel())
    spread = float(np.searchsorted(total, 0.75 * total[12]))
    return float(np.clip(1.0 + spread, 2.5, 4.0))


def red_cell_radius(view: Frame, avoid: np.ndarray) -> float:
    """Typical radius of the red cells in reduced pixels; NaN where fewer than two are in view.

    Parameters
    ----------
    view : Frame
    avoid : (h, w) ndarray of uint8
        1 where white cells and platelets are.
    """
    stained = cv2.inRange(cv2.blur(view.dark, (3, 3)), int(np.ceil(2 * view.faint)), 255)
    stained[avoid > 0] = 0
    contours, tree = cv2.findContours(stained, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return float("nan")
    for contour, parent in zip(contours, tree[0, :, 3].tolist(), strict=True):
        # The pale middle of a red cell is part of it; the gap in a ring of cells is not.
        if parent >= 0:
            x, y, w, h = cv2.boundingRect(contour)
            if w * h < 0.3 * cv2.contourArea(contours[parent]):
                cv2.fillPoly(stained, [contour], 255)
    depth = cv2.distanceTransform(stained, cv2.DIST_L2, 3)
    found = []
    for i, contour in enumerate(contours):
        if tree[0, i, 3] < 0 and len(contour) > 16:
            x, y, w, h = cv2.boundingRect(contour)
            found.append(float(depth[y : y + h, x : x + w].max()))
    found = [radius for radius in found if radius >= 0.5 * max(found)]
    return float(np.median(found)) if len(found) >= 2 else float("nan")
