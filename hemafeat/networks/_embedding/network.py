"""Networks from images to the values of one layer."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemafeat.networks._backbones import (
    Backbone,
    WeightsError,
    backbone as find_backbone,
    build_backbone,
    digest_of,
    keras_home,
    layers_and_arrays,
    layout_for,
    randomise,
    with_file,
    with_imagenet,
)
from hemafeat.networks._keras import need_keras
from hemafeat.networks._weights.state_file import SUFFIXES, is_state_file

POOLED = "mean"
"""Name of the layer of the default embedding, the mean of the last feature maps."""


@dataclass(frozen=True)
class Source:
    """Network, layer and weights of an embedding; equal sources give the same vectors.

    Attributes
    ----------
    backbone : str
        Name of the network; see `BACKBONES`.
    weights : str or None
        ``"imagenet"``, a file, or None for random weights.
    layer : str or None
        Name of the layer. None for the mean of the last feature maps.
    size : int
        Side of the images, in px.
    random_state : int
        Seed of random weights.
    state : tuple of int
        Size and modification time of the file of weights.
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
    """Check the parameters of an embedding, as far as possible without Keras.

    Raises
    ------
    ValueError
        The backbone is unknown, or the size is below 32 px.
    WeightsError
        The file of weights does not exist, or has a format that is not read for the backbone.
    """
    kind = find_backbone(backbone)
    if size is not None and size < 32:
        raise ValueError(f"size is the side of the images in pixels, at least 32; got {size}")
    side = kind.size if size is None else int(size)
    name: str | None = None if weights is None else os.fspath(weights)
    state: tuple[int, ...] = ()
    if name is not None and name != "imagenet":
        path = Path(name)
        if not path.is_file():
            raise WeightsError(f"{path}: the file of weights does not exist")
        if not is_state_file(path) and path.suffix not in (".h5", ".hdf5", ".keras"):
            raise WeightsError(
                f"{path}: weights are read from .h5, .weights.h5 and .keras files, and from those "
                f"of PyTorch: {', '.join(SUFFIXES)}"
            )
        layout_for(kind, path)
        status = path.stat()
        state = (status.st_size, status.st_mtime_ns)
    seed = int(random_state) if name is None else 0
    return Source(kind.name, name, layer, side, seed, state)


@dataclass(frozen=True)
class EmbeddingNetwork:
    """A network that returns one vector per image.

    Attributes
    ----------
    model : keras.Model
        Network from (n, side, side, 3) images of 0 to 255 to (n, width).
    side : int
        Side of the images, in px.
    width : int
        Length of the vectors.
    digest : str
        Digest of the weights, 16 hexadecimal digits.
    """

    model: Any
    side: int
    width: int
    digest: str


def network_of(source: Source) -> EmbeddingNetwork:
    """Build the network of `source` and load its weights.

    Raises
    ------
    ImportError
        Keras is not installed.
    WeightsError
        The weights cannot be loaded or do not fit the network.
    ValueError
        There is no such layer, or the images are too small.
    """
    keras = need_keras("an embedding")
    kind = find_backbone(source.backbone)
    if source.weights is not None and source.weights.endswith(".keras"):
        whole, last = _from_network(source)
    else:
        shape = (source.size, source.size, 3)
        try:
            image = keras.Input(shape, name="image")
            whole, last = _from_backbone(source, kind, image)
        except ValueError as error:
            if not any(message in str(error) for message in _TOO_SMALL):
                raise
            raise ValueError(f"{kind.name} does not accept images of {source.size} px") from None
    output = last.output
    if len(output.shape) == 4:
        output = keras.layers.GlobalAveragePooling2D(name=POOLED)(output)
    elif len(output.shape) != 2:
        output = keras.layers.Flatten(name=POOLED)(output)
    model = keras.Model(whole.inputs[0], output, name=f"embedding_{kind.name.lower()}")
    model = _add_scaling(model, kind)
    model.trainable = False
    return EmbeddingNetwork(
        model, int(model.inputs[0].shape[1]), int(output.shape[-1]), digest_of(model)
    )


_TOO_SMALL = ("Input size must be at least", "output size would be zero or negative")


def _from_backbone(source: Source, kind: Backbone, image: Any) -> tuple[Any, Any]:
    """Return the network and the layer, with the last dense layers only if they are needed."""
    if source.weights not in (None, "imagenet"):
        kind = layout_for(kind, Path(str(source.weights)))
    names, _ = layers_and_arrays(kind, source.size)
    end = names[-1]
    top = source.layer is not None and source.layer not in names
    if source.weights is None:
        whole = build_backbone(kind, image, top=top)
        # An unknown layer is reported before weights are drawn, which takes time.
        last = _layer(whole, source.layer, end)
        randomise(whole, source.random_state)
    elif source.weights == "imagenet":
        models = keras_home() / "models"
        # A file with the last layers is used if it is the only one in the cache.
        only_top = (models / kind.file_top).is_file() and not (models / kind.file).is_file()
        fits = source.size == kind.size
        whole = with_imagenet(kind, image, top or (only_top and fits))
        last = _layer(whole, source.layer, end)
    else:
        whole = with_file(kind, image, Path(source.weights), top)
        last = _layer(whole, source.layer, end)
    return whole, last


def _from_network(source: Source) -> tuple[Any, Any]:
    """Return a network that was saved as ``.keras`` and the layer."""
    from hemafeat.networks._saved import load_network

    try:
        whole = load_network(source.weights or "")
    except Exception as error:  # Keras raises many kinds of errors for an incomplete file
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
"""Classes of layers with which a network scales its images itself."""


def _add_scaling(model: Any, kind: Backbone) -> Any:
    """Put the scaling of the backbone before a network that does not scale images itself."""
    keras = need_keras("an embedding")
    from hemafeat.networks._layers import ScaledImage

    scales_itself = any(type(layer).__name__ in _SCALES for layer in model.layers)
    if scales_itself or kind.scale is None:
        return model
    image = keras.Input(model.inputs[0].shape[1:], name="image")
    scaled = ScaledImage(kind.scale, name="scale")(image)
    return keras.Model(image, model(scaled), name=model.name)


def _layer(model: Any, name: str | None, default: str) -> Any:
    """Return the layer called `name`, or `default` if it is None."""
    name = default if name is None else name
    for layer in model.layers:
        if layer.name == name:
            return layer
    last = ", ".join(layer.name for layer in model.layers[-8:])
    raise ValueError(f"{model.name} has no layer {name!r}; its last ones are: {last}")
