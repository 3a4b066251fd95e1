"""Every recipe runs, at its smallest, on drawn cells in the layout of its data set."""

from __future__ import annotations

from pathlib import Path

import pytest

from hemafeat import recipes

DEEP = [name for name in recipes.names() if "deep" in recipes.recipe(name).needs]

QUICK = {
    "bernard2021_cross",
    "ding2019",
    "hemafeat_pbc",
    "kabongo2024_mil",
    "kabongo2024_one_to_one",
    "liu2019",
    "pan2019",
    "ramaneswaran2021",
    "ufsc2022",
}
"""Recipes that together have every kind of model; tox -e networks-deep runs the others."""


def run_small(name: str, out: Path) -> recipes.Rerun:
    """Run the version that fits each model once, if there is one."""
    recipe = recipes.recipe(name)
    version = "published" if "published" in recipe.protocols else "corrected"
    return recipes.run(recipe, out=out, small=True, n_boot=10, versions=[version])


@pytest.mark.parametrize("name", [name for name in recipes.names() if name not in DEEP])
def test_a_recipe_runs(name: str, tmp_path: Path) -> None:
    rerun = run_small(name, tmp_path)
    tested = rerun.results[rerun.results["part"] == "test"]
    assert tested["value"].notna().any()
    assert (rerun.folder / "page.html").is_file()
    assert (rerun.folder / "map.svg").is_file()


def test_the_quick_ones_have_every_kind() -> None:
    from hemafeat.recipes._recipe import KINDS

    used = {one.kind(m) for one in map(recipes.recipe, recipes.names()) for m in one.models}
    quick = [recipes.recipe(name) for name in recipes.names() if name in QUICK or name not in DEEP]
    of_quick = {one.kind(model) for one in quick for model in one.models}
    assert used == set(KINDS)
    assert of_quick >= used - {"vote"}


@pytest.mark.networks
@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.deep) for name in DEEP],
)
def test_a_recipe_with_networks_runs(name: str, tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    rerun = run_small(name, tmp_path)
    expected = rerun.recipe.small.get("only", rerun.recipe.compared)
    tested = rerun.results[rerun.results["part"] == "test"]
    assert set(tested.loc[tested["value"].notna(), "model"]) == set(expected)
    page = (rerun.folder / "page.html").read_text("utf-8")
    networks = [model for model in expected if rerun.recipe.kind(model) == "network"]
    assert all(f"raining of {model}" in page for model in networks)
    # What TensorFlow keeps of each network adds up to gigabytes.
    keras.utils.clear_session()
