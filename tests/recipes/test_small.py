"""Every recipe runs, at its smallest, on drawn cells in the layout of its data set."""

from __future__ import annotations

from pathlib import Path

import pytest

from hemafeat import recipes

DEEP = [name for name in recipes.names() if "deep" in recipes.recipe(name).needs]


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


@pytest.mark.networks
@pytest.mark.parametrize("name", DEEP)
def test_a_recipe_with_networks_runs(name: str, tmp_path: Path) -> None:
    pytest.importorskip("keras")
    rerun = run_small(name, tmp_path)
    expected = rerun.recipe.small.get("only", rerun.recipe.compared)
    tested = rerun.results[rerun.results["part"] == "test"]
    assert set(tested.loc[tested["value"].notna(), "model"]) == set(expected)
    page = (rerun.folder / "page.html").read_text("utf-8")
    networks = [model for model in expected if rerun.recipe.kind(model) == "network"]
    assert all(f"raining of {model}" in page for model in networks)
