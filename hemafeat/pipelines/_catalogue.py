"""The pipelines by name, and what a search may vary in each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hemafeat.pipelines import _embedding, _models
from hemafeat.pipelines._embedding import PREFIX
from hemafeat.pipelines._patients.mil import networks_module

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

_NETWORK_SPACE: dict[str, list[Any]] = {
    "learning_rate": [3e-4, 1e-3, 3e-3],
    "colour": ["rgb", "hsv", "od_fixed"],
    "augment": [True, False],
}


def names(*, images: bool = False, deep: bool = False) -> list[str]:
    """Names of the pipelines that take the feature table, the majority-class baseline first.

    Parameters
    ----------
    images : bool
        Also ``"grey_pixels"``, which takes the images.
    deep : bool
        Also the networks of `hemafeat.networks.architectures`, which take the images and need
        Keras (extra ``deep``) to be made.
    """
    found = [*_FEATURES, *(_IMAGES if images else ())]
    return [*found, *networks_module().ARCHITECTURES] if deep else found


def make(name: str, **params: Any) -> Any:
    """A pipeline by name.

    Parameters
    ----------
    name : str
        One of `names`, ``"grey_pixels"``, a network of `hemafeat.networks.architectures` (see
        `NetworkClassifier`), or ``"embedding:BACKBONE[/LAYER]+HEAD[@WEIGHTS]"``, with ``imagenet``,
        ``random`` or a file as weights (see `embedding`).
    **params
        Passed to the function of that name.

    Returns
    -------
    sklearn.pipeline.Pipeline or NetworkClassifier
        Unfitted.

    Raises
    ------
    ImportError
        It is a network, and Keras is not installed.
    ValueError
        There is no pipeline of that name.
    """
    if name.startswith(PREFIX):
        return _embedding.named(name, **params)
    known = {**_FEATURES, **_IMAGES}
    if name not in known and name in networks_module().ARCHITECTURES:
        return _network(name, **params)
    return _known(name, known)(**params)


def _network(name: str, **params: Any) -> Any:
    """A network as a classifier; an error now rather than in the first fold without Keras."""
    from importlib.metadata import PackageNotFoundError, version

    from hemafeat.pipelines._network_classifier import NetworkClassifier

    try:
        version("keras")
    except PackageNotFoundError:
        raise ImportError(
            f"{name} is a network and needs Keras 3: pip install 'hemafeat[deep]'"
        ) from None
    return NetworkClassifier(name, **params)


def search_space(name: str) -> dict[str, list[Any]]:
    """Values worth trying for a pipeline, for `GridSearchCV` or `RandomizedSearchCV`.

    Parameters
    ----------
    name : str
        One of `names`, ``"grey_pixels"``, or a network.

    Returns
    -------
    dict of str to list
        Parameters of the whole pipeline, such as ``model__C``.
    """
    if name not in _SPACES and name in networks_module().ARCHITECTURES:
        return {key: list(values) for key, values in _NETWORK_SPACE.items()}
    return {key: list(values) for key, values in _known(name, _SPACES).items()}


def _known(name: str, among: dict[str, Any]) -> Any:
    if name not in among:
        raise ValueError(f"no pipeline {name!r}; there are: {', '.join(among)}")
    return among[name]
