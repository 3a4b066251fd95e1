"""The border of the nucleus where both the network and the colours of this very cell see it."""

from __future__ import annotations

import cv2
import numpy as np

SURE = 0.9
"""Chance from which a pixel is nucleus for sure; cytoplasm below 1 less this."""

LEAST = 30
"""Pixels of either that are needed to know their colours."""

TRUST = 1.0
"""Weight of the colours against the network, in log-odds."""

RIM = 0.35
"""Where the colours part, from cytoplasm (0) to nucleus (1): a nucleus is thin at its rim."""

SOFT = 0.7
"""Standard deviation, px, of the Gaussian that quietens the colours."""

RIDGE = 1e-4
"""Variance added to each channel: an image may have no noise at all."""


def sharpened(chance: np.ndarray, cell: np.ndarray, density: np.ndarray) -> np.ndarray:
    """Pixels of the nucleus.

    A network sees an image reduced and knows other stains; the image itself says at full size how
    the nucleus of this cell differs from its cytoplasm. Where the network is sure, colours are
    learned; Fisher's linear discriminant [1]_ between them gives log-odds for every pixel, which
    are added to those of the network. They are even not in the middle between the two means but
    nearer to the cytoplasm: the mean of a nucleus is that of its thick middle, while its border
    lies where it is thin.

    Parameters
    ----------
    chance : (H, W) ndarray of float32
        Chance of each pixel to be nucleus.
    cell : (H, W) ndarray of uint8
        1 on the cell.
    density : (H, W, 3) ndarray of uint8
        Optical density, in steps of 1/100.

    Returns
    -------
    (H, W) ndarray of uint8
        1 on the nucleus.

    References
    ----------
    .. [1] R. A. Fisher, "The use of multiple measurements in taxonomic problems", Annals of
       Eugenics 7(2), 1936.
    """
    inside = cell > 0
    nucleus, cytoplasm = inside & (chance > SURE), inside & (chance < 1.0 - SURE)
    counts = np.count_nonzero(nucleus), np.count_nonzero(cytoplasm)
    if min(counts) < LEAST:
        return (inside & (chance > 0.5)).astype(np.uint8)
    seen = cv2.GaussianBlur(density.astype(np.float32) / 100.0, (0, 0), SOFT)
    means = seen[nucleus].mean(axis=0), seen[cytoplasm].mean(axis=0)
    within = sum(
        n * np.cov(seen[part].T) for n, part in zip(counts, (nucleus, cytoplasm), strict=True)
    )
    direction = np.linalg.solve(within / sum(counts) + RIDGE * np.eye(3), means[0] - means[1])
    border = RIM * means[0] + (1.0 - RIM) * means[1]
    by_colour = (seen - border) @ direction.astype(np.float32)
    held = np.clip(chance, 1e-3, 1.0 - 1e-3)
    odds = np.log(held / (1.0 - held)) + TRUST * by_colour
    return (inside & (odds > 0)).astype(np.uint8)
