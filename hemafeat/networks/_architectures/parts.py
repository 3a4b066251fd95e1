"""Parts that several networks share: input, backbone, class probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hemafeat.networks._backbones import backbone, build_backbone, maps_of, with_imagenet
from hemafeat.networks._keras import need_keras
from hemafeat.networks._own import classify

__all__ = ["Shape", "classify", "feature_maps", "scaled_input"]

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
