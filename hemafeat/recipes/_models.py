"""Make the models of a recipe from their entries."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from sklearn.model_selection import GridSearchCV

from hemafeat import pipelines
from hemafeat.recipes._recipe import KINDS, TRAINED, Recipe, RecipeError

_OURS = ("figures", "columns", "set")
"""Keys of an entry that are not options of the function that makes the model."""


def make_models(
    recipe: Recipe,
    version: str,
    columns: Sequence[str] = (),
    *,
    only: Sequence[str] | None = None,
    small: bool = False,
    weights: str | os.PathLike[str] | None = None,
    trained: Path | None = None,
    random_state: int = 0,
) -> dict[str, Any]:
    """Return the unfitted models of a recipe by name.

    Parameters
    ----------
    recipe : Recipe
        The recipe.
    version : {"published", "corrected"}
        Whether the errors of the report are made again.
    columns : sequence of str
        Feature columns of the table, from which those of an entry are chosen.
    only : sequence of str, optional
        Models that are returned. By default all.
    small : bool
        Change the models as the recipe says for a run on few drawn images, and start networks from
        random weights.
    weights : path, optional
        Folder of the files of weights that the recipe names.
    trained : Path, optional
        Folder of the networks that the recipe trained to outline cells. Without it, models that
        read the outlines of one have those of the U-Net of this package.
    random_state : int
        Seed of the models.

    Returns
    -------
    dict of str to estimator
        Unfitted models, in the order of the recipe.

    Raises
    ------
    RecipeError
        If a model cannot be made; the message names it.
    """
    made: dict[str, Any] = {}
    wanted = _wanted(recipe, only, small)
    for name in recipe.models:
        if name in _with_parts(recipe, wanted):
            options = _options(recipe, name, version, small, weights)
            if network := _trained_by_recipe(options):
                options["segmenter"] = (
                    "unet" if trained is None else f"unet:{trained / network / 'network.onnx'}"
                )
            try:
                made[name] = _make(recipe, name, options, made, columns, random_state)
            except (ValueError, TypeError, KeyError) as error:
                raise RecipeError(f"{recipe.name}: models.{name}: {error}") from None
    return {name: model for name, model in made.items() if name in wanted}


def reads_outlines(recipe: Recipe, only: Sequence[str] | None, small: bool) -> bool:
    """Return whether a model of a run reads the outlines of a network that the recipe trains."""
    wanted = _with_parts(recipe, _wanted(recipe, only, small))
    return any(_trained_by_recipe(recipe.models[name]) for name in wanted)


def _trained_by_recipe(options: Mapping[str, Any]) -> str:
    """Return the name of the network of the recipe whose outlines a model reads, or nothing."""
    segmenter = str(options.get("segmenter", ""))
    return segmenter.removeprefix(TRAINED) if segmenter.startswith(TRAINED) else ""


def _wanted(recipe: Recipe, only: Sequence[str] | None, small: bool) -> list[str]:
    wanted = recipe.compared if only is None else list(only)
    if small and only is None:
        wanted = list(recipe.small.get("only", wanted))
    for name in wanted:
        if name not in recipe.compared:
            known = ", ".join(recipe.compared)
            raise RecipeError(f"{recipe.name} has no model {name!r}; its models are {known}")
    return wanted


def _with_parts(recipe: Recipe, wanted: Sequence[str]) -> set[str]:
    names, waiting = set(wanted), list(wanted)
    while waiting:
        for part in recipe.parts(waiting.pop()):
            if part not in names:
                names.add(part)
                waiting.append(part)
    return names


def _options(
    recipe: Recipe,
    name: str,
    version: str,
    small: bool,
    weights: str | os.PathLike[str] | None,
) -> dict[str, Any]:
    """Return the entry of a model with what is changed for this run."""
    options = dict(recipe.models[name])
    if version == "published":
        for quirk in recipe.quirks.values():
            options |= quirk.get("models", {}).get(name, {})
    kind = recipe.kind(name)
    if kind == "network":
        options = {**recipe.network, **options}
        options |= recipe.small.get("network", {}) if small else {}
    if small:
        options |= recipe.small.get("models", {}).get(name, {})
    options = {key: None if value == "none" else value for key, value in options.items()}
    if kind in ("network", "embedding") and "weights" in options:
        file = recipe.files.get(name)
        if small or options["weights"] == "random":
            options["weights"] = None
        elif weights is not None and file and (Path(weights) / file).is_file():
            options["weights"] = str(Path(weights) / file)
    return options


def _make(
    recipe: Recipe,
    name: str,
    options: dict[str, Any],
    made: Mapping[str, Any],
    columns: Sequence[str],
    random_state: int,
) -> Any:
    kind = next(key for key in options if key in KINDS)
    value = options[kind]
    rest = {key: val for key, val in options.items() if key != kind and key not in _OURS}
    parts = {part: made[part] for part in recipe.parts(name)}
    if "operation" in rest:  # "rule" is the kind of the model
        rest["rule"] = rest.pop("operation")
    model = _MAKERS[kind](value, rest, parts, random_state)
    if "columns" in options:
        chosen = _chosen(options["columns"], columns)
        place = "columns__columns" if "columns" in dict(getattr(model, "steps", [])) else "columns"
        model.set_params(**{place: chosen})
    if "set" in options:
        model.set_params(**options["set"])
    return model


def _chosen(patterns: Sequence[str], columns: Sequence[str]) -> list[str]:
    chosen = [c for c in columns if any(fnmatchcase(c, pattern) for pattern in patterns)]
    if columns and not chosen:
        raise ValueError(f"no column is called like {', '.join(patterns)}")
    return chosen or list(patterns)


Maker = Callable[[Any, dict[str, Any], Mapping[str, Any], int], Any]


def _named(name: str, options: dict[str, Any], parts: Mapping[str, Any], random_state: int) -> Any:
    return pipelines.make(name, random_state=random_state, **options)


def _embedding(
    backbone: str, options: dict[str, Any], parts: Mapping[str, Any], random_state: int
) -> Any:
    return pipelines.embedding(backbone=backbone, random_state=random_state, **options)


def _fine_tuned(
    network: str, options: dict[str, Any], parts: Mapping[str, Any], random_state: int
) -> Any:
    (tuned,) = parts.values()
    return pipelines.fine_tuned(tuned, random_state=random_state, **options)


def _search(
    model: str, options: dict[str, Any], parts: Mapping[str, Any], random_state: int
) -> Any:
    (searched,) = parts.values()
    folds = pipelines.GroupedFolds(options.pop("n_splits", 5))
    options = {"scoring": "balanced_accuracy", **options}
    return GridSearchCV(searched, options.pop("grid"), cv=folds, **options)


def _patients(
    name: str, options: dict[str, Any], parts: Mapping[str, Any], random_state: int
) -> Any:
    return pipelines.make(name, unit="patient", random_state=random_state, **options)


_MAKERS: dict[str, Maker] = {
    "pipeline": _named,
    "network": _named,
    "embedding": _embedding,
    "fine_tuned": _fine_tuned,
    "average": lambda _, options, parts, seed: pipelines.average(dict(parts), **options),
    "stack": lambda _, options, parts, seed: pipelines.stack(
        dict(parts), random_state=seed, **options
    ),
    "vote": lambda _, options, parts, seed: pipelines.weighted_vote(
        dict(parts), random_state=seed, **options
    ),
    "bagging": lambda _, options, parts, seed: pipelines.GroupedBagging(
        *parts.values(), random_state=seed, **options
    ),
    "neighbours": lambda _, options, parts, seed: pipelines.NeighbourhoodCorrection(
        *parts.values(), **options
    ),
    "search": _search,
    "patients": _patients,
    "cell_vote": lambda _, options, parts, seed: pipelines.CellVote(*parts.values(), **options),
    "mil": lambda pooling, options, _, seed: pipelines.MILImageClassifier(
        pooling, random_state=seed, **options
    ),
    "rule": lambda _, options, parts, seed: pipelines.DecisionRule(list(parts.items()), **options),
}
"""Function that makes a model of each of the kinds."""
