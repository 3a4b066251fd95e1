"""The pipelines by name, and what a search may vary in each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import _embedding, _models

_FEATURES: dict[str, Callable[..., Any]] = {
    "baseline": _models.baseline,
    "logistic": _models.logistic,
    "random_forest": _models.random_forest,
    "svc": _models.svc,
    "xgboost": _models.xgboost,
    "ldsvm": _models.ldsvm,
    "soft_vote": _models.soft_vote,
}
_IMAGES: dict[str, Callable[..., Any]] = {"grey_pixels": _models.grey_pixels}

_SPACES: dict[str, dict[str, list[Any]]] = {
    "baseline": {"model__strategy": ["prior", "stratified"]},
    "logistic": {"model__C": [0.001, 0.01, 0.1, 1.0, 10.0]},
    "random_forest": {
        "model__max_features": ["sqrt", 0.1, 0.2],
        "model__min_samples_leaf": [1, 2, 4],
    },
    "svc": {
        "model__C": [1.0, 3.0, 10.0, 30.0, 100.0],
        "model__gamma": ["scale", 3e-4, 1e-3, 3e-3],
    },
    "xgboost": {
        "model__n_estimators": [150, 300, 600],
        "model__max_depth": [2, 3, 4, 6],
        "model__learning_rate": [0.05, 0.1, 0.2],
        "model__colsample_bytree": [0.1, 0.2, 0.5],
    },
    "ldsvm": {
        "model__logistic__C": [0.01, 0.1, 1.0],
        "model__tree__max_depth": [4, 8, None],
        "model__svm__C": [1.0, 10.0, 100.0],
        "model__voting": ["soft", "hard"],
    },
    "soft_vote": {
        "model__svc__model__C": [3.0, 10.0, 30.0],
        "model__weights": [None, [2, 1, 1], [1, 2, 1]],
    },
    "grey_pixels": {
        "pixels__size": [None, 64, 32],
        "model__n_estimators": [100, 300],
    },
}


def names() -> list[str]:
    """Names of the pipelines that take the feature table, the majority-class baseline first.

    `make` knows one more, ``"grey_pixels"``, which takes the images.
    """
    return list(_FEATURES)


def make(name: str, **params: Any) -> Any:
    """A pipeline by name.

    Parameters
    ----------
    name : str
        One of `names`, ``"grey_pixels"``, or ``"embedding:BACKBONE[/LAYER]+HEAD[@WEIGHTS]"``, with
        ``imagenet``, ``random`` or a file as weights (see `embedding`).
    **params
        Passed to the function of that name.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Unfitted.

    Raises
    ------
    ValueError
        There is no pipeline of that name.
    """
    if name.startswith(_embedding.PREFIX):
        return _embedding.named(name, **params)
    return _known(name, {**_FEATURES, **_IMAGES})(**params)


def search_space(name: str) -> dict[str, list[Any]]:
    """Values worth trying for a pipeline, for `GridSearchCV` or `RandomizedSearchCV`.

    Parameters
    ----------
    name : str
        One of `names`, or ``"grey_pixels"``.

    Returns
    -------
    dict of str to list
        Parameters of the whole pipeline, such as ``model__C``.
    """
    return {key: list(values) for key, values in _known(name, _SPACES).items()}


def _known(name: str, among: dict[str, Any]) -> Any:
    if name not in among:
        raise ValueError(f"no pipeline {name!r}; there are: {', '.join(among)}")
    return among[name]
