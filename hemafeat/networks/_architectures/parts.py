"""Parts that several networks share: input, backbone, class probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hemafeat.networks._backbones import backbone, build_backbone, maps_of, with_imagenet
from hemafeat.networks._keras import need_keras

Shape = tuple[int, int, int]


def scaled_input(input_shape: Shape, mode: str = "unit") -> tuple[Any, Any]:
    """Return the input of a network, images of 0 to 255, and the same images scaled by `mode`."""
    keras = need_keras("a network on images")
    from hemafeat.networks._layers import ScaledImage

    image = keras.Input(input_shape, name="image")
    return image, ScaledImage(mode, name="scale")(image)


def feature_maps(kind: str, image: Any, weights: str | None, name: str | None = None) -> Any:
    """Build a network of ``keras.applications`` without its last layers.

    Parameters
    ----------
    kind : str
        Name in ``keras.applications``.
    image : (n, H, W, 3) tensor
        Images of 0 to 255.
    weights : {"imagenet"} or path, optional
        Weights to load. By default they are random.
    name : str, optional
        Suffix of the name of the scaling layer. By default it is `kind`.

    Returns
    -------
    keras.Model
        The backbone. Its layers are layers of the model that is built on `image`.

    Raises
    ------
    ValueError
        The file does not exist or holds other weights, or the ImageNet weights cannot be
        downloaded.
    """
    if weights not in (None, "imagenet") and not Path(str(weights)).is_file():
        raise ValueError(f"{weights}: the file of weights does not exist")
    network, scale_name = backbone(kind), f"scale_{(name or kind).lower()}"
    if weights == "imagenet":
        return with_imagenet(network, image, False, scale_name)
    if weights is not None:
        return maps_of(network, image, Path(weights), scale_name)
    return build_backbone(network, image, top=False, scale_name=scale_name)


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
