"""A small U-Net that tells red cells, platelets, and cytoplasm and nuclei of white cells apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hemafeat.networks._keras import need_keras, seeds

CHANNELS = (32, 64, 128, 192)
"""Numbers of channels at half the size and after each further halving."""

OUTPUTS = ("background", "red cell", "platelet", "cytoplasm", "nucleus", "depth")
"""Channels of the output, all logits: five classes, and the depth inside the white cell."""


def unet(
    channels: Sequence[int] = CHANNELS,
    *,
    side: int | None = None,
    random_state: int = 0,
) -> Any:
    """Build a U-Net of depthwise separable convolutions.

    Parameters
    ----------
    channels : sequence of int
        Numbers of channels at half the size of the image and after each further halving.
    side : int, optional
        Height and width of the input in px, a multiple of ``2 ** len(channels)``. By default any
        multiple is accepted.
    random_state : int
        Seed of the weights.

    Returns
    -------
    keras.Model
        Network from (n, H, W, 3) optical densities relative to the white of the image (decadic, 0
        in the background) to (n, H, W, 6) logits. The softmax of the first five gives background,
        red cell, platelet, cytoplasm and nucleus. The sigmoid of the sixth gives the depth, the
        distance to the outside of the white cell over the largest one in it; a valley of depth
        separates cells that touch.

    Raises
    ------
    ImportError
        Keras is not installed.
    ValueError
        `channels` has fewer than two entries, or `side` cannot be halved so often.

    Notes
    -----
    The architecture is that of [1]_ with the depthwise separable convolutions and residual blocks
    of [2]_, and skip connections that are added as in [3]_, so that it is fast on a CPU. The first
    convolution halves the image and the last one doubles it, because every layer would cost four
    times as much at full size. The sizes are chosen for cells of about 60 px.

    References
    ----------
    .. [1] O. Ronneberger, P. Fischer and T. Brox, "U-Net: convolutional networks for biomedical
       image segmentation", MICCAI 2015.
    .. [2] F. Chollet, "Xception: deep learning with depthwise separable convolutions", CVPR 2017.
    .. [3] A. Chaurasia and E. Culurciello, "LinkNet: exploiting encoder representations for
       efficient semantic segmentation", VCIP 2017.

    Examples
    --------
    >>> from hemafeat import networks
    >>> networks.unet((8, 16), side=32).output_shape
    (None, 32, 32, 6)
    """
    keras = need_keras("a U-Net")
    if len(channels) < 2:
        raise ValueError("channels needs at least two entries")
    step = 2 ** len(channels)
    if side is not None and (side < step or side % step):
        raise ValueError(f"side must be a multiple of {step}, got {side}")
    layers = keras.layers
    make = _Layers(keras, random_state)
    density = keras.Input((side, side, 3), name="density")
    x = make.halve(density, channels[0], "stem")
    skips = []
    for level, n in enumerate(channels):
        if level:
            x = layers.MaxPooling2D(2, name=f"halve_{level}")(x)
        x = make.block(x, n, f"down_{level}")
        skips.append(x)
    for level in reversed(range(len(channels) - 1)):
        # Channels are reduced before upsampling, where each costs a quarter.
        x = make.narrow(x, channels[level], f"narrow_{level}")
        x = layers.UpSampling2D(2, interpolation="nearest", name=f"double_{level}")(x)
        x = layers.Add(name=f"join_{level}")([x, skips[level]])
        x = make.block(x, channels[level], f"up_{level}")
    logits = layers.Conv2DTranspose(
        len(OUTPUTS),
        2,
        strides=2,
        padding="same",
        kernel_initializer=make.small(),
        name="logits",
        dtype="float32",
    )(x)
    return keras.Model(density, logits, name="unet")


class _Layers:
    """Build layers whose seeds are derived from `random_state`."""

    def __init__(self, keras: Any, random_state: int) -> None:
        self.keras = keras
        self.seeds = seeds(random_state)

    def he(self) -> Any:
        return self.keras.initializers.HeNormal(seed=next(self.seeds))

    def small(self) -> Any:
        return self.keras.initializers.RandomNormal(stddev=0.05, seed=next(self.seeds))

    def normalise(self, x: Any, name: str, active: bool = True) -> Any:
        layers = self.keras.layers
        # With this momentum, statistics converge within a short training.
        x = layers.BatchNormalization(momentum=0.95, epsilon=1e-3, name=f"{name}_normal")(x)
        return layers.ReLU(name=f"{name}_relu")(x) if active else x

    def halve(self, x: Any, n: int, name: str) -> Any:
        # An even kernel has the same centre as the two pixels that are computed from it later.
        x = self.keras.layers.Conv2D(
            n, 4, strides=2, padding="same", use_bias=False, kernel_initializer=self.he(), name=name
        )(x)
        return self.normalise(x, name)

    def narrow(self, x: Any, n: int, name: str) -> Any:
        x = self.keras.layers.Conv2D(n, 1, use_bias=False, kernel_initializer=self.he(), name=name)(
            x
        )
        return self.normalise(x, name, active=False)

    def separable(self, x: Any, n: int, name: str, active: bool = True) -> Any:
        layers = self.keras.layers
        x = layers.DepthwiseConv2D(
            3, padding="same", use_bias=False, depthwise_initializer=self.he(), name=f"{name}_wide"
        )(x)
        x = layers.Conv2D(
            n, 1, use_bias=False, kernel_initializer=self.he(), name=f"{name}_across"
        )(x)
        return self.normalise(x, name, active)

    def block(self, x: Any, n: int, name: str) -> Any:
        layers = self.keras.layers
        first = self.separable(x, n, f"{name}_a")
        x = self.separable(first, n, f"{name}_b", active=False)
        x = layers.Add(name=f"{name}_sum")([x, first])
        return layers.ReLU(name=f"{name}_relu")(x)
