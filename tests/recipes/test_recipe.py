"""Recipes are plain data: each is valid, refers to figures that exist, and says what it guesses."""

from __future__ import annotations

from pathlib import Path

import pytest

from hemafeat import datasets, evaluate, recipes

SYSTEMS = {name: recipes.recipe(name) for name in recipes.names()}


@pytest.mark.parametrize("name", SYSTEMS)
def test_figures_of_the_report_are_in_the_table(name: str) -> None:
    recipe = SYSTEMS[name]
    figures = recipes.published()
    figures = figures[figures["system"] == recipe.system]
    stated = {options["figures"] for options in recipe.models.values() if "figures" in options}
    assert stated <= set(figures["model"])
    named = set(recipe.models) & set(figures["model"])
    unknown = recipe.report == "hemafeat" or name == "karim2022"
    assert unknown or stated or named, "no figure of the report is shown beside any model"


@pytest.mark.parametrize("name", SYSTEMS)
def test_data_sets_and_protocols_exist(name: str) -> None:
    recipe = SYSTEMS[name]
    for entry in recipe.data["sets"]:
        assert (entry if isinstance(entry, str) else entry["name"]) in {*datasets.LOADERS, "table"}
    known = set(evaluate.protocols()["name"])
    for value in recipe.protocols.values():
        assert (value if isinstance(value, str) else value["name"]) in known
    leaky = evaluate.protocols().set_index("name")["leaky"]
    corrected = recipe.protocols["corrected"]
    assert not leaky[corrected if isinstance(corrected, str) else corrected["name"]]


@pytest.mark.parametrize("name", SYSTEMS)
def test_small_runs_are_small(name: str) -> None:
    small = SYSTEMS[name].small
    assert small.get("n_images", 0) <= 80
    changes = [small.get("network", {}), *small.get("models", {}).values()]
    if "network" in map(SYSTEMS[name].kind, SYSTEMS[name].models):
        assert any(change.get("epochs") == 1 for change in changes)


GOOD = """
title = "A system"
report = "A report"
[data]
sets = ["pbc"]
[protocols]
corrected = "grouped"
[models.one]
pipeline = "svc"
[models.two]
average = ["one"]
"""


def read(folder: Path, text: str) -> recipes.Recipe:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return recipes.recipe(path)


def test_a_recipe_of_ones_own(tmp_path: Path) -> None:
    recipe = read(tmp_path, GOOD)
    assert (recipe.name, recipe.level, recipe.system) == ("mine", "cell", "mine")
    assert recipe.parts("two") == ["one"]
    assert recipe.compared == ["one", "two"]
    assert recipe.published().empty
    outlines = GOOD + "[studies.cut]\nstudy = 'outlines'\n"
    assert read(tmp_path, outlines).outlining == ["unet"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('title = "A system"', "", "title is missing"),
        ('title = "A system"', "title = 3", "title is 3; expected text"),
        ("[data]", "[dato]", "the recipe has no key 'dato'; "),
        ("sets", "where", "data: where is ['pbc']; expected text"),
        ('sets = ["pbc"]', 'where = "True"', "data.sets is missing"),
        ("corrected", "honest", "protocols.honest: expected one of published, corrected"),
        ('"grouped"', "{ n_train = 5 }", "protocols.corrected.name is missing"),
        ("pipeline", "pipline", "models.one has no kind; expected exactly one of pipeline"),
        (
            'pipeline = "svc"',
            'pipeline = "svc"\nnetwork = "lenet5"',
            "models.one has pipeline, network",
        ),
        (
            'average = ["one"]',
            'average = ["three"]',
            "models.two: there is no model 'three' before",
        ),
        ('average = ["one"]', 'average = ["two"]', "models.two: there is no model 'two' before it"),
        ("title", "title =", "Invalid value"),
        ("[data]", '[small]\nonly = ["three"]\n[data]', "small: there is no model 'three'"),
        (
            "[data]",
            '[studies.drop]\nstudy = "drop"\n[data]',
            "studies.drop.study is 'drop'; expected class_drop, learning_curve, outlines",
        ),
        (
            "[data]",
            '[studies.drop]\nstudy = "class_drop"\nmodels = ["three"]\n[data]',
            "studies.drop: there is no model 'three'",
        ),
        ("[data]", "[small]\nstudies = { drop = {} }\n[data]", "small.studies: there is no study"),
        (
            'pipeline = "svc"',
            'network = "lenet5"\noutside = "black"\nsegmenter = "trained:unet"',
            "models.one: no study trains 'unet'",
        ),
        ("[data]", "[quirks.copies]\nmodels = {}\n[data]", "quirks.copies.text is missing"),
    ],
)
def test_a_faulty_recipe_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(recipes.RecipeError) as error:
        read(tmp_path, GOOD.replace(old, new, 1))
    assert str(error.value).startswith(str(tmp_path / "mine.toml"))
    assert message in str(error.value)


def test_a_recipe_that_is_not_there() -> None:
    with pytest.raises(recipes.RecipeError, match="no recipe 'ufsc2023'; did you mean ufsc2022"):
        recipes.recipe("ufsc2023")
    with pytest.raises(recipes.RecipeError, match=r"nothing\.toml"):
        recipes.recipe("nothing.toml")
