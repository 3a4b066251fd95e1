"""Small synthetic images of one cell, for the kernels of segmentation."""

from __future__ import annotations

import numpy as np

from hemafeat.segment._kernels import levels


def cell_image(shape, seed, white=(230, 220, 200)):
    """Draw a dark disc with a darker centre on a bright background, with noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    radius = np.hypot(y - shape[0] / 2, x - shape[1] / 2) / (0.5 * min(shape))
    image = np.array(white, float) * np.ones((*shape, 1))
    image[radius < 0.8] = 170, 140, 190
    image[radius < 0.4] = 90, 50, 120
    return np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def cell_planes(shape, seed):
    """Return an image of one cell, its white and its `colour_planes`."""
    image = cell_image(shape, seed)
    white = levels.white_level(image)
    return image, white, *levels.colour_planes(image, white)
