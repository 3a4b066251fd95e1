"""Recipes run: on drawn cells in the layout of the set, resumed, and shown beside the report."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from hemafeat import datasets, recipes
from hemafeat.cli import main

MINE = """
title = "Shape of the nucleus"
report = "A report"
figures = "singhal2014"
[data]
sets = ["cnmc"]
where = "split == 'train'"
families = ["shape"]
[protocols]
published = "image-random"
corrected = "patient"
[models.lbp]
pipeline = "svc"
columns = ["nucleus__shape__*"]
figures = "LBP + SVM"
[models.forest]
pipeline = "random_forest"
n_estimators = 5
[models.search]
search = "lbp"
n_splits = 2
grid = { model__C = [1.0, 10.0] }
[studies.cells]
study = "learning_curve"
models = ["forest"]
sizes = [12]
[quirks.few]
text = "the forest had three trees"
models = { forest = { n_estimators = 3 } }
[small]
n_images = 40
n_patients = 16
"""


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "mine.toml"
    path.write_text(MINE, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def rerun(mine: Path) -> recipes.Rerun:
    return recipes.run(mine, out=mine.parent / "out", small=True, n_boot=20, n_splits=2)


def test_published_figures_stand_beside_those_reproduced(rerun: recipes.Rerun) -> None:
    results = rerun.results
    assert set(results["version"]) == {"published", "corrected"}
    assert set(results["model"]) == {"lbp", "forest", "search"}
    row = results[(results["model"] == "lbp") & (results["metric"] == "accuracy")]
    row = row[(row["version"] == "corrected") & (row["part"] == "test")].iloc[0]
    assert row["published"] == 0.8972
    assert row["certainty"] == "remembered"
    assert row["difference"] == row["value"] - row["published"]
    assert row["low"] <= row["value"] <= row["high"]
    assert not row["leaky"]
    assert results["small"].all()
    leaky = results[results["version"] == "published"]["leaky"]
    assert leaky.all()
    others = results[results["model"] == "forest"]["published"]
    assert others.isna().all()


def test_values_are_those_of_the_comparison(rerun: recipes.Rerun) -> None:
    comparison = rerun.comparisons["corrected"]
    pooled = comparison.results[comparison.results["fold"] == "all"]
    expected = pooled.set_index(["model", "metric"])["value"]
    rows = rerun.results[rerun.results["version"] == "corrected"]
    rows = rows[rows["part"] == "test"].set_index(["model", "metric"])["value"].dropna()
    assert len(rows)
    pd.testing.assert_series_equal(rows, expected[rows.index], check_names=False)


def test_a_study_is_written_and_shown(rerun: recipes.Rerun) -> None:
    for version in ("published", "corrected"):
        folder = rerun.folder / version / "studies"
        sizes = pd.read_csv(folder / "cells.csv").query("fold == 'all'")["size"]
        assert sizes.min() == 12
        assert sizes.nunique() == 2
        assert "<svg" in (folder / "cells.svg").read_text("utf-8")
    page = (rerun.folder / "page.html").read_text("utf-8")
    assert page.count("Cells: scores by the number of cells to learn from") == 2


def test_errors_of_the_report_are_made_only_as_published(mine: Path) -> None:
    from hemafeat.recipes._models import make_models

    recipe = recipes.recipe(mine)
    trees = {
        version: make_models(recipe, version)["forest"].get_params()["model__n_estimators"]
        for version in ("published", "corrected")
    }
    assert trees == {"published": 3, "corrected": 5}


def test_a_finished_run_is_read_and_another_is_not(
    mine: Path, rerun: recipes.Rerun, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hemafeat import evaluate

    calls = []
    compare = evaluate.compare
    monkeypatch.setattr(evaluate, "compare", lambda *a, **k: calls.append(1) or compare(*a, **k))
    map_file = rerun.folder / "map.svg"
    map_file.write_text("kept", encoding="utf-8")
    again = recipes.run(mine, out=mine.parent / "out", small=True, n_boot=20, n_splits=2)
    assert not calls
    assert map_file.read_text("utf-8") == "kept"
    pd.testing.assert_frame_equal(again.results, rerun.results)
    recipes.run(
        mine, out=mine.parent / "out", small=True, n_boot=10, n_splits=2, versions=["published"]
    )
    assert calls == [1]
    assert "<svg" in map_file.read_text("utf-8")


def test_the_page_and_the_command_line(
    mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["--small", "--out", str(out), "--n-boot", "20", "--only", "lbp", "--quiet"]
    assert main(["rerun", "run", str(mine), "--as", "corrected", *arguments]) == 0
    text = capsys.readouterr().out
    assert "0.897" in text
    assert str(out / "reruns.html") in text
    page = (out / "reruns.html").read_text("utf-8")
    assert "0.897" in page
    assert "Small runs" in page
    assert 'href="mine/page.html"' in page
    assert 'href="corrected/page.html"' in (out / "mine" / "page.html").read_text("utf-8")
    assert (out / "mine" / "corrected" / "page.html").is_file()
    assert main(["rerun", "page", "--out", str(out)]) == 0
    assert main(["rerun", "page", "--out", str(tmp_path / "empty")]) == 1
    assert "has no results of a recipe" in capsys.readouterr().err
    assert main(["rerun", "show", str(mine)]) == 0
    shown = capsys.readouterr().out
    assert "error of the report, few: the forest had three trees" in shown
    assert "accuracy (test): 0.8972, remembered" in shown
    assert "study, cells: study learning_curve, models forest, sizes 12" in shown
    assert main(["rerun", "run"]) == 2
    assert "needs the name of a recipe" in capsys.readouterr().err


def test_check_counts_the_images(tmp_path: Path, mine: Path) -> None:
    datasets.drawn_set("cnmc", tmp_path / "cells", 16, n_patients=8, size=64)
    rows = recipes.check("ufsc2022", tmp_path / "cells", only=[]).set_index(["what", "of"])
    assert rows.loc[("images", "all"), "expected"].tolist() == [7272, 10661]
    assert not rows.loc[("images", "hem"), "ok"]
    assert rows.loc[("images", "hem"), "found"] == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"only": ["oak"]}, "mine has no model 'oak'; its models are lbp, forest, search"),
        ({"versions": ["honest"]}, "mine has no version 'honest'; it has published, corrected"),
        ({"data": {"pbc": "."}}, "mine needs the data set cnmc: pass cnmc=FOLDER"),
    ],
)
def test_what_cannot_be_run(mine: Path, tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(recipes.RecipeError, match=message):
        recipes.run(mine, out=tmp_path, small=True, **change)


def test_an_option_that_a_model_does_not_have(mine: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.toml"
    path.write_text(MINE.replace("n_estimators = 5", "trees = 5"), encoding="utf-8")
    with pytest.raises(recipes.RecipeError, match=r"other: models\.forest: .*trees"):
        recipes.run(path, out=tmp_path, small=True)


def test_a_record_that_is_damaged_is_not_trusted(mine: Path, rerun: recipes.Rerun) -> None:
    record = rerun.folder / "corrected" / "rerun.json"
    settings = json.loads(record.read_text("utf-8"))
    assert settings["version"] == "corrected"
    record.write_text("{", encoding="utf-8")
    again = recipes.run(
        mine, out=mine.parent / "out", small=True, n_boot=20, n_splits=2, versions=["corrected"]
    )
    assert len(again.results)
    assert json.loads(record.read_text("utf-8")) == settings
