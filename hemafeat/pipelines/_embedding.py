"""Embeddings of images with a classical head: pipelines that take images."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from typing import Any

from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline

from hemafeat import networks
from hemafeat.pipelines import _models
from hemafeat.pipelines._steps.missing import FillMissing
from hemafeat.pipelines._steps.scale import ClippedScaler

PREFIX = "embedding:"

NAME = re.compile(
    r"embedding:(?P<backbone>\w+)(?:/(?P<layer>[^+@]+))?\+(?P<head>\w+)(?:@(?P<weights>.+))?"
)

_WORDS = "embedding:BACKBONE[/LAYER]+HEAD[@WEIGHTS], such as embedding:InceptionV3+xgboost@random"


def _knn(n_neighbors: int = 20, weights: str = "distance", **params: Any) -> Pipeline:
    model = KNeighborsClassifier(n_neighbors=n_neighbors, weights=weights, **params)
    steps = [("columns", None), ("fill", FillMissing()), ("scale", ClippedScaler())]
    return Pipeline([*steps, ("model", model)])


HEADS: dict[str, tuple[Callable[..., Pipeline], dict[str, Any]]] = {
    # XGBoost's own defaults: what was published names no others.
    "xgboost": (_models.xgboost, {"n_estimators": 100, "max_depth": 6, "learning_rate": 0.3}),
    "svc": (_models.svc, {"C": 100.0}),
    "logistic": (_models.logistic, {}),
    "random_forest": (_models.random_forest, {}),
    "knn": (_knn, {}),
    "ldsvm": (_models.ldsvm, {}),
}
"""Heads by name, with what differs from the pipeline on features of that name."""

_SEEDED = ("xgboost", "random_forest", "ldsvm")


def embedding(
    *,
    backbone: str = "InceptionV3",
    head: str = "xgboost",
    weights: str | os.PathLike[str] | None = "imagenet",
    layer: str | None = None,
    streams: str | Iterable[str] = "rgb",
    size: int | None = None,
    random_state: int = 0,
    settings: dict[str, Any] | None = None,
    **params: Any,
) -> Pipeline:
    """What a network sees in the image, classified by a head [1]_: takes images, not features.

    Parameters
    ----------
    backbone : str
        ``"InceptionV3"``, ``"VGG16"``, ``"InceptionResNetV2"``, ``"EfficientNetB1"``,
        ``"MobileNet"``, ``"DenseNet121"``, ``"ResNet50"`` or ``"Xception"``.
    head : {"xgboost", "svc", "logistic", "random_forest", "knn", "ldsvm"}
        The classifier: the pipeline of that name without its columns, ``"svc"`` with a penalty of
        100 [2]_, ``"xgboost"`` with 100 rounds of depth 6; ``"knn"`` is 20 neighbours by distance.
    weights : str, path or None
        See `networks.Embedding`; None is a network that has learnt nothing.
    layer : str, optional
        See `networks.Embedding`.
    streams : str or list of str
        See `networks.Embedding`.
    size : int, optional
        See `networks.Embedding`.
    random_state : int
        Seed of the head and of random weights.
    settings : dict, optional
        Further parameters of `networks.Embedding`: ``batch_size``, ``runtime``, ``cache``.
    **params
        Of the head.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps ``embedding``, those of the head, ``model``. `fit` takes a table with a column
        ``image``, or a list of paths or arrays.

    Raises
    ------
    ValueError
        There is no head of that name.

    Notes
    -----
    The published .985 weighted F1 of InceptionV3 and XGBoost on C-NMC [1]_ is of a fine-tuned
    network and, as far as can be told, of a split by image, not by patient: not a target for frozen
    weights or for held-out patients.

    References
    ----------
    .. [1] S. Ramaneswaran et al., "Hybrid Inception v3 XGBoost Model for Acute Lymphoblastic
       Leukemia Classification", Computational and Mathematical Methods in Medicine, 2021.
    .. [2] L. Bernard et al., "Blood cells" project report, DataScientest (repository
       lbernard9/bloodcells): SVC(C=100) on the first dense layer of a VGG16.
    """
    if head not in HEADS:
        raise ValueError(f"no head {head!r}; there are: {', '.join(HEADS)}")
    make, defaults = HEADS[head]
    seed = {"random_state": random_state} if head in _SEEDED else {}
    classifier = make(**{**defaults, **seed, **params})
    step = networks.Embedding(
        backbone,
        weights,
        layer=layer,
        streams=streams,
        size=size,
        random_state=random_state,
        **(settings or {}),
    )
    # The first step of the head takes columns from a table; here there is none.
    return type(classifier)([("embedding", step), *classifier.steps[1:]])


def named(name: str, **params: Any) -> Pipeline:
    """The pipeline that a name such as ``embedding:VGG16/fc1+svc@random`` means.

    What follows ``@`` is ``imagenet`` (the default), ``random`` or a file.

    Raises
    ------
    ValueError
        The name cannot be read, or names what there is not.
    """
    found = NAME.fullmatch(name)
    if found is None:
        raise ValueError(f"no pipeline {name!r}: {_WORDS}")

    networks.backbone(found["backbone"])
    given: dict[str, Any] = {"weights": "imagenet" if not found["weights"] else found["weights"]}
    if given["weights"] == "random":
        given["weights"] = None
    return embedding(
        backbone=found["backbone"],
        head=found["head"],
        layer=found["layer"],
        **{**given, **params},
    )


def embeddings_of(columns: Iterable[str]) -> dict[str, int]:
    """Which columns of a table are embeddings, of which network and weights.

    Parameters
    ----------
    columns : iterable of str
        Names of columns, others among them.

    Returns
    -------
    dict of str to int
        What they are, in words (``"InceptionV3, ImageNet weights: cell__embedding_..."``), and how
        many columns each has.
    """
    counts: dict[str, int] = {}
    for column in columns:
        mask, _, rest = column.partition("__")
        family, separator, _ = rest.partition("__")
        name = networks.EmbeddingName.parse(family) if separator else None
        if name is not None:
            text = f"{name.description}: {mask}__{family}__*"
            counts[text] = counts.get(text, 0) + 1
    return counts


def in_words(name: str) -> str:
    """Network and weights of a model called as in `named`; empty for other names."""
    found = NAME.fullmatch(name)
    if found is None:
        return ""
    layer = f", layer {found['layer']}" if found["layer"] else ""
    weights = found["weights"] or "imagenet"
    said = {"imagenet": "ImageNet weights", "random": "random weights, not pretrained"}
    return f"{name}: {found['backbone']}{layer}, {said.get(weights, f'weights of {weights}')}"
