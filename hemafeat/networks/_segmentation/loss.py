"""What a network that outlines cells is taught by."""

from __future__ import annotations

from typing import Any

import numpy as np

from hemafeat.networks._keras import need_keras

SMOOTH = 1.0
"""Pixels added to both sides of each Dice, so that an empty mask is not all or nothing."""

DEPTH_WEIGHT = 1.0
DICE_WEIGHT = 1.0


def segmentation_loss(logits: Any, classes: Any, depth: Any) -> Any:
    """Cross-entropy, Dice and depth, for each sample.

    Parameters
    ----------
    logits : (n, H, W, 4) tensor
        See `unet`.
    classes : (n, H, W) tensor of int
        0 background, 1 cytoplasm, 2 nucleus.
    depth : (n, H, W) tensor of float
        Depth inside the cell, 0 to 1.

    Returns
    -------
    (n,) tensor
        Mean cross-entropy of the classes, plus the mean over cell and nucleus of 1 less the Dice
        of probability and truth, plus the mean binary cross-entropy of the depth less the least
        there can be.

    Notes
    -----
    The Dice of probabilities `p` and truth `t` is ``(2 sum(p t) + 1) / (sum(p) + sum(t) + 1)``
    [1]_, over the pixels of a sample; that of the cell takes ``p`` of cytoplasm and nucleus
    together.

    References
    ----------
    .. [1] F. Milletari, N. Navab and S.-A. Ahmadi, "V-Net: fully convolutional neural networks for
       volumetric medical image segmentation", 3DV 2016.
    """
    ops = need_keras("a loss").ops
    logits, depth = ops.cast(logits, "float32"), ops.cast(depth, "float32")
    pixels = (1, 2)
    true = ops.one_hot(ops.cast(classes, "int32"), 3, dtype="float32")
    log_p = ops.log_softmax(logits[..., :3], axis=-1)
    crossed = -ops.mean(ops.sum(true * log_p, axis=-1), axis=pixels)
    p = ops.exp(log_p)
    lost: Any = 0.0
    for guess, truth in (
        (1.0 - p[..., 0], 1.0 - true[..., 0]),
        (p[..., 2], true[..., 2]),
    ):
        both = 2.0 * ops.sum(guess * truth, axis=pixels) + SMOOTH
        lost = lost + 1.0 - both / (ops.sum(guess + truth, axis=pixels) + SMOOTH)
    z = logits[..., 3]
    # Binary cross-entropy from logits, less its value at z = logit(depth).
    safe = ops.clip(depth, 1e-6, 1.0 - 1e-6)
    least = -(safe * ops.log(safe) + (1.0 - safe) * ops.log(1.0 - safe))
    apart = ops.softplus(z) - depth * z - least
    return crossed + DICE_WEIGHT * lost / 2.0 + DEPTH_WEIGHT * ops.mean(apart, axis=pixels)


def pixel_counts(
    logits: np.ndarray, classes: np.ndarray
) -> tuple[tuple[int, int], tuple[int, int]]:
    """For cell and nucleus: twice the pixels guessed right, and those guessed plus those true."""
    guess = np.argmax(logits[..., :3], axis=-1)
    found = []
    for level in (1, 2):
        a, b = guess >= level, classes >= level
        found.append((2 * int((a & b).sum()), int(a.sum()) + int(b.sum())))
    return found[0], found[1]
