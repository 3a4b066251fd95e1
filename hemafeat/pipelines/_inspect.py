"""Inspection of models: the parts of a table that they look at, and the columns they need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hemafeat._public import public

FEATURES, IMAGES, ATTRIBUTES, WHITE, GROUPS = "features", "images", "attributes", "white", "groups"


@public
class ModelError(ValueError):
    """Error of a model file that cannot be used, or a table that does not fit a model."""


def looks_at(model: Any) -> frozenset[str]:
    """Return the parts of a table that a model looks at.

    An estimator declares them in an attribute `looks_at`, a set of the names below. One that
    declares nothing looks at features. Pipelines, ensembles and searches look at what their
    members look at, a pipeline at what its first step does.

    Parameters
    ----------
    model : estimator
        Classifier or transformer, fitted or not.

    Returns
    -------
    frozenset of str
        Any of

        * ``"features"``: the feature columns of the cells;
        * ``"images"``: the column ``image``;
        * ``"attributes"``: attributes of the patient, such as age and sex;
        * ``"white"``: the background white of the images;
        * ``"groups"``: the column ``group``, in order to divide the training rows.

        Empty for a model of patients that only counts the cells.

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> sorted(pipelines.looks_at(pipelines.make("svc")))
    ['features']
    >>> sorted(pipelines.looks_at(pipelines.stack(["svc", pipelines.grey_pixels()])))
    ['features', 'groups', 'images']
    >>> sorted(pipelines.looks_at(pipelines.make("stack", unit="patient")))
    ['attributes', 'features']
    """
    steps = getattr(model, "steps", None)
    if steps:
        divides = any(GROUPS in (_declared(step) or ()) for _, step in steps)
        return looks_at(steps[0][1]) | ({GROUPS} if divides else set())
    declared = _declared(model)
    members = list(_members(model))
    if declared is None:
        declared = frozenset() if members else frozenset({FEATURES})
    folds = _declared(getattr(model, "cv", None)) or frozenset()
    return declared.union(folds & {GROUPS}, *map(looks_at, members))


def is_transductive(model: Any) -> bool:
    """Return whether the prediction for a cell depends on the cells that are predicted with it.

    Parameters
    ----------
    model : estimator
        Classifier, fitted or not. It is transductive if it, or a member of it, has an attribute
        `transductive` that is true.

    Returns
    -------
    bool

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> pipelines.is_transductive(pipelines.svc())
    False
    >>> pipelines.is_transductive(pipelines.NeighbourhoodCorrection(pipelines.svc()))
    True
    """
    return bool(getattr(model, "transductive", False)) or any(
        is_transductive(member) for member in _members(model)
    )


@dataclass
class Needs:
    """Columns that a fitted model takes from a table of cells.

    Attributes
    ----------
    unit : {"cell", "patient"}
        What the model classifies.
    columns : list of str
        Columns of the cells, in order; ``["image"]`` for a model of cells that takes images.
    attributes : list of str
        Attributes of the patients.
    beside : list of str
        Further columns of the cells that a model of patients takes: ``image`` and the background
        white.
    measured : dict of str to str
        How the cells were measured, as far as the table said so on which the model was fitted.
    units : dict of str to str
        Units of the columns of the training rows, as far as known.
    """

    unit: str
    columns: list[str] = field(default_factory=list)
    attributes: list[str] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)
    measured: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)


def needs(model: Any) -> Needs:
    """Return the columns that a fitted model takes.

    Parameters
    ----------
    model : estimator
        Classifier fitted on a DataFrame, of cells or of rows of `bags`.

    Returns
    -------
    Needs

    Raises
    ------
    ModelError
        If the model is not fitted, or was fitted without column names.
    """
    if getattr(model, "classes_", None) is None:
        raise ModelError(f"the model is not fitted, or is not a classifier: {type(model).__name__}")
    takers = list(_takers(model))
    patients = [taker for taker in takers if getattr(taker, "unit", "cell") == "patient"]
    needed = Needs("patient" if patients else "cell")
    for taker in patients or takers:
        columns = _columns_of(taker)
        if columns is None:
            raise ModelError(
                "the model was fitted on an array without column names; fit it on a table"
            )
        needed.measured = needed.measured or dict(getattr(taker, "measured_", {}))
        parts = _declared(taker) or frozenset()
        if ATTRIBUTES in parts:
            needed.attributes += columns
        elif patients and parts & {IMAGES, WHITE}:
            needed.beside += columns
            if FEATURES in parts:
                needed.columns += list(taker.columns_)
                needed.units |= getattr(taker, "units_", {})
        else:
            needed.columns += columns
            needed.units |= getattr(taker, "units_", {})
    for name in ("columns", "attributes", "beside"):
        setattr(needed, name, list(dict.fromkeys(getattr(needed, name))))
    return needed


def _takers(model: Any) -> Iterator[Any]:
    """Yield the fitted parts of a model that take columns from the table themselves."""
    steps = getattr(model, "steps", None)
    if steps:
        yield from _takers(steps[0][1])
        return
    takers = [taker for member in _fitted_members(model) for taker in _takers(member)]
    if any(_declared(taker) is not None and _columns_of(taker) is not None for taker in takers):
        yield from takers
    else:
        # The members of other ensembles, such as the trees of a forest, get arrays.
        yield model


def _columns_of(taker: Any) -> list[str] | None:
    """Return the columns that a fitted estimator takes, None if it was fitted on an array."""
    if IMAGES in (_declared(taker) or ()):
        return ["image"]
    columns = getattr(taker, "columns_", None)
    if columns is None:
        columns = getattr(taker, "feature_names_in_", None)
    return None if columns is None else [str(name) for name in columns]


def _fitted_members(model: Any) -> list[Any]:
    """Return the fitted estimators that a model holds."""
    members = getattr(model, "estimators_", None)
    if isinstance(members, list):
        return members
    calibrated = getattr(model, "calibrated_classifiers_", None)
    if isinstance(calibrated, list):
        return [member.estimator for member in calibrated]
    if hasattr(model, "transformer_list"):
        return [member for _, member in model.transformer_list]
    names = ("estimator_", "best_estimator_")
    return [getattr(model, name) for name in names if hasattr(model, name)]


def _declared(part: Any) -> frozenset[str] | None:
    """Return what an estimator itself declares to look at, None if it declares nothing."""
    declared = getattr(part, "looks_at", None)
    if declared is not None:
        return frozenset(declared)
    # Declarations of version 0.1.
    images = {IMAGES} if getattr(part, "reads_images", False) else set()
    groups = {GROUPS} if getattr(part, "takes_groups", False) else set()
    if groups and not images and not list(_members(part)):
        return frozenset({FEATURES, GROUPS})
    return frozenset(images | groups) or None


def _members(model: Any) -> Iterator[Any]:
    """Yield the unfitted estimators that a model holds."""
    for attribute in ("steps", "estimators", "transformer_list"):
        for pair in getattr(model, attribute, None) or ():
            member = pair[1] if isinstance(pair, tuple) else pair
            if hasattr(member, "get_params"):
                yield member
    for attribute in ("estimator", "base_estimator"):
        member = getattr(model, attribute, None)
        if hasattr(member, "get_params"):
            yield member
