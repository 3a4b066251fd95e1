"""``hemafeat compare --level patient``: from a folder of patients to a page."""

from __future__ import annotations

import re
import warnings

import cv2
import pandas as pd
import pytest

from hemafeat import datasets, evaluate, extract, pipelines, report
from hemafeat.cli import main


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort") / "c"
    datasets.drawn_cohort(
        folder, 12, size=96, cells=(3, 6), abnormal=(0.0, 0.9), test=0.17, random_state=2, n_jobs=1
    )
    return folder


def run(*words):
    return main(["compare", *map(str, words), "--level", "patient", "--jobs", "1", "--quiet"])


@pytest.mark.slow_without_jit
def test_from_a_folder_of_patients_to_a_page(cohort, tmp_path, capsys):
    # The tables of the challenge and the images only: what a public cohort has.
    (cohort / "manifest.csv").rename(cohort / "hidden.csv")
    try:
        status = run(
            *(cohort, "--dataset", "lymphocytosis", "--out", tmp_path / "out", "--folds", 2),
            *("--models", "table_means", "vote_mean", "--families", "shape", "--n-boot", 50),
        )
    finally:
        (cohort / "hidden.csv").rename(cohort / "manifest.csv")
    out, err = capsys.readouterr()
    assert status == 0, err
    assert "one verdict per patient; 2 folds" in out
    for name in ("table_means", "vote_mean", "baseline", "bag_size", "metadata"):
        assert re.search(rf"^{name} ", out, re.M), out
    found = evaluate.load(tmp_path / "out")
    assert isinstance(found, evaluate.PatientComparison)
    truth = pd.read_csv(cohort / "trainset" / "trainset_true.csv").set_index("ID")["LABEL"]
    said = found.patients.set_index("patient")["label"]
    assert said.map({"reactive": 0, "malignant": 1}).to_dict() == truth.to_dict()
    lost = pd.read_csv(cohort / "testset" / "testset_data.csv")["ID"]
    assert set(found.errors.query("error == 'no label'")["image"]) == set(lost)
    page = (tmp_path / "out" / "page.html").read_text("utf-8")
    assert "Cells behind the verdicts" in page
    assert "number of cells alone" in page
    assert "attributes alone" in page
    assert page.count("data:image/jpeg") >= len(said)
    assert "--level patient" in page
    assert "no picture" not in page
    verdicts = pd.read_csv(tmp_path / "out" / "verdicts.csv")
    assert set(verdicts["patient"]) == set(said.index)


@pytest.mark.slow_without_jit
def test_a_model_is_saved_and_judges_new_patients(cohort, tmp_path, capsys):
    (cohort / "manifest.csv").rename(cohort / "hidden.csv")
    words = ["--dataset", "lymphocytosis", "--jobs", "1", "--quiet"]
    model, out = tmp_path / "verdict.hemafeat", tmp_path / "verdicts.csv"
    try:
        more = ["--models", "weighted", "--families", "shape", "--n-boot", 20, "--folds", 2]
        status = run(cohort, *words[:2], "--out", tmp_path / "o", "--save-model", model, *more)
        assert status == 0, capsys.readouterr().err
        assert "fitted to all" in capsys.readouterr().out
        predict = ["predict", str(model), str(cohort), *words, "--out", str(out)]
        assert main([*predict, "--unlabelled"]) == 0
        lost = pd.read_csv(cohort / "testset" / "testset_data.csv")["ID"]
        found = pd.read_csv(out)
        assert list(found) == ["patient", "n_cells", "predicted", "p__malignant", "p__reactive"]
        assert set(found["patient"]) == set(lost)
        # One cell of each image, as in training, though these images have no label.
        sizes = {name: len(list((cohort / "testset" / name).glob("*.jpg"))) for name in lost}
        assert dict(zip(found["patient"], found["n_cells"], strict=True)) == sizes
        # A folder of its own will do, and says the same; so does everybody at once, with labels.
        assert (
            main(["predict", str(model), str(cohort / "testset"), *words, "--out", str(out)]) == 0
        )
        pd.testing.assert_frame_equal(pd.read_csv(out), found)
        wanted = ["--submission", "ID", "Predicted", "malignant=1", "reactive=0"]
        assert main([*predict, "--unlabelled", *wanted]) == 0
        sent = pd.read_csv(out)
        assert list(sent) == ["ID", "Predicted"]
        assert sent["ID"].tolist() == found["patient"].tolist()
        assert (sent["Predicted"] == (found["predicted"] == "malignant")).all()
        capsys.readouterr()
        for words, message in (
            (["ID"], "two names of columns"),
            (["ID", "x", "malignant"], "LABEL=CODE"),
            (["ID", "x", "malignant=1"], "the label 'reactive' has no code"),
            (["ID", "x", "malignant=1", "reactive=0", "ill=1"], "'ill' is not one of malignant, "),
        ):
            assert main([*predict, "--submission", *words]) == 2
            assert message in capsys.readouterr().err
        assert main(predict) == 0
        everybody = pd.read_csv(out)
        assert everybody["label"].notna().sum() == 12 - len(lost)
        same = everybody[everybody["patient"].isin(lost)].drop(columns="label")
        pd.testing.assert_frame_equal(same.reset_index(drop=True), found)
    finally:
        (cohort / "hidden.csv").rename(cohort / "manifest.csv")


def test_a_patient_without_a_cell_has_no_verdict(table, tmp_path):
    from hemafeat import pipelines
    from hemafeat.cli._predict import predict_patients, submission

    rows = pipelines.bags(table)
    model = pipelines.make_patient("table_means").fit(rows, rows["label"])
    model = pipelines.load(pipelines.save(model, tmp_path / "m.hemafeat"))
    listed = pd.DataFrame({"patient": ["Q7", *table["patient"]]})
    found = predict_patients(model, table, listed)
    assert found["patient"].iloc[-1] == "Q7"
    assert found["n_cells"].iloc[-1] == 0
    assert found["predicted"].isna().tolist() == [False] * (len(found) - 1) + [True]
    assert set(found["label"].dropna()) == {"malignant", "reactive"}
    sent = submission(found, ["ID", "y"], {"malignant": "1", "reactive": "0"})
    assert sent["y"].iloc[-1:].isna().all()
    assert set(sent["y"].iloc[:-1]) == {"0", "1"}


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("level", ["cell", "patient"])
def test_an_audit_stands_on_the_page(level, cohort, tmp_path, capsys):
    measured = tmp_path / "features"
    extract.table(cohort, families=["shape"], out=measured, n_jobs=1, progress=False)
    words = ["compare", measured, "--level", level, "--out", tmp_path / "out", "--audit", "--quiet"]
    few = ["--n-boot", 20, "--folds", 2, "--jobs", 1, "--no-importance"]
    models = ["--models", "logistic" if level == "cell" else "table_means"]
    status = main([str(word) for word in [*words, *few, *models]])
    assert status == 0, capsys.readouterr().err
    page = (tmp_path / "out" / "page.html").read_text("utf-8")
    assert "allow a high score without looking at the cells" in page
    assert "Leak probes" in page
    assert "bag size" in page
    assert "--audit" in page


def test_a_model_that_looks_at_no_cell_is_not_saved(table, tmp_path, capsys):
    extract.save(table, tmp_path / "features")
    words = [tmp_path / "features", "--out", tmp_path / "out", "--n-boot", 5, "--folds", 2]
    more = ["--models", "metadata", "--save-model", tmp_path / "m.hemafeat"]
    assert run(*words, *more) == 2
    assert "none of the models compared looks at the cells" in capsys.readouterr().err
    assert main(["predict", str(tmp_path / "m"), "x", "--out", str(tmp_path / "o.csv")]) == 2


@pytest.fixture(scope="module")
def table(cohort):
    drawn = datasets.drawn_bags(16, cells=(2, 5), abnormal=(0.0, 0.8), random_state=3)
    names = drawn.filter(like="drawn").columns
    return drawn.rename(columns={n: f"cell__shape__{n[-3:]}" for n in names})


def test_a_table_of_cells_will_do(table, tmp_path, capsys):
    extract.save(table, tmp_path / "features")
    words = [tmp_path / "features", "--out", tmp_path / "out", "--n-boot", 20]
    assert run(*words, "--folds", 2, "--models", "table_means", "--positive", "reactive") == 0
    found = evaluate.load(tmp_path / "out")
    assert set(found.verdicts["positive"]) == {"reactive"}
    assert "date_format" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--models", "svc"], "there is no model of patients 'svc'"),
        (["--patient", "who"], "--patient: the table has no column 'who'; it has image, cell"),
        (["--label", "sort"], "dob, lymphocyte_count"),
        (["--positive", "ill"], "--positive: no class 'ill'; there are: malignant, reactive"),
        (["--metadata", "weight"], "--metadata: the table has no column 'weight'"),
        (["--pixels"], "--pixels cannot be combined with --level patient"),
        (["--group", "image"], "--group: with --level patient the groups are the patients"),
    ],
)
def test_what_is_not_meant_like_this(table, tmp_path, capsys, words, message):
    extract.save(table, tmp_path / "features")
    assert run(tmp_path / "features", "--out", tmp_path / "out", *words) == 2
    assert message in capsys.readouterr().err


def test_page_without_verdicts_or_table(table, tmp_path):
    found = evaluate.compare_patients(["table_means"], table, n_splits=2, n_boot=5, verdicts=False)
    page = report.page(found, tmp_path / "page.html").read_text("utf-8")
    assert "Cells behind the verdicts" not in page
    assert "All patients" in page
    assert "Wrongly classified patients" in page


@pytest.fixture(scope="module")
def fields(tmp_path_factory):
    """A cohort of fields of several cells, of whose patients some have no label."""
    folder = tmp_path_factory.mktemp("fields")
    rows = []
    for patient in range(10):
        kind = "lymphocyte" if patient % 2 else "monocyte"
        for number in range(2):
            field = datasets.draw_field(
                [kind] * 4,
                shape=(280, 400),
                um_per_px=0.2,
                neighbours=0.0,
                touching=0.0,
                random_state=patient,
            )
            name = f"P{patient}_{number}.png"
            cv2.imwrite(str(folder / name), field.image[::-1, :: -1 + 2 * number, ::-1])
            label = pd.NA if patient >= 8 else kind
            rows.append({"image": name, "patient": f"P{patient}", "label": label})
    pd.DataFrame(rows).to_csv(folder / "cohort.csv", index=False)
    return folder / "cohort.csv"


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("level", ["cell", "patient"])
def test_a_cohort_is_measured_by_one_rule_and_predicted_alike(level, fields, tmp_path, capsys):
    model, out = tmp_path / "m.hemafeat", tmp_path / "out"
    words = ["--level", level, "--families", "shape", "--n-boot", 20, "--folds", 2, "--jobs", 1]
    words += ["--models", "table_means" if level == "patient" else "logistic"]
    words += ["--out", out, "--save-model", model, "--no-importance"]
    assert main([str(word) for word in ["compare", fields, *words]]) == 0
    told = capsys.readouterr()
    measured = extract.load(out / "features")
    assert measured.groupby("image").size().tolist() == [1] * 20, "labelled and unlabelled alike"
    n_left_out = int(measured["quality__n_cells"].sum()) - 20
    assert n_left_out > 20
    assert f"{n_left_out} other cells were left out" in told.err
    assert "the central cell of each image" in told.out
    assert pipelines.load(model).measured["cells"] == "central"

    def predict(source, *more):
        target = tmp_path / "p.csv"
        status = main(
            ["predict", str(model), str(source), "--out", str(target), "--jobs", "1", *more]
        )
        assert status == 0, capsys.readouterr().err
        return pd.read_csv(target), capsys.readouterr().err

    of_table, warned = predict(out / "features")
    assert "warning" not in warned
    of_images, warned = predict(fields)
    assert "warning" not in warned
    columns = [c for c in of_table if c.startswith(("p__", "predicted", "n_cells", "patient"))]
    pd.testing.assert_frame_equal(of_table[columns], of_images[columns])
    unlabelled, warned = predict(fields, "--unlabelled")
    rows = of_table["label"].isna()
    expected = of_table.loc[rows, columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(unlabelled[columns], expected)
    # Every cell, because somebody asks for it, or because a table holds them: it is said.
    _, warned = predict(fields, "--cells", "all")
    assert "cells measured: the central one of each image, in the table all of each image" in warned
    extract.table(fields, cells="all", families=["shape"], out=tmp_path / "all.csv", n_jobs=1)
    _, warned = predict(tmp_path / "all.csv")
    assert "the central one of each image, in the table all of each image" in warned


@pytest.mark.parametrize("name", ["table_means", "vote_mean", "stack", "logistic"])
def test_python_warns_of_cells_measured_otherwise(name, table, tmp_path):
    """The table that a model was fitted on holds the rule, and so does the model."""
    central = table.copy()
    central.attrs["measured"] = {"cells": "central", "segmenter": "contours"}
    if name == "logistic":
        model = pipelines.logistic().fit(central, central["label"])
    else:
        rows = pipelines.bags(central, attributes=["sex"])
        model = pipelines.make_patient(name).fit(rows, rows["label"])
    path = pipelines.save(model, tmp_path / "m.hemafeat")
    model = pipelines.load(path)
    assert model.measured == central.attrs["measured"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(table)
        model.predict(central)
    other = table.copy()
    other.attrs["measured"] = {"cells": "all", "segmenter": "contours"}
    with pytest.warns(UserWarning, match="all of each image") as caught:
        model.predict(other)
    assert caught[0].filename == __file__
    derived = table.assign(image=["a", "a", *table["image"][2:]])
    with pytest.warns(UserWarning, match="all of each image"):
        model.predict(derived)
    # What is given counts more.
    given = pipelines.load(pipelines.save(model, path, measured={"cells": "all"}))
    assert given.measured == {"cells": "all"}


@pytest.mark.slow_without_jit
def test_a_model_measures_as_its_table_was_measured(fields, tmp_path, capsys):
    """Also by another segmenter and with other colours, when they were chosen by extract."""
    table, out, model = tmp_path / "features", tmp_path / "out", tmp_path / "m.hemafeat"
    measuring = ["--families", "colour", "--normalise", "grey-world", "--cells", "all"]
    words = ["extract", fields, "--out", table, "--jobs", 1, *measuring]
    assert main([str(word) for word in words]) == 0
    words = ["compare", table, "--models", "logistic", "--n-boot", 5, "--folds", 2, "--jobs", 1]
    words += ["--no-importance", "--out", out, "--save-model", model]
    assert main([str(word) for word in words]) == 0, capsys.readouterr().err
    loaded = pipelines.load(model)
    assert loaded.measured == {
        "cells": "all",
        "segmenter": "contours",
        "normalise": "grey-world",
        "to_um_per_px": "none",
    }
    found = []
    for source in (table, fields):
        words = ["predict", model, source, "--out", tmp_path / "p.csv", "--jobs", 1]
        assert main([str(word) for word in words]) == 0
        found.append(pd.read_csv(tmp_path / "p.csv"))
    pd.testing.assert_frame_equal(*found)
    assert "warning" not in capsys.readouterr().err


@pytest.mark.slow_without_jit
def test_colours_fitted_to_images_need_these_images_again(fields, tmp_path, capsys):
    table, out, model = tmp_path / "features", tmp_path / "out", tmp_path / "m.hemafeat"
    measuring = ["--normalise", "reinhard", "--normalise-reference", fields]
    words = ["extract", fields, "--out", table, "--jobs", 1, "--families", "colour", *measuring]
    assert main([str(word) for word in words]) == 0
    words = ["compare", table, "--models", "logistic", "--n-boot", 5, "--folds", 2, "--jobs", 1]
    words += ["--no-importance", "--out", out, "--save-model", model]
    assert main([str(word) for word in words]) == 0, capsys.readouterr().err
    predict = ["predict", model, fields, "--out", tmp_path / "p.csv", "--jobs", 1]
    capsys.readouterr()
    assert main([str(word) for word in predict]) == 2
    assert "name the same images with --normalise-reference" in capsys.readouterr().err
    assert main([str(word) for word in [*predict, "--normalise-reference", fields]]) == 0
    assert "warning" not in capsys.readouterr().err
    assert main([str(word) for word in [*predict, "--normalise", "grey-world"]]) == 0
    assert "colours normalised: reinhard fitted to images" in capsys.readouterr().err


def test_dates_of_birth_are_kept_when_asked(cohort, tmp_path, capsys):
    measured = tmp_path / "t.csv"
    words = ["extract", cohort, "--out", measured, "--jobs", 1, "--families", "shape"]
    (cohort / "manifest.csv").rename(cohort / "hidden.csv")
    try:
        for keep in ([], ["--keep-dates"]):
            more = [*words, "--dataset", "lymphocytosis", *keep]
            assert main([str(word) for word in more]) == 0
            assert ("dob" in pd.read_csv(measured)) == bool(keep)
    finally:
        (cohort / "hidden.csv").rename(cohort / "manifest.csv")
    assert main([str(word) for word in [*words, "--keep-dates"]]) == 2
    assert "--keep-dates needs --dataset lymphocytosis" in capsys.readouterr().err
