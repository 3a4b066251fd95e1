"""Marks that somebody, or a microscope, has put on an image: text, scale bars, pointers."""

from __future__ import annotations

import cv2
import numpy as np

MARKS = {"drawing": "text or a drawing", "bar": "a scale bar", "pointer": "a pointer"}
"""What `marks_of` looks for, in words: text and arrows in a colour that no stain has, straight
lines, and the dark needle of an eyepiece."""

_LEAST_SIDE = 64
"""Side in px below which text cannot be told from cells."""

_BLACK, _WHITE = 45, 248
_CONTRAST = 45
_LEAST_AREA = 12


def marks_of(image: np.ndarray) -> str:
    """Name the marks on an image.

    Parameters
    ----------
    image : (h, w, 3) ndarray of uint8
        RGB image.

    Returns
    -------
    str
        Those of `MARKS` that were found, separated by spaces; empty if there are none.

    Notes
    -----
    Marks are told from cells by what a stained smear does not show: small areas of pure black,
    white, green, yellow, cyan, red, blue or magenta, lines of one colour along the rows or columns
    of pixels, and a straight needle without a colour of its own that begins at the border.
    """
    if min(image.shape[:2]) < _LEAST_SIDE:
        return ""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    tests = {
        "drawing": _has_black_or_white(image) or _has_colour(image),
        "bar": _has_bar(grey) or _has_bar(np.ascontiguousarray(grey.T)),
        "pointer": _has_pointer(image),
    }
    return " ".join(name for name in MARKS if tests[name])


def _has_black_or_white(image: np.ndarray) -> bool:
    """Look for a compact drawing in black or white, which hardly any other pixel comes close to."""
    high, low = image.max(axis=2), image.min(axis=2)
    for drawn, close in (
        (high <= _BLACK, high <= _BLACK + 30),
        (low >= _WHITE, low >= _WHITE - 13),
    ):
        n_drawn = np.count_nonzero(drawn)
        if n_drawn and np.count_nonzero(close) <= 3 * n_drawn and _is_compact(drawn):
            return True
    return False


def _has_colour(image: np.ndarray) -> bool:
    """Look for a compact drawing in a colour of a screen."""
    red, green, blue = (image[..., k].astype(np.int16) for k in range(3))
    # How far each pure colour stands out, and from where on no stain and no lamp explains it.
    for strength, least in (
        (green - np.maximum(red, blue), 55),
        (np.minimum(red, green) - blue, 100),
        (np.minimum(green, blue) - red, 100),
        (red - np.maximum(green, blue), 170),
        (blue - np.maximum(red, green), 160),
        (np.minimum(red, blue) - green, 170),
    ):
        if strength.max() < least:
            continue
        # A yellow or green background is that of the whole image.
        common = np.partition(strength[::2, ::2].ravel(), -max(1, strength.size // 130))
        usual = int(common[-max(1, strength.size // 130)])
        drawn = strength >= max(least, min(usual, 2 * least) + 45)
        if _is_compact(drawn):
            return True
    return False


def _is_compact(drawn: np.ndarray) -> bool:
    """Check that pixels are few and hang together, off the border."""
    if not _LEAST_AREA <= np.count_nonzero(drawn) <= 0.05 * drawn.size:
        return False
    height, width = drawn.shape
    n, _, stats, _ = cv2.connectedComponentsWithStats(drawn.astype(np.uint8), connectivity=8)
    x, y, w, h, area = stats[1:n].T
    inside = (x > 0) & (y > 0) & (x + w < width) & (y + h < height)
    return bool((inside & (area >= _LEAST_AREA)).any())


def _has_bar(grey: np.ndarray) -> bool:
    """Look for a horizontal line of one grey value, darker or brighter than both its sides."""
    height, width = grey.shape
    length = max(24, round(0.045 * width))
    row = np.ones((1, length), np.uint8)
    for thickness, contrast in ((3, 22), (max(7, round(0.02 * height)), _CONTRAST)):
        column = np.ones(((thickness + 2) | 1, 1), np.uint8)
        for kind in (cv2.MORPH_BLACKHAT, cv2.MORPH_TOPHAT):
            thin = (cv2.morphologyEx(grey, kind, column) >= contrast).astype(np.uint8)
            lines = cv2.morphologyEx(thin, cv2.MORPH_OPEN, row)
            if not lines.any():
                continue
            n, labels, stats, _ = cv2.connectedComponentsWithStats(lines, connectivity=4)
            for k in range(1, n):
                if _is_drawn_line(grey, labels, k, stats[k], contrast):
                    return True
    return False


def _is_drawn_line(
    grey: np.ndarray, labels: np.ndarray, k: int, box: np.ndarray, contrast: int
) -> bool:
    height, width = grey.shape
    x, y, w, h = (int(value) for value in box[:4])
    # A line across the whole image, or along its border, is a seam or a frame.
    if w >= 0.95 * width or y < 3 or y + h > height - 3 or w < 4 * h:
        return False
    # It is as long in each of its rows as in the whole.
    if np.count_nonzero(labels[y : y + h, x : x + w] == k) < 0.85 * w * h:
        return False
    inside = grey[y : y + h, x + 2 : x + w - 2].astype(np.int16)
    middle = inside[h // 2]
    # Its sides are sharp all along.
    sides = grey[[y - 2, y + h + 1], x + 2 : x + w - 2].astype(np.int16)
    step = float(np.quantile(np.abs(sides - middle), 0.1, axis=1).min())
    return step >= 0.8 * contrast and middle.std() <= min(14, 0.3 * step)


def _has_pointer(image: np.ndarray) -> bool:
    """Look for a straight dark needle that begins at the border and has no colour of its own."""
    scale = 160 / max(image.shape[:2])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    background = np.median(small[grey >= np.median(grey)], axis=0) + 1
    dark = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, np.ones((13, 13), np.uint8)) >= 20
    n, labels, stats, _ = cv2.connectedComponentsWithStats(dark.astype(np.uint8), connectivity=8)
    height, width = grey.shape
    for k in range(1, n):
        x, y, w, h, area = (int(v) for v in stats[k])
        at_border = x <= 1 or y <= 1 or x + w >= width - 1 or y + h >= height - 1
        if not at_border or np.hypot(w, h) < 45 or area < 80:
            continue
        points = np.argwhere(labels == k).astype(float)
        minor, major = np.linalg.eigvalsh(np.cov((points - points.mean(axis=0)).T))
        # It takes the same share of all colours; a cell takes more of some.
        share = (small[labels == k].mean(axis=0) + 1) / background
        if major >= 40 * max(minor, 0.3) and share.max() <= 1.1 * share.min():
            return True
    return False
