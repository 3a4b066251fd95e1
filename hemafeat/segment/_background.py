"""What an image says about itself before any cell is sought: white, blackness, scale."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

WORKING_SIDE = 192
"""Longest side, in pixels, of the reduced image on which cells are found."""

DARK = 12
"""Grey level up to which a pixel may belong to a black surround (JPEG ringing included)."""

BITS = 5
"""Bits per channel of the colour histograms."""

DENSITY_STEPS = 100
"""Steps of the 8-bit density planes per unit of decadic optical density."""


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
    inside : (h, w) ndarray of uint8 or None
        Where the background is black, 1 on what is not background; else None.
    """

    rgb: np.ndarray
    scale: float
    white: np.ndarray
    inside: np.ndarray | None

    table: np.ndarray
    dark: np.ndarray
    faint: float
    index: np.ndarray

    def darkness(self, rgb: np.ndarray) -> np.ndarray:
        """(h, w) uint8 density of an image under the same light."""
        return darkness(rgb, self.table)


def frame(image: np.ndarray) -> Frame:
    """Reduce an (H, W, 3) uint8 image and measure its background."""
    height, width = image.shape[:2]
    scale = max(1.0, max(height, width) / WORKING_SIDE)
    reduced = image
    if scale > 1.0:
        size = (max(1, round(width / scale)), max(1, round(height / scale)))
        reduced = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    inside = _cut_out(reduced)
    white = np.full(3, 255.0) if inside is not None else _white(reduced)
    reduced = np.ascontiguousarray(reduced)
    table = density_table(white)
    dark = darkness(reduced, table)
    return Frame(reduced, scale, white, inside, table, dark, _faint(dark), colour_index(reduced))


def darkness(rgb: np.ndarray, table: np.ndarray) -> np.ndarray:
    """(h, w) uint8 density in steps of 1/100: the mean of green and of the most absorbed channel.

    On a white background pale cytoplasm shows in green, on a yellow one in blue.
    """
    red, green, blue = (cv2.LUT(rgb[:, :, c], table[c]) for c in range(3))
    return cv2.addWeighted(cv2.max(cv2.max(red, green), blue), 0.5, green, 0.5, 0.0)


def _faint(dark: np.ndarray) -> float:
    # Background pixels lie on both sides of the white, so half of them have density 0; how far the
    # other half strays says how dark background can be.
    histogram = np.bincount(dark.ravel(), minlength=256)
    total = np.cumsum(histogram)
    near = total[min(12, 255)]
    spread = float(np.searchsorted(total, 0.75 * near))
    return float(np.clip(1.0 + spread, 2.5, 4.0))


def colour_index(rgb: np.ndarray) -> np.ndarray:
    """(...) int32 bin of each pixel in the colour histograms."""
    coarse = (rgb >> (8 - BITS)).astype(np.int32)
    return (coarse[..., 0] << (2 * BITS)) | (coarse[..., 1] << BITS) | coarse[..., 2]


def density_table(white: np.ndarray) -> np.ndarray:
    """(3, 256) uint8 tables from level to density; negative densities are 0."""
    level = np.arange(256, dtype=np.float64)
    density = np.log10((np.asarray(white)[:, None] + 1.0) / (level + 1.0))
    return np.clip(np.rint(density * DENSITY_STEPS), 0, 255).astype(np.uint8)


def _cut_out(rgb: np.ndarray) -> np.ndarray | None:
    # A cell laid on black: the rim of the image is black nearly all round, and so is a good part of
    # the whole. Dark fields of view (a round aperture) leave the middle of the sides bright.
    brightest = cv2.max(cv2.max(rgb[:, :, 0], rgb[:, :, 1]), rgb[:, :, 2])
    rim = np.concatenate([brightest[0], brightest[-1], brightest[:, 0], brightest[:, -1]])
    if np.mean(rim <= DARK) < 0.75:
        return None
    inside = (brightest > DARK).astype(np.uint8)
    return inside if np.mean(inside) < 0.9 else None


def _white(rgb: np.ndarray) -> np.ndarray:
    # The brightest peak of the green histogram that holds a fair share of the pixels: background is
    # brighter than any cell, in every stain, but may be less of the image than the red cells are.
    smooth = cv2.blur(rgb, (3, 3)) if min(rgb.shape[:2]) >= 3 else rgb
    green = cv2.calcHist([smooth], [1], None, [256], [0, 256]).ravel()
    share = np.convolve(green / green.sum(), np.ones(9), "same")
    peak = cv2.dilate(share.reshape(-1, 1).astype(np.float32), np.ones((13, 1), np.uint8)).ravel()
    found = np.flatnonzero((share >= 0.04) & (share.astype(np.float32) >= peak))
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
    outer = [i for i in range(len(contours)) if tree[0, i, 3] < 0 and len(contours[i]) > 16]
    for i, contour in enumerate(contours):
        parent = tree[0, i, 3]
        # The pale middle of a red cell is part of it; the gap in a ring of cells is not.
        if parent >= 0 and cv2.contourArea(contour) < 0.3 * cv2.contourArea(contours[parent]):
            cv2.drawContours(stained, contours, i, 255, cv2.FILLED)
    depth = cv2.distanceTransform(stained, cv2.DIST_L2, 3)
    found = []
    for i in outer:
        x, y, w, h = cv2.boundingRect(contours[i])
        found.append(float(depth[y : y + h, x : x + w].max()))
    found = [radius for radius in found if radius >= 0.5 * max(found)]
    return float(np.median(found)) if len(found) >= 2 else float("nan")
