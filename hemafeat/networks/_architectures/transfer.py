"""Networks with a backbone of keras.applications: VGG16 with a head, and the plain ones."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hemafeat.networks._architectures.ends import closed, opened
from hemafeat.networks._keras import need_keras

Shape = tuple[int, int, int]

# Name in keras.applications, the scale it was trained on, and its file of ImageNet weights.
_BACKBONES = {
    "VGG16": ("caffe", "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    "MobileNet": ("signed", "mobilenet_1_0_224_tf_no_top.h5"),
    "InceptionV3": ("signed", "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    "InceptionResNetV2": (
        "signed",
        "inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
    ),
    # Scales its images itself.
    "EfficientNetB1": (None, "efficientnetb1_notop.h5"),
}


def backbone(kind: str, image: Any, weights: str | None, name: str | None = None) -> Any:
    """The feature maps of a network of keras.applications, without its last layers.

    Parameters
    ----------
    kind : str
        Its name in ``keras.applications``.
    image : (n, H, W, 3) tensor
        Images of 0 to 255.
    weights : str, optional
        ``"imagenet"``, a file of weights, or None for random ones.
    name : str, optional
        What the scaling layer is called after.

    Returns
    -------
    keras.Model
        The backbone; its input is `image`, so that its layers are layers of the whole network.

    Raises
    ------
    ValueError
        A file that is not there, or ImageNet weights that cannot be fetched.
    """
    keras = need_keras("a network on images")
    from hemafeat.networks._layers import ScaledImage

    mode, file = _BACKBONES[kind]
    x = image if mode is None else ScaledImage(mode, name=f"scale_{(name or kind).lower()}")(image)
    make = getattr(keras.applications, kind)
    if weights not in (None, "imagenet") and not Path(str(weights)).is_file():
        raise ValueError(f"no file of weights: {weights}")
    given: dict[str, Any] = {"include_top": False, "weights": weights}
    if kind == "MobileNet":
        given["input_shape"] = tuple(image.shape[1:])
    try:
        return make(input_tensor=x, **given)
    except Exception as error:
        # Keras raises a bare Exception when it cannot fetch a file.
        if weights != "imagenet" or "URL fetch failure" not in str(error):
            raise
        raise ValueError(
            f"{kind}: the ImageNet weights cannot be fetched ({error}). Put the file {file} into "
            f"{_home() / 'models'}, or give a file as weights=PATH"
        ) from error


def _home() -> Path:
    """Where Keras keeps the files it fetches."""
    given = os.environ.get("KERAS_HOME")
    return Path(given) if given else Path.home() / ".keras"


def vgg16_head(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """VGG16, means of its maps, and three dense layers."""
    return _with_head("vgg16_head", "VGG16", input_shape, n_classes, weights, [1024, 512, 256])


def efficientnet_b1_head(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """EfficientNet-B1, means of its maps, and three dense layers with dropout."""
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
    """Inception-v3, means of its maps, and a softmax."""
    return _with_head("inception_v3", "InceptionV3", input_shape, n_classes, weights, [])


def inception_resnet_v2(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """Inception-ResNet-v2, means of its maps, and a softmax."""
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
    keras = need_keras("a network on images")
    layers = keras.layers
    image = keras.Input(input_shape, name="image")
    x = backbone(kind, image, weights).output
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    for place, units in enumerate(dense, 1):
        x = layers.Dense(units, activation="relu", name=f"dense_{place}")(x)
        if dropout:
            x = layers.Dropout(dropout, name=f"dropout_{place}")(x)
    return closed(image, x, n_classes, name)


def vgg16_bn(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """VGG16 with batch normalisation after every convolution, and its two wide dense layers."""
    layers = need_keras("a network on images").layers
    image, x = opened(input_shape, "torch")
    blocks = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
    for block, (filters, depth) in enumerate(blocks, 1):
        for place in range(1, depth + 1):
            name = f"block_{block}_{place}"
            x = layers.Conv2D(filters, 3, padding="same", name=f"{name}_conv")(x)
            x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_normal")(x)
            x = layers.ReLU(name=f"{name}_relu")(x)
        x = layers.MaxPooling2D(2, name=f"pool_{block}")(x)
    x = layers.Flatten(name="flatten")(x)
    for place in (1, 2):
        x = layers.Dense(4096, activation="relu", name=f"dense_{place}")(x)
        x = layers.Dropout(0.5, name=f"dropout_{place}")(x)
    return closed(image, x, n_classes, "vgg16_bn")
