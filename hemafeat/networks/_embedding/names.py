"""What embeddings are called, so that their weights are known wherever their columns go."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from hemafeat.networks._embedding.backbones import BACKBONES, backbone_named
from hemafeat.networks._embedding.network import Source

_NAME = re.compile(
    r"embedding_(?P<backbone>[a-z0-9]+?)(?:_(?P<layer>\w+?))??"
    r"_(?P<weights>imagenet|random\d+|file[0-9a-f]{8})(?:_(?P<size>\d+)px)?"
)


@dataclass(frozen=True)
class EmbeddingName:
    """What the name of a family of embeddings says.

    Attributes
    ----------
    backbone : str
        As in `BACKBONES`.
    layer : str or None
    weights : str
        ``"imagenet"``, ``"random0"`` or ``"file1a2b3c4d"``.
    size : int or None
        Side of its images where it is not that of the backbone, in px.
    """

    backbone: str
    layer: str | None
    weights: str
    size: int | None

    @property
    def words(self) -> str:
        """Which weights they are."""
        if self.weights == "imagenet":
            return "ImageNet weights"
        if self.weights.startswith("random"):
            return _random(int(self.weights[6:]))
        return f"weights of a file, {self.weights[4:]}"


def family_name(source: Source, digest: str) -> str:
    """What the columns of an embedding are called after, see `EmbeddingName`."""
    words = ["embedding", source.backbone.lower()]
    if source.layer is not None:
        words.append(re.sub(r"\W|__+", "_", source.layer).strip("_"))
    if source.weights is None:
        words.append(f"random{source.random_state}")
    else:
        words.append("imagenet" if source.weights == "imagenet" else f"file{digest[:8]}")
    if source.size != backbone_named(source.backbone).size:
        words.append(f"{source.size}px")
    return "_".join(words)


def read_name(name: str) -> EmbeddingName | None:
    """What a name says, None where it is not that of an embedding."""
    found = _NAME.fullmatch(name)
    known = {each.lower(): each for each in BACKBONES}
    if found is None or found["backbone"] not in known:
        return None
    size = None if found["size"] is None else int(found["size"])
    return EmbeddingName(known[found["backbone"]], found["layer"], found["weights"], size)


def weights_in_words(source: Source, digest: str) -> str:
    """Which weights an embedding has, in a few words."""
    if source.weights is None:
        return _random(source.random_state)
    if source.weights == "imagenet":
        return f"ImageNet weights ({digest})"
    return f"weights of {source.weights} ({digest})"


def _random(seed: int) -> str:
    return f"random weights (seed {seed}), not pretrained"


def embeddings_of(columns: Iterable[str]) -> dict[str, int]:
    """Which columns are embeddings; see `hemafeat.pipelines.embeddings_of`."""
    found: dict[str, int] = {}
    for column in columns:
        parts = column.split("__")
        said = read_name(parts[1]) if len(parts) > 2 else None
        if said is None:
            continue
        layer = f", layer {said.layer}" if said.layer else ""
        text = f"{said.backbone}{layer}, {said.words}: {parts[0]}__{parts[1]}__*"
        found[text] = found.get(text, 0) + 1
    return found
