"""AlexNet, in one tower, and behind a stain-deconvolution layer."""

from __future__ import annotations

from typing import Any

from hemafeat.networks._ends import closed
from hemafeat.networks._keras import need_keras

Shape = tuple[int, int, int]


def alexnet(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """AlexNet in one tower: every filter sees every channel."""
    return _alexnet("alexnet", input_shape, n_classes, groups=1, stains=False)


def alexnet_grouped(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """AlexNet with the second, fourth and fifth convolutions in two groups, as printed in 2012."""
    return _alexnet("alexnet_grouped", input_shape, n_classes, groups=2, stains=False)


def sd_alexnet(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """AlexNet on the quantities of three stains, whose colours are learned."""
    return _alexnet("sd_alexnet", input_shape, n_classes, groups=1, stains=True)


def _alexnet(name: str, input_shape: Shape, n_classes: int, *, groups: int, stains: bool) -> Any:
    keras = need_keras("a network on images")
    from hemafeat.networks._layers import (
        NeighbourNormalisation,
        OpticalDensity,
        ScaledImage,
        StainDeconvolution,
    )

    layers = keras.layers
    image = keras.Input(input_shape, name="image")
    if stains:
        x = StainDeconvolution(name="stains")(OpticalDensity(name="density")(image))
    else:
        x = ScaledImage("unit", name="scale")(image)

    def conv(x: Any, place: int, filters: int, side: int, groups: int = 1, **given: Any) -> Any:
        return layers.Conv2D(
            filters, side, groups=groups, activation="relu", name=f"conv_{place}", **given
        )(x)

    x = NeighbourNormalisation(name="normal_1")(conv(x, 1, 96, 11, strides=4))
    x = layers.MaxPooling2D(3, 2, name="pool_1")(x)
    x = conv(x, 2, 256, 5, groups, padding="same")
    x = NeighbourNormalisation(name="normal_2")(x)
    x = layers.MaxPooling2D(3, 2, name="pool_2")(x)
    x = conv(x, 3, 384, 3, padding="same")
    x = conv(x, 4, 384, 3, groups, padding="same")
    x = conv(x, 5, 256, 3, groups, padding="same")
    x = layers.MaxPooling2D(3, 2, name="pool_5")(x)
    x = layers.Flatten(name="flatten")(x)
    for place in (1, 2):
        x = layers.Dense(4096, activation="relu", name=f"dense_{place}")(x)
        x = layers.Dropout(0.5, name=f"dropout_{place}")(x)
    return closed(image, x, n_classes, name)
