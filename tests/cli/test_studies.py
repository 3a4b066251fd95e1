"""``hemafeat compare`` with every protocol, and the studies beside it."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest

from hemafeat import datasets, evaluate, extract, pipelines
from hemafeat.cli import main
from hemafeat.cli._arguments import NORMALISERS as ON_THE_COMMAND_LINE
from hemafeat.cli._studies import PROTOCOLS
from hemafeat.images import NORMALISERS
from support.made_cells import cells as made_cells, memorised

QUICK = ["--models", "logistic", "--n-boot", "20", "--no-importance", "--jobs", "1", "--quiet"]


@pytest.fixture
def table(tmp_path):
    cells = memorised()
    cells["dataset"] = ["one" if i % 2 else "two" for i in cells["patient"].str[1:].astype(int)]
    cells["um_per_px"] = 0.1
    cells.to_parquet(tmp_path / "cells.parquet")
    return str(tmp_path / "cells.parquet")


def test_names_of_the_help():
    """They are written down, since a help may not load what knows them."""
    assert PROTOCOLS.split(", ") == list(evaluate.protocols()["name"])
    assert ON_THE_COMMAND_LINE == NORMALISERS


def test_all_studies_at_once(table, tmp_path, capsys):
    out = tmp_path / "out"
    studies = ["--leakage", "--learning-curve", "groups", "--class-drop", "--resampling"]
    assert main(["compare", table, *QUICK, *studies, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "image-random (leaky) minus grouped" in printed
    gap = pd.read_csv(out / "leakage.csv").query("model == 'logistic' and metric == 'accuracy'")
    assert gap["leaky"].all()
    assert gap["low"].item() > 0
    assert set(pd.read_csv(out / "class_drop.csv")["dropped"]) == {"a", "b", "c"}
    assert len(set(pd.read_csv(out / "learning_curve.csv")["n_groups"])) > 1
    assert pd.read_csv(out / "resampling.csv")["replacement"].any()
    page = (out / "page.html").read_text("utf-8")
    for words in ("With and without leakage", "Learning curve", "Left-out classes", "drawn twice"):
        assert words in page
    assert "--learning-curve groups --class-drop --resampling" in page


@pytest.mark.parametrize(
    ("words", "protocol"),
    [
        (["--protocol", "leaky-mids"], "leaky-mids"),
        (["--split", "image-random"], "image-random (leaky)"),
        (["--protocol", "cross-dataset", "--train", "one", "--test", "two"], "cross-dataset"),
        (["--protocol", "leave-one-batch-out", "--batch", "dataset"], "leave-one-batch-out"),
        (["--protocol", "leave-one-laboratory-out"], "leave-one-laboratory-out"),
    ],
)
def test_protocols(table, tmp_path, capsys, words, protocol):
    out = tmp_path / "out"
    assert main(["compare", table, *QUICK, *words, "--out", str(out)]) == 0
    results = pd.read_csv(out / "results.csv")
    assert set(results["protocol"]) == {protocol}
    leaky = "leaky" in protocol
    assert ("LEAKY" in capsys.readouterr().out) == leaky
    assert (results["leaky"] == leaky).all()
    page = (out / "page.html").read_text("utf-8")
    assert ("Leaky split" in page) == leaky
    # The table holds two data sets.
    assert set(pd.read_csv(out / "per_dataset.csv")["dataset"]) >= {"two"}
    assert "Scores by data set" in page


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--protocol", "kfold"], "--protocol: no protocol 'kfold'"),
        (["--train", "one"], "--train needs --protocol cross-dataset"),
        (["--leakage", "grouped"], "is already the protocol of the comparison"),
        (["--leakage", "kfold"], "--leakage: no protocol 'kfold'"),
        (["--level", "patient", "--leakage"], "--leakage cannot be combined with --level patient"),
        (["--normalise", "reinhard"], "cells.parquet is already a table of measured cells"),
    ],
)
def test_refusals(table, tmp_path, capsys, words, message):
    assert main(["compare", table, *QUICK, "--out", str(tmp_path / "out"), *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow_without_jit
def test_stain_and_scale(tmp_path, capsys):
    listed = datasets.drawn(tmp_path / "drawn", 6, size=96, n_jobs=1)
    words = ["extract", str(tmp_path / "drawn"), "--families", "shape", "colour", "-j", "1", "-q"]
    more = ["--normalise", "reinhard", "--normalise-reference", str(tmp_path / "drawn")]
    out = tmp_path / "out.parquet"
    assert main([*words, *more, "--to-um-per-px", "0.5", "--out", str(out)]) == 0
    from hemafeat.images import normaliser

    expected = extract.table(
        listed,
        families=["shape", "colour"],
        normalise=normaliser("reinhard", listed["image"]),
        to_um_per_px=0.5,
        progress=False,
    )
    found = extract.load(out)
    assert set(found["um_per_px"]) == {0.5}
    columns = extract.feature_columns(expected)
    pd.testing.assert_frame_equal(found[columns], expected[columns], check_dtype=False)
    assert main([*words, "--to-um-per-px", "-1", "--out", str(out)]) == 2
    assert main([*words, "--normalise-reference", "x", "--out", str(out)]) == 2
    assert "--normalise-reference needs --normalise" in capsys.readouterr().err


def test_former_names_of_options_work_and_say_so(table, tmp_path, capsys):
    words = ["compare", table, "--models", "logistic", "--folds", "2", "--quiet", "--jobs", "1"]
    former = ["--resamples", "5", "--split", "image-random", "--no-importance"]
    assert main([*words, *former, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert "--resamples is now called --n-boot" in said.err
    assert "--split is now called --protocol" in said.err
    assert "LEAKY" in said.out
    assert main([*words, "--copies", "--level", "patient", "--out", str(tmp_path / "o")]) == 2
    assert "--copies is now called --resampling" in capsys.readouterr().err


def test_help_shows_current_names_only(capsys):
    assert main(["compare", "--help"]) == 0
    text = capsys.readouterr().out
    for name in ("--resamples", "--stain", "--copies", "--split"):
        assert f"{name} " not in text


def test_images_alone_are_not_measured(tmp_path, capsys):
    folder = tmp_path / "cells"
    rng = np.random.default_rng(0)
    for i in range(32):
        label = ("dark", "pale")[i % 2]
        image = rng.normal(90 if label == "dark" else 200, 20, (48, 48, 3)).clip(0, 255)
        path = folder / label / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image.astype(np.uint8))
    out = tmp_path / "out"
    parts = ["--protocol", "leaky-ufsc", "--parts", "train", "validation", "test"]
    words = ["compare", str(folder), "--models", "grey_pixels", *QUICK[2:]]
    assert main([*words, *parts, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "24 to train, 4 to validate, 4 to score" in printed
    assert "Scores by part" in printed
    assert not (out / "features").exists()
    scores = pd.read_csv(out / "part_scores.csv").query("model == 'grey_pixels'")
    assert scores.groupby("part")["n"].first().to_dict() == {
        "train": 24,
        "validation": 4,
        "test": 4,
    }
    assert "Scores by part" in (out / "page.html").read_text("utf-8")
    assert main([*words, "--families", "shape", "--out", str(tmp_path / "b")]) == 2
    assert "none of the models reads features" in capsys.readouterr().err


def test_a_hold_out_with_caps(table, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["compare", table, *QUICK, "--protocol", "holdout", "--test", "0.5"]
    caps = ["--valid", "0.25", "--n-train", "30", "--max-per-class", "9"]
    assert main([*words, *caps, "--out", str(out)]) == 0
    assert "of those to train 30 drawn" in capsys.readouterr().out
    scores = pd.read_csv(out / "part_scores.csv").query("model == 'logistic'")
    assert scores.groupby("part")["n"].first()["test"] == 27
    for more, message in (
        (["--test", "all"], "--test: 'all' is not a share of the groups"),
        (["--protocol", "grouped"], "--test needs --protocol cross-dataset or holdout"),
    ):
        assert main([*words, *more, "--out", str(tmp_path / "other")]) == 2
        assert message in capsys.readouterr().err


@pytest.fixture(scope="module")
def laboratories(tmp_path_factory):
    """The tables of two laboratories, whose patients have the same names."""
    place = tmp_path_factory.mktemp("laboratories")
    for seed, name in enumerate(("berlin", "paris")):
        part = made_cells(n=90, n_groups=30, signal=3.0, seed=seed)
        part = part.assign(dataset=name, image=name + "/" + part["image"], um_per_px=0.1)
        extract.save(part, place / name)
    return place


def test_merge(laboratories, tmp_path, capsys):
    inputs = [str(laboratories / name) for name in ("berlin", "paris")]
    out = tmp_path / "both"
    assert main(["merge", *inputs, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "180 cells of 2 data sets" in printed
    assert printed.splitlines()[0].split() == ["berlin", "paris", "all"]
    both = extract.load(out)
    assert set(both["dataset"]) == {"berlin", "paris"}
    assert set(both["group"]) >= {"berlin: P1", "paris: P1"}
    assert extract.units(both)["cell__shape__area"] == "um^2"
    # A table of several data sets keeps their names when it is merged again.
    named = [str(laboratories / "paris"), "--names", "rome"]
    assert main(["merge", *named, "--out", str(tmp_path / "rome.parquet")]) == 0
    three = [str(out), str(tmp_path / "rome.parquet"), "--out", str(tmp_path / "three.csv")]
    assert main(["merge", *three]) == 0
    assert set(pd.read_csv(tmp_path / "three.csv")["dataset"]) == {"berlin", "paris", "rome"}
    capsys.readouterr()
    assert main(["merge", *inputs, "--out", str(out)]) == 2
    assert "holds an earlier table; choose another folder, or pass --restart" in (
        capsys.readouterr().err
    )
    assert main(["merge", *inputs, "--out", str(out), "--restart"]) == 0
    assert main(["merge", str(out), "--names", "x", "--out", str(tmp_path / "x.csv")]) == 2
    assert "holds 2 data sets, which keep their names" in capsys.readouterr().err


def test_two_tables_and_refused_cells(laboratories, tmp_path, capsys):
    inputs = [str(laboratories / name) for name in ("berlin", "paris")]
    out, model = tmp_path / "out", tmp_path / "m.hemafeat"
    words = ["compare", *inputs, *QUICK, "--selective", "0.9", "--out", str(out)]
    words += ["--protocol", "leave-one-laboratory-out", "--save-model", str(model)]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "each of 2 laboratories (column dataset)" in printed
    assert "Sets and refused cells" in printed
    answers = pd.read_csv(out / "answers.csv")
    assert answers["dataset"].tolist() == ["all", "berlin", "paris"]
    assert (answers["stated"] == 0.9).all()
    page = (out / "page.html").read_text("utf-8")
    for text in ("Sets and refused cells", "Refused by logistic", "Grey line: before calibration"):
        assert text in page
    # New cells, of which one is like no other.
    new = extract.load(laboratories / "paris").drop(columns="label")
    names = [name for name in new if name.count("__") == 2]
    new.loc[0, names] = 40.0
    new.to_parquet(tmp_path / "new.parquet")
    file = tmp_path / "p.csv"
    assert main(["predict", str(model), str(tmp_path / "new.parquet"), "--out", str(file)]) == 0
    predicted = pd.read_csv(file, keep_default_na=False)
    assert predicted["predicted"][0] == "refused"
    assert predicted["refused"][0] == "unlike the cells trained on"
    assert float(predicted["anomaly"][0]) > 1
    assert set(predicted["predicted"]) <= {"a", "b", "c", "refused"}
    refused = predicted["refused"] != ""
    assert (refused == (predicted["predicted"] == "refused")).all()
    assert (predicted.loc[~refused, "set"] == predicted.loc[~refused, "predicted"]).all()
    printed = capsys.readouterr().out
    assert f"  {'refused':<24} {refused.sum():>7}" in printed
    assert "    unlike the cells trained on" in printed
    # A leaderboard gets a label for every cell.
    words = ["predict", str(model), str(tmp_path / "new.parquet"), "--out", str(file)]
    assert main([*words, "--submission", "id", "label", "a=0", "b=1", "c=2"]) == 0
    assert set(pd.read_csv(file)["label"]) <= {0, 1, 2}


def test_a_saved_model_divides_by_the_groups_of_the_comparison(tmp_path):
    table = made_cells(n=90, n_groups=30, signal=3.0)
    table["group"] = [f"cell {k}" for k in range(90)]
    table.to_parquet(tmp_path / "cells.parquet")
    file = tmp_path / "m.hemafeat"
    words = ["compare", str(tmp_path / "cells.parquet"), *QUICK, "--group", "patient"]
    words += ["--selective", "0.9", "--save-model", str(file), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    names = [name for name in table if name.count("__") == 2]
    for groups, same in (("patient", True), ("group", False)):
        model = pipelines.SelectiveClassifier(pipelines.logistic(), coverage=0.9)
        model.fit(table[names].assign(group=table[groups]), table["label"])
        saved = pipelines.load(file).pipeline
        assert np.allclose(saved.thresholds_, model.thresholds_) == same
