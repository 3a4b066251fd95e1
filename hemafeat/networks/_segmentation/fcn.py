"""FCN-8s on VGG16: the network the French report segmented its cells with."""

from __future__ import annotations

from typing import Any

import numpy as np

from hemafeat.networks._keras import need_keras
from hemafeat.networks._segmentation.unet import seeds


def fcn8s(
    n_classes: int = 3,
    *,
    side: int | None = 128,
    n_dense: int = 4096,
    dropout: float = 0.5,
    weights: str | None = None,
    random_state: int = 0,
) -> Any:
    """FCN-8s on VGG16.

    Parameters
    ----------
    n_classes : int
        Classes of a pixel; the report has three (cell, border band, background core).
    side : int or None
        Height and width of the input, a multiple of 32; 128 in the report. None takes any.
    n_dense : int
        Channels of the two layers that stand for VGG16's dense ones.
    dropout : float
        Share of their output dropped in training.
    weights : {"imagenet"} or path, optional
        Of VGG16 without its top; drawn at random when not given.
    random_state : int
        Seed of all other weights.

    Returns
    -------
    keras.Model
        From (n, side, side, 3) images as `keras.applications.vgg16.preprocess_input` gives them to
        (n, side, side, n_classes) logits.

    Raises
    ------
    ImportError
        Keras is not installed.
    ValueError
        A side that is no multiple of 32.

    Notes
    -----
    As in [1]_: 7 x 7 and 1 x 1 convolutions on the last pooling, scores doubled in size and added
    to those of the fourth and of the third pooling, and enlarged eightfold at once. Scores are
    enlarged by transposed convolutions that begin as bilinear interpolation and are learned. Unlike
    in [1]_ images are padded by half a window, not by 100 pixels, so nothing has to be cropped. The
    report trained it by Adam on the cross-entropy for 32 passes over 1,400 images.

    References
    ----------
    .. [1] J. Long, E. Shelhamer and T. Darrell, "Fully convolutional networks for semantic
       segmentation", CVPR 2015.
    """
    keras = need_keras("FCN-8s")
    if side is not None and (side < 32 or side % 32):
        raise ValueError(f"side is {side}, expected a multiple of 32")
    layers = keras.layers
    seed = seeds(random_state)

    def he() -> Any:
        return keras.initializers.HeNormal(seed=next(seed))

    def scored(x: Any, name: str) -> Any:
        return layers.Conv2D(n_classes, 1, kernel_initializer=he(), name=name)(x)

    def enlarged(x: Any, factor: int, name: str) -> Any:
        layer = layers.Conv2DTranspose(
            n_classes,
            2 * factor,
            strides=factor,
            padding="same",
            use_bias=False,
            kernel_initializer="zeros",
            name=name,
        )
        made = layer(x)
        # Not by an initialiser of our own: a file that names one can only be read beside us.
        layer.kernel.assign(_bilinear(tuple(layer.kernel.shape)))
        return made

    body = keras.applications.VGG16(include_top=False, weights=weights, input_shape=(side, side, 3))
    if weights is None:
        _draw_again(body, he)
    x = body.get_layer("block5_pool").output
    for number, size in ((6, 7), (7, 1)):
        x = layers.Conv2D(
            n_dense,
            size,
            padding="same",
            activation="relu",
            kernel_initializer=he(),
            name=f"dense_{number}",
        )(x)
        x = layers.Dropout(dropout, seed=next(seed), name=f"drop_{number}")(x)
    x = enlarged(scored(x, "score_32"), 2, "to_16")
    x = layers.Add(name="with_16")([x, scored(body.get_layer("block4_pool").output, "score_16")])
    x = enlarged(x, 2, "to_8")
    x = layers.Add(name="with_8")([x, scored(body.get_layer("block3_pool").output, "score_8")])
    return keras.Model(body.input, enlarged(x, 8, "logits"), name="fcn8s")


def _draw_again(body: Any, he: Any) -> None:
    # keras.applications draws from the global seed.
    for layer in body.layers:
        if hasattr(layer, "kernel"):
            layer.kernel.assign(he()(layer.kernel.shape))


def _bilinear(shape: tuple[int, ...]) -> np.ndarray:
    """The kernel of a transposed convolution that interpolates, each class by itself."""
    size, _, n_out, _ = shape
    centre = (size - 1) / 2
    ramp = 1.0 - np.abs(np.arange(size) - centre) / (size / 2)
    out = np.zeros(shape, np.float32)
    for i in range(n_out):
        out[:, :, i, i] = np.outer(ramp, ramp)
    return out
