"""Names of embeddings, which identify network and weights wherever their columns are used."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from hemafeat._public import public
from hemafeat.networks._backbones import BACKBONES, backbone
from hemafeat.networks._embedding.network import Source

_NAME = re.compile(
    r"embedding_(?P<backbone>[a-z0-9]+?)(?:_(?P<layer>\w+?))??"
    r"_(?P<weights>imagenet|random\d+|file[0-9a-f]{8})(?:_(?P<size>\d+)px)?"
)


@public
@dataclass(frozen=True)
class EmbeddingName:
    """The name of a family of embeddings, the second part of the names of its columns.

    Attributes
    ----------
    backbone : str
        Name of the network; see `backbone`.
    layer : str or None
        Name of the layer. None for the mean of the last feature maps.
    weights : str
        ``"imagenet"``, ``"random0"`` with the seed, or ``"file1a2b3c4d"`` with a digest.
    size : int or None
        Side of the images, in px. None if it is that of the backbone.

    Examples
    --------
    >>> from hemafeat import networks
    >>> name = networks.EmbeddingName.parse("embedding_vgg16_fc1_random0")
    >>> name.backbone, name.layer, name.weights
    ('VGG16', 'fc1', 'random0')
    >>> print(name.description)
    VGG16, layer fc1, random weights (seed 0), not pretrained
    """

    backbone: str
    layer: str | None
    weights: str
    size: int | None

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """Parse the name of a family.

        Parameters
        ----------
        name : str
            Name such as ``"embedding_mobilenet_imagenet"``.

        Returns
        -------
        EmbeddingName or None
            None if it is not the name of an embedding.
        """
        match = _NAME.fullmatch(name)
        backbones = {key.lower(): key for key in BACKBONES}
        if match is None or match["backbone"] not in backbones:
            return None
        size = None if match["size"] is None else int(match["size"])
        return cls(backbones[match["backbone"]], match["layer"], match["weights"], size)

    @property
    def description(self) -> str:
        """Network, layer and weights in words."""
        layer = f", layer {self.layer}" if self.layer else ""
        if self.weights == "imagenet":
            weights = "ImageNet weights"
        elif self.weights.startswith("random"):
            weights = _describe_random(int(self.weights[6:]))
        else:
            weights = f"weights of a file, {self.weights[4:]}"
        return f"{self.backbone}{layer}, {weights}"


def family_name(source: Source, digest: str) -> str:
    """Return the name of the family of an embedding; see `EmbeddingName`."""
    parts = ["embedding", source.backbone.lower()]
    if source.layer is not None:
        parts.append(re.sub(r"\W|__+", "_", source.layer).strip("_"))
    if source.weights is None:
        parts.append(f"random{source.random_state}")
    else:
        parts.append("imagenet" if source.weights == "imagenet" else f"file{digest[:8]}")
    if source.size != backbone(source.backbone).size:
        parts.append(f"{source.size}px")
    return "_".join(parts)


def describe_weights(source: Source, digest: str) -> str:
    """Describe the weights of an embedding in a few words."""
    if source.weights is None:
        return _describe_random(source.random_state)
    if source.weights == "imagenet":
        return f"ImageNet weights ({digest})"
    return f"weights of {source.weights} ({digest})"


def _describe_random(seed: int) -> str:
    return f"random weights (seed {seed}), not pretrained"
