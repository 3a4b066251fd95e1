"""Loss and scores of networks that segment cells."""

from __future__ import annotations

from typing import Any

import numpy as np

from hemafeat.networks._keras import need_keras

SMOOTH = 1.0
"""Number of pixels added to numerator and denominator of each Dice, for empty masks."""

DEPTH_WEIGHT = 1.0
DICE_WEIGHT = 1.0


def segmentation_loss(logits: Any, classes: Any, depth: Any) -> Any:
    """Compute cross-entropy plus Dice loss plus depth loss of each sample.

    Parameters
    ----------
    logits : (n, H, W, 4) tensor
        Output of a network; see `unet`.
    classes : (n, H, W) tensor of int
        0 background, 1 cytoplasm, 2 nucleus.
    depth : (n, H, W) tensor of float
        Depth inside the cell, 0 to 1.

    Returns
    -------
    (n,) tensor
        Mean cross-entropy of the classes, plus the mean over cell and nucleus of 1 minus the Dice
        of probability and truth, plus the mean binary cross-entropy of the depth minus its lowest
        possible value.

    Notes
    -----
    The Dice of probabilities `p` and truth `t` is ``(2 sum(p t) + 1) / (sum(p) + sum(t) + 1)``
    [1]_, over the pixels of a sample; that of the cell takes ``p`` of cytoplasm and nucleus
    together.

    References
    ----------
    .. [1] F. Milletari, N. Navab and S.-A. Ahmadi, "V-Net: fully convolutional neural networks for
       volumetric medical image segmentation", 3DV 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import networks
    >>> zeros = np.zeros((2, 8, 8), np.float32)
    >>> loss = networks.segmentation_loss(np.zeros((2, 8, 8, 4), np.float32), zeros, zeros)
    >>> loss.shape == (2,)
    True
    """
    ops = need_keras("a loss").ops
    logits, depth = ops.cast(logits, "float32"), ops.cast(depth, "float32")
    pixels = (1, 2)
    true = ops.one_hot(ops.cast(classes, "int32"), 3, dtype="float32")
    log_p = ops.log_softmax(logits[..., :3], axis=-1)
    cross_entropy = -ops.mean(ops.sum(true * log_p, axis=-1), axis=pixels)
    p = ops.exp(log_p)
    dice_loss: Any = 0.0
    for predicted, truth in (
        (1.0 - p[..., 0], 1.0 - true[..., 0]),
        (p[..., 2], true[..., 2]),
    ):
        both = 2.0 * ops.sum(predicted * truth, axis=pixels) + SMOOTH
        dice_loss = dice_loss + 1.0 - both / (ops.sum(predicted + truth, axis=pixels) + SMOOTH)
    z = logits[..., 3]
    # Binary cross-entropy from logits, minus its value at z = logit(depth).
    safe = ops.clip(depth, 1e-6, 1.0 - 1e-6)
    least = -(safe * ops.log(safe) + (1.0 - safe) * ops.log(1.0 - safe))
    excess = ops.softplus(z) - depth * z - least
    depth_loss = ops.mean(excess, axis=pixels)
    return cross_entropy + DICE_WEIGHT * dice_loss / 2.0 + DEPTH_WEIGHT * depth_loss


def pixel_counts(
    logits: np.ndarray, classes: np.ndarray
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Count pixels for the Dice of cell and of nucleus: numerator and denominator of each."""
    predicted = np.argmax(logits[..., :3], axis=-1)
    counts = []
    for level in (1, 2):
        a, b = predicted >= level, classes >= level
        counts.append((2 * int((a & b).sum()), int(a.sum()) + int(b.sum())))
    return counts[0], counts[1]
