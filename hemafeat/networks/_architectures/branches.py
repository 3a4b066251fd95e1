"""Networks with several branches: densities and cosines, streams, two backbones, a box."""

from __future__ import annotations

from typing import Any

from hemafeat.networks._architectures.parts import Shape, classify, feature_maps
from hemafeat.networks._keras import need_keras
from hemafeat.networks._own import architecture as made_here


def leukonet_like(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """Build branches on optical density and on cosine coefficients; the layers are approximate."""
    return _leukonet("leukonet_like", input_shape, n_classes, density=True)


def leukonet_modified(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """Build branches on RGB and on cosine coefficients, as in a public re-implementation."""
    return _leukonet("leukonet_modified", input_shape, n_classes, density=False)


def _leukonet(name: str, input_shape: Shape, n_classes: int, *, density: bool) -> Any:
    keras = need_keras("a network on images")
    from hemafeat.networks._layers import CosineTransform, OpticalDensity, ScaledImage

    image = keras.Input(input_shape, name="image")
    scaled = ScaledImage("unit", name="scale")(image)
    colours = OpticalDensity(name="density")(image) if density else scaled
    cosines = CosineTransform(name="cosines")(scaled)
    penalty = keras.regularizers.L1L2(l1=1e-4, l2=1e-4)
    x = keras.layers.Concatenate(name="both")(
        [
            _branch(keras, colours, "density" if density else "rgb", penalty),
            _branch(keras, cosines, "cosine", penalty),
        ]
    )
    for number in (1, 2):
        x = keras.layers.Dense(
            512, activation="relu", kernel_regularizer=penalty, name=f"dense_{number}"
        )(x)
    return classify(image, x, n_classes, name, kernel_regularizer=penalty)


def _branch(keras: Any, x: Any, name: str, penalty: Any) -> Any:
    """Add five blocks of two convolutions, with max pooling between and global max pooling last."""
    layers = keras.layers
    for block, filters in enumerate((32, 32, 64, 64, 256), 1):
        for letter in "ab":
            step = f"{name}_{block}{letter}"
            x = layers.Conv2D(
                filters, 3, padding="same", kernel_regularizer=penalty, name=f"{step}_conv"
            )(x)
            x = layers.BatchNormalization(name=f"{step}_normal")(x)
            x = layers.ReLU(name=f"{step}_relu")(x)
            if letter == "a":
                x = layers.Dropout(0.2, name=f"{step}_dropout")(x)
        if block < 5:
            x = layers.MaxPooling2D(2, name=f"{name}_{block}_pool")(x)
    return layers.GlobalMaxPooling2D(name=f"{name}_most")(x)


def xie_streams(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """Build Inception-ResNet-v2 on the image, on the box round the cell, and on HSV."""
    keras = need_keras("a network on images")
    from hemafeat.networks._layers import CellCrop, HueSaturationValue

    image = keras.Input(input_shape, name="image")
    streams = {
        "image": image,
        "crop": CellCrop(name="cell")(image),
        "hsv": HueSaturationValue(name="hsv")(image),
    }
    pooled = []
    for name, stream_input in streams.items():
        # Layer names are unique in a model, so that each backbone needs a model of its own.
        entry = keras.Input(input_shape, name=f"{name}_in")
        maps = feature_maps("InceptionResNetV2", entry, weights, name).output
        stream = keras.Model(
            entry, keras.layers.GlobalAveragePooling2D(name="mean")(maps), name=f"stream_{name}"
        )
        pooled.append(stream(stream_input))
    x = keras.layers.Concatenate(name="streams")(pooled)
    x = keras.layers.Dense(512, activation="relu", name="dense_1")(x)
    return classify(image, x, n_classes, "xie_streams")


def kassani_pair(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """Build VGG16 and MobileNet and join their last maps and some maps before them."""
    keras = need_keras("a network on images")
    layers = keras.layers
    if weights not in (None, "imagenet"):
        raise ValueError("the network has two backbones: weights must be 'imagenet' or None")
    image = keras.Input(input_shape, name="image")
    vgg = feature_maps("VGG16", image, weights)
    mobile = feature_maps("MobileNet", image, weights)
    maps = [vgg.get_layer(f"block{block}_pool").output for block in (3, 4, 5)]
    maps += [mobile.get_layer(f"conv_pw_{block}_relu").output for block in (5, 11, 13)]
    means = [
        layers.GlobalAveragePooling2D(name=f"mean_{number}")(x) for number, x in enumerate(maps, 1)
    ]
    x = layers.Concatenate(name="both")(means)
    x = layers.Dense(512, activation="relu", name="dense_1")(x)
    x = layers.Dropout(0.5, name="dropout")(x)
    return classify(image, x, n_classes, "kassani_pair")


def marzahl_resnet18(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """Build ResNet-18 with a second output, the box of the cell, which only training sees."""
    layers = need_keras("a network on images").layers
    from hemafeat.networks._layers import BoxLoss

    plain = made_here("resnet18")(input_shape, n_classes, weights)
    image, features = plain.input, plain.get_layer("mean").output
    box = layers.Dense(4, activation="sigmoid", dtype="float32", name="box")(features)
    features = BoxLoss(name="box_loss")(features, box, image)
    return classify(image, features, n_classes, "marzahl_resnet18")
