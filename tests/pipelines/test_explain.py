"""Reasons: exact Shapley values, of the feature that was planted, in words that are true."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV

from hemafeat import extract, pipelines
from hemafeat._machine import how_to_install
from hemafeat.cli import main
from hemafeat.pipelines import ModelError

RATIO, AREA, MEAN = (
    "cell__relation__nucleus_to_cell_area_ratio",
    "nucleus__shape__area",
    "cell__density__mean__g",
)


@pytest.fixture(scope="module")
def table():
    """Lymphocytes have a high ratio, monocytes a large nucleus; the density says nothing."""
    rng = np.random.default_rng(0)
    kinds = np.arange(90) % 3
    frame = pd.DataFrame({"image": [f"{k}.png" for k in range(90)], "cell": 1})
    frame[RATIO] = np.where(kinds == 0, 0.9, 0.5) + rng.normal(0, 0.03, 90)
    frame[AREA] = np.where(kinds == 1, 300.0, 100.0) + rng.normal(0, 10, 90)
    frame[MEAN] = rng.normal(0.4, 0.05, 90)
    # As good as the area, and harder to read.
    frame["nucleus__glcm__contrast_d1"] = 2 * frame[AREA] + 1
    frame["label"] = np.array(["lymphocyte", "monocyte", "neutrophil"])[kinds]
    frame["um_per_px"] = 0.1
    return frame


def models():
    return {
        "logistic": pipelines.logistic(C=10.0),
        "random_forest": pipelines.random_forest(n_estimators=30),
        "xgboost": pipelines.xgboost(n_estimators=30),
        "svc": pipelines.svc(),
        "calibrated": CalibratedClassifierCV(pipelines.logistic(), cv=2),
    }


@pytest.mark.parametrize("name", list(models()))
def test_the_planted_feature_is_named(name, table):
    pytest.importorskip("shap")
    model = models()[name].fit(table, table["label"])
    reasons = pipelines.explain(model, table.iloc[:3], table, n_top=2)
    assert list(reasons["row"]) == [0, 0, 1, 1, 2, 2]
    assert list(reasons["predicted"][::2]) == ["lymphocyte", "monocyte", "neutrophil"]
    first = reasons.drop_duplicates("row").set_index("predicted")
    assert first.loc["lymphocyte", "column"] == RATIO
    # The area is named for itself and for the texture that goes along with it.
    assert first.loc["monocyte", "column"] == AREA
    assert first.loc["monocyte", "n_alike"] == 1
    assert (first["contribution"] > 0).all()
    assert first.loc["lymphocyte", "above_second"] == 1.0
    value = table[RATIO].iloc[0]
    other = first.loc["lymphocyte", "second"]
    said = f"for lymphocyte: nucleus to cell area ratio {value:.3g}, higher than 100 % of {other}"
    assert first.loc["lymphocyte", "reason"].startswith(said)
    assert first.loc["monocyte", "unit"] == "um^2"
    assert f"{table[AREA].iloc[1]:.3g} um^2" in first.loc["monocyte", "reason"]
    assert reasons["image"].tolist() == ["0.png", "0.png", "1.png", "1.png", "2.png", "2.png"]


@pytest.mark.parametrize("name", ["logistic", "random_forest", "xgboost"])
@pytest.mark.parametrize("two", [False, True])
def test_values_add_up_to_what_the_model_says(name, two, table):
    """The sum of exact Shapley values is the output of the model less its mean, also with gaps."""
    pytest.importorskip("shap")
    rows = table[table["label"] != "neutrophil"] if two else table
    rows = rows.assign(**{AREA: rows[AREA].where(np.arange(len(rows)) % 7 != 0)})
    model = models()[name].fit(rows, rows["label"])
    n_columns = 4
    reasons = pipelines.explain(model, rows, rows, n_top=n_columns)
    sums = reasons.groupby("row")["contribution"].sum().to_numpy()
    chances = model.predict_proba(rows)
    index = chances.argmax(axis=1)
    last = model[-1]
    if name == "random_forest":
        outputs = chances
    elif name == "logistic":
        margin = model.decision_function(rows)
        outputs = np.column_stack([-margin, margin]) if two else margin
    else:
        import xgboost

        matrix = np.asarray(model[:-1].transform(rows), np.float64)
        margin = last.booster_.predict(xgboost.DMatrix(matrix), output_margin=True)
        outputs = np.column_stack([-margin, margin]) if two else margin
    shown = outputs[np.arange(len(rows)), index]
    # The base value is a constant for each class.
    for k in set(index):
        differences = (shown - sums)[index == k]
        assert np.ptp(differences) < 1e-4 * max(1.0, np.abs(shown).max())


def test_a_value_that_is_missing_is_said_so(table):
    pytest.importorskip("shap")
    gaps = table.assign(**{AREA: table[AREA].where(table["label"] != "neutrophil")})
    gaps["nucleus__glcm__contrast_d1"] = gaps[AREA]
    model = models()["random_forest"].fit(gaps, gaps["label"])
    reasons = pipelines.explain(model, gaps.iloc[2:3], gaps, n_top=1)
    assert reasons["reason"].tolist() == ["for neutrophil: area of the nucleus is not defined"]


def test_what_cannot_be_explained(table, tmp_path, monkeypatch):
    pytest.importorskip("shap")
    model = models()["logistic"].fit(table, table["label"])
    with pytest.raises(ValueError, match="no column 'klass'"):
        pipelines.explain(model, table, table, label="klass")
    with pytest.raises(ValueError, match="no cell of the classes"):
        pipelines.explain(model, table, table.assign(label="x"))
    loaded = pipelines.load(pipelines.save(model, tmp_path / "m.hemafeat"))
    with pytest.raises(ModelError, match="lacks"):
        pipelines.explain(loaded, table.drop(columns=AREA), table)
    same = pipelines.explain(loaded, table[:2], table)
    assert same.equals(pipelines.explain(model, table[:2], table))
    monkeypatch.setitem(sys.modules, "shap", None)
    with pytest.raises(ImportError, match=r'install .*"?shap'):
        pipelines.explain(model, table, table)


def test_predict_says_why(table, tmp_path, capsys, monkeypatch):
    pytest.importorskip("shap")
    model = models()["logistic"].fit(table, table["label"])
    pipelines.save(model, tmp_path / "m.hemafeat")
    extract.save(table, tmp_path / "t.parquet")
    extract.save(table[:5].drop(columns="label"), tmp_path / "new.parquet")
    monkeypatch.chdir(tmp_path)
    words = ["predict", "m.hemafeat", "new.parquet", "--out", "p.csv", "--explain"]
    assert main([*words, "t.parquet"]) == 0
    predictions, reasons = pd.read_csv("p.csv"), pd.read_csv("p.reasons.csv")
    assert predictions["because"].str.contains("; ").all()
    chances = predictions.filter(regex="^p__")
    assert predictions["probability"].tolist() == chances.max(axis=1).tolist()
    assert predictions["because"][0].startswith("for lymphocyte: nucleus to cell area ratio")
    assert len(reasons) == 15
    capsys.readouterr()
    assert main([*words, "new.parquet"]) == 2
    assert "no cell of new.parquet has a label" in capsys.readouterr().err
    assert main([*words, "m.hemafeat"]) == 2
    assert "is not a table of hemafeat extract" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "shap", None)
    assert main([*words, "t.parquet"]) == 2
    assert "--explain needs shap: " + how_to_install("shap", "shap") in capsys.readouterr().err


def test_compare_says_why_on_the_page(table, tmp_path, monkeypatch):
    """By the model of the fold in which the cell was held out."""
    pytest.importorskip("shap")
    wrong = table.assign(group=table["image"])
    wrong.loc[[0, 3], "label"] = "monocyte"
    extract.save(wrong, tmp_path / "t.parquet")
    monkeypatch.chdir(tmp_path)
    words = ["compare", "t.parquet", "--models", "logistic", "--folds", "3", "--n-boot", "5"]
    assert main([*words, "--no-importance", "--quiet", "--explain", "--out", "out"]) == 0
    page = (tmp_path / "out" / "page.html").read_text("utf-8")
    assert "what the model used (Shapley values)" in page
    value = f"{table[RATIO].iloc[0]:.3g}"
    assert f"for lymphocyte: nucleus to cell area ratio {value}, higher than" in page
    assert main([*words, "--no-importance", "--quiet", "--out", "plain"]) == 0
    assert "Shapley" not in (tmp_path / "plain" / "page.html").read_text("utf-8")
