"""Networks with a backbone of keras.applications, and VGG16 with batch normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hemafeat.networks._architectures.parts import (
    Shape,
    classify,
    feature_maps,
    scaled_input,
)
from hemafeat.networks._backbones import backbone
from hemafeat.networks._keras import need_keras

PREFIX = "keras:"
"""Beginning of the name of a network that is a backbone of Keras with a head."""


def of_backbone(
    name: str,
    input_shape: Shape | None,
    n_classes: int,
    weights: str | None,
    head: Sequence[int] | None,
    dropout: float | None,
) -> Any:
    """Build the network of a name such as ``"keras:DenseNet121"``; see `build`."""
    kind = backbone(name.removeprefix(PREFIX))
    dense = list(head) if isinstance(head, list | tuple) else []
    if (head is not None and not isinstance(head, list | tuple)) or not all(
        isinstance(units, int) and not isinstance(units, bool) and units > 0 for units in dense
    ):
        raise ValueError(f"head={head!r}: expected a list of numbers of nodes, such as [1024, 256]")
    shape = input_shape or (kind.size, kind.size, 3)
    return _with_head(
        kind.name.lower(), kind.name, shape, n_classes, weights, dense, dropout or 0.0
    )


def vgg16_head(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """Build VGG16 with global average pooling and three dense layers."""
    return _with_head("vgg16_head", "VGG16", input_shape, n_classes, weights, [1024, 512, 256])


def efficientnet_b1_head(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """Build EfficientNet-B1 with global average pooling and three dense layers with dropout."""
    return _with_head(
        "efficientnet_b1_head",
        "EfficientNetB1",
        input_shape,
        n_classes,
        weights,
        [1024, 512, 256],
        dropout=0.2,
    )


def inception_v3(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """Build Inception-v3 with global average pooling and a softmax."""
    return _with_head("inception_v3", "InceptionV3", input_shape, n_classes, weights, [])


def inception_resnet_v2(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """Build Inception-ResNet-v2 with global average pooling and a softmax."""
    return _with_head(
        "inception_resnet_v2", "InceptionResNetV2", input_shape, n_classes, weights, []
    )


def _with_head(
    name: str,
    kind: str,
    input_shape: Shape,
    n_classes: int,
    weights: str | None,
    dense: Sequence[int],
    dropout: float = 0.0,
) -> Any:
    """Build a backbone with global average pooling, dense layers and a softmax."""
    keras = need_keras("a network on images")
    layers = keras.layers
    image = keras.Input(input_shape, name="image")
    x = feature_maps(kind, image, weights).output
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    if dropout and not dense:
        x = layers.Dropout(dropout, name="dropout_1")(x)
    for number, units in enumerate(dense, 1):
        x = layers.Dense(units, activation="relu", name=f"dense_{number}")(x)
        if dropout:
            x = layers.Dropout(dropout, name=f"dropout_{number}")(x)
    return classify(image, x, n_classes, name)


def vgg16_bn(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """Build VGG16 with batch normalisation after every convolution and two dense layers of 4096."""
    layers = need_keras("a network on images").layers
    image, x = scaled_input(input_shape, "torch")
    blocks = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
    for block, (filters, depth) in enumerate(blocks, 1):
        for number in range(1, depth + 1):
            name = f"block_{block}_{number}"
            x = layers.Conv2D(filters, 3, padding="same", name=f"{name}_conv")(x)
            x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_normal")(x)
            x = layers.ReLU(name=f"{name}_relu")(x)
        x = layers.MaxPooling2D(2, name=f"pool_{block}")(x)
    x = layers.Flatten(name="flatten")(x)
    for number in (1, 2):
        x = layers.Dense(4096, activation="relu", name=f"dense_{number}")(x)
        x = layers.Dropout(0.5, name=f"dropout_{number}")(x)
    return classify(image, x, n_classes, "vgg16_bn")
