"""Loss and scores of networks that segment cells."""

from __future__ import annotations

from typing import Any

import numpy as np

from hemafeat.networks._keras import need_keras

SMOOTH = 1.0
"""Number of pixels added to numerator and denominator of each Dice, for empty masks."""

DEPTH_WEIGHT = 1.0
DICE_WEIGHT = 1.0

BACKGROUND, RED_CELL, PLATELET, CYTOPLASM, NUCLEUS, NO_WHITE_CELL, UNKNOWN = range(7)
"""Numbers of the classes of pixels in the truth; networks predict the first five."""

N_CLASSES = 5

POSSIBLE = (
    (1, 0, 0, 0, 0),
    (0, 1, 0, 0, 0),
    (0, 0, 1, 0, 0),
    (0, 0, 0, 1, 0),
    (0, 0, 0, 0, 1),
    (1, 1, 1, 0, 0),
    (1, 1, 1, 1, 1),
)
"""For each class of the truth, 1 for each predicted class that agrees with it."""


def segmentation_loss(logits: Any, classes: Any, depth: Any) -> Any:
    """Compute cross-entropy plus Dice loss plus depth loss of each sample.

    Parameters
    ----------
    logits : (n, H, W, 6) tensor
        Output of a network; see `unet`.
    classes : (n, H, W) tensor of int
        0 background, 1 red cell, 2 platelet, 3 cytoplasm, 4 nucleus; 5 any of the first three,
        where it is only known that there is no white cell; 6 unknown.
    depth : (n, H, W) tensor of float
        Depth inside the cell, 0 to 1.

    Returns
    -------
    (n,) tensor
        Mean cross-entropy of the classes, plus the mean over cell and nucleus of 1 minus the Dice
        of probability and truth, plus the mean binary cross-entropy of the depth minus its lowest
        possible value. Unknown pixels count as predicted.

    Notes
    -----
    Where several classes are possible, the cross-entropy is that of their sum. The Dice of
    probabilities `p` and truth `t` is ``(2 sum(p t) + 1) / (sum(p) + sum(t) + 1)`` [1]_, over the
    pixels of a sample; that of the cell takes ``p`` of cytoplasm and nucleus together.

    References
    ----------
    .. [1] F. Milletari, N. Navab and S.-A. Ahmadi, "V-Net: fully convolutional neural networks for
       volumetric medical image segmentation", 3DV 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import networks
    >>> zeros = np.zeros((2, 8, 8), np.float32)
    >>> loss = networks.segmentation_loss(np.zeros((2, 8, 8, 6), np.float32), zeros, zeros)
    >>> loss.shape == (2,)
    True
    """
    ops = need_keras("a loss").ops
    logits, depth = ops.cast(logits, "float32"), ops.cast(depth, "float32")
    pixels = (1, 2)
    possible = ops.take(np.array(POSSIBLE, np.float32), ops.cast(classes, "int32"), axis=0)
    known = ops.cast(ops.not_equal(ops.cast(classes, "int32"), UNKNOWN), "float32")
    p = ops.softmax(logits[..., :N_CLASSES], axis=-1)
    chance = ops.sum(possible * p, axis=-1)
    cross_entropy = -ops.mean(ops.log(ops.maximum(chance, 1e-7)), axis=pixels)
    dice_loss: Any = 0.0
    for first in (CYTOPLASM, NUCLEUS):
        predicted = known * ops.sum(p[..., first:], axis=-1)
        truth = known * ops.sum(possible[..., first:], axis=-1)
        truth = ops.minimum(truth, 1.0)
        both = 2.0 * ops.sum(predicted * truth, axis=pixels) + SMOOTH
        dice_loss = dice_loss + 1.0 - both / (ops.sum(predicted + truth, axis=pixels) + SMOOTH)
    z = logits[..., N_CLASSES]
    # Binary cross-entropy from logits, minus its value at z = logit(depth).
    safe = ops.clip(depth, 1e-6, 1.0 - 1e-6)
    least = -(safe * ops.log(safe) + (1.0 - safe) * ops.log(1.0 - safe))
    excess = ops.softplus(z) - depth * z - least
    depth_loss = ops.mean(known * excess, axis=pixels)
    return cross_entropy + DICE_WEIGHT * dice_loss / 2.0 + DEPTH_WEIGHT * depth_loss


def pixel_counts(
    logits: np.ndarray, classes: np.ndarray
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Count pixels for the Dice of cell and of nucleus: numerator and denominator of each."""
    known = classes != UNKNOWN
    true = np.where(classes == NO_WHITE_CELL, BACKGROUND, classes)[known]
    predicted = np.argmax(logits[..., :N_CLASSES], axis=-1)[known]
    counts = []
    for level in (CYTOPLASM, NUCLEUS):
        a, b = predicted >= level, true >= level
        counts.append((2 * int((a & b).sum()), int(a.sum()) + int(b.sum())))
    return counts[0], counts[1]
