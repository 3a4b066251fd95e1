"""Networks with a backbone of keras.applications."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hemafeat.networks._architectures.parts import (
    Shape,
    classify,
    feature_maps,
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
    if kind.layout is not None:
        raise ValueError(
            f"{name}: {kind.name} is not one of the backbones of Keras; it gives embeddings, and "
            "what can be trained is listed by networks.architectures"
        )
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
