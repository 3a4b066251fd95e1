"""Networks cut at a layer: images in, one vector per image out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemafeat.networks._embedding.backbones import (
    Backbone,
    WeightsError,
    backbone_named,
    built,
    digest_of,
    keras_home,
    outline,
    randomised,
    with_file,
    with_imagenet,
)
from hemafeat.networks._keras import need_keras

POOLED = "mean"
"""Name of the layer that the default embedding is: the mean of the last feature maps."""


@dataclass(frozen=True)
class Source:
    """Which network an embedding comes from; two that are equal give the same vectors.

    Attributes
    ----------
    backbone : str
        A name of `BACKBONES`.
    weights : str or None
        ``"imagenet"``, a file, or None for random ones.
    layer : str or None
        Its name; None for the mean of the last feature maps.
    size : int
        Side of the images it takes, in px.
    random_state : int
        Seed of random weights.
    state : tuple of int
        Size and time of change of the file of weights.
    """

    backbone: str
    weights: str | None
    layer: str | None
    size: int
    random_state: int
    state: tuple[int, ...] = ()


def source_of(
    backbone: str,
    weights: str | os.PathLike[str] | None,
    layer: str | None,
    size: int | None,
    random_state: int,
) -> Source:
    """What the parameters of an embedding mean, checked as far as it goes without Keras.

    Raises
    ------
    ValueError
        No such backbone, or a side below 32.
    WeightsError
        No such file.
    """
    kind = backbone_named(backbone)
    if size is not None and size < 32:
        raise ValueError(f"size is the side of the images in pixels, at least 32; got {size}")
    side = kind.size if size is None else int(size)
    given: str | None = None if weights is None else os.fspath(weights)
    state: tuple[int, ...] = ()
    if given is not None and given != "imagenet":
        path = Path(given)
        if not path.is_file():
            raise WeightsError(f"no file of weights: {path}")
        if path.suffix not in (".h5", ".hdf5", ".keras"):
            raise WeightsError(f"{path}: weights are read from .h5, .weights.h5 and .keras files")
        about = path.stat()
        state = (about.st_size, about.st_mtime_ns)
    seed = int(random_state) if given is None else 0
    return Source(kind.name, given, layer, side, seed, state)


@dataclass(frozen=True)
class EmbeddingNetwork:
    """A network that gives one vector per image.

    Attributes
    ----------
    model : keras.Model
        From (n, side, side, 3) of 0 to 255 to (n, width).
    side : int
        Of its images, in px.
    width : int
        Length of the vectors.
    digest : str
        16 hexadecimal digits of its weights.
    """

    model: Any
    side: int
    width: int
    digest: str


def network_of(source: Source) -> EmbeddingNetwork:
    """Build and load it.

    Raises
    ------
    ImportError
        Keras is not installed.
    WeightsError
        The weights cannot be had, or do not fit.
    ValueError
        There is no layer of that name; names the last ones there are.
    """
    keras = need_keras("an embedding")
    kind = backbone_named(source.backbone)
    if source.weights is not None and source.weights.endswith(".keras"):
        whole, last = _from_network(source)
    else:
        shape = (source.size, source.size, 3)
        try:
            image = keras.Input(shape, name="image")
            whole, last = _from_backbone(source, kind, image)
        except ValueError as error:
            if not any(words in str(error) for words in _TOO_SMALL):
                raise
            raise ValueError(f"{kind.name} does not take images of {source.size} px") from None
    output = last.output
    if len(output.shape) == 4:
        output = keras.layers.GlobalAveragePooling2D(name=POOLED)(output)
    elif len(output.shape) != 2:
        output = keras.layers.Flatten(name=POOLED)(output)
    model = keras.Model(whole.inputs[0], output, name=f"embedding_{kind.name.lower()}")
    model = _scaled(model, kind)
    model.trainable = False
    return EmbeddingNetwork(
        model, int(model.inputs[0].shape[1]), int(output.shape[-1]), digest_of(model)
    )


_TOO_SMALL = ("Input size must be at least", "output size would be zero or negative")


def _from_backbone(source: Source, kind: Backbone, image: Any) -> tuple[Any, Any]:
    """The network and its layer, with the last dense ones only where the layer needs them."""
    names, _ = outline(kind, source.size)
    end = names[-1]
    top = source.layer is not None and source.layer not in names
    if source.weights is None:
        whole = built(kind, image, top)
        # Before it is drawn: an unknown layer must not cost the time.
        last = _layer(whole, source.layer, end)
        randomised(whole, source.random_state)
    elif source.weights == "imagenet":
        models = keras_home() / "models"
        # A file with the last layers serves as well, where it alone is there.
        other = (models / kind.file_top).is_file() and not (models / kind.file).is_file()
        fits = source.size == kind.size
        whole = with_imagenet(kind, image, top or (other and fits))
        last = _layer(whole, source.layer, end)
    else:
        whole = with_file(kind, image, Path(source.weights), top)
        last = _layer(whole, source.layer, end)
    return whole, last


def _from_network(source: Source) -> tuple[Any, Any]:
    """A whole network that was saved as ``.keras``, such as one that was trained on cells."""
    from hemafeat.networks._saved import load_network

    try:
        whole = load_network(source.weights or "")
    except Exception as error:  # Keras raises many kinds for half a file
        first = str(error).strip().splitlines()[0][:200]
        raise WeightsError(f"{source.weights}: cannot be read as a network ({first})") from None
    shape = tuple(whole.inputs[0].shape) if len(whole.inputs) == 1 else ()
    if len(shape) != 4 or shape[-1] != 3 or None in shape[1:]:
        raise WeightsError(f"{source.weights}: not a network on RGB images of one size: {shape}")
    if shape[1] != shape[2]:
        raise WeightsError(f"{source.weights}: its images are not square: {shape[1:3]}")
    maps = [
        layer.name
        for layer in whole.layers
        if not isinstance(layer.output, list) and len(layer.output.shape) == 4
    ]
    return whole, _layer(whole, source.layer, maps[-1] if maps else whole.layers[-1].name)


_SCALES = ("ScaledImage", "Rescaling", "Normalization", "OpticalDensity")
"""Layers by which a network scales its images itself."""


def _scaled(model: Any, kind: Backbone) -> Any:
    """The network behind the scaling its backbone is trained with, unless it scales itself."""
    keras = need_keras("an embedding")
    from hemafeat.networks._layers import ScaledImage

    own = any(type(layer).__name__ in _SCALES for layer in model.layers)
    if own or kind.scale is None:
        return model
    image = keras.Input(model.inputs[0].shape[1:], name="image")
    scaled = ScaledImage(kind.scale, name="scale")(image)
    return keras.Model(image, model(scaled), name=model.name)


def _layer(model: Any, name: str | None, default: str) -> Any:
    wanted = default if name is None else name
    for layer in model.layers:
        if layer.name == wanted:
            return layer
    last = ", ".join(layer.name for layer in model.layers[-8:])
    raise ValueError(f"{model.name} has no layer {wanted!r}; its last ones are: {last}")
