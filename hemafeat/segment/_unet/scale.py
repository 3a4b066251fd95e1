"""The scale and the stain strength at which a network sees every image."""

from __future__ import annotations

import math

import cv2
import numpy as np

from hemafeat.segment._contours.frame import Frame
from hemafeat.segment._contours.surround import prepare
from hemafeat.segment._masks import MaskError, check_labels, misfit

UNET_SIDE = 192
"""Side, in pixels, of the squares that the network of `unet` learns from."""

UNET_UM_PER_PX = 0.2
"""Scale, in um per pixel, at which the network of `unet` sees an image."""

UNET_RADIUS = 20.0
"""Radius, in pixels of the network, of a disc of the area of a typical nucleus."""

MAX_ZOOM = 3.0
"""Largest factor by which an image is enlarged."""

STAINED = 0.25
"""Median density of whatever is stained that the network expects."""

MAX_GAIN = 2.5
"""Largest factor by which densities are multiplied or divided."""


def unet_input(
    image: np.ndarray,
    cell: np.ndarray,
    nucleus: np.ndarray,
    *,
    um_per_px: float | None = None,
    oversampling: float = 1.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Bring an image with known masks to the scale and stain strength that `unet` expects.

    This is the input to train a network of one's own on, for use by ``unet(weights=...)``.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB image.
    cell, nucleus : (H, W) ndarray of int
        Labels of the cells and of their nuclei; 0 is background.
    um_per_px : float, optional
        Scale of the image, in um per pixel. By default the scale at which the nuclei have a radius
        of `UNET_RADIUS` pixels, or if there is none, at which the image has a side of `UNET_SIDE`.
    oversampling : float
        Scale of the result relative to that of the network. Above 1 the result keeps more detail
        for later augmentation. By default it is the scale of the network.

    Returns
    -------
    density : (h, w, 3) ndarray of uint8
        Optical density relative to the white of the image, in steps of 1/100, multiplied by
        `stain_gain`.
    cell : (h, w) ndarray of uint16
        Labels of the cells.
    nucleus : (h, w) ndarray of uint8
        1 on nuclei.
    zoom : float
        Factor by which the result must still be resized to be at the scale of the network, at which
        nuclei have a radius of `UNET_RADIUS` pixels. Images are reduced here, never enlarged.

    Raises
    ------
    ValueError
        `image` is not an (H, W, 3) uint8 array.
    MaskError
        The labels have another height and width than the image, are negative, or exceed 65535.

    Examples
    --------
    >>> from hemafeat import datasets, segment
    >>> drawn = datasets.draw_cell("lymphocyte", random_state=0)
    >>> density, cell, nucleus, zoom = segment.unet_input(drawn.image, drawn.cell, drawn.nucleus)
    >>> radius = zoom * (nucleus.sum() / 3.14159) ** 0.5
    >>> bool(abs(radius - segment.UNET_RADIUS) < 0.5)
    True
    """
    cell, nucleus = check_labels(cell, "cell"), check_labels(nucleus, "nucleus")
    for labels, name in ((cell, "cell mask"), (nucleus, "nucleus mask")):
        if labels.shape != image.shape[:2]:
            raise MaskError(misfit(name, labels.shape, "image", image.shape))
        if labels.max() > np.iinfo(np.uint16).max:
            raise MaskError(f"the {name} holds labels above 65535; number its cells from 1 on")
    image, frame = prepare(image)
    zoom = zoom_for_radii(nuclear_radii(nucleus))
    if um_per_px is not None:
        zoom = min(um_per_px / UNET_UM_PER_PX, MAX_ZOOM)
    if zoom is None:
        zoom = min(UNET_SIDE / max(image.shape[:2]), MAX_ZOOM)
    reduction = min(1.0, oversampling * zoom)
    density = optical_density(resize(image, reduction), frame)
    size = density.shape[1::-1]
    cell, nucleus = (
        cv2.resize(labels.astype(np.uint16), size, interpolation=cv2.INTER_NEAREST)
        for labels in (cell, nucleus)
    )
    nucleus = (nucleus > 0).astype(np.uint8)
    density = multiply_density(density, stain_gain(frame))
    return density, cell, nucleus, zoom / reduction


def zoom_for_radii(radii: np.ndarray) -> float | None:
    """Compute the zoom at which nuclei of these radii have the radius the network expects.

    Parameters
    ----------
    radii : (n,) ndarray of float
        Radii in pixels of the image; 0 is ignored.

    Returns
    -------
    float or None
        Pixels of the network per pixel of the image; None without any nucleus.
    """
    radii = np.asarray(radii, np.float64)
    radii = radii[radii > 0]
    if not radii.size:
        return None
    return min(UNET_RADIUS / float(np.median(radii)), MAX_ZOOM)


def nuclear_radii(nucleus: np.ndarray) -> np.ndarray:
    """Compute the radius of a disc of each nucleus' area, in the order of labels; 0 if missing."""
    areas = np.bincount(nucleus.ravel())[1:]
    return np.sqrt(areas / math.pi)


def resize(image: np.ndarray, zoom: float) -> np.ndarray:
    """Resize an image, averaging over pixels if it shrinks."""
    height, width = image.shape[:2]
    size = (max(1, round(width * zoom)), max(1, round(height * zoom)))
    if size == (width, height):
        return image
    interpolation = cv2.INTER_AREA if zoom < 1.0 else cv2.INTER_LINEAR
    return cv2.resize(image, size, interpolation=interpolation)


def optical_density(rgb: np.ndarray, frame: Frame) -> np.ndarray:
    """Compute the uint8 optical density in each channel, in steps of 1/100, 0 on the background."""
    return cv2.LUT(rgb, np.ascontiguousarray(frame.table.T).reshape(1, 256, 3))


def stain_gain(frame: Frame) -> float:
    """Compute the factor that gives what is stained the density the network expects.

    Dye, time and lamp make cells several times as dense in one laboratory as in another. All that
    is stained tells how strongly; most of it are red cells, and no nucleus is needed.

    Parameters
    ----------
    frame : Frame
        Reduced image and its background.

    Returns
    -------
    float
        At most `MAX_GAIN`, at least one over it; 1 if nothing is stained.
    """
    counts = np.bincount(frame.dark.ravel(), minlength=256)
    counts[: math.ceil(2 * frame.faint)] = 0
    total = np.cumsum(counts)
    if total[-1] < 20:
        return 1.0
    median = float(np.searchsorted(total, 0.5 * total[-1])) / 100.0
    return min(max(STAINED / median, 1.0 / MAX_GAIN), MAX_GAIN)


def multiply_density(density: np.ndarray, gain: float) -> np.ndarray:
    """Multiply uint8 densities, in steps of 1/100, by `gain`, and clip them to 2.55."""
    return cv2.convertScaleAbs(density, alpha=gain)
