"""Comparisons for other tools: CSV files that say what their columns are, and MLflow."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hemafeat import extract
from hemafeat._files import write_table
from hemafeat._machine import how_to_install

if TYPE_CHECKING:
    from hemafeat.evaluate._comparison import Comparison

COLUMNS = "columns.csv"
"""File that says what the columns of the others are."""

_ALWAYS = ("results", "part_scores", "predictions", "importances")
_IF_FILLED = ("searches", "verdicts")

_MEANINGS = {
    "model": "name of the model",
    "fold": "part of the cells that was held out; all: the predictions of all folds together",
    "metric": "name of the score",
    "value": "the score",
    "low": "lower end of its 95 % interval",
    "high": "upper end of its 95 % interval",
    "protocol": "how the cells were divided",
    "seed": "seed of folds, models and intervals",
    "leaky": "whether a group was on both sides of a split: scores are then too good to be true",
    "fingerprint": "hash of the values, labels and groups compared",
    "version": "version of hemafeat",
    "part": "part that is scored",
    "n": "number of rows scored",
    "row": "position in the table that was compared, from 0",
    "image": "image",
    "cell": "number of the cell in its image, from 1; hemafeat cell TABLE IMAGE#CELL shows it",
    "patient": "patient",
    "group": "what is never divided: the patient, or copies of an image",
    "dataset": "data set",
    "truth": "the label",
    "predicted": "class that the model predicts for the held-out cell",
    "probability": "probability of the class predicted",
    "kind": "block: all columns of a mask and family; column: a single one",
    "column": "column of the table of cells",
    "mask": "what is measured: nucleus, cytoplasm or cell",
    "family": "family of features",
    "importance": "balanced accuracy lost when it is permuted among held-out cells",
    "sd": "standard deviation of that loss",
    "meaning": "what the column says of a cell",
    "formula": "how it is computed",
    "set": "classes that are likely enough",
    "coverage": "share of such sets that should hold the true class",
    "anomaly": "how unlike the training cells the cell is; refused above 1",
    "refused": "why the model refuses the cell; empty if it does not",
    "step": "step of the model that was searched",
    "parameter": "parameter that was chosen",
    "score": "score by which it was chosen",
    "selected_on": "what it was chosen on",
    "contribution": "how far the cell moves the verdict on its patient towards the class positive",
    "method": "how the contribution is computed",
    "positive": "class to which cells contribute",
    "rank": "1 for the cell of a patient that contributes most",
    "suspected_failure": "why the outline of the cell is suspected to be wrong; empty if it is not",
}


def write_csv(comparison: Comparison, folder: Path, table: pd.DataFrame | None) -> list[Path]:
    """Write the tables of a comparison as CSV, see `Comparison.save_csv`."""
    frames = {name: getattr(comparison, name) for name in _ALWAYS}
    frames |= {name: getattr(comparison, name, pd.DataFrame()) for name in _IF_FILLED}
    frames = {name: frame for name, frame in frames.items() if name in _ALWAYS or len(frame)}
    described = extract.describe("all").set_index("column")
    ranked = frames["importances"]
    if len(ranked):
        current = extract.current_names(ranked["column"].fillna("").astype(str))
        texts = described[["meaning", "formula"]].reindex(current).fillna("")
        frames["importances"] = ranked.assign(
            meaning=texts["meaning"].to_numpy(), formula=texts["formula"].to_numpy()
        )
    rows: list[tuple[str, ...]] = []
    for name, frame in frames.items():
        for column in map(str, frame.columns):
            meaning, unit = _MEANINGS.get(column, ""), ""
            if column in extract.WHERE:
                meaning, unit = extract.WHERE[column]
            for prefix, text in (
                ("p__", "probability of"),
                ("uncalibrated__", "probability, before calibration, of"),
            ):
                if column.startswith(prefix):
                    meaning = f"{text} {column.removeprefix(prefix)}"
            rows.append((f"{name}.csv", column, unit, meaning, ""))
    if table is not None:
        features = extract.describe(table)
        keys = ["column", "unit", "meaning", "formula"]
        rows += [("the table of cells", *map(str, row)) for row in features[keys].to_numpy()]
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in frames.items():
        write_table(frame, folder / f"{name}.csv")
    heads = ["file", "column", "unit", "meaning", "formula"]
    write_table(pd.DataFrame(rows, columns=heads), folder / COLUMNS)
    return [*(folder / f"{name}.csv" for name in frames), folder / COLUMNS]


def need_mlflow() -> Any:
    """Return the module mlflow.

    Raises
    ------
    ImportError
        It is not installed.
    """
    try:
        import mlflow
    except ImportError as error:
        raise ImportError(
            f"this needs mlflow: {how_to_install('mlflow', 'mlflow')} ({error})"
        ) from None
    return mlflow


def log_to_mlflow(
    comparison: Comparison, uri: str | None, experiment: str, files: Iterable[Path]
) -> str:
    """Log a comparison, see `Comparison.to_mlflow`."""
    need_mlflow()
    from mlflow.entities import Metric, Param
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    known = client.get_experiment_by_name(experiment)
    number = client.create_experiment(experiment) if known is None else known.experiment_id
    about = {"hemafeat.fingerprint": comparison.fingerprint, "hemafeat.unit": comparison.unit}
    about["leaky"] = str(comparison.leaky).lower()
    texts = {
        "protocol": comparison.protocol,
        "classes": ", ".join(map(str, comparison.classes)),
        "seed": comparison.random_state,
        "n_boot": comparison.n_boot,
        **{f"version.{name}": version for name, version in comparison.versions.items()},
    }
    # The longest text that every server takes.
    parameters = [Param(name, str(value)[:500]) for name, value in texts.items()]
    now = int(1000 * time.time())
    whole = client.create_run(number, run_name="hemafeat comparison", tags=about).info.run_id
    client.log_batch(whole, params=parameters)
    for name in comparison.models:
        tags = {**about, "mlflow.parentRunId": whole}
        tags["baseline"] = str(name in comparison.baselines).lower()
        run = client.create_run(number, run_name=name, tags=tags).info.run_id
        metrics = [
            Metric(metric, value, now, step)
            for metric, value, step in _numbers(comparison, name)
            if np.isfinite(value)
        ]
        client.log_batch(run, metrics=metrics, params=[Param("model", name), *parameters])
        client.set_terminated(run)
    with tempfile.TemporaryDirectory() as folder:
        for path in [*write_csv(comparison, Path(folder), None), *files]:
            client.log_artifact(whole, str(path))
    client.set_terminated(whole)
    return str(whole)


def _numbers(comparison: Comparison, model: str) -> Iterator[tuple[str, float, int]]:
    """Yield the name, value and step of each number of a model."""
    rows = comparison.results[comparison.results["model"] == model]
    folds = [fold for fold in rows["fold"].unique() if fold != "all"]
    for row in rows.to_dict("records"):
        metric = row["metric"]
        if row["fold"] == "all":
            yield metric, float(row["value"]), 0
            yield f"{metric}.low", float(row["low"]), 0
            yield f"{metric}.high", float(row["high"]), 0
        else:
            yield f"{metric}.fold", float(row["value"]), folds.index(row["fold"])
    seconds = comparison.seconds[comparison.seconds["model"] == model]
    for name in ("fit", "predict"):
        yield f"seconds.{name}", float(seconds[name].sum()), 0
