"""Classifiers of images on embeddings of a network, by name."""

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

_NAME = re.compile(
    PREFIX + r"(?P<backbone>\w+)(?:/(?P<layer>[^+@]+))?\+(?P<head>\w+)(?:@(?P<weights>.+))?"
)


def _knn(n_neighbors: int = 20, weights: str = "distance", **params: Any) -> Pipeline:
    model = KNeighborsClassifier(n_neighbors=n_neighbors, weights=weights, **params)
    steps = [("columns", None), ("fill", FillMissing()), ("scale", ClippedScaler())]
    return Pipeline([*steps, ("model", model)])


HEADS: dict[str, tuple[Callable[..., Pipeline], dict[str, Any]]] = {
    # The defaults of XGBoost: the publication names no other values.
    "xgboost": (
        _models.xgboost,
        {
            "n_estimators": 100,
            "max_depth": 6,
            "learning_rate": 0.3,
            "subsample": 1.0,
            "colsample_bytree": 1.0,
            "max_bin": 256,
            "class_weight": None,
        },
    ),
    "svc": (_models.svc, {"C": 100.0}),
    "logistic": (_models.logistic, {}),
    "random_forest": (_models.random_forest, {}),
    "knn": (_knn, {}),
    "ldsvm": (_models.ldsvm, {}),
}
"""Heads by name, with the parameters that differ from the pipeline of that name on features."""


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
    """Classify images by the embeddings of a network and a classical head.

    The method is that of [1]_.

    Parameters
    ----------
    backbone : str
        Network, such as ``"InceptionV3"``, ``"ResNet18"`` or ``"EfficientNetLite0"``, see
        `networks.Embedding`.
    head : {"xgboost", "svc", "logistic", "random_forest", "knn", "ldsvm"}
        Classifier: the pipeline of that name without its step ``columns``. ``"svc"`` has a penalty
        of 100 [2]_, ``"xgboost"`` has the defaults of XGBoost (100 rounds of depth 6, all rows and
        columns, classes not weighted), and ``"knn"`` weights 20 neighbours by their distance.
    weights : str, path or None
        Weights of the network, see `networks.Embedding`. None stands for random weights.
    layer : str, optional
        Layer whose output is the embedding, see `networks.Embedding`. By default the mean of the
        last maps.
    streams : str or list of str
        Versions of the image that the network is shown, see `networks.Embedding`.
    size : int, optional
        Side of the images, in px, see `networks.Embedding`. By default that of the backbone.
    random_state : int
        Seed of the head and of random weights.
    settings : dict, optional
        Further parameters of `networks.Embedding`, such as ``batch_size``, ``runtime`` and
        ``cache``.
    **params
        Further parameters of the head.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Unfitted, with the step ``embedding`` and those of the head, the last of which is ``model``.
        It takes a table with a column ``image``, or a list of paths or arrays.

    Raises
    ------
    ValueError
        If there is no head of that name.

    Notes
    -----
    The published weighted F1 of .985 of InceptionV3 and XGBoost on C-NMC [1]_ belongs to a
    fine-tuned network and, apparently, to a split by image and not by patient. It is not
    a target for frozen weights or for held-out patients.

    References
    ----------
    .. [1] S. Ramaneswaran et al., "Hybrid Inception v3 XGBoost Model for Acute Lymphoblastic
       Leukemia Classification", Computational and Mathematical Methods in Medicine, 2021.
    .. [2] L. Bernard et al., "Blood cells" project report, DataScientest (repository
       lbernard9/bloodcells): SVC(C=100) on the first dense layer of a VGG16.

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> model = pipelines.embedding(backbone="VGG16", layer="fc1", head="svc", weights=None)
    >>> list(model.named_steps)
    ['embedding', 'fill', 'scale', 'whiten', 'model']
    """
    classifier = head_of(head, random_state, **params)
    step = networks.Embedding(
        backbone,
        weights,
        layer=layer,
        streams=streams,
        size=size,
        random_state=random_state,
        **(settings or {}),
    )
    return type(classifier)([("embedding", step), *classifier.steps])


def head_of(head: str, random_state: int = 0, **params: Any) -> Pipeline:
    """Return the head of a name, a pipeline that takes arrays.

    Raises
    ------
    ValueError
        If there is no head of that name.
    """
    if head not in HEADS:
        raise ValueError(f"there is no head {head!r}; choose from {', '.join(HEADS)}")
    maker, defaults = HEADS[head]
    classifier = _models.build(maker, random_state, **{**defaults, **params})
    # The first step selects columns of a table, but an embedding is an array.
    return type(classifier)(classifier.steps[1:])


def from_name(name: str, *, random_state: int = 0, **params: Any) -> Pipeline:
    """Return the pipeline of a name such as ``embedding:VGG16/fc1+svc@random``.

    The weights after ``@`` are ``imagenet`` (the default), ``random`` or a file.

    Raises
    ------
    ValueError
        If the name cannot be parsed, or there is no such backbone or head.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(
            f"there is no pipeline {name!r}; names of embeddings are "
            f"{PREFIX}BACKBONE[/LAYER]+HEAD[@WEIGHTS], such as "
            f"{PREFIX}InceptionV3+xgboost@random"
        )
    networks.backbone(match["backbone"])  # raises an error if there is none of that name
    weights = match["weights"] or "imagenet"
    kwargs: dict[str, Any] = {
        "backbone": match["backbone"],
        "head": match["head"],
        "layer": match["layer"],
        "weights": None if weights == "random" else weights,
        "random_state": random_state,
    }
    return embedding(**{**kwargs, **params})


def embeddings_of(columns: Iterable[str]) -> dict[str, int]:
    """Count the columns of a table that are embeddings, by network and weights.

    Parameters
    ----------
    columns : iterable of str
        Names of columns. Those of other features are ignored.

    Returns
    -------
    dict of str to int
        Number of columns by a description such as
        ``"InceptionV3, ImageNet weights: cell__embedding_inceptionv3_imagenet__*"``.

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> names = [f"cell__embedding_vgg16_fc1_imagenet__{i:04d}" for i in range(3)]
    >>> pipelines.embeddings_of(["cell__shape__area", *names])
    {'VGG16, layer fc1, ImageNet weights: cell__embedding_vgg16_fc1_imagenet__*': 3}
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


def describe_embedding(name: str) -> str:
    """Describe the network and weights of a model that is named after its embedding.

    Parameters
    ----------
    name : str
        Name of a model, such as ``"embedding:VGG16/fc1+svc@random"``, see `make`.

    Returns
    -------
    str
        Description, empty for any other name.

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> pipelines.describe_embedding("embedding:VGG16/fc1+svc")
    'embedding:VGG16/fc1+svc: VGG16, layer fc1, ImageNet weights'
    >>> pipelines.describe_embedding("svc")
    ''
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return ""
    layer = f", layer {match['layer']}" if match["layer"] else ""
    weights = match["weights"] or "imagenet"
    words = {"imagenet": "ImageNet weights", "random": "random weights, not pretrained"}
    return f"{name}: {match['backbone']}{layer}, {words.get(weights, f'weights of {weights}')}"
