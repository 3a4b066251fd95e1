"""First and last layers that all networks on images share."""

from __future__ import annotations

from typing import Any

from hemafeat.networks._keras import need_keras


def opened(input_shape: tuple[int, int, int], mode: str = "unit") -> tuple[Any, Any]:
    """The input, images of 0 to 255, and the same brought to the scale `mode`."""
    keras = need_keras("a network on images")
    from hemafeat.networks._layers import ScaledImage

    image = keras.Input(input_shape, name="image")
    return image, ScaledImage(mode, name="scale")(image)


def closed(
    image: Any, features: Any, n_classes: int, name: str, *, sigmoid: bool = False, **dense: Any
) -> Any:
    """The network from `image` to probabilities of the classes.

    The last dense layer is called ``logit`` and gives the score before the softmax, as Grad-CAM
    needs it. With `sigmoid` two classes share one output, the probability of the second.
    """
    keras = need_keras("a network on images")
    one = sigmoid and n_classes == 2
    logit = keras.layers.Dense(1 if one else n_classes, name="logit", **dense)(features)
    # Probabilities stay in single precision where the rest is computed in half of it.
    probability = keras.layers.Activation(
        "sigmoid" if one else "softmax", dtype="float32", name="probability"
    )(logit)
    return keras.Model(image, probability, name=name)
