"""Comparisons in CSV files and in MLflow."""

from __future__ import annotations

import sys

import pandas as pd
import pytest

from hemafeat import datasets, evaluate, extract
from hemafeat._machine import how_to_install
from hemafeat.cli import main


@pytest.fixture(scope="module")
def table():
    cells = datasets.drawn_bags(12, cells=(4, 6), n_features=4, random_state=0)
    names = extract.columns(["shape"])[:4]
    cells = cells.rename(columns=dict(zip(cells.columns[-4:], names, strict=True)))
    cells.attrs["units"] = dict.fromkeys(names, "um")
    return cells


@pytest.fixture(scope="module")
def comparison(table):
    return evaluate.compare("logistic", table, groups="patient", n_splits=2, n_boot=20)


def test_csv_files_say_what_their_columns_are(comparison, table, tmp_path):
    files = comparison.save_csv(tmp_path / "csv", table)
    names = ["results", "part_scores", "predictions", "importances", "columns"]
    assert [path.name for path in files] == [f"{name}.csv" for name in names]
    predictions = pd.read_csv(tmp_path / "csv" / "predictions.csv")
    assert len(predictions) == len(comparison.predictions)
    assert {"truth", "predicted", "p__malignant"} <= set(predictions)
    about = pd.read_csv(tmp_path / "csv" / "columns.csv")
    for path in files[:-1]:
        described = about[about["file"] == path.name]
        assert list(described["column"]) == list(pd.read_csv(path, nrows=0))
        assert described["meaning"].notna().all()
    features = about[about["file"] == "the table of cells"].set_index("column")
    area = features.loc["nucleus__shape__area"]
    assert (area["unit"], area["formula"]) == ("um", "number of pixels A")
    ranked = pd.read_csv(tmp_path / "csv" / "importances.csv")
    single = ranked[ranked["column"] == "nucleus__shape__area"]
    assert single["formula"].eq("number of pixels A").all()


def test_predictions_say_where_cells_lie_and_which_outlines_are_doubtful(table, tmp_path):
    placed = table.assign(
        where__left=range(len(table)),
        where__top=7,
        quality__suspected_failure=[True, False] * (len(table) // 2) + [False] * (len(table) % 2),
        quality__failure_reason="two nuclei",
    )
    found = evaluate.compare("logistic", placed, groups="patient", n_splits=2, n_boot=5)
    rows = found.predictions
    assert (rows["where__left"] == rows["row"]).all()
    doubted = placed["quality__suspected_failure"].to_numpy()[rows["row"]]
    assert (
        rows["suspected_failure"] == pd.Series(doubted).map({True: "two nuclei", False: ""})
    ).all()
    for row in rows.head(5).to_dict("records"):
        assert row["probability"] == row[f"p__{row['predicted']}"]
    found.save_csv(tmp_path)
    about = pd.read_csv(tmp_path / "columns.csv").set_index(["file", "column"])
    assert about.loc[("predictions.csv", "where__top"), "unit"] == "px"
    assert about.loc["predictions.csv", "meaning"].notna().all()


def test_every_column_of_every_comparison_is_explained(table, tmp_path):
    """Comparisons of patients have verdicts."""
    found = evaluate.compare_patients("table_means", table, n_splits=2, n_boot=5)
    found.save_csv(tmp_path)
    about = pd.read_csv(tmp_path / "columns.csv")
    assert "verdicts.csv" in set(about["file"])
    assert list(about.loc[about["meaning"].isna(), "column"]) == []


def test_mlflow_gets_scores_with_intervals(comparison, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = (tmp_path / "runs").as_uri()
    (tmp_path / "page.html").write_text("<p>")
    run = comparison.to_mlflow(uri, files=[tmp_path / "page.html"])
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    whole = client.get_run(run)
    assert (whole.info.status, whole.data.tags["leaky"]) == ("FINISHED", "false")
    assert whole.data.params["protocol"] == comparison.protocol[:500]
    kept = {file.path for file in client.list_artifacts(run)}
    assert kept >= {"page.html", "predictions.csv", "columns.csv"}
    models = client.search_runs([whole.info.experiment_id], f"tags.mlflow.parentRunId = '{run}'")
    by_name = {found.info.run_name: found for found in models}
    assert set(by_name) == {"logistic", "baseline"}
    assert by_name["baseline"].data.tags["baseline"] == "true"
    scores = comparison.results.query("model == 'logistic' and fold == 'all'").set_index("metric")
    metrics = by_name["logistic"].data.metrics
    for metric, row in scores.iterrows():
        assert metrics[metric] == row["value"]
        assert metrics[f"{metric}.low"] == row["low"]
    steps = client.get_metric_history(by_name["logistic"].info.run_id, "balanced_accuracy.fold")
    assert [step.step for step in steps] == [0, 1]
    # A second comparison goes into the same experiment.
    other = client.get_run(comparison.to_mlflow(uri))
    assert other.info.experiment_id == whole.info.experiment_id


def test_without_mlflow_nothing_is_measured(comparison, table, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ImportError, match=r'install .*"?mlflow'):
        comparison.to_mlflow(str(tmp_path))
    extract.save(table, tmp_path / "t.parquet")
    words = ["compare", str(tmp_path / "t.parquet"), "--out", str(tmp_path / "out"), "--mlflow"]
    assert main(words) == 2
    assert "--mlflow needs mlflow: " + how_to_install("mlflow", "mlflow") in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
