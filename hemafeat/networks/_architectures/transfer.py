"""Networks with a backbone of keras.applications."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hemafeat.networks._architectures.parts import Shape, classify, feature_maps
from hemafeat.networks._keras import need_keras


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
    for number, units in enumerate(dense, 1):
        x = layers.Dense(units, activation="relu", name=f"dense_{number}")(x)
        if dropout:
            x = layers.Dropout(dropout, name=f"dropout_{number}")(x)
    return classify(image, x, n_classes, name)
