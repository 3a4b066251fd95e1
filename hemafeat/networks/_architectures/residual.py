"""ResNet-18 and SE-ResNeXt-50, which Keras does not include."""

from __future__ import annotations

from typing import Any

from hemafeat.networks._architectures.parts import Shape, classify, scaled_input
from hemafeat.networks._keras import need_keras


def resnet18(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """Build ResNet-18: four stages of two basic blocks."""
    layers = need_keras("a network on images").layers
    image, x = scaled_input(input_shape, "torch")
    x = _stem(layers, x)
    for stage, filters in enumerate((64, 128, 256, 512), 1):
        for block in (1, 2):
            stride = 2 if stage > 1 and block == 1 else 1
            name = f"stage_{stage}_{block}"
            y = _conv(layers, x, filters, 3, f"{name}_a", stride=stride)
            y = _conv(layers, y, filters, 3, f"{name}_b", relu=False)
            x = _add_shortcut(layers, x, y, stride, name)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    return classify(image, x, n_classes, "resnet18")


def se_resnext50(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """Build ResNeXt-50 (32 groups of 4) with squeeze and excitation by 16 in every block."""
    layers = need_keras("a network on images").layers
    image, x = scaled_input(input_shape)
    x = _stem(layers, x)
    for stage, (width, depth) in enumerate(((128, 3), (256, 4), (512, 6), (1024, 3)), 1):
        for block in range(1, depth + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            name = f"stage_{stage}_{block}"
            y = _conv(layers, x, width, 1, f"{name}_a")
            y = _conv(layers, y, width, 3, f"{name}_b", stride=stride, groups=32)
            y = _conv(layers, y, 2 * width, 1, f"{name}_c", relu=False)
            y = _squeeze_excite(layers, y, 16, name)
            x = _add_shortcut(layers, x, y, stride, name)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    return classify(image, x, n_classes, "se_resnext50")


def _stem(layers: Any, x: Any) -> Any:
    """Add 64 filters of 7 x 7 and max pooling of 3 x 3, both with stride 2."""
    x = _conv(layers, x, 64, 7, "start", stride=2)
    x = layers.ZeroPadding2D(1, name="start_pool_rim")(x)
    return layers.MaxPooling2D(3, 2, name="start_pool")(x)


def _conv(
    layers: Any,
    x: Any,
    filters: int,
    side: int,
    name: str,
    *,
    stride: int = 1,
    groups: int = 1,
    relu: bool = True,
) -> Any:
    """Add a convolution without bias, padded equally on all sides, and batch normalisation."""
    if side > 1:
        x = layers.ZeroPadding2D(side // 2, name=f"{name}_rim")(x)
    x = layers.Conv2D(
        filters,
        side,
        strides=stride,
        groups=groups,
        use_bias=False,
        name=f"{name}_conv",
        kernel_initializer="he_normal",
    )(x)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_normal")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if relu else x


def _squeeze_excite(layers: Any, x: Any, reduction: int, name: str) -> Any:
    """Weight the channels by a small network on their means (squeeze and excitation)."""
    channels = x.shape[-1]
    weight = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)
    weight = layers.Conv2D(channels // reduction, 1, activation="relu", name=f"{name}_reduce")(
        weight
    )
    weight = layers.Conv2D(channels, 1, activation="sigmoid", name=f"{name}_excite")(weight)
    return layers.Multiply(name=f"{name}_weigh")([x, weight])


def _add_shortcut(layers: Any, x: Any, y: Any, stride: int, name: str) -> Any:
    """Add the input of a block to its output, projected to the same shape if necessary."""
    if stride != 1 or x.shape[-1] != y.shape[-1]:
        x = _conv(layers, x, y.shape[-1], 1, f"{name}_short", stride=stride, relu=False)
    return layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([x, y]))
