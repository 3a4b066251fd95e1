"""Names of models on embeddings, such as ``embedding:InceptionV3+xgboost@random``."""

from __future__ import annotations

import re

PREFIX = "embedding:"

NAME = re.compile(
    r"embedding:(?P<backbone>\w+)(?:/(?P<layer>[^+@]+))?\+(?P<head>\w+)(?:@(?P<weights>.+))?"
)


def in_words(name: str) -> str:
    """Network and weights of a model called as in `named`; empty for other names."""
    found = NAME.fullmatch(name)
    if found is None:
        return ""
    layer = f", layer {found['layer']}" if found["layer"] else ""
    weights = found["weights"] or "imagenet"
    said = {"imagenet": "ImageNet weights", "random": "random weights, not pretrained"}
    return f"{name}: {found['backbone']}{layer}, {said.get(weights, f'weights of {weights}')}"
