"""What an image says about itself before any cell is sought: white, blackness, scale."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hemafeat.segment._kernels.fill import deepest
from hemafeat.segment._kernels.levels import black_level, planes, white_level

WORKING_SIDE = 216
"""Longest side, in pixels, of the reduced image on which cells are found."""

DARK = 12
"""Grey level up to which a pixel may belong to a black surround (JPEG ringing included)."""


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
        Optical density of each level of R, G and B, 100 steps per unit.
    coded : (3, 256) ndarray of uint16
        The same with the colour bin of each level; see `planes`.
    dark : (h, w) ndarray of uint8
        Density of the reduced image: the mean of green and of the most absorbed channel. On a
        white background pale cytoplasm shows in green, on a yellow one in blue.
    faint : float
        Density up to which a pixel may well be background.
    bins : (h, w) ndarray of uint16
        Colour bin of the reduced image: the densities of R, G and B, finer where they are low.
        Bins of density mean the same under any light, and leave most of them to the pale colours
        in which cytoplasm and red cells differ.
    violet : (h, w) ndarray of uint8
        Density of dye that is not haemoglobin, in green and red less that in blue. Thiazine and
        eosin dyes absorb little blue light and haemoglobin much of it, so that nuclei stand out
        five to eight times as high as red cells, whatever the colour of the background.
    """

    rgb: np.ndarray
    scale: float
    white: np.ndarray
    black: int | None
    table: np.ndarray
    coded: np.ndarray
    dark: np.ndarray
    faint: float
    bins: np.ndarray
    violet: np.ndarray


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
    # A cell laid on black: the rim of the image is black nearly all round. Dark fields of view (a
    # round aperture) leave the middle of the sides bright. Of an uncompressed image the surround
    # is exactly 0, and dark pixels of the cell are cell.
    black = black_level(image, DARK)
    if black >= 0:
        white = np.full(3, 255.0)
    else:
        # Background is brighter than any cell, in every stain, but may be less of the image than
        # red cells are: the brightest peak that holds a fair share of the pixels.
        white = white_level(cv2.blur(reduced, (3, 3)) if min(rows, columns) >= 3 else reduced)
    table, coded, dark, bins, violet, spread = planes(reduced, white)
    # Background pixels lie on both sides of the white, so half of them have density 0; how far the
    # other half strays says how dark background can be.
    faint = min(max(1.0 + spread, 2.5), 4.0)
    return Frame(
        rgb=reduced,
        scale=float(factor),
        white=white,
        black=black if black >= 0 else None,
        table=table,
        coded=coded,
        dark=dark,
        faint=faint,
        bins=bins,
        violet=violet,
    )


def black_surround(image: np.ndarray, level: int) -> np.ndarray:
    """(H, W) uint8: 1 on what is brighter than `level` in any channel."""
    brightest = cv2.max(cv2.max(image[:, :, 0], image[:, :, 1]), image[:, :, 2])
    return cv2.threshold(brightest, level, 1, cv2.THRESH_BINARY)[1]


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
    parents = tree[0, :, 3].tolist() if contours else []
    holes: list[np.ndarray] = []
    for contour, parent in zip(contours, parents, strict=True):
        # The pale middle of a red cell is part of it; the gap in a ring of cells is not.
        if parent >= 0:
            _, _, w, h = cv2.boundingRect(contour)
            if w * h < 0.3 * cv2.contourArea(contours[parent]):
                holes.append(contour)
    cv2.drawContours(stained, holes, -1, 255, cv2.FILLED)
    depth = cv2.distanceTransform(stained, cv2.DIST_L2, 3)
    outer = [
        contour
        for contour, parent in zip(contours, parents, strict=True)
        if parent < 0 and len(contour) > 16
    ]
    if len(outer) < 2:
        return float("nan")
    ends = np.cumsum([len(contour) for contour in outer])
    found = sorted(deepest(depth, np.concatenate(outer)[:, 0], ends).tolist())
    found = [radius for radius in found if radius >= 0.5 * found[-1]]
    n = len(found)
    return 0.5 * (found[(n - 1) // 2] + found[n // 2]) if n >= 2 else float("nan")
