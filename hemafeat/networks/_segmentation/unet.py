"""A small U-Net that tells background, cytoplasm and nucleus, and where each cell is deepest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hemafeat.networks._keras import need_keras

CHANNELS = (32, 64, 128, 192)
"""Channels at half the size and after each further halving."""

OUTPUTS = ("background", "cytoplasm", "nucleus", "depth")
"""Channels of the output, all of them logits: three classes, and the depth inside the cell."""


def unet(
    channels: Sequence[int] = CHANNELS,
    *,
    side: int | None = None,
    random_state: int = 0,
) -> Any:
    """A U-Net of depthwise separable convolutions.

    Parameters
    ----------
    channels : sequence of int
        Channels at half the size of the image and after each further halving.
    side : int, optional
        Height and width of the input, a multiple of ``2 ** len(channels)``; any multiple when not
        given.
    random_state : int
        Seed of the weights.

    Returns
    -------
    keras.Model
        From (n, H, W, 3) optical densities relative to the white of the image (decadic, 0 on the
        background) to (n, H, W, 4) logits, see `OUTPUTS`: softmax of the first three gives the
        classes, sigmoid of the fourth the depth: distance to the outside of the cell over the
        largest one in it. Between two cells that touch there is a valley of depth, in which they
        are parted.

    Raises
    ------
    ImportError
        Keras is not installed.
    ValueError
        Fewer than two entries in `channels`, or a side that cannot be halved so often.

    Notes
    -----
    The shape is that of [1]_, with the depthwise separable convolutions and the sums over a block
    of [2]_, and with what comes from below added to what comes from the side as in [3]_, so that a
    CPU is fast enough. The image is halved by the first convolution and doubled by the last one,
    which writes the four pixels under each of its inputs from 4 x 4 weights of their own: at full
    size every layer would cost four times as much. The sizes are chosen for cells of some 60
    pixels.

    References
    ----------
    .. [1] O. Ronneberger, P. Fischer and T. Brox, "U-Net: convolutional networks for biomedical
       image segmentation", MICCAI 2015.
    .. [2] F. Chollet, "Xception: deep learning with depthwise separable convolutions", CVPR 2017.
    .. [3] A. Chaurasia and E. Culurciello, "LinkNet: exploiting encoder representations for
       efficient semantic segmentation", VCIP 2017.
    """
    keras = need_keras("a U-Net")
    if len(channels) < 2:
        raise ValueError("channels needs two entries at least")
    step = 2 ** len(channels)
    if side is not None and (side < step or side % step):
        raise ValueError(f"side is {side}, expected a multiple of {step}")
    layers = keras.layers
    make = _Layers(keras, random_state)
    given = keras.Input((side, side, 3), name="density")
    x = make.halved(given, channels[0], "stem")
    skips = []
    for level, n in enumerate(channels):
        if level:
            x = layers.MaxPooling2D(2, name=f"halve_{level}")(x)
        x = make.block(x, n, f"down_{level}")
        skips.append(x)
    for level in reversed(range(len(channels) - 1)):
        # Narrowed while small: above, every channel costs four times as much.
        x = make.narrowed(x, channels[level], f"narrow_{level}")
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
    return keras.Model(given, logits, name="unet")


class _Layers:
    """Layers with seeds of their own, so that the same `random_state` gives the same weights."""

    def __init__(self, keras: Any, random_state: int) -> None:
        self.keras = keras
        self.seeds = seeds(random_state)

    def he(self) -> Any:
        return self.keras.initializers.HeNormal(seed=next(self.seeds))

    def small(self) -> Any:
        return self.keras.initializers.RandomNormal(stddev=0.05, seed=next(self.seeds))

    def normal(self, x: Any, name: str, active: bool = True) -> Any:
        layers = self.keras.layers
        # Statistics settle within some tens of steps: a short training must be usable as well.
        x = layers.BatchNormalization(momentum=0.95, epsilon=1e-3, name=f"{name}_normal")(x)
        return layers.ReLU(name=f"{name}_relu")(x) if active else x

    def halved(self, x: Any, n: int, name: str) -> Any:
        # Of 4 pixels, so that the middle of what is read is the middle of the two written from it.
        x = self.keras.layers.Conv2D(
            n, 4, strides=2, padding="same", use_bias=False, kernel_initializer=self.he(), name=name
        )(x)
        return self.normal(x, name)

    def narrowed(self, x: Any, n: int, name: str) -> Any:
        x = self.keras.layers.Conv2D(n, 1, use_bias=False, kernel_initializer=self.he(), name=name)(
            x
        )
        return self.normal(x, name, active=False)

    def separable(self, x: Any, n: int, name: str, active: bool = True) -> Any:
        layers = self.keras.layers
        x = layers.DepthwiseConv2D(
            3, padding="same", use_bias=False, depthwise_initializer=self.he(), name=f"{name}_wide"
        )(x)
        x = layers.Conv2D(
            n, 1, use_bias=False, kernel_initializer=self.he(), name=f"{name}_across"
        )(x)
        return self.normal(x, name, active)

    def block(self, x: Any, n: int, name: str) -> Any:
        layers = self.keras.layers
        first = self.separable(x, n, f"{name}_a")
        x = self.separable(first, n, f"{name}_b", active=False)
        x = layers.Add(name=f"{name}_sum")([x, first])
        return layers.ReLU(name=f"{name}_relu")(x)


def seeds(random_state: int) -> Iterator[int]:
    """Seeds one after the other, far from those of the next `random_state`."""
    number = (random_state * 1009) % (2**31 - 2000)
    while True:
        number += 1
        yield number
