"""Refinement of the border of a nucleus by the colours of its own cell."""

from __future__ import annotations

import cv2
import numpy as np

SURE = 0.9
"""Probability from which a pixel is certainly nucleus; cytoplasm below 1 less this."""

MIN_PIXELS = 30
"""Least number of pixels of nucleus and of cytoplasm from which their colours are learned."""

TRUST = 1.0
"""Weight of the colours against the network, in log-odds."""

RIM = 0.35
"""Position of the threshold between the colours of cytoplasm (0) and nucleus (1): a nucleus is thin
at its rim."""

SOFT = 0.7
"""Standard deviation, in pixels, of the Gaussian that reduces the noise of the colours."""

RIDGE = 1e-4
"""Variance added to each channel, because an image may have no noise at all."""

STEPS = 100.0
"""Steps of the densities per unit."""


def refine_nucleus(chance: np.ndarray, cell: np.ndarray, density: np.ndarray) -> np.ndarray:
    """Combine the probabilities of a network with the colours of the cell into a nuclear mask.

    A network sees a reduced image and has learned from other stains; the image itself shows at full
    size how the nucleus of this cell differs from its cytoplasm. The colours are learned where the
    network is certain; Fisher's linear discriminant [1]_ between them gives log-odds for every
    pixel, which are added to those of the network. The threshold is not half way between the two
    means but nearer to the cytoplasm: the mean of a nucleus is that of its thick middle, while its
    border lies where it is thin.

    Parameters
    ----------
    chance : (H, W) ndarray of float32
        Probability of each pixel to be nucleus.
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
    nucleus, cytoplasm = (
        np.flatnonzero(inside & sure) for sure in (chance > SURE, chance < 1.0 - SURE)
    )
    if min(nucleus.size, cytoplasm.size) < MIN_PIXELS:
        return (inside & (chance > 0.5)).astype(np.uint8)
    smooth = cv2.GaussianBlur(density.astype(np.float32), (0, 0), SOFT)
    pixels = smooth.reshape(-1, 3)
    # A row for each channel: sums along rows are several times as fast.
    colours = [
        pixels.take(part, axis=0).T.astype(np.float64, order="C") / STEPS
        for part in (nucleus, cytoplasm)
    ]
    means = [part.mean(axis=1) for part in colours]
    within = sum(
        part.shape[1] / (part.shape[1] - 1) * cv2.mulTransposed(part, False, delta=mean[:, None])
        for part, mean in zip(colours, means, strict=True)
    )
    within = within / (nucleus.size + cytoplasm.size) + RIDGE * np.eye(3)
    direction = np.linalg.solve(within, means[0] - means[1])
    border = RIM * means[0] + (1.0 - RIM) * means[1]
    colour_odds = cv2.transform(smooth, np.append(direction / STEPS, -border @ direction)[None])
    clipped = np.clip(chance, 1e-3, 1.0 - 1e-3)
    odds = np.log(clipped / (1.0 - clipped)) + TRUST * colour_odds
    return (inside & (odds > 0)).astype(np.uint8)
