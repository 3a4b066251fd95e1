"""FCN-8s on VGG16, the segmentation network of the French report."""

from __future__ import annotations

from typing import Any

import numpy as np

from hemafeat.networks._keras import need_keras, seeds


def fcn8s(
    n_classes: int = 3,
    *,
    side: int | None = 128,
    n_dense: int = 4096,
    dropout: float = 0.5,
    weights: str | None = None,
    random_state: int = 0,
) -> Any:
    """Build FCN-8s on VGG16.

    Parameters
    ----------
    n_classes : int
        Number of classes of a pixel; the report has three (cell, border band, background core).
    side : int or None
        Height and width of the input in px, a multiple of 32; 128 in the report. None accepts any
        multiple.
    n_dense : int
        Number of channels of the two layers that replace the dense layers of VGG16.
    dropout : float
        Share of the output of these layers that is dropped in training.
    weights : {"imagenet"} or path, optional
        Weights of VGG16 without its last layers. By default they are random.
    random_state : int
        Seed of all other weights.

    Returns
    -------
    keras.Model
        Network from (n, side, side, 3) images, preprocessed by
        `keras.applications.vgg16.preprocess_input`, to (n, side, side, n_classes) logits.

    Raises
    ------
    ImportError
        Keras is not installed.
    ValueError
        `side` is not a multiple of 32.

    Notes
    -----
    As in [1]_, 7 x 7 and 1 x 1 convolutions follow the last pooling; their scores are doubled in
    size and added to those of the fourth and then of the third pooling, and finally enlarged
    eightfold. Scores are enlarged by transposed convolutions that start as bilinear interpolation
    and are learned. Unlike in [1]_, images are padded by half a window, not by 100 pixels, so that
    nothing has to be cropped. The report trained the network with Adam on the cross-entropy for 32
    epochs of 1,400 images.

    References
    ----------
    .. [1] J. Long, E. Shelhamer and T. Darrell, "Fully convolutional networks for semantic
       segmentation", CVPR 2015.

    Examples
    --------
    >>> from hemafeat import networks
    >>> networks.fcn8s(side=32, n_dense=16).output_shape
    (None, 32, 32, 3)
    """
    keras = need_keras("FCN-8s")
    if side is not None and (side < 32 or side % 32):
        raise ValueError(f"side must be a multiple of 32, got {side}")
    layers = keras.layers
    seed = seeds(random_state)

    def he() -> Any:
        return keras.initializers.HeNormal(seed=next(seed))

    def scores(x: Any, name: str) -> Any:
        return layers.Conv2D(n_classes, 1, kernel_initializer=he(), name=name)(x)

    def enlarge(x: Any, factor: int, name: str) -> Any:
        layer = layers.Conv2DTranspose(
            n_classes,
            2 * factor,
            strides=factor,
            padding="same",
            use_bias=False,
            kernel_initializer="zeros",
            name=name,
        )
        output = layer(x)
        # A file with a custom initialiser could only be read by this package.
        layer.kernel.assign(_bilinear(tuple(layer.kernel.shape)))
        return output

    body = keras.applications.VGG16(include_top=False, weights=weights, input_shape=(side, side, 3))
    if weights is None:
        _reinitialise(body, he)
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
    x = enlarge(scores(x, "score_32"), 2, "to_16")
    x = layers.Add(name="with_16")([x, scores(body.get_layer("block4_pool").output, "score_16")])
    x = enlarge(x, 2, "to_8")
    x = layers.Add(name="with_8")([x, scores(body.get_layer("block3_pool").output, "score_8")])
    return keras.Model(body.input, enlarge(x, 8, "logits"), name="fcn8s")


def _reinitialise(body: Any, he: Any) -> None:
    # keras.applications uses the global seed.
    for layer in body.layers:
        if hasattr(layer, "kernel"):
            layer.kernel.assign(he()(layer.kernel.shape))


def _bilinear(shape: tuple[int, ...]) -> np.ndarray:
    """Return the kernel of a transposed convolution that interpolates each class separately."""
    size, _, n_out, _ = shape
    centre = (size - 1) / 2
    ramp = 1.0 - np.abs(np.arange(size) - centre) / (size / 2)
    out = np.zeros(shape, np.float32)
    for i in range(n_out):
        out[:, :, i, i] = np.outer(ramp, ramp)
    return out
