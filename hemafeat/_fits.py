"""Fits that the models of one fold have in common, so that none of them is made twice."""

from __future__ import annotations

import functools
import numbers
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pandas as pd

F = TypeVar("F", bound=Callable[..., Any])

_LIGHT = frozenset({"FeatureColumns", "FillMissing", "ClippedScaler", "PatientAttributes"})
"""Steps that are quickly fitted: it does not matter if two processes do so."""

_LABELS_ASIDE = frozenset(
    {
        "BoostedTrees",
        "LogisticRegression",
        "NetworkClassifier",
        "RandomForestClassifier",
        "SupportVectors",
    }
)
"""Classifiers that learn from the numbers of the classes; the labels are in `classes_` only."""

_NO_LABELS = _LIGHT | {"PartialWhitening"}
"""Transformers that do not look at the labels."""

_OF_THE_OBJECT = frozenset({"_sklearn_output_config", "_metadata_request"})
"""What an estimator has been told beside its parameters."""


@dataclass
class _Fit:
    named: Any
    state: dict[str, Any]
    warnings: list[warnings.WarningMessage]
    seconds: float


@dataclass
class Fits:
    """Fits made so far.

    Attributes
    ----------
    wanted : frozenset of str
        Kinds of estimators that occur more than once in the models.
    seconds_saved : float
        Time of the fits that were taken from here instead of being made again.
    """

    wanted: frozenset[str]
    seconds_saved: float = 0.0
    made: dict[str, _Fit] = field(default_factory=dict)

    @classmethod
    def of(cls, models: Sequence[Any]) -> Fits:
        """Return an empty collection for unfitted models that are fitted within `sharing`."""
        counts = Counter(kind for model in models for kind in map(kind_of, parts_of(model)))
        return cls(frozenset(kind for kind, n in counts.items() if n > 1 and kind))


_CURRENT: ContextVar[Fits | None] = ContextVar("fits", default=None)


@contextmanager
def sharing(fits: Fits) -> Iterator[None]:
    """Make each fit that is wanted more than once only once.

    Estimators share a fit if they are of the same class, with the same parameters, and are fitted
    to the same rows and labels. One that draws at random without a seed never shares.

    Parameters
    ----------
    fits : Fits
        Fits made before, to which others are added.
    """
    token = _CURRENT.set(fits)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def is_sharing() -> bool:
    """Return whether fits are shared at present."""
    return _CURRENT.get() is not None


def families(models: Sequence[Any]) -> list[list[int]]:
    """Divide models into those that have a fit in common.

    Parameters
    ----------
    models : sequence of estimator
        Unfitted.

    Returns
    -------
    list of list of int
        Numbers of the models that belong together, the group of the most work first.
    """
    kinds = [
        {kind_of(part) for part in parts_of(model) if _is_heavy(part)} - {""} for model in models
    ]
    groups: list[list[int]] = []
    for number, own in enumerate(kinds):
        related = [group for group in groups if any(own & kinds[other] for other in group)]
        groups = [group for group in groups if group not in related]
        groups.append(sorted([*(other for group in related for other in group), number]))
    return sorted(groups, key=lambda group: (-sum(len(kinds[n]) for n in group), group))


def takes_validation(model: Any) -> bool:
    """Return whether an estimator, or a member of it, can be validated on rows it is given."""
    return any(getattr(part, "takes_validation", False) for part in parts_of(model))


_VALIDATION: ContextVar[tuple[Any, Any] | None] = ContextVar("validation", default=None)


@contextmanager
def validating(validation: tuple[Any, Any] | None) -> Iterator[None]:
    """Give rows and labels to validate on to all estimators fitted inside that take them.

    They are given to methods `fit` that are `shared`, and fitted to rows with the same columns.
    """
    token = _VALIDATION.set(validation)
    try:
        yield
    finally:
        _VALIDATION.reset(token)


def fit_validated(model: Any, X: Any, y: Any, validation: tuple[Any, Any] | None) -> Any:
    """Fit an estimator; if it or its members take rows to validate on, give them these.

    Parameters
    ----------
    model : estimator
        Unfitted; it is fitted in place.
    X, y : object
        Training rows and labels.
    validation : (X, y), optional
        Rows and labels on which training stops or parameters are selected.

    Returns
    -------
    estimator
        `model`.
    """
    from sklearn.ensemble import StackingClassifier, VotingClassifier

    if validation is None or not takes_validation(model):
        return model.fit(X, y)
    if getattr(model, "takes_validation", False):
        return model.fit(X, y, validation=validation)
    if isinstance(model, StackingClassifier | VotingClassifier):
        # These fit their members to the numbers of the classes.
        codes = np.searchsorted(np.unique(np.asarray(y)), np.asarray(validation[1]))
        validation = validation[0], codes
    with validating(validation):
        return model.fit(X, y)


def _validation_for(model: Any, X: Any, y: Any) -> tuple[Any, Any] | None:
    """Return the rows of `validating` that fit the training rows, with classes of these."""
    given = _VALIDATION.get()
    if given is None or not getattr(model, "takes_validation", False):
        return None
    rows, labels, trained = given[0], np.asarray(given[1]), np.asarray(y)
    alike = isinstance(X, pd.DataFrame) and isinstance(rows, pd.DataFrame)
    if (
        not alike
        or list(X.columns) != list(rows.columns)
        or labels.dtype.kind != trained.dtype.kind
    ):
        return None
    known = np.isin(labels, trained)
    return (rows[known], labels[known]) if known.any() else None


def fit_once(
    model: Any,
    X: Any,
    y: Any = None,
    fit: Callable[..., Any] | None = None,
    validation: tuple[Any, Any] | None = None,
) -> Any:
    """Fit an estimator, or give it the state of an equal one that was fitted to the same rows.

    Parameters
    ----------
    model : estimator
        Unfitted; it is fitted in place.
    X, y : object
        Training rows and labels.
    fit : callable, optional
        What fits it to rows and labels; by default its method `fit`, see `fit_validated`.
    validation : (X, y), optional
        Rows and labels to validate on.

    Returns
    -------
    estimator
        `model`. Outside `sharing` it is always fitted.
    """
    fits = _CURRENT.get()
    if fit is None:
        fit = functools.partial(fit_validated, model, validation=validation)
        if fits is None or hasattr(getattr(type(model), "fit", None), "shares"):
            return fit(X, y)
    kind = "" if fits is None else kind_of(model)
    if fits is None or kind not in fits.wanted:
        return fit(X, y)
    name = _name(model)
    classes = None
    labels = None if name in _NO_LABELS else y
    parts = [(X, labels)] if validation is None else [(X, labels), validation]
    if name in _LABELS_ASIDE:
        classes = np.unique(np.asarray(y))
        parts = [(rows, np.searchsorted(classes, of)) for rows, of in [(X, y), *parts[1:]]]
    read = getattr(model, "read_columns", lambda rows: rows)
    divided = [_divided(read(rows)) for rows, _ in parts]
    objects = [column for _, columns in divided for column in columns]
    values = [(rows, of) for (rows, _), (_, of) in zip(divided, parts, strict=True)]
    key = value_hash((kind, values, [list(map(id, column)) for column in objects]))
    made = fits.made.get(key)
    if made is None or not key:
        start, saved = time.perf_counter(), fits.seconds_saved
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fit(X, y)
        seconds = time.perf_counter() - start + fits.seconds_saved - saved
        # Objects that are known by their identity are kept, so that no other one gets it.
        made = _Fit(objects, dict(vars(model)), caught, seconds)
        if key:
            fits.made[key] = made
    else:
        vars(model).update(
            {name: value for name, value in made.state.items() if name not in _OF_THE_OBJECT}
        )
        if classes is not None:
            model.classes_ = classes
        fits.seconds_saved += made.seconds
    for caught_one in made.warnings:
        warnings.warn_explicit(
            caught_one.message, caught_one.category, caught_one.filename, caught_one.lineno
        )
    return model


def shared(fit: F) -> F:
    """Let a method `fit` take part in `sharing` and in `validating`.

    It shares nothing if it is given more than rows and labels, and rows to validate on.
    """

    @functools.wraps(fit)
    def wrapper(self: Any, X: Any, y: Any = None, *args: Any, **params: Any) -> Any:
        given = {name: value for name, value in params.items() if value is not None}
        if "validation" not in given and (validation := _validation_for(self, X, y)) is not None:
            given["validation"] = validation
        if any(value is not None for value in args) or given.keys() - {"validation"}:
            return fit(self, X, y, *args, **given)
        return fit_once(self, X, y, functools.partial(fit, self, **given), **given)

    wrapper.shares = True  # type: ignore[attr-defined]
    return wrapper  # type: ignore[return-value]


def parts_of(model: Any) -> Iterator[Any]:
    """Yield an estimator and all that are among its parameters, at any depth."""
    if isinstance(model, type) or not hasattr(model, "get_params"):
        return
    yield model
    for value in model.get_params(deep=False).values():
        members = value if isinstance(value, list | tuple) else [value]
        for member in members:
            for part in member if isinstance(member, tuple) else [member]:
                yield from parts_of(part)


def check_weights(models: Mapping[str, Any]) -> None:
    """Raise a ValueError that names the model if weights of networks cannot be had or do not fit.

    It is raised before anything is measured or fitted.
    """
    for name, model in models.items():
        for part in parts_of(model):
            if hasattr(part, "check_weights"):
                try:
                    part.check_weights()
                except ValueError as error:
                    raise ValueError(f"model {name!r}: {error}") from None


def _name(model: Any) -> str:
    """Return the name of a class of this package or of scikit-learn, empty for another one."""
    ours = type(model).__module__.split(".")[0] in ("hemafeat", "sklearn")
    return type(model).__name__ if ours else ""


def _is_heavy(model: Any) -> bool:
    return _name(model) in _LABELS_ASIDE | {"CellPipeline", "PartialWhitening", "Pipeline"}


def kind_of(model: Any) -> str:
    """Return a hash of the class and the parameters of an estimator, empty if it never shares."""
    if not hasattr(model, "get_params"):
        return ""
    for part in parts_of(model):
        seed = part.get_params(deep=False).get("random_state", 0)
        if not isinstance(seed, numbers.Integral) and not _draws_nothing(part):
            return ""
    return value_hash(
        (type(model).__module__, type(model).__qualname__, model.get_params(deep=False))
    )


def _divided(X: Any) -> tuple[Any, list[list[Any]]]:
    """Divide rows into what is compared by value, and columns of objects such as bags of cells."""
    if not isinstance(X, pd.DataFrame) or not len(X):
        return X, []
    first = {name: X[name].iloc[0] for name, kind in X.dtypes.items() if kind == "object"}
    names = [name for name, value in first.items() if not isinstance(value, str | float | int)]
    return X.drop(columns=names), [X[name].tolist() for name in names]


def _draws_nothing(model: Any) -> bool:
    """Return whether a classifier of the catalogue gives the same result without a seed."""
    name = _name(model)
    prior = name == "DummyClassifier" and model.strategy == "prior"
    return prior or (name == "LogisticRegression" and model.solver == "lbfgs")


def value_hash(value: Any) -> str:
    """Return a hash of any value, empty if there is none."""
    import joblib

    try:
        return str(joblib.hash(value))
    except Exception:  # whatever cannot be pickled is not shared
        return ""
