"""The size and the light a network sees every image in, whatever the microscope."""

from __future__ import annotations

import math

import cv2
import numpy as np

from hemafeat.segment._contours.frame import Frame

SIDE = 192
"""Side of the squares a network looks at, in its own pixels."""

RADIUS = 24.0
"""Radius of a nucleus, of a disc of its area, in the pixels of the network."""

LARGEST_ZOOM = 2.0
"""What an image is enlarged by at most."""

NUCLEUS_DENSITY = 0.5
"""Density of nuclei in green light, in the mean, that the network expects."""

MOST_STAIN = 4.0
"""What densities are multiplied by at most."""


def zoom_of(radii: np.ndarray) -> float | None:
    """Pixels of the network per pixel of an image with nuclei of these radii; None without any."""
    radii = np.asarray(radii, np.float64)
    radii = radii[radii > 0]
    if not radii.size:
        return None
    return min(RADIUS / float(np.median(radii)), LARGEST_ZOOM)


def radii_of(nucleus: np.ndarray) -> np.ndarray:
    """Radius of a disc of each nucleus' area, in the order of labels; 0 for an id without one."""
    areas = np.bincount(nucleus.ravel())[1:]
    return np.sqrt(areas / math.pi)


def resized(image: np.ndarray, zoom: float) -> np.ndarray:
    """The image at another size; means over pixels where it shrinks."""
    height, width = image.shape[:2]
    size = (max(1, round(width * zoom)), max(1, round(height * zoom)))
    if size == (width, height):
        return image
    how = cv2.INTER_AREA if zoom < 1.0 else cv2.INTER_LINEAR
    return cv2.resize(image, size, interpolation=how)


def densities(rgb: np.ndarray, view: Frame) -> np.ndarray:
    """(H, W, 3) uint8: optical density in each channel, in steps of 1/100, 0 on the background."""
    return cv2.LUT(rgb, np.ascontiguousarray(view.table.T).reshape(1, 256, 3))


def stain_gain(density: np.ndarray, nuclei: np.ndarray) -> float:
    """What densities are multiplied by, so that these nuclei have the density expected; 1 without.

    Dye, time and lamp make nuclei several times as dense in one laboratory as in another.
    """
    mean = cv2.mean(density[:, :, 1], mask=nuclei)[0] / 100.0
    return min(NUCLEUS_DENSITY / mean, MOST_STAIN) if mean > 0 else 1.0


def stained(density: np.ndarray, gain: float) -> np.ndarray:
    """Densities, in steps of 1/100, times `gain`; what is beyond 2.55 is 2.55."""
    return cv2.convertScaleAbs(density, alpha=gain)
