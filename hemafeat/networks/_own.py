"""Networks that Keras lacks, in the layout of the files they are published with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from hemafeat.networks._keras import need_keras


@dataclass(frozen=True)
class OwnNetwork:
    """A network in two parts.

    Attributes
    ----------
    maps : callable
        ``maps(images)`` returns the last feature maps of scaled images.
    features : callable
        ``features(maps)`` returns the input of the last layer.
    scale : str or None
        Scale of the images, see `ScaledImage`. None if `maps` takes values of 0 to 255.
    """

    maps: Callable[[Any], Any]
    features: Callable[[Any], Any]
    scale: str | None = "torch"


def classify(
    image: Any, features: Any, n_classes: int, name: str, *, sigmoid: bool = False, **dense: Any
) -> Any:
    """Build the network from `image` to the probabilities of the classes.

    The last dense layer is called ``logit`` and gives the score before the softmax, as Grad-CAM
    needs it. With `sigmoid` two classes share one output, the probability of the second.
    """
    keras = need_keras("a network on images")
    binary = sigmoid and n_classes == 2
    logit = keras.layers.Dense(1 if binary else n_classes, name="logit", **dense)(features)
    # Probabilities stay in single precision if the rest is computed in half precision.
    probability = keras.layers.Activation(
        "sigmoid" if binary else "softmax", dtype="float32", name="probability"
    )(logit)
    return keras.Model(image, probability, name=name)


def own_network(
    name: str,
    image: Any,
    n_classes: int | None,
    *,
    scale: str | None = "",
    scale_name: str = "scale",
) -> Any:
    """Build a network of `OWN`.

    Parameters
    ----------
    name : str
        Its name.
    image : (n, H, W, 3) tensor
        Images of 0 to 255.
    n_classes : int or None
        Number of classes. None for the network up to its last feature maps.
    scale : str or None, optional
        Scale of the images. By default that of the published weights.
    scale_name : str
        Name of the layer that scales the images.

    Returns
    -------
    keras.Model
    """
    keras = need_keras("a network on images")
    from hemafeat.networks._layers import ScaledImage

    network = OWN[name]
    scale = network.scale if scale == "" else scale
    x = image if scale is None else ScaledImage(scale, name=scale_name)(image)
    maps = network.maps(x)
    if n_classes is None:
        return keras.Model(image, maps, name=name)
    return classify(image, network.features(maps), n_classes, name)


def architecture(name: str, scale: str | None = "") -> Callable[..., Any]:
    """Return the function that `Architecture.make` is for a network of `OWN`."""

    def make(input_shape: tuple[int, int, int], n_classes: int, weights: str | None) -> Any:
        image = need_keras("a network on images").Input(input_shape, name="image")
        return own_network(name, image, n_classes, scale=scale)

    return make


def _residual(
    x: Any,
    depths: tuple[int, ...],
    *,
    bottleneck: bool,
    groups: int = 1,
    group_width: int = 64,
    squeeze: bool = False,
) -> Any:
    """Add a residual network: a stem and four stages of blocks with a shortcut."""
    layers = need_keras("a network on images").layers
    x = _stem(layers, x, caffe=squeeze)
    for stage, depth in enumerate(depths, 1):
        filters = 32 * 2**stage
        for block in range(1, depth + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            name = f"stage_{stage}_{block}"
            if bottleneck:
                width = filters * group_width // 64 * groups
                y = _conv(layers, x, width, 1, f"{name}_a")
                # The stride is that of the middle convolution, as in torchvision.
                y = _conv(layers, y, width, 3, f"{name}_b", stride=stride, groups=groups)
                y = _conv(layers, y, 4 * filters, 1, f"{name}_c", relu=False)
            else:
                y = _conv(layers, x, filters, 3, f"{name}_a", stride=stride)
                y = _conv(layers, y, filters, 3, f"{name}_b", relu=False)
            if squeeze:
                y = _squeeze_excite(layers, y, 16, name)
            x = _add_shortcut(layers, x, y, stride, name)
    return x


def _stem(layers: Any, x: Any, *, caffe: bool) -> Any:
    """Add 64 filters of 7 x 7 and max pooling of 3 x 3, both with stride 2."""
    x = _conv(layers, x, 64, 7, "start", stride=2)
    # Networks that come from Caffe fill up at the right and at the bottom only.
    rims = [(0, (side - 3) % 2) if caffe else (1, 1) for side in x.shape[1:3]]
    x = layers.ZeroPadding2D(rims, name="start_pool_rim")(x)
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


def _mean(x: Any) -> Any:
    """Average the maps over the image."""
    return need_keras("a network on images").layers.GlobalAveragePooling2D(name="mean")(x)


VGG16_BN_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Filters and number of the convolutions of each block of VGG16."""


def _vgg16_bn(x: Any) -> Any:
    """Add VGG16 with batch normalisation after every convolution."""
    layers = need_keras("a network on images").layers
    for block, (filters, depth) in enumerate(VGG16_BN_BLOCKS, 1):
        for number in range(1, depth + 1):
            name = f"block_{block}_{number}"
            x = layers.Conv2D(filters, 3, padding="same", name=f"{name}_conv")(x)
            x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_normal")(x)
            x = layers.ReLU(name=f"{name}_relu")(x)
        x = layers.MaxPooling2D(2, name=f"pool_{block}")(x)
    return x


def _alexnet_2014(x: Any) -> Any:
    """Add the five convolutions of the AlexNet in one tower of 2014."""
    layers = need_keras("a network on images").layers
    for number, (filters, side, rim) in enumerate(
        ((64, 11, 2), (192, 5, 2), (384, 3, 1), (256, 3, 1), (256, 3, 1)), 1
    ):
        x = layers.ZeroPadding2D(rim, name=f"conv_{number}_rim")(x)
        stride = 4 if number == 1 else 1
        x = layers.Conv2D(filters, side, strides=stride, activation="relu", name=f"conv_{number}")(
            x
        )
        if number in (1, 2, 5):
            x = layers.MaxPooling2D(3, 2, name=f"pool_{number}")(x)
    return x


def _two_dense(x: Any, *, dropout_first: bool) -> Any:
    """Add two dense layers of 4,096 with dropout after or before each."""
    layers = need_keras("a network on images").layers
    x = layers.Flatten(name="flatten")(x)
    for number in (1, 2):
        dense = layers.Dense(4096, activation="relu", name=f"dense_{number}")
        dropout = layers.Dropout(0.5, name=f"dropout_{number}")
        x = dense(dropout(x)) if dropout_first else dropout(dense(x))
    return x


def _efficientnet_lite0(x: Any) -> Any:
    """Add EfficientNet-Lite0: inverted bottlenecks with ReLU6, without squeeze and excitation."""
    layers = need_keras("a network on images").layers
    # The images are scaled as in its training: (I - 127) / 128.
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="lite_scale")(x)
    x = _lite_conv(layers, x, 32, 3, "start", stride=2)
    number = 0
    for repeats, side, stride, expansion, filters in (
        (1, 3, 1, 1, 16),
        (2, 3, 2, 6, 24),
        (2, 5, 2, 6, 40),
        (3, 3, 2, 6, 80),
        (3, 5, 1, 6, 112),
        (4, 5, 2, 6, 192),
        (1, 3, 1, 6, 320),
    ):
        for repeat in range(repeats):
            name, channels, y = f"block_{number}", x.shape[-1], x
            step = stride if repeat == 0 else 1
            if expansion > 1:
                y = _lite_conv(layers, y, channels * expansion, 1, f"{name}_expand")
            y = _lite_conv(layers, y, None, side, f"{name}_depth", stride=step)
            y = _lite_conv(layers, y, filters, 1, f"{name}_project", relu=False)
            if step == 1 and channels == filters:
                y = layers.Add(name=f"{name}_add")([y, x])
            x, number = y, number + 1
    return _lite_conv(layers, x, 1280, 1, "end")


def _lite_conv(
    layers: Any,
    x: Any,
    filters: int | None,
    side: int,
    name: str,
    *,
    stride: int = 1,
    relu: bool = True,
) -> Any:
    """Add a convolution, depthwise if `filters` is None, batch normalisation and ReLU6."""
    given: dict[str, Any] = {"strides": stride, "padding": "same", "use_bias": False}
    if filters is None:
        x = layers.DepthwiseConv2D(side, name=f"{name}_conv", **given)(x)
    else:
        x = layers.Conv2D(
            filters, side, kernel_initializer="he_normal", name=f"{name}_conv", **given
        )(x)
    x = layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=f"{name}_normal")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x) if relu else x


def _lite_features(x: Any) -> Any:
    """Average the maps over the image, with the dropout of its training."""
    layers = need_keras("a network on images").layers
    return layers.Dropout(0.2, name="dropout")(_mean(x))


def _dinov2(x: Any, width: int, depth: int, n_heads: int, gated: bool = False) -> Any:
    """Add a vision transformer of DINOv2 on patches of 14 px, up to its class token."""
    layers = need_keras("a network on images").layers
    from hemafeat.networks._transformer import FirstToken, PatchTokens, TransformerBlock

    if x.shape[1] != x.shape[2] or x.shape[1] % 14:
        raise ValueError(f"DINOv2 needs squares with a multiple of 14 px, not {x.shape[1:3]}")
    # A gate halves the network, which is rounded to a multiple of 8.
    hidden = -(-(4 * width * 2 // 3) // 8) * 8 if gated else 4 * width
    x = layers.Conv2D(width, 14, strides=14, name="patches")(x)
    x = PatchTokens(name="tokens")(x)
    for block in range(depth):
        x = TransformerBlock(n_heads, hidden, gated, name=f"block_{block}")(x)
    return layers.LayerNormalization(epsilon=1e-6, name="normal")(FirstToken(name="token")(x))


def _unchanged(x: Any) -> Any:
    return x


def _residual_network(*depths: int, **given: Any) -> OwnNetwork:
    return OwnNetwork(partial(_residual, depths=depths, **given), _mean)


OWN: dict[str, OwnNetwork] = {
    "resnet18": _residual_network(2, 2, 2, 2, bottleneck=False),
    "resnet34": _residual_network(3, 4, 6, 3, bottleneck=False),
    "resnet50": _residual_network(3, 4, 6, 3, bottleneck=True),
    "resnet101": _residual_network(3, 4, 23, 3, bottleneck=True),
    "resnet152": _residual_network(3, 8, 36, 3, bottleneck=True),
    "resnext50": _residual_network(3, 4, 6, 3, bottleneck=True, groups=32, group_width=4),
    "resnext101": _residual_network(3, 4, 23, 3, bottleneck=True, groups=32, group_width=8),
    "se_resnext50": _residual_network(
        3, 4, 6, 3, bottleneck=True, groups=32, group_width=4, squeeze=True
    ),
    "vgg16_bn": OwnNetwork(_vgg16_bn, partial(_two_dense, dropout_first=False)),
    "alexnet_2014": OwnNetwork(_alexnet_2014, partial(_two_dense, dropout_first=True)),
    "efficientnet_lite0": OwnNetwork(_efficientnet_lite0, _lite_features, None),
    "dinov2_s": OwnNetwork(partial(_dinov2, width=384, depth=12, n_heads=6), _unchanged),
    "dinov2_b": OwnNetwork(partial(_dinov2, width=768, depth=12, n_heads=12), _unchanged),
    "dinov2_l": OwnNetwork(partial(_dinov2, width=1024, depth=24, n_heads=16), _unchanged),
    "dinov2_g": OwnNetwork(
        partial(_dinov2, width=1536, depth=40, n_heads=24, gated=True), _unchanged
    ),
}
"""Networks by name."""
