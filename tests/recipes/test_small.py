"""Every recipe runs, at its smallest, on drawn cells in the layout of its data set."""

from __future__ import annotations

from pathlib import Path

import pytest

from hemafeat import datasets, recipes

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


OUTLINED = """
title = "Grey pixels of cells that a network cut out"
report = "A report"
[data]
sets = ["pbc"]
[protocols]
corrected = "grouped"
[models.whole]
pipeline = "grey_pixels"
size = 24
[models.black]
pipeline = "grey_pixels"
size = 24
outside = "black"
segmenter = "trained:unet"
[studies.outlines]
study = "outlines"
least_confidence = 0.3
start = "shipped"
side = 64
[small]
n_images = 24
studies = { outlines = { epochs = 1, steps = 1, batch_size = 2, n_validation = 2 } }
"""


@pytest.mark.networks
def test_a_recipe_trains_a_network_that_cuts_cells_out(tmp_path: Path) -> None:
    pytest.importorskip("keras")
    file = tmp_path / "cut.toml"
    file.write_text(OUTLINED, encoding="utf-8")
    rerun = recipes.run(file, out=tmp_path / "out", small=True, n_boot=10, n_splits=2)
    scores = rerun.results[rerun.results["model"] == "unet"].set_index("metric")["value"]
    assert scores["dice"] > 0.7
    assert scores["pixel_accuracy"] > 0.9
    scores = rerun.results[rerun.results["part"] == "test"].set_index(["model", "metric"])["value"]
    assert scores["whole", "log_loss"] != scores["black", "log_loss"]
    # Only models that read the outlines need them.
    recipes.run(file, out=tmp_path / "whole", small=True, only=["whole"], n_boot=10, n_splits=2)
    assert not (tmp_path / "whole" / "cut" / "outlines").exists()


@pytest.mark.networks
def test_weights_are_checked_before_anything_is_measured(tmp_path: Path) -> None:
    pytest.importorskip("keras")
    file = tmp_path / "cut.toml"
    embedding = '[models.vectors]\nembedding = "ResNet50"\nweights = "nowhere.h5"'
    features = '[models.features]\npipeline = "svc"'
    head, _, _ = OUTLINED.partition("[models.whole]")
    file.write_text("\n".join([head, features, embedding]), encoding="utf-8")
    datasets.drawn_set("pbc", tmp_path / "cells", 16, size=64)
    with pytest.raises(recipes.RecipeError, match=r"cut: model 'vectors': nowhere\.h5"):
        recipes.run(file, tmp_path / "cells", tmp_path / "out", n_boot=10)
    assert not (tmp_path / "out" / "cut" / "features").exists()


TIMED = """
title = "A network"
report = "A report"
figures = "hincapie2022"
[data]
sets = ["pbc"]
level = "{level}"
[protocols]
corrected = {{ name = "grouped", n_train = 600 }}
[models.one]
{model}
"""


@pytest.mark.networks
@pytest.mark.parametrize(
    ("level", "model"),
    [
        ("cell", 'network = "lenet5"\nbatch_size = 4\nepochs = 30'),
        ("patient", 'mil = "mean"\nencoder = "small"\nsize = 32\nmax_cells = 4\nepochs = 30'),
    ],
)
def test_the_time_of_an_epoch_is_measured(tmp_path: Path, level: str, model: str) -> None:
    pytest.importorskip("keras")
    file = tmp_path / "timed.toml"
    file.write_text(TIMED.format(level=level, model=model), encoding="utf-8")
    rows = recipes.check(file, time=True).set_index("what")
    assert rows.loc["minutes per epoch", "expected"] == "600 images"
    minutes, _, total = rows.loc["minutes per epoch", "found"].partition(", ")
    assert 0 <= float(minutes) < 10
    assert total.endswith("for 30 epochs")
    assert float(rows.loc["memory so far, MiB", "found"]) > 100
    if level == "cell":  # of a system without published figures, by the images that are there
        datasets.drawn_set("pbc", tmp_path / "cells", 16, size=64)
        unknown = file.with_name("unknown.toml")
        unknown.write_text(file.read_text("utf-8").replace('figures = "hincapie2022"', ""), "utf-8")
        rows = recipes.check(unknown, tmp_path / "cells", time=True).set_index("what")
        assert rows.loc["minutes per epoch", "expected"] == "12 images"


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
