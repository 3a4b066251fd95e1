"""Recipes of published systems: plain data, read from TOML files and checked."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemafeat._public import public
from hemafeat._words import suggestion
from hemafeat.recipes._published import published

if TYPE_CHECKING:
    import pandas as pd

SYSTEMS = Path(__file__).parent / "systems"

VERSIONS = ("published", "corrected")
"""How a recipe is run: as the report did, with its errors, or as it should have been."""

KINDS = (
    "pipeline",
    "network",
    "embedding",
    "fine_tuned",
    "average",
    "stack",
    "vote",
    "bagging",
    "neighbours",
    "search",
    "patients",
    "cell_vote",
    "mil",
    "rule",
)
"""Keys of which a model has exactly one: what it is, or which other models it is made of."""

MADE_OF_OTHERS = (
    "fine_tuned",
    "average",
    "stack",
    "vote",
    "bagging",
    "neighbours",
    "search",
    "cell_vote",
    "rule",
)
"""Kinds whose value names other models of the recipe."""

OF_CELLS = ("pipeline", "network", "embedding", "fine_tuned")
"""Kinds that classify cells; in a recipe about patients they serve only as parts of others."""

OUTLINES = "outlines"
"""Study that trains networks to outline cells."""

STUDIES = ("class_drop", "learning_curve", OUTLINES)
"""Kinds of studies: functions of `hemafeat.evaluate`, and `OUTLINES`."""

TRAINED = "trained:"
"""Start of the segmenter of a model that is a network of the study `OUTLINES`."""

_TOP = {
    "title": str,
    "report": str,
    "source": str,
    "figures": str,
    "needs": list,
    "guesses": list,
    "data": dict,
    "protocols": dict,
    "network": dict,
    "models": dict,
    "quirks": dict,
    "files": dict,
    "studies": dict,
    "small": dict,
}
_DATA = {
    "sets": list,
    "where": str,
    "per_class": int,
    "families": list,
    "level": str,
    "metadata": list,
    "drawn": dict,
}
_QUIRK = {"text": str, "models": dict, "data": dict}
_SMALL = {
    "network": dict,
    "models": dict,
    "only": list,
    "n_images": int,
    "n_patients": int,
    "protocols": dict,
    "studies": dict,
}


@public
class RecipeError(ValueError):
    """A recipe that does not exist, is not valid, or cannot be run with what is there."""


@public
@dataclass(frozen=True)
class Recipe:
    """A published system as plain data.

    Attributes
    ----------
    name : str
        Name of the recipe, which is that of its file.
    title : str
        What the system is, in one line.
    report, source : str
        The report, and where it is published.
    figures : str
        Name of the system in the table of published figures, see `published`. By default that of
        the recipe.
    needs : tuple of str
        Extras of hemafeat that it needs, such as ``deep``.
    guesses : tuple of str
        What the report does not state, and what was chosen instead.
    data : dict
        Data sets with their options, and the rows and classes that are kept.
    protocols : dict
        Protocol and its options for ``published`` and for ``corrected``.
    network : dict
        Options that all networks of the recipe share.
    models : dict of str to dict
        Models by name: one of `KINDS` and its options.
    quirks : dict of str to dict
        Errors of the report by name. They change models or data only as published.
    files : dict of str to str
        Names of files of weights, by the name of the model that needs it.
    studies : dict
        Further questions by name: which of `STUDIES`, and the options of that function.
    small : dict
        What is changed for a run on few drawn images.
    """

    name: str
    title: str
    report: str
    source: str = ""
    figures: str = ""
    needs: tuple[str, ...] = ()
    guesses: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    protocols: Mapping[str, Any] = field(default_factory=dict)
    network: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    quirks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    studies: Mapping[str, Any] = field(default_factory=dict)
    small: Mapping[str, Any] = field(default_factory=dict)

    @property
    def system(self) -> str:
        """Name of the system in the table of published figures."""
        return self.figures or self.name

    def published(self) -> pd.DataFrame:
        """Return the published figures of the system, see `hemafeat.recipes.published`.

        Returns
        -------
        DataFrame
            Without rows if nothing is known of the system, such as one of your own.
        """
        figures = published()
        return figures[figures["system"] == self.system].reset_index(drop=True)

    @property
    def sets(self) -> list[str]:
        """Names of the data sets."""
        return [entry if isinstance(entry, str) else entry["name"] for entry in self.data["sets"]]

    @property
    def level(self) -> str:
        """What one prediction is about: ``"cell"`` or ``"patient"``."""
        return str(self.data.get("level", "cell"))

    @property
    def outlining(self) -> list[str]:
        """Networks that the recipe trains to outline cells."""
        outlines = [s for s in self.studies.values() if s["study"] == OUTLINES]
        return [network for study in outlines for network in study.get("networks", ["unet"])]

    def kind(self, model: str) -> str:
        """Return which of `KINDS` a model is."""
        return next(key for key in self.models[model] if key in KINDS)

    def parts(self, model: str) -> list[str]:
        """Return the names of the models that a model is made of."""
        kind = self.kind(model)
        value = self.models[model][kind] if kind in MADE_OF_OTHERS else []
        return list(value) if isinstance(value, list) else [value]

    @property
    def compared(self) -> list[str]:
        """Names of the models that are compared, and not only parts of others."""
        cells = self.level == "cell"
        return [name for name in self.models if cells or self.kind(name) not in OF_CELLS]


def names() -> list[str]:
    """Return the names of the recipes of this package.

    Returns
    -------
    list of str
        Names for `recipe`, sorted.

    Examples
    --------
    >>> from hemafeat import recipes
    >>> "ufsc2022" in recipes.names()
    True
    """
    return sorted(path.stem for path in SYSTEMS.glob("*.toml"))


def recipe(name: str | os.PathLike[str]) -> Recipe:
    """Read a recipe.

    Parameters
    ----------
    name : str or path
        Name of a recipe of this package, see `names`, or a ``.toml`` file.

    Returns
    -------
    Recipe
        What it says.

    Raises
    ------
    RecipeError
        If there is no such recipe, or the file is not a valid one.

    Examples
    --------
    >>> from hemafeat import recipes
    >>> recipes.recipe("ufsc2022").data["sets"]
    ['cnmc']
    """
    path = Path(name)
    if path.suffix != ".toml":
        path = SYSTEMS / f"{name}.toml"
        if not path.is_file():
            hint = suggestion(str(name), names(), "choose from")
            raise RecipeError(f"there is no recipe {str(name)!r}; {hint}")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"{path}: {error}") from None
    try:
        return _checked(path.stem, content)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from None


def _checked(name: str, content: dict[str, Any]) -> Recipe:
    _check_keys("the recipe", content, _TOP)
    for key in ("title", "report", "data", "protocols", "models"):
        if not content.get(key):
            raise RecipeError(f"{key} is missing")
    data = content["data"]
    _check_keys("data", data, _DATA)
    if not data.get("sets"):
        raise RecipeError("data.sets is missing")
    if data.get("level", "cell") not in ("cell", "patient"):
        raise RecipeError(f"data.level is {data['level']!r}; expected 'cell' or 'patient'")
    for version, value in content["protocols"].items():
        if version not in VERSIONS:
            raise RecipeError(f"protocols.{version}: expected one of {', '.join(VERSIONS)}")
        if isinstance(value, dict) and "name" not in value:
            raise RecipeError(f"protocols.{version}.name is missing")
    models = content["models"]
    for model, options in models.items():
        kinds = [key for key in options if key in KINDS]
        if len(kinds) != 1:
            raise RecipeError(
                f"models.{model} has {', '.join(kinds) or 'no kind'}; expected exactly one of "
                f"{', '.join(KINDS)}"
            )
    for quirk, change in content.get("quirks", {}).items():
        _check_keys(f"quirks.{quirk}", change, _QUIRK)
        if not change.get("text"):
            raise RecipeError(f"quirks.{quirk}.text is missing")
        _check_models(f"quirks.{quirk}", change.get("models", {}), models)
    studies = content.get("studies", {})
    for key, study in studies.items():
        if study.get("study") not in STUDIES:
            raise RecipeError(
                f"studies.{key}.study is {study.get('study')!r}; expected {', '.join(STUDIES)}"
            )
        _check_models(f"studies.{key}", study.get("models", []), models)
    small = content.get("small", {})
    _check_keys("small", small, _SMALL)
    for key in small.get("studies", {}):
        if key not in studies:
            raise RecipeError(f"small.studies: there is no study {key!r}")
    _check_models("small", [*small.get("models", {}), *small.get("only", [])], models)
    _check_models("files", content.get("files", {}), models)
    lists = {key: tuple(content.get(key, ())) for key in ("needs", "guesses")}
    result = Recipe(name, **{**content, **lists})
    _check_order(result)
    return result


def _check_keys(where: str, content: Mapping[str, Any], types: Mapping[str, type]) -> None:
    for key, value in content.items():
        if key not in types:
            raise RecipeError(f"{where} has no key {key!r}; {suggestion(key, types, 'known are')}")
        if not isinstance(value, types[key]):
            expected = {str: "text", list: "a list", dict: "a table", int: "a number"}[types[key]]
            raise RecipeError(f"{where}: {key} is {value!r}; expected {expected}")


def _check_models(where: str, wanted: Any, models: Mapping[str, Any]) -> None:
    for name in wanted:
        if name not in models:
            raise RecipeError(f"{where}: there is no model {name!r}")


def _check_order(result: Recipe) -> None:
    """Refuse a model that is made of one that comes after it, or of itself."""
    seen: set[str] = set()
    trained = {TRAINED + network for network in result.outlining}
    for name in result.models:
        for part in result.parts(name):
            if part not in seen:
                raise RecipeError(f"models.{name}: there is no model {part!r} before it")
        seen.add(name)
        segmenter = str(result.models[name].get("segmenter", ""))
        if segmenter.startswith(TRAINED) and segmenter not in trained:
            raise RecipeError(f"models.{name}: no study trains {segmenter.removeprefix(TRAINED)!r}")
