"""Networks that look at one image in several ways: densities and cosines, streams, pairs."""

from __future__ import annotations

from typing import Any

from hemafeat.networks._architectures.ends import closed
from hemafeat.networks._architectures.transfer import backbone
from hemafeat.networks._keras import need_keras

Shape = tuple[int, int, int]


def leukonet_like(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """One branch on optical density, one on cosine coefficients; the layers are approximate."""
    return _leukonet("leukonet_like", input_shape, n_classes, density=True)


def leukonet_modified(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """One branch on RGB, one on cosine coefficients, as a public re-implementation has them."""
    return _leukonet("leukonet_modified", input_shape, n_classes, density=False)


def _leukonet(name: str, input_shape: Shape, n_classes: int, *, density: bool) -> Any:
    keras = need_keras("a network on images")
    from hemafeat.networks._layers import CosineTransform, OpticalDensity, ScaledImage

    image = keras.Input(input_shape, name="image")
    scaled = ScaledImage("unit", name="scale")(image)
    seen = OpticalDensity(name="density")(image) if density else scaled
    cosines = CosineTransform(name="cosines")(scaled)
    penalty = keras.regularizers.L1L2(l1=1e-4, l2=1e-4)
    x = keras.layers.Concatenate(name="both")(
        [
            _branch(keras, seen, "density" if density else "rgb", penalty),
            _branch(keras, cosines, "cosine", penalty),
        ]
    )
    for place in (1, 2):
        x = keras.layers.Dense(
            512, activation="relu", kernel_regularizer=penalty, name=f"dense_{place}"
        )(x)
    return closed(image, x, n_classes, name, kernel_regularizer=penalty)


def _branch(keras: Any, x: Any, name: str, penalty: Any) -> Any:
    """Five blocks of two convolutions; maxima after four of them and over all at the end."""
    layers = keras.layers
    for block, filters in enumerate((32, 32, 64, 64, 256), 1):
        for place in "ab":
            step = f"{name}_{block}{place}"
            x = layers.Conv2D(
                filters, 3, padding="same", kernel_regularizer=penalty, name=f"{step}_conv"
            )(x)
            x = layers.BatchNormalization(name=f"{step}_normal")(x)
            x = layers.ReLU(name=f"{step}_relu")(x)
            if place == "a":
                x = layers.Dropout(0.2, name=f"{step}_dropout")(x)
        if block < 5:
            x = layers.MaxPooling2D(2, name=f"{name}_{block}_pool")(x)
    return layers.GlobalMaxPooling2D(name=f"{name}_most")(x)


def xie_streams(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """Inception-ResNet-v2 three times: the image, the box round the cell, and HSV."""
    keras = need_keras("a network on images")
    from hemafeat.networks._layers import CellCrop, HueSaturationValue

    image = keras.Input(input_shape, name="image")
    streams = {
        "image": image,
        "crop": CellCrop(name="cell")(image),
        "hsv": HueSaturationValue(name="hsv")(image),
    }
    pooled = []
    for name, seen in streams.items():
        # Each in a model of its own: the layers of a backbone have names that occur but once.
        own = keras.Input(input_shape, name=f"{name}_in")
        maps = backbone("InceptionResNetV2", own, weights, name).output
        stream = keras.Model(
            own, keras.layers.GlobalAveragePooling2D(name="mean")(maps), name=f"stream_{name}"
        )
        pooled.append(stream(seen))
    x = keras.layers.Concatenate(name="streams")(pooled)
    x = keras.layers.Dense(512, activation="relu", name="dense_1")(x)
    return closed(image, x, n_classes, "xie_streams")


def kassani_pair(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """VGG16 and MobileNet, maps of layers in between and at the end joined."""
    keras = need_keras("a network on images")
    layers = keras.layers
    if weights not in (None, "imagenet"):
        raise ValueError("two backbones: weights are 'imagenet' or None, not one file")
    image = keras.Input(input_shape, name="image")
    vgg = backbone("VGG16", image, weights)
    mobile = backbone("MobileNet", image, weights)
    maps = [vgg.get_layer(f"block{block}_pool").output for block in (3, 4, 5)]
    maps += [mobile.get_layer(f"conv_pw_{block}_relu").output for block in (5, 11, 13)]
    x = layers.Concatenate(name="both")(
        [layers.GlobalAveragePooling2D(name=f"mean_{n}")(one) for n, one in enumerate(maps, 1)]
    )
    x = layers.Dense(512, activation="relu", name="dense_1")(x)
    x = layers.Dropout(0.5, name="dropout")(x)
    return closed(image, x, n_classes, "kassani_pair")
