"""Catalogue of the models of cells and of patients, by name."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hemafeat import networks
from hemafeat._machine import how_to_install
from hemafeat._words import suggestion
from hemafeat.pipelines import _embedding, _fine_tuned, _models
from hemafeat.pipelines._fine_tuned import FineTuned
from hemafeat.pipelines._network_classifier import NetworkClassifier
from hemafeat.pipelines._patients.attribute_models import attributes_only
from hemafeat.pipelines._patients.baselines import (
    bag_size_only,
    date_format_only,
    patient_baseline,
    stain_only,
)
from hemafeat.pipelines._patients.mil import MILClassifier
from hemafeat.pipelines._patients.mil_images import MILImageClassifier
from hemafeat.pipelines._patients.models import cell_vote, combine, patient_table
from hemafeat.pipelines._steps.transductive import Aligned

UNITS = ("cell", "patient")

Space = dict[str, list[Any]]


@dataclass(frozen=True)
class Entry:
    """One model of the catalogue.

    Attributes
    ----------
    name : str
        Name of the model.
    unit : {"cell", "patient"}
        What the model classifies.
    maker : callable
        Function that returns the unfitted model.
    option : str
        Option of `names` that lists the model: ``"attributes"``, ``"images"`` or ``"deep"``. Empty
        for a model that is always listed, ``"never"`` for one that is only made by name.
    space : dict of str to list
        Values worth trying in a search.
    """

    name: str
    unit: str
    maker: Callable[..., Any]
    option: str = ""
    space: Space = field(default_factory=dict)


def _check_keras(name: str) -> None:
    """Fail now rather than in the first fold."""
    try:
        importlib.metadata.version("keras")
    except importlib.metadata.PackageNotFoundError:
        raise ImportError(
            f"{name} is a network and needs Keras 3: {how_to_install('keras', 'deep')}"
        ) from None


def _network(name: str, *, random_state: int = 0, **params: Any) -> NetworkClassifier:
    _check_keras(name)
    _fine_tuned.check_names(params, name)
    return NetworkClassifier(name, random_state=random_state, **params)


def _of_backbone(name: str, *, random_state: int = 0, **params: Any) -> NetworkClassifier:
    networks.backbone(name.removeprefix(_BACKBONE))  # raises an error if there is none of that name
    return _network(name, random_state=random_state, **params)


def _with_head(name: str, *, random_state: int = 0, **params: Any) -> FineTuned:
    model = _fine_tuned.from_name(name, random_state=random_state, **params)
    _check_keras(name)
    return model


_CELLS = (
    Entry("baseline", "cell", _models.baseline, space={"model__strategy": ["prior", "stratified"]}),
    Entry("logistic", "cell", _models.logistic, space={"model__C": [0.001, 0.01, 0.1, 1.0, 10.0]}),
    Entry(
        "random_forest",
        "cell",
        _models.random_forest,
        space={
            "model__max_features": ["sqrt", 0.1, 0.2],
            "model__min_samples_leaf": [1, 2, 4],
        },
    ),
    Entry(
        "svc",
        "cell",
        _models.svc,
        space={
            "model__C": [1.0, 3.0, 10.0, 30.0, 100.0],
            "model__gamma": ["scale", 3e-4, 1e-3, 3e-3],
        },
    ),
    Entry(
        "xgboost",
        "cell",
        _models.xgboost,
        space={
            "model__n_estimators": [150, 300, 600],
            "model__max_depth": [2, 3, 4, 6],
            "model__learning_rate": [0.05, 0.1, 0.2],
            "model__colsample_bytree": [0.1, 0.2, 0.5],
        },
    ),
    Entry(
        "ldsvm",
        "cell",
        _models.ldsvm,
        space={
            "model__logistic__C": [0.01, 0.1, 1.0],
            "model__tree__max_depth": [4, 8, None],
            "model__svm__C": [1.0, 10.0, 100.0],
            "model__voting": ["soft", "hard"],
        },
    ),
    Entry(
        "soft_vote",
        "cell",
        _models.soft_vote,
        space={
            "model__svc__model__C": [3.0, 10.0, 30.0],
            "model__weights": [None, [2, 1, 1], [1, 2, 1]],
        },
    ),
    Entry("mlp", "cell", _models.mlp, "never"),
    Entry(
        "grey_pixels",
        "cell",
        _models.grey_pixels,
        "images",
        space={"pixels__size": [None, 64, 32], "model__n_estimators": [100, 300]},
    ),
    Entry("grey_pixels_svc", "cell", _models.grey_pixels_svc, "images"),
)

_BACKBONE = "keras:"

_ALIGNED = "aligned:"


def _aligned(name: str, *, random_state: int = 0, **params: Any) -> Aligned:
    model = make(name.removeprefix(_ALIGNED), random_state=random_state, **params)
    if "scale" not in getattr(model, "named_steps", ()):
        raise ValueError(f"{name!r}: only svc, logistic, ldsvm and mlp can be aligned")
    return Aligned(model)


_PREFIXES: dict[str, Callable[..., Any]] = {
    _embedding.PREFIX: _embedding.from_name,
    _BACKBONE: _of_backbone,
    _fine_tuned.PREFIX: _with_head,
    _ALIGNED: _aligned,
}
"""Functions that make the models of cells whose names begin so."""

_NETWORK_SPACE: Space = {
    "learning_rate": [3e-4, 1e-3, 3e-3],
    "colour": ["rgb", "hsv", "od_fixed"],
    "augment": [True, False],
}

_PATIENTS = (
    Entry("baseline", "patient", patient_baseline),
    Entry("bag_size", "patient", bag_size_only),
    Entry("table_means", "patient", partial(patient_table, "logistic", "means")),
    Entry("table_logistic", "patient", partial(patient_table, "logistic")),
    Entry("table_random_forest", "patient", partial(patient_table, "random_forest")),
    Entry("table_xgboost", "patient", partial(patient_table, "xgboost")),
    Entry("table_svc", "patient", partial(patient_table, "svc")),
    Entry("prototypes", "patient", partial(patient_table, "random_forest", "prototypes")),
    Entry("fisher", "patient", partial(patient_table, "logistic", "fisher")),
    Entry("vote_mean", "patient", partial(cell_vote, "logistic", "mean")),
    Entry("vote_majority", "patient", partial(cell_vote, "logistic", "majority")),
    Entry("vote_min", "patient", partial(cell_vote, "logistic", "min")),
    Entry("vote_max", "patient", partial(cell_vote, "logistic", "max")),
    Entry("metadata", "patient", partial(attributes_only, "best"), "attributes"),
    Entry("attributes", "patient", partial(attributes_only, grid="short"), "attributes"),
    Entry("weighted", "patient", partial(combine, "weighted"), "attributes"),
    Entry("min", "patient", partial(combine, "min"), "attributes"),
    Entry("max", "patient", partial(combine, "max"), "attributes"),
    Entry("stack", "patient", partial(combine, "stack"), "attributes"),
    Entry("stain", "patient", stain_only, "never"),
    Entry("date_format", "patient", date_format_only, "never"),
    *(
        Entry(prefix + name, "patient", partial(maker, pooling), option)
        for prefix, maker, option in (
            ("", MILClassifier, "deep"),
            ("image_", MILImageClassifier, "images"),
        )
        for name, pooling in (
            ("attention", "attention"),
            ("gated_attention", "gated"),
            ("batch_weighted", "batch_weighted"),
            ("mean" if prefix else "mil_mean", "mean"),
            ("max" if prefix else "mil_max", "max"),
        )
    ),
)


def _entries(unit: str) -> dict[str, Entry]:
    """Return the entries of one unit by name."""
    if unit not in UNITS:
        raise ValueError(f"unit={unit!r}: expected 'cell' or 'patient'")
    if unit == "patient":
        return {entry.name: entry for entry in _PATIENTS}
    deep = (
        Entry(name, "cell", partial(_network, name), "deep", _NETWORK_SPACE)
        for name in networks.ARCHITECTURES
    )
    return {entry.name: entry for entry in (*_CELLS, *deep)}


def _entry(name: str, unit: str) -> Entry:
    entries = _entries(unit)
    if name not in entries:
        noun = "pipeline" if unit == "cell" else "model of patients"
        raise ValueError(f"there is no {noun} {name!r}; {suggestion(name, entries, 'choose from')}")
    return entries[name]


def names(
    *, unit: str = "cell", attributes: bool = False, images: bool = False, deep: bool = False
) -> list[str]:
    """Return the names of the models in the catalogue, the baseline first.

    Parameters
    ----------
    unit : {"cell", "patient"}
        What the models classify.
    attributes : bool
        Whether to include the models that need attributes of the patient, such as age. There are
        none among the models of cells.
    images : bool
        Whether to include the models that take images: ``"grey_pixels"`` and
        ``"grey_pixels_svc"`` for cells, the networks of `MILImageClassifier`, which need Keras
        (extra ``deep``), for patients.
    deep : bool
        Whether to include the networks, which need Keras: those of
        `hemafeat.networks.architectures` for cells, `MILClassifier` for patients.

    Returns
    -------
    list of str
        Names for `make`.

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> pipelines.names()
    ['baseline', 'logistic', 'random_forest', 'svc', 'xgboost', 'ldsvm', 'soft_vote']
    >>> pipelines.names(unit="patient")[:4]
    ['baseline', 'bag_size', 'table_means', 'table_logistic']
    """
    options = {"": True, "attributes": attributes, "images": images, "deep": deep}
    return [name for name, entry in _entries(unit).items() if options.get(entry.option, False)]


def make(name: str, *, unit: str = "cell", random_state: int | None = None, **params: Any) -> Any:
    """Return an unfitted model by name.

    Parameters
    ----------
    name : str
        Name of a model, see `names`. For cells also ``"mlp"`` (see `mlp`),
        ``"embedding:BACKBONE[/LAYER]+HEAD[@WEIGHTS]"``, where WEIGHTS is ``imagenet`` (the
        default), ``random`` or a file (see `embedding`), ``"keras:BACKBONE"`` for a network of
        Keras that is trained, ``"fine_tuned:NETWORK[/LAYER]+HEAD"`` (see `fine_tuned`), and
        ``"aligned:NAME"`` for a model of features in `Aligned`; for patients also the baselines
        ``"stain"`` and ``"date_format"``.
    unit : {"cell", "patient"}
        What the model classifies: rows of a table of cells, or rows of `bags`.
    random_state : int, optional
        Seed of everything random in the model. By default the seed is the default of the model,
        which is 0. Models without a random component ignore it.
    **params
        Passed to the function that makes the model.

    Returns
    -------
    estimator
        Unfitted scikit-learn classifier.

    Raises
    ------
    ImportError
        If the model is a network and Keras is not installed.
    ValueError
        If there is no model of that name.

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> model = pipelines.make("random_forest", n_estimators=50, random_state=1)
    >>> list(model.named_steps)
    ['columns', 'model']
    >>> pipelines.make("table_logistic", unit="patient").steps[0][0]
    'table'
    """
    prefix = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), "")
    if unit == "cell" and prefix:
        maker: Callable[..., Any] = partial(_PREFIXES[prefix], name)
    else:
        maker = _entry(name, unit).maker
    return _models.build(maker, random_state, **params)


def make_patient(name: str, *, random_state: int = 0) -> Any:
    """Return an unfitted model of patients by name, as ``make(name, unit="patient")``.

    Parameters
    ----------
    name : str
        Name of a model, see `patient_names`, or ``"stain"`` or ``"date_format"``.
    random_state : int
        Seed of everything random in the model.

    Returns
    -------
    estimator
        Unfitted classifier of rows of `bags`.

    Raises
    ------
    ValueError
        If there is no model of that name.

    Examples
    --------
    >>> from hemafeat import datasets, pipelines
    >>> rows = pipelines.bags(datasets.drawn_bags(10, random_state=0))
    >>> model = pipelines.make_patient("table_means").fit(rows, rows["label"])
    >>> model.predict_proba(rows).shape
    (10, 2)
    """
    return make(name, unit="patient", random_state=random_state)


def patient_names(
    *, attributes: bool = False, deep: bool = False, images: bool = False
) -> list[str]:
    """Return the names of the models of patients, as ``names(unit="patient")``.

    Parameters
    ----------
    attributes, deep, images : bool
        See `names`.

    Returns
    -------
    list of str
        Names for `make_patient`.

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> pipelines.patient_names(attributes=True)[-4:]
    ['weighted', 'min', 'max', 'stack']
    """
    return names(unit="patient", attributes=attributes, deep=deep, images=images)


def search_space(name: str) -> dict[str, list[Any]]:
    """Return parameter values worth trying for a model of cells.

    Parameters
    ----------
    name : str
        Name of a model, see `names`.

    Returns
    -------
    dict of str to list
        Parameters of the whole pipeline, such as ``model__C``, for
        `sklearn.model_selection.GridSearchCV` or `RandomizedSearchCV`.

    Raises
    ------
    ValueError
        If there is no model of that name.

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> pipelines.search_space("logistic")
    {'model__C': [0.001, 0.01, 0.1, 1.0, 10.0]}
    """
    return {key: list(values) for key, values in _entry(name, "cell").space.items()}
